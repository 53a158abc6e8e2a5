//! Models that are computed elsewhere: by this program's own service, for runs of this program; and what is recorded of it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it")]

#[path = "support/client.rs"]
mod client;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/server.rs"]
mod server;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{get, post, raw};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outcome::{PATIENCE, end, no_socket_is_opened, start, waywarden};
use serde_json::Value;
use waywarden::access::Access;
use waywarden::config::Http;
use waywarden::http::Server;
use waywarden::inference_service;
use waywarden::network::Network;
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg::{RgbPicture, encode_rgb};
use waywarden_systems::inference::api::{LARGEST_PICTURE, parse_models, parse_reply, parse_speech};
use waywarden_systems::inference::{Inference, InferenceError, ModelIdentity};
use waywarden_systems::session::{Findings, Record, SessionReader};

const CONTRACT: &str = include_str!("../assets/inference-api.yaml");

const CAMERA: &str = "[[camera]]\nwidth = 160\nheight = 96\nfps = 10.0\nloop_frames = 10\n[gate]\nthreshold = 0.0\n";

#[expect(clippy::disallowed_methods, reason = "waits for another process")]
fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that serves or runs in a folder of its own, as long as this lives.
struct Program {
    dir: tempfile::TempDir,
    child: Child,
}

impl Program {
    /// The service, at an address.
    fn serve(config: &str, listen: &str) -> (Self, SocketAddr) {
        let dir = tempfile::tempdir().unwrap();
        let models = tiny_models::write(dir.path(), &["segmentation", "detection"]);
        std::fs::write(dir.path().join("config.toml"), format!("{models}{config}")).unwrap();
        let args = ["serve-inference", "--config", "config.toml", "--listen", listen, "--json"];
        let child = start(dir.path(), &args);
        let program = Self { dir, child };
        let url = until("service", || {
            let said = std::fs::read_to_string(program.dir.path().join("stdout.txt")).ok()?;
            let said: Value = serde_json::from_str(said.lines().next()?).ok()?;
            assert_eq!(said["ok"], true, "{said}");
            Some(said["url"].as_str()?.to_owned())
        });
        (program, url.split_once("://").unwrap().1.parse().unwrap())
    }

    /// A run that has pictures looked at by the service at `service`, without models of its own but those of `roles`.
    fn run(service: SocketAddr, roles: &[&str]) -> (Self, SocketAddr) {
        let dir = tempfile::tempdir().unwrap();
        let models = if roles.is_empty() { String::new() } else { tiny_models::write(dir.path(), roles) };
        let remote = format!(
            "[remote]\nurl = \"http://{service}\"\nbreaker_failures = 2\nbreaker_rest_s = 0.2\nroles = [\"segmentation\"]\n"
        );
        let rest = "[http]\nlisten = \"127.0.0.1:0\"\n[record]\nsegment_s = 1\n";
        let off = if roles.contains(&"segmentation") { "" } else { "[detection]\nenabled = false\n" };
        std::fs::write(dir.path().join("config.toml"), format!("{CAMERA}{models}{remote}{rest}{off}")).unwrap();
        let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--log", "info"];
        let child = start(dir.path(), &args);
        let program = Self { dir, child };
        let address = until("address", || {
            let said = program.said();
            said.split_once("listening on http://")?.1.split_whitespace().next()?.parse().ok()
        });
        (program, address)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.txt")).unwrap_or_default()
    }

    fn stop(&mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        end(&mut self.child, self.dir.path()).done();
    }

