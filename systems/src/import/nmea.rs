//! The recorded output of a satellite receiver, by its own times.
//!
//! The bytes come out as they are in the file, noise and binary included: the app's parser must see what the receiver
//! gave. Sentences of the same time of day come together. A sentence without a time comes with the time before it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::error::ordinary_file;
use super::nmea_time::{DAY, Line, is_kind, look};
use super::timeline::Timeline;
use super::{ImportError, Place, Reader, TimedItem};

/// Most bytes of an item, and of a line: what is longer is given in pieces.
const MAX_ITEM: usize = 4096;
const SECOND: i64 = 1_000_000_000;

/// How the times of a file are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// By the time of day in RMC, GGA, GLL, GNS and ZDA.
    Times,
    /// No sentence carries a time: a second passes with each sentence of this kind (`RMC` or `GGA`).
    Epochs([u8; 3]),
    /// Neither times nor epochs: ten lines a second.
    Lines,
}

/// A reader of NMEA 0183 text. The first time in the file is the start of the recording.
///
/// Times run over midnight. A receiver's clock may step, forward by more than an hour or back, when it finds its
/// satellites: time then goes on by the interval before. It never goes back.
pub struct NmeaLog {
    path: PathBuf,
    file: BufReader<File>,
    pacing: Pacing,
    times: Timeline,
    /// Nanoseconds of the days before the current one, for times that are since midnight.
    days: i64,
    last_time_of_day: Option<i64>,
    lines: i64,
    /// Bytes read that were not given yet, and their time.
    waiting: Vec<u8>,
    waiting_at: Mono,
    offset: u64,
    ended: bool,
}

impl NmeaLog {
    /// Opens `path` and reads it through once to see how its times can be found.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or holds no sentence.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        ordinary_file(path)?;
        let open = || File::open(path).map(BufReader::new);
        let fail = |source| ImportError::io(path, Place::Whole, source);
        let pacing = find_pacing(&mut open().map_err(fail)?).map_err(fail)?;
        let pacing = pacing.ok_or_else(|| {
            let hint = "expected is the text of a receiver, lines like `$GPRMC,...`; is the receiver in a binary mode?";
            ImportError::bad(path, Place::Whole, "holds no NMEA sentence", hint)
        })?;
        Ok(Self {
            path: path.into(),
            file: open().map_err(fail)?,
            pacing,
            times: Timeline::new(Duration::from_secs(10), Duration::from_secs(1)),
            days: 0,
            last_time_of_day: None,
            lines: 0,
            waiting: Vec::new(),
            waiting_at: Mono::default(),
            offset: 0,
            ended: false,
        })
    }

    /// How the times are found.
    pub fn pacing(&self) -> Pacing {
        self.pacing
    }

    /// The time of a line.
    fn time_of(&mut self, line: &[u8]) -> Mono {
        match self.pacing {
            Pacing::Times => match look(line) {
                Line::Timed(time) => {
                    let clock = self.since_first_midnight(time);
                    self.times.advance(clock)
                }
                Line::Sentence | Line::Other => self.times.now(),
            },
            Pacing::Epochs(kind) => {
                self.lines += i64::from(is_kind(line, &kind));
                self.times.advance(self.lines.max(1) * SECOND)
            }
            Pacing::Lines => {
                self.lines += 1;
                self.times.advance(self.lines * SECOND / 10)
            }
        }
    }

    /// A move back by more than half a day is midnight.
    fn since_first_midnight(&mut self, time: i64) -> i64 {
        if self.last_time_of_day.is_some_and(|last| last - time > DAY / 2) {
            self.days += DAY;
        }
        self.last_time_of_day = Some(time);
        self.days + time
    }

    fn give(&mut self) -> Option<TimedItem> {
        let bytes = std::mem::take(&mut self.waiting);
        let item = TimedItem { at: self.waiting_at, payload: Payload::Serial(Bytes::from(bytes)) };
        (item.payload.weight() > 0).then_some(item)
    }

    fn read(&mut self) -> Result<Option<TimedItem>, ImportError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = read_line(&mut self.file, &mut line);
            let read = read.map_err(|source| ImportError::io(&self.path, Place::Byte(self.offset), source))?;
            self.offset += read as u64;
            if read == 0 {
                self.ended = true;
                return Ok(self.give());
            }
            let at = self.time_of(&line);
            let full = self.waiting.len() + line.len() > MAX_ITEM;
            let before = if at != self.waiting_at || full { self.give() } else { None };
            self.waiting_at = at;
            self.waiting.extend_from_slice(&line);
            if before.is_some() {
                return Ok(before);
            }
        }
    }
}

impl Iterator for NmeaLog {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read();
        self.ended |= item.is_err();
        item.transpose()
    }
}

impl Reader for NmeaLog {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.times.warnings("sentences");
        match self.pacing {
            Pacing::Times => {}
            Pacing::Epochs(kind) => warnings.push(format!(
                "no sentence carries a time: a second was taken for each {}",
                String::from_utf8_lossy(&kind)
            )),
            Pacing::Lines => warnings.push("no sentence carries a time: ten lines were taken for a second".into()),
        }
        warnings
    }
}

/// How the times of a file can be found; none when it holds no sentence at all.
fn find_pacing(file: &mut impl BufRead) -> io::Result<Option<Pacing>> {
    let mut pacing = None;
    let mut line = Vec::new();
    while read_line(file, &mut line)? > 0 {
        match look(&line) {
            Line::Timed(_) => return Ok(Some(Pacing::Times)),
            Line::Sentence => {
                let epoch = [b"RMC", b"GGA"].into_iter().find(|kind| is_kind(&line, kind));
                pacing = match (pacing, epoch) {
                    (None | Some(Pacing::Lines), Some(kind)) => Some(Pacing::Epochs(*kind)),
                    (None, None) => Some(Pacing::Lines),
                    (known, _) => known,
                };
            }
            Line::Other => {}
        }
        line.clear();
    }
    Ok(pacing)
}

