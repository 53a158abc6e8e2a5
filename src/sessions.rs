//! Which sessions are meant: a session is a file or a folder of segments, and a folder may hold several.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
            look_into(path, DEEPEST, Links::Followed, &mut sessions)?
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

/// A session of a folder that others may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name: the path below the folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Listed {
    /// When its files were last changed.
    pub fn changed(&self) -> Option<SystemTime> {
        let modified = |path: &Path| path.metadata().ok()?.modified().ok();
        match self.path.is_dir() {
            true => files(&self.path).ok()?.iter().filter_map(|path| modified(path)).max(),
            false => modified(&self.path),
        }
    }
}

/// All sessions in a folder, in order of their names. What cannot be listed is left out, and links are not followed: what they
/// lead to was not put there to be shown.
pub fn below(folder: &Path) -> Vec<Listed> {
    let mut paths = Vec::new();
    // What was found before something could not be listed is still there.
    let _ = look_into(folder, DEEPEST, Links::PassedOver, &mut paths);
    let name = |path: &Path| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        match below.as_os_str().is_empty() {
            // The folder is a session itself.
            true => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            false => below.to_string_lossy().into_owned(),
        }
    };
    paths.into_iter().map(|path| Listed { name: name(&path), path }).collect()
}

/// The files of a session, in order of their names.
///
/// # Errors
/// When its folder cannot be listed.
pub fn files(session: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !session.is_dir() {
        return Ok(vec![session.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(session)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mcap") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What is done with links in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    PassedOver,
}

fn look_into(folder: &Path, deeper: u32, links: Links, sessions: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_link = || entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if links == Links::Followed || !is_link() {
            paths.push(entry.path());
        }
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
            look_into(path, deeper - 1, links, sessions)?;
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
    fn what_is_shown_to_others_is_in_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("sessions");
        std::fs::create_dir_all(folder.join("preserved/drive")).unwrap();
        std::fs::create_dir(outside.path().join("others")).unwrap();
        for name in ["a.mcap", "preserved/drive/segment-000000.mcap", "../secret.mcap", "../others/b.mcap", "notes.txt"]
        {
            std::fs::write(folder.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("../others", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("../secret.mcap", folder.join("link.mcap")).unwrap();
        let found = below(&folder);
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["a.mcap", "preserved/drive"]);
        assert!(found.iter().all(|found| found.changed().is_some()));
        assert_eq!(
            expand(std::slice::from_ref(&folder)).unwrap().len(),
            4,
            "whoever names the folder means what its links lead to"
        );
        assert_eq!(below(&folder.join("preserved/drive"))[0].name, "drive");
        assert_eq!(below(&outside.path().join("nowhere")), []);
    }

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        let sessions = ["x/one.mcap", "x/two.mcap", "y/two.mcap"].map(PathBuf::from);
        let labels: Vec<String> = sessions.iter().map(|session| label(session, &sessions)).collect();
        assert_eq!(labels, ["one", "x-two", "y-two"]);
    }
}
