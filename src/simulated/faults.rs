//! Faults of simulated devices, at moments that a seed chooses.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What can happen to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is gone for some seconds.
    Unplugged,
    /// It says that it failed.
    Failed,
    /// Its driver panics.
    Panic,
    /// It is open, and nothing comes.
    Silent,
    /// Its driver does not come back.
    Hung,
}

const FAULTS: [Fault; 5] = [Fault::Unplugged, Fault::Failed, Fault::Panic, Fault::Silent, Fault::Hung];

/// When something happens to one device, and what.
pub struct Faults {
    random: ChaCha8Rng,
    mean: Duration,
    next: Duration,
}

impl Faults {
    /// So many faults in an hour of the device of this number; none without any.
    pub fn new(per_hour: f64, seed: u64, device: u16) -> Option<Self> {
        let mean = Duration::try_from_secs_f64(3600.0 / per_hour).ok()?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::from(device));
        let mut faults = Self { random, mean, next: Duration::ZERO };
        faults.plan(Duration::ZERO);
        Some(faults)
    }

    /// What happens now, `since` the drive began, if anything does.
    pub fn at(&mut self, since: Duration) -> Option<Fault> {
        if since < self.next {
            return None;
        }
        self.plan(since);
        Some(FAULTS[self.random.random_range(0..FAULTS.len())])
    }

    /// The next one: half of the mean at the least, so that what happened can be recovered from.
    fn plan(&mut self, since: Duration) {
        self.next = since + self.mean.mul_f64(self.random.random_range(0.5..1.5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_as_often_as_asked_for_and_the_same_for_one_seed() {
        let hour = |seed, device| {
            let mut faults = Faults::new(60.0, seed, device).unwrap();
            (0..3600).filter_map(|s| Some((s, faults.at(Duration::from_secs(s))?))).collect::<Vec<_>>()
        };
        let (a, b, c) = (hour(1, 1), hour(2, 1), hour(1, 2));
        assert!((40..=80).contains(&a.len()), "{}", a.len());
        assert!(a == hour(1, 1) && a != b && a != c);
        assert!(FAULTS.iter().all(|fault| a.iter().any(|(_, happened)| happened == fault)));
        assert!(Faults::new(0.0, 1, 1).is_none());
    }
}
