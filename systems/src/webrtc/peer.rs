//! One connection: made from an offer, then carrying pictures, sound, data and a voice until it ends.

mod open;
mod run;

use std::net::IpAddr;

use tokio::sync::mpsc::{Receiver, Sender};

use super::audio::OpusPacket;
use super::hub::IceServer;
use super::offer::{Candidate, Wants};
use super::studio::Picture;

pub(super) use open::{OpenError, open};
pub(super) use run::run;

/// What a connection is made with.
pub(super) struct Setup {
    /// The number of the session.
    pub number: u64,
    /// Where packets come in.
    pub bind: IpAddr,
    /// Servers that help to find a way.
    pub servers: Vec<IceServer>,
    /// What it is to carry.
    pub wants: Wants,
    /// Bits a second of pictures at most.
    pub most_bps: u32,
}

/// What a connection is told while it lasts.
#[derive(Debug)]
pub(super) enum Command {
    /// The other end can be reached there, too.
    Candidates(Vec<Candidate>),
    /// The operator's voice is heard in the vehicle, or not.
    Hear(bool),
    /// Say why, and end.
    Close(String),
}

/// What comes to a connection while it lasts, and where its voice goes.
pub(super) struct Ends {
    /// What it is told.
    pub commands: Receiver<Command>,
    /// Pictures.
    pub pictures: Receiver<std::sync::Arc<Picture>>,
    /// Sound.
    pub sound: Receiver<OpusPacket>,
    /// What is known of pictures.
    pub data: Receiver<std::sync::Arc<str>>,
    /// Where its own end of the queue of pictures is handed in once it is connected.
    pub sink: Sender<std::sync::Arc<Picture>>,
}
