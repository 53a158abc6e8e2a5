//! What stands on and beside the road, drawn from far to near.

use super::bodies::{self, fill};
use super::canvas::{Canvas, Tint};
use super::{Shadow, Stage};
use crate::simulate::chance::{mix, unit};
use crate::simulate::drive::{Moment, Plan, TUNNEL_LIGHT};
use crate::simulate::scenario::Scenery;

/// Metres between two posts, or two street lamps, beside the road.
const POSTS_M: f64 = 50.0;
const LAMPS_M: f64 = 30.0;
/// Metres of a piece of guard rail, and of a tunnel.
const RAIL_M: f64 = 6.0;
const RING_M: f64 = 6.0;
/// From one place where a tree, or a house, may stand to the next.
const TREES_M: f64 = 9.0;
const HOUSES_M: f64 = 14.0;
/// A shadow of a bridge falls on the road about this often.
const BRIDGES_M: f64 = 700.0;
/// Height of a tunnel.
const CEILING_M: f64 = 5.2;

enum Thing {
    /// One of the others, by its place in the list.
    Other(usize),
    /// A post, or a piece of rail that begins there, or a lamp: metres ahead, and left of the reference line.
    Post(f64, f64),
    Rail(f64, f64),
    Lamp(f64, f64),
    /// A tree, or a house, and a number for its looks.
    Tree(f64, f64, u64),
    House(f64, f64, u64),
    /// A piece of tunnel, from here to there, and its number; or the wall in which it begins.
    Ring(f64, f64, u64),
    Portal(f64),
}

/// A place beside the road for a tree: how far along it, how far left, and a number for its looks.
fn tree_at(plan: &Plan, n: u64, side: u64) -> Option<(f64, f64, u64)> {
    let dense = match plan.scenario.road.scenery {
        Scenery::Open => 0.12,
        Scenery::Trees => 0.6,
        Scenery::Houses => 0.1,
    };
    let key = mix(plan.seed ^ 0x7ee5, n.wrapping_mul(2) + side);
    let away = 4.0 + 22.0 * unit(key, 2) * unit(key, 3);
    let (right, left) = plan.road.paved;
    let place = if side == 0 { right - away } else { left + away };
    (unit(key, 1) < dense).then_some((n as i64 as f64 * TREES_M, place, key))
}

fn tree_height(looks: u64) -> f64 {
    5.0 + 7.0 * unit(looks, 4)
}

