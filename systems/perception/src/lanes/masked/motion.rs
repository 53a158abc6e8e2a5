//! Where a lane must be by now, and how sure that is, from the vehicle's speed: a Kalman filter whose measurement is the fit.
//!
//! What the marks of one picture leave open, a little more of heading for a little less of bend, the next ones decide: who heads
//! for a line comes nearer to it. Beside the lane the filter learns how far the camera looks past where the vehicle goes, which
//! without it would be taken for heading (E. D. Dickmanns, B. D. Mysliwetz, "Recursive 3-D Road and Relative Ego-State
//! Recognition", 1992).

use nalgebra::{Matrix4, SMatrix, SVector, Vector4};
use waywarden_components::prelude::*;

use crate::lanes::classical::fit::{Fit, Prior, UNKNOWNS};

/// Numbers of the state: left, right, slope, curvature, yaw of the camera.
const N: usize = 5;
const LEFT: usize = 0;
const RIGHT: usize = 1;
const SLOPE: usize = 2;
const CURVATURE: usize = 3;
const YAW: usize = 4;

type Covariance = SMatrix<f64, N, N>;

/// How hard the vehicle moves aside, as a standard deviation in m/s², and how fast it turns at least, in radians a second.
const ASIDE_MPS2: f64 = 1.0;
const TURNS_RADPS: f64 = 0.01;
/// Slower than this, in m/s, it turns no faster.
const SLOW_MPS: f64 = 5.0;
/// How much both lines, and each for itself, may be off beside that: in metres, and in metres for each second.
const OFF_M: (f64, f64) = (0.01, 0.05);
const EACH_M: (f64, f64) = (0.01, 0.05);
/// Change of the curvature with the way, in 1/m², and with each look, in 1/m.
const BENDS: (f64, f64) = (4e-5, 2e-5);
/// How far the camera may look past where the vehicle goes, in radians, and how fast that changes, in radians in the root of a
/// second.
const YAW_RAD: (f64, f64) = (0.015, 2e-4);
/// How little is known of the line of the next lane, in metres.
const NEXT_M: f64 = 0.15;

/// A lane as it must be by now.
pub struct Predicted {
    /// The lane.
    pub shape: LaneShape,
    covariance: Covariance,
    yaw_rad: f64,
}

fn state(shape: &LaneShape) -> Vector4<f64> {
    Vector4::new(shape.left_m, shape.right_m, shape.slope, shape.curvature_per_m)
}

fn matrix(doubt: &LaneDoubt) -> Covariance {
    Covariance::from_fn(|row, column| doubt.covariance[row][column])
}

fn doubt(covariance: &Covariance, yaw_rad: f64) -> Option<LaneDoubt> {
    let mut doubt = LaneDoubt { yaw_rad, ..LaneDoubt::default() };
    for (row, values) in doubt.covariance.iter_mut().enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            // Rounding must not make it lopsided.
            *value = (covariance[(row, column)] + covariance[(column, row)]) / 2.0;
        }
    }
    let sound = yaw_rad.is_finite() && doubt.covariance.iter().flatten().all(|value| value.is_finite());
    let positive = (0..N).all(|n| doubt.covariance[n][n] > 0.0);
    (sound && positive).then_some(doubt)
}

/// How sure the fit is of the lane, whatever the camera nods.
fn measured(fit: &Fit) -> Option<Matrix4<f64>> {
    let information = SMatrix::<f64, UNKNOWNS, UNKNOWNS>::from_fn(|row, column| fit.information[row][column]);
    Some(information.try_inverse()?.fixed_view::<4, 4>(0, 0).into_owned())
}

/// What is known of a lane that was found anew: what the fit says, and what was learnt of the camera before.
pub fn begun(fit: &Fit, before: Option<&LaneDoubt>) -> Option<LaneDoubt> {
    let mut covariance = Covariance::zeros();
    covariance.fixed_view_mut::<4, 4>(0, 0).copy_from(&measured(fit)?);
    let (yaw_rad, variance) =
        before.map_or((0.0, YAW_RAD.0 * YAW_RAD.0), |before| (before.yaw_rad, before.covariance[YAW][YAW]));
    covariance[(YAW, YAW)] = variance;
    doubt(&covariance, yaw_rad)
}

