//! Finds out at which rate a port speaks.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::time::Mono;

use super::read;
use crate::clock::boottime;
use crate::gps::binary::BinaryProtocol;
use crate::gps::nmea::{NmeaEvent, NmeaReader};
use crate::supervisor::{DriverError, Over};

/// Rates of receivers, the usual ones first.
const RATES: [u32; 9] = [9_600, 4_800, 38_400, 115_200, 57_600, 19_200, 230_400, 460_800, 921_600];

/// Bytes that are kept of a rate: more than come in a window at the highest.
const MOST_HEARD: usize = 256 * 1024;

/// What was found out, for the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Where in [`RATES`] to begin: with what was right, or behind what was tried.
    at: usize,
    /// Whether that one was right.
    right: bool,
}

impl Memory {
    /// The rate that is tried first.
    pub(super) fn first(&self) -> u32 {
        RATES[self.at % RATES.len()]
    }
}

/// How long is listened.
#[derive(Clone, Debug)]
pub(super) struct SearchSettings {
    /// From the first byte on, to each rate: a period of the slowest usual receivers, and a sentence.
    pub(super) window: Duration,
    /// To a port that says nothing, before the next rate is tried: some adapters pass on nothing of a wrong rate.
    pub(super) silence: Duration,
    /// In all; less than the supervisor lets a device take to open.
    pub(super) limit: Duration,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(1200),
            silence: Duration::from_secs(3),
            limit: Duration::from_millis(9000),
        }
    }
}

/// A line whose rate can be changed. Reading waits a moment and then gives up.
pub(super) trait Line: Read {
    /// Changes the rate and forgets what has come at the old one.
    fn set_rate(&mut self, baud: u32) -> Result<(), DriverError>;
}

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) baud: u32,
    /// What it speaks, for people.
    pub(super) speaks: &'static str,
    /// All that came at this rate, and when.
    pub(super) heard: Vec<(Mono, Bytes)>,
}

/// What comes within this time is one piece: not more pieces than may wait for a tick.
const PIECE: Duration = Duration::from_millis(20);

/// Bytes that came together.
struct Piece {
    began: Mono,
    ended: Mono,
    bytes: Vec<u8>,
}

/// Tries one rate after another until there are sound sentences, or sound frames of a binary protocol that is known: that
/// has to be switched to NMEA, and can only be named when its bytes are seen.
///
/// # Errors
/// [`DriverError::Failed`] when there is nothing that can be read; the next search goes on behind what was tried.
pub(super) fn search(
    line: &mut dyn Line,
    settings: &SearchSettings,
    memory: &mut Memory,
    over: &dyn Fn() -> bool,
) -> Result<Found, DriverError> {
    let begin = boottime();
    let mut tried = Vec::new();
    for _ in RATES {
        let left = settings.limit.saturating_sub(boottime().since(begin));
        if left < settings.window && !tried.is_empty() {
            break;
        }
        let baud = memory.first();
        line.set_rate(baud)?;
        // What was right stays right while nothing is heard.
        let silence = if memory.right { left } else { settings.silence.min(left) };
        let mut ear = Ear::default();
        let speaks = ear.listen(line, settings.window, silence, over)?;
        if let Some(speaks) = speaks {
            memory.right = true;
            let heard = ear.heard.into_iter().map(|piece| (piece.ended, piece.bytes.into())).collect();
            return Ok(Found { baud, speaks, heard });
        }
        tried.push((baud, ear.heard.is_empty()));
        if !(memory.right && ear.heard.is_empty()) {
            *memory = Memory { at: (memory.at + 1) % RATES.len(), right: false };
        }
    }
    if tried.iter().all(|(_, silent)| *silent) {
        return Err(DriverError::Failed("nothing comes from it: check power and cable".to_owned()));
    }
    let tried: Vec<String> = tried.iter().map(|(baud, _)| baud.to_string()).collect();
    let tried = tried.join(", ");
    Err(DriverError::Failed(format!("what comes is no NMEA at {tried} Bd: set its `baud`, and that it speaks NMEA")))
}

/// Listens at one rate.
#[derive(Default)]
struct Ear {
    heard: Vec<Piece>,
    sentences: NmeaReader,
}

