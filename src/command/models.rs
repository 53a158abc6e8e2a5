//! `waywarden models`: which models are known, and how they come here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use waywarden_systems::models::{self, MAX_MODEL_BYTES, Manifest, ModelEntry, SpeechEntry};

use crate::cli::seconds;
use crate::config::Config;
use crate::download::{DownloadError, Manner, Wanted, download};
use crate::failure::{Code, Failure, Report};
use crate::progress::Show;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Which models are known, and which of them are here:
    waywarden models list

  Download those that are used by default, into the user's data folder:
    waywarden models fetch

  One of them by its name, into a folder, from a mirror of your own that serves the files under their names:
    waywarden models fetch yolox_nano --dir models --from https://mirror.example/models";

/// What `models` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What `models` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Lists the known models: role, licence, where each was found, whether its SHA-256 is right.
    List(ListArgs),
    /// Downloads models: resumed where it was cut, and under its name only when whole and right.
    Fetch(FetchArgs),
}

/// What `models list` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// A folder to look in first.
    ///
    /// Then the environment variable WAYWARDEN_MODELS, then the user's data folder.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What `models fetch` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// Names of models, as `waywarden models list` has them. Without any, those that the config uses.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// The folder to put them into.
    ///
    /// Without it, the environment variable WAYWARDEN_MODELS, else the user's data folder. It is made if it is not
    /// there.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Where to get them instead of from their makers: a mirror of a fleet's own, or a server on this computer for tests.
    ///
    /// The file's name, as `waywarden models list --json` has it, is put behind this address. http:// will do, too: what
    /// comes is believed by its SHA-256 alone. Several are tried in turn.
    #[arg(long, value_name = "URL")]
    pub from: Vec<String>,

    /// The config whose models are meant where none are named; without it, the defaults.
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    pub config: Option<PathBuf>,

    /// Seconds without a byte after which a server is given up. Default 30.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Times that an address is tried again when the network failed. Default 4.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: Option<u32>,

    /// Prints one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

impl ModelsArgs {
    /// The config file that it is told to use, if any.
    pub fn config(&self) -> Option<&Path> {
        match &self.action {
            Action::Fetch(args) => args.config.as_deref(),
            Action::List(_) => None,
        }
    }

    /// Whether a program reads what is printed.
    pub fn json(&self) -> bool {
        match &self.action {
            Action::List(args) => args.json,
            Action::Fetch(args) => args.json,
        }
    }
}

/// Lists or downloads, and prints to `out` what came of it.
///
/// # Errors
///
/// When a name is not known, a model has no address, or a file could not be had.
pub fn run(args: &ModelsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.action {
        Action::List(args) => list(args, out),
        Action::Fetch(args) => fetch(args, out),
    }
}

/// A known model, and its file here.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    role: &'static str,
    licence: &'a str,
    /// What a download is stored as.
    file: &'a str,
    /// Whether the default config uses it.
    default: bool,
    state: State,
    /// Where it is.
    path: Option<PathBuf>,
    bytes: Option<u64>,
    /// Of the file that is here.
    sha256: Option<String>,
    /// Of the files that are accepted.
    accepted: &'a [String],
    urls: &'a [String],
}

/// How it is with a model's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It is here, and right.
    Right,
    /// It is here, and another one.
    Wrong,
    /// It is here, and cannot be read.
    Unreadable,
    /// It is not here.
    Missing,
}

/// A model of the manifest, whatever it does.
#[derive(Clone, Copy)]
struct Known<'a> {
    name: &'a str,
    role: &'static str,
    licence: &'a str,
    files: &'a [String],
    urls: &'a [String],
    sha256: &'a [String],
}

impl<'a> Known<'a> {
    /// All of them, those that hear last.
    fn all(manifest: &'a Manifest) -> impl Iterator<Item = Self> {
        manifest.models.iter().map(Self::from).chain(manifest.speech.iter().map(Self::from))
    }

    fn accepts(&self, sha256: &str) -> bool {
        self.sha256.iter().any(|accepted| accepted == sha256)
    }

    /// Its file, in the first of `dirs` that has one.
    fn locate(&self, dirs: &[PathBuf]) -> Option<PathBuf> {
        let mut places = dirs.iter().flat_map(|dir| self.files.iter().map(move |file| dir.join(file)));
        places.find(|path| path.is_file())
    }

