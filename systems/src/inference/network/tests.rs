//! Tests with networks of a few weights.

use bytes::Bytes;
use waywarden_components::job::Look;
use waywarden_components::perception::ObjectClass;

use super::*;
use crate::camera::jpeg::{QUALITY, encode_rgb};
use crate::inference::engine::onnxruntime::tests::runtime;
use crate::inference::prepare::{Colour, Layout, Range};
use crate::inference::tiny_onnx;

/// Every engine that is here.
fn engines() -> Vec<Engine> {
    [Engine::Rten].into_iter().chain(runtime().map(Engine::OnnxRuntime)).collect()
}

fn spec(decoder: Decoder) -> NetworkSpec {
    let input = InputSpec { width: 64, height: 32, layout: Layout::Stretched, colour: Colour::Rgb, range: Range::Unit };
    NetworkSpec { input, decoder, thresholds: Thresholds::default() }
}

fn load(engine: &Engine, onnx: Vec<u8>, decoder: Decoder) -> Result<Network, NetworkError> {
    let identity = ModelIdentity { name: "tiny".into(), sha256: String::new(), engine: engine.name() };
    Network::load(identity, onnx, spec(decoder), engine, 1)
}

fn error(engine: &Engine, onnx: Vec<u8>, decoder: Decoder) -> String {
    load(engine, onnx, decoder).err().expect("it must be refused").to_string()
}

/// Left half of one colour, right half of another.
fn halves(left: [u8; 3], right: [u8; 3]) -> RgbPicture {
    let row = [left.repeat(64), right.repeat(64)].concat();
    RgbPicture { width: 128, height: 64, data: row.repeat(64) }
}

#[test]
fn masks_come_out_of_a_picture() {
    for engine in engines() {
        let network = load(&engine, tiny_onnx::segmentation(64, 32, "Identity"), Decoder::Twinlitenet).unwrap();
        assert_eq!(network.role(), JobRole::Segmentation);
        let picture = halves([255, 0, 0], [0, 255, 0]);
        let JobOutput::Segmentation(masks) = network.infer_rgb(&picture, None).unwrap() else { panic!() };
        assert_eq!((masks.drivable.width, masks.drivable.height), (64, 32));
        assert_eq!((masks.drivable.count(), masks.lines.count()), (32 * 32, 32 * 32));
        assert_eq!(&masks.drivable.runs[..3], [0, 32, 32]);
        assert_eq!(&masks.lines.runs[..3], [32, 32, 32]);
        // The same by way of the camera's bytes.
        let jpeg = encode_rgb(&picture, QUALITY).unwrap();
        assert_eq!(network.look(&Look::at(jpeg)).unwrap(), JobOutput::Segmentation(masks));
    }
}

#[test]
fn a_part_is_looked_at_more_closely_in_its_place() {
    for engine in engines() {
        let mut network = load(&engine, tiny_onnx::detection(85, true), Decoder::Yolox).unwrap();
        network.spec.thresholds.score = 0.3;
        // Dark but for the part: the whole frame shows a little light, the part is bright.
        let mut picture = halves([0; 3], [0; 3]);
        let crop = Crop { left: 64, top: 32, width: 64, height: 32 };
        for y in 32..64 {
            picture.data[(y * 128 + 64) * 3..(y * 128 + 128) * 3].fill(255);
        }
        assert_eq!(picture.part(crop), RgbPicture { width: 64, height: 32, data: vec![255; 64 * 32 * 3] });
        let boxes = |crop| match network.infer_rgb(&picture, crop).unwrap() {
            JobOutput::Detections(boxes) => boxes,
            other => panic!("{other:?}"),
        };
        let closer = |crop| boxes(crop).len() > boxes(None).len();
        assert!(closer(Some(crop)), "{:?} {:?}", boxes(None), boxes(Some(crop)));
        assert!(
            boxes(Some(crop)).iter().all(|found| found.left + found.width <= 128.0 && found.top + found.height <= 64.0)
        );
        // What reaches beyond the frame is cut off; what lies outside is left.
        assert_eq!(boxes(Some(Crop { width: 900, height: 900, ..crop })), boxes(Some(crop)));
        assert_eq!(boxes(Some(Crop { left: 128, ..crop })), boxes(None));
    }
}

