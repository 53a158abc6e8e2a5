//! Sessions that are cut off, damaged, foreign or lie: each is read as far as it is worth, or refused with one error
//! that names the file and the place. Nothing panics, hangs, or is silently read as something else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/outcome.rs"]
mod outcome;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use forge::{Message, Session, field, items};
use mcap::records::Record as McapRecord;
use outcome::{SMALL, sessions, waywarden};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rmpv::Value;
use tempfile::TempDir;
use waywarden_systems::session::{Record, SessionError, SessionReader};

/// A live session of three segments, and a replay of it as one file, whose bytes come in more chunks.
struct Recorded {
    _dir: TempDir,
    folder: PathBuf,
    file: PathBuf,
    bytes: Vec<u8>,
}

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), SMALL).unwrap();
        waywarden(dir.path(), &["run", "--config", "config.toml", "--simulate", "--duration", "3", "--record", "rec"])
            .done();
        let folder = sessions(&dir.path().join("rec")).pop().unwrap();
        let file = dir.path().join("one.mcap");
        let (from, to) = (folder.to_str().unwrap(), file.to_str().unwrap());
        waywarden(dir.path(), &["replay", from, "--verify", "--out", to]).done();
        // In many chunks, as a live session is.
        let bytes = Session::of(&std::fs::read(&file).unwrap()).bytes();
        Recorded { _dir: dir, folder, file, bytes }
    })
}

/// Reads bytes as a session: its records, the files that end in the middle, and the error that ended it.
fn read(bytes: Vec<u8>) -> (Vec<Record>, Vec<String>, Option<SessionError>) {
    let mut records = Vec::new();
    let mut reader = match SessionReader::from_bytes(Path::new("some.mcap"), Bytes::from(bytes)) {
        Ok(reader) => reader,
        Err(error) => return (records, Vec::new(), Some(error)),
    };
    let error = loop {
        match reader.read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (records, reader.cuts().to_vec(), error)
}

/// A folder with these files.
fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Runs `inspect`, `replay` and `replay --from` on what lies at `path`, and expects each to refuse it.
fn refused(path: &Path, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = path.to_str().unwrap();
    waywarden(dir.path(), &["inspect", path]).refused(words);
    waywarden(dir.path(), &["replay", path, "--out", "out.mcap"]).refused(words);
    waywarden(dir.path(), &["replay", path, "--verify", "--from", "1"]).refused(words);
    nothing_left(dir.path());
}

/// Nothing lies in `dir` but what the program printed.
fn nothing_left(dir: &Path) {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name != "stdout.txt" && name != "stderr.txt").collect();
    assert!(names.is_empty(), "left behind: {names:?}");
}

/// A file with what a forger made of the recorded session.
fn forged(change: impl FnOnce(&mut Session)) -> (TempDir, PathBuf) {
    let mut session = Session::of(&recorded().bytes);
    change(&mut session);
    let dir = folder_of(&[("forged.mcap", &session.bytes())]);
    let path = dir.path().join("forged.mcap");
    (dir, path)
}

#[test]
fn a_forger_who_changes_nothing_is_not_noticed() {
    let (_dir, path) = forged(|_| ());
    waywarden(path.parent().unwrap(), &["replay", path.to_str().unwrap(), "--verify"]).done();
    let (records, cuts, error) = read(std::fs::read(&path).unwrap());
    assert!(error.is_none() && cuts.is_empty());
    assert_eq!(records, read(std::fs::read(&recorded().file).unwrap()).0);
}

