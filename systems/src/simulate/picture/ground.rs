//! The ground: asphalt, paint, shoulders, verges, row by row.

use libm::exp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Tint};
use super::{HAZE, Stage};
use crate::simulate::chance::{smooth, unit};
use crate::simulate::drive::Plan;
use crate::simulate::scenario::Scenery;

const ASPHALT: Tint = Tint(96, 129, 127);
const SHOULDER: Tint = Tint(104, 128, 128);
const GRASS: Tint = Tint(92, 110, 121);
const PAVEMENT: Tint = Tint(138, 127, 129);
const KERB: Tint = Tint(165, 128, 128);

/// Side of the grain, in texels.
const GRAIN: usize = 512;
/// A texel of the finest grain, in metres.
const TEXEL_M: f64 = 0.012;
/// Levels of the grain, each half as fine as the one before.
const LEVELS: usize = 8;
/// The profile across the road: its range in metres left of the reference line, and its step.
const PROFILE_M: (f64, f64) = (-30.0, 50.0);
const PROFILE_STEP_M: f64 = 0.0625;

/// What the ground looks like.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    /// Grain of asphalt and grass: level by level, each half the size of the one before.
    grain: Vec<Vec<u8>>,
    /// Colour across the road, and how rough it is there (in 64ths).
    profile: Vec<(Tint, u8)>,
    seed: u64,
}

/// A row of ground: which strip of the world it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Metres forward of the lens at the row's middle; none is sky.
    pub forward: f64,
    /// Along the axis.
    pub depth: f64,
    /// Metres of road from the near to the far edge of the row.
    pub deep: f64,
}

impl Ground {
    pub fn new(plan: &Plan, rng: &mut ChaCha8Rng) -> Self {
        let mut grain = vec![(0..GRAIN * GRAIN).map(|_| rng.random_range(0..=255u8)).collect::<Vec<u8>>()];
        for level in 1..LEVELS {
            let finer = &grain[level - 1];
            let side = GRAIN >> level;
            let mut coarser = Vec::with_capacity(side * side);
            for y in 0..side {
                for x in 0..side {
                    let at = |dx: usize, dy: usize| i32::from(finer[(2 * y + dy) * side * 2 + 2 * x + dx]);
                    let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4 - 128;
                    // Half the contrast would be lost with every level; stones do come in all sizes.
                    coarser.push((128 + mean * 3 / 2).clamp(0, 255) as u8);
                }
            }
            grain.push(coarser);
        }
        Self { grain, profile: profile(plan), seed: plan.seed }
    }

    /// Draws the rows that show ground.
    pub fn draw(&self, canvas: &mut Canvas, stage: &Stage<'_>) {
        for row in 0..canvas.height {
            if let Some(strip) = stage.rows[row] {
                self.row(canvas, stage, row, strip);
            }
        }
    }

