//! `waywarden bench` runs a folder of pictures, sound and sentences through the program, drops nothing where nothing may be
//! dropped, does the work of others where that is asked for, and says all that they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::fmt::Write;
use std::path::Path;

use program::{folder, json, run, text};
use serde_json::Value;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};
use waywarden_systems::camera::jpeg::{RgbPicture, decode_rgb, encode_rgb};

const FRAMES: usize = 45;
const FPS: usize = 15;
const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// A bar that moves in the middle third of the session, over a pattern.
fn picture(n: usize) -> Vec<u8> {
    let bar = n.clamp(FRAMES / 3, 2 * FRAMES / 3) * 7 % WIDTH;
    let pixel = |x: usize, y: usize| {
        if x.abs_diff(bar) < 40 {
            [250, 240, 30]
        } else {
            [(x * y % 97) as u8, (x * 3 % 251) as u8, (y * 5 % 241) as u8]
        }
    };
    (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| pixel(x, y))).collect()
}

/// The JPEGs of a session that is written to `folder`.
fn session(folder: &Path) -> Vec<Vec<u8>> {
    std::fs::create_dir_all(folder.join("frames")).unwrap();
    std::fs::write(folder.join("session.json"), format!("{{\"fps\": {FPS}}}")).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(folder.join("audio.wav"), spec).unwrap();
    (0..16_000 * FRAMES / FPS).for_each(|n| wav.write_sample((n % 50) as i16 * 20).unwrap());
    wav.finalize().unwrap();
    let mut lines = String::new();
    for tenth in 0..10 * FRAMES / FPS {
        let (time, place) = (format!("0800{:02}.{}0", tenth / 10, tenth % 10), "2101.71000,N,10551.25200,E");
        for body in [
            format!("GNGGA,{time},{place},1,10,0.9,12.0,M,-28.0,M,,"),
            format!("GNRMC,{time},A,{place},12.00,40.00,140326,,,A"),
        ] {
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            write!(lines, "${body}*{sum:02X}\r\n").unwrap();
        }
    }
    std::fs::write(folder.join("gps.nmea"), lines).unwrap();
    (0..FRAMES)
        .map(|n| {
            let picture = RgbPicture { width: WIDTH as u32, height: HEIGHT as u32, data: picture(n) };
            let jpeg = encode_rgb(&picture, 85).unwrap().to_vec();
            std::fs::write(folder.join(format!("frames/{n:06}.jpg")), &jpeg).unwrap();
            jpeg
        })
        .collect()
}

/// A whole picture squeezed to 64x64 by the definition of linear interpolation between the middles of pixels.
fn squeezed(picture: &RgbPicture) -> Vec<f64> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let at = |x: usize, y: usize, colour: usize| f64::from(picture.data[3 * (y * width + x) + colour]);
    let place = |n: usize, of: usize| {
        let middle = (n as f64 + 0.5) * of as f64 / 64.0 - 0.5;
        let low = middle.floor().max(0.0);
        (low as usize, (low as usize + 1).min(of - 1), middle - low)
    };
    let mut small = Vec::new();
    for y in 0..64 {
        let (top, bottom, down) = place(y, height);
        for x in 0..64 {
            let (left, right, across) = place(x, width);
            for colour in 0..3 {
                let row = |y| at(left, y, colour) * (1.0 - across) + at(right, y, colour) * across;
                small.push((row(top) * (1.0 - down) + row(bottom) * down).round());
            }
        }
    }
    small
}

fn gates(jpegs: &[Vec<u8>]) -> Vec<f64> {
    let small: Vec<_> = jpegs.iter().map(|jpeg| squeezed(&decode_rgb(jpeg).unwrap())).collect();
    let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64;
    std::iter::once(255.0).chain(small.windows(2).map(|pair| difference(&pair[0], &pair[1]))).collect()
}

/// Every field that other programs have is there, and what came in is accounted for.
fn whole(said: &Value) {
    for field in ["wall_s", "throughput_fps", "cpu_s", "cpu_s_main", "cpu_s_worker", "cpu_ms_per_frame"] {
        assert!(said[field].is_f64(), "{field}: {said}");
    }
    for field in ["page_faults_per_frame", "peak_rss_mb", "pss_mb_at_end"] {
        assert!(said[field].is_f64(), "{field}: {said}");
    }
    let stages = ["gate", "lane_jpeg", "obstacle_jpeg", "vad", "gps_fix", "mqtt_frame", "mqtt_frame_sent"];
    for stage in stages {
        let late = &said["latency_ms"][stage];
        for field in ["n", "missing", "p50", "p95", "p99", "max"] {
            assert!(late.get(field).is_some(), "{stage}.{field}: {said}");
        }
    }
    for field in ["p50", "p99", "max"] {
        assert!(said["heartbeat_late_ms"][field].is_number(), "{said}");
    }
    assert!(said["environment"]["other_cpu_cores"].is_f64() && said["stage_drops"].is_object(), "{said}");
    let count = |value: &Value| value.as_u64().unwrap();
    assert_eq!(count(&said["frames_in"]), count(&said["frames_processed"]) + count(&said["frames_dropped"]), "{said}");
    let by: u64 = said["dropped_by"].as_object().unwrap().values().map(count).sum();
    assert_eq!(by, count(&said["frames_dropped"]), "{said}");
    assert_eq!((&said["system"], &said["nmea_errors"]), (&"rust".into(), &0.into()));
}

