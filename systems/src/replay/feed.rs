//! Reads a session on a thread of its own, a bounded way ahead of the replay.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use waywarden_components::prelude::*;

use super::ahead::LookAhead;
use crate::ingress::Incoming;
use crate::session::{From, OutputsRecord, Record, SessionError, SessionReader, SnapshotRecord};

/// Records that may wait, whatever their size.
const WAITING_STEPS: usize = 4096;

/// What a replay does next.
#[derive(Debug)]
pub enum Step {
    /// A segment begins. Only a replay that starts here, or comes from behind a gap, restores it.
    Snapshot(Box<SnapshotRecord>),
    /// A tick, and what was recorded of its outputs.
    Tick(Incoming, Option<Box<OutputsRecord>>),
}

/// How a session is read.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// The file or folder.
    pub path: PathBuf,
    /// Where to begin.
    pub from: From,
    /// Bytes that may be read ahead.
    pub ahead_bytes: usize,
}

#[derive(Default)]
struct Queue {
    steps: VecDeque<(Step, usize)>,
    bytes: usize,
    /// The reader waits for room.
    full: bool,
    /// Set when the reader is done: why it failed, and the files that end in the middle.
    end: Option<(Option<SessionError>, Vec<String>)>,
    /// Nobody reads any more.
    abandoned: bool,
}

impl Queue {
    /// Whether a step of this weight may be added: one may always be.
    fn has_room(&self, weight: usize, limit: usize) -> bool {
        self.steps.is_empty() || (self.bytes + weight <= limit && self.steps.len() < WAITING_STEPS)
    }

    /// Whether a quarter of it is free.
    fn has_drained(&self, limit: usize) -> bool {
        self.bytes <= limit / 4 * 3 && self.steps.len() <= WAITING_STEPS / 4 * 3
    }
}

struct Shared {
    queue: Mutex<Queue>,
    /// There is something to take, or nothing more will come.
    filled: Condvar,
    /// There is room, or nobody reads any more.
    drained: Condvar,
    limit: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end.
pub struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Files that end in the middle. Complete once the feed has ended.
    pub cuts: Vec<String>,
}

