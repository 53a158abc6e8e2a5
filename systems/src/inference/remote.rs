//! Models that are computed by a service elsewhere: the camera's own JPEG goes there, masks or boxes come back.
//!
//! It is asked on the threads of jobs, never in a system, and what it says comes into the world as the result of a job like any
//! other: journalled, so that a replay needs no network. A service that fails is left alone for a while (a circuit
//! [`breaker`]), and asked by a question that costs nothing whether it is there again. Meanwhile the model on this computer
//! computes, if there is one. Whether the service answers is told as the link of [`StreamId::REMOTE`].

pub mod breaker;
pub mod speech;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url, redirect};
use tokio::runtime::Handle;
use tokio::sync::watch;
use waywarden_components::prelude::*;

use super::api::{self, LARGEST_PICTURE, LARGEST_REPLY, Models};
use super::{Inference, InferenceError, ModelIdentity};
use crate::camera::jpeg::RgbPicture;
use crate::clock::boottime;
use crate::ingress::Outlet;
use breaker::{Breaker, BreakerSettings};

/// How the engine of a remote model is called: this, then what the service says of its own.
pub const ENGINE: &str = "remote";

/// The longest time that making a connection, or a question that costs nothing, may take.
const GREETING: Duration = Duration::from_secs(2);

/// A service, and how it is asked.
#[derive(Clone)]
pub struct RemoteSettings {
    /// Its address, to which the paths of the contract are added.
    pub url: String,
    /// The token that it asks for.
    pub token: Option<String>,
    /// Certificates (PEM) that vouch for it, beside those that this computer trusts.
    pub authorities: Vec<u8>,
    /// Whether it may be asked without TLS.
    pub plain_http: bool,
    /// Longest time for a picture, all tries together.
    pub timeout: Duration,
    /// Times that a picture is sent again when the connection broke.
    pub retries: usize,
    /// When it is left alone.
    pub breaker: BreakerSettings,
}

/// Why a service cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none, or asks for what is not done.
    #[error("remote.url: {0}")]
    Url(String),
    /// The certificates cannot be used.
    #[error("remote.ca_file: {0}")]
    Authorities(String),
    /// There is no client to be had.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Why a picture was not looked at.
#[derive(Debug)]
enum Refusal {
    /// The connection broke: another try may do.
    Broken(String),
    /// The service does not do what it should.
    Failed(String),
    /// The service is well, and will not have this picture, or this sound.
    Picture(String),
}

/// Why a service does not say what it computes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It cannot be reached, or not in time: it may come back.
    #[error("{0}")]
    Unreached(String),
    /// It is there, and does not do what it should.
    #[error("{0}")]
    Refused(String),
}

/// What was asked, for whoever wants to know. Outside the world.
#[derive(Debug, Default)]
pub struct RemoteStats {
    /// Pictures and utterances that came back with a result.
    pub answered: AtomicU64,
    /// Those that did not.
    pub failed: AtomicU64,
    /// Those that were not sent because the service is left alone.
    pub spared: AtomicU64,
}

/// A service that is shared by the models of all roles. Cheap to clone.
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

struct Shared {
    client: Client,
    url: Url,
    settings: RemoteSettings,
    handle: Handle,
    outlet: Outlet,
    /// True when the program ends.
    over: watch::Receiver<bool>,
    breaker: Mutex<Breaker>,
    stats: Arc<RemoteStats>,
}

impl Remote {
    /// A service that is asked on the runtime of `handle`. What becomes of it is told through `outlet`, the channel of
    /// [`StreamId::REMOTE`].
    ///
    /// # Errors
    /// When its address or its certificates cannot be used.
    pub fn new(
        settings: RemoteSettings,
        handle: Handle,
        outlet: Outlet,
        over: watch::Receiver<bool>,
    ) -> Result<Self, RemoteError> {
        let url = address(&settings)?;
        let client = client(&settings)?;
        let breaker = Mutex::new(Breaker::new(settings.breaker));
        Ok(Self(Arc::new(Shared { client, url, settings, handle, outlet, over, breaker, stats: Arc::default() })))
    }

    /// What it was asked.
    pub fn stats(&self) -> Arc<RemoteStats> {
        self.0.stats.clone()
    }

    /// Asks what it computes, and tells the world whether it answers: the first question. One that does not answer is asked
    /// again from now on.
    pub fn greet(&self) -> Option<Models> {
        let asked = self.wait(self.0.models());
        match asked {
            Ok(models) => {
                self.0.describe(&models);
                self.0.say(LinkState::Connected);
                Some(models)
            }
            Err(reason) => {
                let rest = self.0.breaker().open();
                self.leave_alone(rest, reason);
                None
            }
        }
    }

    /// Asks what it computes, once, and tells nobody: for who wants to know before a drive.
    ///
    /// # Errors
    /// When it does not say.
    pub fn try_out(&self) -> Result<Models, Unanswered> {
        self.wait(self.0.ask_models())
    }

