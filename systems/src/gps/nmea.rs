//! NMEA 0183: bytes in, sentences out, no I/O.
//!
//! The framing is that of NMEA 0183 4.x, section 5.3: `$` or `!`, printable ASCII, `*`, two hexadecimal digits of the
//! exclusive or of everything between, CR LF. Real receivers add overlong sentences, binary protocols on the same
//! wire and comments of whoever logged them; see [`NmeaReader`] for what becomes of those.

use serde::{Deserialize, Serialize};

use super::binary::BinaryProtocol;
use super::sentence::Sentence;

/// Longest sentence that is read, in bytes without the line end.
///
/// The standard says 82 with it; MediaTek and u-blox send proprietary ones of 200 to 430 bytes with sound checksums.
pub const MAX_SENTENCE: usize = 512;

/// Shortest thing that is called a sentence, in bytes: `$`, four characters of address, a comma.
const MIN_SENTENCE: usize = 6;

/// What is wrong with a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Defect {
    /// It ended without `*` and two hexadecimal digits: never had any, or was cut off.
    #[error("the sentence has no checksum")]
    NoChecksum,
    /// Bytes were damaged or lost.
    #[error("the checksum is wrong")]
    WrongChecksum,
    /// The checksum is right, but a field is not what the standard says.
    #[error("a field cannot be read")]
    Unreadable,
    /// Latitude or longitude do not exist on Earth.
    #[error("the position is not on Earth")]
    OffEarth,
    /// It did not end within [`MAX_SENTENCE`] bytes.
    #[error("the sentence is longer than {MAX_SENTENCE} bytes")]
    Overlong,
}

/// What a piece of the stream turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum NmeaEvent {
    /// **Good**: an RMC, GGA or GLL of any talker with the right checksum and readable fields, whatever it says of the
    /// fix: "no fix" is good, too.
    Good(Sentence),
    /// **Ignored**: the right checksum, but a kind that is not used (GSV, GSA, VTG, AIS, all proprietary ones) or not known.
    Ignored,
    /// **Bad**: anything else that begins like a sentence.
    Bad(Defect),
    /// So many bytes outside any sentence. Line ends are not counted.
    Stray(u32),
    /// A frame of a binary protocol begins. Its bytes are stray.
    Binary(BinaryProtocol),
}

/// Cuts a stream of bytes into sentences. Plain data: it is part of snapshots.
///
/// * `$` and `!` begin a sentence wherever they stand; a CR, LF, another beginning or a byte that is not printable ASCII
///   ends it. So nothing can wedge the reader: it needs no length from a binary header, and the first whole sentence
///   behind any amount of anything else is read.
/// * What begins with `$` or `!` is a sentence if it has six bytes or more and a comma, and then it is exactly one of
///   good, ignored and bad. The rest is stray: comments, binary frames, the half line after the port was opened.
/// * How the bytes are cut into calls changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NmeaReader {
    /// The sentence in progress from its `$` on; empty outside. Never longer than [`MAX_SENTENCE`].
    #[serde(with = "serde_bytes")]
    line: Vec<u8>,
    /// The last bytes, the newest lowest: a binary header may be cut, too.
    recent: u32,
    /// Whether bytes may be missing before the next sentence is at its end.
    #[serde(default)]
    fresh: bool,
}

impl NmeaReader {
    /// Reads on; calls `each` for everything that is complete, in the order of the stream.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(NmeaEvent)) {
        for &byte in bytes {
            self.recent = (self.recent << 8) | u32::from(byte);
            if let Some(protocol) = BinaryProtocol::starting(self.recent) {
                each(NmeaEvent::Binary(protocol));
            }
            match byte {
                b'$' | b'!' => {
                    self.finish(&mut each);
                    self.line.push(byte);
                }
                b'\r' | b'\n' => self.finish(&mut each),
                b' '..=b'~' if self.line.len() == MAX_SENTENCE => {
                    self.settle(NmeaEvent::Bad(Defect::Overlong), &mut each);
                    each(NmeaEvent::Stray(1));
                }
                b' '..=b'~' if !self.line.is_empty() => self.line.push(byte),
                _ => {
                    self.finish(&mut each);
                    each(NmeaEvent::Stray(1));
                }
            }
        }
    }

    /// Bytes of the sentence in progress.
    pub fn pending(&self) -> usize {
        self.line.len()
    }

    /// Forgets where it was, because bytes were lost or a port was opened anew. What was begun is stray, and so is the
    /// next sentence if it is not sound: it may be made of the ends of two, and nobody is to be blamed for it.
    pub fn resync(&mut self, mut each: impl FnMut(NmeaEvent)) {
        if !self.line.is_empty() {
            each(NmeaEvent::Stray(length(&self.line)));
            self.line.clear();
        }
        self.recent = 0;
        self.fresh = true;
    }

    fn finish(&mut self, each: &mut impl FnMut(NmeaEvent)) {
        if !self.line.is_empty() {
            self.settle(judge(&self.line), each);
        }
    }

    /// The line in progress turned out to be this.
    fn settle(&mut self, event: NmeaEvent, each: &mut impl FnMut(NmeaEvent)) {
        match event {
            NmeaEvent::Bad(_) if self.fresh => each(NmeaEvent::Stray(length(&self.line))),
            event => each(event),
        }
        self.fresh = false;
        self.line.clear();
    }
}

