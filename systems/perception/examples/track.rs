//! Follows boxes of a file, and says how well the tracks keep to labels.
//!
//! `cargo run -p waywarden-perception --example track -- BOXES.csv LABELS.csv [RATE_HZ [FROM_S TO_S]]`
//!
//! Boxes are lines of `time_s,class,score,left,top,width,height` in order of time, classes by their COCO number, pixels of
//! 1280x720; class -1 is a frame without a box. With a rate, frames are left out until it is not exceeded, and the rates
//! `gaps` and `irregular` leave half a second out of every three, and frames by a fixed pattern. Behind all that,
//! `SETTING=VALUE` tries another setting; `lost=SHARE` and `seed=NUMBER` take that share of the boxes away, by chance, and
//! put the others out of place and size by up to a tenth.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waywarden_components::perception::{Detection, ObjectClass};
use waywarden_components::time::Mono;
use waywarden_perception::tracking::score::{identity_switches, read_labels};
use waywarden_perception::tracking::{Tracked, Tracker, TrackerSettings};

/// Whether the frame at this time is looked at, `since` seconds after the last one that was.
fn looked_at(rate: &str, at: f64, since: f64, number: usize) -> bool {
    match rate {
        "gaps" => since > 0.099 && at % 3.0 >= 0.5,
        "irregular" => since > 0.099 && [true, false, true, true, false, false, true][number % 7],
        hertz => since > 1.0 / hertz.parse::<f64>().unwrap_or(f64::INFINITY) - 0.001,
    }
}

/// Takes a share of the boxes away, and disturbs the others.
fn disturb(frames: &mut BTreeMap<Mono, Vec<Detection>>, lost: f32, seed: u64) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    for frame in frames.values_mut() {
        frame.retain(|_| chance.random::<f32>() >= lost);
        for found in frame {
            let [right, down, wider, higher] = [(); 4].map(|()| chance.random_range(-0.1..0.1f32));
            (found.left, found.top) = (found.left + right * found.width, found.top + down * found.height);
            (found.width, found.height) = (found.width * (1.0 + wider), found.height * (1.0 + higher));
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |number: usize| arguments.get(number).map(String::as_str);
    let (Some(boxes), Some(labels)) = (argument(0), argument(1)) else {
        return Err("say which boxes and labels".into());
    };
    let rate = argument(2).unwrap_or("100");
    let from: f64 = argument(3).unwrap_or("0").parse()?;
    let to: f64 = argument(4).unwrap_or("1e9").parse()?;
    let mut frames: BTreeMap<Mono, Vec<Detection>> = BTreeMap::new();
    for line in std::fs::read_to_string(boxes)?.lines().skip(1) {
        let cells: Vec<f64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [at, class, score, left, top, width, height] = cells[..] else { return Err(line.into()) };
        let frame = frames.entry(Mono::from_secs_f64(at)).or_default();
        if class >= 0.0 {
            let [score, left, top, width, height] = [score, left, top, width, height].map(|number| number as f32);
            let class = ObjectClass::from_coco(class as u16);
            frame.push(Detection { class, score, left, top, width, height });
        }
    }
    let labels = read_labels(&std::fs::read_to_string(labels)?)?;
    let mut settings = TrackerSettings::default();
    let (mut lost, mut seed) = (None, 1);
    for (name, value) in arguments.iter().skip(5).filter_map(|other| other.split_once('=')) {
        let value: f32 = value.parse()?;
        match name {
            "lost" => lost = Some(value),
            "seed" => seed = value as u64,
            "high_score" => settings.high_score = value,
            "new_score" => settings.new_score = value,
            "low_score" => settings.low_score = value,
            "overlap" => settings.overlap = value,
            "low_overlap" => settings.low_overlap = value,
            "last_overlap" => settings.last_overlap = value,
            "grown" => settings.grown = value,
            "duplicate_overlap" => settings.duplicate_overlap = value,
            "confirm_hits" => settings.confirm_hits = value as u32,
            "forget_s" => settings.forget_s = value,
            "forget_unconfirmed_s" => settings.forget_unconfirmed_s = value,
            other => return Err(format!("no setting {other}").into()),
        }
    }
    if let Some(lost) = lost {
        disturb(&mut frames, lost, seed);
    }
    let mut tracker = Tracker::default();
    let mut looks: Vec<(Mono, Vec<Tracked>)> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for (number, (at, found)) in frames.iter().enumerate() {
        let seconds = at.as_secs_f64();
        if (from..to).contains(&seconds) && looked_at(rate, seconds, seconds - last, number) {
            tracker.update(&settings, *at, found, (1280, 720));
            looks.push((*at, tracker.tracks().collect()));
            last = seconds;
        }
    }
    let confirmed: std::collections::BTreeSet<u64> =
        looks.iter().flat_map(|(_, tracks)| tracks).filter(|track| track.confirmed).map(|track| track.id).collect();
    let labels: Vec<_> = labels.into_iter().filter(|label| (from..to).contains(&label.at.as_secs_f64())).collect();
    let count = identity_switches(&labels, &looks);
    let figures = (looks.len(), count.switches, count.seen, count.missed, confirmed.len());
    writeln!(
        std::io::stdout(),
        "looks {}, switches {}, seen {}, missed {}, confirmed tracks {}",
        figures.0,
        figures.1,
        figures.2,
        figures.3,
        figures.4
    )?;
    Ok(())
}
