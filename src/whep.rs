//! Live video by WHEP (draft-ietf-wish-whep): an offer is posted, an answer comes back with the place of the session. There
//! addresses are added (PATCH), and there it ends (DELETE). Which servers help to find a way comes with the answer, and before
//! the offer to whoever asks (OPTIONS).

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, FromRef, Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use waywarden_components::prelude::Signalling;
use waywarden_systems::webrtc::hub::{Asked, Hub, IceServer, Refusal};
use waywarden_systems::webrtc::offer::MOST_BYTES;

use crate::access::{self, Access, Scope, Visitor};
use crate::http::{Problem, json_response};

/// An offer, and an answer.
const SDP: &str = "application/sdp";

/// Addresses that come later (RFC 8840).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The routes by which somebody watches.
pub fn routes(hub: Hub, access: Access) -> Router {
    Router::new()
        .route("/whep", post(offer).get(sessions).options(help))
        .route("/whep/{id}", patch(candidates).delete(end))
        .route_layer(access::needs(Scope::View))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(Watched { hub, access })
}

/// What the routes share.
#[derive(Clone)]
struct Watched {
    hub: Hub,
    access: Access,
}

impl FromRef<Watched> for Hub {
    fn from_ref(watched: &Watched) -> Self {
        watched.hub.clone()
    }
}

/// The sessions that there are, and how their links are.
async fn sessions(State(hub): State<Hub>) -> Response {
    // Numbers and names: nothing that JSON could not say.
    json_response(StatusCode::OK, &serde_json::to_value(hub.readings()).unwrap_or_default())
}

/// Servers that help to find a way: for whoever wants to know them before looking for one.
async fn help(State(hub): State<Hub>, Extension(visitor): Extension<Visitor>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert("accept-post", HeaderValue::from_static(SDP));
    name_servers(response.headers_mut(), &hub.servers(&visitor.name));
    response
}

async fn offer(
    State(Watched { hub, access }): State<Watched>,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let sdp = text(&headers, SDP, &body)?;
    let camera = camera(uri.query().unwrap_or_default())?;
    let may_talk = visitor.may(Scope::Talk);
    let servers = hub.servers(&visitor.name);
    let answered = hub.offer(Asked { via: Signalling::Http, camera, may_talk, sdp }).await.map_err(problem)?;
    tracing::info!("operators: {} watches", visitor.name);
    let id = answered.id.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = hub.gone(&id) => {}
            () = access.revoked(&visitor) => {
                // One that has just gone needs no end.
                let _ = hub.end(&id, "its token is no longer good");
            }
        }
    });
    let mut response = (StatusCode::CREATED, answered.sdp).into_response();
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    // The name of a session is hexadecimal.
    let place = HeaderValue::try_from(format!("/whep/{}", answered.id));
    answer.extend(place.map(|place| (LOCATION, place)));
    answer.extend(HeaderValue::try_from(format!("\"{}\"", answered.id)).map(|tag| (ETAG, tag)));
    name_servers(answer, &servers);
    Ok(response)
}

async fn candidates(
    State(hub): State<Hub>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let fragment = text(&headers, FRAGMENT, &body)?;
    hub.candidates(&id, &fragment).map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(hub): State<Hub>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    hub.end(&id, "it was ended by who watched").map_err(problem)?;
    Ok(StatusCode::OK)
}

/// The body, which is text of this type.
fn text(headers: &HeaderMap, wanted: &'static str, body: &Bytes) -> Result<String, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(wanted) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{wanted} is asked for")));
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "this is no UTF-8"))?;
    Ok(text.to_owned())
}

/// The camera that is asked for: names of cameras need no escapes, so there are none.
fn camera(query: &str) -> Result<Option<String>, Problem> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("camera", name)) if !name.is_empty() && !name.contains(['%', '+']) => {
                return Ok(Some(name.to_owned()));
            }
            Some(("camera", _)) => return Err(Problem::new(StatusCode::NOT_FOUND, "there is no camera of this name")),
            _ => {}
        }
    }
    Ok(None)
}

fn name_servers(headers: &mut HeaderMap, servers: &[IceServer]) {
    for link in servers.iter().flat_map(links).filter_map(|link| HeaderValue::try_from(link).ok()) {
        headers.append(LINK, link);
    }
}

/// A server that the other end may use, as WHEP has it.
fn links(server: &IceServer) -> Vec<String> {
    let login = match server.username.as_str() {
        "" => String::new(),
        name => format!("; username=\"{name}\"; credential=\"{}\"; credential-type=\"password\"", server.credential),
    };
    server.urls.iter().map(|url| format!("<{url}>; rel=\"ice-server\"{login}")).collect()
}

fn problem(refusal: Refusal) -> Problem {
    let status = match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::Unusable(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Missing(_) => StatusCode::NOT_FOUND,
        Refusal::Refused(_) => StatusCode::FORBIDDEN,
        Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let problem = Problem::new(status, refusal.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(1) } else { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_asked_for_by_its_name() {
        assert_eq!(camera("").unwrap(), None);
        assert_eq!(camera("a=b&camera=front").unwrap().as_deref(), Some("front"));
        assert_eq!(camera("camera=%2e%2e").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(camera("camera=").unwrap_err().status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn servers_are_named_with_what_lets_one_use_them() {
        let urls = vec!["turn:a".to_owned(), "turn:b".to_owned()];
        let server = IceServer { urls, username: "1:x".to_owned(), credential: "y".to_owned() };
        let link = "<turn:a>; rel=\"ice-server\"; username=\"1:x\"; credential=\"y\"; credential-type=\"password\"";
        assert_eq!(links(&server)[0], link);
        assert_eq!(links(&server).len(), 2);
    }
}
