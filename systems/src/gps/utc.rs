//! The date, as the satellites tell it.

use std::time::Duration;

use bevy_ecs::prelude::*;
use chrono::{NaiveDate, NaiveTime};
use waywarden_components::prelude::*;

/// Fixes of a receiver that are remembered.
const REMEMBERED: usize = 8;

/// For so long: longer than the pause between fixes of any receiver, shorter than the computer's clock drifts.
const MEMORY: Duration = Duration::from_secs(60);

/// So many of them have to agree, so that one wrong date does not set the clock.
const AGREEING: usize = 3;

/// Sentences come when they come: what differs by less agrees, in nanoseconds.
const AGREEMENT_NS: i64 = 1_000_000_000;

/// A sentence says when its fix was, not when it was sent: after 50 to 500 ms of computing, and up to 860 ms on the wire.
/// The quickest of some fixes is that much late at the most, in nanoseconds.
const LATE_NS: u64 = 500_000_000;

/// The clock is not set for less, in nanoseconds: it would wander with the load of the wire.
const STEP_NS: u64 = 50_000_000;

/// Tells the date by the usable fixes of this tick.
///
/// A sentence can come late, never early, so that of the last few fixes that agree the quickest is nearest to the truth.
/// Of several receivers the first that has some is followed.
pub fn tell_time(fixes: Query<(&StableId, &Stamp, &GpsFix)>, clock: Res<Clock>, mut told: ResMut<GpsUtc>) {
    if fixes.is_empty() {
        return;
    }
    let mut fixes: Vec<_> = fixes.iter().collect();
    fixes.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, fix) in fixes {
        let Some(offset) = offset_of(fix, stamp.captured) else { continue };
        let heard = told.heard.entry(id.stream).or_default();
        heard.retain(|(at, _)| clock.now.since(*at) < MEMORY);
        if heard.len() >= REMEMBERED {
            heard.remove(0);
        }
        heard.push((stamp.captured, offset));
    }
    let Some(found) = told.heard.values().find_map(|heard| quickest(heard)) else { return };
    let moved = told.utc.is_none_or(|utc| utc.offset_ns.abs_diff(found.offset_ns) >= STEP_NS);
    if moved {
        told.utc = Some(found);
    }
}

/// What to add to times for UTC, in nanoseconds, if this fix may be asked.
fn offset_of(fix: &GpsFix, captured: Mono) -> Option<i64> {
    use FixQuality::*;
    let from_satellites = matches!(fix.quality, Gps | Dgps | Pps | Rtk | FloatRtk);
    if fix.validity != FixValidity::Valid || !from_satellites {
        return None;
    }
    let (year, month, day) = fix.date?;
    let midnight = NaiveDate::from_ymd_opt(year, month, day)?.and_time(NaiveTime::MIN).and_utc();
    let utc = midnight.timestamp_nanos_opt()?.checked_add(i64::from(fix.time_of_day_ms) * 1_000_000)?;
    utc.checked_sub(i64::try_from(captured.0).ok()?)
}

/// The date by the quickest fix with which enough others agree.
fn quickest(heard: &[(Mono, i64)]) -> Option<UtcOffset> {
    let mut offsets: Vec<i64> = heard.iter().map(|(_, offset)| *offset).collect();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    offsets.windows(AGREEING).find_map(|agreeing| {
        let (first, last) = (*agreeing.first()?, *agreeing.last()?);
        let spread = first.abs_diff(last);
        (spread <= AGREEMENT_NS.unsigned_abs()).then_some(UtcOffset {
            offset_ns: first,
            source: UtcSource::Gps,
            uncertainty_ns: LATE_NS + spread,
        })
    })
}

#[cfg(test)]
mod tests {
    use bevy_ecs::system::RunSystemOnce;

    use super::*;

    /// 2026-11-23 12:00 UTC.
    const NOON: i64 = 1_795_435_200_000_000_000;

    fn fix(second: u32) -> GpsFix {
        GpsFix {
            quality: FixQuality::Gps,
            time_of_day_ms: 43_200_000 + second * 1000,
            date: Some((2026, 11, 23)),
            ..GpsFix::default()
        }
    }

