//! How late results are.

use serde_json::{Value, json};
use waywarden_components::prelude::Mono;

/// How late the results of a stage were, in milliseconds.
#[derive(Default)]
pub struct Latencies(Vec<f64>);

impl Latencies {
    /// For so many results. The memory is touched now: it is not to be what is measured.
    pub fn for_results(count: usize) -> Self {
        let mut late = vec![f64::NAN; count];
        late.clear();
        Self(late)
    }

    /// A result that was due then is there now.
    pub fn add(&mut self, due: Mono, now: Mono) {
        self.0.push(now.since(due).as_secs_f64() * 1e3);
    }

    /// Percentiles over all that were expected: one that never came is infinitely late, which is `null`. `max` is over those
    /// that came.
    pub fn summary(&self, expected: usize) -> Value {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let count = expected.max(sorted.len());
        let at = |percent: usize| {
            let place = (count * percent).div_ceil(100).saturating_sub(1);
            sorted.get(place).map(|ms| round(*ms))
        };
        json!({
            "n": sorted.len(), "missing": count - sorted.len(),
            "p50": at(50), "p95": at(95), "p99": at(99), "max": sorted.last().map(|ms| round(*ms)),
        })
    }
}

/// To a thousandth.
pub fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_is_infinitely_late() {
        let mut late = Latencies::for_results(4);
        for ms in [4, 2, 3, 1] {
            late.add(Mono(0), Mono(ms * 1_000_000));
        }
        let all = late.summary(4);
        assert_eq!(
            (&all["p50"], &all["p99"], &all["max"], &all["missing"]),
            (&2.0.into(), &4.0.into(), &4.0.into(), &0.into())
        );
        let half = late.summary(8);
        assert_eq!(
            (&half["p50"], &half["p95"], &half["max"], &half["missing"]),
            (&4.0.into(), &Value::Null, &4.0.into(), &4.into())
        );
        assert_eq!(Latencies::default().summary(0)["p50"], Value::Null);
    }
}
