//! The operator's page, in a real browser: it shows the drive, draws what is there where it is, gives commands, comes back after a
//! restart, and can be used by everybody.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it")]

#[path = "support/client.rs"]
mod client;
#[path = "support/outcome.rs"]
mod outcome;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use client::{get, raw};
use nix::sys::signal::Signal;
use outcome::{PATIENCE, send, sessions, start_after, until, wait};
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::session::{Findings, Record, SessionReader};

/// The longest time that the browser takes for all of it.
const LONGEST: Duration = Duration::from_secs(400);

/// Obstacles are found where they are.
const CONFIG: &str = "\
[[camera]]
width = 640
height = 360
fps = 10
[[gps]]
[[range]]
[[microphone]]
# One that nobody has: who talks is heard as far as that.
[speaker]
device = \"hw:CARD=Nowhere,DEV=9\"
[gate]
force_after_s = 0.2
# On a busy computer jobs stand back for long, which is not what is tried here.
[segmentation]
deadline_ms = 600000
[detection]
deadline_ms = 600000
[simulation]
scenario = \"town\"
perceive = \"truth\"
[simulation.errors]
missed = 0.0
edge_px = 0.0
edge_share = 0.0
false_per_hour = 0.0
[record]
segment_s = 5
free_gb = 0.0
";

fn page_tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web")
}

/// Puts what drives the browser into a folder; none where it cannot be had, which is said.
fn installed(folder: &Path) -> Option<PathBuf> {
    let skipped = |why: String| {
        println!("skipped: {why} (script/bootstrap --tests)");
        None
    };
    if !Path::new("/usr/bin/chromium").exists() {
        return skipped("chromium is not installed".to_owned());
    }
    let place = folder.join("web");
    std::fs::create_dir_all(&place).unwrap();
    for file in ["package.json", "package-lock.json", "operator.js", "page.js", "states.js", "foxglove.js"] {
        std::fs::copy(page_tests().join(file), place.join(file)).unwrap();
    }
    let npm = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&place).output();
    match npm {
        Ok(output) if output.status.success() => Some(place),
        Ok(output) => skipped(format!("npm: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => skipped(format!("npm: {error}")),
    }
}

fn drive(dir: &Path) -> Child {
    drive_with(dir, &["--simulate"])
}

fn drive_with(dir: &Path, more: &[&str]) -> Child {
    let args = ["run", "--config", "config.toml", "--record", "rec", "--log", "info"];
    start_after(dir, "unset XDG_STATE_HOME STATE_DIRECTORY;", &[&args, more].concat())
}

/// The operator's token, as the app has made it.
fn token(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(".local/state/waywarden/tokens.toml")).ok()?;
    let tokens: toml::Table = toml::from_str(&text).ok()?;
    Some(tokens["token"].as_array()?.first()?["token"].as_str()?.to_owned())
}

/// Where everything was in each frame, in the simulator's truth: left, top, width, height.
fn truths(session: &Path) -> BTreeMap<u64, Vec<[f64; 4]>> {
    let mut findings = Findings::open(session).unwrap();
    let (mut frames, mut truths) = (BTreeMap::new(), BTreeMap::new());
    while let Some(tick) = findings.read().unwrap() {
        frames.extend(tick.frames().map(|(id, captured, _)| (captured, id.seq)));
        for (at, truth) in tick.truths() {
            let boxes = truth.objects.iter().filter_map(|object| object.image);
            let boxes = boxes.map(|[l, t, r, b]| [l, t, r - l, b - t].map(f64::from));
            truths.insert(at, boxes.collect::<Vec<_>>());
        }
    }
    frames.into_iter().filter_map(|(at, seq)| Some((seq, truths.remove(&at)?))).collect()
}

/// The loudest that an operator was, in dBFS, by the journals of sessions.
fn loudest(sessions: &[PathBuf]) -> Option<f32> {
    let mut levels = Vec::new();
    for session in sessions {
        let mut reader = SessionReader::open(session).unwrap();
        while let Some(record) = reader.read().unwrap() {
            let Record::Tick(tick) = record else { continue };
            levels.extend(tick.inputs.into_iter().filter_map(|input| match input.payload {
                Payload::Operator(OperatorSaid { event: OperatorEvent::Speaks(level), .. }) => Some(level),
                _ => None,
            }));
        }
    }
    levels.into_iter().max_by(f32::total_cmp)
}

/// Whether a box is where something is, as near as ten pixels.
fn is_there(drawn: &[f64], truth: &[[f64; 4]]) -> bool {
    truth.iter().any(|true_box| drawn.iter().zip(true_box).all(|(a, b)| (a - b).abs() <= 10.0))
}

