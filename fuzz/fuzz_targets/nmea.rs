//! Any bytes, cut anywhere, are read without a panic, with the same events, in bounded memory.
//!
//! The first byte of the input seeds the cuts, the rest is what the receiver sends.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waywarden_components::time::Mono;
use waywarden_fuzz::pieces;
use waywarden_systems::gps::fix::FixMerger;
use waywarden_systems::gps::nmea::{MAX_SENTENCE, NmeaEvent, NmeaReader};

fuzz_target!(|data: &[u8]| {
    let Some((seed, bytes)) = data.split_first() else { return };
    let mut whole = NmeaReader::default();
    let mut expected = Vec::new();
    whole.read(bytes, |event| expected.push(event));

    let mut reader = NmeaReader::default();
    let mut found = Vec::new();
    for piece in pieces(bytes, *seed, 64) {
        reader.read(piece, |event| found.push(event));
        assert!(reader.pending() <= MAX_SENTENCE);
    }
    assert_eq!(found, expected);
    assert_eq!(reader, whole);

    let mut merger = FixMerger::default();
    let mut fixes = Vec::new();
    let good = expected.into_iter().filter_map(|event| match event {
        NmeaEvent::Good(sentence) => Some(sentence),
        _ => None,
    });
    for (n, sentence) in good.enumerate() {
        let now = Mono::from_nanos(n as u64 * 100_000_000);
        merger.push(sentence, now, |fix| fixes.push(fix));
        merger.close_after(Duration::from_millis(250), now, |fix| fixes.push(fix));
    }
    for (fix, _) in fixes {
        assert!((-90.0..=90.0).contains(&fix.latitude_deg) && (-180.0..=180.0).contains(&fix.longitude_deg));
        let numbers = [fix.altitude_m, fix.speed_mps, fix.course_deg, fix.hdop];
        assert!(numbers.into_iter().flatten().all(f64::is_finite));
    }
});