    fn session(&self) -> PathBuf {
        std::fs::read_dir(self.dir.path().join("rec")).unwrap().next().unwrap().unwrap().path()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of a run's metrics; 0 while it is not there.
fn metric(address: SocketAddr, name: &str) -> f64 {
    let answer = get(address, "/metrics", &[]);
    let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}

const DONE: &str = "waywarden_jobs_total{role=\"segmentation\",outcome=\"done\"}";

fn replay(dir: &Path, session: &Path, more: &[&str]) -> Value {
    let args = [&["replay", session.to_str().unwrap(), "--verify", "--json"], more].concat();
    let out = waywarden(dir, &args).done().out;
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

#[test]
fn what_a_service_found_is_recorded_and_replays_where_there_is_none() {
    let (mut service, address) = Program::serve("", "127.0.0.1:0");
    let (mut run, watched) = Program::run(address, &[]);
    until("results", || (metric(watched, DONE) >= 5.0).then_some(()));
    assert_eq!(metric(watched, "waywarden_device_connected{device=\"remote\",kind=\"remote\"}"), 1.0);
    assert!(metric(watched, "waywarden_remote_requests_total{outcome=\"answered\"}") >= 5.0);
    run.stop();
    service.stop();
    let (dir, session) = (run.dir.path(), run.session());
    let inspected = waywarden(dir, &["inspect", session.to_str().unwrap(), "--json"]).done().out;
    let inspected: Value = serde_json::from_str(inspected.lines().last().unwrap()).unwrap();
    let engine = inspected["info"]["models"]["segmentation"]["engine"].as_str().unwrap().to_owned();
    assert!(engine.starts_with("remote rten ") || engine.starts_with("remote onnxruntime "), "{engine}");

    let replayed = replay(dir, &session, &[]);
    assert_eq!((replayed["jobs"].as_str(), &replayed["verified"]["differing"]), (Some("recorded"), &0.into()));
    assert!(replayed["frames"]["segmented"].as_u64() >= Some(5), "{replayed}");
    no_socket_is_opened(dir, &session);
}

#[test]
fn without_its_service_lanes_are_sought_here_until_it_is_back() {
    let (mut service, address) = Program::serve("", "127.0.0.1:0");
    let (mut run, watched) = Program::run(address, &[]);
    until("results", || (metric(watched, DONE) >= 3.0).then_some(()));
    service.stop();
    let degraded = "waywarden_device_health{device=\"remote\",kind=\"remote\",state=\"degraded\"}";
    until("word of the loss", || (metric(watched, degraded) == 1.0).then_some(()));
    until("the classical estimator", || {
        run.said().contains("lanes by the classical estimator: the remote service").then_some(())
    });
    // The drive goes on into further segments, in which it is away.
    let segments = "waywarden_recorder_segments_total";
    let now = metric(watched, segments);
    until("two more segments", || (metric(watched, segments) >= now + 2.0).then_some(()));
    let before = metric(watched, DONE);
    let (_again, _) = Program::serve("", &address.to_string());
    until("more results", || (metric(watched, DONE) > before).then_some(()));
    assert_eq!(metric(watched, degraded), 0.0);
    run.stop();
    let (dir, session) = (run.dir.path(), run.session());
    let segments = std::fs::read_dir(&session).unwrap().count();
    for from in 0..segments {
        let replayed = replay(dir, &session, &["--from", &from.to_string()]);
        assert_eq!(replayed["verified"]["differing"], 0, "from segment {from}");
    }
}

#[test]
fn a_model_of_its_own_takes_over_when_the_service_is_away() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut run, watched) = Program::run(gone, &["segmentation"]);
    until("results", || (metric(watched, DONE) >= 3.0).then_some(()));
    assert!(run.said().contains("remote: degraded"), "{}", run.said());
    run.stop();
    let replayed = replay(run.dir.path(), &run.session(), &[]);
    assert_eq!(replayed["verified"]["differing"], 0);
}

/// What a service that listens is asked, and what it says; pictures it does not look at.
fn listener() -> server::Server {
    let json = "Content-Type: application/json";
    server::Server::start(move |_, request| match request.path.as_str() {
        "/v1/models" => server::Reply::new("200 OK", &[json], br#"{ "models": {} }"#),
        "/v1/speech" => {
            let model = format!(r#"{{ "name": "listener", "sha256": "{}", "engine": "test 1" }}"#, "0a".repeat(32));
            let heard = r#"{ "text": "turn left", "labels": [{ "label": "horn", "score": 0.5 }] }"#;
            let reply = format!(r#"{{ "model": {model}, "took_ms": 1.5, "heard": {heard} }}"#);
            server::Reply::new("200 OK", &[json], reply.as_bytes())
        }
        _ => server::Reply::new("404 Not Found", &[], b""),
    })
}

/// A run with a microphone, which hears somebody every few seconds.
fn hears(service: &str, speech: bool) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "a-token-of-16-characters\n").unwrap();
    let config = format!(
        "camera = []\ngps = []\nrange = []\n[[microphone]]\n[voice]\ndetector = \"earshot\"\n[http]\nenabled = false\n\
         [segmentation]\nenabled = false\n[detection]\nenabled = false\n[remote]\nurl = \"{service}\"\n\
         token_file = \"token\"\nspeech = {speech}\n"
    );
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--duration", "14"];
    waywarden(dir.path(), &args).done();
    let session = std::fs::read_dir(dir.path().join("rec")).unwrap().next().unwrap().unwrap().path();
    (dir, session)
}

/// What came in about utterances, and how many there were.
fn heard(session: &Path) -> (Vec<SpeechHeard>, usize) {
    let mut reader = SessionReader::open(session).unwrap();
    let mut replies = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(incoming) = record else { continue };
        replies.extend(incoming.inputs.into_iter().filter_map(|input| match input.payload {
            Payload::SpeechHeard(heard) => Some(*heard),
            _ => None,
        }));
    }
    let mut findings = Findings::open(session).unwrap();
    let mut utterances = 0;
    while let Some(tick) = findings.read().unwrap() {
        utterances += tick.found.map_or(0, |found| found.utterances.len());
    }
    (replies, utterances)
}

#[test]
fn utterances_are_listened_to_elsewhere_where_that_is_wanted_and_what_was_heard_replays() {
    let service = listener();
    let (dir, session) = hears(&service.url, true);
    let asked: Vec<_> = service.requests().into_iter().filter(|request| request.path == "/v1/speech").collect();
    assert!(!asked.is_empty(), "{:?}", service.requests());
    for request in &asked {
        assert_eq!(request.header("content-type"), Some("audio/wav"));
        assert_eq!(request.header("authorization"), Some("Bearer a-token-of-16-characters"));
        let wav = hound::WavReader::new(std::io::Cursor::new(&request.body)).unwrap();
        assert_eq!((wav.spec().sample_rate, wav.spec().channels, wav.spec().bits_per_sample), (16_000, 1, 16));
        assert!(wav.duration() >= 4800, "less than its pre-roll");
    }
    let (replies, utterances) = heard(&session);
    assert!(!replies.is_empty() && replies.len() <= utterances, "{} of {utterances}", replies.len());
    let labels = vec![SoundLabel { label: "horn".to_owned(), score: 0.5 }];
    let expected = Ok(Transcript { text: "turn left".to_owned(), labels });
    assert!(replies.iter().all(|reply| reply.result == expected), "{replies:?}");
    assert_eq!(replies[0].utterance.stream, StreamId::utterances_of(StreamId(1)));
    let before = service.requests().len();
    let replayed = replay(dir.path(), &session, &[]);
    assert_eq!(replayed["verified"]["differing"], 0);
    no_socket_is_opened(dir.path(), &session);
    assert_eq!(service.requests().len(), before, "a replay asks nobody");
}

#[test]
fn nobody_elsewhere_listens_unless_that_is_wanted() {
    let service = listener();
    let (_dir, session) = hears(&service.url, false);
    let (replies, utterances) = heard(&session);
    assert!(replies.is_empty() && utterances > 0, "{replies:?} {utterances}");
    assert_eq!(service.requests().len(), 0, "no role is left to it");
}

fn picture() -> Vec<u8> {
    let data = (0..3 * 64 * 32).map(|n| (n * 7 % 256) as u8).collect();
    encode_rgb(&RgbPicture { width: 64, height: 32, data }, 90).unwrap().to_vec()
}

#[test]
fn the_service_answers_by_its_contract_and_refuses_the_rest() {
    let (_service, address) = Program::serve("", "127.0.0.1:0");
    let infer = |role: &str, body: &[u8]| post(address, &format!("/v1/infer/{role}"), "image/jpeg", body);
    let listed = get(address, "/v1/models", &[]);
    let models = parse_models(listed.body.as_bytes()).unwrap().models;
    assert_eq!(models.len(), 2, "{listed:?}");
    let mut replies = vec![("Models", listed.body)];
    for role in JobRole::ALL {
        let answer = infer(role.name(), &picture());
        assert_eq!(answer.status, 200, "{answer:?}");
        let reply = parse_reply(answer.body.as_bytes(), role).unwrap();
        assert_eq!(reply.model, models[&role]);
        replies.push(("Reply", answer.body));
    }
    let mut broken = picture();
    broken.truncate(broken.len() / 3);
    for (answer, status) in [
        (infer("segmentation", &broken[..20]), 422),
        (infer("segmentation", b""), 422),
        (infer("segmentation", b"GIF89a"), 422),
        (infer("detection", &vec![0; 10 << 20]), 413),
        (infer("weather", &picture()), 404),
        (infer("..%2f..", &picture()), 404),
        (infer("segmentation/", &picture()), 404),
        (post(address, "/v1/infer/detection", "image/png", &picture()), 415),
        (post(address, "/v1/infer/detection", "", &picture()), 415),
        (get(address, "/v1/infer/detection", &[]), 405),
        (get(address, "/v1/models", &["Host: evil.example"]), 421),
        (get(address, "/v1/models", &["Origin: https://evil.example"]), 403),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        assert_eq!(answer.json()["status"], status);
        replies.push(("Problem", answer.body));
    }
    // A length that is not said is counted while it comes.
    let mut chunks = Vec::new();
    for _ in 0..=LARGEST_PICTURE / 65_536 + 1 {
        chunks.extend_from_slice(b"10000\r\n");
        chunks.resize(chunks.len() + 65_536, b'a');
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let head = format!(
        "POST /v1/infer/detection HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked"
    );
    assert_eq!(raw(address, &head, &chunks).status, 413);
    assert_eq!(infer("detection", &picture()).status, 200, "and it goes on");
    follow_the_schema(&replies);
}

/// Checks bodies against the schemas of the contract, where Python can.
fn follow_the_schema(bodies: &[(&str, String)]) {
    const CHECK: &str = "
import json, sys, yaml, jsonschema
contract = yaml.safe_load(open(sys.argv[1]))
for schema, body in json.load(sys.stdin):
    jsonschema.Draft202012Validator({'$ref': '#/components/schemas/' + schema, 'components': contract['components']}).validate(json.loads(body))
";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/inference-api.yaml");
    python(CHECK, &path, &serde_json::to_string(bodies).unwrap(), "import yaml, jsonschema");
}

/// Runs a check in Python, if it has what that needs.
fn python(check: &str, file: &Path, input: &str, needs: &str) {
    use std::io::Write;
    use std::process::Stdio;
    let has = Command::new("python3").args(["-c", needs]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: a check against the contract: python3 cannot `{needs}`");
        return;
    }
    let mut child = Command::new("python3")
        .args(["-c", check, file.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_contract_is_openapi_and_its_examples_are_what_is_read() {
    let spec = oas3::from_yaml(CONTRACT).unwrap();
    assert!(spec.openapi.starts_with("3.1"), "{}", spec.openapi);
    let spec = serde_json::to_value(&spec).unwrap();
    let examples = |path: &str, method: &str| {
        let content = &spec["paths"][path][method]["responses"]["200"]["content"]["application/json"];
        let examples = content["examples"].as_object().unwrap_or_else(|| panic!("no examples of {path}")).clone();
        examples.into_iter().map(|(name, example)| (name, example["value"].clone())).collect::<BTreeMap<_, _>>()
    };
    let replies = examples("/v1/infer/{role}", "post");
    for role in JobRole::ALL {
        let reply = parse_reply(replies[role.name()].to_string().as_bytes(), role).unwrap();
        // Nothing of an example is ignored.
        assert_eq!(serde_json::to_value(&reply).unwrap(), normal(&replies[role.name()]), "{role}");
    }
    for reply in examples("/v1/speech", "post").values() {
        let read = parse_speech(reply.to_string().as_bytes()).unwrap();
        assert_eq!(&serde_json::to_value(&read).unwrap(), reply);
    }
    for models in examples("/v1/models", "get").values() {
        let read = parse_models(models.to_string().as_bytes()).unwrap();
        assert_eq!(&serde_json::to_value(&read).unwrap(), models);
    }
    let roles: Vec<&str> = JobRole::ALL.iter().map(|role| role.name()).collect();
    assert_eq!(spec["components"]["schemas"]["Role"]["enum"], serde_json::json!(roles));
    const CHECK: &str = "
import sys, yaml
from openapi_spec_validator import validate
validate(yaml.safe_load(open(sys.argv[1])))
";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/inference-api.yaml");
    python(CHECK, &path, "", "import yaml, openapi_spec_validator");
}

/// The boxes' numbers as floating point, as they are written.
fn normal(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(boxes) = value.pointer_mut("/output/detections").and_then(Value::as_array_mut) {
        for found in boxes {
            for key in ["score", "left", "top", "width", "height"] {
                found[key] = found[key].as_f64().unwrap().into();
            }
        }
    }
    value
}

/// A model that looks at a picture until it is let go, or panics at it.
struct Slow {
    identity: ModelIdentity,
    go: Arc<AtomicBool>,
}

impl Inference for Slow {
    fn role(&self) -> JobRole {
        JobRole::Detection
    }

    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    #[expect(clippy::disallowed_methods, clippy::panic, reason = "that is what is tried")]
    fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
        if look.jpeg == b"panic"[..] {
            panic!("at the picture");
        }
        while !self.go.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(JobOutput::Detections(Vec::new()))
    }

    fn infer_rgb(&self, _: &RgbPicture, _: Option<Crop>) -> Result<JobOutput, InferenceError> {
        Ok(JobOutput::Detections(Vec::new()))
    }
}

#[test]
fn whoever_comes_when_it_is_full_is_told_to_come_again() {
    let go = Arc::new(AtomicBool::new(false));
    let slow: Arc<dyn Inference> = Arc::new(Slow { identity: ModelIdentity::default(), go: go.clone() });
    let network = Network::new(1);
    let routes = inference_service::routes([(JobRole::Detection, slow)].into(), 1, 1);
    let server = Server::new(&Http { listen: "127.0.0.1:0".into(), ..Http::default() }, Access::default()).unwrap();
    let connections = server.connections.clone();
    let address = server.start_at_once(routes, &network).unwrap().address().unwrap();
    let ask = move |body: &'static [u8]| post(address, "/v1/infer/detection", "image/jpeg", body);
    assert_eq!(ask(b"panic").status, 500);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..2).map(|_| scope.spawn(move || ask(b"a"))).collect();
        until("the others", || (connections.accepted.load(Ordering::Relaxed) >= 3).then_some(()));
        #[expect(clippy::disallowed_methods, reason = "between being accepted and waiting for a model lies a moment")]
        std::thread::sleep(Duration::from_millis(300));
        let full = until("refusal", || {
            let finished = waiting.iter().any(std::thread::ScopedJoinHandle::is_finished);
            assert!(!finished, "nobody is done before the model is");
            let head = format!(
                "POST /v1/infer/detection HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: image/jpeg\r\nContent-Length: 0"
            );
            probe(address, &head)
        });
        assert_eq!((full.status, full.header("retry-after")), (503, Some("1")), "{full:?}");
        go.store(true, Ordering::Relaxed);
        for asked in waiting {
            assert_eq!(asked.join().unwrap().status, 200);
        }
    });
    assert_eq!(ask(b"a").status, 200, "there is room again");
}

/// Asks, but waits for half a second only: none if there was no answer by then.
fn probe(address: SocketAddr, head: &str) -> Option<client::Answer> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let headers = text.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(client::Answer { status, headers, body: text })
}

#[test]
fn without_a_model_or_with_an_open_door_it_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    waywarden(dir.path(), &["serve-inference"]).refused(&["no models to serve", "segmentation"]);
    waywarden(dir.path(), &["serve-inference", "--listen", "0.0.0.0:0"]).refused(&["http.listen", "without TLS"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let models = tiny_models::write(dir.path(), &["segmentation", "detection"]);
    std::fs::write(dir.path().join("config.toml"), models).unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let out = waywarden(dir.path(), &["serve-inference", "--config", "config.toml", "--listen", &listen]);
    assert_eq!(out.code, Some(3), "{out:?}");
    assert!(out.err.contains("cannot listen on") && out.err.contains("does another program listen there?"), "{out:?}");
}
