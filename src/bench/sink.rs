//! The broker of a bench: takes what is sent, acknowledges it and writes down when it came. A process of its own, so that what
//! it needs is not counted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PubAck, SubAck, SubscribeReasonCode};
use rumqttc::mqttbytes::{Error, QoS};
use serde::Deserialize;
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

use super::observe::FRAME;
use crate::failure::Failure;

/// The largest packet that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// The process, from outside.
pub struct Sink {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Where it listens.
    pub port: u16,
}

impl Sink {
    /// Starts it.
    ///
    /// # Errors
    /// When this program cannot be started a second time.
    pub fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "--sink"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut stdout = stdout.ok_or_else(|| Failure::running("the broker of the bench says nothing"))?;
        // A line of five digits at most: not more is taken than that line.
        let mut line = String::new();
        let mut byte = [0];
        while stdout.read(&mut byte)? == 1 && byte != *b"\n" {
            line.push(byte[0].into());
        }
        let port = line.trim().parse().map_err(|_| Failure::running("the broker of the bench has no port"))?;
        Ok(Self { child, stdin, stdout, port })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it. When each message of a picture came, by its number from 1.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn stop(mut self) -> Result<Vec<(u64, Mono)>, Failure> {
        drop(self.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        self.child.wait()?;
        let read = |line: &str| {
            let (seq, at) = line.split_once(' ')?;
            Some((seq.parse().ok()?, Mono(at.parse().ok()?)))
        };
        Ok(text.lines().filter_map(read).collect())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It ends with its standard input; where that was not waited for, now.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// What is read of a message.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// The process, from inside: prints its port, serves until its standard input ends, prints when messages came.
///
/// # Errors
/// When there is no port to be had.
pub fn serve(out: &mut dyn Write) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let came: Arc<Mutex<Vec<(u64, Mono)>>> = Arc::default();
    let noted = came.clone();
    thread::Builder::new().name("accept".to_owned()).spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let noted = noted.clone();
            // One that cannot be served is as one that is cut.
            let _ = thread::Builder::new().name("serve".to_owned()).spawn(move || client(stream, &noted));
        }
    })?;
    let mut nothing = Vec::new();
    std::io::stdin().lock().read_to_end(&mut nothing)?;
    for (seq, at) in came.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        writeln!(out, "{seq} {}", at.0)?;
    }
    Ok(())
}

/// Serves a client until it goes.
fn client(mut stream: TcpStream, came: &Mutex<Vec<(u64, Mono)>>) {
    let _ = stream.set_nodelay(true);
    let (mut bytes, mut piece) = (BytesMut::new(), [0; 16 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        let now = boottime();
        bytes.extend_from_slice(piece.get(..length).unwrap_or_default());
        let mut answer = BytesMut::new();
        loop {
            match Packet::read(&mut bytes, LARGEST) {
                Ok(packet) => {
                    if answer_to(&packet, now, came, &mut answer).is_none() {
                        return;
                    }
                }
                Err(Error::InsufficientBytes(_)) => break,
                Err(_) => return,
            }
        }
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// Answers a packet; none where the client says goodbye, or what cannot be.
fn answer_to(packet: &Packet, now: Mono, came: &Mutex<Vec<(u64, Mono)>>, answer: &mut BytesMut) -> Option<()> {
    let written = match packet {
        Packet::Connect(_) => ConnAck::new(ConnectReturnCode::Success, false).write(answer),
        Packet::Subscribe(subscribe) => {
            let codes = subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
            SubAck::new(subscribe.pkid, codes).write(answer)
        }
        Packet::Publish(publish) => {
            if publish.topic.ends_with(FRAME)
                && let Ok(Numbered { seq }) = serde_json::from_slice(&publish.payload)
            {
                came.lock().unwrap_or_else(PoisonError::into_inner).push((seq, now));
            }
            match publish.qos {
                QoS::AtMostOnce => Ok(0),
                _ => PubAck::new(publish.pkid).write(answer),
            }
        }
        Packet::PingReq => {
            answer.extend_from_slice(&[0xd0, 0]);
            Ok(0)
        }
        _ => return None,
    };
    written.ok().map(|_| ())
}
