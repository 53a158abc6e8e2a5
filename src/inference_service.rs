//! The models of this computer for others: `assets/inference-api.yaml`, as routes of the app's HTTP server.
//!
//! Several vehicles may ask at once. So many pictures are computed at a time as there are threads for jobs, some more wait,
//! and whoever comes then is told when to come again: memory and time are bounded, whatever comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::Semaphore;
use waywarden_components::prelude::{Crop, JobRole, Look};
use waywarden_systems::clock::boottime;
use waywarden_systems::inference::api::{self, LARGEST_PICTURE, Models, Reply};
use waywarden_systems::inference::{Inference, InferenceError};

use crate::http::{Problem, json_response};

/// How long a picture may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client is told to wait when there is no more room, in seconds.
const AGAIN: u32 = 1;

/// The models, and who waits for them.
struct Service {
    models: BTreeMap<JobRole, Arc<dyn Inference>>,
    /// Places for pictures, those that are computed included.
    places: Arc<Semaphore>,
    /// Threads that compute.
    workers: Arc<Semaphore>,
}

/// The routes by which models are asked: `workers` pictures are computed at a time, and `waiting` more may wait.
pub fn routes(models: BTreeMap<JobRole, Arc<dyn Inference>>, workers: usize, waiting: usize) -> Router {
    let workers = workers.max(1);
    let service = Service {
        models,
        places: Arc::new(Semaphore::new(workers + waiting)),
        workers: Arc::new(Semaphore::new(workers)),
    };
    Router::new()
        .route("/healthz", get(async || json_response(StatusCode::OK, &json!({ "ok": true }))))
        .route("/v1/models", get(list))
        .route("/v1/infer/{role}", post(infer))
        .with_state(Arc::new(service))
}

/// Which models there are.
async fn list(State(service): State<Arc<Service>>) -> Response {
    let models = service.models.iter().map(|(role, model)| (*role, model.identity().clone())).collect();
    json_response(StatusCode::OK, &json!(Models { models }))
}

/// The part of the picture that is to be looked at more closely as well.
fn crop_of(query: Option<&str>) -> Result<Option<Crop>, Problem> {
    let Some(crop) = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("crop="))) else {
        return Ok(None);
    };
    // Some clients write the comma so, which is the same to them.
    let crop = api::parse_crop(&crop.replace("%2C", ",").replace("%2c", ","));
    crop.map(Some).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
}

/// Looks at a picture.
async fn infer(
    State(service): State<Arc<Service>>,
    Path(role): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let role = JobRole::ALL.into_iter().find(|known| known.name() == role);
    let role = role.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "a role is segmentation or detection"))?;
    let model = service.models.get(&role).cloned();
    let model =
        model.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no model for {role} here")))?;
    let crop = crop_of(query.as_deref())?;
    check(&headers)?;
    let place = service.places.clone().try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many pictures wait already").retry_after(AGAIN)
    })?;
    let jpeg = receive(body).await?;
    // It is closed never.
    let worker = service.workers.clone().acquire_owned().await;
    let computed = tokio::task::spawn_blocking(move || {
        let begin = boottime();
        let found = model.look(&Look { crop, ..Look::at(jpeg) });
        // Whoever has hung up meanwhile has kept his place until now.
        drop((worker, place));
        found.map(|output| Reply {
            model: model.identity().clone(),
            took_ms: boottime().since(begin).as_secs_f64() * 1e3,
            output,
        })
    });
    match computed.await {
        Ok(Ok(reply)) => Ok(json_response(StatusCode::OK, &json!(reply))),
        Ok(Err(error @ (InferenceError::Jpeg(_) | InferenceError::Picture { .. }))) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the picture cannot be looked at: {error}")))
        }
        Ok(Err(error)) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the model panicked at this picture")),
    }
}

/// Whether a picture of a size that is taken is announced.
fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("image/jpeg") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is to be a JPEG: image/jpeg"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST_PICTURE as u64) { Err(too_large()) } else { Ok(()) }
}

async fn receive(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(PATIENCE, to_bytes(body, LARGEST_PICTURE)).await {
        Ok(Ok(jpeg)) => Ok(jpeg),
        Ok(Err(error)) if is_of_size(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body was not here in time")),
    }
}

/// Whether a body was not read because of its size.
fn is_of_size(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LARGEST_PICTURE} bytes are taken"))
}
