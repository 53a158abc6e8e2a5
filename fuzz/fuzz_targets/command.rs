//! Any bytes under any name are read as a command, or answered with what is wrong with them: never a panic, never an id
//! that is too long, and nothing is asked for without one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_components::command::Action;
use waywarden_systems::commands::parse::{self, MOST_ID, NAMES};

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    let name = NAMES.get(usize::from(*which)).copied().unwrap_or("other");
    let parsed = parse::read(name, bytes);
    assert!(parsed.id.len() <= MOST_ID);
    assert_eq!(parsed, parse::read(name, bytes));
    match parsed.action {
        Ok(action) => {
            assert!(!parsed.id.is_empty() && NAMES.contains(&name));
            if let Action::SetRate { rate_hz, .. } = action {
                assert!((0.0..=50.0).contains(&rate_hz));
            }
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
});
