//! The wire formats of range finders: bytes in, readings out, no I/O.
//!
//! Sources: Benewake TF-Luna product manual A05 (appendix I), TFmini Plus data sheet A04 (table 4), TFmini-S and TFmini
//! manuals (SJ-PM-TFmini-T-01 A03, section 5.4). All of them send centimetres unless they are told otherwise.

use serde::{Deserialize, Serialize};
use waywarden_components::range::{RangeProtocol, RangeReading, RangeValidity};

/// Bytes of a TFmini frame.
const FRAME: usize = 9;

/// First and second byte of a TFmini frame.
const HEADER: u8 = 0x59;

/// Below this signal strength a Benewake distance is "unreliable" (TF-Luna, TFmini Plus and -S; the first TFmini, whose
/// limit is 20, says so itself by a distance of 65535).
const WEAK_BELOW: u16 = 100;

/// From here on a Benewake distance is no measurement, in centimetres. The range ends at 12 m, and the TFmini reports
/// just that for whatever is farther away, so an open road would look like an obstacle at 12.00 m.
const TFMINI_END_CM: u16 = 1200;

/// Longest line of an ASCII sensor in bytes, without its end.
const MAX_LINE: usize = 32;

/// Farthest distance that is believed of an ASCII sensor, in metres; no range finder for vehicles reaches it.
const ASCII_END_M: f32 = 1000.0;

/// What a piece of the stream turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum RangeEvent {
    /// A distance, usable or not.
    Reading(RangeReading),
    /// A frame with a wrong sum, or a line that is no number.
    Bad,
    /// So many bytes outside any frame or line. Line ends are not counted.
    Stray(u32),
}

/// Cuts a stream of bytes into readings. Plain data: it is part of snapshots.
///
/// * [`RangeProtocol::Tfmini`]: a frame is `59 59`, six bytes and the low byte of the sum of these eight. When the sum is
///   wrong, only the first byte is given up and the other eight are looked at again, so a lost byte costs one frame. Each
///   byte is in the end part of a frame or stray.
/// * [`RangeProtocol::Ascii`]: a line ends with CR or LF; empty ones mean nothing. What comes before the first line end
///   is stray: half a number is a wrong number, and no checksum would tell.
///
/// How the bytes are cut into calls changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeReader {
    /// The frame or line in progress: at most 9 or 32 bytes.
    #[serde(with = "serde_bytes")]
    pending: Vec<u8>,
    /// Whether the beginning of the line in progress was seen.
    aligned: bool,
}

impl RangeReader {
    /// Reads on; calls `each` for everything that is complete, in the order of the stream.
    pub fn read(&mut self, protocol: RangeProtocol, bytes: &[u8], mut each: impl FnMut(RangeEvent)) {
        for &byte in bytes {
            match protocol {
                RangeProtocol::Tfmini => self.frame_byte(byte, &mut each),
                RangeProtocol::Ascii => self.line_byte(byte, &mut each),
            }
        }
    }

    /// Forgets where it was, because bytes were lost: the next line is begun anew. Frames find themselves again.
    pub fn resync(&mut self) {
        self.aligned = false;
    }

    /// Bytes of the frame or line in progress.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn frame_byte(&mut self, byte: u8, each: &mut impl FnMut(RangeEvent)) {
        self.pending.push(byte);
        loop {
            let headed = self.pending.iter().take(2).all(|byte| *byte == HEADER);
            if headed && self.pending.len() < FRAME {
                return;
            }
            if headed {
                if let Some(reading) = read_frame(&self.pending) {
                    each(RangeEvent::Reading(reading));
                    self.pending.clear();
                    return;
                }
                each(RangeEvent::Bad);
            }
            each(RangeEvent::Stray(1));
            self.pending.remove(0);
        }
    }

    fn line_byte(&mut self, byte: u8, each: &mut impl FnMut(RangeEvent)) {
        let end = matches!(byte, b'\r' | b'\n');
        if !self.aligned {
            let count = self.pending.len() + usize::from(!end);
            if count > 0 {
                each(RangeEvent::Stray(u32::try_from(count).unwrap_or(u32::MAX)));
            }
            self.pending.clear();
            self.aligned = end;
        } else if end {
            if !self.pending.is_empty() {
                each(read_line(&self.pending).map_or(RangeEvent::Bad, RangeEvent::Reading));
            }
            self.pending.clear();
        } else if self.pending.len() == MAX_LINE {
            each(RangeEvent::Bad);
            each(RangeEvent::Stray(1));
            self.pending.clear();
            self.aligned = false;
        } else {
            self.pending.push(byte);
        }
    }
}

