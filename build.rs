//! Tells the program which commit it was built from, and packs plotly.js, which pages of sessions bring with them.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Only git knows where these are: in a worktree `.git` is a file, and a path that does not exist would have
    // everything built anew each time.
    for file in ["HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=12"]);
    println!("cargo:rustc-env=WAYWARDEN_COMMIT={}", commit.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo:rustc-env=WAYWARDEN_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let out = std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    pack_library(&Path::new(&out).join("plotly.js.deflate"))
}

/// plotly.js alone, a quarter of its size: what sets mathematical formulas comes with it, is half as large, and is not needed.
fn pack_library(path: &Path) -> io::Result<()> {
    const END: &str = "</script>";
    let sources = plotly::Plot::offline_js_sources();
    let end = sources.find(END).ok_or(io::ErrorKind::InvalidData)?;
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&sources.as_bytes()[..end + END.len()])?;
    std::fs::write(path, packed.finish()?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
