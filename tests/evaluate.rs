//! `waywarden evaluate` gives the figures that its labels and the app's own findings amount to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what is missing or wrong ends it")]

#[path = "support/program.rs"]
mod program;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use program::{data, folder, json, run, text};
use serde_json::Value;

/// The tiny models, in a config. The one that segments calls red drivable and green a line; the one that detects sees a
/// car in the middle of the picture, 19 by 19 of its 64 by 32 pixels, as sure as the picture is bright; of each picture that it
/// is given, so that it is given no second one.
fn config(folder: &Path, more: &str) -> PathBuf {
    let models = tiny_models::write(folder, &["segmentation", "detection"]);
    let models = models.replacen("[detection]\n", "[detection]\ncrop = \"none\"\n", 1);
    let path = folder.join("config.toml");
    std::fs::write(&path, format!("{models}\n{more}")).unwrap();
    path
}

fn put(path: &Path, picture: &RgbImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

fn grey(path: &Path, width: u32, height: u32, value: impl Fn(u32, u32) -> u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, y| Luma([value(x, y)])).save(path).unwrap();
}

/// The row with this figure of this part.
fn row<'a>(printed: &'a Value, data: &str, split: &str, what: &str) -> &'a Value {
    let rows = printed["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["data"] == data && row["split"] == split && row["what"] == what);
    found.unwrap_or_else(|| panic!("{data}, {split}: no {what} in {rows:#?}"))
}

fn close(row: &Value, expected: f64, by: f64) {
    let value = row["value"].as_f64().unwrap_or_else(|| panic!("{row}"));
    assert!((value - expected).abs() <= by, "{row}: expected {expected}");
}

/// Two drives of CamVid: in one, what is red is the road; in the other half of it. A white picture holds a car.
fn camvid(folder: &Path) -> PathBuf {
    let camvid = folder.join("camvid");
    let red = Rgb([255, 40, 40]);
    let bright = Rgb([255, 255, 255]);
    // The lower half is red: drivable. Labels say the same.
    let half = RgbImage::from_fn(128, 64, |_, y| if y < 32 { Rgb([0, 0, 0]) } else { red });
    put(&camvid.join("test/0001TP_1.png"), &half);
    grey(&camvid.join("testannot/0001TP_1.png"), 128, 64, |_, y| if y < 32 { 0 } else { 3 });
    // The right half of it is not labelled road: IoU one half.
    put(&camvid.join("train/0006R0_1.png"), &half);
    grey(&camvid.join("trainannot/0006R0_1.png"), 128, 64, |x, y| if y >= 32 && x < 64 { 3 } else { 0 });
    // Bright: the detector is sure of a car in the middle, where there is one; and everything is drivable and a line,
    // but nothing is labelled.
    put(&camvid.join("train/0006R0_2.png"), &RgbImage::from_pixel(128, 64, bright));
    grey(&camvid.join("trainannot/0006R0_2.png"), 128, 64, |x, y| match (x, y) {
        (46..82, 14..50) => 8,
        (100..120, 10..30) => 8,
        _ => 11,
    });
    camvid
}

