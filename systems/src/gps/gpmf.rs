//! GPMF, the metadata of GoPro's cameras: a track of payloads, about one a second, in which everything that the camera
//! measured in that second stands as key, length and value. Of it the position is read.
//!
//! After the description and samples that GoPro published (`gopro/gpmf-parser`, MIT or Apache-2.0): a key of four
//! characters, a type, a size, a number of repeats, then the values, big endian, padded to 4 bytes. Type 0 holds more of the
//! same: a device (`DEVC`) of streams (`STRM`). In a stream, what comes before the samples is about them.

use std::time::Duration;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use waywarden_components::position::{FixQuality, GpsFix};
use waywarden_components::time::Mono;

use super::fix::Timed;
use super::sentence::PLAUSIBLE_YEARS;

/// Most bytes of a payload: a hundred times what cameras write.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What a payload covers when nothing tells: the first one, and the one behind a hole.
const USUAL: Duration = Duration::from_secs(1);
/// What a payload covers at most.
const LONGEST: Duration = Duration::from_secs(2);

/// The key of a payload.
const DEVICE: [u8; 4] = *b"DEVC";
const HEADER: usize = 8;
const DAY_MS: u64 = 86_400_000;

/// What a camera's bytes turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum GpmfEvent {
    /// A payload that speaks of the position, with its fixes: none while the camera has none.
    Good(Vec<Timed>),
    /// A payload of something else.
    Ignored,
    /// A payload that is broken, and a sample that cannot be.
    Bad,
    /// So many bytes outside any payload.
    Stray(u32),
}

/// Puts payloads together from bytes that are cut anywhere, and reads them. Plain data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpmfReader {
    /// A payload that is not whole yet.
    #[serde(with = "serde_bytes")]
    pending: Vec<u8>,
    /// When the last one was whole.
    last: Option<Mono>,
}

impl GpmfReader {
    /// Takes bytes that arrived at `arrived`; calls `each` with what they completed.
    ///
    /// A payload arrives at its end: its samples are spread evenly over the time since the one before.
    pub fn read(&mut self, bytes: &[u8], arrived: Mono, mut each: impl FnMut(GpmfEvent)) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.pending[at..];
            let skipped = stray(rest);
            if skipped > 0 {
                each(GpmfEvent::Stray(u32::try_from(skipped).unwrap_or(u32::MAX)));
                at += skipped;
                continue;
            }
            let Some(header) = rest.first_chunk::<HEADER>() else { break };
            let (length, kind) = (padded(length(header)), header[4]);
            if kind != 0 || length > MAX_PAYLOAD {
                each(GpmfEvent::Bad);
                // Not all of the key, so that what follows is looked for behind its beginning.
                at += DEVICE.len();
                continue;
            }
            let Some(payload) = rest.get(HEADER..HEADER + length) else { break };
            let span = self.last.map(|last| arrived.since(last)).filter(|span| !span.is_zero() && *span <= LONGEST);
            self.last = Some(arrived);
            device(payload, arrived, span.unwrap_or(USUAL), &mut each);
            at += HEADER + length;
        }
        self.pending.drain(..at);
    }

    /// Bytes that wait for more.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// Whether a payload holds positions at all.
pub fn has_position(payload: &[u8]) -> bool {
    let mut found = false;
    GpmfReader::default().read(payload, Mono::default(), |event| found |= matches!(event, GpmfEvent::Good(_)));
    found
}

/// Bytes before the next payload. The last three may be the beginning of its key.
fn stray(bytes: &[u8]) -> usize {
    if DEVICE.starts_with(&bytes[..bytes.len().min(DEVICE.len())]) {
        return 0;
    }
    let whole = bytes.windows(DEVICE.len()).position(|window| window == DEVICE);
    let begun = || (bytes.len().saturating_sub(3)..bytes.len()).find(|&at| DEVICE.starts_with(&bytes[at..]));
    whole.or_else(begun).unwrap_or(bytes.len())
}

/// Bytes of the values behind a header.
fn length(header: &[u8; HEADER]) -> usize {
    usize::from(header[5]) * usize::from(u16::from_be_bytes([header[6], header[7]]))
}

fn padded(length: usize) -> usize {
    length.div_ceil(4) * 4
}

/// A key with its values.
struct Item<'a> {
    key: &'a [u8],
    kind: u8,
    size: usize,
    data: &'a [u8],
}

