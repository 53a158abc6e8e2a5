//! Operators who watch, listen and talk: a real browser, aiortc, bad links, bad offers, and that a session with them replays.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it, figures are said"
)]

#[path = "webrtc/bad_links.rs"]
mod bad_links;
#[path = "support/broker.rs"]
mod broker;
#[path = "webrtc/churn.rs"]
mod churn;
#[path = "support/client.rs"]
mod client;
#[path = "webrtc/counted.rs"]
mod counted;
#[cfg(feature = "sound")]
#[path = "webrtc/heard.rs"]
mod heard;
#[cfg(feature = "sound")]
#[path = "support/loudspeaker.rs"]
mod loudspeaker;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "webrtc/over_a_broker.rs"]
mod over_a_broker;
#[path = "webrtc/private.rs"]
mod private;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "webrtc/relayed.rs"]
mod relayed;
#[path = "webrtc/secure.rs"]
mod secure;
#[path = "support/udp_proxy.rs"]
mod udp_proxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{Answer, raw};
use nix::sys::signal::Signal;
use outcome::{end, no_socket_is_opened, pause, send, sessions, start_after, until, waywarden};
use puppet::Puppet;
use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::{Record, SessionReader};

const TOKEN: &str = "0123456789abcdef";

/// A camera that development builds encode in real time, a microphone, and a loudspeaker that nobody has.
const CONFIG: &str = "\
[[camera]]
width = 640
height = 360
fps = 30.0
loop_frames = 60
[[microphone]]
[speaker]
device = \"hw:CARD=Nowhere,DEV=9\"
[http]
listen = \"127.0.0.1:0\"
token_file = \"token\"
[record]
segment_s = 20
free_gb = 0.0
";

/// One run at a time: pictures take all that a small computer has.
static MACHINE: Mutex<()> = Mutex::new(());

/// A run that is watched, as long as this lives.
struct Run {
    _machine: MutexGuard<'static, ()>,
    dir: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
}

impl Run {
    fn start(more: &str) -> Self {
        Self::begin("", &format!("{CONFIG}{more}"))
    }

    /// With all of a config.
    fn start_with(config: &str) -> Self {
        Self::begin("", config)
    }

