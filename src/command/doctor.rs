//! `waywarden doctor`: whether everything is as it should be, and what to do where it is not.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::command::args::ModelsFolder;
use crate::config::Config;
use crate::doctor::{self, Check, Status};
use crate::failure::{Code, Failure};
use crate::network::Network;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Before the first drive: is everything there, and fast enough?
    waywarden doctor --config /etc/waywarden.toml --record /var/lib/waywarden

  The same for a program; the exit code is 3 if something does not work:
    waywarden doctor --config /etc/waywarden.toml --json";

/// What `doctor` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// The config; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The folder in which sessions are to be recorded. Goes before record.directory of the config.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Looks at everything, and says what it found as it goes.
///
/// # Errors
/// When something does not work: exit code 3, after everything has been said.
pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut said = Said { out, json: args.json, checks: Vec::new() };
    let config = match &args.config {
        Some(path) => Config::load(path),
        None => Ok(Config::default()),
    };
    let config = match config {
        Ok(config) => {
            let name =
                args.config.as_deref().map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string());
            said.say(Check::ok("config", format!("{name}: {} devices", config.names().count())))?;
            config
        }
        Err(error) => {
            for problem in error.problems {
                said.say(Check::fail("config", problem.to_string(), problem.hint.clone()))?;
            }
            return said.end();
        }
    };
    let folder = args
        .record
        .clone()
        .or_else(|| Some(&config.record.directory).filter(|directory| !directory.is_empty()).map(PathBuf::from));
    for check in doctor::devices(&config) {
        said.say(check)?;
    }
    for check in doctor::disk(folder.as_deref().unwrap_or(Path::new(".")), folder.is_some()) {
        said.say(check)?;
    }
    said.say(doctor::clock())?;
    for check in doctor::models(&config, args.models.folder.as_deref()) {
        said.say(check)?;
    }
    if let Some(check) = doctor::speech(&config, args.models.folder.as_deref()) {
        said.say(check)?;
    }
    for check in doctor::threads(&config) {
        said.say(check)?;
    }
    let network = Network::new(1);
    for check in doctor::server(&config) {
        said.say(check)?;
    }
    for check in doctor::broker(&config, &network) {
        said.say(check)?;
    }
    for check in doctor::service(&config, &network) {
        said.say(check)?;
    }
    said.end()
}

struct Said<'a> {
    out: &'a mut dyn Write,
    json: bool,
    checks: Vec<Check>,
}

impl Said<'_> {
    fn say(&mut self, check: Check) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{:<5} {:<12} {}", check.status.name(), check.name, check.found)?;
            if let Some(todo) = &check.todo {
                writeln!(self.out, "{:<5} {:<12} {todo}", "", "")?;
            }
            for line in check.config.iter().flat_map(|config| config.lines()) {
                writeln!(self.out, "{:<5} {:<12}     {line}", "", "")?;
            }
            self.out.flush()?;
        }
        self.checks.push(check);
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Verdict<'a> {
            ok: bool,
            checks: &'a [Check],
        }
        let failed: Vec<&str> =
            self.checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.name.as_str()).collect();
        if self.json {
            writeln!(self.out, "{}", json!(Verdict { ok: failed.is_empty(), checks: &self.checks }))?;
        }
        match failed.as_slice() {
            [] => Ok(()),
            failed => Err(Failure::new(Code::Running, format!("does not work: {}", failed.join(", ")))
                .hint("what to do stands below each line that begins with `fail`")),
        }
    }
}
