//! How good it is, over many seeded scenes: the goals, and the command that prints the figures:
//! `cargo test -p waywarden-perception --lib ranging::figures -- --nocapture`.

use super::RangingSettings;
use super::scenes::{Play, Said, Scene};

/// Figures of many runs.
#[derive(Debug, Default)]
struct Figures {
    /// Share by which distances below 40 m are wrong.
    distance: Vec<f64>,
    /// Seconds by which times to collision are wrong, of those that are truly below 4 s; and how many were not told.
    ttc: Vec<f64>,
    ttc_untold: usize,
    /// Seconds from the lead's braking, and from being in the lane, until it was noticed.
    brake: Vec<f64>,
    cut_in: Vec<f64>,
    /// Seconds from a true time to collision below 4 s until one was told, where the lead brakes.
    late: Vec<f64>,
    /// Moments in which the lead seemed to close in by more than 2 m/s, of those in which it did so by less than 1 m/s; and beside us
    /// seemed in the path.
    false_closing: (usize, usize),
    false_path: (usize, usize),
    /// Moments in which somebody who passes, or whom we pass, seemed to come nearer in our path.
    false_beside: (usize, usize),
    /// Moments in which a time to collision below 4 s was told of what is truly above 6 s or does not come nearer.
    false_urgent: (usize, usize),
    /// Errors over what the filter says of them.
    honest_distance: Vec<f64>,
    honest_closing: Vec<f64>,
}

