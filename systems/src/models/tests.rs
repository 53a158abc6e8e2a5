//! Tests of the manifest, the search and the hash.

use std::fs;

use waywarden_components::job::JobOutput;

use super::*;
use crate::camera::jpeg::RgbPicture;
use crate::inference::prepare::{Colour, Layout, Range};
use crate::inference::tiny_onnx;

const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn custom(path: PathBuf, sha256: String) -> CustomModel {
    let input = InputSpec { width: 64, height: 32, layout: Layout::Stretched, colour: Colour::Rgb, range: Range::Unit };
    let (role, decoder) = (JobRole::Segmentation, Decoder::Twinlitenet);
    CustomModel { path, sha256, role, input, decoder, thresholds: Thresholds::default() }
}

#[test]
fn the_built_in_manifest_is_sound() {
    let manifest = Manifest::built_in().unwrap();
    for role in JobRole::ALL {
        assert!(manifest.models.iter().any(|model| model.role == role), "{role}");
    }
    let yolox = manifest.models.iter().find(|model| model.name == "yolox_nano").unwrap();
    assert_eq!(yolox.thresholds, Thresholds { score: 0.25, overlap: 0.45, drivable: 0.5 });
    assert_eq!((yolox.input.colour, yolox.input.range), (Colour::Bgr, Range::Byte));
    assert!(manifest.models.iter().flat_map(|model| &model.urls).all(|url| url.starts_with("https://")));
}

#[test]
fn a_manifest_that_cannot_be_is_refused_with_its_place() {
    let refused = |from: &str, to: &str| {
        assert!(BUILT_IN.contains(from), "{from}");
        Manifest::parse(&BUILT_IN.replacen(from, to, 1), "mine.toml").unwrap_err().to_string()
    };
    let unknown = refused("licence =", "license =");
    assert!(unknown.starts_with("mine.toml: TOML parse error at line"), "{unknown}");
    assert!(unknown.contains("license"), "{unknown}");
    assert!(
        refused("\"twinlitenet.onnx\"", "\"../twinlitenet.onnx\"").contains("model twinlitenet: files must be names")
    );
    assert!(refused("f505b5", "F505b5").contains("64 hexadecimal digits"));
    assert!(refused("twinlitenet_plus_nano", "twinlitenet").contains("model twinlitenet: named twice"));
    assert!(refused("decoder = \"yolox\"", "decoder = \"twinlitenet\"").contains("its role is detection"));
    assert!(refused("score = 0.25", "score = 25").contains("0 to 1"));
    assert!(refused("width = 640", "width = 0").contains("1 to 4096"));
    assert!(Manifest::parse("model = 3", "mine.toml").is_err());
}

#[test]
fn ranges_by_mean_and_deviation_can_be_written() {
    let text = BUILT_IN.replacen(
        "\"0-1\"",
        "{ normalised = { mean = [103.5, 116.25, 123.75], std = [57.5, 57.25, 58.5] } }",
        1,
    );
    let manifest = Manifest::parse(&text, "mine.toml").unwrap();
    let range = Range::Normalised { mean: [103.5, 116.25, 123.75], std: [57.5, 57.25, 58.5] };
    assert_eq!(manifest.models[0].input.range, range);
}

#[test]
fn folders_are_searched_in_order() {
    let dirs = |cli: &str, own: &str, data: &str, home: &str| {
        let some = |dir: &str| (!dir.is_empty()).then(|| PathBuf::from(dir));
        folders(some(cli).as_deref(), some(own), data_home(some(data), some(home)))
    };
    let expected = ["c", "/own", "/data/waywarden/models"].map(PathBuf::from);
    assert_eq!(dirs("c", "/own", "/data", "/home"), expected);
    assert_eq!(dirs("", "", "", "/home"), [PathBuf::from("/home/.local/share/waywarden/models")]);
    assert_eq!(dirs("", "", "relative", "/home"), [PathBuf::from("/home/.local/share/waywarden/models")]);
    assert_eq!(dirs("/a", "/a", "", ""), [PathBuf::from("/a")]);
    assert!(dirs("", "", "", "").is_empty());
}

