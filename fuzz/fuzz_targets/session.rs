//! Any bytes are read as a session to their end or to one error, without a panic and in bounded memory; and ticks,
//! times and numbers of samples never go back, whatever the bytes say.
//!
//! The first byte of the input says what the rest is: the file itself, or changes to the bytes of a sound file without
//! checksums, or changes to the messages of one. A change is four bytes: where (two or three), and to what.
#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcap::WriteOptions;
use mcap::records::{MessageHeader, Metadata};
use waywarden_components::prelude::*;
use waywarden_systems::ingress::Incoming;
use waywarden_systems::session::format::{JournalRecord, checksum};
use waywarden_systems::session::{OutputsRecord, Publisher, Record, SessionInfo, SessionReader, SnapshotRecord};

/// A topic, a sequence number and a message.
type Message = (String, u32, Vec<u8>);

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(messages);
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| file(&MESSAGES));

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => read(rest.to_vec()),
        1 => {
            let mut bytes = FILE.clone();
            for [high, middle, low, value] in rest.as_chunks::<4>().0 {
                let at = u32::from_be_bytes([0, *high, *middle, *low]) as usize % bytes.len();
                bytes[at] = *value;
            }
            read(bytes);
        }
        _ => {
            let mut messages = MESSAGES.clone();
            for [which, high, low, value] in rest.as_chunks::<4>().0 {
                let which = usize::from(*which) % messages.len();
                let bytes = &mut messages[which].2;
                match usize::from(u16::from_be_bytes([*high, *low])) {
                    at if at < bytes.len() => bytes[at] = *value,
                    at => bytes.truncate(bytes.len().saturating_sub(at % 16)),
                }
            }
            read(file(&messages));
        }
    }
});

fn read(bytes: Vec<u8>) {
    let Ok(mut reader) = SessionReader::from_bytes(Path::new("fuzz.mcap"), Bytes::from(bytes)) else { return };
    let (mut last, mut now, mut samples) = (None, Mono::default(), BTreeMap::new());
    let mut snapshots = 0;
    while let Ok(Some(record)) = reader.read() {
        match record {
            Record::Tick(Incoming { tick, now: at, inputs }) => {
                assert!(last.is_none_or(|last| tick > last) && at >= now);
                (last, now) = (Some(tick), at);
                for input in inputs {
                    if let Payload::Frame(_) | Payload::Audio(_) = input.payload {
                        assert!(samples.insert(input.stream, input.seq).unwrap_or_default() < input.seq);
                    }
                    if let Payload::JobDone { output: JobOutput::Segmentation(masks), .. } = input.payload {
                        let size = masks.lines.width as usize * masks.lines.height as usize;
                        assert_eq!(masks.lines.decode().len(), size);
                    }
                }
            }
            Record::Snapshot(_) => snapshots += 1,
            Record::Outputs(outputs) => assert_eq!(Some(outputs.tick), last),
        }
    }
    assert!(snapshots <= 4);
}

fn info() -> SessionInfo {
    let camera = StreamKind::Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    let kinds = [
        ("front", camera),
        ("microphone", StreamKind::Microphone),
        ("gps", StreamKind::Gps { protocol: Default::default() }),
    ];
    let streams = (1..).zip(kinds).map(|(id, (name, kind))| StreamSpec { id: StreamId(id), name: name.into(), kind });
    SessionInfo {
        format: (1, 0),
        session_id: "fuzz".to_owned(),
        origin: waywarden_systems::session::Origin::Live,
        build: Default::default(),
        config: String::new(),
        streams: streams.collect(),
        models: BTreeMap::new(),
        cpu: Vec::new(),
        boot_id: String::new(),
        log_time_offset_ns: 0,
        voice: None,
    }
}

