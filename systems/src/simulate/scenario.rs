//! Scenarios: what a simulated drive is to be, as it stands in a TOML file.
//!
//! Distances are in metres along the road from where the drive begins, times in seconds since then, lanes are counted
//! from the right, from 1. When a drive goes on for longer than the scenario, the staged cars, pedestrians and events
//! begin anew; road and random traffic go on.

use serde::{Deserialize, Serialize};

/// The scenarios that are compiled in: their names, and their files.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("motorway", include_str!("../../../assets/scenarios/motorway.toml")),
    ("town", include_str!("../../../assets/scenarios/town.toml")),
    ("cut-in", include_str!("../../../assets/scenarios/cut-in.toml")),
    ("hard-braking", include_str!("../../../assets/scenarios/hard-braking.toml")),
    ("distracted", include_str!("../../../assets/scenarios/distracted.toml")),
    ("tunnel", include_str!("../../../assets/scenarios/tunnel.toml")),
    ("parked", include_str!("../../../assets/scenarios/parked.toml")),
];

/// A simulated drive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub title: String,
    /// Length in seconds.
    pub duration_s: f64,
    /// The road.
    pub road: Road,
    /// Its paint.
    pub paint: Paint,
    /// The light.
    pub light: Light,
    /// The own vehicle.
    pub ego: Ego,
    /// Cars that come and go by chance.
    pub traffic: Traffic,
    /// Cars with a part to play.
    pub car: Vec<Car>,
    /// People who cross.
    pub pedestrian: Vec<Pedestrian>,
    /// Tunnels.
    pub tunnel: Vec<Stretch>,
    /// What the camera's sensor and lens do to the picture.
    pub camera: Camera,
    /// What goes wrong.
    pub faults: Faults,
    /// What the microphone hears.
    pub sound: Sound,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            title: String::new(),
            duration_s: 60.0,
            road: Road::default(),
            paint: Paint::default(),
            light: Light::default(),
            ego: Ego::default(),
            traffic: Traffic::default(),
            car: Vec::new(),
            pedestrian: Vec::new(),
            tunnel: Vec::new(),
            camera: Camera::default(),
            faults: Faults::default(),
            sound: Sound::default(),
        }
    }
}

impl Scenario {
    /// The scenario that is compiled in under this name.
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        // A test reads them all.
        toml::from_str(text).ok()
    }
}

/// What stands beside the road.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenery {
    /// Meadows, with a tree here and there.
    #[default]
    Open,
    /// Many trees.
    Trees,
    /// Pavements and houses.
    Houses,
}

/// The road.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Road {
    /// Lanes in the direction of travel.
    pub lanes: u32,
    /// Lanes of those who come the other way, on the left; 0 where they have a road of their own.
    pub oncoming_lanes: u32,
    /// Width of a lane, from the middle of one line to the middle of the next.
    pub lane_width_m: f64,
    /// Paved width right of the right line.
    pub shoulder_m: f64,
    /// Radius of the sharpest bend.
    pub bend_radius_m: f64,
    /// Length of a bend with the transitions to the next.
    pub bend_every_m: f64,
    /// Height of hills over valleys.
    pub hill_height_m: f64,
    /// From one hill to the next.
    pub hill_every_m: f64,
    /// Whether there is a guard rail on both sides.
    pub guard_rail: bool,
    /// What stands beside the road.
    pub scenery: Scenery,
}

impl Default for Road {
    fn default() -> Self {
        Self {
            lanes: 2,
            oncoming_lanes: 0,
            lane_width_m: 3.5,
            shoulder_m: 1.0,
            bend_radius_m: 800.0,
            bend_every_m: 500.0,
            hill_height_m: 0.0,
            hill_every_m: 1000.0,
            guard_rail: false,
            scenery: Scenery::Open,
        }
    }
}

/// A painted line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Nothing.
    None,
    /// Pieces and gaps.
    #[default]
    Dashed,
    /// Without gaps.
    Solid,
}

/// The paint on the road.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paint {
    /// Whether there is any. Where there is none, there is no lane to be found.
    pub painted: bool,
    /// Width of a line.
    pub width_m: f64,
    /// Length of a piece of a dashed line.
    pub dash_m: f64,
    /// From its end to the beginning of the next.
    pub gap_m: f64,
    /// The line between the two directions.
    pub centre: Line,
    /// How worn it is: 0 new, 1 mostly gone.
    pub worn: f64,
}

impl Default for Paint {
    fn default() -> Self {
        Self { painted: true, width_m: 0.15, dash_m: 6.0, gap_m: 12.0, centre: Line::Dashed, worn: 0.2 }
    }
}

/// The light.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Light {
    /// Daylight at the start: 1 day, 0 the end of dusk.
    pub start: f64,
    /// Daylight at the end.
    pub end: f64,
    /// Rain: 0 dry and clear, 1 grey, wet and little contrast.
    pub rain: f64,
    /// How dark and how many the shadows on the road are, 0 to 1.
    pub shadows: f64,
}

impl Default for Light {
    fn default() -> Self {
        Self { start: 1.0, end: 1.0, rain: 0.0, shadows: 0.4 }
    }
}

