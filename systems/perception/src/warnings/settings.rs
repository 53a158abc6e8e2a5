//! When each warning is given: every threshold, with its unit, its usual value and what is permitted.

use serde::{Deserialize, Serialize};

/// What is permitted of one number: its name, the number, least, most, unit.
type Limit = (&'static str, f32, f32, f32, &'static str);

/// When warnings are given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarningSettings {
    /// Width of the own vehicle without mirrors in metres; 1.8, permitted 0.5 to 3.
    pub vehicle_width_m: f32,
    /// So long must the inputs of a function be fresh before it warns, in seconds; 1, permitted 0 to 30.
    pub self_test_s: f32,
    /// An input older than this is stale, in seconds; 0.5, permitted 0.1 to 2.
    pub stale_s: f32,
    /// Least time between two changes of a warning's text in seconds; 0.5, permitted 0.5 to 10.
    pub text_s: f32,
    /// A collision with what is ahead is near.
    pub forward_collision: CollisionSettings,
    /// The vehicle ahead is followed too closely.
    pub headway: HeadwaySettings,
    /// The vehicle leaves its lane.
    pub lane_departure: LaneDepartureSettings,
    /// A pedestrian or cyclist is ahead.
    pub vulnerable_road_user: VulnerableSettings,
    /// Something stands close ahead of a vehicle that moves off.
    pub moving_off: MovingOffSettings,
}

impl Default for WarningSettings {
    fn default() -> Self {
        Self {
            vehicle_width_m: 1.8,
            self_test_s: 1.0,
            stale_s: 0.5,
            text_s: 0.5,
            forward_collision: CollisionSettings::default(),
            headway: HeadwaySettings::default(),
            lane_departure: LaneDepartureSettings::default(),
            vulnerable_road_user: VulnerableSettings::default(),
            moving_off: MovingOffSettings::default(),
        }
    }
}

impl WarningSettings {
    /// What is wrong with them, if anything.
    pub fn fault(&self) -> Option<String> {
        let own: [Limit; 4] = [
            ("vehicle_width_m", self.vehicle_width_m, 0.5, 3.0, "m"),
            ("self_test_s", self.self_test_s, 0.0, 30.0, "s"),
            ("stale_s", self.stale_s, 0.1, 2.0, "s"),
            ("text_s", self.text_s, 0.5, 10.0, "s"),
        ];
        beyond("", &own)
            .or_else(|| self.forward_collision.fault())
            .or_else(|| self.headway.fault())
            .or_else(|| self.lane_departure.fault())
            .or_else(|| self.vulnerable_road_user.fault())
            .or_else(|| self.moving_off.fault())
    }
}

/// When a collision with a vehicle ahead is warned of (FCW, after ISO 15623).
///
/// The usual 2.1 s is what NHTSA asks for before a standing vehicle (FCW confirmation test of the US NCAP, 2013: 2.1 s
/// standing, 2.4 s braking, 2.0 s slower); 2.7 s leaves the time of two looks and their error before 2.1 s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollisionSettings {
    /// Whether it is wanted; true.
    pub enabled: bool,
    /// Time to collision in seconds from which to look; 2.7, permitted 1 to 6.
    pub caution_s: f32,
    /// Time to collision in seconds from which to act; 2.1, permitted 0.5 to `caution_s`.
    pub warning_s: f32,
    /// So many standard deviations sooner an uncertain time counts; 0.75, permitted 0 to 2.
    pub doubt: f32,
    /// Least own speed in km/h; 20, permitted 5 to 100. Slower than this, whoever rolls up to a queue brakes later than
    /// the times above and means to; from standstill it is the business of moving off.
    pub least_speed_kmh: f32,
    /// Least closing speed in m/s; 1.5, permitted 0.3 to 10.
    pub least_closing_mps: f32,
    /// Curves sharper than this radius in metres are left alone; 125 (class III of ISO 15623), permitted 0 to 1000.
    pub least_radius_m: f32,
    /// Deceleration in m/s² that, when it is needed after the reaction time, makes a caution a warning; 6, permitted 2 to 10.
    pub hard_mps2: f32,
    /// Reaction time of the driver in seconds; 1, permitted 0.3 to 2.5.
    pub reaction_s: f32,
    /// From this deceleration in m/s² on the braking of the vehicle ahead is reckoned with; 3.5, permitted 1 to 10.
    pub lead_braking_mps2: f32,
    /// Highest own speed in km/h at which the range finder alone warns; 50, permitted 0 to 100.
    pub range_alone_kmh: f32,
    /// Not again for so many seconds, unless it is more urgent; 3, permitted 0 to 60.
    pub again_s: f32,
}

