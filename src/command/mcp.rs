//! `waywarden mcp`: what was recorded, or a run elsewhere, for an agent that starts programs.

use std::io::Write;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::http;
use crate::mcp::{Bridge, Library, Mcp, carry, converse};
use crate::network::Network;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Recorded sessions for an agent on a desk: the command that its configuration names.
    waywarden mcp --sessions sessions

  A vehicle that drives, with its token:
    waywarden mcp --url https://car-7.example:9180 --token-file token

It speaks the Model Context Protocol over standard input and output, a message a line; log lines go to standard error.
docs/mcp.md says what can be asked.";

/// What `mcp` may be told.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct McpArgs {
    /// The folder with sessions to answer about.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token_file", "ca_file"])]
    pub sessions: Option<PathBuf>,

    /// The address of a run whose /mcp is to be asked: https, or http on this computer.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// A file with the token for that run.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub token_file: Option<PathBuf>,

    /// A PEM file with certificates that vouch for that run, beside those that this computer trusts.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// Answers what comes by standard input, until its end. Nothing but answers is written to `out`.
///
/// # Errors
/// When there are no such sessions, or the address or the token cannot be used.
pub fn run(args: &McpArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let network = Network::new(1);
    if let Some(url) = &args.url {
        let token = match &args.token_file {
            Some(path) => Some(http::token("--token-file", &path.to_string_lossy())?),
            None => None,
        };
        let failed = |path: &PathBuf, error| Failure::bad_input(format!("--ca-file: {}: {error}", path.display()));
        let authorities = match &args.ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|error| failed(path, error))?),
            None => None,
        };
        let bridge = Bridge::new(url, token.as_deref(), authorities.as_deref())?;
        return carry(bridge, &network.handle()?, out);
    }
    let folder = args.sessions.clone().unwrap_or_default();
    if !folder.is_dir() {
        return Err(Failure::bad_input(format!("--sessions: {} is no folder", folder.display()))
            .hint("name the folder in which `waywarden run --record` puts sessions"));
    }
    let mcp = Mcp::new(None, Some(Library::new(folder, None)), None);
    converse(mcp, &network.handle()?, out)
}
