//! All connections to operators, outside of the world: offers are brought before it, its orders are carried out.

mod feed;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use waywarden_components::prelude::*;

use super::audio::OpusPacket;
use super::link::Gauges;
use super::offer::{self, OfferError};
use super::peer::{self, Command, Ends, OpenError, Setup};
use super::send::{Operators, operators};
use super::studio::{Picture, Studio, StudioSettings};
use super::turn::Turn;
use crate::clock::{boottime, instant};
use crate::ingress::Outlet;
use crate::scene::Showing;

/// How long the world has to decide: it is asked with the next tick.
const DECISION: Duration = Duration::from_secs(2);

/// Offers that may be answered at the same time.
const MOST_OFFERS: usize = 8;

/// What may wait for a connection: pictures, packets of sound, messages, commands.
const WAITING: (usize, usize, usize, usize) = (8, 16, 2, 16);

/// Where an operator's voice goes: the number of its first sample, and the samples (16 kHz, mono). Gives how long they take from
/// there until they are heard, if that is known.
pub type Speak = Arc<dyn Fn(u64, &[i16]) -> Option<Duration> + Send + Sync>;

/// How operators are served.
pub struct HubSettings {
    /// Where packets come in: an address of this computer, or the unspecified one for all of them.
    pub bind: IpAddr,
    /// Bits a second of pictures at most.
    pub most_bps: u32,
    /// Pictures a second at most.
    pub most_fps: f32,
    /// Rows of a picture at most: larger ones are made smaller.
    pub most_rows: u32,
    /// Cameras by the names of the config.
    pub cameras: Vec<(StreamId, String)>,
    /// Servers that tell the vehicle its own address (`stun:…`).
    pub stun: Vec<String>,
    /// Servers that pass packets on.
    pub turn: Option<Turn>,
}

/// A server that helps to find a way to the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServer {
    /// Its addresses.
    pub urls: Vec<String>,
    /// The name under which it is used.
    pub username: String,
    /// The password, which is good for a while.
    pub credential: String,
}

/// What somebody who wants to watch brings.
pub struct Asked {
    /// How it came.
    pub via: Signalling,
    /// The camera by its name.
    pub camera: Option<String>,
    /// Whether the operator may talk.
    pub may_talk: bool,
    /// The description of the connection (SDP).
    pub sdp: String,
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The name of the session: nobody can guess it.
    pub id: String,
    /// The description of the connection (SDP).
    pub sdp: String,
}

/// Why nothing came of something that was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It can, and cannot be met.
    #[error("{0}")]
    Unusable(String),
    /// There is no such camera or session.
    #[error("{0}")]
    Missing(String),
    /// It was decided that it is not to be.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
}

impl From<OfferError> for Refusal {
    fn from(error: OfferError) -> Self {
        match error {
            OfferError::Malformed(_) => Self::Malformed(error.to_string()),
            OfferError::Unusable(_) => Self::Unusable(error.to_string()),
        }
    }
}

/// A session, for whoever looks after the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerReading {
    /// Its number.
    pub session: u64,
    /// The camera that is watched.
    pub camera: Option<String>,
    /// Whether it is connected.
    pub connected: bool,
    /// What its link is believed to carry, in bits a second.
    pub target_bps: u32,
    /// Bytes of media that were sent.
    pub sent_bytes: u64,
    /// Packets that were sent again.
    pub sent_again: u64,
    /// Requests for a picture that stands alone.
    pub keyframes_asked: u64,
    /// Milliseconds from such a request to the first packet of one, at most; up to now where it is waited for still.
    pub keyframe_wait_ms: f64,
    /// Whether the other end reports each packet.
    pub reports_packets: bool,
    /// Milliseconds that the operator's voice takes until it is heard: half of the round trip, and what waits in the vehicle and
    /// in its loudspeaker. None while it is not heard.
    pub voice_delay_ms: Option<f64>,
}

/// All connections. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    settings: HubSettings,
    outlet: Outlet,
    runtime: Handle,
    showing: Showing,
    speak: Option<Speak>,
    studios: BTreeMap<StreamId, Studio>,
    inside: Mutex<Inside>,
    /// Told when there are other sessions than before.
    changed: Notify,
}

