//! The fields of the three kinds of sentence that are used.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, Timelike};
use nmea::sentences::{FaaMode, FixType, parse_gga, parse_gll, parse_rmc, rmc::RmcStatusOfFix};
use nmea::{NmeaSentence, SentenceType};
use serde::{Deserialize, Serialize};
use waywarden_components::position::FixQuality;

use super::nmea::Defect;

/// Metres a second in a knot (one international nautical mile, 1852 m, an hour).
const MPS_PER_KNOT: f64 = 1852.0 / 3600.0;

/// Years that are believed. A receiver whose 10-bit GPS week rolled over is 1024 weeks (19.6 years) behind, and falls out.
pub const PLAUSIBLE_YEARS: std::ops::RangeInclusive<i32> = 2020..=2060;

/// Days after which the week number of GPS begins again at 0: 1024 weeks.
const ROLLOVER_DAYS: u64 = 1024 * 7;

/// When GPS began, and when its week number will begin again for the third time (IS-GPS-200, 20.3.3.3.1.1).
const GPS_BEGAN: Option<NaiveDate> = NaiveDate::from_ymd_opt(1980, 1, 6);
const NEXT_ROLLOVER: Option<NaiveDate> = NaiveDate::from_ymd_opt(2038, 11, 21);

/// A point on Earth, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north of the equator, -90 to 90.
    pub latitude_deg: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude_deg: f64,
}

/// RMC, "recommended minimum": the only one with speed, course and date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rmc {
    /// UTC in milliseconds since midnight.
    pub time_of_day_ms: Option<u32>,
    /// Where.
    pub position: Option<Position>,
    /// Metres a second over ground, never negative.
    pub speed_mps: Option<f64>,
    /// Degrees clockwise from true north, 0 to 360.
    pub course_deg: Option<f64>,
    /// UTC date as (year, month, day); none when it is outside [`PLAUSIBLE_YEARS`] and cannot be corrected.
    pub date: Option<(i32, u32, u32)>,
    /// [`FixQuality::Invalid`] when the status is `V` or the mode says "not valid".
    pub quality: FixQuality,
    /// Periods of 1024 weeks that were added to the date.
    #[serde(default)]
    pub rollovers: u8,
}

/// GGA, "fix data": the only one with altitude, satellites and dilution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gga {
    /// UTC in milliseconds since midnight.
    pub time_of_day_ms: Option<u32>,
    /// Where.
    pub position: Option<Position>,
    /// None when the field is empty, as some receivers leave it: then it neither confirms nor denies a fix.
    pub quality: Option<FixQuality>,
    /// Satellites used.
    pub satellites: Option<u32>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// Metres above mean sea level.
    pub altitude_m: Option<f64>,
}

/// GLL, "geographic position": all that some old receivers send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gll {
    /// UTC in milliseconds since midnight.
    pub time_of_day_ms: Option<u32>,
    /// Where.
    pub position: Option<Position>,
    /// [`FixQuality::Invalid`] when the status is `V` or the mode says "not valid".
    pub quality: FixQuality,
}

/// A sentence that is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sentence {
    /// Recommended minimum.
    Rmc(Rmc),
    /// Fix data.
    Gga(Gga),
    /// Geographic position.
    Gll(Gll),
}

impl Sentence {
    /// UTC in milliseconds since midnight of the moment that it speaks of.
    pub fn time_of_day_ms(&self) -> Option<u32> {
        match self {
            Self::Rmc(rmc) => rmc.time_of_day_ms,
            Self::Gga(gga) => gga.time_of_day_ms,
            Self::Gll(gll) => gll.time_of_day_ms,
        }
    }

    /// Reads what stands between `$` and `*`. None for a kind that is not used.
    ///
    /// # Errors
    ///
    /// [`Defect::Unreadable`] when a field is not what the standard says, [`Defect::OffEarth`] when the position does
    /// not exist.
    pub fn read(body: &str) -> Option<Result<Self, Defect>> {
        let (address, data) = body.split_once(',')?;
        // Addresses with P are proprietary: Garmin's PGRMC is a sensor configuration.
        if address.len() != 5 || address.starts_with('P') {
            return None;
        }
        let (talker, kind) = address.split_at_checked(2)?;
        match kind {
            "RMC" => Some(read_rmc(talker, data).map(Self::Rmc)),
            "GGA" => Some(read_gga(talker, data).map(Self::Gga)),
            "GLL" => Some(read_gll(talker, data).map(Self::Gll)),
            _ => None,
        }
    }
}