#[test]
fn a_session_cut_anywhere_loses_no_more_than_its_last_chunk() {
    let bytes = &recorded().bytes;
    let (whole, cuts, error) = read(bytes.clone());
    assert!(whole.len() > 500 && cuts.is_empty() && error.is_none());
    // Where each chunk ends, and how many records stand before that place.
    let (mut ends, mut at) = (Vec::new(), mcap::MAGIC.len());
    for record in mcap::read::LinearReader::new(bytes).unwrap() {
        at += 9 + match record.unwrap() {
            McapRecord::Chunk { header, data } => 40 + header.compression.len() + data.len(),
            _ => {
                // Only the length of chunks is of interest: read the others' where they stand.
                u64::from_le_bytes(bytes[at + 1..at + 9].try_into().unwrap()) as usize
            }
        };
        ends.push(at);
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut lengths: Vec<usize> = (0..60).map(|_| random.random_range(0..bytes.len())).collect();
    lengths.extend(
        (0..20).chain(ends.iter().step_by(3).flat_map(|end| [end - 1, *end, end + 1])).filter(|n| *n < bytes.len()),
    );
    for length in lengths {
        let (records, cuts, error) = read(bytes[..length].to_vec());
        assert!(whole.starts_with(&records), "cut to {length}");
        if let Some(error) = error {
            assert!(records.is_empty() && error.to_string().contains("ends before it says what it is"), "{error}");
        } else {
            assert_eq!(cuts.len(), 1, "cut to {length}");
            let chunk = ends.iter().rev().find(|end| **end <= length).map_or(0, |end| *end);
            let (kept, ..) = read(bytes[..chunk].to_vec());
            assert_eq!(records.len(), kept.len(), "cut to {length}, the chunk before ends at {chunk}");
        }
    }
}

#[test]
fn the_commands_take_what_is_left_of_a_cut_session() {
    let bytes = &recorded().bytes;
    for length in [bytes.len() / 3, bytes.len() - 9, bytes.len() - 1] {
        let dir = folder_of(&[("cut.mcap", &bytes[..length])]);
        let inspected = waywarden(dir.path(), &["inspect", "cut.mcap"]).done();
        assert!(inspected.out.contains("ends in the middle"), "{inspected:?}");
        let replayed = waywarden(dir.path(), &["replay", "cut.mcap", "--verify"]).done();
        assert!(replayed.out.contains("ends in the middle"), "{replayed:?}");
    }
    for length in [0, 4, 8, 60] {
        let dir = folder_of(&[("cut.mcap", &bytes[..length])]);
        refused(&dir.path().join("cut.mcap"), &["cut.mcap", "ends before it says what it is"]);
    }
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let bytes = &recorded().bytes;
    let (whole, ..) = read(bytes.clone());
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut places: Vec<usize> = (0..250).map(|_| random.random_range(0..bytes.len())).collect();
    // Beginning and end are made of lengths, kinds and sums; so is every head of a chunk.
    places.extend((0..250).chain(bytes.len() - 150..bytes.len()));
    let (mut at, mut heads) = (mcap::MAGIC.len(), 0);
    while at + 9 < bytes.len() - 8 {
        if bytes[at] == 6 && heads < 4 {
            places.extend(at..at + 49);
            heads += 1;
        }
        at += 9 + u64::from_le_bytes(bytes[at + 1..at + 9].try_into().unwrap()) as usize;
    }
    let (mut found, mut same) = (0, 0);
    for place in places {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << random.random_range(0..8);
        let (records, cuts, error) = read(flipped);
        if let Some(error) = error {
            assert!(whole.starts_with(&records), "byte {place}");
            assert!(error.to_string().starts_with("some.mcap"), "{error}");
            found += 1;
        } else {
            assert!(records == whole && cuts.is_empty(), "byte {place}: other records, and no error");
            same += 1;
        }
    }
    println!("{found} found, {same} without consequence");
    assert!(found > 20 * same);
}

#[test]
fn a_flipped_bit_in_a_cut_session_is_found_or_loses_what_comes_after() {
    let bytes = &recorded().bytes[..recorded().bytes.len() * 2 / 3];
    let (whole, ..) = read(bytes.to_vec());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for place in (0..400).chain((0..200).map(|_| random.random_range(0..bytes.len())).collect::<Vec<_>>()) {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << random.random_range(0..8);
        let (records, cuts, error) = read(flipped);
        assert!(whole.starts_with(&records), "byte {place}");
        assert!(error.is_some() || !cuts.is_empty(), "byte {place}");
    }
}

#[test]
fn the_commands_name_file_and_place_of_a_flipped_bit() {
    let bytes = &recorded().bytes;
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for _ in 0..4 {
        let mut flipped = bytes.clone();
        let place = random.random_range(bytes.len() / 4..bytes.len() * 9 / 10);
        flipped[place] ^= 1 << random.random_range(0..8);
        let dir = folder_of(&[("flipped.mcap", &flipped)]);
        refused(&dir.path().join("flipped.mcap"), &["flipped.mcap", "about byte "]);
    }
}

#[test]
fn foreign_files_are_refused() {
    let dir = folder_of(&[
        ("text.mcap", b"Dear diary, today I drove to the sea and back.\n".repeat(100).as_slice()),
        ("zeroes.mcap", &[0; 100_000]),
        ("lying.mcap", &[mcap::MAGIC as &[u8], &[1, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0], &[0; 99]].concat()),
        (
            "huge.mcap",
            &[mcap::MAGIC as &[u8], &[6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0xff; 99]].concat(),
        ),
    ]);
    refused(&dir.path().join("text.mcap"), &["text.mcap", "not an MCAP file"]);
    refused(&dir.path().join("zeroes.mcap"), &["zeroes.mcap", "not an MCAP file"]);
    refused(&dir.path().join("lying.mcap"), &["lying.mcap"]);
    refused(&dir.path().join("huge.mcap"), &["huge.mcap"]);
    refused(&dir.path().join("none.mcap"), &["none.mcap", "No such file"]);
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), &["no segments"]);
    nix::unistd::mkfifo(&dir.path().join("pipe.mcap"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&dir.path().join("pipe.mcap"), &["pipe.mcap", "neither a file nor a folder"]);

    let (_dir, path) = forged(|session| session.profile = "ros2".to_owned());
    refused(&path, &["forged.mcap", "profile `ros2`"]);
    let (_dir, path) = forged(|session| session.metadata.clear());
    refused(&path, &["forged.mcap", "not a Waywarden session"]);
    let (_dir, path) = forged(|session| {
        *session.metadata.get_mut("waywarden.session").unwrap().get_mut("format").unwrap() = "2.0".to_owned();
    });
    refused(&path, &["forged.mcap", "session format `2.0`"]);
}