    fn row(&self, canvas: &mut Canvas, stage: &Stage<'_>, row: usize, strip: Row) {
        let (plan, view) = (stage.plan, stage.view);
        let Some(cut) = stage.cut(strip.forward) else {
            canvas.span(row, 0.0, canvas.width as f32, GRASS.towards(stage.haze, stage.hazed(strip.forward)));
            return;
        };
        let width = canvas.width;
        // Left of the reference line at the left edge of the picture, and by how much it shrinks from pixel to pixel.
        let across = strip.depth / view.focal;
        let first = (across * (width as f64 / 2.0 - 0.5) - cut.left) * cut.cosine;
        let step = across * cut.cosine;
        let hazed = stage.hazed(strip.forward);
        let light = stage.ground_light(cut.s);
        // Texels are blurred over the depth of the row and over what goes by while the shutter is open.
        let blurred = strip.deep.abs() + stage.moment.speed * stage.shutter_s;
        let level = level_of(across);
        let texel = TEXEL_M * f64::from(1u32 << level);
        let averaged = (blurred / texel).max(1.0);
        let contrast = (1.0 / averaged.sqrt()) as f32 * (1.0 - hazed) * stage.grain;
        let patches =
            (smooth(self.seed ^ 7, cut.s / 7.0) - 0.5) * 10.0 + (smooth(self.seed ^ 8, cut.s / 43.0) - 0.5) * 14.0;
        let seam = seam(self.seed, cut.s, blurred);
        let side = GRAIN >> level;
        let grain_row = ((cut.s / texel).floor() as i64 as usize & (side - 1)) * side;
        let grain = &self.grain[level][grain_row..grain_row + side];

        // Everything from here on in whole numbers: positions in 1/65536 of their table.
        let fixed = |value: f64| (value * 65536.0) as i64;
        let (mut place, place_step) = (fixed((first - PROFILE_M.0) / PROFILE_STEP_M), fixed(step / PROFILE_STEP_M));
        let (mut texture, texture_step) = (fixed(first / texel), fixed(step / texel));
        let last = (self.profile.len() as i64 - 1) << 16;
        let amplitude = (contrast * 40.0) as i32;
        let gain = (light * f64::from(1.0 - hazed) * 256.0) as i32;
        let lift = (f32::from(stage.haze.0) * hazed) as i32;
        let offset = patches as i32 - seam;
        let colour = (light.min(1.0) * f64::from(1.0 - hazed) * 256.0) as i32;
        let (haze_blue, haze_red) = (i32::from(stage.haze.1) - 128, i32::from(stage.haze.2) - 128);
        let hazed = (hazed * 256.0) as i32;
        let half = width / 2;
        let luma = &mut canvas.luma[row * width..][..width];
        let blue = &mut canvas.blue[row * half..][..half];
        let red = &mut canvas.red[row * half..][..half];
        for (pair, (blue, red)) in luma.chunks_exact_mut(2).zip(blue.iter_mut().zip(red)) {
            let mut tint = Tint(0, 128, 128);
            for pixel in pair {
                let (material, rough) = self.profile[(place.clamp(0, last) >> 16) as usize];
                let texel = i32::from(grain[(texture >> 16) as usize & (side - 1)]) - 128;
                let value = i32::from(material.0) + offset + (texel * amplitude * i32::from(rough) >> 13);
                *pixel = ((value.clamp(0, 255) * gain >> 8) + lift).clamp(0, 255) as u8;
                place -= place_step;
                texture -= texture_step;
                tint = material;
            }
            *blue = (128 + ((i32::from(tint.1) - 128) * colour + haze_blue * hazed >> 8)) as u8;
            *red = (128 + ((i32::from(tint.2) - 128) * colour + haze_red * hazed >> 8)) as u8;
        }
        self.paint(canvas, stage, row, strip, &cut, (first, step), blurred);
    }

    /// The lines of a row.
    #[expect(clippy::too_many_arguments, reason = "what `row` has worked out")]
    fn paint(
        &self,
        canvas: &mut Canvas,
        stage: &Stage<'_>,
        row: usize,
        strip: Row,
        cut: &super::Cut,
        (first, step): (f64, f64),
        blurred: f64,
    ) {
        let paint = &stage.plan.scenario.paint;
        let brighter = stage.paint_gain * (1.0 - stage.hazed(strip.forward));
        for (number, line) in stage.plan.road.lines.iter().enumerate() {
            let number = number as u64;
            let dashed = if line.is_dashed {
                share_of_dashes(cut.s - blurred / 2.0, blurred, paint.dash_m, paint.gap_m)
            } else {
                1.0
            };
            if dashed <= 0.0 {
                continue;
            }
            // Worn in patches of about half a metre, and more in some places than in others.
            let seed = self.seed ^ 0x70 ^ number;
            let patch = smooth(seed, cut.s * 2.1) * 0.6 + smooth(seed ^ 1, cut.s * 0.13) * 0.4;
            let worn = (paint.worn * 1.6 - 0.35 + (patch - 0.5) * 1.1 * (paint.worn * 2.0).min(1.0)).clamp(0.0, 0.95);
            let strength = dashed * (1.0 - worn);
            let half = paint.width_m / 2.0;
            let column = |left: f64| (first - left) / step + 0.5;
            let (left, right) = (column(line.left_m + half) as f32, column(line.left_m - half) as f32);
            brighten(canvas, row, (left, right), strength as f32 * brighter);
        }
    }
}

/// Brightens a row from `left` to `right` as paint does; ends that are parts of a pixel count as parts.
fn brighten(canvas: &mut Canvas, row: usize, (left, right): (f32, f32), by: f32) {
    let width = canvas.width;
    let (from, to) = (left.clamp(0.0, width as f32), right.clamp(0.0, width as f32));
    if to <= from {
        return;
    }
    let line = &mut canvas.luma[row * width..][..width];
    let (first, last) = (from as usize, (to as usize).min(width - 1));
    for (n, pixel) in line[first..=last].iter_mut().enumerate() {
        let x = (first + n) as f32;
        let share = (to.min(x + 1.0) - from.max(x)).clamp(0.0, 1.0);
        let value = f32::from(*pixel);
        *pixel = (value * (1.0 + by * share)).min(255.0) as u8;
    }
}

