//! What lens and sensor make of the scene: blur, exposure, vignetting, noise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use waywarden_components::geometry::CameraGeometry;

use super::canvas::Canvas;
use super::{Lamp, Stage};
use crate::simulate::chance::{Swing, mix};
use crate::simulate::drive::daylight_brightness;
use crate::simulate::scenario::Scenario;
use crate::simulate::view::View;

/// Numbers in the table of noise; a row takes a piece of it from anywhere.
const NOISE: usize = 1 << 16;

/// How bright a picture is made by day.
const BRIGHT: f64 = 1.15;

/// Lens and sensor.
#[derive(Clone, Debug)]
pub(super) struct Sensor {
    /// 65535 in the middle, less towards the corners.
    vignette: Vec<u16>,
    /// Where the own headlamps shine, 0 to 255.
    beam: Vec<u8>,
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
    pub fn new(
        scenario: &Scenario,
        geometry: &CameraGeometry,
        (width, height): (usize, usize),
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let camera = &scenario.camera;
        let (middle_x, middle_y) = (width as f64 / 2.0, height as f64 / 2.0);
        let corner = middle_x * middle_x + middle_y * middle_y;
        let mut vignette = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (dx, dy) = (x as f64 + 0.5 - middle_x, y as f64 + 0.5 - middle_y);
                let share = (dx * dx + dy * dy) / corner;
                vignette.push((65535.0 * (1.0 - camera.vignetting * share)) as u16);
            }
        }
        let beam = beam(&View::new(width, height, geometry, 0.0));
        // The sum of four even numbers is nearly normal.
        let noise = (0..NOISE + width).map(|_| {
            let sum: i32 = (0..4).map(|_| rng.random_range(-27..=27)).sum();
            sum.clamp(-127, 127) as i8
        });
        let noise = noise.collect();
        let swing = camera.exposure_swing;
        Self {
            vignette,
            beam,
            noise,
            blur: (camera.blur * 64.0) as u16,
            level: camera.noise,
            swings: [Swing::about(swing * 0.6, 17.0, rng), Swing::about(swing * 0.4, 5.0, rng)],
            seed: rng.random(),
            row: vec![0; width + 2],
        }
    }

    /// Takes the scene into planes Y, U, V, one behind the other.
    pub fn take(&mut self, scene: &Canvas, stage: &Stage<'_>, frame: u64, planes: &mut Vec<u8>) {
        let (width, height) = (scene.width, scene.height);
        let brightness = daylight_brightness(stage.moment.daylight);
        let adapted = stage.moment.adapted;
        // A camera makes up for most of what is missing, and pays with noise.
        let exposure = libm::pow(adapted.max(0.02), -0.75);
        let swing: f64 = self.swings.iter().map(|swing| swing.at(stage.moment.t)).sum();
        let gain = BRIGHT * brightness * exposure * (1.0 + swing);
        // By day headlamps make no difference.
        let lamps = BRIGHT * (0.45 - brightness).max(0.0) * exposure;
        let noise = (self.level * exposure.sqrt() * 4.0).min(120.0) as i16;
        // In 1/256, as is the light of the lamps.
        let fixed = |gain: f64| (gain * 256.0).clamp(0.0, 4096.0) as u16;
        let (gain, lamps) = (fixed(gain), fixed(lamps));
        planes.clear();
        planes.resize(width * height, 0);
        for y in 0..height {
            self.blur_row(scene, y);
            let start = (mix(self.seed ^ frame, y as u64) % NOISE as u64) as usize;
            let out = &mut planes[y * width..][..width];
            let around = self.row[..width].iter().zip(&self.row[1..=width]).zip(&self.row[2..width + 2]);
            let (side, own) = (self.blur, 256 - 2 * self.blur);
            let sharp = around.map(|((&before, &here), &after)| here * own + (before + after) * side);
            let dark = &self.vignette[y * width..][..width];
            let noises = &self.noise[start..start + width];
            let pixels = out.iter_mut().zip(sharp).zip(dark.iter().zip(noises));
            if lamps == 0 {
                for ((pixel, value), (&dark, &speck)) in pixels {
                    *pixel = expose(value, high(dark, gain), speck, noise);
                }
            } else {
                for (((pixel, value), (&dark, &speck)), &beam) in pixels.zip(&self.beam[y * width..][..width]) {
                    let light = gain + high(u16::from(beam) << 8, lamps);
                    *pixel = expose(value, high(dark, light), speck, noise);
                }
            }
        }
        let colour = 256i32.min(i32::from(gain));
        let chroma = |value: &u8| (128 + (((i32::from(*value) - 128) * colour) >> 8)) as u8;
        planes.extend(scene.blue.iter().map(chroma));
        planes.extend(scene.red.iter().map(chroma));
        for lamp in stage.lamps.borrow().iter() {
            glow(planes, (width, height), lamp);
        }
    }

    /// A row with the share of those above and below, in `self.row` between two pixels of edge.
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
    }
}