#[derive(Default)]
struct Inside {
    last: u64,
    entries: BTreeMap<u64, Entry>,
    /// Offers that are being answered.
    offers: usize,
}

/// A session, from its offer on.
struct Entry {
    id: String,
    camera: Option<StreamId>,
    decision: Option<oneshot::Sender<OperatorDeed>>,
    commands: Option<mpsc::Sender<Command>>,
    sound: Option<mpsc::Sender<OpusPacket>>,
    data: Option<mpsc::Sender<Arc<str>>>,
    gauges: Arc<Gauges>,
    connected: bool,
}

impl Hub {
    /// No connections yet. What happens is told through `outlet`; what is seen is what is shown; a voice goes where `speak`
    /// takes it. Its tasks run on `runtime`.
    pub fn new(
        settings: HubSettings,
        outlet: Outlet,
        runtime: Handle,
        showing: Showing,
        speak: Option<Speak>,
    ) -> (Self, Operators) {
        let studio =
            StudioSettings { most_bps: settings.most_bps, most_fps: settings.most_fps, most_rows: settings.most_rows };
        let studios = settings.cameras.iter().map(|(camera, name)| (*camera, Studio::new(name.clone(), studio)));
        let studios = studios.collect();
        let (inside, changed) = (Mutex::default(), Notify::new());
        let hub = Self(Arc::new(Shared { settings, outlet, runtime, showing, speak, studios, inside, changed }));
        let (world, ordered) = operators();
        let (carries, feeds) = (hub.clone(), hub.clone());
        hub.0.runtime.spawn(async move { carries.carry_out(ordered).await });
        hub.0.runtime.spawn(async move { feeds.feed().await });
        (hub, world)
    }

    /// Brings an offer before the world, and answers it if it is accepted. It goes on where whoever asks has gone.
    ///
    /// # Errors
    /// When it cannot be read or met, or is refused.
    pub async fn offer(&self, asked: Asked) -> Result<Answered, Refusal> {
        let wants = offer::read(&asked.sdp)?;
        if let Some(name) = &asked.camera
            && !self.0.settings.cameras.iter().any(|(_, known)| known == name)
        {
            return Err(Refusal::Missing(format!("there is no camera `{}`", name.escape_debug())));
        }
        let hub = self.clone();
        let task = self.0.runtime.spawn(async move { hub.answer(asked, wants).await });
        task.await.unwrap_or_else(|_| Err(Refusal::Busy("the vehicle's program ends".to_owned())))
    }

    async fn answer(&self, asked: Asked, wants: offer::Wants) -> Result<Answered, Refusal> {
        let bytes = u32::try_from(asked.sdp.len()).unwrap_or(u32::MAX);
        let (decided, decision) = oneshot::channel();
        let (number, id) = self.enter(decided)?;
        let talk = wants.talk && asked.may_talk;
        let (video, audio, camera) = (wants.video, wants.audio, asked.camera);
        let offer = OperatorOffer { via: asked.via, camera, video, audio, talk, bytes };
        self.say(number, OperatorEvent::Offered(offer));
        let decision = tokio::time::timeout(DECISION, decision).await;
        let result = match decision {
            Ok(Ok(OperatorDeed::Accept { camera, audio, talk })) => {
                let wants = offer::Wants { video: wants.video && camera.is_some(), audio, talk, data: wants.data };
                self.open(number, id, camera, wants, asked.sdp).await
            }
            Ok(Ok(OperatorDeed::Refuse(why) | OperatorDeed::Close(why))) => Err(Refusal::Refused(why)),
            Ok(Ok(_) | Err(_)) => Err(Refusal::Busy("somebody else came at the same time".to_owned())),
            Err(_) => Err(Refusal::Busy("the vehicle does not decide: no tick is run".to_owned())),
        };
        self.inside().offers -= 1;
        if let Err(why) = &result {
            self.forget(number);
            // It may have been accepted.
            self.say(number, OperatorEvent::Gone(why.to_string()));
        }
        result
    }

