//! The link to one operator: what it carries, what it asks for, and when packets leave. Interceptors of the connection, and
//! the gauges that they write.
//!
//! The library has an estimator and a responder to lost packets. What it lacks is here: pictures leave at the rate of the link
//! while sound goes first, retransmissions have a budget, requests for a picture that stands alone are heard wherever they
//! stand in a compound packet, and a report that is lost on its way makes no losses of the packets that it spoke of.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rtc::interceptor::{StreamInfo, TaggedPacket};
use tokio::sync::Notify;

pub(super) use self::listener::Listener;
pub(super) use self::pacer::Pacer;
pub(super) use self::reports::Reports;

mod listener;
mod pacer;
mod reports;

/// The same packet is sent again no sooner than after the time there and back and a little more, within these limits: before that
/// it may be on its way.
const AGAIN: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

/// Reported losses that may wait to be read; more are the other end's to ask for.
const LOSSES: usize = 64;

/// How a link is. Written by its interceptors, read by whoever sends over it.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// What it is believed to carry, in bits a second.
    pub target_bps: AtomicU32,
    /// Bytes of media that left.
    pub sent_bytes: AtomicU64,
    /// Packets that were sent again.
    pub sent_again: AtomicU64,
    /// Microseconds for which the newest packet of a picture will wait.
    pub waiting_us: AtomicU32,
    /// Microseconds there and back; 0 where it is not known.
    pub rtt_us: AtomicU32,
    /// Microseconds that a voice waits in the vehicle until it is heard; 0 while it is not.
    pub voice_waits_us: AtomicU32,
    /// Share of packets that were lost, in millionths.
    pub lost_ppm: AtomicU32,
    /// The same over about ten seconds.
    pub lost_lately_ppm: AtomicU32,
    /// Whether the other end reports each packet.
    pub reports_packets: AtomicBool,
    /// Whether a picture that stands alone is wanted.
    pub keyframe: AtomicBool,
    /// Told when one is.
    pub wanted: Notify,
    /// Requests for one.
    pub keyframes_asked: AtomicU64,
    /// How long they wait for it.
    pub patience: Mutex<Patience>,
    /// The newest one: its first packet, by its number in its stream, and when that came to be sent; none before the first.
    newest_keyframe: Mutex<Option<(u16, Instant)>>,
    /// The first packet of which the newest report speaks, by its number on the whole link (transport-wide).
    pub reported_from: AtomicU32,
    /// Packets that were reported lost and that nobody has looked at yet: their stream, and their number in it.
    pub losses: Mutex<Vec<(u32, u16)>>,
}

/// So long is it remembered where a picture that stands alone began: nobody asks for what is older.
const SUPERSEDES: Duration = Duration::from_secs(5);

/// How long the other end waits for a picture that stands alone.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since when, where it waits.
    since: Option<Instant>,
    /// The longest that it did.
    longest: Duration,
}

impl Gauges {
    /// How long the operator's voice takes until it is heard, if it is.
    pub fn voice_delay(&self) -> Option<Duration> {
        let waits = self.voice_waits_us.load(Ordering::Relaxed);
        let way = self.rtt_us.load(Ordering::Relaxed) / 2;
        (waits > 0).then(|| Duration::from_micros(u64::from(waits) + u64::from(way)))
    }

    /// The other end asks for a picture that stands alone.
    fn asked_for_keyframe(&self, now: Instant) {
        self.keyframes_asked.fetch_add(1, Ordering::Relaxed);
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).since.get_or_insert(now);
        self.want_keyframe();
    }

    /// The first packet of one leaves.
    fn keyframe_leaves(&self, now: Instant) {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = patience.since.take() {
            patience.longest = patience.longest.max(now.saturating_duration_since(since));
        }
    }

    /// A picture that stands alone begins with the packet of this number.
    fn keyframe_begins(&self, number: u16, now: Instant) {
        *self.newest_keyframe() = Some((number, now));
    }

    fn newest_keyframe(&self) -> MutexGuard<'_, Option<(u16, Instant)>> {
        self.newest_keyframe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one has come to be sent since.
    fn had_keyframe(&self, since: Instant) -> bool {
        self.newest_keyframe().is_some_and(|(_, at)| at >= since)
    }

    /// Whether a picture that stands alone has been made since the packet of this number: nobody needs it any more.
    fn is_superseded(&self, number: u16, now: Instant) -> bool {
        // Numbers go round, in minutes: of two the nearer way tells which is later, as long as the older one is not old.
        self.newest_keyframe().is_some_and(|(newest, at)| {
            let is_new = now.saturating_duration_since(at) < SUPERSEDES;
            is_new && number != newest && newest.wrapping_sub(number) < 1 << 15
        })
    }

    /// The longest that the other end has waited for a picture that stands alone, from its request to the first packet; up to
    /// now where it waits still.
    pub fn longest_for_keyframe(&self, now: Instant) -> Duration {
        let patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let now = patience.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        patience.longest.max(now)
    }

    /// How long pictures wait before they leave.
    pub fn waiting(&self) -> Duration {
        Duration::from_micros(self.waiting_us.load(Ordering::Relaxed).into())
    }

    /// How long a packet that was sent again may be on its way.
    fn again(&self) -> Duration {
        match self.rtt_us.load(Ordering::Relaxed) {
            0 => AGAIN.1,
            rtt => Duration::from_micros(u64::from(rtt) * 6 / 5 + 10_000).clamp(AGAIN.0, AGAIN.1),
        }
    }

    fn want_keyframe(&self) {
        self.keyframe.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// Whether the newest report speaks of the packet with this number on the whole link, or of later ones only.
    pub fn is_reported(&self, number: u16) -> bool {
        let from = self.reported_from.load(Ordering::Relaxed) as u16;
        // Numbers go round: of two the nearer way tells which is later.
        number.wrapping_sub(from) < 1 << 15
    }

    /// A packet was reported lost.
    pub fn lost(&self, stream: u32, number: u16) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if losses.len() < LOSSES {
            losses.push((stream, number));
        }
    }

    /// Those that were reported lost since the last time.
    fn losses(&self) -> Vec<(u32, u16)> {
        std::mem::take(&mut *self.losses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it is believed to carry.
    pub fn set_target(&self, bps: f64) {
        self.target_bps.store(bps.max(0.0) as u32, Ordering::Relaxed);
    }
}

/// Packets on their way through an interceptor.
#[derive(Default)]
struct Belt {
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

/// What goes on is what lies on the belt: these two methods of an interceptor are always the same.
macro_rules! taken_from_belt {
    () => {
        fn poll_read(&mut self) -> Option<TaggedPacket> {
            self.belt.read.pop_front()
        }

        fn poll_write(&mut self) -> Option<TaggedPacket> {
            self.belt.write.pop_front()
        }
    };
}
use taken_from_belt;

fn is_of_pictures(stream: &StreamInfo) -> bool {
    stream.mime_type.to_ascii_lowercase().starts_with("video/")
}
