//! The phases of a tick, in the order in which they run.

use bevy_ecs::schedule::{ScheduleLabel, SystemSet};

macro_rules! phases {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)] pub struct $name;)+
    };
}

phases! {
    /// The only door: what came from outside becomes entities and messages with stable ids. Moves bytes, parses nothing.
    Ingress,
    /// Bytes become components: thumbnails, fixes, readings, speech probabilities.
    Sense,
    /// Segmentation and detection are asked for.
    Perceive,
    /// Findings become beliefs: tracks, utterances, alerts, health.
    Understand,
    /// What is wanted of the outside is said. Blind: whether it worked comes back through [`Ingress`].
    Act,
    /// Inputs are journalled, outputs digested.
    Record,
    /// What nobody holds is despawned.
    Retire,
}

/// The order of what is concluded in [`Understand`]: each builds on those before it. `health::freshen` comes before all.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insight {
    /// Lanes.
    Lanes,
    /// Boxes of obstacles.
    Boxes,
    /// How the own vehicle moves.
    Ego,
    /// Obstacles followed, with distances and speeds.
    Tracks,
    /// Warnings.
    Warnings,
    /// Whether the vehicle is parked.
    Parked,
}
