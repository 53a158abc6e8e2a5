//! What was known of an obstacle or of the range finder a moment ago: one look is doubtful, several that agree are not.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::scene::View;

/// So long are looks and readings kept, in seconds, and so many of them.
const KEEP_S: f64 = 1.2;
const MOST: usize = 32;
/// Readings of the range finder are at least so far apart, in seconds: more of them say nothing new.
const READING_STEP_S: f64 = 0.04;
/// A distance that jumps by more than this from one reading to the next is to something else, in metres.
const JUMP_M: f32 = 1.5;
/// Looks that agree lie within this, in seconds.
const AGREE_S: f64 = 0.6;
/// A slope needs so many points over so many seconds.
const SLOPE_POINTS: usize = 4;
const SLOPE_SPAN_S: f64 = 0.25;
/// More tracks than this are not watched: those with the lowest ids are.
const MOST_TRACKS: usize = 128;

/// What one look says for a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Word {
    /// Nothing.
    #[default]
    No,
    /// It is so, if others agree.
    Yes,
    /// It is so far beyond the threshold that it needs no other.
    Plainly,
}

impl Word {
    /// What a number says that is to be below `threshold`, and plainly so below `plain` of it.
    pub fn below(value: f32, threshold: f32, plain: f32) -> Self {
        match value {
            v if v <= threshold * plain => Self::Plainly,
            v if v <= threshold => Self::Yes,
            _ => Self::No,
        }
    }
}

/// What one look says for both urgent levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vote {
    pub caution: Word,
    pub warning: Word,
}

impl Vote {
    fn word(self, level: AlertLevel) -> Word {
        if level == AlertLevel::Warning { self.warning } else { self.caution.max(self.warning) }
    }
}

/// The functions whose warnings are voted on look by look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ballot {
    Collision,
    Vulnerable,
    MovingOff,
}

/// One look at an obstacle, as predicted to the last tick before the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub frame: StableId,
    pub at: Mono,
    /// Its speed along the road, where the own is known.
    pub speed_mps: Option<f32>,
    pub left_m: f32,
    pub in_path: bool,
    /// How far left of the path that the own vehicle takes: by the opinion after which it is nearer, and after which it is
    /// farther.
    pub off_path_m: Option<[f32; 2]>,
    votes: [Vote; 3],
}

/// The latest looks at one obstacle, or readings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    sights: VecDeque<Sight>,
}

impl Watch {
    /// Takes a look; the same once more, predicted further, replaces it.
    fn see(&mut self, sight: Sight) {
        if self.sights.back().is_some_and(|last| last.frame == sight.frame) {
            self.sights.pop_back();
        }
        self.sights.push_back(sight);
        while self.sights.len() > MOST
            || self.sights.front().is_some_and(|s| sight.at.since(s.at).as_secs_f64() > KEEP_S)
        {
            self.sights.pop_front();
        }
    }

    /// Says what the latest look means.
    pub fn vote(&mut self, ballot: Ballot, vote: Vote) {
        if let Some(slot) = self.sights.back_mut().and_then(|s| s.votes.get_mut(ballot as usize)) {
            *slot = vote;
        }
    }

    /// The highest level on which the looks agree: the latest two of three, or the latest alone where it says so plainly
    /// and is not the first.
    pub fn agreed(&self, ballot: Ballot) -> Option<AlertLevel> {
        let last = self.sights.back()?;
        let word = |s: &Sight, level| s.votes.get(ballot as usize).map_or(Word::No, |v| v.word(level));
        let carried = |level| {
            let near = self.sights.iter().rev().take(3).filter(|s| last.at.since(s.at).as_secs_f64() <= AGREE_S);
            let plainly = word(last, level) == Word::Plainly && self.sights.len() > 1;
            plainly || near.filter(|s| word(s, level) > Word::No).count() >= 2
        };
        [AlertLevel::Warning, AlertLevel::Caution].into_iter().find(|&level| carried(level))
    }

