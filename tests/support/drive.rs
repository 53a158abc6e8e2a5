//! A short drive written by hand: every kind of finding, with values that are known.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::disallowed_methods, reason = "a drive by hand may sway by the platform's sine")]

use std::collections::BTreeMap;
use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg::{self, RgbPicture};
use waywarden_systems::ingress::Incoming;
use waywarden_systems::registry::{Change, SavedKind};
use waywarden_systems::session::{
    BuildInfo, FORMAT_MAJOR, FORMAT_MINOR, Origin, OutputsRecord, SegmentWriter, SessionInfo, SnapshotRecord,
};

/// The camera.
pub const CAMERA: StreamId = StreamId(1);
const GPS: StreamId = StreamId(2);
const RANGE: StreamId = StreamId(3);
const MICROPHONE: StreamId = StreamId(4);
const TRUTH: StreamId = StreamId(5);

/// Size of its pictures.
pub const SIZE: (u32, u32) = (320, 180);
/// Ticks a second; each has a picture.
pub const RATE: u64 = 20;
/// By how much the lane is found to be off, in metres.
pub const ERROR_M: f32 = 0.05;
/// Ticks that are missing in a drive with a gap.
pub const LOST: u64 = 100;

/// What the drive is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Ticks.
    pub ticks: u64,
    /// Whether there is a gap in the middle.
    pub gap: bool,
    /// Ticks a segment.
    pub segment: u64,
}

/// A drive of ten seconds.
pub const PLAN: Plan = Plan { ticks: 200, gap: false, segment: 100 };

fn change<T: Kind>(id: StableId, value: &T) -> Change {
    Change { kind: T::NAME.into(), id, value: Some(rmp_serde::to_vec_named(value).unwrap()) }
}

/// The left line goes straight from here up to the middle of the picture.
pub const LEFT_BOTTOM: f32 = 60.0;

fn line(bottom: f32) -> Option<Vec<ImagePoint>> {
    let middle = SIZE.0 as f32 / 2.0;
    Some(
        (0..=8)
            .map(|n| n as f32 / 8.0)
            .map(|up| ImagePoint { x: bottom + up * (middle - bottom), y: 179.0 - up * 80.0 })
            .collect(),
    )
}

fn info() -> SessionInfo {
    let geometry = CameraGeometry::default();
    let kinds = [
        ("front", StreamKind::Camera { role: CameraRole::Front, geometry }),
        ("gps", StreamKind::Gps { protocol: GpsProtocol::Nmea }),
        ("range", StreamKind::Range { protocol: RangeProtocol::Tfmini }),
        ("microphone", StreamKind::Microphone),
        ("truth", StreamKind::Truth),
    ];
    let streams = (1..).zip(kinds).map(|(n, (name, kind))| StreamSpec { id: StreamId(n), name: name.to_owned(), kind });
    SessionInfo {
        format: (FORMAT_MAJOR, FORMAT_MINOR),
        session_id: "by hand".to_owned(),
        origin: Origin::Live,
        build: BuildInfo { version: "0.0.0".to_owned(), commit: "none".to_owned(), ..BuildInfo::default() },
        config: "[tick]\nperiod_ms = 50\n".to_owned(),
        streams: streams.collect(),
        models: BTreeMap::new(),
        cpu: vec!["abacus".to_owned()],
        boot_id: String::new(),
        log_time_offset_ns: 0,
        voice: None,
    }
}

/// A grey picture that gets lighter over time.
fn picture(tick: u64) -> Vec<u8> {
    let grey = 60 + (tick % 100) as u8;
    let data = vec![grey; 3 * SIZE.0 as usize * SIZE.1 as usize];
    jpeg::encode_rgb(&RgbPicture { width: SIZE.0, height: SIZE.1, data }, 80).unwrap().to_vec()
}

fn truth(tick: u64) -> Truth {
    let offset_m = (tick as f32 / 40.0).sin() * 0.4;
    let object = TrueObject {
        id: 1,
        class: ObjectClass::Car,
        distance_m: 40.0 + (tick as f32 / 50.0).cos() * 10.0,
        left_m: 0.0,
        closing_mps: 1.0,
        width_m: 1.8,
        height_m: 1.5,
        in_lane: true,
        image: None,
    };
    Truth {
        lane: Some(LaneGeometry { offset_m, width_m: 3.6, ..LaneGeometry::default() }),
        speed_mps: 25.0,
        latitude_deg: 48.0 + tick as f64 * 1e-5,
        longitude_deg: 10.0,
        objects: vec![object],
        range_m: Some(8.0),
        speech: tick % 100 > 60,
        ..Truth::default()
    }
}

