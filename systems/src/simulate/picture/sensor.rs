//! What lens and sensor make of the scene: blur, exposure, vignetting, noise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Stage;
use super::canvas::Canvas;
use crate::simulate::chance::{Swing, mix};
use crate::simulate::drive::daylight_brightness;
use crate::simulate::scenario::Scenario;

/// Numbers in the table of noise; a row takes a piece of it from anywhere.
const NOISE: usize = 1 << 16;

/// Lens and sensor.
#[derive(Clone, Debug)]
pub(super) struct Sensor {
    /// 256 in the middle, less towards the corners.
    vignette: Vec<u16>,
    /// Standard deviation 32.
    noise: Vec<i8>,
    /// Weight of a neighbour on each side, in 1/256.
    blur: u16,
    level: f64,
    swings: [Swing; 2],
    seed: u64,
    row: Vec<u16>,
}

impl Sensor {
    pub fn new(scenario: &Scenario, width: usize, height: usize, rng: &mut ChaCha8Rng) -> Self {
        let camera = &scenario.camera;
        let (middle_x, middle_y) = (width as f64 / 2.0, height as f64 / 2.0);
        let corner = middle_x * middle_x + middle_y * middle_y;
        let mut vignette = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (dx, dy) = (x as f64 + 0.5 - middle_x, y as f64 + 0.5 - middle_y);
                let share = (dx * dx + dy * dy) / corner;
                vignette.push((256.0 * (1.0 - camera.vignetting * share)) as u16);
            }
        }
        // The sum of four even numbers is nearly normal.
        let noise = (0..NOISE + width).map(|_| {
            let sum: i32 = (0..4).map(|_| rng.random_range(-27..=27)).sum();
            sum.clamp(-127, 127) as i8
        });
        let noise = noise.collect();
        let swing = camera.exposure_swing;
        Self {
            vignette,
            noise,
            blur: (camera.blur * 64.0) as u16,
            level: camera.noise,
            swings: [Swing::about(swing * 0.6, 17.0, rng), Swing::about(swing * 0.4, 5.0, rng)],
            seed: rng.random(),
            row: Vec::new(),
        }
    }

    /// Takes the scene into planes Y, U, V, one behind the other.
    pub fn take(&mut self, scene: &Canvas, stage: &Stage<'_>, frame: u64, planes: &mut Vec<u8>) {
        let (width, height) = (scene.width, scene.height);
        let brightness = daylight_brightness(stage.moment.daylight);
        let adapted = stage.moment.adapted;
        // A camera makes up for most of what is missing, and pays with noise.
        let exposure = 1.0 / adapted.max(0.02);
        let exposure = exposure.min(5.0 + 0.3 * exposure);
        let swing: f64 = self.swings.iter().map(|swing| swing.at(stage.moment.t)).sum();
        let gain = brightness * exposure * (1.0 + swing);
        let noise = (self.level * exposure.sqrt() * 4.0).min(120.0) as i32;
        let gain = (gain * 256.0).clamp(0.0, 4096.0) as u32;
        planes.clear();
        planes.reserve(width * height * 2);
        self.row.resize(width + 2, 0);
        for y in 0..height {
            self.blur_row(scene, y);
            let start = (mix(self.seed ^ frame, y as u64) % NOISE as u64) as usize;
            let noises = &self.noise[start..start + width];
            let vignette = &self.vignette[y * width..][..width];
            let middle = &self.row[1..=width];
            let row = middle.iter().zip(vignette).zip(noises).map(|((&value, &dark), &speck)| {
                let value = (u32::from(value) * u32::from(dark) >> 8) * gain >> 8;
                (value as i32 + (i32::from(speck) * noise >> 7)).clamp(0, 255) as u8
            });
            planes.extend(row);
        }
        let colour = 256i32.min(gain as i32);
        let chroma = |value: &u8| (128 + ((i32::from(*value) - 128) * colour >> 8)) as u8;
        planes.extend(scene.blue.iter().map(chroma));
        planes.extend(scene.red.iter().map(chroma));
    }

    /// A row with its neighbours' share, in `self.row` behind one pixel of edge.
    fn blur_row(&mut self, scene: &Canvas, y: usize) {
        let (width, height) = (scene.width, scene.height);
        let line = |y: usize| &scene.luma[y * width..][..width];
        let (above, here, below) = (line(y.saturating_sub(1)), line(y), line((y + 1).min(height - 1)));
        let (side, own) = (self.blur, 256 - 2 * self.blur);
        let sums = &mut self.row[1..=width];
        for ((sum, &here), (&above, &below)) in sums.iter_mut().zip(here).zip(above.iter().zip(below)) {
            *sum = (u16::from(here) * own + (u16::from(above) + u16::from(below)) * side) >> 8;
        }
        self.row[0] = self.row[1];
        self.row[width + 1] = self.row[width];
        let mut before = self.row[0];
        for x in 1..=width {
            let value = self.row[x];
            self.row[x] = (value * own + (before + self.row[x + 1]) * side) >> 8;
            before = value;
        }
    }
}
