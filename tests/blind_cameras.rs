//! Pictures in which there is nothing to be seen: what a camera cannot see is said, and nothing is claimed or warned of.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::path::Path;

use image::{Rgb, RgbImage};
use program::{data, folder, json, text};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waywarden_components::prelude::*;
use waywarden_systems::session::Findings;

/// Pictures ten times a second.
const FPS: f64 = 10.0;
const SIZE: (u32, u32) = (320, 180);

/// What came of the pictures.
#[derive(Debug, Default)]
struct Seen {
    /// Why the camera was not as it should be, whenever that was.
    reasons: BTreeSet<String>,
    lanes: usize,
    tracks: usize,
    alerts: usize,
    unusable: usize,
}

/// Shows pictures to the app, with the real models where they are.
fn show(pictures: impl IntoIterator<Item = RgbImage>) -> Seen {
    let place = folder();
    let (frames, session, out) =
        (place.path().join("frames"), place.path().join("made.mcap"), place.path().join("out.mcap"));
    std::fs::create_dir(&frames).unwrap();
    for (n, picture) in pictures.into_iter().enumerate() {
        picture.save(frames.join(format!("{n:04}.png"))).unwrap();
    }
    let fps = FPS.to_string();
    json(&["import", "--frames", text(&frames), "--fps", &fps, "-o", text(&session), "--json"]);
    let models = data("models");
    let models: Vec<&str> = models.iter().flat_map(|models| ["--models", text(models)]).collect();
    json(&[&["replay", text(&session), "--out", text(&out), "--json"], &models[..]].concat());
    seen(&out)
}

fn seen(session: &Path) -> Seen {
    let mut findings = Findings::open(session).unwrap();
    let mut seen = Seen::default();
    let front = StableId::device(StreamId(1));
    while let Some(tick) = findings.read().unwrap() {
        let Some(found) = tick.found else { continue };
        let health = found.health.iter().filter(|(id, health)| *id == front && !health.reason.is_empty());
        seen.reasons.extend(health.map(|(_, health)| health.reason.clone()));
        seen.lanes += found.lanes.iter().filter(|(_, lane)| lane.geometry.is_some()).count();
        seen.unusable += found.gates.iter().filter(|(_, gate)| *gate == GateScore::Unusable).count();
        seen.tracks += found.tracks.len();
        seen.alerts += found.alerts.len();
    }
    seen
}

fn nothing_is_made_of_it(seen: &Seen) {
    assert_eq!((seen.lanes, seen.tracks, seen.alerts), (0, 0, 0), "{seen:?}");
}

fn said(seen: &Seen, words: &str) {
    assert!(seen.reasons.iter().any(|reason| reason.contains(words)), "no `{words}` in {seen:?}");
}

/// So many pictures of noise around a level.
fn noise(count: u64, level: u8, spread: u8) -> impl Iterator<Item = RgbImage> {
    (0..count).map(move |n| {
        let mut chance = ChaCha8Rng::seed_from_u64(n);
        RgbImage::from_fn(SIZE.0, SIZE.1, |_, _| {
            Rgb([0; 3].map(|_| level.saturating_add(chance.random_range(0..=spread))))
        })
    })
}

#[test]
fn a_covered_camera_is_blocked_and_a_blown_out_one_blinded() {
    for level in [2, 118] {
        let seen = show(noise(40, level, 5));
        said(&seen, "camera blocked");
        nothing_is_made_of_it(&seen);
    }
    let seen = show(noise(40, 252, 3));
    said(&seen, "camera blinded");
    nothing_is_made_of_it(&seen);
}

/// A road of two lines, painted so that it can be seen; the other way up, it is above.
fn road(upside_down: bool) -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let y = if upside_down { SIZE.1 - 1 - y } else { y };
        let down = f64::from(y) - f64::from(SIZE.1) / 2.0;
        let aside = (f64::from(x) - f64::from(SIZE.0) / 2.0).abs();
        match (down > 0.0, (aside - 1.2 * down).abs() < 1.0 + 0.04 * down) {
            (false, _) => Rgb([120, 160, 210]),
            (true, true) => Rgb([240, 240, 240]),
            (true, false) => Rgb([80, 80, 80]),
        }
    })
}

#[test]
fn a_frozen_camera_is_found_out() {
    let seen = show(std::iter::repeat_n(road(false), 45));
    said(&seen, "camera frozen");
    assert_eq!(seen.alerts, 0, "{seen:?}");
}

#[test]
fn noise_of_the_night_is_no_lane_and_nothing_to_warn_of() {
    // Black, with noise and lamps here and there.
    let lamps = noise(40, 0, 24).enumerate().map(|(n, mut picture)| {
        let mut chance = ChaCha8Rng::seed_from_u64(1000 + n as u64);
        for _ in 0..6 {
            let (x, y) = (chance.random_range(4..SIZE.0 - 4), chance.random_range(4..SIZE.1 - 4));
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2)] {
                picture.put_pixel(x + dx, y + dy, Rgb([255, 240, 200]));
            }
        }
        picture
    });
    nothing_is_made_of_it(&show(lamps));
}

#[test]
fn pictures_of_another_size_or_shape_are_used_by_nobody() {
    let other = |width, height| image::imageops::resize(&road(false), width, height, image::imageops::Triangle);
    // A few of another size, upright, tiny; each fewer than would be a camera that was changed.
    let moved = |n: u32| {
        let mut picture = road(false);
        picture.put_pixel(n % SIZE.0, 3, Rgb([255, 0, 0]));
        picture
    };
    let pictures = (0..30).map(|n| match n {
        8..11 => other(180, 320),
        16..19 => other(640, 360),
        24..27 => other(16, 9),
        _ => moved(n),
    });
    let seen = show(pictures);
    assert_eq!(seen.unusable, 9, "{seen:?}");
    assert_eq!((seen.tracks, seen.alerts), (0, 0), "{seen:?}");
}

#[test]
fn a_camera_that_hangs_upside_down_claims_no_lane() {
    if data("models").is_none() {
        return;
    }
    let drive = (0..40).map(|n| {
        let mut picture = road(true);
        (0..SIZE.0).for_each(|x| picture.put_pixel(x, n * 4, Rgb([90, 90, 90])));
        picture
    });
    let seen = show(drive);
    assert_eq!((seen.lanes, seen.alerts), (0, 0), "{seen:?}");
}
