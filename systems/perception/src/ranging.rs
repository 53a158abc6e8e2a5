//! Where an obstacle is and how it moves: distance, closing speed, time to collision and path, from the boxes of one track.
//!
//! | what | tells | and does not, where |
//! | --- | --- | --- |
//! | the bottom edge of the box | the distance, by where it stands on the road | the frame cuts it off, near the horizon |
//! | the width of the box | the distance, by how wide such things are; the width is learnt | the frame cuts a side off |
//! | the height of the box | likewise | the frame cuts top or bottom off |
//! | how the box grows | closing speed over distance | it was seen too seldom |
//! | a range finder | the distance, surely | beyond its reach and beside its beam |
//!
//! All of them go into one extended Kalman filter a track ([`MotionFilter`]), each with its variance, so that what is sure
//! counts most. The own change of speed is known and not guessed; what remains is how the other one brakes.

mod belief;
mod box_view;
#[cfg(test)]
mod figures;
mod modes;
mod path;
mod range;
#[cfg(test)]
mod scenes;
mod settings;
mod size;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use crate::road_plane::RoadPlane;
use belief::{Belief, CHANGE, CLOSING, DISTANCE, Evidence, HEIGHT, PITCH, State, TURN, Turn, WIDTH};
use box_view::{Bottom, BoxView};
use modes::Modes;
use path::{Across, Corridor};
pub use range::{RangeAlone, RangeAt, RangeFinding, assign_range};
pub use settings::RangingSettings;
use size::Size;

/// Which sides of a box are where the frame ends: the thing itself goes on beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutSides {
    /// The left side.
    pub left: bool,
    /// The right side.
    pub right: bool,
    /// The top.
    pub top: bool,
    /// The bottom.
    pub bottom: bool,
}

impl CutSides {
    /// Of a box in a frame of `width` x `height` pixels. Which side is cut is as unsure as the edges of boxes are: one that
    /// is within three of their standard deviations of the frame's edge counts as cut.
    pub fn of(settings: &RangingSettings, detection: &Detection, width: u32, height: u32) -> Self {
        let margin_px = (3.0 * settings.edge_sigma_px(detection.height.into())) as f32;
        Self {
            left: detection.left <= margin_px,
            top: detection.top <= margin_px,
            right: detection.left + detection.width >= width as f32 - margin_px,
            bottom: detection.top + detection.height >= height as f32 - margin_px,
        }
    }
}

/// An obstacle as seen in one frame, and what was known then.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// When the frame was captured.
    pub at: Mono,
    /// The box as the detector gave it: not smoothed, because smoothing delays, and twice the same noise is no news.
    pub detection: &'a Detection,
    /// Which of its sides the frame cuts.
    pub cut: CutSides,
    /// The camera over the road, with its pitch as currently believed.
    pub plane: &'a RoadPlane,
    /// How the camera is mounted: where its lens is in the vehicle.
    pub camera: &'a CameraGeometry,
    /// Standard deviation of the believed pitch in radians: how wrong it may be for long, nodding apart.
    pub pitch_sigma_rad: f64,
    /// The own speed in m/s, if it is known.
    pub speed_mps: Option<f64>,
    /// How fast the vehicle turns to the left in rad/s, if it is known.
    pub yaw_rate_radps: Option<f64>,
    /// The ego lane, if it is known.
    pub lane: Option<LaneGeometry>,
    /// What the range finder said of this very obstacle near this time, as [`assign_range`] found.
    pub range: Option<RangeAt>,
}

/// Follows the motion of one obstacle from sight to sight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MotionFilter {
    class: ObjectClass,
    known: Option<Known>,
}

/// What is known once it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Capture time of the newest frame in which it was seen.
    at: Mono,
    modes: Modes,
    across: Across,
    /// The middle of the corridor at its distance, in metres left of the vehicle's middle.
    middle_m: f64,
    /// From the lens forward to the front bumper in metres.
    bumper_m: f64,
    speed_mps: Option<f64>,
    pitch_sigma_rad: f64,
    /// Boxes whose size was taken in, up to what is enough to see it grow.
    sized: u8,
    /// Sights in a row of which most was too far off to be believed.
    refused: u8,
    /// How large it looked when that was believed, and when.
    looked: Option<Looked>,
    /// Sights in a row that are of something much larger or smaller.
    jumps: u8,
    sources: MotionSources,
}

