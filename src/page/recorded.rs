//! Recorded sessions: the list, and a report of each.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::archive::{Archive, NotMade};
use crate::http::{Problem, json_response};

/// A report is a page with scripts of its own. It is shown as if it came from nowhere: it cannot ask this server for anything.
const MAY: &str = "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; \
                   style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes(archive: Archive) -> Router {
    Router::new()
        .route("/api/sessions", get(list))
        .route("/api/sessions/{key}", get(one))
        .route("/api/sessions/{key}/report", get(report).post(make))
        .with_state(archive)
}

/// Runs what reads the disk where it may wait for it.
async fn reading<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let broke = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the sessions broke off");
    tokio::task::spawn_blocking(read).await.map_err(broke)
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such session")
}

async fn list(State(archive): State<Archive>) -> Result<Response, Problem> {
    let reason = if archive.records() { "" } else { "Nothing is recorded: record.directory of the config is empty." };
    let sessions = reading(move || archive.list()).await?;
    Ok(json_response(StatusCode::OK, &json!({ "sessions": sessions, "reason": reason })))
}

async fn one(State(archive): State<Archive>, Path(key): Path<String>) -> Result<Response, Problem> {
    let session = reading(move || archive.one(&key)).await?.ok_or_else(unknown)?;
    Ok(json_response(StatusCode::OK, &json!(session)))
}

async fn make(State(archive): State<Archive>, Path(key): Path<String>) -> Result<Response, Problem> {
    match reading(move || archive.make(&key)).await? {
        Ok(()) => Ok(json_response(StatusCode::ACCEPTED, &json!({ "report": "making" }))),
        Err(NotMade::Unknown) => Err(unknown()),
        Err(NotMade::Busy) => {
            let detail = "another report is being made: one at a time";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5))
        }
    }
}

async fn report(State(archive): State<Archive>, Path(key): Path<String>) -> Result<Response, Problem> {
    let page = reading(move || archive.report(&key)).await?;
    let page = page.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no report of this session has been made"))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(MAY)),
    ];
    Ok((headers, Body::from(page)).into_response())
}
