//! The shared library itself: where it is looked for, and that it is one that can be used, before anything of it is.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use libloading::{Library, Symbol};
use ort::sys::OrtApiBase;

/// The oldest version that will do, as its two first numbers. Newer ones of the same major version are compatible.
pub const OLDEST: (u32, u32) = (1, ort::MINOR_VERSION);

/// From this version on it reports to its makers, from a thread of its own, as soon as it is opened.
const REPORTS_SINCE: (u32, u32) = (1, 29);

/// The variable and its value by which it does not: to be in the environment before it is opened.
pub const SILENCE: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Its name in the user's data folder, where `script/bootstrap --onnxruntime` puts it.
const FILE: &str = "waywarden/onnxruntime/libonnxruntime.so";

/// Where it is looked for when nobody says where it is: `$ORT_DYLIB_PATH`, as in other programs, and
/// `waywarden/onnxruntime/libonnxruntime.so` in the user's data directory. The file need not be there.
pub fn places() -> Vec<PathBuf> {
    let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = crate::models::data_dir().map(|data| data.join(FILE));
    variable.into_iter().chain(data).collect()
}

/// Looks at a library and gives its version.
pub(super) fn check(path: &Path) -> Result<String, String> {
    let head = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        let mut head = Vec::new();
        file.by_ref().take(64).read_to_end(&mut head)?;
        Ok((head, length))
    });
    let (head, length) = head.map_err(|error| error.to_string())?;
    // The loader maps a file without asking how long it is, and the process dies of what is missing.
    if elf_end(&head).is_some_and(|end| end > length) {
        return Err("the file is cut off; get it again".into());
    }
    let version = version(path)?;
    let silent = std::env::var_os(SILENCE.0).is_some_and(|value| value == SILENCE.1);
    refusal(&version, silent).map_or(Ok(version), Err)
}

/// Why a version is not used; `silent` if it was told to report nothing.
pub(super) fn refusal(version: &str, silent: bool) -> Option<String> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found.0 != OLDEST.0 || found < OLDEST {
        let (major, minor) = OLDEST;
        return Some(format!("it is version {version}; {major}.{minor} or a newer {major}.x is needed"));
    }
    (found >= REPORTS_SINCE && !silent).then(|| {
        let (name, value) = SILENCE;
        format!("version {version} reports to its makers unless {name}={value} is in the environment, and it is not")
    })
}

/// Where a 64 bit ELF file with this beginning ends at the earliest: behind its table of sections, which linkers put
/// last. None for anything else, which the loader refuses by itself.
fn elf_end(head: &[u8]) -> Option<u64> {
    let bytes = |at: usize, n: usize| head.get(at..at + n);
    let number = |at, n| bytes(at, n).map(|b| b.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)));
    if bytes(0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    // Elf64_Ehdr: e_shoff, e_shentsize, e_shnum.
    let (table, size, count) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?);
    Some(table.saturating_add(size * count).max(64))
}

/// Asks a library for the version of ONNX Runtime that it is.
#[expect(unsafe_code, reason = "a function of a library that is opened while the program runs can only be called so")]
fn version(path: &Path) -> Result<String, String> {
    const ENTRY: &[u8] = b"OrtGetApiBase\0";
    // SAFETY: code of the library runs when it is opened; whoever names a library, or puts it in its place, means that.
    let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
    // SAFETY: a function of this name exists for one purpose only, and has had this type since the first version.
    let entry: Result<Symbol<'_, unsafe extern "C" fn() -> *const OrtApiBase>, _> = unsafe { library.get(ENTRY) };
    let entry = entry.map_err(|_| "it is another library: it has no function OrtGetApiBase".to_owned())?;
    // SAFETY: as above; the table that it points to is static, and stands while the library is open, as it is here.
    let base = unsafe { entry().as_ref() }.ok_or("it has no interface")?;
    // SAFETY: as above; what it returns is a static string.
    let text = unsafe {
        let text = (base.GetVersionString)();
        (!text.is_null()).then(|| CStr::from_ptr(text))
    };
    let version = text.and_then(|text| text.to_str().ok()).ok_or("its version is no text")?.to_owned();
    Ok(version)
}