#[test]
fn boxes_come_out_of_a_picture() {
    for engine in engines() {
        let network = load(&engine, tiny_onnx::detection(85, true), Decoder::Yolox).unwrap();
        assert_eq!(network.role(), JobRole::Detection);
        let JobOutput::Detections(dark) = network.infer_rgb(&halves([0; 3], [0; 3]), None).unwrap() else { panic!() };
        assert!(dark.is_empty());
        let JobOutput::Detections(bright) = network.infer_rgb(&halves([255; 3], [255; 3]), None).unwrap() else {
            panic!()
        };
        assert_eq!(bright.len(), 1);
        assert_eq!(bright[0].class, ObjectClass::Car);
        assert!((bright[0].left + bright[0].width / 2.0 - 64.0).abs() < 1e-3, "{bright:?}");
        assert!((bright[0].top + bright[0].height / 2.0 - 32.0).abs() < 1e-3, "{bright:?}");
    }
}

#[test]
fn files_that_are_not_the_network_described_are_refused() {
    for engine in engines() {
        let wide = tiny_onnx::segmentation(80, 32, "Identity");
        assert_eq!(
            error(&engine, wide, Decoder::Twinlitenet),
            "the model has an input (images) of shape [1, 3, 32, 80]: [1, 3, 32, 64] expected; \
             name its input and decoder as they are"
        );
        assert!(
            error(&engine, tiny_onnx::segmentation(64, 32, "Identity"), Decoder::Yolox)
                .contains("2 outputs: 1 expected")
        );
        assert!(
            error(&engine, tiny_onnx::detection(85, true), Decoder::TwinlitenetPlus).contains("1 outputs: 2 expected")
        );
        assert!(error(&engine, tiny_onnx::detection(84, true), Decoder::Yolox).contains("[1, 42, 84]"));
    }
}

#[test]
fn outputs_that_the_file_leaves_open_are_checked_at_every_run() {
    for engine in engines() {
        match load(&engine, tiny_onnx::detection(84, false), Decoder::Yolox) {
            Ok(network) => {
                let error = network.infer_rgb(&halves([255; 3], [255; 3]), None).unwrap_err();
                let InferenceError::Shape { output: 0, found, .. } = error else { panic!("{error}") };
                assert_eq!(found, [1, 42, 84]);
            }
            // The runtime may work the shape out by itself.
            Err(error) => assert!(matches!(error, NetworkError::Unfit { .. }), "{error}"),
        }
        assert!(
            load(&engine, tiny_onnx::detection(85, false), Decoder::Yolox)
                .unwrap()
                .infer_rgb(&halves([9; 3], [9; 3]), None)
                .is_ok()
        );
    }
}

#[test]
fn outputs_that_are_no_numbers_are_errors() {
    for engine in engines() {
        let network = load(&engine, tiny_onnx::segmentation(64, 32, "Sqrt"), Decoder::Twinlitenet).unwrap();
        let error = network.infer_rgb(&halves([0; 3], [0; 3]), None).unwrap_err();
        assert_eq!(error, InferenceError::NotFinite { output: 1 });
    }
}

#[test]
fn damaged_frames_and_pictures_are_errors() {
    for engine in engines() {
        let network = load(&engine, tiny_onnx::segmentation(64, 32, "Identity"), Decoder::Twinlitenet).unwrap();
        let jpeg = encode_rgb(&halves([9; 3], [99; 3]), QUALITY).unwrap();
        for bad in [&[][..], &jpeg[..jpeg.len() / 2], b"no picture"] {
            assert!(matches!(network.look(&Look::at(Bytes::copy_from_slice(bad))), Err(InferenceError::Jpeg(_))));
        }
        let lies = RgbPicture { width: 1000, height: 1000, data: vec![0; 12] };
        assert!(matches!(network.infer_rgb(&lies, None), Err(InferenceError::Picture { .. })));
    }
}