#[test]
fn pictures_are_scored_through_the_whole_pipeline() {
    let folder = folder();
    let config = config(folder.path(), "");
    let camvid = camvid(folder.path());
    let printed = json(&["evaluate", "--camvid", text(&camvid), "--config", text(&config), "--json"]);
    let at = |split: &str, what: &str| row(&printed, "CamVid", split, what);
    // JPEG and the model's own small input blur edges.
    close(at("drive 0001TP", "road: IoU, drivable area"), 1.0, 0.05);
    // 64 x 32 of both over 128 x 32 of either, and 36 x 36 and 20 x 20 of the car's picture, which is all drivable.
    close(at("drive 0006R0", "road: IoU, drivable area"), 2048.0 / (4096.0 + 1296.0 + 400.0), 0.02);
    close(at("split test", "road: IoU, drivable area"), 1.0, 0.05);
    let all = at("all", "road: IoU, drivable area and lines");
    assert_eq!((&all["goal"]["at_least"], &all["quotable"]), (&0.84.into(), &true.into()));
    close(at("all", "vehicles: precision"), 1.0, 0.0);
    close(at("all", "vehicles: recall"), 0.5, 0.0);
    assert_eq!(
        (at("all", "vehicles: recall")["n"].as_u64(), at("all", "vehicles: precision")["n"].as_u64()),
        (Some(2), Some(1))
    );
    close(at("all", "gate: held back"), 0.0, 0.0);
    assert_eq!(at("all", "gate: held back")["n"], 3);
    assert_eq!(printed["conditions"]["virtual_latency_ms"]["detection"], 60);
    assert_eq!(printed["conditions"]["models"]["segmentation"]["Ok"], "tiny-lanes.onnx", "{}", printed["conditions"]);

    // With the gate off, or no latency, nothing may be quoted.
    let off = super_config(folder.path(), "[gate]\nthreshold = 0.0\n");
    let printed = json(&["evaluate", "--camvid", text(&camvid), "--config", text(&off), "--json"]);
    let recall = row(&printed, "CamVid", "all", "vehicles: recall");
    assert_eq!((&recall["quotable"], &recall["doubt"]), (&false.into(), &"gate off".into()));

    // For people: a table, and a page with the command.
    let table = run(&["evaluate", "--camvid", text(&camvid), "--config", text(&config)]);
    let table = String::from_utf8(table.stdout).unwrap();
    for part in ["virtual latency", "60 ms", "road: IoU, drivable area", "≥ 0.84"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let page = run(&["evaluate", "--camvid", text(&camvid), "--config", text(&config), "--markdown"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("    waywarden evaluate --camvid ") && page.contains("## CamVid"), "{page}");
}

/// The same config with other settings.
fn super_config(folder: &Path, more: &str) -> PathBuf {
    let other = folder.join("other");
    std::fs::create_dir_all(&other).unwrap();
    config(&other, more)
}

#[test]
fn lines_and_boxes_are_scored() {
    let folder = folder();
    let config = config(folder.path(), "");
    // A green line 40 px wide down the middle of a black picture; the label is 8 px wide, in its middle.
    let tusimple = folder.path().join("tusimple");
    let line =
        RgbImage::from_fn(1280, 720, |x, _| if (620..660).contains(&x) { Rgb([0, 255, 0]) } else { Rgb([0, 0, 0]) });
    put(&tusimple.join("image/0000.png"), &line);
    grey(&tusimple.join("gt_binary_image/0000.png"), 1280, 720, |x, _| if (636..644).contains(&x) { 255 } else { 0 });
    grey(&tusimple.join("gt_instance_image/0000.png"), 1280, 720, |x, _| if (636..644).contains(&x) { 20 } else { 0 });
    // The detector's car covers the middle of a bright picture, and the label is just that; another one is too far.
    let kitti = folder.path().join("kitti");
    put(&kitti.join("image_2/000000.png"), &RgbImage::from_pixel(320, 160, Rgb([255, 255, 255])));
    std::fs::create_dir_all(kitti.join("label_2")).unwrap();
    std::fs::create_dir_all(kitti.join("calib")).unwrap();
    let labels = "Car 0 0 0 112 32 208 128 1.5 1.6 4 0 1.6 30 1.57\nCar 0 0 0 0 0 20 50 1.5 1.6 4 -9 1.6 15 1.57\n";
    std::fs::write(kitti.join("label_2/000000.txt"), labels).unwrap();
    std::fs::write(kitti.join("calib/000000.txt"), "P2: 300 0 160 0 0 300 80 0 0 0 1 0\n").unwrap();
    // A label far from everything.
    let culane = folder.path().join("culane");
    let drive = culane.join("drive");
    std::fs::create_dir_all(&drive).unwrap();
    RgbImage::new(320, 160).save(drive.join("00000.jpg")).unwrap();
    std::fs::write(drive.join("00000.lines.txt"), "10 160 20 100 30 80\n").unwrap();

    let printed = json(&[
        "evaluate",
        "--tusimple",
        text(&tusimple),
        "--kitti",
        text(&kitti),
        "--culane",
        text(&culane),
        "--config",
        text(&config),
        "--json",
    ]);
    let at = |data: &str, what: &str| row(&printed, data, "all", what);
    // 20 px wide at 640: 16 of them are within 6 px of the 4 labelled ones. The model's mask has blocks of 10 px.
    close(at("TuSimple", "line pixels, ±6 px: recall"), 1.0, 0.0);
    close(at("TuSimple", "line pixels, ±6 px: precision"), 0.8, 0.2);
    close(at("KITTI", "vehicles, easy: AP50"), 51.0 / 101.0, 1e-9);
    close(at("KITTI", "vehicles, moderate: recall"), 0.5, 0.0);
    close(at("KITTI", "vehicles, 20 to 40 m: recall"), 1.0, 0.0);
    close(at("KITTI", "vehicles, 0 to 20 m: recall"), 0.0, 0.0);
    assert_eq!(at("KITTI", "people, easy: AP50")["doubt"], "nothing to measure");
    let missed = at("CULane", "lines 30 px wide, IoU > 0.5, the two ego lines against all: recall");
    close(missed, 0.0, 0.0);
    assert_eq!(missed["n"], 1);
}

#[test]
fn a_simulated_drive_is_scored_against_its_truth() {
    let folder = folder();
    let camera = "[[camera]]\nwidth = 640\nheight = 384\nfps = 10.0\n";
    let config = config(folder.path(), camera);
    let printed = json(&[
        "evaluate",
        "--simulate",
        "hard-braking",
        "--seeds",
        "1-2",
        "--duration",
        "4",
        "--config",
        text(&config),
        "--json",
    ]);
    let at = |split: &str, what: &str| row(&printed, "simulated: hard-braking", split, what);
    let (all, one) = (at("all seeds", "vehicles: recall"), at("seed 1", "vehicles: recall"));
    assert!(all["n"].as_u64().unwrap() > one["n"].as_u64().unwrap() && one["n"].as_u64().unwrap() > 0, "{all} {one}");
    let held = at("all seeds", "gate: held back");
    assert!(held["n"].as_u64().unwrap() >= 70 && held["value"].as_f64().is_some(), "{held}");
    let lane = at("all seeds", "lane claimed, of the frames looked at");
    assert!(lane["n"].as_u64().unwrap() > 0, "{lane}");
    let wrong = at("seed 2", "all warnings: false");
    assert!(wrong["value"].as_f64().is_some(), "{wrong}");
    // The model of this test knows nothing of roads: what follows from its boxes says nothing of them.
    let found = all["value"].as_f64().unwrap();
    assert!(found < 0.8 && wrong["doubt"].as_str().is_some_and(|doubt| doubt.contains("the model finds")), "{wrong}");
    assert!(all["interval"].is_array() && one["interval"].is_null(), "{all} {one}");
}

#[test]
fn what_is_broken_is_named_once_with_its_line() {
    let folder = folder();
    let camvid = camvid(folder.path());
    let failed = |args: &[&str]| {
        let output = run(&[&["evaluate"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let label = camvid.join("trainannot/0006R0_2.png");
    grey(&label, 128, 64, |_, _| 200);
    let error = failed(&["--camvid", text(&camvid)]);
    assert!(error.contains("0006R0_2.png: has the value 200") && error.contains("hint: "), "{error}");
    assert_eq!(error.matches("error: ").count(), 1, "{error}");

    let kitti = folder.path().join("kitti");
    put(&kitti.join("image_2/1.png"), &RgbImage::new(8, 8));
    std::fs::create_dir_all(kitti.join("label_2")).unwrap();
    std::fs::write(kitti.join("label_2/1.txt"), "\nCar 1 2\n").unwrap();
    let error = failed(&["--kitti", text(&kitti)]);
    assert!(error.contains("1.txt, line 2: has 3 columns"), "{error}");

    let empty = folder.path().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    for flag in ["--camvid", "--tusimple", "--culane", "--kitti"] {
        assert!(failed(&[flag, text(&empty)]).contains("holds no labelled pictures"), "{flag}");
        assert!(failed(&[flag, "/no/such/folder"]).contains("/no/such/folder"), "{flag}");
    }
    assert!(failed(&["--simulate", "no-such-scenario"]).contains("no-such-scenario"));
    failed(&["--video", "no-such-video.mp4"]);
    failed(&["--json"]);
}

/// On real pictures, every sixth of them, for time: the figures of the models' own reference, less what JPEG and the gate
/// take.
#[test]
fn real_pictures_give_what_the_models_are_known_for() {
    let (Some(labelled), Some(models)) = (data("data/labelled"), data("models")) else { return };
    let folder = folder();
    let few = folder.path().join("camvid");
    for part in ["test", "testannot", "train", "trainannot"] {
        std::fs::create_dir_all(few.join(part)).unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(labelled.join("camvid").join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().step_by(6) {
            std::fs::copy(file, few.join(part).join(file.file_name().unwrap())).unwrap();
        }
    }
    let tusimple = labelled.join("tusimple");
    let printed =
        json(&["evaluate", "--camvid", text(&few), "--tusimple", text(&tusimple), "--models", text(&models), "--json"]);
    let value = |data: &str, what: &str| {
        let row = row(&printed, data, "all", what);
        println!("{data}, {what}: {} {} of {} {}", row["value"], row["interval"], row["n"], row["of"]);
        row["value"].as_f64().unwrap()
    };
    assert!(value("CamVid", "road: IoU, drivable area") >= 0.84);
    assert!(value("CamVid", "road: IoU, drivable area and lines") >= 0.86);
    assert!(value("CamVid", "vehicles: recall") >= 0.75);
    assert!(value("CamVid", "vehicles: precision") >= 0.9);
    assert!(value("TuSimple", "line pixels, ±6 px: precision") >= 0.87);
    assert!(value("TuSimple", "line pixels, ±6 px: recall") >= 0.6);
}