    fn world() -> World {
        let mut world = World::new();
        world.init_resource::<Clock>();
        world.init_resource::<GpsUtc>();
        world
    }

    /// A tick with one fix that came `at_ms` after the computer was started.
    fn tick(world: &mut World, stream: u16, at_ms: u64, fix: GpsFix) -> Option<UtcOffset> {
        let captured = Mono(at_ms * 1_000_000);
        world.resource_mut::<Clock>().now = captured;
        let id = StableId::new(StreamId(stream), at_ms);
        let entity = world.spawn((id, Stamp { captured, seq: at_ms }, fix)).id();
        world.run_system_once(tell_time).unwrap();
        world.despawn(entity);
        world.resource::<GpsUtc>().utc
    }

    #[test]
    fn some_fixes_that_agree_tell_the_date_by_the_quickest() {
        let mut world = world();
        assert_eq!(tick(&mut world, 3, 5_300, fix(0)), None);
        assert_eq!(tick(&mut world, 3, 6_120, fix(1)), None);
        let utc = tick(&mut world, 3, 7_200, fix(2)).unwrap();
        assert_eq!(utc.source, UtcSource::Gps);
        assert_eq!(utc.offset_ns, NOON - 5_120_000_000);
        assert_eq!(utc.uncertainty_ns, LATE_NS + 180_000_000);
        // A burst that was held up is late, and changes nothing; nor does a little.
        for n in 3..6 {
            assert_eq!(tick(&mut world, 3, 12_000, fix(n)), Some(utc));
        }
        assert_eq!(tick(&mut world, 3, 13_080, fix(8)), Some(utc));
        assert_ne!(tick(&mut world, 3, 14_060, fix(9)), Some(utc));
    }

    #[test]
    fn one_wrong_date_sets_no_clock_and_three_do() {
        let mut world = world();
        let right = (0..5).map(|n| tick(&mut world, 3, 5_000 + u64::from(n) * 1000, fix(n))).last().unwrap();
        let wrong = |n| GpsFix { date: Some((2030, 1, 1)), ..fix(n) };
        assert_eq!(tick(&mut world, 3, 10_000, wrong(5)), right);
        assert_eq!(tick(&mut world, 3, 11_000, fix(6)), right);
        assert_eq!(tick(&mut world, 3, 12_000, wrong(7)), right);
        assert_ne!(tick(&mut world, 3, 13_000, wrong(8)), right);
    }

    #[test]
    fn only_satellites_are_asked() {
        let mut world = world();
        let useless = [
            GpsFix { quality: FixQuality::Simulation, ..fix(0) },
            GpsFix { quality: FixQuality::Estimated, ..fix(0) },
            GpsFix { validity: FixValidity::Jumped, ..fix(0) },
            GpsFix { date: None, ..fix(0) },
            GpsFix { date: Some((2026, 2, 30)), ..fix(0) },
            GpsFix { date: Some((i32::MAX, 1, 1)), ..fix(0) },
        ];
        for fix in useless {
            (0..4).for_each(|_| assert_eq!(tick(&mut world, 3, 5_000, fix.clone()), None));
        }
        assert!(world.resource::<GpsUtc>().heard.is_empty());
    }

    #[test]
    fn the_first_of_several_receivers_is_followed() {
        let mut world = world();
        for n in 0..4 {
            tick(&mut world, 4, 5_500 + u64::from(n) * 1000, fix(n));
            tick(&mut world, 3, 5_800 + u64::from(n) * 1000, fix(n));
        }
        assert_eq!(world.resource::<GpsUtc>().utc.unwrap().offset_ns, NOON - 5_800_000_000);
        tick(&mut world, 4, 9_100, fix(4));
        assert_eq!(world.resource::<GpsUtc>().utc.unwrap().offset_ns, NOON - 5_800_000_000);
        tick(&mut world, 3, 9_700, fix(4));
        assert_eq!(world.resource::<GpsUtc>().utc.unwrap().offset_ns, NOON - 5_700_000_000);
    }
}