    /// Whether it is in the path, was so before, and does not lie farther than `most_m` beside the path that the own
    /// vehicle takes, in the middle of three looks: a second opinion, since in bends who is beside seems to be in the path
    /// for a look or two.
    pub fn stays_in_path(&self, most_m: f32) -> bool {
        let latest = self.sights.iter().rev().take(4).filter(|s| s.in_path).count();
        let offs = self.sights.iter().rev().take(3).filter_map(|s| s.off_path_m.map(|off| off[0]));
        let (sum, n) = offs.fold((0.0, 0.0), |(sum, n), off| (sum + off, n + 1.0));
        latest >= 2 && self.sights.back().is_some_and(|s| s.in_path) && sum.abs() <= most_m * n
    }

    /// Whether it was in the path throughout the last so many seconds by every opinion of where that goes: not farther than
    /// `most_m` beside it.
    pub fn surely_in_path(&self, window_s: f64, most_m: f32) -> bool {
        let span = |first: &Sight, last: &Sight| last.at.since(first.at).as_secs_f64();
        let long = self.sights.front().zip(self.sights.back()).is_some_and(|(a, b)| span(a, b) >= window_s);
        long && self.recent(window_s).all(|s| s.in_path && s.off_path_m.is_none_or(|[_, off]| off.abs() <= most_m))
    }

    /// The pictures of the latest looks that agree at least on a caution.
    pub fn frames(&self, ballot: Ballot) -> impl Iterator<Item = StableId> {
        let yes =
            move |s: &&Sight| s.votes.get(ballot as usize).is_some_and(|v| v.word(AlertLevel::Caution) > Word::No);
        self.sights.iter().rev().take(3).filter(yes).map(|s| s.frame)
    }

    /// Whether it was in the path throughout the last so many seconds.
    pub fn long_in_path(&self, window_s: f64) -> bool {
        self.recent(window_s).all(|s| s.in_path)
    }

    /// How fast its speed along the road shrinks in m/s², and the standard error of that.
    pub fn braking(&self, window_s: f64) -> Option<(f32, f32)> {
        let points = self.recent(window_s).filter_map(|s| Some((s.at, s.speed_mps?)));
        slope(points).map(|(slope, error)| (-slope, error))
    }

    /// How fast it moves to the left in m/s, and the standard error of that. None where it did not do so for at least half as fast in
    /// both halves of the time: who is taken for somebody else jumps.
    pub fn sideways(&self, window_s: f64) -> Option<(f32, f32)> {
        let of = |sights: &mut dyn Iterator<Item = &Sight>| {
            let points: Vec<_> = sights.map(|s| (s.at, s.left_m)).collect();
            slope(points.into_iter())
        };
        let all = of(&mut self.recent(window_s))?;
        let last = self.sights.back()?.at;
        let is_new = |s: &&Sight| last.since(s.at).as_secs_f64() <= window_s / 2.0;
        let halves =
            [of(&mut self.recent(window_s).filter(is_new)), of(&mut self.recent(window_s).filter(|s| !is_new(s)))];
        halves.iter().flatten().all(|(rate, _)| rate / all.0 >= 0.5).then_some(all)
    }

    /// How fast it moves across the path that the own vehicle takes, in m/s, and the standard error of that.
    pub fn across(&self, window_s: f64) -> Option<(f32, f32)> {
        slope(self.recent(window_s).filter_map(|s| Some((s.at, s.off_path_m?[0]))))
    }

    fn recent(&self, window_s: f64) -> impl Iterator<Item = &Sight> + Clone {
        let last = self.sights.back().map(|s| s.at).unwrap_or_default();
        self.sights.iter().filter(move |s| last.since(s.at).as_secs_f64() <= window_s)
    }
}

/// The watched obstacles, by their tracks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watches(Vec<(StableId, Watch)>);