fn found(tick: u64, frame: StableId) -> Vec<Change> {
    let true_lane = truth(tick).lane.unwrap_or_default();
    let lane = LaneEstimate {
        left: line(LEFT_BOTTOM),
        right: line(SIZE.0 as f32 - LEFT_BOTTOM),
        confidence: 0.8,
        geometry: Some(LaneGeometry { offset_m: true_lane.offset_m + ERROR_M, ..true_lane }),
        source: LaneSource::Classical,
        ..LaneEstimate::default()
    };
    let car = Detection { class: ObjectClass::Car, score: 0.9, left: 140.0, top: 80.0, width: 40.0, height: 30.0 };
    let luma = Luma(vec![100; THUMBNAIL_SIDE * THUMBNAIL_SIDE]);
    let judged = GateScore::Judged { difference: (tick % 7) as f32, accepted: tick % 2 == 1, forced: false };
    let mut changes = vec![
        change(frame, &Detections { boxes: Some(vec![car]) }),
        change(frame, &judged),
        change(frame, &lane),
        change(frame, &Thumbnail::Ready { width: SIZE.0, height: SIZE.1, luma }),
    ];
    if tick % RATE == 1 {
        let fix = GpsFix {
            latitude_deg: 48.0 + tick as f64 * 1e-5,
            longitude_deg: 10.0,
            speed_mps: Some(25.0),
            ..Default::default()
        };
        changes.push(change(StableId::new(GPS, tick), &fix));
        let validity = if tick % (2 * RATE) == 1 { RangeValidity::Valid } else { RangeValidity::Weak };
        changes.push(change(StableId::new(RANGE, tick), &RangeReading { distance_m: 8.0, strength: None, validity }));
    }
    if tick == 30 {
        let health = Health { state: FunctionState::Degraded, reason: "the lens is <dirty>".to_owned() };
        changes.push(change(StableId::device(CAMERA), &health));
        let text = "the lens is <dirty></script>".to_owned();
        changes.push(change(
            StableId::default(),
            &Notice { level: NoticeLevel::Warning, source: "front".to_owned(), text },
        ));
        let alert = Alert {
            kind: AlertKind::LaneDeparture,
            level: AlertLevel::Caution,
            started: Mono(0),
            text: "0.2 m to the left line".to_owned(),
            evidence: Vec::new(),
            ended: None,
        };
        changes.push(change(StableId::new(StreamId::ALERTS, 1), &alert));
    }
    if tick == 90 {
        changes.push(change(StableId::device(CAMERA), &Health { state: FunctionState::Active, reason: String::new() }));
        changes.push(Change { kind: Alert::NAME.into(), id: StableId::new(StreamId::ALERTS, 1), value: None });
        let (start, end) = (at(60), at(90));
        let said = Utterance {
            start,
            end,
            confidence: 0.9,
            level_dbfs: -20.0,
            samples: 24_000,
            speech_from: start,
            speech_until: end,
        };
        changes.push(change(StableId::new(StreamId::utterances_of(MICROPHONE), 1), &said));
        changes.push(change(
            StableId::device(MICROPHONE),
            &Voice { utterances: 1, speech_samples: 24_000, ..Voice::default() },
        ));
    }
    changes
}

fn at(tick: u64) -> Mono {
    Mono(tick * 1_000_000_000 / RATE)
}

fn snapshot(segment: u32, reason: BoundaryReason, tick: u64, lost_ticks: u64) -> SnapshotRecord {
    let health = Health { state: FunctionState::Active, reason: String::new() };
    let values = vec![(StableId::device(CAMERA), rmp_serde::to_vec_named(&health).unwrap().into())];
    let kinds = vec![SavedKind { kind: Health::NAME.to_owned(), values }];
    SnapshotRecord { segment, reason, tick, now: at(tick).0, lost_ticks, kinds }
}

/// Writes the drive.
pub fn write(path: &Path, plan: Plan) {
    let mut writer = SegmentWriter::create(path, &info()).unwrap();
    let (mut segment, mut tick) = (0, 0);
    for n in 0..plan.ticks {
        let gap = plan.gap && n == plan.ticks / 2;
        tick += if gap { LOST + 1 } else { 1 };
        if n % plan.segment == 0 || gap {
            let reason = match (gap, n) {
                (true, _) => BoundaryReason::Gap,
                (false, 0) => BoundaryReason::Start,
                (false, _) => BoundaryReason::Time,
            };
            writer.snapshot(&snapshot(segment, reason, tick, if gap { LOST } else { 0 })).unwrap();
            segment += 1;
        }
        let frame = StableId::new(CAMERA, tick);
        let input = |stream, seq, payload| Input { stream, seq, captured: at(tick), payload };
        let mut inputs = vec![
            input(CAMERA, tick, Payload::Frame(picture(tick).into())),
            input(TRUTH, 0, Payload::Truth(Box::new(truth(tick)))),
        ];
        if n == 0 {
            let offset_ns = 1_795_420_799_000_000_000;
            inputs.push(input(
                StreamId::APP,
                0,
                Payload::Utc(UtcOffset { offset_ns, source: UtcSource::Gps, uncertainty_ns: 0 }),
            ));
        }
        if n == 5 {
            inputs.push(input(CAMERA, 0, Payload::Dropped { policy: DropPolicy::KeepNewest, count: 3 }));
        }
        if n % 4 == 3 {
            let job = JobId { role: JobRole::Detection, number: n / 4 + 1 };
            let done = Payload::JobDone { job, frame, took_ns: 40_000_000, output: JobOutput::Detections(Vec::new()) };
            inputs.push(input(StreamId::APP, 0, done));
        }
        writer.tick(&Incoming { tick, now: at(tick), inputs }).unwrap();
        let record = OutputsRecord { tick, digest: tick, changes: found(tick, frame) };
        writer.outputs(at(tick), &record).unwrap();
    }
    writer.finish().unwrap();
}
