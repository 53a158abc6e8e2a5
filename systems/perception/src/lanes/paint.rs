//! Paint along the lines of a lane, row by row, and what its gaps say over several looks: solid or dashed.
//!
//! Models are trained to draw dashed lines through, so what their masks have no gaps in may well be dashed; only the picture
//! itself, its ridges, says that a line is solid.

use waywarden_components::prelude::*;

use super::classical::evidence::Evidence;
use super::classical::fit::{self, Fit, Prior};

/// The road on which lines are expected, in metres before the lens.
const EXPECTED_M: (f64, f64) = (5.0, 25.0);
/// How far a mark may be off its line, in standard deviations, and in metres.
const ON_LINE: f64 = 2.5;
const ON_LINE_M: f64 = 0.25;
/// The surroundings of a line, in metres.
const AROUND_M: f64 = 0.5;
/// Rows in a row in which a line is seen, or it is not seen: paint is long, clutter is not.
const LEAST_RUN: usize = 3;
/// Rows of road that a picture has at least.
const LEAST_ROWS: usize = 8;
/// A mark is paint if it is so clear at least, of what the clearest of its line is: seams are fainter.
const CLEAR: f64 = 0.65;

/// The stretch of a line that is looked at: as far as gaps can be told, in metres before the lens.
const FARTHEST_M: f64 = 22.0;
/// A gap between dashes, in metres: from a short urban dash to the longest of motorways (12 m in Germany, 9 m in the USA).
const GAP_M: (f64, f64) = (1.5, 14.0);
/// Paint in front of it and behind it, in metres.
const DASH_M: f64 = 0.8;
/// A line that has paint all along for so many metres says that it is solid.
const SOLID_M: f64 = 12.0;
/// Share of that which masks may leave out.
const WORN: f64 = 0.1;
/// A lane is where it was expected to be for so many seconds.
const LONGEST_S: f64 = 0.5;
/// What is said is averaged over so many seconds, and is believed from so much on.
const AVERAGE_S: f64 = 1.0;
const BELIEVED: f32 = 0.4;

/// A row of the picture, below the horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its number.
    pub row: u16,
    /// How near it seems to be, in 1/m: the nod has moved it.
    pub seems: f64,
    /// How far it is, in metres before the lens.
    pub forward_m: f64,
}

/// The rows, of those with these numbers and places in the plane's frame, in which lines are expected; none where they are
/// too few.
pub fn rows(evidence: &Evidence, fit: &Fit, all: impl Iterator<Item = (u16, f64)>) -> Option<Vec<Row>> {
    let plane = &evidence.plane;
    let expected = all.filter_map(|(row, y)| {
        let seems = plane.direction(plane.middle_px().0, y)?.down / plane.height_m();
        let forward_m = 1.0 / fit.nodded(seems, plane);
        let expected = seems > 0.0 && (EXPECTED_M.0..=EXPECTED_M.1).contains(&forward_m);
        expected.then_some(Row { row, seems, forward_m })
    });
    let rows: Vec<Row> = expected.collect();
    (rows.len() >= LEAST_ROWS).then_some(rows)
}

/// Paint along a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paint {
    /// Whether there is any, row by row.
    pub painted: Vec<bool>,
    /// Share of the marks around the line that are on it: little in clutter.
    pub tight: f64,
}

impl Paint {
    /// Paint in these rows along the line that is at `left_m` at the lens.
    pub fn of(evidence: &Evidence, fit: &Fit, left_m: f64, rows: &[Row]) -> Self {
        let (mut on, mut around) = (Vec::new(), 0.0);
        for mark in &evidence.marks {
            // Rows are in order.
            let Ok(at) = rows.binary_search_by_key(&mark.row, |row| row.row) else { continue };
            let off = (mark.slope - fit.bearing(left_m, mark.nearness, &evidence.plane)).abs();
            if off <= AROUND_M * mark.nearness {
                around += mark.weight;
                if off <= (ON_LINE * evidence.sigma(mark)).min(ON_LINE_M * mark.nearness) {
                    on.push((at, mark.weight));
                }
            }
        }
        let (sum, clearest) = on.iter().fold((0.0, 0.0f64), |(sum, most), (_, clear)| (sum + clear, most.max(*clear)));
        let mut painted = vec![false; rows.len()];
        for (at, clear) in on {
            if let Some(painted) = painted.get_mut(at) {
                *painted |= clear >= CLEAR * clearest;
            }
        }
        Self { painted, tight: if around > 0.0 { sum / around } else { 0.0 } }
    }

    /// Share of the rows in which there is paint.
    pub fn share(&self) -> f64 {
        let mut painted = self.painted.clone();
        smooth(&mut painted, true);
        painted.iter().filter(|painted| **painted).count() as f64 / painted.len().max(1) as f64
    }

    /// What the gaps say; the rows are those that it was made with.
    pub fn gaps(&self, rows: &[Row]) -> Gaps {
        let mut painted = self.painted.clone();
        // A row or two may be missing.
        smooth(&mut painted, false);
        smooth(&mut painted, true);
        gaps(rows, &painted)
    }
}

/// Turns runs of this that are too short into the opposite.
fn smooth(painted: &mut [bool], this: bool) {
    let rows = painted.len();
    let mut at = 0;
    for run in painted.chunk_by_mut(|a, b| a == b) {
        let (first, last) = (at == 0, at + run.len() == rows);
        at += run.len();
        // What ends with the picture may go on.
        if run.len() < LEAST_RUN && run.first() == Some(&this) && (this || !(first || last)) {
            run.fill(!this);
        }
    }
}

