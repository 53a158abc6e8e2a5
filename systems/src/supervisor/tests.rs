use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use waywarden_components::prelude::*;

use super::*;
use crate::clock::boottime;
use crate::ingress::{Inlet, PARKED_PERIOD, Parking, channel, wake};

/// What a driver does from one start to its end.
type Act = fn(&Lease) -> Result<(), DriverError>;

/// Does what its script says for the nth start, and the last entry for all others.
struct Scripted {
    starts: AtomicUsize,
    script: Vec<Act>,
}

impl Driver for Scripted {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        self.script[start.min(self.script.len() - 1)](lease)
    }
}

const PACE: Pace = Pace { silence: Duration::from_millis(150) };

fn quick() -> SupervisorSettings {
    SupervisorSettings {
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(40),
        absent: Duration::from_millis(20),
        failures: 4,
        window: Duration::from_secs(5),
        rest: Duration::from_secs(60),
        // Before a driver that panics comes back, a busy computer may look for long for the lines of its trace.
        open: Duration::from_secs(20),
        grace: Duration::from_millis(200),
    }
}

/// Delivers for ever.
fn deliver(lease: &Lease) -> Result<(), DriverError> {
    lease.opened("works", PACE)?;
    loop {
        lease.send(boottime(), Payload::Serial(Bytes::from_static(b"x")))?;
        lease.wait(Duration::from_millis(5))?;
    }
}

fn task(driver: Arc<dyn Driver>) -> (Task, Inlet) {
    let (outlet, inlet) = channel(StreamId(1), 1000, DropPolicy::KeepNewest, wake().0);
    (Task { name: "device".to_owned(), driver, outlet }, inlet)
}

/// Watches until `wanted` is so, and returns all that was heard.
fn hear(inlet: &Inlet, wanted: impl Fn(&[Payload]) -> bool) -> Vec<Payload> {
    let begin = boottime();
    let mut heard = Vec::new();
    while !wanted(&heard) {
        assert!(boottime().since(begin) < Duration::from_secs(30), "never came about: {:?}", links(&heard));
        heard.extend(inlet.drain().into_iter().map(|delivery| delivery.payload));
        pause();
    }
    heard
}

#[expect(clippy::disallowed_methods, reason = "waits for other threads")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

fn links(heard: &[Payload]) -> Vec<String> {
    let word = |payload: &Payload| match payload {
        Payload::Link(LinkState::Lost(why)) => Some(format!("lost: {why}")),
        Payload::Link(LinkState::Failed(why)) => Some(format!("failed: {why}")),
        Payload::Link(state) => Some(format!("{state:?}").to_lowercase()),
        _ => None,
    };
    heard.iter().filter_map(word).collect()
}

fn supervise(script: Vec<Act>, until: impl Fn(&[Payload]) -> bool) -> Vec<Payload> {
    supervise_by(quick(), script, until)
}

fn supervise_by(settings: SupervisorSettings, script: Vec<Act>, until: impl Fn(&[Payload]) -> bool) -> Vec<Payload> {
    let (task, inlet) = task(Arc::new(Scripted { starts: AtomicUsize::new(0), script }));
    let supervisor = Supervisor::start(vec![task], settings).unwrap();
    let heard = hear(&inlet, until);
    assert!(supervisor.stop(Duration::from_secs(5)).is_empty());
    heard
}

/// It delivers after it was lost for the last time.
fn delivers_again(heard: &[Payload]) -> bool {
    let last = heard.iter().rposition(|payload| matches!(payload, Payload::Link(_)));
    last.is_some_and(|last| {
        heard[last] == Payload::Link(LinkState::Connected)
            && heard[..last].iter().any(|payload| matches!(payload, Payload::Link(LinkState::Lost(_))))
            && heard.len() > last + 1
    })
}

#[test]
fn what_fails_is_started_again_with_the_reason() {
    let heard = supervise(vec![|_| Err(DriverError::Failed("no answer".to_owned())), deliver], delivers_again);
    assert_eq!(links(&heard), ["connecting", "lost: no answer", "connected"]);
    assert!(heard.contains(&Payload::Described("works".to_owned())));
}

#[test]
fn a_panic_restarts_the_device() {
    let heard = supervise(vec![|_| panic!("of this device"), deliver], delivers_again);
    assert_eq!(links(&heard), ["connecting", "lost: it panicked: of this device", "connected"]);
}

#[test]
fn a_silent_device_is_started_again() {
    let mute = |lease: &Lease| -> Result<(), DriverError> {
        lease.opened("mute", PACE)?;
        loop {
            lease.wait(Duration::from_secs(100))?;
        }
    };
    let links = links(&supervise(vec![mute, deliver], delivers_again));
    assert!(links[2].starts_with("lost: nothing came for 0.") && links[3] == "connected", "{links:?}");
}