#[test]
fn a_large_sparse_file_is_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.mcap");
    std::fs::write(&path, [mcap::MAGIC as &[u8], &[6, 0, 0, 0, 0, 1, 0, 0, 0]].concat()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 34).unwrap();
    refused(&path, &["sparse.mcap"]);
}

#[test]
fn what_may_not_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder_of(&[("secret.mcap", &recorded().bytes)]);
    let path = dir.path().join("secret.mcap");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    refused(&path, &["secret.mcap", "denied"]);
}

#[test]
fn segments_of_two_sessions_are_refused() {
    let dir = folder_of(&[]);
    for (n, file) in segments().iter().take(2).enumerate() {
        std::fs::copy(file, dir.path().join(format!("segment-{n:05}.mcap"))).unwrap();
    }
    let mut other = Session::of(&recorded().bytes);
    describe(&mut other, |info| info["session_id"] = "another".into());
    std::fs::write(dir.path().join("segment-00002.mcap"), other.bytes()).unwrap();
    refused(dir.path(), &["segment-00002.mcap", "belongs to session another"]);
}

fn segments() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&recorded().folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// Changes the description of a session, and its checksum with it.
fn describe(session: &mut Session, change: impl FnOnce(&mut serde_json::Value)) {
    let metadata = session.metadata.get_mut("waywarden.session").unwrap();
    let mut info = serde_json::from_str(&metadata["session"]).unwrap();
    change(&mut info);
    let text = info.to_string();
    metadata.insert("checksum".to_owned(), waywarden_systems::session::format::checksum(&text));
    metadata.insert("session".to_owned(), text);
}

#[test]
fn behind_a_missing_segment_the_world_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    for (n, file) in segments().iter().enumerate().filter(|(n, _)| *n != 1) {
        std::fs::copy(file, dir.path().join(format!("rec/segment-{n:05}.mcap"))).unwrap();
    }
    let inspected = waywarden(dir.path(), &["inspect", "rec"]).done();
    assert!(inspected.out.contains("  missing    "), "{inspected:?}");
    let replayed = waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
    assert!(replayed.out.contains("ticks give what was recorded"), "{replayed:?}");
    std::fs::remove_file(dir.path().join("rec/segment-00000.mcap")).unwrap();
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}

#[test]
fn a_segment_that_had_just_begun_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    for (n, file) in segments().iter().enumerate() {
        std::fs::copy(file, dir.path().join(format!("rec/segment-{n:05}.mcap"))).unwrap();
    }
    for begun in ["segment-00001.mcap", "segment-00099.mcap"] {
        std::fs::write(dir.path().join("rec").join(begun), &recorded().bytes[..20]).unwrap();
    }
    let inspected = waywarden(dir.path(), &["inspect", "rec"]).done();
    assert_eq!(inspected.out.matches("ends in the middle").count(), 2, "{inspected:?}");
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}

const JOURNAL: &str = "/waywarden/journal";
const SNAPSHOT: &str = "/waywarden/snapshot";