fn read_rmc(talker: &str, data: &str) -> Result<Rmc, Defect> {
    let rmc = parse_rmc(fields(talker, SentenceType::RMC, data)).map_err(|_| Defect::Unreadable)?;
    let quality = match rmc.status_of_fix {
        RmcStatusOfFix::Invalid => FixQuality::Invalid,
        RmcStatusOfFix::Autonomous => rmc.faa_mode.map_or(FixQuality::Gps, quality_of_mode),
        RmcStatusOfFix::Differential => rmc.faa_mode.map_or(FixQuality::Dgps, quality_of_mode),
    };
    let date = rmc.fix_date.and_then(believed);
    Ok(Rmc {
        time_of_day_ms: rmc.fix_time.map(milliseconds),
        position: position(rmc.lat, rmc.lon)?,
        speed_mps: rmc.speed_over_ground.and_then(finite).filter(|v| *v >= 0.0).map(|knots| knots * MPS_PER_KNOT),
        course_deg: rmc.true_course.and_then(finite).filter(|degrees| (0.0..=360.0).contains(degrees)),
        date: date.map(|(date, _)| (date.year(), date.month(), date.day())),
        quality,
        rollovers: date.map_or(0, |(_, rollovers)| rollovers),
    })
}

fn read_gga(talker: &str, data: &str) -> Result<Gga, Defect> {
    // A null quality field is allowed by the standard and unknown to the parser, which wants a digit.
    let unknown = data.split(',').nth(5) == Some("");
    let filled = unknown.then(|| {
        let filled: Vec<&str> = data.split(',').enumerate().map(|(i, f)| if i == 5 { "0" } else { f }).collect();
        filled.join(",")
    });
    let data = filled.as_deref().unwrap_or(data);
    let gga = parse_gga(fields(talker, SentenceType::GGA, data)).map_err(|_| Defect::Unreadable)?;
    Ok(Gga {
        time_of_day_ms: gga.fix_time.map(milliseconds),
        position: position(gga.latitude, gga.longitude)?,
        quality: if unknown { None } else { gga.fix_type.map(quality_of_type) },
        satellites: gga.fix_satellites,
        hdop: gga.hdop.and_then(finite),
        altitude_m: gga.altitude.and_then(finite),
    })
}

fn read_gll(talker: &str, data: &str) -> Result<Gll, Defect> {
    // Before NMEA 2.3 there was no mode field; the parser wants its comma.
    let extended = (data.split(',').count() == 6).then(|| format!("{data},"));
    let data = extended.as_deref().unwrap_or(data);
    let gll = parse_gll(fields(talker, SentenceType::GLL, data)).map_err(|_| Defect::Unreadable)?;
    let quality = if gll.valid { gll.faa_mode.map_or(FixQuality::Gps, quality_of_mode) } else { FixQuality::Invalid };
    Ok(Gll {
        time_of_day_ms: gll.fix_time.map(milliseconds),
        position: position(gll.latitude, gll.longitude)?,
        quality,
    })
}

/// The form in which the parsers take fields. The checksum has been compared already.
fn fields<'a>(talker_id: &'a str, message_id: SentenceType, data: &'a str) -> NmeaSentence<'a> {
    NmeaSentence { talker_id, message_id, data, checksum: 0 }
}

fn position(latitude: Option<f64>, longitude: Option<f64>) -> Result<Option<Position>, Defect> {
    let (Some(latitude_deg), Some(longitude_deg)) = (latitude, longitude) else {
        return Ok(None);
    };
    // Not a number is in no range.
    if (-90.0..=90.0).contains(&latitude_deg) && (-180.0..=180.0).contains(&longitude_deg) {
        Ok(Some(Position { latitude_deg, longitude_deg }))
    } else {
        Err(Defect::OffEarth)
    }
}

fn finite(value: f32) -> Option<f64> {
    value.is_finite().then_some(f64::from(value))
}

fn milliseconds(time: NaiveTime) -> u32 {
    // Rounding up must not lead into the next day.
    (time.num_seconds_from_midnight() * 1000 + (time.nanosecond() + 500_000) / 1_000_000).min(86_399_999)
}

