//! What the vehicle says to a real broker and hears from it: valid by its schemas, nothing lost, nothing obeyed late or
//! twice, and all of it replays without a broker.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a long test says what it found")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/told.rs"]
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use broker::{Broker, Heard, LASTING, Listener, Proxy, Wire, pause, until};
use nix::sys::signal::Signal;
use outcome::{PATIENCE, end, no_socket_is_opened, send, sessions, start_after, wait, waywarden};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::mqtt::wire;
use waywarden_systems::session::{Record, SessionReader};

const BASE: &str = "fleet/a/van-1";

/// All kinds of device, each at a low rate; everything is told often.
fn config(port: u16, more: &str) -> String {
    format!(
        "[[camera]]\nwidth = 320\nheight = 180\nfps = 10.0\nloop_frames = 20\n[[microphone]]\n[[gps]]\n[[range]]\n\
         [record]\nsegment_s = 2\nfree_gb = 0.0\n\
         [mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\nvehicle = \"van-1\"\nprefix = \"fleet/a\"\nspool = \"spool\"\n\
         position_hz = 10.0\nspeed_hz = 10.0\nlane_hz = 10.0\nobjects_hz = 10.0\nheartbeat_s = 1\nreconnect_max_s = 1\n\
         position_deadband_m = 0.0\nspeed_deadband_kmh = 0.0\nlane_deadband_m = 0.0\n{more}\n"
    )
}

fn drive(dir: &Path) -> Child {
    let args = ["run", "--config", "config.toml", "--simulate", "--record", "rec"];
    // State of the test's own.
    start_after(dir, "unset XDG_STATE_HOME STATE_DIRECTORY;", &args)
}

fn topic(below: &str) -> String {
    format!("{BASE}/{below}")
}

/// Every message of the vehicle is what its schema says; gives how many of each there were.
fn valid(heard: &[Heard]) -> BTreeMap<&'static str, usize> {
    let schemas: Vec<_> = wire::schemas()
        .into_iter()
        .map(|(name, topic, schema)| {
            let validator = jsonschema::validator_for(schema.as_value()).unwrap();
            (name, topic.split('/').collect::<Vec<_>>(), validator)
        })
        .collect();
    let mut counts = BTreeMap::new();
    for message in heard {
        let Some(below) = message.topic.strip_prefix(BASE) else { continue };
        let levels: Vec<&str> = below.trim_start_matches('/').split('/').collect();
        // Commands are the test's own; switches and pictures are no JSON.
        let is_own = matches!(levels[..], ["cmd", _] | [_, "set"]);
        if is_own || matches!(levels[..], ["snapshot", _] | [_, "state"]) {
            continue;
        }
        let fits = |pattern: &[&str]| {
            pattern.len() == levels.len() && pattern.iter().zip(&levels).all(|(a, b)| *a == "+" || a == b)
        };
        let (name, _, validator) = schemas
            .iter()
            .find(|(_, pattern, _)| fits(pattern))
            .unwrap_or_else(|| panic!("no schema for {}", message.topic));
        let json = message.json();
        let wrong: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {json}: {wrong:?}", message.topic);
        *counts.entry(*name).or_default() += 1;
    }
    counts
}

/// What the sessions of a folder say was told: of each run and stream the number of the last message.
fn told(folder: &Path) -> BTreeMap<(String, String), u64> {
    let of = |session: &std::path::PathBuf| {
        let (run, told) = told::told(session);
        told.into_iter().map(move |(stream, last)| ((run.clone(), stream), last))
    };
    sessions(folder).iter().flat_map(of).collect()
}

/// Of each run and stream, the messages that were heard, in order: their numbers, and whether they were late.
fn delivered(heard: &[Heard]) -> BTreeMap<(String, String), Vec<(u64, bool)>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut contents: BTreeMap<_, Value> = BTreeMap::new();
    for message in heard {
        let Some(stream) = message.topic.strip_prefix(BASE).map(|topic| topic.trim_start_matches('/')) else {
            continue;
        };
        let Ok(mut json) = serde_json::from_slice::<Value>(&message.bytes) else { continue };
        let (Some(seq), Some(run)) = (json["seq"].as_u64(), json["boot_id"].as_str().map(str::to_owned)) else {
            continue;
        };
        let late = json["hist"].take() == json!(true);
        let key = (run, stream.to_owned());
        // One that came twice says the same.
        let before = contents.entry((key.clone(), seq)).or_insert_with(|| json.clone());
        assert_eq!(*before, json);
        found.entry(key).or_default().push((seq, late));
    }
    found
}

