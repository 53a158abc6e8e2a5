//! Logs of real receivers are read to their end, and every sentence in them is accounted for.
//!
//! The logs are gpsd's regression suite, pynmeagps's odd talkers and aerorust's; see the data's own description. They
//! hold cold starts, bad sums, overlong and unknown sentences, SiRF and UBX binary between the text, and comments.

#![expect(clippy::print_stdout, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use waywarden_components::time::Mono;
use waywarden_systems::gps::fix::FixMerger;
use waywarden_systems::gps::nmea::{Defect, NmeaEvent, NmeaReader};

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    good: u64,
    bad: u64,
    ignored: u64,
    fixes: u64,
    binary: Option<&'static str>,
}

/// A row of the table.
const fn row(good: u64, bad: u64, ignored: u64, fixes: u64, binary: Option<&'static str>) -> Counts {
    Counts { good, bad, ignored, fixes, binary }
}

/// Every log: good, bad and ignored sentences, fixes, binary protocol.
const LOGS: &[(&str, Counts)] = &[
    ("aerorust/nmea_with_sat_info.log", row(74, 0, 444, 36, None)),
    ("gpsd/beidou-gb.log", row(10, 0, 58, 2, None)),
    ("gpsd/bu303-moving.log", row(0, 0, 0, 0, Some("SiRF binary"))),
    ("gpsd/et-332.log", row(38, 1, 68, 19, None)),
    ("gpsd/firefly-II.log", row(23, 23, 23, 23, None)),
    ("gpsd/gp-320fw-2019-04-07-coldboot.log", row(34, 42, 59, 2, None)),
    ("gpsd/haicom-305N.log", row(147, 0, 178, 68, None)),
    ("gpsd/iTrek.log", row(60, 0, 45, 35, None)),
    ("gpsd/mtk-3301.log", row(22, 3, 34, 4, None)),
    ("gpsd/myguide-3100.log", row(26, 0, 74, 9, None)),
    ("gpsd/nmea-fuzzy-cases.log", row(28, 0, 0, 14, None)),
    ("gpsd/quectelLC79D.log", row(60, 0, 624, 30, None)),
    ("gpsd/tcp-torture.log", row(1, 1, 5, 1, None)),
    ("gpsd/telit-he910.log", row(672, 0, 886, 187, None)),
    ("gpsd/ublox-8.log", row(216, 1, 792, 72, None)),
    ("gpsd/ublox-neo-m9n-nmea.log", row(183, 0, 1220, 61, None)),
    ("pynmeagps/pynmeagps_feyman_nmea.log", row(0, 0, 22, 0, None)),
    ("pynmeagps/pynmeagps_pygpsdata-BADHDR.log", row(4, 1, 11, 2, None)),
    ("pynmeagps/pynmeagps_pygpsdata-mixed.log", row(2, 0, 13, 2, Some("UBX"))),
    ("pynmeagps/pynmeagps_pygpsdata-nmea4.log", row(4, 0, 53, 1, None)),
    ("pynmeagps/pynmeagps_trimble_nmea.log", row(0, 0, 21, 0, None)),
    ("pynmeagps/pynmeagps_unicore_nmea.log", row(0, 0, 61, 0, None)),
];

/// Logs in which a plain count of lines means nothing: binary (1, 4, 5), lines run into each other (2), sentences quoted
/// in a comment (3).
const UNCLEAN: [&str; 5] = [
    "gpsd/bu303-moving.log",
    "gpsd/gp-320fw-2019-04-07-coldboot.log",
    "gpsd/quectelLC79D.log",
    "gpsd/ublox-8.log",
    "pynmeagps/pynmeagps_pygpsdata-mixed.log",
];

