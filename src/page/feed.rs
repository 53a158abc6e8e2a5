//! How the run is and what happens in it: once, or as server-sent events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use waywarden_systems::scene::report::{EventReport, Report};
use waywarden_systems::scene::{Happening, Scene, Showing};

use crate::http::{Problem, json_response};

/// Time between two scenes that are sent.
const GAP: Duration = Duration::from_millis(100);

/// Where nothing comes a sign of life is given this often: a run without input still ticks.
const ALIVE: Duration = Duration::from_secs(3);

pub(super) fn routes(showing: Showing) -> Router {
    Router::new()
        .route("/api/scene", get(scene))
        .route("/api/scenes", get(scenes))
        .route("/api/events", get(events))
        .with_state(showing)
}

/// How everything is now.
async fn scene(State(showing): State<Showing>) -> Result<Response, Problem> {
    let silent = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no tick comes: see /healthz").retry_after(1);
    let scene = timeout(ALIVE, showing.now()).await.map_err(silent)?;
    Ok(json_response(StatusCode::OK, &json!(Report::from(&*scene))))
}

/// What has happened, the oldest first.
async fn events(State(showing): State<Showing>) -> Response {
    let events: Vec<EventReport> = showing.happenings().iter().map(EventReport::from).collect();
    json_response(StatusCode::OK, &json!({ "events": events }))
}

/// How everything is, again and again, for as long as somebody listens.
async fn scenes(State(showing): State<Showing>) -> Response {
    let feed = Feed { scenes: showing.watch(), showing, next: Instant::now(), told: BTreeMap::new() };
    let stream = unfold(feed, async |mut feed| feed.next().await.map(|text| (Ok::<_, std::io::Error>(text), feed)));
    ([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], Body::from_stream(stream)).into_response()
}

/// What one listener is told.
struct Feed {
    scenes: watch::Receiver<Arc<Scene>>,
    showing: Showing,
    /// The next scene is sent no sooner.
    next: Instant,
    /// What he has been told of.
    told: BTreeMap<u64, Happening>,
}

impl Feed {
    /// The next piece of text; none when the run is over.
    async fn next(&mut self) -> Option<Bytes> {
        let (mut newest, mut level, mut speaking) = (None::<Arc<Scene>>, None::<f32>, false);
        let alive = Instant::now() + ALIVE;
        loop {
            let until = if newest.is_some() { self.next } else { alive };
            match timeout_at(until, self.scenes.changed()).await {
                Ok(Ok(())) => {
                    let scene = self.scenes.borrow_and_update().clone();
                    // Sound comes in with some ticks only, and a loud moment is not to be missed.
                    level = louder(level, scene.level_dbfs);
                    speaking |= scene.speaking;
                    newest = Some(scene);
                }
                Ok(Err(_)) => return None,
                Err(_) => break,
            }
        }
        let mut text = match newest {
            Some(scene) => {
                self.next = Instant::now() + GAP;
                let report = Report { level_dbfs: level, speaking, ..Report::from(&*scene) };
                format!("event: scene\ndata: {}\n\n", json!(report))
            }
            None => ": still here\n\n".to_owned(),
        };
        let news = self.news();
        if !news.is_empty() {
            text += &format!("event: events\ndata: {}\n\n", json!(news));
        }
        Some(text.into())
    }

    /// What has happened, or gone on, that he was not told of.
    fn news(&mut self) -> Vec<EventReport> {
        let happenings = self.showing.happenings();
        let oldest = happenings.first().map_or(0, |happening| happening.number);
        self.told.retain(|number, _| *number >= oldest);
        let new = happenings.into_iter().filter(|happening| self.told.get(&happening.number) != Some(happening));
        let new: Vec<_> = new.collect();
        let news = new.iter().map(EventReport::from).collect();
        self.told.extend(new.into_iter().map(|happening| (happening.number, happening)));
        news
    }
}

/// The louder of two levels, of which either may be missing.
fn louder(a: Option<f32>, b: Option<f32>) -> Option<f32> {
    a.into_iter().chain(b).reduce(f32::max)
}