/// All that was told was delivered, in order: of each stream what is late among itself, and what is not. Gives how many
/// messages that were, and how many came more than once.
fn complete(folder: &Path, listener: &Listener) -> (usize, usize) {
    let told = told(folder);
    let missing = || {
        let delivered = delivered(&listener.all());
        let of = |key| delivered.get(key).into_iter().flatten().map(|(seq, _)| *seq).collect::<BTreeSet<u64>>();
        let missing = told.iter().flat_map(|(key, last)| {
            let there = of(key);
            (1..=*last).filter(move |seq| !there.contains(seq)).map(move |seq| (key.clone(), seq))
        });
        missing.collect::<Vec<_>>()
    };
    let began = waywarden_systems::clock::boottime();
    while !missing().is_empty() {
        let waited = waywarden_systems::clock::boottime().since(began);
        assert!(waited < Duration::from_secs(30), "not delivered: {:?} of {told:?}", missing());
        pause(100);
    }
    let (mut count, mut twice) = (0, 0);
    for (key, messages) in delivered(&listener.all()) {
        for late in [false, true] {
            let mut first = BTreeSet::new();
            let mut last = 0;
            for (seq, _) in messages.iter().filter(|(_, hist)| *hist == late) {
                if first.insert(*seq) {
                    assert!(*seq > last, "{key:?}: {seq} after {last}, late: {late}");
                    last = *seq;
                }
            }
        }
        let different: BTreeSet<u64> = messages.iter().map(|(seq, _)| *seq).collect();
        count += different.len();
        twice += messages.len() - different.len();
    }
    (count, twice)
}

fn status(listener: &Listener) -> Option<Value> {
    listener.ending("/status").last().map(|heard| heard.json()["state"].clone())
}