/// The own vehicle. It keeps its distance to what is before it, unless its driver looks away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ego {
    /// The lane in which it begins.
    pub lane: u32,
    /// The speed that it would like.
    pub speed_kmh: f64,
    /// How far it sways from the middle of its lane to either side.
    pub sway_m: f64,
    /// How far its body pitches to either side of level.
    pub pitch_deg: f64,
    /// Changes of lane and speed, in order of time.
    pub event: Vec<Event>,
    /// When the driver does not look at the road, in order of time.
    pub distraction: Vec<Distraction>,
}

impl Default for Ego {
    fn default() -> Self {
        Self { lane: 1, speed_kmh: 100.0, sway_m: 0.25, pitch_deg: 0.05, event: Vec::new(), distraction: Vec::new() }
    }
}

/// A time in which the driver sees nobody ahead. Without it there is no danger: everybody on this road reacts at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distraction {
    /// When it begins, in seconds since the start.
    pub at_s: f64,
    /// For how long.
    #[serde(default = "Distraction::usual_for_s")]
    pub for_s: f64,
    /// So many seconds before a collision at constant speeds the driver looks up all the same, and brakes.
    #[serde(default = "Distraction::usual_looks_up_s")]
    pub looks_up_s: f64,
}

impl Distraction {
    fn usual_for_s() -> f64 {
        5.0
    }

    fn usual_looks_up_s() -> f64 {
        1.2
    }
}

/// Something that a vehicle does at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, in seconds since the start.
    pub at_s: f64,
    /// Into which lane it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<u32>,
    /// How long that takes; 4 s if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_s: Option<f64>,
    /// The speed that it would like from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_kmh: Option<f64>,
    /// How hard it brakes for that, in m/s²; 3 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub braking_mps2: Option<f64>,
}

/// Cars that come and go by chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Vehicles in a kilometre of a lane in the direction of travel.
    pub per_km: f64,
    /// Vehicles in a kilometre of a lane of the other direction.
    pub oncoming_per_km: f64,
    /// Speed of the slowest.
    pub slowest_kmh: f64,
    /// Speed of the fastest.
    pub fastest_kmh: f64,
    /// Share of trucks, 0 to 1.
    pub trucks: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { per_km: 0.0, oncoming_per_km: 0.0, slowest_kmh: 80.0, fastest_kmh: 130.0, trucks: 0.2 }
    }
}

/// What kind of vehicle it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vehicle {
    /// A car.
    #[default]
    Car,
    /// A van, which is a car to most.
    Van,
    /// A truck with a box.
    Truck,
    /// A bus.
    Bus,
}

/// A car with a part to play. It keeps its distance to what is before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Car {
    /// What it is.
    pub vehicle: Vehicle,
    /// Its lane at the start. Lanes beyond those of the direction of travel are those of the other direction.
    pub lane: u32,
    /// From the own front bumper to its rear at the start; negative is behind.
    pub ahead_m: f64,
    /// The speed that it begins with, and would like; 0 is parked.
    pub speed_kmh: f64,
    /// How far left of the middle of its lane it keeps; negative is right. Beyond the right line it is parked beside the
    /// road.
    pub left_m: f64,
    /// What it does, in order of time.
    pub event: Vec<Event>,
}

impl Default for Car {
    fn default() -> Self {
        Self { vehicle: Vehicle::Car, lane: 1, ahead_m: 40.0, speed_kmh: 100.0, left_m: 0.0, event: Vec::new() }
    }
}

/// From where a pedestrian comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// From the right.
    #[default]
    Right,
    /// From the left.
    Left,
}

/// Somebody who waits beside the road, and crosses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pedestrian {
    /// Where, in metres from the start.
    pub ahead_m: f64,
    /// How near the own vehicle is when the crossing begins.
    pub when_within_m: f64,
    /// How fast.
    pub speed_mps: f64,
    /// From where.
    pub from: Side,
}

impl Default for Pedestrian {
    fn default() -> Self {
        Self { ahead_m: 100.0, when_within_m: 40.0, speed_mps: 1.4, from: Side::Right }
    }
}

/// From here to there along the road.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Where it begins, in metres from the start.
    pub from_m: f64,
    /// Where it ends.
    pub to_m: f64,
}

/// From then to then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// When it begins, in seconds since the start.
    pub from_s: f64,
    /// When it ends.
    pub to_s: f64,
}

/// What the camera's sensor and lens do to the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Camera {
    /// Noise by day: standard deviation in luma levels. At dusk there is more.
    pub noise: f64,
    /// How much of every pixel comes from its neighbours, 0 to 1.
    pub blur: f64,
    /// How much darker the corners are than the middle, 0 to 1.
    pub vignetting: f64,
    /// How far exposure wanders around the right one, 0 to 1.
    pub exposure_swing: f64,
}

impl Default for Camera {
    fn default() -> Self {
        Self { noise: 2.0, blur: 0.6, vignetting: 0.25, exposure_swing: 0.06 }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of frames that the camera never delivers, 0 to 1.
    pub missed_frames: f64,
    /// How far positions wander: standard deviation. They never wander beyond four of them.
    pub gps_drift_m: f64,
    /// When the receiver has no fix, tunnels aside.
    pub gps_outage: Vec<Span>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { missed_frames: 0.002, gps_drift_m: 1.5, gps_outage: Vec::new() }
    }
}

/// What the microphone hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sound {
    /// Whether the engine runs: its noise follows the speed.
    pub engine: bool,
    /// Share of the time in which somebody talks, 0 to 0.9.
    pub speech: f64,
}

impl Default for Sound {
    fn default() -> Self {
        Self { engine: true, speech: 0.3 }
    }
}
