//! The thread that watches the others.

use std::collections::VecDeque;
use std::os::unix::thread::JoinHandleExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;
use waywarden_components::prelude::*;

use super::lease::Held;
use super::{DriverError, Lease, SupervisorSettings, Task, pauses};
use crate::clock::{boottime, to_wait};

/// What is said of a task that is held back.
const SWITCHED_OFF: &str = "switched off";

/// How often threads are looked at that are to come back.
const LOOK: Duration = Duration::from_millis(50);

/// How often silences are looked at, which may be a second long: a computer that is woken seldom uses little.
const CALM_LOOK: Duration = Duration::from_millis(200);

/// Threads of one task that may hang at a time. What hangs holds its device, memory and a thread.
const MOST_HUNG: usize = 4;

/// Lets a call into the kernel that blocks come back with `EINTR`, so that a thread can be fetched out of it.
///
/// # Errors
/// When the signal cannot be had.
pub fn install_nudge() -> std::io::Result<()> {
    // Nobody reads the flag: a handler of any kind makes the signal one that interrupts.
    signal_hook::flag::register(signal_hook::consts::SIGUSR2, Arc::new(AtomicBool::new(false))).map(drop)
}

/// The supervisor. Dropping it leaves everything running; see [`Supervisor::stop`].
pub struct Supervisor {
    thread: JoinHandle<Vec<String>>,
    stop: Sender<Duration>,
    remote: Remote,
}

/// Wishes that may wait for the supervisor.
const WISHES: usize = 64;

/// Has single tasks started anew or held back while they are supervised. Cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct Remote(Sender<Wish>);

/// What is wished of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// It is stopped, and started again at once.
    Restart(String),
    /// It is stopped and not started until it is let go.
    Hold(String, bool),
}

impl Remote {
    /// Has a task stopped, and started again at once. False when too much is wished already.
    pub fn restart(&self, name: &str) -> bool {
        self.0.try_send(Wish::Restart(name.to_owned())).is_ok()
    }

    /// Has a task stopped and held back, or let go. False when too much is wished already.
    pub fn hold(&self, name: &str, hold: bool) -> bool {
        self.0.try_send(Wish::Hold(name.to_owned(), hold)).is_ok()
    }
}

impl Supervisor {
    /// Starts every task, and watches them.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(tasks: Vec<Task>, settings: SupervisorSettings) -> std::io::Result<Self> {
        install_nudge()?;
        let (stop, stopped) = bounded(1);
        let (wish, wishes) = bounded(WISHES);
        let thread = Builder::new().name("supervisor".to_owned()).spawn(move || {
            let (ended, ends) = bounded(4 * tasks.len().max(1));
            let now = boottime();
            let tasks = tasks.into_iter().map(|task| Watched::new(task, now, &settings)).collect();
            Watch { tasks, settings, ended, ends }.run(&stopped, &wishes)
        })?;
        Ok(Self { thread, stop, remote: Remote(wish) })
    }

    /// Has single tasks started anew or held back.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Ends every lease, and waits so long for the threads. Returns the names of those that did not come back.
    pub fn stop(self, patience: Duration) -> Vec<String> {
        let _ = self.stop.try_send(patience);
        self.thread.join().unwrap_or_default()
    }
}

/// A thread has come back.
struct End {
    task: usize,
    generation: u64,
    result: Result<(), DriverError>,
}

struct Watch {
    tasks: Vec<Watched>,
    settings: SupervisorSettings,
    ended: Sender<End>,
    ends: Receiver<End>,
}

/// One task, and how it is.
struct Watched {
    task: Task,
    state: State,
    generation: u64,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// When it failed, in the last window.
    failures: VecDeque<Mono>,
    /// Threads that never came back.
    hung: Vec<JoinHandle<()>>,
    /// The last thing said of it, so that it is not said twice.
    said: Option<LinkState>,
    /// It is not started until it is let go.
    held_back: bool,
}

enum State {
    Running {
        held: Held,
        thread: JoinHandle<()>,
        since: Mono,
    },
    /// Its lease is over, and it has until then to come back.
    Ending {
        thread: JoinHandle<()>,
        until: Mono,
        why: String,
    },
    Waiting {
        until: Mono,
    },
    Done,
}

