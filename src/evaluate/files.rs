//! Files of labels: listed in order, read whole, and what is wrong with one told with its name and line.

use std::path::{Path, PathBuf};

use waywarden_perception::labels::LabelError;

use crate::failure::Failure;

/// Largest file of labels that is read, in bytes.
const MOST_BYTES: u64 = 256 << 20;
/// Most folders that are looked into, one inside the other.
const DEEPEST: usize = 8;
const HINT: &str = "take it out of the folder, or get it anew";

/// The entries of a folder in order of their names; hidden ones are left out.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |error| unreadable(folder, &error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The files in a folder and all folders in it whose names end so, in order.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    find_in(folder, ending, DEEPEST, &mut found)?;
    Ok(found)
}

fn find_in(folder: &Path, ending: &str, deeper: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for path in list(folder)? {
        if path.is_dir() {
            if deeper > 0 {
                find_in(&path, ending, deeper - 1, found)?;
            }
        } else if name(&path).ends_with(ending) {
            found.push(path);
        }
    }
    Ok(())
}

/// The pictures of a folder, in order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = list(folder)?;
    paths.retain(|path| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        matches!(ending.as_str(), "png" | "jpg" | "jpeg")
    });
    Ok(paths)
}

/// Reads labels.
///
/// # Errors
/// When the file cannot be read, or is not what it should be: named with its line.
pub fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, LabelError>) -> Result<T, Failure> {
    let fail = |error| unreadable(path, &error);
    let about = std::fs::metadata(path).map_err(fail)?;
    if !about.is_file() || about.len() > MOST_BYTES {
        let what = if about.is_file() { "is too large" } else { "is not a file" };
        return Err(Failure::bad_input(format!("{}: {what}", path.display())).hint(HINT));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    parse(&bytes).map_err(|error| {
        let place = error.line.map(|line| format!(", line {line}")).unwrap_or_default();
        Failure::bad_input(format!("{}{place}: {}", path.display(), error.what)).hint(HINT)
    })
}

/// A folder that holds nothing of what was looked for.
pub fn nothing(folder: &Path, expected: &str) -> Failure {
    Failure::bad_input(format!("{}: holds no labelled pictures", folder.display())).hint(format!("expected {expected}"))
}

/// A file's name without its folder.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name without its folder and its ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("{}: cannot be read: {error}", path.display()))
        .hint("does it exist, and may this user read it?")
}
