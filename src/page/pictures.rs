//! The newest picture of a camera, as the camera gave it.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;
use waywarden_components::prelude::CameraRole;
use waywarden_systems::scene::{CameraScene, FrameScene, Scene, Showing};

use crate::http::Problem;

/// How long a picture is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest picture that is sent, in bytes.
const LARGEST: usize = 8 << 20;

pub(super) fn routes(showing: Showing) -> Router {
    Router::new().route("/api/cameras/{name}/frame.jpg", get(frame)).with_state(showing)
}

/// A picture; with `after=N` the next one that is not the N-th. 204 where none comes.
async fn frame(
    State(showing): State<Showing>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let after = query.as_deref().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("after="));
    let after = after.map(|number| number.parse::<u64>()).transpose();
    let after = after.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "after is the number of a picture"))?;
    let mut scenes = showing.watch();
    let found = timeout(PATIENCE, async {
        loop {
            // The sender lives as long as `showing`.
            let _ = scenes.changed().await;
            let scene = scenes.borrow_and_update().clone();
            let camera = camera(&scene, &name)?;
            match &camera.frame {
                Some(frame) if Some(frame.id.seq) != after => return Ok(frame.clone()),
                _ => {}
            }
        }
    });
    let found: Result<Result<FrameScene, Problem>, _> = found.await;
    match found {
        Ok(found) => picture(&found?),
        Err(_) => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// A camera that may be looked at.
fn camera<'a>(scene: &'a Scene, name: &str) -> Result<&'a CameraScene, Problem> {
    let camera = scene.cameras.iter().find(|camera| camera.name == name);
    let camera = camera.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no camera of this name"))?;
    if scene.switches.privacy && camera.camera.role == CameraRole::Cabin {
        return Err(Problem::new(StatusCode::CONFLICT, "privacy is on: nobody is watched inside of the vehicle"));
    }
    Ok(camera)
}

fn picture(frame: &FrameScene) -> Result<Response, Problem> {
    let jpeg = frame.frame.jpeg.clone();
    if jpeg.len() > LARGEST {
        let detail = format!("the picture has {} bytes: at most {LARGEST} are sent", jpeg.len());
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (HeaderName::from_static("x-frame"), HeaderValue::from(frame.id.seq)),
        (HeaderName::from_static("x-captured-ns"), HeaderValue::from(frame.captured.as_nanos())),
    ];
    Ok((headers, jpeg).into_response())
}
