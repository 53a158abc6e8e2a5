//! The built program as its users meet it: arguments in, exit code and words out.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::panic, clippy::print_stdout, reason = "a test that cannot go on ends, and what is skipped is said")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use waywarden_systems::clock::boottime;

/// No run of a test takes longer, on a busy machine either.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Virtual memory that a run may have, in KiB: far more than any needs, far less than a lying length asks for.
const MEMORY_KIB: u32 = 8_000_000;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Outcome {
    /// It did what it was told.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self
    }

    /// It refused what it was given: exit code 2 and one error, which has all of `words`.
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:#?}");
        for word in words {
            assert!(errors[0].contains(word), "no `{word}` in {self:#?}");
        }
        self
    }
}

/// Starts the program in `dir`, where its output goes too. It finds no models but those that it is told of.
pub fn start(dir: &Path, args: &[&str]) -> Child {
    start_after(dir, "", args)
}

/// Starts the program as [`start`] does, in a shell that has run `prelude` before.
pub fn start_after(dir: &Path, prelude: &str, args: &[&str]) -> Child {
    let file = |name: &str| Stdio::from(File::create(dir.join(name)).unwrap());
    Command::new("sh")
        .arg("-c")
        .arg(format!("{prelude} ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_waywarden"))
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("XDG_DATA_HOME")
        .env_remove("WAYWARDEN_MODELS")
        .stdin(Stdio::null())
        .stdout(file("stdout.txt"))
        .stderr(file("stderr.txt"))
        .spawn()
        .unwrap()
}

/// A camera that costs little, and segments so short that a test of seconds has some.
pub const SMALL: &str = "\
[[camera]]
width = 160
height = 96
fps = 10.0
loop_frames = 5
[http]
enabled = false
[record]
segment_s = 1
free_gb = 0.0
";

/// Sends a signal to a program.
pub fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Lets other programs go on for a time.
#[expect(clippy::disallowed_methods, reason = "waits for another process")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until `ready` gives something, as long as the program runs, but not for ever.
pub fn until<T>(child: &mut Child, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = boottime();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "ended before there was {what}: {ended:?}");
        assert!(boottime().since(began) < PATIENCE, "no {what} after {PATIENCE:?}");
        pause(Duration::from_millis(2));
    }
}

/// The sessions in a folder that `run --record` was given, the oldest first.
pub fn sessions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    // Beside them are the note of the run, and a folder of what is kept.
    let dated =
        |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'2');
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(dated).collect();
    found.sort();
    found
}

/// Waits for the end of a program, but not for ever.
pub fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let began = boottime();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if boottime().since(began) > patience {
            child.kill().unwrap();
            panic!("still running after {patience:?}");
        }
        pause(Duration::from_millis(3));
    }
}

/// Runs the program in `dir` to its end.
pub fn waywarden(dir: &Path, args: &[&str]) -> Outcome {
    end(&mut start(dir, args), dir)
}

/// A replay asks the kernel for no socket of any network. Where nobody can look over its shoulder, that is said.
pub fn no_socket_is_opened(dir: &Path, session: &Path) {
    let trace = dir.join("sockets.txt");
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=socket", "-o", trace.to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_waywarden"))
        .args(["replay", session.to_str().unwrap(), "--verify", "--json"])
        .env_remove("WAYWARDEN_MODELS")
        .env("HOME", dir)
        .output();
    match traced {
        Ok(output) if output.status.success() => {
            let sockets = std::fs::read_to_string(trace).unwrap();
            assert!(!sockets.contains("AF_INET"), "{sockets}");
        }
        Ok(output) => println!("skipped: sockets of a replay: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("skipped: sockets of a replay: no strace: {error}"),
    }
}

/// Waits for a program that was started in `dir`.
pub fn end(child: &mut Child, dir: &Path) -> Outcome {
    let status = wait(child, PATIENCE);
    let text = |name: &str| String::from_utf8_lossy(&std::fs::read(dir.join(name)).unwrap()).into_owned();
    Outcome { code: status.code(), out: text("stdout.txt"), err: text("stderr.txt") }
}
