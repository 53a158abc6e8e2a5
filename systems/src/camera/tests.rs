//! Tests of what becomes of pictures that are none.

use std::time::Duration;

use bevy_ecs::system::RunSystemOnce;
use bytes::Bytes;

use super::*;
use crate::camera::jpeg::JpegEncoder;
use crate::lanes::{self, LanePlugin};

const CAMERA: StreamId = StreamId(1);

/// A road with two lines, of which the estimator sees something at any rate.
fn road(width: usize, height: usize) -> Bytes {
    let mut pixels = vec![90; width * height * 3];
    for (row, pixels) in pixels.chunks_exact_mut(width * 3).enumerate().skip(height / 2) {
        let below = row - height / 2;
        for centre in [width / 2 - below / 2, width / 2 + below / 2] {
            let reach = 1 + below / 30;
            pixels[3 * (centre - reach)..3 * (centre + reach)].fill(230);
        }
    }
    JpegEncoder::new().unwrap().rgb(&pixels, width, height).unwrap()
}

fn world() -> World {
    let mut world = World::new();
    world.init_resource::<Messages<JobResult>>();
    world.init_resource::<ModelStatus>();
    world.insert_resource(GateSettings { threshold: 0.0, ..GateSettings::default() });
    world.insert_resource(CloserLook(Some(1000.0)));
    world.insert_resource(LanePlugin { rate_hz: 10.0, classical: true });
    world.init_resource::<EgoMotion>();
    let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    world.spawn((StableId::device(CAMERA), camera, Fresh(true)));
    world
}

/// What is made of a frame: its score, whether a lane was looked for in it, and the features it leaves behind.
fn look(world: &mut World, seq: u64, jpeg: &Bytes) -> (GateScore, bool) {
    let stamp = Stamp { captured: Mono::from_secs_f64(seq as f64 * 0.1), seq };
    let id = StableId { stream: CAMERA, seq };
    let frame = world.spawn((id, stamp, Frame { jpeg: jpeg.clone() })).id();
    world.run_system_once(capture).unwrap();
    world.run_system_once(gate).unwrap();
    world.run_system_once(lanes::understand).unwrap();
    let mut lanes = world.query::<&EgoLane>();
    (*world.get::<GateScore>(frame).unwrap(), lanes.single(world).unwrap().frame == Some(id))
}

#[test]
fn a_parked_vehicle_looks_for_no_lanes_and_less_often_at_what_has_not_changed() {
    let mut world = world();
    let road = road(640, 360);
    world.insert_resource(GateSettings {
        threshold: 3.0,
        force_after: Duration::from_secs(1),
        ..GateSettings::default()
    });
    // One picture a second.
    let accepted = |world: &mut World, from: u64, looks: u64| -> Vec<(bool, bool)> {
        let looks = (0..looks).map(|n| look(world, from + 10 * n, &road));
        looks.map(|(score, lane)| (score.accepted(), lane)).collect()
    };
    assert_eq!(accepted(&mut world, 10, 3), [(true, true); 3]);
    world.insert_resource(Parked { parked: true, ..Parked::default() });
    let parked = accepted(&mut world, 40, 10);
    assert!(parked[..9].iter().all(|look| *look == (false, false)), "{parked:?}");
    assert_eq!(parked[9], (true, false), "after ten seconds");
    world.insert_resource(Parked::default());
    assert_eq!(accepted(&mut world, 140, 1), [(true, true)]);
}

#[test]
fn what_is_broken_or_of_another_size_is_counted_and_used_by_nobody() {
    let (whole, other) = (road(640, 360), road(320, 180));
    let mut no_tables = whole.to_vec();
    let at = no_tables.windows(2).position(|pair| pair == [0xFF, 0xDB]).unwrap();
    no_tables[at + 1] = 0xEE;
    let half = whole.slice(..whole.len() / 2);
    let mixed = Bytes::from([&whole[..whole.len() / 2], &other[other.len() / 2..]].concat());
    let unusable =
        [half, mixed, whole.slice(..whole.len() - 2), Bytes::new(), Bytes::from_static(b"GIF89a"), no_tables.into()];

    let mut world = world();
    let used = |(score, lane): (GateScore, bool)| (score.accepted(), lane);
    assert_eq!(used(look(&mut world, 1, &whole)), (true, true));
    let mut seq = 1;
    for jpeg in unusable.iter().chain([&other, &other, &other, &other]) {
        seq += 1;
        assert_eq!(look(&mut world, seq, jpeg), (GateScore::Unusable, false), "picture {seq}");
    }
    assert_eq!(used(look(&mut world, seq + 1, &whole)), (true, true), "the next good one is used");
    let mut gates = world.query::<&Gate>();
    let gate = gates.single(&world).unwrap();
    assert_eq!((gate.judged, gate.accepted, gate.broken, gate.wrong_size), (2, 2, 6, 4));

    // Nothing is claimed of a camera whose pictures are no longer fresh, and its count goes on.
    let stands = |world: &mut World, fresh: bool| {
        world.query::<&mut Fresh>().single_mut(world).unwrap().0 = fresh;
        world.run_system_once(lanes::understand).unwrap();
        let mut lanes = world.query::<&EgoLane>();
        let lane = lanes.single(world).unwrap();
        (lane.frame.is_some(), lane.estimate.source, lane.captured.is_some())
    };
    assert_eq!(stands(&mut world, true), (true, LaneSource::Classical, true));
    assert_eq!(stands(&mut world, false), (false, LaneSource::None, false));
    stands(&mut world, true);

    // A camera that stays at another size was set to it.
    let mut scores: Vec<_> = (seq + 2..seq + 8).map(|seq| used(look(&mut world, seq, &other))).collect();
    assert_eq!(scores.split_off(4), [(true, true); 2]);
    assert_eq!(scores, [(false, false); 4]);
}
