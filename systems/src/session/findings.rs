//! A session tick by tick: what came in, and what was found out, as typed values.
//!
//! One pass, in the memory of one tick: the base of everything that looks at a whole drive.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use waywarden_components::prelude::*;

use super::{From, OutputsRecord, Record, SessionError, SessionInfo, SessionReader, SnapshotRecord};
use crate::ingress::Incoming;
use crate::msgpack;

/// Reads a session tick by tick.
pub struct Findings {
    reader: SessionReader,
    /// A record that belongs to the next tick.
    ahead: Option<Record>,
    last_tick: Option<u64>,
}

/// One tick of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct TickFindings {
    /// Its number.
    pub tick: u64,
    /// When it began.
    pub now: Mono,
    /// A segment begins with it.
    pub segment: Option<SegmentStart>,
    /// What came in, in order; frames and sound with their bytes.
    pub inputs: Vec<Input>,
    /// What was found out; none where no outputs were recorded, as in an import.
    pub found: Option<Found>,
}

/// The start of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentStart {
    /// Its number.
    pub number: u32,
    /// Why it begins.
    pub reason: BoundaryReason,
    /// Ticks before it that are not there: they could not be recorded, or their files are missing.
    pub missing_ticks: u64,
    /// What was known before its first tick; none in a session without snapshots.
    pub known: Option<Known>,
}

/// What outlives a tick and says how the devices and functions are, from a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The health of each device.
    pub health: Vec<(StableId, Health)>,
    /// Which models can be run.
    pub models: Option<ModelStatus>,
    /// The lane of each camera.
    pub ego_lanes: Vec<(StableId, EgoLane)>,
    /// The obstacles of each camera.
    pub obstacles: Vec<(StableId, Obstacles)>,
    /// Each microphone.
    pub voices: Vec<(StableId, Voice)>,
    /// Each receiver.
    pub gps: Vec<(StableId, GpsState)>,
    /// Each range finder.
    pub range: Vec<(StableId, RangeState)>,
}

/// What was found out in one tick: values that are new or differ from the tick before, in order of their ids.
///
/// In the first tick of a run all values are listed anew. Values of a frame are listed with their defaults
/// ([`LaneSource::None`], no boxes) when it comes in, and again when a result has arrived, some ticks later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Digest of the world.
    pub digest: u64,
    /// The size of a frame and its small picture, or why it cannot be decoded.
    pub thumbnails: Vec<(StableId, Thumbnail)>,
    /// What the gate said of a frame.
    pub gates: Vec<(StableId, GateScore)>,
    /// The lane in a frame.
    pub lanes: Vec<(StableId, LaneEstimate)>,
    /// The masks of a frame.
    pub segmentations: Vec<(StableId, Segmentation)>,
    /// The boxes in a frame.
    pub detections: Vec<(StableId, Detections)>,
    /// The newest lane of a camera.
    pub ego_lanes: Vec<(StableId, EgoLane)>,
    /// The newest obstacles of a camera.
    pub obstacles: Vec<(StableId, Obstacles)>,
    /// Obstacles followed over frames.
    pub tracks: Vec<(StableId, Track)>,
    /// Fixes of a receiver.
    pub fixes: Vec<(StableId, GpsFix)>,
    /// Readings of a range finder.
    pub ranges: Vec<(StableId, RangeReading)>,
    /// Speech in a piece of sound.
    pub speech: Vec<(StableId, SpeechProbability)>,
    /// What a microphone's voice detection remembers.
    pub voices: Vec<(StableId, Voice)>,
    /// Somebody has spoken.
    pub utterances: Vec<(StableId, Utterance)>,
    /// How a device is.
    pub health: Vec<(StableId, Health)>,
    /// What came from a device.
    pub counters: Vec<(StableId, Counters)>,
    /// Warnings.
    pub alerts: Vec<(StableId, Alert)>,
    /// Warnings and tracks that are over.
    pub gone: Vec<StableId>,
    /// Lines for the log.
    pub notices: Vec<Notice>,
    /// Which models can be run.
    pub models: Option<ModelStatus>,
    /// The date as satellites tell it, when they have been heard.
    pub date: Option<UtcOffset>,
    /// Values of these kinds that this build cannot read, counted by kind.
    pub unreadable: BTreeMap<String, u64>,
}

