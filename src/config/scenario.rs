//! Scenarios of simulated drives: which there are, and how a file of the user's becomes one.

use waywarden_systems::simulate::Scenario;

use super::problem::{ConfigError, Problem};

/// The scenario of this name or file.
///
/// # Errors
/// When there is none of that name, or the file cannot be used.
pub fn load(name: &str) -> Result<Scenario, ConfigError> {
    Scenario::built_in(name)
        .ok_or_else(|| Problem::of_file(name, "no scenario of that name".to_owned(), "one of: motorway").into())
}
