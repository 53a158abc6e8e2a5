//! The program.

use std::io::{self, Write};
use std::process::ExitCode;

use waywarden::cli::{Cli, Command};
use waywarden::command::check;
use waywarden::failure::Failure;

fn main() -> ExitCode {
    let (mut out, mut err) = (Output(io::stdout().lock()), io::stderr());
    let (done, json) = match Cli::from_process() {
        Ok(cli) => (run(&cli, &mut out), cli.command.json()),
        Err(failure) => (Err(failure), true),
    };
    match done.and_then(|()| out.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told that this could not be written.
            let _ = failure.print(json, &mut out, &mut err);
            failure.code.into()
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    match &cli.command {
        Command::Check(args) => check::run(args, out),
        Command::Run(_) | Command::Replay(_) | Command::Import(_) | Command::Inspect(_) => {
            Err(Failure::running("this command is not built in"))
        }
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
