//! Sessions that come and go in every state.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use waywarden_systems::session::{Record, SessionReader};

use super::{Answer, CONFIG, Puppet, Run, TOKEN, number, pause};

/// An offer of somebody who never comes: pictures, sound and data.
pub const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
    a=msid-semantic: WMS\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Ab3d\r\n\
    a=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack\r\n\
    a=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 transport-cc\r\n\
    a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:103 rtx/90000\r\n\
    a=fmtp:103 apt=102\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Ab3d\r\n\
    a=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:Ab3d\r\n\
    a=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

/// Threads, open files and resident memory (KiB) of a run.
fn held(run: &Run) -> (usize, usize, u64) {
    let place = format!("/proc/{}", run.child.id());
    let count = |what: &str| std::fs::read_dir(format!("{place}/{what}")).unwrap().count();
    let status = std::fs::read_to_string(format!("{place}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok());
    (count("task"), count("fd"), resident.unwrap())
}

/// How many operators there are in the world, at the beginning of each segment.
fn entities(session: &Path) -> Vec<usize> {
    let mut reader = SessionReader::open(session).unwrap();
    let mut counts = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        if let Record::Snapshot(snapshot) = record {
            let operators = snapshot.kinds.iter().find(|kind| kind.kind == "operator_session");
            counts.push(operators.map_or(0, |kind| kind.values.len()));
        }
    }
    counts
}

fn offered(run: &Run) -> Answer {
    let answer = run.ask("POST", "/whep", "application/sdp", OFFER);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

/// Most memory that is still held when all have gone, in KiB: what is made once for the first of them.
const MORE_KIB: u64 = 10 << 10;

/// Opens so many sessions and drops each in another state; then all is as before.
fn come_and_go(sessions: usize, connected: usize) {
    let config = format!("{}[webrtc]\nsessions = 3\noffer_s = 3\n", CONFIG.replace("segment_s = 20", "segment_s = 2"));
    let mut run = Run::start_with(&config);
    // Whatever is only made once.
    let first = offered(&run);
    run.ask("DELETE", first.header("location").unwrap(), "text/plain", "");
    run.until("nobody", |run| run.watchers().is_empty().then_some(()));
    pause(Duration::from_secs(1));
    let before = held(&run);
    for n in 0..sessions {
        let answer = offered(&run);
        run.until("room", |run| (run.watchers().len() <= 3).then_some(()));
        if n % 3 == 0 {
            assert_eq!(run.ask("DELETE", answer.header("location").unwrap(), "text/plain", "").status, 200);
        }
    }
    for n in 0..connected {
        let Some(mut peer) = Puppet::aiortc(&run.url(), TOKEN, &json!({})) else { break };
        peer.open(|sdp| sdp);
        run.until("pictures", |_| (number(&peer.told("stats"), "/seen/pictures") > 0.0).then_some(()));
        match n % 3 {
            0 => peer.kill(),
            1 => drop(peer),
            _ => {
                // Room is made for newer ones, and who watched is told.
                for _ in 0..3 {
                    offered(&run);
                }
                run.until("a reason", |_| peer.told("stats")["seen"]["ended"].as_str().map(str::to_owned));
            }
        }
    }
    run.until("nobody", |run| run.watchers().is_empty().then_some(()));
    println!("threads, files, KiB {:?} when the last one has gone", held(&run));
    // Then it is given back.
    pause(Duration::from_secs(3));
    let after = run.until("what was taken", |run| {
        let now = held(run);
        (now.0 <= before.0 && now.1 <= before.1).then_some(now)
    });
    println!("{sessions} offers, {connected} connections: threads, files, KiB {before:?} before, {after:?} after");
    assert!(after.2 <= before.2 + MORE_KIB);
    // Another segment begins, and with it stands what there is in the world.
    pause(Duration::from_secs(4));
    let (_dir, session) = run.finish();
    let entities = entities(&session);
    assert!(entities.iter().any(|count| *count > 0) && entities.last() == Some(&0), "{entities:?}");
    let said = super::said(&session);
    let offers = said.iter().filter(|said| matches!(said.event, super::OperatorEvent::Offered(_))).count();
    assert!(offers > sessions);
}

#[test]
fn who_comes_and_goes_leaves_nothing_behind() {
    come_and_go(12, 3);
}

#[test]
#[ignore = "long: 200 sessions"]
fn two_hundred_come_and_go() {
    come_and_go(150, 50);
}