/// Appends a line with its end, or [`MAX_ITEM`] bytes of one that is longer; 0 at the end of the file.
fn read_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    file.take(MAX_ITEM as u64).read_until(b'\n', line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    }

    fn open(bytes: &[u8]) -> Result<(tempfile::TempDir, NmeaLog), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.nmea");
        std::fs::write(&path, bytes).unwrap();
        let log = NmeaLog::open(&path).map_err(|error| error.to_string())?;
        Ok((folder, log))
    }

    fn items(bytes: &[u8]) -> Vec<(f64, Vec<u8>)> {
        let (_folder, log) = open(bytes).unwrap();
        let item = |item: Result<TimedItem, ImportError>| match item.unwrap() {
            TimedItem { at, payload: Payload::Serial(bytes) } => (at.as_secs_f64(), bytes.to_vec()),
            other => panic!("{other:?}"),
        };
        log.map(item).collect()
    }

    #[test]
    fn sentences_come_by_their_times_and_nothing_is_lost() {
        let gsv = sentence("GPGSV,1,1,00");
        let log = format!(
            "# a comment\n{}{}{gsv}{}\x01\x02junk\n{}{}",
            sentence("GPRMC,235959.50,V,,,,,,,,,"),
            sentence("GPGGA,235959.50,,,,,0,,,,,,,,"),
            sentence("GPRMC,000000.00,V,,,,,,,,,"),
            sentence("GPRMC,000000.60,V,,,,,,,,,"),
            sentence("GPRMC,000000.40,V,,,,,,,,,"),
        );
        let items = items(log.as_bytes());
        let times: Vec<f64> = items.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0.0, 0.5, 1.1]);
        assert!(items[0].1.ends_with(gsv.as_bytes()));
        assert!(items[1].1.ends_with(b"junk\n"));
        let joined: Vec<u8> = items.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(joined, log.as_bytes());
    }

    #[test]
    fn a_clock_that_steps_neither_stops_nor_jumps() {
        let log: String = ["000001", "000002", "142311", "142312", "140000", "140001"]
            .map(|time| sentence(&format!("GPRMC,{time},V,,,,,,,,,")))
            .concat();
        let times: Vec<f64> = items(log.as_bytes()).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn without_times_epochs_or_lines_are_counted() {
        let epochs =
            [sentence("GPGSV,1,1,00"), sentence("GPRMC,,V,,,,,,,,,"), sentence("GPGGA,,,,,,0,,,,,,,,")].concat();
        let times: Vec<f64> = items(epochs.repeat(3).as_bytes()).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0.0, 1.0, 2.0]);
        let lines = sentence("GPGSV,1,1,00").repeat(3);
        let times: Vec<f64> = items(lines.as_bytes()).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0.0, 0.1, 0.2]);
        let (_folder, mut log) = open(lines.as_bytes()).unwrap();
        while log.next().is_some() {}
        assert_eq!(log.warnings().len(), 1);
    }

    #[test]
    fn foreign_files_are_refused_and_long_lines_cut() {
        for bytes in [b"".as_slice(), b"\xff\xd8\xff\xe0 no sentence\n", &vec![b'$'; 100_000]] {
            let error = open(bytes).err().unwrap();
            assert!(error.contains("log.nmea"), "{error}");
        }
        let mut long = sentence("GPRMC,120000,V,,,,,,,,,").into_bytes();
        long.extend(vec![7; 100_000]);
        let items = items(&long);
        assert!(items.iter().all(|(_, bytes)| bytes.len() <= MAX_ITEM));
        assert_eq!(items.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), long.len());
    }

    #[test]
    fn logs_of_real_receivers_pass_unchanged_in_order() {
        let data = crate::import::test_data("data/nmea");
        let Some(data) = data else { return };
        let mut seen = 0;
        for folder in std::fs::read_dir(data).unwrap() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let is_binary = path.ends_with("bu303-moving.log") || path.ends_with("COPYING");
                let log = match NmeaLog::open(&path) {
                    Err(error) if is_binary => {
                        assert!(error.to_string().contains("no NMEA sentence"));
                        continue;
                    }
                    log => log.unwrap(),
                };
                let mut bytes = Vec::new();
                let mut last = Mono::default();
                for item in log {
                    let item = item.unwrap();
                    assert!(item.at >= last, "{}", path.display());
                    last = item.at;
                    let Payload::Serial(part) = item.payload else { panic!() };
                    bytes.extend_from_slice(&part);
                }
                assert!(bytes == std::fs::read(&path).unwrap(), "{}", path.display());
                assert!(last.as_secs_f64() < 3600.0, "{}: {last}", path.display());
                seen += 1;
            }
        }
        assert!(seen >= 20, "{seen}");
    }

    proptest! {
        #[test]
        fn any_bytes_pass_unchanged_in_order(bytes in proptest::collection::vec(any::<u8>(), 1..400),
                                             times in proptest::collection::vec("[0-9]{6}(\\.[0-9]{0,3})?", 1..9)) {
            let mut log: Vec<u8> = times.iter().flat_map(|t| sentence(&format!("GPGGA,{t},")).into_bytes()).collect();
            log.extend(sentence("GPGSV,1,1,00").into_bytes());
            log.extend(bytes);
            let items = items(&log);
            prop_assert!(items.is_sorted_by(|a, b| a.0 <= b.0));
            prop_assert_eq!(items.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>(), log);
        }
    }
}
