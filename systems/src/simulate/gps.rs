//! A simulated satellite receiver that speaks NMEA 0183.

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::Bytes;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::drive::{Drive, Moment, degrees_of};
use super::nth_nanos;
use crate::import::TimedItem;

/// Nanoseconds between an epoch and its first byte on the wire.
const LATENCY_NS: u64 = 30_000_000;
/// Nanoseconds of a byte at 115,200 baud, 8N1.
const BYTE_NS: u64 = 10 * 1_000_000_000 / 115_200;
/// Largest piece in which bytes arrive.
const MAX_PIECE: usize = 96;
const KNOTS_A_MPS: f64 = 3600.0 / 1852.0;

/// What the receiver is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpsSettings {
    /// Epochs a second: 1 to 10.
    pub rate_hz: u32,
    /// UTC at the start of the drive, in seconds since 1970-01-01, of the years 2000 to 2079.
    pub utc_start: u32,
}

impl Default for GpsSettings {
    /// 5 Hz, from 2026-01-01 12:00 UTC.
    fn default() -> Self {
        Self { rate_hz: 5, utc_start: 1_767_268_800 }
    }
}

/// A generator of NMEA bytes: GGA and RMC for each epoch, GSV every five seconds, cut into pieces of random size
/// wherever the cut falls, as a serial port gives them.
///
/// Positions wander as far as the scenario says. Without a fix, as in a tunnel, sentences go on without a position.
#[derive(Clone, Debug)]
pub struct GpsSimulator {
    drive: Drive,
    settings: GpsSettings,
    rng: ChaCha8Rng,
    epoch: u64,
    waiting: VecDeque<u8>,
    /// When the byte ahead of `waiting` was on the wire.
    wire: u64,
    /// Metres north and east.
    noise: (f64, f64),
}

impl GpsSimulator {
    /// The receiver of this drive. Rates outside 1 to 10 Hz become the nearest of these.
    pub fn new(drive: &Drive, settings: GpsSettings) -> Self {
        let settings = GpsSettings { rate_hz: settings.rate_hz.clamp(1, 10), ..settings };
        Self {
            drive: drive.clone(),
            settings,
            rng: drive.rng_of(3),
            epoch: 0,
            waiting: VecDeque::new(),
            wire: 0,
            noise: (0.0, 0.0),
        }
    }

    /// The next piece; its time is that of its last byte.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        if self.waiting.is_empty() {
            let time = nth_nanos(self.epoch, self.settings.rate_hz.into());
            let text = self.sentences(time);
            self.waiting.extend(text.into_bytes());
            self.wire = time + LATENCY_NS;
            self.epoch += 1;
        }
        let length = self.rng.random_range(1..=MAX_PIECE).min(self.waiting.len());
        let piece: Vec<u8> = self.waiting.drain(..length).collect();
        self.wire += length as u64 * BYTE_NS;
        TimedItem { at: Mono(self.wire), payload: Payload::Serial(Bytes::from(piece)) }
    }

    fn sentences(&mut self, time: u64) -> String {
        let moment = self.drive.moment(time as f64 / 1e9);
        let clock = utc(self.settings.utc_start, time);
        let mut text = String::new();
        if moment.has_fix {
            self.fix(&mut text, &moment, &clock);
        } else {
            // No satellites: only the clock goes on.
            sentence(&mut text, &format!("GPGGA,{},,,,,0,00,99.9,,M,,M,,", clock.time));
            sentence(&mut text, &format!("GPRMC,{},V,,,,,,,{},,,N", clock.time, clock.date));
        }
        if self.epoch.is_multiple_of(5 * u64::from(self.settings.rate_hz)) {
            self.satellites(&mut text);
        }
        text
    }

    fn fix(&mut self, text: &mut String, moment: &Moment, clock: &UtcFields) {
        let (latitude, longitude) = moment.position;
        let (north, east) = self.wander();
        let (north, east) = degrees_of(north, east, latitude);
        let position = format!("{},{}", degrees(latitude + north, 2, 'N', 'S'), degrees(longitude + east, 3, 'E', 'W'));
        let (knots, heading) = (moment.speed_mps() * KNOTS_A_MPS, moment.heading_deg());
        let altitude = moment.altitude;
        sentence(text, &format!("GPGGA,{},{position},1,09,0.9,{altitude:.1},M,47.2,M,,", clock.time));
        sentence(text, &format!("GPRMC,{},A,{position},{knots:.2},{heading:.1},{},,,A", clock.time, clock.date));
    }

    /// How far off the position is, in metres north and east: a Gauss-Markov process with a time constant of a minute.
    fn wander(&mut self) -> (f64, f64) {
        let deviation = self.drive.scenario().faults.gps_drift_m;
        let keep = libm::exp(-1.0 / (f64::from(self.settings.rate_hz) * 60.0));
        let kick = deviation * (1.0 - keep * keep).sqrt();
        let mut step = |off: f64| {
            // The sum of three even numbers is nearly normal, with a standard deviation of 1.
            let normal: f64 = (0..3).map(|_| self.rng.random_range(-1.0..1.0)).sum();
            (off * keep + normal * kick).clamp(-4.0 * deviation, 4.0 * deviation)
        };
        self.noise = (step(self.noise.0), step(self.noise.1));
        self.noise
    }

    /// The satellites in view: nine, in three sentences.
    fn satellites(&mut self, text: &mut String) {
        for part in 0..3 {
            let mut body = format!("GPGSV,3,{},09", part + 1);
            for satellite in 0..3 {
                let number = part * 9 + satellite * 3 + 2;
                let strength = self.rng.random_range(28..48);
                let _ = write!(body, ",{number:02},{:02},{:03},{strength:02}", 10 + number * 2, number * 13); // into memory
            }
            sentence(text, &body);
        }
    }
}