/// How large something looked, as slopes with their standard deviations, where the frame does not cut it off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Looked {
    at: Mono,
    wide: Option<(f64, f64)>,
    tall: Option<(f64, f64)>,
    bottom: Bottom,
}

/// Boxes needed to see one grow.
const GROWING: u8 = 5;
/// Sights that may be refused before all is begun anew.
const REFUSALS: u8 = 3;
/// Sights in a row of something much larger or smaller before all is begun anew: that is somebody else, in front of who was followed
/// or behind. One alone may be a box that is wrong.
const JUMPS: u8 = 2;
/// So many standard deviations are much.
const MUCH: f64 = 4.0;
/// From this slope downwards on, the pitch is a small part of where something stands.
const NEAR_SLOPE: f64 = 0.05;
/// Standard deviation of the logarithm of the distance, beyond which there is none to speak of.
const TOO_VAGUE: f64 = 0.6;

impl MotionFilter {
    /// Knows nothing yet of something of this class.
    pub fn new(class: ObjectClass) -> Self {
        Self { class, known: None }
    }

    /// Takes in what was seen, and says where it is at the time of the frame. None, and nothing has changed, where the
    /// sight makes no sense or is not newer than the last one; none also as long as the distance is too vague.
    pub fn update(&mut self, settings: &RangingSettings, sight: &Sight<'_>) -> Option<ObjectMotion> {
        let view = BoxView::new(settings, sight)?;
        let class = sight.detection.class;
        if self.known.as_ref().is_some_and(|known| sight.at <= known.at) {
            return None;
        }
        let gap = |known: &Known| sight.at.since(known.at).as_secs_f64() > settings.longest_gap_s;
        let usable = self.known.take().filter(|known| !gap(known));
        let followed = usable.and_then(|known| known.follow(settings, sight, &view, (self.class, class)));
        self.class = class;
        self.known = followed.or_else(|| Known::begin(settings, sight, &view, class));
        self.known.as_ref()?.motion(settings)
    }

    /// Where it is at another time: distance and time to collision have moved on, and are less sure. The time of the
    /// newest sight for times before it. None where it was never located, or is no longer to be.
    pub fn predict(&self, settings: &RangingSettings, at: Mono) -> Option<ObjectMotion> {
        let known = self.known.as_ref()?;
        known.later(settings, self.class, at.since(known.at).as_secs_f64()).motion(settings)
    }

    /// When it was last seen where it could be located.
    pub fn last_seen(&self) -> Option<Mono> {
        self.known.as_ref().map(|known| known.at)
    }
}

impl Known {
    /// From a first sight: the distance that size and place on the road say together.
    fn begin(settings: &RangingSettings, sight: &Sight<'_>, view: &BoxView, class: ObjectClass) -> Option<Self> {
        let (size, turn) = (Size::of(class), settings.turn(class, sight.speed_mps));
        let height_m = sight.plane.height_m();
        let mut guesses: Vec<(f64, f64)> = Vec::new();
        if let Some((wide, sigma)) = view.width() {
            let distance_m = size.width_m / wide;
            let turned = turn.sigma(distance_m);
            guesses.push((libm::log(distance_m), size.width_spread + size.sway + turned + sigma / wide));
        }
        if let Some((tall, sigma)) = view.height() {
            guesses.push((libm::log(size.height_m / tall), size.height_spread + sigma / tall));
        }
        if let Some((down, sigma)) = view.ground() {
            guesses.push((libm::log(height_m / down), (sigma + sight.pitch_sigma_rad) / down));
        }
        let weight: f64 = guesses.iter().map(|(_, sigma)| 1.0 / (sigma * sigma)).sum();
        let sum: f64 = guesses.iter().map(|(guess, sigma)| guess / (sigma * sigma)).sum();
        if guesses.is_empty() {
            return None;
        }
        let (closing, closing_sigma) = settings.first_closing(class, sight.speed_mps);
        let far = sum / weight;
        let mean = State::from([far, closing, 0.0, libm::log(size.width_m), libm::log(size.height_m), 0.0, 0.0]);
        let sigma = State::from([
            1.5,
            closing_sigma,
            settings.acceleration(class, sight.speed_mps),
            size.width_spread,
            size.height_spread,
            sight.pitch_sigma_rad,
            turn.sigma(libm::exp(far)),
        ]);
        let corridor = settings.corridor(sight);
        let mut known = Self {
            at: sight.at,
            modes: Modes::new(Belief::new(mean, sigma)),
            across: Across::new(0.0, 1.0, &corridor),
            middle_m: 0.0,
            bumper_m: sight.camera.bumper_m,
            speed_mps: sight.speed_mps,
            pitch_sigma_rad: sight.pitch_sigma_rad,
            sized: 0,
            refused: 0,
            looked: None,
            jumps: 0,
            sources: MotionSources::default(),
        };
        known.look(settings, sight, view, class, f64::INFINITY);
        let (offset_m, variance) = known.place(sight, view, class, &corridor);
        known.across = Across::new(offset_m, variance, &corridor);
        known.across.judge(settings, &corridor, known.modes.belief().width_m());
        known.is_sound().then_some(known)
    }

