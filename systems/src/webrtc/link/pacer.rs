//! When packets leave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;

use super::{Belt, Gauges, is_of_pictures, taken_from_belt};

/// Pictures leave so many times as fast as the link is believed to carry: a picture that stands alone is many times as large as
/// the others, and must not wait for its average.
const PACE: f64 = 1.2;

/// Least pace, in bits a second: less than the narrowest link on which there are pictures at all, beside sound and data.
const LEAST_PACE: f64 = 60_000.0;

/// What may leave at once, as time of the pace.
const BURST: Duration = Duration::from_millis(10);

/// Pictures that wait for longer are given up, all of them: newer ones are worth more.
const LONGEST_WAIT: Duration = Duration::from_millis(700);

/// A picture that stands alone does not wait behind others that would for so long or longer: they are given up for it.
const SUPERSEDED: Duration = Duration::from_millis(100);

/// Kinds of units of H.264: parameters of the pictures that follow, and several units in one packet.
const SPS: u8 = 7;
const STAP_A: u8 = 24;

/// Lets packets of pictures leave at the pace of the link: those that are sent again first, since a picture that came in part
/// stands still until then. Everything else leaves at once.
pub(in super::super) struct Pacer {
    gauges: Arc<Gauges>,
    /// Streams of pictures, and of pictures sent again.
    paced: Vec<u32>,
    waiting: VecDeque<TaggedPacket>,
    /// Packets at the front of those that wait which are sent again.
    again: usize,
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
            again: 0,
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
            self.again = self.again.saturating_sub(1);
            let bits = Self::bits(&packet);
            self.budget -= bits;
            self.waiting_bits -= bits;
            // It leaves now: the time that it waited here is none of the network's.
            packet.now = now;
            if !packet.message.has(&Attribute::Retransmission) && keyframe_at(&packet).is_some() {
                self.gauges.keyframe_leaves(now);
            }
            self.send(packet);
        }
        let wait = (self.waiting_bits.max(0.0) - self.budget.min(0.0)) / pace;
        if wait > LONGEST_WAIT.as_secs_f64() {
            self.give_up();
            self.gauges.want_keyframe();
        }
        let wait = if self.waiting.is_empty() { 0.0 } else { wait };
        self.gauges.waiting_us.store((wait * 1e6) as u32, Ordering::Relaxed);
    }

    fn give_up(&mut self) {
        self.waiting.clear();
        self.again = 0;
        self.waiting_bits = 0.0;
    }

    fn send(&mut self, packet: TaggedPacket) {
        if let Packet::Rtp(of) = &packet.message.packet {
            self.gauges.sent_bytes.fetch_add(of.marshal_size() as u64, Ordering::Relaxed);
        }
        self.belt.write.push_back(packet);
    }
}

/// The number of this packet, if a picture that stands alone begins with it (RFC 6184): with its sequence parameter set.
fn keyframe_at(packet: &TaggedPacket) -> Option<u16> {
    let Packet::Rtp(of) = &packet.message.packet else { return None };
    let kind = |at: usize| of.payload.get(at).map(|head| head & 31);
    // Alone, or first of what is sent together (STAP-A), behind its length.
    let begins = kind(0) == Some(SPS) || kind(0) == Some(STAP_A) && kind(3) == Some(SPS);
    begins.then_some(of.header.sequence_number)
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

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let is_paced = matches!(&packet.message.packet, Packet::Rtp(of) if self.paced.contains(&of.header.ssrc));
        if !is_paced {
            self.send(packet);
            return Ok(());
        }
        let now = packet.now;
        let is_again = packet.message.has(&Attribute::Retransmission);
        if let (false, Some(number)) = (is_again, keyframe_at(&packet)) {
            self.gauges.keyframe_begins(number, now);
            if self.gauges.waiting() > SUPERSEDED {
                self.give_up();
            }
        }
        self.waiting_bits += Self::bits(&packet);
        if is_again {
            self.waiting.insert(self.again, packet);
            self.again += 1;
        } else {
            self.waiting.push_back(packet);
        }
        self.release(now);
        Ok(())
    }

    taken_from_belt!();

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
        if is_of_pictures(stream) {
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
