//! Against a server on this computer that does whatever servers do.

use std::sync::atomic::AtomicUsize;

use waywarden_components::perception::{Mask, RoadMasks};

use super::*;
use crate::ingress::{Inlet, channel, wake};
use server::{Reply, Request, Server};

#[path = "../../../../tests/support/server.rs"]
mod server;

const MODEL: &str =
    r#"{"name":"m","sha256":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","engine":"rten 1"}"#;
const JSON: &str = "Content-Type: application/json";

fn models() -> Reply {
    Reply::new("200 OK", &[JSON], format!(r#"{{"models":{{"detection":{MODEL}}}}}"#).as_bytes())
}

fn boxes() -> Reply {
    let car = r#"{"class":"car","score":0.5,"left":1,"top":2,"width":3,"height":4}"#;
    let body = format!(r#"{{"model":{MODEL},"took_ms":1.5,"output":{{"detections":[{car}]}}}}"#);
    Reply::new("200 OK", &[JSON], body.as_bytes())
}

/// A model on this computer, which finds nothing and counts how often it was asked.
#[derive(Default)]
struct Local(ModelIdentity, AtomicUsize);

impl Inference for Local {
    fn role(&self) -> JobRole {
        JobRole::Detection
    }

    fn identity(&self) -> &ModelIdentity {
        &self.0
    }

    fn look(&self, _: &Look) -> Result<JobOutput, InferenceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(JobOutput::Detections(Vec::new()))
    }

    fn infer_rgb(&self, _: &RgbPicture, _: Option<Crop>) -> Result<JobOutput, InferenceError> {
        Ok(JobOutput::Detections(Vec::new()))
    }
}

/// A service as it is seen from here.
struct Bench {
    remote: Remote,
    inlet: Inlet,
    over: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(url: &str) -> Self {
        Self::with(RemoteSettings { url: url.to_owned(), ..settings() }).unwrap()
    }

    fn with(settings: RemoteSettings) -> Result<Self, RemoteError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (outlet, inlet) = channel(StreamId::REMOTE, 16, DropPolicy::KeepOldest, wake().0);
        let (over, is_over) = watch::channel(false);
        let remote = Remote::new(settings, runtime.handle().clone(), outlet, is_over)?;
        Ok(Self { remote, inlet, over, _runtime: runtime })
    }

    /// What the world was told since the last time.
    fn told(&self) -> Vec<LinkState> {
        let payloads = self.inlet.drain().into_iter().map(|delivery| delivery.payload);
        payloads.filter_map(|payload| if let Payload::Link(state) = payload { Some(state) } else { None }).collect()
    }

    fn ask(&self) -> Result<JobOutput, InferenceError> {
        self.remote.model(JobRole::Detection, None, None).look(&picture(b"a picture"))
    }
}

fn picture(bytes: &'static [u8]) -> Look {
    Look::at(bytes)
}

fn settings() -> RemoteSettings {
    RemoteSettings {
        url: String::new(),
        token: Some("0123456789abcdef".into()),
        authorities: Vec::new(),
        plain_http: false,
        timeout: Duration::from_secs(5),
        retries: 2,
        breaker: BreakerSettings {
            failures: 3,
            rest: Duration::from_millis(50),
            longest_rest: Duration::from_millis(200),
        },
    }
}

#[test]
fn a_picture_goes_there_as_it_is_and_boxes_come_back() {
    let server = Server::start(|_, request| if request.path == "/a/v1/models" { models() } else { boxes() });
    let bench = Bench::new(&format!("{}/a/", server.url));
    let there = bench.remote.greet().unwrap();
    assert_eq!(bench.told(), [LinkState::Connected]);
    let model = bench.remote.model(JobRole::Detection, Some(&there), None);
    assert_eq!((model.identity().name.as_str(), model.identity().engine.as_str()), ("m", "remote rten 1"));
    let JobOutput::Detections(found) = model.look(&picture(b"\xff\xd8 no JPEG \xff\xd9")).unwrap() else { panic!() };
    assert_eq!((found.len(), found[0].score), (1, 0.5));
    let Request { path, body, .. } = &server.requests()[1];
    assert_eq!((path.as_str(), body.as_slice()), ("/a/v1/infer/detection", &b"\xff\xd8 no JPEG \xff\xd9"[..]));
    // A part of the picture is named, not cut out.
    let crop = Some(Crop { left: 0, top: 70, width: 640, height: 360 });
    model.look(&Look { crop, ..picture(b"the whole") }).unwrap();
    let Request { path, body, .. } = &server.requests()[2];
    assert_eq!((path.as_str(), body.as_slice()), ("/a/v1/infer/detection?crop=0,70,640,360", &b"the whole"[..]));
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer 0123456789abcdef"));
    }
    assert_eq!(server.requests()[1].header("content-type"), Some("image/jpeg"));
}

