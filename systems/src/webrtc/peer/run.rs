//! A connection from its answer to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use waywarden_components::prelude::*;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{RTCIceCandidateInit, RTCPeerConnectionState, StatsSelector};

use super::super::hub::Hub;
use super::super::offer::MOST_CANDIDATES;
use super::super::rates::{Playout, for_data};
use super::super::scene_data::{self, farewell};
use super::super::talk::{Ear, FLOOR_DBFS, Piece};
use super::open::{Event, Opened};
use super::{Command, Ends};
use crate::clock::instant;

/// How often a connection looks after itself.
const LOOK: Duration = Duration::from_millis(200);

/// How often the world is told how the link is: each so manieth look.
const LINK: u32 = 5;

/// Requests for a picture that stands alone are passed on no more often.
const KEYFRAMES: Duration = Duration::from_millis(150);

/// A voice is over when it was quiet for so long.
const QUIET: Duration = Duration::from_millis(800);

/// How often the world is told how loud a voice is.
const LEVEL: Duration = Duration::from_millis(400);

/// Pieces of a voice that wait until it is decided whether it is heard: a fifth of a second.
const PENDING: usize = 10;

/// Pieces of a voice that may wait for the connection.
const WAITING_VOICE: usize = 32;

/// Data channels that the other end may open.
const MOST_CHANNELS: usize = 4;

/// How long what was said last has to leave before the connection is closed.
const FAREWELL: Duration = Duration::from_millis(80);

/// A voice that comes in.
#[derive(Default)]
struct Voice {
    /// Whether it is heard in the vehicle.
    heard: bool,
    /// When it was last loud; none while it is quiet.
    loud: Option<Instant>,
    /// The loudest since it was told.
    level: f32,
    told: Option<Instant>,
    pending: VecDeque<Piece>,
}

struct Running {
    opened: Opened,
    hub: Hub,
    data: Option<Arc<dyn DataChannel>>,
    channels: usize,
    /// Bytes that may go over the data channel now.
    allowance: f64,
    refilled: Instant,
    voice: Voice,
    pieces: Sender<Piece>,
    candidates: usize,
    keyframe: Option<Instant>,
    playout: Playout,
    connected: bool,
}

/// Carries a connection until it ends, and says why it did.
pub(in super::super) async fn run(opened: Opened, hub: Hub, mut ends: Ends) -> String {
    let (pieces, mut heard) = channel(WAITING_VOICE);
    let mut running = Running {
        opened,
        hub,
        data: None,
        channels: 0,
        allowance: 0.0,
        refilled: instant(),
        voice: Voice::default(),
        pieces,
        candidates: 0,
        keyframe: None,
        playout: Playout::default(),
        connected: false,
    };
    let why = running.work(&mut ends, &mut heard).await;
    // Told before, if there was anything to tell.
    let _ = running.opened.connection.close().await;
    why
}

