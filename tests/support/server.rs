//! A web server on this computer that answers as a test tells it to, well or badly.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test uses what it needs, unit tests among them; what is missing or wrong ends it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path: `/models/a.onnx`.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was sent with it, if its length was said.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its bytes, head and body.
    pub bytes: Vec<u8>,
    /// Time for which nothing is said and the connection stays open behind them.
    pub hold: Duration,
}

impl Reply {
    /// An answer with a body.
    pub fn new(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        Self { bytes: [(head + "\r\n").as_bytes(), body].concat(), hold: Duration::ZERO }
    }

    /// A file, or the piece of it that is asked for, as a good server gives it.
    pub fn file(request: &Request, body: &[u8], tag: &str) -> Self {
        let etag = format!("ETag: {tag}");
        let from =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match from.filter(|_| request.header("if-range") == Some(tag)) {
            Some(from) if from < body.len() => {
                let range = format!("Content-Range: bytes {from}-{}/{}", body.len() - 1, body.len());
                Self::new("206 Partial Content", &[&etag, &range], &body[from..])
            }
            Some(_) => Self::new("416 Range Not Satisfiable", &[], b""),
            None => Self::new("200 OK", &[&etag], body),
        }
    }

    /// The same answer, cut off some bytes before its end.
    pub fn cut(mut self, before_the_end: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - before_the_end);
        self
    }

    /// The same answer, behind which nothing comes and nothing ends.
    pub fn hold(mut self, time: Duration) -> Self {
        self.hold = time;
        self
    }
}

/// A server until it is dropped.
pub struct Server {
    /// Its address: `http://127.0.0.1:PORT`.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers every request, the first with number 0, as `answer` says.
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, end) = (Arc::clone(&requests), Arc::clone(&over));
        let serve = move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let Some((stream, request)) = stream.ok().and_then(read) else { continue };
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push(request.clone());
                give(stream, answer(number, &request));
            }
        };
        let thread = Builder::new().name("server".into()).spawn(serve).unwrap();
        Self { url, requests, over, thread: Some(thread) }
    }

    /// What has been asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it.
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: TcpStream) -> Option<(TcpStream, Request)> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let mut request = Request { path, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body).ok()?;
    Some((stream, request))
}

#[expect(clippy::disallowed_methods, reason = "a slow server is slow in real time")]
fn give(mut stream: TcpStream, reply: Reply) {
    // A client that has heard enough hangs up.
    let _ = stream.write_all(&reply.bytes).and_then(|()| stream.flush());
    std::thread::sleep(reply.hold);
}