#[test]
fn an_operator_sees_the_drive_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let Some(web) = installed(dir.path()) else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(dir.path().join("config.toml"), format!("{CONFIG}[http]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    let mut run = drive(dir.path());
    let token = until(&mut run, "tokens", || token(dir.path()));
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    let _ = std::fs::remove_dir_all(&shots);
    std::fs::create_dir_all(&shots).unwrap();
    let mut browser = Command::new("node")
        .args(["page.js", &format!("http://127.0.0.1:{port}/"), &token, shots.to_str().unwrap()])
        .current_dir(&web)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    for line in lines {
        let mut line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let what = line["what"].as_str().unwrap().to_owned();
        if what == "lost" {
            run = drive(dir.path());
            writeln!(browser.stdin.as_mut().unwrap(), "again").unwrap();
        }
        if what == "restart" {
            send(&run, Signal::SIGTERM);
            assert!(wait(&mut run, PATIENCE).success());
        }
        found.entry(what).or_default().push(line["value"].take());
    }
    let said = || std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap_or_default();
    assert!(wait(&mut browser, LONGEST).success(), "{found:#?}\n{}", said());
    send(&run, Signal::SIGTERM);
    assert!(wait(&mut run, PATIENCE).success());

    let one =
        |what: &str| found.get(what).and_then(|all| all.first()).unwrap_or_else(|| panic!("no {what}: {found:#?}"));
    assert_eq!(one("refused"), "The vehicle does not know this token.");
    assert!(one("speeds").as_array().unwrap().len() >= 3, "the speed changes: {}", one("speeds"));
    for device in ["front", "gps", "range", "microphone", "recorder"] {
        assert!(one("devices").as_array().unwrap().contains(&device.into()), "{}", one("devices"));
    }
    if one("way") == "live" {
        assert!(one("decoded").as_u64() > Some(10), "{found:#?}");
        let level = loudest(&sessions(&dir.path().join("rec")));
        println!("the loudest of the browser's voice: {level:?} dBFS");
        assert!(level > Some(-35.0), "the fake microphone beeps: {level:?}");
    }
    println!("{}", one("words"));
    let privacy: Vec<_> = found["privacy"].iter().map(|said| said.as_str().unwrap()).collect();
    assert_eq!(privacy, ["privacy is on.", "privacy is off."]);
    assert!(
        one("lost").as_str().unwrap().contains("lost") && one("again").as_str().unwrap().contains("Live"),
        "{found:#?}"
    );
    let faults: Vec<_> = found["faults"].iter().flat_map(|faults| faults.as_array().unwrap()).collect();
    assert!(faults.is_empty() && found["faults"].len() == 3, "{faults:#?}");
    assert_eq!((one("width"), one("kept"), one("complaints")), (&360.into(), &0.into(), &Value::Array(Vec::new())));
    assert_eq!(one("report")[1], "null", "a report is of no origin");
    let snapshot = std::fs::read(shots.join("snapshot.jpg")).unwrap();
    assert!(snapshot.starts_with(&[0xff, 0xd8]) && snapshot.ends_with(&[0xff, 0xd9]));
    println!("screenshots: {}", shots.display());

    // Of the first run, whose frames were drawn.
    let recorded = sessions(&dir.path().join("rec"));
    let truth = truths(&recorded[0]);
    let drawn = one("boxes").as_array().unwrap();
    let right = drawn.iter().filter(|drawn| {
        let place: Vec<f64> = drawn["box"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
        drawn["edge"].as_u64() > Some(0) && is_there(&place, &truth[&drawn["frame"].as_u64().unwrap()])
    });
    let right = right.count();
    assert!(drawn.len() >= 5 && right == drawn.len(), "{right} of {}: {drawn:#?}", drawn.len());
}

/// A camera inside, for a vehicle that has one ahead.
const CABIN: &str = "\
[[camera]]
name = \"cabin\"
role = \"cabin\"
width = 320
height = 180
fps = 5
";

/// A vehicle with a receiver, a loudspeaker that is not there, and with nothing else.
const BARE: &str = "\
camera = []
range = []
[[gps]]
source = \"simulated\"
[speaker]
device = \"hw:CARD=Nowhere,DEV=9\"
[record]
free_gb = 0.0
";

#[test]
fn what_is_not_as_it_should_be_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let Some(web) = installed(dir.path()) else { return };
    let mut args = vec!["states.js".to_owned(), dir.path().display().to_string()];
    let mut runs = Vec::new();
    // One that warns while its driver looks away.
    let warns = CONFIG.replace("scenario = \"town\"", "scenario = \"distracted\"\npictures = \"plain\"") + CABIN;
    // What is simulated has a microphone, too.
    for (name, config, more) in [("warns", warns.as_str(), &["--simulate"][..]), ("bare", BARE, &[])] {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(place.join("config.toml"), format!("{config}[http]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
        let mut run = drive_with(&place, more);
        let token = until(&mut run, "tokens", || token(&place));
        args.extend([format!("http://127.0.0.1:{port}/"), token]);
        runs.push(run);
    }
    let output = Command::new("node").args(&args).current_dir(&web).output().unwrap();
    for run in &mut runs {
        send(run, Signal::SIGTERM);
        assert!(wait(run, PATIENCE).success());
    }
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        found.entry(line["what"].as_str().unwrap().to_owned()).or_default().push(line["value"].take());
    }
    assert!(output.status.success(), "{found:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{found:#?}");
    let one = |what: &str| &found[what][0];
    assert_eq!(one("tabs"), &serde_json::json!(["front", "cabin", "front", "cabin"]));
    assert_eq!(one("private"), &serde_json::json!(["Privacy is on.\nNobody is watched inside of the vehicle.", 0]));
    assert_eq!(one("public"), 1);
    assert_eq!(one("denied"), "This browser was told not to give the microphone to this page.");
    let alert = one("alert");
    assert!(["caution", "warning"].contains(&alert["level"].as_str().unwrap()), "{alert}");
    assert!(alert["text"].as_str().unwrap().len() > 5 && alert["kind"].is_string(), "{alert}");
    assert!(one("nearing").as_str().unwrap().starts_with("Seen: "));
    let events = one("events").as_array().unwrap();
    assert!(!events.is_empty() && events.iter().all(|kind| kind == "alert"), "{events:?}");
    let bare = one("bare");
    assert!(bare["link"].as_str().unwrap().contains("need attention"), "{bare}");
    assert_eq!(bare["sound"], "no microphone", "{bare}");
    assert!(bare["why"].as_str().unwrap().contains("hw:CARD=Nowhere,DEV=9"), "{bare}");
    let faults: Vec<_> = found["faults"].iter().flat_map(|faults| faults.as_array().unwrap()).collect();
    assert!(faults.is_empty() && found["faults"].len() == 2, "{faults:#?}");
    assert_eq!(one("complaints"), &Value::Array(Vec::new()));
}

#[test]
fn foxglove_watches_with_a_token_or_a_ticket() {
    let dir = tempfile::tempdir().unwrap();
    let Some(web) = installed(dir.path()) else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(dir.path().join("config.toml"), format!("{CONFIG}[http]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    let mut run = drive(dir.path());
    let token = until(&mut run, "tokens", || token(dir.path()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let bearer = format!("Authorization: Bearer {token}");
    until(&mut run, "a scene", || {
        let listens = TcpStream::connect(address).is_ok();
        (listens && get(address, "/api/scene", &[&bearer]).status == 200).then_some(())
    });
    let watch = |path: &str, token: &str, seconds: &str| -> Value {
        let url = format!("ws://127.0.0.1:{port}{path}");
        let output =
            Command::new("node").args(["foxglove.js", &url, token, seconds]).current_dir(&web).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let seen = watch("/foxglove", &token, "12");
    assert!(seen["server"].as_str().unwrap().starts_with("Waywarden "), "{seen}");
    for (topic, schema) in [
        ("/front/image", "foxglove.CompressedImage"),
        ("/front/lane", "foxglove.ImageAnnotations"),
        ("/front/obstacles", "foxglove.ImageAnnotations"),
        ("/gps/fix", "foxglove.LocationFix"),
        ("/log", "foxglove.Log"),
    ] {
        let found = &seen["found"][topic];
        assert!(found["schema"] == schema && found["encoding"] == "protobuf", "{topic}: {seen}");
        assert!(found["schema_bytes"].as_u64() > Some(100) && found["messages"].as_u64() > Some(0), "{topic}: {seen}");
    }
    let pictures = &seen["found"]["/front/image"];
    assert!(pictures["messages"].as_u64() > Some(20) && pictures["messages"] == pictures["jpegs"], "{seen}");

    // Foxglove can be told an address and nothing else: one that lets in once.
    assert!(watch("/foxglove", "", "2")["problem"].as_str().unwrap().contains("401"));
    let head =
        format!("POST /foxglove HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n{bearer}");
    let ticket = raw(address, &head, b"").json()["path"].as_str().unwrap().to_owned();
    assert!(watch(&ticket, "", "2")["server"].is_string());
    assert!(watch(&ticket, "", "2")["problem"].as_str().unwrap().contains("401"), "a ticket is good once");
    send(&run, Signal::SIGTERM);
    assert!(wait(&mut run, PATIENCE).success());
}
