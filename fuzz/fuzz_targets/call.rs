//! Any bytes under any topic are read as an offer over the broker, or refused with a reason for the session that is named: never a
//! panic, and never a session's name that could not be part of a topic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_systems::webrtc::call::{self, Call, MOST_ID};

fuzz_target!(|data: &[u8]| {
    // The topic is up to the first line's end.
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let Ok(topic) = std::str::from_utf8(&data[..cut]) else { return };
    let bytes = data.get(cut + 1..).unwrap_or_default();
    let called = call::read(topic, bytes);
    assert_eq!(called, call::read(topic, bytes));
    let plain = |id: &str| {
        !id.is_empty() && id.len() <= MOST_ID && !id.contains(['/', '+', '#', ' ', '\0']) && id.is_ascii()
    };
    match called {
        Ok((id, Call::Offer(offer))) => {
            assert!(plain(&id) && offer.sdp.len() <= bytes.len());
        }
        Ok((id, _)) => assert!(plain(&id)),
        Err(Some((id, why))) => assert!(plain(&id) && !why.is_empty()),
        Err(None) => {}
    }
});
