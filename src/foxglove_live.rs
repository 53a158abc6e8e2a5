//! A live run for Foxglove, over a WebSocket of the app's own server: the topics of a session, as they happen.
//!
//! The crate's own server listens on a port of its own, to whoever comes. Its messages are used here, behind the one guard. What
//! nobody has subscribed to is not made; who is slow gets the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use foxglove::ws_protocol::client::ClientMessage;
use foxglove::ws_protocol::server::{Advertise, Channel, MessageData, ServerInfo};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use waywarden_components::prelude::*;
use waywarden_systems::scene::{Happening, Scene, Showing};
use waywarden_systems::session::{Published, Publisher};

use crate::access::{self, Access, Scope, Visitor};
use crate::http::{Problem, json_response};

/// The path. Its address may bring a ticket: Foxglove can be told an address and nothing else.
pub const PATH: &str = "/foxglove";

/// The protocol that is spoken.
const PROTOCOL: &str = "foxglove.sdk.v1";

/// Who may watch at a time.
const MOST: usize = 4;

/// Subscriptions of one who watches.
const MOST_SUBSCRIPTIONS: usize = 256;

/// The largest message that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// Where nothing happens whoever is there is asked whether he still is.
const ALIVE: Duration = Duration::from_secs(5);

/// What those who watch share.
#[derive(Clone)]
struct Live {
    showing: Showing,
    access: Access,
    streams: Arc<Vec<StreamSpec>>,
    vehicle: Arc<str>,
    places: Arc<Semaphore>,
}

/// `GET /foxglove` becomes a WebSocket; `POST /foxglove` gives an address with a ticket.
pub fn routes(showing: Showing, access: Access, streams: &[StreamSpec], vehicle: &str) -> Router {
    let streams = Arc::new(streams.to_vec());
    let live = Live { showing, access, streams, vehicle: vehicle.into(), places: Arc::new(Semaphore::new(MOST)) };
    Router::new().route(PATH, get(upgrade).post(ticket)).route_layer(access::needs(Scope::View)).with_state(live)
}

async fn ticket(State(live): State<Live>, Extension(visitor): Extension<Visitor>) -> Result<Response, Problem> {
    let ticket = live.access.ticket(visitor);
    let ticket = ticket.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(json_response(StatusCode::OK, &json!({ "path": format!("{PATH}?ticket={ticket}"), "seconds": 60 })))
}

/// The key of a handshake, if it is one.
fn handshake(headers: &HeaderMap) -> Result<&HeaderValue, Problem> {
    let lists = |name: HeaderName, wanted: &str| {
        let values =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        values.into_iter().any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let wrong = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
    if !lists(CONNECTION, "upgrade") || !lists(UPGRADE, "websocket") {
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket, for Foxglove"));
    }
    if !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err(wrong("version 13 of the WebSocket protocol is spoken"));
    }
    if !lists(SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(wrong("the protocol foxglove.sdk.v1 is spoken: Sec-WebSocket-Protocol does not name it"));
    }
    headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| wrong("there is no Sec-WebSocket-Key"))
}

async fn upgrade(
    State(live): State<Live>,
    Extension(visitor): Extension<Visitor>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = derive_accept_key(handshake(request.headers())?.as_bytes());
    let place = live.places.clone().try_acquire_owned();
    let full = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "as many watch already as may").retry_after(10);
    let place = place.map_err(full)?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, Some(config)).await;
        tokio::select! {
            served = Watching::new(&live).serve(socket) => if let Err(error) = served {
                tracing::debug!("foxglove: {}", kind(&error));
            },
            () = live.access.revoked(&visitor) => {
                tracing::info!("foxglove: {} watched with a token that is no longer good", visitor.name);
            }
        }
        drop(place);
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .header("sec-websocket-accept", accept)
        .body(Body::empty());
    response.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be put together"))
}

/// What went wrong, without what was said: that may be a picture.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "it was closed",
        Error::Io(_) => "the connection broke",
        Error::Capacity(_) => "a message is too long",
        Error::Protocol(_) | Error::Utf8(_) => "it speaks another protocol",
        _ => "it broke off",
    }
}

/// One who watches.
struct Watching {
    showing: Showing,
    scenes: watch::Receiver<Arc<Scene>>,
    publisher: Publisher,
    vehicle: Arc<str>,
    streams: Arc<Vec<StreamSpec>>,
    /// Topics, in the order of their channels.
    topics: Vec<(String, Option<foxglove::Schema>)>,
    /// Channels by the number of their subscription.
    subscriptions: BTreeMap<u32, u64>,
    /// What was last sent of each topic: a number that is another one when there is something new.
    sent: BTreeMap<String, u64>,
}