    /// The model of a role, which `local` stands in for.
    pub fn model(&self, role: JobRole, models: Option<&Models>, local: Option<Arc<dyn Inference>>) -> RemoteModel {
        let identity = match models.and_then(|models| models.models.get(&role)) {
            Some(theirs) => ModelIdentity { engine: format!("{ENGINE} {}", theirs.engine), ..theirs.clone() },
            // It has not said so yet.
            None => ModelIdentity { name: ENGINE.to_owned(), sha256: String::new(), engine: ENGINE.to_owned() },
        };
        RemoteModel { remote: self.clone(), role, identity, local }
    }

    /// What was found in a picture, or why nothing was.
    fn ask(&self, role: JobRole, look: &Look) -> Result<JobOutput, String> {
        self.may_ask()?;
        if look.jpeg.len() > LARGEST_PICTURE {
            return Err(format!("a picture of more than {LARGEST_PICTURE} bytes"));
        }
        self.judged(self.wait(self.0.infer(role, look)))
    }

    /// Whether it is asked at all, or why not.
    fn may_ask(&self) -> Result<(), String> {
        if self.0.breaker().may_ask() {
            return Ok(());
        }
        self.0.stats.spared.fetch_add(1, Ordering::Relaxed);
        Err("the service is left alone for a while".to_owned())
    }

    /// Counts what came of a question, and leaves the service alone if too little did.
    fn judged<T>(&self, asked: Result<T, Refusal>) -> Result<T, String> {
        let count = if asked.is_ok() { &self.0.stats.answered } else { &self.0.stats.failed };
        count.fetch_add(1, Ordering::Relaxed);
        match asked {
            Ok(output) => {
                self.0.breaker().succeeded();
                Ok(output)
            }
            Err(Refusal::Picture(reason)) => {
                self.0.breaker().succeeded();
                Err(reason)
            }
            Err(Refusal::Broken(reason) | Refusal::Failed(reason)) => {
                let opened = self.0.breaker().failed();
                if let Some(rest) = opened.filter(|_| !*self.0.over.borrow()) {
                    self.leave_alone(rest, reason.clone());
                }
                Err(reason)
            }
        }
    }

    /// Waits on a thread of a job, but not beyond the end of the program.
    fn wait<T, E: From<String>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let ending = || Err(E::from("the program is ending".to_owned()));
        let mut over = self.0.over.clone();
        if *over.borrow() {
            return ending();
        }
        self.0.handle.block_on(async {
            tokio::select! {
                result = work => result,
                _ = over.wait_for(|over| *over) => ending(),
            }
        })
    }

    /// Tells the world that the service is left alone, and asks after its rest whether it is there again.
    fn leave_alone(&self, rest: Duration, reason: String) {
        self.0.say(LinkState::Lost(reason));
        let (shared, mut rest) = (self.0.clone(), rest);
        self.0.handle.spawn(async move {
            loop {
                tokio::time::sleep(rest).await;
                match shared.models().await {
                    Ok(models) => {
                        shared.breaker().try_again();
                        shared.describe(&models);
                        shared.say(LinkState::Connected);
                        return;
                    }
                    Err(reason) => {
                        tracing::debug!("remote: {reason}");
                        rest = shared.breaker().open();
                    }
                }
            }
        });
    }
}

impl From<String> for Unanswered {
    fn from(reason: String) -> Self {
        Self::Unreached(reason)
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl Shared {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: LinkState) {
        // Without a door the app is ending.
        let _ = self.outlet.send(boottime(), Payload::Link(state));
    }

    fn describe(&self, models: &Models) {
        let each: Vec<String> =
            models.models.iter().map(|(role, model)| format!("{role} by {} on {}", model.name, model.engine)).collect();
        let host = self.url.host_str().unwrap_or_default();
        let _ = self.outlet.send(boottime(), Payload::Described(format!("{host}: {}", each.join(", "))));
    }

    fn request(&self, request: RequestBuilder) -> RequestBuilder {
        self.settings.token.iter().fold(request, |request, token| request.bearer_auth(token))
    }

    fn path(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }

    /// Asks what it computes: the question that costs nothing.
    async fn models(&self) -> Result<Models, String> {
        self.ask_models().await.map_err(|unanswered| unanswered.to_string())
    }

    async fn ask_models(&self) -> Result<Models, Unanswered> {
        let asked = async {
            let response = self.request(self.client.get(self.path("v1/models"))).send().await.map_err(broken)?;
            api::parse_models(&body(accept(response)?).await?).map_err(|error| Refusal::Failed(error.to_string()))
        };
        match tokio::time::timeout(GREETING.min(self.settings.timeout), asked).await {
            Ok(Ok(models)) => Ok(models),
            Ok(Err(Refusal::Broken(reason))) => Err(Unanswered::Unreached(reason)),
            Ok(Err(Refusal::Failed(reason) | Refusal::Picture(reason))) => Err(Unanswered::Refused(reason)),
            Err(_) => Err(Unanswered::Unreached("no answer in time".to_owned())),
        }
    }

    /// Has a picture looked at, again if the connection breaks, within its time.
    async fn infer(&self, role: JobRole, look: &Look) -> Result<JobOutput, Refusal> {
        let again = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(self.settings.retries)
            .with_jitter();
        let tries = (|| self.infer_once(role, look)).retry(again).when(|refusal| matches!(refusal, Refusal::Broken(_)));
        match tokio::time::timeout(self.settings.timeout, tries).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::Failed(format!("no answer within {} ms", self.settings.timeout.as_millis()))),
        }
    }

    async fn infer_once(&self, role: JobRole, look: &Look) -> Result<JobOutput, Refusal> {
        let mut path = self.path(&format!("v1/infer/{role}"));
        path.set_query(look.crop.map(|crop| format!("crop={crop}")).as_deref());
        let request = self.client.post(path).header(CONTENT_TYPE, "image/jpeg");
        let response = self.request(request).body(look.jpeg.clone()).send().await.map_err(broken)?;
        let body = body(accept(response)?).await?;
        match api::parse_reply(&body, role) {
            Ok(reply) => Ok(reply.output),
            Err(error) => Err(Refusal::Failed(error.to_string())),
        }
    }
}