/// What stands in `bytes`, up to its end or to what is broken.
struct Items<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let Some((header, behind)) = self.rest.split_first_chunk::<HEADER>() else {
            // A piece of a header is no header.
            self.broken |= !self.rest.is_empty();
            self.rest = &[];
            return None;
        };
        let length = length(header);
        let Some(data) = behind.get(..length) else {
            (self.broken, self.rest) = (true, &[]);
            return None;
        };
        // What pads the last one may be missing.
        let item = Item { key: &self.rest[..4], kind: header[4], size: header[5].into(), data };
        self.rest = behind.get(padded(length)..).unwrap_or(&[]);
        Some(item)
    }
}

fn items(bytes: &[u8]) -> Items<'_> {
    Items { rest: bytes, broken: false }
}

fn device(payload: &[u8], arrived: Mono, span: Duration, each: &mut impl FnMut(GpmfEvent)) {
    let mut streams = items(payload);
    let (mut fixes, mut speaks, mut bad) = (Vec::new(), false, 0);
    for item in streams.by_ref().filter(|item| item.key == b"STRM" && item.kind == 0) {
        let mut stream = Stream { arrived, span, ..Stream::default() };
        let mut inner = items(item.data);
        for item in inner.by_ref() {
            stream.take(&item, &mut fixes);
        }
        bad += stream.bad + u32::from(inner.broken);
        speaks |= stream.speaks;
    }
    bad += u32::from(streams.broken);
    (0..bad).for_each(|_| each(GpmfEvent::Bad));
    match (speaks, bad) {
        (true, _) => each(GpmfEvent::Good(fixes)),
        (false, 0) => each(GpmfEvent::Ignored),
        (false, _) => {}
    }
}

/// Makes a fix of the values of a sample and its milliseconds since the first one: none without satellites, an error of
/// what cannot be.
type Make = fn(&Stream, &[f64], u64) -> Result<Option<GpsFix>, ()>;

/// What was said of the samples of a stream before they came.
#[derive(Default)]
struct Stream {
    arrived: Mono,
    span: Duration,
    scale: Vec<f64>,
    types: Vec<u8>,
    fix: Option<u32>,
    /// Hundredths.
    dilution: Option<u16>,
    sea_level: bool,
    /// UTC of the first sample: date, and milliseconds since midnight.
    utc: Option<(NaiveDate, u64)>,
    speaks: bool,
    bad: u32,
}

