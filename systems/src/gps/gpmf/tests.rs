//! Tests with payloads made here; a real camera's are in `import::gpmf`.

use proptest::prelude::*;

use super::*;

fn item(key: &[u8; 4], kind: u8, size: u8, data: &[u8]) -> Vec<u8> {
    let repeat = (data.len() / usize::from(size.max(1))) as u16;
    let mut bytes = [&key[..], &[kind, size], &repeat.to_be_bytes(), data].concat();
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

fn nested(key: &[u8; 4], data: &[u8]) -> Vec<u8> {
    item(key, 0, 1, data)
}

fn longs(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A stream of so many samples, each a hundred thousandth of a degree further north.
fn gps5(count: i32, fix: u32, utc: &str) -> Vec<u8> {
    let samples: Vec<i32> =
        (0..count).flat_map(|i| [331_000_000 + 100 * i, -1_172_000_000, 12_000, 1_500, 160]).collect();
    [
        item(b"STNM", b'c', 1, b"GPS (odd name)"),
        item(b"GPSF", b'L', 4, &fix.to_be_bytes()),
        item(b"GPSU", b'U', 16, utc.as_bytes()),
        item(b"GPSP", b'S', 2, &154u16.to_be_bytes()),
        item(b"SCAL", b'l', 4, &longs(&[10_000_000, 10_000_000, 1000, 1000, 100])),
        item(b"GPS5", b'l', 20, &longs(&samples)),
    ]
    .concat()
}

fn payload(streams: &[Vec<u8>]) -> Vec<u8> {
    let other = nested(b"STRM", &item(b"ACCL", b's', 6, &[1; 60]));
    let streams = streams.iter().map(|stream| nested(b"STRM", stream));
    nested(b"DEVC", &[other].into_iter().chain(streams).collect::<Vec<_>>().concat())
}

fn events(reader: &mut GpmfReader, bytes: &[u8], arrived_ms: u64) -> Vec<GpmfEvent> {
    let mut events = Vec::new();
    reader.read(bytes, Mono(arrived_ms * 1_000_000), |event| events.push(event));
    events
}

fn fixes(events: &[GpmfEvent]) -> Vec<Timed> {
    let fixes = |event: &GpmfEvent| if let GpmfEvent::Good(fixes) = event { fixes.clone() } else { Vec::new() };
    events.iter().flat_map(fixes).collect()
}

const UTC: &str = "251119235959.500";

#[test]
fn samples_become_fixes_spread_over_their_second() {
    let mut reader = GpmfReader::default();
    let first = fixes(&events(&mut reader, &payload(&[gps5(4, 3, UTC)]), 1000));
    let times: Vec<u64> = first.iter().map(|(_, at)| at.0 / 1_000_000).collect();
    assert_eq!(times, [250, 500, 750, 1000]);
    let fix = &first[1].0;
    assert_eq!((fix.latitude_deg, fix.longitude_deg), (33.100_01, -117.2));
    assert_eq!((fix.speed_mps, fix.hdop, fix.quality), (Some(1.5), Some(1.54), FixQuality::Gps));
    assert_eq!((fix.altitude_m, fix.course_deg), (None, None), "not above sea level, and not said");
    // Over midnight.
    let clock: Vec<_> = first.iter().map(|(fix, _)| (fix.date.unwrap().2, fix.time_of_day_ms)).collect();
    assert_eq!(clock, [(19, 86_399_500), (19, 86_399_750), (20, 0), (20, 250)]);
    // Later ones over the time since the one before; behind a hole over a second.
    let second = fixes(&events(&mut reader, &payload(&[gps5(2, 3, UTC)]), 1500));
    assert_eq!(second.iter().map(|(_, at)| at.0 / 1_000_000).collect::<Vec<_>>(), [1250, 1500]);
    let third = fixes(&events(&mut reader, &payload(&[gps5(2, 3, UTC)]), 9000));
    assert_eq!(third.iter().map(|(_, at)| at.0 / 1_000_000).collect::<Vec<_>>(), [8500, 9000]);
}

#[test]
fn the_altitude_is_taken_where_it_is_above_the_sea() {
    let stream = [item(b"GPSA", b'F', 4, b"MSLV"), gps5(1, 2, UTC)].concat();
    let found = fixes(&events(&mut GpmfReader::default(), &payload(&[stream]), 0));
    assert_eq!(found[0].0.altitude_m, Some(12.0));
}

#[test]
fn samples_of_newer_cameras_carry_their_own_time() {
    let sample = |days: i32, seconds_ms: i32, kind: u16| {
        let longs = longs(&[331_000_000, -1_172_000_000, 12_000, 1_500, 160, days, seconds_ms]);
        [longs, 321u16.to_be_bytes().to_vec(), kind.to_be_bytes().to_vec()].concat()
    };
    let samples = [sample(9_000, 43_200_250, 3), sample(9_000, 43_200_350, 0), sample(-1, 0, 3)].concat();
    let stream = [
        item(b"TYPE", b'c', 1, b"lllllllSS"),
        item(b"SCAL", b'l', 4, &longs(&[10_000_000, 10_000_000, 1000, 1000, 100, 1, 1000, 100, 1])),
        item(b"GPS9", b'?', 32, &samples),
    ]
    .concat();
    let found = events(&mut GpmfReader::default(), &payload(&[stream]), 1000);
    assert_eq!(found[0], GpmfEvent::Bad);
    let [(fix, _)] = &fixes(&found)[..] else { panic!("{found:?}") };
    assert_eq!((fix.date, fix.time_of_day_ms, fix.hdop), (Some((2024, 8, 22)), 43_200_250, Some(3.21)));
}

#[test]
fn without_a_fix_there_is_none() {
    let found = events(&mut GpmfReader::default(), &payload(&[gps5(18, 0, UTC)]), 0);
    assert_eq!(found, [GpmfEvent::Good(Vec::new())]);
    assert_eq!(events(&mut GpmfReader::default(), &payload(&[]), 0), [GpmfEvent::Ignored]);
    assert!(has_position(&payload(&[gps5(0, 0, UTC)])) && !has_position(&payload(&[])));
}

#[test]
fn what_cannot_be_is_counted() {
    let bad = |stream: Vec<u8>| {
        let found = events(&mut GpmfReader::default(), &payload(&[stream]), 0);
        assert!(fixes(&found).is_empty(), "{found:?}");
        found.iter().filter(|event| **event == GpmfEvent::Bad).count()
    };
    assert_eq!(bad(gps5(3, 3, "25111923595x.500")), 3, "no time");
    assert_eq!(bad(gps5(3, 3, "251319235959.500")), 3, "no such month");
    let off = |scale: &[i32]| {
        [gps5(0, 3, UTC), item(b"SCAL", b'l', 4, &longs(scale)), item(b"GPS5", b'l', 20, &longs(&[1_000; 5]))].concat()
    };
    assert_eq!(bad(off(&[1])), 1, "off Earth");
    assert_eq!(bad(off(&[0])), 1, "nothing to divide by");
    assert_eq!(bad(off(&[1, 2])), 1, "other values");
    assert_eq!(bad(item(b"GPS9", b'?', 32, &[0; 32])), 1, "of an unknown type");
    assert_eq!(bad(item(b"GPS5", b'l', 19, &[0; 38])), 1, "of another size");
}

#[test]
fn payloads_that_end_early_are_bad_and_what_follows_is_read() {
    let whole = payload(&[gps5(4, 3, UTC)]);
    let mut cut = whole.clone();
    // A stream that claims to be longer than its device.
    let at = cut.windows(4).rposition(|window| window == b"GPS5").unwrap();
    cut[at + 6] = 0xff;
    let found = events(&mut GpmfReader::default(), &[&b"xyz"[..], &cut, b"DE", &whole].concat(), 1000);
    assert_eq!(found[..3], [GpmfEvent::Stray(3), GpmfEvent::Bad, GpmfEvent::Stray(2)]);
    assert_eq!(fixes(&found).len(), 4);
    // A device that claims to be larger than any, and one that is none.
    for header in [&b"DEVC\x00\xff\xff\xff"[..], b"DEVCl\x04\x00\x01"] {
        let found = events(&mut GpmfReader::default(), &[header, &whole].concat(), 1000);
        assert_eq!(found[0], GpmfEvent::Bad);
        assert_eq!(fixes(&found).len(), 4, "{found:?}");
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing(size in 1usize..200, noise in proptest::collection::vec(any::<u8>(), 0..40)) {
        let bytes = [payload(&[gps5(5, 3, UTC)]), noise, payload(&[gps5(3, 3, UTC)]), b"DEV".to_vec()].concat();
        let (mut whole, mut pieces) = (GpmfReader::default(), GpmfReader::default());
        let expected = events(&mut whole, &bytes, 1000);
        let found: Vec<_> = bytes.chunks(size).flat_map(|piece| events(&mut pieces, piece, 1000)).collect();
        let stray = |events: &[GpmfEvent]| -> u64 {
            events.iter().map(|event| if let GpmfEvent::Stray(count) = event { u64::from(*count) } else { 0 }).sum()
        };
        prop_assert_eq!(stray(&found), stray(&expected));
        prop_assert_eq!(fixes(&found), fixes(&expected));
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn damage_never_panics(at in 0usize..400, byte: u8, length in 0usize..1000) {
        let mut bytes = payload(&[gps5(5, 3, UTC), gps5(2, 2, UTC)]);
        let last = bytes.len() - 1;
        bytes[at.min(last)] = byte;
        bytes.truncate(length);
        for (fix, _) in fixes(&events(&mut GpmfReader::default(), &bytes, 1000)) {
            prop_assert!((-90.0..=90.0).contains(&fix.latitude_deg) && (-180.0..=180.0).contains(&fix.longitude_deg));
        }
    }

    #[test]
    fn any_bytes_are_read_in_bounded_memory(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = GpmfReader::default();
        let framed = [&b"DEVC\x00\x04"[..], &bytes].concat();
        for piece in [&bytes, &framed] {
            events(&mut reader, piece, 1000);
            prop_assert!(reader.pending() <= MAX_PAYLOAD + HEADER);
        }
    }
}