/// Which share of `length` metres of a dashed line, from `s` on, is painted.
pub(super) fn share_of_dashes(s: f64, length: f64, dash: f64, gap: f64) -> f64 {
    let period = dash + gap;
    // Metres painted from 0 to x.
    let painted = |x: f64| {
        let whole = (x / period).floor();
        whole * dash + (x - whole * period).min(dash)
    };
    if length < 1e-6 {
        return if s - (s / period).floor() * period < dash { 1.0 } else { 0.0 };
    }
    (painted(s + length) - painted(s)) / length
}

/// The level of the grain whose texels are about as wide as a pixel.
fn level_of(across: f64) -> usize {
    let mut level = 0;
    while level + 1 < LEVELS && TEXEL_M * f64::from(2u32 << level) < across * 1.5 {
        level += 1;
    }
    level
}

/// How much darker a seam of tar across the road makes a strip of it. There is one about every 25 m.
fn seam(seed: u64, s: f64, blurred: f64) -> i32 {
    let cell = (s / 25.0).floor();
    let at = (cell + unit(seed ^ 5, cell as i64 as u64)) * 25.0;
    let half = 0.06;
    let (from, to) = (s - blurred / 2.0, s + blurred / 2.0);
    let covered = (to.min(at + half) - from.max(at - half)).max(0.0) / blurred.max(0.02);
    (covered.min(1.0) * 30.0) as i32
}

/// What the ground is made of across the road.
fn profile(plan: &Plan) -> Vec<(Tint, u8)> {
    let road = &plan.road;
    let houses = plan.scenario.road.scenery == Scenery::Houses;
    let wet = plan.scenario.light.rain;
    let count = ((PROFILE_M.1 - PROFILE_M.0) / PROFILE_STEP_M) as usize;
    let across = |n: usize| PROFILE_M.0 + (n as f64 + 0.5) * PROFILE_STEP_M;
    let all_lanes = f64::from(road.lanes + road.oncoming) * road.lane_width;
    (0..count)
        .map(|n| {
            let left = across(n);
            let beyond = (road.paved.0 - left).max(left - road.paved.1);
            if beyond > 0.0 {
                return match houses {
                    true if beyond < 0.15 => (KERB, 40),
                    true if beyond < 3.0 => (PAVEMENT, 50),
                    _ => (GRASS, 160),
                };
            }
            if left < 0.0 || left > all_lanes {
                return (SHOULDER, 64);
            }
            // Wheels make two tracks in every lane, oil a line between them; lanes are joined beside their line.
            let in_lane = left / road.lane_width - (left / road.lane_width).floor();
            let bump = |middle: f64, width: f64| {
                let x = (in_lane - middle) / width;
                exp(-x * x)
            };
            let tracks = bump(0.25, 0.09) + bump(0.75, 0.09);
            let joint = if (in_lane * road.lane_width - 0.14).abs() < 0.04 { 16.0 } else { 0.0 };
            let luma = f64::from(ASPHALT.0) + 5.0 * tracks - 6.0 * bump(0.5, 0.1) - joint - 22.0 * wet;
            (Tint(luma.clamp(0.0, 255.0) as u8, ASPHALT.1, ASPHALT.2), 64)
        })
        .collect()
}

/// How much of what is `forward` metres away is lost in the haze.
pub(super) fn hazed(forward: f64, rain: f64) -> f32 {
    let sight = HAZE.0 + (HAZE.1 - HAZE.0) * rain;
    (1.0 - exp(-forward.max(0.0) / sight)) as f32
}

#[cfg(test)]
mod tests {
    use super::share_of_dashes;

    #[test]
    fn dashes_cover_their_share() {
        assert_eq!(share_of_dashes(1.0, 0.0, 6.0, 12.0), 1.0);
        assert_eq!(share_of_dashes(7.0, 0.0, 6.0, 12.0), 0.0);
        assert_eq!(share_of_dashes(-17.0, 1.0, 6.0, 12.0), 1.0);
        assert!((share_of_dashes(3.0, 36.0, 6.0, 12.0) - 1.0 / 3.0).abs() < 1e-9);
        assert!((share_of_dashes(5.5, 1.0, 6.0, 12.0) - 0.5).abs() < 1e-9);
    }
}