impl Default for CollisionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            caution_s: 2.7,
            warning_s: 2.1,
            doubt: 0.75,
            least_speed_kmh: 20.0,
            least_closing_mps: 1.5,
            least_radius_m: 125.0,
            hard_mps2: 6.0,
            reaction_s: 1.0,
            lead_braking_mps2: 3.5,
            range_alone_kmh: 50.0,
            again_s: 3.0,
        }
    }
}

impl CollisionSettings {
    fn fault(&self) -> Option<String> {
        let limits: [Limit; 11] = [
            ("caution_s", self.caution_s, 1.0, 6.0, "s"),
            ("warning_s", self.warning_s, 0.5, self.caution_s, "s"),
            ("doubt", self.doubt, 0.0, 2.0, ""),
            ("least_speed_kmh", self.least_speed_kmh, 5.0, 100.0, "km/h"),
            ("least_closing_mps", self.least_closing_mps, 0.3, 10.0, "m/s"),
            ("least_radius_m", self.least_radius_m, 0.0, 1000.0, "m"),
            ("hard_mps2", self.hard_mps2, 2.0, 10.0, "m/s²"),
            ("reaction_s", self.reaction_s, 0.3, 2.5, "s"),
            ("lead_braking_mps2", self.lead_braking_mps2, 1.0, 10.0, "m/s²"),
            ("range_alone_kmh", self.range_alone_kmh, 0.0, 100.0, "km/h"),
            ("again_s", self.again_s, 0.0, 60.0, "s"),
        ];
        beyond("forward_collision.", &limits)
    }
}

/// When following too closely is told of.
///
/// 0.9 s is half of the distance that German law asks for ("half the speedometer"), from which it is an offence (BKatV,
/// table 2 of the annex), and a little above 0.8 s, the least that ISO 15622 lets a cruise control keep; 0.54 s is three
/// tenths of that distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadwaySettings {
    /// Whether it is wanted; true.
    pub enabled: bool,
    /// Time gap in seconds below which it is worth knowing; 0.9, permitted 0.3 to 3.
    pub notice_s: f32,
    /// Time gap in seconds below which to look; 0.54, permitted 0.2 to `notice_s`.
    pub caution_s: f32,
    /// So long must it have been too short, in seconds; 2, permitted 0.5 to 30.
    pub for_s: f32,
    /// Least own speed in km/h; 50, permitted 20 to 150.
    pub least_speed_kmh: f32,
    /// Not again for so many seconds, unless it is more urgent; 30, permitted 0 to 600.
    pub again_s: f32,
}

impl Default for HeadwaySettings {
    fn default() -> Self {
        Self { enabled: true, notice_s: 0.9, caution_s: 0.54, for_s: 2.0, least_speed_kmh: 50.0, again_s: 30.0 }
    }
}

impl HeadwaySettings {
    fn fault(&self) -> Option<String> {
        let limits: [Limit; 5] = [
            ("notice_s", self.notice_s, 0.3, 3.0, "s"),
            ("caution_s", self.caution_s, 0.2, self.notice_s, "s"),
            ("for_s", self.for_s, 0.5, 30.0, "s"),
            ("least_speed_kmh", self.least_speed_kmh, 20.0, 150.0, "km/h"),
            ("again_s", self.again_s, 0.0, 600.0, "s"),
        ];
        beyond("headway.", &limits)
    }
}

