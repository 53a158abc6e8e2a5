//! The models see through the app's own preparation and decoding what they see in their reference.
//!
//! Labelled pictures, losslessly stored, and the models are looked for in `$WAYWARDEN_DATA` (default: `shared` beside
//! the checkout). The floors are just below what the same networks give in ONNX Runtime with OpenCV's resizing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it, figures are printed"
)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use image::GrayImage;
use waywarden::config::Config;
use waywarden_components::geometry::CameraGeometry;
use waywarden_components::job::{Crop, JobOutput, JobRole, Look};
use waywarden_components::perception::{Detection, Mask, RoadMasks};
use waywarden_systems::camera::jpeg::{QUALITY, RgbPicture, encode_rgb};
use waywarden_systems::inference::Inference;
use waywarden_systems::inference::engine::{Engine, OnnxRuntime, onnxruntime};
use waywarden_systems::models::{self, Manifest};
use waywarden_systems::obstacles::crop::around_vanishing_point;

/// Classes of the CamVid labels (SegNet's 11).
mod label {
    pub const ROAD: u8 = 3;
    pub const CAR: u8 = 8;
    pub const VOID: u8 = 11;
}

/// The folder with data and models, if it is there.
fn data() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("WAYWARDEN_DATA").map_or_else(default, PathBuf::from);
    let found = folder.join("data/labelled").is_dir() && folder.join("models").is_dir();
    if !found {
        println!("skipped: no data at {}", folder.display());
    }
    found.then_some(folder)
}

/// Every engine that is here.
fn engines() -> Vec<Engine> {
    let places = onnxruntime::places();
    let library = places.iter().find(|place| place.is_file());
    if library.is_none() {
        println!("skipped: ONNX Runtime, which is not at {places:?}; script/bootstrap --onnxruntime gets it");
    }
    let library = library.map(|place| Engine::OnnxRuntime(OnnxRuntime::open(place).unwrap()));
    [Engine::Rten].into_iter().chain(library).collect()
}

fn model(data: &Path, name: &str, engine: &Engine, threads: usize) -> Box<dyn Inference> {
    let manifest = Manifest::built_in().unwrap();
    let entry = manifest.models.iter().find(|model| model.name == name).unwrap();
    let path = entry.locate(&[data.join("models")]).unwrap();
    models::load(entry, &path, engine, threads).unwrap()
}

fn picture(path: &Path) -> RgbPicture {
    let rgb = image::open(path).unwrap().into_rgb8();
    RgbPicture { width: rgb.width(), height: rgb.height(), data: rgb.into_raw() }
}

fn grey(path: &Path) -> GrayImage {
    image::open(path).unwrap().into_luma8()
}

fn pngs(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    files.sort();
    files
}

/// Pictures of CamVid and their labels.
fn camvid(data: &Path) -> Vec<(RgbPicture, GrayImage)> {
    let folder = data.join("data/labelled/camvid");
    let pairs: Vec<_> = ["test", "train"]
        .into_iter()
        .flat_map(|part| pngs(&folder.join(part)).into_iter().map(move |file| (part, file)))
        .map(|(part, file)| {
            let labels = folder.join(format!("{part}annot")).join(file.file_name().unwrap());
            (picture(&file), grey(&labels))
        })
        .collect();
    assert_eq!(pairs.len(), 57);
    pairs
}

fn masks(model: &dyn Inference, picture: &RgbPicture) -> RoadMasks {
    match model.infer_rgb(picture, None).unwrap() {
        JobOutput::Segmentation(masks) => masks,
        other => panic!("{other:?}"),
    }
}

fn boxes(model: &dyn Inference, picture: &RgbPicture, crop: Option<Crop>) -> Vec<Detection> {
    match model.infer_rgb(picture, crop).unwrap() {
        JobOutput::Detections(boxes) => boxes,
        other => panic!("{other:?}"),
    }
}

/// A mask at the size of a picture, by nearest neighbour.
fn at_size(mask: &Mask, width: u32, height: u32) -> Vec<bool> {
    let pixels = mask.decode();
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| pixels[(y * mask.height / height * mask.width + x * mask.width / width) as usize] == 1)
        .collect()
}

/// Intersection over union of drivable area and labelled road over all pictures, unlabelled pixels left out.
fn road_iou(model: &dyn Inference, pictures: &[(RgbPicture, GrayImage)]) -> f64 {
    let (mut both, mut either) = (0u64, 0u64);
    for (picture, labels) in pictures {
        let drivable = at_size(&masks(model, picture).drivable, labels.width(), labels.height());
        for (seen, &label) in drivable.into_iter().zip(labels.as_raw()) {
            let road = label == label::ROAD;
            both += u64::from(seen && road);
            either += u64::from((seen || road) && label != label::VOID);
        }
    }
    both as f64 / either as f64
}

