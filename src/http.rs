//! The app's only HTTP server: one listener, one guard before every route, one place for its limits.
//!
//! It runs on [`crate::network`]. Whatever it is asked, it reads what others have left for it outside of the world; what is to
//! come into the world enters by Ingress like everything else. A port that is taken, or a listener that breaks, is told, and tried again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use waywarden_components::prelude::NoticeLevel;

use crate::access::Access;
use crate::config::Http;
use crate::failure::Failure;
use crate::network::Network;

mod certificate;
mod files;
mod guard;
mod listener;
mod problem;

pub use files::{SHORTEST_TOKEN, token};
pub use guard::Secured;
pub use listener::{Connections, MOST_CONNECTIONS, STALLED};
pub use problem::{Problem, json_response};

use guard::Guard;

/// Bytes that a request may bring, where its route asks for no more.
const BODY: usize = 64 * 1024;

/// First and longest pause before a port that is taken is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A server that has not been started.
pub struct Server {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    guard: Guard,
    /// What has come to its door.
    pub connections: Arc<Connections>,
}

/// Where a server listens; none while it does not.
#[derive(Clone, Debug, Default)]
pub struct Listening(Arc<Mutex<Option<SocketAddr>>>);

impl Listening {
    /// The address.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

impl Server {
    /// A server as the config wants it, for those who have `access`. Its certificate and key are read now.
    ///
    /// # Errors
    /// When one of them cannot be used, or there is no address to listen on.
    pub fn new(config: &Http, access: Access) -> Result<Self, Failure> {
        let address = config.address().ok_or_else(|| {
            Failure::bad_input(format!("http.listen: {} is no IP address with a port", config.listen))
        })?;
        let tls = match (config.tls_cert.as_str(), config.tls_key.as_str()) {
            ("", _) | (_, "") => None,
            (cert, key) => Some(certificate::tls(cert, key)?),
        };
        if !config.is_loopback() && tls.is_none() {
            return Err(Failure::bad_input(format!("http.listen: {address} needs TLS"))
                .hint("set http.tls_cert and http.tls_key, or listen on 127.0.0.1"));
        }
        if !config.is_loopback() && access.is_empty() {
            return Err(Failure::bad_input(format!("http.listen: {address} needs a token"))
                .hint("set http.token_file, or http.tokens_file to a file that can be made, or listen on 127.0.0.1"));
        }
        let lower = |list: &[String]| list.iter().map(|entry| entry.to_ascii_lowercase()).collect();
        let guard = Guard {
            hosts: lower(&config.allowed_hosts),
            origins: lower(&config.allowed_origins),
            access,
            always: !config.token_file.is_empty() || !config.is_loopback(),
            open: Vec::new(),
            tickets: Vec::new(),
            tls: tls.is_some(),
            refusals: Arc::default(),
        };
        Ok(Self { address, tls, guard, connections: Arc::default() })
    }

    /// The same; whoever asks for one of these paths needs no token. They hold nothing.
    #[must_use]
    pub fn open(mut self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        self.guard.open.extend(paths);
        self
    }

    /// The same; the addresses of these paths may bring a ticket.
    #[must_use]
    pub fn tickets(mut self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        self.guard.tickets.extend(paths);
        self
    }

    /// Serves `routes` from now on, on a port that may be taken: then `say` is told, and it is tried again and again.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        self,
        routes: Router,
        network: &Network,
        say: impl Fn(NoticeLevel, String) + Send + 'static,
    ) -> Result<Listening, Failure> {
        let listening = Listening::default();
        network.handle()?.spawn(self.keep_listening(routes, listening.clone(), None, say));
        Ok(listening)
    }

    /// Serves `routes` from now on.
    ///
    /// # Errors
    /// When its address cannot be listened on, or there is no thread to be had.
    pub fn start_at_once(self, routes: Router, network: &Network) -> Result<Listening, Failure> {
        let (address, listening, (bound, is_bound)) = (self.address, Listening::default(), oneshot::channel());
        let handle = network.handle()?;
        let say = |_, text: String| tracing::warn!("http: {text}");
        handle.spawn(self.keep_listening(routes, listening.clone(), Some(bound), say));
        match handle.block_on(is_bound) {
            Ok(Ok(())) => Ok(listening),
            Ok(Err(error)) => Err(Failure::running(format!("http: cannot listen on {address}: {error}"))
                .hint("does another program listen there? http.listen names another address")),
            Err(_) => Err(Failure::running("http: its task ended")),
        }
    }

    async fn keep_listening(
        self,
        routes: Router,
        listening: Listening,
        mut bound: Option<oneshot::Sender<std::io::Result<()>>>,
        say: impl Fn(NoticeLevel, String) + Send,
    ) {
        let Self { address, tls, guard, connections } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let routes = guarded(routes, guard);
        let (mut pause, mut told) = (PAUSES.0, false);
        loop {
            let listener = TcpListener::bind(address).await;
            match listener {
                Ok(listener) => {
                    let address = listener.local_addr().unwrap_or(address);
                    listening.set(Some(address));
                    if let Some(bound) = bound.take() {
                        let _ = bound.send(Ok(()));
                    }
                    tracing::info!("http: listening on {scheme}://{address}");
                    if told {
                        say(NoticeLevel::Info, format!("listening on {scheme}://{address}"));
                    }
                    pause = PAUSES.0;
                    // It comes back in one way only.
                    let panicked =
                        tokio::spawn(listener::serve(listener, tls.clone(), routes.clone(), connections.clone()));
                    if let Err(error) = panicked.await {
                        say(NoticeLevel::Error, format!("the listener failed and is started anew: {error}"));
                    }
                    listening.set(None);
                    told = true;
                }
                Err(error) if bound.is_some() => {
                    // Nobody hears it where the program is ending.
                    let _ = bound.take().map(|bound| bound.send(Err(error)));
                    return;
                }
                Err(error) if !told => {
                    let text = format!("cannot listen on {address}, being tried again: {error}; is another run there?");
                    say(NoticeLevel::Warning, text);
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSES.1);
        }
    }
}

/// Routes behind the guard, which looks at what goes nowhere as well.
fn guarded(routes: Router, guard: Guard) -> Router {
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not in this way"))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(Arc::new(guard), guard::pass))
}
