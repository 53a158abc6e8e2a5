//! What agents are answered: by the official Python SDK of the Model Context Protocol, over HTTP against a run that drives, and
//! over standard input against what was recorded; and by hand, where it is not a well-behaved client that asks.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it"
)]

#[path = "support/client.rs"]
mod client;
#[path = "support/outcome.rs"]
mod outcome;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use client::{Answer, raw};
use nix::sys::signal::Signal;
use outcome::{end, send, start, until, waywarden};
use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::session::Findings;

/// Cameras that look ahead and inside, which see plain pictures of a drive whose truth is told.
const CONFIG: &str = r#"
[[camera]]
name = "front"
width = 320
height = 180
fps = 10.0

[[camera]]
name = "cabin"
role = "cabin"
width = 160
height = 96
fps = 10.0

[simulation]
perceive = "truth"
pictures = "plain"

# On a computer that is busy with other tests nothing is old so soon.
[health]
camera_stale_s = 20.0
microphone_stale_s = 20.0
gps_stale_s = 20.0
range_stale_s = 20.0

[record]
segment_s = 2
free_gb = 0.0
"#;

const AGENT: &str = "agent-0123456789abcdef";
const OPERATOR: &str = "operator-0123456789abcdef";
const VIEWER: &str = "viewer-0123456789abcdef";

/// All tools that change nothing.
const READING: [&str; 11] = [
    "compare_sessions",
    "health",
    "lane",
    "obstacles",
    "position",
    "recent_events",
    "search_sessions",
    "session_summary",
    "snapshot",
    "speech_activity",
    "vehicle_state",
];

/// A run with an HTTP server, as long as this lives.
struct Run {
    dir: tempfile::TempDir,
    child: Child,
}

impl Run {
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tokens = [
            (AGENT, "agent", "\"mcp\""),
            (OPERATOR, "operator", "\"mcp\", \"command\", \"config\""),
            (VIEWER, "viewer", "\"view\""),
        ];
        let tokens: String = tokens
            .iter()
            .map(|(token, name, scopes)| {
                format!("[[token]]\nname = \"{name}\"\ntoken = \"{token}\"\nscopes = [{scopes}]\n")
            })
            .collect();
        let file = dir.path().join("tokens.toml");
        std::fs::write(&file, tokens).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let http = "[http]\nlisten = \"127.0.0.1:0\"\ntokens_file = \"tokens.toml\"\n";
        std::fs::write(dir.path().join("config.toml"), format!("{CONFIG}{http}{more}")).unwrap();
        // With everything logged: what is told to nobody must not stand there either.
        let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--log", "debug,rmcp=trace"];
        let child = start(dir.path(), &args);
        Self { dir, child }
    }

    fn address(&mut self) -> SocketAddr {
        let log = self.dir.path().join("stderr.txt");
        until(&mut self.child, "an address", || {
            let said = std::fs::read_to_string(&log).ok()?;
            said.split_once("listening on http://")?.1.split_whitespace().next()?.parse().ok()
        })
    }

    /// Ends it in order.
    fn finish(&mut self) {
        send(&self.child, Signal::SIGTERM);
        end(&mut self.child, self.dir.path()).done();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `body` to `/mcp` with these headers beside the usual ones.
fn post(address: SocketAddr, body: &[u8], headers: &[&str]) -> Answer {
    let more: String = headers.iter().map(|header| format!("\r\n{header}")).collect();
    let host = if headers.iter().any(|header| header.starts_with("Host:")) {
        String::new()
    } else {
        format!("\r\nHost: {address}")
    };
    let head = format!(
        "POST /mcp HTTP/1.1{host}\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: application/json, \
         text/event-stream\r\nContent-Length: {}{more}",
        body.len()
    );
    raw(address, &head, body)
}

/// Calls a tool, by hand.
fn call(address: SocketAddr, token: &str, tool: &str, arguments: Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } });
    post(address, message.to_string().as_bytes(), &[&format!("Authorization: Bearer {token}")]).json()
}