impl Watches {
    /// Takes what is followed now, and forgets what no longer is.
    pub fn look(&mut self, view: &View) {
        let mut before: BTreeMap<_, _> = self.0.drain(..).collect();
        for threat in view.objects.iter().take(MOST_TRACKS) {
            let mut watch = before.remove(&threat.id).unwrap_or_default();
            watch.see(Sight {
                frame: threat.evidence,
                at: view.now,
                speed_mps: view.speed_mps.map(|v| v - threat.motion.closing_mps),
                left_m: threat.motion.left_m,
                in_path: threat.motion.in_path,
                off_path_m: view
                    .off_path(&threat.motion, true)
                    .zip(view.off_path(&threat.motion, false))
                    .map(|(nearer, farther)| [nearer, farther]),
                votes: watch.votes_of(threat.evidence),
            });
            self.0.push((threat.id, watch));
        }
    }

    /// The watch of a track.
    pub fn of(&mut self, id: StableId) -> Option<&mut Watch> {
        let place = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.get_mut(place).map(|(_, watch)| watch)
    }
}

impl Watch {
    fn votes_of(&self, frame: StableId) -> [Vote; 3] {
        self.sights.back().filter(|s| s.frame == frame).map(|s| s.votes).unwrap_or_default()
    }
}

/// One reading of the range finder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    id: StableId,
    at: Mono,
    distance_m: f32,
}

/// The latest readings of the range finder, of one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranging {
    readings: VecDeque<Reading>,
}

/// What the range finder knows of what is ahead.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranged {
    pub distance_m: f32,
    pub closing_mps: f32,
    /// The readings that agree.
    pub ids: Vec<StableId>,
}

impl Ranging {
    /// Takes the latest reading, or that there is none.
    pub fn look(&mut self, view: &View) {
        let Some(range) = view.range else {
            self.readings.clear();
            return;
        };
        let at = view.now - std::time::Duration::from_secs_f32(range.age_s);
        if let Some(last) = self.readings.back() {
            if last.id == range.id || at.since(last.at).as_secs_f64() < READING_STEP_S {
                return;
            }
            if (last.distance_m - range.distance_m).abs() > JUMP_M + 2.0 * at.since(last.at).as_secs_f32() {
                self.readings.clear();
            }
        }
        self.readings.push_back(Reading { id: range.id, at, distance_m: range.distance_m });
        while self.readings.len() > MOST
            || self.readings.front().is_some_and(|r| at.since(r.at).as_secs_f64() > KEEP_S / 2.0)
        {
            self.readings.pop_front();
        }
    }

    /// How far away and how fast nearing it is now: by the change of its distance, and where the sensor tells it too by
    /// the slower of the two. None before enough readings agree, that is, lie on a line.
    pub fn ahead(&self, view: &View) -> Option<Ranged> {
        let range = view.range?;
        let (slope, error) = slope(self.readings.iter().map(|r| (r.at, r.distance_m)))?;
        if error > 0.1 + 0.2 * slope.abs() {
            return None;
        }
        let closing_mps = range.closing_mps.map_or(-slope, |told| told.min(-slope));
        let ids = self.readings.iter().rev().take(3).map(|r| r.id).collect();
        Some(Ranged { distance_m: (range.distance_m - closing_mps * range.age_s).max(0.0), closing_mps, ids })
    }
}

