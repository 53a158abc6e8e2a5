//! How a run is, for those who look after it: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use waywarden_systems::clock::{boottime, to_wait};
use waywarden_systems::metrics::{DeviceReading, Numbers};

use crate::http::{Problem, json_response};
use crate::metrics::{self, Observed};

/// A loop that has not begun a tick for so long does not live.
const STILL: Duration = Duration::from_secs(3);

/// The routes by which a run is watched.
pub fn routes(observed: Observed) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(observed))
}

/// Whether ticks are run.
async fn healthz(State(observed): State<Arc<Observed>>) -> Response {
    let Some((tick, at)) = observed.numbers.last_tick() else {
        return answer(false, json!({ "reason": "no tick yet" }));
    };
    let age = to_wait(boottime().since(at));
    let mut body = json!({ "tick": tick, "tick_age_s": age.as_secs_f64(), "version": env!("CARGO_PKG_VERSION") });
    if age > STILL {
        body["reason"] = format!("no tick for {:.1} s: the loop stands still", age.as_secs_f64()).into();
    }
    answer(age <= STILL, body)
}

/// Whether each device that is wanted is open and has been heard.
async fn readyz(State(observed): State<Arc<Observed>>) -> Response {
    let missing = missing(&observed.numbers, observed.recorder.is_some());
    answer(missing.is_empty(), json!({ "missing": missing }))
}

/// What is not there yet, or not any more, and why.
fn missing(numbers: &Numbers, recorded: bool) -> Vec<Value> {
    let lacks = |device: &DeviceReading| match device.kind {
        // It brings no samples.
        "recorder" => recorded && !device.connected,
        "remote" | "speaker" => !device.connected,
        // What is said waits for it: a vehicle out of reach is as ready as any.
        "broker" => false,
        _ => !device.connected || !device.heard,
    };
    let missing = numbers.devices().filter(lacks);
    missing
        .map(|device| {
            let state = format!("{:?}", device.state).to_lowercase();
            json!({ "device": device.name, "kind": device.kind, "state": state, "reason": device.reason })
        })
        .collect()
}

fn answer(ok: bool, mut body: Value) -> Response {
    body["ok"] = ok.into();
    json_response(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

async fn metrics(State(observed): State<Arc<Observed>>) -> Response {
    match observed.text() {
        Ok(text) => ([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], text).into_response(),
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