fn length(line: &[u8]) -> u32 {
    u32::try_from(line.len()).unwrap_or(u32::MAX)
}

/// What a line that begins with `$` or `!` is.
fn judge(line: &[u8]) -> NmeaEvent {
    if line.len() < MIN_SENTENCE || !line.contains(&b',') {
        return NmeaEvent::Stray(length(line));
    }
    let Ok(line) = std::str::from_utf8(line) else {
        return NmeaEvent::Bad(Defect::Unreadable);
    };
    let body = match checked_body(line) {
        Ok(body) => body,
        Err(defect) => return NmeaEvent::Bad(defect),
    };
    match line.starts_with('$').then(|| Sentence::read(body)).flatten() {
        Some(Ok(sentence)) => NmeaEvent::Good(sentence),
        Some(Err(defect)) => NmeaEvent::Bad(defect),
        None => NmeaEvent::Ignored,
    }
}

/// What stands between `$` and `*`, if the checksum agrees.
fn checked_body(line: &str) -> Result<&str, Defect> {
    let (body, sum) = line.trim_end().rsplit_once('*').ok_or(Defect::NoChecksum)?;
    if sum.len() != 2 || !sum.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Defect::NoChecksum);
    }
    let sum = u8::from_str_radix(sum, 16).map_err(|_| Defect::NoChecksum)?;
    let body = body.get(1..).ok_or(Defect::Unreadable)?;
    if body.bytes().fold(0, |sum, byte| sum ^ byte) == sum { Ok(body) } else { Err(Defect::WrongChecksum) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(reader: &mut NmeaReader, bytes: &[u8]) -> Vec<NmeaEvent> {
        let mut events = Vec::new();
        reader.read(bytes, |event| events.push(event));
        events
    }

    /// One letter an event: g, i, b, s (a run of stray), U, S.
    fn summary(bytes: &[u8]) -> String {
        let mut text = String::new();
        for event in events(&mut NmeaReader::default(), bytes) {
            let letter = match event {
                NmeaEvent::Good(_) => 'g',
                NmeaEvent::Ignored => 'i',
                NmeaEvent::Bad(_) => 'b',
                NmeaEvent::Stray(_) => 's',
                NmeaEvent::Binary(BinaryProtocol::Ubx) => 'U',
                NmeaEvent::Binary(BinaryProtocol::Sirf) => 'S',
                NmeaEvent::Binary(_) => 'B',
            };
            if letter != 's' || !text.ends_with('s') {
                text.push(letter);
            }
        }
        text
    }

    const RMC: &str = "$GPRMC,153347.000,A,3940.6986,N,07544.9356,W,0.12,87.21,230410,,*29\r\n";
    const VTG: &str = "$GPVTG,87.21,T,,M,0.12,N,0.2,K*5D\r\n";

    #[test]
    fn sentences_are_good_ignored_or_bad() {
        assert_eq!(summary(RMC.as_bytes()), "g");
        assert_eq!(summary(VTG.as_bytes()), "i");
        assert_eq!(summary(RMC.replace("*29", "*28").as_bytes()), "b");
        assert_eq!(summary(RMC.replace("*29", "").as_bytes()), "b");
        assert_eq!(summary(RMC.replace("*29", "*2").as_bytes()), "b");
        assert_eq!(summary(RMC.replace("*29", "*+9").as_bytes()), "b");
        assert_eq!(summary(RMC.replace("*29", "*29  ").as_bytes()), "g");
        assert_eq!(summary(b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"), "i");
    }

    #[test]
    fn garmins_proprietary_pgrmc_is_no_rmc() {
        assert_eq!(summary(b"$PGRMC,A,218.8,100,6378137.000,298.257223563*2C\r\n"), "b");
        let body = "PGRMC,A,218.8";
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        assert_eq!(summary(format!("${body}*{sum:02X}\r\n").as_bytes()), "i");
    }

    #[test]
    fn a_half_first_line_is_stray() {
        assert_eq!(summary(format!("940.6986,N,07544*7A\r\n{RMC}").as_bytes()), "sg");
    }

    #[test]
    fn behind_a_hole_one_broken_sentence_costs_nothing() {
        let mut reader = NmeaReader::default();
        events(&mut reader, &RMC.as_bytes()[..30]);
        let mut lost = Vec::new();
        reader.resync(|event| lost.push(event));
        assert_eq!(lost, [NmeaEvent::Stray(30)]);
        // What an adapter had kept, and what came later, run into each other.
        let glued = [&RMC.as_bytes()[..25], &RMC.as_bytes()[40..], RMC.as_bytes(), b"$GPVTG,1*00\r\n"].concat();
        let found = events(&mut reader, &glued);
        assert!(matches!(found[..], [NmeaEvent::Stray(52), NmeaEvent::Good(_), NmeaEvent::Bad(_)]), "{found:?}");
        // A sound one is not held back.
        reader.resync(|_| panic!("there was nothing"));
        assert!(matches!(events(&mut reader, RMC.as_bytes())[..], [NmeaEvent::Good(_)]));
    }

    #[test]
    fn a_dollar_always_restarts() {
        assert_eq!(summary(format!("$GPGGA,1533{RMC}").as_bytes()), "bg");
        assert_eq!(summary(format!("$GP{RMC}").as_bytes()), "sg");
        assert_eq!(summary(format!("{}{}", RMC.trim_end(), RMC).as_bytes()), "gg", "a lost line end loses nothing");
    }

    #[test]
    fn an_overlong_sentence_is_bad_once_and_the_next_is_read() {
        let long = format!("$GPGSV,{}\r\n{RMC}", "9".repeat(4000));
        assert_eq!(summary(long.as_bytes()), "bsg");
        let mut reader = NmeaReader::default();
        events(&mut reader, b"$");
        events(&mut reader, &b"9".repeat(100_000));
        assert!(reader.pending() <= MAX_SENTENCE);
    }

    #[test]
    fn binary_is_named_and_skipped() {
        let mut bytes = RMC.as_bytes().to_vec();
        // A SiRF frame with dollars and a length that lies.
        bytes.extend([0xa0, 0xa2, 0x03, 0xff, 0x29, b'$', 0x00, b'$', b'G', 0x80, 0xb0, 0xb3]);
        bytes.extend(VTG.as_bytes());
        assert_eq!(summary(&bytes), "gsSsi");
        let mut bytes = vec![0xb5, 0x62, 0x01, 0x07, 0xff, 0xff, b'$', 0x01];
        bytes.extend(RMC.as_bytes());
        assert_eq!(summary(&bytes), "sUsg");
    }

    #[test]
    fn a_damaged_byte_spoils_one_sentence() {
        let mut bytes = RMC.as_bytes().to_vec();
        bytes[20] = 0x88;
        bytes.extend(RMC.as_bytes());
        assert_eq!(summary(&bytes), "bsg");
    }

    #[test]
    fn the_state_survives_a_snapshot() {
        let (head, tail) = RMC.as_bytes().split_at(33);
        let mut reader = NmeaReader::default();
        events(&mut reader, head);
        let saved = rmp_serde::to_vec(&reader).unwrap();
        let mut restored: NmeaReader = rmp_serde::from_slice(&saved).unwrap();
        assert_eq!(restored, reader);
        assert_eq!(events(&mut restored, tail), events(&mut reader, tail));
    }

    /// Bytes that look like receivers' output often enough to reach every branch.
    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(RMC.as_bytes().to_vec()),
            Just(VTG.as_bytes().to_vec()),
            Just(vec![0xb5, 0x62, 0x01]),
            Just(vec![0xa0, 0xa2, 0x00]),
            "[$!,*0-9A-Z.\r\n]{0,40}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..40),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in wire(), cuts in proptest::collection::vec(1usize..17, 1..40)) {
            let mut whole = NmeaReader::default();
            let expected = events(&mut whole, &bytes);
            let mut reader = NmeaReader::default();
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for size in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*size).min(rest.len()));
                found.extend(events(&mut reader, head));
                rest = tail;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(reader, whole);
        }

        #[test]
        fn a_whole_sentence_behind_anything_is_read(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut reader = NmeaReader::default();
            events(&mut reader, &noise);
            prop_assert!(matches!(events(&mut reader, RMC.as_bytes()).last(), Some(NmeaEvent::Good(_))));
        }
    }
}
