//! Offers over the broker: the same as those over HTTP, for a vehicle that can only dial out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::to_raw_value;
use tokio::sync::mpsc::{Receiver, channel};
use waywarden_components::prelude::Signalling;
use waywarden_systems::clock::{boottime, system_utc};
use waywarden_systems::mqtt::link::Aside;
use waywarden_systems::mqtt::outbox::{Body, Outbox, Outgoing};
use waywarden_systems::mqtt::publish::priority;
use waywarden_systems::mqtt::wire::{VERSION, WatchAnswer};
use waywarden_systems::webrtc::call::{self, Call, CalledOffer, TOPICS};
use waywarden_systems::webrtc::hub::{Asked, Hub, Refusal};

use crate::config::Config;

/// Messages that may wait.
const WAITING: usize = 32;

/// Sessions whose names are remembered. The name of an older one is nobody's.
const REMEMBERED: usize = 64;

/// How long an answer is worth anything.
const KEEP: Duration = Duration::from_secs(15);

/// The longest time for which an offer may be good: what lies longer with a broker is of another day.
const LONGEST_NS: i64 = 120_000_000_000;

/// Topics besides, and where goes what comes there.
pub type Line = (&'static [&'static str], Aside);

/// What is listened to besides, and where it is heard, if the config takes offers over the broker.
pub fn line(config: &Config) -> Option<(Line, Receiver<(String, Bytes)>)> {
    let (aside, called) = channel(WAITING);
    (config.webrtc.enabled && config.webrtc.mqtt).then_some(((&TOPICS[..], aside), called))
}

/// Answers what is heard, until nothing comes any more.
pub async fn answer(mut called: Receiver<(String, Bytes)>, hub: Hub, outbox: Outbox) {
    // Names of theirs, and of the hub's; the oldest first in `order`.
    let (mut known, mut order, mut seq) = (BTreeMap::<String, String>::new(), Vec::<String>::new(), 0);
    while let Some((topic, bytes)) = called.recv().await {
        let (session, call) = match call::read(&topic, &bytes) {
            Ok(read) => read,
            Err(Some((session, why))) => {
                seq += 1;
                tell(&outbox, &session, seq, Err(Refusal::Malformed(why)));
                continue;
            }
            Err(None) => continue,
        };
        match call {
            Call::Offer(_) if order.contains(&session) => {
                // It came in before: a broker may bring it twice.
            }
            Call::Offer(offer) => {
                let answered = offered(&hub, offer).await;
                if order.len() >= REMEMBERED {
                    known.remove(&order.remove(0));
                }
                order.push(session.clone());
                seq += 1;
                let told = answered.map(|answered| {
                    known.insert(session.clone(), answered.id);
                    answered.sdp
                });
                tell(&outbox, &session, seq, told);
            }
            Call::Candidates(fragment) => {
                let id = known.get(&session);
                // What cannot be read or has no session is one way less.
                let _ = id.map(|id| hub.candidates(id, &fragment));
            }
            Call::End => {
                let _ = known.remove(&session).map(|id| hub.end(&id, "it was ended by who watched"));
            }
        }
    }
}

async fn offered(hub: &Hub, offer: CalledOffer) -> Result<waywarden_systems::webrtc::hub::Answered, Refusal> {
    let left = now_ns().map(|now| offer.expires_ns.saturating_sub(now));
    match left {
        None => return Err(Refusal::Refused("the vehicle does not know the date, and an offer expires".to_owned())),
        Some(..=0) => return Err(Refusal::Refused("the offer has expired".to_owned())),
        Some(LONGEST_NS..) => {
            return Err(Refusal::Refused("the offer expires too late: two minutes at most".to_owned()));
        }
        Some(_) => {}
    }
    hub.offer(Asked { via: Signalling::Mqtt, camera: offer.camera, may_talk: true, sdp: offer.sdp }).await
}

/// Nanoseconds since 1970 UTC, as the computer has it.
fn now_ns() -> Option<i64> {
    i64::try_from(boottime().as_nanos()).ok()?.checked_add(system_utc()?.offset_ns)
}

fn tell(outbox: &Outbox, session: &str, seq: u64, result: Result<String, Refusal>) {
    let answer = match result {
        Ok(sdp) => WatchAnswer { status: 201, sdp, reason: String::new() },
        Err(refusal) => {
            let status = match refusal {
                Refusal::Malformed(_) => 400,
                Refusal::Unusable(_) => 422,
                Refusal::Missing(_) => 404,
                Refusal::Refused(_) => 403,
                Refusal::Busy(_) => 503,
            };
            WatchAnswer { status, sdp: String::new(), reason: refusal.to_string() }
        }
    };
    // Texts and a number: nothing that JSON could not say.
    let Ok(data) = to_raw_value(&answer) else { return };
    outbox.put(Outgoing {
        topic: format!("webrtc/{session}/answer"),
        priority: priority::EVENT,
        keep: KEEP,
        v: VERSION,
        seq,
        at: boottime(),
        utc_ns: now_ns(),
        body: Body::Json(data),
    });
}
