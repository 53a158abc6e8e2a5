//! Files from the network: known by their SHA-256, resumed where they were cut, under their name only when whole.
//!
//! What comes is written beside its place, as `NAME.part`, with its origin in `NAME.part.from`: address and validator (RFC
//! 9110, 13.1.5), without which nobody could say that the rest belongs to the same file. Nothing that a server says
//! becomes part of a path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_RANGE, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};

use crate::progress::{Progress, Show, Unit};

mod part;

use part::Part;

/// A file that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Where it can be had, tried in turn.
    pub urls: &'a [String],
    /// SHA-256 of the files that will do, in lower-case hexadecimal digits.
    pub sha256: &'a [String],
    /// Where it is to be.
    pub to: &'a Path,
    /// The most bytes that it may have.
    pub largest: u64,
}

/// How downloads behave.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Time without a byte after which a server is given up.
    pub patience: Duration,
    /// Times that an address is tried again when it was the network's fault.
    pub retries: usize,
    /// Time before the first of them; it doubles with each.
    pub first_wait: Duration,
    /// How progress is shown.
    pub show: Show,
}

impl Default for Manner {
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), retries: 4, first_wait: Duration::from_secs(1), show: Show::Nothing }
    }
}

/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Redirects that are followed.
const REDIRECTS: usize = 10;

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The network, or a server that may do better next time.
    #[error("{url}: {reason}")]
    Broken {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A server that will not do better.
    #[error("{url}: {reason}")]
    Refused {
        /// The address.
        url: String,
        /// What it said.
        reason: String,
    },
    /// It is another file.
    #[error("{url}: what came from there has SHA-256 {found}, accepted is {}", accepted.join(" or "))]
    WrongHash {
        /// The address.
        url: String,
        /// What came.
        found: String,
        /// What should have come.
        accepted: Vec<String>,
    },
    /// It cannot be written here.
    #[error("{}: {source}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else is at it.
    #[error("{}: another program is downloading it", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// There is no way to download anything.
    #[error("no HTTP client: {0}")]
    Client(String),
}

impl DownloadError {
    fn broken(url: &str, error: &reqwest::Error) -> Self {
        let (url, reason) = (url.to_owned(), chain(error));
        // A redirect to nowhere, or to an address without TLS, is the same next time.
        if error.is_redirect() || error.is_builder() {
            Self::Refused { url, reason }
        } else {
            Self::Broken { url, reason }
        }
    }

    /// Whether another address can help.
    fn of_address(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Refused { .. } | Self::WrongHash { .. })
    }
}

/// What an error of the client says, with its causes; its own first words hold the address once more.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.dedup();
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_redirect() {
        "redirects that are not followed"
    } else if error.is_builder() {
        "no address that can be asked"
    } else {
        "the connection broke"
    };
    if causes.is_empty() { what.to_owned() } else { format!("{what}: {}", causes.join(": ")) }
}

/// Downloads `wanted` from the first of its addresses that gives it.
///
/// # Errors
///
/// What was wrong with each address, in their order; or the one thing that is wrong here. Then nothing has changed under
/// the file's own name, and what came so far is kept for the next time where it can be of use.
pub fn download(wanted: &Wanted<'_>, manner: &Manner) -> Result<(), Vec<DownloadError>> {
    let client = client(wanted, manner).map_err(|error| vec![error])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| vec![DownloadError::Client(error.to_string())])?;
    let mut errors = Vec::new();
    for url in wanted.urls {
        let again = ExponentialBuilder::new()
            .with_min_delay(manner.first_wait)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(manner.retries)
            .with_jitter();
        let tries = (|| attempt(&client, wanted, url, manner.show))
            .retry(again)
            .when(|error| matches!(error, DownloadError::Broken { .. }))
            .notify(|error, wait| tracing::warn!("{error}; again in {:.1} s", wait.as_secs_f64()));
        match runtime.block_on(tries) {
            Ok(()) => return Ok(()),
            Err(error) => {
                let here = !error.of_address();
                errors.push(error);
                if here {
                    break;
                }
            }
        }
    }
    Err(errors)
}