impl Feed {
    /// Starts reading. With `look_ahead`, frames are decoded as soon as they have been read.
    ///
    /// # Errors
    /// When there is nothing to read, or no thread to be had.
    pub fn start(settings: &FeedSettings, look_ahead: Option<LookAhead>) -> Result<Self, SessionError> {
        let mut reader = SessionReader::open(&settings.path)?;
        reader.seek(settings.from)?;
        let limit = settings.ahead_bytes;
        let shared =
            Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), drained: Condvar::new(), limit });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("session reader".to_owned())
            .spawn(move || {
                let error = read(&mut reader, &theirs, look_ahead.as_ref()).err();
                theirs.lock().end = Some((error, reader.cuts().to_vec()));
                theirs.filled.notify_all();
            })
            .map_err(|source| SessionError::Io { path: settings.path.clone(), source })?;
        Ok(Self { shared, thread: Some(thread), cuts: Vec::new() })
    }

    /// The next step; None at the end.
    ///
    /// # Errors
    /// When the session is damaged: the steps before the damage have been given.
    pub fn step(&mut self) -> Result<Option<Step>, SessionError> {
        let mut queue = self.shared.lock();
        loop {
            if let Some((step, weight)) = queue.steps.pop_front() {
                queue.bytes -= weight;
                // Not for every single step: waking a thread costs more than running an empty tick.
                if queue.full && queue.has_drained(self.shared.limit) {
                    queue.full = false;
                    self.shared.drained.notify_all();
                }
                return Ok(Some(step));
            }
            if let Some((error, cuts)) = &mut queue.end {
                self.cuts = std::mem::take(cuts);
                return error.take().map_or(Ok(None), Err);
            }
            queue = self.shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.drained.notify_all();
        if let Some(thread) = self.thread.take() {
            // A reader that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

fn read(reader: &mut SessionReader, shared: &Shared, look_ahead: Option<&LookAhead>) -> Result<(), SessionError> {
    let mut tick: Option<Incoming> = None;
    while let Some(record) = reader.read()? {
        let step = match record {
            Record::Outputs(outputs) => match tick.take() {
                // Outputs follow the inputs of their tick.
                Some(incoming) if incoming.tick == outputs.tick => Some(Step::Tick(incoming, Some(Box::new(outputs)))),
                Some(incoming) => Some(Step::Tick(incoming, None)),
                None => None,
            },
            Record::Tick(incoming) => tick.replace(incoming).map(|before| Step::Tick(before, None)),
            Record::Snapshot(snapshot) => {
                if let Some(before) = tick.take()
                    && !push(shared, look_ahead, Step::Tick(before, None))
                {
                    return Ok(());
                }
                Some(Step::Snapshot(Box::new(snapshot)))
            }
        };
        if let Some(step) = step
            && !push(shared, look_ahead, step)
        {
            return Ok(());
        }
    }
    if let Some(last) = tick {
        push(shared, look_ahead, Step::Tick(last, None));
    }
    Ok(())
}

/// Waits for room, then adds a step. False when nobody reads any more.
fn push(shared: &Shared, look_ahead: Option<&LookAhead>, step: Step) -> bool {
    let weight = weight(&step);
    let mut queue = shared.lock();
    while !queue.abandoned && !queue.has_room(weight, shared.limit) {
        queue.full = true;
        queue = shared.drained.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    if queue.abandoned {
        return false;
    }
    if let (Some(look_ahead), Step::Tick(incoming, _)) = (look_ahead, &step) {
        for input in &incoming.inputs {
            if let Payload::Frame(jpeg) = &input.payload {
                look_ahead.begin(StableId::new(input.stream, input.seq), input.captured, jpeg.clone());
            }
        }
    }
    queue.bytes += weight;
    let waited_for = queue.steps.is_empty();
    queue.steps.push_back((step, weight));
    drop(queue);
    if waited_for {
        shared.filled.notify_all();
    }
    true
}

/// Bytes that a step holds, more or less.
fn weight(step: &Step) -> usize {
    /// What a value costs beside its bytes.
    const VALUE: usize = 64;
    match step {
        Step::Snapshot(snapshot) => {
            snapshot.kinds.iter().flat_map(|kind| &kind.values).map(|(_, value)| VALUE + value.len()).sum()
        }
        Step::Tick(incoming, outputs) => {
            let inputs: usize = incoming.inputs.iter().map(|input| VALUE + input.payload.weight()).sum();
            let changes = outputs.iter().flat_map(|outputs| &outputs.changes);
            inputs + changes.map(|change| VALUE + change.value.as_ref().map_or(0, Vec::len)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Change;
    use crate::session::{Origin, SegmentWriter, SessionInfo};

    const LIMIT: usize = 100_000;
    const TICKS: u64 = 200;

    /// A session whose outputs are larger than its inputs, as they are where models find much.
    fn session(folder: &std::path::Path) -> PathBuf {
        let path = folder.join("session.mcap");
        let info = SessionInfo {
            format: (crate::session::FORMAT_MAJOR, 0),
            session_id: "test".to_owned(),
            origin: Origin::Live,
            build: Default::default(),
            config: String::new(),
            streams: Vec::new(),
            models: Default::default(),
            cpu: Vec::new(),
            boot_id: String::new(),
            log_time_offset_ns: 0,
            voice: None,
        };
        let mut writer = SegmentWriter::create(&path, &info).unwrap();
        for tick in 1..=TICKS {
            let now = Mono(tick);
            writer.tick(&Incoming { tick, now, inputs: Vec::new() }).unwrap();
            let change = Change { kind: "thing".into(), id: StableId::default(), value: Some(vec![7; 9_000]) };
            writer.outputs(now, &OutputsRecord { tick, digest: tick, changes: vec![change] }).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let settings = FeedSettings { path: session(folder.path()), from: From::Start, ahead_bytes: LIMIT };
        let mut feed = Feed::start(&settings, None).unwrap();
        let mut ticks = 0;
        loop {
            {
                let queue = feed.shared.lock();
                assert_eq!(queue.bytes, queue.steps.iter().map(|(_, weight)| weight).sum::<usize>());
                assert!(queue.bytes <= LIMIT, "{} bytes wait", queue.bytes);
                assert!(queue.steps.len() <= 11, "{} ticks of 9 kB wait", queue.steps.len());
            }
            match feed.step().unwrap() {
                Some(Step::Tick(incoming, outputs)) => {
                    ticks += 1;
                    assert_eq!((incoming.tick, outputs.unwrap().digest), (ticks, ticks));
                }
                Some(Step::Snapshot(_)) => panic!("there is none"),
                None => break,
            }
        }
        assert_eq!(ticks, TICKS);
    }

    #[test]
    fn a_step_larger_than_the_limit_passes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = FeedSettings { path: session(folder.path()), from: From::Start, ahead_bytes: 1 };
        let mut feed = Feed::start(&settings, None).unwrap();
        let mut ticks = 0;
        while let Some(step) = feed.step().unwrap() {
            assert!(matches!(step, Step::Tick(..)));
            assert!(feed.shared.lock().steps.len() <= 1);
            ticks += 1;
        }
        assert_eq!(ticks, TICKS);
    }

    #[test]
    fn a_reader_that_waits_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let settings = FeedSettings { path: session(folder.path()), from: From::Start, ahead_bytes: 1 };
        let mut feed = Feed::start(&settings, None).unwrap();
        feed.step().unwrap();
        drop(feed);
    }
}
