//! What is sent over a connection, in which order, and what of it has been acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, Outgoing, Packet, QoS};
use waywarden_components::time::Mono;

use super::super::outbox::Outbox;
use super::super::owntracks;
use super::super::spool::{Backlog, BacklogRequest, Entry, SpoolId};
use super::super::wire::{LATE_END, LIVE_END};
use super::{LinkSettings, failed};
use crate::clock::boottime;
use crate::supervisor::DriverError;

/// Late messages that are asked for at a time.
const PIECE: usize = 256;

/// Sends what is retained first, then what is new, then what is late.
pub(super) struct Sender<'a> {
    client: AsyncClient,
    outbox: &'a Outbox,
    settings: &'a LinkSettings,
    /// What was asked to be sent and has no number on the wire yet, in order; none is no message of the outbox.
    asked: VecDeque<Option<SpoolId>>,
    /// What is on the wire, by its number there, and since when.
    on_wire: BTreeMap<u16, (Option<SpoolId>, Mono)>,
    /// Messages of the outbox among both.
    under_way: BTreeSet<SpoolId>,
    /// What was retained already, by topic.
    retained: BTreeMap<String, String>,
    /// See [`Outbox::retained_since`].
    retained_seen: Option<u64>,
    /// Late messages that have been fetched.
    late: VecDeque<(SpoolId, Entry)>,
    /// The last late message that was fetched.
    after: Option<SpoolId>,
    /// Whether there are more of them.
    more_late: bool,
    /// What the spool has answered; none while it has not been asked.
    fetched: Arc<Mutex<Option<Backlog>>>,
    asking: bool,
    /// Below which number it was asked last.
    asked_below: u64,
}

impl<'a> Sender<'a> {
    pub fn new(client: AsyncClient, outbox: &'a Outbox, settings: &'a LinkSettings) -> Self {
        Self {
            client,
            outbox,
            settings,
            asked: VecDeque::new(),
            on_wire: BTreeMap::new(),
            under_way: BTreeSet::new(),
            retained: BTreeMap::new(),
            retained_seen: None,
            late: VecDeque::new(),
            after: None,
            more_late: true,
            fetched: Arc::default(),
            asking: false,
            asked_below: 0,
        }
    }

    /// Listens to a topic.
    pub fn subscribe(&mut self, topic: &str) -> Result<(), DriverError> {
        self.client.try_subscribe(topic, QoS::AtLeastOnce).map_err(|_| failed("too much to subscribe to"))
    }

    /// Sends something that the broker keeps.
    pub fn retain(&mut self, topic: String, text: String) -> Result<(), DriverError> {
        self.publish(topic, true, text.into_bytes(), None)
    }

    /// Sends as much as may be under way. `now` gives the date in milliseconds since 1970, for what expires.
    pub fn fill(&mut self, now: impl Fn() -> Option<u64>) -> Result<(), DriverError> {
        for (topic, text) in self.outbox.retained_since(&mut self.retained_seen).into_iter().flatten() {
            if self.retained.get(&topic) != Some(&text) {
                self.retain(format!("{}/{topic}", self.settings.base), text.clone())?;
                self.retained.insert(topic, text);
            }
        }
        while self.has_room() {
            if let Some((id, entry)) = self.outbox.next_live() {
                self.send(id, &entry, false)?;
                continue;
            }
            self.fetch(&now);
            let Some((id, entry)) = self.late.pop_front() else { break };
            if !self.under_way.contains(&id) {
                self.send(id, &entry, true)?;
            }
        }
        Ok(())
    }

    /// Takes note of what happened on the connection.
    pub fn heard(&mut self, event: &Event) -> Result<(), DriverError> {
        match event {
            Event::Outgoing(Outgoing::Publish(number)) => {
                let message =
                    self.asked.pop_front().ok_or_else(|| failed("something was sent that nobody asked for"))?;
                self.on_wire.insert(*number, (message, boottime()));
            }
            Event::Incoming(Packet::PubAck(acknowledged)) => {
                if let Some((Some(id), _)) = self.on_wire.remove(&acknowledged.pkid) {
                    self.under_way.remove(&id);
                    self.outbox.spool().acknowledge(id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the broker acknowledges in time.
    pub fn check(&self, patience: Duration) -> Result<(), DriverError> {
        let oldest = self.on_wire.values().map(|(_, since)| *since).min();
        match oldest.map(|oldest| boottime().since(oldest)) {
            Some(waited) if waited > patience => {
                Err(failed(&format!("nothing was acknowledged for {:.0} s", waited.as_secs_f64())))
            }
            _ => Ok(()),
        }
    }

    /// Whether anything is under way.
    pub fn waits(&self) -> bool {
        !self.asked.is_empty() || !self.on_wire.is_empty()
    }

    /// Ends the connection in order.
    pub fn disconnect(&self) {
        // Where there is no room for it, the connection ends all the same.
        let _ = self.client.try_disconnect();
    }

    fn has_room(&self) -> bool {
        self.asked.len() + self.on_wire.len() < usize::from(self.settings.in_flight)
    }

    fn send(&mut self, id: SpoolId, entry: &Entry, late: bool) -> Result<(), DriverError> {
        let bytes = match entry.body.strip_suffix(LIVE_END) {
            Some(begin) if late => [begin, LATE_END].concat(),
            _ => entry.body.to_vec(),
        };
        if let Some(topic) = self.settings.owntracks.clone().filter(|_| &*entry.stream == "telemetry/position")
            && let Some(location) = owntracks::location(&bytes)
        {
            self.publish(topic, true, location.into_bytes(), None)?;
        }
        self.under_way.insert(id);
        self.publish(format!("{}/{}", self.settings.base, entry.stream), false, bytes, Some(id))
    }

    fn publish(&mut self, topic: String, retain: bool, bytes: Vec<u8>, id: Option<SpoolId>) -> Result<(), DriverError> {
        // The channel has room for all that may be under way; what is retained is little.
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, retain, bytes);
        sent.map_err(|error| failed(&format!("more to send than there is room for: {error}")))?;
        self.asked.push_back(id);
        Ok(())
    }

    /// Asks the spool for the next late messages, and takes what it has answered.
    fn fetch(&mut self, now: impl Fn() -> Option<u64>) {
        let answer = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(backlog) = answer {
            self.asking = false;
            self.more_late = !backlog.complete;
            self.after = backlog.messages.last().map(|(id, _)| *id).or(self.after);
            self.late.extend(backlog.messages);
        }
        let below = self.outbox.late_below();
        // Some that were to be sent at once have become late since: they are looked for from the beginning.
        if !self.more_late && below > self.asked_below {
            (self.more_late, self.after) = (true, None);
        }
        if !self.late.is_empty() || self.asking || !self.more_late {
            return;
        }
        let (fetched, outbox) = (self.fetched.clone(), self.outbox.clone());
        let request = BacklogRequest { after: self.after, below, count: PIECE, now: now() };
        self.asked_below = below;
        self.asking = self.outbox.spool().ask_backlog(request, move |backlog| {
            *fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(backlog);
            outbox.wake();
        });
    }
}
