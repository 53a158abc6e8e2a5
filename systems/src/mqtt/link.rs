//! The connection to the broker: a driver under the supervisor, which connects, listens and sends until the connection is
//! lost, and is started again.

mod sender;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Packet};
use rumqttc::{Publish, QoS, TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use waywarden_components::prelude::*;

use super::outbox::Outbox;
use super::receive::TOPICS;
use super::seen::Seen;
use super::wire::{Birth, Presence, Status, VERSION};
use crate::clock::boottime;
use crate::commands::parse::{self, MOST_BYTES};
use crate::supervisor::{Driver, DriverError, Lease, Over, Pace};
use sender::Sender;

/// The largest packet that is read, in bytes. A larger one ends the connection, and the next one begins without what the
/// broker had kept for the vehicle.
const LARGEST: usize = 16 << 20;

/// The longest message that is handed on, in bytes.
const LARGEST_ASIDE: usize = 64 << 10;

/// How often it is looked at whether the link is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// How often the world is told how messages fare.
const TELL: Duration = Duration::from_secs(1);

/// How long what is under way has when the link ends in order.
const FAREWELL: Duration = Duration::from_millis(400);

/// How to reach a broker.
#[derive(Clone)]
pub struct LinkSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS, if the connection is encrypted.
    pub tls: Option<Arc<ClientConfig>>,
    /// Who the vehicle says it is: the same in every run, so that the broker keeps commands for it.
    pub client_id: String,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// The topic of the vehicle: what it says and hears is below.
    pub base: String,
    /// After this time without a word the broker is asked whether it is there, and again after it the link is lost.
    pub keep_alive: Duration,
    /// How long the broker may take to acknowledge a message.
    pub acknowledged_in: Duration,
    /// Messages that may be under way without an acknowledgement.
    pub in_flight: u16,
    /// What is said at the beginning, before the name of the run is known.
    pub birth: Birth,
    /// Retained messages of other programs' conventions, by whole topic.
    pub announcements: Vec<(String, String)>,
    /// A topic whose messages have the announcements sent again: those who listen to them have begun anew.
    pub announce_again_on: Option<String>,
    /// Another topic, whole, to which positions are sent in the form of OwnTracks.
    pub owntracks: Option<String>,
}

/// Connects to the broker.
pub struct BrokerLink {
    settings: LinkSettings,
    outbox: Outbox,
    runtime: Handle,
    /// The broker keeps something for the vehicle that cannot be read.
    poisoned: AtomicBool,
    /// The commands of earlier runs. None where the disk does not take them.
    seen: Mutex<Option<Seen>>,
    /// Topics besides, below that of the vehicle, and who hears what comes there.
    aside: Option<(&'static [&'static str], Aside)>,
}

/// Where messages go that are no matter of the world: topic, below the first level, and bytes. What finds no room is lost
/// (keep oldest).
pub type Aside = tokio::sync::mpsc::Sender<(String, Bytes)>;

/// The next thing that happens on a connection, and the connection.
type Next = Pin<Box<dyn Future<Output = (EventLoop, Result<Event, ConnectionError>)>>>;

impl BrokerLink {
    /// A link that sends what is in `outbox`, on `runtime`, and carries out no command that is in `seen`.
    pub fn new(settings: LinkSettings, outbox: Outbox, runtime: Handle, seen: Option<Seen>) -> Self {
        Self { settings, outbox, runtime, poisoned: AtomicBool::new(false), seen: Mutex::new(seen), aside: None }
    }