/// The upper half of a product: processors have an instruction for eight of these at once.
fn high(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

/// A pixel of `value` in 1/256 under a light in 1/256, with its speck of noise.
fn expose(value: u16, light: u16, speck: i8, noise: i16) -> u8 {
    // At most 8191, and noise at most 119.
    let lit = high(value, light) as i16 + ((i16::from(speck) * noise) >> 7);
    lit.clamp(0, 255) as u8
}

/// Where the own headlamps light a flat road: a cone that gets wider and weaker.
fn beam(view: &View) -> Vec<u8> {
    let mut beam = vec![0; view.width * view.height];
    for row in 0..view.height {
        let (along, down) = view.row_ray(row as f64 + 0.5);
        // Above the horizon the low beam lights what is there a little, as far as 20 m.
        let forward = if down > 1e-3 { (view.lens[2] * along / down).min(60.0) } else { 60.0 };
        let below = ((down / along.max(1e-3) + 0.02) / 0.03).clamp(0.0, 1.0);
        let strength = 230.0 * below * (1.0 - forward / 75.0).max(0.0) * (forward / 6.0).min(1.0);
        let half = view.focal * (1.6 + 0.22 * forward) / forward.max(1.0);
        for column in 0..view.width {
            let off = (column as f64 + 0.5 - view.width as f64 / 2.0) / half;
            beam[row * view.width + column] = (strength * (1.0 - off * off).max(0.0)) as u8;
        }
    }
    beam
}

/// Adds the glow of a lamp to planes Y, U, V.
fn glow(planes: &mut [u8], (width, height): (usize, usize), lamp: &Lamp) {
    let (core, reach) = (lamp.radius, lamp.radius * 3.0);
    let range = |middle: f32, end: usize| {
        let (from, to) = ((middle - reach).max(0.0), (middle + reach + 1.0).clamp(0.0, end as f32));
        from as usize..to as usize
    };
    let (pixels, half) = (width * height, width / 2);
    for y in range(lamp.y, height) {
        for x in range(lamp.x, width) {
            let (dx, dy) = (x as f32 + 0.5 - lamp.x, y as f32 + 0.5 - lamp.y);
            let far = (dx * dx + dy * dy).sqrt();
            let near = ((reach - far) / (reach - core * 0.5)).clamp(0.0, 1.0);
            let weight = if far < core * 0.6 { 1.0 } else { near * near * near * 0.7 };
            let luma = &mut planes[y * width + x];
            *luma = luma.saturating_add((f32::from(lamp.tint.0) * weight) as u8);
            for (plane, chroma) in [lamp.tint.1, lamp.tint.2].into_iter().enumerate() {
                let at = pixels + plane * half * height + y * half + (x / 2).min(half - 1);
                let old = f32::from(planes[at]);
                planes[at] = (old + (f32::from(chroma) - old) * weight * 0.7) as u8;
            }
        }
    }
}
