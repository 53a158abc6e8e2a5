//! From sentences to fixes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waywarden_components::position::{FixQuality, GpsFix};
use waywarden_components::time::Mono;

use super::sentence::{Gga, Gll, Rmc, Sentence};

/// So many moments in a row without an RMC or GGA, and it is waited for no longer.
const PATIENCE: u8 = 5;

/// All that was said of one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Epoch {
    /// The moment: UTC in milliseconds since midnight.
    time_of_day_ms: u32,
    /// When its first sentence arrived.
    opened: Mono,
    /// When the last sentence that counted arrived.
    heard: Mono,
    rmc: Option<Rmc>,
    gga: Option<Gga>,
    gll: Option<Gll>,
    /// Whether its fix has been made or refused; what still comes only tells which kinds the receiver sends.
    done: bool,
}

/// Puts together what belongs together: sentences that speak of **equal** times of day, and nothing else. Plain data.
///
/// A fix is made as soon as RMC and GGA of one moment are both there. A kind that was absent in five moments in a row is
/// not waited for, so a receiver that sends only RMC, only GGA or only GLL is served without delay after five fixes. An
/// incomplete moment is closed by the next one, or by [`FixMerger::close_after`].
///
/// No fix is made when an RMC says `V` or a GGA says quality 0, whatever the other says; GLL is heard only when neither
/// is there. Nothing is carried from one moment to the next: what this moment does not say is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FixMerger {
    open: Option<Epoch>,
    /// Moments in a row without an RMC.
    rmc_absent: u8,
    /// Moments in a row without a GGA.
    gga_absent: u8,
}

/// A fix and when the sentence that completed it arrived.
pub type Timed = (GpsFix, Mono);

impl FixMerger {
    /// Takes a sentence that arrived at `arrived`; calls `each` with the fixes that it completes: of the moment before, of
    /// its own, or both. A sentence without a time belongs to no moment.
    pub fn push(&mut self, sentence: Sentence, arrived: Mono, mut each: impl FnMut(Timed)) {
        let Some(time_of_day_ms) = sentence.time_of_day_ms() else {
            return;
        };
        if self.open.as_ref().is_some_and(|epoch| epoch.time_of_day_ms != time_of_day_ms) {
            self.close(&mut each);
        }
        let epoch = self.open.get_or_insert(Epoch {
            time_of_day_ms,
            opened: arrived,
            heard: arrived,
            rmc: None,
            gga: None,
            gll: None,
            done: false,
        });
        match sentence {
            Sentence::Rmc(rmc) => epoch.rmc = Some(rmc),
            Sentence::Gga(gga) => epoch.gga = Some(gga),
            Sentence::Gll(gll) => epoch.gll = Some(gll),
        }
        if epoch.done {
            return;
        }
        epoch.heard = arrived;
        let rmc = epoch.rmc.is_some() || self.rmc_absent >= PATIENCE;
        let gga = epoch.gga.is_some() || self.gga_absent >= PATIENCE;
        if rmc && gga {
            epoch.complete(&mut each);
        }
    }

    /// Closes a moment whose first sentence arrived `max_wait` before `now` or earlier.
    pub fn close_after(&mut self, max_wait: Duration, now: Mono, mut each: impl FnMut(Timed)) {
        if let Some(epoch) = self.open.as_mut().filter(|epoch| !epoch.done && now.since(epoch.opened) >= max_wait) {
            epoch.complete(&mut each);
        }
    }

    fn close(&mut self, each: &mut impl FnMut(Timed)) {
        let Some(mut epoch) = self.open.take() else {
            return;
        };
        if !epoch.done {
            epoch.complete(each);
        }
        self.rmc_absent = if epoch.rmc.is_some() { 0 } else { self.rmc_absent.saturating_add(1) };
        self.gga_absent = if epoch.gga.is_some() { 0 } else { self.gga_absent.saturating_add(1) };
    }
}

impl Epoch {
    fn complete(&mut self, each: &mut impl FnMut(Timed)) {
        self.done = true;
        if let Some(fix) = self.fix() {
            each((fix, self.heard));
        }
    }