#[test]
fn a_drive_is_told_commands_are_obeyed_and_all_of_it_replays() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Broker::start(dir.path(), LASTING) else { return };
    let listener = Listener::new(broker.port, "listener", None);
    let more = "home_assistant = \"homeassistant\"\nowntracks = \"owntracks/fleet/van-1\"";
    std::fs::write(dir.path().join("config.toml"), config(broker.port, more)).unwrap();
    let mut child = drive(dir.path());
    for stream in ["position", "speed", "lane", "objects", "voice", "health"] {
        until(stream, || listener.ending(&format!("/telemetry/{stream}")).pop());
    }
    assert_eq!(status(&listener), Some(json!("online")));
    let birth = listener.ending("/birth").pop().unwrap().json();
    assert_eq!(birth["devices"]["front"], "camera");
    assert_eq!(birth["boot_id"], listener.ending("/telemetry/speed")[0].json()["boot_id"]);
    assert!(listener.ending("/config").iter().any(|heard| heard.json()["components"]["speed"].is_object()));
    let location = until("location", || listener.ending("owntracks/fleet/van-1").pop()).json();
    assert_eq!(location["_type"], "location");

    let order = |name: &str, json: &str| {
        let answer = listener.order(BASE, name, json);
        (answer["status"].as_str().unwrap().to_owned(), answer["reason"].as_str().unwrap().to_owned())
    };
    let done = |reason: &str| ("done".to_owned(), reason.to_owned());
    assert_eq!(order("ping", r#"{"id":"1"}"#), done("pong"));
    assert_eq!(order("ping", r#"{"id":"2","expires_at":"2099-01-01T00:00:00Z"}"#), done("pong"));
    assert_eq!(order("ping", r#"{"id":"3","expires_at":"2020-01-01T00:00:00Z"}"#).0, "expired");
    assert_eq!(order("snapshot", r#"{"id":"4"}"#).0, "done");
    let picture = until("picture", || listener.ending("/snapshot/front").pop());
    assert!(picture.bytes.starts_with(&[0xff, 0xd8]) && picture.bytes.ends_with(&[0xff, 0xd9]));
    assert_eq!(order("set-rate", r#"{"id":"5","stream":"health","rate_hz":0.5}"#).0, "done");
    assert_eq!(order("restart-device", r#"{"id":"6","device":"gps"}"#), done("it is open again"));
    assert_eq!(order("preserve", r#"{"id":"7","around_s":1}"#).0, "done");
    // What comes twice is answered, and not done twice.
    let pictures = listener.ending("/snapshot/front").len();
    listener.say(&topic("cmd/snapshot"), false, br#"{"id":"4"}"#);
    assert_eq!(order("ping", r#"{"id":"8"}"#).0, "done");
    assert_eq!(listener.ending("/snapshot/front").len(), pictures);
    // What cannot be read, or is none, is answered.
    for (name, bytes) in [
        ("ping", &b"\xff\xfe{"[..]),
        ("ping", b"{}"),
        ("ping", br#"{"id":"9","and":"more"}"#),
        ("reboot", br#"{"id":"10"}"#),
        ("recording", br#"{"id":"11","value":[[[[]]]]}"#),
        ("ping", &vec![b'['; 10_000_000]),
    ] {
        // Those that there are not are answered under one name.
        let ack = format!("cmd/{}/ack", if name == "reboot" { "unknown" } else { name });
        let before = listener.ending(&ack).len();
        listener.say(&topic(&format!("cmd/{name}")), false, bytes);
        let answer = until("answer", || listener.ending(&ack).get(before).cloned());
        assert_eq!(answer.json()["data"]["status"], "failed", "{}", answer.json());
    }
    // Switches, as home automation sets them. Nothing that a microphone hears comes in while privacy is on.
    let state = |switch: &str| listener.ending(&format!("/{switch}/state")).pop().map(|heard| heard.bytes);
    listener.say(&topic("privacy/set"), false, b"ON");
    until("privacy", || (state("privacy")? == b"ON").then_some(()));
    pause(700);
    listener.say(&topic("privacy/set"), false, b"OFF");
    until("no privacy", || (state("privacy")? == b"OFF").then_some(()));
    listener.say(&topic("recording/set"), false, b"OFF");
    until("no recording", || (state("recording")? == b"OFF").then_some(()));
    pause(300);
    listener.say(&topic("recording/set"), false, b"ON");
    until("recording", || (state("recording")? == b"ON").then_some(()));
    assert_eq!(order("ping", r#"{"id":"12"}"#).0, "done");

    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
    until("farewell", || status(&listener).filter(|state| state == "stopped"));
    complete(&dir.path().join("rec"), &listener);
    let counts = valid(&listener.all());
    println!("valid: {counts:?}");
    assert!(["status", "birth", "telemetry-lane", "event", "command-reply"].iter().all(|name| counts[name] > 0));

    // Without a broker it replays: what came from it is in the journal.
    broker.kill();
    let session = sessions(&dir.path().join("rec")).pop().unwrap();
    let replayed = waywarden(dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
    println!("{}", replayed.out);
    no_socket_is_opened(dir.path(), &session);
    privacy_was_kept(&session);
}

/// Between privacy on and off no sound came in, and before and after some did.
fn privacy_was_kept(session: &Path) {
    let mut reader = SessionReader::open(session).unwrap();
    let (mut private, mut heard, mut phases) = (false, [0, 0], 0);
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(tick) = record else { continue };
        let sound = tick.inputs.iter().filter(|input| matches!(input.payload, Payload::Audio(_))).count();
        // What comes in in the very tick of the command was said before it.
        heard[usize::from(private)] += sound;
        for input in &tick.inputs {
            if let Payload::Message(message) = &input.payload
                && message.topic == "privacy/set"
            {
                (private, phases) = (message.bytes[..] == b"ON"[..], phases + 1);
            }
        }
    }
    assert_eq!(phases, 2);
    assert!(heard[0] > 10, "{heard:?}");
    assert_eq!(heard[1], 0, "sound came in while privacy was on");
}

#[test]
fn who_vanishes_is_offline_and_a_command_is_not_obeyed_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(dir.path(), LASTING) else { return };
    let listener = Listener::new(broker.port, "listener", None);
    std::fs::write(dir.path().join("config.toml"), config(broker.port, "")).unwrap();
    let mut child = drive(dir.path());
    until("online", || status(&listener).filter(|state| state == "online"));
    let off = r#"{"id":"once","value":"on"}"#;
    assert_eq!(listener.order(BASE, "privacy", off)["status"], "done");
    until("privacy", || listener.ending("/privacy/state").pop().filter(|state| state.bytes == b"ON"));
    pause(200);
    send(&child, Signal::SIGKILL);
    wait(&mut child, PATIENCE);
    until("offline", || status(&listener).filter(|state| state == "offline"));
    // What was said meanwhile is heard, and obeyed if it has not expired.
    listener.say(&topic("cmd/ping"), false, br#"{"id":"meanwhile"}"#);
    listener.say(&topic("cmd/privacy"), false, off.as_bytes());
    listener.say(
        &topic("cmd/recording"),
        false,
        br#"{"id":"stale","value":"off","expires_at":"2026-01-01T00:00:00Z"}"#,
    );
    let heard = listener.all().len();
    let mut child = drive(dir.path());
    assert_eq!(listener.answer(BASE, "ping", &json!("meanwhile"))["status"], "done");
    assert_eq!(listener.answer(BASE, "recording", &json!("stale"))["status"], "expired");
    let again = until("answer", || {
        let all = listener.all();
        let own = all[heard..].iter().filter(|heard| heard.topic.ends_with("/cmd/privacy/ack"));
        own.map(Heard::json).find(|json| json["data"]["status"] == "failed" && json["hist"] == false)
    });
    assert!(again["data"]["reason"].as_str().unwrap().contains("came in before"), "{again}");
    // Privacy outlives the kill.
    until("privacy", || listener.ending("/privacy/state").pop().filter(|state| state.bytes == b"ON"));
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
}

/// Kills the broker and the program so many times each, in any order.
fn kill_all(times: u32, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Broker::start(dir.path(), LASTING) else { return };
    let listener = Listener::new(broker.port, "listener", None);
    std::fs::write(dir.path().join("config.toml"), config(broker.port, "")).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut brokers, mut programs) = (times, times);
    let mut child = drive(dir.path());
    while brokers + programs > 0 {
        pause(random.random_range(500..2500));
        if random.random_range(0..brokers + programs) < brokers {
            brokers -= 1;
            broker.kill();
            pause(random.random_range(0..1500));
            broker.go_on();
        } else {
            programs -= 1;
            send(&child, Signal::SIGKILL);
            wait(&mut child, PATIENCE);
            child = drive(dir.path());
        }
    }
    pause(2000);
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
    // What the last run could not send in the time that it had is sent by the next one.
    let mut child = drive(dir.path());
    pause(3000);
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
    let (count, twice) = complete(&dir.path().join("rec"), &listener);
    println!("{times} kills of each: {count} messages told and delivered, {twice} of them more than once, 0 lost");
    assert!(count > 100);
    valid(&listener.all());
}

#[test]
fn nothing_is_lost_when_broker_and_program_are_killed() {
    kill_all(5, 1);
}

#[test]
#[ignore = "long: broker and program killed 20 times each"]
fn nothing_is_lost_when_broker_and_program_are_killed_twenty_times() {
    kill_all(20, 2);
}

#[test]
fn nothing_is_lost_on_a_wire_that_stalls_is_cut_half_open_or_slow() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(dir.path(), LASTING) else { return };
    let listener = Listener::new(broker.port, "listener", None);
    let wire = Proxy::to(broker.port);
    std::fs::write(dir.path().join("config.toml"), config(wire.port, "keep_alive_s = 1")).unwrap();
    let mut child = drive(dir.path());
    let so_far = || listener.ending("/telemetry/speed").len();
    until("a start", || (so_far() > 0).then_some(()));
    let goes_on = |what: &str| {
        let before = so_far();
        until(&format!("messages after {what}"), || (so_far() > before + 20).then_some(()));
    };
    for fault in [Wire::Stalls, Wire::HalfOpen, Wire::Cuts, Wire::Throttles] {
        wire.set(fault);
        pause(3500);
        wire.set(Wire::Passes);
        goes_on(&format!("{fault:?}"));
    }
    // A topic that is no UTF-8, a packet of another protocol, an acknowledgement that nobody waits for, an endless length.
    for bytes in [
        &[0x30, 5, 0, 2, 0xff, 0xfe, b'x'][..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x40, 2, 0xff, 0xff],
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        wire.inject(bytes);
        goes_on(&format!("{bytes:?}"));
    }
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
    let (count, twice) = complete(&dir.path().join("rec"), &listener);
    println!("{count} messages told and delivered, {twice} of them more than once, 0 lost");
}

#[test]
fn who_listens_slowly_gets_all_of_it_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(dir.path(), LASTING) else { return };
    let wire = Proxy::to(broker.port);
    let slow = Listener::new(wire.port, "slow", None);
    let quick = Listener::new(broker.port, "quick", None);
    wire.set(Wire::Trickles);
    std::fs::write(dir.path().join("config.toml"), config(broker.port, "")).unwrap();
    let mut child = drive(dir.path());
    until("online", || status(&quick).filter(|state| state == "online"));
    pause(6000);
    let (ahead, behind) = (quick.all().len(), slow.all().len());
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();
    assert!(behind * 2 < ahead, "it is not slow: {behind} of {ahead}");
    // The vehicle does not notice.
    let log = std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap();
    assert!(!log.contains("broker: degraded"), "{log}");
    wire.set(Wire::Passes);
    for listener in [&quick, &slow] {
        let (count, twice) = complete(&dir.path().join("rec"), listener);
        println!("{count} messages told and delivered, {twice} of them more than once, 0 lost");
    }
}

/// Runs a tool, which must succeed.
fn tool(dir: &Path, line: &str) {
    let output = std::process::Command::new("sh").arg("-c").arg(line).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_those_who_prove_who_they_are_are_spoken_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    for ca in ["ca", "other"] {
        tool(
            path,
            &format!("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem"),
        );
    }
    std::fs::write(path.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    for (name, extra) in [("server", "-extfile names"), ("vehicle", "-extfile names")] {
        tool(path, &format!("openssl req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        tool(
            path,
            &format!(
                "openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 {extra} -out {name}.pem"
            ),
        );
    }
    let tools = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto_passwd"].iter().all(|path| Path::new(path).exists());
    if !tools {
        println!("skipped: mosquitto is not installed (script/bootstrap --tests)");
        return;
    }
    tool(path, "touch users && mosquitto_passwd -b users van 'pass word' && mosquitto_passwd -b users listener l");
    let here = path.display();
    let inside = broker::free_port();
    let more = format!(
        "allow_anonymous false\npassword_file {here}/users\ncafile {here}/ca.pem\ncertfile {here}/server.pem\n\
         keyfile {here}/server.key\nrequire_certificate true\nlistener {inside} 127.0.0.1\n"
    );
    let Some(broker) = Broker::start(path, &more) else { return };
    let listener = Listener::new(inside, "listener", Some(("listener", "l")));
    std::fs::write(path.join("password"), "pass word\n").unwrap();
    std::fs::write(path.join("wrong"), "password").unwrap();
    let config = |ca: &str, certificate: bool, password: &str| {
        let certificate = if certificate { "cert_file = \"vehicle.pem\"\nkey_file = \"vehicle.key\"\n" } else { "" };
        format!(
            "[mqtt]\nbroker = \"mqtts://localhost:{}\"\nvehicle = \"van-1\"\nprefix = \"fleet/a\"\nspool = \"spool\"\n\
             ca_file = \"{ca}.pem\"\nusername = \"van\"\npassword_file = \"{password}\"\n{certificate}",
            broker.port
        )
    };
    for (ca, certificate, password, words) in [
        ("other", true, "password", "mqtt.ca_file"),
        ("ca", false, "password", "ertificate"),
        ("ca", true, "wrong", "mqtt.password_file"),
    ] {
        std::fs::write(path.join("config.toml"), config(ca, certificate, password)).unwrap();
        let mut child = start_after(path, "", &["run", "--config", "config.toml", "--simulate"]);
        let log = until(words, || {
            let log = std::fs::read_to_string(path.join("stderr.txt")).unwrap();
            log.lines().any(|line| line.contains("broker: degraded") && line.contains(words)).then_some(log)
        });
        assert!(!log.contains("pass word"), "{log}");
        send(&child, Signal::SIGTERM);
        wait(&mut child, PATIENCE);
    }
    assert!(listener.all().is_empty(), "{:?}", listener.all());
    std::fs::write(path.join("config.toml"), config("ca", true, "password")).unwrap();
    let mut child = start_after(path, "", &["run", "--config", "config.toml", "--simulate", "--record", "rec"]);
    until("online", || status(&listener).filter(|state| state == "online"));
    send(&child, Signal::SIGTERM);
    end(&mut child, path).done();
    // The password is in no recording.
    let session = sessions(&path.join("rec")).pop().unwrap();
    for segment in std::fs::read_dir(session).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()) {
        assert!(!segment.windows(9).any(|bytes| bytes == b"pass word"));
    }
}
