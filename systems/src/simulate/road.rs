//! A picture of a simple road, drawn straight into the planes of a 4:2:2 picture.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Drive;

/// Camera above the road and behind the front bumper, in metres.
const HEIGHT_M: f64 = 1.3;
const BEHIND_BUMPER_M: f64 = 1.6;
/// Focal length over the picture's width: 58° across.
const FOCAL: f64 = 0.9;
/// Horizon over the picture's height, from above.
const HORIZON: f64 = 0.45;
/// The road from its left to its right edge, in metres to the right of the own lane's middle.
const ROAD_M: (f64, f64) = (-6.2, 2.9);
/// Lines: where, in metres to the right of the own lane's middle, and whether broken.
const LINES_M: [(f64, bool); 3] = [(-5.25, false), (-1.75, true), (1.75, false)];
const LINE_WIDTH_M: f64 = 0.15;
/// Broken lines: 3 m painted in every 9 m.
const DASH_M: (f64, f64) = (3.0, 9.0);
/// From here on the road is drawn straight, in metres.
const STRAIGHT_FROM_M: f64 = 80.0;
/// Width and height of the car ahead.
const CAR_M: (f64, f64) = (1.8, 1.45);

/// A colour in full range BT.601.
#[derive(Clone, Copy, Debug)]
struct Colour(u8, u8, u8);

const PAINT: Colour = Colour(225, 128, 128);
const ASPHALT: Colour = Colour(92, 128, 128);
const GRASS: Colour = Colour(96, 112, 118);
const GLASS: Colour = Colour(40, 134, 126);
const LAMP: Colour = Colour(105, 100, 205);
const SHADOW: Colour = Colour(38, 128, 128);

/// A canvas that draws the road as a drive sees it.
#[derive(Clone, Debug)]
pub(super) struct Road {
    width: usize,
    height: usize,
    /// Y, U, V one behind the other, U and V of half the width, rows without padding.
    planes: Vec<u8>,
    /// Luma of grain on asphalt and on grass, longer than a row, so that each row takes another piece.
    asphalt: Vec<u8>,
    grass: Vec<u8>,
    car: Colour,
    rng: ChaCha8Rng,
}

impl Road {
    /// A canvas; `width` must be even.
    pub fn new(width: usize, height: usize, mut rng: ChaCha8Rng) -> Self {
        let length = width + 4096;
        let mut grain = |Colour(luma, ..): Colour, depth: u8| -> Vec<u8> {
            (0..length).map(|_| luma - depth + rng.random_range(0..=2 * depth)).collect()
        };
        let (asphalt, grass) = (grain(ASPHALT, 6), grain(GRASS, 14));
        let car = Colour(rng.random_range(50..150), rng.random_range(105..150), rng.random_range(105..150));
        Self { width, height, planes: vec![128; width * height * 2], asphalt, grass, car, rng }
    }

    /// Draws the moment `t`, in seconds of the drive, and returns the planes.
    pub fn draw(&mut self, drive: &Drive, t: f64) -> &[u8] {
        let horizon = (self.height as f64 * HORIZON) as usize;
        for y in 0..horizon {
            let low = (y * 60 / horizon.max(1)) as u8;
            self.fill(y, 0.0, self.width as f64, Colour(165 + low, 142 - low / 6, 116 + low / 7));
        }
        for y in horizon..self.height {
            let distance = self.distance_of_row(y, horizon);
            self.ground(drive, t, y, distance);
        }
        self.car(drive, t, horizon);
        &self.planes
    }

    fn focal(&self) -> f64 {
        self.width as f64 * FOCAL
    }

    fn distance_of_row(&self, y: usize, horizon: usize) -> f64 {
        self.focal() * HEIGHT_M / ((y - horizon) as f64 + 0.5)
    }

    /// Column of a point `right` metres right of the own lane's middle, `distance` metres ahead.
    fn column(&self, drive: &Drive, t: f64, right: f64, distance: f64) -> f64 {
        // near the horizon straight on: there a bend of constant curvature would leave the picture
        let near = distance.min(STRAIGHT_FROM_M);
        let bend = drive.curvature(t) * near * (distance - 0.5 * near);
        self.width as f64 / 2.0 + self.focal() * (right - drive.lateral_m(t) + bend) / distance
    }

    fn ground(&mut self, drive: &Drive, t: f64, y: usize, distance: f64) {
        self.fill(y, 0.0, self.width as f64, GRASS);
        let grass = self.rng.random_range(0..4096);
        self.planes[y * self.width..][..self.width].copy_from_slice(&self.grass[grass..][..self.width]);

        let (left, right) = ROAD_M;
        let (left, right) = (self.column(drive, t, left, distance), self.column(drive, t, right, distance));
        self.fill(y, left, right, ASPHALT);
        let (left, right) = (self.clip(left), self.clip(right));
        let asphalt = self.rng.random_range(0..4096);
        self.planes[y * self.width..][left..right].copy_from_slice(&self.asphalt[asphalt..][..right - left]);

        let travelled = drive.distance_m(t) + distance;
        for (at, is_broken) in LINES_M {
            if is_broken && travelled.rem_euclid(DASH_M.1) > DASH_M.0 {
                continue;
            }
            let edge = |right| self.column(drive, t, right, distance);
            let (left, right) = (edge(at - LINE_WIDTH_M / 2.0), edge(at + LINE_WIDTH_M / 2.0));
            self.fill(y, left, right, PAINT);
        }
    }

    fn car(&mut self, drive: &Drive, t: f64, horizon: usize) {
        let distance = drive.lead_m(t) + BEHIND_BUMPER_M;
        let scale = self.focal() / distance;
        let middle = self.column(drive, t, 0.0, distance);
        let bottom = horizon as f64 + HEIGHT_M * scale;
        let (half, tall) = (CAR_M.0 / 2.0 * scale, CAR_M.1 * scale);
        let body = self.car;
        let mut part = |left: f64, right: f64, high: f64, low: f64, colour: Colour| {
            let (top, end) = ((bottom - tall * high).max(0.0) as usize, (bottom - tall * low).max(0.0) as usize);
            for y in top..end.min(self.height) {
                self.fill(y, middle + half * left, middle + half * right, colour);
            }
        };
        part(-1.0, 1.0, 0.12, -0.04, SHADOW);
        part(-1.0, 1.0, 0.62, 0.1, body);
        part(-0.8, 0.8, 1.0, 0.62, GLASS);
        part(-0.96, -0.7, 0.55, 0.42, LAMP);
        part(0.7, 0.96, 0.55, 0.42, LAMP);
    }

    /// Fills row `y` from column `left` to before column `right`, as far as they are inside.
    fn fill(&mut self, y: usize, left: f64, right: f64, Colour(luma, blue, red): Colour) {
        let (left, right) = (self.clip(left), self.clip(right));
        if left >= right {
            return;
        }
        self.planes[y * self.width..][left..right].fill(luma);
        let (half, pixels) = (self.width / 2, self.width * self.height);
        let (left, right) = (left / 2, right.div_ceil(2));
        self.planes[pixels + y * half..][left..right].fill(blue);
        self.planes[pixels + pixels / 2 + y * half..][left..right].fill(red);
    }

    fn clip(&self, column: f64) -> usize {
        column.round().clamp(0.0, self.width as f64) as usize
    }
}
