use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::clock::boottime;
use crate::ingress::{Inlet, channel, wake};
use crate::session::{
    FORMAT_MAJOR, FORMAT_MINOR, Medium, Origin, Record, SegmentWriter, SessionInfo, SessionReader, Window, WriteError,
    preserve,
};

/// Bytes that come in with each tick.
const TICK_BYTES: usize = 10_000;

fn info() -> SessionInfo {
    SessionInfo {
        format: (FORMAT_MAJOR, FORMAT_MINOR),
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
    }
}

fn snapshot(segment: u32, tick: u64) -> SnapshotRecord {
    let (reason, now) = (BoundaryReason::Time, time(tick).0);
    SnapshotRecord { segment, reason, tick, now, lost_ticks: 0, kinds: Vec::new() }
}

/// Ten ticks a second.
fn time(tick: u64) -> Mono {
    Mono(tick * 100_000_000)
}

fn incoming(tick: u64) -> Incoming {
    let payload = Payload::Serial(Bytes::from(vec![7; TICK_BYTES]));
    let input = Input { stream: StreamId(1), seq: tick, captured: time(tick), payload };
    Incoming { tick, now: time(tick), inputs: vec![input] }
}

fn outputs(tick: u64) -> OutputsRecord {
    OutputsRecord { tick, digest: tick, changes: Vec::new() }
}

/// A session of segments with ten ticks each, in `folder/name`.
pub(super) fn write_session(folder: &Path, name: &str, segments: u32) -> Vec<PathBuf> {
    let session = folder.join(name);
    std::fs::create_dir_all(&session).unwrap();
    let write = |segment: u32| {
        let path = session.join(format!("segment-{segment:05}.mcap"));
        let mut writer = SegmentWriter::create(&path, &info()).unwrap();
        let first = u64::from(segment) * 10 + 1;
        writer.snapshot(&snapshot(segment, first)).unwrap();
        for tick in first..first + 10 {
            writer.tick(&incoming(tick)).unwrap();
            writer.outputs(time(tick), &outputs(tick)).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    (0..segments).map(write).collect()
}

/// A disk whose faults a test decides on.
#[derive(Default)]
struct Disk {
    faults: Mutex<Faults>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Faults {
    /// Bytes that still fit; all, if none.
    room: Option<usize>,
    /// Every access fails.
    broken: bool,
    /// Waiting for the disk fails.
    forgetful: bool,
    /// Every access waits.
    stuck: bool,
    /// Somebody waits for a disk that is stuck.
    waited_for: bool,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock().unwrap());
        self.changed.notify_all();
    }

    fn ready(&self) -> io::Result<std::sync::MutexGuard<'_, Faults>> {
        let stays = |faults: &mut Faults| {
            faults.waited_for = faults.stuck;
            faults.stuck
        };
        let faults = self.changed.wait_while(self.faults.lock().unwrap(), stays).unwrap();
        if faults.broken { Err(io::Error::other("broken")) } else { Ok(faults) }
    }
}

struct TestFile(std::fs::File, Arc<Disk>);

impl Medium for TestFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut faults = self.1.ready()?;
        let fits = faults.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        faults.room = faults.room.map(|room| room - fits);
        self.0.append(&bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.ready()?.forgetful { Err(io::Error::other("forgotten")) } else { self.0.sync() }
    }

    fn shorten(&self, length: u64) -> io::Result<()> {
        drop(self.1.ready()?);
        self.0.shorten(length)
    }
}

/// A recording of ticks that a test makes.
struct Recording {
    dir: tempfile::TempDir,
    disk: Arc<Disk>,
    world: World,
    control: Control,
    inlet: Inlet,
    thread: Option<JoinHandle<Result<(), WriteError>>>,
    tick: u64,
    segment: u32,
    said: Vec<Payload>,
}

const QUEUE: usize = 20 * TICK_BYTES;