impl Running {
    async fn work(&mut self, ends: &mut Ends, heard: &mut Receiver<Piece>) -> String {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut sent) = (0u32, 0);
        let gauges = self.opened.gauges.clone();
        for event in std::mem::take(&mut self.opened.early) {
            if let Some(why) = self.happened(event, ends).await {
                return why;
            }
        }
        loop {
            tokio::select! {
                biased;
                command = ends.commands.recv() => match command {
                    Some(Command::Close(why)) => {
                        self.say(&farewell(&why)).await;
                        tokio::time::sleep(FAREWELL).await;
                        return why;
                    }
                    Some(command) => self.obey(command).await,
                    None => return "the vehicle's program ends".to_owned(),
                },
                event = self.opened.events.recv() => match event {
                    Some(event) => if let Some(why) = self.happened(event, ends).await { return why },
                    None => return "the connection is gone".to_owned(),
                },
                Some(piece) = heard.recv() => self.speak(piece),
                Some(packet) = ends.sound.recv() => if self.connected && let Some(sound) = &mut self.opened.sound {
                    let lost = sound.send(packet.timestamp, &[packet.data]).await.is_err();
                    if lost { return "the connection has ended".to_owned() }
                },
                Some(text) = ends.data.recv() => self.tell(&text).await,
                Some(picture) = ends.pictures.recv() => if let Some(video) = &mut self.opened.video {
                    let timestamp = rtp_time(picture.captured);
                    let lost = video.send(timestamp, &picture.payloads).await.is_err();
                    if lost { return "the connection has ended".to_owned() }
                },
                () = gauges.wanted.notified() => self.ask_for_keyframe(),
                _ = look.tick() => {
                    self.ask_for_keyframe();
                    self.fall_silent();
                    looks += 1;
                    if looks.is_multiple_of(LINK) && self.connected {
                        let bytes = gauges.sent_bytes.load(Ordering::Relaxed);
                        let link = self.link(bytes - sent).await;
                        sent = bytes;
                        self.show();
                        if self.voice.heard {
                            self.answer_voice().await;
                        }
                        self.hub.say(self.opened.number, OperatorEvent::Link(link));
                    }
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Candidates(candidates) => {
                for candidate in candidates {
                    self.candidates += 1;
                    if self.candidates > MOST_CANDIDATES {
                        return;
                    }
                    let sdp_mid = candidate.mid;
                    let init = RTCIceCandidateInit { candidate: candidate.text, sdp_mid, ..Default::default() };
                    // One that cannot be used is one way less.
                    let _ = self.opened.connection.add_ice_candidate(init).await;
                }
            }
            Command::Hear(heard) => {
                self.voice.heard = heard;
                for piece in std::mem::take(&mut self.voice.pending).into_iter().filter(|_| heard) {
                    self.let_hear(&piece);
                }
                if !heard {
                    self.opened.gauges.voice_waits_us.store(0, Ordering::Relaxed);
                }
                self.answer_voice().await;
            }
            // Obeyed where it is heard.
            Command::Close(_) => {}
        }
    }

    /// Says why it has ended, if it has.
    async fn happened(&mut self, event: Event, ends: &Ends) -> Option<String> {
        match event {
            Event::State(RTCPeerConnectionState::Connected) if !self.connected => {
                self.connected = true;
                let (number, gauges) = (self.opened.number, self.opened.gauges.clone());
                self.hub.connected(number, ends.sink.clone(), gauges, self.opened.sound.is_some());
            }
            Event::State(RTCPeerConnectionState::Failed) => return Some("nothing comes from it any more".to_owned()),
            Event::State(RTCPeerConnectionState::Closed) => return Some("it was closed by the other end".to_owned()),
            Event::Data(channel) if self.channels < MOST_CHANNELS => {
                self.channels += 1;
                let is_ours = channel.label().await.is_ok_and(|label| label == "scene");
                if is_ours || self.data.is_none() {
                    self.data = Some(channel.clone());
                }
                // What the other end says is not listened to, and taken all the same: it would wait.
                tokio::spawn(async move {
                    while let Some(event) = channel.poll().await {
                        if matches!(event, DataChannelEvent::OnClose) {
                            break;
                        }
                    }
                });
            }
            Event::Track(track) if self.opened.talk => {
                tokio::spawn(listen(track, self.pieces.clone()));
            }
            _ => {}
        }
        None
    }

    /// Sends what is known of a picture, as far as the link has room for it.
    async fn tell(&mut self, text: &str) {
        let now = instant();
        let rate = for_data(self.opened.gauges.target_bps.load(Ordering::Relaxed));
        self.allowance += rate * now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        // A second's worth may have gathered, or the one message that is to be sent.
        self.allowance = self.allowance.min(rate.max(text.len() as f64));
        if self.allowance >= text.len() as f64 {
            self.allowance -= text.len() as f64;
            self.say(text).await;
        }
    }

    async fn say(&self, text: &str) {
        if let Some(data) = &self.data {
            // Full: what comes next is newer anyhow. The error may hold the text, and is told nobody.
            let _ = data.try_send_text(text).await;
        }
    }

    /// Says what becomes of the operator's own voice.
    async fn answer_voice(&self) {
        let (voice, gauges) = (&self.voice, &self.opened.gauges);
        self.say(&scene_data::voice(voice.heard, Some(voice.level).filter(|_| voice.heard), gauges.voice_delay()))
            .await;
    }

    fn let_hear(&self, piece: &Piece) {
        let waits = self.hub.speak(self.opened.number, piece.at, &piece.pcm).unwrap_or_default();
        let micros = u32::try_from(waits.as_micros()).unwrap_or(u32::MAX);
        self.opened.gauges.voice_waits_us.store(micros, Ordering::Relaxed);
    }

    fn ask_for_keyframe(&mut self) {
        let now = instant();
        let lately = self.keyframe.is_some_and(|last| now.saturating_duration_since(last) < KEYFRAMES);
        if !lately && self.opened.gauges.keyframe.swap(false, Ordering::Relaxed) {
            self.keyframe = Some(now);
            self.hub.say(self.opened.number, OperatorEvent::KeyframeWanted);
        }
    }

    fn speak(&mut self, piece: Piece) {
        let (now, number, voice) = (instant(), self.opened.number, &mut self.voice);
        if piece.level_dbfs > FLOOR_DBFS {
            let begins = voice.loud.replace(now).is_none();
            voice.level = if begins { piece.level_dbfs } else { voice.level.max(piece.level_dbfs) };
            if begins || voice.told.is_none_or(|told| now.saturating_duration_since(told) >= LEVEL) {
                self.hub.say(number, OperatorEvent::Speaks(voice.level));
                (voice.told, voice.level) = (Some(now), piece.level_dbfs);
            }
        }
        if voice.heard {
            self.let_hear(&piece);
        } else if voice.loud.is_some() {
            if voice.pending.len() >= PENDING {
                voice.pending.pop_front();
            }
            voice.pending.push_back(piece);
        }
    }

    fn fall_silent(&mut self) {
        let quiet = |loud: Instant| instant().saturating_duration_since(loud) >= QUIET;
        if self.voice.loud.is_some_and(quiet) {
            self.voice.loud = None;
            self.voice.pending.clear();
            self.hub.say(self.opened.number, OperatorEvent::Silent);
        }
    }

    /// Says when pictures are to be shown.
    fn show(&mut self) {
        let gauges = &self.opened.gauges;
        let lost = f64::from(gauges.lost_lately_ppm.load(Ordering::Relaxed)) / 1e6;
        let rtt = Duration::from_micros(gauges.rtt_us.load(Ordering::Relaxed).into());
        let (least, most) = self.playout.choose(lost, rtt);
        if let Some(video) = &mut self.opened.video {
            video.show(least, most);
        }
    }

    async fn link(&self, bytes: u64) -> OperatorLink {
        let gauges = &self.opened.gauges;
        let report = self.opened.connection.get_stats(instant(), StatsSelector::None).await;
        let rtt = report.candidate_pairs().filter(|pair| pair.nominated).map(|pair| pair.current_round_trip_time);
        let rtt = rtt.fold(0.0_f64, f64::max);
        gauges.rtt_us.store((rtt * 1e6) as u32, Ordering::Relaxed);
        let seconds = (LOOK * LINK).as_secs_f64();
        OperatorLink {
            target_bps: gauges.target_bps.load(Ordering::Relaxed),
            sent_bps: (bytes as f64 * 8.0 / seconds) as u32,
            lost: gauges.lost_ppm.load(Ordering::Relaxed) as f32 / 1e6,
            rtt_ms: rtt as f32 * 1000.0,
            waiting_ms: gauges.waiting().as_secs_f32() * 1000.0,
            reports_packets: gauges.reports_packets.load(Ordering::Relaxed),
        }
    }
}

/// When a picture was taken, as RTP counts it: 90 kHz, in 32 bits. It begins nowhere else, so that whoever sees a picture knows
/// which of those it is that are told of over the data channel.
fn rtp_time(captured: Mono) -> u32 {
    (u128::from(captured.as_nanos()) * 9 / 100_000) as u32
}

/// Decodes a voice until it ends, or nobody listens any more.
async fn listen(track: Arc<dyn TrackRemote>, pieces: Sender<Piece>) {
    let is_sound = track.kind().await == rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Audio;
    let Ok(mut ear) = Ear::new() else { return };
    while let Some(event) = track.poll().await {
        match event {
            TrackRemoteEvent::OnRtpPacket(packet) if is_sound => {
                let Some(piece) = ear.hear(&packet) else { continue };
                if let Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) = pieces.try_send(piece) {
                    return;
                }
            }
            TrackRemoteEvent::OnEnded => return,
            _ => {}
        }
    }
}
