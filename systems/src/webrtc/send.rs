//! The world's end towards operators: hands over what was decided about them, and the sound that they hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bevy_ecs::prelude::*;
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use waywarden_components::prelude::*;

/// Orders that may wait. One that finds no room is lost (keep oldest): its session is closed by the world for want of a sign
/// of life.
const ORDERS: usize = 256;

/// Pieces of sound that may wait; the new ones are lost (keep oldest).
const SOUND: usize = 32;

/// A piece of sound: when its last sample was heard, signed 16 bit little endian samples of 16 kHz, mono.
pub type Sound = (Mono, Bytes);

/// Where orders and sound go. Cheap to clone, never blocks. Not there in a replay.
#[derive(Resource, Clone, Debug)]
pub struct Operators {
    orders: Sender<OperatorOrder>,
    sound: Sender<Sound>,
    listened: Arc<AtomicBool>,
}

/// The other end.
#[derive(Debug)]
pub struct Ordered {
    /// What is to be done.
    pub orders: Receiver<OperatorOrder>,
    /// What is heard, while [`Ordered::listen`] says so.
    pub sound: Receiver<Sound>,
    listened: Arc<AtomicBool>,
}

/// Both ends.
pub fn operators() -> (Operators, Ordered) {
    let (orders, ordered) = channel(ORDERS);
    let (sound, heard) = channel(SOUND);
    let listened = Arc::<AtomicBool>::default();
    (Operators { orders, sound, listened: listened.clone() }, Ordered { orders: ordered, sound: heard, listened })
}

impl Ordered {
    /// Whether anybody listens from now on.
    pub fn listen(&self, listened: bool) {
        self.listened.store(listened, Ordering::Relaxed);
    }
}

/// Hands over what was decided in this tick, and what the first microphone heard.
pub fn send(
    mut orders: MessageReader<OperatorOrder>,
    sound: Query<(&StableId, &Stamp, &AudioChunk), Added<AudioChunk>>,
    operators: Option<Res<Operators>>,
) {
    let Some(operators) = operators else {
        orders.clear();
        return;
    };
    for order in orders.read() {
        if operators.orders.try_send(order.clone()).is_err() {
            tracing::error!("operators: an order of session {} is lost: too many wait", order.session);
        }
    }
    if !operators.listened.load(Ordering::Relaxed) {
        return;
    }
    let Some(first) = sound.iter().map(|(id, ..)| id.stream).min() else { return };
    let mut heard: Vec<_> = sound.iter().filter(|(id, ..)| id.stream == first).collect();
    heard.sort_unstable_by_key(|(id, ..)| **id);
    for (_, stamp, chunk) in heard {
        // One that finds no room is a hole of some milliseconds in what they hear.
        let _ = operators.sound.try_send((stamp.captured, chunk.pcm.clone()));
    }
}
