//! Operators who are other programs: a real browser, and aiortc. Each is driven by lines of JSON.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it, or is said")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// A program that watches.
pub struct Puppet {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs what prepares something, and says why it cannot be had.
fn prepared(command: &mut Command, what: &str) -> bool {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("skipped: {what}: {}", String::from_utf8_lossy(&output.stderr).trim());
            false
        }
        Err(error) => {
            println!("skipped: {what}: {error}");
            false
        }
    }
}

/// A folder with what a file of requirements asks for, made once for each content of it.
fn made_for(name: &str, requirements: &Path, make: impl FnOnce(&Path) -> bool) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (note, wanted) = (folder.join("made-for.txt"), std::fs::read(requirements).unwrap());
    if std::fs::read(&note).ok().as_ref() != Some(&wanted) {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        if !make(&folder) {
            return None;
        }
        std::fs::write(note, wanted).unwrap();
    }
    Some(folder)
}

/// A folder in which the browser's driver finds its packages; none where there is no browser.
fn web() -> Option<&'static Path> {
    static WEB: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = WEB.get_or_init(|| {
        let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        if !prepared(Command::new(chromium).arg("--version"), "a real browser") {
            return None;
        }
        let source = root().join("tests/web");
        made_for("web", &source.join("package-lock.json"), |folder| {
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(source.join(file), folder.join(file)).unwrap();
            }
            let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            prepared(Command::new("npm").args(npm).current_dir(folder), "a real browser: npm ci")
        })
    });
    made.as_deref()
}

/// The Python of an environment with aiortc; none where it cannot be had.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let requirements = root().join("tests/python/webrtc-requirements.txt");
        let folder = made_for("aiortc", &requirements, |folder| {
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
            prepared(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder), "aiortc: python3 -m venv")
                && prepared(Command::new(folder.join("bin/python")).args(pip).arg(&requirements), "aiortc: pip install")
        })?;
        Some(folder.join("bin/python"))
    });
    made.as_deref()
}

impl Puppet {
    /// A real browser, with a microphone that beeps; none where there is none, which is said.
    pub fn browser(url: &str, token: &str, options: &Value) -> Option<Self> {
        let folder = web()?;
        // Beside its packages.
        let driver = folder.join("watch.mjs");
        std::fs::copy(root().join("tests/web/watch.mjs"), &driver).unwrap();
        Some(Self::start(Command::new("node").arg(driver).args([url, token, &options.to_string()])))
    }

    /// aiortc, which reports no packets; none where it cannot be had, which is said.
    pub fn aiortc(url: &str, token: &str, options: &Value) -> Option<Self> {
        let script = root().join("tests/python/watch.py");
        Some(Self::start(Command::new(python()?).arg(script).args([url, token, &options.to_string()])))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, answers }
    }

    /// Has it do something, and waits for what came of it.
    pub fn tell(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended when told {order}");
        serde_json::from_str(&line).unwrap()
    }

    /// Likewise, by a word.
    pub fn told(&mut self, word: &str) -> Value {
        self.tell(&json!({ "do": word }))
    }

    /// Opens a session. `change` may make something of the answer before it takes it.
    pub fn open(&mut self, change: impl FnOnce(String) -> String) -> Value {
        let answer = self.told("open");
        assert_eq!(answer["status"], 201, "{answer}");
        let sdp = change(answer["sdp"].as_str().unwrap().to_owned());
        self.tell(&json!({ "do": "answer", "sdp": sdp }));
        answer
    }

    /// Ends it in the middle, as a crash does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = writeln!(self.orders, "{}", json!({ "do": "end" }));
        let begin = waywarden_systems::clock::boottime();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if waywarden_systems::clock::boottime().since(begin).as_secs() >= 10 {
                let _ = self.child.kill();
            }
            pause();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another program")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
