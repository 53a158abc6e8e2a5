//! How pictures are made for a link: arithmetic without clock and I/O.
//!
//! What a link carries is divided: sound and data first, the rest is for pictures. With less than they need at their full
//! size and rate, first fewer bits are spent on each, then they come at half the rate, then they are smaller. All of it comes
//! back, later than it went.

use std::time::Duration;

/// Least rate at which pictures are encoded, in bits a second.
pub const LEAST_BPS: u32 = 50_000;

/// What sound takes with all its headers, in bits a second.
const SOUND_BPS: u32 = 45_000;

/// Bits that a pixel needs to be worth sending, beside others of its picture and the pictures before.
const BITS_PER_PIXEL: f64 = 0.035;

/// Ways to send pictures that need less and less: share of the usual rate, and of the usual width and height.
const STEPS: [(f32, u8); 4] = [(1.0, 1), (0.5, 1), (0.5, 2), (0.34, 4)];

/// More of a link than a step needs, before it is taken again.
const ROOM: f64 = 1.3;

/// How long there must be room for a better step.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is left for pictures of what a link carries, in bits a second.
pub fn for_pictures(target_bps: u32, sound: bool) -> u32 {
    let kept = f64::from(target_bps) * 0.85;
    let sound = if sound { SOUND_BPS } else { 0 };
    (kept as u32).saturating_sub(sound).max(LEAST_BPS)
}

/// Bytes of data that a link takes in a second: a tenth, and enough for one message now and then.
pub fn for_data(target_bps: u32) -> f64 {
    (f64::from(target_bps) / 80.0).max(2500.0)
}

/// When the other end shows pictures.
///
/// On a good link at once. On one that loses packets a picture that came in part stands still until the rest was
/// sent again, and those behind it come all together: there they are shown later, by about as long as that takes, and evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Playout {
    is_later: bool,
}

/// Share of packets lost from which pictures are shown later, and below which they are shown at once again.
const LATER: (f64, f64) = (0.005, 0.002);

/// It is noticed when the next picture comes that a packet is lost; then a request for it and the packet are on their way, now
/// and then twice.
const NOTICED: Duration = Duration::from_millis(40);

/// Pictures are shown so much later at least and at most, whatever the link is like.
const LATER_BY: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(200));

/// What the other end may add where that is not enough.
const MORE: Duration = Duration::from_millis(200);

impl Playout {
    /// How much later than they come pictures are shown, at least and at most: with a share of packets lost lately, and the
    /// time there and back, zero if it is not known.
    pub fn choose(&mut self, lost: f64, rtt: Duration) -> (Duration, Duration) {
        self.is_later = lost >= if self.is_later { LATER.1 } else { LATER.0 };
        if !self.is_later {
            return (Duration::ZERO, Duration::ZERO);
        }
        let least = (NOTICED + rtt * 3 / 2).clamp(LATER_BY.0, LATER_BY.1);
        (least, least + MORE)
    }
}

/// How pictures are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Making {
    /// Width and height are divided by this.
    pub divisor: u8,
    /// Pictures a second at most.
    pub fps: f32,
}

/// Chooses how pictures are made, as what the link carries changes.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// Pixels of a full picture.
    pixels: f64,
    fps: f32,
    /// The place in [`STEPS`].
    step: usize,
    /// Never better than this.
    best: usize,
    /// Since when there is room for the next better step.
    roomy: Option<Duration>,
}

impl Ladder {
    /// For pictures of so many pixels that come at `fps`. `small` ones begin at half the size.
    pub fn new(pixels: usize, fps: f32, small: bool) -> Self {
        let best = if small { 2 } else { 0 };
        Self { pixels: pixels as f64, fps, step: best, best, roomy: None }
    }

    /// Other pictures come.
    pub fn set_source(&mut self, pixels: usize, fps: f32) {
        (self.pixels, self.fps) = (pixels as f64, fps);
    }

    fn needs(&self, step: usize) -> f64 {
        let (share, divisor) = STEPS[step];
        self.pixels / f64::from(divisor * divisor) * f64::from(self.fps * share) * BITS_PER_PIXEL
    }

    /// How to make pictures with so many bits a second, at the time `now`.
    pub fn choose(&mut self, budget_bps: u32, now: Duration) -> Making {
        let budget = f64::from(budget_bps);
        while self.step + 1 < STEPS.len() && budget < self.needs(self.step) {
            self.step += 1;
            self.roomy = None;
        }
        if self.step > self.best && budget >= ROOM * self.needs(self.step - 1) {
            let since = *self.roomy.get_or_insert(now);
            if now.saturating_sub(since) >= PATIENCE {
                self.step -= 1;
                self.roomy = None;
            }
        } else {
            self.roomy = None;
        }
        let (share, divisor) = STEPS[self.step];
        Making { divisor, fps: self.fps * share }
    }
}