/// Learns from the ridges of a picture how the lines of the lane that is followed are painted. `since` is the time since the
/// look before, in seconds.
pub fn look(
    tracker: &mut LaneTracker,
    features: &LaneFeatures,
    geometry: &CameraGeometry,
    captured: Mono,
    since: f64,
) -> Option<()> {
    let passed = captured.since(tracker.seen?).as_secs_f64();
    let mut shape = tracker.shape.filter(|_| passed <= LONGEST_S)?;
    shape.left_m += tracker.drift_mps * passed;
    shape.right_m += tracker.drift_mps * passed;
    let evidence = Evidence::of(features, geometry, tracker.pitch_rad)?;
    let prior = Prior::independent(shape, [0.1, 0.1, 0.01, 3e-4, 0.005], (tracker.width_m, 0.05));
    let fit = fit::fit(&evidence, &prior, 3.0)?;
    let all = (0..evidence.rows).step_by(LaneFeatures::ROW_STEP).map(|row| (row, f64::from(row) + 0.5));
    let rows = rows(&evidence, &fit, all)?;
    for (line, left_m) in [(&mut tracker.left, fit.shape.left_m), (&mut tracker.right, fit.shape.right_m)] {
        learn(line, Paint::of(&evidence, &fit, left_m, &rows).gaps(&rows), since);
    }
    Some(())
}

/// What the gaps of a line say in one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gaps {
    /// Too little is seen.
    #[default]
    Unclear,
    /// There is none along a good stretch.
    None,
    /// There are such as between dashes.
    Some,
}

/// What a line says that has paint or not (`painted`) in these rows, which come from afar.
fn gaps(rows: &[Row], painted: &[bool]) -> Gaps {
    // Stretches of the same, from near: whether they are painted, and their length.
    let mut stretches: Vec<(bool, f64)> = Vec::new();
    let rows = rows.iter().map(|row| row.forward_m).zip(painted).rev().take_while(|(at, _)| *at <= FARTHEST_M);
    let mut before: Option<f64> = None;
    for (at, &painted) in rows {
        let length = before.map_or(0.0, |before| at - before);
        before = Some(at);
        match stretches.last_mut() {
            Some(last) if last.0 == painted => last.1 += length,
            _ => stretches.push((painted, length)),
        }
    }
    let is_gap = |three: &[(bool, f64)]| match three {
        [(true, near), (false, gap), (true, far)] => {
            *near >= DASH_M && *far >= DASH_M && (GAP_M.0..=GAP_M.1).contains(gap)
        }
        _ => false,
    };
    if stretches.windows(3).any(is_gap) {
        return Gaps::Some;
    }
    let longest = stretches.iter().filter(|(painted, _)| !painted).map(|(_, length)| *length).fold(0.0, f64::max);
    let (all, paint) = stretches.iter().fold((0.0, 0.0), |(all, paint), (painted, length)| {
        (all + length, paint + if *painted { *length } else { 0.0 })
    });
    let whole = paint >= SOLID_M && paint >= (1.0 - WORN) * all && longest < GAP_M.0;
    if whole { Gaps::None } else { Gaps::Unclear }
}

/// Takes in what one look says, `since` seconds after the one before.
pub fn learn(line: &mut LineTrack, gaps: Gaps, since: f64) {
    let says = match gaps {
        Gaps::Unclear => return,
        Gaps::None => 1.0,
        Gaps::Some => -1.0,
    };
    let share = since.max(0.02) / (AVERAGE_S + since.max(0.02));
    line.solidity += share as f32 * (says - line.solidity);
}

/// How a line is painted, as far as can be told.
pub fn of(line: &LineTrack) -> LineKind {
    match line.solidity {
        solid if solid >= BELIEVED => LineKind::Solid,
        dashed if dashed <= -BELIEVED => LineKind::Dashed,
        _ => LineKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line says that is painted from these metres to those.
    fn said(paint: &[(f64, f64)]) -> Gaps {
        let row = |row: u16| Row { row, seems: 0.0, forward_m: 30.0 - 0.5 * f64::from(row) };
        let rows: Vec<Row> = (0..48).map(row).collect();
        let on = |row: &Row| paint.iter().any(|(from, to)| (from..=to).contains(&&row.forward_m));
        gaps(&rows, &rows.iter().map(on).collect::<Vec<_>>())
    }

    #[test]
    fn gaps_tell_dashes_from_lines() {
        assert_eq!(said(&[(0.0, 40.0)]), Gaps::None);
        assert_eq!(said(&[(8.0, 11.0), (17.0, 20.0)]), Gaps::Some);
        assert_eq!(said(&[(0.0, 15.0), (15.9, 40.0)]), Gaps::None, "a worn place");
        assert_eq!(said(&[(12.0, 15.0)]), Gaps::Unclear, "one dash, or what is left");
        assert_eq!(said(&[(0.0, 12.0)]), Gaps::Unclear, "an end, or something that hides it");
        assert_eq!(said(&[]), Gaps::Unclear);
        assert_eq!(gaps(&[], &[]), Gaps::Unclear);
    }

    #[test]
    fn one_look_is_not_believed() {
        let mut line = LineTrack::default();
        learn(&mut line, Gaps::Some, 0.1);
        assert_eq!(of(&line), LineKind::Unknown);
        (0..9).for_each(|_| learn(&mut line, Gaps::Some, 0.1));
        assert_eq!(of(&line), LineKind::Dashed);
        (0..40).for_each(|_| learn(&mut line, Gaps::None, 0.1));
        assert_eq!(of(&line), LineKind::Solid);
    }
}
