//! Commands of those who are let in by this program itself: over HTTP, and by agents.
//!
//! A command enters through the door as a broker's message does, so it is journalled, replayed, judged and done once like one,
//! with the name of who gave it. What comes of it comes back out of the world.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use waywarden_components::prelude::{BrokerMessage, CommandAnswer, Payload, Progress};
use waywarden_systems::clock::boottime;
use waywarden_systems::commands::parse::{MOST_BYTES, NAMES};
use waywarden_systems::ingress::Control;
use waywarden_systems::scene::Showing;

use crate::access::{self, Scope, Visitor};
use crate::http::{Problem, json_response};
use crate::session_info::random_name;

/// How long what comes of a command is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commands that are waited for at a time.
const MOST: usize = 16;

/// Where commands are given. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    control: Control,
    showing: Showing,
    places: Arc<Semaphore>,
}

/// What has come of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reply {
    /// Its id: by this it is not done again.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// How far it is: `done`, `failed`, `expired`; `received` or `running` where it takes longer than is waited for.
    pub status: String,
    /// Why, or what came of it. May be empty.
    pub reason: String,
    #[serde(skip)]
    progress: Option<Progress>,
}

impl Reply {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.progress == Some(Progress::Done)
    }

    /// Whether more may come of it.
    pub fn is_under_way(&self) -> bool {
        !self.progress.is_some_and(Progress::is_final)
    }
}

/// Why a command was not given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// There is none of this name.
    #[error("no such command: there are {}", NAMES.join(", "))]
    Unknown,
    /// It is too long.
    #[error("at most {MOST_BYTES} bytes are read")]
    TooLong,
    /// Too many are given at once.
    #[error("too many commands are given at once: try again")]
    Busy,
    /// Nothing was answered.
    #[error("the vehicle does not answer: its ticks stand still, see /healthz")]
    Silent,
}

impl Orders {
    /// A place for commands that enter with `control`, and are answered where the run is shown.
    pub fn new(control: Control, showing: Showing) -> Self {
        Self { control, showing, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Gives a command, with the fields that it needs (`docs/mqtt.md`), and waits for what comes of it. Without an `id` it is
    /// given one. That the visitor may give commands is for the caller to know.
    ///
    /// # Errors
    /// When it could not be given. What was given and cannot be done is a reply that says why.
    pub async fn ask(
        &self,
        name: &str,
        mut fields: Map<String, Value>,
        visitor: &Visitor,
    ) -> Result<Reply, OrderError> {
        if !NAMES.contains(&name) {
            return Err(OrderError::Unknown);
        }
        if !fields.contains_key("id") {
            fields.insert("id".to_owned(), random_name().into());
        }
        // One that is no text is refused by who reads it, with an answer that has no id.
        let id = fields["id"].as_str().unwrap_or_default().to_owned();
        let bytes = Value::Object(fields).to_string();
        if bytes.len() > MOST_BYTES {
            return Err(OrderError::TooLong);
        }
        let _place = self.places.try_acquire().map_err(|_| OrderError::Busy)?;
        let answers = self.showing.answers();
        let message = BrokerMessage {
            at: boottime(),
            topic: format!("cmd/{name}"),
            bytes: bytes.into(),
            retained: false,
            again: false,
            by: visitor.name.clone(),
        };
        tracing::info!("commands: {} asks for {name}", visitor.name);
        if !self.control.say(Payload::Message(message)) {
            return Err(OrderError::Busy);
        }
        let answer = wait(answers, &id, name).await.ok_or(OrderError::Silent)?;
        let (status, progress) = (answer.progress.to_string(), Some(answer.progress));
        Ok(Reply { id, name: name.to_owned(), status, reason: answer.reason, progress })
    }
}

/// The last answer to a command, or the newest one there is when time is up.
async fn wait(mut answers: Receiver<CommandAnswer>, id: &str, name: &str) -> Option<CommandAnswer> {
    let mut newest: Option<CommandAnswer> = None;
    let heard = async {
        loop {
            match answers.recv().await {
                Ok(answer) if answer.id == id && answer.name == name => {
                    let last = answer.progress.is_final();
                    newest = Some(answer);
                    if last {
                        return;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    };
    // What there is when time is up is the answer.
    let _ = tokio::time::timeout(PATIENCE, heard).await;
    newest
}

/// `POST /api/commands/NAME` with the JSON of MQTT's commands.
pub fn routes(orders: Orders) -> Router {
    Router::new()
        .route("/api/commands/{name}", post(command))
        .route_layer(access::needs(Scope::Command))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(orders)
}

async fn command(
    State(orders): State<Orders>,
    Path(name): Path<String>,
    Extension(visitor): Extension<Visitor>,
    body: Bytes,
) -> Result<Response, Problem> {
    let fields = if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(&body) };
    let fields = fields.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("no JSON object: {error}")))?;
    let reply = orders.ask(&name, fields, &visitor).await?;
    let status = match reply.progress {
        Some(Progress::Done) => StatusCode::OK,
        Some(Progress::Failed) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Progress::Expired) => StatusCode::GONE,
        _ => StatusCode::ACCEPTED,
    };
    Ok(json_response(status, &json!(reply)))
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let (status, after) = match error {
            OrderError::Unknown => (StatusCode::NOT_FOUND, None),
            OrderError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, None),
            OrderError::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            OrderError::Silent => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        };
        let problem = Self::new(status, error.to_string());
        after.into_iter().fold(problem, Self::retry_after)
    }
}
