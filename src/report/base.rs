//! What all parts of a report need to know of the session.

use std::collections::BTreeMap;

use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

/// Frames of which is remembered when they were captured: results come within seconds.
const REMEMBERED: usize = 4096;

/// The start of the session, its streams, and when its last frames were captured.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The streams.
    pub streams: Vec<StreamSpec>,
    /// When the first tick began.
    pub start: Mono,
    /// When the last tick began.
    pub end: Mono,
    started: bool,
    captured: BTreeMap<StableId, Mono>,
}

impl Base {
    /// The base of a session with these streams.
    pub fn new(streams: &[StreamSpec]) -> Self {
        Self { streams: streams.to_vec(), ..Self::default() }
    }

    /// Takes note of a tick, before the parts do.
    pub fn add(&mut self, tick: &TickFindings) {
        if !self.started {
            (self.started, self.start) = (true, tick.now);
        }
        self.end = tick.now;
        for (id, captured, _) in tick.frames() {
            self.captured.insert(id, captured);
            // Of each camera the oldest goes first: numbers only grow.
            let oldest = StableId::new(id.stream, id.seq.saturating_sub(REMEMBERED as u64));
            self.captured.remove(&oldest);
        }
    }

    /// When a frame was captured, if that is remembered.
    pub fn captured(&self, frame: StableId) -> Option<Mono> {
        self.captured.get(&frame).copied()
    }

    /// The name of a stream.
    pub fn name(&self, stream: StreamId) -> String {
        if let Some(name) = stream.own_name() {
            return name.to_owned();
        }
        let spec = self.streams.iter().find(|spec| spec.id == stream);
        spec.map_or_else(|| format!("stream {}", stream.0), |spec| spec.name.clone())
    }

    /// The first camera that looks ahead, or the first one at all.
    pub fn front_camera(&self) -> Option<StreamId> {
        let camera = |wanted: Option<CameraRole>| {
            let is = |spec: &&StreamSpec| matches!(&spec.kind, StreamKind::Camera { role, .. } if wanted.is_none_or(|wanted| *role == wanted));
            self.streams.iter().find(is).map(|spec| spec.id)
        };
        camera(Some(CameraRole::Front)).or_else(|| camera(None))
    }

    /// Whether there is a stream of a kind.
    pub fn has(&self, is: impl Fn(&StreamKind) -> bool) -> bool {
        self.streams.iter().any(|spec| is(&spec.kind))
    }

    /// Length of the session in seconds.
    pub fn length_s(&self) -> f64 {
        self.end.since(self.start).as_secs_f64()
    }
}