/// A job that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobEnd<'a> {
    /// Which.
    pub job: JobId,
    /// The frame it looked at.
    pub frame: StableId,
    /// How long it ran, in nanoseconds.
    pub took_ns: u64,
    /// What it found.
    pub output: &'a JobOutput,
}

impl Findings {
    /// Opens a session: an MCAP file, or a folder of segments.
    ///
    /// # Errors
    /// See [`SessionReader::open`].
    pub fn open(path: &Path) -> Result<Self, SessionError> {
        SessionReader::open(path).map(Self::of)
    }

    /// What is left to be read of a session.
    pub fn of(reader: SessionReader) -> Self {
        Self { reader, ahead: None, last_tick: None }
    }

    /// Reads on to a place to begin.
    ///
    /// # Errors
    /// See [`SessionReader::seek`].
    pub fn seek(&mut self, from: From) -> Result<(), SessionError> {
        self.reader.seek(from)
    }

    /// What the session says of itself.
    pub fn info(&self) -> &SessionInfo {
        self.reader.info()
    }

    /// Files that end in the middle, as far as they have been read.
    pub fn cuts(&self) -> &[String] {
        self.reader.cuts()
    }

    /// The next tick; None at the end.
    ///
    /// # Errors
    /// When the session is damaged.
    pub fn read(&mut self) -> Result<Option<TickFindings>, SessionError> {
        let mut snapshot = None;
        loop {
            match self.next_record()? {
                None => return Ok(None),
                Some(Record::Snapshot(record)) => snapshot = Some(record),
                // Of a tick that was not read: there is none, the reader sees to that.
                Some(Record::Outputs(_)) => {}
                Some(Record::Tick(incoming)) => {
                    let found = match self.next_record()? {
                        Some(Record::Outputs(outputs)) => Some(Found::of(outputs)),
                        other => {
                            self.ahead = other;
                            None
                        }
                    };
                    return Ok(Some(self.tick(incoming, snapshot, found)));
                }
            }
        }
    }

    fn next_record(&mut self) -> Result<Option<Record>, SessionError> {
        match self.ahead.take() {
            Some(record) => Ok(Some(record)),
            None => self.reader.read(),
        }
    }

    fn tick(&mut self, incoming: Incoming, snapshot: Option<SnapshotRecord>, found: Option<Found>) -> TickFindings {
        let Incoming { tick, now, inputs } = incoming;
        let missing = self.last_tick.map_or(0, |last| tick.saturating_sub(last.saturating_add(1)));
        self.last_tick = Some(tick);
        let boundary = inputs.iter().find_map(|input| match input.payload {
            Payload::Boundary { segment, reason } => Some((segment, reason)),
            _ => None,
        });
        let lost = snapshot.as_ref().map_or(0, |snapshot| snapshot.lost_ticks);
        let place = snapshot.as_ref().map(|snapshot| (snapshot.segment, snapshot.reason)).or(boundary);
        let segment = place.map(|(number, reason)| SegmentStart {
            number,
            reason,
            missing_ticks: missing.max(lost),
            known: snapshot.map(Known::of),
        });
        TickFindings { tick, now, segment, inputs, found }
    }
}

impl Iterator for Findings {
    type Item = Result<TickFindings, SessionError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl TickFindings {
    /// The frames that came in: id, time of capture, JPEG.
    pub fn frames(&self) -> impl Iterator<Item = (StableId, Mono, &Bytes)> {
        self.inputs.iter().filter_map(|input| match &input.payload {
            Payload::Frame(jpeg) => Some((StableId::new(input.stream, input.seq), input.captured, jpeg)),
            _ => None,
        })
    }

    /// The sound that came in: id, time of its last sample, 16 bit samples.
    pub fn sound(&self) -> impl Iterator<Item = (StableId, Mono, &Bytes)> {
        self.inputs.iter().filter_map(|input| match &input.payload {
            Payload::Audio(pcm) => Some((StableId::new(input.stream, input.seq), input.captured, pcm)),
            _ => None,
        })
    }

    /// What a simulator knows to be true, with the moment it is true of.
    pub fn truths(&self) -> impl Iterator<Item = (Mono, &Truth)> {
        self.inputs.iter().filter_map(|input| match &input.payload {
            Payload::Truth(truth) => Some((input.captured, &**truth)),
            _ => None,
        })
    }

    /// Items that the queue of a device dropped.
    pub fn drops(&self) -> impl Iterator<Item = (StreamId, DropPolicy, u64)> {
        self.inputs.iter().filter_map(|input| match input.payload {
            Payload::Dropped { policy, count } => Some((input.stream, policy, count)),
            _ => None,
        })
    }

    /// Jobs that have ended.
    pub fn jobs(&self) -> impl Iterator<Item = JobEnd<'_>> {
        self.inputs.iter().filter_map(|input| match &input.payload {
            Payload::JobDone { job, frame, took_ns, output } => {
                Some(JobEnd { job: *job, frame: *frame, took_ns: *took_ns, output })
            }
            _ => None,
        })
    }

