//! Series of any length in bounded memory: what is lost is never an extreme.

use std::time::Duration;

use waywarden_components::prelude::*;

/// Values over time, at most so many buckets of them. Each bucket keeps its smallest and its largest value with their
/// times, so that a line drawn through them looks like one through all values.
///
/// Buckets are equally wide; when there are too many, they become twice as wide. A series that is short enough is kept
/// as it is.
#[derive(Clone, Debug)]
pub struct Series {
    most: usize,
    /// Width of a bucket in nanoseconds.
    width: u64,
    buckets: Vec<Bucket>,
    count: u64,
    sum: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    number: u64,
    min: (u64, f64),
    max: (u64, f64),
}

/// Buckets of a usual series.
const MOST_BUCKETS: usize = 2000;

/// Width of a bucket at first: no device gives more than a value in this time.
const FIRST_WIDTH: u64 = 1_000_000;

impl Default for Series {
    fn default() -> Self {
        Self::with_buckets(MOST_BUCKETS)
    }
}

impl Series {
    /// A series that keeps at most twice `most` points.
    pub fn with_buckets(most: usize) -> Self {
        Self { most: most.max(1), width: FIRST_WIDTH, buckets: Vec::new(), count: 0, sum: 0.0 }
    }

    /// Adds a value. What is not a number is left out.
    pub fn push(&mut self, at: Mono, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        self.sum += value;
        let number = at.0 / self.width;
        let new = Bucket { number, min: (at.0, value), max: (at.0, value) };
        // Nearly always behind the last one.
        let place = match self.buckets.last() {
            Some(last) if last.number >= number => self.buckets.partition_point(|bucket| bucket.number < number),
            _ => self.buckets.len(),
        };
        match self.buckets.get_mut(place) {
            Some(bucket) if bucket.number == number => bucket.merge(&new),
            _ => self.buckets.insert(place, new),
        }
        while self.buckets.len() > self.most {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        for bucket in &mut self.buckets {
            bucket.number /= 2;
        }
        self.buckets.dedup_by(|later, earlier| {
            let same = later.number == earlier.number;
            if same {
                earlier.merge(later);
            }
            same
        });
    }

    /// Values added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is not one value.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The same series in another unit: every value times `factor`, which is above zero.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        scaled.sum *= factor;
        for bucket in &mut scaled.buckets {
            bucket.min.1 *= factor;
            bucket.max.1 *= factor;
        }
        scaled
    }

    /// The mean of all values; none without any.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The smallest value and its time.
    pub fn min(&self) -> Option<(Mono, f64)> {
        let least = self.buckets.iter().map(|bucket| bucket.min).min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((Mono(least.0), least.1))
    }

    /// The largest value and its time.
    pub fn max(&self) -> Option<(Mono, f64)> {
        let most = self.buckets.iter().map(|bucket| bucket.max).max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((Mono(most.0), most.1))
    }

    /// What is kept, in order of time; a missing value where nothing came for longer than `hole`.
    pub fn points(&self, hole: Duration) -> Vec<(Mono, Option<f64>)> {
        let hole = u64::try_from(hole.as_nanos()).unwrap_or(u64::MAX).max(self.width.saturating_mul(2));
        let mut points: Vec<(Mono, Option<f64>)> = Vec::with_capacity(2 * self.buckets.len());
        for bucket in &self.buckets {
            let (first, second) =
                if bucket.min.0 <= bucket.max.0 { (bucket.min, bucket.max) } else { (bucket.max, bucket.min) };
            for (at, value) in [first, second] {
                match points.last() {
                    Some((last, Some(same))) if last.0 == at && *same == value => continue,
                    Some((last, Some(_))) if at - last.0 > hole => points.push((Mono(last.0 + 1), None)),
                    _ => {}
                }
                points.push((Mono(at), Some(value)));
            }
        }
        points
    }
}

impl Bucket {
    fn merge(&mut self, other: &Self) {
        if other.min.1 < self.min.1 {
            self.min = other.min;
        }
        if other.max.1 > self.max.1 {
            self.max = other.max;
        }
    }
}

/// Things counted over time: `N` counts a bin. Bins are a second wide; when there are too many, they become twice as wide.
#[derive(Clone, Debug)]
pub struct Bins<const N: usize> {
    width: u64,
    bins: Vec<[u64; N]>,
}

/// Bins that are kept at most.
const MOST_BINS: usize = 2048;

impl<const N: usize> Default for Bins<N> {
    fn default() -> Self {
        Self { width: 1_000_000_000, bins: Vec::new() }
    }
}

impl<const N: usize> Bins<N> {
    /// Counts `by` more of `what` at a time since the start.
    pub fn add(&mut self, since_start: Duration, what: usize, by: u64) {
        let ns = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX);
        while ns / self.width >= MOST_BINS as u64 {
            self.widen();
        }
        // Below MOST_BINS, as was seen to above.
        let bin = (ns / self.width) as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, [0; N]);
        }
        if let Some(count) = self.bins[bin].get_mut(what) {
            *count = count.saturating_add(by);
        }
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        let merge = |pair: &[[u64; N]]| {
            let mut sum = [0; N];
            for bin in pair {
                for (sum, count) in sum.iter_mut().zip(bin) {
                    *sum += count;
                }
            }
            sum
        };
        self.bins = self.bins.chunks(2).map(merge).collect();
    }

    /// Width of a bin in seconds.
    pub fn width_s(&self) -> f64 {
        self.width as f64 / 1e9
    }

    /// The middle of each bin, in seconds since the start, and how many of `what` there were.
    pub fn counts(&self, what: usize) -> impl Iterator<Item = (f64, u64)> {
        let width = self.width_s();
        self.bins
            .iter()
            .enumerate()
            .map(move |(n, bin)| ((n as f64 + 0.5) * width, bin.get(what).copied().unwrap_or(0)))
    }

    /// All of `what`.
    pub fn total(&self, what: usize) -> u64 {
        self.bins.iter().filter_map(|bin| bin.get(what)).sum()
    }
}

