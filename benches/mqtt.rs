//! Messages to a real broker on this computer, with the spool on; and the spool alone after a long time without a broker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::ingress::{channel, wake};
use waywarden_systems::mqtt::link::{BrokerLink, LinkSettings};
use waywarden_systems::mqtt::outbox::{Body, Outbox, Outgoing};
use waywarden_systems::mqtt::spool::{BacklogRequest, Entry, Spool, SpoolSettings};
use waywarden_systems::mqtt::wire::Birth;
use waywarden_systems::supervisor::{Supervisor, SupervisorSettings, Task};

use crate::broker::{Broker, FAST, Listener, pause, until};
use crate::report::{Outcome, Report, check, quick, timed};

/// Messages that may wait for the broker: no more than a vehicle has in a second or two.
const AHEAD: u64 = 2000;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (sent, stored) = if quick() { (2000, 20_000) } else { (60_000, 1_000_000) };
    let mut report = Report::new(
        "mqtt",
        &format!(
            "{sent} messages of about 300 bytes to mosquitto over loopback, QoS 1, the spool on; {stored} messages that wait in a spool."
        ),
    );
    if let Some(broker) = Broker::start(folder.path(), FAST) {
        let (seconds, written) = deliver(folder.path(), &broker, sent)?;
        let rate = sent as f64 / seconds;
        report.row("rate", "**messages a second**, acknowledged", rate, format!("{rate:.0}"), "goal: at least 3000");
        let each = written / sent as f64;
        report.row(
            "bytes",
            "written to disk for each",
            each,
            format!("{each:.0} B"),
            "group commit each 50 ms; none if acknowledged sooner",
        );
    }
    let path = folder.path().join("stored.db");
    let written = store(&path, stored)?;
    let each = written / stored as f64;
    report.row("stored_bytes", "written to disk for each that waits", each, format!("{each:.0} B"), "of 250");
    let (opened, seconds) = timed(|| Spool::open(&path, SpoolSettings::default()));
    let (spool, found) = opened?;
    check(found.messages == stored, format!("{} of {stored} messages found", found.messages))?;
    report.row(
        "open_s",
        &format!("opening a spool of {stored}"),
        seconds,
        format!("{:.0} ms", seconds * 1e3),
        "goal: at most 5 s for a million",
    );
    let request = BacklogRequest { after: None, below: spool.border(), count: 1000, now: None };
    let (piece, seconds) = timed(|| spool.backlog(request, Duration::from_secs(10)));
    check(piece.is_some_and(|piece| piece.messages.len() == 1000), "the first thousand of them")?;
    report.row("first_s", "its first thousand", seconds, format!("{:.1} ms", seconds * 1e3), "");
    report.print()
}

/// Seconds until all messages are acknowledged and have been heard, and bytes written to disk meanwhile.
fn deliver(folder: &std::path::Path, broker: &Broker, count: u64) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let listener = Listener::new(broker.port, "listener", None);
    let (spool, _) = Spool::open(&folder.join("outbox.db"), SpoolSettings::default())?;
    let outbox = Outbox::new(spool, "bench".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let birth = Birth {
        v: 1,
        boot_id: String::new(),
        version: String::new(),
        devices: Default::default(),
        streams: Vec::new(),
        commands: Vec::new(),
        switches: Vec::new(),
    };
    let settings = LinkSettings {
        host: "127.0.0.1".to_owned(),
        port: broker.port,
        tls: None,
        client_id: "bench".to_owned(),
        login: None,
        base: "bench".to_owned(),
        keep_alive: Duration::from_secs(15),
        acknowledged_in: Duration::from_secs(15),
        in_flight: 256,
        birth,
        announcements: Vec::new(),
        announce_again_on: None,
        owntracks: None,
    };
    let (waker, _woken) = wake();
    let (outlet, _inlet) = channel(StreamId::BROKER, 64, DropPolicy::KeepNewest, waker);
    let driver = Arc::new(BrokerLink::new(settings, outbox.clone(), runtime.handle().clone(), None));
    let supervisor =
        Supervisor::start(vec![Task { name: "broker".to_owned(), driver, outlet }], SupervisorSettings::default())?;
    until("link", || listener.ending("bench/status").pop());
    let acknowledged = || outbox.spool().tally().streams.values().map(|stream| stream.acknowledged).sum::<u64>();
    let before = written_bytes()?;
    let text = "x".repeat(150);
    let (outcome, seconds) = timed(|| {
        for seq in 1..=count {
            while seq - acknowledged() > AHEAD {
                pause(1);
            }
            let data = serde_json::value::to_raw_value(&json!({ "text": text }))?;
            outbox.put(Outgoing {
                topic: "event/bench".to_owned(),
                priority: 1,
                keep: Duration::from_secs(3600),
                v: 1,
                seq,
                at: Mono::from_nanos(seq),
                utc_ns: None,
                body: Body::Json(data),
            });
        }
        until("all of them", || (acknowledged() == count).then_some(()));
        Ok::<(), serde_json::Error>(())
    });
    outcome?;
    let written = written_bytes()? - before;
    until("the last one", || (listener.ending("/event/bench").len() as u64 == count).then_some(()));
    supervisor.stop(Duration::from_secs(2));
    runtime.shutdown_background();
    Ok((seconds, written))
}

/// Fills a spool, and gives the bytes that were written to disk for it.
fn store(path: &std::path::Path, count: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let settings = SpoolSettings { disk_bytes: 4 << 30, ..SpoolSettings::default() };
    let (spool, _) = Spool::open(path, settings)?;
    let before = written_bytes()?;
    let (stream, body) = (Arc::from("telemetry/bench"), bytes::Bytes::from(vec![b'x'; 250]));
    for n in 0..count {
        let priority = (n % 3) as u8;
        spool.put(Entry { stream: Arc::clone(&stream), priority, put_at: None, expires_at: None, body: body.clone() });
        if n % 5000 == 0 {
            until("the disk", || (spool.tally().waiting < 10_000).then_some(()));
        }
    }
    check(spool.flush(Duration::from_secs(60)), "it is on disk")?;
    let written = written_bytes()? - before;
    spool.close(Duration::from_secs(60))?;
    Ok(written)
}

/// Bytes that this process has had written to disks.
fn written_bytes() -> Result<f64, Box<dyn std::error::Error>> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
    Ok(line.parse()?)
}