    /// From one sight to the next; none where what is seen has nothing to do with what was known.
    fn follow(
        mut self,
        settings: &RangingSettings,
        sight: &Sight<'_>,
        view: &BoxView,
        (before, class): (ObjectClass, ObjectClass),
    ) -> Option<Self> {
        let dt = sight.at.since(self.at).as_secs_f64();
        self = self.later(settings, class, dt);
        self.at = sight.at;
        if let (Some(now), Some(last)) = (sight.speed_mps, self.speed_mps) {
            let faster = (now - last).clamp(-12.0 * dt, 12.0 * dt);
            self.modes.change(|belief| belief.own_speed_changed(faster));
        }
        (self.speed_mps, self.pitch_sigma_rad) = (sight.speed_mps, sight.pitch_sigma_rad);
        self.bumper_m = sight.camera.bumper_m;
        if before != class {
            self.take_for(class, &settings.turn(class, sight.speed_mps));
        }
        if self.has_jumped(settings, sight, view) {
            self.jumps = self.jumps.saturating_add(1);
            self.sources = MotionSources::default();
            return (self.jumps < JUMPS).then_some(self);
        }
        let (taken, refused) = self.look(settings, sight, view, class, settings.gate);
        self.refused = if refused > taken { self.refused.saturating_add(1) } else { 0 };
        let corridor = settings.corridor(sight);
        let (offset_m, variance) = self.place(sight, view, class, &corridor);
        self.across.learn(offset_m, variance, &corridor);
        self.across.judge(settings, &corridor, self.modes.belief().width_m());
        (self.refused < REFUSALS && self.is_sound()).then_some(self)
    }

    /// Whether it is much larger or smaller than it was, and more so than what comes or goes becomes: both ways, or by where its
    /// bottom is.
    fn has_jumped(&mut self, settings: &RangingSettings, sight: &Sight<'_>, view: &BoxView) -> bool {
        let now = Looked { at: sight.at, wide: view.width(), tall: view.height(), bottom: view.bottom() };
        let Some(before) = self.looked.filter(|before| before.at < now.at) else {
            self.looked = Some(now);
            return false;
        };
        let (belief, dt) = (self.modes.belief(), sight.at.since(before.at).as_secs_f64());
        let nearer = |mps: f64| mps * dt / belief.distance_m();
        let grows = libm::log1p(nearer(belief.get(CLOSING)).max(-0.9));
        let unsure = nearer(belief.sigma(CLOSING) + settings.braking_mps2 * dt);
        // By how many standard deviations it grew more than it should have.
        let off = |before: (f64, f64), now: (f64, f64)| {
            let sigma = libm::hypot(before.1 / before.0, now.1 / now.0);
            (libm::log(now.0 / before.0) - grows) / libm::hypot(sigma, unsure)
        };
        let pair = |before: Option<(f64, f64)>, now: Option<(f64, f64)>| Some(off(before?, now?));
        let sizes = [pair(before.wide, now.wide), pair(before.tall, now.tall)];
        let bottom = before.bottom.near().zip(now.bottom.near()).map(|(before, now)| off(before, now));
        // Where the frame cuts it off it is at least as low.
        let (may_grow, may_shrink) = (!before.bottom.is_cut, !now.bottom.is_cut);
        let tells = bottom.is_some() || sizes.iter().all(Option::is_some);
        let mut offs = sizes.into_iter().chain([bottom]).flatten();
        let (grew, shrank) = (offs.clone().all(|off| off > MUCH), offs.all(|off| off < -MUCH));
        let has_jumped = tells && (may_grow && grew || may_shrink && shrank);
        if !has_jumped {
            (self.looked, self.jumps) = (Some(now), 0);
        }
        has_jumped
    }

