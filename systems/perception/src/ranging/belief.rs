//! What is believed of one obstacle along the road: an extended Kalman filter over six numbers and one that is
//! only allowed for.
//!
//! Distance, width and height are kept as logarithms: how wide a box is then depends on the state linearly, and how fast
//! it grows tells closing speed over distance whatever the width (Lee, "A theory of visual control of braking", 1976;
//! Horn, Fang, Masaki, "Time to contact relative to a planar surface", 2007). Acceleration dies away with time (Singer,
//! "Estimating optimal tracking filter performance for manned maneuvering targets", 1970).

use nalgebra::{SMatrix, SVector};
use serde::{Deserialize, Serialize};

/// Numbers of the state.
const N: usize = 7;
/// Logarithm of the distance from the lens forward, in metres.
pub(super) const DISTANCE: usize = 0;
/// Closing speed in m/s.
pub(super) const CLOSING: usize = 1;
/// Its change in m/s².
pub(super) const CHANGE: usize = 2;
/// Logarithm of the width in metres.
pub(super) const WIDTH: usize = 3;
/// Logarithm of the height in metres.
pub(super) const HEIGHT: usize = 4;
/// How much lower in the picture things are than the believed pitch says, as a slope.
pub(super) const PITCH: usize = 5;
/// Logarithm of how many times as wide as its end it looks, because it is turned and shows its side. It is not learnt, since nothing
/// tells it from the distance, but what is learnt allows for it: a considered parameter (Schmidt, "Application of state-space
/// methods to navigation problems", 1966).
pub(super) const TURN: usize = 6;

/// Nearest distance from the lens that is thought of, in metres, and farthest.
const NEAREST_M: f64 = 0.3;
const FARTHEST_M: f64 = 500.0;
/// Longest step in seconds, and longest time that is thought of.
const STEP_S: f64 = 0.1;
const LONGEST_S: f64 = 60.0;

pub(super) type State = SVector<f64, N>;

/// How what is believed grows old.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ageing {
    /// What the change of the closing speed tends to, in m/s².
    pub tends_to: f64,
    /// Standard deviation of it in m/s², and how long one lasts in seconds.
    pub acceleration: f64,
    pub lasting_s: f64,
    /// Standard deviation of the pitch, and how long an error of it lasts in seconds.
    pub pitch: f64,
    pub pitch_s: f64,
    /// How much width and height change in a second, as a share.
    pub shape: f64,
    /// How much it may be turned.
    pub turn: Turn,
}

/// How unsure it is which way something points, and what that does to its width. Where a bend begins that is not seen yet is not
/// known, so it is the less sure the farther away it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// How many times as long as wide it is.
    pub slim: f64,
    /// Standard deviation of its direction in radians, and of the curvature of the road up to it, a metre.
    pub angle: f64,
    pub curvature: f64,
    /// How long it lasts, in seconds.
    pub lasting_s: f64,
}

impl Turn {
    /// Standard deviation of the logarithm of how much wider it looks at a distance.
    pub fn sigma(&self, distance_m: f64) -> f64 {
        libm::log1p(self.slim * libm::hypot(self.angle, self.curvature * distance_m))
    }
}

/// A Gaussian over the state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Belief {
    mean: State,
    cov: SMatrix<f64, N, N>,
}

/// What a measurement says: how it depends on the state, by how much it differs from what was expected, how unsure it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub row: State,
    pub residual: f64,
    pub variance: f64,
}

impl Evidence {
    /// The same, linear about `prior`, for a belief that has learnt since.
    pub fn seen_from(self, prior: &Belief, now: &Belief) -> Self {
        Self { residual: self.residual - self.row.dot(&(now.mean - prior.mean)), ..self }
    }
}

impl Belief {
    /// A belief of these means and standard deviations, none depending on another.
    pub fn new(mean: State, sigma: State) -> Self {
        Self { mean, cov: SMatrix::from_diagonal(&sigma.component_mul(&sigma)) }
    }

    pub fn get(&self, number: usize) -> f64 {
        self.mean.get(number).copied().unwrap_or_default()
    }

    pub fn sigma(&self, number: usize) -> f64 {
        self.cov.get((number, number)).map_or(0.0, |variance| variance.max(0.0).sqrt())
    }

    /// Distance from the lens in metres.
    pub fn distance_m(&self) -> f64 {
        libm::exp(self.get(DISTANCE))
    }

    pub fn distance_sigma_m(&self) -> f64 {
        self.distance_m() * self.sigma(DISTANCE)
    }

    pub fn width_m(&self) -> f64 {
        libm::exp(self.get(WIDTH))
    }

    /// The own vehicle became faster by this much.
    pub fn own_speed_changed(&mut self, by_mps: f64) {
        self.mean[CLOSING] += by_mps;
    }