/// When leaving the lane is warned of (LDW, after ISO 17361).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneDepartureSettings {
    /// Whether it is wanted; true.
    pub enabled: bool,
    /// Time to the line in seconds from which it is told; 0.6, permitted 0 to 1.5 (the earliest of ISO 17361).
    pub crossing_s: f32,
    /// So far beyond the line in metres it is told however slowly the vehicle drifts; 0.1, permitted -0.3 to 0.3 (the
    /// latest of ISO 17361 for cars).
    pub beyond_m: f32,
    /// Slower drift than this towards the line, in m/s, is none; 0.15, permitted 0.05 to 1.
    pub least_rate_mps: f32,
    /// Quicker than this across the line, in m/s, is taken for meant; 1, permitted 0.5 to 5. Indicators are not known.
    /// ISO 17361 tests up to 0.8 m/s.
    pub most_rate_mps: f32,
    /// Least own speed in km/h; 60, permitted 20 to 150.
    pub least_speed_kmh: f32,
    /// Curves sharper than this radius in metres are left alone; 250 (class II of ISO 17361), permitted 0 to 2000.
    pub least_radius_m: f32,
    /// Least confidence of the lane; 0.5, permitted 0 to 1.
    pub least_confidence: f32,
    /// Not again for so many seconds, unless it is more urgent; 5, permitted 0 to 60.
    pub again_s: f32,
}

impl Default for LaneDepartureSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            crossing_s: 0.6,
            beyond_m: 0.1,
            least_rate_mps: 0.15,
            most_rate_mps: 1.0,
            least_speed_kmh: 60.0,
            least_radius_m: 250.0,
            least_confidence: 0.5,
            again_s: 5.0,
        }
    }
}

impl LaneDepartureSettings {
    fn fault(&self) -> Option<String> {
        let limits: [Limit; 8] = [
            ("crossing_s", self.crossing_s, 0.0, 1.5, "s"),
            ("beyond_m", self.beyond_m, -0.3, 0.3, "m"),
            ("least_rate_mps", self.least_rate_mps, 0.05, 1.0, "m/s"),
            ("most_rate_mps", self.most_rate_mps, 0.5, 5.0, "m/s"),
            ("least_speed_kmh", self.least_speed_kmh, 20.0, 150.0, "km/h"),
            ("least_radius_m", self.least_radius_m, 0.0, 2000.0, "m"),
            ("least_confidence", self.least_confidence, 0.0, 1.0, ""),
            ("again_s", self.again_s, 0.0, 60.0, "s"),
        ];
        beyond("lane_departure.", &limits)
    }
}

/// When pedestrians and cyclists ahead are warned of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VulnerableSettings {
    /// Whether it is wanted; true.
    pub enabled: bool,
    /// Time to collision in seconds from which to look; 2.7, permitted 1 to 6.
    pub caution_s: f32,
    /// Time to collision in seconds from which to act; 2, permitted 0.5 to `caution_s`.
    pub warning_s: f32,
    /// Nearer than this in the path, in metres, it is told whatever the time; 3, permitted 0 to 10.
    pub near_m: f32,
    /// Farther away than this, in metres, nobody is warned of; 45, permitted 5 to 100.
    pub reach_m: f32,
    /// Least own speed in km/h; 8, permitted 2 to 50.
    pub least_speed_kmh: f32,
    /// Highest own speed in km/h; 60, permitted 20 to 100. Above it forward collision warns of who is in the path.
    pub most_speed_kmh: f32,
    /// Not again for so many seconds, unless it is more urgent; 3, permitted 0 to 60.
    pub again_s: f32,
}

impl Default for VulnerableSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            caution_s: 2.7,
            warning_s: 2.0,
            near_m: 3.0,
            reach_m: 45.0,
            least_speed_kmh: 8.0,
            most_speed_kmh: 60.0,
            again_s: 3.0,
        }
    }
}

impl VulnerableSettings {
    fn fault(&self) -> Option<String> {
        let limits: [Limit; 7] = [
            ("caution_s", self.caution_s, 1.0, 6.0, "s"),
            ("warning_s", self.warning_s, 0.5, self.caution_s, "s"),
            ("near_m", self.near_m, 0.0, 10.0, "m"),
            ("reach_m", self.reach_m, 5.0, 100.0, "m"),
            ("least_speed_kmh", self.least_speed_kmh, 2.0, 50.0, "km/h"),
            ("most_speed_kmh", self.most_speed_kmh, 20.0, 100.0, "km/h"),
            ("again_s", self.again_s, 0.0, 60.0, "s"),
        ];
        beyond("vulnerable_road_user.", &limits)
    }
}