#[test]
fn truncated_and_foreign_files_are_refused_or_harmless() {
    for engine in engines() {
        for onnx in [tiny_onnx::segmentation(64, 32, "Identity"), tiny_onnx::detection(85, true)] {
            let mut refused = 0;
            let lengths = (0..onnx.len()).step_by(onnx.len() / 50);
            for (length, decoder) in
                lengths.flat_map(|length| [(length, Decoder::Twinlitenet), (length, Decoder::Yolox)])
            {
                // rten reads a file that ends early as far as it goes, so one that lacks only descriptions may be loaded.
                match load(&engine, onnx[..length].to_vec(), decoder) {
                    Ok(network) => drop(network.infer_rgb(&halves([9; 3], [99; 3]), None)),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused >= 90, "{refused} of 100");
        }
        assert!(error(&engine, b"#!/bin/sh\n".to_vec(), Decoder::Yolox).starts_with("not an ONNX model"));
        assert!(
            error(&engine, tiny_onnx::segmentation(64, 32, "NoSuchOperator"), Decoder::Twinlitenet)
                .contains("NoSuchOperator")
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_of_a_network_have_the_priority_of_the_job_that_started_them() {
    use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

    const SCHED_IDLE: &str = "5";
    let network = load(&Engine::Rten, tiny_onnx::segmentation(64, 32, "Identity"), Decoder::Twinlitenet).unwrap();
    let job = || {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
        network.infer_rgb(&halves([9; 3], [9; 3]), None).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(job).join().unwrap());
    let policies = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        // A thread of another test may be gone by now.
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, fields) = stat.rsplit_once(") ")?;
        // proc_pid_stat(5): the policy is field 41, and the one behind the name is field 3.
        name.contains("(rten-").then(|| fields.split(' ').nth(41 - 3).map(str::to_owned))?
    });
    assert!(policies.collect::<Vec<_>>().iter().any(|policy| policy == SCHED_IDLE));
}

/// What a network gives for a picture: two outputs, or one.
fn numbers(network: &Network, picture: &RgbPicture) -> Vec<Vec<f32>> {
    network.run(prepare(picture, &network.spec.input).unwrap().0).unwrap()
}

#[test]
fn engines_agree() {
    let picture = RgbPicture { width: 64, height: 32, data: (0..64 * 32 * 3).map(|i| (i * 7 % 256) as u8).collect() };
    for (onnx, decoder) in [
        (tiny_onnx::segmentation(64, 32, "Identity"), Decoder::Twinlitenet),
        (tiny_onnx::segmentation(64, 32, "Sigmoid"), Decoder::Twinlitenet),
        (tiny_onnx::detection(85, true), Decoder::Yolox),
    ] {
        let of = |engine: &Engine| numbers(&load(engine, onnx.clone(), decoder).unwrap(), &picture);
        let reference = of(&Engine::Rten);
        assert!(reference.iter().flatten().any(|&number| number > 0.1), "numbers to compare");
        for engine in engines() {
            let differs = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-3;
            assert!(!reference.iter().flatten().zip(of(&engine).iter().flatten()).any(differs), "{}", engine.name());
        }
    }
}

/// The very numbers, of real networks on real pictures, where they are here: within 1e-3, of the number where it is above
/// 1, between engines, and bit for bit from run to run of one.
#[test]
fn engines_agree_on_real_pictures() {
    let default = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let data = std::env::var_os("WAYWARDEN_DATA").map_or_else(default, Into::into);
    let pictures = ["data/labelled/camvid/test", "data/labelled/tusimple/image"].map(|folder| data.join(folder));
    if !pictures.iter().all(|folder| folder.is_dir()) {
        println!("skipped: no data at {}", data.display());
        return;
    }
    let manifest = crate::models::Manifest::built_in().unwrap();
    let models: Vec<_> = ["twinlitenet", "yolox_nano", "nanodet_m", "fastestdet"]
        .into_iter()
        .map(|name| manifest.models.iter().find(|model| model.name == name).unwrap())
        .map(|entry| (entry, std::fs::read(entry.locate(&[data.join("models")]).unwrap()).unwrap()))
        .collect();
    let two = |folder: std::path::PathBuf| {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort_unstable();
        files.truncate(2);
        files
    };
    for file in pictures.into_iter().flat_map(two) {
        let rgb = image::open(&file).unwrap().into_rgb8();
        let picture = RgbPicture { width: rgb.width(), height: rgb.height(), data: rgb.into_raw() };
        for (entry, onnx) in &models {
            let spec = NetworkSpec { input: entry.input, decoder: entry.decoder, thresholds: entry.thresholds };
            let of = |engine: &Engine| {
                let identity = ModelIdentity::default();
                numbers(&Network::load(identity, onnx.clone(), spec, engine, 2).unwrap(), &picture)
            };
            let reference = of(&Engine::Rten);
            for engine in engines() {
                let about = format!("{} on {}, {}", entry.name, engine.name(), file.display());
                let found = of(&engine);
                assert_eq!(found, of(&engine), "{about}");
                let pairs = reference.iter().flatten().zip(found.iter().flatten());
                let most = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs() / a.abs().max(1.0)));
                println!("{about}: at most {most:e} from rten");
                assert!(most <= 1e-3, "{about}: {most}");
            }
        }
    }
}