    /// Says that a number is less sure than it was believed to be.
    pub fn doubt(&mut self, number: usize, sigma: f64) {
        if let Some(variance) = self.cov.get_mut((number, number)) {
            *variance += sigma * sigma;
        }
    }

    /// Says that a number is at least as unsure as this.
    pub fn allow(&mut self, number: usize, sigma: f64) {
        if let Some(variance) = self.cov.get_mut((number, number)) {
            *variance = variance.max(sigma * sigma);
        }
    }

    /// Says that all of it may be larger and further away, or smaller and nearer, than was believed, by this share: that
    /// looks the same.
    pub fn doubt_scale(&mut self, share: f64) {
        let along = State::from([1.0, self.get(CLOSING), 0.0, 1.0, 1.0, 0.0, 0.0]) * share;
        self.cov += along * along.transpose();
    }

    /// Lets time go by.
    pub fn advance(&mut self, seconds: f64, ageing: &Ageing) {
        let mut left = seconds.min(LONGEST_S);
        while left > 0.0 {
            let dt = left.min(STEP_S);
            self.step(dt, ageing);
            left -= dt;
        }
    }

    fn step(&mut self, dt: f64, ageing: &Ageing) {
        let kept = libm::exp(-dt / ageing.lasting_s);
        let gain_v = ageing.lasting_s * (1.0 - kept);
        let gain_d = ageing.lasting_s * (dt - gain_v);
        let (closing, change) = (self.get(CLOSING), self.get(CHANGE));
        let (settled, more) = (ageing.tends_to, change - ageing.tends_to);
        let before = self.distance_m();
        let after = (before - closing * dt - settled * dt * dt / 2.0 - more * gain_d).clamp(NEAREST_M, FARTHEST_M);
        let pitch_kept = libm::exp(-dt / ageing.pitch_s);

        self.mean[DISTANCE] = libm::log(after);
        self.mean[CLOSING] += settled * dt + more * gain_v;
        self.mean[CHANGE] = settled + more * kept;
        self.mean[PITCH] *= pitch_kept;
        let turn_kept = libm::exp(-dt / ageing.turn.lasting_s);

        let mut by = SMatrix::<f64, N, N>::identity();
        by[(DISTANCE, DISTANCE)] = before / after;
        by[(DISTANCE, CLOSING)] = -dt / after;
        by[(DISTANCE, CHANGE)] = -gain_d / after;
        by[(CLOSING, CHANGE)] = gain_v;
        by[(CHANGE, CHANGE)] = kept;
        by[(PITCH, PITCH)] = pitch_kept;
        by[(TURN, TURN)] = turn_kept;
        self.cov = by * self.cov * by.transpose();

        // White noise on the change of the acceleration, summed up over the step.
        let density = 2.0 * ageing.acceleration * ageing.acceleration / ageing.lasting_s;
        let (dt2, dt3) = (dt * dt, dt * dt * dt);
        let mut add = |a: usize, b: usize, value: f64| {
            self.cov[(a, b)] += value;
            if a != b {
                self.cov[(b, a)] += value;
            }
        };
        add(DISTANCE, DISTANCE, density * dt2 * dt3 / 20.0 / (after * after));
        add(DISTANCE, CLOSING, -density * dt2 * dt2 / 8.0 / after);
        add(DISTANCE, CHANGE, -density * dt3 / 6.0 / after);
        add(CLOSING, CLOSING, density * dt3 / 3.0);
        add(CLOSING, CHANGE, density * dt2 / 2.0);
        add(CHANGE, CHANGE, density * dt);
        add(WIDTH, WIDTH, ageing.shape * ageing.shape * dt);
        add(HEIGHT, HEIGHT, ageing.shape * ageing.shape * dt);
        add(PITCH, PITCH, (1.0 - pitch_kept * pitch_kept) * ageing.pitch * ageing.pitch);
        let turn = ageing.turn.sigma(after);
        add(TURN, TURN, (1.0 - turn_kept * turn_kept) * turn * turn);
    }

    /// How many standard deviations a measurement is away from what was expected.
    pub fn surprise(&self, evidence: &Evidence) -> f64 {
        let variance = evidence.row.dot(&(self.cov * evidence.row)) + evidence.variance;
        evidence.residual.abs() / variance.max(f64::MIN_POSITIVE).sqrt()
    }

