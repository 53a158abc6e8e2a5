//! Tells the program which commit it was built from, and packs plotly.js, which pages of sessions bring with them.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use lzma_rust2::{LzmaOptions, LzmaWriter};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Only git knows where these are: in a worktree `.git` is a file, and a path that does not exist would have
    // everything built anew each time.
    for file in ["HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    // `describe --dirty` would write the index, which is looked at above: all would be built once more the next time.
    let changed = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]).is_some();
    let commit = git(&["describe", "--always", "--abbrev=12"]);
    let commit = commit.map(|commit| if changed { format!("{commit}-dirty") } else { commit });
    println!("cargo:rustc-env=WAYWARDEN_COMMIT={}", commit.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo:rustc-env=WAYWARDEN_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let out = std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let out = Path::new(&out);
    // A development build is linked often, and need not be small.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") && linker_knows(FOLD, out) {
        println!("cargo:rustc-link-arg-bins={FOLD}");
    }
    pack_library(&out.join("plotly.js.lzma"))
}

/// Functions whose instructions are the same become one: a megabyte of what is compiled for each type anew. In Rust the addresses
/// of functions mean nothing; of the C libraries SQLite compares some, in what is not asked of it (window functions) and with
/// functions of which there is no second one.
const FOLD: &str = "-Wl,--icf=all";

/// Whether whatever links for this target takes an argument: not every linker knows every one.
fn linker_knows(argument: &str, out: &Path) -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let source = out.join("linked.rs");
    let (Some(rustc), Some(target), Ok(())) =
        (variable("RUSTC"), variable("TARGET"), std::fs::write(&source, "fn main() {}"))
    else {
        return false;
    };
    let mut command = Command::new(rustc);
    command.arg(&source).arg("--target").arg(target).arg("-o").arg(out.join("linked"));
    command.arg("-C").arg(format!("link-arg={argument}"));
    command.args(variable("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    command.args(variable("CARGO_ENCODED_RUSTFLAGS").iter().flat_map(|flags| flags.split('\x1f')));
    command.output().is_ok_and(|output| output.status.success())
}

/// plotly.js alone, a quarter of its size: what sets mathematical formulas comes with it, is half as large, and is not needed.
fn pack_library(path: &Path) -> io::Result<()> {
    const END: &str = "</script>";
    let sources = plotly::Plot::offline_js_sources();
    let end = sources.find(END).ok_or(io::ErrorKind::InvalidData)?;
    let library = &sources.as_bytes()[..end + END.len()];
    let mut packed = LzmaWriter::new_use_header(Vec::new(), &LzmaOptions::with_preset(6), Some(library.len() as u64))?;
    packed.write_all(library)?;
    std::fs::write(path, packed.finish()?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
