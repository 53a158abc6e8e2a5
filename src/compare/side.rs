//! One of two sessions that are read side by side, and whether both are of one drive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_systems::ingress::Incoming;
use waywarden_systems::registry::Change;
use waywarden_systems::session::{OutputsRecord, Record, SessionError, SessionReader};

use crate::failure::Failure;

/// One tick of a session.
pub(super) struct Tick {
    pub incoming: Incoming,
    pub outputs: Option<OutputsRecord>,
}

impl Tick {
    pub fn tick(&self) -> u64 {
        self.incoming.tick
    }

    pub fn changes(&self) -> &[Change] {
        self.outputs.as_ref().map_or(&[], |outputs| &outputs.changes)
    }
}

/// Whose value it is, and of which kind.
pub(super) type Key = (String, StableId);

/// A finding that a run is done with.
pub(super) struct Done {
    pub value: Vec<u8>,
    pub tick: u64,
}

/// One of the sessions.
pub(super) struct Side {
    path: PathBuf,
    pub reader: SessionReader,
    ahead: Option<Record>,
    pub next: Option<Tick>,
    /// Ticks with outputs.
    pub outputs: u64,
    /// What is in the world.
    pub live: BTreeMap<Key, Vec<u8>>,
    /// Of it, what came into it in a tick that the other session does not have.
    pub foreign: BTreeSet<Key>,
    /// Samples' findings whose samples are gone.
    pub done: BTreeMap<Key, Done>,
}

impl Side {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let mut side = Self {
            path: path.to_owned(),
            reader: SessionReader::open(path)?,
            ahead: None,
            next: None,
            outputs: 0,
            live: BTreeMap::new(),
            foreign: BTreeSet::new(),
            done: BTreeMap::new(),
        };
        side.next = side.read()?;
        Ok(side)
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&mut self) -> Result<Option<Tick>, SessionError> {
        let incoming = loop {
            let record = match self.ahead.take() {
                Some(record) => Some(record),
                None => self.reader.read()?,
            };
            match record {
                None => return Ok(None),
                Some(Record::Tick(incoming)) => break incoming,
                Some(_) => {}
            }
        };
        let outputs = match self.reader.read()? {
            Some(Record::Outputs(outputs)) if outputs.tick == incoming.tick => Some(outputs),
            other => {
                self.ahead = other;
                None
            }
        };
        self.outputs += u64::from(outputs.is_some());
        Ok(Some(Tick { incoming, outputs }))
    }

    /// The next tick, of which the caller knows that it is there.
    pub fn take(&mut self) -> Result<Tick, Failure> {
        let next = self.read()?;
        std::mem::replace(&mut self.next, next).ok_or_else(|| Failure::running("a session ended while it was read"))
    }

    /// Takes note of what changed.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>, foreign: bool) {
        for change in changes {
            let key = (change.kind.to_string(), change.id);
            match &change.value {
                Some(value) => {
                    if self.live.insert(key.clone(), value.clone()).is_none() && foreign {
                        self.foreign.insert(key);
                    }
                }
                None => {
                    self.live.remove(&key);
                    self.foreign.remove(&key);
                }
            }
        }
    }
}

pub(super) fn same_streams(a: &Side, b: &Side) -> Result<(), Failure> {
    let shape = |side: &Side| -> Vec<_> {
        let streams = side.reader.info().streams.iter();
        streams.map(|spec| (spec.id, spec.name.clone(), std::mem::discriminant(&spec.kind))).collect()
    };
    if shape(a) == shape(b) {
        return Ok(());
    }
    let names =
        |side: &Side| side.reader.info().streams.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    let message = format!(
        "{} and {} are two different drives: the devices of one are {}, of the other {}",
        a.name(),
        b.name(),
        names(a),
        names(b)
    );
    Err(different(message))
}

pub(super) fn same_inputs(a: &Side, b: &Side, x: &Incoming, y: &Incoming) -> Result<(), Failure> {
    // Results of models and boundaries belong to the run, everything else to the drive.
    let of_drive = |input: &&Input| {
        !matches!(input.payload, Payload::JobDone { .. } | Payload::JobMissed { .. } | Payload::Boundary { .. })
    };
    let (mut xs, mut ys) = (x.inputs.iter().filter(of_drive), y.inputs.iter().filter(of_drive));
    let what = loop {
        match (xs.next(), ys.next()) {
            (None, None) if x.now == y.now => return Ok(()),
            (None, None) => break "begins at another time".to_owned(),
            (x, y) if x == y => {}
            (Some(x), Some(y)) if (x.stream, x.seq, x.payload.name()) == (y.stream, y.seq, y.payload.name()) => {
                break format!("{} {} is not the same", x.payload.name(), StableId::new(x.stream, x.seq));
            }
            (Some(one), _) | (_, Some(one)) => {
                break format!(
                    "{} {} came in only one of them",
                    one.payload.name(),
                    StableId::new(one.stream, one.seq)
                );
            }
        }
    };
    let message = format!("{} and {} are two different drives: in tick {}, {what}", a.name(), b.name(), x.tick);
    Err(different(message))
}

fn different(message: String) -> Failure {
    Failure::bad_input(message)
        .hint("compare a session with `waywarden replay THAT_SESSION --out FILE`, or two such files")
}
