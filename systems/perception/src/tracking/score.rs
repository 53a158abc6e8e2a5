//! How well tracks keep to labelled things: identity switches, as CLEAR MOT counts them (Bernardin and Stiefelhagen, 2008).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use waywarden_components::time::Mono;

use super::Tracked;
use super::rect::Rect;

/// Least overlap (intersection over union) of a track with a label to be its.
const LEAST_OVERLAP: f64 = 0.3;

/// Between labels further apart than this, in seconds, a thing was out of sight; nearer ones are interpolated.
const LONGEST_STEP_S: f64 = 0.75;

/// Where a thing was at a time, as somebody has marked it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// When.
    pub at: Mono,
    /// Its name; the same as long as it is the same thing.
    pub name: String,
    /// Left edge in pixels of the frame.
    pub left: f32,
    /// Top edge in pixels of the frame.
    pub top: f32,
    /// Right edge in pixels of the frame.
    pub right: f32,
    /// Bottom edge in pixels of the frame.
    pub bottom: f32,
}

impl Label {
    fn rect(&self) -> Rect {
        let [left, top, right, bottom] = [self.left, self.top, self.right, self.bottom].map(f64::from);
        Rect { x: (left + right) / 2.0, y: (top + bottom) / 2.0, width: right - left, height: bottom - top }
    }
}

/// How well tracks kept to labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Times at which a labelled thing had another track than when it was last seen, or a track that had been another
    /// labelled thing's.
    pub switches: u32,
    /// Labelled things in looks, in which a confirmed track was where the label is.
    pub seen: u32,
    /// Labelled things in looks, in which none was.
    pub missed: u32,
}

/// Reads labels: lines of `time_s,name,left,top,right,bottom` in seconds and pixels. Lines that begin with `#` or `time_s`
/// and empty ones are left out.
///
/// # Errors
///
/// The first line that is none, as it stands.
pub fn read_labels(text: &str) -> Result<Vec<Label>, String> {
    let read = |line: &str| {
        let mut cells = line.split(',').map(str::trim);
        let at: f64 = cells.next()?.parse().ok()?;
        let name = cells.next().filter(|name| !name.is_empty())?.to_owned();
        let mut number = || cells.next()?.parse::<f32>().ok().filter(|number| number.is_finite());
        let (left, top, right, bottom) = (number()?, number()?, number()?, number()?);
        let sound = at.is_finite() && at >= 0.0 && left < right && top < bottom && cells.next().is_none();
        sound.then(|| Label { at: Mono::from_secs_f64(at), name, left, top, right, bottom })
    };
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("time_s"))
        .map(|line| read(line).ok_or_else(|| line.to_owned()))
        .collect()
}

/// Compares labels with what [`Tracker::tracks`](super::Tracker::tracks) gave after each frame, both on one clock. Only
/// confirmed tracks count. Between two labels of a thing its box is interpolated; where they are more than 0.75 s apart
/// it was out of sight, and may come back under another number.
pub fn identity_switches(labels: &[Label], tracks_by_time: &[(Mono, Vec<Tracked>)]) -> Switches {
    let mut by_name: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    for label in labels {
        by_name.entry(&label.name).or_default().push(label);
    }
    for rows in by_name.values_mut() {
        rows.sort_by_key(|label| label.at);
    }
    let mut looks: Vec<&(Mono, Vec<Tracked>)> = tracks_by_time.iter().collect();
    looks.sort_by_key(|(at, _)| *at);
    let mut count = Switches::default();
    // The track of each thing in sight, and the thing that a track was last.
    let (mut track_of, mut thing_of) = (BTreeMap::<&str, u64>::new(), BTreeMap::<u64, &str>::new());
    for (at, tracks) in looks {
        let things: BTreeMap<&str, Rect> =
            by_name.iter().filter_map(|(name, rows)| Some((*name, place(rows, *at)?))).collect();
        track_of.retain(|name, _| things.contains_key(name));
        let tracks: BTreeMap<u64, Rect> = tracks
            .iter()
            .filter(|track| track.confirmed)
            .filter_map(|track| Some((track.id, Rect::of(&track.smooth, (1 << 16, 1 << 16))?)))
            .collect();
        let pairs = pairs(&things, &tracks, &track_of);
        count.missed += (things.len() - pairs.len()) as u32;
        for (name, id) in pairs {
            count.seen += 1;
            let other_track = track_of.insert(name, id).is_some_and(|before| before != id);
            let other_thing = thing_of.insert(id, name).is_some_and(|before| before != name);
            count.switches += u32::from(other_track || other_thing);
        }
    }
    count
}

/// Where a thing is at a time, by its labels in order of time; none where it is out of sight.
fn place(rows: &[&Label], at: Mono) -> Option<Rect> {
    let next = rows.partition_point(|label| label.at < at);
    let after = rows.get(next)?;
    if after.at == at {
        return Some(after.rect());
    }
    let before = rows.get(next.checked_sub(1)?)?;
    let step = after.at.since(before.at).as_secs_f64();
    if step > LONGEST_STEP_S {
        return None;
    }
    let share = at.since(before.at).as_secs_f64() / step;
    let between = |a: f64, b: f64| a + (b - a) * share;
    let (a, b) = (before.rect(), after.rect());
    Some(Rect {
        x: between(a.x, b.x),
        y: between(a.y, b.y),
        width: between(a.width, b.width),
        height: between(a.height, b.height),
    })
}

