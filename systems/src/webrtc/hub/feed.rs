//! What goes to the connections: the world's orders, and what there is to be seen and heard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use waywarden_components::prelude::*;

use super::{Command, Hub};
use crate::clock::instant;
use crate::memory;
use crate::scene::Scene;
use crate::scene::report::Report;
use crate::webrtc::audio::Microphone;
use crate::webrtc::scene_data;
use crate::webrtc::send::Ordered;

/// Least time between two messages about a camera, and longest where nothing is new.
const MESSAGES: (Duration, Duration) = (Duration::from_millis(45), Duration::from_millis(500));

/// How long the last of a connection is there after its end.
const LINGERS: Duration = Duration::from_secs(1);

impl Hub {
    /// Carries out what the world orders, and passes on what the microphone hears.
    pub(super) async fn carry_out(self, mut ordered: Ordered) {
        let mut microphone: Option<Microphone> = None;
        loop {
            let changed = self.0.changed.notified();
            let listened = self.inside().entries.values().any(|entry| entry.connected && entry.sound.is_some());
            ordered.listen(listened);
            if !listened {
                microphone = None;
            }
            tokio::select! {
                biased;
                order = ordered.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                sound = ordered.sound.recv() => match sound {
                    Some(sound) => self.pass_on(&mut microphone, &sound),
                    None => return,
                },
                () = changed => {}
            }
        }
    }

    fn obey(&self, order: OperatorOrder) {
        let mut inside = self.inside();
        let Some(entry) = inside.entries.get_mut(&order.session) else { return };
        if let Some(decision) = entry.decision.take() {
            // Nobody waits for it any more: the session expires.
            let _ = decision.send(order.deed);
            return;
        }
        let (camera, commands) = (entry.camera, entry.commands.clone());
        drop(inside);
        let studio = camera.and_then(|camera| self.0.studios.get(&camera));
        match (order.deed, studio) {
            (OperatorDeed::Show(size), Some(studio)) => studio.show(order.session, size),
            (OperatorDeed::Keyframe, Some(studio)) => studio.order_keyframe(order.session),
            (OperatorDeed::Hear(heard), _) => self.tell(order.session, commands, Command::Hear(heard)),
            (OperatorDeed::Close(why), _) => self.tell(order.session, commands, Command::Close(why)),
            _ => {}
        }
    }

    fn tell(&self, session: u64, commands: Option<tokio::sync::mpsc::Sender<Command>>, command: Command) {
        let Some(commands) = commands else {
            // It has no connection: its offer is being answered.
            if matches!(command, Command::Close(_)) {
                self.forget(session);
            }
            return;
        };
        if commands.try_send(command).is_err() {
            tracing::debug!("operators: session {session} takes no command");
        }
    }

    fn pass_on(&self, microphone: &mut Option<Microphone>, sound: &crate::webrtc::send::Sound) {
        let heard = match microphone {
            Some(microphone) => microphone.hear(sound),
            None => Microphone::new().and_then(|new| microphone.insert(new).hear(sound)),
        };
        let packets = match heard {
            Ok(packets) => packets,
            Err(error) => {
                tracing::debug!("operators: sound cannot be encoded: {error}");
                return;
            }
        };
        let inside = self.inside();
        for sink in inside.entries.values().filter(|entry| entry.connected).filter_map(|entry| entry.sound.as_ref()) {
            for packet in &packets {
                // One that finds no room is a short silence (keep oldest).
                let _ = sink.try_send(packet.clone());
            }
        }
    }

    /// Shows what there is to be seen, while somebody watches.
    pub(super) async fn feed(self) {
        loop {
            let changed = self.0.changed.notified();
            if !self.is_watched() {
                changed.await;
                continue;
            }
            let mut scenes = self.0.showing.watch();
            let mut shown = Shown::default();
            while self.is_watched() {
                tokio::select! {
                    changed = scenes.changed() => match changed {
                        Ok(()) => {
                            let scene = scenes.borrow_and_update().clone();
                            self.show(&scene, &mut shown);
                        }
                        Err(_) => return,
                    },
                    () = self.0.changed.notified() => {}
                }
            }
            self.0.runtime.spawn(self.clone().give_memory_back());
        }
    }

    /// Gives back what connections took, when nobody watches any more.
    async fn give_memory_back(self) {
        tokio::time::sleep(LINGERS).await;
        if !self.is_watched() {
            // It fails where the program ends.
            let _ = tokio::task::spawn_blocking(memory::give_back).await;
        }
    }

    fn is_watched(&self) -> bool {
        self.inside().entries.values().any(|entry| entry.connected)
    }

    fn show(&self, scene: &Scene, shown: &mut Shown) {
        let hidden = |role: CameraRole| role == CameraRole::Cabin && scene.switches.privacy;
        for camera in scene.cameras.iter().filter(|camera| !hidden(camera.camera.role)) {
            let Some(frame) = &camera.frame else { continue };
            if shown.frame(camera.stream).is_none_or(|last| last < frame.id.seq) {
                shown.frames.retain(|(known, _)| *known != camera.stream);
                shown.frames.push((camera.stream, frame.id.seq));
                if let Some(studio) = self.0.studios.get(&camera.stream) {
                    studio.give(frame.clone());
                }
            }
        }
        let now = instant();
        let mut watched: Vec<Option<StreamId>> = Vec::new();
        for entry in self.inside().entries.values().filter(|entry| entry.connected && entry.data.is_some()) {
            if !watched.contains(&entry.camera) {
                watched.push(entry.camera);
            }
        }
        watched.retain(|camera| shown.is_due(*camera, now));
        if watched.is_empty() {
            return;
        }
        let report = Report::from(scene);
        for camera in watched {
            if let Some(text) = scene_data::of(scene, &report, camera) {
                self.tell_all(camera, &text);
            }
        }
    }

    fn tell_all(&self, camera: Option<StreamId>, text: &Arc<str>) {
        for entry in self.inside().entries.values().filter(|entry| entry.connected && entry.camera == camera) {
            if let Some(data) = &entry.data {
                // Who does not keep up gets the next one (keep oldest of two).
                let _ = data.try_send(text.clone());
            }
        }
    }
}

/// What was shown last.
#[derive(Default)]
struct Shown {
    frames: Vec<(StreamId, u64)>,
    /// By camera: the last message, and the picture that it was about.
    messages: Vec<(Option<StreamId>, Instant, Option<u64>)>,
}

impl Shown {
    fn frame(&self, camera: StreamId) -> Option<u64> {
        self.frames.iter().find(|(known, _)| *known == camera).map(|(_, frame)| *frame)
    }

    /// Whether there is to be a message about a camera; then it counts as sent.
    fn is_due(&mut self, camera: Option<StreamId>, now: Instant) -> bool {
        let frame = camera.and_then(|camera| self.frame(camera));
        let last = self.messages.iter_mut().find(|(known, ..)| *known == camera);
        let Some((_, at, about)) = last else {
            self.messages.push((camera, now, frame));
            return true;
        };
        let passed = now.saturating_duration_since(*at);
        let due = passed >= MESSAGES.1 || (passed >= MESSAGES.0 && *about != frame);
        if due {
            (*at, *about) = (now, frame);
        }
        due
    }
}
