//! Errors of measured values: median and ninth decile, of units that can be drawn again.

/// Absolute errors of several units (drives or pictures), sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    sorted: Vec<(f64, usize)>,
    units: usize,
}

impl Errors {
    /// The errors of each unit; their signs are left out, as is what is not a number.
    pub fn new(units: &[Vec<f64>]) -> Self {
        let each = units.iter().enumerate().flat_map(|(unit, values)| values.iter().map(move |v| (v.abs(), unit)));
        let mut sorted: Vec<_> = each.filter(|(value, _)| !value.is_nan()).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Self { sorted, units: units.len() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The smallest error that at least this share of all does not exceed (nearest rank).
    pub fn quantile(&self, share: f64) -> Option<f64> {
        self.weighted_quantile(share, &vec![1; self.units])
    }

    /// The same with each unit as often as its weight says.
    pub fn weighted_quantile(&self, share: f64, weights: &[u32]) -> Option<f64> {
        let weight = |unit: usize| u64::from(weights.get(unit).copied().unwrap_or(0));
        let total: u64 = self.sorted.iter().map(|(_, unit)| weight(*unit)).sum();
        let rank = (total as f64 * share).ceil().max(1.0);
        let mut passed = 0;
        self.sorted.iter().find_map(|(value, unit)| {
            passed += weight(*unit);
            (passed as f64 >= rank).then_some(*value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_decile_are_by_nearest_rank() {
        let errors = Errors::new(&[vec![-3.0, 1.0, f64::NAN], vec![2.0, 10.0], vec![]]);
        assert_eq!((errors.len(), errors.is_empty()), (4, false));
        assert_eq!([0.0, 0.5, 0.75, 0.9].map(|share| errors.quantile(share)), [1.0, 2.0, 3.0, 10.0].map(Some));
        assert_eq!(errors.weighted_quantile(0.9, &[2, 0, 5]), Some(3.0), "the second unit was not drawn");
        assert_eq!((errors.weighted_quantile(0.5, &[0; 3]), Errors::default().quantile(0.5)), (None, None));
    }
}
