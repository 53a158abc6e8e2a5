//! WebRTC: operators who watch, listen and talk.
//!
//! Who may watch what, who makes room for whom, whose link gets which pictures and who talks is decided in the world
//! ([`negotiate`]), from what came through the door: offers, connections, links, voices. The orders leave by [`send`]. Sockets,
//! encoders and packets are outside, in [`hub`] and below: they are not there in a replay, which decides the same.

pub mod call;
pub mod negotiate;
pub mod offer;
pub mod send;

#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod audio;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod encoder;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod estimator;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
pub mod hub;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod link;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod peer;
pub mod rates;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod scene_data;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod studio;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
mod talk;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
pub mod turn;

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::emit::Token;
use crate::registry::Register;
pub use send::Operators;

/// Lets operators watch and talk.
#[derive(Resource, Clone, Debug)]
pub struct WebRtcPlugin {
    /// Whether anybody may.
    pub enabled: bool,
    /// How many at a time. Whoever comes then takes the place of who has been there longest.
    pub sessions: usize,
    /// How long an accepted offer waits for its connection.
    pub offer: Duration,
    /// Whether the microphone is heard by them.
    pub audio: bool,
    /// Whether there is a loudspeaker to talk through.
    pub loudspeaker: bool,
    /// How long an operator's voice is in the air after it was played: what waits before the loudspeaker, and the echo.
    pub tail: Duration,
    /// Streams by the names of the config.
    pub names: Vec<(StreamId, String)>,
}

impl Plugin for WebRtcPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone())
            .init_resource::<OperatorTalk>()
            .init_resource::<Token<OperatorSession>>()
            .state::<OperatorSession>()
            .state_resource::<OperatorTalk>()
            .tick_message::<OperatorOrder>()
            .exempt::<WebRtcPlugin>("the config, which the session holds")
            .exempt::<Operators>("the outside")
            .exempt::<Token<OperatorSession>>("declares access, holds nothing");
        app.add_systems(Sense, negotiate::negotiate.in_set(Negotiating)).add_systems(Act, send::send);
    }
}
