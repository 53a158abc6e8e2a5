//! Tests of what is made of pictures, and of a camera that is not there.

use std::sync::Arc;

use super::*;
use crate::camera::jpeg::{decode_rgb, thumbnail};
use crate::ingress::{channel, wake};
use crate::supervisor::{Supervisor, SupervisorSettings, Task};

fn layout(format: PictureFormat) -> Layout {
    Layout { format, width: 64, height: 48, stride: 160, range: Range::Limited }
}

fn picture(bytes: &[u8], damaged: bool) -> Picture<'_> {
    Picture { bytes, captured: Mono(1), damaged, left_over: false }
}

fn jpeg(side: usize) -> Bytes {
    let pixels: Vec<u8> = (0..side * side * 3).map(|n| (n % 251) as u8).collect();
    JpegEncoder::new().unwrap().rgb(&pixels, side, side).unwrap()
}

#[test]
fn jpegs_are_passed_on_as_they_are_at_their_own_length() {
    let mut maker = Maker::new(layout(PictureFormat::Mjpeg)).unwrap();
    let (new, old) = (jpeg(32), jpeg(200));
    let mut buffer = old.to_vec();
    buffer[..new.len()].copy_from_slice(&new);
    assert_eq!(maker.jpeg(&picture(&buffer, false)), new);
    assert_eq!(maker.jpeg(&picture(&new, false)), new);
}

#[test]
fn what_is_broken_is_passed_on_and_cannot_be_taken_for_a_picture() {
    let mut maker = Maker::new(layout(PictureFormat::Mjpeg)).unwrap();
    let whole = jpeg(64);
    let half = &whole[..whole.len() / 2];
    assert_eq!(maker.jpeg(&picture(half, false)), half);
    assert_eq!(maker.jpeg(&picture(b"noise", false)), b"noise"[..]);
    assert_eq!(maker.jpeg(&picture(b"", false)), Bytes::new());
    let damaged = maker.jpeg(&picture(&whole, true));
    assert_eq!(damaged, whole[..whole.len() - 2]);
    for broken in [half, b"noise", b"", &damaged] {
        assert!(thumbnail(broken).is_err(), "{} bytes", broken.len());
    }
    let mut maker = Maker::new(layout(PictureFormat::Raw(RawFormat::Yuyv))).unwrap();
    let raw = [128, 128].repeat(80 * 48);
    assert!(maker.jpeg(&picture(&raw[1..], false)).is_empty());
    assert!(maker.jpeg(&picture(&raw, true)).is_empty());
    assert!(!maker.jpeg(&picture(&raw, false)).is_empty());
}

#[test]
fn raw_pictures_become_jpegs() {
    let mut maker = Maker::new(layout(PictureFormat::Raw(RawFormat::Yuyv))).unwrap();
    let jpeg = maker.jpeg(&picture(&[235, 128].repeat(80 * 48), false));
    let white = decode_rgb(&jpeg).unwrap();
    assert_eq!((white.width, white.height), (64, 48));
    assert!(white.data.iter().all(|&value| value >= 253), "the limited range's white is white");
}

#[test]
fn slow_cameras_are_given_ten_pictures_of_silence_and_fast_ones_a_second() {
    assert_eq!(pace(30.0).silence, Duration::from_secs(1));
    assert_eq!(pace(5.0).silence, Duration::from_secs(2));
    assert_eq!(pace(0.0).silence, Duration::from_secs(1));
}

#[test]
fn formats_are_known_by_their_codes() {
    for format in PictureFormat::ALL {
        assert_eq!(PictureFormat::from_fourcc(format.fourcc()), Some(format));
    }
    assert_eq!(PictureFormat::from_fourcc(*b"H264"), None);
}

#[test]
fn a_camera_that_is_not_there_is_waited_for() {
    let wanted = Wanted { format: None, width: 640, height: 480, fps: 30.0 };
    let driver = Arc::new(V4l2Camera { address: "/dev/video-that-nobody-has".to_owned(), wanted });
    let (wake, _sleeper) = wake();
    let (outlet, inlet) = channel(StreamId(1), 4, DropPolicy::KeepNewest, wake);
    let task = Task { name: "front".to_owned(), driver, outlet };
    let supervisor = Supervisor::start(vec![task], SupervisorSettings::default()).unwrap();
    let begin = crate::clock::boottime();
    let why = loop {
        assert!(crate::clock::boottime().since(begin) < Duration::from_secs(30), "it never said that it is not there");
        let lost = inlet.drain().into_iter().find_map(|delivery| match delivery.payload {
            Payload::Link(LinkState::Lost(why)) => Some(why),
            _ => None,
        });
        if let Some(why) = lost {
            break why;
        }
        std::thread::yield_now();
    };
    assert!(why.contains("there is no /dev/video-that-nobody-has"), "{why}");
    assert!(supervisor.stop(Duration::from_secs(5)).is_empty());
}
