//! Where messages wait: on disk until the broker has them, and in memory as long as it listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bevy_ecs::resource::Resource;
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use waywarden_components::time::Mono;

use super::spool::{Entry, Spool, SpoolId};
use super::wire::{Envelope, rfc3339};

/// Messages that may wait in memory for a broker that listens. Those beyond are sent late, from the disk.
const MOST_LIVE: usize = 4096;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its topic below that of the vehicle.
    pub topic: String,
    /// What is more important is sent first.
    pub priority: u8,
    /// How long it is worth anything.
    pub keep: Duration,
    /// Version of its schema.
    pub v: u32,
    /// Its number in its stream.
    pub seq: u64,
    /// When it was made.
    pub at: Mono,
    /// The same in nanoseconds since 1970 UTC, if the date is known.
    pub utc_ns: Option<i64>,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// JSON, which is put into an envelope.
    Json(Box<RawValue>),
    /// A JPEG, as it is.
    Jpeg(Bytes),
}

/// The world's end of the link to the broker. Cheap to clone, never blocks. Not there in a replay.
#[derive(Resource, Clone, Debug)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    spool: Spool,
    boot_id: String,
    live: Mutex<Live>,
    retained: Mutex<BTreeMap<String, String>>,
    /// Grows with each change of what is to be retained.
    retained_changes: AtomicU64,
    changed: Notify,
}

/// What waits in memory.
#[derive(Debug, Default)]
struct Live {
    /// Whether a broker listens.
    listens: bool,
    queue: VecDeque<(SpoolId, Entry)>,
    /// What has a smaller number and was not sent from here is sent from the disk.
    late_below: u64,
}

impl Outbox {
    /// An outbox that keeps what is put into it in `spool`. `boot_id` names this run of the program.
    pub fn new(spool: Spool, boot_id: String) -> Self {
        let live = Mutex::default();
        Self(Arc::new(Shared {
            spool,
            boot_id,
            live,
            retained: Mutex::default(),
            retained_changes: AtomicU64::new(0),
            changed: Notify::new(),
        }))
    }

    /// The name of this run.
    pub fn boot_id(&self) -> &str {
        &self.0.boot_id
    }

    /// Where messages are kept.
    pub fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// Takes a message on. What becomes of it is a matter of the spool.
    pub fn put(&self, message: Outgoing) -> SpoolId {
        let expires_at = message.utc_ns.and_then(|made| millis(made)?.checked_add(whole_millis(message.keep)));
        let entry = Entry {
            stream: Arc::from(message.topic.as_str()),
            priority: message.priority,
            put_at: message.utc_ns.and_then(millis),
            expires_at,
            body: self.body(message),
        };
        let mut live = self.live();
        let id = self.0.spool.put(entry.clone());
        if live.listens {
            if live.queue.len() >= MOST_LIVE
                && let Some((late, _)) = live.queue.pop_front()
            {
                live.late_below = late.number() + 1;
            }
            live.queue.push_back((id, entry));
            self.0.changed.notify_one();
        }
        id
    }

    /// Sets what is to be retained under a topic; it is sent again after each connection.
    pub fn retain(&self, topic: &str, text: &str) {
        let mut retained = self.0.retained.lock().unwrap_or_else(PoisonError::into_inner);
        if retained.get(topic).is_none_or(|known| known != text) {
            retained.insert(topic.to_owned(), text.to_owned());
            self.0.retained_changes.fetch_add(1, Ordering::Release);
            self.0.changed.notify_one();
        }
    }

    /// What is to be retained, by topic, if it has changed since `seen` was last set by this.
    pub(super) fn retained_since(&self, seen: &mut Option<u64>) -> Option<BTreeMap<String, String>> {
        let changes = self.0.retained_changes.load(Ordering::Acquire);
        if seen.replace(changes) == Some(changes) {
            return None;
        }
        Some(self.0.retained.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// A broker listens from now on. What was put before is late.
    pub(super) fn connected(&self) {
        let mut live = self.live();
        *live = Live { listens: true, queue: VecDeque::new(), late_below: self.0.spool.border() };
    }

    /// Nobody listens any more.
    pub(super) fn disconnected(&self) {
        *self.live() = Live::default();
    }

    /// The next message that is to be sent at once.
    pub(super) fn next_live(&self) -> Option<(SpoolId, Entry)> {
        self.live().queue.pop_front()
    }

    /// What has a smaller number is sent late, if it has not been sent.
    pub(super) fn late_below(&self) -> u64 {
        self.live().late_below
    }

    /// Waits until there is something new.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Wakes whoever waits for [`Outbox::changed`].
    pub(super) fn wake(&self) {
        self.0.changed.notify_one();
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn body(&self, message: Outgoing) -> Bytes {
        match message.body {
            Body::Jpeg(jpeg) => jpeg,
            Body::Json(data) => {
                let since_start = i64::try_from(message.at.as_nanos()).unwrap_or(i64::MAX);
                let envelope = Envelope {
                    v: message.v,
                    seq: message.seq,
                    boot_id: self.0.boot_id.clone(),
                    ts: rfc3339(message.utc_ns.unwrap_or(since_start)),
                    ts_valid: message.utc_ns.is_some(),
                    mono_ns: message.at.as_nanos(),
                    data,
                    hist: false,
                };
                // Text, numbers and what is JSON already: nothing that could not be written.
                serde_json::to_vec(&envelope).unwrap_or_default().into()
            }
        }
    }
}

/// Milliseconds since 1970; none before.
fn millis(nanos: i64) -> Option<u64> {
    u64::try_from(nanos / 1_000_000).ok()
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