/// What a link carries, judged by what was lost: for the other end that does not report each packet.
#[derive(Clone, Debug)]
pub struct ByLoss {
    target: f64,
    limits: (f64, f64),
    /// What the other end says that it can take.
    told: Option<f64>,
}

impl ByLoss {
    /// Begins with `start`, and stays within the limits, in bits a second.
    pub fn new(start: f64, least: f64, most: f64) -> Self {
        Self { target: start.clamp(least, most), limits: (least, most), told: None }
    }

    /// A share of packets was lost since the last report, which was `since` ago.
    pub fn lost(&mut self, share: f64, since: Duration) -> f64 {
        if share > 0.1 {
            self.target *= 1.0 - 0.5 * share.min(1.0);
        } else if share < 0.02 {
            self.target *= 1.0 + 0.08 * since.as_secs_f64().min(1.0);
        }
        self.target = self.target.clamp(self.limits.0, self.limits.1);
        self.target_bps()
    }

    /// The other end says what it can take at most, in bits a second (REMB).
    pub fn told(&mut self, bps: f64) -> f64 {
        self.told = Some(bps.max(self.limits.0));
        self.target_bps()
    }

    /// What it carries.
    pub fn target_bps(&self) -> f64 {
        self.told.map_or(self.target, |told| self.target.min(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ladder: &mut Ladder, kbps: u32, s: u64) -> (u8, f32) {
        let making = ladder.choose(kbps * 1000, Duration::from_secs(s));
        (making.divisor, making.fps)
    }

    #[test]
    fn rate_then_size_go_down_at_once_and_come_back_one_by_one() {
        let mut ladder = Ladder::new(1280 * 720, 30.0, false);
        assert_eq!(at(&mut ladder, 2000, 0), (1, 30.0));
        assert_eq!(at(&mut ladder, 1000, 1), (1, 30.0), "fewer bits for each");
        assert_eq!(at(&mut ladder, 800, 2), (1, 15.0));
        assert_eq!(at(&mut ladder, 300, 3), (2, 15.0));
        assert_eq!(at(&mut ladder, 60, 4).0, 4);
        assert_eq!(at(&mut ladder, 2000, 5).0, 4, "not at once");
        assert_eq!(at(&mut ladder, 2000, 8), (2, 15.0));
        assert_eq!(at(&mut ladder, 400, 9), (2, 15.0), "no room after all");
        for (s, wanted) in [(10, (2, 15.0)), (13, (1, 15.0)), (14, (1, 15.0)), (17, (1, 30.0)), (30, (1, 30.0))] {
            assert_eq!(at(&mut ladder, 2000, s), wanted, "after {s} s");
        }
        let mut small = Ladder::new(1280 * 720, 30.0, true);
        for s in 0..30 {
            assert_eq!(at(&mut small, 9000, s), (2, 15.0));
        }
    }

    #[test]
    fn pictures_are_shown_later_where_packets_get_lost_and_at_once_elsewhere() {
        let mut playout = Playout::default();
        let mut least = |lost, ms| playout.choose(lost, Duration::from_millis(ms)).0.as_millis();
        assert_eq!([least(0.0, 40), least(0.004, 40), least(0.02, 40)], [0, 0, 100]);
        assert_eq!([least(0.003, 40), least(0.02, 0), least(0.02, 900)], [100, 60, 200]);
        assert_eq!([least(0.001, 40), least(0.003, 40)], [0, 0]);
    }

    #[test]
    fn sound_and_data_come_before_pictures() {
        assert!(for_pictures(2_000_000, true) < for_pictures(2_000_000, false));
        assert_eq!(for_pictures(0, true), LEAST_BPS);
        assert!(for_pictures(200_000, true) + SOUND_BPS + 8 * for_data(200_000) as u32 <= 200_000);
    }

    #[test]
    fn what_is_lost_lowers_a_link_that_says_no_more() {
        let mut link = ByLoss::new(1e6, 1e5, 3e6);
        let second = Duration::from_secs(1);
        assert!(link.lost(0.5, second) < 800_000.0);
        for _ in 0..100 {
            link.lost(0.0, second);
        }
        assert_eq!(link.target_bps(), 3e6);
        assert_eq!(link.told(5e5), 5e5);
        for _ in 0..100 {
            link.lost(1.0, second);
        }
        assert_eq!(link.target_bps(), 1e5);
    }
}