impl Stream {
    fn take(&mut self, item: &Item<'_>, fixes: &mut Vec<Timed>) {
        match item.key {
            b"SCAL" => self.scale = scale(item),
            b"TYPE" => self.types = item.data.to_vec(),
            b"GPSF" => self.fix = item.data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
            b"GPSP" => self.dilution = item.data.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)),
            b"GPSA" => self.sea_level = item.data == b"MSLV",
            b"GPSU" => self.utc = utc(item.data),
            b"GPS5" => self.samples(item, [4; 5].as_slice(), fixes, Self::gps5),
            b"GPS9" if self.types == b"lllllllSS" => {
                self.samples(item, [4, 4, 4, 4, 4, 4, 4, 2, 2].as_slice(), fixes, Self::gps9);
            }
            b"GPS9" => self.bad += 1,
            _ => {}
        }
    }

    /// Reads samples of values of these sizes in bytes.
    fn samples(&mut self, item: &Item<'_>, sizes: &[usize], fixes: &mut Vec<Timed>, make: Make) {
        let size: usize = sizes.iter().sum();
        if item.size != size || !(self.scale.len() == sizes.len() || self.scale.len() == 1) {
            self.bad += 1;
            return;
        }
        self.speaks = true;
        let count = (item.data.len() / size).max(1) as u128;
        for (index, sample) in item.data.chunks_exact(size).enumerate() {
            let (values, mut rest) = (&mut [0.0; 9][..sizes.len()], sample);
            for (at, (value, &size)) in values.iter_mut().zip(sizes).enumerate() {
                let (head, tail) = rest.split_at(size);
                rest = tail;
                let number = match *head {
                    [a, b, c, d] => f64::from(i32::from_be_bytes([a, b, c, d])),
                    [a, b] => f64::from(u16::from_be_bytes([a, b])),
                    _ => 0.0,
                };
                *value = number / self.scale.get(at).unwrap_or(&self.scale[0]);
            }
            // Whole nanoseconds: the same on every machine. A span has at most two seconds of them.
            let since_start = |index: u128| (self.span.as_nanos() * index / count) as u64;
            let end = since_start(index as u128 + 1);
            match make(self, values, since_start(index as u128) / 1_000_000) {
                Ok(Some(fix)) => {
                    let before = Duration::from_nanos((self.span.as_nanos() as u64).saturating_sub(end));
                    let captured = Mono(self.arrived.0.saturating_sub(before.as_nanos() as u64));
                    fixes.push((fix, captured));
                }
                Ok(None) => {}
                Err(()) => self.bad += 1,
            }
        }
    }

    /// Latitude, longitude, altitude, speed over ground, speed in space; the rest is said of all of them.
    fn gps5(&self, values: &[f64], since_start_ms: u64) -> Result<Option<GpsFix>, ()> {
        let (Some(fix), Some((date, first))) = (self.fix, self.utc) else { return Err(()) };
        if fix == 0 {
            return Ok(None);
        }
        let (date, time_of_day_ms) = later(date, first + since_start_ms).ok_or(())?;
        let hdop = self.dilution.map(|hundredths| f64::from(hundredths) / 100.0);
        self.fix(values, date, time_of_day_ms, hdop).map(Some)
    }

    /// The same, then days since 2000, seconds since midnight, dilution, kind of fix, each of this sample.
    fn gps9(&self, values: &[f64], _: u64) -> Result<Option<GpsFix>, ()> {
        let &[_, _, _, _, _, days, seconds, dilution, kind] = values else { return Err(()) };
        if kind == 0.0 {
            return Ok(None);
        }
        if !(0.0..36_525.0).contains(&days) || !(0.0..86_400.0).contains(&seconds) {
            return Err(());
        }
        let start = NaiveDate::from_ymd_opt(2000, 1, 1).ok_or(())?;
        let time = days as u64 * DAY_MS + (seconds * 1000.0) as u64;
        let (date, time_of_day_ms) = later(start, time).ok_or(())?;
        self.fix(values, date, time_of_day_ms, Some(dilution)).map(Some)
    }

    fn fix(&self, values: &[f64], date: NaiveDate, time_of_day_ms: u32, hdop: Option<f64>) -> Result<GpsFix, ()> {
        let &[latitude_deg, longitude_deg, altitude_m, speed_mps, ..] = values else { return Err(()) };
        // Not a number is in no range.
        let on_earth = (-90.0..=90.0).contains(&latitude_deg) && (-180.0..=180.0).contains(&longitude_deg);
        if !on_earth || !altitude_m.is_finite() {
            return Err(());
        }
        Ok(GpsFix {
            latitude_deg,
            longitude_deg,
            // Older cameras give the height above the ellipsoid, which is another one by up to 100 m.
            altitude_m: self.sea_level.then_some(altitude_m),
            speed_mps: Some(speed_mps).filter(|speed| speed.is_finite() && *speed >= 0.0),
            course_deg: None,
            quality: FixQuality::Gps,
            satellites: None,
            // Of which kind it is nobody says; that of the position is never below the horizontal one.
            hdop: hdop.filter(|hdop| hdop.is_finite()),
            time_of_day_ms,
            date: PLAUSIBLE_YEARS.contains(&date.year()).then(|| (date.year(), date.month(), date.day())),
            ..GpsFix::default()
        })
    }
}

/// The divisors of values; none if one of them is no number to divide by.
fn scale(item: &Item<'_>) -> Vec<f64> {
    let number = |bytes: &[u8]| match (item.kind, bytes) {
        (b'l', &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
        (b'L', &[a, b, c, d]) => f64::from(u32::from_be_bytes([a, b, c, d])),
        (b's', &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
        (b'S', &[a, b]) => f64::from(u16::from_be_bytes([a, b])),
        _ => 0.0,
    };
    let values: Vec<f64> = item.data.chunks_exact(item.size.max(1)).take(10).map(number).collect();
    if values.contains(&0.0) { Vec::new() } else { values }
}

/// Reads `yymmddhhmmss.sss`.
fn utc(text: &[u8]) -> Option<(NaiveDate, u64)> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)?
            .iter()
            .try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let date = NaiveDate::from_ymd_opt(2000 + digits(0..2)? as i32, digits(2..4)?, digits(4..6)?)?;
    let (hour, minute, second) = (digits(6..8)?, digits(8..10)?, digits(10..12)?);
    let is_time = hour < 24 && minute < 60 && second < 60 && text.get(12) == Some(&b'.');
    is_time.then_some((date, u64::from(((hour * 60 + minute) * 60 + second) * 1000 + digits(13..16)?)))
}

/// The date and time of day so many milliseconds after the midnight with which `date` begins.
fn later(date: NaiveDate, ms: u64) -> Option<(NaiveDate, u32)> {
    let date = date.checked_add_days(chrono::Days::new(ms / DAY_MS))?;
    Some((date, u32::try_from(ms % DAY_MS).ok()?))
}

#[cfg(test)]
mod tests;
