//! What the link to an operator carries, of reports of each packet: the library's estimator, and what it lacks.
//!
//! Google's congestion control (Carlucci et al., "Congestion Control for Web Real-Time Communication", 2017) compares delays of
//! groups of packets. The library's takes seconds to find out that a link has become much narrower, and comes back to a rate at
//! which a queue grows again. So the queue itself is watched: how much longer packets are on their way than the fastest of the
//! last seconds. While one stands, as much arrives as the link carries; a little less than that is the limit then, and it goes up
//! again slowly near the rate at which there was a queue, and quickly beyond.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rtc::interceptor::{BandwidthEstimator, EstimatorStats, Gcc, PacketReport};

use super::link::Gauges;

/// Over this time it is counted what was lost and what came through.
const LATELY: Duration = Duration::from_millis(400);

/// The queue that stands is the least of this time: less than what is sent in one go is no queue.
const STANDS: Duration = Duration::from_millis(150);

/// The fastest way of packets is looked for in so many seconds.
const WAYS: usize = 20;

/// A queue from here on is too long, in seconds; below [`CALM_S`] there is none.
const QUEUE_S: f64 = 0.08;
/// See [`QUEUE_S`].
const CALM_S: f64 = 0.03;

/// At least so many packets lost in [`LATELY`], and one in so many, are no chance but a queue that is full; and by so many standard
/// deviations more than the link loses anyway.
const MANY_LOST: usize = 6;
/// See [`MANY_LOST`].
const ONE_IN: usize = 12;
/// See [`MANY_LOST`].
const DEVIATIONS: f64 = 5.0;

/// What a link loses anyway is what it lost in about so long.
const ANYWAY: Duration = Duration::from_secs(10);

/// A packet that left before this and is lost is not worth sending again.
const FRESH: Duration = Duration::from_millis(500);

/// Of what comes through while a queue stands, so much is sent: the less, the longer it is.
const SHARES: (f64, f64) = (0.5, 0.85);

/// How the limit goes up, as a share each second: up to a little more than the rate at which there was a queue, and beyond.
const GROWTH: (f64, f64) = (0.04, 0.3);
/// See [`GROWTH`].
const BEYOND: f64 = 1.1;

/// Never limited to less, in bits a second.
const LEAST_LIMIT: f64 = 100_000.0;

/// What was reported of a packet lately.
struct Lately {
    /// When the report came.
    at: Instant,
    /// When the packet arrived, in seconds of the other end's clock; none if it did not.
    arrived: Option<f64>,
    bits: f64,
}

/// What there was when the link was last full.
#[derive(Clone, Copy)]
struct Full {
    /// What came through, in bits a second; none where nothing waited, and packets were lost all the same.
    through: Option<f64>,
    /// What may be sent since, in bits a second.
    limit: f64,
}

/// The estimator of the library, limited while the link is full. Its result is written down.
pub(super) struct Estimator {
    gcc: Gcc,
    gauges: Arc<Gauges>,
    lately: VecDeque<Lately>,
    /// Time from which departures are counted.
    origin: Option<Instant>,
    /// The fastest way of a packet in each of the last seconds: the second, and by how much its arrival on the other end's clock
    /// was later than its departure on ours.
    ways: VecDeque<(u64, f64)>,
    /// The least queue of each report lately, in seconds.
    queues: VecDeque<(Instant, f64)>,
    full: Option<Full>,
    /// Share of packets that is lost anyway, by chance: on a radio some always are.
    anyway: f64,
    last: Option<Instant>,
}

impl Estimator {
    /// For a link with these gauges.
    pub fn new(gcc: Gcc, gauges: Arc<Gauges>) -> Self {
        Self {
            gcc,
            gauges,
            lately: VecDeque::new(),
            origin: None,
            ways: VecDeque::new(),
            queues: VecDeque::new(),
            full: None,
            anyway: 0.0,
            last: None,
        }
    }