impl Recording {
    fn start() -> Self {
        let (dir, disk, control) = (tempfile::tempdir().unwrap(), Arc::new(Disk::default()), Control::default());
        let settings = RecorderSettings {
            destination: Destination::Folder(dir.path().join("session")),
            info: info(),
            queue_bytes: QUEUE,
            patient: false,
            flush: Duration::from_millis(5),
            segment_bytes: 30 * TICK_BYTES as u64,
        };
        let (outlet, inlet) = channel(StreamId::RECORDER, 16, DropPolicy::KeepOldest, wake().0);
        let told = Told { world: Some(outlet), keeper: None };
        let (recorder, mut thread) = Recorder::telling(settings, control.clone(), told);
        thread.retry = Duration::from_millis(10);
        let theirs = disk.clone();
        thread.create = Box::new(move |path| {
            drop(theirs.ready()?);
            let file = std::fs::File::options().write(true).create_new(true).open(path)?;
            Ok(Arc::new(TestFile(file, theirs.clone())))
        });
        let mut world = World::new();
        world.init_resource::<registry::Registry>();
        world.insert_resource(recorder);
        let thread = Some(std::thread::Builder::new().spawn(move || thread.run()).unwrap());
        let mut recording = Self { dir, disk, world, control, inlet, thread, tick: 0, segment: 0, said: Vec::new() };
        recording.boundary(BoundaryReason::Start);
        recording
    }

    fn stats(&self) -> Arc<RecorderStats> {
        self.world.resource::<Recorder>().stats()
    }

    fn boundary(&mut self, reason: BoundaryReason) {
        let next = self.tick + 1;
        Recorder::save_snapshot(&mut self.world, next, time(next), self.segment, reason);
        self.segment += 1;
    }

    /// A tick, and before it a boundary if one is wished for.
    fn tick(&mut self) {
        if let Some(reason) = self.control.take_boundary() {
            self.boundary(reason);
        }
        self.tick += 1;
        self.world.resource::<Recorder>().tick(incoming(self.tick), outputs(self.tick));
        self.said.extend(self.inlet.drain().into_iter().map(|delivery| delivery.payload));
    }

