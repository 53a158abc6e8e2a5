use super::*;
use crate::registry::{Change, SavedKind};
use crate::session::{BuildInfo, FORMAT_MAJOR, FORMAT_MINOR, Origin, SegmentWriter};

const CAMERA: StreamId = StreamId(1);
const FRAME: StableId = StableId::new(CAMERA, 1);

fn info() -> SessionInfo {
    let kind = StreamKind::Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    SessionInfo {
        format: (FORMAT_MAJOR, FORMAT_MINOR),
        session_id: "a".to_owned(),
        origin: Origin::Live,
        build: BuildInfo::default(),
        config: String::new(),
        streams: vec![StreamSpec { id: CAMERA, name: "front".to_owned(), kind }],
        models: BTreeMap::new(),
        cpu: Vec::new(),
        boot_id: String::new(),
        log_time_offset_ns: 0,
        voice: None,
    }
}

fn value<T: Kind>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

fn change<T: Kind>(id: StableId, of: Option<&T>) -> Change {
    Change { kind: T::NAME.into(), id, value: of.map(value) }
}

fn saved<T: Kind>(id: StableId, of: &T) -> SavedKind {
    SavedKind { kind: T::NAME.to_owned(), values: vec![(id, value(of).into())] }
}

fn input(seq: u64, payload: Payload) -> Input {
    Input { stream: CAMERA, seq, captured: Mono(5), payload }
}

fn incoming(tick: u64, inputs: Vec<Input>) -> Incoming {
    Incoming { tick, now: Mono(tick * 10), inputs }
}

fn snapshot(segment: u32, tick: u64, lost_ticks: u64, kinds: Vec<SavedKind>) -> SnapshotRecord {
    let reason = if lost_ticks > 0 { BoundaryReason::Gap } else { BoundaryReason::Start };
    SnapshotRecord { segment, reason, tick, now: tick * 10, lost_ticks, kinds }
}

/// Writes a session and reads it again.
fn read(write: impl FnOnce(&mut SegmentWriter)) -> Vec<TickFindings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.mcap");
    let mut writer = SegmentWriter::create(&path, &info()).unwrap();
    write(&mut writer);
    writer.finish().unwrap();
    let findings = Findings::open(&path).unwrap();
    assert_eq!(findings.info(), &info());
    findings.collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_tick_has_what_came_in_and_what_was_found() {
    let estimate = LaneEstimate { confidence: 0.5, source: LaneSource::Classical, ..Default::default() };
    let health = Health { state: FunctionState::Fault, reason: "gone".to_owned() };
    let notice = Notice { level: NoticeLevel::Error, source: "front".to_owned(), text: "gone".to_owned() };
    let judged = GateScore::Judged { difference: 3.0, accepted: true, forced: false };
    let ticks = read(|writer| {
        writer.snapshot(&snapshot(0, 1, 0, vec![saved(StableId::device(CAMERA), &health)])).unwrap();
        let truth = Truth { speed_mps: 20.0, ..Truth::default() };
        let inputs = vec![
            input(1, Payload::Frame(Bytes::from_static(b"jpeg"))),
            input(0, Payload::Truth(Box::new(truth))),
            input(0, Payload::Dropped { policy: DropPolicy::KeepNewest, count: 3 }),
        ];
        writer.tick(&incoming(1, inputs)).unwrap();
        let changes = vec![
            change(FRAME, Some(&judged)),
            change(StableId::device(CAMERA), Some(&health)),
            change(FRAME, Some(&estimate)),
            change(StableId::default(), Some(&notice)),
        ];
        writer.outputs(Mono(10), &OutputsRecord { tick: 1, digest: 7, changes }).unwrap();
        writer.tick(&incoming(2, Vec::new())).unwrap();
        writer.tick(&incoming(3, Vec::new())).unwrap();
        let gone = change::<Alert>(StableId::new(StreamId::ALERTS, 1), None);
        writer.outputs(Mono(30), &OutputsRecord { tick: 3, digest: 8, changes: vec![gone] }).unwrap();
    });
    assert_eq!(ticks.iter().map(|tick| tick.tick).collect::<Vec<_>>(), [1, 2, 3]);
    let first = &ticks[0];
    let start = first.segment.as_ref().unwrap();
    assert_eq!((start.number, start.reason, start.missing_ticks), (0, BoundaryReason::Start, 0));
    assert_eq!(start.known.as_ref().unwrap().health, [(StableId::device(CAMERA), health.clone())]);
    assert_eq!(first.frames().next(), Some((FRAME, Mono(5), &Bytes::from_static(b"jpeg"))));
    assert_eq!(first.truths().next().unwrap().1.speed_mps, 20.0);
    assert_eq!(first.drops().next(), Some((CAMERA, DropPolicy::KeepNewest, 3)));
    let found = first.found.as_ref().unwrap();
    assert_eq!(found.digest, 7);
    assert_eq!(found.gates, [(FRAME, judged)]);
    assert_eq!(found.lanes, [(FRAME, estimate)]);
    assert_eq!(found.health, [(StableId::device(CAMERA), health)]);
    assert_eq!(found.notices, [notice]);
    // Outputs belong to the tick before them, and to no other.
    assert_eq!(ticks[1].found, None);
    assert_eq!(ticks[2].found.as_ref().unwrap().gone, [StableId::new(StreamId::ALERTS, 1)]);
    assert!(ticks[1].segment.is_none() && ticks[2].segment.is_none());
}

#[test]
fn gaps_are_counted_by_what_is_said_and_by_what_is_not_there() {
    let ticks = read(|writer| {
        writer.snapshot(&snapshot(0, 1, 0, Vec::new())).unwrap();
        writer.tick(&incoming(1, Vec::new())).unwrap();
        writer.snapshot(&snapshot(1, 9, 7, Vec::new())).unwrap();
        writer.tick(&incoming(9, Vec::new())).unwrap();
    });
    let start = ticks[1].segment.as_ref().unwrap();
    assert_eq!((start.number, start.reason, start.missing_ticks), (1, BoundaryReason::Gap, 7));
}

#[test]
fn a_session_without_snapshots_has_segments_too() {
    let boundary = |segment, reason| Input {
        stream: StreamId::APP,
        seq: 0,
        captured: Mono(10),
        payload: Payload::Boundary { segment, reason },
    };
    let ticks = read(|writer| {
        writer.tick(&incoming(1, vec![boundary(0, BoundaryReason::Start)])).unwrap();
        writer.tick(&incoming(2, vec![boundary(1, BoundaryReason::Time)])).unwrap();
    });
    let start = ticks[1].segment.as_ref().unwrap();
    assert_eq!((start.number, start.reason), (1, BoundaryReason::Time));
    assert_eq!(start.known, None);
}

#[test]
fn values_of_another_build_are_counted_and_do_not_end_the_reading() {
    let ticks = read(|writer| {
        writer.tick(&incoming(1, Vec::new())).unwrap();
        let odd = Change { kind: Health::NAME.into(), id: StableId::device(CAMERA), value: Some(vec![0xc0]) };
        let new = Change { kind: "unheard_of".into(), id: FRAME, value: Some(vec![0xc0]) };
        writer.outputs(Mono(10), &OutputsRecord { tick: 1, digest: 1, changes: vec![odd, new] }).unwrap();
    });
    let found = ticks[0].found.as_ref().unwrap();
    assert_eq!(found.unreadable, BTreeMap::from([("health".to_owned(), 1)]));
    assert!(found.health.is_empty());
}