/// Goes on if it is an answer to the question.
fn accept(response: Response) -> Result<Response, Refusal> {
    let status = response.status();
    let json = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let json = json.is_some_and(|value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    match status {
        StatusCode::OK if json => Ok(response),
        StatusCode::OK => Err(Refusal::Failed("the service answers with something else than JSON".to_owned())),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::Picture(format!("the service says {status}")))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse::<u32>().ok());
            let after = after.map_or(String::new(), |after| format!(", again after {after} s"));
            Err(Refusal::Failed(format!("the service is busy ({status}{after})")))
        }
        _ if status.is_redirection() => {
            Err(Refusal::Failed("the service leads elsewhere, which is not followed".to_owned()))
        }
        StatusCode::UNAUTHORIZED => {
            Err(Refusal::Failed("the service asks for another token: remote.token_file".to_owned()))
        }
        _ => Err(Refusal::Failed(format!("the service says {status}"))),
    }
}

/// The body, up to its limit.
async fn body(mut response: Response) -> Result<Vec<u8>, Refusal> {
    let too_large = || Refusal::Failed(api::ReplyError::TooLarge.to_string());
    if response.content_length().is_some_and(|length| length > LARGEST_REPLY as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > LARGEST_REPLY {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the client says, without the address, which stands in the config.
fn broken(error: reqwest::Error) -> Refusal {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke" };
    let text = format!("{what}: {cause}");
    if error.is_builder() { Refusal::Failed(text) } else { Refusal::Broken(text) }
}

fn address(settings: &RemoteSettings) -> Result<Url, RemoteError> {
    let refused = |why: &str| RemoteError::Url(format!("\"{}\" {why}", settings.url));
    let url = Url::parse(&settings.url).map_err(|error| refused(&format!("is no address: {error}")))?;
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if loopback || settings.plain_http => {}
        "http" => return Err(refused("sends pictures without TLS: use https, or set remote.plain_http")),
        _ => return Err(refused("is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("has more than scheme, host, port and path; a token belongs into remote.token_file"));
    }
    Ok(url)
}

fn client(settings: &RemoteSettings) -> Result<Client, RemoteError> {
    // Set once in a process; a second time is no matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authorities = match settings.authorities.as_slice() {
        [] => Vec::new(),
        pem => Certificate::from_pem_bundle(pem).map_err(|error| RemoteError::Authorities(error.to_string()))?,
    };
    let client = Client::builder()
        .user_agent(concat!("waywarden/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        // What the config names is asked, and nobody in between.
        .no_proxy()
        .connect_timeout(GREETING.min(settings.timeout))
        .pool_max_idle_per_host(JobRole::ALL.len())
        .tcp_nodelay(true)
        .tls_certs_merge(authorities)
        .build();
    client.map_err(|error| RemoteError::Client(error.to_string()))
}

/// A model that a service computes.
pub struct RemoteModel {
    remote: Remote,
    role: JobRole,
    identity: ModelIdentity,
    local: Option<Arc<dyn Inference>>,
}

impl Inference for RemoteModel {
    fn role(&self) -> JobRole {
        self.role
    }

    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
        match (self.remote.ask(self.role, look), &self.local) {
            (Ok(output), _) => Ok(output),
            (Err(_), Some(local)) => local.look(look),
            (Err(reason), None) => Err(InferenceError::Remote { reason }),
        }
    }

    /// A service is given what cameras give: pictures that are no JPEGs are for the model on this computer.
    fn infer_rgb(&self, picture: &RgbPicture, crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
        match &self.local {
            Some(local) => local.infer_rgb(picture, crop),
            None => Err(InferenceError::Remote { reason: "a service is given JPEGs alone".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests;
