//! Vehicles and people as flat faces: enough to be recognised.

use std::f64::consts::PI;

use libm::sin;
use waywarden_components::perception::ObjectClass;

use super::canvas::{Canvas, Tint};
use super::{Stage, put};
use crate::simulate::chance::mix;
use crate::simulate::path::Path;
use crate::simulate::road::Road;
use crate::simulate::scenario::Vehicle;
use crate::simulate::traffic::Other;
use crate::simulate::view::{NEAR_M, Seen, View};

const GLASS: Tint = Tint(46, 134, 126);
const TYRE: Tint = Tint(26, 128, 128);
const SHADOW: Tint = Tint(40, 129, 127);
const DARK: Tint = Tint(38, 128, 128);
const PLATE: Tint = Tint(205, 126, 130);
const TAIL: Tint = Tint(72, 108, 196);
const BRAKE: Tint = Tint(118, 92, 240);
const HEADLAMP: Tint = Tint(225, 126, 128);
const SKIN: Tint = Tint(150, 112, 150);

/// A flat convex face of a thing, in its own frame: forward from its rear, left of its middle, up from the road. Seen
/// from outside its corners go round against the clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Face {
    pub corners: Vec<[f64; 3]>,
    pub tint: Tint,
}

/// Where a thing stands: in the vehicle's frame, with its direction.
pub(super) fn stand(path: &Path, road: &Road, s: f64, other: &Other) -> ([f64; 3], f64) {
    let (from, turn) = if other.is_oncoming() { (other.s + other.length, PI) } else { (other.s, 0.0) };
    let ahead = from - s;
    let at = path.place(ahead, other.left);
    ([at.x, at.y, road.rise(s, (other.s - s).max(0.0))], at.heading + other.heading + turn)
}

/// Left, top, right and bottom of a thing in a picture, cut to it; none when it is outside.
pub(in crate::simulate) fn image_box(view: &View, path: &Path, road: &Road, s: f64, other: &Other) -> Option<[f32; 4]> {
    let (at, heading) = stand(path, road, s, other);
    let mut found: Option<[f64; 4]> = None;
    for face in faces(other) {
        let seen: Vec<Seen> = face.corners.iter().map(|corner| view.see(put(*corner, at, heading))).collect();
        for point in clipped(&seen) {
            let (x, y) = view.pixel(point);
            let [l, t, r, b] = found.unwrap_or([x, y, x, y]);
            found = Some([l.min(x), t.min(y), r.max(x), b.max(y)]);
        }
    }
    let [l, t, r, b] = found?;
    let (width, height) = (view.width as f64, view.height as f64);
    let cut = [l.clamp(0.0, width), t.clamp(0.0, height), r.clamp(0.0, width), b.clamp(0.0, height)];
    (cut[2] - cut[0] >= 1.0 && cut[3] - cut[1] >= 1.0).then(|| cut.map(|edge| edge as f32))
}

/// Draws a vehicle or a person.
pub(super) fn draw(canvas: &mut Canvas, stage: &Stage<'_>, other: &Other) {
    let (at, heading) = stand(&stage.path, &stage.plan.road, stage.moment.s, other);
    let light = stage.ground_light(other.s) as f32;
    if !other.is_person() {
        let (half, long) = (other.width / 2.0 + 0.12, other.length);
        let shadow = [[-0.25, -half, 0.0], [long + 0.2, -half, 0.0], [long + 0.2, half, 0.0], [-0.25, half, 0.0]];
        let corners: Vec<[f64; 3]> = shadow.iter().map(|corner| put(*corner, at, heading)).collect();
        fill(canvas, stage, &corners, SHADOW.lit(light), false);
    } else {
        let shadow = [[-0.1, -0.3, 0.0], [0.5, -0.3, 0.0], [0.5, 0.3, 0.0], [-0.1, 0.3, 0.0]];
        let corners: Vec<[f64; 3]> = shadow.iter().map(|corner| put(*corner, at, heading)).collect();
        fill(canvas, stage, &corners, Tint(64, 128, 128).lit(light), false);
    }
    for face in faces(other) {
        let corners: Vec<[f64; 3]> = face.corners.iter().map(|corner| put(*corner, at, heading)).collect();
        fill(canvas, stage, &corners, face.tint.lit(light), true);
    }
}