impl Watching {
    fn new(live: &Live) -> Self {
        Self {
            scenes: live.showing.watch(),
            showing: live.showing.clone(),
            publisher: Publisher::new(&live.streams, 0),
            vehicle: live.vehicle.clone(),
            topics: Publisher::live_topics(&live.streams),
            streams: live.streams.clone(),
            subscriptions: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut socket: WebSocketStream<S>) -> Result<(), Error> {
        socket.send(Message::from(&ServerInfo::new(format!("Waywarden {}", self.vehicle)))).await?;
        let channels = (0..).zip(&self.topics).filter_map(|(id, (topic, schema))| {
            let channel = Channel::builder(id, topic.as_str(), "protobuf");
            channel.with_schema(schema.as_ref()?.into()).build().ok()
        });
        let advertise = Message::from(&Advertise::new(channels));
        socket.send(advertise).await?;
        loop {
            tokio::select! {
                changed = self.scenes.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let scene = self.scenes.borrow_and_update().clone();
                    for message in self.new_of(&scene) {
                        socket.feed(message).await?;
                    }
                    socket.flush().await?;
                }
                message = socket.next() => match message {
                    None | Some(Ok(Message::Close(_))) => return Ok(()),
                    Some(message) => self.hear(&message?),
                },
                () = tokio::time::sleep(ALIVE) => socket.send(Message::Ping(Default::default())).await?,
            }
        }
    }

    /// What the other end says: what it cannot want here is passed over.
    fn hear(&mut self, message: &Message) {
        match ClientMessage::try_from(message) {
            Ok(ClientMessage::Subscribe(wanted)) => {
                for subscription in wanted.subscriptions {
                    if self.subscriptions.len() < MOST_SUBSCRIPTIONS {
                        self.subscriptions.insert(subscription.id, subscription.channel_id);
                    }
                    if let Some((topic, _)) =
                        usize::try_from(subscription.channel_id).ok().and_then(|n| self.topics.get(n))
                    {
                        self.sent.remove(topic);
                    }
                }
            }
            Ok(ClientMessage::Unsubscribe(wanted)) => {
                for id in &wanted.subscription_ids {
                    self.subscriptions.remove(id);
                }
            }
            _ => {}
        }
    }

    /// Messages for what is new in a scene, of what somebody has subscribed to.
    fn new_of(&mut self, scene: &Scene) -> Vec<Message> {
        self.publisher.set_offset(scene.utc_ns.map_or(0, |utc| utc - i64::try_from(scene.now.as_nanos()).unwrap_or(0)));
        let channels: BTreeSet<u64> = self.subscriptions.values().copied().collect();
        let mut messages = Vec::new();
        for channel in channels {
            let Some((topic, _)) = usize::try_from(channel).ok().and_then(|n| self.topics.get(n)).cloned() else {
                continue;
            };
            let found = if topic == "/log" { self.log() } else { self.newest(&topic, scene).into_iter().collect() };
            for (at, published) in found {
                let time = self.publisher.log_time(at);
                let subscribed = self.subscriptions.iter().filter(|(_, wanted)| **wanted == channel);
                messages
                    .extend(subscribed.map(|(id, _)| Message::from(&MessageData::new(*id, time, &published.data[..]))));
            }
        }
        messages
    }

    /// The newest of a topic, if it was not sent.
    fn newest(&mut self, topic: &str, scene: &Scene) -> Option<(Mono, Published)> {
        let (name, what) = topic.strip_prefix('/')?.split_once('/')?;
        if what == "fix" {
            let (fix, at) = scene.fix.as_ref()?;
            let stream = self.streams.iter().find(|spec| spec.name == name)?.id;
            return self.if_new(topic, at.as_nanos(), |publisher| Some((*at, publisher.fix(stream, *at, fix)?)));
        }
        let camera = scene.cameras.iter().find(|camera| camera.name == name)?;
        if scene.switches.privacy && camera.camera.role == CameraRole::Cabin {
            return None;
        }
        let stream = camera.stream;
        match what {
            "image" => {
                let frame = camera.frame.as_ref()?;
                let at = frame.captured;
                self.if_new(topic, frame.id.seq, |publisher| {
                    Some((at, publisher.frame(stream, at, &frame.frame.jpeg)?))
                })
            }
            "lane" => {
                let at = camera.lane.captured?;
                self.if_new(topic, at.as_nanos(), |publisher| Some((at, publisher.lane(stream, &camera.lane)?)))
            }
            "obstacles" => {
                let at = camera.obstacles.captured?;
                self.if_new(topic, at.as_nanos(), |publisher| {
                    Some((at, publisher.obstacles(stream, &camera.obstacles)?))
                })
            }
            _ => None,
        }
    }

    fn if_new<T>(&mut self, topic: &str, number: u64, make: impl FnOnce(&Publisher) -> Option<T>) -> Option<T> {
        if self.sent.get(topic) == Some(&number) {
            return None;
        }
        let made = make(&self.publisher)?;
        self.sent.insert(topic.to_owned(), number);
        Some(made)
    }

    /// What has happened that was not told.
    fn log(&mut self) -> Vec<(Mono, Published)> {
        let told = self.sent.get("/log").copied().unwrap_or(0);
        let new: Vec<Happening> = self.showing.happenings().into_iter().filter(|of| of.number > told).collect();
        if let Some(last) = new.last() {
            self.sent.insert("/log".to_owned(), last.number);
        }
        let line = |of: Happening| {
            let level = match of.level {
                AlertLevel::Notice => NoticeLevel::Info,
                AlertLevel::Caution => NoticeLevel::Warning,
                AlertLevel::Warning => NoticeLevel::Error,
            };
            let notice = Notice { level, source: of.source, text: of.text };
            Some((of.started, self.publisher.notice(of.started, &notice)?))
        };
        new.into_iter().filter_map(line).collect()
    }
}
