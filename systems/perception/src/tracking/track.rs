//! One thing that is followed.

use serde::{Deserialize, Serialize};
use waywarden_components::perception::{Detection, ObjectClass};
use waywarden_components::time::Mono;

use super::Tracked;
use super::motion::Motion;
use super::rect::Rect;
use super::votes::{Group, Votes};

/// A box that was found and is believed enough to be looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// As it was found.
    pub raw: Detection,
    /// Its part in the frame.
    pub rect: Rect,
}

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    pub id: u64,
    pub motion: Motion,
    votes: Votes,
    /// The box that was found for it last, as found and its part in the frame.
    pub latest: Detection,
    pub latest_rect: Rect,
    /// Whether it was found in the newest look.
    pub seen: bool,
    first_seen: Mono,
    pub last_seen: Mono,
    pub hits: u32,
    pub confirmed: bool,
}

impl Track {
    /// What was seen for the first time.
    pub fn new(id: u64, found: &Candidate, now: Mono) -> Self {
        Self {
            id,
            motion: Motion::new(&found.rect),
            votes: Votes::new(&found.raw),
            latest: found.raw,
            latest_rect: found.rect,
            seen: true,
            first_seen: now,
            last_seen: now,
            hits: 1,
            confirmed: false,
        }
    }

    /// The classes it may be.
    pub fn group(&self) -> Group {
        Group::of(self.latest.class)
    }

    /// Takes the box that was found for it.
    pub fn take(&mut self, found: &Candidate, now: Mono) {
        self.motion.correct(&found.rect);
        self.votes.add(&found.raw);
        (self.latest, self.latest_rect) = (found.raw, found.rect);
        (self.seen, self.last_seen) = (true, now);
        self.hits = self.hits.saturating_add(1);
    }

    /// How long it was followed between its first and its last box, in nanoseconds.
    pub fn age(&self) -> u64 {
        self.last_seen.0.saturating_sub(self.first_seen.0)
    }

    /// What others may know of it.
    pub fn tracked(&self, frame: (u32, u32)) -> Tracked {
        let class: ObjectClass = self.votes.class().unwrap_or(self.latest.class);
        let smooth = self.motion.rect().within(frame).as_detection(&Detection { class, ..self.latest });
        Tracked {
            id: self.id,
            class,
            score: self.latest.score,
            smooth,
            raw: self.seen.then_some(self.latest),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            hits: self.hits,
            confirmed: self.confirmed,
        }
    }
}