    fn fix(&self) -> Option<GpsFix> {
        let (rmc, gga) = (self.rmc.as_ref(), self.gga.as_ref());
        let gll = self.gll.as_ref().filter(|_| rmc.is_none() && gga.is_none());
        let qualities = [gga.and_then(|gga| gga.quality), rmc.map(|rmc| rmc.quality), gll.map(|gll| gll.quality)];
        if qualities.contains(&Some(FixQuality::Invalid)) {
            return None;
        }
        let quality = qualities.into_iter().flatten().next()?;
        let position = gga
            .and_then(|gga| gga.position)
            .or(rmc.and_then(|rmc| rmc.position))
            .or(gll.and_then(|gll| gll.position))?;
        Some(GpsFix {
            latitude_deg: position.latitude_deg,
            longitude_deg: position.longitude_deg,
            altitude_m: gga.and_then(|gga| gga.altitude_m),
            speed_mps: rmc.and_then(|rmc| rmc.speed_mps),
            course_deg: rmc.and_then(|rmc| rmc.course_deg),
            quality,
            satellites: gga.and_then(|gga| gga.satellites),
            hdop: gga.and_then(|gga| gga.hdop),
            time_of_day_ms: self.time_of_day_ms,
            date: rmc.and_then(|rmc| rmc.date),
            rollovers: rmc.map_or(0, |rmc| rmc.rollovers),
            ..GpsFix::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(900);

    fn rmc(second: u32, status: char) -> Sentence {
        let body = format!("GPRMC,1200{second:02}.00,{status},4807.038,N,01131.000,E,10.0,84.4,191125,,");
        Sentence::read(&body).unwrap().unwrap()
    }

    fn gga(second: u32, quality: &str) -> Sentence {
        let body = format!("GPGGA,1200{second:02}.00,4807.038,N,01131.000,E,{quality},08,0.9,545.4,M,46.9,M,,");
        Sentence::read(&body).unwrap().unwrap()
    }

    fn gll(second: u32, status: char) -> Sentence {
        Sentence::read(&format!("GPGLL,4807.038,N,01131.000,E,1200{second:02}.00,{status}")).unwrap().unwrap()
    }

    /// Sentences a millisecond apart; the fixes with the milliseconds at which they were completed.
    fn run(merger: &mut FixMerger, sentences: impl IntoIterator<Item = Sentence>) -> Vec<(GpsFix, u64)> {
        let mut fixes = Vec::new();
        for (i, sentence) in sentences.into_iter().enumerate() {
            let arrived = Mono::from_nanos((i as u64 + 1) * 1_000_000);
            merger.push(sentence, arrived, |(fix, at)| fixes.push((fix, at.as_nanos() / 1_000_000)));
        }
        fixes
    }

    #[test]
    fn equal_times_make_one_fix_at_once() {
        for sentences in [[rmc(1, 'A'), gga(1, "2")], [gga(1, "2"), rmc(1, 'A')]] {
            let fixes = run(&mut FixMerger::default(), sentences);
            let [(fix, 2)] = &fixes[..] else { panic!("{fixes:?}") };
            assert!((fix.latitude_deg - 48.117_3).abs() < 1e-9);
            assert!((fix.speed_mps.unwrap() - 5.144_444_444).abs() < 1e-9);
            assert!((fix.altitude_m.unwrap() - 545.4).abs() < 1e-4);
            assert_eq!(fix.quality, FixQuality::Dgps);
            assert_eq!(fix.satellites, Some(8));
            assert_eq!(fix.date, Some((2025, 11, 19)));
            assert_eq!(fix.time_of_day_ms, 43_201_000);
        }
    }

    #[test]
    fn different_times_are_never_mixed() {
        let fixes = run(&mut FixMerger::default(), [gga(1, "1"), rmc(2, 'A'), gga(3, "1"), rmc(4, 'A')]);
        assert_eq!(fixes.len(), 3, "the last one is still open");
        assert_eq!((fixes[0].0.altitude_m.is_some(), fixes[0].0.speed_mps), (true, None));
        assert_eq!((fixes[1].0.altitude_m, fixes[1].0.speed_mps.is_some()), (None, true));
        assert_eq!(fixes[1].1, 2, "stamped with the arrival of what completed it, not of what closed it");
    }

    #[test]
    fn no_fix_is_no_fix_and_leaves_nothing_behind() {
        assert!(run(&mut FixMerger::default(), [rmc(1, 'V'), gga(1, "1"), rmc(2, 'V')]).is_empty());
        assert!(run(&mut FixMerger::default(), [rmc(1, 'A'), gga(1, "0"), rmc(2, 'V')]).is_empty());
        let mut merger = FixMerger::default();
        let fixes = run(&mut merger, [rmc(1, 'A'), gga(1, "1"), rmc(2, 'V'), gga(2, "0"), rmc(3, 'A'), gga(4, "1")]);
        assert_eq!(fixes.len(), 2);
        assert_eq!(fixes[1].0.altitude_m, None, "not the altitude of second 1");
        assert_eq!(fixes[1].0.satellites, None);
        merger.close_after(WAIT, Mono::from_nanos(u64::MAX), |(fix, _)| {
            assert_eq!((fix.speed_mps, fix.course_deg, fix.date), (None, None, None), "not the speed of second 3");
        });
    }

    #[test]
    fn null_island_needs_somebody_who_says_it_is_a_fix() {
        let zero = |quality| {
            let body = format!("GPGGA,120001.00,0000.0000,N,00000.0000,E,{quality},00,,,M,,M,,");
            Sentence::read(&body).unwrap().unwrap()
        };
        let fixes = |quality| run(&mut FixMerger::default(), [zero(quality), rmc(2, 'V'), rmc(3, 'V')]).len();
        assert_eq!(fixes("0"), 0);
        assert_eq!(fixes(""), 0);
        assert_eq!(fixes("1"), 1);
    }

    #[test]
    fn a_gga_without_quality_follows_its_rmc() {
        let fixes = run(&mut FixMerger::default(), [gga(1, ""), rmc(1, 'A')]);
        assert!(fixes[0].0.altitude_m.is_some());
        assert_eq!(fixes[0].0.quality, FixQuality::Gps);
        assert!(run(&mut FixMerger::default(), [gga(1, ""), rmc(1, 'V'), rmc(2, 'V')]).is_empty());
    }

    #[test]
    fn one_kind_alone_works_and_soon_without_delay() {
        for kind in [|s| rmc(s, 'A'), |s| gga(s, "1"), |s| gll(s, 'A')] {
            let fixes = run(&mut FixMerger::default(), (0..20).map(kind));
            assert_eq!(fixes.len(), 20, "from the sixth on at once: none is left open");
            assert!(fixes.iter().enumerate().all(|(i, (_, at))| *at == i as u64 + 1));
        }
        assert!(run(&mut FixMerger::default(), (0..20).map(|s| gll(s, 'V'))).is_empty());
    }

    #[test]
    fn a_gga_every_fifth_second_is_still_waited_for() {
        let sentences = (0..40).flat_map(|s| [Some(rmc(s, 'A')), (s % 5 == 0).then(|| gga(s, "1"))]).flatten();
        let fixes = run(&mut FixMerger::default(), sentences);
        assert_eq!(fixes.iter().filter(|(fix, _)| fix.altitude_m.is_some()).count(), 8);
    }

    #[test]
    fn waiting_ends() {
        let mut merger = FixMerger::default();
        let mut fixes = Vec::new();
        merger.push(rmc(1, 'A'), Mono::from_nanos(1_000_000_000), |fix| fixes.push(fix));
        merger.close_after(WAIT, Mono::from_nanos(1_899_000_000), |fix| fixes.push(fix));
        assert!(fixes.is_empty());
        merger.close_after(WAIT, Mono::from_nanos(1_900_000_000), |fix| fixes.push(fix));
        merger.close_after(WAIT, Mono::from_nanos(9_000_000_000), |fix| fixes.push(fix));
        merger.push(gga(1, "1"), Mono::from_nanos(9_000_000_000), |fix| fixes.push(fix));
        assert_eq!(fixes.len(), 1, "a straggler makes no second fix");
        assert_eq!(fixes[0].1, Mono::from_nanos(1_000_000_000));
    }
}