/// The track of each thing: the one it had, where that still fits, else the one that overlaps most.
fn pairs<'a>(
    things: &BTreeMap<&'a str, Rect>,
    tracks: &BTreeMap<u64, Rect>,
    track_of: &BTreeMap<&'a str, u64>,
) -> BTreeMap<&'a str, u64> {
    let mut fits: Vec<(bool, f64, &str, u64)> = Vec::new();
    for (name, thing) in things {
        for (id, track) in tracks {
            let overlap = thing.overlap(track);
            if overlap >= LEAST_OVERLAP {
                fits.push((track_of.get(name) == Some(id), overlap, name, *id));
            }
        }
    }
    fits.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)).then(a.3.cmp(&b.3)));
    let (mut pairs, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for (_, _, name, id) in fits {
        if !pairs.contains_key(name) && taken.insert(id) {
            pairs.insert(name, id);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use waywarden_components::perception::{Detection, ObjectClass};

    use super::*;

    fn label(at: f64, name: &str, left: f32) -> Label {
        let name = name.to_owned();
        Label { at: Mono::from_secs_f64(at), name, left, top: 0.0, right: left + 100.0, bottom: 100.0 }
    }

    fn look(at: f64, tracks: &[(u64, f32)]) -> (Mono, Vec<Tracked>) {
        let at = Mono::from_secs_f64(at);
        let tracked = |&(id, left): &(u64, f32)| {
            let smooth = Detection { class: ObjectClass::Car, score: 0.9, left, top: 0.0, width: 100.0, height: 100.0 };
            Tracked {
                id,
                class: ObjectClass::Car,
                score: 0.9,
                smooth,
                raw: None,
                first_seen: at,
                last_seen: at,
                hits: 9,
                confirmed: true,
            }
        };
        (at, tracks.iter().map(tracked).collect())
    }

    fn count(labels: &[Label], looks: &[(Mono, Vec<Tracked>)]) -> (u32, u32, u32) {
        let Switches { switches, seen, missed } = identity_switches(labels, looks);
        (switches, seen, missed)
    }

    #[test]
    fn a_thing_that_keeps_its_track_does_not_switch() {
        let labels = [label(0.0, "a", 0.0), label(0.5, "a", 200.0)];
        // Between the labels, where it is interpolated; before and behind them nothing is known.
        let looks =
            [look(0.0, &[(1, 0.0)]), look(0.25, &[(1, 100.0)]), look(0.5, &[(1, 200.0)]), look(0.6, &[(2, 200.0)])];
        assert_eq!(count(&labels, &looks), (0, 3, 0));
        assert_eq!(count(&labels, &[look(0.25, &[(1, 300.0)]), look(0.5, &[])]), (0, 0, 2));
    }

    #[test]
    fn another_track_is_a_switch_once() {
        let labels = [label(0.0, "a", 0.0), label(0.5, "a", 0.0), label(1.0, "a", 0.0)];
        let looks =
            [look(0.1, &[(1, 0.0)]), look(0.2, &[(2, 0.0)]), look(0.3, &[(2, 0.0)]), look(0.4, &[(2, 0.0), (1, 5.0)])];
        assert_eq!(count(&labels, &looks), (1, 4, 0));
    }

    #[test]
    fn tracks_that_change_places_switch_both() {
        let labels = [label(0.0, "a", 0.0), label(0.5, "a", 0.0), label(0.0, "b", 500.0), label(0.5, "b", 500.0)];
        let looks = [look(0.1, &[(1, 0.0), (2, 500.0)]), look(0.2, &[(2, 0.0), (1, 500.0)])];
        assert_eq!(count(&labels, &looks), (2, 4, 0));
        // A track that goes over to something new is one, too.
        let labels = [label(0.0, "a", 0.0), label(0.2, "a", 0.0), label(0.3, "b", 500.0), label(0.5, "b", 500.0)];
        assert_eq!(count(&labels, &[look(0.1, &[(1, 0.0)]), look(0.4, &[(1, 500.0)])]), (1, 2, 0));
    }

    #[test]
    fn out_of_sight_it_may_be_forgotten() {
        let labels = [label(0.0, "a", 0.0), label(0.5, "a", 0.0), label(3.0, "a", 0.0), label(3.5, "a", 0.0)];
        let looks = [look(0.2, &[(1, 0.0)]), look(2.0, &[(1, 0.0)]), look(3.2, &[(4, 0.0)])];
        assert_eq!(count(&labels, &looks), (0, 2, 0));
    }

    #[test]
    fn labels_are_read_or_refused() {
        let text = "# made by hand\ntime_s,name,left,top,right,bottom\n0.48,a,10,20,30,40\n\n0.96, b, 1.5,2,3,4\n";
        let labels = read_labels(text).expect("sound");
        assert_eq!(labels.len(), 2);
        assert_eq!((labels[0].at, labels[1].left, labels[1].name.as_str()), (Mono(480_000_000), 1.5, "b"));
        for wrong in
            ["x,a,1,2,3,4", "1,a,3,2,1,4", "1,a,1,2,3", "1,,1,2,3,4", "1,a,1,2,3,4,5", "-1,a,1,2,3,4", "1,a,1,2,NaN,4"]
        {
            assert_eq!(read_labels(wrong), Err(wrong.to_owned()));
        }
    }
}
