//! Whether a fix may be used.

use serde::{Deserialize, Serialize};
use waywarden_components::position::{FixValidity, GpsFix};
use waywarden_components::time::Mono;

/// No road vehicle is faster, in metres a second: 540 km/h.
pub const MAX_SPEED_MPS: f64 = 150.0;

/// Lowest and highest altitudes with a road, with room: the Dead Sea lies at -430 m, Umling La at 5,800 m.
pub const ALTITUDES_M: std::ops::RangeInclusive<f64> = -600.0..=7_000.0;

/// Dilution of precision above which a fix is called poor everywhere and should be discarded.
pub const MAX_HDOP: f64 = 20.0;

/// So near 0°, 0° there is no road, in degrees: 11 km.
const NULL_ISLAND_DEG: f64 = 0.1;

/// So far a position may be off without having jumped, in metres: what reflections between houses do.
const SLACK_M: f64 = 300.0;

/// So many fixes in a row that agree with each other outweigh the one before them: that was wrong, or time is missing.
const AGREEING: u8 = 5;

/// Metres of a degree of latitude, on average.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// Judges the fixes of a receiver, each by what it says and by those before it. Plain data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FixChecker {
    /// The last one that may be used.
    believed: Option<Place>,
    /// The last one that is too far from it.
    elsewhere: Option<Place>,
    /// How many of those in a row agree with each other.
    agreeing: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    latitude_deg: f64,
    longitude_deg: f64,
    at: Mono,
}

impl FixChecker {
    /// Whether this fix, which came at `captured`, may be used.
    pub fn judge(&mut self, fix: &GpsFix, captured: Mono) -> FixValidity {
        if let Some(wrong) = wrong_by_itself(fix) {
            return wrong;
        }
        let here = Place { latitude_deg: fix.latitude_deg, longitude_deg: fix.longitude_deg, at: captured };
        if self.believed.is_some_and(|believed| !here.is_reached_from(&believed)) {
            let agrees = self.elsewhere.is_some_and(|elsewhere| here.is_reached_from(&elsewhere));
            self.elsewhere = Some(here);
            self.agreeing = if agrees { self.agreeing.saturating_add(1) } else { 1 };
            if self.agreeing < AGREEING {
                return FixValidity::Jumped;
            }
        }
        *self = Self { believed: Some(here), elsewhere: None, agreeing: 0 };
        FixValidity::Valid
    }
}

fn wrong_by_itself(fix: &GpsFix) -> Option<FixValidity> {
    if fix.latitude_deg.abs() < NULL_ISLAND_DEG && fix.longitude_deg.abs() < NULL_ISLAND_DEG {
        Some(FixValidity::NullIsland)
    } else if fix.speed_mps.is_some_and(|speed| speed > MAX_SPEED_MPS) {
        Some(FixValidity::TooFast)
    } else if fix.altitude_m.is_some_and(|altitude| !ALTITUDES_M.contains(&altitude)) {
        Some(FixValidity::Altitude)
    } else if fix.hdop.is_some_and(|hdop| hdop > MAX_HDOP) {
        Some(FixValidity::Imprecise)
    } else {
        None
    }
}

impl Place {
    /// Whether a vehicle can have come here since it was there.
    fn is_reached_from(&self, before: &Self) -> bool {
        let north = (self.latitude_deg - before.latitude_deg) * METRES_PER_DEGREE;
        // The short way round where the date changes.
        let degrees_east = (self.longitude_deg - before.longitude_deg + 540.0).rem_euclid(360.0) - 180.0;
        let east = degrees_east * METRES_PER_DEGREE * libm::cos(self.latitude_deg.to_radians());
        let reach = SLACK_M + MAX_SPEED_MPS * self.at.since(before.at).as_secs_f64();
        // Not a number is not reached.
        (north * north + east * east).sqrt() <= reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(latitude_deg: f64, longitude_deg: f64) -> GpsFix {
        GpsFix { latitude_deg, longitude_deg, ..GpsFix::default() }
    }

    fn at(second: u64) -> Mono {
        Mono(second * 1_000_000_000)
    }

    #[test]
    fn what_no_vehicle_can_say_is_told_apart() {
        let judge = |fix: GpsFix| FixChecker::default().judge(&fix, at(1));
        assert_eq!(judge(fix(0.0, 0.0)), FixValidity::NullIsland);
        assert_eq!(judge(fix(0.0, 10.0)), FixValidity::Valid);
        let here = || fix(48.0, 11.0);
        assert_eq!(judge(GpsFix { speed_mps: Some(900.0 / 3.6), ..here() }), FixValidity::TooFast);
        assert_eq!(judge(GpsFix { speed_mps: Some(300.0 / 3.6), ..here() }), FixValidity::Valid);
        assert_eq!(judge(GpsFix { altitude_m: Some(99_999.0), ..here() }), FixValidity::Altitude);
        assert_eq!(judge(GpsFix { altitude_m: Some(-430.0), ..here() }), FixValidity::Valid);
        assert_eq!(judge(GpsFix { hdop: Some(99.9), ..here() }), FixValidity::Imprecise);
        assert_eq!(judge(fix(f64::NAN, 11.0)), FixValidity::Valid, "the sentence would have been refused");
    }

    #[test]
    fn a_jump_is_not_believed_and_the_way_goes_on() {
        let mut checker = FixChecker::default();
        let found: Vec<_> = (0..10)
            .map(|n| {
                let latitude = if n == 4 { 49.0 } else { 48.0 + n as f64 * 3e-4 };
                checker.judge(&fix(latitude, 11.0), at(n))
            })
            .collect();
        assert!(found.iter().enumerate().all(|(n, found)| (*found == FixValidity::Jumped) == (n == 4)), "{found:?}");
    }

    #[test]
    fn a_wrong_first_fix_is_outvoted_but_not_by_a_wild_receiver() {
        let mut checker = FixChecker::default();
        checker.judge(&fix(10.0, 10.0), at(0));
        let found: Vec<_> = (1..8).map(|n| checker.judge(&fix(48.0, 11.0), at(n))).collect();
        assert_eq!(found.iter().filter(|found| **found == FixValidity::Jumped).count(), 4);
        let wild: Vec<_> = (8..30).map(|n| checker.judge(&fix(-40.0 + n as f64 * 2.0, 11.0), at(n))).collect();
        assert!(wild.iter().all(|found| *found == FixValidity::Jumped), "{wild:?}");
    }

    #[test]
    fn after_a_tunnel_the_vehicle_is_elsewhere() {
        let mut checker = FixChecker::default();
        checker.judge(&fix(48.0, 179.999), at(0));
        assert_eq!(checker.judge(&fix(48.0, -179.999), at(1)), FixValidity::Valid, "150 m over the date line");
        assert_eq!(checker.judge(&fix(48.1, -179.999), at(301)), FixValidity::Valid, "11 km in five minutes");
    }
}
