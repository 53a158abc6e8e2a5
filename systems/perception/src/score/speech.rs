//! How well speech was found: in frames of 10 ms, against spans of speech that are known.
//!
//! Times are nanoseconds since the recording's start. Speech is where a span holds the middle of a frame.

use std::ops::Range;

use super::{Share, Tally};

/// Nanoseconds of a frame.
pub const FRAME_NS: u64 = 10_000_000;

/// Most frames that are made: a day.
const MOST_FRAMES: usize = 8_640_000;

/// A stretch of time: nanoseconds since the recording's start, the end not included.
pub type Span = Range<u64>;

/// Whether there is speech in each frame of a recording of `length_ns`: of a day at most. Spans may overlap.
pub fn frames(spans: &[Span], length_ns: u64) -> Vec<bool> {
    let mut all = vec![false; count(length_ns)];
    for span in spans {
        let held = held(span.start, span.end, all.len());
        if let Some(frames) = all.get_mut(held) {
            frames.fill(true);
        }
    }
    all
}

/// The first frame whose middle is not before `at`.
fn first_within(at: u64) -> usize {
    usize::try_from(at.saturating_add(FRAME_NS / 2 - 1) / FRAME_NS).unwrap_or(usize::MAX)
}

/// The frames, of so many, whose middle is in a stretch of time.
fn held(start: u64, end: u64, count: usize) -> Range<usize> {
    first_within(start).min(count)..first_within(end).min(count)
}

fn count(length_ns: u64) -> usize {
    usize::try_from(length_ns / FRAME_NS).unwrap_or(usize::MAX).min(MOST_FRAMES)
}

/// The score of each frame of a recording of `length_ns`: that of the window that holds the frame's middle. Windows are
/// (end, length, score) in the order of their ends; 0 where none is, or where a score is no number.
pub fn spread(windows: &[(u64, u64, f32)], length_ns: u64) -> Vec<f32> {
    let mut all = vec![0.0; count(length_ns)];
    for (end, length, score) in windows {
        let held = held(end.saturating_sub(*length), *end, all.len());
        if let Some(frames) = all.get_mut(held) {
            frames.fill(if score.is_finite() { *score } else { 0.0 });
        }
    }
    all
}

/// Closes pauses shorter than `pause_ns`: overlapping and touching spans become one. In order of their starts.
pub fn join(spans: &[Span], pause_ns: u64) -> Vec<Span> {
    let mut sorted: Vec<Span> = spans.iter().filter(|span| span.start < span.end).cloned().collect();
    sorted.sort_unstable_by_key(|span| (span.start, span.end));
    let mut joined: Vec<Span> = Vec::with_capacity(sorted.len());
    for span in sorted {
        match joined.last_mut() {
            Some(last) if span.start <= last.end || span.start - last.end < pause_ns => {
                last.end = last.end.max(span.end)
            }
            _ => joined.push(span),
        }
    }
    joined
}

/// Spans of the frames that are true.
pub fn spans(frames: &[bool]) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for (n, _) in frames.iter().enumerate().filter(|(_, speech)| **speech) {
        let start = n as u64 * FRAME_NS;
        match found.last_mut() {
            Some(last) if last.end == start => last.end = start + FRAME_NS,
            _ => found.push(start..start + FRAME_NS),
        }
    }
    found
}

/// Frames by what they are and what was found in them. Sums of several recordings are sums of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Speech that was found.
    pub hits: u64,
    /// Found where there is none.
    pub false_alarms: u64,
    /// Speech that was not found.
    pub misses: u64,
    /// Nothing, and nothing found.
    pub rests: u64,
}