#[test]
fn the_preferred_model_is_found_and_a_missing_one_explained() {
    let manifest = Manifest::built_in().unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = [first.path().to_path_buf(), second.path().to_path_buf()];
    let missing = manifest.find(JobRole::Detection, &dirs).unwrap_err().to_string();
    let place = format!("in {}, {}", dirs[0].display(), dirs[1].display());
    assert_eq!(
        missing,
        format!(
            "no detection model: looked for yolox_nano.onnx, yolox_nano_reexport.onnx, nanodet_m.onnx, \
             fastestdet.onnx {place}; \
             get it with `waywarden models fetch`, or pass --models DIR"
        )
    );
    assert!(manifest.find(JobRole::Segmentation, &[]).unwrap_err().to_string().contains("in no place"));

    fs::write(dirs[0].join("twinlitenetplus_nano.onnx"), "").unwrap();
    assert_eq!(manifest.find(JobRole::Segmentation, &dirs).unwrap().0.name, "twinlitenet_plus_nano");
    fs::write(dirs[1].join("twinlitenet.onnx"), "").unwrap();
    let (entry, path) = manifest.find(JobRole::Segmentation, &dirs).unwrap();
    assert_eq!((entry.name.as_str(), path), ("twinlitenet", dirs[1].join("twinlitenet.onnx")));
    fs::write(dirs[0].join("twinlitenet.onnx"), "").unwrap();
    assert_eq!(manifest.find(JobRole::Segmentation, &dirs).unwrap().1, dirs[0].join("twinlitenet.onnx"));
}

#[test]
fn a_model_with_another_hash_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = Manifest::built_in().unwrap();
    let path = dir.path().join("yolox_nano.onnx");
    fs::write(&path, b"not it").unwrap();
    let (entry, path) = manifest.find(JobRole::Detection, &[dir.path().to_path_buf()]).unwrap();
    let message = load(entry, &path, &Engine::Rten, 1).err().unwrap().to_string();
    for part in [path.to_str().unwrap(), &sha256(b"not it"), &entry.sha256[0], &entry.sha256[1]] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_users_own_model_takes_the_same_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.onnx");
    let onnx = tiny_onnx::segmentation(64, 32, "Identity");
    fs::write(&path, &onnx).unwrap();
    let model = load_custom(&custom(path.clone(), sha256(&onnx).to_ascii_uppercase()), &Engine::Rten, 1).unwrap();
    let identity = ModelIdentity { name: "mine.onnx".into(), sha256: sha256(&onnx), engine: Engine::Rten.name() };
    assert_eq!(model.identity(), &identity);
    let red = RgbPicture { width: 2, height: 1, data: vec![255, 0, 0, 255, 0, 0] };
    let JobOutput::Segmentation(masks) = model.infer_rgb(&red, None).unwrap() else { panic!() };
    assert_eq!((masks.drivable.count(), masks.lines.count()), (64 * 32, 0));

    let fails = |model: &CustomModel| load_custom(model, &Engine::Rten, 1).err().unwrap();
    assert!(matches!(fails(&custom(path.clone(), NO_HASH.into())), ModelError::WrongHash { .. }));
    assert!(matches!(fails(&custom(path.clone(), "beef".into())), ModelError::Description { .. }));
    assert!(matches!(fails(&custom(dir.path().join("gone"), NO_HASH.into())), ModelError::Read { .. }));
    let role = CustomModel { role: JobRole::Detection, ..custom(path.clone(), sha256(&onnx)) };
    assert!(matches!(fails(&role), ModelError::Description { .. }));
    // Half a file with the right hash of that half.
    let half = &onnx[..onnx.len() / 2];
    fs::write(&path, half).unwrap();
    let error = fails(&custom(path.clone(), sha256(half)));
    assert!(matches!(error, ModelError::Network { .. }), "{error}");
    assert!(error.to_string().contains("mine.onnx"), "{error}");
}

#[test]
fn a_users_own_model_is_written_in_toml() {
    let text = "path = 'a.onnx'\nsha256 = '00'\nrole = 'detection'\ndecoder = 'yolox'\n\
        input = { width = 64, height = 32, layout = 'letterboxed_top_left', colour = 'bgr', range = '0-255' }\n";
    let model: CustomModel = toml::from_str(text).unwrap();
    assert_eq!(
        (model.role, model.decoder, model.thresholds),
        (JobRole::Detection, Decoder::Yolox, Thresholds::default())
    );
    assert!(toml::from_str::<CustomModel>(&format!("{text}speed = 'fast'\n")).is_err());
}
