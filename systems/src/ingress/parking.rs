//! What those outside of the world are told of a parked vehicle: the loop ticks seldom, cameras hand on little.
//!
//! Whether it is parked is decided in the world, from what came in. What a camera does not hand on never came in, so a replay
//! needs to know nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bevy_ecs::resource::Resource;
use waywarden_components::time::Mono;

/// Time from tick to tick while parked. Inputs do not wake the loop earlier.
pub const PARKED_PERIOD: Duration = Duration::from_millis(100);

/// A camera of a parked vehicle hands on a picture that is so much younger than the one before: one a second, and cameras
/// are never quite in time.
const APART: Duration = Duration::from_millis(980);

/// Whether the vehicle is parked. Cheap to clone. Written by `parked::tell`, not there in a replay.
#[derive(Resource, Clone, Debug, Default)]
pub struct Parking(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    parked: AtomicBool,
    not_wanted: AtomicU64,
}

impl Parking {
    /// Whether it is parked now.
    pub fn is_parked(&self) -> bool {
        self.0.parked.load(Ordering::Relaxed)
    }

    /// Says whether it is.
    pub fn set(&self, parked: bool) {
        self.0.parked.store(parked, Ordering::Relaxed);
    }

    /// Pictures that cameras did not hand on because nobody wanted them.
    pub fn not_wanted(&self) -> u64 {
        self.0.not_wanted.load(Ordering::Relaxed)
    }
}

/// What one camera hands on while the vehicle is parked.
#[derive(Clone, Debug)]
pub(super) struct Sparing {
    parking: Parking,
    /// When the last picture that was handed on was taken, in nanoseconds.
    last: Arc<AtomicU64>,
}

impl Sparing {
    pub fn new(parking: Parking) -> Self {
        Self { parking, last: Arc::default() }
    }

    /// Whether a picture that was taken at `captured` is to be handed on. If not, it is counted.
    pub fn wants(&self, captured: Mono) -> bool {
        let last = Mono(self.last.load(Ordering::Relaxed));
        if self.parking.is_parked() && captured.since(last) < APART {
            self.spare();
            return false;
        }
        self.last.store(captured.0, Ordering::Relaxed);
        true
    }

    /// Counts a picture that is not handed on.
    pub fn spare(&self) {
        self.parking.0.not_wanted.fetch_add(1, Ordering::Relaxed);
    }

    /// When the next picture that is handed on will be taken, at the earliest; none unless the vehicle is parked.
    pub fn next_wanted(&self) -> Option<Mono> {
        self.is_parked().then(|| Mono(self.last.load(Ordering::Relaxed)) + APART)
    }

    /// Whether the vehicle is parked now.
    pub fn is_parked(&self) -> bool {
        self.parking.is_parked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_camera_hands_on_one_picture_a_second() {
        let parking = Parking::default();
        let sparing = Sparing::new(parking.clone());
        let handed_on = |from: u64, frames: u64| {
            (0..frames).filter(|n| sparing.wants(Mono::from_nanos((from * 1000 + n * 40) * 1_000_000))).count()
        };
        assert_eq!(handed_on(10, 50), 50);
        parking.set(true);
        assert_eq!(handed_on(12, 75), 3);
        assert_eq!(parking.not_wanted(), 72);
        assert_eq!(sparing.next_wanted(), Some(Mono::from_nanos(15_940_000_000)));
        parking.set(false);
        assert_eq!(sparing.next_wanted(), None);
        assert_eq!(handed_on(15, 25), 25);
    }
}
