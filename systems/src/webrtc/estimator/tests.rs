use super::*;
use crate::clock::instant;

/// A link with a queue before its narrowest place, in seconds since the start.
struct Link {
    start: Instant,
    /// When it is free again.
    free: f64,
    /// Packets whose arrival was not reported yet, in order.
    on_the_way: VecDeque<PacketReport>,
    /// How long each packet of the last while waited; none if it was lost.
    waited: Vec<(f64, Option<f64>)>,
    /// Share of packets that is lost by chance, and the last number drawn for that.
    loses: (f64, u64),
}

/// Longest queue, and how long a packet is on its way without one, in seconds.
const LONGEST: f64 = 0.2;
const WAY: f64 = 0.02;

impl Link {
    /// A packet leaves.
    fn take(&mut self, now: f64, bytes: usize, bps: f64) {
        let departure = self.start + Duration::from_secs_f64(now);
        self.free = self.free.max(now);
        let waits = self.free - now;
        self.loses.1 = self.loses.1.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let by_chance = ((self.loses.1 >> 33) as f64) < self.loses.0 * f64::from(1_u32 << 31);
        let arrives = (waits <= LONGEST && !by_chance).then(|| {
            self.free += bytes as f64 * 8.0 / bps;
            // The other end's clock shows something else.
            Duration::from_secs_f64(1000.0 + self.free + WAY)
        });
        self.waited.push((now, arrives.map(|_| waits)));
        self.on_the_way.push_back(packet(departure, arrives, bytes));
    }

    /// What the other end reports at this time.
    fn report(&mut self, now: f64) -> Vec<PacketReport> {
        let here = |report: &PacketReport| report.arrival.is_none_or(|at| at.as_secs_f64() - 1000.0 <= now);
        let there = self.on_the_way.iter().rposition(|report| report.arrived && here(report)).map_or(0, |at| at + 1);
        self.on_the_way.drain(..there).collect()
    }

    fn waits(&self, from: f64, to: f64) -> (f64, usize) {
        let in_it = self.waited.iter().filter(|(at, _)| (from..to).contains(at));
        let mut waits: Vec<f64> = in_it.clone().filter_map(|(_, waits)| *waits).collect();
        waits.sort_unstable_by(f64::total_cmp);
        (waits[waits.len() * 95 / 100], in_it.count() - waits.len())
    }
}

fn packet(departure: Instant, arrival: Option<Duration>, size: usize) -> PacketReport {
    PacketReport {
        ssrc: 1,
        id: 0,
        rtp_sequence_number: 0,
        is_twcc: true,
        twcc_sequence_number: 0,
        size,
        arrived: arrival.is_some(),
        departure,
        arrival,
        ecn: rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn::NotEct,
    }
}

/// Sends pictures with what the estimator says over a link that carries `bps` at each time, in seconds. What it said, 20 times a
/// second.
fn send(seconds: u32, bps: impl Fn(f64) -> f64) -> (Link, Vec<f64>) {
    send_over(seconds, 0.0, 1.0, 1, bps)
}

/// The same over a link that loses a share of packets by chance, with pictures that take a share of the rate.
fn send_over(seconds: u32, loses: f64, takes: f64, seed: u64, bps: impl Fn(f64) -> f64) -> (Link, Vec<f64>) {
    let start = instant();
    let gauges = Arc::<Gauges>::default();
    let mut estimator = Estimator::new(Gcc::new(1.5e6, 1e5, 3e6), gauges.clone());
    let mut link = Link { start, free: 0.0, on_the_way: VecDeque::new(), waited: Vec::new(), loses: (loses, seed) };
    let (mut said, mut owed) = (Vec::new(), 0.0);
    for ms in 0..seconds * 1000 {
        let now = f64::from(ms) / 1000.0;
        // 30 pictures a second, each as large as the rate allows, at 1.2 times the rate.
        if ms % 33 == 0 {
            owed += takes * estimator.target_bitrate() * 0.033 / 8.0;
        }
        let mut leaves = 1.2 * estimator.target_bitrate() / 8000.0;
        while owed >= 1200.0 && leaves > 0.0 && (ms % 8 == 0 || leaves > 1200.0) {
            link.take(now, 1200, bps(now));
            owed -= 1200.0;
            leaves -= 150.0;
        }
        if ms % 50 == 0 {
            // What was reported arrives a moment later: as old as the way is long.
            let reports = link.report(now - WAY);
            if !reports.is_empty() {
                estimator.on_reports(start + Duration::from_secs_f64(now), &reports);
            }
            said.push(f64::from(gauges.target_bps.load(Ordering::Relaxed)));
        }
    }
    (link, said)
}

fn most(said: &[f64], from: usize, to: usize) -> f64 {
    said[from * 20..to * 20].iter().copied().fold(0.0, f64::max)
}

fn least(said: &[f64], from: usize, to: usize) -> f64 {
    said[from * 20..to * 20].iter().copied().fold(f64::MAX, f64::min)
}

