//! The gate: frames that show nothing new go no further.

use std::time::Duration;

use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};
use waywarden_components::device::{Link, LinkState};
use waywarden_components::frame::{Gate, GateScore, Luma};
use waywarden_components::motion::Parked;
use waywarden_components::time::Mono;

/// When a frame is worth looking at.
#[derive(Resource, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateSettings {
    /// Whether frames are looked at. Those that are not are recorded, and found in by nobody.
    pub enabled: bool,
    /// Least mean absolute luma difference to the last accepted frame, 0 to 255; 0 lets everything through.
    pub threshold: f32,
    /// Age of the last accepted frame at which the next one is accepted whatever it shows.
    pub force_after: Duration,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self { enabled: true, threshold: 2.0, force_after: Duration::from_secs(2) }
    }
}

/// That age while the vehicle is parked, at least: nothing moves, or it would not be, and each look of a model costs more than
/// everything else then.
const PARKED_FORCE: Duration = Duration::from_secs(10);

impl GateSettings {
    /// Those of a vehicle that is parked, where it is.
    pub fn of(self, parked: Option<&Parked>) -> Self {
        let is_parked = parked.is_some_and(|parked| parked.parked);
        let least = if is_parked { PARKED_FORCE } else { Duration::ZERO };
        Self { force_after: self.force_after.max(least), ..self }
    }
}

/// Frames in a row of another size after which it is taken for the camera's: somebody has set it so.
const SETTLED: u32 = 5;

/// Whether a frame has its camera's size: that of the first frame since it was opened, until a number of frames in a row
/// have another. Counts those that have not.
pub fn has_its_size(gate: &mut Gate, size: (u32, u32), link: &Link) -> bool {
    if link.state == LinkState::Connected && link.since != gate.opened {
        gate.opened = link.since;
        gate.size = (0, 0);
    }
    let (other, in_a_row) = gate.other_size;
    if size != gate.size && gate.size != (0, 0) {
        gate.other_size = (size, if size == other { in_a_row.saturating_add(1) } else { 1 });
        if gate.other_size.1 < SETTLED {
            gate.wrong_size += 1;
            return false;
        }
    }
    gate.other_size = ((0, 0), 0);
    gate.size = size;
    true
}

/// Judges the thumbnail of a frame captured at `captured`, and remembers it if it is accepted.
///
/// The difference is taken to the last *accepted* frame, so that slow changes add up until they are seen. The first
/// frame of a camera differs by 255.
pub fn judge(gate: &mut Gate, thumb: &Luma, captured: Mono, settings: &GateSettings) -> GateScore {
    let difference = gate.reference.as_ref().and_then(|reference| mean_difference(reference, thumb)).unwrap_or(255.0);
    let different = gate.reference.is_none() || difference >= settings.threshold;
    let stale = gate.accepted_at.is_none_or(|at| captured.since(at) >= settings.force_after);
    let (accepted, forced) = (different || stale, stale && !different);

    gate.judged += 1;
    gate.judged_at = Some(captured);
    gate.accepted += u64::from(accepted);
    gate.forced += u64::from(forced);
    if accepted {
        gate.accepted_at = Some(captured);
        match &mut gate.reference {
            Some(reference) => reference.0.clone_from(&thumb.0),
            none => *none = Some(thumb.clone()),
        }
    }
    GateScore::Judged { difference, accepted, forced }
}