/// A date that is believed, and the periods of 1024 weeks that were added to it.
///
/// A receiver that was built for an earlier round of the week number says a date of that round, wrong by whole periods.
/// One that does not know its week yet says the first weeks of a round: brought forward these are still before 2020, and
/// there is no date. Fixed years, not that of the build, so that every build reads a recording alike.
fn believed(date: NaiveDate) -> Option<(NaiveDate, u8)> {
    if PLAUSIBLE_YEARS.contains(&date.year()) {
        return Some((date, 0));
    }
    // Years have two digits; there was no GPS before 1980.
    let mut date = if date.year() > *PLAUSIBLE_YEARS.end() { date.with_year(date.year() - 100)? } else { date };
    if date < GPS_BEGAN? {
        return None;
    }
    for rollovers in 1..=2 {
        date = date.checked_add_days(Days::new(ROLLOVER_DAYS))?;
        if PLAUSIBLE_YEARS.contains(&date.year()) {
            return (date < NEXT_ROLLOVER?).then_some((date, rollovers));
        }
    }
    None
}

fn quality_of_type(kind: FixType) -> FixQuality {
    match kind {
        FixType::Invalid => FixQuality::Invalid,
        FixType::Gps => FixQuality::Gps,
        FixType::DGps => FixQuality::Dgps,
        FixType::Pps => FixQuality::Pps,
        FixType::Rtk => FixQuality::Rtk,
        FixType::FloatRtk => FixQuality::FloatRtk,
        FixType::Estimated => FixQuality::Estimated,
        FixType::Manual => FixQuality::Manual,
        FixType::Simulation => FixQuality::Simulation,
    }
}

