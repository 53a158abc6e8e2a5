//! The HTTP server of a run: who may ask, what is answered, and that the drive goes on whatever comes.

#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

#[path = "support/client.rs"]
mod client;
#[path = "support/outcome.rs"]
mod outcome;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Answer, get, raw};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outcome::{PATIENCE, end, start, waywarden};
use waywarden::access::Access;
use waywarden::config::{Config, Http};
use waywarden::http::{MOST_CONNECTIONS, STALLED, Server};
use waywarden::metrics::Observed;
use waywarden::network::Network;
use waywarden::status;
use waywarden_systems::metrics::Numbers;
use waywarden_systems::tick::Stages;

const CAMERA: &str = "[[camera]]\nwidth = 160\nheight = 96\nfps = 10.0\nloop_frames = 5\n";

/// A run with an HTTP server, as long as this lives.
struct Run {
    dir: tempfile::TempDir,
    child: Child,
}

impl Run {
    fn start(http: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, http)
    }

    fn start_in(dir: tempfile::TempDir, http: &str) -> Self {
        std::fs::write(dir.path().join("config.toml"), format!("{CAMERA}[http]\n{http}\n")).unwrap();
        let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--log", "info"];
        let child = start(dir.path(), &args);
        Self { dir, child }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.txt")).unwrap_or_default()
    }

    fn address(&self) -> SocketAddr {
        until("address", || {
            let said = self.said();
            let (_, rest) = said.split_once("listening on http")?;
            rest.split_once("://")?.1.split_whitespace().next()?.parse().ok()
        })
    }

    /// Ends it in order, and returns the only session.
    fn finish(mut self) -> (tempfile::TempDir, PathBuf) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        end(&mut self.child, self.dir.path()).done();
        let session = std::fs::read_dir(self.dir.path().join("rec")).unwrap().next().unwrap().unwrap().path();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        (dir, session)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

/// A server in this process, of a run that has not had a tick.
fn idle(http: Http) -> (Network, SocketAddr) {
    let network = Network::new(1);
    let config = Config::default();
    let observed = Observed {
        numbers: Numbers::new(&config.streams(), &[]),
        stages: Stages::default(),
        channels: Vec::new(),
        recorder: None,
        connections: Arc::default(),
        remote: None,
        outbox: None,
    };
    let server = Server::new(&http, Access::default()).unwrap();
    let address = server.start_at_once(status::routes(observed), &network).unwrap().address().unwrap();
    (network, address)
}

fn anywhere() -> Http {
    Http { listen: "127.0.0.1:0".into(), ..Http::default() }
}

