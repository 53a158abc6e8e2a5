//! Any bytes are a config or a list of mistakes; a config that is written out is read back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden::config::Config;

fuzz_target!(|data: &[u8]| {
    match Config::from_bytes(data, "fuzz.toml") {
        Ok(config) => {
            let text = config.to_toml().expect("what was read can be written");
            assert_eq!(Config::from_toml(&text, "again.toml").as_ref(), Ok(&config));
            let simulated = config.simulated();
            simulated.validate("simulated").expect("simulated devices are devices");
            let truth = usize::from(simulated.true_camera().is_some());
            assert_eq!(simulated.streams().len(), simulated.names().count() + truth);
        }
        Err(error) => {
            assert!((1..=20).contains(&error.problems.len()));
            let lines = data.split(|byte| *byte == b'\n').count();
            for problem in error.problems {
                assert!(problem.to_string().starts_with("fuzz.toml"));
                assert!(!problem.message.is_empty() && !problem.hint.is_empty());
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
            }
        }
    }
});