/// When an obstacle close ahead of a vehicle that moves off is warned of (in the manner of UN Regulation No. 159).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MovingOffSettings {
    /// Whether it is wanted; true.
    pub enabled: bool,
    /// Nearer than this it is an obstacle, in metres; 2.5, permitted 0.5 to 5.
    pub near_m: f32,
    /// Nearer than this it is urgent, in metres; 1, permitted 0.2 to `near_m`.
    pub touch_m: f32,
    /// Reached within so many seconds it is told; 3, permitted 0.5 to 10.
    pub caution_s: f32,
    /// Least speed at which it comes nearer, in m/s; 0.3, permitted 0.1 to 2.
    pub least_closing_mps: f32,
    /// Highest own speed in km/h; 8, permitted 2 to 20.
    pub most_speed_kmh: f32,
    /// So long after standstill the vehicle moves off, in seconds; 5, permitted 1 to 30. Later it rolls up to something.
    pub for_s: f32,
    /// Not again for so many seconds, unless it is more urgent; 5, permitted 0 to 60.
    pub again_s: f32,
}

impl Default for MovingOffSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            near_m: 2.5,
            touch_m: 1.0,
            caution_s: 3.0,
            least_closing_mps: 0.3,
            most_speed_kmh: 8.0,
            for_s: 5.0,
            again_s: 5.0,
        }
    }
}

impl MovingOffSettings {
    fn fault(&self) -> Option<String> {
        let limits: [Limit; 7] = [
            ("near_m", self.near_m, 0.5, 5.0, "m"),
            ("touch_m", self.touch_m, 0.2, self.near_m, "m"),
            ("caution_s", self.caution_s, 0.5, 10.0, "s"),
            ("least_closing_mps", self.least_closing_mps, 0.1, 2.0, "m/s"),
            ("most_speed_kmh", self.most_speed_kmh, 2.0, 20.0, "km/h"),
            ("for_s", self.for_s, 1.0, 30.0, "s"),
            ("again_s", self.again_s, 0.0, 60.0, "s"),
        ];
        beyond("moving_off.", &limits)
    }
}

/// Words for the first number that is not permitted. What is no number never is.
fn beyond(table: &str, limits: &[Limit]) -> Option<String> {
    let (name, is, least, most, unit) = limits.iter().find(|l| !(l.2..=l.3).contains(&l.1))?;
    let space = if unit.is_empty() { "" } else { " " };
    Some(format!("{table}{name} is {is}: it must be {least} to {most}{space}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_settings_are_permitted_and_faults_are_named() {
        assert_eq!(WarningSettings::default().fault(), None);
        let mut settings = WarningSettings::default();
        settings.forward_collision.warning_s = 3.0;
        let said = settings.fault().expect("above the caution");
        assert_eq!(said, "forward_collision.warning_s is 3: it must be 0.5 to 2.7 s");
        settings = WarningSettings::default();
        settings.moving_off.touch_m = f32::NAN;
        assert!(settings.fault().is_some_and(|s| s.starts_with("moving_off.touch_m is NaN")), "no number");
        settings = WarningSettings { stale_s: f32::INFINITY, ..WarningSettings::default() };
        assert!(settings.fault().is_some());
    }

    #[test]
    fn a_word_that_is_not_known_is_refused_and_what_is_left_out_is_usual() {
        let some: WarningSettings = serde_json::from_str(r#"{"headway":{"enabled":false}}"#).expect("sound");
        assert!(!some.headway.enabled && some.headway.notice_s == 0.9 && some.forward_collision.enabled);
        assert!(serde_json::from_str::<WarningSettings>(r#"{"headway":{"enable":false}}"#).is_err());
        assert!(serde_json::from_str::<WarningSettings>(r#"{"tone":1}"#).is_err());
    }
}