    /// Ticks until something is so, no faster than the recorder's thread is let run by a busy computer: what is lost is
    /// lost to the disk.
    #[expect(clippy::disallowed_methods, reason = "waits for another thread")]
    fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let begin = boottime();
        let stats = self.stats();
        while !wanted(self) {
            assert!(boottime().since(begin) < Duration::from_secs(60), "{what}: {:?} {:?}", self.said, self.stats());
            let stuck = self.disk.faults.lock().unwrap().stuck;
            if stuck || stats.waiting.load(Ordering::Relaxed) <= QUEUE / 2 {
                self.tick();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn last_link(&self) -> Option<&LinkState> {
        self.said.iter().rev().find_map(|payload| match payload {
            Payload::Link(state) => Some(state),
            _ => None,
        })
    }

    fn goes_well(&self) -> bool {
        self.last_link() == Some(&LinkState::Connected)
    }

    /// Ends it. All ticks that are not lost can be read, the others are counted, in the world and in the session: the holes
    /// of the session, in order.
    fn finish(mut self) -> Vec<u64> {
        let (stats, total) = (self.stats(), self.tick);
        self.world.remove_resource::<Recorder>();
        let _ = self.thread.take().unwrap().join().unwrap();
        self.said.extend(self.inlet.drain().into_iter().map(|delivery| delivery.payload));
        let mut reader = SessionReader::open(&self.dir.path().join("session")).unwrap();
        let (mut read, mut holes, mut next) = (0, Vec::new(), 1);
        while let Some(record) = reader.read().unwrap() {
            match record {
                Record::Snapshot(snapshot) => {
                    assert_eq!(snapshot.lost_ticks, snapshot.tick - next, "segment {}", snapshot.segment);
                    assert_eq!(snapshot.lost_ticks > 0, snapshot.reason == BoundaryReason::Gap);
                    holes.extend(Some(snapshot.lost_ticks).filter(|lost| *lost > 0));
                    next = snapshot.tick;
                }
                Record::Tick(incoming) => {
                    assert_eq!(incoming.tick, next);
                    (read, next) = (read + 1, next + 1);
                }
                Record::Outputs(_) => {}
            }
        }
        let lost = stats.lost.load(Ordering::Relaxed);
        assert_eq!(read + lost, total, "of {total} ticks");
        assert_eq!(stats.ticks.load(Ordering::Relaxed), read);
        let at_the_end = total + 1 - next;
        assert_eq!(holes.iter().sum::<u64>() + at_the_end, lost);
        let told = |payload: &Payload| match payload {
            Payload::Dropped { count, .. } => *count,
            _ => 0,
        };
        let told: u64 = self.said.iter().map(told).sum();
        if self.last_link() == Some(&LinkState::Connected) {
            assert_eq!(told, lost - at_the_end, "{:?}", self.said);
        }
        assert_eq!(stats.waiting.load(Ordering::Relaxed), 0);
        holes
    }
}

#[test]
fn a_disk_that_takes_everything_loses_nothing() {
    let mut recording = Recording::start();
    recording.until("three segments", |recording| recording.segment == 3);
    // The recorder may be behind.
    recording.until("all of it recorded", Recording::goes_well);
    assert!(recording.finish().is_empty());
}

#[test]
fn a_disk_that_is_stuck_costs_ticks_and_never_stops_one() {
    let mut recording = Recording::start();
    recording.until("a start", Recording::goes_well);
    recording.disk.set(|faults| faults.stuck = true);
    recording.until("a disk that is waited for", |recording| recording.disk.faults.lock().unwrap().waited_for);
    // The thread that ticks comes through here by itself; the recorder's is waited for by nobody.
    (0..500).for_each(|_| recording.tick());
    let stats = recording.stats();
    assert!(stats.waiting.load(Ordering::Relaxed) <= QUEUE);
    assert!(stats.lost.load(Ordering::Relaxed) > 400, "{stats:?}");
    assert_eq!(recording.last_link(), Some(&LinkState::Lost("the disk is too slow for what is recorded".to_owned())));
    recording.disk.set(|faults| faults.stuck = false);
    recording.until("a recording again", Recording::goes_well);
    (0..5).for_each(|_| recording.tick());
    assert_eq!(recording.finish().len(), 1);
}

#[test]
fn a_full_disk_costs_what_does_not_fit_to_the_tick() {
    let mut recording = Recording::start();
    recording.until("a start", Recording::goes_well);
    recording.disk.set(|faults| faults.room = Some(5 * TICK_BYTES / 2));
    recording.until("a full disk", |recording| matches!(recording.last_link(), Some(LinkState::Lost(_))));
    let Some(LinkState::Lost(reason)) = recording.last_link() else { panic!("just seen") };
    assert!(reason.contains("record.keep_gb"), "{reason}");
    let (tried, attempts) = (recording.segment, 5);
    recording.until("more attempts", |recording| recording.segment > tried + attempts);
    // There is no file for each of them.
    let files = std::fs::read_dir(recording.dir.path().join("session")).unwrap().count() as u32;
    assert!(files + attempts <= recording.segment, "{files} files");
    recording.disk.set(|faults| faults.room = None);
    recording.until("a recording again", Recording::goes_well);
    (0..5).for_each(|_| recording.tick());
    assert_eq!(recording.finish().len(), 1);
}

#[test]
fn a_disk_that_forgets_what_it_had_taken_costs_that() {
    let mut recording = Recording::start();
    recording.until("a start", Recording::goes_well);
    recording.disk.set(|faults| faults.forgetful = true);
    recording.until("a loss", |recording| matches!(recording.last_link(), Some(LinkState::Lost(_))));
    recording.disk.set(|faults| faults.forgetful = false);
    recording.until("a recording again", Recording::goes_well);
    assert_eq!(recording.finish().len(), 1);
}

#[test]
fn a_disk_that_is_gone_from_the_start_is_waited_for() {
    let mut recording = Recording::start();
    recording.disk.set(|faults| faults.broken = true);
    recording.until("a loss", |recording| matches!(recording.last_link(), Some(LinkState::Lost(_))));
    (0..100).for_each(|_| recording.tick());
    recording.disk.set(|faults| faults.broken = false);
    recording.until("a recording", Recording::goes_well);
    recording.finish();
}

#[test]
fn whatever_a_disk_does_every_tick_is_recorded_or_counted() {
    for seed in 0..8 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut recording = Recording::start();
        for _ in 0..60 {
            let full = random.random_bool(0.3).then(|| random.random_range(0..20 * TICK_BYTES));
            let [broken, forgetful, stuck] = [0.2, 0.2, 0.2].map(|chance| random.random_bool(chance));
            recording.disk.set(|faults| *faults = Faults { room: full, broken, forgetful, stuck, waited_for: false });
            let until = recording.tick + random.random_range(1..30);
            recording.until("more ticks", |recording| recording.tick >= until);
        }
        recording.disk.set(|faults| *faults = Faults::default());
        recording.until("a recording again", Recording::goes_well);
        (0..5).for_each(|_| recording.tick());
        recording.finish();
    }
}

#[test]
fn a_piece_of_a_session_is_a_session() {
    let dir = tempfile::tempdir().unwrap();
    write_session(dir.path(), "drive", 6);
    let kept = |session: &Path, at: u64, around: u64, name: &str| {
        let window = Window { at: Duration::from_millis(at), around: Duration::from_millis(around) };
        let out = dir.path().join(name);
        let piece = preserve(session, window, &out).unwrap();
        let mut reader = SessionReader::open(&out).unwrap();
        let mut ticks = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            if let Record::Tick(incoming) = record {
                ticks.push(incoming.tick);
            }
        }
        (piece, ticks)
    };
    // Segments of a second: 0 to 1 s holds ticks 1 to 10.
    let session = dir.path().join("drive");
    let (piece, ticks) = kept(&session, 2500, 300, "one");
    assert_eq!((piece.files.len(), ticks), (1, (21..=30).collect()));
    assert_eq!((piece.from, piece.to), (Duration::from_secs(2), Duration::from_secs(3)));
    let (piece, ticks) = kept(&session, 2500, 600, "three");
    assert_eq!((piece.files.len(), ticks), (3, (11..=40).collect()));
    // What is not there cannot be kept.
    let (_, ticks) = kept(&session, 100, 5000, "start");
    assert_eq!(ticks, (1..=60).collect::<Vec<_>>());
    let window = Window { at: Duration::from_secs(60), around: Duration::from_secs(1) };
    let failed = preserve(&session, window, &dir.path().join("beyond")).unwrap_err();
    assert!(failed.to_string().contains("5.9 s long"), "{failed}");
    let window = Window { at: Duration::ZERO, ..window };
    assert!(preserve(&session, window, &dir.path().join("one")).is_err(), "it holds segments already");
    // A link, not a copy.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(dir.path().join("one/segment-00002.mcap").metadata().unwrap().nlink(), 4);
    // Segments in one file.
    let single = dir.path().join("single.mcap");
    let mut writer = SegmentWriter::create(&single, &info()).unwrap();
    let mut reader = SessionReader::open(&session).unwrap();
    let mut now = Mono::default();
    while let Some(record) = reader.read().unwrap() {
        match record {
            Record::Snapshot(snapshot) => writer.snapshot(&snapshot).unwrap(),
            Record::Tick(incoming) => {
                now = incoming.now;
                writer.tick(&incoming).unwrap();
            }
            Record::Outputs(outputs) => writer.outputs(now, &outputs).unwrap(),
        }
    }
    writer.finish().unwrap();
    let (piece, ticks) = kept(&single, 2500, 600, "of one file");
    assert_eq!((piece.files.len(), ticks), (3, (11..=40).collect()));
}