/// Mean absolute difference of two pictures of equal size. The sum is a whole number, so nothing depends on its order.
fn mean_difference(a: &Luma, b: &Luma) -> Option<f32> {
    if a.0.len() != b.0.len() || a.0.is_empty() {
        return None;
    }
    let sum: u64 = a.0.iter().zip(&b.0).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    Some((sum as f64 / a.0.len() as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: GateSettings = GateSettings { enabled: true, threshold: 3.0, force_after: Duration::from_secs(5) };

    fn flat(value: u8) -> Luma {
        Luma(vec![value; 4096])
    }

    fn at(gate: &mut Gate, seconds: f64, value: u8) -> (f32, bool, bool) {
        match judge(gate, &flat(value), Mono::from_secs_f64(seconds), &SETTINGS) {
            GateScore::Judged { difference, accepted, forced } => (difference, accepted, forced),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_frame_is_accepted() {
        let mut gate = Gate::default();
        assert_eq!(at(&mut gate, 1.0, 9), (255.0, true, false));
        assert_eq!((gate.judged, gate.accepted, gate.forced), (1, 1, 0));
        assert_eq!((gate.reference, gate.accepted_at), (Some(flat(9)), Some(Mono::from_secs_f64(1.0))));
    }

    #[test]
    fn slow_changes_add_up_against_the_last_accepted_frame() {
        let mut gate = Gate::default();
        at(&mut gate, 0.0, 10);
        assert_eq!(at(&mut gate, 0.1, 11), (1.0, false, false));
        assert_eq!(at(&mut gate, 0.2, 12), (2.0, false, false));
        assert_eq!(at(&mut gate, 0.3, 13), (3.0, true, false));
        assert_eq!(at(&mut gate, 0.4, 13), (0.0, false, false));
        assert_eq!((gate.judged, gate.accepted, gate.forced), (5, 2, 0));
    }

    #[test]
    fn a_frame_is_forced_when_the_last_accepted_one_is_old() {
        let mut gate = Gate::default();
        at(&mut gate, 1.0, 50);
        assert_eq!(at(&mut gate, 5.9, 50), (0.0, false, false));
        assert_eq!(at(&mut gate, 6.0, 50), (0.0, true, true));
        assert_eq!(at(&mut gate, 6.1, 50), (0.0, false, false), "the clock starts anew");
        assert_eq!(at(&mut gate, 20.0, 60), (10.0, true, false), "a different frame is not called forced");
        assert_eq!((gate.accepted, gate.forced), (3, 1));
    }

    /// The sizes of which a camera's frames are used.
    fn used(gate: &mut Gate, link: &Link, sizes: &[u32]) -> Vec<u32> {
        sizes.iter().copied().filter(|&size| has_its_size(gate, (size, size), link)).collect()
    }

    #[test]
    fn frames_of_another_size_are_not_used_until_they_are_the_rule() {
        let (mut gate, link) = (Gate::default(), Link::default());
        assert_eq!(used(&mut gate, &link, &[640, 640, 8, 640, 9, 9, 9, 9, 640]), [640, 640, 640, 640]);
        assert_eq!((gate.wrong_size, gate.size), (5, (640, 640)));
        // Never two sizes by turns.
        assert_eq!(used(&mut gate, &link, &[320, 8, 320, 8, 320, 8, 320, 8]), [0; 0]);
        assert_eq!(used(&mut gate, &link, &[320, 320, 320, 320, 320, 320, 640]), [320, 320]);
        assert_eq!((gate.wrong_size, gate.size), (5 + 8 + 4 + 1, (320, 320)));
    }

    #[test]
    fn a_camera_that_was_opened_anew_may_have_another_size() {
        let (mut gate, mut link) = (Gate::default(), Link::default());
        assert_eq!(used(&mut gate, &link, &[640]), [640]);
        link = Link { state: LinkState::Lost("unplugged".to_owned()), since: Mono(5) };
        assert_eq!(used(&mut gate, &link, &[320]), [0; 0]);
        link = Link { state: LinkState::Connected, since: Mono(9) };
        assert_eq!(used(&mut gate, &link, &[320, 640]), [320]);
    }

    #[test]
    fn odd_input_is_judged_without_panic() {
        let mut gate = Gate { reference: Some(Luma(vec![])), ..Gate::default() };
        assert_eq!(at(&mut gate, 1.0, 1), (255.0, true, false), "a reference of another size is no reference");
        assert_eq!(at(&mut gate, 0.0, 1), (0.0, false, false), "time that goes back is no age");
        let nan = GateSettings { threshold: f32::NAN, ..SETTINGS };
        assert!(!judge(&mut gate, &flat(200), Mono::from_secs_f64(1.0), &nan).accepted());
    }
}