#[test]
fn twinlitenet_finds_the_road() {
    let Some(data) = data() else { return };
    let pictures = camvid(&data);
    for engine in engines() {
        let iou = road_iou(&*model(&data, "twinlitenet", &engine, 2), &pictures);
        println!("TwinLiteNet on {}, 57 CamVid frames: road IoU {iou:.4} (reference 0.865)", engine.name());
        assert!(iou >= 0.86);
    }
}

/// Pixels of `of` within 6 pixels sideways of one of `near`, and all of `of`; in rows of `width`.
fn hits(of: &[bool], near: &[bool], width: usize) -> (u64, u64) {
    let (mut hit, mut all) = (0, 0);
    for (of, near) in of.chunks_exact(width).zip(near.chunks_exact(width)) {
        for (x, _) in of.iter().enumerate().filter(|(_, white)| **white) {
            all += 1;
            hit += u64::from(near[x.saturating_sub(6)..(x + 7).min(width)].contains(&true));
        }
    }
    (hit, all)
}

/// Precision and recall of lane pixels at 640x360 below row 120.
fn lane_pixels(model: &dyn Inference, data: &Path) -> (f64, f64) {
    const WIDTH: usize = 640;
    let folder = data.join("data/labelled/tusimple");
    let files = pngs(&folder.join("image"));
    assert_eq!(files.len(), 3);
    let (mut right, mut found) = ((0, 0), (0, 0));
    for file in files {
        let seen = at_size(&masks(model, &picture(&file)).lines, 640, 360);
        let labels = grey(&folder.join("gt_binary_image").join(file.file_name().unwrap()));
        let drawn: Vec<bool> = (0..360 * 640).map(|i| labels.get_pixel(i % 640 * 2, i / 640 * 2)[0] > 0).collect();
        let (seen, drawn) = (&seen[120 * WIDTH..], &drawn[120 * WIDTH..]);
        let add = |sum: &mut (u64, u64), (hit, all)| *sum = (sum.0 + hit, sum.1 + all);
        add(&mut right, hits(seen, drawn, WIDTH));
        add(&mut found, hits(drawn, seen, WIDTH));
    }
    (right.0 as f64 / right.1 as f64, found.0 as f64 / found.1 as f64)
}

#[test]
fn twinlitenet_finds_the_lines() {
    let Some(data) = data() else { return };
    for engine in engines() {
        let (precision, recall) = lane_pixels(&*model(&data, "twinlitenet", &engine, 2), &data);
        let name = engine.name();
        println!(
            "TwinLiteNet on {name}, 3 TuSimple frames: precision {precision:.4} recall {recall:.4} (reference 0.911, 0.665)"
        );
        assert!(precision >= 0.90 && recall >= 0.65);
    }
}

/// Letterboxed, with the padding cut off; stretched it would paint lines along the edges.
#[test]
fn twinlitenet_plus_finds_road_and_lines() {
    let Some(data) = data() else { return };
    // Every sixth picture, for time; the reference is of the same ones.
    let pictures: Vec<_> = camvid(&data).into_iter().step_by(6).collect();
    for (name, floors, reference) in [
        ("twinlitenet_plus_nano", (0.77, 0.75, 0.57), "0.777, 0.765, 0.587"),
        ("twinlitenet_plus_small", (0.78, 0.85, 0.60), "0.787, 0.861, 0.613"),
    ] {
        for engine in engines() {
            let model = model(&data, name, &engine, 2);
            let iou = road_iou(&*model, &pictures);
            let (precision, recall) = lane_pixels(&*model, &data);
            let engine = engine.name();
            println!("{name} on {engine}: road IoU {iou:.4} lines {precision:.4} {recall:.4} (reference {reference})");
            assert!(iou >= floors.0 && precision >= floors.1 && recall >= floors.2, "{name}");
        }
    }
}

/// Connected blobs (8 neighbours) of cars with 200 pixels or more, as pixel numbers.
fn car_blobs(labels: &GrayImage) -> Vec<Vec<usize>> {
    let (width, height) = (labels.width() as usize, labels.height() as usize);
    let mut cars: Vec<bool> = labels.as_raw().iter().map(|&label| label == label::CAR).collect();
    let mut blobs = Vec::new();
    for start in 0..cars.len() {
        if !std::mem::take(&mut cars[start]) {
            continue;
        }
        let (mut blob, mut queue) = (Vec::new(), VecDeque::from([start]));
        while let Some(at) = queue.pop_front() {
            blob.push(at);
            let (x, y) = (at % width, at / width);
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    if std::mem::take(&mut cars[ny * width + nx]) {
                        queue.push_back(ny * width + nx);
                    }
                }
            }
        }
        if blob.len() >= 200 {
            blobs.push(blob);
        }
    }
    blobs
}

