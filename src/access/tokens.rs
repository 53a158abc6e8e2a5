//! The tokens file: TOML that only its owner may read.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde::Deserialize;

use super::{Scope, secret};
use crate::failure::Failure;
use crate::http::SHORTEST_TOKEN;

/// Tokens that a file may hold.
const MOST: usize = 64;

/// The longest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// The longest name of a token, in characters.
const LONGEST_NAME: usize = 64;

/// What a new file says of itself.
const ABOUT: &str = "\
# Who may ask this vehicle over the network, and for what. Whoever has a token may do what its scopes say:
#   view     see and hear what it sees and hears, and what it has recorded
#   talk     be heard in the vehicle
#   command  give commands: privacy, recording, preserve, restart-device, …
#   config   see the config
#   mcp      ask as an agent
# More may be added, each with a name of its own (`openssl rand -hex 32` makes a token). Changes count from the next start, or
# at once with `systemctl reload waywarden` (SIGHUP): what goes on with a token that is gone, or allows something else, ends then.
# The file is read only while nobody but its owner may read it: chmod 600.
";

/// A token as it stands in the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// The token.
    pub token: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    #[serde(default)]
    token: Vec<Entry>,
}

/// Makes a file with a token for the operator and one for an agent, if there is none. Says whether it did.
///
/// # Errors
/// When it cannot be written.
pub fn make(path: &Path) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let (operator, agent) = (secret()?, secret()?);
    let all: Vec<_> = Scope::ALL.iter().map(|scope| format!("\"{scope}\"")).collect();
    let text = format!(
        "{ABOUT}\n[[token]]\nname = \"operator\"\ntoken = \"{operator}\"\nscopes = [{}]\n\n\
         [[token]]\nname = \"agent\"\ntoken = \"{agent}\"\nscopes = [\"view\", \"mcp\"]\n",
        all.join(", ")
    );
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Under another name first, so that nobody reads half of it; linked, so that of two runs that begin one makes it.
    let begun = folder.join(format!(".tokens-{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&begun).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    let linked = written.and_then(|()| std::fs::hard_link(&begun, path));
    let removed = std::fs::remove_file(&begun);
    match linked {
        Ok(()) => removed.map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// The tokens of a file; none where there is no file.
///
/// # Errors
/// When others may read it too, or what it says makes no sense. What it says is not repeated.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let wrong = |what: String| Failure::bad_input(format!("http.tokens_file: {}: {what}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        let readers = format!("others than its owner may open it (mode {:o}): it is not read", mode & 0o777);
        return Err(wrong(readers)
            .hint(format!("chmod 600 {}; and have new tokens made, if others have read it", path.display())));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    check(&text)
        .map_err(|what| wrong(what).hint("[[token]] with name, token and scopes; without the file a new one is made"))
}

fn check(text: &str) -> Result<Vec<Entry>, String> {
    // The message alone: beside it an error shows the line, and so the token.
    let tokens: Tokens = toml::from_str(text).map_err(|error| match error.span() {
        Some(span) => {
            let line = text.get(..span.start).unwrap_or_default().lines().count().max(1);
            format!("line {line} is not as it should be")
        }
        None => "it is no TOML".to_owned(),
    })?;
    if tokens.token.len() > MOST {
        return Err(format!("{} tokens: at most {MOST}", tokens.token.len()));
    }
    let mut names = BTreeSet::new();
    for Entry { name, token, .. } in &tokens.token {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(format!("a name is 1 to {LONGEST_NAME} letters, digits, `-`, `_`, `.` and `@`"));
        }
        if !names.insert(name) {
            return Err(format!("two tokens are called `{name}`"));
        }
        if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("the token `{name}` is not {SHORTEST_TOKEN} or more letters, digits and signs"));
        }
    }
    Ok(tokens.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_and_nobody_else_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/tokens.toml");
        assert_eq!(read(&path).unwrap().len(), 0, "no file, no tokens");
        assert!(make(&path).unwrap());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let tokens = read(&path).unwrap();
        assert_eq!(tokens.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["operator", "agent"]);
        assert_eq!(tokens[0].scopes, Scope::ALL.into());
        assert_eq!(tokens[1].scopes, [Scope::View, Scope::Mcp].into());
        assert!(!make(&path).unwrap(), "it stays");
        assert_eq!(read(&path).unwrap()[0].token, tokens[0].token);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        for mode in [0o640, 0o604, 0o660, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let failure = read(&path).map(|_| ()).unwrap_err().to_string();
            assert!(failure.contains("http.tokens_file") && failure.contains(&format!("{mode:o}")), "{failure}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_without_the_token() {
        let secret = "0123456789abcdef";
        let entry = |name: &str, token: &str, scopes: &str| {
            format!("[[token]]\nname = {name:?}\ntoken = {token:?}\nscopes = {scopes}\n")
        };
        let good = entry("a", secret, "[\"view\"]");
        assert_eq!(check(&good).map(|tokens| tokens.len()), Ok(1));
        assert_eq!(check("").map(|tokens| tokens.len()), Ok(0));
        for (text, words) in [
            (entry("a", secret, "[\"everything\"]"), "line"),
            (entry("a", secret, "[]").replace("scopes", "scope"), "line"),
            (format!("{good}{good}"), "two tokens are called `a`"),
            (entry("a b", secret, "[]"), "a name is"),
            (entry("", secret, "[]"), "a name is"),
            (entry("a", "0123456789", "[]"), "the token `a`"),
            (entry("a", "0123456789 abcdef", "[]"), "the token `a`"),
            (format!("token = [\"{secret}\""), "line"),
            (good.repeat(65), "at most 64"),
        ] {
            let said = check(&text).map(|_| ()).unwrap_err();
            assert!(said.contains(words) && !said.contains("0123456789"), "{text}: {said}");
        }
    }
}