/// Fills a face given in the vehicle's frame; with `one_sided` only if it is seen from outside.
pub(super) fn fill(canvas: &mut Canvas, stage: &Stage<'_>, corners: &[[f64; 3]], tint: Tint, one_sided: bool) {
    let seen: Vec<Seen> = corners.iter().map(|corner| stage.view.see(*corner)).collect();
    let visible = clipped(&seen);
    if visible.len() < 3 {
        return;
    }
    let nearest = visible.iter().fold(f64::MAX, |nearest, point| nearest.min(point[0]));
    // Far outside, beyond what 32 bits keep apart, nothing of a face is left that could be seen.
    let pixels: Vec<(f32, f32)> = visible
        .iter()
        .map(|point| {
            let (x, y) = stage.view.pixel(*point);
            (x.clamp(-1e5, 1e5) as f32, y.clamp(-1e5, 1e5) as f32)
        })
        .collect();
    if one_sided && area(&pixels) >= 0.0 {
        return;
    }
    let hazed = stage.hazed(nearest);
    canvas.polygon(&pixels, tint.towards(stage.haze, hazed), |row| stage.is_hidden(row, nearest));
}

/// Twice the area of a polygon: negative when it goes round against the clock as seen (rows count downwards).
fn area(points: &[(f32, f32)]) -> f32 {
    let next = |n: usize| points[(n + 1) % points.len()];
    points.iter().enumerate().map(|(n, &(x, y))| x * next(n).1 - next(n).0 * y).sum()
}

