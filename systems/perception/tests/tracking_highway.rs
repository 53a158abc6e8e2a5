//! The two nearest cars of a real highway keep their numbers, where boxes come at an irregular rate, with gaps of half a second,
//! with a class that flickers and scores that sag. The boxes are the labels, disturbed; the pictures cannot be shipped.

use waywarden_components::perception::{Detection, ObjectClass};
use waywarden_components::time::Mono;
use waywarden_perception::tracking::score::{Label, Switches, identity_switches, read_labels};
use waywarden_perception::tracking::{Tracked, Tracker, TrackerSettings};

const LABELS: &str = include_str!("labels/highway-two-nearest.csv");

/// Labels further apart are not of one stretch in sight, in seconds.
const STRETCH_S: f64 = 0.75;

/// The box of a label between its neighbours, out of place by up to 4 % of its size.
fn found(labels: &[Label], name: &str, at: f64, number: usize) -> Option<Detection> {
    let rows: Vec<&Label> = labels.iter().filter(|label| label.name == name).collect();
    let pair = rows.windows(2).find(|pair| (pair[0].at.as_secs_f64()..=pair[1].at.as_secs_f64()).contains(&at))?;
    let (from, to) = (pair[0].at.as_secs_f64(), pair[1].at.as_secs_f64());
    let share = ((at - from) / (to - from)) as f32;
    let between = |edge: fn(&Label) -> f32| edge(pair[0]) + (edge(pair[1]) - edge(pair[0])) * share;
    let (left, top) = (between(|label| label.left), between(|label| label.top));
    let (width, height) = (between(|label| label.right) - left, between(|label| label.bottom) - top);
    let shake = |period: usize| (number % period) as f32 / (period - 1) as f32 * 0.08 - 0.04;
    let class = if number % 4 == 1 { ObjectClass::Truck } else { ObjectClass::Car };
    let score = if number % 5 == 3 { 0.2 } else { 0.7 };
    let (left, top) = (left + width * shake(7), top + height * shake(5));
    (to - from < STRETCH_S).then_some(Detection { class, score, left, top, width, height })
}

fn drive(settings: &TrackerSettings) -> (Switches, usize) {
    let labels = read_labels(LABELS).unwrap_or_default();
    let mut tracker = Tracker::default();
    let mut looks: Vec<(Mono, Vec<Tracked>)> = Vec::new();
    for number in 0..500usize {
        let at = number as f64 / 10.0;
        // Of a second one frame is missing, of three half a second.
        if number % 10 == 4 || number % 30 >= 25 {
            continue;
        }
        let boxes: Vec<Detection> =
            ["a", "b"].into_iter().filter_map(|name| found(&labels, name, at, number)).collect();
        tracker.update(settings, Mono::from_secs_f64(at), &boxes, (1280, 720));
        looks.push((Mono::from_secs_f64(at), tracker.tracks().collect()));
    }
    (identity_switches(&labels, &looks), looks.len())
}

#[test]
fn the_two_nearest_cars_keep_their_numbers() {
    let (count, looks) = drive(&TrackerSettings::default());
    assert_eq!(looks, 370, "{count:?}");
    assert_eq!(count.switches, 0, "{count:?}");
    // Missed are the looks until a car is confirmed.
    assert!(count.seen > 440 && count.missed <= 10, "{count:?}");
}

#[test]
fn a_tracker_that_does_not_wait_is_caught() {
    let hasty =
        TrackerSettings { forget_s: 0.25, forget_unconfirmed_s: 0.25, confirm_hits: 1, ..TrackerSettings::default() };
    let (count, _) = drive(&hasty);
    assert!(count.switches >= 10, "{count:?}");
}
