//! Any text is read as an offer, or as candidates that come later, or refused: never a panic, never more than is allowed.
//! What is taken is read by the library next: it does not panic either.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use rtc_sdp::SessionDescription;
use waywarden_systems::webrtc::offer::{self, MOST_CANDIDATES};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let wants = offer::read(text);
    assert_eq!(wants, offer::read(text));
    if let Ok(wants) = wants {
        assert!(wants.video || wants.audio || wants.talk || wants.data);
        assert!(text.contains("fingerprint"));
        let _ = SessionDescription::unmarshal(&mut Cursor::new(text));
    }
    if let Ok(found) = offer::candidates(text) {
        assert!(found.len() <= MOST_CANDIDATES);
        assert!(found.iter().all(|candidate| candidate.text.starts_with("candidate:")));
    }
});