/// Metrics by name and labels.
fn metrics(answer: &Answer) -> BTreeMap<String, f64> {
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn a_run_can_be_watched_and_replays_as_if_nobody_had() {
    let run = Run::start("listen = \"127.0.0.1:0\"");
    let address = run.address();
    until("readiness", || (get(address, "/readyz", &[]).status == 200).then_some(()));
    let health = get(address, "/healthz", &[]);
    assert_eq!((health.status, &health.json()["ok"]), (200, &true.into()), "{health:?}");
    assert!(health.json()["tick"].as_u64() > Some(0));
    assert_eq!(health.header("content-type"), Some("application/json"));
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(health.header(name), Some(value), "{health:?}");
    }

    let first = get(address, "/metrics", &[]);
    assert!(first.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{first:?}");
    assert!(first.body.ends_with("# EOF\n"));
    let first = metrics(&first);
    let ticks = "waywarden_ticks_total";
    let later = until("ticks", || {
        let later = metrics(&get(address, "/metrics", &[]));
        (later[ticks] > first[ticks] + 20.0).then_some(later)
    });
    for grown in [
        "waywarden_gate_judged_total{camera=\"front\"}",
        "waywarden_device_samples_total{device=\"front\",kind=\"camera\"}",
        "waywarden_phase_duration_seconds_count{phase=\"record\"}",
        "waywarden_system_duration_seconds_count{phase=\"sense\",system=\"camera::capture\"}",
        "waywarden_tick_lateness_seconds_count",
        "waywarden_recorder_segments_total",
        "waywarden_process_resident_memory_bytes",
        "waywarden_process_cpu_seconds_total",
        "waywarden_device_connected{device=\"gps\",kind=\"gps\"}",
        "waywarden_device_health{device=\"recorder\",kind=\"recorder\",state=\"active\"}",
    ] {
        assert!(later.get(grown).is_some_and(|value| *value > 0.0), "{grown}: {later:#?}");
    }
    let bucket = |le: &str| later[&format!("waywarden_phase_duration_seconds_bucket{{le=\"{le}\",phase=\"act\"}}")];
    assert!(bucket("0.00001") <= bucket("0.001") && bucket("0.001") <= bucket("+Inf"));
    assert_eq!(bucket("+Inf"), later["waywarden_phase_duration_seconds_count{phase=\"act\"}"]);

    let (dir, session) = run.finish();
    waywarden(dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
}

#[test]
fn who_calls_another_host_or_comes_from_elsewhere_is_sent_away() {
    let (_network, address) = idle(Http { allowed_hosts: vec!["car.example".into()], ..anywhere() });
    let port = address.port();
    for path in ["/healthz", "/readyz", "/metrics", "/nothing"] {
        let refused = get(address, path, &["Host: evil.example"]);
        assert_eq!(refused.status, 421, "{path}: {refused:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert_eq!(refused.json()["status"], 421);
        assert_eq!(get(address, path, &["Origin: https://evil.example"]).status, 403, "{path}");
        assert_eq!(get(address, path, &["Origin: null"]).status, 403, "{path}");
    }
    assert_eq!(get(address, "/metrics", &["Host: car.example"]).status, 200);
    assert_eq!(get(address, "/metrics", &[&format!("Origin: http://127.0.0.1:{port}")]).status, 200);
    assert_eq!(raw(address, "GET /metrics HTTP/1.1\r\nConnection: close", b"").status, 400, "no host at all");
    assert_eq!(get(address, "http://evil.example/metrics", &[]).status, 421, "in the request line");
    let missing = get(address, "/nothing", &[]);
    assert_eq!((missing.status, missing.json()["title"].as_str()), (404, Some("Not Found")));
    let head = format!("DELETE /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close");
    assert_eq!(raw(address, &head, b"").status, 405);
}

#[test]
fn before_the_first_tick_it_neither_lives_nor_is_ready_and_says_why() {
    let (_network, address) = idle(anywhere());
    let health = get(address, "/healthz", &[]);
    assert_eq!((health.status, health.json()["reason"].as_str()), (503, Some("no tick yet")));
    let ready = get(address, "/readyz", &[]);
    assert_eq!((ready.status, &ready.json()["ok"]), (503, &false.into()));
    let missing = ready.json()["missing"].clone();
    let names: Vec<_> = missing.as_array().unwrap().iter().map(|device| device["device"].clone()).collect();
    assert_eq!(names, ["front", "gps", "range"]);
    assert_eq!(missing[0]["state"], "standby");
    assert!(missing[0]["reason"].as_str().unwrap().contains("waiting for the first sample"), "{missing}");
}

#[test]
fn connections_are_bounded_in_number_and_in_time() {
    let (_network, address) = idle(anywhere());
    // They begin to speak and never end.
    let mut idle: Vec<TcpStream> = (0..MOST_CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    idle.iter_mut().for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap());
    until("refusal", || (get(address, "/healthz", &[]).status == 0).then_some(()));
    idle.truncate(MOST_CONNECTIONS / 2);
    let health = until("an answer", || Some(get(address, "/healthz", &[])).filter(|answer| answer.status != 0));
    assert_eq!(health.status, 503);
    // Nobody is waited for for ever.
    let stream = &mut idle[0];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).is_ok(), "it is hung up on");
    let long = format!("X-Long: {}", "a".repeat(100_000));
    assert!([0, 431].contains(&get(address, "/healthz", &[&long]).status));
    let many: Vec<String> = (0..200).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!([0, 431].contains(&get(address, "/healthz", &many).status));
    assert_eq!(get(address, "/healthz", &[]).status, 503, "and it goes on");
}

/// Asks again and again and takes no answer, until it is hung up on.
#[expect(clippy::disallowed_methods, reason = "waits for another process")]
fn asks_and_never_reads(address: SocketAddr) {
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").repeat(100);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let begin = Instant::now();
    // The window is full soon, and nothing goes either way then.
    let broken = loop {
        match stream.write(ask.as_bytes()) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => break other,
        }
        assert!(begin.elapsed() < 2 * STALLED + PATIENCE, "still connected after {:?}", begin.elapsed());
    };
    assert!(broken.is_err(), "{broken:?}");
}