/// The folder with the logs, or none, and a line that says so.
fn logs() -> Option<PathBuf> {
    let data = std::env::var_os("WAYWARDEN_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let logs = data.join("data/nmea");
    if logs.is_dir() {
        return Some(logs);
    }
    println!("skipped: no data at {}", logs.display());
    None
}

/// Pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// Reads `bytes` in pieces of up to `longest` bytes. Gives the counts and all events; stray bytes are merged.
fn read(bytes: &[u8], seed: u64, longest: usize) -> (Counts, Vec<NmeaEvent>) {
    let mut random = Random(seed);
    let mut reader = NmeaReader::default();
    let mut merger = FixMerger::default();
    let mut counts = Counts::default();
    let mut events = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        reader.read(head, |event| {
            match &event {
                NmeaEvent::Good(sentence) => {
                    counts.good += 1;
                    merger.push(sentence.clone(), Mono::default(), |_| counts.fixes += 1);
                }
                NmeaEvent::Bad(_) => counts.bad += 1,
                NmeaEvent::Ignored => counts.ignored += 1,
                NmeaEvent::Binary(protocol) => counts.binary = counts.binary.or(Some(protocol.name())),
                NmeaEvent::Stray(_) => {}
            }
            events.push(event);
        });
        rest = tail;
    }
    merger.close_after(Duration::ZERO, Mono::default(), |_| counts.fixes += 1);
    (counts, events)
}

#[test]
fn every_log_is_read_to_its_end_with_the_same_counts_however_it_is_cut() {
    let Some(logs) = logs() else { return };
    for (file, expected) in LOGS {
        let bytes = std::fs::read(logs.join(file)).unwrap();
        let (counts, events) = read(&bytes, 0, usize::MAX);
        assert_eq!(counts, *expected, "{file}");
        for (seed, longest) in [(1, 1), (2, 7), (3, 64), (4, 1000)] {
            let (_, cut) = read(&bytes, seed, longest);
            assert_eq!(cut, events, "{file} cut into pieces of up to {longest} bytes");
        }
    }
}

#[test]
fn no_log_is_left_out() {
    let Some(logs) = logs() else { return };
    let mut found = Vec::new();
    for folder in std::fs::read_dir(&logs).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                found.push(path.strip_prefix(&logs).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    assert_eq!(found, LOGS.iter().map(|(file, _)| *file).collect::<Vec<_>>());
}

/// What a log's lines are, found in the plainest way: (used kinds, other kinds, wrong or missing checksum).
fn plain_count(text: &str) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for line in text.lines().filter(|line| line.starts_with(['$', '!'])) {
        let sum = |body: &str| format!("{:02X}", body.bytes().fold(0, |sum, byte| sum ^ byte));
        match line[1..].split_once('*') {
            Some((body, right)) if right.trim().to_uppercase() == sum(body) => {
                let address = body.split(',').next().unwrap_or_default();
                let used = !address.starts_with('P') && address.len() == 5;
                if used && ["RMC", "GGA", "GLL"].contains(&&address[2..]) { counts.0 += 1 } else { counts.1 += 1 }
            }
            _ => counts.2 += 1,
        }
    }
    counts
}

/// Whether all of a log is lines of text that are sentences or comments.
fn is_clean(bytes: &[u8]) -> bool {
    let sentence = |line: &str| line.starts_with('$') && !line[1..].contains(['$', '!']) && line.contains(',');
    str::from_utf8(bytes).is_ok_and(|text| {
        text.is_ascii() && text.lines().all(|line| line.is_empty() || sentence(line) || !line.contains(['$', '!']))
    })
}

#[test]
fn a_plain_count_of_clean_logs_agrees() {
    let Some(logs) = logs() else { return };
    let mut unclean = Vec::new();
    for (file, expected) in LOGS {
        let bytes = std::fs::read(logs.join(file)).unwrap();
        if !is_clean(&bytes) {
            unclean.push(*file);
            continue;
        }
        let (used, other, unsound) = plain_count(str::from_utf8(&bytes).unwrap());
        let (_, events) = read(&bytes, 5, 100);
        let count = |wanted: fn(&NmeaEvent) -> bool| events.iter().filter(|event| wanted(event)).count() as u64;
        let unreadable = count(|event| matches!(event, NmeaEvent::Bad(Defect::Unreadable | Defect::OffEarth)));
        let overlong = count(|event| matches!(event, NmeaEvent::Bad(Defect::Overlong)));
        assert_eq!(expected.good + unreadable, used, "{file}: used kinds with a right checksum");
        assert_eq!(expected.ignored + overlong, other, "{file}: other kinds with a right checksum");
        assert_eq!(expected.bad, unsound + unreadable + overlong, "{file}: wrong or missing checksum");
    }
    assert_eq!(unclean, UNCLEAN);
}
