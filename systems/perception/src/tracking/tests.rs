use proptest::prelude::*;

use super::*;

const FRAME: (u32, u32) = (1280, 720);

fn found(class: ObjectClass, score: f32, left: f32, top: f32) -> Detection {
    Detection { class, score, left, top, width: 80.0, height: 60.0 }
}

fn car(left: f32) -> Detection {
    found(ObjectClass::Car, 0.8, left, 400.0)
}

/// Shows the frames one after the other, `step_s` apart, and returns what was followed after each.
fn follow(tracker: &mut Tracker, step_s: f64, frames: &[Vec<Detection>]) -> Vec<Vec<Tracked>> {
    let settings = TrackerSettings::default();
    let mut at = tracker.at().map_or(1.0, |at| at.as_secs_f64() + step_s);
    let mut all = Vec::new();
    for boxes in frames {
        assert!(tracker.update(&settings, Mono::from_secs_f64(at), boxes, FRAME));
        all.push(tracker.tracks().collect());
        at += step_s;
    }
    all
}

fn ids(tracks: &[Tracked]) -> Vec<u64> {
    tracks.iter().map(|track| track.id).collect()
}

#[test]
fn a_thing_keeps_its_number_and_is_confirmed_at_the_third_look() {
    let mut tracker = Tracker::default();
    let looks = follow(&mut tracker, 0.1, &[vec![car(100.0)], vec![car(104.0)], vec![car(108.0)]]);
    assert_eq!(looks.iter().map(|tracks| ids(tracks)).collect::<Vec<_>>(), [[1], [1], [1]]);
    assert_eq!(looks.iter().map(|tracks| tracks[0].confirmed).collect::<Vec<_>>(), [false, false, true]);
    let last = looks[2][0];
    assert_eq!((last.hits, last.raw), (3, Some(car(108.0))));
    assert_eq!((last.first_seen, last.last_seen), (Mono::from_secs_f64(1.0), Mono::from_secs_f64(1.2)));
    assert!((last.smooth.left - 107.0).abs() < 2.0, "{last:?}");
}

#[test]
fn a_gap_of_half_a_second_is_bridged_by_where_it_was_going() {
    let mut tracker = Tracker::default();
    // 400 pixels a second: in the gap it goes on by more than its width and is met by nothing where it was.
    let frames: Vec<_> = (0..6u8).map(|number| vec![car(100.0 + 40.0 * f32::from(number))]).collect();
    follow(&mut tracker, 0.1, &frames);
    let after = follow(&mut tracker, 0.5, &[vec![car(500.0)]]);
    assert_eq!(ids(&after[0]), [1]);
    let unseen = follow(&mut tracker, 0.1, &[vec![], vec![]]);
    assert_eq!(unseen[1][0].raw, None);
    assert!((unseen[1][0].smooth.left - 580.0).abs() < 25.0, "expected further on: {:?}", unseen[1][0]);
}

#[test]
fn what_jumps_sideways_is_found_where_it_was() {
    let mut tracker = Tracker::default();
    // A camera that nods by more than half of a distant car: expected where it was, the overlap is too small by a little.
    let small = |top: f32| vec![Detection { width: 14.0, height: 12.0, ..found(ObjectClass::Car, 0.8, 600.0, top) }];
    let looks = follow(&mut tracker, 0.1, &[small(400.0), small(400.0), small(400.0), small(407.0), small(400.0)]);
    assert_eq!(looks.iter().map(|tracks| ids(tracks)).collect::<Vec<_>>(), [[1], [1], [1], [1], [1]]);
}

#[test]
fn cars_that_pass_each_other_keep_their_numbers() {
    let mut tracker = Tracker::default();
    let frames: Vec<_> = (0..30u8)
        .map(|number| {
            let by = 12.0 * f32::from(number);
            let near = Detection { width: 160.0, height: 120.0, ..found(ObjectClass::Car, 0.9, 500.0 - by, 380.0) };
            let far = found(ObjectClass::Car, 0.7, 250.0, 400.0);
            // In the middle the far one is hidden.
            if (10..18).contains(&number) { vec![near] } else { vec![near, far] }
        })
        .collect();
    let looks = follow(&mut tracker, 0.1, &frames);
    let last = looks.last().expect("looks");
    assert_eq!(ids(last), [1, 2]);
    assert!((last[0].smooth.left - 152.0).abs() < 10.0 && (last[1].smooth.left - 250.0).abs() < 10.0, "{last:?}");
}

