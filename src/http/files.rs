//! Files with secrets that are read at the start.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// The longest token and the longest PEM file that are read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The shortest token that nobody guesses, in characters.
pub const SHORTEST_TOKEN: usize = 16;

/// Reads a token: one line of printable characters without spaces.
///
/// # Errors
/// When the file cannot be read, or holds no token; `key` of the config names it.
pub fn token(key: &str, path: &str) -> Result<String, Failure> {
    let bytes = read(key, path)?;
    let token = bytes.trim_ascii();
    if token.len() < SHORTEST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::bad_input(format!(
            "{key}: {path} holds no token: one line of {SHORTEST_TOKEN} or more letters, digits and signs"
        ))
        .hint(format!("make one: openssl rand -hex 32 > {path}; chmod 600 {path}")));
    }
    warn_of_readers(key, path);
    Ok(String::from_utf8_lossy(token).into_owned())
}

pub(super) fn read(key: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| Failure::bad_input(format!("{key}: {path}: {error}")))?;
    Ok(bytes)
}

/// A secret that every user of the computer can read is worth a word.
pub(super) fn warn_of_readers(key: &str, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mode = Path::new(path).metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        tracing::warn!("{key}: every user of this computer can read {path}: chmod 600 {path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_plain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let path = path.to_str().unwrap();
        let read = |text: &str| {
            std::fs::write(path, text).unwrap();
            token("http.token_file", path)
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), "0123456789abcdef");
        for wrong in ["", "short", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef", "0123456789abcdeé"] {
            let failure = read(wrong).unwrap_err();
            assert!(failure.to_string().contains("http.token_file") && failure.to_string().contains(path), "{failure}");
        }
        assert!(token("remote.token_file", "/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
    }
}
