//! What follows what in a session.
//!
//! A checksum says that a chunk is as it was written, not that it is there. Ticks are numbered without holes, so that a
//! missing chunk is found by the hole that it leaves.

use std::collections::BTreeMap;

use waywarden_components::prelude::*;

use super::Record;

/// What has been read, and what may follow.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The last tick, and the time of the last tick or snapshot.
    last: Option<u64>,
    now: Mono,
    /// The tick that comes next, if it is known.
    next: Option<u64>,
    /// The number of each stream's last sample.
    samples: BTreeMap<StreamId, u64>,
    /// Nothing has been read of the present file.
    file_begins: bool,
}

impl Order {
    /// The next record is the first one of another file: before it, files may be missing.
    pub fn next_file(&mut self) {
        self.file_begins = true;
    }

    /// Whether `record` may follow what has been read; if not, why not.
    pub fn check(&mut self, record: &Record) -> Result<(), String> {
        let file_begins = std::mem::take(&mut self.file_begins);
        match record {
            Record::Snapshot(snapshot) => {
                let gap = file_begins || snapshot.reason == BoundaryReason::Gap || snapshot.lost_ticks > 0;
                self.tick_follows(snapshot.tick, gap, "the snapshot before tick")?;
                self.time_follows(Mono(snapshot.now), snapshot.tick)?;
                self.next = Some(snapshot.tick);
                Ok(())
            }
            Record::Tick(incoming) => {
                self.tick_follows(incoming.tick, false, "tick")?;
                self.time_follows(incoming.now, incoming.tick)?;
                self.last = Some(incoming.tick);
                self.next = incoming.tick.checked_add(1);
                incoming.inputs.iter().try_for_each(|input| self.sample_follows(incoming.tick, input))
            }
            Record::Outputs(outputs) if self.last == Some(outputs.tick) => Ok(()),
            Record::Outputs(outputs) => Err(format!("outputs of tick {} do not follow its inputs", outputs.tick)),
        }
    }

    fn tick_follows(&self, tick: u64, gap: bool, what: &str) -> Result<(), String> {
        match (self.last, self.next) {
            (Some(last), _) if tick <= last => Err(format!("{what} {tick} comes after tick {last}")),
            (_, Some(next)) if tick != next && !gap => {
                Err(format!("{what} {tick} comes where tick {next} should: something is missing"))
            }
            _ => Ok(()),
        }
    }

    fn time_follows(&mut self, now: Mono, tick: u64) -> Result<(), String> {
        if now < self.now {
            return Err(format!("tick {tick} begins at {now}, before the one that it follows"));
        }
        self.now = now;
        Ok(())
    }

    /// Samples become entities, whose numbers are their names.
    fn sample_follows(&mut self, tick: u64, input: &Input) -> Result<(), String> {
        if !matches!(input.payload, Payload::Frame(_) | Payload::Audio(_)) {
            return Ok(());
        }
        let last = self.samples.entry(input.stream).or_default();
        if input.seq <= *last {
            return Err(format!("tick {tick}: sample {} of stream {} comes after {last}", input.seq, input.stream.0));
        }
        *last = input.seq;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ingress::Incoming;
    use crate::session::{OutputsRecord, SnapshotRecord};

    fn tick(tick: u64) -> Record {
        Record::Tick(Incoming { tick, now: Mono(tick * 10), inputs: Vec::new() })
    }

    fn frame(number: u64, seq: u64) -> Record {
        let payload = Payload::Frame(Bytes::new());
        let input = Input { stream: StreamId(1), seq, captured: Mono(0), payload };
        Record::Tick(Incoming { tick: number, now: Mono(number * 10), inputs: vec![input] })
    }

    fn snapshot(tick: u64, reason: BoundaryReason) -> Record {
        let (now, kinds) = (tick * 10, Vec::new());
        Record::Snapshot(SnapshotRecord { segment: 0, reason, tick, now, lost_ticks: 0, kinds })
    }

    fn outputs(tick: u64) -> Record {
        Record::Outputs(OutputsRecord { tick, digest: 0, changes: Vec::new() })
    }

    fn first_refused(records: &[Record]) -> Option<(usize, String)> {
        let mut order = Order::default();
        records.iter().enumerate().find_map(|(n, record)| order.check(record).err().map(|what| (n, what)))
    }

    #[test]
    fn ticks_have_no_holes_but_behind_a_gap() {
        use BoundaryReason::{Gap, Start, Time};
        let whole =
            [snapshot(1, Start), tick(1), outputs(1), tick(2), snapshot(3, Time), tick(3), snapshot(9, Gap), tick(9)];
        assert_eq!(first_refused(&whole), None);
        assert_eq!(first_refused(&[tick(4), tick(5)]), None, "a session may begin anywhere");
        assert_eq!(first_refused(&[tick(1), tick(3)]).unwrap().0, 1);
        assert_eq!(first_refused(&[tick(1), snapshot(3, Time)]).unwrap().0, 1);
        assert_eq!(first_refused(&[snapshot(9, Gap), tick(10)]).unwrap().0, 1);
    }

    #[test]
    fn nothing_goes_back() {
        assert_eq!(first_refused(&[tick(5), tick(5)]).unwrap().0, 1);
        assert_eq!(first_refused(&[tick(5), snapshot(5, BoundaryReason::Gap)]).unwrap().0, 1);
        assert_eq!(first_refused(&[tick(u64::MAX / 10), tick(u64::MAX / 10)]).unwrap().0, 1);
        assert_eq!(first_refused(&[tick(1), outputs(1), outputs(2)]).unwrap().0, 2);
        let mut early = Order::default();
        early.check(&tick(5)).unwrap();
        assert!(early.check(&Record::Tick(Incoming { tick: 6, now: Mono(49), inputs: Vec::new() })).is_err());
    }

    #[test]
    fn samples_are_numbered_from_one() {
        assert_eq!(first_refused(&[frame(1, 1), frame(2, 7), frame(3, 8)]), None);
        assert_eq!(first_refused(&[frame(1, 0)]).unwrap().0, 0);
        assert_eq!(first_refused(&[frame(1, 4), frame(2, 4)]).unwrap().0, 1);
    }

    #[test]
    fn between_files_there_may_be_a_hole() {
        let mut order = Order::default();
        order.check(&tick(1)).unwrap();
        order.next_file();
        order.check(&snapshot(7, BoundaryReason::Time)).unwrap();
        assert!(order.check(&tick(8)).is_err());
        order.check(&tick(7)).unwrap();
        order.next_file();
        assert!(order.check(&tick(9)).is_err(), "without a snapshot nothing is known of the world behind the hole");
    }
}
