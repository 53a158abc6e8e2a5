//! Processes that are killed, and two at once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rand::Rng;

use super::*;

const ROLE: &str = "SPOOL_TEST_ROLE";
const FILE: &str = "SPOOL_TEST_FILE";
const FIRST: &str = "SPOOL_TEST_FIRST";

/// Runs [`child`] in a process of its own.
fn start(role: &str, path: &Path, first: u64) -> Child {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FILE, path).env(FIRST, first.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Lines that the child says.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("said ").map(str::to_owned))
}

#[test]
#[ignore = "a process that other tests start"]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = PathBuf::from(std::env::var(FILE).unwrap());
    let settings = SpoolSettings { delay: Duration::from_millis(5), ..SpoolSettings::default() };
    let spool = match Spool::open(&path, settings) {
        Ok((spool, _)) => spool,
        Err(error) => return println!("\nsaid {error}"),
    };
    if role == "open" {
        return println!("\nsaid it is open");
    }
    println!();
    let mut n: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    loop {
        let batch = random().random_range(1..200);
        let ids: Vec<(u64, SpoolId)> =
            (n..n + batch).map(|n| (n, spool.put(entry("a", (n % 3) as u8, &n.to_string())))).collect();
        n += batch;
        if !spool.wait_durable(ids[ids.len() - 1].1, PATIENCE) {
            return;
        }
        let mut lines = String::new();
        for (n, id) in ids {
            if n % 5 == 0 {
                spool.acknowledge(id);
            } else {
                lines.push_str(&format!("said {n}\n"));
            }
        }
        print!("{lines}");
    }
}

/// Kills a process that puts messages, so many times, and looks for each one that it called durable.
fn kill(times: u32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let (mut durable, mut first) = (BTreeSet::new(), 0);
    for _ in 0..times {
        let mut child = start("put", &path, first);
        let lines = said(&mut child);
        let id = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let killer = std::thread::Builder::new().spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "the moment is to be any")]
            std::thread::sleep(Duration::from_millis(random().random_range(30..500)));
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        let mut last = first;
        for line in lines {
            // The last line may be half a number.
            if let Ok(n) = line.parse::<u64>()
                && n > last.max(first)
                && n < last + 1000
            {
                last = n;
                durable.insert(n);
            }
        }
        killer.unwrap().join().unwrap();
        child.wait().unwrap();
        // Half a line at the end is no promise.
        durable.remove(&last);
        first = last + 1_000_000;
    }
    assert!(durable.len() > 100, "the children did something: {}", durable.len());
    let (spool, found) = Spool::open(&path, SpoolSettings::default()).unwrap();
    assert_eq!(found.aside, None);
    let all = backlog(&spool, everything());
    assert_eq!(all.len() as u64, found.messages);
    assert!(all.windows(2).all(|two| two[0].0.key() < two[1].0.key()), "in order, each once");
    let mut there = BTreeSet::new();
    let mut before = None;
    for (id, entry) in &all {
        let n: u64 = text(entry).parse().unwrap();
        assert!(there.insert(n), "{n} is there twice");
        assert!(before.is_none_or(|(priority, number)| priority > id.priority() || number < n), "{n} in order");
        before = Some((id.priority(), n));
    }
    let lost: Vec<_> = durable.difference(&there).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    println!("{times} times killed: {} called durable, {} there, none lost", durable.len(), there.len());
    assert_exact(&spool.tally());
}

#[test]
fn what_was_called_durable_is_there_after_kill_9() {
    kill(5);
}

#[test]
#[ignore = "long: a process is killed 40 times"]
fn what_was_called_durable_is_there_after_many_kill_9() {
    kill(40);
}

#[test]
fn another_process_is_told_that_the_spool_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, SpoolSettings::default());
    spool.put(entry("a", 0, "mine"));
    let mut other = start("open", &path, 0);
    let words: Vec<String> = said(&mut other).collect();
    other.wait().unwrap();
    assert_eq!(words, [SpoolError::InUse(path.clone()).to_string()]);
    assert!(matches!(Spool::open(&path, SpoolSettings::default()), Err(SpoolError::InUse(_))), "nor twice here");
    assert!(spool.flush(PATIENCE));
    assert_eq!(texts(&spool), ["mine"]);
    spool.close(PATIENCE).unwrap();
    let mut other = start("open", &path, 0);
    assert_eq!(said(&mut other).collect::<Vec<_>>(), ["it is open"]);
    other.wait().unwrap();
}
