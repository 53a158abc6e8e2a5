//! The date of the clock.

use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use chrono::DateTime;
use waywarden_components::prelude::*;

/// A change of the date by less is not worth a line in the log, in nanoseconds.
const JUMP_NS: u64 = 1_000_000_000;

/// Sets the clock's date. That of the satellites is believed before all others.
pub(super) fn set(world: &mut World, utc: UtcOffset) {
    let mut clock = world.resource_mut::<Clock>();
    let before = clock.utc;
    if before == Some(utc) || before.is_some_and(|before| rank(before.source) > rank(utc.source)) {
        return;
    }
    clock.utc = Some(utc);
    let Some(text) = news(before, utc, clock.utc_nanos()) else { return };
    if let Some(mut notices) = world.get_resource_mut::<Messages<Notice>>() {
        notices.write(Notice { level: NoticeLevel::Warning, source: "clock".to_owned(), text });
    }
}

/// What is nearer to the truth is greater.
fn rank(source: UtcSource) -> u8 {
    match source {
        UtcSource::Rtc => 0,
        UtcSource::Ntp => 1,
        UtcSource::Gps => 2,
    }
}

/// What is to be said of a change: only of jumps, and when a date is there that was not.
fn news(before: Option<UtcOffset>, now: UtcOffset, utc_nanos: Option<i64>) -> Option<String> {
    let date = DateTime::from_timestamp(utc_nanos?.div_euclid(1_000_000_000), 0)?.naive_utc();
    let source = name(now.source);
    let Some(before) = before else {
        return (now.source == UtcSource::Gps).then(|| format!("the date is {date} UTC, by {source}"));
    };
    let by = now.offset_ns.abs_diff(before.offset_ns);
    let direction = if now.offset_ns > before.offset_ns { "forward" } else { "back" };
    (by >= JUMP_NS).then(|| {
        let (by, before) = (by as f64 / 1e9, name(before.source));
        format!("the date goes {direction} by {by:.1} s, to {date} UTC: by {source}, no longer by {before}")
    })
}

fn name(source: UtcSource) -> &'static str {
    match source {
        UtcSource::Rtc => "the computer's clock",
        UtcSource::Ntp => "a time server",
        UtcSource::Gps => "satellites",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let mut world = World::new();
        world.init_resource::<Messages<Notice>>();
        world.insert_resource(Clock { now: Mono(5_000_000_000), ..Clock::default() });
        world
    }

    fn at(offset_ns: i64, source: UtcSource) -> UtcOffset {
        UtcOffset { offset_ns, source, uncertainty_ns: 0 }
    }

    fn notices(world: &mut World) -> Vec<String> {
        world.resource_mut::<Messages<Notice>>().drain().map(|notice| notice.text).collect()
    }

    const NOON: i64 = 1_795_435_200_000_000_000;

    #[test]
    fn satellites_win_and_jumps_are_told() {
        let mut world = world();
        set(&mut world, at(NOON - 3_600_000_000_000, UtcSource::Rtc));
        assert!(notices(&mut world).is_empty());
        set(&mut world, at(NOON, UtcSource::Gps));
        assert_eq!(
            notices(&mut world),
            [
                "the date goes forward by 3600.0 s, to 2026-11-23 12:00:05 UTC: by satellites, no longer by the computer's clock"
            ]
        );
        set(&mut world, at(NOON - 20_000_000_000, UtcSource::Ntp));
        set(&mut world, at(NOON + 60_000_000, UtcSource::Gps));
        assert!(notices(&mut world).is_empty());
        assert_eq!(world.resource::<Clock>().utc, Some(at(NOON + 60_000_000, UtcSource::Gps)));
        assert_eq!(world.resource::<Clock>().utc_nanos(), Some(NOON + 5_060_000_000));
    }

    #[test]
    fn a_board_that_woke_up_in_1970_is_told_the_date() {
        let mut world = world();
        set(&mut world, at(NOON, UtcSource::Gps));
        assert_eq!(notices(&mut world), ["the date is 2026-11-23 12:00:05 UTC, by satellites"]);
    }

    #[test]
    fn absurd_dates_are_taken_as_they_are() {
        let mut world = world();
        for offset in [i64::MAX, i64::MIN, 0] {
            set(&mut world, at(offset, UtcSource::Rtc));
            assert_eq!(world.resource::<Clock>().utc, Some(at(offset, UtcSource::Rtc)));
        }
    }
}