/// A session of three ticks with an input of every kind.
fn messages() -> Vec<Message> {
    let info = info();
    let publisher = Publisher::new(&info.streams, 0);
    let mut messages = Vec::new();
    let mut own = |topic: &str, sequence: u64, data: Vec<u8>| messages.push((topic.to_owned(), sequence as u32, data));
    let snapshot = SnapshotRecord {
        segment: 0,
        reason: BoundaryReason::Start,
        tick: 1,
        now: 10,
        lost_ticks: 0,
        kinds: vec![serde_json::from_value(serde_json::json!({"kind": "gate", "values": []})).expect("a kind")],
    };
    own("/waywarden/snapshot", 0, rmp_serde::to_vec_named(&snapshot).expect("a snapshot"));
    let (job, frame) = (JobId { role: JobRole::Segmentation, number: 1 }, StableId::new(StreamId(1), 1));
    let mask = Mask::encode(4, 3, |x, y| x > y);
    let output = JobOutput::Segmentation(RoadMasks { drivable: mask.clone(), lines: mask });
    let bytes = || Bytes::from_static(b"\xff\xd8\xff\xd9");
    let utc = UtcOffset { offset_ns: 1, source: UtcSource::Gps, uncertainty_ns: 1 };
    let ticks = [
        vec![
            Payload::Boundary { segment: 0, reason: BoundaryReason::Start },
            Payload::Seed(7),
            Payload::Utc(utc),
            Payload::Link(LinkState::Lost("gone".into())),
        ],
        vec![Payload::Frame(bytes()), Payload::Audio(bytes()), Payload::Serial(bytes())],
        vec![
            Payload::Dropped { policy: DropPolicy::KeepNewest, count: 2 },
            Payload::JobDone { job, frame, took_ns: 1, output },
            Payload::JobMissed { job, frame },
            Payload::Shutdown,
        ],
    ];
    for (tick, payloads) in (1..).zip(ticks) {
        let now = Mono(tick * 10);
        let stream = |payload: &Payload| match payload {
            Payload::Frame(_) => StreamId(1),
            Payload::Audio(_) => StreamId(2),
            Payload::Serial(_) => StreamId(3),
            _ => StreamId(0),
        };
        let input = |payload| Input { stream: stream(&payload), seq: 1, captured: now, payload };
        let incoming = Incoming { tick, now, inputs: payloads.into_iter().map(input).collect() };
        for input in &incoming.inputs {
            let published = match &input.payload {
                Payload::Frame(jpeg) => publisher.frame(input.stream, now, jpeg),
                Payload::Audio(pcm) => publisher.audio(input.stream, now, pcm),
                _ => None,
            };
            if let Some(published) = published {
                own(&published.topic, input.seq, published.data.to_vec());
            }
        }
        own("/waywarden/journal", tick, rmp_serde::to_vec_named(&JournalRecord::of(&incoming)).expect("a tick"));
        let change = serde_json::json!({"kind": "gate", "id": {"stream": 1, "seq": 0}, "value": null});
        let changes = vec![serde_json::from_value(change).expect("a change")];
        let outputs = OutputsRecord { tick, digest: 42, changes };
        own("/waywarden/outputs", tick, rmp_serde::to_vec_named(&outputs).expect("outputs"));
    }
    messages
}

/// The messages as a file without checksums but the one of its description.
fn file(messages: &[Message]) -> Vec<u8> {
    let options = WriteOptions::new()
        .compression(None)
        .profile("waywarden")
        .chunk_size(Some(512))
        .calculate_chunk_crcs(false)
        .calculate_data_section_crc(false)
        .calculate_summary_section_crc(false);
    let mut writer = options.create(Cursor::new(Vec::new())).expect("memory is there");
    let json = serde_json::to_string(&info()).expect("a description");
    let metadata = [
        ("format".to_owned(), "1.0".to_owned()),
        ("checksum".to_owned(), checksum(&json)),
        ("session".to_owned(), json),
    ];
    let metadata = Metadata { name: "waywarden.session".to_owned(), metadata: metadata.into() };
    writer.write_metadata(&metadata).expect("memory is there");
    for (topic, sequence, data) in messages {
        let channel_id = writer.add_channel(0, topic, "", &BTreeMap::new()).expect("memory is there");
        let header = MessageHeader { channel_id, sequence: *sequence, log_time: 0, publish_time: 0 };
        writer.write_to_known_channel(&header, data).expect("memory is there");
    }
    writer.finish().expect("memory is there");
    writer.into_inner().into_inner()
}