#[test]
fn who_asks_and_never_reads_is_hung_up_on() {
    let (_network, address) = idle(anywhere());
    std::thread::scope(|scope| {
        for _ in 0..MOST_CONNECTIONS {
            scope.spawn(|| asks_and_never_reads(address));
        }
    });
    let health = until("an answer", || Some(get(address, "/healthz", &[])).filter(|answer| answer.status != 0));
    assert_eq!(health.status, 503, "its places are free again");
}

fn certificate(dir: &Path) -> String {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("token"), "0123456789abcdef\n").unwrap();
    own.cert.pem()
}

#[test]
fn with_tls_and_a_token_nobody_else_hears_anything() {
    let dir = tempfile::tempdir().unwrap();
    let pem = certificate(dir.path());
    let files = "listen = \"127.0.0.1:0\"\ntoken_file = \"token\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"";
    let run = Run::start_in(dir, files);
    let address = run.address();
    assert!(run.said().contains("listening on https://"), "{}", run.said());
    let plain = get(address, "/healthz", &["Authorization: Bearer 0123456789abcdef"]);
    assert_eq!((plain.status, plain.body.as_str()), (0, ""), "{plain:?}");

    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("https://localhost:{}/metrics", address.port());
    let ask = |token: Option<&str>, trust: bool| {
        let builder = reqwest::Client::builder().no_proxy();
        let builder = if trust { builder.tls_certs_only([certificate.clone()]) } else { builder.tls_certs_only([]) };
        let mut request = builder.build().unwrap().get(&url);
        request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        runtime.block_on(request.send()).map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(Some("0123456789abcdef"), true).unwrap(), 200);
    assert_eq!(ask(Some("0123456789abcdeg"), true).unwrap(), 401);
    assert_eq!(ask(None, true).unwrap(), 401);
    assert!(ask(Some("0123456789abcdef"), false).is_err(), "a certificate that nobody vouches for");
}

#[test]
fn what_others_reach_without_token_and_tls_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), format!("{CAMERA}[http]\nlisten = \"0.0.0.0:0\"\n")).unwrap();
    let words = ["config.toml:", "http.listen", "without TLS"];
    for args in [&["check", "--config", "config.toml"][..], &["run", "--simulate", "--config", "config.toml"]] {
        let refused = waywarden(dir.path(), args).refused(&words);
        assert!(refused.err.contains("hint: set http.tls_cert and http.tls_key"), "{refused:?}");
    }
    let secured = "token_file = \"token\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";
    std::fs::write(dir.path().join("config.toml"), format!("{CAMERA}[http]\nlisten = \"0.0.0.0:0\"\n{secured}"))
        .unwrap();
    waywarden(dir.path(), &["check", "--config", "config.toml"]).done();
    // The files are not there.
    waywarden(dir.path(), &["run", "--simulate", "--config", "config.toml"]).refused(&["http.token_file", "token"]);
    certificate(dir.path());
    waywarden(dir.path(), &["run", "--simulate", "--config", "config.toml", "--duration", "1"]).done();
    std::fs::write(dir.path().join("token"), "short").unwrap();
    waywarden(dir.path(), &["run", "--simulate", "--config", "config.toml"]).refused(&["http.token_file", "no token"]);
}

#[test]
fn a_port_that_is_taken_costs_a_warning_and_is_had_as_soon_as_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let run = Run::start(&format!("listen = \"{address}\""));
    until("a warning", || run.said().contains(&format!("http: cannot listen on {address}")).then_some(()));
    drop(taken);
    assert_eq!(run.address(), address);
    until("health", || (get(address, "/healthz", &[]).status == 200).then_some(()));
    let (dir, session) = run.finish();
    waywarden(dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
}