/// Opens, and comes back in so many milliseconds with an error.
fn works_for(lease: &Lease, time: Duration) -> Result<(), DriverError> {
    lease.opened("works for a while", PACE)?;
    let until = boottime() + time;
    while boottime() < until {
        lease.send(boottime(), Payload::Serial(Bytes::from_static(b"x")))?;
        lease.wait(Duration::from_millis(5))?;
    }
    Err(DriverError::Failed("EIO".to_owned()))
}

#[test]
fn what_happens_twice_is_told_twice() {
    // The second loss has the words of the first, with the device open in between: of an error, and of a stall, whose
    // words are the same because the silence is told to a tenth of a second.
    let fails: Act = |lease| works_for(lease, Duration::from_millis(20));
    let stalls: Act = |lease| {
        lease.opened("mute", PACE)?;
        loop {
            lease.wait(Duration::from_secs(100))?;
        }
    };
    for act in [fails, stalls] {
        let twice = |heard: &[Payload]| {
            let lost = |payload: &&Payload| matches!(payload, Payload::Link(LinkState::Lost(_)));
            heard.iter().filter(lost).count() >= 3
        };
        let links = links(&supervise(vec![act], twice));
        for pair in links[1..].windows(2) {
            assert_ne!(pair[0] == "connected", pair[1] == "connected", "{links:?}");
        }
    }
}

#[test]
fn what_has_worked_for_long_begins_with_the_shortest_pause_again() {
    let (task, inlet) = task(Arc::new(Scripted {
        starts: AtomicUsize::new(0),
        script: vec![|lease| works_for(lease, Duration::from_millis(120))],
    }));
    // Two failures within the window would be too many; each is alone in its own.
    let settings = SupervisorSettings { failures: 2, window: Duration::from_millis(100), ..quick() };
    let supervisor = Supervisor::start(vec![task], settings).unwrap();
    let heard = hear(&inlet, |heard| links(heard).iter().filter(|link| link.starts_with("lost")).count() >= 4);
    assert!(!links(&heard).iter().any(|link| link.starts_with("failed")), "{:?}", links(&heard));
    assert!(supervisor.stop(Duration::from_secs(5)).is_empty());
}

#[test]
fn opening_that_takes_too_long_is_given_up() {
    let settings = SupervisorSettings { open: Duration::from_millis(300), ..quick() };
    let script: Vec<Act> = vec![|lease| Ok(lease.wait(Duration::from_secs(100))?), deliver];
    let heard = supervise_by(settings, script, delivers_again);
    assert!(links(&heard)[1].starts_with("lost: opening it took more than"));
}

#[test]
fn what_is_not_there_is_waited_for_and_never_fails() {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    let absent = |lease: &Lease| -> Result<(), DriverError> {
        if STARTS.fetch_add(1, Ordering::SeqCst) < 10 {
            return Err(DriverError::Absent("there is no /dev/video7".to_owned()));
        }
        deliver(lease)
    };
    let heard = supervise(vec![absent], delivers_again);
    assert_eq!(links(&heard), ["connecting", "lost: there is no /dev/video7", "connected"]);
    assert_eq!(STARTS.load(Ordering::SeqCst), 11);
}

#[test]
fn what_keeps_failing_is_called_failed_and_rests() {
    let failed = |heard: &[Payload]| matches!(heard.last(), Some(Payload::Link(LinkState::Failed(_))));
    let links = links(&supervise(vec![|_| Err(DriverError::Failed("EIO".to_owned()))], failed));
    assert_eq!(links, ["connecting", "lost: EIO", "failed: failed 4 times in 5 s, tried again after 60 s: EIO"]);
}

#[test]
fn what_is_at_its_end_stays_there() {
    let (task, inlet) = task(Arc::new(Scripted {
        starts: AtomicUsize::new(0),
        script: vec![|lease| {
            lease.opened("a file", PACE)?;
            Err(DriverError::Ended)
        }],
    }));
    let supervisor = Supervisor::start(vec![task], quick()).unwrap();
    let heard = hear(&inlet, |heard| heard.contains(&Payload::Link(LinkState::Ended)));
    (0..50).for_each(|_| pause());
    assert!(inlet.drain().is_empty());
    assert_eq!(links(&heard), ["connecting", "connected", "ended"]);
    assert!(supervisor.stop(Duration::from_secs(1)).is_empty());
}

/// A call that blocks in the kernel until a signal comes, as a read from a frozen device does.
struct Frozen(Mutex<Option<std::os::unix::net::UnixStream>>);

impl Driver for Frozen {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let Some(mut stream) = self.0.lock().unwrap().take() else { return deliver(lease) };
        lease.opened("freezes", PACE)?;
        // Unlike `read_exact`, `read` comes back with EINTR.
        let error = std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
        Err(DriverError::Failed(error.to_string()))
    }
}

