//! Sessions whose checksums are right and that say what cannot be: each lie is found, and one error names the file and the
//! place; what is odd but possible is run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/recorded.rs"]
mod recorded;

use forge::{Message, Session, field, items};
use outcome::waywarden;
use recorded::{describe, forged, refused};
use rmpv::Value;

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
