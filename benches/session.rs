//! The session that is measured with: a real clip where there is one, else a simulated drive.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use waywarden::config::Config;
use waywarden::session_info;
use waywarden_components::prelude::*;
use waywarden_systems::ingress::Incoming;
use waywarden_systems::session::{Origin, Record, SegmentWriter, SessionReader};
use waywarden_systems::simulate::camera::{CameraSettings, CameraSimulator};
use waywarden_systems::simulate::{Drive, Scenario};

/// The front camera of a session made here.
const FRONT: StreamId = StreamId(1);

/// A session of 1280x720 frames, and what it is. Small, when `quick`.
pub fn make(folder: &Path, quick: bool) -> Result<(PathBuf, String), Box<dyn Error>> {
    let data = std::env::var_os("WAYWARDEN_DATA").map(PathBuf::from).unwrap_or_else(|| "../shared".into());
    let clip = data.join("data/video/highway-720p-50s.mp4");
    if !quick && clip.exists() {
        return Ok((imported(&clip)?, "a real drive on a highway, 50 s, 25 frames a second".to_owned()));
    }
    let (size, seconds) = if quick { ((320, 180), 2) } else { ((1280, 720), 40) };
    let (width, height) = size;
    let loop_frames = Some(25 * seconds.min(10));
    let settings = CameraSettings { width, height, fps: 25.0, loop_frames, ..CameraSettings::default() };
    let mut camera = CameraSimulator::new(&Drive::new(&Scenario::default(), 1), settings)?;
    let jpegs: Vec<Bytes> = (0..25 * seconds)
        .filter_map(|_| match camera.next().payload {
            Payload::Frame(jpeg) => Some(jpeg),
            _ => None,
        })
        .collect();
    let path = folder.join("simulated.mcap");
    write(&path, &jpegs, 1)?;
    Ok((path, format!("a simulated drive, {width}x{height}, {seconds} s, 25 frames a second")))
}

/// Imports a clip, unless this build has done so before.
fn imported(clip: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-highway.mcap");
    if SessionReader::open(&path).is_ok_and(|session| session.info().build == session_info::build()) {
        return Ok(path);
    }
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let mut import = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    let done = import.arg("import").arg("--video").arg(clip).arg("-o").arg(&path).output()?;
    if done.status.success() { Ok(path) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
}

/// Writes frames as an imported session, `times` over: a tick every 10 ms, a frame every 40.
pub fn write(path: &Path, jpegs: &[Bytes], times: usize) -> Result<(), Box<dyn Error>> {
    let streams = [StreamSpec {
        id: FRONT,
        name: "front".to_owned(),
        kind: StreamKind::Camera { role: CameraRole::Front, geometry: CameraGeometry::default() },
    }];
    let info = session_info::describe(Origin::Import, &Config::default(), &streams, Default::default());
    let mut writer = SegmentWriter::create(path, &info)?;
    let (mut tick, mut seq) = (0, 0);
    for jpeg in std::iter::repeat_n(jpegs, times).flatten() {
        for part in 0..4 {
            tick += 1;
            let now = Mono::default() + Duration::from_millis(10 * tick);
            let mut inputs = Vec::new();
            if tick == 1 {
                let payload = Payload::Boundary { segment: 0, reason: BoundaryReason::Start };
                inputs.push(Input { stream: StreamId::APP, seq: 0, captured: now, payload });
            }
            if part == 0 {
                seq += 1;
                inputs.push(Input { stream: FRONT, seq, captured: now, payload: Payload::Frame(jpeg.clone()) });
            }
            writer.tick(&Incoming { tick, now, inputs })?;
        }
    }
    Ok(writer.finish()?)
}

/// The frames of a session.
pub fn frames(path: &Path) -> Result<Vec<Bytes>, Box<dyn Error>> {
    let mut session = SessionReader::open(path)?;
    let mut frames = Vec::new();
    while let Some(record) = session.read()? {
        let Record::Tick(incoming) = record else { continue };
        frames.extend(incoming.inputs.into_iter().filter_map(|input| match input.payload {
            // A copy of its own length: a slice would keep the whole record.
            Payload::Frame(jpeg) => Some(Bytes::copy_from_slice(&jpeg)),
            _ => None,
        }));
    }
    Ok(frames)
}
