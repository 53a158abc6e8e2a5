//! Two beliefs at once: that the other one drives on as it does, and that it brakes hard.
//!
//! An interacting multiple model (Blom, Bar-Shalom, "The interacting multiple model algorithm for systems with Markovian
//! switching coefficients", 1988): each of both explains what is seen in its own way, and the one that does it better
//! counts more. While it drives on little noise is believed; when it brakes nothing has to be averaged away first.

use serde::{Deserialize, Serialize};

use super::belief::{Ageing, Belief, Evidence};

/// Least share of a belief that is possible at all.
const LEAST_SHARE: f64 = 1e-6;

/// How one belief becomes the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switching {
    /// Begins to brake, this often in a second of driving on; none where it cannot.
    pub brakes_hz: f64,
    /// Ceases to, in a second of braking.
    pub ceases_hz: f64,
}

/// Both beliefs and how likely the second is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Modes {
    drives: Belief,
    brakes: Belief,
    /// Likelihood that it brakes, 0 to 1.
    braking: f64,
}

impl Modes {
    /// Nobody brakes who was not seen to.
    pub fn new(belief: Belief) -> Self {
        Self { drives: belief, brakes: belief, braking: 0.0 }
    }

    /// Both as one.
    pub fn belief(&self) -> Belief {
        Belief::mixed(&self.drives, &self.brakes, self.braking)
    }

    /// Changes both alike.
    pub fn change(&mut self, mut change: impl FnMut(&mut Belief)) {
        change(&mut self.drives);
        change(&mut self.brakes);
    }

    /// Lets time go by.
    pub fn advance(&mut self, seconds: f64, (drives, brakes): (&Ageing, &Ageing), switching: Switching) {
        let begins = 1.0 - libm::exp(-switching.brakes_hz * seconds);
        let ceases = 1.0 - libm::exp(-switching.ceases_hz * seconds);
        let (from_drives, from_brakes) = ((1.0 - self.braking) * begins, self.braking * (1.0 - ceases));
        let braking = from_drives + from_brakes;
        let before = *self;
        if braking > 0.0 {
            self.brakes = Belief::mixed(&before.drives, &before.brakes, from_brakes / braking);
        }
        if braking < 1.0 {
            self.drives = Belief::mixed(&before.drives, &before.brakes, self.braking * ceases / (1.0 - braking));
        }
        self.braking = braking;
        self.drives.advance(seconds, drives);
        if braking > 0.0 {
            self.brakes.advance(seconds, brakes);
        } else {
            self.brakes = self.drives;
        }
    }

    /// Takes in measurements that `read` makes of a belief, in their order, but what is further off for both than `gate`
    /// standard deviations. Says which were taken. `read` is told what was taken before.
    pub fn learn<const M: usize>(
        &mut self,
        gate: f64,
        read: impl Fn(&Belief, usize, &[bool; M]) -> Option<Evidence>,
    ) -> [Option<bool>; M] {
        let before = *self;
        let mut taken = [None; M];
        let mut so_far = [false; M];
        let mut odds = 0.0;
        for n in 0..M {
            // All are linear about the beliefs before, whatever was taken in since.
            let about = |prior: &Belief, now: &Belief| Some(read(prior, n, &so_far)?.seen_from(prior, now));
            let (Some(drives), Some(brakes)) =
                (about(&before.drives, &self.drives), about(&before.brakes, &self.brakes))
            else {
                continue;
            };
            let surprise = self.drives.surprise(&drives).min(self.brakes.surprise(&brakes));
            let fits = gate.is_infinite() || surprise <= gate;
            if fits {
                odds += self.brakes.learn(&brakes) - self.drives.learn(&drives);
            }
            if let (Some(taken), Some(so_far)) = (taken.get_mut(n), so_far.get_mut(n)) {
                (*taken, *so_far) = (Some(fits), fits);
            }
        }
        if self.braking > 0.0 {
            let ratio = self.braking / (1.0 - self.braking) * libm::exp(odds.clamp(-50.0, 50.0));
            self.braking = (ratio / (1.0 + ratio)).clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
        }
        taken
    }

    /// Whether both are sound.
    pub fn is_sound(&self) -> bool {
        self.drives.is_sound() && self.brakes.is_sound() && (0.0..=1.0).contains(&self.braking)
    }
}

#[cfg(test)]
mod tests {
    use super::super::belief::tests::AGEING;
    use super::super::belief::{CLOSING, State};
    use super::*;

    const DRIVES: Ageing = Ageing { acceleration: 1.5, ..AGEING };
    const BRAKES: Ageing = Ageing { tends_to: 8.0, acceleration: 2.0, lasting_s: 0.3, ..DRIVES };
    const SWITCHING: Switching = Switching { brakes_hz: 0.2, ceases_hz: 0.5 };

    /// Follows something at 25 m that begins to brake this hard, in m/s², for a second.
    fn after_a_second(braking_mps2: f64, switching: Switching) -> Modes {
        let mean = State::from([libm::log(25.0), 0.0, 0.0, libm::log(1.8), libm::log(1.5), 0.0, 0.0]);
        let mut modes = Modes::new(Belief::new(mean, State::from([0.02, 0.5, 0.5, 0.05, 0.05, 0.003, 0.05])));
        for n in 1..=10 {
            let t = f64::from(n) / 10.0;
            modes.advance(0.1, (&DRIVES, &BRAKES), switching);
            modes.learn(4.0, |belief, _, _: &[bool; 1]| {
                let residual = 25.0 - braking_mps2 * t * t / 2.0 - belief.distance_m();
                let row = State::from([belief.distance_m(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
                Some(Evidence { row, residual, variance: 0.16 })
            });
        }
        modes
    }

    #[test]
    fn braking_is_told_from_driving_on() {
        let (brakes, drives) = (after_a_second(8.0, SWITCHING), after_a_second(0.0, SWITCHING));
        assert!(brakes.braking > 0.8 && drives.braking < 0.1, "{} {}", brakes.braking, drives.braking);
        assert!(brakes.belief().get(CLOSING) > 6.0 && drives.belief().get(CLOSING).abs() < 0.5);
        assert!(brakes.is_sound() && drives.is_sound());
    }

    #[test]
    fn who_cannot_brake_hard_is_never_believed_to() {
        let never = after_a_second(8.0, Switching { brakes_hz: 0.0, ceases_hz: 0.5 });
        assert_eq!(never.braking, 0.0);
        assert_eq!(never.belief(), never.drives);
    }
}