    /// A new session, which waits for a decision.
    fn enter(&self, decision: oneshot::Sender<OperatorDeed>) -> Result<(u64, String), Refusal> {
        let id = random_id().ok_or_else(|| Refusal::Busy("the kernel gives no random numbers".to_owned()))?;
        let mut inside = self.inside();
        if inside.offers >= MOST_OFFERS {
            return Err(Refusal::Busy("too many offers at a time".to_owned()));
        }
        inside.offers += 1;
        inside.last += 1;
        let number = inside.last;
        let entry = Entry {
            id: id.clone(),
            camera: None,
            decision: Some(decision),
            commands: None,
            sound: None,
            data: None,
            gauges: Arc::default(),
            connected: false,
        };
        inside.entries.insert(number, entry);
        Ok((number, id))
    }

    async fn open(
        &self,
        number: u64,
        id: String,
        camera: Option<StreamId>,
        wants: offer::Wants,
        sdp: String,
    ) -> Result<Answered, Refusal> {
        let settings = &self.0.settings;
        let servers = self.servers(&format!("vehicle-{number}"));
        let setup = Setup { number, bind: settings.bind, servers, wants, most_bps: settings.most_bps };
        let seed = random_id().and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok()).unwrap_or(number);
        let opened = peer::open(&setup, seed, sdp).await.map_err(|error| match error {
            OpenError::Offer(_) => Refusal::Unusable(error.to_string()),
            OpenError::Here(_) => Refusal::Busy(error.to_string()),
        })?;
        let answer = opened.answer.clone();
        let (commands, commanded) = mpsc::channel(WAITING.3);
        let (sink, pictures) = mpsc::channel(WAITING.0);
        let (sound, heard) = mpsc::channel(WAITING.1);
        let (data, told) = mpsc::channel(WAITING.2);
        let wanted = self.settle(number, |entry| {
            entry.camera = camera.filter(|_| wants.video);
            entry.commands = Some(commands);
            entry.sound = wants.audio.then_some(sound);
            entry.data = wants.data.then_some(data);
            entry.gauges = opened.gauges.clone();
        });
        if !wanted {
            opened.abandon().await;
            return Err(Refusal::Refused("somebody else watches instead".to_owned()));
        }
        let ends = Ends { commands: commanded, pictures, sound: heard, data: told, sink };
        let hub = self.clone();
        self.0.runtime.spawn(async move {
            let why = peer::run(opened, hub.clone(), ends).await;
            tracing::info!("operators: session {number} has ended: {why}");
            hub.forget(number);
            hub.say(number, OperatorEvent::Gone(why));
        });
        Ok(Answered { id, sdp: answer })
    }

    /// Completes a session, unless somebody has taken its place meanwhile.
    fn settle(&self, number: u64, complete: impl FnOnce(&mut Entry)) -> bool {
        self.inside().entries.get_mut(&number).map(complete).is_some()
    }

    /// Adds addresses at which the other end can be reached.
    ///
    /// # Errors
    /// When they cannot be read, or there is no such session.
    pub fn candidates(&self, id: &str, fragment: &str) -> Result<(), Refusal> {
        let candidates = offer::candidates(fragment)?;
        self.command(id, Command::Candidates(candidates))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn end(&self, id: &str, why: &str) -> Result<(), Refusal> {
        self.command(id, Command::Close(why.to_owned()))
    }

    fn command(&self, id: &str, command: Command) -> Result<(), Refusal> {
        let inside = self.inside();
        let entry = inside.entries.values().find(|entry| entry.id == id);
        let commands = entry.and_then(|entry| entry.commands.as_ref());
        let missing = || Refusal::Missing("there is no such session".to_owned());
        commands.ok_or_else(missing)?.try_send(command).map_err(|_| Refusal::Busy("it has too much to do".to_owned()))
    }

    /// The sessions that there are.
    pub fn readings(&self) -> Vec<PeerReading> {
        use std::sync::atomic::Ordering::Relaxed;
        let name = |camera: StreamId| {
            let known = self.0.settings.cameras.iter().find(|(stream, _)| *stream == camera);
            known.map(|(_, name)| name.clone())
        };
        let (inside, now) = (self.inside(), instant());
        let reading = |(number, entry): (&u64, &Entry)| PeerReading {
            session: *number,
            camera: entry.camera.and_then(name),
            connected: entry.connected,
            target_bps: entry.gauges.target_bps.load(Relaxed),
            sent_bytes: entry.gauges.sent_bytes.load(Relaxed),
            sent_again: entry.gauges.sent_again.load(Relaxed),
            keyframes_asked: entry.gauges.keyframes_asked.load(Relaxed),
            keyframe_wait_ms: entry.gauges.longest_for_keyframe(now).as_secs_f64() * 1e3,
            reports_packets: entry.gauges.reports_packets.load(Relaxed),
            voice_delay_ms: entry.gauges.voice_delay().map(|delay| delay.as_secs_f64() * 1e3),
        };
        inside.entries.iter().map(reading).collect()
    }

    /// Servers that help to find a way, with what lets `name` use them for a while.
    pub fn servers(&self, name: &str) -> Vec<IceServer> {
        let settings = &self.0.settings;
        let stun = IceServer { urls: settings.stun.clone(), ..IceServer::default() };
        let turn = settings.turn.as_ref().map(|turn| turn.server(name, crate::clock::utc_seconds()));
        std::iter::once(stun).filter(|stun| !stun.urls.is_empty()).chain(turn).collect()
    }

    /// Waits until there is no session of this name.
    pub async fn gone(&self, id: &str) {
        self.until(|inside| !inside.entries.values().any(|entry| entry.id == id)).await;
    }

    /// Comes back when the sessions are as `is_so` wants them.
    async fn until(&self, is_so: impl Fn(&Inside) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Told of what changes from here on, also before it is waited for.
            changed.as_mut().enable();
            if is_so(&self.inside()) {
                break;
            }
            changed.await;
        }
    }

    /// Ends all sessions, and gives their last words a moment to leave.
    pub fn stop(&self) {
        let commands: Vec<_> = self.inside().entries.values().filter_map(|entry| entry.commands.clone()).collect();
        if commands.is_empty() {
            return;
        }
        for command in commands {
            let _ = command.try_send(Command::Close("the vehicle's program ends".to_owned()));
        }
        let gone = self.until(|inside| inside.entries.is_empty());
        let _ = self.0.runtime.block_on(async { tokio::time::timeout(Duration::from_millis(300), gone).await });
    }

    /// Tells the world what has come of a session.
    pub(super) fn say(&self, session: u64, event: OperatorEvent) {
        let at = boottime();
        // It fails where the program ends.
        let _ = self.0.outlet.send(at, Payload::Operator(OperatorSaid { session, at, event }));
    }

    /// Lets a voice be heard, and gives how long that takes, if it is known.
    pub(super) fn speak(&self, session: u64, at: u64, pcm: &[i16]) -> Option<Duration> {
        let speak = self.0.speak.as_ref()?;
        // Voices are far from each other, so that none is taken for what another one said late.
        speak(at + (session << 40), pcm)
    }

    /// A session is connected: it watches from now on.
    pub(super) fn connected(&self, session: u64, sink: mpsc::Sender<Arc<Picture>>, gauges: Arc<Gauges>, sound: bool) {
        let camera = {
            let mut inside = self.inside();
            let Some(entry) = inside.entries.get_mut(&session) else { return };
            entry.connected = true;
            entry.camera
        };
        tracing::info!("operators: session {session} is connected");
        if let Some(studio) = camera.and_then(|camera| self.0.studios.get(&camera)) {
            studio.enter(session, sink, gauges, sound);
        }
        self.0.changed.notify_waiters();
        self.say(session, OperatorEvent::Connected);
    }

    fn forget(&self, session: u64) {
        let gone = self.inside().entries.remove(&session);
        if let Some(studio) = gone.and_then(|entry| entry.camera).and_then(|camera| self.0.studios.get(&camera)) {
            studio.leave(session);
        }
        self.0.changed.notify_waiters();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 random bits of the kernel's, as 32 hexadecimal digits less those that name the version.
fn random_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").ok()?;
    let id: String = text.trim().chars().filter(char::is_ascii_hexdigit).collect();
    (id.len() == 32).then_some(id)
}
