//! Sky, and the far land before it.

use super::Stage;
use super::canvas::{Canvas, Tint};
use crate::simulate::chance::smooth;

/// Hills and woods at the horizon.
const WOODS: Tint = Tint(98, 122, 122);

/// Draws all rows that show no ground.
pub(super) fn draw(canvas: &mut Canvas, stage: &Stage<'_>) {
    let (width, height) = (canvas.width, canvas.height);
    let horizon = stage.rows.iter().position(Option::is_some).unwrap_or(height);
    let rain = stage.plan.scenario.light.rain as f32;
    let dusk = 1.0 - stage.moment.daylight as f32;
    let zenith = Tint(150, 156, 108).towards(Tint(160, 128, 128), rain).towards(Tint(95, 150, 118), dusk);
    let low = stage.haze.towards(Tint(210, 100, 160), dusk * (1.0 - rain));
    let reach = stage.view.focal as f32 * 0.45;
    for row in 0..horizon {
        let up = ((horizon - row) as f32 / reach).min(1.0);
        let tint = low.towards(zenith, up);
        canvas.span(row, 0.0, width as f32, tint);
    }
    clouds(canvas, stage, horizon, reach);
    woods(canvas, stage, horizon);
}

/// Soft clouds, drawn on blocks of 8x4 pixels, which the lens smooths.
fn clouds(canvas: &mut Canvas, stage: &Stage<'_>, horizon: usize, reach: f32) {
    let seed = stage.plan.seed ^ 0xc1;
    let turned = direction(stage);
    let width = canvas.width;
    for top in (0..horizon).step_by(4) {
        let up = f64::from((horizon - top) as f32 / reach);
        // Clouds lie flat overhead, so they get narrow towards the horizon.
        let over = 1.0 / (up + 0.08);
        let strength = 26.0 * (up * 4.0).min(1.0);
        let line = over * 2.4 + 0.002 * stage.moment.t;
        let band = line.floor();
        let share = line - band;
        let last = (width / 8) as i64;
        let mut levels = Vec::with_capacity(width / 8 + 1);
        for block in 0..=last {
            let angle = (block as f64 * 8.0 - width as f64 / 2.0) / stage.view.focal - turned;
            let x = angle * (1.5 + over * 1.1);
            let a = smooth(seed.wrapping_add(band as i64 as u64), x);
            let b = smooth(seed.wrapping_add(band as i64 as u64 + 1), x);
            let cover = a + (b - a) * share;
            levels.push(((cover - 0.45).max(0.0) * strength * 2.0) as u8);
        }
        for row in top..(top + 4).min(horizon) {
            let line = &mut canvas.luma[row * width..][..width];
            for (pixels, level) in line.chunks_mut(8).zip(&levels) {
                for pixel in pixels {
                    *pixel = pixel.saturating_add(*level);
                }
            }
        }
    }
}

/// Direction in which the camera looks, in radians left of the east.
fn direction(stage: &Stage<'_>) -> f64 {
    stage.moment.road_heading + stage.moment.heading
}

fn woods(canvas: &mut Canvas, stage: &Stage<'_>, horizon: usize) {
    let width = canvas.width;
    let turned = direction(stage);
    let seed = stage.plan.seed ^ 0x77;
    let tint = WOODS.towards(stage.haze, 0.45);
    let tallest = stage.view.focal * 0.035;
    for column in (0..width).step_by(2) {
        let angle = (column as f64 - width as f64 / 2.0) / stage.view.focal - turned;
        let ridge = smooth(seed, angle * 5.0) * 0.7 + smooth(seed ^ 1, angle * 60.0) * 0.3;
        let tall = (ridge * tallest) as usize + 1;
        for row in horizon.saturating_sub(tall)..horizon {
            let place = row * width + column;
            canvas.luma[place] = tint.0;
            canvas.luma[place + 1] = tint.0;
            canvas.blue[place / 2] = tint.1;
            canvas.red[place / 2] = tint.2;
        }
    }
}
