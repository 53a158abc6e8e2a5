//! A vehicle that can only dial out: offers and answers over a real broker, the same session as by HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::clock::{boottime, system_utc};
use waywarden_systems::mqtt::wire::rfc3339;

use super::broker::{Broker, FAST, Listener, until};
use super::{Puppet, Run, TOKEN, churn, number, said};

const BASE: &str = "fleet/van-1";

/// A time so many seconds from now.
fn in_seconds(seconds: i64) -> String {
    let now = i64::try_from(boottime().as_nanos()).unwrap() + system_utc().unwrap().offset_ns;
    rfc3339(now + seconds * 1_000_000_000)
}

/// The same description, which names no address of whoever made it.
fn without_addresses(sdp: &str) -> String {
    sdp.split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate") && !line.starts_with("a=end-of-candidates"))
        .collect()
}

/// Sends an offer, and waits for its answer.
fn offer(listener: &Listener, session: &str, offer: &Value) -> Value {
    listener.say(&format!("{BASE}/webrtc/{session}/offer"), false, offer.to_string().as_bytes());
    until(&format!("an answer to {session}"), || {
        let answers = listener.ending(&format!("webrtc/{session}/answer"));
        answers.first().map(|heard| heard.json()["data"].clone())
    })
}

#[test]
fn offers_over_the_broker_are_answered_once_and_expire() {
    let place = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(place.path(), FAST) else { return };
    let listener = Listener::new(broker.port, "operator", None);
    let with = |sdp: &str, seconds| json!({ "sdp": sdp, "expires_at": in_seconds(seconds) });
    // The broker keeps it for whoever comes, whenever.
    listener.say(&format!("{BASE}/webrtc/kept/offer"), true, with(churn::OFFER, 100).to_string().as_bytes());
    let port = broker.port;
    let mut run = Run::start(&format!(
        "[webrtc]\nmqtt = true\n[mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\nvehicle = \"van-1\"\nprefix = \"fleet\"\n\
         spool = \"spool\"\nreconnect_max_s = 1\n"
    ));
    until("the vehicle", || {
        listener.ending("van-1/status").last().filter(|heard| heard.json()["state"] == "online").cloned()
    });

    assert_eq!(offer(&listener, "late", &with(churn::OFFER, -1))["status"], 403);
    assert_eq!(offer(&listener, "never", &with(churn::OFFER, 100_000))["status"], 403);
    assert_eq!(offer(&listener, "none", &with("hello", 30))["status"], 400);
    assert_eq!(offer(&listener, "empty", &json!({}))["status"], 400);

    if let Some(mut peer) = Puppet::aiortc(&run.url(), TOKEN, &json!({})) {
        let sdp = peer.told("offer")["sdp"].as_str().unwrap().to_owned();
        let answer = offer(&listener, "first", &with(&sdp, 30));
        assert_eq!(answer["status"], 201, "{answer}");
        peer.tell(&json!({ "do": "answer", "sdp": answer["sdp"] }));
        run.until("pictures", |_| (number(&peer.told("stats"), "/seen/pictures") > 10.0).then_some(()));
        // It comes again, and is not answered again.
        listener.say(&format!("{BASE}/webrtc/first/offer"), false, with(&sdp, 30).to_string().as_bytes());
        listener.say(&format!("{BASE}/webrtc/first/end"), false, b"");
        run.until("nobody", |run| run.watchers().is_empty().then_some(()));
        assert_eq!(listener.ending("webrtc/first/answer").len(), 1);
    }
    // One that is found by what it says later, and by nothing else: neither knows an address of the other's before.
    let addresses = json!({ "addresses": true });
    if let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &addresses) {
        let offered = browser.told("offer")["sdp"].as_str().unwrap().to_owned();
        let ways: Vec<&str> = offered.lines().filter(|line| line.starts_with("a=candidate")).collect();
        assert!(!ways.is_empty() && ways.iter().all(|way| !way.contains(".local")), "{ways:?}");
        let answer = offer(&listener, "later", &with(&without_addresses(&offered), 60));
        assert_eq!(answer["status"], 201, "{answer}");
        let answered = without_addresses(answer["sdp"].as_str().unwrap());
        browser.tell(&json!({ "do": "answer", "sdp": answered }));
        super::pause(Duration::from_secs(2));
        let stats = browser.told("stats");
        assert_eq!(number(&stats, "/video/framesDecoded"), 0.0, "there is no way yet: {stats}");
        let line = |name: &str| offered.lines().find(|line| line.starts_with(name)).unwrap();
        let mut fragment = vec![line("a=ice-ufrag"), line("a=ice-pwd"), line("m="), "a=mid:0"];
        fragment.extend(ways);
        let fragment = format!("{}\r\n", fragment.join("\r\n"));
        listener.say(&format!("{BASE}/webrtc/later/candidates"), false, fragment.as_bytes());
        run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
        listener.say(&format!("{BASE}/webrtc/later/end"), false, b"");
        run.until("nobody", |run| run.watchers().is_empty().then_some(()));
    }
    super::pause(Duration::from_millis(300));
    assert!(listener.ending("webrtc/kept/answer").is_empty());
    drop(listener);
    let (_dir, session) = run.finish();
    let offers = said(&session).into_iter().filter_map(|said| match said.event {
        OperatorEvent::Offered(offer) => Some(offer.via),
        _ => None,
    });
    assert!(offers.into_iter().all(|via| via == Signalling::Mqtt));
}