#[test]
fn whatever_a_service_does_there_is_an_end_and_a_reason() {
    let long = |length: usize| {
        let mut reply = Reply::new("200 OK", &[JSON], b"");
        reply.bytes = format!("HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        reply
    };
    let endless = {
        let mut reply = Reply::new("200 OK", &[JSON], b"");
        reply.bytes = format!("HTTP/1.1 200 OK\r\n{JSON}\r\nConnection: close\r\n\r\n").into_bytes();
        reply.bytes.resize(LARGEST_REPLY + 1000, b' ');
        reply
    };
    let masks = RoadMasks { drivable: Mask::encode(1, 1, |_, _| true), lines: Mask::encode(1, 1, |_, _| true) };
    let masks = serde_json::to_string(&JobOutput::Segmentation(masks)).unwrap();
    let other = format!(r#"{{"model":{MODEL},"took_ms":1.5,"output":{masks}}}"#);
    let cases: Vec<(&str, Reply, usize, &str)> = vec![
        ("broken", Reply::new("500 Internal Server Error", &[], b""), 1, "500"),
        ("busy", Reply::new("503 Service Unavailable", &["Retry-After: 7"], b""), 1, "again after 7 s"),
        ("another token", Reply::new("401 Unauthorized", &[], b""), 1, "remote.token_file"),
        ("redirect", Reply::new("307 Temporary Redirect", &["Location: http://127.0.0.1:1/"], b""), 1, "not followed"),
        ("picture", Reply::new("422 Unprocessable Entity", &[], b""), 1, "422"),
        ("no JSON", Reply::new("200 OK", &["Content-Type: text/html"], b"<html>"), 1, "something else than JSON"),
        ("garbage", Reply::new("200 OK", &[JSON], b"\x00\xff{"), 1, "cannot be read"),
        ("another role", Reply::new("200 OK", &[JSON], other.as_bytes()), 1, "something else than detection"),
        ("too long", long(LARGEST_REPLY + 1), 1, "more than 4194304 bytes"),
        ("endless", endless, 1, "more than 4194304 bytes"),
        ("no HTTP", Reply { bytes: b"220 smtp ready\r\n".to_vec(), hold: Duration::ZERO }, 3, "connection broke"),
        ("cut", boxes().cut(5), 3, "connection broke"),
        ("hung up", Reply { bytes: Vec::new(), hold: Duration::ZERO }, 3, "connection broke"),
    ];
    for (name, reply, tries, words) in cases {
        let server = Server::start(move |_, _| reply.clone());
        let bench = Bench::new(&server.url);
        let error = bench.ask().unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(server.requests().len(), tries, "{name}: {error}");
        assert!(bench.told().is_empty(), "{name}: one failure opens nothing");
    }
}

#[test]
fn a_service_that_stalls_costs_its_time_and_no_more() {
    let server = Server::start(|_, _| boxes().cut(10).hold(Duration::from_secs(3)));
    let timeout = Duration::from_millis(300);
    let bench = Bench::with(RemoteSettings { url: server.url.clone(), timeout, ..settings() }).unwrap();
    let begin = boottime();
    let error = bench.ask().unwrap_err().to_string();
    assert!(error.contains("no answer within 300 ms"), "{error}");
    assert!(boottime().since(begin) < Duration::from_secs(3), "it was waited for to its end");
}

#[test]
fn one_that_fails_is_left_alone_replaced_and_asked_again() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = well.clone();
    let server = Server::start(move |_, request| match (is_well.load(Ordering::Relaxed), request.path.as_str()) {
        (false, _) => Reply::new("500 Internal Server Error", &[], b""),
        (true, "/v1/models") => models(),
        (true, _) => boxes(),
    });
    let bench = Bench::new(&server.url);
    let local = Arc::new(Local::default());
    let model = bench.remote.model(JobRole::Detection, None, Some(local.clone()));
    for asked in 1..=3 {
        assert_eq!(model.look(&picture(b"a")), Ok(JobOutput::Detections(Vec::new())), "the model on this computer");
        assert_eq!(local.1.load(Ordering::Relaxed), asked);
    }
    let told = bench.told();
    assert!(matches!(&told[..], [LinkState::Lost(reason)] if reason.contains("500")), "{told:?}");
    // It is spared: what is asked now goes nowhere but to the model here.
    model.look(&picture(b"a")).unwrap();
    assert_eq!((local.1.load(Ordering::Relaxed), bench.remote.stats().spared.load(Ordering::Relaxed)), (4, 1));
    let pictures = || server.requests().iter().filter(|request| request.path == "/v1/infer/detection").count();
    assert_eq!(pictures(), 3);

    well.store(true, Ordering::Relaxed);
    let begin = boottime();
    while bench.told() != [LinkState::Connected] {
        assert!(boottime().since(begin) < Duration::from_secs(30), "it is not asked again");
        #[expect(clippy::disallowed_methods, reason = "waits for a task")]
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(model.look(&picture(b"a")), Ok(JobOutput::Detections(found)) if found.len() == 1));
    assert_eq!((pictures(), local.1.load(Ordering::Relaxed)), (4, 4));
}

#[test]
fn one_that_is_not_there_at_the_start_is_told_and_looked_for() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::new(&format!("http://{gone}"));
    assert_eq!(bench.remote.greet(), None);
    let told = bench.told();
    assert!(matches!(&told[..], [LinkState::Lost(reason)] if reason.contains("cannot connect")), "{told:?}");
    assert_eq!(bench.remote.model(JobRole::Detection, None, None).identity().engine, "remote");
}