/// The Python of an environment with the SDK; none where that cannot be had.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/requirements-mcp.txt");
            let wanted = std::fs::read(&requirements).unwrap();
            let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python_environment_of_mcp");
            let (python, made_for) = (environment.join("bin/python"), environment.join("made-for.txt"));
            if std::fs::read(&made_for).ok().as_ref() == Some(&wanted) {
                return Some(python);
            }
            let run = |command: &mut Command| match command.stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => Err(error.to_string()),
            };
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
            ];
            let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
                .and_then(|()| run(Command::new(&python).args(pip).arg(&requirements)));
            if let Err(why) = made {
                println!("skipped: the Python package mcp cannot be installed: {}", why.trim());
                return None;
            }
            std::fs::write(&made_for, &wanted).unwrap();
            Some(python)
        })
        .as_deref()
}

/// What the SDK is answered: by `mode` it speaks the older or the newest protocol.
fn agent(python: &Path, mode: &str, calls: &[Value], server: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/mcp_client.py");
    let calls = Value::from(calls).to_string();
    let output =
        Command::new(python).arg(script).args([mode, &calls]).args(server).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

fn names(report: &Value) -> Vec<&str> {
    report["tools"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// The structured answers, of which none may be an error.
fn told(report: &Value) -> Vec<&Value> {
    let answers = report["answers"].as_array().unwrap();
    answers
        .iter()
        .map(|answer| {
            assert!(answer["error"] == false, "{answer}");
            &answer["structured"]
        })
        .collect()
}

/// A JPEG that can be decoded, with its size in pixels.
fn size_of(base64: &Value) -> (u32, u32) {
    use base64::Engine;
    let jpeg = base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap()).unwrap();
    assert!(jpeg.len() <= 384 * 1024);
    let picture = waywarden_systems::camera::jpeg::decode_rgb(&jpeg).unwrap();
    (picture.width, picture.height)
}

#[test]
fn an_agent_asks_a_vehicle_that_drives_and_what_it_recorded() {
    let Some(python) = python() else { return };
    let mut run = Run::start("[mcp]\nenabled = true\nact = true\n");
    let address = run.address();
    // Until there is something of everything.
    until(&mut run.child, "a lane and a place", || {
        let state = call(address, AGENT, "vehicle_state", json!({}));
        let state = &state["result"]["structuredContent"];
        (state["lane_offset_m"].is_number() && state["position"].is_object() && state["session"].is_string())
            .then_some(())
    });
    let url = format!("http://{address}/mcp");
    ask_what_is(python, &url);
    ask_to_act(python, &url, address);
    ask_over_the_bridge(python, run.dir.path(), &format!("http://{address}"));
    run.finish();

    let dir = run.dir.path();
    let session = outcome::sessions(&dir.join("rec")).pop().unwrap();
    let name = session.file_name().unwrap().to_str().unwrap().to_owned();
    let again = dir.join("rec/again.mcap");
    let (from, to) = (session.to_str().unwrap(), again.to_str().unwrap());
    // What agents did is journalled, with who did it, and comes out the same again.
    waywarden(dir, &["replay", from, "--verify", "--out", to]).done();
    what_stands_in(&session);
    let desk = ["stdio", env!("CARGO_BIN_EXE_waywarden"), "--log", "trace", "mcp", "--sessions", dir.to_str().unwrap()];
    ask_on_a_desk(python, &desk, &format!("rec/{name}"));

    // Nothing of what agents brought and got is logged, whatever is logged.
    let log = std::fs::read_to_string(dir.join("stderr.txt")).unwrap();
    for secret in [AGENT, OPERATOR, "/9j/", "structuredContent"] {
        assert!(!log.contains(secret), "{secret} is logged");
    }
}

/// Every tool that changes nothing, with the token of an agent that may do no more.
fn ask_what_is(python: &Path, url: &str) {
    let calls = [
        json!(["vehicle_state", {}]),
        json!(["position", {}]),
        json!(["lane", {}]),
        json!(["obstacles", {}]),
        json!(["health", {}]),
        json!(["recent_events", { "limit": 5 }]),
        json!(["speech_activity", {}]),
        json!(["search_sessions", {}]),
        json!(["snapshot", {}]),
        json!(["snapshot", { "camera": "cabin", "max_width_px": 64 }]),
    ];
    for mode in ["legacy", "auto"] {
        let report = agent(python, mode, &calls, &["http", url, AGENT]);
        assert_eq!(report["version"], if mode == "auto" { "2026-07-28" } else { "2025-11-25" });
        assert_eq!(report["server"]["name"], "waywarden");
        assert!(report["instructions"].as_str().unwrap().contains("null"));
        // No tool acts where the token does not allow commands, whatever the config says.
        assert_eq!(names(&report), READING);
        for (name, tool) in report["tools"].as_object().unwrap() {
            assert_eq!(tool["annotations"]["readOnlyHint"], true, "{name}");
        }
        let told = told(&report);
        let [state, position, lane, obstacles, health, events, speech, sessions, front, cabin] = told[..] else {
            panic!("{told:?}")
        };
        assert!(state["at"]["tick"].as_u64() > Some(0) && state["at"]["utc"].is_string(), "{state}");
        assert_eq!((&state["privacy"], &state["recording"]), (&json!(false), &json!(true)));
        assert!(position["position"]["latitude_deg"].is_f64() && position["position"]["age_s"].is_f64(), "{position}");
        assert!(position["motion"]["speed_kmh"].as_f64() > Some(1.0) && position["unknown"] == json!([]), "{position}");
        assert!(lane["lane"]["width_m"].as_f64() > Some(2.0) && lane["camera"] == "front", "{lane}");
        assert!(obstacles["objects"].is_array() && obstacles["at"]["mono_ns"].is_u64(), "{obstacles}");
        let devices: Vec<&str> =
            health["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap()).collect();
        assert!(["front", "cabin", "gps", "range", "recorder"].iter().all(|name| devices.contains(name)), "{health}");
        assert!(events["live"] == true && events["events"].as_array().unwrap().len() <= 5, "{events}");
        assert!(speech["speaking"].is_boolean(), "{speech}");
        assert_eq!(sessions["sessions"][0]["being_recorded"], true, "{sessions}");
        assert_eq!(sessions["sessions"][0]["name"], state["session"]);
        assert!(front["age_s"].as_f64() < Some(20.0) && front["scaled"] == false, "{front}");
        assert_eq!((&cabin["role"], &cabin["width_px"]), (&json!("cabin"), &json!(60)), "{cabin}");
        let picture = |n: usize| &report["answers"][n]["images"][0];
        assert_eq!((&picture(8)["mimeType"], size_of(&picture(8)["data"])), (&json!("image/jpeg"), (320, 180)));
        assert_eq!(size_of(&picture(9)["data"]), (60, 36));
        // The config is for tokens that allow it.
        assert_eq!(report["resources"], json!(["waywarden://cameras/cabin/frame", "waywarden://cameras/front/frame"]));
    }
    let frame = json!(["resource", { "uri": "waywarden://cameras/front/frame" }]);
    let report = agent(python, "auto", &[frame], &["http", url, AGENT]);
    let content = &report["answers"][0]["contents"][0];
    assert_eq!((&content["mimeType"], size_of(&content["blob"])), (&json!("image/jpeg"), (320, 180)), "{report}");
    assert_eq!(content["uri"], "waywarden://cameras/front/frame");
    let wrong = [
        json!(["session_summary", { "session": "../tokens.toml" }]),
        json!(["compare_sessions", { "a": "/etc/passwd", "b": "../../x" }]),
        json!(["recent_events", { "session": "rec" }]),
        json!(["snapshot", { "camera": "/dev/video0" }]),
        json!(["snapshot", { "camera": 7 }]),
        json!(["position", { "unit": "miles" }]),
        json!(["search_sessions", { "from_utc": "yesterday" }]),
        json!(["search_sessions", { "latitude_deg": 52.0 }]),
        json!(["privacy", { "on": false }]),
        json!(["resource", { "uri": "waywarden://config" }]),
        json!(["resource", { "uri": "file:///etc/passwd" }]),
        json!(["resource", { "uri": "waywarden://cameras/../frame" }]),
    ];
    let report = agent(python, "legacy", &wrong, &["http", url, AGENT]);
    for (call, answer) in wrong.iter().zip(report["answers"].as_array().unwrap()) {
        assert!(answer["error"] == true || answer["refused"].is_string(), "{call}: {answer}");
        assert!(!answer.to_string().contains("root:"), "{call}: {answer}");
    }
    assert!(report["answers"][0]["texts"][0].as_str().unwrap().contains("no session of that name"));
    assert!(report["answers"][6]["texts"][0].as_str().unwrap().contains("from_utc"));
}

/// What somebody may have done who may give commands.
fn ask_to_act(python: &Path, url: &str, address: SocketAddr) {
    let restart = json!(["restart_device", { "device": "nothing" }]);
    let mut calls = vec![
        json!(["preserve", { "around_s": 5 }]),
        json!(["restart_device", { "device": "gps" }]),
        json!(["privacy", { "on": true }]),
        json!(["snapshot", { "camera": "cabin" }]),
        json!(["resource", { "uri": "waywarden://cameras/cabin/frame" }]),
        json!(["speech_activity", {}]),
        json!(["privacy", { "on": false }]),
        json!(["resource", { "uri": "waywarden://config" }]),
        json!(["recent_events", { "kind": "command" }]),
    ];
    calls.extend(std::iter::repeat_n(restart, 7));
    let report = agent(python, "auto", &calls, &["http", url, OPERATOR]);
    assert_eq!(names(&report).len(), 14);
    for name in ["preserve", "restart_device", "privacy"] {
        assert_eq!(report["tools"][name]["annotations"]["readOnlyHint"], false);
    }
    let answers = report["answers"].as_array().unwrap();
    for n in [0, 1, 2, 6] {
        assert_eq!(answers[n]["structured"]["status"], "done", "{}", answers[n]);
    }
    assert!(answers[3]["texts"][0].as_str().unwrap().contains("privacy is on"), "{}", answers[3]);
    assert!(answers[4]["refused"].as_str().unwrap().contains("privacy is on"), "{}", answers[4]);
    assert_eq!(answers[5]["structured"]["speaking"], Value::Null);
    assert!(answers[5]["structured"]["unknown"][0]["why"].as_str().unwrap().contains("privacy"), "{}", answers[5]);
    let config = answers[7]["contents"][0]["text"].as_str().unwrap();
    assert!(config.contains("segment_s = 2") && config.contains("name = \"cabin\""), "{config}");
    assert!(!config.contains("tokens.toml"), "{config}");
    let commands = answers[8]["structured"]["events"].as_array().unwrap();
    assert!(commands.iter().any(|event| event["source"] == "privacy"), "{commands:?}");
    // Ten in a minute are enough.
    for answer in &answers[9..15] {
        assert!(answer["error"] == true && !answer["texts"][0].as_str().unwrap().contains("wait a minute"), "{answer}");
    }
    assert!(answers[15]["texts"][0].as_str().unwrap().contains("wait a minute"), "{}", answers[15]);
    // By hand, without its name on the list: it is no way around.
    let refused = call(address, AGENT, "privacy", json!({ "on": true }));
    assert!(refused["error"]["message"].as_str().unwrap().contains("no such tool"), "{refused}");
}

/// The same server, carried over standard input and output.
fn ask_over_the_bridge(python: &Path, dir: &Path, url: &str) {
    let token = dir.join("token");
    std::fs::write(&token, format!("{AGENT}\n")).unwrap();
    let bridge =
        ["stdio", env!("CARGO_BIN_EXE_waywarden"), "mcp", "--url", url, "--token-file", token.to_str().unwrap()];
    for mode in ["legacy", "auto"] {
        let report = agent(python, mode, &[json!(["position", {}]), json!(["snapshot", {}])], &bridge);
        assert_eq!(names(&report), READING);
        assert!(told(&report)[0]["position"]["latitude_deg"].is_f64());
        assert_eq!(size_of(&report["answers"][1]["images"][0]["data"]), (320, 180));
    }
}

/// The journal has each command and who gave it, and a notice that an agent did.
fn what_stands_in(session: &Path) {
    let (mut commands, mut notices) = (Vec::new(), Vec::new());
    for tick in Findings::open(session).unwrap() {
        let tick = tick.unwrap();
        commands.extend(tick.inputs.iter().filter_map(|input| match &input.payload {
            Payload::Message(message) => Some((message.topic.clone(), message.by.clone())),
            _ => None,
        }));
        notices.extend(tick.found.into_iter().flat_map(|found| found.notices));
    }
    for name in ["preserve", "restart-device", "privacy"] {
        assert!(commands.contains(&(format!("cmd/{name}"), "operator".to_owned())), "{commands:?}");
    }
    assert_eq!(commands.len(), 10);
    let said = |text: &str| notices.iter().any(|notice| notice.source == "mcp" && notice.text.contains(text));
    assert!(said("an agent, operator, asks for privacy"), "{notices:?}");
}

/// What was recorded, without a vehicle.
fn ask_on_a_desk(python: &Path, desk: &[&str], name: &str) {
    let listed = agent(python, "legacy", &[json!(["search_sessions", {}])], desk);
    let sessions = told(&listed)[0]["sessions"].as_array().unwrap();
    let listed: Vec<&str> = sessions.iter().map(|session| session["name"].as_str().unwrap()).collect();
    // Beside the two there is the piece that the agent had kept.
    assert!(listed.contains(&name) && listed.contains(&"rec/again.mcap") && listed.len() == 3, "{listed:?}");
    let session = sessions.iter().find(|session| session["name"] == name).unwrap();
    let start = session["started_utc"].as_str().unwrap();
    let calls = [
        json!(["session_summary", { "session": name }]),
        json!(["compare_sessions", { "a": name, "b": "rec/again.mcap" }]),
        json!(["recent_events", { "session": name, "kind": "notice" }]),
        json!(["speech_activity", { "session": name }]),
        json!(["snapshot", { "session": name, "at_s": 1.0 }]),
        json!(["search_sessions", { "to_utc": "2001-01-01T00:00:00Z" }]),
        json!(["search_sessions", { "from_utc": start, "kind": "notice", "text": "AN AGENT", "limit": 1 }]),
        json!(["search_sessions", { "latitude_deg": -52.0, "longitude_deg": 13.0 }]),
    ];
    let report = agent(python, "auto", &calls, desk);
    let recorded: Vec<&str> = READING
        .into_iter()
        .filter(|name| !["health", "lane", "obstacles", "position", "vehicle_state"].contains(name))
        .collect();
    assert_eq!(names(&report), recorded);
    assert_eq!(report["resources"], json!([]));
    let told = told(&report);
    let [summary, compared, notices, speech, picture, before, fitting, elsewhere] = told[..] else {
        panic!("{told:?}")
    };
    assert!(summary["complete"] == true && summary["length_s"].as_f64() > Some(2.0), "{summary}");
    assert!(summary["summary"][0].as_str().unwrap().contains("recorded live"), "{summary}");
    assert_eq!(summary["devices"]["front"]["last_state"].as_str().map(str::is_empty), Some(false), "{summary}");
    assert_eq!((&compared["verdict"], &compared["complete"]), (&json!("same"), &json!(true)), "{compared}");
    assert_eq!(compared["ticks"], compared["equal_ticks"]);
    let agents = |event: &&Value| event["source"] == "mcp";
    let first = notices["events"].as_array().unwrap().iter().find(agents).unwrap();
    assert!(first["at_s"].is_f64() && first["utc"].is_string() && first["age_s"].is_null(), "{first}");
    assert!(speech["spoke"].is_array() && speech["speaking"].is_null(), "{speech}");
    assert!(picture["at_s"].as_f64() >= Some(1.0) && picture["session"] == name, "{picture}");
    assert_eq!(size_of(&report["answers"][4]["images"][0]["data"]), (320, 180));
    assert_eq!((&before["sessions"], before["looked_at"].as_u64()), (&json!([]), Some(3)), "{before}");
    // Page after page.
    let one = fitting["sessions"].as_array().unwrap();
    assert!(
        one.len() == 1 && one[0]["matches"][0]["source"] == "mcp" && fitting["next_cursor"].is_string(),
        "{fitting}"
    );
    let next = json!(["search_sessions", { "from_utc": start, "kind": "notice", "text": "AN AGENT", "cursor": fitting["next_cursor"] }]);
    let rest = agent(python, "legacy", &[next], desk);
    let rest = rest["answers"][0]["structured"]["sessions"].as_array().unwrap().clone();
    assert!(rest.iter().all(|session| session["name"] != one[0]["name"]) && !rest.is_empty(), "{rest:?}");
    assert_eq!(elsewhere["sessions"], json!([]));
}

#[test]
fn whoever_may_not_ask_is_refused_and_none_of_it_is_logged() {
    let mut run = Run::start("[mcp]\nenabled = true\n");
    let address = run.address();
    let token = format!("Authorization: Bearer {AGENT}");
    let list = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let status = |body: &[u8], headers: &[&str]| post(address, body, headers).status;
    let tools = post(address, list, &[&token]);
    let named: Vec<Value> =
        tools.json()["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(named, READING);
    // Not even for whoever may give commands, where the config does not say so.
    let operator = post(address, list, &[&format!("Authorization: Bearer {OPERATOR}")]);
    assert_eq!(operator.json()["result"]["tools"].as_array().unwrap().len(), READING.len());

    assert_eq!(status(list, &[]), 401);
    assert_eq!(status(list, &["Authorization: Bearer SECRET-0123456789abcdef"]), 401);
    assert_eq!(status(list, &[&format!("Authorization: Bearer {VIEWER}")]), 403);
    assert_eq!(status(list, &[&token, "Host: evil.example"]), 421);
    assert_eq!(status(list, &[&token, "Origin: https://evil.example"]), 403);
    assert_eq!(status(list, &[&token, "Origin: null"]), 403);
    assert_eq!(status(list, &[&token, &format!("Origin: http://{address}")]), 200);
    let huge =
        [b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"SECRET".to_vec(), vec![b'x'; 65_536], b"\"}".to_vec()].concat();
    assert_eq!(status(&huge, &[&token]), 413);
    for (body, code) in [
        (&b"SECRET"[..], -32700),
        (b"{\"jsonrpc\":\"2.0\",", -32700),
        (b"[]", -32600),
        (br#"{"jsonrpc":"2.0","id":7}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":"SECRET"}"#, -32600),
    ] {
        let refused = post(address, body, &[&token]);
        let text = String::from_utf8_lossy(body);
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(code)), "{text}: {refused:?}");
    }
    let unknown = post(address, br#"{"jsonrpc":"2.0","id":"a","method":"SECRET"}"#, &[&token]);
    assert_eq!((&unknown.json()["error"]["code"], &unknown.json()["id"]), (&json!(-32601), &json!("a")), "{unknown:?}");
    assert_eq!(post(address, br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, &[&token]).status, 202);
    let wrong = call(address, AGENT, "lane", json!({ "camera": "SECRET" }));
    assert_eq!(wrong["result"]["isError"], true, "{wrong}");
    let get = raw(address, &format!("GET /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{token}"), b"");
    assert_eq!(get.status, 405);
    let plain = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\n{token}\r\nContent-Length: 2"
    );
    assert_eq!(raw(address, &plain, b"{}").status, 415);
    // It goes on as if nobody had asked.
    assert!(
        call(address, AGENT, "position", json!({}))["result"]["structuredContent"]["at"]["tick"].as_u64() > Some(0)
    );
    run.finish();
    let log = std::fs::read_to_string(run.dir.path().join("stderr.txt")).unwrap();
    assert!(!log.contains("SECRET") && !log.contains(AGENT), "{log}");
}

#[test]
fn nobody_is_answered_unless_the_config_says_so() {
    let mut run = Run::start("");
    let address = run.address();
    let list = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(post(address, list, &[&format!("Authorization: Bearer {AGENT}")]).status, 404);
    run.finish();
    let dir = run.dir.path();
    waywarden(dir, &["mcp", "--sessions", "nowhere"]).refused(&["nowhere", "no folder"]);
    waywarden(dir, &["mcp", "--url", "http://car-7.example"]).refused(&["--url", "https"]);
    let nothing = waywarden(dir, &["mcp", "--sessions", "."]).done();
    // Nobody said anything, so nothing is answered.
    assert_eq!(nothing.out, "");
}