impl Watch {
    fn run(mut self, stopped: &Receiver<Duration>, wishes: &Receiver<Wish>) -> Vec<String> {
        loop {
            for n in 0..self.tasks.len() {
                self.look_at(n);
            }
            let next = self.tasks.iter().filter_map(Watched::due).min();
            let is_calm = |watched: &Watched| !matches!(watched.state, State::Ending { .. });
            let look = if self.tasks.iter().all(is_calm) { CALM_LOOK } else { LOOK };
            let patience = to_wait(next.map_or(look, |next| next.since(boottime()).min(look)));
            crossbeam_channel::select! {
                recv(self.ends) -> end => if let Ok(end) = end { self.end(end) },
                recv(wishes) -> wish => if let Ok(wish) = wish { self.grant(&wish) },
                recv(stopped) -> patience => return self.stop(patience.unwrap_or_default()),
                default(patience) => {}
            }
        }
    }

    /// Stops a task; what is wished for then is seen to when its thread has come back.
    fn grant(&mut self, wish: &Wish) {
        let (name, hold) = match wish {
            Wish::Restart(name) => (name, None),
            Wish::Hold(name, hold) => (name, Some(*hold)),
        };
        let (now, settings) = (boottime(), &self.settings);
        for watched in self.tasks.iter_mut().filter(|watched| watched.task.name == *name) {
            watched.held_back = hold.unwrap_or(watched.held_back);
            match std::mem::replace(&mut watched.state, State::Done) {
                State::Running { held, thread, since } if hold != Some(false) => {
                    let why = if watched.held_back { SWITCHED_OFF } else { "restarted because somebody asked for it" };
                    watched.ended(&held, since, now, settings);
                    watched.recovered(settings);
                    watched.say(LinkState::Lost(why.to_owned()));
                    nudge(&thread);
                    watched.state = State::Ending { thread, until: now + settings.grace, why: why.to_owned() };
                }
                State::Waiting { .. } => watched.state = State::Waiting { until: now },
                other => watched.state = other,
            }
        }
    }

    fn look_at(&mut self, n: usize) {
        let (now, settings) = (boottime(), &self.settings);
        let watched = &mut self.tasks[n];
        match std::mem::replace(&mut watched.state, State::Done) {
            State::Waiting { until } if until <= now && !watched.held_back => self.begin(n),
            State::Running { held, thread, since } => {
                let silence = now.since(held.beat());
                let why = match held.silence() {
                    Some(most) if silence > most => Some(format!("nothing came for {:.1} s", silence.as_secs_f64())),
                    None if now.since(since) > settings.open => {
                        Some(format!("opening it took more than {:.0} s", settings.open.as_secs_f64()))
                    }
                    _ => None,
                };
                watched.state = match why {
                    Some(why) => {
                        watched.ended(&held, since, now, settings);
                        watched.say(LinkState::Lost(why.clone()));
                        nudge(&thread);
                        State::Ending { thread, until: now + settings.grace, why }
                    }
                    None => State::Running { held, thread, since },
                };
            }
            State::Ending { thread, until, why } => {
                if thread.is_finished() {
                    // Its end is on its way, or was lost with a full queue.
                    watched.failed(&why, now, settings);
                } else if until <= now {
                    tracing::warn!("{}: its thread does not come back and is abandoned", watched.task.name);
                    watched.hung.push(thread);
                    watched.failed(&why, now, settings);
                } else {
                    nudge(&thread);
                    watched.state = State::Ending { thread, until, why };
                }
            }
            other => watched.state = other,
        }
    }