    /// Jobs that did not end before their deadline, with the frame they looked at.
    pub fn missed_jobs(&self) -> impl Iterator<Item = (JobId, StableId)> {
        self.inputs.iter().filter_map(|input| match input.payload {
            Payload::JobMissed { job, frame } => Some((job, frame)),
            _ => None,
        })
    }

    /// Bytes of samples, as for [`Payload::weight`].
    pub fn weight(&self) -> u64 {
        self.inputs.iter().map(|input| input.payload.weight() as u64).sum()
    }
}

/// Takes values of the kinds that it is asked for.
fn take<T: Kind>(values: &mut Vec<(StableId, T)>, id: StableId, value: &[u8]) -> Result<(), ()> {
    values.push((id, decode(value)?));
    Ok(())
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, ()> {
    msgpack::decode(value).map_err(|_| ())
}

impl Found {
    fn of(outputs: OutputsRecord) -> Self {
        let mut found = Self { digest: outputs.digest, ..Self::default() };
        for change in outputs.changes {
            let taken = match &change.value {
                Some(value) => found.take(&change.kind, change.id, value),
                None => {
                    if matches!(&*change.kind, Track::NAME | Alert::NAME) {
                        found.gone.push(change.id);
                    }
                    Ok(())
                }
            };
            if taken.is_err() {
                *found.unreadable.entry(Cow::into_owned(change.kind)).or_default() += 1;
            }
        }
        found
    }

    fn take(&mut self, kind: &str, id: StableId, value: &[u8]) -> Result<(), ()> {
        match kind {
            Thumbnail::NAME => take(&mut self.thumbnails, id, value),
            GateScore::NAME => take(&mut self.gates, id, value),
            LaneEstimate::NAME => take(&mut self.lanes, id, value),
            Segmentation::NAME => take(&mut self.segmentations, id, value),
            Detections::NAME => take(&mut self.detections, id, value),
            EgoLane::NAME => take(&mut self.ego_lanes, id, value),
            Obstacles::NAME => take(&mut self.obstacles, id, value),
            Track::NAME => take(&mut self.tracks, id, value),
            GpsFix::NAME => take(&mut self.fixes, id, value),
            RangeReading::NAME => take(&mut self.ranges, id, value),
            SpeechProbability::NAME => take(&mut self.speech, id, value),
            Voice::NAME => take(&mut self.voices, id, value),
            Utterance::NAME => take(&mut self.utterances, id, value),
            Health::NAME => take(&mut self.health, id, value),
            Counters::NAME => take(&mut self.counters, id, value),
            Alert::NAME => take(&mut self.alerts, id, value),
            Notice::NAME => {
                self.notices.push(decode(value)?);
                Ok(())
            }
            ModelStatus::NAME => {
                self.models = Some(decode(value)?);
                Ok(())
            }
            GpsUtc::NAME => {
                self.date = decode::<GpsUtc>(value)?.utc;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Known {
    /// What cannot be read is left out: a replay of the same session says what is wrong with it.
    fn of(snapshot: SnapshotRecord) -> Self {
        let mut known = Self::default();
        for kind in snapshot.kinds {
            for (id, value) in kind.values {
                let _ = match &*kind.kind {
                    Health::NAME => take(&mut known.health, id, &value),
                    EgoLane::NAME => take(&mut known.ego_lanes, id, &value),
                    Obstacles::NAME => take(&mut known.obstacles, id, &value),
                    Voice::NAME => take(&mut known.voices, id, &value),
                    GpsState::NAME => take(&mut known.gps, id, &value),
                    RangeState::NAME => take(&mut known.range, id, &value),
                    ModelStatus::NAME => decode(&value).map(|models| known.models = Some(models)),
                    _ => Ok(()),
                };
            }
        }
        known
    }
}

#[cfg(test)]
mod tests;
