//! Everything that is measured, in one program: `cargo bench --bench measure -- replay tick` runs these two, and
//! without names all of them. One program, because linking each of them anew would take longer than running it.
//!
//! Every bench checks its result before it prints a figure. `cargo test --benches` runs them small, for the checks alone.

#[path = "../tests/support/broker.rs"]
mod broker;
mod cameras;
#[path = "../tests/support/client.rs"]
mod client;
mod curves;
mod floor;
mod gate;
mod import;
mod inference;
mod instructions;
mod lanes;
mod lateness;
mod mqtt;
mod parallel;
mod parked;
#[cfg(feature = "webrtc")]
#[path = "../tests/support/puppet.rs"]
mod puppet;
mod recorder;
mod replay;
mod report;
mod session;
mod tick;
#[path = "../tests/support/udp_proxy.rs"]
mod udp_proxy;
#[cfg(feature = "webrtc")]
mod viewer;
mod warning;
#[cfg(feature = "webrtc")]
mod watching;

use report::Outcome;
use waywarden::pools::{self, Pools};

type Bench = fn() -> Outcome;

/// All benches, in the order in which they are run.
const BENCHES: &[(&str, Bench)] = &[
    ("replay", replay::run),
    ("tick", tick::run),
    ("parallel", parallel::run),
    ("recorder", recorder::run),
    ("gate", gate::run),
    ("lanes", lanes::run),
    ("inference", inference::run),
    ("mqtt", mqtt::run),
    ("instructions", instructions::run),
    ("cameras", cameras::run),
    ("lateness", lateness::run),
    ("warning", warning::run),
    ("parked", parked::run),
    ("import", import::run),
    ("curves", curves::run),
    #[cfg(feature = "webrtc")]
    ("watching", watching::run),
];

fn main() -> Outcome {
    pools::start(Pools { compute: 2, jobs: 1, live: false, realtime: false });
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in &names {
        if !BENCHES.iter().any(|(bench, _)| bench == name) {
            return Err(format!("there is no bench `{name}`").into());
        }
    }
    for (name, run) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            run()?;
        }
    }
    Ok(())
}
