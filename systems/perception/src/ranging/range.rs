//! Which obstacle a range finder means.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::Mono;

use super::{MotionFilter, RangingSettings};

/// Agreement in standard deviations, beyond which a reading means something else.
const AGREES: f64 = 3.0;
/// How far an obstacle may be beside the beam in metres, for what is not known of its place sideways.
const BESIDE_M: f64 = 0.25;

/// A distance told by the range finder, which looks straight ahead from the middle of the front bumper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeAt {
    /// When it was measured.
    pub at: Mono,
    /// Metres before the front bumper.
    pub distance_m: f64,
}

impl RangeAt {
    pub(super) fn is_sound(&self) -> bool {
        (0.0..1e3).contains(&self.distance_m)
    }
}

/// A reading with which no obstacle agrees: something stands there that nobody sees, or there is nobody to see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeAlone(pub RangeAt);

/// What a reading means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RangeFinding<K> {
    /// This obstacle: to be given to its next [`MotionFilter::update`].
    Of(K, RangeAt),
    /// None that is known.
    Alone(RangeAlone),
    /// Nothing: beyond the reach, older than allowed, or not a number.
    Nothing,
}

/// Finds out which obstacle a reading means, at the time `now` of the frame it will be used with: of those in the
/// beam, whose distance agrees within three standard deviations, the one that agrees best; of two that agree equally well
/// the first.
pub fn assign_range<'a, K>(
    settings: &RangingSettings,
    reading: RangeAt,
    now: Mono,
    obstacles: impl IntoIterator<Item = (K, &'a MotionFilter)>,
) -> RangeFinding<K> {
    let age = now.since(reading.at).max(reading.at.since(now)).as_secs_f64();
    if !reading.is_sound() || reading.distance_m > settings.range_reach_m || age > settings.range_age_s {
        return RangeFinding::Nothing;
    }
    let agreement = |filter: &MotionFilter| {
        let there = filter.predict(settings, reading.at)?;
        // What was seen after the reading is moved back by hand.
        let back = filter.last_seen().map_or(0.0, |seen| seen.since(reading.at).as_secs_f64());
        let distance = f64::from(there.distance_m) + f64::from(there.closing_mps) * back;
        let sigma =
            [f64::from(there.distance_sigma_m), f64::from(there.closing_sigma_mps) * back, settings.range_sigma_m];
        let variance: f64 = sigma.iter().map(|sigma| sigma * sigma).sum();
        let reaches = f64::from(there.width_m) / 2.0 + settings.range_beam_m + BESIDE_M;
        let off = (distance - reading.distance_m).abs() / variance.sqrt();
        (f64::from(there.left_m).abs() < reaches && off < AGREES).then_some(off)
    };
    let agreeing = obstacles.into_iter().filter_map(|(key, filter)| Some((key, agreement(filter)?)));
    match agreeing.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
        Some((key, _)) => RangeFinding::Of(key, reading),
        None => RangeFinding::Alone(RangeAlone(reading)),
    }
}
