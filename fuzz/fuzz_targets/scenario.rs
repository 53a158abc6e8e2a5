//! Any bytes are a scenario or a list of mistakes; a scenario can be driven.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden::config::scenario;
use waywarden_systems::simulate::Drive;

fuzz_target!(|data: &[u8]| {
    match scenario::from_bytes(data, "fuzz.toml") {
        Ok(scenario) => {
            let mut drive = Drive::new(&scenario, 1);
            for n in 0..5 {
                assert!(drive.moment(f64::from(n) * 0.3).speed_mps().is_finite());
            }
        }
        Err(error) => {
            assert!((1..=20).contains(&error.problems.len()));
            assert!(error.problems.iter().all(|problem| !problem.message.is_empty() && !problem.hint.is_empty()));
        }
    }
});