#[test]
fn a_flickering_class_splits_no_track_and_is_outvoted() {
    let mut tracker = Tracker::default();
    let frames: Vec<_> = (0..12u8)
        .map(|number| if number % 3 == 2 { found(ObjectClass::Truck, 0.7, 100.0, 400.0) } else { car(100.0) })
        .map(|found| vec![found])
        .collect();
    let looks = follow(&mut tracker, 0.1, &frames);
    assert!(looks.iter().all(|tracks| ids(tracks) == [1]));
    assert!(
        looks[3..]
            .iter()
            .all(|tracks| tracks[0].class == ObjectClass::Car && tracks[0].smooth.class == ObjectClass::Car)
    );
    // Both at once are one thing too; a person in the same place is another.
    let both =
        vec![car(100.0), found(ObjectClass::Truck, 0.7, 102.0, 400.0), found(ObjectClass::Person, 0.7, 100.0, 400.0)];
    let looks = follow(&mut tracker, 0.1, &[both]);
    assert_eq!(ids(&looks[0]), [1, 2]);
    assert_eq!(looks[0][1].class, ObjectClass::Person);
}

#[test]
fn doubtful_boxes_keep_a_track_and_start_none() {
    let mut tracker = Tracker::default();
    let doubtful = |left| found(ObjectClass::Car, 0.15, left, 400.0);
    let looks = follow(&mut tracker, 0.1, &[vec![doubtful(900.0)], vec![doubtful(900.0)]]);
    assert!(looks.iter().all(Vec::is_empty));
    follow(&mut tracker, 0.1, &[vec![car(100.0)], vec![car(100.0)], vec![car(100.0)]]);
    let frames: Vec<_> = (0..20).map(|_| vec![doubtful(102.0), doubtful(900.0)]).collect();
    let looks = follow(&mut tracker, 0.1, &frames);
    assert!(looks.iter().all(|tracks| ids(tracks) == [1] && tracks[0].raw == Some(doubtful(102.0))));
}

#[test]
fn what_is_gone_is_forgotten_and_its_number_with_it() {
    let mut tracker = Tracker::default();
    follow(&mut tracker, 0.1, &[vec![car(100.0)], vec![car(100.0)], vec![car(100.0)]]);
    let looks = follow(&mut tracker, 0.1, &vec![vec![]; 30]);
    assert_eq!(ids(&looks[10]), [1], "for a while it may come back");
    assert!(looks[22].is_empty());
    let looks = follow(&mut tracker, 0.1, &[vec![car(100.0)], vec![], vec![], vec![], vec![], vec![], vec![], vec![]]);
    assert_eq!(ids(&looks[0]), [2]);
    assert!(looks[7].is_empty(), "seen once, it is soon forgotten");
    // After a long gap everything is new.
    follow(&mut tracker, 0.1, &[vec![car(100.0)], vec![car(100.0)], vec![car(100.0)]]);
    assert_eq!(ids(&follow(&mut tracker, 100.0, &[vec![car(100.0)]])[0]), [4]);
}

#[test]
fn what_drives_out_of_the_frame_is_forgotten_at_once() {
    let mut tracker = Tracker::default();
    let frames: Vec<_> = (0..8u8).map(|number| vec![car(1000.0 + 34.0 * f32::from(number))]).collect();
    follow(&mut tracker, 0.1, &frames);
    let looks = follow(&mut tracker, 0.1, &[vec![], vec![], vec![]]);
    assert!(looks[2].is_empty(), "{:?}", looks[2]);
}

