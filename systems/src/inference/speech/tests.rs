use std::path::PathBuf;

use super::*;
use crate::inference::engine::{OnnxRuntime, onnxruntime};

/// Every engine that is here.
fn engines() -> Vec<Engine> {
    let library = onnxruntime::places().into_iter().find(|place| place.is_file());
    let library = library.map(|place| Engine::OnnxRuntime(OnnxRuntime::open(&place).unwrap()));
    [Engine::Rten].into_iter().chain(library).collect()
}

fn file() -> Option<Vec<u8>> {
    let path = std::env::var_os("WAYWARDEN_SILERO").map(PathBuf::from);
    let found = path.and_then(|path| std::fs::read(path).ok());
    if found.is_none() {
        println!("skipped: no file of Silero in WAYWARDEN_SILERO");
    }
    found
}

#[test]
fn engines_agree_and_repeat_themselves() {
    let Some(onnx) = file() else { return };
    let mut all = Vec::new();
    for engine in engines() {
        let network = SpeechNetwork::load(ModelIdentity::default(), onnx.clone(), &engine).unwrap();
        let run = || {
            let (mut state, mut heard) = ([0.0; STATE], Vec::new());
            for window in 0..60u32 {
                let mut sound = [0.0; CONTEXT + WINDOW];
                for (n, sample) in sound.iter_mut().enumerate() {
                    let step = (window * 512 + n as u32).wrapping_mul(2_654_435_761) >> 20;
                    *sample = (step as f32 / 4096.0 - 0.5) * if window % 20 < 10 { 0.02 } else { 0.6 };
                }
                heard.push(network.hear(&sound, &mut state).unwrap());
            }
            heard
        };
        let began = crate::clock::boottime();
        let first = run();
        println!("{}: {:?} a window", engine.name(), crate::clock::boottime().since(began) / 60);
        assert_eq!(first, run());
        all.push(first);
    }
    for other in &all[1..] {
        assert!(other.iter().zip(&all[0]).all(|(a, b)| (a - b).abs() < 1e-3), "{other:?}\n{:?}", all[0]);
    }
}
