//! Who may ask: hosts, origins, tokens. The same for every route.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use waywarden_components::time::Mono;
use waywarden_systems::clock::boottime;

use super::problem::Problem;
use crate::access::{self, Access, Peer, Visitor};

/// How long a request may take from its head to the head of its answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Refusals that are told in the log, in each so long a time: whoever only knocks does not fill it.
const TOLD: (u32, Duration) = (20, Duration::from_secs(60));

/// Whether the server speaks TLS. On every request.
#[derive(Clone, Copy, Debug)]
pub struct Secured(pub bool);

/// What is asked of each request.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Hosts that may be called, beside loopback ones; in lower case, some with a port.
    pub hosts: Vec<String>,
    /// Origins that may ask, beside the server's own; in lower case.
    pub origins: Vec<String>,
    /// Whose tokens are known.
    pub access: Access,
    /// Whether a token is asked for everything, but for what is `open`.
    pub always: bool,
    /// Paths that hold nothing: no token is asked for them.
    pub open: Vec<&'static str>,
    /// Paths whose address may bring a ticket in place of a token.
    pub tickets: Vec<&'static str>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What was refused lately.
    pub refusals: Arc<Mutex<Refusals>>,
}

/// How many requests were refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Mono,
    count: u32,
}

impl Refusals {
    /// Counts one more. If it is to be told: with how many of the time before were not.
    fn count(&mut self, now: Mono) -> Option<u32> {
        let untold = if now.since(self.since) >= TOLD.1 {
            let before = std::mem::replace(self, Self { since: now, count: 0 });
            before.count.saturating_sub(TOLD.0)
        } else {
            0
        };
        self.count = self.count.saturating_add(1);
        (self.count <= TOLD.0).then_some(untold)
    }
}

impl Guard {
    /// Who asks with this head from there, if he may come in; none where nobody has to say who he is.
    fn check(&self, uri: &Uri, headers: &HeaderMap, peer: IpAddr) -> Result<Option<Visitor>, Problem> {
        let host = self.host(uri, headers)?;
        let own = self.origin(&host, headers)?;
        let visitor = self.visitor(uri, headers, own, peer)?;
        if visitor.is_none() && self.always && !self.open.contains(&uri.path()) {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "a token is asked for: `Authorization: Bearer …`"));
        }
        Ok(visitor)
    }

    /// The host that is called. A page that had its own name resolved to this computer is sent away here.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let mut all = headers.get_all(HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "one Host header is asked for"));
        };
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let called = host.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the Host header is no host"))?;
        // A whole URL in the request line goes before the header.
        for host in [Some(&called), uri.authority()].into_iter().flatten() {
            if !self.is_ours(host) {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "this is not the host that was called; http.allowed_hosts lists the names of this computer",
                ));
            }
        }
        Ok(called)
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let whole = host.as_str().to_ascii_lowercase();
        if whole.contains('@') {
            return false;
        }
        let name = host.host().to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name == "localhost"
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
            || self.hosts.iter().any(|listed| *listed == name || *listed == whole)
    }

    /// Whether the page that asks, if it is one, may; and whether the browser says that it is the server's own.
    fn origin(&self, host: &Authority, headers: &HeaderMap) -> Result<bool, Problem> {
        let scheme = if self.tls { "https" } else { "http" };
        let own = format!("{scheme}://{host}").to_ascii_lowercase();
        let site = headers.get(HeaderName::from_static("sec-fetch-site"));
        let mut is_own = site.is_some_and(|site| site == "same-origin");
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if origin != own && !self.origins.contains(&origin) {
                let detail = "pages of this origin may not ask; http.allowed_origins lists those that may";
                return Err(Problem::new(StatusCode::FORBIDDEN, detail));
            }
            is_own = origin == own;
        }
        Ok(is_own)
    }

    /// Who asks: by a token, by a ticket where one may be brought, or by a cookie where the server's own page asks.
    fn visitor(&self, uri: &Uri, headers: &HeaderMap, own: bool, peer: IpAddr) -> Result<Option<Visitor>, Problem> {
        if let Some(brought) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) {
            let token = match brought.split_at_checked(7) {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
                _ => b"",
            };
            return self.access.visitor(token, peer).map(Some);
        }
        let query = uri.query().filter(|_| self.tickets.contains(&uri.path())).unwrap_or_default();
        if let Some(ticket) = query.split('&').find_map(|pair| pair.strip_prefix("ticket=")) {
            return Ok(self.access.of_ticket(ticket.as_bytes()));
        }
        let cookie = access::cookie(headers).filter(|_| own);
        Ok(cookie.and_then(|cookie| self.access.of_cookie(cookie)))
    }
}

/// Lets those in who may, gives up what takes too long, and says of each answer that it is for nobody else.
pub(super) async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| *peer);
    let asked = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let mut response = match guard.check(request.uri(), request.headers(), peer) {
        Err(problem) => problem.into_response(),
        Ok(visitor) => {
            request.extensions_mut().insert(Secured(guard.tls));
            visitor.clone().map(|visitor| request.extensions_mut().insert(visitor));
            match tokio::time::timeout(LONGEST, next.run(request)).await {
                Ok(response) => while_in_force(response, &guard.access, visitor),
                Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request was not here in time").into_response(),
            }
        }
    };
    tell_refusal(&guard, peer, &asked, response.status());
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        // A route that knows better has said so.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Tells the log what is refused, by the route and without a word of what was sent: names of sessions and what stands behind a `?` let
/// in whoever knows them. A token that is missing is what every browser begins with; one that is wrong has been told.
fn tell_refusal(guard: &Guard, peer: IpAddr, (method, path): &(Method, Option<MatchedPath>), status: StatusCode) {
    if !status.is_client_error() || status == StatusCode::UNAUTHORIZED {
        return;
    }
    let counted = guard.refusals.lock().unwrap_or_else(PoisonError::into_inner).count(boottime());
    let Some(untold) = counted else { return };
    if untold > 0 {
        tracing::info!("http: {untold} more requests were refused before");
    }
    let path = path.as_ref().map_or("an unknown path", MatchedPath::as_str);
    tracing::info!("http: from {peer}: {method} {path} is refused: {status}");
}