#[test]
fn a_thread_is_fetched_out_of_a_call_that_blocks() {
    let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    // `read(2)` is restarted by itself after a signal, unless it has a time limit: poll(2) never is.
    reader.set_read_timeout(Some(Duration::from_secs(1000))).unwrap();
    let (task, inlet) = task(Arc::new(Frozen(Mutex::new(Some(reader)))));
    let supervisor = Supervisor::start(vec![task], quick()).unwrap();
    let heard = hear(&inlet, delivers_again);
    assert!(links(&heard)[2].starts_with("lost: nothing came"), "{:?}", links(&heard));
    assert!(supervisor.stop(Duration::from_secs(5)).is_empty());
}

/// Never comes back, and then speaks out of turn.
struct Zombie {
    first: AtomicBool,
    wake: crossbeam_channel::Receiver<()>,
    said: crossbeam_channel::Sender<Result<(), Over>>,
}

impl Driver for Zombie {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        if !self.first.swap(false, Ordering::SeqCst) {
            return deliver(lease);
        }
        lease.opened("hangs", PACE)?;
        let _ = self.wake.recv();
        let _ = self.said.send(lease.send(boottime(), Payload::Serial(Bytes::from_static(b"late"))));
        Ok(())
    }
}

#[test]
fn a_thread_that_never_comes_back_is_replaced_and_never_heard_again() {
    let (wake, sleep) = crossbeam_channel::bounded(1);
    let (said, heard_say) = crossbeam_channel::bounded(1);
    let (task, inlet) = task(Arc::new(Zombie { first: AtomicBool::new(true), wake: sleep, said }));
    let supervisor = Supervisor::start(vec![task], quick()).unwrap();
    let heard = hear(&inlet, delivers_again);
    assert_eq!(links(&heard).len(), 4, "{:?}", links(&heard));
    wake.send(()).unwrap();
    assert_eq!(heard_say.recv_timeout(Duration::from_secs(10)).unwrap(), Err(Over));
    let later = hear(&inlet, |later| later.len() > 20);
    assert!(!later.contains(&Payload::Serial(Bytes::from_static(b"late"))));
    assert!(supervisor.stop(Duration::from_secs(5)).is_empty());
}

#[test]
fn stopping_says_who_was_left_behind_and_ends_leases_first() {
    let (_wake, sleep) = crossbeam_channel::bounded::<()>(1);
    let (said, _heard) = crossbeam_channel::bounded(1);
    let (hanging, inlet) = task(Arc::new(Zombie { first: AtomicBool::new(true), wake: sleep, said }));
    let (working, other) = task(Arc::new(Scripted { starts: AtomicUsize::new(0), script: vec![deliver] }));
    let working = Task { name: "other".to_owned(), ..working };
    let settings = SupervisorSettings { open: Duration::from_secs(100), ..quick() };
    let supervisor = Supervisor::start(vec![hanging, working], settings).unwrap();
    hear(&inlet, |heard| links(heard).contains(&"connected".to_owned()));
    hear(&other, |heard| heard.len() > 5);
    assert_eq!(supervisor.stop(Duration::from_millis(100)), ["device"]);
    other.drain();
    (0..10).for_each(|_| pause());
    assert!(other.drain().is_empty());
}

/// The lease of a camera that knows whether the vehicle is parked.
fn of_camera() -> (Lease, lease::Held, Parking, Inlet) {
    let parking = Parking::default();
    let (outlet, inlet) = channel(StreamId(1), 1000, DropPolicy::KeepNewest, wake().0);
    let (lease, held) = Lease::new(outlet.sparing(parking.clone()));
    (lease, held, parking, inlet)
}

#[test]
fn a_parked_camera_rests_until_shortly_before_a_picture_is_wanted() {
    let (lease, held, parking, _inlet) = of_camera();
    assert!(!lease.rest().unwrap() && lease.gather() < PARKED_PERIOD, "all are wanted");
    parking.set(true);
    assert_eq!(lease.gather(), PARKED_PERIOD);
    let begin = boottime();
    assert!(lease.wants(begin) && !lease.wants(begin + Duration::from_millis(33)));
    assert!(lease.rest().unwrap());
    let rested = boottime().since(begin);
    assert!(rested >= Duration::from_millis(830), "{rested:?}");
    assert!(boottime().since(held.beat()) < rested, "with signs of life");
    assert!(!lease.rest().unwrap(), "it is time");
    held.revoke();
    assert_eq!(lease.rest(), Ok(false));
    lease.wants(boottime() + Duration::from_secs(5));
    assert_eq!(lease.rest(), Err(Over));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "waits for another thread")]
fn a_camera_that_rests_comes_back_when_the_vehicle_is_no_longer_parked() {
    let (lease, _held, parking, _inlet) = of_camera();
    parking.set(true);
    // A picture of long from now: the next is wanted later still.
    assert!(lease.wants(boottime() + Duration::from_secs(60)));
    let begin = boottime();
    std::thread::scope(|scope| {
        let rests = scope.spawn(|| lease.rest());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!rests.is_finished());
        parking.set(false);
        assert_eq!(rests.join().unwrap(), Ok(true));
    });
    assert!(boottime().since(begin) < Duration::from_secs(10));
}
