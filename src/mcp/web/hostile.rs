//! Messages that nobody meant: true ones with something in them replaced, doubled, cut or flipped, through the same routes that agents
//! use. Each is answered, none breaks anything, and none is told a path.

use axum::body::to_bytes;
use axum::http::header::{ACCEPT, HOST};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tower_service::Service as _;

use super::*;
use crate::access::Visitor;
use crate::mcp::Library;

/// Messages that are understood.
fn meant() -> Vec<Value> {
    let call = |name: &str, arguments: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
    let info =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } });
    vec![
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": "a", "method": "ping" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": { "cursor": "x" } }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/list" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": { "uri": "waywarden://frame/front" } }),
        call(
            "search_sessions",
            json!({
                "from_utc": "2026-01-01T00:00:00Z", "to_utc": "2026-12-31T00:00:00Z", "kind": "alert", "level": "warning",
                "text": "front", "latitude_deg": 50.0, "longitude_deg": 8.0, "radius_m": 500.0, "limit": 5, "cursor": "x"
            }),
        ),
        call("session_summary", json!({ "session": "drive.mcap" })),
        call("compare_sessions", json!({ "a": "drive.mcap", "b": "drive.mcap" })),
        call(
            "recent_events",
            json!({ "session": "drive.mcap", "kind": "alert", "text": "a", "before": 9, "limit": 3 }),
        ),
        call("speech_activity", json!({ "session": "drive.mcap", "before": 9, "limit": 3 })),
        call("snapshot", json!({ "session": "drive.mcap", "camera": "front", "at_s": 1.5, "max_width_px": 320 })),
        call("vehicle_state", json!({})),
        call("lane", json!({ "camera": "front" })),
        call("privacy", json!({ "on": true })),
    ]
}

/// Values where another one is expected.
fn strange() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-0.0),
        json!(5e-324),
        json!(""),
        json!("../../etc/passwd"),
        json!("/etc/passwd"),
        json!("drive.mcap\0"),
        json!("a".repeat(5000)),
        json!("\u{202e}\u{0}\u{ffff}🚗"),
        json!("9999-99-99T99:99:99Z"),
        json!([]),
        json!({}),
        json!({ "$ref": "x", "session": ["drive.mcap"] }),
        deep,
    ]
}

/// Replaces, doubles or takes away one node of a message.
fn change(value: &mut Value, rng: &mut impl Rng, strange: &[Value]) {
    let deeper = rng.random_bool(0.8);
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let Some(key) = keys.choose(rng) else { return };
            match rng.random_range(0..8) {
                0 => drop(fields.remove(key)),
                1 => {
                    let moved = fields.remove(key).unwrap_or_default();
                    fields.insert("limit".to_owned(), moved);
                }
                _ => {
                    if let Some(inner) = fields.get_mut(key) {
                        change(inner, rng, strange)
                    }
                }
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let n = rng.random_range(0..items.len());
            change(&mut items[n], rng, strange);
        }
        _ => *value = strange.choose(rng).cloned().unwrap_or_default(),
    }
}

/// Flips, doubles or cuts bytes.
fn corrupt(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..4) {
        let (a, b) = (rng.random_range(0..=bytes.len()), rng.random_range(0..=bytes.len()));
        let (a, b) = (a.min(b), a.max(b));
        match rng.random_range(0..3) {
            0 => drop(bytes.drain(a..b)),
            1 => {
                let again = bytes[a..b].to_vec();
                bytes.splice(a..a, again);
            }
            _ => bytes[a..b].iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
        }
    }
}

async fn send(count: u64) {
    let folder = tempfile::tempdir().unwrap();
    // Cut off: whoever looks into it is told that.
    std::fs::write(folder.path().join("drive.mcap"), b"\x89MCAP0\r\n\x01\x05").unwrap();
    let here = folder.path().display().to_string();
    let mcp = Mcp::new(None, Some(Library::new(folder.path().to_owned(), None)), None);
    let mut routes = routes(mcp, &Http::default());
    let (meant, strange) = (meant(), strange());
    let (mut answered, mut understood) = (std::collections::BTreeMap::<u16, u64>::new(), 0);
    for seed in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut message = meant.choose(&mut rng).cloned().unwrap();
        let bytes = if seed % 4 == 0 {
            let mut bytes = message.to_string().into_bytes();
            corrupt(&mut bytes, &mut rng);
            bytes
        } else {
            (0..rng.random_range(0..3)).for_each(|_| change(&mut message, &mut rng, &strange));
            message.to_string().into_bytes()
        };
        let said = String::from_utf8_lossy(&bytes).into_owned();
        let agent = Visitor { name: "agent".to_owned(), scopes: [Scope::Mcp].into(), issue: 1 };
        let request = Request::post("/mcp")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-06-18")
            .extension(agent)
            .body(Body::from(bytes))
            .unwrap();
        let response = routes.call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(matches!(status, 200 | 202 | 400 | 413 | 415 | 422), "seed {seed}: {status} to {said}: {body}");
        // Whoever broke says `see the log`.
        assert!(!body.contains(&here) && !body.contains("see the log"), "seed {seed}: {said}: {body}");
        if status != 202 {
            let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("seed {seed}: {said}: {body}"));
            understood += u64::from(answer.get("result").is_some());
        }
        *answered.entry(status).or_default() += 1;
    }
    // Neither is all refused at the door, nor is all let in.
    assert!(understood > count / 10 && answered.get(&400).is_some_and(|refused| *refused > count / 20), "{answered:?}");
}

#[tokio::test]
async fn whatever_comes_is_answered() {
    send(3000).await;
}

#[tokio::test]
#[ignore = "long: a million messages"]
async fn whatever_comes_is_answered_a_million_times() {
    send(1_000_000).await;
}
