use tokio::sync::mpsc::{Receiver, channel};

use super::*;
use crate::camera::jpeg::{RgbPicture, encode_rgb};
use crate::clock::boottime;

const SETTINGS: StudioSettings = StudioSettings { most_bps: 1_000_000, most_fps: 30.0, most_rows: 720 };

fn frame(n: u64) -> FrameScene {
    let data = (0..320 * 240).flat_map(|at: u64| [(at % 320 + 5 * n) as u8, (at / 320) as u8, 90]).collect();
    let jpeg = encode_rgb(&RgbPicture { width: 320, height: 240, data }, 85).unwrap();
    let (id, captured) = (StableId::new(StreamId(1), n), Mono(n * 33_000_000));
    FrameScene { id, captured, frame: Frame { jpeg } }
}

fn enter(studio: &Studio, session: u64, bps: u32, room: usize) -> (Receiver<Arc<Picture>>, Arc<Gauges>) {
    let (sink, pictures) = channel(room);
    let gauges = Arc::<Gauges>::default();
    gauges.target_bps.store(bps, Ordering::Relaxed);
    studio.enter(session, sink, gauges.clone(), false);
    (pictures, gauges)
}

/// The next picture.
fn received(pictures: &mut Receiver<Arc<Picture>>) -> Option<Arc<Picture>> {
    let begin = boottime();
    while boottime().since(begin) < Duration::from_secs(10) {
        if let Ok(picture) = pictures.try_recv() {
            return Some(picture);
        }
        std::thread::yield_now();
    }
    None
}

/// Whether a picture begins with the parameters that only one that stands alone has.
fn stands_alone(picture: &Picture) -> bool {
    picture.payloads[0][0] & 0x1f == 24
}

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter(|task| {
            std::fs::read_to_string(task.as_ref().unwrap().path().join("comm"))
                .is_ok_and(|name| name.trim() == "video-of-test")
        })
        .count()
}

#[test]
fn all_who_watch_get_the_same_pictures_and_nobody_works_for_nobody() {
    let studio = Studio::new("of-test".to_owned(), SETTINGS);
    studio.give(frame(0));
    assert_eq!(threads(), 0);
    let (mut first, _) = enter(&studio, 1, 1_000_000, 8);
    let (mut second, _) = enter(&studio, 2, 1_000_000, 8);
    let mut alone = Vec::new();
    for n in 1..20 {
        studio.give(frame(n));
        let (one, other) = (received(&mut first).unwrap(), received(&mut second).unwrap());
        assert!(Arc::ptr_eq(&one, &other), "encoded once");
        assert_eq!(one.captured, Mono(n * 33_000_000));
        if stands_alone(&one) {
            alone.push(n);
        }
        if n == 10 {
            studio.order_keyframe(2);
        }
    }
    assert_eq!(alone, [1, 11]);
    // Who gets smaller ones gets others.
    studio.show(2, PictureSize::Small);
    for n in 20..24 {
        studio.give(frame(n));
        received(&mut first).unwrap();
    }
    let small = received(&mut second).unwrap();
    assert!(stands_alone(&small));
    assert_eq!(threads(), 1);
    studio.leave(1);
    studio.leave(2);
    let begin = boottime();
    while threads() > 0 {
        assert!(boottime().since(begin) < Duration::from_secs(10), "it goes on for nobody");
        std::thread::yield_now();
    }
}

#[test]
fn who_is_too_slow_gets_one_that_stands_alone_when_there_is_room_again() {
    let studio = Studio::new("slow".to_owned(), SETTINGS);
    let (mut slow, _) = enter(&studio, 1, 1_000_000, 1);
    let (mut other, _) = enter(&studio, 2, 1_000_000, 64);
    for n in 1..6 {
        studio.give(frame(n));
        received(&mut other).unwrap();
    }
    assert!(stands_alone(&received(&mut slow).unwrap()));
    for n in 6..9 {
        studio.give(frame(n));
        received(&mut other).unwrap();
    }
    assert!(stands_alone(&received(&mut slow).unwrap()), "not one that goes on from what was lost");
    studio.leave(1);
    studio.leave(2);
}

#[test]
fn nothing_is_encoded_for_a_link_that_is_backed_up() {
    let studio = Studio::new("backed-up".to_owned(), SETTINGS);
    let (mut pictures, gauges) = enter(&studio, 1, 1_000_000, 8);
    gauges.waiting_us.store(400_000, Ordering::Relaxed);
    // When the second is taken, the first is done with.
    for n in 1..3 {
        studio.give(frame(n));
        while studio.0.inside().frame.is_some() {
            std::thread::yield_now();
        }
    }
    gauges.waiting_us.store(0, Ordering::Relaxed);
    studio.give(frame(3));
    assert!(received(&mut pictures).unwrap().captured >= frame(2).captured);
    studio.leave(1);
}