/// What of a polygon is not too near to the lens.
fn clipped(points: &[Seen]) -> Vec<Seen> {
    if points.iter().all(|point| point[0] >= NEAR_M) {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(points.len() + 2);
    for (n, &a) in points.iter().enumerate() {
        let b = points[(n + 1) % points.len()];
        if a[0] >= NEAR_M {
            kept.push(a);
        }
        if (a[0] >= NEAR_M) != (b[0] >= NEAR_M) {
            let share = (NEAR_M - a[0]) / (b[0] - a[0]);
            kept.push([NEAR_M, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share]);
        }
    }
    kept
}

/// The faces of a thing, those behind first.
pub(super) fn faces(other: &Other) -> Vec<Face> {
    let mut model = Model::default();
    match (other.class, other.vehicle) {
        (ObjectClass::Person, _) => model.person(other),
        (_, Vehicle::Truck | Vehicle::Bus) => model.truck(other),
        _ => model.car(other),
    }
    model.faces
}

#[derive(Default)]
struct Model {
    faces: Vec<Face>,
}

impl Model {
    fn face<const N: usize>(&mut self, corners: [[f64; 3]; N], tint: Tint) {
        self.faces.push(Face { corners: corners.to_vec(), tint });
    }

    /// A rectangle on a plane across, seen from behind (`rear`) or from the front.
    fn across(&mut self, x: f64, (left, right): (f64, f64), (low, high): (f64, f64), rear: bool, tint: Tint) {
        let mut corners = [[x, left, low], [x, right, low], [x, right, high], [x, left, high]];
        if !rear {
            corners.reverse();
        }
        self.face(corners, tint);
    }

    /// A rectangle on a plane along, on the left or on the right side.
    fn along(&mut self, y: f64, (from, to): (f64, f64), (low, high): (f64, f64), tint: Tint) {
        let mut corners = [[from, y, low], [to, y, low], [to, y, high], [from, y, high]];
        if y > 0.0 {
            corners.reverse();
        }
        self.face(corners, tint);
    }

    fn level(&mut self, z: f64, (from, to): (f64, f64), half: f64, tint: Tint) {
        self.face([[from, half, z], [from, -half, z], [to, -half, z], [to, half, z]], tint);
    }

    fn wheel(&mut self, x: f64, y: f64, radius: f64, depth: f64) {
        // The tyre from behind, then its side.
        let inner = y - depth.copysign(y);
        let (left, right) = (y.max(inner), y.min(inner));
        self.across(x - radius * 0.7, (left, right), (0.0, radius * 1.6), true, TYRE);
        self.across(x + radius * 0.7, (left, right), (0.0, radius * 1.6), false, TYRE);
        let mut rim = [
            (1.0, 0.41),
            (0.41, 1.0),
            (-0.41, 1.0),
            (-1.0, 0.41),
            (-1.0, -0.41),
            (-0.41, -1.0),
            (0.41, -1.0),
            (1.0, -0.41),
        ]
        .map(|(dx, dz)| [x + dx * radius, y * 1.002, radius + dz * radius]);
        if y < 0.0 {
            rim.reverse();
        }
        // Against the clock, seen from the left, is with it seen from the right.
        let rim = {
            let mut turned = rim;
            turned.reverse();
            turned
        };
        self.face(rim, TYRE);
        let hub = rim.map(|[hx, hy, hz]| [x + (hx - x) * 0.5, hy * 1.002, radius + (hz - radius) * 0.5]);
        self.face(hub, Tint(120, 128, 128));
    }

    fn car(&mut self, car: &Other) {
        let (long, half, high) = (car.length, car.width / 2.0, car.height);
        let paint = colour(car.looks);
        let van = car.vehicle == Vehicle::Van;
        let belt = if van { high * 0.52 } else { high * 0.6 };
        let sill = 0.26;
        for x in [long * 0.19, long * 0.81] {
            self.wheel(x, half - 0.02, 0.32, 0.2);
            self.wheel(x, 0.02 - half, 0.32, 0.2);
        }
        self.across(0.15, (half - 0.25, 0.25 - half), (0.12, sill), true, DARK);
        self.across(long - 0.15, (half - 0.25, 0.25 - half), (0.12, sill), false, DARK);
        // The body up to the windows.
        self.along(half, (0.0, long), (sill, belt), paint.lit(0.92));
        self.along(-half, (0.0, long), (sill, belt), paint.lit(0.7));
        for y in [half, -half] {
            for x in [long * 0.19, long * 0.81] {
                let arch = [(0.4, 0.0), (0.34, 0.28), (0.0, 0.42), (-0.34, 0.28), (-0.4, 0.0)];
                let mut corners = arch.map(|(dx, dz)| [x + dx, y * 1.001, sill + dz]);
                if y < 0.0 {
                    corners.reverse();
                }
                self.face(corners, DARK);
                self.wheel(x, y, 0.3, 0.0);
            }
        }
        self.level(belt, (0.0, long), half, paint.lit(1.12));
        self.across(0.0, (half, -half), (sill, belt), true, paint.lit(0.8));
        self.across(long, (half, -half), (sill, belt), false, paint.lit(0.9));
        // The cabin: window to window.
        let inset = half - 0.04;
        let top = half - 0.16;
        let (rear, front) = if van { (0.02, long * 0.86) } else { (long * 0.05, long * 0.72) };
        let (rear_top, front_top) = if van { (0.08, long * 0.66) } else { (long * 0.2, long * 0.5) };
        self.face(
            [[rear, inset, belt], [rear, -inset, belt], [rear_top, -top, high], [rear_top, top, high]],
            paint.lit(0.7),
        );
        self.face(
            [[front, -inset, belt], [front, inset, belt], [front_top, top, high], [front_top, -top, high]],
            GLASS,
        );
        self.face(
            [[rear, -inset, belt], [front, -inset, belt], [front_top, -top, high], [rear_top, -top, high]],
            GLASS.lit(0.9),
        );
        self.face(
            [[front, inset, belt], [rear, inset, belt], [rear_top, top, high], [front_top, top, high]],
            GLASS.lit(1.2),
        );
        self.level(high, (rear_top, front_top), top, paint.lit(1.15));
        // The rear window, within its frame.
        let pane = |share_y: f64, share_z: f64, side: f64| {
            let z = belt + (high - belt) * share_z;
            let y = (inset + (top - inset) * share_z) * share_y * side;
            [rear + (rear_top - rear) * share_z - 0.005, y, z]
        };
        self.face(
            [pane(0.86, 0.12, 1.0), pane(0.86, 0.12, -1.0), pane(0.84, 0.86, -1.0), pane(0.84, 0.86, 1.0)],
            GLASS,
        );
        self.rear(car, half, sill, belt);
        self.front(long, half, sill, belt);
    }

    fn rear(&mut self, car: &Other, half: f64, sill: f64, belt: f64) {
        let x = -0.01;
        let lamp = if car.accel < -0.6 { BRAKE } else { TAIL };
        let (low, high) = (sill + (belt - sill) * 0.55, sill + (belt - sill) * 0.9);
        self.across(x, (half * 0.95, -half * 0.95), (sill, sill + (belt - sill) * 0.22), true, DARK);
        self.across(x, (half * 0.98, half * 0.6), (low, high), true, lamp);
        self.across(x, (-half * 0.6, -half * 0.98), (low, high), true, lamp);
        self.across(x, (0.26, -0.26), (sill + 0.2, sill + 0.31), true, PLATE);
    }

    fn front(&mut self, long: f64, half: f64, sill: f64, belt: f64) {
        let x = long + 0.01;
        let (low, high) = (sill + (belt - sill) * 0.55, sill + (belt - sill) * 0.85);
        self.across(x, (half * 0.55, -half * 0.55), (sill + 0.1, low), false, DARK);
        self.across(x, (half * 0.95, half * 0.6), (low, high), false, HEADLAMP);
        self.across(x, (-half * 0.6, -half * 0.95), (low, high), false, HEADLAMP);
        self.across(x + 0.01, (0.26, -0.26), (sill + 0.06, sill + 0.17), false, PLATE);
    }

    fn truck(&mut self, truck: &Other) {
        let (long, half, high) = (truck.length, truck.width / 2.0, truck.height);
        let bus = truck.vehicle == Vehicle::Bus;
        let paint = if bus { Tint(150, 90, 140) } else { box_colour(truck.looks) };
        let floor = if bus { 0.35 } else { 1.0 };
        for x in [1.6, 2.9, long - 1.4] {
            self.wheel(x, half, 0.48, 0.5);
            self.wheel(x, -half, 0.48, 0.5);
        }
        self.across(0.3, (half - 0.1, 0.1 - half), (0.45, floor), true, DARK);
        let end = if bus { long } else { long - 2.3 };
        self.along(half, (0.0, end), (floor, high), paint.lit(0.95));
        self.along(-half, (0.0, end), (floor, high), paint.lit(0.72));
        self.across(end, (half, -half), (floor, high), false, paint.lit(0.85));
        self.across(0.0, (half, -half), (floor, high), true, paint.lit(0.82));
        let lamp = if truck.accel < -0.6 { BRAKE } else { TAIL };
        if bus {
            for y in [half * 1.001, -half * 1.001] {
                self.along(y, (0.6, long - 0.4), (1.45, 2.5), GLASS);
            }
            self.across(-0.01, (half * 0.85, -half * 0.85), (1.7, 2.6), true, GLASS);
            self.across(long + 0.01, (half * 0.92, -half * 0.92), (1.2, 2.7), false, GLASS);
        } else {
            let cab = colour(truck.looks);
            let from = end + 0.2;
            self.along(half - 0.03, (from, long), (0.5, high - 0.4), cab.lit(0.95));
            self.along(0.03 - half, (from, long), (0.5, high - 0.4), cab.lit(0.72));
            self.across(long, (half, -half), (0.4, high - 0.4), false, cab.lit(0.9));
            self.across(long + 0.01, (half * 0.92, -half * 0.92), (1.7, 2.7), false, GLASS);
            // The doors of the box.
            self.across(-0.01, (0.02, -0.02), (floor, high - 0.1), true, paint.lit(0.55));
            self.across(-0.01, (half * 0.97, -half * 0.97), (0.45, 0.57), true, DARK);
        }
        for side in [1.0, -1.0] {
            let (a, b) = (half * 0.95 * side, half * 0.7 * side);
            let low = if bus { 0.9 } else { 0.75 };
            self.across(-0.02, (a.max(b), a.min(b)), (low, low + 0.17), true, lamp);
            self.across(long + 0.02, (a.max(b), a.min(b)), (0.6, 0.85), false, HEADLAMP);
        }
        self.across(-0.02, (0.26, -0.26), (0.6, 0.72), true, PLATE);
    }

    /// Somebody who walks: a head, a trunk, legs and arms that swing. Seen from everywhere.
    fn person(&mut self, person: &Other) {
        let tall = person.height;
        let clothes = [Tint(70, 140, 122), Tint(110, 118, 150), Tint(60, 128, 128), Tint(150, 120, 120)];
        let coat = clothes[(person.looks % 4) as usize];
        let trousers = Tint(52, 134, 124);
        let swing = sin(person.walked * 4.2) * 0.28;
        let both = |model: &mut Self, corners: [[f64; 3]; 4], tint: Tint| {
            let mut back = corners;
            back.reverse();
            model.face(corners, tint);
            model.face(back, tint);
        };
        // Limbs are flat on two planes that cross, so that they are seen from the side and from behind.
        let mut limb = |(x0, y0, z0): (f64, f64, f64), (x1, y1, z1): (f64, f64, f64), thick: f64, tint: Tint| {
            both(self, [[x0 - thick, y0, z0], [x0 + thick, y0, z0], [x1 + thick, y1, z1], [x1 - thick, y1, z1]], tint);
            both(self, [[x0, y0 - thick, z0], [x0, y0 + thick, z0], [x1, y1 + thick, z1], [x1, y1 - thick, z1]], tint);
        };
        let middle = 0.2;
        limb((middle + swing, 0.09, 0.0), (middle, 0.08, tall * 0.5), 0.075, trousers);
        limb((middle - swing, -0.09, 0.0), (middle, -0.08, tall * 0.5), 0.075, trousers.lit(0.8));
        limb((middle, 0.0, tall * 0.46), (middle, 0.0, tall * 0.83), 0.17, coat);
        limb((middle - swing * 0.8, 0.22, tall * 0.45), (middle, 0.2, tall * 0.8), 0.05, coat.lit(0.85));
        limb((middle + swing * 0.8, -0.22, tall * 0.45), (middle, -0.2, tall * 0.8), 0.05, coat.lit(0.85));
        limb((middle, 0.0, tall * 0.84), (middle, 0.0, tall), 0.085, SKIN);
    }
}

/// Colours of cars, as often as they are seen.
fn colour(looks: u64) -> Tint {
    const COLOURS: [Tint; 8] = [
        Tint(205, 128, 128),
        Tint(170, 129, 127),
        Tint(120, 129, 128),
        Tint(48, 129, 128),
        Tint(60, 150, 118),
        Tint(90, 108, 190),
        Tint(82, 160, 112),
        Tint(150, 112, 140),
    ];
    COLOURS[(mix(looks, 3) % 8) as usize]
}

fn box_colour(looks: u64) -> Tint {
    const COLOURS: [Tint; 4] = [Tint(200, 128, 127), Tint(140, 140, 120), Tint(110, 112, 160), Tint(165, 118, 132)];
    COLOURS[(mix(looks, 4) % 4) as usize]
}