/// Things that come one after the other, of which at most so many are kept: the first, and every n-th behind it.
#[derive(Clone, Debug)]
pub struct Thinned<T> {
    most: usize,
    every: u64,
    seen: u64,
    kept: Vec<T>,
}

impl<T> Thinned<T> {
    /// Keeps at most `most` things.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(2), every: 1, seen: 0, kept: Vec::new() }
    }

    /// Whether the next one would be kept: what costs much need not be made.
    pub fn wants_next(&self) -> bool {
        self.seen.is_multiple_of(self.every)
    }

    /// Counts one that is not kept: see [`Thinned::wants_next`].
    pub fn skip(&mut self) {
        self.seen += 1;
    }

    /// Adds one.
    pub fn push(&mut self, thing: T) {
        if self.wants_next() {
            self.kept.push(thing);
        }
        self.seen += 1;
        if self.kept.len() > self.most {
            self.every *= 2;
            let mut n = 0_u64;
            self.kept.retain(|_| {
                n += 1;
                !n.is_multiple_of(2)
            });
        }
    }

    /// How many there were.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What was kept, in order.
    pub fn kept(&self) -> &[T] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOLE: Duration = Duration::from_secs(1);

    #[test]
    fn a_short_series_is_kept_as_it_is() {
        let mut series = Series::default();
        let all: Vec<(Mono, f64)> = (0..1000).map(|n| (Mono(n * 33_000_000), (n % 7) as f64)).collect();
        all.iter().for_each(|(at, value)| series.push(*at, *value));
        let kept: Vec<_> = series.points(HOLE).into_iter().map(|(at, value)| (at, value.unwrap())).collect();
        assert_eq!(kept, all);
        assert_eq!((series.count(), series.max().unwrap().1), (1000, 6.0));
    }

    #[test]
    fn holes_are_shown_and_nonsense_is_not() {
        let mut series = Series::default();
        for (at, value) in [(0.0, 1.0), (0.5, 2.0), (0.7, f64::NAN), (5.0, 3.0)] {
            series.push(Mono::from_secs_f64(at), value);
        }
        let values: Vec<_> = series.points(HOLE).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [Some(1.0), Some(2.0), None, Some(3.0)]);
        assert_eq!(series.mean(), Some(2.0));
    }

    proptest! {
        #[test]
        fn no_extreme_is_lost_and_memory_is_bounded(
            steps in prop::collection::vec((0u64..2_000_000_000, -1e6f64..1e6), 1..400),
            most in 1usize..40,
        ) {
            let mut series = Series::with_buckets(most);
            let mut at = 0;
            let mut all = Vec::new();
            for (step, value) in steps {
                at += step;
                series.push(Mono(at), value);
                all.push((Mono(at), value));
            }
            let points = series.points(Duration::MAX);
            prop_assert!(points.len() <= 2 * most);
            prop_assert!(points.is_sorted_by_key(|point| point.0));
            // Every point is one that was there.
            prop_assert!(points.iter().all(|(at, value)| all.contains(&(*at, value.unwrap()))));
            let extreme = |order: fn(f64, f64) -> f64| all.iter().map(|point| point.1).reduce(order).unwrap();
            prop_assert_eq!(series.min().unwrap().1, extreme(f64::min));
            prop_assert_eq!(series.max().unwrap().1, extreme(f64::max));
        }

        #[test]
        fn order_does_not_matter_to_what_is_kept(mut times in prop::collection::vec(0u64..10_000_000_000, 1..200)) {
            let series = |times: &[u64]| {
                let mut series = Series::with_buckets(16);
                times.iter().for_each(|at| series.push(Mono(*at), *at as f64));
                series.points(Duration::MAX)
            };
            let mixed = series(&times);
            times.sort_unstable();
            prop_assert_eq!(mixed, series(&times));
        }
    }

    #[test]
    fn nothing_that_is_counted_is_lost() {
        let mut bins = Bins::<2>::default();
        for second in 0..10_000 {
            bins.add(Duration::from_secs(second), 0, 1);
        }
        bins.add(Duration::from_secs(3), 1, 5);
        assert_eq!((bins.total(0), bins.total(1)), (10_000, 5));
        assert_eq!(bins.width_s(), 8.0);
        assert_eq!(bins.counts(0).next(), Some((4.0, 8)));
        bins.add(Duration::MAX, 0, 1);
        assert_eq!(bins.total(0), 10_001);
    }

    #[test]
    fn things_are_thinned_evenly() {
        let mut thinned = Thinned::new(8);
        (0..100).for_each(|n| thinned.push(n));
        assert_eq!(thinned.kept(), [0, 16, 32, 48, 64, 80, 96]);
        assert_eq!(thinned.seen(), 100);
    }
}
