//! When to ask a service and when to leave it alone: a circuit breaker. It has no clock and asks nobody.

use std::time::Duration;

/// How patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it stays open at first; twice as long each time that trying again has failed.
    pub rest: Duration,
    /// The longest that it stays open.
    pub longest_rest: Duration,
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    rest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All is well; so many failures in a row.
    Closed(u32),
    /// The service is left alone.
    Open,
    /// It has answered a question that costs nothing: the next real one decides.
    Trying,
}

impl Breaker {
    /// One that is closed.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed(0), rest: settings.rest }
    }

    /// Whether the service may be asked.
    pub fn may_ask(&self) -> bool {
        self.state != State::Open
    }

    /// It has answered.
    pub fn succeeded(&mut self) {
        if self.state != State::Open {
            self.state = State::Closed(0);
            self.rest = self.settings.rest;
        }
    }

    /// It has not answered. The time for which it is left alone, if that is from now on.
    pub fn failed(&mut self) -> Option<Duration> {
        match self.state {
            State::Open => None,
            State::Closed(before) if before + 1 < self.settings.failures => {
                self.state = State::Closed(before + 1);
                None
            }
            State::Closed(_) | State::Trying => Some(self.open()),
        }
    }

    /// Leaves it alone from now on, and says how long.
    pub fn open(&mut self) -> Duration {
        self.state = State::Open;
        let rest = self.rest;
        self.rest = (2 * rest).min(self.settings.longest_rest);
        rest
    }

    /// Left alone for its time, it has answered a question that costs nothing: it may be asked again.
    pub fn try_again(&mut self) {
        if self.state == State::Open {
            self.state = State::Trying;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, rest: SECOND, longest_rest: 5 * SECOND })
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let mut breaker = breaker();
        for _ in 0..10 {
            assert_eq!((breaker.failed(), breaker.failed()), (None, None));
            breaker.succeeded();
        }
        assert_eq!((breaker.failed(), breaker.failed(), breaker.failed()), (None, None, Some(SECOND)));
        assert!(!breaker.may_ask());
        // What had been asked before comes back late, and changes nothing.
        assert_eq!(breaker.failed(), None);
        breaker.succeeded();
        assert!(!breaker.may_ask());
    }

    #[test]
    fn trying_again_closes_it_or_lets_it_rest_for_longer() {
        let mut breaker = breaker();
        assert_eq!(breaker.open(), SECOND);
        for rest in [2, 4, 5, 5] {
            breaker.try_again();
            assert!(breaker.may_ask());
            assert_eq!(breaker.failed(), Some(rest * SECOND));
        }
        breaker.try_again();
        breaker.succeeded();
        assert_eq!((breaker.failed(), breaker.failed(), breaker.failed()), (None, None, Some(SECOND)));
    }

    #[test]
    fn one_that_is_closed_is_not_tried_again() {
        let mut breaker = breaker();
        breaker.failed();
        breaker.try_again();
        assert_eq!((breaker.failed(), breaker.failed()), (None, Some(SECOND)));
    }
}