impl Predicted {
    /// The lane `seconds` later, at `speed_mps`.
    pub fn new(shape: &LaneShape, known: &LaneDoubt, speed_mps: f64, seconds: f64) -> Self {
        let way_m = speed_mps * seconds;
        let mut moves = Covariance::identity();
        for line in [LEFT, RIGHT] {
            (moves[(line, SLOPE)], moves[(line, YAW)]) = (way_m, -way_m);
        }
        let mut covariance = moves * matrix(known) * moves.transpose();
        // It turned some time on the way: on average, in the middle of it.
        let turn = (ASIDE_MPS2 / speed_mps.max(SLOW_MPS) + TURNS_RADPS) * seconds;
        let turned = SVector::<f64, N>::from([way_m * turn / 2.0, way_m * turn / 2.0, turn, 0.0, 0.0]);
        covariance += turned * turned.transpose();
        let square = |(fixed, rate): (f64, f64), times: f64| (fixed + rate * times) * (fixed + rate * times);
        let both = SVector::<f64, N>::from([1.0, 1.0, 0.0, 0.0, 0.0]);
        covariance += both * both.transpose() * square(OFF_M, seconds);
        for line in [LEFT, RIGHT] {
            covariance[(line, line)] += square(EACH_M, seconds);
        }
        covariance[(CURVATURE, CURVATURE)] += square((BENDS.1, BENDS.0), way_m);
        covariance[(YAW, YAW)] += YAW_RAD.1 * YAW_RAD.1 * seconds;
        let aside = way_m * (shape.slope - known.yaw_rad);
        let shape = LaneShape { left_m: shape.left_m + aside, right_m: shape.right_m + aside, ..*shape };
        Self { shape, covariance, yaw_rad: known.yaw_rad }
    }

    /// What is believed before the marks are looked at. `nod` is the standard deviation of how the camera nods, in radians.
    pub fn prior(&self, nod: f64, width_m: (f64, f64)) -> Option<Prior> {
        let known = self.covariance.fixed_view::<4, 4>(0, 0).into_owned().try_inverse()?;
        let mut information = [[0.0; UNKNOWNS]; UNKNOWNS];
        for (row, values) in information.iter_mut().enumerate().take(4) {
            for (column, value) in values.iter_mut().enumerate().take(4) {
                *value = (known[(row, column)] + known[(column, row)]) / 2.0;
            }
        }
        information[4][4] = 1.0 / (nod * nod);
        Some(Prior { shape: self.shape, information, width_m })
    }

    /// What is known when the marks have been looked at: of the lane what the fit says, and of the camera what follows from it.
    pub fn learnt(&self, fit: &Fit) -> Option<LaneDoubt> {
        let before = self.covariance.fixed_view::<4, 4>(0, 0).into_owned();
        let after = measured(fit)?;
        let tied = self.covariance.fixed_view::<1, 4>(YAW, 0).into_owned();
        let gain = tied * before.try_inverse()?;
        let yaw_rad = self.yaw_rad + (gain * (state(&fit.shape) - state(&self.shape)))[0];
        let variance = self.covariance[(YAW, YAW)] - (gain * (before - after) * gain.transpose())[0];
        let mut covariance = Covariance::zeros();
        covariance.fixed_view_mut::<4, 4>(0, 0).copy_from(&after);
        let tied = gain * after;
        covariance.fixed_view_mut::<1, 4>(YAW, 0).copy_from(&tied);
        covariance.fixed_view_mut::<4, 1>(0, YAW).copy_from(&tied.transpose());
        covariance[(YAW, YAW)] = variance;
        doubt(&covariance, yaw_rad)
    }
}

/// What is known of the next lane, left or right: one of its lines is one of this lane's.
pub fn next(known: &LaneDoubt, left: bool) -> LaneDoubt {
    let kept = if left { LEFT } else { RIGHT };
    let old = |index: usize| if index == LEFT || index == RIGHT { kept } else { index };
    let mut next = *known;
    for (row, values) in next.covariance.iter_mut().enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            *value = known.covariance[old(row)][old(column)];
        }
    }
    // The line that is known has changed sides; of the other one no more is known than how wide lanes are.
    next.covariance[kept][kept] += NEXT_M * NEXT_M;
    next
}