    /// What a download of it is stored as.
    fn stored_as(&self) -> &'a str {
        self.files.first().map_or(self.name, String::as_str)
    }
}

impl<'a> From<&'a ModelEntry> for Known<'a> {
    fn from(entry: &'a ModelEntry) -> Self {
        let ModelEntry { name, role, licence, files, urls, sha256, .. } = entry;
        Self { name, role: role.name(), licence, files, urls, sha256 }
    }
}

impl<'a> From<&'a SpeechEntry> for Known<'a> {
    fn from(entry: &'a SpeechEntry) -> Self {
        let SpeechEntry { name, licence, files, urls, sha256 } = entry;
        Self { name, role: "speech", licence, files, urls, sha256 }
    }
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let manifest = Manifest::built_in()?;
    let dirs = models::search_dirs(args.dir.as_deref());
    let used = used_by(&Config::default());
    let listed: Vec<Listed<'_>> = Known::all(&manifest).map(|entry| look(entry, &dirs, &used)).collect();
    if args.json {
        writeln!(out, "{}", json!({ "ok": true, "dirs": dirs, "models": listed }))?;
        return Ok(());
    }
    let width = listed.iter().map(|model| model.name.len()).max().unwrap_or(0);
    for model in &listed {
        let path = model.path.as_deref().unwrap_or(Path::new("")).display();
        let found = match model.state {
            State::Right => format!("{path}, {:.1} MB, SHA-256 is right", model.bytes.unwrap_or(0) as f64 / 1e6),
            State::Wrong => format!("{path}: WRONG SHA-256, it is damaged or another file"),
            State::Unreadable => format!("{path}: cannot be read"),
            State::Missing if model.urls.is_empty() => format!("not here; no known address of {}", model.file),
            State::Missing => "not here".to_owned(),
        };
        let mark = if model.default { "*" } else { " " };
        writeln!(out, "{mark} {:width$}  {:12}  {:10}  {found}", model.name, model.role, model.licence)?;
    }
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    writeln!(out, "\n* used by default. Looked for in {}.", dirs.join(", "))?;
    if listed.iter().any(|model| model.default && model.state != State::Right) {
        writeln!(out, "`waywarden models fetch` gets those that are used by default.")?;
    }
    Ok(())
}

fn look<'a>(entry: Known<'a>, dirs: &[PathBuf], used: &[String]) -> Listed<'a> {
    let path = entry.locate(dirs);
    let sha256 = path.as_deref().map(models::sha256_of);
    let state = match &sha256 {
        None => State::Missing,
        Some(Err(_)) => State::Unreadable,
        Some(Ok(found)) if entry.accepts(found) => State::Right,
        Some(Ok(_)) => State::Wrong,
    };
    Listed {
        name: entry.name,
        role: entry.role,
        licence: entry.licence,
        file: entry.stored_as(),
        default: used.iter().any(|used| used == entry.name),
        state,
        bytes: path.as_deref().and_then(|path| path.metadata().ok()).map(|metadata| metadata.len()),
        path,
        sha256: sha256.and_then(Result::ok),
        accepted: entry.sha256,
        urls: entry.urls,
    }
}

/// The names of the models that a config uses.
fn used_by(config: &Config) -> Vec<String> {
    let (segmentation, detection) = (&config.segmentation, &config.detection);
    let used = [(segmentation.enabled, &segmentation.model), (detection.enabled, &detection.model)];
    used.into_iter().filter(|(enabled, _)| *enabled).map(|(_, name)| name.clone()).collect()
}

/// A download that came to its end.
#[derive(Debug, Serialize)]
struct Fetched {
    name: String,
    path: PathBuf,
    /// False if it was there already.
    downloaded: bool,
}

