//! How often a model is asked to look, and at what: accepted frames of front cameras.

use std::collections::BTreeMap;
use std::time::Duration;

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

/// Frames and what the gate said of them.
pub(crate) type JudgedFrames<'w, 's> =
    Query<'w, 's, (&'static StableId, &'static Stamp, &'static GateScore), With<Frame>>;

/// Cameras, for their roles.
pub(crate) type Cameras<'w, 's> = Query<'w, 's, (&'static StableId, &'static Camera)>;

/// The accepted front frames that are due at `hertz`, in order of their ids. Keeps in `asked` what has been considered,
/// so that a frame that stays in the world is asked for once.
pub(crate) fn due_front_frames(
    frames: &JudgedFrames,
    cameras: &Cameras,
    asked: &mut BTreeMap<StreamId, Asked>,
    hertz: f32,
) -> Vec<StableId> {
    let front =
        |id: &StableId| cameras.iter().any(|(camera, c)| camera.stream == id.stream && c.role == CameraRole::Front);
    let mut accepted: Vec<_> = frames.iter().filter(|(id, _, score)| score.accepted() && front(id)).collect();
    accepted.sort_unstable_by_key(|(id, ..)| **id);
    let gap = Duration::try_from_secs_f32(1.0 / hertz.max(0.001)).unwrap_or(Duration::MAX);
    accepted
        .into_iter()
        .filter(|(id, stamp, _)| due(asked.entry(id.stream).or_default(), id.seq, stamp.captured, gap))
        .map(|(id, ..)| *id)
        .collect()
}

/// Whether frame `seq` of a camera is due, given the time from one to the next: on the average, so that where a frame came late, or
/// not at all, the next one is not late, too.
pub(crate) fn due(asked: &mut Asked, seq: u64, captured: Mono, gap: Duration) -> bool {
    if seq <= asked.considered {
        return false;
    }
    asked.considered = seq;
    let Some(last) = asked.asked else {
        asked.asked = Some(captured);
        return true;
    };
    // A frame that comes a little early is as good as one that comes a whole frame late.
    let due = captured.since(last) >= gap.mul_f32(0.9);
    if due {
        let in_time = captured.since(last) < gap.saturating_mul(2);
        asked.asked = Some(if in_time { last + gap } else { captured });
    }
    due
}

/// Whether a frame is the first of its slot of 1/`hertz` seconds, `before` being the time of the frame before it.
///
/// Unlike [`due`] it needs to know nothing but the two frames, so that it can be told of frames to come.
pub(crate) fn opens_slot(before: Option<Mono>, captured: Mono, hertz: f32) -> bool {
    let gap = Duration::try_from_secs_f32(1.0 / hertz.max(0.001)).unwrap_or(Duration::MAX).as_nanos().max(1);
    let slot = |time: Mono| u128::from(time.as_nanos()) / gap;
    before.is_none_or(|before| slot(before) != slot(captured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_rate_whatever_that_of_the_frames() {
        let count = |frame_ms: u64| {
            let times: Vec<Mono> = (0..10_000 / frame_ms).map(|n| Mono(n * frame_ms * 1_000_000)).collect();
            let before = [None].into_iter().chain(times.iter().copied().map(Some));
            times.iter().zip(before).filter(|(time, before)| opens_slot(*before, **time, 10.0)).count()
        };
        assert_eq!([count(40), count(33), count(10), count(200)], [100, 100, 100, 50]);
    }

    #[test]
    fn late_frames_do_not_make_it_fewer() {
        let count = |frame_ms: f64, is_there: fn(u64) -> bool| {
            let mut asked = Asked::default();
            let frames = (0..(10_000.0 / frame_ms) as u64).filter(|seq| is_there(*seq));
            let due = |seq: &u64| {
                due(&mut asked, seq + 1, Mono((*seq as f64 * frame_ms * 1e6) as u64), Duration::from_millis(100))
            };
            frames.filter(due).count()
        };
        let counts = [count(40.0, |_| true), count(100.0 / 3.0, |_| true), count(100.0 / 3.0, |seq| seq % 4 != 3)];
        assert!(counts.iter().all(|count| (99..=101).contains(count)), "{counts:?}");
        assert_eq!(count(200.0, |_| true), 50);
    }

    #[test]
    fn frames_are_asked_for_once_and_not_too_often() {
        let (mut asked, gap) = (Asked::default(), Duration::from_millis(100));
        let frames = [
            (1, 0, true),
            (1, 0, false),
            (2, 50, false),
            (3, 95, true),
            (4, 185, false),
            (5, 195, true),
            (6, 450, true),
            (7, 500, false),
            (8, 545, true),
        ];
        for (seq, ms, expected) in frames {
            assert_eq!(due(&mut asked, seq, Mono(ms * 1_000_000), gap), expected, "frame {seq} at {ms} ms");
        }
    }
}
