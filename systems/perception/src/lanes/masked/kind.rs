//! Solid or dashed: what the gaps of a line say, over several looks.

use waywarden_components::prelude::*;

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
/// What is said is averaged over so many seconds, and is believed from so much on.
const AVERAGE_S: f64 = 1.0;
const BELIEVED: f32 = 0.4;

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

/// What a line says that has paint or not (`painted`) at these distances before the lens, from afar, in metres.
pub fn gaps(forward_m: &[f64], painted: &[bool]) -> Gaps {
    // Stretches of the same, from near: whether they are painted, and their length.
    let mut stretches: Vec<(bool, f64)> = Vec::new();
    let rows = forward_m.iter().zip(painted).rev().take_while(|(at, _)| **at <= FARTHEST_M);
    let mut before: Option<f64> = None;
    for (&at, &painted) in rows {
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
        let forward_m: Vec<f64> = (0..48).map(|n| 30.0 - 0.5 * f64::from(n)).collect();
        let on = |at: &f64| paint.iter().any(|(from, to)| (from..=to).contains(&at));
        gaps(&forward_m, &forward_m.iter().map(on).collect::<Vec<_>>())
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