/// Changes the first input that has a payload of this name; a payload without contents is its name alone.
fn change_input(session: &mut Session, payload: &str, mut change: impl FnMut(&mut Value)) {
    session.change(JOURNAL, |record| {
        let Some(Value::Array(inputs)) = field(record, "inputs") else { return false };
        let found = inputs.iter_mut().find_map(|input| match field(input, "payload") {
            Some(Value::Map(entries)) if entries[0].0.as_str() == Some(payload) => Some(input),
            Some(name) if name.as_str() == Some(payload) => Some(input),
            _ => None,
        });
        found.map(&mut change).is_some()
    });
}

fn set(value: &mut Value, name: &str, to: impl Into<Value>) {
    *field(value, name).unwrap() = to.into();
}

#[test]
fn lies_in_the_journal_are_found() {
    type Lie = fn(&mut Session);
    let lies: &[(&str, Lie, &str)] = &[
        ("an unknown stream", |s| change_input(s, "frame", |input| set(input, "stream", 77)), "missing"),
        ("another sample", |s| change_input(s, "audio", |input| set(input, "seq", 1_000_000)), "missing"),
        ("no sample", |s| s.messages.retain(|message| message.topic != "/front/image"), "missing"),
        ("no number", |s| change_input(s, "frame", |input| set(input, "stream", "front")), "journal record"),
        (
            "a tick again",
            |s| s.change(JOURNAL, |r| field(r, "tick").is_some_and(|t| again(t, 50, 49))),
            "after tick 49",
        ),
        ("a hole", |s| s.messages.retain(|m| m.topic != JOURNAL || m.sequence != 50), "tick 50"),
        ("time that goes back", |s| s.change(JOURNAL, |r| late(r, 50, 1)), "begins at"),
        ("the end of time", |s| s.change(JOURNAL, |r| late(r, 50, u64::MAX)), "begins at"),
        ("not a record", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, vec![0xc1])), "journal record"),
        // An array of 2^32 - 1 items, a map of as many, a string and bytes of as many.
        ("a huge array", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, huge(0xdd))), "journal record"),
        ("a huge map", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, huge(0xdf))), "journal record"),
        ("a huge string", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, huge(0xdb))), "journal record"),
        ("huge bytes", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, huge(0xc6))), "journal record"),
        (
            "a deep array",
            |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, vec![0x91; 1 << 20])),
            "journal record",
        ),
        ("a deep field", |s| s.messages.iter_mut().for_each(|m| damage(m, JOURNAL, deep())), "journal record"),
        (
            "a broken frame's wrapping",
            |s| s.messages.iter_mut().for_each(|m| damage(m, "/front/image", vec![0xff; 9])),
            "a frame",
        ),
    ];
    for (what, lie, word) in lies {
        println!("{what}");
        let (_dir, path) = forged(lie);
        refused(&path, &["forged.mcap", "about byte", word]);
    }
}

fn again(tick: &mut Value, number: u64, other: u64) -> bool {
    let found = tick.as_u64() == Some(number);
    if found {
        *tick = other.into();
    }
    found
}

fn late(record: &mut Value, number: u64, now: u64) -> bool {
    let found = field(record, "tick").is_some_and(|tick| tick.as_u64() == Some(number));
    if found {
        set(record, "now", now);
    }
    found
}

fn damage(message: &mut Message, topic: &str, data: Vec<u8>) {
    if message.topic == topic {
        message.data = data;
    }
}

/// A record whose inputs claim to be 2^32 - 1 long.
fn huge(kind: u8) -> Vec<u8> {
    let mut data = vec![0x81, 0xa6];
    data.extend(b"inputs");
    data.extend([kind, 0xff, 0xff, 0xff, 0xff]);
    data
}

/// A record with an unknown field that holds arrays in arrays.
fn deep() -> Vec<u8> {
    let mut data = vec![0x81, 0xa1, b'x'];
    data.extend(vec![0x91; 1 << 20]);
    data
}