    fn begin(&mut self, n: usize) {
        let watched = &mut self.tasks[n];
        watched.hung.retain(|thread| !thread.is_finished());
        if watched.hung.len() >= MOST_HUNG {
            watched.say(LinkState::Failed(format!("it hung {MOST_HUNG} times and holds on: start the program anew")));
            watched.state = State::Waiting { until: boottime() + self.settings.rest };
            return;
        }
        // First, or a driver that is quick would be open before it is being opened.
        if watched.said.is_none() {
            watched.say(LinkState::Connecting);
        }
        watched.generation += 1;
        let (lease, held) = Lease::new(watched.task.outlet.clone());
        let (driver, ended) = (watched.task.driver.clone(), self.ended.clone());
        let (task, generation) = (n, watched.generation);
        let started = Builder::new().name(watched.task.name.clone()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| driver.run(&lease)))
                .unwrap_or_else(|panic| Err(DriverError::Failed(format!("it panicked: {}", panic_text(&*panic)))));
            let _ = ended.try_send(End { task, generation, result });
        });
        match started {
            Ok(thread) => watched.state = State::Running { held, thread, since: boottime() },
            Err(error) => watched.failed(&format!("no thread for it: {error}"), boottime(), &self.settings),
        }
    }

    fn end(&mut self, end: End) {
        let (now, settings) = (boottime(), &self.settings);
        let watched = &mut self.tasks[end.task];
        if end.generation != watched.generation {
            return;
        }
        match std::mem::replace(&mut watched.state, State::Done) {
            State::Running { held, since, .. } => {
                watched.ended(&held, since, now, settings);
                match end.result {
                    Ok(()) | Err(DriverError::Ended) => watched.say(LinkState::Ended),
                    Err(DriverError::Over(_)) => watched.failed("the app does not listen", now, settings),
                    Err(DriverError::Absent(why)) => {
                        watched.say(LinkState::Lost(why));
                        watched.state = State::Waiting { until: now + settings.absent };
                    }
                    Err(DriverError::Failed(why)) => watched.failed(&why, now, settings),
                }
            }
            State::Ending { why, .. } => watched.failed(&why, now, settings),
            other => watched.state = other,
        }
    }

    /// Ends every lease before it waits for the first thread.
    fn stop(self, patience: Duration) -> Vec<String> {
        let until = boottime() + patience;
        for watched in &self.tasks {
            if let State::Running { held, .. } = &watched.state {
                held.revoke();
            }
        }
        let mut left: Vec<_> = self
            .tasks
            .into_iter()
            .filter_map(|watched| match watched.state {
                State::Running { thread, .. } | State::Ending { thread, .. } => Some((watched.task.name, thread)),
                State::Waiting { .. } | State::Done => None,
            })
            .collect();
        loop {
            left.retain(|(_, thread)| !thread.is_finished());
            if left.is_empty() || boottime() >= until {
                return left.into_iter().map(|(name, _)| name).collect();
            }
            left.iter().for_each(|(_, thread)| nudge(thread));
            match self.ends.recv_timeout(Duration::from_millis(20)) {
                Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

impl Watched {
    fn new(task: Task, now: Mono, settings: &SupervisorSettings) -> Self {
        Self {
            task,
            state: State::Waiting { until: now },
            generation: 0,
            pauses: Box::new(pauses(settings)),
            failures: VecDeque::new(),
            hung: Vec::new(),
            said: None,
            held_back: false,
        }
    }

    /// When something is to be done about it that is not the end of its thread.
    fn due(&self) -> Option<Mono> {
        match &self.state {
            State::Waiting { .. } if self.held_back => None,
            State::Waiting { until } => Some(*until),
            State::Running { .. } | State::Ending { .. } | State::Done => None,
        }
    }

    /// Its lease is over, whoever ended it.
    fn ended(&mut self, held: &Held, since: Mono, now: Mono, settings: &SupervisorSettings) {
        held.revoke();
        if held.silence().is_some() {
            // The driver itself said that it was open: whatever is said now is news, though it was said before that.
            self.said = Some(LinkState::Connected);
            if now.since(since) >= settings.window {
                self.recovered(settings);
            }
        }
    }

    fn recovered(&mut self, settings: &SupervisorSettings) {
        self.pauses = Box::new(pauses(settings));
        self.failures.clear();
    }

    /// It is there and has failed: it is started again after a pause, or has a rest.
    fn failed(&mut self, why: &str, now: Mono, settings: &SupervisorSettings) {
        if self.held_back {
            self.say(LinkState::Lost(SWITCHED_OFF.to_owned()));
            self.state = State::Waiting { until: now };
            return;
        }
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|&first| now.since(first) > settings.window) {
            self.failures.pop_front();
        }
        let pause = if self.failures.len() >= settings.failures {
            let (times, window, rest) = (self.failures.len(), settings.window.as_secs(), settings.rest.as_secs());
            self.recovered(settings);
            self.say(LinkState::Failed(format!(
                "failed {times} times in {window} s, tried again after {rest} s: {why}"
            )));
            settings.rest
        } else {
            self.say(LinkState::Lost(why.to_owned()));
            self.pauses.next().unwrap_or(settings.backoff_max)
        };
        self.state = State::Waiting { until: now + pause };
    }

    fn say(&mut self, state: LinkState) {
        if self.said.as_ref() != Some(&state) {
            self.said = Some(state.clone());
            // Nobody listens any more when the app is ending.
            let _ = self.task.outlet.send(boottime(), Payload::Link(state));
        }
    }
}

/// Fetches a thread out of a call that blocks.
fn nudge(thread: &JoinHandle<()>) {
    if !thread.is_finished() {
        let _ = pthread_kill(thread.as_pthread_t(), Signal::SIGUSR2);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