impl Confusion {
    /// Compares frame by frame; what one of them lacks is left out.
    pub fn of(truth: &[bool], found: &[bool]) -> Self {
        let mut all = Self::default();
        for pair in truth.iter().zip(found) {
            *match pair {
                (true, true) => &mut all.hits,
                (false, true) => &mut all.false_alarms,
                (true, false) => &mut all.misses,
                (false, false) => &mut all.rests,
            } += 1;
        }
        all
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            false_alarms: self.false_alarms.saturating_add(other.false_alarms),
            misses: self.misses.saturating_add(other.misses),
            rests: self.rests.saturating_add(other.rests),
        }
    }

    /// How much of what was found is speech, 0 to 1. None where nothing was found.
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.false_alarms)
    }

    /// How much of the speech was found, 0 to 1. None where there is none.
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.misses)
    }

    /// Harmonic mean of precision and recall, 0 to 1. None where there is no speech and none was found.
    pub fn f1(&self) -> Option<f64> {
        share(self.hits.saturating_mul(2), self.false_alarms.saturating_add(self.misses))
    }

    /// Precision and recall as counts.
    pub fn tally(&self) -> Tally {
        let share = |rest: u64| Share { part: self.hits, whole: self.hits.saturating_add(rest) };
        Tally { precision: share(self.false_alarms), recall: share(self.misses) }
    }

    /// The frames without speech, and those of them that were taken for speech.
    pub fn active(&self) -> Share {
        Share { part: self.false_alarms, whole: self.false_alarms.saturating_add(self.rests) }
    }

    /// How much of the time without speech was taken for speech, 0 to 1. None where there is no such time.
    pub fn false_active(&self) -> Option<f64> {
        share(self.false_alarms, self.rests)
    }
}

