//! Distances from a table: CSV with the columns `time_s,distance_m` and, if wanted, `strength`.
//!
//! Each row becomes one line of the ASCII range protocol (`2.345,812\r\n`), as a sensor would have sent it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::error::ordinary_file;
use super::{ImportError, Place, Reader, TimedItem};

/// Longest line that is read, in bytes: a file without line ends must not end up in memory.
const MAX_LINE: usize = 4096;
/// Farthest distance that is believed, in metres.
const MAX_DISTANCE_M: f64 = 10_000.0;
/// Latest time that is believed, in seconds: a year.
const MAX_TIME_S: f64 = 366.0 * 86_400.0;
const HINT: &str = "expected are the columns `time_s,distance_m` or `time_s,distance_m,strength`, one reading a row";

/// A reader of range tables.
pub struct RangeCsv {
    path: PathBuf,
    rows: csv::Reader<ShortLines<BufReader<File>>>,
    row: csv::StringRecord,
    has_strength: bool,
    last: f64,
    failed: bool,
}

impl RangeCsv {
    /// Opens `path` and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or has other columns.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        ordinary_file(path)?;
        let file = File::open(path).map_err(|source| ImportError::io(path, Place::Whole, source))?;
        let lines = ShortLines { inner: BufReader::new(file), line: 0 };
        let mut rows = csv::ReaderBuilder::new().quoting(false).trim(csv::Trim::All).from_reader(lines);
        let columns = rows.headers().map_err(|error| csv_error(path, error))?.clone();
        let columns: Vec<&str> = columns.iter().collect();
        let has_strength = match columns[..] {
            ["time_s", "distance_m"] => false,
            ["time_s", "distance_m", "strength"] => true,
            _ => {
                let found: String = columns.join(",").escape_default().take(80).collect();
                return Err(ImportError::bad(path, Place::Line(1), format!("the header is `{found}`"), HINT));
            }
        };
        Ok(Self { path: path.into(), rows, row: csv::StringRecord::new(), has_strength, last: 0.0, failed: false })
    }

    fn read(&mut self) -> Result<Option<TimedItem>, ImportError> {
        if !self.rows.read_record(&mut self.row).map_err(|error| csv_error(&self.path, error))? {
            return Ok(None);
        }
        let time = self.number(0, "time_s", 0.0, MAX_TIME_S)?;
        if time < self.last {
            let what = format!("time_s goes back from {} to {time}", self.last);
            return Err(self.bad(what, "sort the rows by time"));
        }
        self.last = time;
        let distance = self.number(1, "distance_m", 0.0, MAX_DISTANCE_M)?;
        let line = if self.has_strength {
            let strength = self.number(2, "strength", 0.0, f64::from(u16::MAX))?;
            format!("{distance:.3},{strength:.0}\r\n")
        } else {
            format!("{distance:.3}\r\n")
        };
        Ok(Some(TimedItem { at: Mono::from_secs_f64(time), payload: Payload::Serial(Bytes::from(line)) }))
    }

    fn number(&self, column: usize, name: &str, low: f64, high: f64) -> Result<f64, ImportError> {
        let text = self.row.get(column).unwrap_or_default();
        let number = text.parse().ok().filter(|number: &f64| (low..=high).contains(number));
        number.ok_or_else(|| {
            let shown: String = text.escape_default().take(40).collect();
            self.bad(format!("{name} is `{shown}`"), &format!("expected is a number from {low} to {high}"))
        })
    }

    fn bad(&self, what: String, hint: &str) -> ImportError {
        let line = self.row.position().map_or(0, |position| position.line());
        ImportError::bad(&self.path, Place::Line(line), what, hint)
    }
}

impl Iterator for RangeCsv {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.read().transpose();
        self.failed = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Reader for RangeCsv {}

fn csv_error(path: &Path, error: csv::Error) -> ImportError {
    let place = error.position().map_or(Place::Whole, |position| Place::Line(position.line()));
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            ImportError::io(path, place, source)
        }
        csv::ErrorKind::Io(source) => ImportError::bad(path, Place::Whole, source.to_string(), HINT),
        csv::ErrorKind::Utf8 { .. } => ImportError::bad(path, place, "is not text", HINT),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            ImportError::bad(path, place, format!("{len} columns instead of {expected_len}"), HINT)
        }
        _ => ImportError::bad(path, place, "cannot be read as a table", HINT),
    }
}

/// Passes bytes on and fails at a line that is too long for a table of numbers.
struct ShortLines<R> {
    inner: R,
    line: usize,
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let short = buffer.len().min(MAX_LINE);
        let read = self.inner.read(&mut buffer[..short])?;
        self.line = match buffer[..read].iter().rposition(|&byte| byte == b'\n' || byte == b'\r') {
            Some(end) => read - end,
            None => self.line + read,
        };
        if self.line > MAX_LINE {
            let text = format!("a line is longer than {MAX_LINE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("range.csv");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn read(bytes: &[u8]) -> Result<Vec<TimedItem>, String> {
        let (_folder, path) = write(bytes);
        let reader = RangeCsv::open(&path).map_err(|error| error.to_string())?;
        reader.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn rows_become_lines_of_the_protocol() {
        let items = read(b"\xef\xbb\xbftime_s,distance_m,strength\n0,2.3451,812\r\n 0.01 , 11 ,65535\n").unwrap();
        assert_eq!(items[0], TimedItem { at: Mono(0), payload: Payload::Serial(Bytes::from_static(b"2.345,812\r\n")) });
        assert_eq!(
            items[1],
            TimedItem { at: Mono(10_000_000), payload: Payload::Serial(Bytes::from_static(b"11.000,65535\r\n")) }
        );
        let items = read(b"time_s,distance_m\n1.5,0.3\n").unwrap();
        assert_eq!(items[0].payload, Payload::Serial(Bytes::from_static(b"0.300\r\n")));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases: [(&[u8], &str); 10] = [
            (b"", "is empty"),
            (b"time,distance\n1,2\n", "line 1: the header is `time,distance`"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF\n", "is not text"),
            (b"time_s,distance_m\n1,2\n1.5,abc\n", "line 3: distance_m is `abc`"),
            (b"time_s,distance_m\n1,NaN\n", "line 2: distance_m is `NaN`"),
            (b"time_s,distance_m\n1,2\n0.5,2\n", "line 3: time_s goes back from 1 to 0.5"),
            (b"time_s,distance_m\n1,2,3\n", "line 2: 3 columns instead of 2"),
            (b"time_s,distance_m\n1e300,3\n", "line 2: time_s is `1e300`"),
            (b"time_s,distance_m,strength\n1,3,70000\n", "line 2: strength is `70000`"),
            (b"time_s,distance_m\n1,-3\n", "line 2: distance_m is `-3`"),
        ];
        for (bytes, expected) in cases {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(expected) && error.contains("range.csv"), "{error} lacks {expected}");
        }
        let error = read(&vec![b'1'; 10_000_000]).unwrap_err();
        assert!(error.contains("longer than 4096 bytes"), "{error}");
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let (_folder, path) = write(b"time_s,distance_m\n1,x\n2,2\n");
        assert_eq!(RangeCsv::open(&path).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let _ = read(&bytes);
            let _ = read(&[b"time_s,distance_m\n".as_slice(), &bytes].concat());
        }
    }
}