    /// The same after some time in which it was not seen.
    fn later(&self, settings: &RangingSettings, class: ObjectClass, seconds: f64) -> Self {
        let mut later = self.clone();
        let seconds = seconds.min(settings.longest_gap_s * 4.0);
        let (drives, brakes) = settings.ageing(class, self.speed_mps, self.pitch_sigma_rad);
        let switching = settings.switching(class, self.speed_mps, self.modes.belief().get(CLOSING));
        later.modes.advance(seconds, (&drives, &brakes), switching);
        later.across.advance(seconds, settings.lateral_mps2);
        later
    }

    /// It was taken for something else: how large such things are counts anew, and how much of their side they may show.
    fn take_for(&mut self, class: ObjectClass, turn: &Turn) {
        let size = Size::of(class);
        self.modes.change(|belief| {
            let wider = libm::log(size.width_m) - belief.get(WIDTH);
            let taller = libm::log(size.height_m) - belief.get(HEIGHT);
            belief.doubt_scale(wider.abs().max(taller.abs()));
            belief.doubt(WIDTH, wider.abs());
            belief.doubt(HEIGHT, taller.abs());
            belief.allow(TURN, turn.sigma(belief.distance_m()));
            for (number, metres, spread) in
                [(WIDTH, size.width_m, size.width_spread), (HEIGHT, size.height_m, size.height_spread)]
            {
                let mut row = State::zeros();
                row[number] = 1.0;
                let residual = libm::log(metres) - belief.get(number);
                belief.learn(&Evidence { row, residual, variance: spread * spread });
            }
        });
    }