    /// How long packets wait before the narrowest place, in seconds: at least, of the last reports.
    fn queue(&mut self, now: Instant, reports: &[PacketReport]) -> f64 {
        let way = |report: &PacketReport, origin: Instant| {
            let departed = report.departure.saturating_duration_since(origin).as_secs_f64();
            Some((departed, report.arrival?.as_secs_f64() - departed))
        };
        let Some(first) = reports.first() else { return 0.0 };
        let origin = *self.origin.get_or_insert(first.departure);
        let mut least = f64::INFINITY;
        for (departed, way) in reports.iter().filter_map(|report| way(report, origin)) {
            least = least.min(way);
            let second = departed as u64;
            match self.ways.back_mut() {
                Some((of, fastest)) if *of >= second => *fastest = fastest.min(way),
                _ => self.ways.push_back((second, way)),
            }
            if self.ways.len() > WAYS {
                self.ways.pop_front();
            }
        }
        let fastest = self.ways.iter().map(|(_, way)| *way).fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            self.queues.push_back((now, least - fastest));
        }
        let recent = |at: Instant| now.saturating_duration_since(at) <= STANDS;
        while self.queues.len() > 1 && self.queues.front().is_some_and(|(at, _)| !recent(*at)) {
            self.queues.pop_front();
        }
        let stands = self.queues.iter().map(|(_, queue)| *queue).fold(f64::INFINITY, f64::min);
        if stands.is_finite() { stands } else { 0.0 }
    }

    /// What came through lately, in bits a second.
    fn through(&self) -> f64 {
        let arrived = || self.lately.iter().filter_map(|packet| Some((packet.arrived?, packet.bits)));
        let (from, to) =
            arrived().fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), (at, _)| (from.min(at), to.max(at)));
        let bits: f64 = arrived().map(|(_, bits)| bits).sum();
        // Of a shorter time nothing can be said: then it is taken for all of it.
        let span = (to - from).max(LATELY.as_secs_f64() / 2.0);
        if span.is_finite() { bits / span } else { 0.0 }
    }

    /// Whether more was lost lately than chance takes.
    fn lost_many(&self) -> bool {
        let lost = self.lately.iter().filter(|packet| packet.arrived.is_none()).count();
        let anyway = self.anyway * self.lately.len() as f64;
        // Losses by chance are as many as Poisson's distribution says; of less than one nothing is known.
        let more_than_chance = lost as f64 > anyway + DEVIATIONS * anyway.max(1.0).sqrt();
        lost >= MANY_LOST && lost * ONE_IN > self.lately.len() && more_than_chance
    }

    fn notice(&mut self, now: Instant, reports: &[PacketReport]) {
        let queue = self.queue(now, reports);
        self.lately.extend(reports.iter().map(|report| Lately {
            at: now,
            arrived: report.arrival.filter(|_| report.arrived).map(|at| at.as_secs_f64()),
            bits: 8.0 * report.size as f64,
        }));
        while self.lately.front().is_some_and(|packet| now.saturating_duration_since(packet.at) > LATELY) {
            self.lately.pop_front();
        }
        let many = self.lost_many();
        let since = self.last.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if queue > QUEUE_S || many {
            let through = self.through();
            let share = (SHARES.1 - (queue - QUEUE_S).max(0.0)).clamp(SHARES.0, SHARES.1);
            let limit = (share * through).max(LEAST_LIMIT);
            let limit = self.full.map_or(limit, |full| full.limit.min(limit));
            self.full = Some(Full { through: (queue > CALM_S).then_some(through), limit });
        } else if let Some(full) = self.full.as_mut().filter(|_| queue < CALM_S) {
            let near = full.through.is_some_and(|through| full.limit < BEYOND * through);
            let growth = if near { GROWTH.0 } else { GROWTH.1 };
            full.limit *= 1.0 + growth * since.as_secs_f64().min(1.0);
        }
        let lost = reports.iter().filter(|report| !report.arrived).count() as f64 / reports.len().max(1) as f64;
        self.anyway += (lost - self.anyway) * (since.as_secs_f64() / ANYWAY.as_secs_f64()).min(1.0);
        let target = self.gcc.target_bitrate();
        self.full = self.full.filter(|full| full.limit < target);
    }

    fn target(&self) -> f64 {
        let target = self.gcc.target_bitrate();
        self.full.map_or(target, |full| target.min(full.limit))
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        // Of packets whose report was lost nothing is known.
        let is_known = |report: &PacketReport| report.arrived || self.gauges.is_reported(report.twcc_sequence_number);
        let known: Cow<'_, [PacketReport]> = if reports.iter().all(is_known) {
            reports.into()
        } else {
            reports.iter().filter(|report| is_known(report)).cloned().collect::<Vec<_>>().into()
        };
        let reports = &*known;
        self.gcc.on_reports(now, reports);
        self.notice(now, reports);
        let fresh = |report: &&PacketReport| now.saturating_duration_since(report.departure) < FRESH;
        for lost in reports.iter().filter(|report| !report.arrived).filter(fresh) {
            self.gauges.lost(lost.ssrc, lost.rtp_sequence_number);
        }
        self.gauges.reports_packets.store(true, Ordering::Relaxed);
        self.gauges.set_target(self.target());
        self.gauges.lost_lately_ppm.store((self.anyway * 1e6) as u32, Ordering::Relaxed);
        if let Some(lost) = self.gcc.stats().packet_loss {
            self.gauges.lost_ppm.store((lost * 1e6) as u32, Ordering::Relaxed);
        }
    }

    fn target_bitrate(&self) -> f64 {
        self.target()
    }

    fn stats(&self) -> EstimatorStats {
        self.gcc.stats()
    }
}

#[cfg(test)]
mod tests;
