//! The link to one operator: what it carries, what it asks for, and when packets leave. Interceptors of the connection, and
//! the gauges that they write.
//!
//! The library has an estimator and a responder to lost packets. What it lacks is here: pictures leave at the rate of the link
//! while sound goes first, retransmissions have a budget, and requests for a picture that stands alone are heard wherever they
//! stand in a compound packet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use tokio::sync::Notify;

use super::rates::ByLoss;

/// The same packet is sent again no sooner than after the time there and back and a little more, within these limits: before that
/// it may be on its way.
const AGAIN: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

/// A whole picture in place of packets that are not sent again is wanted no more often: on a link that is full it makes things
/// worse.
const INSTEAD: Duration = Duration::from_secs(1);

/// Share of the link that may go to packets that are sent again.
const AGAIN_SHARE: f64 = 0.25;

/// Retransmissions that may come at once.
const AGAIN_AT_ONCE: f64 = 15.0;

/// Packets of which it is remembered that they were sent again.
const REMEMBERED: usize = 2048;

/// Pictures leave so many times as fast as the link is believed to carry: a picture that stands alone is many times as large as
/// the others, and must not wait for its average.
const PACE: f64 = 1.2;

/// Least pace, in bits a second: less than the narrowest link on which there are pictures at all, beside sound and data.
const LEAST_PACE: f64 = 60_000.0;

/// What may leave at once, as time of the pace.
const BURST: Duration = Duration::from_millis(10);

/// Pictures that wait for longer are given up, all of them: newer ones are worth more.
const LONGEST_WAIT: Duration = Duration::from_millis(700);

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
    /// Share of packets that were lost, in millionths.
    pub lost_ppm: AtomicU32,
    /// Whether the other end reports each packet.
    pub reports_packets: AtomicBool,
    /// Whether a picture that stands alone is wanted.
    pub keyframe: AtomicBool,
    /// Requests for one.
    pub keyframes_asked: AtomicU64,
    /// Told when one is.
    pub wanted: Notify,
}

impl Gauges {
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

    pub(super) fn set_target(&self, bps: f64) {
        self.target_bps.store(bps.max(0.0) as u32, Ordering::Relaxed);
    }
}

/// Packets on their way through an interceptor.
#[derive(Default)]
struct Belt {
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

/// Hears what the other end says of pictures: requests, reports, and which packets it lacks.
pub(super) struct Listener {
    gauges: Arc<Gauges>,
    by_loss: ByLoss,
    reported: Option<Instant>,
    /// When a whole picture was last wanted in place of packets.
    instead: Option<Instant>,
    /// When a packet was last sent again.
    sent_again: BTreeMap<u16, Instant>,
    /// Packets that may be sent again now.
    allowance: f64,
    refilled: Option<Instant>,
    belt: Belt,
}

impl Listener {
    /// For a link that is judged so where the other end reports no packets.
    pub fn new(gauges: Arc<Gauges>, by_loss: ByLoss) -> Self {
        gauges.set_target(by_loss.target_bps());
        Self {
            gauges,
            by_loss,
            reported: None,
            instead: None,
            sent_again: BTreeMap::new(),
            allowance: AGAIN_AT_ONCE,
            refilled: None,
            belt: Belt::default(),
        }
    }

    fn refill(&mut self, now: Instant) {
        let packets = f64::from(self.gauges.target_bps.load(Ordering::Relaxed)) * AGAIN_SHARE / 9600.0;
        let passed = self.refilled.replace(now).map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64());
        self.allowance = (self.allowance + packets * passed).min(AGAIN_AT_ONCE.max(0.3 * packets));
        if self.sent_again.len() > REMEMBERED {
            self.sent_again.retain(|_, at| now.saturating_duration_since(*at) < AGAIN.1);
        }
    }

    /// What is sent again of what is asked for. For the rest a whole picture is sent.
    fn within_budget(&mut self, now: Instant, asked: &TransportLayerNack) -> TransportLayerNack {
        let numbers = asked.nacks.iter().flat_map(|pair| {
            let others = (0..16).filter(|bit| pair.lost_packets & (1 << bit) != 0);
            std::iter::once(pair.packet_id).chain(others.map(|bit| pair.packet_id.wrapping_add(bit + 1)))
        });
        let (mut nacks, again) = (Vec::new(), self.gauges.again());
        for number in numbers {
            let lately = |at: &Instant| now.saturating_duration_since(*at) < again;
            if self.sent_again.get(&number).is_some_and(lately) {
                continue;
            }
            if self.allowance < 1.0 {
                if self.instead.is_none_or(|last| now.saturating_duration_since(last) >= INSTEAD) {
                    self.instead = Some(now);
                    self.gauges.want_keyframe();
                }
                break;
            }
            self.allowance -= 1.0;
            self.sent_again.insert(number, now);
            nacks.push(NackPair { packet_id: number, lost_packets: 0 });
        }
        TransportLayerNack { sender_ssrc: asked.sender_ssrc, media_ssrc: asked.media_ssrc, nacks }
    }

