//! What stands on and beside the road, drawn from far to near.

use super::Stage;
use super::bodies::{self, fill};
use super::canvas::{Canvas, Tint};
use crate::simulate::chance::{mix, unit};
use crate::simulate::scenario::Scenery;

/// Metres between two posts beside the road.
const POSTS_M: f64 = 50.0;
/// Metres of a piece of guard rail.
const RAIL_M: f64 = 6.0;
/// From one place where a tree may stand to the next.
const TREES_M: f64 = 9.0;

enum Thing {
    /// One of the others, by its place in the list.
    Other(usize),
    /// A post at `s`, left of the line.
    Post(f64, f64),
    /// A piece of rail that begins at `s`.
    Rail(f64, f64),
    /// A tree.
    Tree(f64, f64, u64),
}

/// Draws everything.
pub(super) fn draw(canvas: &mut Canvas, stage: &Stage<'_>) {
    let mut things: Vec<(f64, Thing)> = Vec::new();
    let s = stage.moment.s;
    let far = stage.line.last().map_or(0.0, |point| point[2]).min(super::FAR_M);
    for (n, other) in stage.moment.others.iter().enumerate() {
        let ahead = other.s - s;
        if ahead < far && ahead + other.length > stage.view.lens[0] {
            things.push((ahead + other.length / 2.0, Thing::Other(n)));
        }
    }
    beside(stage, far, &mut things);
    // Of two at one place the one put in later is drawn later, on every machine.
    things.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, thing) in &things {
        match *thing {
            Thing::Other(n) => bodies::draw(canvas, stage, &stage.moment.others[n]),
            Thing::Post(ahead, left) => post(canvas, stage, ahead, left),
            Thing::Rail(ahead, left) => rail(canvas, stage, ahead, left),
            Thing::Tree(ahead, left, looks) => tree(canvas, stage, ahead, left, looks),
        }
    }
}

/// Multiples of `every` metres of road between a little behind the lens and `far`, as metres ahead, with their number.
fn places(stage: &Stage<'_>, every: f64, far: f64) -> impl Iterator<Item = (f64, u64)> {
    let s = stage.moment.s;
    let first = ((s + stage.view.lens[0] - every) / every).ceil() as i64;
    let last = ((s + far) / every).floor() as i64;
    (first..=last).map(move |n| (n as f64 * every - s, n as u64))
}

fn beside(stage: &Stage<'_>, far: f64, things: &mut Vec<(f64, Thing)>) {
    let (road, seed) = (&stage.plan.road, stage.plan.seed);
    let (right, left) = road.paved;
    let look = &stage.plan.scenario.road;
    let in_tunnel = |ahead: f64| road.tunnel(stage.moment.s + ahead).is_some();
    let edges = [right - 0.5, left + 0.5];
    if look.guard_rail {
        for (ahead, _) in places(stage, RAIL_M, far.min(180.0)).filter(|(ahead, _)| !in_tunnel(*ahead)) {
            things.extend(edges.map(|edge| (ahead + RAIL_M, Thing::Rail(ahead, edge))));
        }
    }
    if look.scenery != Scenery::Houses {
        for (ahead, _) in places(stage, POSTS_M, far.min(250.0)).filter(|(ahead, _)| !in_tunnel(*ahead)) {
            things.extend([right - 0.8, left + 0.8].map(|edge| (ahead, Thing::Post(ahead, edge))));
        }
    }
    let dense = match look.scenery {
        Scenery::Open => 0.12,
        Scenery::Trees => 0.6,
        Scenery::Houses => 0.1,
    };
    for (ahead, n) in places(stage, TREES_M, far).filter(|(ahead, _)| !in_tunnel(*ahead)) {
        for (side, edge) in [(0, right), (1, left)] {
            let key = mix(seed ^ 0x7ee5, n.wrapping_mul(2) + side);
            if unit(key, 1) < dense {
                let away = 4.0 + 22.0 * unit(key, 2) * unit(key, 3);
                let left = if side == 0 { edge - away } else { edge + away };
                things.push((ahead, Thing::Tree(ahead, left, key)));
            }
        }
    }
}

/// A rectangle that faces the camera.
fn board(
    canvas: &mut Canvas,
    stage: &Stage<'_>,
    (ahead, left): (f64, f64),
    half: f64,
    (low, high): (f64, f64),
    tint: Tint,
) {
    let corners =
        [(half, low), (-half, low), (-half, high), (half, high)].map(|(y, z)| stage.place(ahead, left + y, z));
    fill(canvas, stage, &corners, tint, false);
}

fn post(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64) {
    board(canvas, stage, (ahead, left), 0.06, (0.0, 1.0), Tint(210, 128, 128));
    board(canvas, stage, (ahead, left), 0.06, (0.7, 0.85), Tint(40, 128, 128));
}

fn rail(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64) {
    let strip = |low: f64, high: f64| {
        [(0.0, low), (RAIL_M, low), (RAIL_M, high), (0.0, high)].map(|(along, up)| stage.place(ahead + along, left, up))
    };
    board(canvas, stage, (ahead, left), 0.05, (0.0, 0.6), Tint(105, 128, 128));
    fill(canvas, stage, &strip(0.44, 0.75), Tint(158, 129, 127), false);
    fill(canvas, stage, &strip(0.56, 0.62), Tint(118, 129, 127), false);
}

fn tree(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64, looks: u64) {
    let tall = 5.0 + 7.0 * unit(looks, 4);
    let green = Tint(58, 114, 122).towards(Tint(88, 104, 126), unit(looks, 5) as f32);
    board(canvas, stage, (ahead, left), 0.18, (0.0, tall * 0.5), Tint(58, 122, 134));
    let wide = tall * (0.22 + 0.12 * unit(looks, 6));
    // A crown of three blobs, each darker below.
    for blob in 0..3u64 {
        let x = (unit(looks, 10 + blob) - 0.5) * wide;
        let z = tall * (0.5 + 0.14 * blob as f64 + 0.06 * unit(looks, 20 + blob));
        let round = wide * (0.75 - 0.13 * blob as f64);
        let around =
            [(1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -0.9), (0.7, -0.7)];
        let corners = around.map(|(dy, dz)| stage.place(ahead, left + x + dy * round, z + dz * round * 0.8));
        fill(canvas, stage, &corners, green.lit(0.85 + 0.15 * blob as f32), false);
    }
}