/// Blots of shadow near the vehicle. The sun stands on the left, a little behind.
pub(super) fn shadows(plan: &Plan, moment: &Moment) -> Vec<Shadow> {
    let mut found = Vec::new();
    let (from, to) = (moment.s - 15.0, moment.s + 90.0);
    for n in (from / TREES_M).floor() as i64..=(to / TREES_M).ceil() as i64 {
        let Some((s, left, looks)) = tree_at(plan, n as u64, 1) else { continue };
        let tall = tree_height(looks);
        for blob in 0..7 {
            let some = |key: u64| unit(looks, 30 + 4 * blob + key) - 0.5;
            found.push(Shadow {
                s: s + tall * 0.35 + some(0) * 4.0,
                left: left - tall * 1.1 + some(1) * tall * 0.9,
                along: 0.3 + 0.9 * (some(2) + 0.5),
                across: 0.5 + 1.1 * (some(3) + 0.5),
            });
        }
    }
    let every = (from / BRIDGES_M).floor() as i64..=(to / BRIDGES_M).ceil() as i64;
    for n in every.filter(|_| plan.scenario.road.scenery != Scenery::Houses) {
        let s = (n as f64 + unit(plan.seed ^ 0xb41d, n as u64)) * BRIDGES_M;
        found.push(Shadow { s, left: plan.road.paved.0, along: 4.0, across: 60.0 });
    }
    found.retain(|shadow| (from..to).contains(&shadow.s));
    found
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
    tunnels(stage, far, &mut things);
    // Of two at one place the one put in later is drawn later, on every machine.
    things.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, thing) in &things {
        match *thing {
            Thing::Other(n) => bodies::draw(canvas, stage, &stage.moment.others[n]),
            Thing::Post(ahead, left) => post(canvas, stage, ahead, left),
            Thing::Rail(ahead, left) => rail(canvas, stage, ahead, left),
            Thing::Lamp(ahead, left) => lamp(canvas, stage, ahead, left),
            Thing::Tree(ahead, left, looks) => tree(canvas, stage, ahead, left, looks),
            Thing::House(ahead, left, looks) => house(canvas, stage, ahead, left, looks),
            Thing::Ring(from, to, number) => ring(canvas, stage, (from, to), number),
            Thing::Portal(ahead) => portal(canvas, stage, ahead),
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
    let (plan, s) = (stage.plan, stage.moment.s);
    let (right, left) = plan.road.paved;
    let look = &plan.scenario.road;
    let houses = look.scenery == Scenery::Houses;
    let open = |ahead: f64| plan.road.tunnel(s + ahead).is_none();
    if look.guard_rail {
        for (ahead, _) in places(stage, RAIL_M, far.min(180.0)).filter(|(ahead, _)| open(*ahead)) {
            things.extend([right - 0.5, left + 0.5].map(|edge| (ahead + RAIL_M, Thing::Rail(ahead, edge))));
        }
    }
    if !houses {
        for (ahead, _) in places(stage, POSTS_M, far.min(250.0)).filter(|(ahead, _)| open(*ahead)) {
            things.extend([right - 0.8, left + 0.8].map(|edge| (ahead, Thing::Post(ahead, edge))));
        }
    }
    for (ahead, n) in places(stage, TREES_M, far).filter(|(ahead, _)| open(*ahead)) {
        let trees = [0, 1].into_iter().filter_map(|side| tree_at(plan, n, side));
        things.extend(trees.map(|(_, left, looks)| (ahead, Thing::Tree(ahead, left, looks))));
    }
    if houses {
        for (ahead, n) in places(stage, HOUSES_M, far.min(260.0)).filter(|(ahead, _)| open(*ahead)) {
            for (side, edge) in [(0, right - 3.4), (1, left + 3.4)] {
                let looks = mix(plan.seed ^ 0x40fe, n.wrapping_mul(2) + side);
                if unit(looks, 1) < 0.8 {
                    things.push((ahead + HOUSES_M / 2.0, Thing::House(ahead, edge, looks)));
                }
            }
        }
        for (ahead, _) in places(stage, LAMPS_M, far.min(200.0)).filter(|(ahead, _)| open(*ahead)) {
            things.push((ahead, Thing::Lamp(ahead, right - 0.6)));
        }
    }
}

fn tunnels(stage: &Stage<'_>, far: f64, things: &mut Vec<(f64, Thing)>) {
    let s = stage.moment.s;
    for &(from, to) in stage.plan.road.tunnels() {
        let first = ((s + stage.view.lens[0] - from) / RING_M).floor().max(0.0) as u64;
        let last = ((to.min(s + far) - from) / RING_M).ceil().max(0.0) as u64;
        for n in first..last {
            let begin = from + n as f64 * RING_M - s;
            let end = (begin + RING_M).min(to - s);
            things.push((end, Thing::Ring(begin, end, n)));
        }
        if (0.5..far).contains(&(from - s)) {
            things.push((from - s, Thing::Portal(from - s)));
        }
    }
}

/// A flat convex face of corners (ahead, left of the reference line, up).
fn face<const N: usize>(canvas: &mut Canvas, stage: &Stage<'_>, corners: [(f64, f64, f64); N], tint: Tint) {
    let s = stage.moment.s + corners[0].0;
    let placed = corners.map(|(ahead, left, up)| stage.place(ahead, left, up));
    fill(canvas, stage, &placed, tint, s, false);
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
    let (l, r) = (left + half, left - half);
    face(canvas, stage, [(ahead, l, low), (ahead, r, low), (ahead, r, high), (ahead, l, high)], tint);
}

/// A rectangle along the road.
fn wall(
    canvas: &mut Canvas,
    stage: &Stage<'_>,
    (from, to): (f64, f64),
    left: f64,
    (low, high): (f64, f64),
    tint: Tint,
) {
    face(canvas, stage, [(from, left, low), (to, left, low), (to, left, high), (from, left, high)], tint);
}

fn post(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64) {
    board(canvas, stage, (ahead, left), 0.06, (0.0, 1.0), Tint(210, 128, 128));
    board(canvas, stage, (ahead, left), 0.06, (0.7, 0.85), Tint(40, 128, 128));
}

fn rail(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64) {
    board(canvas, stage, (ahead, left), 0.05, (0.0, 0.6), Tint(105, 128, 128));
    wall(canvas, stage, (ahead, ahead + RAIL_M), left, (0.44, 0.75), Tint(158, 129, 127));
    wall(canvas, stage, (ahead, ahead + RAIL_M), left, (0.56, 0.62), Tint(118, 129, 127));
}

fn lamp(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64) {
    board(canvas, stage, (ahead, left), 0.08, (0.0, 6.5), Tint(88, 128, 128));
    board(canvas, stage, (ahead, left + 0.8), 0.8, (6.4, 6.55), Tint(88, 128, 128));
    board(canvas, stage, (ahead, left + 1.4), 0.3, (6.25, 6.42), Tint(190, 128, 128));
    stage.shine(stage.place(ahead, left + 1.4, 6.3), 0.22, Tint(250, 108, 146));
}

const ROUND: [(f64, f64); 8] =
    [(1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -0.9), (0.7, -0.7)];

fn tree(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64, looks: u64) {
    let tall = tree_height(looks);
    let green = Tint(62, 114, 122).towards(Tint(92, 104, 126), unit(looks, 5) as f32);
    board(canvas, stage, (ahead, left), 0.18, (0.0, tall * 0.5), Tint(58, 122, 134));
    let wide = tall * (0.24 + 0.1 * unit(looks, 6));
    // A crown of blobs, those below darker and wider. Far away two will do.
    let blobs = if ahead > 160.0 { 2 } else { 6u64 };
    for blob in 0..blobs {
        let level = blob as f64 / blobs as f64;
        let x = (unit(looks, 10 + blob) - 0.5) * wide * 1.5 * (1.0 - level * 0.6);
        let z = tall * (0.45 + 0.42 * level + 0.06 * unit(looks, 20 + blob));
        let round = wide * (0.72 - 0.3 * level) * if blobs == 2 { 1.3 } else { 1.0 };
        let corners = ROUND.map(|(dy, dz)| (ahead, left + x + dy * round, z + dz * round * 0.8));
        face(canvas, stage, corners, green.lit((0.78 + 0.4 * level + 0.12 * unit(looks, 50 + blob)) as f32));
    }
}

/// A house with its front `left` of the reference line: the front along the road, the end that looks at us, windows.
fn house(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64, left: f64, looks: u64) {
    const WALLS: [Tint; 5] =
        [Tint(178, 122, 132), Tint(150, 118, 142), Tint(190, 127, 129), Tint(132, 126, 136), Tint(160, 132, 122)];
    let tint = WALLS[(looks % 5) as usize];
    let long = HOUSES_M - 1.0 - 2.5 * unit(looks, 2);
    let floors = 2 + (unit(looks, 3) * 3.0) as u64;
    let tall = 3.0 * floors as f64 + 0.8;
    let outwards = if left > 0.0 { 1.0 } else { -1.0 };
    let back = left + 9.0 * outwards;
    let dim = |share: f64| tint.lit(share as f32);
    let near = ahead.max(stage.view.lens[0]);
    // The end towards us, with its gable.
    let end = [(ahead, left, 0.0), (ahead, back, 0.0), (ahead, back, tall), (ahead, left, tall)];
    face(canvas, stage, end, dim(0.82));
    let ridge = (ahead, (left + back) / 2.0, tall + 2.6);
    face(canvas, stage, [(ahead, left, tall), (ahead, back, tall), ridge], dim(0.82));
    let front = if outwards > 0.0 { 0.95 } else { 0.72 };
    wall(canvas, stage, (near, ahead + long), left, (0.0, tall), dim(front));
    let far_ridge = (ahead + long, ridge.1, ridge.2);
    let roof = [(near, left, tall), (ahead + long, left, tall), far_ridge, (near, ridge.1, ridge.2)];
    face(canvas, stage, roof, Tint(86, 118, 148));
    if ahead > 110.0 {
        return;
    }
    let windows = (long / 3.0) as u64;
    for floor in 0..floors {
        for n in 0..windows {
            let from = ahead + 1.0 + n as f64 * long / windows as f64;
            let low = 0.9 + 3.0 * floor as f64;
            let lit = unit(looks, 100 + floor * 16 + n) < 0.4 && stage.moment.daylight < 0.6;
            let pane = if lit { Tint(235, 100, 150) } else { Tint(62, 134, 124) };
            wall(canvas, stage, (from, from + 1.2), left, (low, low + 1.4), pane);
        }
    }
}

/// A piece of tunnel: two walls, the ceiling, and a lamp in every second.
fn ring(canvas: &mut Canvas, stage: &Stage<'_>, (from, to): (f64, f64), number: u64) {
    let (right, left) = stage.plan.road.paved;
    // A hand's breadth into the next one, so that no light comes in between.
    let to = to + 0.2;
    let light = TUNNEL_LIGHT as f32 * if number.is_multiple_of(2) { 1.25 } else { 0.95 };
    for side in [right, left] {
        wall(canvas, stage, (from, to), side, (0.0, 1.1), Tint(96, 128, 128).lit(light));
        wall(canvas, stage, (from, to), side, (1.1, 3.2), Tint(165, 128, 128).lit(light));
        wall(canvas, stage, (from, to), side, (3.2, CEILING_M), Tint(110, 128, 128).lit(light));
    }
    let across = |l: f64, r: f64, up: f64| [(from, l, up), (from, r, up), (to, r, up), (to, l, up)];
    face(canvas, stage, across(left, right, CEILING_M), Tint(90, 128, 128).lit(light));
    if number.is_multiple_of(2) {
        let middle = (left + right) / 2.0;
        let end = (from + 3.0).min(to);
        let lamp = [(from + 1.0, 0.25), (from + 1.0, -0.25), (end, -0.25), (end, 0.25)];
        face(canvas, stage, lamp.map(|(at, side)| (at, middle + side, CEILING_M - 0.1)), Tint(245, 118, 134));
    }
}

/// The wall in which a tunnel begins.
fn portal(canvas: &mut Canvas, stage: &Stage<'_>, ahead: f64) {
    let (right, left) = stage.plan.road.paved;
    let tint = Tint(142, 126, 130);
    let mut slab = |l: f64, r: f64, low: f64, high: f64, tint: Tint| {
        face(canvas, stage, [(ahead, l, low), (ahead, r, low), (ahead, r, high), (ahead, l, high)], tint);
    };
    slab(left + 40.0, left, 0.0, CEILING_M + 5.0, Tint(88, 112, 122));
    slab(right, right - 40.0, 0.0, CEILING_M + 5.0, Tint(88, 112, 122));
    slab(left + 2.0, left, 0.0, CEILING_M, tint);
    slab(right, right - 2.0, 0.0, CEILING_M, tint);
    slab(left + 2.0, right - 2.0, CEILING_M, CEILING_M + 1.5, tint);
    slab(left + 40.0, right - 40.0, CEILING_M + 1.5, CEILING_M + 5.0, Tint(80, 110, 122));
}
