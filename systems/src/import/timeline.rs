//! One steady timeline out of a clock that may step: receivers wake up in the wrong year, videos are glued together.

use std::time::Duration;

use waywarden_components::time::Mono;

const HOUR: Duration = Duration::from_secs(3600);

/// Turns the times of a recording into times that never go back.
///
/// A forward move of up to an hour is believed. A small move back is held: time stands still until the clock has
/// caught up. Anything else is a step of the clock: time goes on by the usual interval.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    slack: Duration,
    usual: Duration,
    last: Option<i64>,
    at: Mono,
    /// Times that lay a little before the latest one.
    pub held: u64,
    /// Steps of the clock.
    pub steps: u64,
}

impl Timeline {
    /// A timeline that takes moves back of up to `slack` for disorder, and `usual` for the interval until one was seen.
    pub fn new(slack: Duration, usual: Duration) -> Self {
        Self { slack, usual, last: None, at: Mono::default(), held: 0, steps: 0 }
    }

    /// The time so far.
    pub fn now(&self) -> Mono {
        self.at
    }

    /// Starts at `at` when the clock says `clock` nanoseconds.
    pub fn start(&mut self, clock: i64, at: Mono) {
        self.last = Some(clock);
        self.at = at;
    }

    /// The time at which the clock says `clock` nanoseconds. Never before an earlier answer.
    pub fn advance(&mut self, clock: i64) -> Mono {
        let Some(last) = self.last else {
            self.start(clock, self.at);
            return self.at;
        };
        let moved = Duration::from_nanos(clock.abs_diff(last));
        if clock >= last && moved <= HOUR {
            if !moved.is_zero() {
                self.usual = moved.min(Duration::from_secs(1));
            }
            self.at = self.at + moved;
            self.last = Some(clock);
        } else if clock < last && moved <= self.slack {
            self.held += 1;
        } else {
            self.steps += 1;
            self.at = self.at + self.usual;
            self.last = Some(clock);
        }
        self.at
    }

    /// Goes on by the usual interval, for something without a time.
    pub fn advance_usual(&mut self) -> Mono {
        let clock = self.last.unwrap_or_default().saturating_add(self.usual.as_nanos() as i64);
        self.advance(clock)
    }

    /// What was odd, in words.
    pub fn warnings(&self, what: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.held > 0 {
            warnings.push(format!("{} {what} had times before the one ahead of them and were moved up", self.held));
        }
        if self.steps > 0 {
            warnings.push(format!("the clock of the {what} stepped {} times; time goes on across it", self.steps));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_steady_clock_is_followed_from_its_start() {
        let mut line = Timeline::new(Duration::from_secs(1), Duration::from_secs(1));
        let times: Vec<u64> = [50, 51, 53, 53].iter().map(|s| line.advance(s * S).0 / S as u64).collect();
        assert_eq!(times, [0, 1, 3, 3]);
        assert!(line.warnings("frames").is_empty());
    }

    #[test]
    fn small_moves_back_are_held_and_steps_are_bridged() {
        let mut line = Timeline::new(Duration::from_secs(1), Duration::from_secs(1));
        let seconds = [100, 102, 101, 103, 9_000, 9_001, 10, 11, i64::MIN / S, i64::MAX / S];
        let times: Vec<u64> = seconds.iter().map(|s| line.advance(s * S).0 / S as u64).collect();
        assert_eq!(times, [0, 2, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((line.held, line.steps), (1, 4));
        assert_eq!(line.warnings("frames").len(), 2);
    }
}
