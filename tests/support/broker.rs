//! A real broker for tests, one who listens to it, and a wire between it and the vehicle that can be cut.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use waywarden_systems::clock::boottime;

/// Waits for somebody else at most so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "waits for another process")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Waits until something is so.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = boottime();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(boottime().since(began) < PATIENCE, "no {what} after {PATIENCE:?}");
        pause(10);
    }
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker that forgets nothing when it is killed: what is lost then is lost by the vehicle.
pub const LASTING: &str = "allow_anonymous true\npersistence true\nautosave_interval 1\nautosave_on_changes true\n";

/// A broker that is as fast as it can be.
pub const FAST: &str = "allow_anonymous true\n";

/// Mosquitto.
pub struct Broker {
    folder: PathBuf,
    /// Where it listens.
    pub port: u16,
    child: Option<Child>,
}

impl Broker {
    /// Starts one, with more lines for its config ([`LASTING`], [`FAST`]); none where mosquitto is not installed, which is said.
    pub fn start(folder: &Path, more: &str) -> Option<Self> {
        let found = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| Path::new(path).exists());
        if found.is_none() {
            println!("skipped: mosquitto is not installed (script/bootstrap --tests)");
            return None;
        }
        let port = free_port();
        let folder = folder.join("broker");
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.display();
        // Started by root it would become another user, who has no right to this folder. What it keeps for one who listens
        // is not limited.
        let config = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence_location {place}/\nmax_queued_messages 0\n\
             log_dest file {place}/log.txt\n{more}",
        );
        std::fs::write(folder.join("mosquitto.conf"), config).unwrap();
        let mut broker = Self { folder, port, child: None };
        broker.go_on();
        Some(broker)
    }

    /// Starts it again.
    pub fn go_on(&mut self) {
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program)
            .args(["-c", self.folder.join("mosquitto.conf").to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        until("broker", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message that somebody heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its topic.
    pub topic: String,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Whether the broker had kept it.
    pub retained: bool,
}

impl Heard {
    /// It as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }
}

/// One who listens to everything, over restarts of the broker too, and speaks.
pub struct Listener {
    heard: Arc<Mutex<Vec<Heard>>>,
    client: Client,
}

impl Listener {
    /// Listens to the broker at this port, with a user name and password if there are any.
    pub fn new(port: u16, name: &str, login: Option<(&str, &str)>) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_clean_session(false).set_max_packet_size(64 << 20, 64 << 20).set_keep_alive(Duration::from_secs(5));
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        let (client, mut connection) = Client::new(options, 1000);
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (theirs, speaker) = (heard.clone(), client.clone());
        let (subscribed, listens) = std::sync::mpsc::sync_channel(16);
        std::thread::Builder::new()
            .spawn(move || {
                for event in connection.iter() {
                    match event {
                        Ok(Event::Incoming(Packet::ConnAck(_))) => speaker.subscribe("#", QoS::AtLeastOnce).unwrap(),
                        Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.try_send(())),
                        Ok(Event::Incoming(Packet::Publish(publish))) => theirs.lock().unwrap().push(Heard {
                            topic: publish.topic.clone(),
                            bytes: publish.payload.to_vec(),
                            retained: publish.retain,
                        }),
                        Ok(_) => {}
                        Err(rumqttc::ConnectionError::RequestsDone) => return,
                        // The broker is down: it is tried again.
                        Err(_) => pause(50),
                    }
                }
            })
            .unwrap();
        listens.recv_timeout(PATIENCE).unwrap();
        Self { heard, client }
    }

    /// All that was heard.
    pub fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What was heard under topics that end so.
    pub fn ending(&self, end: &str) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| heard.topic.ends_with(end)).cloned().collect()
    }

    /// Says something.
    pub fn say(&self, topic: &str, retain: bool, bytes: &[u8]) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, bytes).unwrap();
    }

    /// Sends a command, and waits for its last answer.
    pub fn order(&self, base: &str, name: &str, json: &str) -> serde_json::Value {
        let id = serde_json::from_str::<serde_json::Value>(json).unwrap()["id"].clone();
        self.say(&format!("{base}/cmd/{name}"), false, json.as_bytes());
        self.answer(base, name, &id)
    }

    /// Waits for the last answer to a command.
    pub fn answer(&self, base: &str, name: &str, id: &serde_json::Value) -> serde_json::Value {
        until(&format!("answer to {name}"), || {
            let answers = self.ending(&format!("{base}/cmd/{name}/ack"));
            let answers = answers.iter().map(|heard| heard.json()["data"].clone());
            answers
                .filter(|data| data["id"] == *id)
                .find(|data| matches!(data["status"].as_str(), Some("done" | "failed" | "expired")))
        })
    }
}

/// What becomes of bytes on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wire {
    /// They pass.
    Passes,
    /// They stay where they are, and nobody is told.
    Stalls,
    /// What the vehicle says passes; what the broker says does not.
    HalfOpen,
    /// It is cut, again and again.
    Cuts,
    /// A few bytes at a time.
    Throttles,
    /// Far fewer than the vehicle says.
    Trickles,
}

/// A wire to a port of this computer.
pub struct Proxy {
    /// Where it begins.
    pub port: u16,
    state: Arc<AtomicU8>,
    /// The end at which the vehicle is, of the last connection.
    near: Arc<Mutex<Option<TcpStream>>>,
}

impl Proxy {
    /// A wire that passes everything to `to`.
    pub fn to(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(0)));
        let (theirs, last) = (state.clone(), Arc::new(Mutex::new(None)));
        let near = last.clone();
        std::thread::Builder::new()
            .spawn(move || {
                for near in listener.incoming().map_while(Result::ok) {
                    *last.lock().unwrap() = near.try_clone().ok();
                    let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                    carry(near.try_clone().unwrap(), far.try_clone().unwrap(), theirs.clone(), false);
                    carry(far, near, theirs.clone(), true);
                }
            })
            .unwrap();
        Self { port, state, near }
    }

    /// The vehicle hears these bytes, as if the broker had said them.
    pub fn inject(&self, bytes: &[u8]) {
        self.near.lock().unwrap().as_ref().unwrap().write_all(bytes).unwrap();
    }

    /// From now on bytes fare like this.
    pub fn set(&self, wire: Wire) {
        self.state.store(wire as u8, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: Arc<AtomicU8>, back: bool) {
    let is = move |state: &AtomicU8, wire: Wire| state.load(Ordering::Relaxed) == wire as u8;
    std::thread::Builder::new()
        .spawn(move || {
            let mut buffer = [0; 4096];
            from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            loop {
                if is(&state, Wire::Cuts) {
                    break;
                }
                if is(&state, Wire::Stalls) || (back && is(&state, Wire::HalfOpen)) {
                    pause(20);
                    continue;
                }
                let (most, rest_ms) = match () {
                    () if is(&state, Wire::Throttles) => (64, 5),
                    () if is(&state, Wire::Trickles) => (16, 10),
                    () => (buffer.len(), 0),
                };
                match from.read(&mut buffer[..most]) {
                    Ok(0) => break,
                    Ok(length) => {
                        if to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                        if rest_ms > 0 {
                            pause(rest_ms);
                        }
                    }
                    Err(error)
                        if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                    Err(_) => break,
                }
            }
            let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
        })
        .unwrap();
}
