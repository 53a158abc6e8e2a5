//! What is true of a moment: written down beside what the devices give.

use waywarden_components::geometry::{CameraGeometry, LaneGeometry};
use waywarden_components::input::Payload;
use waywarden_components::truth::{TrueObject, Truth};

use super::camera::{CameraSettings, Shutter};
use super::drive::{Drive, Moment, Plan};
use super::path::Path;
use super::picture::image_box;
use super::speech::Talk;
use super::view::View;
use crate::import::TimedItem;

/// Farthest object that is written down, in metres.
pub const REACH_M: f64 = 150.0;
/// Half the width of a range finder's beam in metres.
const BEAM_M: f64 = 0.1;

/// A generator of what is true at the time of each picture of one camera.
#[derive(Clone, Debug)]
pub struct TruthSimulator {
    drive: Drive,
    shutter: Shutter,
    talk: Talk,
    geometry: CameraGeometry,
    size: (usize, usize),
}

impl TruthSimulator {
    /// The truth of this drive, for a camera of these settings.
    pub fn new(drive: &Drive, camera: &CameraSettings) -> Self {
        Self {
            drive: drive.clone(),
            shutter: Shutter::new(drive.plan(), camera.fps),
            talk: Talk::new(drive),
            geometry: camera.geometry,
            size: (camera.width, camera.height),
        }
    }

    /// The truth of the next picture.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        let (_, at) = self.shutter.next();
        let t = at.as_secs_f64();
        let moment = self.drive.moment(t);
        let mut truth = truth(self.drive.plan(), &moment, &self.geometry, self.size);
        truth.speech = self.talk.at(t);
        TimedItem { at, payload: Payload::Truth(Box::new(truth)) }
    }
}

/// What is true of a moment, but for who speaks.
pub(super) fn truth(plan: &Plan, moment: &Moment, geometry: &CameraGeometry, (width, height): (usize, usize)) -> Truth {
    let path = Path::new(plan, moment);
    let view = View::new(width, height, geometry, moment.pitch);
    let road = &plan.road;
    let lane = road.lane_of(moment.left);
    let middle = road.lane_middle(lane);
    let curvature = road.curvature(moment.s);
    let geometry = LaneGeometry {
        offset_m: (moment.left - middle) as f32,
        heading_rad: moment.heading as f32,
        curvature_per_m: (curvature / (1.0 - curvature * middle)) as f32,
        width_m: road.lane_width as f32,
    };
    let mut objects: Vec<TrueObject> = moment
        .others
        .iter()
        .filter(|other| (0.0..REACH_M).contains(&(other.s - moment.s)))
        .map(|other| {
            let ahead = other.s - moment.s;
            let place = path.place(ahead, other.left);
            TrueObject {
                id: other.id,
                class: other.class,
                distance_m: ahead as f32,
                left_m: place.y as f32,
                closing_mps: (moment.advance - other.speed) as f32,
                width_m: other.width as f32,
                height_m: other.height as f32,
                in_lane: (other.left - middle).abs() < (road.lane_width + other.width) / 2.0 - 0.3,
                image: image_box(&view, &path, road, moment.s, other),
            }
        })
        .collect();
    objects.sort_unstable_by_key(|object| object.id);
    Truth {
        lane: plan.scenario.paint.painted.then_some(geometry),
        speed_mps: moment.speed as f32,
        heading_deg: moment.heading_deg() as f32,
        latitude_deg: moment.position.0,
        longitude_deg: moment.position.1,
        objects,
        range_m: range(moment, &path).map(|range| range as f32),
        speech: false,
    }
}

/// What a range finder on the middle of the front bumper would measure if it reached for ever.
pub(super) fn range(moment: &Moment, path: &Path) -> Option<f64> {
    let hit = |other: &super::traffic::Other| {
        let ahead = other.s - moment.s;
        let near = path.place(ahead, other.left);
        // The end towards us, as wide as it is seen.
        let half = other.width / 2.0 + BEAM_M;
        (ahead >= 0.0 && near.y.abs() < half).then_some(near.x.max(0.0))
    };
    moment.others.iter().filter_map(hit).min_by(f64::total_cmp)
}
