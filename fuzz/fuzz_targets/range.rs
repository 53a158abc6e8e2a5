//! Any bytes, cut anywhere, are read without a panic, with the same events, in bounded memory, and no byte is lost.
//!
//! The first byte of the input chooses the protocol and seeds the cuts, the rest is what the sensor sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_components::range::{RangeProtocol, RangeValidity};
use waywarden_fuzz::pieces;
use waywarden_systems::range::protocol::{RangeEvent, RangeReader};

fuzz_target!(|data: &[u8]| {
    let Some((seed, bytes)) = data.split_first() else { return };
    let protocol = if seed % 2 == 0 { RangeProtocol::Tfmini } else { RangeProtocol::Ascii };
    let mut whole = RangeReader::default();
    let mut expected = Vec::new();
    whole.read(protocol, bytes, |event| expected.push(event));

    let mut reader = RangeReader::default();
    let mut found = Vec::new();
    for piece in pieces(bytes, *seed, 16) {
        reader.read(protocol, piece, |event| found.push(event));
        assert!(reader.pending() <= 32);
    }
    assert_eq!(found, expected);
    assert_eq!(reader, whole);

    let mut accounted = reader.pending();
    for event in expected {
        match event {
            RangeEvent::Reading(reading) => {
                accounted += 9;
                assert!(reading.distance_m.is_finite());
                assert!(reading.validity != RangeValidity::Valid || reading.distance_m > 0.0);
            }
            RangeEvent::Stray(count) => accounted += count as usize,
            RangeEvent::Bad => {}
        }
    }
    assert!(protocol == RangeProtocol::Ascii || accounted == bytes.len());
});
