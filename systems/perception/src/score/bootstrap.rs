//! Intervals by drawing the units again (the percentile bootstrap; Efron and Tibshirani, *An Introduction to the
//! Bootstrap*, 1993, chapter 13). Seeded, so that the same figures have the same interval.

/// How often the units are drawn.
pub const ROUNDS: usize = 1000;

/// The interval that holds 95 of 100 values of `statistic`, which is given how often each unit was drawn. None for fewer
/// than two units, or where the statistic has a value in fewer than half of the rounds.
pub fn interval(units: usize, seed: u64, statistic: impl Fn(&[u32]) -> Option<f64>) -> Option<(f64, f64)> {
    if units < 2 {
        return None;
    }
    let mut chance = SplitMix(seed);
    let mut values = Vec::with_capacity(ROUNDS);
    let mut weights = vec![0u32; units];
    for _ in 0..ROUNDS {
        weights.fill(0);
        for _ in 0..units {
            if let Some(weight) = weights.get_mut(chance.below(units)) {
                *weight += 1;
            }
        }
        values.extend(statistic(&weights).filter(|value| value.is_finite()));
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share + 0.5) as usize).copied();
    if values.len() * 2 < ROUNDS { None } else { Some((at(0.025)?, at(0.975)?)) }
}

/// SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014): enough to draw units.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is above 0.
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64], weights: &[u32]) -> Option<f64> {
        let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum();
        Some(sum / f64::from(weights.iter().sum::<u32>()))
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first two numbers of seed 1234567 (Vigna's reference implementation).
        let mut chance = SplitMix(1_234_567);
        assert_eq!([chance.next(), chance.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide() {
        // 400 values, half 0, half 1: standard error 0.5 / 20.
        let values: Vec<f64> = (0..400).map(|n| f64::from(n % 2)).collect();
        let (low, high) = interval(400, 1, |weights| mean(&values, weights)).unwrap();
        assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "{low} {high}");
        assert_eq!(interval(400, 1, |weights| mean(&values, weights)), Some((low, high)), "seeded");
        assert_ne!(interval(400, 2, |weights| mean(&values, weights)), Some((low, high)));
    }

    #[test]
    fn nothing_and_one_have_no_interval() {
        for units in [0, 1] {
            assert_eq!(interval(units, 1, |_| Some(1.0)), None);
        }
        assert_eq!(interval(9, 1, |_| None), None);
        assert_eq!(interval(9, 1, |_| Some(f64::NAN)), None);
        assert_eq!(interval(9, 1, |_| Some(3.0)), Some((3.0, 3.0)));
    }
}