#[test]
fn frames_out_of_order_or_twice_are_ignored_and_another_size_ends_all() {
    let settings = TrackerSettings::default();
    let mut tracker = Tracker::default();
    assert!(tracker.update(&settings, Mono(2_000), &[car(100.0)], FRAME));
    let before = tracker.clone();
    assert!(!tracker.update(&settings, Mono(2_000), &[car(500.0)], FRAME));
    assert!(!tracker.update(&settings, Mono(1_000), &[], (640, 360)));
    assert_eq!(tracker, before);
    assert!(tracker.update(&settings, Mono(3_000), &[car(100.0)], (1920, 1080)));
    assert_eq!(tracker.tracks().map(|track| track.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn other_things_are_followed_on_request_and_no_more_than_allowed() {
    let dog = found(ObjectClass::Other(16), 0.9, 100.0, 400.0);
    let mut tracker = Tracker::default();
    tracker.update(&TrackerSettings::default(), Mono(1), &[dog], FRAME);
    assert_eq!(tracker.tracks().len(), 0);
    let settings = TrackerSettings { others: true, most_tracks: 3, ..TrackerSettings::default() };
    let many: Vec<_> = (0..9u8).map(|number| Detection { left: 100.0 * f32::from(number), ..dog }).collect();
    tracker.update(&settings, Mono(2), &many, FRAME);
    assert_eq!(tracker.tracks().len(), 3);
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    let sound = TrackerSettings::default();
    assert_eq!(sound.fault(), None);
    assert_eq!(TrackerSettings { high_score: 1.5, ..sound }.fault().as_deref(), Some("high_score must be 0 to 1"));
    assert_eq!(TrackerSettings { forget_s: f32::NAN, ..sound }.fault().as_deref(), Some("forget_s must be 0 to 10"));
    assert!(TrackerSettings { most_tracks: 0, ..sound }.fault().is_some());
}

fn boxes() -> impl Strategy<Value = Vec<Detection>> {
    let class = prop_oneof![
        Just(ObjectClass::Car),
        Just(ObjectClass::Truck),
        Just(ObjectClass::Person),
        any::<u16>().prop_map(ObjectClass::from_coco),
    ];
    let found = (class, 0.0..1.0f32, -100.0..1300.0f32, 0.0..700.0f32, 5.0..300.0f32, 5.0..300.0f32);
    let found =
        found.prop_map(|(class, score, left, top, width, height)| Detection { class, score, left, top, width, height });
    proptest::collection::vec(found, 0..12)
}

fn any_box() -> impl Strategy<Value = Detection> {
    let odd = prop_oneof![
        any::<f32>(),
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(f32::MAX),
        Just(-1.0),
        0.0..1500.0f32,
        Just(0.5),
    ];
    (any::<u16>(), proptest::array::uniform5(odd)).prop_map(|(class, [score, left, top, width, height])| Detection {
        class: ObjectClass::from_coco(class % 9),
        score,
        left,
        top,
        width,
        height,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restored_tracker_goes_on_bit_for_bit(
        frames in proptest::collection::vec((boxes(), 1_000_000..700_000_000u64), 2..30), cut in 0..30usize,
    ) {
        let settings = TrackerSettings::default();
        let (mut whole, mut restored) = (Tracker::default(), Tracker::default());
        let mut at = Mono(0);
        for (number, (boxes, step)) in frames.iter().enumerate() {
            at.0 += step;
            if number == cut % frames.len() {
                let bytes = postcard::to_allocvec(&restored).expect("encoded");
                restored = postcard::from_bytes(&bytes).expect("decoded");
            }
            // The order of the boxes says nothing.
            let turned: Vec<_> = boxes.iter().rev().copied().collect();
            whole.update(&settings, at, boxes, FRAME);
            restored.update(&settings, at, &turned, FRAME);
            prop_assert_eq!(postcard::to_allocvec(&whole), postcard::to_allocvec(&restored));
        }
    }

    #[test]
    fn no_input_makes_it_panic(
        frames in proptest::collection::vec(
            (proptest::collection::vec(any_box(), 0..20), prop_oneof![0..500_000_000u64, any::<u64>()], 0..8u32), 1..10,
        ),
        odd in any::<f32>(), most_tracks in 0..100u32,
    ) {
        let settings = TrackerSettings { others: true, most_tracks, ..TrackerSettings::default() };
        let broken = TrackerSettings {
            high_score: odd, new_score: odd, low_score: odd, overlap: odd, low_overlap: odd, last_overlap: odd, grown: odd,
            duplicate_overlap: odd, forget_s: odd, forget_unconfirmed_s: odd, ..settings
        };
        let (mut tracker, mut other) = (Tracker::default(), Tracker::default());
        let mut last = 0;
        let mut at = 0u64;
        for (boxes, step, size) in frames {
            at = at.wrapping_add(step);
            let size = if size > 2 { FRAME } else { [FRAME, (0, 0), (u32::MAX, u32::MAX)][size as usize] };
            tracker.update(&settings, Mono(at), &boxes, size);
            other.update(&broken, Mono(at), &boxes, size);
            let ids: Vec<_> = tracker.tracks().map(|track| track.id).collect();
            prop_assert!(ids.len() <= most_tracks as usize && ids.is_sorted());
            for track in tracker.tracks() {
                let Detection { left, top, width, height, .. } = track.smooth;
                prop_assert!([left, top, width, height].iter().all(|number| number.is_finite()), "{:?}", track);
                prop_assert!(left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0, "{:?}", track);
                last = last.max(track.id);
            }
        }
        prop_assert!(last <= 200);
    }
}