#[test]
fn yolox_finds_the_cars() {
    let Some(data) = data() else { return };
    let pictures = camvid(&data);
    for engine in engines() {
        let (recall, precision) = cars_found(&*model(&data, "yolox_nano", &engine, 2), &pictures, None);
        let name = engine.name();
        println!("YOLOX-nano on {name}: recall {recall:.4} precision {precision:.4} (reference 0.899, 0.945)");
        assert!(recall >= 0.89 && precision >= 0.93);
    }
}

/// The floors are just below what ONNX Runtime gives in Python behind OpenCV's `INTER_LINEAR`, with the same decoding.
#[test]
fn the_small_detectors_find_the_cars() {
    let Some(data) = data() else { return };
    let pictures = camvid(&data);
    for (name, floor, reference) in [
        ("nanodet_m", 0.89, "0.884, 0.912, F1 0.898; with another way of resizing F1 0.895"),
        ("fastestdet", 0.825, "0.862, 0.806, F1 0.833; with another way of resizing F1 0.822"),
    ] {
        for engine in engines() {
            let (recall, precision) = cars_found(&*model(&data, name, &engine, 2), &pictures, None);
            let f1 = 2.0 * recall * precision / (recall + precision);
            let engine = engine.name();
            println!(
                "{name} on {engine}: recall {recall:.4} precision {precision:.4} F1 {f1:.4} (reference {reference})"
            );
            assert!(f1 >= floor, "{name} on {engine}");
        }
    }
}

/// The whole frame and the square around the vanishing point, with the defaults of the config. Its size, the least score and
/// that of support were chosen with all figures in sight, mostly by `train`, where they are worth 0.922 at 0.950 in ONNX
/// Runtime; in `test`, which is easy, all is found. Both hold frames of one of the two drives. Moved by a few pixels, the square finds two cars more or fewer of the 138. Of CamVid's camera
/// nothing is known: it is taken for a level one.
#[test]
fn a_second_look_finds_more_cars() {
    let Some(data) = data() else { return };
    let pictures = camvid(&data);
    let defaults = Config::default().detection;
    for engine in engines() {
        let model = detector(&data, &engine, defaults.score as f32);
        let name = engine.name();
        let size = (pictures[0].0.width, pictures[0].0.height);
        let crop = around_vanishing_point(&CameraGeometry::default(), 0.0, size, defaults.crop_share as f32);
        assert!(crop.is_some());
        // `test` comes first.
        let (test, train) = pictures.split_at(16);
        for (part, pictures) in [("test", test), ("train", train)] {
            let (whole, both) = (cars_found(&*model, pictures, None), cars_found(&*model, pictures, crop));
            println!("YOLOX-nano on {name}, {part}: whole frame {whole:.4?}, with a second look {both:.4?}");
        }
        let whole = cars_found(&*model, &pictures, None);
        let (recall, precision) = cars_found(&*model, &pictures, crop);
        println!(
            "YOLOX-nano on {name}, all: whole frame {whole:.4?}, with a second look ({recall:.4}, {precision:.4})"
        );
        assert!(recall >= 0.93 && precision >= 0.95, "with a second look: {recall:.4} {precision:.4}");
        assert!(recall > whole.0 + 0.05);
    }
}

/// The detector with another least score.
fn detector(data: &Path, engine: &Engine, score: f32) -> Box<dyn Inference> {
    let manifest = Manifest::built_in().unwrap();
    let mut entry = manifest.models.iter().find(|model| model.name == "yolox_nano").unwrap().clone();
    entry.thresholds.score = score;
    let path = entry.locate(&[data.join("models")]).unwrap();
    models::load(&entry, &path, engine, 2).unwrap()
}

/// Recall and precision of boxes: of cars with 200 pixels and more, of whatever the model takes for a vehicle.
fn cars_found(model: &dyn Inference, pictures: &[(RgbPicture, GrayImage)], crop: Option<Crop>) -> (f64, f64) {
    let (mut found, mut blobs, mut right, mut drawn) = (0u32, 0u32, 0u32, 0u32);
    for (picture, labels) in pictures {
        let width = labels.width() as usize;
        let mut covered = vec![false; labels.as_raw().len()];
        for vehicle in boxes(model, picture, crop).iter().filter(|detection| detection.class.is_vehicle()) {
            let (right_edge, bottom) = (vehicle.left + vehicle.width, vehicle.top + vehicle.height);
            let (mut cars, mut all) = (0u32, 0u32);
            for y in vehicle.top as usize..bottom as usize {
                for x in vehicle.left as usize..right_edge as usize {
                    covered[y * width + x] = true;
                    all += 1;
                    cars += u32::from(labels.as_raw()[y * width + x] == label::CAR);
                }
            }
            drawn += 1;
            right += u32::from(all > 0 && f64::from(cars) >= 0.35 * f64::from(all));
        }
        for blob in car_blobs(labels) {
            blobs += 1;
            found += u32::from(2 * blob.iter().filter(|&&at| covered[at]).count() >= blob.len());
        }
    }
    (f64::from(found) / f64::from(blobs), f64::from(right) / f64::from(drawn))
}

