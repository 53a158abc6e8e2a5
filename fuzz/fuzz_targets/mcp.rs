//! Any bytes posted to `/mcp` are answered as JSON-RPC, or refused with a status that says so: never a panic, never a path of
//! this computer, never a sign that something broke inside.
#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;
use waywarden::access::{Scope, Visitor};
use waywarden::config::Http;
use waywarden::mcp::{LARGEST_REQUEST, Library, Mcp, routes};

/// A server of a folder with one session in it, which was cut off, and where that is.
static SERVER: LazyLock<(Runtime, Router, String)> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("waywarden-fuzz-mcp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for a session");
    std::fs::write(folder.join("drive.mcap"), b"\x89MCAP0\r\n\x01\x05").expect("a session");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let here = folder.display().to_string();
    let routes = routes(Mcp::new(None, Some(Library::new(folder, None)), None), &Http::default());
    (runtime, routes, here)
});

fuzz_target!(|data: &[u8]| {
    let (runtime, routes, here) = &*SERVER;
    let request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .extension(Visitor { name: "agent".to_owned(), scopes: [Scope::Mcp].into(), issue: 1 })
        .body(Body::from(data.to_vec()))
        .expect("a request");
    let (status, body) = runtime.block_on(async {
        let response = routes.clone().call(request).await.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 1 << 22).await.expect("a body"))
    });
    let body = std::str::from_utf8(&body).expect("text");
    assert!(matches!(status, 200 | 202 | 400 | 413 | 415 | 422), "{status}: {body}");
    assert!(data.len() <= LARGEST_REQUEST || status == 413);
    assert!(!body.contains(here.as_str()) && !body.contains("see the log"), "{body}");
    assert!(status == 202 || serde_json::from_str::<Value>(body).is_ok(), "{status}: {body}");
});
