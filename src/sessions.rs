//! Which sessions are meant: a session is a file or a folder of segments, and a folder may hold several.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use waywarden_systems::session::SessionReader;

use crate::failure::Failure;

/// Folders are looked into so deep.
const DEEPEST: u32 = 4;

/// The sessions that `paths` name, in order: files and folders of segments as they are, of any other folder all sessions
/// in it, in order of their names. Whether they can be read is for the reader to find out.
///
/// # Errors
/// When a folder cannot be listed or holds none.
pub fn expand<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let mut sessions = Vec::new();
    for path in paths {
        let before = sessions.len();
        if path.is_dir() {
            look_into(path, DEEPEST, &mut sessions)?
        } else {
            sessions.push(path.clone())
        }
        if sessions.len() == before {
            return Err(Failure::bad_input(format!(
                "{}: no segments or sessions (*.mcap) in this folder",
                path.display()
            ))
            .hint("name a session, its folder, or a folder of sessions"));
        }
    }
    Ok(sessions)
}

fn look_into(folder: &Path, deeper: u32, sessions: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    let files: Vec<&PathBuf> = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "mcap") && path.is_file())
        .collect();
    // A folder of segments is one session, and its reader refuses those of another one among them. Under other names,
    // files that say that they belong together are segments too.
    let id = |file: &&PathBuf| Some(SessionReader::open(file).ok()?.info().session_id.clone());
    let is_session = files.iter().any(|file| file.file_name().is_some_and(is_segment))
        || files.len() > 1 && files.iter().map(id).collect::<Option<BTreeSet<_>>>().is_some_and(|ids| ids.len() == 1);
    match is_session {
        true => sessions.push(folder.to_owned()),
        false => sessions.extend(files.into_iter().cloned()),
    }
    if deeper > 0 {
        for path in paths.iter().filter(|path| path.is_dir()) {
            look_into(path, deeper - 1, sessions)?;
        }
    }
    Ok(())
}

/// Whether the recorder gives such names to segments.
fn is_segment(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("segment-")
}

/// What a session is called in tables and in names of files made of it: unique among `others`, which it is one of.
pub fn label(session: &Path, others: &[PathBuf]) -> String {
    let name = |path: &Path, parts: usize| {
        let whole = path.with_extension("");
        let all: Vec<_> = whole.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let kept: Vec<_> =
            all.iter().skip(all.len().saturating_sub(parts)).filter(|part| *part != "/").cloned().collect();
        kept.join("-")
    };
    let unique = |parts: &usize| {
        let own = name(session, *parts);
        others.iter().filter(|other| name(other, *parts) == own).count() <= 1
    };
    (1..8).find(unique).map_or_else(|| name(session, 8), |parts| name(session, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_as_they_are_and_empty_folders_refused() {
        let files = [PathBuf::from("nothing.mcap"), PathBuf::from("b.mcap")];
        assert_eq!(expand(&files).unwrap(), files);
        let folder = tempfile::tempdir().unwrap();
        let failure = expand(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(failure.code, crate::failure::Code::BadInput);
    }

    #[test]
    fn a_folder_of_files_is_a_folder_of_sessions() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        let names = ["b.mcap", "a.mcap", "deep/c.mcap"];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let found = expand(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found, ["a.mcap", "b.mcap", "deep/c.mcap"].map(|name| folder.path().join(name)));
    }

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        let sessions = ["x/one.mcap", "x/two.mcap", "y/two.mcap"].map(PathBuf::from);
        let labels: Vec<String> = sessions.iter().map(|session| label(session, &sessions)).collect();
        assert_eq!(labels, ["one", "x-two", "y-two"]);
    }
}