    fn report(&mut self, now: Instant, report: &ReceiverReport) {
        if self.gauges.reports_packets.load(Ordering::Relaxed) {
            return;
        }
        let Some(worst) = report.reports.iter().map(|of| of.fraction_lost).max() else { return };
        let since = self.reported.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let lost = f64::from(worst) / 256.0;
        self.gauges.lost_ppm.store((lost * 1e6) as u32, Ordering::Relaxed);
        let target = self.by_loss.lost(lost, since);
        self.gauges.set_target(target);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        let now = packet.now;
        if let Packet::Rtcp(parts) = &mut packet.message.packet {
            for part in parts {
                let any = part.as_any();
                if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
                    self.gauges.keyframes_asked.fetch_add(1, Ordering::Relaxed);
                    self.gauges.want_keyframe();
                } else if let Some(asked) = any.downcast_ref::<TransportLayerNack>() {
                    self.refill(now);
                    let kept = self.within_budget(now, asked);
                    *part = Box::new(kept);
                } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                    self.report(now, report);
                } else if any.is::<TransportLayerCc>() {
                    self.gauges.reports_packets.store(true, Ordering::Relaxed);
                } else if let Some(told) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                    let target = self.by_loss.told(told.bitrate.into());
                    if !self.gauges.reports_packets.load(Ordering::Relaxed) {
                        self.gauges.set_target(target);
                    }
                }
            }
        }
        self.belt.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if packet.message.has(&Attribute::Retransmission) {
            self.gauges.sent_again.fetch_add(1, Ordering::Relaxed);
        }
        self.belt.write.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// Lets packets of pictures leave at the pace of the link. Everything else leaves at once.
pub(super) struct Pacer {
    gauges: Arc<Gauges>,
    /// Streams of pictures, and of pictures sent again.
    paced: Vec<u32>,
    waiting: VecDeque<TaggedPacket>,
    waiting_bits: f64,
    /// What may leave now, in bits; below zero where more has left.
    budget: f64,
    refilled: Option<Instant>,
    belt: Belt,
}

impl Pacer {
    /// For a link with these gauges.
    pub fn new(gauges: Arc<Gauges>) -> Self {
        Self {
            gauges,
            paced: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bits: 0.0,
            budget: 0.0,
            refilled: None,
            belt: Belt::default(),
        }
    }

    fn pace(&self) -> f64 {
        (f64::from(self.gauges.target_bps.load(Ordering::Relaxed)) * PACE).max(LEAST_PACE)
    }

    fn bits(packet: &TaggedPacket) -> f64 {
        match &packet.message.packet {
            Packet::Rtp(packet) => 8.0 * packet.marshal_size() as f64,
            _ => 0.0,
        }
    }

    fn release(&mut self, now: Instant) {
        let pace = self.pace();
        let passed = self.refilled.replace(now).map_or(BURST, |last| now.saturating_duration_since(last));
        self.budget = (self.budget + pace * passed.as_secs_f64()).min(pace * BURST.as_secs_f64());
        while self.budget >= 0.0 {
            let Some(mut packet) = self.waiting.pop_front() else { break };
            let bits = Self::bits(&packet);
            self.budget -= bits;
            self.waiting_bits -= bits;
            // It leaves now: the time that it waited here is none of the network's.
            packet.now = now;
            self.send(packet);
        }
        let wait = (self.waiting_bits.max(0.0) - self.budget.min(0.0)) / pace;
        if wait > LONGEST_WAIT.as_secs_f64() {
            self.waiting.clear();
            self.waiting_bits = 0.0;
            self.gauges.want_keyframe();
        }
        let wait = if self.waiting.is_empty() { 0.0 } else { wait };
        self.gauges.waiting_us.store((wait * 1e6) as u32, Ordering::Relaxed);
    }

    fn send(&mut self, packet: TaggedPacket) {
        if let Packet::Rtp(of) = &packet.message.packet {
            self.gauges.sent_bytes.fetch_add(of.marshal_size() as u64, Ordering::Relaxed);
        }
        self.belt.write.push_back(packet);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Pacer {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.belt.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let is_paced = matches!(&packet.message.packet, Packet::Rtp(of) if self.paced.contains(&of.header.ssrc));
        if !is_paced {
            self.send(packet);
            return Ok(());
        }
        let now = packet.now;
        self.waiting_bits += Self::bits(&packet);
        self.waiting.push_back(packet);
        self.release(now);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.release(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        // A moment after there is something to spend.
        let wait = Duration::from_secs_f64((-self.budget).max(0.0) / self.pace()) + Duration::from_micros(500);
        self.refilled.map(|last| last + wait)
    }
}

impl Interceptor for Pacer {
    fn bind_local_stream(&mut self, stream: &StreamInfo) {
        if stream.mime_type.to_ascii_lowercase().starts_with("video/") {
            self.paced.extend([Some(stream.ssrc), stream.ssrc_rtx].into_iter().flatten());
        }
    }

    fn unbind_local_stream(&mut self, stream: &StreamInfo) {
        self.paced.retain(|ssrc| *ssrc != stream.ssrc && Some(*ssrc) != stream.ssrc_rtx);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests;