/// Streams of events go on for hours: they end when the token that they were asked for with is no longer in force.
fn while_in_force(response: Response, access: &Access, visitor: Option<Visitor>) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let (true, Some(visitor)) = (kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")), visitor) else {
        return response;
    };
    let access = access.clone();
    response.map(|body| {
        let revoked = async move { access.revoked(&visitor).await };
        Body::from_stream(body.into_data_stream().take_until(Box::pin(revoked)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Entry, Scope};

    fn status(guard: &Guard, uri: &str, headers: &[(HeaderName, &str)]) -> u16 {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let mut all = HeaderMap::new();
        headers.for_each(|(name, value)| {
            all.append(name, value);
        });
        let checked = guard.check(&uri.parse().unwrap(), &all, IpAddr::V4(Ipv4Addr::LOCALHOST));
        checked.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    #[test]
    fn many_refusals_are_told_by_their_number() {
        let mut refusals = Refusals::default();
        let second = |n: u64| Mono(n * 1_000_000_000);
        let told = (0..50).filter_map(|_| refusals.count(second(100))).count();
        assert_eq!(told, 20);
        assert_eq!((refusals.count(second(130)), refusals.count(second(160))), (None, Some(31)));
        assert_eq!(refusals.count(second(161)), Some(0));
    }

    #[test]
    fn only_hosts_of_this_computer_are_answered_for() {
        let guard = Guard { hosts: vec!["car-7.example".into(), "box:9180".into()], ..Guard::default() };
        for host in [
            "localhost",
            "LOCALHOST:9180",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:9180",
            "[::ffff:127.0.0.1]",
            "car-7.example",
            "Car-7.example:1",
            "box:9180",
        ] {
            assert_eq!(status(&guard, "/", &[(HOST, host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "box",
            "box:80",
            "[::2]",
            "localhost@evil.example",
            "evil@localhost",
            "0.0.0.0",
        ] {
            assert_eq!(status(&guard, "/", &[(HOST, host)]), 421, "{host}");
        }
        assert_eq!(status(&guard, "/", &[]), 400);
        assert_eq!(status(&guard, "/", &[(HOST, "localhost"), (HOST, "evil.example")]), 400);
        assert_eq!(status(&guard, "/", &[(HOST, "a b")]), 400);
        assert_eq!(status(&guard, "http://evil.example/", &[(HOST, "localhost")]), 421);
        assert_eq!(status(&guard, "http://localhost/", &[(HOST, "localhost")]), 200);
    }

    #[test]
    fn only_pages_of_our_own_and_listed_ones_may_ask() {
        let guard = Guard { origins: vec!["https://fleet.example".into()], ..Guard::default() };
        let from = |guard: &Guard, origin| status(guard, "/", &[(HOST, "localhost:9180"), (ORIGIN, origin)]);
        for origin in ["http://localhost:9180", "https://fleet.example", "HTTPS://fleet.example"] {
            assert_eq!(from(&guard, origin), 200, "{origin}");
        }
        for origin in
            ["null", "", "http://localhost", "https://localhost:9180", "https://fleet.example:8", "http://evil"]
        {
            assert_eq!(from(&guard, origin), 403, "{origin}");
        }
        let tls = Guard { tls: true, ..Guard::default() };
        assert_eq!((from(&tls, "https://localhost:9180"), from(&tls, "http://localhost:9180")), (200, 403));
    }

    fn access() -> Access {
        let entry =
            |name: &str, token: &str| Entry { name: name.into(), token: token.into(), scopes: Scope::ALL.into() };
        Access::of([entry("a", "0123456789abcdef"), entry("b", "fedcba9876543210")])
    }

    #[test]
    fn a_token_opens_and_nothing_else_does() {
        let guard = Guard { access: access(), always: true, open: vec!["/"], ..Guard::default() };
        let with = |value| status(&guard, "/metrics", &[(HOST, "localhost"), (AUTHORIZATION, value)]);
        assert_eq!((with("Bearer 0123456789abcdef"), with("bearer fedcba9876543210")), (200, 200));
        for value in ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(with(value), 401, "{value}");
        }
        let none = |path| status(&guard, path, &[(HOST, "localhost")]);
        assert_eq!((none("/metrics"), none("/nothing"), none("/"), none("/?a=b")), (401, 401, 200, 200));
        // Who called the wrong host is told nothing of tokens.
        let right = (AUTHORIZATION, "Bearer 0123456789abcdef");
        assert_eq!(status(&guard, "/", &[(HOST, "evil.example"), right.clone()]), 421);
        // Nor does a wrong token come in where none is asked for.
        let loose = Guard { access: access(), ..Guard::default() };
        let wrong = (AUTHORIZATION, "Bearer 0123456789abcdeg");
        assert_eq!(
            (status(&loose, "/", &[(HOST, "localhost")]), status(&loose, "/", &[(HOST, "localhost"), wrong])),
            (200, 401)
        );
    }
}
