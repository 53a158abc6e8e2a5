//! The server over HTTP: `/mcp`, behind the app's one guard, for whoever has a token for it.
//!
//! Each request stands for itself (streamable HTTP without sessions): nothing is kept between two of them, so nothing has
//! to be bounded or to grow old. What is no JSON-RPC is refused before the library sees it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::LARGEST_REQUEST;
use super::server::Mcp;
use crate::access::{self, Scope};
use crate::config::Http;
use crate::http::{Problem, json_response};

type Service = StreamableHttpService<Mcp, NeverSessionManager>;

/// JSON-RPC's own numbers of what can be wrong.
const NO_JSON: i64 = -32700;
/// See [`NO_JSON`].
const NO_REQUEST: i64 = -32600;

/// The route. The library checks hosts and origins once more; of both it takes an empty list for leave.
pub fn routes(mcp: Mcp, http: &Http) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LARGEST_REQUEST)
        .with_allowed_hosts(hosts(http))
        .with_allowed_origins(origins(http))
        .enforce_origin_validation();
    let service = StreamableHttpService::new(move || Ok(mcp.clone()), Arc::new(NeverSessionManager::default()), config);
    Router::new()
        .route("/mcp", post(answer))
        .route_layer(access::needs(Scope::Mcp))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(service)
}

/// The hosts by which this computer may be called.
fn hosts(http: &Http) -> Vec<String> {
    let own = http.address().filter(|_| http.is_loopback()).map(|address| address.ip().to_string());
    let usual = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    usual.into_iter().chain(own).chain(http.allowed_hosts.iter().cloned()).collect()
}

/// The origins of pages that may ask: the server's own, by whichever name it is called, and those of the config.
fn origins(http: &Http) -> Vec<String> {
    let scheme = if http.tls_cert.is_empty() { "http" } else { "https" };
    let own = hosts(http).into_iter().map(|host| {
        let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let host = if bare_v6 { format!("[{host}]") } else { host };
        format!("{scheme}://{}", with_port(&host, "*"))
    });
    let listed = http.allowed_origins.iter().map(|origin| {
        let (scheme, host) = origin.split_once("://").unwrap_or(("https", origin));
        let usual = if scheme.eq_ignore_ascii_case("http") { "80" } else { "443" };
        format!("{scheme}://{}", with_port(host, usual))
    });
    own.chain(listed).collect()
}

/// A host with its own port, else with this one.
fn with_port(host: &str, port: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

async fn answer(State(service): State<Service>, parts: Parts, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let detail = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => format!("at most {LARGEST_REQUEST} bytes are read"),
                _ => "the request could not be read".to_owned(),
            };
            return Problem::new(rejection.status(), detail).into_response();
        }
    };
    let is_json = |value: &HeaderValue| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        essence.eq_ignore_ascii_case("application/json")
    };
    if !parts.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        let detail = "the Content-Type of a request is application/json";
        return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into_response();
    }
    let id = match checked(&body) {
        Ok(id) => id,
        Err(refused) => return refused.into_response(),
    };
    let response = service.handle(Request::from_parts(parts, Body::from(body))).await;
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // So the library says that what is JSON-RPC is no message of this protocol.
        return Refused { code: NO_REQUEST, message: "no message of the Model Context Protocol", id }.into_response();
    }
    response.map(Body::new)
}

/// The id of a message, null where it has none.
fn checked(body: &[u8]) -> Result<Value, Refused> {
    let refused = |code, message, id| Refused { code, message, id };
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return Err(refused(NO_JSON, "no JSON", Value::Null));
    };
    let Value::Object(fields) = message else {
        return Err(refused(NO_REQUEST, "one JSON-RPC message is one object", Value::Null));
    };
    let id = fields.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or(Value::Null);
    let is_message = fields.get("method").is_some_and(Value::is_string)
        || fields.contains_key("result")
        || fields.contains_key("error");
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") || !is_message {
        return Err(refused(NO_REQUEST, "no JSON-RPC 2.0 message", id));
    }
    Ok(id)
}

/// What is no message.
#[derive(Debug)]
struct Refused {
    code: i64,
    message: &'static str,
    id: Value,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { code, message, id } = self;
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        json_response(StatusCode::BAD_REQUEST, &body)
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins_are_never_empty_lists() {
        let http = Http {
            allowed_hosts: vec!["car-7.example".into(), "box:9180".into()],
            allowed_origins: vec!["https://fleet.example".into(), "http://10.0.0.7:8080".into()],
            ..Http::default()
        };
        assert_eq!(hosts(&http), ["localhost", "127.0.0.1", "::1", "127.0.0.1", "car-7.example", "box:9180"]);
        let origins = origins(&http);
        for origin in [
            "http://localhost:*",
            "http://[::1]:*",
            "http://car-7.example:*",
            "http://box:9180",
            "https://fleet.example:443",
            "http://10.0.0.7:8080",
        ] {
            assert!(origins.iter().any(|listed| listed == origin), "{origin}: {origins:?}");
        }
        assert!(!hosts(&Http::default()).is_empty() && !super::origins(&Http::default()).is_empty());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (body, code) in [
            (&b""[..], NO_JSON),
            (b"secret", NO_JSON),
            (b"{", NO_JSON),
            (b"\xff", NO_JSON),
            (b"[]", NO_REQUEST),
            (b"7", NO_REQUEST),
            (b"{}", NO_REQUEST),
            (br#"{"jsonrpc":"1.0","method":"ping"}"#, NO_REQUEST),
            (br#"{"jsonrpc":"2.0","method":7}"#, NO_REQUEST),
        ] {
            let refused = checked(body).unwrap_err();
            assert_eq!(refused.code, code, "{body:?}");
            assert_eq!(refused.into_response().status(), StatusCode::BAD_REQUEST);
        }
        let deep = [br#"{"jsonrpc":"2.0","method":"x","params":"#.to_vec(), vec![b'['; 9000]].concat();
        assert!(checked(&deep).is_err());
        assert_eq!(checked(br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#).unwrap(), 7);
        assert_eq!(checked(br#"{"jsonrpc":"2.0","method":"x","id":{"a":1}}"#).unwrap(), Value::Null);
    }
}