fn part(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn closes(said: &Said) -> bool {
    said.motion.is_some_and(|motion| motion.ttc_s.is_some() && motion.closing_mps > 2.0)
}

impl Figures {
    fn of(settings: &RangingSettings, seeds: std::ops::RangeInclusive<u64>) -> Self {
        let mut figures = Self::default();
        let closing = [5.0, 8.0, 12.0, 20.0, 30.0].map(Play::Close);
        let others = [Play::Follow, Play::Follow, Play::Brake, Play::Brake, Play::Brake, Play::CutIn, Play::CutIn];
        let beside = [Play::Overtakes, Play::Overtakes, Play::IsPassed, Play::IsPassed];
        for seed in seeds {
            for (n, play) in closing.into_iter().chain(others).chain(beside).enumerate() {
                let scene = Scene::new(play, seed * 100 + n as u64);
                let event_s = scene.event_s;
                figures.take(play, event_s, &scene.run(settings));
            }
        }
        figures
    }

    fn take(&mut self, play: Play, event_s: f64, all: &[Said]) {
        if matches!(play, Play::Overtakes | Play::IsPassed) {
            self.false_beside.1 += all.len();
            self.false_beside.0 +=
                all.iter().filter(|said| closes(said) && said.motion.is_some_and(|motion| motion.in_path)).count();
            return;
        }
        for said in all {
            let truth = &said.truth;
            let ttc = truth.ttc_s().filter(|&ttc| ttc < 4.0 && truth.in_lane);
            let Some(motion) = said.motion else {
                self.ttc_untold += usize::from(ttc.is_some());
                continue;
            };
            let off = f64::from(motion.distance_m) - truth.distance_m;
            if truth.distance_m < 40.0 {
                self.distance.push(off.abs() / truth.distance_m);
                self.honest_distance.push((off / f64::from(motion.distance_sigma_m)).abs());
            }
            let closing = f64::from(motion.closing_mps) - truth.closing_mps;
            self.honest_closing.push((closing / f64::from(motion.closing_sigma_mps)).abs());
            match (ttc, motion.ttc_s) {
                (Some(ttc), Some(told)) => self.ttc.push((f64::from(told) - ttc).abs()),
                (Some(_), None) => self.ttc_untold += 1,
                (None, _) => {}
            }
            if (play == Play::Follow || play == Play::Brake && truth.t < event_s) && truth.closing_mps < 1.0 {
                self.false_closing.1 += 1;
                self.false_closing.0 += usize::from(closes(said));
            }
            if truth.ttc_s().is_none_or(|ttc| ttc > 6.0) {
                self.false_urgent.1 += 1;
                self.false_urgent.0 += usize::from(motion.ttc_s.is_some_and(|ttc| ttc < 4.0));
            }
            if play == Play::CutIn && truth.t < event_s {
                self.false_path.1 += 1;
                self.false_path.0 += usize::from(motion.in_path);
            }
        }
        let first = |from: f64, noticed: &dyn Fn(&Said) -> bool| {
            all.iter()
                .filter(|said| said.truth.t >= from)
                .find(|said| noticed(said))
                .map_or(9.9, |said| said.truth.t - from)
        };
        if play == Play::Brake {
            self.brake.push(first(event_s, &closes));
            let urgent = all.iter().find(|said| said.truth.ttc_s().is_some_and(|ttc| ttc < 4.0));
            let told = |said: &Said| said.motion.and_then(|motion| motion.ttc_s).is_some_and(|ttc| ttc < 4.0);
            if let Some(urgent) = urgent {
                self.late.push(event_s + first(event_s, &told) - urgent.truth.t);
            }
        }
        if play == Play::CutIn {
            let crosses = all.iter().find(|said| said.truth.in_lane).map_or(0.0, |said| said.truth.t);
            let seen = first(event_s, &|said| said.motion.is_some_and(|motion| motion.in_path));
            self.cut_in.push(event_s + seen - crosses);
        }
    }

    fn print(&self, name: &str) {
        let list = |values: &[f64]| [0.5, 0.9, 1.0].map(|share| (part(values, share) * 1000.0).round() / 1000.0);
        println!("{name}: median, p90, most");
        println!("  distance error below 40 m (share)    {:?} of {}", list(&self.distance), self.distance.len());
        println!(
            "  ttc error below 4 s (s)              {:?} of {}, untold {}",
            list(&self.ttc),
            self.ttc.len(),
            self.ttc_untold
        );
        println!("  hard braking noticed after (s)       {:?} of {}", list(&self.brake), self.brake.len());
        println!("  ttc below 4 s told after it is (s)   {:?} of {}", list(&self.late), self.late.len());
        println!("  cut-in noticed after it is in (s)    {:?} of {}", list(&self.cut_in), self.cut_in.len());
        let (closing, path, urgent) = (self.false_closing, self.false_path, self.false_urgent);
        println!(
            "  false closing {closing:?}, false path {path:?}, false ttc below 4 s {urgent:?}, beside {:?}",
            self.false_beside
        );
        println!(
            "  error over sigma: distance {:?}, closing {:?}",
            list(&self.honest_distance),
            list(&self.honest_closing)
        );
    }
}

#[test]
#[ignore = "for choosing: TUNE=field=number,… sets what is tried on seeds 1 to 10"]
fn choose() {
    let mut value = serde_json::to_value(RangingSettings::default()).expect("json");
    for pair in std::env::var("TUNE").unwrap_or_default().split(',').filter(|pair| !pair.is_empty()) {
        let (key, number) = pair.split_once('=').expect("key=number");
        value[key] = number.parse::<f64>().expect("number").into();
    }
    let settings: RangingSettings = serde_json::from_value(value).expect("settings");
    Figures::of(&settings, 1..=10).print(&std::env::var("TUNE").unwrap_or_default());
}

#[test]
fn the_goals_are_met_on_seeds_that_nothing_was_chosen_by() {
    let figures = Figures::of(&RangingSettings::default(), 11..=30);
    figures.print("seeds 11 to 30");
    assert!(part(&figures.distance, 0.5) <= 0.10);
    assert!(part(&figures.ttc, 0.5) <= 0.3 && part(&figures.ttc, 0.9) <= 0.8);
    assert!(figures.ttc_untold * 20 < figures.ttc.len());
    assert!(part(&figures.late, 0.9) <= 0.55 && part(&figures.cut_in, 0.9) <= 0.5);
    // A closing speed of 2 m/s is there 0.25 s after the lead brakes. From boxes as noisy as these nobody can tell at 2
    // standard deviations before 0.6 s at 20 m and 0.8 s at 35 m, the latency with it, even if all was known before.
    assert!(part(&figures.brake, 0.9) <= 1.25);
    assert!(figures.false_urgent.0 * 40 < figures.false_urgent.1);
    assert!(figures.false_beside.0 * 1000 < figures.false_beside.1);
}