fn share(part: u64, rest: u64) -> Option<f64> {
    let whole = part.saturating_add(rest);
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The frames whose score is at least `threshold`.
pub fn above(scores: &[f32], threshold: f32) -> Vec<bool> {
    scores.iter().map(|score| *score >= threshold).collect()
}

/// Area under the receiver operating characteristic: how likely a frame of speech scores higher than one without, ties
/// counting half (Mann and Whitney, 1947). None without frames of both kinds.
pub fn auc(truth: &[bool], scores: &[f32]) -> Option<f64> {
    let mut all: Vec<(f32, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let speech = all.iter().filter(|(_, speech)| *speech).count() as f64;
    let silence = all.len() as f64 - speech;
    if speech == 0.0 || silence == 0.0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let positive = tied.iter().filter(|(_, speech)| *speech).count() as f64;
        let negative = tied.len() as f64 - positive;
        wins += positive * (below + negative / 2.0);
        below += negative;
    }
    Some(wins / (speech * silence))
}

/// The one of some thresholds at which frames score the highest F1, and that F1; the lowest of those that tie.
pub fn best_threshold(truth: &[bool], scores: &[f32], thresholds: &[f32]) -> Option<(f32, f64)> {
    let mut best: Option<(f32, f64)> = None;
    for threshold in thresholds {
        let f1 = Confusion::of(truth, &above(scores, *threshold)).f1();
        if let Some(f1) = f1.filter(|f1| best.is_none_or(|(_, most)| *f1 > most)) {
            best = Some((*threshold, f1));
        }
    }
    best
}

/// How late each span of speech was found, in nanoseconds; negative is early. What was found counts for a span if they
/// overlap, or if it begins at most `early_ns` before it and ends behind its start; the first one does. A span that
/// begins within what began earlier for another span has no start of its own to be found, and is left out. None: not found.
pub fn start_delays(truth: &[Span], found: &[Span], early_ns: u64) -> Vec<Option<i64>> {
    let mut taken: Option<usize> = None;
    let mut delays = Vec::with_capacity(truth.len());
    for span in truth {
        let first = found.iter().position(|f| f.start < span.end && f.end > span.start);
        match first {
            Some(index) if taken.is_some_and(|taken| taken >= index) => {}
            Some(index) => {
                let at = found.get(index).map_or(0, |f| f.start);
                taken = Some(index);
                let delay = if at >= span.start {
                    i64::try_from(at - span.start).unwrap_or(i64::MAX)
                } else {
                    -i64::try_from(span.start - at).unwrap_or(i64::MAX)
                };
                let too_early = delay < 0 && delay.unsigned_abs() > early_ns;
                delays.push((!too_early).then_some(delay));
            }
            None => delays.push(None),
        }
    }
    delays
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn frames_are_those_whose_middle_is_in_a_span() {
        let found = frames(&[10 * MS..30 * MS, 44 * MS..46 * MS, 51 * MS..54 * MS], 60 * MS);
        assert_eq!(found, [false, true, true, false, true, false]);
        assert_eq!(spans(&found), [10 * MS..30 * MS, 40 * MS..50 * MS]);
        let scores = spread(&[(16 * MS, 16 * MS, 0.2), (32 * MS, 16 * MS, 0.7), (48 * MS, 16 * MS, f32::NAN)], 50 * MS);
        assert_eq!(scores, [0.2, 0.2, 0.7, 0.0, 0.0]);
    }

    #[test]
    fn figures_are_what_they_are_called() {
        let truth = [true, true, true, false, false, false];
        let scores = [0.9, 0.8, 0.3, 0.4, 0.2, 0.1];
        let all = Confusion::of(&truth, &above(&scores, 0.35));
        assert_eq!(all, Confusion { hits: 2, false_alarms: 1, misses: 1, rests: 2 });
        assert_eq!((all.precision(), all.recall(), all.f1()), (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((all.false_active(), all.active().value()), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
        assert!((all.tally().f1().unwrap() - all.f1().unwrap()).abs() < 1e-12);
        assert_eq!(auc(&truth, &scores), Some(8.0 / 9.0));
        assert_eq!(auc(&truth, &[0.5; 6]), Some(0.5));
        assert_eq!(auc(&[true; 3], &[0.5; 3]), None);
        let (threshold, f1) = best_threshold(&truth, &scores, &[0.2, 0.3, 0.35, 0.5]).unwrap();
        assert_eq!((threshold, f1), (0.3, 6.0 / 7.0));
        assert_eq!(Confusion::default().f1(), None);
    }

    #[test]
    fn delays_are_of_the_first_that_is_found() {
        let truth = [1000 * MS..2000 * MS, 3000 * MS..4000 * MS, 5000 * MS..6000 * MS];
        let found = [1100 * MS..1500 * MS, 1600 * MS..2000 * MS, 2950 * MS..4000 * MS];
        assert_eq!(start_delays(&truth, &found, 150 * MS), [Some(100_000_000), Some(-50_000_000), None]);
        let long = 0..3000 * MS;
        assert_eq!(
            start_delays(&truth[..1], std::slice::from_ref(&long), 150 * MS),
            [None],
            "far too early is no start"
        );
        let one = 900 * MS..7000 * MS;
        assert_eq!(start_delays(&truth, &[one], 150 * MS), [Some(-100_000_000)], "one start was to be found");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_shares_are_shares(
            pairs in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20),
            scores in proptest::collection::vec(any::<f32>(), 0..100),
            length in 0u64..100_000_000_000,
        ) {
            let all: Vec<Span> = pairs.iter().map(|(a, b)| *a..*b).collect();
            let truth = frames(&all, length);
            prop_assert_eq!(truth.len() as u64, length / FRAME_NS);
            prop_assert_eq!(frames(&spans(&truth), length), truth.clone());
            let joined = join(&all, 7);
            prop_assert!(joined.windows(2).all(|pair| pair[1].start - pair[0].end >= 7));
            prop_assert!(auc(&truth, &scores).is_none_or(|auc| (0.0..=1.0).contains(&auc)));
            let f1 = Confusion::of(&truth, &above(&scores, 0.5)).f1();
            prop_assert!(f1.is_none_or(|f1| (0.0..=1.0).contains(&f1)));
            prop_assert!(start_delays(&joined, &all, 5).len() <= joined.len());
        }
    }
}
