//! Tells the program which commit it was built from.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    println!("cargo:rustc-env=WAYWARDEN_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo:rustc-env=WAYWARDEN_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
