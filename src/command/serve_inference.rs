//! `waywarden serve-inference`: the models of this computer for vehicles that have none.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::access::Access;
use crate::command::args::ModelsFolder;
use crate::config::Config;
use crate::engines::Engines;
use crate::failure::Failure;
use crate::http::Server;
use crate::inference_service;
use crate::network::Network;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  The models that are here, for programs on this computer:
    waywarden serve-inference --listen 127.0.0.1:9181

  For vehicles, with the token, certificate and key of the config's [http] section:
    waywarden serve-inference --config box.toml --listen 0.0.0.0:9181 --queue 16

A vehicle names it in its config: [remote] url = \"https://box.example:9181\".";

/// What `serve-inference` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeInferenceArgs {
    /// The config; without it, the defaults. Models, threads.jobs, threads.model and the section http are taken from it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Where to listen. Goes before http.listen of the config. Beyond this computer it asks for a token and TLS.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,

    /// Pictures that may wait while others are computed; who comes then is told to come again.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub queue: u32,

    /// Prints where it listens, and what it computes, as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Serves until told to end, and prints to `out` where.
///
/// # Errors
/// When the config cannot be used, there is no model, or its address cannot be listened on.
pub fn run(args: &ServeInferenceArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(listen) = &args.listen {
        config.http.listen.clone_from(listen);
        config.validate("--listen")?;
    }
    let engines = Engines::load(&config, args.models.folder.as_deref(), None)?;
    if engines.loaded.is_empty() {
        let reasons: Vec<&str> =
            engines.status.roles.values().filter_map(|role| role.as_ref().err().map(String::as_str)).collect();
        let reasons = if reasons.is_empty() { "none is wanted by the config".to_owned() } else { reasons.join("; ") };
        return Err(Failure::bad_input(format!("no models to serve: {reasons}")));
    }
    // Listened to before anybody is told that it runs.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let network = Network::new(config.threads.network as usize);
    let scheme = if config.http.tls_cert.is_empty() { "http" } else { "https" };
    let routes = inference_service::routes(engines.loaded.clone(), config.threads.jobs as usize, args.queue as usize);
    let listening = Server::new(&config.http, Access::read(&config.http)?)?.start_at_once(routes, &network)?;
    let address = listening.address().map(|address| format!("{scheme}://{address}")).unwrap_or_default();
    if args.json {
        writeln!(out, "{}", json!({ "ok": true, "url": address, "models": engines.describe() }))?;
    } else {
        for (role, model) in engines.describe() {
            writeln!(out, "{role}: {} on {}", model.name, model.engine)?;
        }
        writeln!(out, "serving at {address}")?;
    }
    out.flush()?;
    signals.forever().next();
    Ok(())
}