/// The quality that an RMC's or GLL's mode indicator (NMEA 2.3 and later) stands for.
fn quality_of_mode(mode: FaaMode) -> FixQuality {
    match mode {
        FaaMode::Autonomous | FaaMode::Caution => FixQuality::Gps,
        FaaMode::Differential => FixQuality::Dgps,
        FaaMode::Precise => FixQuality::Pps,
        FaaMode::FixedRtk => FixQuality::Rtk,
        FaaMode::FloatRtk => FixQuality::FloatRtk,
        FaaMode::Estimated => FixQuality::Estimated,
        FaaMode::Manual => FixQuality::Manual,
        FaaMode::Simulator => FixQuality::Simulation,
        FaaMode::DataNotValid | FaaMode::Unsafe => FixQuality::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rmc(data: &str) -> Result<Rmc, Defect> {
        read_rmc("GP", data)
    }

    #[test]
    fn an_rmc_is_read_in_si_units() {
        let rmc = rmc("225446.33,A,4916.45,N,12311.12,W,10.0,054.7,191125,020.3,E,D").unwrap();
        assert_eq!(rmc.time_of_day_ms, Some(82_486_330));
        let position = rmc.position.unwrap();
        assert!((position.latitude_deg - 49.274_166_667).abs() < 1e-9);
        assert!((position.longitude_deg + 123.185_333_333).abs() < 1e-9);
        assert!((rmc.speed_mps.unwrap() - 5.144_444_444).abs() < 1e-9);
        assert!((rmc.course_deg.unwrap() - 54.7).abs() < 1e-5);
        assert_eq!(rmc.date, Some((2025, 11, 19)));
        assert_eq!(rmc.quality, FixQuality::Dgps);
    }

    #[test]
    fn a_time_of_day_stays_within_its_day() {
        let time = |field: &str| rmc(&format!("{field},V,,,,,,,,,")).map(|rmc| rmc.time_of_day_ms);
        assert_eq!(time("000000"), Ok(Some(0)));
        assert_eq!(time("153347.0004"), Ok(Some(56_027_000)));
        assert_eq!(time("235959.9999"), Ok(Some(86_399_999)));
        assert_eq!(time(""), Ok(None));
        assert_eq!(time("240000"), Err(Defect::Unreadable));
    }

    #[test]
    fn implausible_years_are_no_date() {
        for (field, expected) in [
            ("191125", Some((2025, 11, 19))),
            ("010120", Some((2020, 1, 1))),
            ("311260", Some((2060, 12, 31))),
            ("220899", None),
            ("060180", None),
            ("311219", None),
            ("010161", None),
            ("311279", None),
            ("", None),
        ] {
            let rmc = rmc(&format!("225446,A,4916.45,N,12311.12,W,,,{field},,")).unwrap();
            assert_eq!((rmc.date, rmc.rollovers), (expected, 0), "{field}");
        }
    }

    #[test]
    fn a_week_number_that_rolled_over_is_put_right_and_flagged() {
        for (field, date, rollovers) in [
            ("161206", (2026, 8, 1), 1),
            ("170500", (2020, 1, 1), 1),
            ("060419", (2038, 11, 20), 1),
            ("020587", (2026, 8, 1), 2),
        ] {
            let rmc = rmc(&format!("225446,A,4916.45,N,12311.12,W,,,{field},,")).unwrap();
            assert_eq!((rmc.date, rmc.rollovers), (Some(date), rollovers), "{field}");
        }
    }

    #[test]
    fn positions_off_earth_are_refused() {
        assert_eq!(rmc("225446,A,9000.00,N,18000.00,W,,,,,").map(|rmc| rmc.position.is_some()), Ok(true));
        assert_eq!(rmc("225446,A,9000.01,N,12311.12,W,,,,,"), Err(Defect::OffEarth));
        assert_eq!(rmc("225446,A,4916.45,N,18000.01,E,,,,,"), Err(Defect::OffEarth));
        assert_eq!(rmc("225446,A,49nan,N,12311.12,W,,,,,"), Err(Defect::OffEarth));
        assert_eq!(rmc("225446,A,49inf,N,12311.12,W,,,,,"), Err(Defect::OffEarth));
    }

    #[test]
    fn nonsense_in_optional_numbers_is_left_out() {
        let rmc = rmc("225446,A,4916.45,N,12311.12,W,-5,361,,,").unwrap();
        assert_eq!((rmc.speed_mps, rmc.course_deg), (None, None));
        let rmc = read_rmc("GP", "225446,A,4916.45,N,12311.12,W,nan,inf,,,").unwrap();
        assert_eq!((rmc.speed_mps, rmc.course_deg), (None, None));
    }

    #[test]
    fn status_and_mode_make_the_quality() {
        let quality =
            |status, mode| rmc(&format!("225446,{status},4916.45,N,12311.12,W,,,,,{mode}")).map(|rmc| rmc.quality);
        assert_eq!(quality('A', ""), Ok(FixQuality::Gps));
        assert_eq!(quality('D', ""), Ok(FixQuality::Dgps));
        assert_eq!(quality('A', ",E"), Ok(FixQuality::Estimated));
        assert_eq!(quality('A', ",N"), Ok(FixQuality::Invalid));
        assert_eq!(quality('V', ",A"), Ok(FixQuality::Invalid));
        assert_eq!(quality('X', ""), Err(Defect::Unreadable));
    }

    #[test]
    fn a_gga_without_quality_says_nothing_of_the_fix() {
        let gga = read_gga("GP", "005947.00,3715.6616,N,12157.6709,W,,11,0.8,86.0,M,-30.1,M,,").unwrap();
        assert_eq!(gga.quality, None);
        assert_eq!(gga.altitude_m, Some(86.0));
        let gga = read_gga("GP", "005947.00,3715.6616,N,12157.6709,W,0,11,0.8,86.0,M,-30.1,M,,").unwrap();
        assert_eq!(gga.quality, Some(FixQuality::Invalid));
    }

    #[test]
    fn a_gll_of_any_age_is_read() {
        for data in ["4916.45,N,12311.12,W,225444,A", "4916.45,N,12311.12,W,225444,A,A"] {
            let gll = read_gll("GP", data).unwrap();
            assert_eq!(gll.quality, FixQuality::Gps);
            assert_eq!(gll.time_of_day_ms, Some(82_484_000));
        }
        assert_eq!(read_gll("GP", "4916.45,N,12311.12,W,225444,V").unwrap().quality, FixQuality::Invalid);
    }

    #[test]
    fn every_talker_and_only_three_kinds() {
        for talker in ["GP", "GN", "GL", "GA", "GB", "BD", "QZ"] {
            let body = format!("{talker}RMC,225446,A,4916.45,N,12311.12,W,,,,,");
            assert!(matches!(Sentence::read(&body), Some(Ok(Sentence::Rmc(_)))), "{talker}");
        }
        for body in ["GPGSV,1,1,00", "GNGGAH,1", "PUBX,00", "PQRMC,1", "X", "", ",", "é€RMC,1"] {
            assert_eq!(Sentence::read(body), None, "{body}");
        }
    }
}
