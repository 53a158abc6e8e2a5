//! Pictures of the drive: a small software renderer, in whole numbers wherever it comes to pixels.

mod canvas;

mod bodies;
mod ground;
mod scenery;
mod sensor;
mod sky;

use libm::{cos, sin};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use waywarden_components::geometry::CameraGeometry;

pub(super) use self::bodies::image_box;
use self::canvas::{Canvas, Tint};
use self::ground::{Ground, Row};
use self::sensor::Sensor;
use super::drive::{Moment, Plan, TUNNEL_LIGHT};
use super::path::Path;
use super::view::View;

/// Distance after which a third of the contrast is left, in metres: in clear air, in rain.
const HAZE: (f64, f64) = (900.0, 140.0);
/// Farthest ground and things that are drawn, in metres.
const FAR_M: f64 = 420.0;
/// How long the shutter is open by day, in seconds.
const SHUTTER_S: f64 = 0.004;

/// Draws pictures of one drive.
#[derive(Clone, Debug)]
pub(super) struct Painter {
    plan: Arc<Plan>,
    geometry: CameraGeometry,
    ground: Ground,
    sensor: Sensor,
    scene: Canvas,
}

/// A strip of the road across the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    /// Along the road, from its beginning.
    s: f64,
    /// How far left of the lens the reference line is.
    left: f64,
    cosine: f64,
}

/// Everything that is on one picture.
struct Stage<'a> {
    plan: &'a Plan,
    moment: &'a Moment,
    path: Path,
    view: View,
    /// What each row shows of the ground.
    rows: Vec<Option<Row>>,
    /// The reference line, in the level frame of the camera: forward, left, metres ahead, heading; forward rises.
    line: Vec<[f64; 4]>,
    haze: Tint,
    grain: f32,
    paint_gain: f32,
    shutter_s: f64,
}

impl Painter {
    pub fn new(
        plan: &Arc<Plan>,
        geometry: CameraGeometry,
        (width, height): (usize, usize),
        mut rng: ChaCha8Rng,
    ) -> Self {
        let ground = Ground::new(plan, &mut rng);
        let sensor = Sensor::new(&plan.scenario, width, height, &mut rng);
        Self { plan: plan.clone(), geometry, ground, sensor, scene: Canvas::new(width, height) }
    }

    /// Draws a moment into planes Y, U, V (4:2:2), one behind the other. `number` is that of the frame: no two have the
    /// same noise.
    pub fn draw(&mut self, moment: &Moment, number: u64, planes: &mut Vec<u8>) {
        let plan = self.plan.clone();
        let canvas = &mut self.scene;
        let stage = Stage::new(&plan, moment, &self.geometry, canvas.width, canvas.height);
        sky::draw(canvas, &stage);
        self.ground.draw(canvas, &stage);
        scenery::draw(canvas, &stage);
        self.sensor.take(canvas, &stage, number, planes);
    }
}

impl<'a> Stage<'a> {
    fn new(plan: &'a Plan, moment: &'a Moment, geometry: &CameraGeometry, width: usize, height: usize) -> Self {
        let view = View::new(width, height, geometry, moment.pitch);
        let path = Path::new(plan, moment);
        let rain = plan.scenario.light.rain as f32;
        let sky = Tint(200, 132, 124).towards(Tint(188, 128, 128), rain);
        let mut stage = Self {
            plan,
            moment,
            view,
            rows: Vec::new(),
            line: Vec::new(),
            haze: sky,
            grain: 1.0 - 0.5 * rain,
            paint_gain: 1.25 - 0.5 * rain,
            shutter_s: SHUTTER_S,
            path,
        };
        stage.lay_line();
        stage.lay_rows();
        stage
    }