/// The reading in nine bytes; none when the sum is wrong.
fn read_frame(frame: &[u8]) -> Option<RangeReading> {
    let &[first, second, distance_l, distance_h, strength_l, strength_h, _, _, sum] = frame else {
        return None;
    };
    if [first, second] != [HEADER; 2] || frame[..FRAME - 1].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != sum
    {
        return None;
    }
    let distance_cm = u16::from_le_bytes([distance_l, distance_h]);
    let strength = u16::from_le_bytes([strength_l, strength_h]);
    let validity = match (strength, distance_cm) {
        // 65534 and 65532 are the TFmini-S's words for "signal saturated" and "too much ambient light".
        (u16::MAX, _) | (_, 65534 | 65532) => RangeValidity::Saturated,
        (..WEAK_BELOW, _) => RangeValidity::Weak,
        (_, 0 | TFMINI_END_CM..) => RangeValidity::OutOfRange,
        _ => RangeValidity::Valid,
    };
    Some(RangeReading { distance_m: f32::from(distance_cm) / 100.0, strength: Some(strength), validity })
}

/// The reading in a line without its end; none when it is no number.
fn read_line(line: &[u8]) -> Option<RangeReading> {
    let line = std::str::from_utf8(line).ok()?;
    let (metres, strength) = match line.split_once(',') {
        Some((metres, strength)) => (metres.trim(), Some(strength.trim().parse().ok()?)),
        None => (line.trim(), None),
    };
    // Rust's own parser would also take "inf", "nan" and "1e9".
    if !metres.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')) {
        return None;
    }
    let distance_m: f32 = metres.parse().ok()?;
    let validity = if distance_m == -1.0 {
        // What the TFmini writes in its "Pixhawk" format when too little light came back.
        RangeValidity::Weak
    } else if distance_m > 0.0 && distance_m < ASCII_END_M {
        RangeValidity::Valid
    } else {
        RangeValidity::OutOfRange
    };
    Some(RangeReading { distance_m, strength, validity })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use RangeValidity::*;

    fn frame(distance_cm: u16, strength: u16) -> Vec<u8> {
        let mut frame = vec![HEADER, HEADER];
        frame.extend(distance_cm.to_le_bytes());
        frame.extend(strength.to_le_bytes());
        frame.extend(2400u16.to_le_bytes());
        frame.push(frame.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
        frame
    }

    fn events(reader: &mut RangeReader, protocol: RangeProtocol, bytes: &[u8]) -> Vec<RangeEvent> {
        let mut events = Vec::new();
        reader.read(protocol, bytes, |event| events.push(event));
        events
    }

    /// (readings, bad, stray bytes)
    fn count(events: &[RangeEvent]) -> (usize, usize, usize) {
        events.iter().fold((0, 0, 0), |(readings, bad, stray), event| match event {
            RangeEvent::Reading(_) => (readings + 1, bad, stray),
            RangeEvent::Bad => (readings, bad + 1, stray),
            RangeEvent::Stray(bytes) => (readings, bad, stray + *bytes as usize),
        })
    }

    #[test]
    fn a_frame_is_a_reading() {
        // From the TF-Luna manual's layout: 100 cm, strength 1000, (2272 / 8 - 256) = 28 degrees.
        let bytes = [0x59, 0x59, 0x64, 0x00, 0xe8, 0x03, 0xe0, 0x08, 0xe9];
        let found = events(&mut RangeReader::default(), RangeProtocol::Tfmini, &bytes);
        assert_eq!(
            found,
            [RangeEvent::Reading(RangeReading { distance_m: 1.0, strength: Some(1000), validity: Valid })]
        );
    }

    #[test]
    fn what_a_frame_says_decides_whether_it_may_be_used() {
        for (distance_cm, strength, expected) in [
            (1, 100, Valid),
            (1199, 65534, Valid),
            (500, 99, Weak),
            (65535, 99, Weak),
            (500, 65535, Saturated),
            (65534, 500, Saturated),
            (65532, 50, Saturated),
            (0, 500, OutOfRange),
            (1200, 500, OutOfRange),
            (65533, 500, OutOfRange),
            (65535, 500, OutOfRange),
            (65533, 65535, Saturated),
        ] {
            assert_eq!(
                read_frame(&frame(distance_cm, strength)).unwrap().validity,
                expected,
                "{distance_cm} {strength}"
            );
        }
    }

    #[test]
    fn a_wrong_sum_or_a_lost_byte_costs_one_frame() {
        let good = frame(0x5959, 0x5959);
        let mut broken = frame(321, 400);
        broken[4] ^= 1;
        let found =
            events(&mut RangeReader::default(), RangeProtocol::Tfmini, &[good.clone(), broken, frame(5, 500)].concat());
        assert_eq!(count(&found), (2, 1, 9));
        let short = &frame(321, 400)[..8];
        let found = events(&mut RangeReader::default(), RangeProtocol::Tfmini, &[short, &good[..], &good[..]].concat());
        assert_eq!(count(&found), (2, 1, 8));
        let found =
            events(&mut RangeReader::default(), RangeProtocol::Tfmini, &[&good[4..], &frame(5, 500)[..]].concat());
        assert_eq!(count(&found), (1, 1, 5), "opened in the middle of a frame that looks like headers");
    }

    #[test]
    fn lines_are_metres_and_perhaps_strength() {
        let line = |text: &str| read_line(text.as_bytes());
        let reading = |distance_m, strength, validity| Some(RangeReading { distance_m, strength, validity });
        assert_eq!(line("1.21"), reading(1.21, None, Valid));
        assert_eq!(line(" 35 , 742 "), reading(35.0, Some(742), Valid));
        assert_eq!(line("0.00"), reading(0.0, None, OutOfRange));
        assert_eq!(line("-1.00"), reading(-1.0, None, Weak));
        assert_eq!(line("1000"), reading(1000.0, None, OutOfRange));
        for text in ["", "-", "nan", "inf", "1e3", "1.2.3", "1.2,", "1.2,x", "1.2,3,4", "1.2,70000", "1,2m", "\u{661}"]
        {
            assert_eq!(line(text), None, "{text:?}");
        }
        assert_eq!(read_line(&[b'1', 0xff]), None);
    }

    #[test]
    fn half_a_line_is_never_a_number() {
        let mut reader = RangeReader::default();
        assert_eq!(count(&events(&mut reader, RangeProtocol::Ascii, b"2.34\r\n5.00\r\n6.")), (1, 0, 4));
        reader.resync();
        assert_eq!(count(&events(&mut reader, RangeProtocol::Ascii, b"34\r\n7.5\n\n")), (1, 0, 4));
        assert_eq!(count(&events(&mut reader, RangeProtocol::Ascii, &b"1".repeat(100))), (0, 1, 68));
        assert_eq!(count(&events(&mut reader, RangeProtocol::Ascii, b"1\n2\n")), (1, 0, 1));
    }

    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            (any::<u16>(), any::<u16>()).prop_map(|(distance, strength)| frame(distance, strength)),
            "[0-9.,\r\n-]{0,50}".prop_map(String::into_bytes),
            proptest::collection::vec(prop_oneof![Just(HEADER), any::<u8>()], 0..20),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cuts_change_nothing_and_every_byte_is_accounted_for(
            bytes in wire(),
            ascii in any::<bool>(),
            cuts in proptest::collection::vec(1usize..11, 1..40),
        ) {
            let protocol = if ascii { RangeProtocol::Ascii } else { RangeProtocol::Tfmini };
            let mut whole = RangeReader::default();
            let expected = events(&mut whole, protocol, &bytes);
            let mut reader = RangeReader::default();
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for size in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*size).min(rest.len()));
                found.extend(events(&mut reader, protocol, head));
                prop_assert!(reader.pending() <= MAX_LINE);
                rest = tail;
            }
            let (readings, _, stray) = count(&found);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(&reader, &whole);
            if !ascii {
                prop_assert_eq!(FRAME * readings + stray + reader.pending(), bytes.len());
            }
        }

        #[test]
        fn sound_frames_are_read_one_by_one(values in proptest::collection::vec(any::<(u16, u16)>(), 1..20)) {
            let bytes: Vec<u8> = values.iter().flat_map(|(distance, strength)| frame(*distance, *strength)).collect();
            prop_assert_eq!(count(&events(&mut RangeReader::default(), RangeProtocol::Tfmini, &bytes)), (values.len(), 0, 0));
        }
    }
}
