//! Connections: accepted, bounded in number, in time and in size, and served.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::access::Peer;

/// Connections at a time. Those beyond are closed as they come.
pub const MOST_CONNECTIONS: usize = 64;

/// How long the head of a request may take, and a connection may lie idle between two.
const HEADERS: Duration = Duration::from_secs(10);

/// How long agreeing on TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long somebody who asked may take nothing of the answer, or be gone without a word.
pub const STALLED: Duration = Duration::from_secs(20);

/// Bytes of a connection that are held, so also the longest head.
const BUFFER: usize = 32 * 1024;

/// Headers of a request.
const MOST_HEADERS: usize = 64;

/// Pause behind an accept that failed: most likely there are no more files to be had.
const BREATH: Duration = Duration::from_millis(100);

/// What has come to the door, for whoever wants to know.
#[derive(Debug, Default)]
pub struct Connections {
    /// Accepted.
    pub accepted: AtomicU64,
    /// Closed as they came, because there were too many.
    pub refused: AtomicU64,
}

/// Serves what comes to `listener`, for ever.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    connections: Arc<Connections>,
) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::debug!("http: a connection could not be accepted: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            connections.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        connections.accepted.fetch_add(1, Ordering::Relaxed);
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            talk(stream, peer, tls, router).await;
            drop(slot);
        });
    }
}

async fn talk(stream: TcpStream, peer: IpAddr, tls: Option<TlsAcceptor>, router: Router) {
    // A small answer is not kept back to be sent with more.
    let _ = stream.set_nodelay(true);
    // `TCP_USER_TIMEOUT` of tcp(7): data that nobody acknowledges, or that a full window keeps back, ends the connection.
    if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED)) {
        tracing::debug!("http: no limit for those who do not read: {error}");
    }
    match tls {
        None => converse(stream, peer, router).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, peer, router).await,
            Ok(Err(error)) => tracing::debug!("http: no TLS: {error}"),
            Err(_) => tracing::debug!("http: agreeing on TLS took too long"),
        },
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: IpAddr, router: Router) {
    let router = TowerToHyperService::new(router);
    let told = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(MOST_HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), told)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!("http: a connection broke: {error}");
    }
}