fn fetch(args: &FetchArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let manifest = Manifest::built_in()?;
    let wanted = wanted(args, &manifest)?;
    if let Some(wrong) = args.from.iter().find(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
        return Err(Failure::bad_input(format!("--from {wrong}: no address of a web server"))
            .hint("it begins with https:// or http://"));
    }
    let dirs = models::search_dirs(args.dir.as_deref());
    let Some(dir) = dirs.first() else {
        return Err(Failure::bad_input("no folder to put models into").hint("name one with --dir"));
    };
    let (mut fetched, mut failure) = (Vec::new(), None);
    for entry in wanted {
        match fetch_one(entry, dir, args) {
            Ok(done) => {
                if !args.json {
                    let how = if done.downloaded { "downloaded" } else { "was here already" };
                    writeln!(out, "{}: {how}: {}", done.name, done.path.display())?;
                }
                fetched.push(done);
            }
            // The others are tried all the same.
            Err(new) => failure = Some(join(failure, new)),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if args.json => Ok(writeln!(out, "{}", json!({ "ok": true, "models": fetched }))?),
        None => Ok(()),
    }
}

/// The models that are meant.
fn wanted<'a>(args: &FetchArgs, manifest: &'a Manifest) -> Result<Vec<Known<'a>>, Failure> {
    let known = |name: &String| Known::all(manifest).find(|entry| entry.name == name);
    if !args.names.is_empty() {
        let unknown = |name: &String| {
            let known: Vec<&str> = Known::all(manifest).map(|entry| entry.name).collect();
            Failure::bad_input(format!("no model is called `{name}`")).hint(format!("known are {}", known.join(", ")))
        };
        return args.names.iter().map(|name| known(name).ok_or_else(|| unknown(name))).collect();
    }
    let config = args.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    // A user's own model has a path of its own, and no address.
    Ok(used_by(&config).iter().filter_map(known).collect())
}

fn fetch_one(entry: Known<'_>, dir: &Path, args: &FetchArgs) -> Result<Fetched, Failure> {
    let path = dir.join(entry.stored_as());
    let done = |downloaded| Fetched { name: entry.name.to_owned(), path: path.clone(), downloaded };
    if models::sha256_of(&path).is_ok_and(|found| entry.accepts(&found)) {
        return Ok(done(false));
    }
    let urls = match &args.from[..] {
        [] => entry.urls.to_vec(),
        mirrors => mirrors.iter().map(|url| format!("{}/{}", url.trim_end_matches('/'), entry.stored_as())).collect(),
    };
    if urls.is_empty() {
        return Err(Failure::bad_input(format!("no known address of {}", entry.name)).hint(format!(
            "put the file with SHA-256 {} at {} yourself, or name a mirror with --from",
            entry.sha256.join(" or "),
            path.display()
        )));
    }
    let default = Manner::default();
    let manner = Manner {
        patience: args.timeout.unwrap_or(default.patience),
        retries: args.retries.map_or(default.retries, |retries| retries as usize),
        show: Show::new(args.json),
        ..default
    };
    let wanted = Wanted { urls: &urls, sha256: entry.sha256, to: &path, largest: MAX_MODEL_BYTES };
    match download(&wanted, &manner) {
        Ok(()) => Ok(done(true)),
        Err(errors) => Err(explain(entry, &errors)),
    }
}

/// Why a model could not be had, and what to do.
fn explain(entry: Known<'_>, errors: &[DownloadError]) -> Failure {
    let about = |error: &DownloadError| {
        let hint = match error {
            DownloadError::Broken { .. } => "is the network there? Once more goes on where it stopped",
            DownloadError::Refused { .. } => "name a mirror with --from, or put the file there yourself",
            DownloadError::WrongHash { .. } => "the file there has changed: a newer version of Waywarden may know it",
            DownloadError::Disk { .. } => "is there room, and may this user write there? --dir names another folder",
            DownloadError::Busy { .. } => "wait for it, or end it",
            DownloadError::Client(_) => "this is a fault of the program or the system: please report it",
        };
        let message = format!("model {} could not be downloaded: {error}", entry.name);
        Report { message, hint: Some(hint.to_owned()), place: None }
    };
    Failure { code: Code::Running, reports: errors.iter().map(about).collect() }
}

/// Both failures as one; that of running counts.
fn join(first: Option<Failure>, mut second: Failure) -> Failure {
    let Some(mut first) = first else { return second };
    first.reports.append(&mut second.reports);
    first.code = if second.code == Code::Running { Code::Running } else { first.code };
    first
}
