use super::*;
use crate::lanes::masked;
use crate::simulate::stamp::stamp;
use crate::simulate::{Scenario, TruthSimulator};
use waywarden_components::input::Payload;

const STREAM: StreamId = StreamId(1);
const NONE: Errors = Errors {
    missed: 0.0,
    smallest_px: 0.0,
    edge_px: 0.0,
    edge_share: 0.0,
    false_per_hour: 0.0,
    line_m: 0.0,
    line_missed: 0.0,
    mask_missed: 0.0,
};

fn drive() -> Drive {
    let mut scenario = Scenario::built_in("motorway").unwrap();
    scenario.faults.missed_frames = 0.0;
    Drive::new(&scenario, 5)
}

fn camera() -> CameraSettings {
    CameraSettings { fps: 10.0, ..CameraSettings::default() }
}

fn model(role: JobRole, errors: Errors) -> TruthModel {
    TruthModel::new(role, &drive(), [(STREAM, camera())].into(), errors, 10.0)
}

/// The look at frame `seq`, from 1.
fn look(seq: u64) -> Look {
    let at = Mono((seq - 1) * 100_000_000);
    let frame = StableId::new(STREAM, seq);
    Look { frame, captured: at + std::time::Duration::from_secs(99), ..Look::at(stamp(b"\xff\xd8\xff\xd9", at)) }
}

fn boxes(model: &TruthModel, seq: u64) -> Vec<Detection> {
    match model.look(&look(seq)).unwrap() {
        JobOutput::Detections(boxes) => boxes,
        other => panic!("{other:?}"),
    }
}

fn truths(count: usize) -> Vec<Truth> {
    let mut simulator = TruthSimulator::new(&drive(), &camera());
    let next =
        |item: crate::import::TimedItem| if let Payload::Truth(truth) = item.payload { *truth } else { panic!() };
    (0..count).map(|_| next(simulator.next())).collect()
}

#[test]
fn without_errors_what_is_true_is_found() {
    let model = model(JobRole::Detection, NONE);
    let mut count = 0;
    for (seq, truth) in (1..).zip(truths(100)) {
        let found = boxes(&model, seq);
        let seen: Vec<_> = truth.objects.iter().filter(|object| !is_hidden(object, &truth.objects)).collect();
        assert_eq!(found.len(), seen.len());
        for object in seen {
            let [l, t, r, b] = object.image.unwrap();
            let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
            assert!(found.iter().any(|d| d.class == object.class
                && near(d.left, l)
                && near(d.top, t)
                && near(d.left + d.width, r)
                && near(d.top + d.height, b)));
            count += 1;
        }
        assert!(found.is_sorted_by(|a, b| best_first(a, b).is_le()));
    }
    assert!(count > 100, "{count} things found");
}

#[test]
fn errors_are_as_large_as_they_are_said_to_be() {
    let errors = Errors { missed: 0.25, edge_px: 2.0, false_per_hour: 3600.0, ..NONE };
    let (ideal, real) = (model(JobRole::Detection, NONE), model(JobRole::Detection, errors));
    let (mut all, mut found, mut wrong, mut squares, mut edges) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for seq in 1..=600 {
        let mut seen = boxes(&real, seq);
        for there in boxes(&ideal, seq).into_iter().filter(|d| d.left > 20.0 && d.left + d.width < 1260.0) {
            all += 1.0;
            let near = |d: &Detection| (d.left - there.left).abs() < 12.0 && (d.top - there.top).abs() < 12.0;
            if let Some(n) = seen.iter().position(near) {
                let error = f64::from(seen.remove(n).left - there.left);
                found += 1.0;
                squares += error * error;
                edges += 1.0;
            }
        }
        wrong +=
            seen.iter().filter(|d| d.class == ObjectClass::Car && (d.width - d.height).abs() < 0.01).count() as f64;
    }
    let (missed, sigma): (f64, f64) = (1.0 - found / all, (squares / edges).sqrt());
    assert!((missed - 0.25).abs() < 0.05, "{missed}");
    assert!((sigma - 2.0).abs() < 0.3, "{sigma}");
    // A tenth of the looks.
    assert!((30.0..100.0).contains(&wrong), "{wrong}");
}

#[test]
fn the_order_of_looks_changes_nothing() {
    let errors = Errors { missed: 0.2, edge_share: 0.05, line_m: 0.1, line_missed: 0.2, mask_missed: 0.1, ..NONE };
    for role in JobRole::ALL {
        let (one, other) = (model(role, errors), model(role, errors));
        let forward: Vec<_> = (1..=20).map(|seq| one.look(&look(seq)).unwrap()).collect();
        let mut backward: Vec<_> = (1..=20).rev().map(|seq| other.look(&look(seq)).unwrap()).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(one.look(&look(7)).unwrap(), forward[6]);
        assert_eq!(one.identity(), other.identity());
        assert_ne!(one.identity().sha256, model(role, NONE).identity().sha256);
    }
}

#[test]
fn lanes_are_traced_in_the_masks_where_they_are() {
    let model = model(JobRole::Segmentation, NONE);
    let geometry = CameraSettings::default().geometry;
    let (mut claimed, mut off, mut tracker) = (0, Vec::new(), LaneTracker::default());
    for (seq, truth) in (1..).zip(truths(100)) {
        let JobOutput::Segmentation(masks) = model.look(&look(seq)).unwrap() else { panic!() };
        assert!(masks.drivable.is_sound() && masks.lines.is_sound());
        assert!(masks.drivable.count() > 5000, "{}", masks.drivable.count());
        let lane = masked::look(&mut tracker, &masks, &geometry, (1280, 720), (look(seq).captured, None));
        let (Some(seen), Some(lane)) = (lane.geometry, truth.lane) else { continue };
        claimed += 1;
        off.push(f64::from(seen.offset_m - lane.offset_m).abs());
    }
    off.sort_by(f64::total_cmp);
    assert!(claimed > 80 && off[off.len() / 2] < 0.1, "{claimed} {off:?}");
}

#[test]
fn masks_are_lost_as_often_as_is_said() {
    let errors = Errors { mask_missed: 0.3, ..NONE };
    let model = model(JobRole::Segmentation, errors);
    let empty = |seq: &u64| match model.look(&look(*seq)).unwrap() {
        JobOutput::Segmentation(masks) => masks.lines.count() == 0 && masks.drivable.count() == 0,
        other => panic!("{other:?}"),
    };
    let lost = (1..=300).filter(empty).count();
    assert!((60..120).contains(&lost), "{lost}");
}

#[test]
fn other_pictures_show_no_moment() {
    let model = model(JobRole::Detection, NONE);
    let error = model.look(&Look::at(&b"\xff\xd8\xff\xd9"[..])).unwrap_err();
    assert!(matches!(error, InferenceError::Simulation { .. }), "{error}");
    assert!(model.infer_rgb(&RgbPicture::default(), None).is_err());
}