#[test]
fn a_link_that_becomes_narrow_is_followed_down_at_once_and_up_again() {
    let (link, said) = send(70, |s| if (20.0..45.0).contains(&s) { 1e6 } else { 3.3e6 });
    assert!(most(&said, 15, 20) > 2.5e6, "{:?}", &said[300..400]);
    // A second after it has become narrow.
    assert!(most(&said, 21, 45) < 1.15e6 && least(&said, 21, 45) > 4.5e5, "{:?}", &said[420..900]);
    let (waits, lost) = link.waits(22.0, 45.0);
    assert!(waits < 0.15 && lost < 10, "{waits} s, {lost} lost");
    let mean = said[23 * 20..45 * 20].iter().sum::<f64>() / (22.0 * 20.0);
    assert!(mean > 7.5e5, "of a megabit it uses {mean}");
    assert!(least(&said, 65, 70) > 2.2e6, "{:?}", &said[900..1400]);
}

#[test]
fn a_wide_link_is_not_limited() {
    let (link, said) = send(30, |_| 2e7);
    assert!(least(&said, 15, 30) > 2.5e6, "{said:?}");
    assert_eq!(link.waits(0.0, 30.0).1, 0);
}

#[test]
fn what_is_lost_by_chance_takes_no_rate() {
    // With 2 % it climbs; with 5 % it about holds what it begins with, 1.5 Mbit/s.
    for (loses, takes, bps) in [(0.02, 1.0, 2.0e6), (0.02, 0.5, 2.0e6), (0.05, 1.0, 1.1e6), (0.05, 0.5, 1.1e6)] {
        for seed in 1..=5 {
            let (link, said) = send_over(70, loses, takes, seed, |_| 2e7);
            assert!(link.waits(0.0, 70.0).1 > 50, "it does lose");
            let lowest = least(&said, 10, 70);
            assert!(lowest > bps, "{loses} {takes} {seed}: {lowest}");
        }
    }
    // And one that becomes narrow is followed all the same.
    let (_, said) = send_over(60, 0.02, 1.0, 1, |s| if s > 30.0 { 1e6 } else { 3.3e6 });
    assert!(most(&said, 31, 60) < 1.15e6, "{:?}", &said[600..]);
}

#[test]
fn a_queue_that_is_full_is_noticed_at_once_and_chance_is_not() {
    let gauges = Arc::<Gauges>::default();
    let mut estimator = Estimator::new(Gcc::new(2e6, 1e5, 3e6), gauges.clone());
    let start = instant();
    let mut report = |n: u64, lost: usize| {
        let now = start + Duration::from_millis(n * 50);
        let arrival = |of: u64| Duration::from_millis(n * 50 + 5 * of);
        let packets: Vec<_> = (0..10)
            .map(|of| {
                packet(now + Duration::from_millis(5 * of as u64), (of >= lost).then(|| arrival(of as u64)), 1200)
            })
            .collect();
        estimator.on_reports(now, &packets);
        gauges.target_bps.load(Ordering::Relaxed)
    };
    let before = (0..40).map(|n| report(n, usize::from(n % 5 == 0))).min().unwrap();
    // Half of 1.9 Mbit/s comes through.
    let after = (40..52).map(|n| report(n, 5)).min().unwrap();
    assert!(before > 1_000_000 && after < 1_000_000, "{before} {after}");
}

#[test]
fn packets_whose_report_was_lost_are_not() {
    let send = |report_is_lost: bool| {
        let gauges = Arc::<Gauges>::default();
        let mut estimator = Estimator::new(Gcc::new(2e6, 1e5, 3e6), gauges.clone());
        let start = instant();
        let mut lowest = u32::MAX;
        // Their numbers go round on the way.
        let mut number = 65_500_u16;
        for n in 0..60_u64 {
            let now = start + Duration::from_millis(n * 50);
            // Each third time the packets of two reports come together, and those of the first as if none had arrived.
            let without = if n % 3 == 2 { 15 } else { 0 };
            let from = number.wrapping_add(if report_is_lost { without } else { 0 });
            gauges.reported_from.store(from.into(), Ordering::Relaxed);
            let packets: Vec<_> = (0..without + 15)
                .map(|of| {
                    let arrival = Duration::from_millis(1000 + n * 50 + u64::from(of));
                    let packet = packet(now, (of >= without).then_some(arrival), 1200);
                    PacketReport { twcc_sequence_number: number.wrapping_add(of), ..packet }
                })
                .collect();
            number = number.wrapping_add(without + 15);
            estimator.on_reports(now, &packets);
            lowest = lowest.min(gauges.target_bps.load(Ordering::Relaxed));
        }
        (lowest, gauges.losses.lock().unwrap().len())
    };
    let (lowest, losses) = send(true);
    assert!(lowest >= 2_000_000 && losses == 0, "{lowest} {losses}");
    let (lowest, losses) = send(false);
    assert!(lowest < 1_000_000 && losses > 0, "{lowest} {losses}");
}
