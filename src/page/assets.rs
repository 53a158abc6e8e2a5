//! The files of the page, as they are compiled in.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may do: run its own files, ask its own server, show pictures and video that it was given. What comes in is
/// never markup or script.
const MAY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; \
                   connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                   require-trusted-types-for 'script'; trusted-types 'none'";

/// A file: its path, its type, its bytes.
type Asset = (&'static str, &'static str, &'static [u8]);

macro_rules! asset {
    ($path:literal, $file:literal, $kind:literal) => {
        ($path, $kind, include_bytes!(concat!("../../assets/web/", $file)) as &[u8])
    };
}

const ASSETS: [Asset; 13] = [
    asset!("/", "index.html", "text/html; charset=utf-8"),
    asset!("/style.css", "style.css", "text/css; charset=utf-8"),
    asset!("/icon.svg", "icon.svg", "image/svg+xml"),
    asset!("/app.js", "app.js", "text/javascript; charset=utf-8"),
    asset!("/api.js", "api.js", "text/javascript; charset=utf-8"),
    asset!("/dom.js", "dom.js", "text/javascript; charset=utf-8"),
    asset!("/overlay.js", "overlay.js", "text/javascript; charset=utf-8"),
    asset!("/panels.js", "panels.js", "text/javascript; charset=utf-8"),
    asset!("/plot.js", "plot.js", "text/javascript; charset=utf-8"),
    asset!("/sessions.js", "sessions.js", "text/javascript; charset=utf-8"),
    asset!("/stage.js", "stage.js", "text/javascript; charset=utf-8"),
    asset!("/talk.js", "talk.js", "text/javascript; charset=utf-8"),
    asset!("/whep.js", "whep.js", "text/javascript; charset=utf-8"),
];

/// Where the files are: whoever asks for them needs no token.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|(path, ..)| *path)
}

pub(super) fn routes() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.0, get(async || file(asset))))
}

fn file((_, kind, bytes): &'static Asset) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(MAY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("microphone=(self), fullscreen=(self), camera=(), geolocation=()"),
        ),
    ];
    (headers, *bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_file_of_the_page_is_there_and_asks_for_nothing_from_elsewhere() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/web");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), ASSETS.len());
        for (path, kind, bytes) in ASSETS {
            let text = std::str::from_utf8(bytes).unwrap();
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
            for markup in ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\"", "onclick="] {
                assert!(!text.contains(markup), "{path}: {markup}");
            }
            // What a module imports is one of them.
            for import in text.lines().filter(|_| kind.starts_with("text/javascript")) {
                let Some((_, from)) = import.split_once(" from \"./") else { continue };
                let name = format!("/{}", from.split('"').next().unwrap());
                assert!(paths().any(|path| path == name), "{path} imports {name}");
            }
        }
    }
}
