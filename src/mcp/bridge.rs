//! Standard input and output to the `/mcp` of a run elsewhere: for agents that start programs and open no connections.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, StatusCode, Url, redirect};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, stdin};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::LARGEST_REQUEST;
use crate::failure::Failure;

/// How long connecting and an answer may take.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// The largest answer that is passed on, in bytes: a picture is half a megabyte.
const LARGEST: usize = 4 << 20;

/// Messages under way at a time.
const UNDER_WAY: usize = 8;

/// A run elsewhere.
pub struct Bridge {
    client: Client,
    url: String,
    token: Option<HeaderValue>,
    /// The version of the protocol that was agreed on.
    version: Mutex<Option<HeaderValue>>,
}

impl Bridge {
    /// The run at `url`, the address of its server or of its `/mcp`, with a token for it.
    ///
    /// # Errors
    /// When the address is none, or would carry the token or pictures to another computer without TLS.
    pub fn new(url: &str, token: Option<&str>, authorities: Option<&[u8]>) -> Result<Self, Failure> {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::bad_input(format!("--url: {why}"))
                .hint("--url https://car-7.example:9180, or http://127.0.0.1:9180")
        };
        let mut parsed = Url::parse(url).map_err(|error| wrong(&error))?;
        let loopback = match parsed.host_str() {
            Some("localhost") => true,
            Some(host) => {
                let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
                address.is_ok_and(|address| address.to_canonical().is_loopback())
            }
            None => false,
        };
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && loopback) {
            return Err(wrong(&"https is asked for where the run is on another computer"));
        }
        if parsed.path() == "/" {
            parsed.set_path("/mcp");
        }
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = token.map_err(|error| Failure::bad_input(format!("--token-file: {error}")))?;
        token.iter_mut().for_each(|token| token.set_sensitive(true));
        // Somebody may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(PATIENCE.0)
            .timeout(PATIENCE.1)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if let Some(pem) = authorities {
            let failed = |error| Failure::bad_input(format!("--ca-file: {error}"));
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        let client = builder.build().map_err(|error| wrong(&error))?;
        Ok(Self { client, url: parsed.into(), token, version: Mutex::default() })
    }

    /// What the run answers to a message; nothing to one that asks for no answer.
    async fn ask(&self, message: Value) -> Option<String> {
        let id = message.get("id").cloned();
        match self.post(&message).await {
            Ok(answer) => answer,
            // Who asked for no answer is told nothing.
            Err(why) => id.map(|id| {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": why } }).to_string()
            }),
        }
    }

    async fn post(&self, message: &Value) -> Result<Option<String>, String> {
        let begins = message.get("method").and_then(Value::as_str) == Some("initialize");
        let mut request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(message.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let agreed = self.version.lock().await.clone().filter(|_| !begins);
        request = request.headers(headers(message, agreed));
        let away = |error: reqwest::Error| format!("the run does not answer: {}", error.without_url());
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if body.len() + piece.len() > LARGEST {
                return Err(format!("the run answers with more than {LARGEST} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        if status == StatusCode::ACCEPTED {
            return Ok(None);
        }
        // One line, whatever it was.
        let answer = serde_json::from_slice::<Value>(&body).ok().filter(|answer| answer.get("jsonrpc").is_some());
        let Some(answer) = answer else {
            let detail = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
            return Err(format!("the run refuses with {status}: {}", detail.unwrap_or_default()));
        };
        if begins && let Some(version) = answer.pointer("/result/protocolVersion").and_then(Value::as_str) {
            *self.version.lock().await = HeaderValue::from_str(version).ok();
        }
        Ok(Some(answer.to_string()))
    }
}

/// From this version of the protocol on, headers say what a message is.
const WITH_HEADERS: &str = "2026-07-28";

/// What a message says in its headers: the version that it is of, or that was agreed on, and what it asks for.
fn headers(message: &Value, agreed: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let own = message.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion").and_then(Value::as_str);
    let version = own.and_then(|version| HeaderValue::from_str(version).ok()).or(agreed);
    let Some(version) = version else { return headers };
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    if version.to_str().is_ok_and(|version| version >= WITH_HEADERS) {
        let name = match method {
            "tools/call" => message.pointer("/params/name"),
            "resources/read" => message.pointer("/params/uri"),
            _ => None,
        };
        let name = name.and_then(Value::as_str).map(|name| {
            let plain = name.bytes().all(|byte| byte.is_ascii_graphic());
            if plain { name.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(name)) }
        });
        for (header, value) in [("mcp-method", Some(method.to_owned())), ("mcp-name", name)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(header, value);
            }
        }
    }
    headers.insert("mcp-protocol-version", version);
    headers
}