/// The slope of a line through points by least squares, a second, and its standard error by what is left over.
pub(super) fn slope(points: impl Iterator<Item = (Mono, f32)> + Clone) -> Option<(f32, f32)> {
    let (first, _) = points.clone().next()?;
    let xy = points.map(|(at, y)| (at.since(first).as_secs_f64(), f64::from(y)));
    let (n, sx, sy) = xy.clone().fold((0usize, 0.0, 0.0), |(n, sx, sy), (x, y)| (n + 1, sx + x, sy + y));
    let (count, span) = (n as f64, xy.clone().fold(0.0, |most: f64, (x, _)| most.max(x)));
    if n < SLOPE_POINTS || span < SLOPE_SPAN_S {
        return None;
    }
    let (mx, my) = (sx / count, sy / count);
    let (sxx, sxy, syy) = xy.fold((0.0, 0.0, 0.0), |(a, b, c), (x, y)| {
        (a + (x - mx) * (x - mx), b + (x - mx) * (y - my), c + (y - my) * (y - my))
    });
    let slope = sxy / sxx;
    let left_over = (syy - slope * sxy).max(0.0) / (count - 2.0);
    let error = (left_over / sxx).sqrt();
    (slope.is_finite() && error.is_finite()).then_some((slope as f32, error as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line_and_its_error_that_of_the_noise() {
        let at = |i: u64| Mono::from_nanos(i * 100_000_000);
        let line = (0..8).map(|i| (at(i), 3.0 - 2.0 * i as f32 * 0.1));
        let (s, error) = slope(line).expect("enough points");
        assert!((s + 2.0).abs() < 1e-4 && error < 1e-3, "{s} {error}");
        let noisy = (0..8).map(|i| (at(i), if i % 2 == 0 { 1.0 } else { -1.0 }));
        assert!(slope(noisy).expect("enough").1 > 1.0);
        assert_eq!(slope((0..3).map(|i| (at(i), 0.0))), None, "too few");
        assert_eq!(slope((0..9).map(|_| (at(1), 0.0))), None, "all at once");
    }

    fn sight(seq: u64, left_m: f32) -> Sight {
        Sight {
            frame: StableId::new(StreamId(1), seq),
            at: Mono::from_nanos(seq * 100_000_000),
            speed_mps: None,
            left_m,
            in_path: true,
            off_path_m: Some([left_m, left_m]),
            votes: [Vote::default(); 3],
        }
    }

    #[test]
    fn a_walk_goes_on_and_a_jump_does_not() {
        let watched = |left: &dyn Fn(u64) -> f32| {
            let mut watch = Watch::default();
            (0..12).for_each(|seq| watch.see(sight(seq, left(seq))));
            watch
        };
        let walk = watched(&|seq| 4.0 - 0.15 * seq as f32);
        let (rate, error) = walk.sideways(1.0).expect("a walk");
        assert!((rate + 1.5).abs() < 1e-3 && error < 1e-3, "{rate} {error}");
        let (rate, _) = walk.across(1.0).expect("a line");
        assert!((rate + 1.5).abs() < 1e-3, "{rate}");
        // Taken for somebody else from one look to the next: on the whole as fast, and in neither half.
        let jump = watched(&|seq| if seq < 7 { 4.0 } else { 2.5 });
        assert_eq!(jump.sideways(1.0), None);
        assert!(jump.across(1.0).expect("a slope").0 < -1.0);
        let turns = watched(&|seq| (seq as f32 - 7.0).abs() * 0.15);
        assert_eq!(turns.sideways(1.0), None, "there and back");
    }

    #[test]
    fn two_of_three_agree_or_one_plainly_that_is_not_the_first() {
        let mut watch = Watch::default();
        let mut see = |seq, word| {
            watch.see(Sight { off_path_m: None, ..sight(seq, 0.0) });
            watch.vote(Ballot::Collision, Vote { caution: word, warning: Word::No });
            watch.agreed(Ballot::Collision)
        };
        assert_eq!(see(1, Word::Plainly), None, "the first");
        assert_eq!(see(2, Word::No), None);
        assert_eq!(see(3, Word::Yes), Some(AlertLevel::Caution), "1 and 3");
        assert_eq!(see(4, Word::No), None, "only 3");
        assert_eq!(see(5, Word::No), None);
        assert_eq!(see(6, Word::Yes), None);
        assert_eq!(see(6, Word::Yes), None, "the same look once more");
        assert_eq!(see(7, Word::Plainly), Some(AlertLevel::Caution));
        assert_eq!(see(20, Word::Yes), None, "the others are too old");
    }
}
