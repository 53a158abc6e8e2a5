//! A session of a page: a cookie in place of a token, for what a browser asks without letting a page say a header (pictures,
//! event streams, WebSockets).
//!
//! Whoever brings a token gets one that is good for a while, for this browser and this server alone. It is looked at only where
//! the browser says that the server's own page asks ([`crate::http`]'s guard), so no other page can use it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::{COOKIE as COOKIES, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

use super::{Access, Hash, Visitor, hash, secret};
use crate::http::{Problem, Secured, json_response};

/// The cookie's name.
pub const COOKIE: &str = "waywarden";

/// How long a cookie is good. A page has a new one made before.
const GOOD: Duration = Duration::from_secs(15 * 60);

/// Cookies that are good at a time. Where there are more, the oldest is no longer.
const MOST: usize = 256;

/// The cookies that are good: only their hashes.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<Hash, (Visitor, Mono)>);

impl Sessions {
    /// Whose cookie this is.
    pub fn visitor(&mut self, cookie: &Hash, now: Mono) -> Option<Visitor> {
        self.0.retain(|_, (_, until)| now < *until);
        self.0.get(cookie).map(|(visitor, _)| visitor.clone())
    }

    /// This cookie is good from now on, for so long.
    pub fn begin(&mut self, cookie: Hash, visitor: Visitor, now: Mono, good: Duration) {
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(cookie, _)| *cookie);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(cookie, (visitor, now + good));
    }

    /// It is no longer.
    pub fn end(&mut self, cookie: &Hash) {
        self.0.remove(cookie);
    }
}

/// The value of the cookie that a request brings.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&[u8]> {
    let pairs = headers.get_all(COOKIES).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")
    });
    values.next().filter(|value| !value.is_empty())
}

/// `POST /session` with a token begins a session, `DELETE /session` ends it. Who begins one is told `about` the vehicle as well.
pub fn routes(access: Access, about: Value) -> Router {
    Router::new().route("/session", post(begin).delete(end)).with_state((access, Arc::new(about)))
}

/// Begins a session. With a token alone: a cookie does not make itself last.
async fn begin(
    State((access, about)): State<(Access, Arc<Value>)>,
    Extension(Secured(tls)): Extension<Secured>,
    headers: HeaderMap,
    visitor: Option<Extension<Visitor>>,
) -> Result<Response, Problem> {
    let asked = || Problem::new(StatusCode::UNAUTHORIZED, "a token is asked for: `Authorization: Bearer …`");
    let Extension(visitor) = visitor.filter(|_| headers.contains_key("authorization")).ok_or_else(asked)?;
    let value = secret().map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut body = json!({ "name": visitor.name, "scopes": visitor.scopes, "seconds": GOOD.as_secs() });
    if let (Some(body), Some(about)) = (body.as_object_mut(), about.as_object()) {
        body.extend(about.clone());
    }
    if let Some(before) = cookie(&headers) {
        access.sessions().end(&hash(before));
    }
    access.sessions().begin(hash(value.as_bytes()), visitor, boottime(), GOOD);
    let mut response = json_response(StatusCode::OK, &body);
    set(&mut response, &value, GOOD, tls);
    Ok(response)
}

/// Ends the session of this browser.
async fn end(
    State((access, _)): State<(Access, Arc<Value>)>,
    Extension(Secured(tls)): Extension<Secured>,
    headers: HeaderMap,
) -> Response {
    if let Some(cookie) = cookie(&headers) {
        access.sessions().end(&hash(cookie));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set(&mut response, "", Duration::ZERO, tls);
    response
}

fn set(response: &mut Response, value: &str, good: Duration, tls: bool) {
    let secure = if tls { "; Secure" } else { "" };
    let line = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", good.as_secs());
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(SET_COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_cookie_is_good_for_a_while() {
        let mut sessions = Sessions::default();
        let visitor = Visitor { name: "a".into(), scopes: BTreeSet::new(), issue: 1 };
        let now = Mono::from_nanos(5_000_000_000);
        sessions.begin(hash(b"x"), visitor.clone(), now, GOOD);
        assert_eq!(sessions.visitor(&hash(b"x"), now + GOOD / 2), Some(visitor.clone()));
        assert_eq!(sessions.visitor(&hash(b"y"), now), None);
        assert_eq!(sessions.visitor(&hash(b"x"), now + GOOD), None);
        for n in 0..2 * MOST as u32 {
            sessions.begin(hash(&n.to_le_bytes()), visitor.clone(), now + Duration::from_millis(n.into()), GOOD);
        }
        assert_eq!(sessions.0.len(), MOST);
        assert!(sessions.visitor(&hash(&(2 * MOST as u32 - 1).to_le_bytes()), now).is_some());
    }

    #[test]
    fn cookies_are_read_among_others() {
        let cookie = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIES, HeaderValue::from_str(line).unwrap());
            }
            cookie(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(cookie(&["waywarden=abc"]), Some(b"abc".to_vec()));
        assert_eq!(cookie(&["a=b; waywarden=abc; c=d"]), Some(b"abc".to_vec()));
        assert_eq!(cookie(&["a=b", "c=d;waywarden=abc"]), Some(b"abc".to_vec()));
        for none in [&[][..], &["a=b"], &["waywarden"], &["waywarden="], &["waywarden2=abc"], &["x=waywarden=abc"]] {
            assert_eq!(cookie(none), None, "{none:?}");
        }
    }
}