/// Bit for bit: over runs, over loads of the model, and from threads of any pool.
#[test]
fn the_same_picture_gives_the_same_result() {
    let Some(data) = data() else { return };
    let file = pngs(&data.join("data/labelled/tusimple/image")).remove(0);
    let picture = picture(&file);
    let jpeg = Look::at(encode_rgb(&picture, QUALITY).unwrap());
    for (name, role) in [
        ("twinlitenet", JobRole::Segmentation),
        ("twinlitenet_plus_nano", JobRole::Segmentation),
        ("yolox_nano", JobRole::Detection),
        ("nanodet_m", JobRole::Detection),
        ("fastestdet", JobRole::Detection),
    ] {
        for (engine, threads) in engines().iter().flat_map(|engine| [(engine, 1), (engine, 2)]) {
            let about = format!("{name} on {} with {threads} threads", engine.name());
            let (one, two) = (model(&data, name, engine, threads), model(&data, name, engine, threads));
            assert_eq!(one.role(), role);
            let (by_rgb, by_jpeg) = (one.infer_rgb(&picture, None).unwrap(), one.look(&jpeg).unwrap());
            assert_ne!(by_rgb, by_jpeg, "{about}: a JPEG at quality {QUALITY} is another picture");
            for model in [&one, &two] {
                assert_eq!(model.infer_rgb(&picture, None).unwrap(), by_rgb, "{about}");
                assert_eq!(model.look(&jpeg).unwrap(), by_jpeg, "{about}");
            }
            std::thread::scope(|scope| {
                for model in [&one, &two, &two] {
                    scope.spawn(|| assert_eq!(model.infer_rgb(&picture, None).unwrap(), by_rgb, "{about}"));
                }
            });
        }
    }
}

/// With any number of threads, too.
#[test]
fn the_number_of_threads_changes_nothing() {
    let Some(data) = data() else { return };
    let picture = picture(&pngs(&data.join("data/labelled/tusimple/image")).remove(0));
    for name in ["twinlitenet_plus_nano", "yolox_nano", "nanodet_m", "fastestdet"] {
        for engine in engines() {
            let result = |threads| model(&data, name, &engine, threads).infer_rgb(&picture, None).unwrap();
            assert_eq!(result(1), result(2), "{name} on {}", engine.name());
        }
    }
}

/// Two engines see the same, but for pixels on the edge of a mask and the last digits of a box.
#[test]
fn engines_agree() {
    let Some(data) = data() else { return };
    let engines = engines();
    let [rten, other] = &engines[..] else { return };
    let mut files = pngs(&data.join("data/labelled/tusimple/image"));
    files.extend(pngs(&data.join("data/labelled/camvid/test")).into_iter().step_by(10));
    for name in ["twinlitenet", "twinlitenet_plus_nano"] {
        let models = [rten, other].map(|engine| model(&data, name, engine, 2));
        for file in &files {
            let [a, b] = [0, 1].map(|i| masks(&*models[i], &picture(file)));
            for (a, b) in [(a.drivable, b.drivable), (a.lines, b.lines)] {
                let (a, b) = (a.decode(), b.decode());
                let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
                assert!(a.len() == b.len() && differing * 10_000 <= a.len(), "{name}, {file:?}: {differing} pixels");
            }
        }
    }
    for name in ["yolox_nano", "nanodet_m", "fastestdet"] {
        let models = [rten, other].map(|engine| model(&data, name, engine, 2));
        let mut compared = 0;
        for file in &files {
            let [a, b] = [0, 1].map(|i| boxes(&*models[i], &picture(file), None));
            assert_eq!(a.len(), b.len(), "{name}, {file:?}");
            for (a, b) in a.iter().zip(&b) {
                assert_eq!(a.class, b.class);
                let score = (a.score - b.score).abs();
                let sides = [a.left - b.left, a.top - b.top, a.width - b.width, a.height - b.height];
                let close = score <= 1e-3 && sides.iter().all(|pixels| pixels.abs() <= 0.05);
                assert!(close, "{name}, {file:?}: {a:?} {b:?}");
                compared += 1;
            }
        }
        assert!(compared > 20, "{name}: {compared} boxes compared");
    }
}