    fn lay_line(&mut self) {
        let mut ahead = -30.0;
        let mut last = f64::MIN;
        while ahead < FAR_M + 20.0 {
            let at = self.path.at(ahead);
            let [forward, left, _] = self.view.level([at.x, at.y, 0.0]);
            let [dx, dy, _] = {
                let next = self.path.at(ahead + 1.0);
                let [f, l, _] = self.view.level([next.x, next.y, 0.0]);
                [f - forward, l - left, 0.0]
            };
            // A road that turns away across the picture ends there.
            if forward <= last || dx < 0.3 * (dx * dx + dy * dy).sqrt() {
                if ahead > 20.0 {
                    break;
                }
            } else {
                self.line.push([forward, left, ahead, libm::atan2(dy, dx)]);
                last = forward;
            }
            ahead += if ahead < 60.0 { 1.0 } else { 4.0 };
        }
    }

    /// Finds for every row from the bottom up where its ray meets the ground.
    fn lay_rows(&mut self) {
        let height = self.view.height;
        let mut rows = vec![None; height];
        let mut forward = 0.0;
        for row in (0..height).rev() {
            let Some(hit) = self.hit(row as f64 + 0.5, forward) else { break };
            let deep = (self.hit(row as f64, hit).unwrap_or(hit) - hit) * 2.0;
            forward = hit;
            let (along, _) = self.view.row_ray(row as f64 + 0.5);
            rows[row] = Some(Row { forward, depth: forward / along, deep });
        }
        self.rows = rows;
    }

    /// How far forward of the lens the ray of a row meets the ground, at `from` or farther.
    fn hit(&self, row: f64, from: f64) -> Option<f64> {
        let (along, down) = self.view.row_ray(row);
        if along <= 1e-6 {
            return None;
        }
        let above = |forward: f64| self.view.lens[2] - forward * down / along - self.rise(forward);
        let (mut near, mut far) = (from, from);
        if above(near) <= 0.0 {
            return Some(near);
        }
        loop {
            far += 0.4 + far * 0.03;
            if above(far) <= 0.0 {
                break;
            }
            if far > FAR_M {
                return None;
            }
            near = far;
        }
        for _ in 0..24 {
            let middle = (near + far) / 2.0;
            if above(middle) > 0.0 { near = middle } else { far = middle }
        }
        Some((near + far) / 2.0)
    }

    /// Height of the ground `forward` metres before the lens over that under the vehicle.
    fn rise(&self, forward: f64) -> f64 {
        self.plan.road.rise(self.moment.s, (forward + self.view.lens[0]).max(0.0))
    }

    /// How the road lies `forward` metres before the lens.
    fn cut(&self, forward: f64) -> Option<Cut> {
        let after = self.line.partition_point(|point| point[0] <= forward);
        let (a, b) = (self.line.get(after.checked_sub(1)?)?, self.line.get(after)?);
        let share = (forward - a[0]) / (b[0] - a[0]);
        let mix = |n: usize| a[n] + (b[n] - a[n]) * share;
        Some(Cut { s: self.moment.s + mix(2), left: mix(1), cosine: cos(mix(3)) })
    }

    fn hazed(&self, forward: f64) -> f32 {
        ground::hazed(forward, self.plan.scenario.light.rain)
    }

    /// How light the ground is at `s`.
    fn ground_light(&self, s: f64) -> f64 {
        if self.plan.road.tunnel(s).is_some() { TUNNEL_LIGHT } else { 1.0 }
    }

    /// Whether the ground before something `forward` metres away hides it in this row: a crest.
    fn is_hidden(&self, row: usize, forward: f64) -> bool {
        self.rows[row].is_some_and(|ground| ground.forward < forward * 0.97 - 1.0)
    }

    /// The place `left` of the reference line, `ahead` along it and `up` above the road, in the vehicle's frame.
    fn place(&self, ahead: f64, left: f64, up: f64) -> [f64; 3] {
        let at = self.path.place(ahead, left);
        [at.x, at.y, up + self.plan.road.rise(self.moment.s, ahead.max(0.0))]
    }
}

/// Turns and moves a point of a thing's own frame into that of the vehicle.
fn put([x, y, z]: [f64; 3], at: [f64; 3], heading: f64) -> [f64; 3] {
    let (sine, cosine) = (sin(heading), cos(heading));
    [at[0] + x * cosine - y * sine, at[1] + x * sine + y * cosine, at[2] + z]
}
