//! Operators who watch over WebRTC, by the config: what their connections are made with.

pub mod calls;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use waywarden_components::prelude::*;
use waywarden_systems::ingress::{Inlet, Outlet, Wake, channel};
use waywarden_systems::scene::Showing;
use waywarden_systems::webrtc::Operators;
use waywarden_systems::webrtc::hub::{Hub, HubSettings, Speak};
use waywarden_systems::webrtc::turn::Turn;

use crate::config::Config;
use crate::devices::Devices;
use crate::failure::Failure;
use crate::http::token;
use crate::network::Network;

/// Things that have come of operators which may wait for a tick.
const WAITING: usize = 256;

/// Where what comes of operators enters.
pub fn door(wake: &Wake) -> (Outlet, Inlet) {
    channel(StreamId::OPERATORS, WAITING, DropPolicy::KeepOldest, wake.clone())
}

/// Serves operators from now on, and gives what the world reaches them with. What they see is what is shown; where they are
/// heard is the loudspeaker.
///
/// # Errors
/// When the file with the secret of TURN servers cannot be used, or there is no thread to be had.
pub fn serve(
    config: &Config,
    streams: &[StreamSpec],
    network: &Network,
    outlet: Outlet,
    (showing, devices): (&Showing, &Devices),
) -> Result<(Hub, Operators), Failure> {
    let webrtc = &config.webrtc;
    let cameras = streams.iter().filter(|spec| matches!(spec.kind, StreamKind::Camera { .. }));
    let turn = if webrtc.turn.is_empty() {
        None
    } else {
        let secret = token("webrtc.turn_secret_file", &webrtc.turn_secret_file)?;
        let (urls, lifetime_s) = (webrtc.turn.clone(), webrtc.turn_lifetime_s);
        Some(Turn { urls, secret: secret.into_bytes(), lifetime_s })
    };
    let settings = HubSettings {
        // One line of the config says who reaches the vehicle.
        bind: config.http.address().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip()),
        most_bps: webrtc.max_kbps * 1000,
        most_fps: webrtc.max_fps as f32,
        most_rows: webrtc.max_height,
        cameras: cameras.map(|spec| (spec.id, spec.name.clone())).collect(),
        stun: webrtc.stun.clone(),
        turn,
    };
    Ok(Hub::new(settings, outlet, network.handle()?, showing.clone(), loudspeaker(devices)))
}

/// Where voices go, if there is a loudspeaker.
#[cfg(feature = "sound")]
fn loudspeaker(devices: &Devices) -> Option<Speak> {
    let voice = devices.voice()?.clone();
    Some(Arc::new(move |at, pcm: &[i16]| {
        voice.push(at, pcm);
        voice.delay()
    }))
}

#[cfg(not(feature = "sound"))]
fn loudspeaker(_: &Devices) -> Option<Speak> {
    None
}
