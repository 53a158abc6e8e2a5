//! How often input may have a tick of its own.

use std::time::Duration;

use waywarden_components::prelude::*;

/// Ticks that may follow each other at once, where there were few before.
const BURST: u32 = 5;

/// On the average no more than one tick in so much time, by the generic cell rate algorithm (ITU-T I.371): a picture does not wait for
/// the sound that came just before it, and a device that sends without end does not get a tick for each thing that it sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    gap: Duration,
    /// When the next tick would be due if there were one in each `gap`.
    due: Mono,
}

impl Pace {
    /// Ticks that are `gap` apart on the average.
    pub fn new(gap: Duration) -> Self {
        Self { gap, due: Mono::default() }
    }

    /// A tick begins.
    pub fn tick(&mut self, now: Mono) {
        self.due = self.due.max(now) + self.gap;
    }

    /// When the next one may begin.
    pub fn earliest(&self) -> Mono {
        self.due - self.gap * (BURST - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many ticks there are in a second of input that comes every so many microseconds.
    fn ticks(every_us: u64, gap: Duration) -> usize {
        let (mut pace, mut ticks, mut free) = (Pace::new(gap), Vec::new(), Mono::default());
        for n in 0..1_000_000 / every_us {
            let came = Mono::from_nanos(1_000_000_000 + n * every_us * 1000);
            // What comes while one is waited for shares it.
            if came >= free {
                free = pace.earliest().max(came);
                pace.tick(free);
                ticks.push(free);
            }
        }
        ticks.len()
    }

    #[test]
    fn few_do_not_wait_and_many_are_bounded() {
        let gap = Duration::from_millis(2);
        assert_eq!(ticks(5000, gap), 200, "each at once");
        assert!((500..=505).contains(&ticks(10, gap)), "{}", ticks(10, gap));
        assert_eq!(ticks(1000, Duration::ZERO), 1000);
    }

    #[test]
    fn five_follow_each_other_at_once() {
        let (mut pace, now) = (Pace::new(Duration::from_millis(2)), Mono::from_nanos(1_000_000_000));
        let mut waits = Vec::new();
        for _ in 0..7 {
            let begins = pace.earliest().max(now);
            waits.push(begins.since(now).as_millis());
            pace.tick(begins);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 2, 4]);
        // A moment later it is as before.
        assert!(pace.earliest() <= now + Duration::from_millis(6));
    }
}