    /// Takes a measurement in. Gives the logarithm of its likelihood, but for a constant.
    pub fn learn(&mut self, evidence: &Evidence) -> f64 {
        let with = self.cov * evidence.row;
        let variance = evidence.row.dot(&with) + evidence.variance;
        let mut gain = with / variance;
        gain[TURN] = 0.0;
        if !(variance > 0.0 && variance.is_finite() && evidence.residual.is_finite()) {
            return 0.0;
        }
        self.mean += gain * evidence.residual;
        let less = gain * with.transpose();
        self.cov += gain * gain.transpose() * variance - less - less.transpose();
        // What rounding has made different stays equal.
        self.cov = (self.cov + self.cov.transpose()) * 0.5;
        -0.5 * (evidence.residual * evidence.residual / variance + libm::log(variance))
    }

    /// Two beliefs as one, of which the second has this share: the same mean and covariance as both together.
    pub fn mixed(first: &Self, second: &Self, share: f64) -> Self {
        if share.is_nan() || share <= 0.0 {
            return *first;
        }
        let apart = second.mean - first.mean;
        let cov = first.cov * (1.0 - share) + second.cov * share + apart * apart.transpose() * (share * (1.0 - share));
        Self { mean: first.mean + apart * share, cov }
    }

    /// Whether the numbers are still numbers, of something on a road.
    pub fn is_sound(&self) -> bool {
        self.mean.iter().chain(self.cov.iter()).all(|number| number.is_finite())
            && self.cov.diagonal().iter().all(|&variance| variance >= 0.0)
            && (NEAREST_M..=FARTHEST_M).contains(&self.distance_m())
            && self.get(CLOSING).abs() < 150.0
            && self.get(WIDTH).abs() < 4.0
            && self.get(HEIGHT).abs() < 4.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ranging) const AGEING: Ageing = Ageing {
        tends_to: 0.0,
        acceleration: 2.0,
        lasting_s: 1.0,
        pitch: 0.003,
        pitch_s: 20.0,
        shape: 0.01,
        turn: Turn { slim: 2.5, angle: 0.02, curvature: 0.002, lasting_s: 3.0 },
    };

    fn belief() -> Belief {
        let mean = State::from([libm::log(20.0), 5.0, 0.0, libm::log(1.8), libm::log(1.5), 0.0, 0.0]);
        Belief::new(mean, State::from([0.1, 1.0, 1.0, 0.1, 0.1, 0.003, 0.1]))
    }

    #[test]
    fn time_brings_it_nearer_and_makes_it_less_sure() {
        let mut later = belief();
        later.advance(1.0, &AGEING);
        assert!((later.distance_m() - 15.0).abs() < 1e-6, "{}", later.distance_m());
        assert!(later.distance_sigma_m() > belief().distance_sigma_m());
        assert!(later.sigma(CLOSING) > belief().sigma(CLOSING) && later.is_sound());
    }

    #[test]
    fn a_distance_measured_twice_tells_the_speed() {
        let mut belief = belief();
        let distance = |belief: &Belief, metres: f64| Evidence {
            row: State::from([belief.distance_m(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            residual: metres - belief.distance_m(),
            variance: 0.01,
        };
        belief.learn(&distance(&belief, 20.0));
        belief.advance(0.5, &AGEING);
        belief.learn(&distance(&belief, 16.5));
        assert!((belief.get(CLOSING) - 7.0).abs() < 1.0, "{}", belief.get(CLOSING));
        assert!((belief.distance_m() - 16.5).abs() < 0.2);
    }

    #[test]
    fn what_may_be_turned_is_allowed_for_and_not_learnt() {
        // It looks 30 % wider than something of its width would from there, many times.
        let mut turned = belief();
        let sure = Turn { slim: 0.0, ..AGEING.turn };
        let mut straight = Belief::new(turned.mean, State::from([0.1, 1.0, 1.0, 0.1, 0.1, 0.003, 0.0]));
        for belief in [&mut turned, &mut straight] {
            for _ in 0..20 {
                let row = State::from([-1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
                let expected = belief.get(WIDTH) - belief.get(DISTANCE);
                let residual = libm::log(1.8 / 20.0) + 0.26 - expected;
                belief.learn(&Evidence { row, residual, variance: 1e-3 });
            }
            assert!(belief.is_sound());
        }
        assert_eq!(turned.get(TURN), 0.0);
        assert!((turned.sigma(TURN) - 0.1).abs() < 1e-9, "as unsure as before: {}", turned.sigma(TURN));
        assert!(turned.sigma(DISTANCE) > straight.sigma(DISTANCE));
        straight.advance(1.0, &Ageing { turn: sure, ..AGEING });
        assert_eq!(straight.sigma(TURN), 0.0, "what is as long as wide shows no side");
        straight.allow(TURN, 0.1);
        turned.allow(TURN, 0.05);
        let sigmas = [&straight, &turned].map(|belief| belief.sigma(TURN));
        assert!(sigmas.iter().all(|sigma| (sigma - 0.1).abs() < 1e-9), "never surer than before: {sigmas:?}");
    }
}
