//! The service of the config that computes models elsewhere: how it is asked, and which models it stands before.

use std::collections::BTreeSet;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::inference::api::Models;
use waywarden_systems::inference::remote::breaker::BreakerSettings;
use waywarden_systems::inference::remote::speech::SpeechPost;
use waywarden_systems::inference::remote::{Remote, RemoteSettings, Unanswered};
use waywarden_systems::ingress::{Inlet, Wake, channel, wake};

use crate::config::Config;
use crate::engines::Engines;
use crate::failure::Failure;
use crate::http;
use crate::network::Network;

/// Words of the service that may wait for a tick.
const WAITING: usize = 16;

/// A service that has been asked what it computes.
pub struct Connected {
    /// The service.
    pub remote: Remote,
    /// Where it is heard.
    pub inlet: Inlet,
    /// The roles that it alone computes.
    pub alone: BTreeSet<JobRole>,
    /// Where utterances are handed over, if it is to listen to them.
    pub speech: Option<SpeechPost>,
}

/// Puts the service of the config, if it names one, before the models of the roles that it is to compute. It is asked what
/// it computes; one that does not answer is asked again and again.
///
/// # Errors
/// When its address, token or certificates cannot be used.
pub fn connect(
    config: &Config,
    network: &Network,
    wake: &Wake,
    engines: &mut Engines,
) -> Result<Option<Connected>, Failure> {
    let roles = roles(config);
    if config.remote.url.is_empty() || (roles.is_empty() && !config.remote.speech) {
        return Ok(None);
    }
    let (remote, inlet) = prepare(config, network, wake)?;
    let models = remote.greet();
    let mut alone = BTreeSet::new();
    for role in roles {
        let local = engines.loaded.remove(&role);
        if local.is_none() {
            alone.insert(role);
            // Its link says more with the first tick.
            engines.status.roles.insert(role, Err("the remote service has not answered yet".to_owned()));
        }
        engines.loaded.insert(role, std::sync::Arc::new(remote.model(role, models.as_ref(), local)));
    }
    let speech = config.remote.speech.then(|| remote.speech());
    Ok(Some(Connected { remote, inlet, alone, speech }))
}

/// What the service is to compute: of its roles those that are enabled.
pub fn roles(config: &Config) -> BTreeSet<JobRole> {
    let enabled = |role: &JobRole| match role {
        JobRole::Segmentation => config.segmentation.enabled,
        JobRole::Detection => config.detection.enabled,
    };
    config.remote.roles.iter().copied().filter(enabled).collect()
}

/// Asks the service of the config what it computes, once.
///
/// # Errors
/// When its address, token or certificates cannot be used.
pub fn try_out(config: &Config, network: &Network) -> Result<Result<Models, Unanswered>, Failure> {
    let (remote, _) = prepare(config, network, &wake().0)?;
    Ok(remote.try_out())
}

fn prepare(config: &Config, network: &Network, wake: &Wake) -> Result<(Remote, Inlet), Failure> {
    let (outlet, inlet) = channel(StreamId::REMOTE, WAITING, DropPolicy::KeepOldest, wake.clone());
    let remote = Remote::new(settings(config)?, network.handle()?, outlet, network.over());
    let remote = remote.map_err(|error| {
        Failure::bad_input(error).hint("[remote] url is like \"https://box.example:9181\"; \"\" asks nobody")
    })?;
    Ok((remote, inlet))
}

fn settings(config: &Config) -> Result<RemoteSettings, Failure> {
    let remote = &config.remote;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let token = match remote.token_file.as_str() {
        "" => None,
        path => Some(http::token("remote.token_file", path)?),
    };
    let authorities = match remote.ca_file.as_str() {
        "" => Vec::new(),
        path => std::fs::read(path).map_err(|error| Failure::bad_input(format!("remote.ca_file: {path}: {error}")))?,
    };
    Ok(RemoteSettings {
        url: remote.url.clone(),
        token,
        authorities,
        plain_http: remote.plain_http,
        timeout: Duration::from_millis(remote.timeout_ms.into()),
        retries: remote.retries as usize,
        breaker: BreakerSettings {
            failures: remote.breaker_failures,
            rest: seconds(remote.breaker_rest_s),
            longest_rest: seconds(remote.breaker_longest_rest_s),
        },
    })
}
