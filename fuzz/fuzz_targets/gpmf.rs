//! Any bytes, cut anywhere, are read without a panic, with the same fixes, in bounded memory.
//!
//! The first byte of the input seeds the cuts, the rest is what the camera wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_components::time::Mono;
use waywarden_fuzz::pieces;
use waywarden_systems::gps::gpmf::{GpmfEvent, GpmfReader, MAX_PAYLOAD};

fuzz_target!(|data: &[u8]| {
    let Some((seed, bytes)) = data.split_first() else { return };
    let now = Mono::from_nanos(5_000_000_000);
    // Strays may be told in another number of pieces.
    let mut whole = GpmfReader::default();
    let (mut expected, mut stray) = (Vec::new(), 0u64);
    whole.read(bytes, now, |event| match event {
        GpmfEvent::Stray(count) => stray += u64::from(count),
        other => expected.push(other),
    });

    let mut reader = GpmfReader::default();
    let mut found = Vec::new();
    for piece in pieces(bytes, *seed, 64) {
        reader.read(piece, now, |event| match event {
            GpmfEvent::Stray(count) => stray -= u64::from(count),
            other => found.push(other),
        });
        assert!(reader.pending() <= MAX_PAYLOAD + 8);
    }
    assert_eq!(stray, 0);
    assert_eq!(found, expected);
    assert_eq!(reader, whole);
    for event in expected {
        let GpmfEvent::Good(fixes) = event else { continue };
        for (fix, captured) in fixes {
            assert!((-90.0..=90.0).contains(&fix.latitude_deg) && (-180.0..=180.0).contains(&fix.longitude_deg));
            assert!(captured <= now && fix.time_of_day_ms < 86_400_000);
            let numbers = [fix.altitude_m, fix.speed_mps, fix.hdop];
            assert!(numbers.into_iter().flatten().all(f64::is_finite));
        }
    }
});