    /// The same, in a shell that has run `prelude` before.
    fn begin(prelude: &str, config: &str) -> Self {
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--log", "info"];
        let mut child = start_after(dir.path(), prelude, &args);
        let said = || std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap_or_default();
        let address = until(&mut child, "an address", || {
            let said = said();
            let (_, address) = said.split_once("listening on ")?.1.split_whitespace().next()?.split_once("://")?;
            address.parse().ok()
        });
        Self { _machine: machine, dir, child, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}",
            self.address,
            body.len()
        );
        raw(self.address, &head, body.as_bytes())
    }

    /// The sessions that there are.
    fn watchers(&self) -> Vec<Value> {
        self.ask("GET", "/whep", "text/plain", "").json().as_array().cloned().unwrap_or_default()
    }

    /// What it has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("stderr.txt")).unwrap_or_default()
    }

    fn until<T>(&mut self, what: &str, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        let begin = boottime();
        loop {
            if let Some(found) = ready(self) {
                return found;
            }
            assert!(boottime().since(begin) < outcome::PATIENCE, "no {what}\n{:?}\n{}", self.watchers(), self.log());
            pause(Duration::from_millis(100));
        }
    }

    /// Ends it at once, as a power cut does.
    fn kill(mut self) {
        let _ = self.child.kill();
    }

    /// Ends it in order, sees that the session replays to the same digests, and gives it.
    fn finish(mut self) -> (tempfile::TempDir, PathBuf) {
        send(&self.child, Signal::SIGTERM);
        end(&mut self.child, self.dir.path()).done();
        let session = sessions(&self.dir.path().join("rec")).pop().unwrap();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        waywarden(dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
        (dir, session)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of operators, by a session's journal.
fn said(session: &Path) -> Vec<OperatorSaid> {
    let mut reader = SessionReader::open(session).unwrap();
    let mut said = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(tick) = record else { continue };
        said.extend(tick.inputs.into_iter().filter_map(|input| match input.payload {
            Payload::Operator(event) => Some(event),
            _ => None,
        }));
    }
    said
}

/// The loudest that an operator was.
fn loudest(said: &[OperatorSaid]) -> Option<f32> {
    let levels = said.iter().filter_map(|said| match said.event {
        OperatorEvent::Speaks(level) => Some(level),
        _ => None,
    });
    levels.max_by(f32::total_cmp)
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}

#[test]
fn a_browser_watches_listens_talks_and_leaves() {
    let mut run = Run::start("");
    let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &json!({ "talk": true, "camera": "front" })) else {
        return;
    };
    let answer = browser.open(|sdp| sdp);
    assert_eq!(answer["type"], "application/sdp");
    assert!(answer["place"].as_str().unwrap().starts_with("/whep/"), "{answer}");
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    browser.told("latencies");
    let before = browser.told("stats");
    pause(Duration::from_secs(20));
    let after = browser.told("stats");
    let grown = |path: &str| number(&after, path) - number(&before, path);
    // A busy computer shows fewer than the 600 that there are.
    assert!(grown("/video/framesDecoded") > 300.0, "{after}");
    assert_eq!(grown("/video/freezeCount"), 0.0, "{after}");
    assert_eq!((after["video"]["frameWidth"].as_u64(), after["video"]["frameHeight"].as_u64()), (Some(640), Some(360)));
    assert!(grown("/seen/frames") > 150.0, "messages name their pictures: {after}");
    let last = &after["seen"]["last"];
    assert_eq!(
        (last["camera"].as_str(), last["width"].as_u64(), last["height"].as_u64()),
        (Some("front"), Some(640), Some(360))
    );
    assert!(last["devices"].as_u64() >= Some(4), "{last}");
    assert!(after["seen"]["lanes"].as_u64() > Some(0), "the lane is among it: {after}");
    let keys: Vec<&str> = last["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for told in ["frame", "captured_ns", "camera", "alerts", "position", "motion", "speaking", "devices"] {
        assert!(keys.contains(&told), "no {told}: {keys:?}");
    }
    assert!(grown("/audio/packetsReceived") > 800.0, "the microphone is heard: {after}");
    println!("browser, 640x360 at 30 Hz, capture to shown: {}", browser.told("latencies"));
    browser.told("listen");
    run.until("somebody who is heard", |_| {
        (number(&browser.told("stats"), "/audio/totalAudioEnergy") > 0.0).then_some(())
    });

    browser.tell(&json!({ "do": "talk", "on": true }));
    run.until("a voice that is heard", |_| {
        browser.told("stats")["seen"]["talk"]["heard"].as_bool().filter(|heard| *heard)
    });
    pause(Duration::from_secs(3));
    browser.tell(&json!({ "do": "talk", "on": false }));
    run.until("silence", |_| browser.told("stats")["seen"]["talk"]["heard"].as_bool().filter(|heard| !*heard));

    assert_eq!(run.watchers().len(), 1);
    assert_eq!(browser.told("delete")["status"], 200);
    run.until("nobody", |run| run.watchers().is_empty().then_some(()));
    assert_eq!(browser.told("delete")["status"], 404);
    drop(browser);

    let (dir, session) = run.finish();
    no_socket_is_opened(dir.path(), &session);
    let said = said(&session);
    let any = |wanted: fn(&OperatorEvent) -> bool| said.iter().any(|said| wanted(&said.event));
    assert!(
        any(|event| matches!(event, OperatorEvent::Offered(offer) if offer.talk && offer.bytes > 1000)),
        "{said:?}"
    );
    assert!(
        any(|event| *event == OperatorEvent::Connected) && any(|event| *event == OperatorEvent::Silent),
        "{said:?}"
    );
    assert!(any(|event| matches!(event, OperatorEvent::Link(link) if link.reports_packets && link.sent_bps > 50_000)));
    assert!(any(|event| matches!(event, OperatorEvent::Gone(_))), "{said:?}");
    let level = loudest(&said).unwrap();
    println!("browser, the loudest of its voice: {level:.1} dBFS");
    assert!(level > -35.0, "the fake microphone beeps: {level}");
}