/// Appends a sentence with its checksum (NMEA 0183, 5.3.1).
fn sentence(text: &mut String, body: &str) {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    let _ = write!(text, "${body}*{sum:02X}\r\n"); // into memory: cannot fail
}

/// Degrees as `dddmm.mmmmm,N`, with `digits` digits for the degrees.
fn degrees(degrees: f64, digits: usize, positive: char, negative: char) -> String {
    let hundred_thousandths = (degrees.abs() * 60.0 * 1e5).round() as u64;
    let (whole, rest) = (hundred_thousandths / 6_000_000, hundred_thousandths % 6_000_000);
    let side = if degrees < 0.0 { negative } else { positive };
    format!("{whole:0digits$}{:02}.{:05},{side}", rest / 100_000, rest % 100_000)
}

struct UtcFields {
    /// `hhmmss.ss`
    time: String,
    /// `ddmmyy`
    date: String,
}

/// The date and time `nanos` after `start` (seconds since 1970).
fn utc(start: u32, nanos: u64) -> UtcFields {
    let hundredths = u64::from(start) * 100 + nanos / 10_000_000;
    let (days, of_day) = (hundredths / 8_640_000, hundredths % 8_640_000);
    let (minutes, hundredths) = (of_day / 6_000, of_day % 6_000);
    let time = format!("{:02}{:02}{:02}.{:02}", minutes / 60, minutes % 60, hundredths / 100, hundredths % 100);
    let (year, month, day) = civil(days);
    UtcFields { time, date: format!("{day:02}{month:02}{:02}", year % 100) }
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Scenario;

    fn pieces(seed: u64, settings: GpsSettings, count: usize) -> Vec<TimedItem> {
        let mut receiver = GpsSimulator::new(&Drive::new(&Scenario::built_in("motorway").unwrap(), seed), settings);
        (0..count).map(|_| receiver.next()).collect()
    }

    fn text(pieces: &[TimedItem]) -> String {
        let bytes = |item: &TimedItem| match &item.payload {
            Payload::Serial(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        String::from_utf8(pieces.iter().flat_map(bytes).collect()).unwrap()
    }

    #[test]
    fn sentences_parse_and_agree_with_the_drive() {
        let drive = Drive::new(&Scenario::built_in("motorway").unwrap(), 5);
        for rate_hz in [5, 10] {
            let mut drive = drive.clone();
            let settings = GpsSettings { rate_hz, ..GpsSettings::default() };
            let pieces = pieces(5, settings, 3_000);
            assert!(pieces.is_sorted_by(|a, b| a.at < b.at), "times must rise");
            let text = text(&pieces);
            let (mut epochs, mut satellites) = (0, 0);
            for line in text.lines().take(text.lines().count() - 1) {
                let parsed = nmea::parse_str(line).unwrap_or_else(|error| panic!("{line}: {error:?}"));
                match parsed {
                    nmea::ParseResult::RMC(rmc) => {
                        let t = f64::from(epochs) / f64::from(rate_hz);
                        let moment = drive.moment(t);
                        let (latitude, longitude) = moment.position();
                        assert!((rmc.lat.unwrap() - latitude).abs() * 111_320.0 < 15.0, "{line}");
                        assert!((rmc.lon.unwrap() - longitude).abs() * 80_000.0 < 15.0, "{line}");
                        let speed = f64::from(rmc.speed_over_ground.unwrap()) / KNOTS_A_MPS;
                        assert!((speed - moment.speed_mps()).abs() < 0.01, "{line}");
                        epochs += 1;
                    }
                    nmea::ParseResult::GSV(gsv) => satellites += gsv.sats_info.iter().flatten().count(),
                    nmea::ParseResult::GGA(gga) => assert!(gga.altitude.unwrap() > 500.0),
                    other => panic!("{other:?}"),
                }
            }
            assert!(epochs > 200 && satellites > 9, "{epochs} {satellites}");
            let seconds = f64::from(epochs) / f64::from(rate_hz);
            assert!((pieces.last().unwrap().at.as_secs_f64() - seconds).abs() < 0.5);
        }
    }

    #[test]
    fn dates_and_midnight_are_right() {
        let fields = |start, seconds: u64| {
            let utc = utc(start, seconds * 1_000_000_000 + 250_000_000);
            (utc.time, utc.date)
        };
        assert_eq!(fields(1_767_268_800, 0), ("120000.25".into(), "010126".into()));
        assert_eq!(fields(1_709_164_799, 1), ("000000.25".into(), "290224".into()));
        assert_eq!(fields(1_709_251_199, 1), ("000000.25".into(), "010324".into()));
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(10_957), (2000, 1, 1));
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let of = |seed| pieces(seed, GpsSettings::default(), 200);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let sizes: std::collections::BTreeSet<usize> = of(1).iter().map(|item| item.payload.weight()).collect();
        assert!(sizes.len() > 20, "pieces have many sizes");
    }
}
