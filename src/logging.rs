//! Log lines, to standard error, for a person or as JSON.
//!
//! A line carries the time since boot, which is the time of sessions: vehicle boards boot in 1970, and a session's ticks
//! can be found by it.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Log, LogFormat};
use crate::failure::Failure;
use crate::progress::BesideBars;

/// The environment variable with a filter that goes before the config's level.
pub const ENVIRONMENT: &str = "WAYWARDEN_LOG";

/// Libraries that say nothing, whatever is asked for: what they log may hold what was sent or received, pictures and tokens among
/// it.
const SILENT: [&str; 13] = [
    "rmcp",
    "rtc",
    "rtc_datachannel",
    "rtc_dtls",
    "rtc_ice",
    "rtc_interceptor",
    "rtc_rtcp",
    "rtc_rtp",
    "rtc_sctp",
    "rtc_srtp",
    "rtc_stun",
    "rtc_turn",
    "webrtc",
];

/// Starts logging: what is said is decided by `flag` (of the command line), else by the environment variable
/// [`ENVIRONMENT`], else by `log` (of the config). Both name a level (`debug`) or levels of modules
/// (`info,waywarden=trace`).
///
/// # Errors
///
/// When the filter cannot be read, or logging has been started before.
pub fn start(log: &Log, flag: Option<&str>, format: Option<LogFormat>) -> Result<(), Failure> {
    let environment = std::env::var(ENVIRONMENT).ok().filter(|value| !value.is_empty());
    let filter = filter(log, flag, environment.as_deref())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| BesideBars).with_timer(SinceBoot);
    let started = match format.unwrap_or(log.format) {
        LogFormat::Human => builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| Failure::running(format!("cannot start logging: {error}")))
}

fn filter(log: &Log, flag: Option<&str>, environment: Option<&str>) -> Result<EnvFilter, Failure> {
    let (source, asked) = match (flag, environment) {
        (Some(text), _) => ("--log", text),
        (None, Some(text)) => (ENVIRONMENT, text),
        (None, None) => ("log.level", log.level.name()),
    };
    // What is named last goes first.
    let text = format!("{asked},{}", SILENT.map(|library| format!("{library}=off")).join(","));
    EnvFilter::try_new(text).map_err(|error| {
        Failure::bad_input(format!("{source}: \"{}\" is no log filter: {error}", asked.escape_debug()))
            .hint("off, error, warn, info, debug or trace, or for modules: info,waywarden=trace")
    })
}

/// The time of a log line: seconds since boot.
struct SinceBoot;

impl FormatTime for SinceBoot {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = nix::time::ClockId::CLOCK_BOOTTIME;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = nix::time::ClockId::CLOCK_MONOTONIC;
        match clock.now() {
            Ok(now) => write!(writer, "{:6}.{:06}", now.tv_sec(), now.tv_nsec() / 1000),
            Err(_) => writer.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_the_environment_and_that_before_the_config() {
        let log = Log::default();
        let level = |flag, environment| {
            let text = filter(&log, flag, environment).unwrap().to_string();
            text.split(',').find(|directive| !directive.contains('=')).unwrap_or_default().to_owned()
        };
        assert_eq!(level(None, None), "info");
        assert_eq!(level(None, Some("warn")), "warn");
        assert_eq!(level(Some("trace"), Some("warn")), "trace");
    }

    #[test]
    fn a_filter_that_is_none_names_its_source() {
        let failure = filter(&Log::default(), None, Some("a=b=c")).expect_err("no filter");
        assert!(failure.to_string().contains("WAYWARDEN_LOG"), "{failure}");
        assert!(failure.reports[0].hint.is_some());
    }

    #[test]
    fn times_are_seconds_since_boot() {
        let mut text = String::new();
        SinceBoot.format_time(&mut Writer::new(&mut text)).unwrap();
        assert!(text.trim().parse::<f64>().unwrap() > 0.0, "{text}");
    }
}