fn client(wanted: &Wanted<'_>, manner: &Manner) -> Result<Client, DownloadError> {
    // Set once in a process; a second time is no matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // An address with TLS must not lead to one without.
    let tls_only = wanted.urls.iter().all(|url| url.starts_with("https://"));
    let client = Client::builder()
        .user_agent(concat!("waywarden/", env!("CARGO_PKG_VERSION")))
        .https_only(tls_only)
        .redirect(redirect::Policy::limited(REDIRECTS))
        .connect_timeout(manner.patience)
        .read_timeout(manner.patience)
        .build();
    client.map_err(|error| DownloadError::Client(chain(&error)))
}

/// One try at one address.
async fn attempt(client: &Client, wanted: &Wanted<'_>, url: &str, show: Show) -> Result<(), DownloadError> {
    let mut part = Part::open(wanted.to)?;
    let begun = part.begun(url)?;
    let mut request = client.get(url);
    if let Some((length, validator)) = &begun {
        request = request.header(RANGE, format!("bytes={length}-")).header(IF_RANGE, validator);
    }
    let response = request.send().await.map_err(|error| DownloadError::broken(url, &error))?;
    let resumed = part_of(&response, begun.as_ref().map(|(length, _)| *length));
    if !resumed {
        accept(url, response.status(), &mut part)?;
        part.restart(url, validator(response.headers()))?;
    }
    receive(response, &mut part, wanted, url, show).await?;
    let found = part.sha256()?;
    if wanted.sha256.contains(&found) {
        return part.finish();
    }
    part.discard()?;
    if resumed {
        // Its beginning may have been of another version.
        let reason = format!("the pieces do not fit together (SHA-256 {found})");
        return Err(DownloadError::Broken { url: url.to_owned(), reason });
    }
    Err(DownloadError::WrongHash { url: url.to_owned(), found, accepted: wanted.sha256.to_vec() })
}

/// Whether this is the rest of what has `begun` of bytes.
fn part_of(response: &Response, begun: Option<u64>) -> bool {
    let Some(begun) = begun.filter(|_| response.status() == StatusCode::PARTIAL_CONTENT) else { return false };
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {begun}-")))
}

/// Goes on if the whole file comes.
fn accept(url: &str, status: StatusCode, part: &mut Part) -> Result<(), DownloadError> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let (url, reason) = (url.to_owned(), format!("the server says {status}"));
    match status {
        // About the piece that was asked for: the next try asks for the whole.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            part.discard()?;
            Err(DownloadError::Broken { url, reason })
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(DownloadError::Broken { url, reason }),
        _ if status.is_server_error() => Err(DownloadError::Broken { url, reason }),
        _ => Err(DownloadError::Refused { url, reason }),
    }
}

/// A word by which the server knows this very file again: its strong tag, or its date.
fn validator(headers: &HeaderMap) -> Option<&str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = header("etag").filter(|tag| tag.starts_with('"'));
    tag.or_else(|| header("last-modified")).filter(|word| !word.is_empty())
}

/// Writes what comes behind what is there.
async fn receive(
    mut response: Response,
    part: &mut Part,
    wanted: &Wanted<'_>,
    url: &str,
    show: Show,
) -> Result<(), DownloadError> {
    let mut length = part.length()?;
    let total = response.content_length().map(|rest| length.saturating_add(rest));
    let check = |length: u64| {
        let largest = wanted.largest;
        let reason = format!("{length} bytes or more; at most {largest} are taken");
        if length > largest { Err(DownloadError::Refused { url: url.to_owned(), reason }) } else { Ok(()) }
    };
    let name = wanted.to.file_name().unwrap_or_default().to_string_lossy();
    let mut progress = Progress::start(format!("downloading {name}"), total, Unit::Bytes, show);
    if let Err(error) = check(total.unwrap_or(length)) {
        part.discard()?;
        return Err(error);
    }
    progress.set(length);
    while let Some(chunk) = response.chunk().await.map_err(|error| DownloadError::broken(url, &error))? {
        length = length.saturating_add(chunk.len() as u64);
        if let Err(error) = check(length) {
            part.discard()?;
            return Err(error);
        }
        part.write(&chunk)?;
        progress.set(length);
    }
    progress.finish(&format!("downloaded {name}, {:.1} MB", length as f64 / 1e6));
    Ok(())
}

#[cfg(test)]
mod tests;
