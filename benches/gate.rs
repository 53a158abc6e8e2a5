//! The first look at a frame against the least that it can cost, and against the ways not taken.

use std::error::Error;
use std::hint::black_box;

use bytes::Bytes;
use waywarden_components::prelude::*;
use waywarden_systems::camera::gate::{GateSettings, judge};
use waywarden_systems::camera::{first_look, jpeg};

use crate::floor::Floor;
use crate::report::{Outcome, Report, check, median, quick, timed};
use crate::session;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (path, about) = session::make(folder.path(), quick())?;
    let mut jpegs = session::frames(&path)?;
    jpegs.truncate(if quick() { 10 } else { 200 });
    let count = jpegs.len() as f64;
    let rounds = if quick() { 1 } else { 9 };

    let mut floor = Floor::new()?;
    let (mut least, mut look, mut full, mut gated) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        least.push(each(&jpegs, |jpeg| Ok(floor.decode(jpeg)? > 0))?);
        look.push(each(&jpegs, |jpeg| Ok(matches!(first_look(jpeg, None).thumbnail, Thumbnail::Ready { .. })))?);
        full.push(each(&jpegs[..jpegs.len() / 4], |jpeg| Ok(black_box(jpeg::decode_rgb(jpeg)?).is_sound()))?);
        let looks: Vec<Luma> =
            jpegs.iter().filter_map(|jpeg| jpeg::thumbnail(jpeg).ok()).map(|(.., luma)| luma).collect();
        let ((), seconds) = timed(|| {
            let mut gate = Gate::default();
            for (n, luma) in looks.iter().enumerate() {
                black_box(judge(&mut gate, luma, Mono(n as u64 * 40_000_000), &GateSettings::default()));
            }
        });
        gated.push(seconds / count);
    }
    looks_like_the_picture(&jpegs)?;

    let (least, look, full, gated) = (median(&least), median(&look), median(&full), median(&gated));
    let bytes: usize = jpegs.iter().map(Bytes::len).sum();
    let mut report = Report::new(
        "gate",
        &format!(
            "{about}; the first {count} frames, {:.0} kB each; one thread, medians of {rounds} rounds.",
            bytes as f64 / count / 1e3
        ),
    );
    let us = |s: f64| format!("{:.0} µs", s * 1e6);
    report.row("floor_s", "libjpeg-turbo alone: grey, an eighth", least, us(least), "the floor");
    report.row(
        "look_s",
        "**the first look**: 64x64, checked",
        look,
        format!("**{}**", us(look)),
        &format!("{:.2} times the floor", look / least),
    );
    report.row(
        "judge_s",
        "the gate's judgement of it",
        gated,
        format!("{:.1} µs", gated * 1e6),
        &format!("{:.1} % of the look", 100.0 * gated / look),
    );
    report.row(
        "rgb_s",
        "the whole frame in colour",
        full,
        us(full),
        &format!("{:.1} times the look: not done for the gate", full / look),
    );
    report.print()
}

/// Seconds that `work` takes for one of these; it says whether its result is right.
fn each(jpegs: &[Bytes], mut work: impl FnMut(&[u8]) -> Result<bool, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let (right, seconds) =
        timed(|| jpegs.iter().try_fold(true, |right, jpeg| Ok::<_, Box<dyn Error>>(work(jpeg)? && right)));
    check(right?, "a frame could not be decoded")?;
    Ok(seconds / jpegs.len().max(1) as f64)
}

/// The small picture is as bright as the large one.
fn looks_like_the_picture(jpegs: &[Bytes]) -> Outcome {
    for jpeg in jpegs.iter().take(5) {
        let (_, _, luma) = jpeg::thumbnail(jpeg)?;
        let small = luma.0.iter().map(|&y| f64::from(y)).sum::<f64>() / luma.0.len() as f64;
        let rgb = jpeg::decode_rgb(jpeg)?;
        let luma = |p: &[u8]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
        let large = rgb.data.chunks_exact(3).map(luma).sum::<f64>() / (rgb.data.len() / 3) as f64;
        check((small - large).abs() < 2.0, format!("mean luma {small:.1} for {large:.1}"))?;
    }
    Ok(())
}