#[test]
fn a_peer_that_reports_no_packets_is_served_and_heard() {
    let mut run = Run::start("");
    let Some(mut peer) = Puppet::aiortc(&run.url(), TOKEN, &json!({ "talk": true })) else { return };
    peer.open(|sdp| sdp);
    run.until("pictures", |_| (number(&peer.told("stats"), "/seen/pictures") > 10.0).then_some(()));
    peer.told("latencies");
    pause(Duration::from_secs(4));
    let late = peer.told("latencies");
    println!("aiortc, 640x360 at 30 Hz, capture to decoded: {late}");
    let stats = peer.told("stats");
    assert!(number(&late, "/count") > 60.0, "{late} {stats}");
    assert!(number(&late, "/p50") < 1000.0, "{late}");
    assert_eq!(stats["seen"]["size"], json!([640, 360]));
    assert!(number(&stats, "/seen/frames") > 10.0 && number(&stats, "/seen/sound") > 100.0, "{stats}");
    assert_eq!(run.watchers()[0]["reports_packets"], false);
    peer.tell(&json!({ "do": "talk", "on": true }));
    run.until("a voice that is heard", |_| {
        peer.told("stats")["seen"]["talk"]["heard"].as_bool().filter(|heard| *heard)
    });
    // A crash says goodbye to nobody.
    peer.kill();
    let begin = boottime();
    run.until("nobody", |run| run.watchers().is_empty().then_some(()));
    let took = boottime().since(begin);
    println!("who vanished is gone after {took:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
    let (_dir, session) = run.finish();
    // 8000 of 32768: -15 dBFS.
    let level = loudest(&said(&session)).unwrap();
    assert!((-22.0..-12.0).contains(&level), "{level}");
}

#[test]
fn what_is_no_offer_is_refused_with_the_right_status() {
    let run = Run::start("");
    let offer = |body: &str| run.ask("POST", "/whep", "application/sdp", body);
    let long = format!("v=0\r\n{}", "a=x\r\n".repeat(20_000));
    let vp8 = churn::OFFER.replace("H264", "VP8");
    let statuses = [
        ("", 400),
        ("hello", 400),
        ("v=0\r\n", 400),
        ("{}", 400),
        (&churn::OFFER.replace("a=ice-ufrag", "a=no-ufrag"), 400),
        (long.as_str(), 413),
        (vp8.as_str(), 422),
    ];
    for (body, status) in statuses {
        let answer = offer(body);
        assert_eq!(answer.status, status, "{body:.60}: {answer:?}");
        let kind = answer.header("content-type");
        assert!(status == 413 || kind == Some("application/problem+json"), "{body:.60}: {answer:?}");
    }
    assert_eq!(run.ask("POST", "/whep", "text/plain", churn::OFFER).status, 415);
    assert_eq!(run.ask("POST", "/whep?camera=roof", "application/sdp", churn::OFFER).status, 404);
    assert_eq!(run.ask("PATCH", "/whep/none", "application/trickle-ice-sdpfrag", "a=mid:0\r\n").status, 404);
    assert_eq!(run.ask("DELETE", "/whep/none", "text/plain", "").status, 404);
    assert_eq!(run.ask("PUT", "/whep", "text/plain", "").status, 405);
    let head = |authorization: &str| {
        let length = churn::OFFER.len();
        format!(
            "POST /whep HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{authorization}Content-Type: application/sdp\r\n\
             Content-Length: {length}",
            run.address
        )
    };
    for (authorization, status) in [("", 401), ("Authorization: Bearer 0123456789abcdeg\r\n", 401)] {
        assert_eq!(raw(run.address, &head(authorization), churn::OFFER.as_bytes()).status, status);
    }
    // Pages of others, and names that are not this computer's, with a token that is good.
    for (more, status) in [("Origin: http://evil.example\r\n", 403), ("Origin: null\r\n", 403)] {
        let authorization = format!("Authorization: Bearer {TOKEN}\r\n{more}");
        assert_eq!(raw(run.address, &head(&authorization), churn::OFFER.as_bytes()).status, status, "{more}");
    }
    let elsewhere = head(&format!("Authorization: Bearer {TOKEN}\r\n"));
    let elsewhere = elsewhere.replace(&format!("Host: {}", run.address), "Host: evil.example");
    assert_eq!(raw(run.address, &elsewhere, churn::OFFER.as_bytes()).status, 421);
    assert!(run.watchers().is_empty());
    // And one that is good is taken, with addresses that come later.
    let good = offer(churn::OFFER);
    assert_eq!((good.status, good.header("content-type")), (201, Some("application/sdp")), "{good:?}");
    let place = good.header("location").unwrap();
    assert!(good.body.contains("m=video") && good.body.contains("42e01f"), "{}", good.body);
    // What is lost is asked for and sent again on a stream of its own; each packet's arrival is reported.
    for promised in ["rtx/90000", "apt=102", "102 nack\r", "102 nack pli\r", "102 transport-cc\r"] {
        assert!(good.body.contains(promised), "no {promised}: {}", good.body);
    }
    let fragment = "a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n";
    assert_eq!(run.ask("PATCH", place, "application/trickle-ice-sdpfrag", fragment).status, 204);
    assert_eq!(run.ask("PATCH", place, "application/trickle-ice-sdpfrag", "hello").status, 400);
    assert_eq!(run.ask("DELETE", place, "text/plain", "").status, 200);
    let log = std::fs::read_to_string(run.path().join("stderr.txt")).unwrap();
    assert!(!log.contains("candidate") && !log.contains(TOKEN) && !log.contains("a=fingerprint"), "{log}");
    assert!(!log.contains(place.trim_start_matches("/whep/")), "the name of a session lets in: {log}");
    for told in [
        "POST /whep is refused: 400",
        "POST /whep is refused: 413",
        "POST /whep is refused: 403",
        "421",
        "DELETE /whep/{id} is refused",
    ] {
        assert!(log.contains(told), "no {told}: {log}");
    }
    // As long as it listens on loopback, so does all of it.
    let mut ways = good.body.lines().filter(|line| line.starts_with("a=candidate")).peekable();
    assert!(ways.peek().is_some() && ways.all(|way| way.contains(" 127.0.0.1 ")), "{}", good.body);
}

#[test]
fn an_offer_that_is_damaged_anywhere_is_answered_or_refused() {
    let run = Run::start("[webrtc]\noffer_s = 2\n");
    let lines: Vec<&str> = churn::OFFER.lines().collect();
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..lines.len() {
        let head = lines[n].split([':', ' ', '=']).next().unwrap();
        let separator = lines[n].chars().nth(head.len()).unwrap_or('=');
        for damaged in [
            String::new(),
            format!("{0}\r\n{0}", lines[n]),
            head.to_owned(),
            format!("{head}{separator}99999999999999999999 -1 \u{fffd}"),
            format!("{}\u{0}", lines[n]),
            lines[n].chars().rev().collect(),
        ] {
            let mut all: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            all[n] = damaged;
            all.retain(|line| !line.is_empty());
            let text = format!("{}\r\n", all.join("\r\n"));
            let answer = run.ask("POST", "/whep", "application/sdp", &text);
            assert!([201, 400, 422, 503].contains(&answer.status), "{answer:?}\n{text}");
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
    }
    println!("answers to damaged offers: {statuses:?}");
    assert!(statuses[&201] > 20 && statuses[&400] > 20, "{statuses:?}");
    let (dir, _session) = run.finish();
    let log = std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn whoever_may_not_talk_is_not_heard() {
    // An offer would wait for its connection for a minute.
    let mut run = Run::start("[webrtc]\noffer_s = 60\n");
    let path = run.path().join(".local/state/waywarden/tokens.toml");
    let text = run.until("tokens", |_| std::fs::read_to_string(&path).ok());
    let tokens: toml::Table = toml::from_str(&text).unwrap();
    let offer = churn::OFFER.replace("a=mid:1\r\na=recvonly", "a=mid:1\r\na=sendrecv");
    let mut allowed = Vec::new();
    for token in tokens["token"].as_array().unwrap() {
        let head = format!(
            "POST /whep HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}",
            run.address,
            token["token"].as_str().unwrap(),
            offer.len()
        );
        let answer = raw(run.address, &head, offer.as_bytes());
        assert_eq!(answer.status, 201, "watching is allowed to both");
        let may_talk = token["scopes"].as_array().unwrap().contains(&"talk".into());
        let sound = answer.body.split("m=").find(|part| part.starts_with("audio")).unwrap();
        // What the vehicle does not want to hear, the other side does not even send.
        assert_eq!(sound.contains("a=sendrecv"), may_talk, "{sound}");
        allowed.push(may_talk);
    }
    assert!(allowed.contains(&true) && allowed.contains(&false), "{text}");
    let (_dir, session) = run.finish();
    let offered: Vec<_> = said(&session)
        .into_iter()
        .filter_map(|said| match said.event {
            OperatorEvent::Offered(offer) => Some(offer.talk),
            _ => None,
        })
        .collect();
    assert_eq!(offered, allowed);
}

#[test]
fn who_watches_with_a_token_that_is_taken_away_does_so_no_longer() {
    // An offer would wait for its connection for a minute.
    let mut run = Run::start("[webrtc]\noffer_s = 60\n");
    // TOKEN allows everything, and is a file of its own; here whoever watches has one of those that the first start made.
    let path = run.path().join(".local/state/waywarden/tokens.toml");
    let text = run.until("tokens", |_| std::fs::read_to_string(&path).ok());
    let tokens: toml::Table = toml::from_str(&text).unwrap();
    let (mine, other) = (tokens["token"][0]["token"].as_str().unwrap(), tokens["token"][1]["token"].as_str().unwrap());
    for token in [mine, other] {
        let length = churn::OFFER.len();
        let head = format!(
            "POST /whep HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}",
            run.address
        );
        assert_eq!(raw(run.address, &head, churn::OFFER.as_bytes()).status, 201);
    }
    assert_eq!(run.watchers().len(), 2);
    std::fs::write(&path, text.replace(mine, "00112233445566778899aabbccddeeff")).unwrap();
    send(&run.child, Signal::SIGHUP);
    run.until("only one who watches", |run| (run.watchers().len() == 1).then_some(()));
    let (_dir, session) = run.finish();
    let why: Vec<_> = said(&session)
        .into_iter()
        .filter_map(|said| match said.event {
            OperatorEvent::Gone(why) => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(why.first().map(String::as_str), Some("its token is no longer good"), "{why:?}");
}
