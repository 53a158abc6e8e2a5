//! Lanes without a model: what they add to the first look at a frame, and what a look at their features costs.

use std::error::Error;
use std::hint::black_box;

use bytes::Bytes;
use waywarden_components::prelude::*;
use waywarden_systems::camera::first_look;
use waywarden_systems::lanes::classical;

use crate::floor::Floor;
use crate::report::{Outcome, Report, check, median, quick, timed};
use crate::session;

/// What is measured: something done to a JPEG.
type Work<'a> = dyn FnMut(&[u8]) -> Result<(), Box<dyn Error>> + 'a;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (path, about) = session::make(folder.path(), quick())?;
    let jpegs = session::frames(&path)?;
    // As many as are looked at: 10 of 25 in a second, more or less.
    let jpegs: Vec<Bytes> = jpegs.into_iter().step_by(3).take(if quick() { 30 } else { 300 }).collect();
    let (count, rounds) = (jpegs.len() as f64, if quick() { 1 } else { 7 });
    let geometry = CameraGeometry::default();

    let mut floor = Floor::new()?;
    let (mut least, mut plain, mut closer, mut follow, mut search) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut claimed, mut ridges) = (0, 0);
    for _ in 0..rounds {
        let each = |work: &mut Work<'_>| {
            let (done, seconds) = timed(|| jpegs.iter().try_for_each(|jpeg| work(jpeg)));
            done.map(|()| seconds / count)
        };
        least.push(each(&mut |jpeg| check(floor.decode(jpeg)? > 0, "black"))?);
        plain.push(each(&mut |jpeg| check(is_ready(&first_look(jpeg, None).thumbnail), "no picture"))?);
        closer.push(each(&mut |jpeg| check(is_ready(&first_look(jpeg, Some(geometry)).thumbnail), "no picture"))?);

        let looks: Vec<_> = jpegs.iter().map(|jpeg| first_look(jpeg, Some(geometry))).collect();
        ridges = looks.iter().map(|look| look.features.ridges.len()).sum::<usize>();
        let mut tracker = LaneTracker::default();
        let (found, seconds) = timed(|| drive(&looks_of(&looks), &geometry, &mut tracker));
        claimed = found;
        follow.push(seconds / count);
        // A tracker that knows nothing tries every pitch.
        let ((), seconds) = timed(|| {
            for (features, size) in looks_of(&looks) {
                black_box(classical::look(&mut LaneTracker::default(), features, &geometry, size, Mono(1)));
            }
        });
        search.push(seconds / count);
    }
    check(claimed * 2 > jpegs.len() || quick(), format!("lanes claimed in {claimed} of {count} frames"))?;

    let [least, plain, closer, follow, search] = [least, plain, closer, follow, search].map(|all| median(&all));
    let mut report = Report::new(
        "lanes",
        &format!(
            "{about}; {count} frames, a lane claimed in {claimed}; {:.0} ridges a frame; one thread, medians of {rounds} rounds.",
            ridges as f64 / count
        ),
    );
    let us = |s: f64| format!("{:.0} µs", s * 1e6);
    report.row("floor_s", "libjpeg-turbo alone: grey, an eighth", least, us(least), "the floor");
    report.row("plain_s", "the first look, for the gate alone", plain, us(plain), &ratio(plain, least));
    report.row("closer_s", "**the first look with the features of lanes**", closer, us(closer), &ratio(closer, least));
    report.row("follow_s", "a look at them: lane followed, mostly", follow, us(follow), "at most 10 a second");
    report.row("search_s", "a look that tries every pitch", search, us(search), "every fourth, while nothing is known");
    report.print()
}

fn ratio(is: f64, floor: f64) -> String {
    format!("{:.2} times the floor", is / floor)
}

fn is_ready(thumbnail: &Thumbnail) -> bool {
    matches!(thumbnail, Thumbnail::Ready { .. })
}

/// Features and sizes of frames.
fn looks_of(looks: &[waywarden_systems::camera::FirstLook]) -> Vec<(&LaneFeatures, (u32, u32))> {
    looks
        .iter()
        .filter_map(|look| match look.thumbnail {
            Thumbnail::Ready { width, height, .. } => Some((&look.features, (width, height))),
            _ => None,
        })
        .collect()
}

/// Looks at frames 0.12 s apart; in how many a lane is claimed.
fn drive(looks: &[(&LaneFeatures, (u32, u32))], geometry: &CameraGeometry, tracker: &mut LaneTracker) -> usize {
    let mut claimed = 0;
    for (n, (features, size)) in looks.iter().enumerate() {
        let estimate = classical::look(tracker, features, geometry, *size, Mono(n as u64 * 120_000_000));
        claimed += usize::from(estimate.geometry.is_some());
    }
    claimed
}