#[test]
fn what_is_odd_but_possible_is_run() {
    type Oddity = fn(&mut Session);
    let result = |output: Value, number: u64| -> Value {
        let id = |role: &str| Value::Map(vec![("role".into(), role.into()), ("number".into(), number.into())]);
        let frame = Value::Map(vec![("stream".into(), 1.into()), ("seq".into(), 3.into())]);
        let done = Value::Map(vec![
            ("job".into(), id("segmentation")),
            ("frame".into(), frame),
            ("took_ns".into(), u64::MAX.into()),
            ("output".into(), output),
        ]);
        Value::Map(vec![("job_done".into(), done)])
    };
    let oddities: &[(&str, Oddity)] = &[
        ("a frame that is none", |s| {
            for message in s.messages.iter_mut().filter(|message| message.topic == "/front/image") {
                let start = message.data.windows(2).position(|pair| pair == [0xff, 0xd8]).unwrap();
                let end = message.data.windows(2).rposition(|pair| pair == [0xff, 0xd9]).unwrap();
                message.data[start..end].fill(0);
            }
        }),
        ("drops without number", |s| {
            for _ in 0..2 {
                change_input(s, "serial", |input| {
                    let body = vec![("policy".into(), "keep_newest".into()), ("count".into(), u64::MAX.into())];
                    set(input, "payload", Value::Map(vec![("dropped".into(), Value::Map(body))]));
                });
            }
        }),
        ("captured at the end of time", |s| change_input(s, "frame", |input| set(input, "at", u64::MAX))),
        ("heard at the end of time", |s| change_input(s, "audio", |input| set(input, "at", u64::MAX))),
        ("the link of nobody", |s| change_input(s, "link", |input| set(input, "stream", 999))),
        ("a date at the end of time", |s| {
            change_input(s, "utc", |input| {
                let payload = field(input, "payload").unwrap();
                let utc = field(payload, "utc").unwrap();
                set(utc, "offset_ns", i64::MAX);
                set(utc, "uncertainty_ns", u64::MAX);
            });
        }),
        ("the last segment of all", |s| {
            change_input(s, "boundary", |input| {
                let payload = field(input, "payload").unwrap();
                set(field(payload, "boundary").unwrap(), "segment", u32::MAX);
            });
        }),
        ("an unknown field", |s| {
            s.change(JOURNAL, |record| {
                if let Value::Map(entries) = record {
                    entries.push(("colour".into(), "blue".into()));
                }
                true
            });
        }),
    ];
    for (what, oddity) in oddities {
        println!("{what}");
        let (dir, path) = forged(oddity);
        waywarden(dir.path(), &["inspect", path.to_str().unwrap()]).done();
        waywarden(dir.path(), &["replay", path.to_str().unwrap()]).done();
    }
    let (dir, path) = forged(|s| {
        change_input(s, "serial", |input| {
            set(input, "payload", result(Value::Map(vec![("failed".into(), "because".into())]), 4711));
        });
    });
    for mode in ["auto", "recorded", "virtual", "run"] {
        println!("a job that was never started, --jobs {mode}");
        waywarden(dir.path(), &["replay", path.to_str().unwrap(), "--jobs", mode]).done();
    }
    for (width, height, runs) in [
        (u32::MAX, u32::MAX, vec![]),
        (4, 4, vec![15]),
        (4, 4, vec![u32::MAX; 9]),
        (1 << 16, 1 << 16, vec![u32::MAX, 1]),
    ] {
        println!("a mask of {width} x {height} in {} runs", runs.len());
        let runs: Vec<Value> = runs.into_iter().map(Value::from).collect();
        let mask = Value::Map(vec![
            ("width".into(), width.into()),
            ("height".into(), height.into()),
            ("runs".into(), runs.into()),
        ]);
        let masks = Value::Map(vec![("drivable".into(), mask.clone()), ("lines".into(), mask)]);
        let (_dir, path) = forged(|s| {
            change_input(s, "serial", |input| {
                set(input, "payload", result(Value::Map(vec![("segmentation".into(), masks.clone())]), 1))
            });
        });
        refused(&path, &["forged.mcap", "masks of job"]);
    }
}

#[test]
fn lies_in_a_snapshot_are_found() {
    type Lie = fn(&mut Value);
    let lies: &[(&str, Lie, &str)] = &[
        ("an unknown kind", |kinds| set(&mut items(kinds)[0], "kind", "astrology"), "`astrology`"),
        ("a damaged value", |kinds| damage_value(kinds, vec![0xc1]), "not a value of kind"),
        ("no value", |kinds| damage_value(kinds, vec![]), "not a value of kind"),
        ("a huge value", |kinds| damage_value(kinds, vec![0xdd, 0xff, 0xff, 0xff, 0xff]), "not a value of kind"),
        ("a deep value", |kinds| damage_value(kinds, vec![0x91; 1 << 20]), "not a value of kind"),
        ("a job without a frame", |kinds| run_a_job(kinds), "looks at frame 1:4711"),
    ];
    for (what, lie, word) in lies {
        println!("{what}");
        let (dir, path) = forged(|s| {
            s.change(SNAPSHOT, |snapshot| {
                let second = field(snapshot, "segment").and_then(|segment| segment.as_u64()) == Some(1);
                if second {
                    lie(field(snapshot, "kinds").unwrap());
                }
                second
            });
        });
        // Nobody needs the snapshot who comes from the segment before it.
        waywarden(dir.path(), &["replay", path.to_str().unwrap(), "--verify"]).done();
        waywarden(dir.path(), &["replay", path.to_str().unwrap(), "--verify", "--from", "1"]).refused(&[
            "forged.mcap",
            "snapshot",
            word,
        ]);
    }
}