#[test]
fn at_full_speed_nothing_is_dropped_and_the_cameras_own_jpegs_are_passed_on() {
    let dir = folder();
    let jpegs = session(dir.path());
    let details = dir.path().join("details.json");
    let said = json(&["bench", text(dir.path()), "0", "--details", text(&details)]);
    whole(&said);
    assert_eq!((&said["frames_processed"], &said["frames_dropped"]), (&FRAMES.into(), &0.into()), "{said}");
    assert_eq!(said["check"]["gps_fixes"], 20 * FRAMES / FPS, "{said}");
    assert_eq!(
        (&said["check"]["vad_chunks"], &said["mqtt_errors"]),
        (&(50 * FRAMES / FPS).into(), &0.into()),
        "{said}"
    );
    assert_eq!(said["latency_ms"]["mqtt_frame_sent"]["n"], FRAMES, "every message came to the broker: {said}");
    let details: Value = serde_json::from_str(&std::fs::read_to_string(details).unwrap()).unwrap();
    let passed = details["jpegs"].as_array().unwrap();
    for jpeg in passed {
        assert_eq!(jpeg[1], jpegs[jpeg[0].as_u64().unwrap() as usize].len());
    }
    // Those that moved and every tenth, and not all of them.
    assert!(passed.len() > FRAMES / 10 && passed.len() < FRAMES, "{details}");
    assert_eq!(said["jpegs"], passed.len());
}

#[test]
fn the_same_work_gives_the_same_results() {
    let dir = folder();
    let jpegs = session(dir.path());
    let details = dir.path().join("details.json");
    let said = json(&["bench", text(dir.path()), "0", "--same-work", "--details", text(&details)]);
    whole(&said);
    assert_eq!((&said["frames_processed"], &said["frames_dropped"]), (&FRAMES.into(), &0.into()), "{said}");
    let details: Value = serde_json::from_str(&std::fs::read_to_string(details).unwrap()).unwrap();
    let wanted = gates(&jpegs);
    let found: Vec<f64> = details["gates"].as_array().unwrap().iter().map(|gate| gate[1].as_f64().unwrap()).collect();
    assert_eq!(found.len(), FRAMES);
    for (n, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((found - wanted).abs() < 0.5, "picture {n}: {found}, not {wanted}");
    }
    let encoded: Vec<usize> = (0..FRAMES).filter(|&n| wanted[n] > 3.0 || n % 10 == 0).collect();
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(80).unwrap();
    compressor.set_subsamp(Subsamp::Sub2x2).unwrap();
    let bytes: usize = encoded
        .iter()
        .map(|&n| {
            let RgbPicture { width, height, data } = decode_rgb(&jpegs[n]).unwrap();
            let (width, height) = (width as usize, height as usize);
            let image = Image { pixels: &data[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
            compressor.compress_to_vec(image).unwrap().len()
        })
        .sum();
    assert_eq!(said["jpegs"], encoded.len(), "{said}");
    let found = said["check"]["jpeg_bytes"].as_f64().unwrap();
    assert!((found / bytes as f64 - 1.0).abs() < 0.02, "{found} bytes, not {bytes}");
}

#[test]
fn in_real_time_what_is_late_is_counted() {
    let dir = folder();
    session(dir.path());
    let said = json(&["bench", text(dir.path()), "2", "--cameras", "2"]);
    whole(&said);
    assert_eq!(said["frames_in"], 2 * FRAMES, "{said}");
    assert!(said["wall_s"].as_f64() >= Some(1.4), "{said}");
    assert!(said["heartbeat_late_ms"]["n"].as_u64() >= Some(100), "every deadline counts: {said}");
}

#[test]
fn what_is_no_session_is_refused() {
    let dir = folder();
    let output = run(&["bench", text(dir.path()), "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("session.json"));
    assert_eq!(run(&["bench", text(dir.path()), "-1"]).status.code(), Some(2));
}
