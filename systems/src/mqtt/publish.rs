//! What is told: telemetry where it has changed, events as they begin and end, answers to commands.
//!
//! What is told when is a matter of the world: it is the same in a replay, where nobody hears it.

mod events;
mod streams;

use std::time::Duration;

use bevy_ecs::prelude::*;
use serde::Serialize;
use waywarden_components::prelude::*;

use super::MqttPlugin;
use super::outbox::{Body, Outbox, Outgoing};
use super::wire::{CommandReply, VERSION};

pub use streams::STREAMS;

/// How important a message is. What is more important is sent first, and kept longest where there is no room.
pub mod priority {
    /// Telemetry: another one follows.
    pub const TELEMETRY: u8 = 1;
    /// Health, positions: what a fleet needs in hindsight.
    pub const TRACE: u8 = 2;
    /// Pictures that were asked for.
    pub const PICTURE: u8 = 3;
    /// Events, answers.
    pub const EVENT: u8 = 4;
}

/// What is told of.
#[derive(bevy_ecs::system::SystemParam)]
pub struct Told<'w, 's> {
    streams: streams::Known<'w, 's>,
    events: events::Known<'w, 's>,
    frames: Query<'w, 's, (&'static StableId, &'static Frame)>,
    switches: Res<'w, Switches>,
    rates: Res<'w, Rates>,
    answers: MessageReader<'w, 's, CommandAnswer>,
    deeds: MessageReader<'w, 's, Deed>,
}

/// Tells what there is to tell.
pub fn publish(
    mut told: Told,
    mut telemetry: ResMut<Telemetry>,
    plugin: Res<MqttPlugin>,
    clock: Res<Clock>,
    outbox: Option<Res<Outbox>>,
) {
    if !plugin.enabled {
        told.answers.clear();
        told.deeds.clear();
        return;
    }
    let mut teller = Teller { telemetry: &mut telemetry, plugin: &plugin, clock: &clock, outbox: outbox.as_deref() };
    for answer in told.answers.read() {
        let reply =
            CommandReply { id: answer.id.clone(), status: answer.progress.into(), reason: answer.reason.clone() };
        let topic = format!("cmd/{}/ack", answer.name);
        teller.tell(&topic, (priority::EVENT, plugin.keep_events), || reply);
    }
    for deed in told.deeds.read() {
        let frame = deed.frame.and_then(|wanted| told.frames.iter().find(|(id, _)| **id == wanted));
        if let Some((id, frame)) = frame {
            teller.picture(&format!("snapshot/{}", plugin.name(id.stream)), frame);
        }
    }
    events::tell(&told.events, &mut teller);
    streams::tell(&told.streams, &told.rates, &mut teller);
    teller.switch("recording/state", told.switches.recording);
    teller.switch("privacy/state", told.switches.privacy);
}

/// Numbers messages, and hands them over.
struct Teller<'a> {
    telemetry: &'a mut Telemetry,
    plugin: &'a MqttPlugin,
    clock: &'a Clock,
    outbox: Option<&'a Outbox>,
}

impl Teller<'_> {
    /// Hands over a message of a stream. It is put into words only where somebody hears it.
    fn tell<T: Serialize>(&mut self, topic: &str, (priority, keep): (u8, Duration), data: impl FnOnce() -> T) {
        let seq = self.count(topic);
        let Some(outbox) = self.outbox else { return };
        // What is said here has no maps with keys that are no text, and nothing else that JSON cannot say.
        let Ok(data) = serde_json::value::to_raw_value(&data()) else { return };
        outbox.put(self.outgoing(topic, (priority, keep), seq, Body::Json(data)));
    }

    fn picture(&mut self, topic: &str, frame: &Frame) {
        let seq = self.count(topic);
        if let Some(outbox) = self.outbox {
            let kept = (priority::PICTURE, self.plugin.keep_events);
            outbox.put(self.outgoing(topic, kept, seq, Body::Jpeg(frame.jpeg.clone())));
        }
    }

    /// Says how a switch stands, where that is news.
    fn switch(&mut self, topic: &str, on: bool) {
        let word = if on { "ON" } else { "OFF" };
        let told = self.telemetry.streams.entry(topic.to_owned()).or_default();
        if told.words != [word] {
            told.words = vec![word.to_owned()];
            told.seq += 1;
        }
        if let Some(outbox) = self.outbox {
            outbox.retain(topic, word);
        }
    }

    fn count(&mut self, topic: &str) -> u64 {
        if !self.telemetry.streams.contains_key(topic) {
            self.telemetry.streams.insert(topic.to_owned(), Default::default());
        }
        let Some(told) = self.telemetry.streams.get_mut(topic) else { return 0 };
        told.seq += 1;
        told.at = Some(self.clock.now);
        told.seq
    }

    fn outgoing(&self, topic: &str, (priority, keep): (u8, Duration), seq: u64, body: Body) -> Outgoing {
        let (at, utc_ns) = (self.clock.now, self.clock.utc_nanos());
        Outgoing { topic: topic.to_owned(), priority, keep, v: VERSION, seq, at, utc_ns, body }
    }
}
