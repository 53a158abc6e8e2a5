//! What the other end says of pictures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

use super::super::rates::ByLoss;
use super::{Belt, Gauges, is_of_pictures, taken_from_belt};

/// A whole picture in place of packets that are not sent again is wanted no more often: on a link that is full it makes things
/// worse.
const INSTEAD: Duration = Duration::from_secs(1);

/// Share of the link that may go to packets that are sent again.
const AGAIN_SHARE: f64 = 0.25;

/// Retransmissions that may come at once.
const AGAIN_AT_ONCE: f64 = 15.0;

/// Where at least so many may be sent again still, each is sent twice: the link loses by chance, and loses one in so many of those
/// as well. The other end would ask for it once more after about 100 ms, for which pictures stand still.
const TWICE_FROM: f64 = 8.0;

/// Packets of which it is remembered that they were sent again, and for how long at least.
const REMEMBERED: (usize, Duration) = (2048, Duration::from_secs(2));

/// Hears what the other end says of pictures: requests, reports, and which packets it lacks. Those that it reports lost are
/// asked for in its place.
pub(in super::super) struct Listener {
    gauges: Arc<Gauges>,
    by_loss: ByLoss,
    reported: Option<Instant>,
    /// Streams of pictures.
    pictures: Vec<u32>,
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
            pictures: Vec::new(),
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
        if self.sent_again.len() > REMEMBERED.0 {
            self.sent_again.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED.1);
        }
    }

    /// What is sent again of what is asked for.
    fn asked(&mut self, now: Instant, asked: &TransportLayerNack) -> TransportLayerNack {
        let numbers = asked.nacks.iter().flat_map(|pair| {
            let others = (0..16).filter(|bit| pair.lost_packets & (1 << bit) != 0);
            std::iter::once(pair.packet_id).chain(others.map(|bit| pair.packet_id.wrapping_add(bit + 1)))
        });
        let nacks = self.within_budget(now, numbers, self.gauges.again());
        TransportLayerNack { sender_ssrc: asked.sender_ssrc, media_ssrc: asked.media_ssrc, nacks }
    }

    /// What is sent again though it was not asked for: whoever reports a packet lost asks for it as well, but that can be lost
    /// too, and is said again only after about 100 ms.
    fn reported_lost(&mut self, now: Instant) -> Vec<TransportLayerNack> {
        let losses = self.gauges.losses();
        if losses.is_empty() {
            return Vec::new();
        }
        self.refill(now);
        let mut asked = Vec::new();
        for stream in self.pictures.clone() {
            let of_it = losses.iter().filter(|(of, _)| *of == stream).map(|(_, number)| *number);
            let nacks = self.within_budget(now, of_it, REMEMBERED.1);
            if !nacks.is_empty() {
                asked.push(TransportLayerNack { sender_ssrc: 0, media_ssrc: stream, nacks });
            }
        }
        asked
    }

    /// What is sent again of these, some of it twice; nothing that was within the time `lately`, and nothing from before a whole
    /// picture. Where they are more than may be sent, a whole picture is sent in the place of them all, if there was none lately.
    fn within_budget(&mut self, now: Instant, numbers: impl Iterator<Item = u16>, lately: Duration) -> Vec<NackPair> {
        let lately = |at: &Instant| now.saturating_duration_since(*at) < lately;
        let is_wanted =
            |number: &u16| !self.sent_again.get(number).is_some_and(lately) && !self.gauges.is_superseded(*number, now);
        let wanted: Vec<u16> = numbers.filter(is_wanted).collect();
        let too_many = wanted.len() as f64 > self.allowance;
        match self.instead.filter(|last| now.saturating_duration_since(*last) < INSTEAD) {
            // It is being made.
            Some(last) if !self.gauges.had_keyframe(last) => return Vec::new(),
            None if too_many => {
                self.instead = Some(now);
                self.gauges.want_keyframe();
                return Vec::new();
            }
            _ => {}
        }
        let mut nacks = Vec::new();
        for number in wanted {
            if self.allowance < 1.0 {
                break;
            }
            let times = if self.allowance >= TWICE_FROM { 2 } else { 1 };
            self.allowance -= f64::from(times);
            self.sent_again.insert(number, now);
            nacks.extend((0..times).map(|_| NackPair { packet_id: number, lost_packets: 0 }));
        }
        nacks
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
            let mut more = Vec::new();
            for part in parts.iter_mut() {
                let any = part.as_any();
                if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
                    self.gauges.asked_for_keyframe(now);
                } else if let Some(asked) = any.downcast_ref::<TransportLayerNack>() {
                    self.refill(now);
                    let kept = self.asked(now, asked);
                    *part = Box::new(kept);
                } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                    self.report(now, report);
                } else if any.is::<TransportLayerCc>() {
                    self.gauges.reports_packets.store(true, Ordering::Relaxed);
                    // The estimator has read it already.
                    more.extend(self.reported_lost(now));
                } else if let Some(told) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                    let target = self.by_loss.told(told.bitrate.into());
                    if !self.gauges.reports_packets.load(Ordering::Relaxed) {
                        self.gauges.set_target(target);
                    }
                }
            }
            parts.extend(more.into_iter().map(|nack| Box::new(nack) as Box<dyn rtc::rtcp::Packet>));
        }
        self.belt.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if packet.message.has(&Attribute::Retransmission) {
            self.gauges.sent_again.fetch_add(1, Ordering::Relaxed);
        }
        self.belt.write.push_back(packet);
        Ok(())
    }

    taken_from_belt!();
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, stream: &StreamInfo) {
        if is_of_pictures(stream) {
            self.pictures.push(stream.ssrc);
        }
    }

    fn unbind_local_stream(&mut self, stream: &StreamInfo) {
        self.pictures.retain(|ssrc| *ssrc != stream.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests;
