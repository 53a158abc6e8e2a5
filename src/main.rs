//! The program.

use std::io::{self, Write};
use std::process::ExitCode;

use waywarden::cli::{Cli, Command};
use waywarden::command::{
    bench, calibrate, check, compare, devices, doctor, evaluate, import, init, inspect, mcp, models, preserve, render,
    replay, report, run, serve_inference, simulate,
};
use waywarden::config::Config;
use waywarden::failure::Failure;
use waywarden::{logging, pools};
use waywarden_systems::inference::engine::onnxruntime;
use waywarden_systems::memory;

fn main() -> ExitCode {
    keep_quiet();
    memory::keep_little();
    let (mut out, mut err) = (Output(io::stdout().lock()), io::stderr());
    let (done, json) = match Cli::from_process() {
        Ok(cli) => (dispatch(&cli, &mut out), cli.command.json()),
        Err(failure) => (Err(failure), true),
    };
    let code = match done.and_then(|()| out.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told that this could not be written.
            let _ = failure.print(json, &mut out, &mut err);
            failure.code.into()
        }
    };
    pools::come_forward();
    code
}

/// Nothing of a drive goes anywhere unasked: a newer ONNX Runtime would report to its makers.
#[expect(unsafe_code, reason = "the environment is where it looks, and may only be changed while there is one thread")]
fn keep_quiet() {
    let (name, value) = onnxruntime::SILENCE;
    // SAFETY: this is the first thing that the program does, so no other thread can be reading the environment.
    unsafe { std::env::set_var(name, value) };
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    // A config that cannot be read is reported by the command, which names every mistake in it.
    let log = cli.command.config().and_then(|path| Config::load(path).ok()).unwrap_or_default().log;
    logging::start(&log, cli.log.as_deref(), cli.log_format)?;
    match &cli.command {
        Command::Bench(args) => bench::run(args, out),
        Command::Check(args) => check::run(args, out),
        Command::Replay(args) => replay::run(args, out),
        Command::Import(args) => import::run(args, out),
        Command::Init(args) => init::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Mcp(args) => mcp::run(args, out),
        Command::Models(args) => models::run(args, out),
        Command::Preserve(args) => preserve::run(args, out),
        Command::Devices(args) => devices::run(args, out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Compare(args) => compare::run(args, out),
        Command::Calibrate(args) => calibrate::run(args, out),
        Command::Evaluate(args) => evaluate::run(args, out),
        Command::Render(args) => render::run(args, out),
        Command::Report(args) => report::run(args, out),
        Command::Run(args) => run::run(args, out),
        Command::ServeInference(args) => serve_inference::run(args, out),
        Command::Simulate(args) => simulate::run(args, out),
    }
}

/// Standard output, to which one may go on writing when its reader has gone (`waywarden … | head`).
struct Output(io::StdoutLock<'static>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