#[test]
fn at_the_end_of_the_program_nobody_waits() {
    let server = Server::start(|_, _| boxes().hold(Duration::from_secs(2)).cut(3));
    let bench = Bench::new(&server.url);
    let begin = boottime();
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| bench.ask());
        #[expect(clippy::disallowed_methods, reason = "the request is to be on its way")]
        std::thread::sleep(Duration::from_millis(200));
        bench.over.send_replace(true);
        assert!(asks.join().unwrap().unwrap_err().to_string().contains("the program is ending"));
    });
    assert!(bench.ask().unwrap_err().to_string().contains("the program is ending"));
    assert!(boottime().since(begin) < Duration::from_secs(2));
}

#[test]
fn addresses_that_let_pictures_out_are_refused() {
    let refused = |url: &str, plain_http| {
        let made = Bench::with(RemoteSettings { url: url.to_owned(), plain_http, ..settings() });
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for url in ["https://box.example", "http://127.0.0.1:80/a", "http://[::1]:80", "http://localhost:1"] {
        assert_eq!(refused(url, false), "", "{url}");
    }
    assert!(refused("http://box.example", false).contains("without TLS"));
    assert_eq!(refused("http://box.example", true), "");
    for url in
        ["", "box.example", "ftp://box.example", "https://me:pw@box.example", "https://box.example/?q", "file:///etc"]
    {
        assert!(refused(url, true).contains("remote.url"), "{url}");
    }
}