fn damage_value(kinds: &mut Value, bytes: Vec<u8>) {
    for kind in items(kinds) {
        if field(kind, "kind").unwrap().as_str() == Some("gate") {
            let values = items(field(kind, "values").unwrap());
            items(&mut values[0])[1] = Value::Binary(bytes.clone());
        }
    }
}

fn run_a_job(kinds: &mut Value) {
    let (role, id) =
        (Value::from("segmentation"), |seq: u64| vec![("stream".into(), 1.into()), ("seq".into(), seq.into())]);
    let running = Value::Map(vec![
        ("job".into(), Value::Map(vec![("role".into(), role.clone()), ("number".into(), 1.into())])),
        ("frame".into(), Value::Map(id(4711))),
        ("started".into(), 0.into()),
    ]);
    let mut queue =
        vec![("waiting".into(), Value::Map(vec![])), ("running".into(), running), ("served".into(), 1.into())];
    for count in ["started", "done", "failed", "missed", "replaced"] {
        queue.push((count.into(), 1.into()));
    }
    let jobs = Value::Map(vec![("queues".into(), Value::Map(vec![(role, Value::Map(queue))]))]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &jobs).unwrap();
    for kind in items(kinds) {
        if field(kind, "kind").unwrap().as_str() == Some("jobs") {
            items(&mut items(field(kind, "values").unwrap())[0])[1] = Value::Binary(bytes.clone());
        }
    }
}

#[test]
fn lies_in_the_description_are_found() {
    type Lie = fn(&mut serde_json::Value);
    let lies: &[(&str, Lie, &str)] = &[
        ("a stream at the end of all numbers", |info| info["streams"][0]["id"] = 65_535.into(), "not numbered"),
        ("a stream twice", |info| info["streams"][1]["id"] = 1.into(), "not numbered"),
        ("an unknown device", |info| info["streams"][0]["kind"] = "oven".into(), "cannot be read"),
        ("no streams", |info| info["streams"] = serde_json::Value::Null, "cannot be read"),
    ];
    for (what, lie, word) in lies {
        println!("{what}");
        let (_dir, path) = forged(|session| describe(session, lie));
        refused(&path, &["forged.mcap", word]);
    }
    let (dir, path) = forged(|session| describe(session, |info| info["config"] = "[gate]\nthreshold = 1e99\n".into()));
    waywarden(dir.path(), &["replay", path.to_str().unwrap()]).refused(&["config in ", "forged.mcap", ":2:"]);
    let (_dir, path) = forged(|session| {
        let metadata = session.metadata.get_mut("waywarden.session").unwrap();
        let text = metadata["session"].replace("threshold", "threshole");
        metadata.insert("session".to_owned(), text);
    });
    refused(&path, &["forged.mcap", "checksum"]);
}

#[test]
fn a_place_that_is_not_there_is_refused() {
    let path = recorded().file.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    waywarden(dir.path(), &["replay", path, "--from", "4000000000"]).refused(&["no segment 4000000000"]);
    waywarden(dir.path(), &["replay", path, "--from", "1000000:00:00", "--speed", "1e300"]).done();
    waywarden(dir.path(), &["replay", "one.mcap/x", "--out", "out.mcap"]).refused(&["one.mcap/x"]);
    waywarden(dir.path(), &["import", "--range", "none.csv", "-o", "out.mcap"]).refused(&["none.csv"]);
}

#[test]
fn a_segment_without_a_tick_is_passed_over() {
    // Of the middle one only the snapshot is left, and the first one is gone: the world is restored twice.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    let segments = segments();
    std::fs::copy(&segments[2], dir.path().join("rec/segment-00002.mcap")).unwrap();
    let mut middle = Session::of(&std::fs::read(&segments[1]).unwrap());
    middle.messages.truncate(1);
    assert_eq!(middle.messages[0].topic, SNAPSHOT);
    std::fs::write(dir.path().join("rec/segment-00001.mcap"), middle.bytes()).unwrap();
    waywarden(dir.path(), &["replay", "rec", "--verify"]).done();
}
