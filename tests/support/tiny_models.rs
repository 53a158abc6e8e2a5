//! Small models of our own, and a config that names them.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

use std::path::Path;

use sha2::{Digest, Sha256};

#[path = "../../systems/src/inference/tiny_onnx.rs"]
mod tiny_onnx;

/// Writes the models of `roles` into `folder`; returns what a config says of them. Lines without a section come first.
pub fn write(folder: &Path, roles: &[&str]) -> String {
    let mut config = String::new();
    for (name, role, decoder, onnx) in [
        ("tiny-lanes", "segmentation", "twinlitenet", tiny_onnx::segmentation(64, 32, "Sigmoid")),
        ("tiny-boxes", "detection", "yolox", tiny_onnx::detection(85, true)),
    ] {
        if !roles.contains(&role) {
            config += &format!("[{role}]\nenabled = false\n");
            continue;
        }
        let path = folder.join(format!("{name}.onnx"));
        std::fs::write(&path, &onnx).unwrap();
        config += &format!(
            "[{role}]\nmodel = \"{name}\"\n[[model]]\nname = \"{name}\"\nrole = \"{role}\"\ndecoder = \"{decoder}\"\n\
             path = {path:?}\nsha256 = \"{:x}\"\n\
             input = {{ width = 64, height = 32, layout = \"stretched\", colour = \"rgb\", range = \"0-1\" }}\n",
            Sha256::digest(&onnx)
        );
    }
    config
}