impl Ear {
    /// What is spoken, as soon as it is known; none when the time is over.
    fn listen(
        &mut self,
        line: &mut dyn Line,
        window: Duration,
        silence: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<Option<&'static str>, DriverError> {
        let mut until = boottime() + silence;
        let mut buffer = [0; 4096];
        let mut count = 0;
        while boottime() < until && count < MOST_HEARD {
            if over() {
                return Err(Over.into());
            }
            let Some(bytes) = read(line, &mut buffer)? else { continue };
            let now = boottime();
            if self.heard.is_empty() {
                until = now + window;
            }
            count += bytes.len();
            let mut sound = false;
            self.sentences.read(bytes, |event| sound |= matches!(event, NmeaEvent::Good(_) | NmeaEvent::Ignored));
            match self.heard.last_mut().filter(|piece| now.since(piece.began) < PIECE) {
                Some(piece) => {
                    piece.bytes.extend(bytes);
                    piece.ended = now;
                }
                None => self.heard.push(Piece { began: now, ended: now, bytes: bytes.to_vec() }),
            }
            if sound {
                return Ok(Some("NMEA"));
            }
        }
        let all: Vec<u8> = self.heard.iter().flat_map(|piece| piece.bytes.iter().copied()).collect();
        Ok(BinaryProtocol::spoken_in(&all).map(BinaryProtocol::name))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    const VTG: &[u8] = b"7.21,T*00\r\n$GPVTG,87.21,T,,M,0.12,N,0.2,K*5D\r\n";
    const UBX: &[u8] = &[0xb5, 0x62, 0x05, 0x01, 0x02, 0x00, 0x06, 0x01, 0x0f, 0x38];

    /// Says `says` at `right`, something else at all others, and nothing before the `mute`th reading.
    struct Fake {
        baud: u32,
        right: u32,
        says: &'static [u8],
        otherwise: &'static [u8],
        mute: u32,
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            pause();
            if self.mute > 0 {
                self.mute -= 1;
                return Err(Error::from(ErrorKind::TimedOut));
            }
            let says = if self.baud == self.right { self.says } else { self.otherwise };
            if says.is_empty() {
                return Err(Error::from(ErrorKind::TimedOut));
            }
            buffer[..says.len()].copy_from_slice(says);
            Ok(says.len())
        }
    }

    impl Line for Fake {
        fn set_rate(&mut self, baud: u32) -> Result<(), DriverError> {
            self.baud = baud;
            Ok(())
        }
    }

    #[expect(clippy::disallowed_methods, reason = "stands for a wire")]
    fn pause() {
        std::thread::sleep(Duration::from_millis(2));
    }

    fn quick() -> SearchSettings {
        let ms = Duration::from_millis;
        SearchSettings { window: ms(20), silence: ms(60), limit: ms(5000) }
    }

    fn fake(right: u32, says: &'static [u8]) -> Fake {
        Fake { baud: 0, right, says, otherwise: &[0x00, 0xfe, b'$', 0x80], mute: 0 }
    }

    #[test]
    fn the_rate_is_found_by_sound_sentences_and_remembered() {
        let mut memory = Memory::default();
        let found = search(&mut fake(115_200, VTG), &quick(), &mut memory, &|| false).unwrap();
        assert_eq!((found.baud, found.speaks), (115_200, "NMEA"));
        assert_eq!(found.heard.first().map(|(_, bytes)| &bytes[..]), Some(VTG), "half the first line too");
        assert_eq!((memory.first(), memory.right), (115_200, true));
        let found = search(&mut fake(115_200, VTG), &quick(), &mut memory, &|| false).unwrap();
        assert_eq!(found.heard.len(), 1, "at once");
        let found = search(&mut fake(4_800, VTG), &quick(), &mut memory, &|| false).unwrap();
        assert_eq!(found.baud, 4_800, "it was changed");
    }

    #[test]
    fn binary_protocols_are_found_too() {
        let found = search(&mut fake(38_400, UBX), &quick(), &mut Memory::default(), &|| false).unwrap();
        assert_eq!((found.baud, found.speaks), (38_400, "UBX"));
    }

    #[test]
    fn silence_says_nothing_against_a_rate_that_was_right() {
        let mut memory = Memory { at: 3, right: true };
        let mut line = Fake { mute: 100, ..fake(115_200, VTG) };
        assert_eq!(search(&mut line, &quick(), &mut memory, &|| false).unwrap().baud, 115_200);
        let mut line = Fake { mute: u32::MAX, ..fake(115_200, VTG) };
        let settings = SearchSettings { limit: Duration::from_millis(100), ..quick() };
        let failed = search(&mut line, &settings, &mut memory, &|| false);
        assert_eq!(failed, Err(DriverError::Failed("nothing comes from it: check power and cable".to_owned())));
        assert_eq!(memory, Memory { at: 3, right: true });
    }

    #[test]
    fn an_adapter_that_passes_on_nothing_of_a_wrong_rate_is_searched() {
        let mut line = Fake { otherwise: b"", ..fake(38_400, VTG) };
        assert_eq!(search(&mut line, &quick(), &mut Memory::default(), &|| false).unwrap().baud, 38_400);
    }

    #[test]
    fn what_cannot_be_read_fails_with_advice_and_goes_on_where_it_was() {
        let mut memory = Memory::default();
        let settings = SearchSettings { limit: Duration::from_millis(70), ..quick() };
        let failed = search(&mut fake(1, VTG), &settings, &mut memory, &|| false);
        let Err(DriverError::Failed(why)) = failed else { panic!("{failed:?}") };
        assert!(why.starts_with("what comes is no NMEA at 9600"), "{why}");
        assert!(memory.at > 0 && !memory.right);
        assert_eq!(search(&mut fake(1, VTG), &quick(), &mut memory, &|| true), Err(Over.into()));
    }
}