    /// The same; it also listens to these topics, and hands on what comes there.
    #[must_use]
    pub fn with_aside(mut self, topics: &'static [&'static str], aside: Aside) -> Self {
        self.aside = Some((topics, aside));
        self
    }

    fn options(&self) -> MqttOptions {
        let settings = &self.settings;
        let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options.set_keep_alive(settings.keep_alive);
        options.set_inflight(settings.in_flight);
        options.set_max_packet_size(LARGEST, LARGEST);
        options.set_clean_session(self.poisoned.swap(false, Ordering::Relaxed));
        if let Some((user, password)) = &settings.login {
            options.set_credentials(user, password);
        }
        if let Some(tls) = &settings.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
        }
        let will = self.status(Presence::Offline);
        options.set_last_will(LastWill::new(self.topic("status"), will, QoS::AtLeastOnce, true));
        options
    }

    fn topic(&self, below: &str) -> String {
        format!("{}/{below}", self.settings.base)
    }

    fn status(&self, state: Presence) -> String {
        let (boot_id, version) = (self.outbox.boot_id().to_owned(), self.settings.birth.version.clone());
        // Text and a number: nothing that JSON cannot say.
        serde_json::to_string(&Status { v: VERSION, state, boot_id, version }).unwrap_or_default()
    }

    fn birth(&self) -> String {
        let birth = Birth { boot_id: self.outbox.boot_id().to_owned(), ..self.settings.birth.clone() };
        serde_json::to_string(&birth).unwrap_or_default()
    }

    /// Connects, and works until the connection is lost or no longer wanted.
    async fn work(&self, lease: &Lease) -> Result<(), DriverError> {
        let (client, mut eventloop) = AsyncClient::new(self.options(), usize::from(self.settings.in_flight) + 16);
        // Small messages are not to wait for others.
        let mut network = eventloop.network_options();
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        let mut next = poll(eventloop);
        let connecting = tokio::time::timeout(Duration::from_secs(8), &mut next);
        let (eventloop, event) = connecting.await.map_err(|_| failed("the broker does not answer"))?;
        match event.map_err(|error| self.why(&error))? {
            Event::Incoming(Packet::ConnAck(_)) => {}
            other => return Err(failed(&format!("the broker began with {other:?}"))),
        }
        self.outbox.connected();
        let mut sender = Sender::new(client, &self.outbox, &self.settings);
        self.greet(&mut sender)?;
        let way = if self.settings.tls.is_some() { "TLS" } else { "plain text" };
        let what = format!("{}:{} over {way} as {}", self.settings.host, self.settings.port, self.settings.client_id);
        lease.opened(&what, Pace { silence: Duration::from_secs(10) })?;
        let mut next = poll(eventloop);
        let mut look = tokio::time::interval(LOOK);
        let mut told = (boottime(), Uplink::default());
        loop {
            sender.fill(system_millis)?;
            tokio::select! {
                (eventloop, event) = &mut next => {
                    let event = event.map_err(|error| self.why(&error))?;
                    self.hear(&event, &mut sender, lease)?;
                    next = poll(eventloop);
                }
                () = self.outbox.changed() => {}
                _ = look.tick() => {
                    lease.beat();
                    sender.check(self.settings.acknowledged_in)?;
                    tell(lease, &self.outbox, &mut told)?;
                    if lease.is_over() {
                        self.farewell(sender, next).await;
                        return Err(DriverError::Over(Over));
                    }
                }
            }
        }
    }

    /// Subscribes, and says everything that is retained: the broker may have been started anew.
    fn greet(&self, sender: &mut Sender) -> Result<(), DriverError> {
        for topic in TOPICS.iter().chain(self.aside.iter().flat_map(|(topics, _)| *topics)) {
            sender.subscribe(&self.topic(topic))?;
        }
        if let Some(topic) = &self.settings.announce_again_on {
            sender.subscribe(topic)?;
        }
        sender.retain(self.topic("status"), self.status(Presence::Online))?;
        sender.retain(self.topic("birth"), self.birth())?;
        self.announce(sender)
    }

    fn announce(&self, sender: &mut Sender) -> Result<(), DriverError> {
        self.settings.announcements.iter().try_for_each(|(topic, text)| sender.retain(topic.clone(), text.clone()))
    }

    fn hear(&self, event: &Event, sender: &mut Sender, lease: &Lease) -> Result<(), DriverError> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => {
                let is_birth = self.settings.announce_again_on.as_ref() == Some(&publish.topic);
                if is_birth && !publish.retain && publish.payload[..] == b"online"[..] {
                    self.announce(sender)?;
                }
                if self.hand_on(publish) {
                    return Ok(());
                }
                if let Some(message) = self.message(publish) {
                    lease.send(message.at, Payload::Message(message))?;
                }
                Ok(())
            }
            Event::Incoming(Packet::Disconnect) => Err(failed("the broker has closed the connection")),
            other => sender.heard(other),
        }
    }

    /// Hands on what is no matter of the world, if it is. What the broker has kept may be of any age: it is for nobody.
    fn hand_on(&self, publish: &Publish) -> bool {
        let Some((topics, aside)) = &self.aside else { return false };
        let below = publish.topic.strip_prefix(&self.settings.base).and_then(|topic| topic.strip_prefix('/'));
        let Some((first, rest)) = below.and_then(|topic| topic.split_once('/')) else { return false };
        let is_aside = topics.iter().any(|topic| topic.split('/').next() == Some(first));
        if !is_aside || publish.retain {
            return is_aside;
        }
        let small = publish.payload.len() <= LARGEST_ASIDE;
        if !small || aside.try_send((rest.to_owned(), publish.payload.clone())).is_err() {
            tracing::warn!("mqtt: a message to {first} is too long or finds no room, and is lost");
        }
        true
    }

    /// A message that is below the topic of the vehicle. Of one that is too large only as much as shows that.
    fn message(&self, publish: &Publish) -> Option<BrokerMessage> {
        let topic = publish.topic.strip_prefix(&self.settings.base)?.strip_prefix('/')?.to_owned();
        let bytes = publish.payload.slice(..publish.payload.len().min(MOST_BYTES + 1));
        let again = topic.starts_with("cmd/") && !publish.retain && self.came_before(&topic, &bytes);
        let (at, by) = (boottime(), String::new());
        Some(BrokerMessage { at, topic, bytes, retained: publish.retain, again, by })
    }

    /// Whether a command came in before, in this run or an earlier one. What cannot be remembered is obeyed: the world
    /// knows those of this run.
    fn came_before(&self, topic: &str, bytes: &[u8]) -> bool {
        let id = parse::read(topic.strip_prefix("cmd/").unwrap_or_default(), bytes).id;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.as_ref().map(|seen| seen.is_first(&id)) {
            _ if id.is_empty() => false,
            Some(Ok(is_first)) => !is_first,
            Some(Err(error)) => {
                tracing::error!("command {id} would be obeyed again after a restart: {error}");
                false
            }
            None => false,
        }
    }

    /// Says that the vehicle was told to end, and gives what is under way a moment.
    async fn farewell(&self, mut sender: Sender<'_>, mut next: Next) {
        if sender.retain(self.topic("status"), self.status(Presence::Stopped)).is_err() {
            return;
        }
        let until = tokio::time::sleep(FAREWELL);
        tokio::pin!(until);
        while sender.waits() {
            tokio::select! {
                (eventloop, event) = &mut next => {
                    let Ok(event) = event else { return };
                    if sender.heard(&event).is_err() {
                        return;
                    }
                    next = poll(eventloop);
                }
                () = &mut until => return,
            }
        }
        sender.disconnect();
        // The broker is told, so that it does not send the last will.
        let _ = tokio::time::timeout(Duration::from_millis(50), async {
            loop {
                let (eventloop, event) = next.await;
                if event.is_err()
                    || event.is_ok_and(|event| matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)))
                {
                    return;
                }
                next = poll(eventloop);
            }
        })
        .await;
    }

    /// Why a connection ended, in words that a person can act on.
    fn why(&self, error: &ConnectionError) -> DriverError {
        use rumqttc::StateError;
        let place = format!("{}:{}", self.settings.host, self.settings.port);
        let words = match error {
            ConnectionError::Io(error) => format!("{place}: {error}"),
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => format!("{place} does not answer"),
            ConnectionError::Tls(error) => {
                format!("{place}: TLS: {error}: check mqtt.ca_file and the broker's certificate")
            }
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => format!("{place} refuses the user name or password: check mqtt.username and mqtt.password_file"),
            ConnectionError::ConnectionRefused(code) => format!("{place} refuses the connection: {code:?}"),
            ConnectionError::MqttState(StateError::AwaitPingResp) => format!("{place} does not answer any more"),
            ConnectionError::MqttState(StateError::Io(error)) => format!("{place}: {error}"),
            ConnectionError::MqttState(StateError::Deserialization(error)) => {
                // What cannot be read would come again with every connection.
                self.poisoned.store(true, Ordering::Relaxed);
                format!("{place} sent what cannot be read, what it keeps for the vehicle is given up: {error}")
            }
            other => format!("{place}: {other}"),
        };
        DriverError::Failed(words)
    }
}