    /// Takes in bottom, size and range, but what is further off than `gate` standard deviations. Says how many were taken
    /// and refused.
    fn look(
        &mut self,
        settings: &RangingSettings,
        sight: &Sight<'_>,
        view: &BoxView,
        class: ObjectClass,
        gate: f64,
    ) -> (usize, usize) {
        let size = Size::of(class);
        let (height_m, bumper_m) = (sight.plane.height_m(), self.bumper_m);
        let corridor = settings.corridor(sight);
        // Each with how much it changes when the bottom edge does.
        let ground = |belief: &Belief| {
            let (down, sigma) = view.ground()?;
            let pitch = belief.get(PITCH);
            if down > NEAR_SLOPE && down - pitch > down / 2.0 {
                // As a logarithm it depends on the state linearly, however unsure the distance still is.
                let below = down - pitch;
                let row = State::from([-1.0, 0.0, 0.0, 0.0, 0.0, 1.0 / below, 0.0]);
                let residual = libm::log(below / height_m) + belief.get(DISTANCE);
                Some((Evidence { row, residual, variance: sigma * sigma / (below * below) }, 1.0 / below))
            } else {
                let expected = height_m / belief.distance_m();
                let row = State::from([-expected, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
                Some((Evidence { row, residual: down - expected - pitch, variance: sigma * sigma }, 1.0))
            }
        };
        let tall = |belief: &Belief| {
            let (tall, sigma) = view.height()?;
            let row = State::from([-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
            let residual = libm::log(tall) - belief.get(HEIGHT) + belief.get(DISTANCE);
            Some((Evidence { row, residual, variance: sigma * sigma / (tall * tall) }, 1.0 / tall))
        };
        let wide = |belief: &Belief| {
            let face = view.face(belief, size.length_m, corridor.along(belief.distance_m() - bumper_m))?;
            let (wide, sigma) = (face.width()?, view.edge_sigma * std::f64::consts::SQRT_2 + face.doubt);
            let row = State::from([-1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
            let residual = libm::log(wide) - belief.get(WIDTH) + belief.get(DISTANCE);
            Some(Evidence { row, residual, variance: sigma * sigma / (wide * wide) + size.sway * size.sway })
        };
        let range = |belief: &Belief| {
            let range = sight.range.filter(RangeAt::is_sound)?;
            let after = range.at.as_secs_f64() - sight.at.as_secs_f64();
            let distance = belief.distance_m();
            let row = State::from([distance, -after, -after * after / 2.0, 0.0, 0.0, 0.0, 0.0]);
            let gone = belief.get(CLOSING) * after + belief.get(CHANGE) * after * after / 2.0;
            let residual = range.distance_m - (distance - bumper_m - gone);
            let variance = settings.range_sigma_m * settings.range_sigma_m + after * after * 0.25;
            (after.abs() <= settings.range_age_s).then_some(Evidence { row, residual, variance })
        };
        let taken = self.modes.learn(gate, |belief, number, taken: &[bool; 4]| match (number, taken) {
            (0, _) => ground(belief).map(|(ground, _)| ground),
            // The bottom edge is in both the place on the road and the height. What they have in common is taken out of
            // the height, so that it does not count twice.
            (1, [true, ..]) => tall(belief).zip(ground(belief)).map(|((tall, in_tall), (ground, in_ground))| {
                let shared = view.edge_sigma * view.edge_sigma * in_tall * in_ground;
                let share = shared / ground.variance;
                Evidence {
                    row: tall.row - ground.row * share,
                    residual: tall.residual - ground.residual * share,
                    variance: tall.variance - shared * share,
                }
            }),
            (1, _) => tall(belief).map(|(tall, _)| tall),
            (2, _) => wide(belief),
            (_, _) => range(belief),
        });
        let [ground, tall, wide, range] = taken;
        if wide == Some(false) {
            // It has turned, or was never as wide: the width is learnt anew.
            self.modes.change(|belief| belief.doubt(WIDTH, 0.1));
        }
        let is_sized = tall == Some(true) || wide == Some(true);
        self.sized = (self.sized + u8::from(is_sized)).min(GROWING);
        self.sources = MotionSources {
            ground: ground == Some(true),
            width: wide == Some(true) && Size::is_known(class),
            scale: is_sized && self.sized >= GROWING,
            range: range == Some(true),
        };
        let count = |what: bool| taken.iter().filter(|taken| **taken == Some(what)).count();
        (count(true), count(false))
    }

    /// Where it was seen across the corridor, with its variance; notes the corridor's middle there.
    fn place(&mut self, sight: &Sight<'_>, view: &BoxView, class: ObjectClass, corridor: &Corridor) -> (f64, f64) {
        let belief = self.modes.belief();
        let distance = belief.distance_m();
        let half = belief.width_m() / 2.0;
        let along = corridor.along(distance - self.bumper_m);
        let face = view.face(&belief, Size::of(class).length_m, along).unwrap_or(view.as_seen());
        let (left, right) = (face.left * distance, face.right * distance);
        // Of something whose one side is cut off the other side tells.
        let (middle, sides) = match (sight.cut.left, sight.cut.right) {
            (true, false) => (right + half, 0.1),
            (false, true) => (left - half, 0.1),
            (false, false) => ((left + right) / 2.0, 0.0),
            (true, true) => ((left + right) / 2.0, 0.5),
        };
        self.middle_m = corridor.middle_at(distance - self.bumper_m);
        let edges = (view.edge_sigma + face.doubt) * distance;
        (middle + sight.camera.left_m - self.middle_m, edges * edges / 2.0 + sides * sides + 0.0025)
    }

    fn is_sound(&self) -> bool {
        self.modes.is_sound() && self.across.is_sound() && self.middle_m.is_finite() && self.bumper_m.is_finite()
    }

    fn motion(&self, settings: &RangingSettings) -> Option<ObjectMotion> {
        let (belief, across) = (self.modes.belief(), &self.across);
        let distance = (belief.distance_m() - self.bumper_m).max(0.0);
        let (closing, closing_sigma) = (belief.get(CLOSING), belief.sigma(CLOSING));
        // As long as it was not seen to grow, only what is quite sure.
        let surely = settings.significance + if self.sized < GROWING { 1.0 } else { 0.0 };
        let comes = closing > settings.least_closing_mps && closing > surely * closing_sigma;
        let motion = ObjectMotion {
            distance_m: distance as f32,
            distance_sigma_m: belief.distance_sigma_m() as f32,
            left_m: (across.offset_m + self.middle_m) as f32,
            width_m: belief.width_m() as f32,
            closing_mps: closing as f32,
            closing_sigma_mps: closing_sigma as f32,
            ttc_s: comes.then(|| (distance / closing).min(settings.longest_ttc_s) as f32),
            in_path: across.in_path,
            sources: self.sources,
        };
        (self.is_sound() && belief.sigma(DISTANCE) < TOO_VAGUE).then_some(motion)
    }
}
