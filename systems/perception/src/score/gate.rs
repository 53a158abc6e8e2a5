//! What the gate holds back, and what that costs.

use super::Share;

/// What the gate did in a drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gated {
    /// Of the frames that were judged: those that were held back.
    pub skipped: Share,
    /// Of the labelled objects in frames that were looked at: those that were found in them.
    pub looked: Share,
    /// Of the labelled objects in frames that were held back: those that the newest boxes known when the frame came in fit.
    pub held: Share,
}

impl Gated {
    /// Recall over the frames that were looked at, less recall over these and those held back together: what holding back
    /// costs, if whoever asks in between is told the newest boxes. Frames that passed the gate and were not looked at,
    /// because a model was busy, are in neither. None where there are no labels in either kind of frame.
    pub fn recall_cost(self) -> Option<f64> {
        self.held.value()?;
        Some(self.looked.value()? - (self.looked + self.held).value()?)
    }
}

impl std::ops::Add for Gated {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { skipped: self.skipped + other.skipped, looked: self.looked + other.looked, held: self.held + other.held }
    }
}

impl std::ops::Mul<u32> for Gated {
    type Output = Self;

    fn mul(self, times: u32) -> Self {
        Self { skipped: self.skipped * times, looked: self.looked * times, held: self.held * times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_what_old_boxes_miss() {
        let gated = Gated {
            skipped: Share { part: 3, whole: 4 },
            looked: Share { part: 9, whole: 10 },
            held: Share { part: 15, whole: 30 },
        };
        // 0.9 against 24 of 40.
        assert!((gated.recall_cost().unwrap() - 0.3).abs() < 1e-12);
        assert!(((gated + gated * 3).recall_cost().unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(Gated { held: Share::default(), ..gated }.recall_cost(), None);
    }
}