impl Driver for BrokerLink {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let result = self.runtime.block_on(self.work(lease));
        self.outbox.disconnected();
        // The world is to know what waits while nobody listens.
        let _ = lease.send(boottime(), Payload::Uplink(uplink(&self.outbox)));
        result
    }
}

/// Waits for the next thing that happens. It is never given up half way: what was read or written would be lost.
fn poll(mut eventloop: EventLoop) -> Next {
    Box::pin(async move {
        let event = eventloop.poll().await;
        (eventloop, event)
    })
}

/// Tells the world how messages fare, where that has changed, and not too often.
fn tell(lease: &Lease, outbox: &Outbox, told: &mut (Mono, Uplink)) -> Result<(), Over> {
    let now = boottime();
    if now.since(told.0) < TELL {
        return Ok(());
    }
    let uplink = uplink(outbox);
    told.0 = now;
    if uplink != told.1 {
        lease.send(now, Payload::Uplink(uplink.clone()))?;
        told.1 = uplink;
    }
    Ok(())
}

fn uplink(outbox: &Outbox) -> Uplink {
    let tally = outbox.spool().tally();
    let sum = |of: fn(&super::spool::StreamTally) -> u64| tally.streams.values().map(of).sum();
    Uplink {
        waiting: tally.messages + tally.waiting,
        delivered: sum(|stream| stream.acknowledged),
        lost: sum(|stream| stream.expired + stream.dropped),
        trouble: tally.trouble.clone().unwrap_or_default(),
    }
}

fn failed(words: &str) -> DriverError {
    DriverError::Failed(words.to_owned())
}

/// The date as the computer has it, for what expires.
fn system_millis() -> Option<u64> {
    let utc = crate::clock::system_utc()?;
    let now = i64::try_from(boottime().as_nanos()).ok()?.checked_add(utc.offset_ns)?;
    u64::try_from(now / 1_000_000).ok()
}