/// Carries what comes by standard input to a run, and what it answers to `out`, until there is no more.
///
/// # Errors
/// When nobody reads any more.
pub fn carry(bridge: Bridge, handle: &Handle, out: &mut dyn Write) -> Result<(), Failure> {
    let bridge = Arc::new(bridge);
    let (answers, mut answered) = mpsc::channel::<String>(UNDER_WAY);
    handle.block_on(async {
        tokio::spawn(async move {
            let under_way = Arc::new(Semaphore::new(UNDER_WAY));
            let mut input = BufReader::new(stdin());
            while let Some(line) = line(&mut input).await {
                let Some(message) = line.and_then(|line| serde_json::from_slice::<Value>(&line).ok()) else {
                    let error =
                        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "no JSON" } });
                    let _ = answers.send(error.to_string()).await;
                    continue;
                };
                let begins = message.get("method").and_then(Value::as_str) == Some("initialize");
                let Ok(place) = under_way.clone().acquire_owned().await else { return };
                let (bridge, answers) = (bridge.clone(), answers.clone());
                let asked = tokio::spawn(async move {
                    if let Some(answer) = bridge.ask(message).await {
                        let _ = answers.send(answer).await;
                    }
                    drop(place);
                });
                // What follows needs what is agreed on.
                if begins {
                    let _ = asked.await;
                }
            }
        });
        while let Some(answer) = answered.recv().await {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    })
}

/// The next line that is not empty; `Some(None)` for one that is too long, of which nothing is kept; None at the end.
async fn line(input: &mut BufReader<tokio::io::Stdin>) -> Option<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        let most = LARGEST_REQUEST as u64 + 1;
        let length = (&mut *input).take(most).read_until(b'\n', &mut line).await.ok()?;
        if length == 0 {
            return None;
        }
        if length > LARGEST_REQUEST && line.last() != Some(&b'\n') {
            loop {
                line.clear();
                let length = (&mut *input).take(most).read_until(b'\n', &mut line).await.ok()?;
                if length == 0 || line.last() == Some(&b'\n') {
                    return Some(None);
                }
            }
        }
        if !line.trim_ascii().is_empty() {
            return Some(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_nowhere_without_tls() {
        for url in ["https://car-7.example", "http://127.0.0.1:9180", "http://[::1]:9180/mcp", "http://localhost:1"] {
            let bridge = Bridge::new(url, Some("0123456789abcdef"), None).unwrap();
            assert!(bridge.url.ends_with("/mcp"), "{}", bridge.url);
        }
        for url in
            ["http://car-7.example", "ftp://localhost", "car-7", "", "http://127.0.0.1.example", "file:///etc/passwd"]
        {
            assert!(Bridge::new(url, None, None).is_err(), "{url}");
        }
    }

    #[test]
    fn headers_say_what_a_message_is_from_the_version_on_that_has_them() {
        let old = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "lane" } });
        assert!(headers(&old, None).is_empty());
        let agreed = headers(&old, Some(HeaderValue::from_static("2025-06-18")));
        assert_eq!((agreed.len(), &agreed["mcp-protocol-version"]), (1, &HeaderValue::from_static("2025-06-18")));
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let new = json!({ "method": "resources/read", "params": { "uri": "waywarden://cameras/fr\u{f6}nt/frame", "_meta": meta } });
        let new = headers(&new, None);
        assert_eq!(new["mcp-method"], "resources/read");
        assert!(new["mcp-name"].to_str().unwrap().starts_with("=?base64?"));
    }
}
