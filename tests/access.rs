//! Who may see and do what over the network: tokens and their scopes, pages of elsewhere, those who guess, files that others may
//! read, certificates that are renewed. And that a command over HTTP is what one over MQTT is.

#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

#[path = "support/client.rs"]
mod client;
#[path = "support/outcome.rs"]
mod outcome;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use client::{Answer, get, raw};
use nix::sys::signal::Signal;
use outcome::{PATIENCE, end, send, sessions, start_after, until, waywarden};
use waywarden::access::{self, Access, Entry, Scope};
use waywarden::config::Http;
use waywarden::http::Server;
use waywarden::network::Network;
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::Findings;

const CAMERA: &str = "[[camera]]\nwidth = 160\nheight = 96\nfps = 10.0\nloop_frames = 5\n[record]\nfree_gb = 0.0\n";

/// Asks in any way, with more headers and a body.
fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let more: String = headers.iter().map(|header| format!("\r\n{header}")).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}{more}");
    raw(address, &head, body.as_bytes())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A run in a folder of its own.
struct Run {
    dir: tempfile::TempDir,
    child: Child,
}

impl Run {
    fn start(http: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), http)
    }

    fn start_in(dir: tempfile::TempDir, http: &str) -> Self {
        let config = format!("{CAMERA}[http]\nlisten = \"127.0.0.1:0\"\n{http}\n");
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--log", "info"];
        let child = start_after(dir.path(), "unset XDG_STATE_HOME STATE_DIRECTORY;", &args);
        Self { dir, child }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.txt")).unwrap_or_default()
    }

    fn address(&mut self) -> SocketAddr {
        let path = self.dir.path().join("stderr.txt");
        until(&mut self.child, "an address", || {
            let said = std::fs::read_to_string(&path).ok()?;
            said.split_once("listening on http")?.1.split_once("://")?.1.split_whitespace().next()?.parse().ok()
        })
    }

    fn tokens_file(&self) -> PathBuf {
        self.dir.path().join(".local/state/waywarden/tokens.toml")
    }

    /// The token of this name.
    fn token(&self, name: &str) -> String {
        let tokens: toml::Table = toml::from_str(&std::fs::read_to_string(self.tokens_file()).unwrap()).unwrap();
        let all = tokens["token"].as_array().unwrap();
        let token = all.iter().find(|token| token["name"].as_str() == Some(name)).unwrap();
        token["token"].as_str().unwrap().to_owned()
    }

    fn finish(&mut self) -> PathBuf {
        send(&self.child, Signal::SIGTERM);
        end(&mut self.child, self.dir.path()).done();
        sessions(&self.dir.path().join("rec")).remove(0)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What somebody told the app in a session, with who it was.
fn told(session: &Path) -> Vec<(String, String)> {
    let mut findings = Findings::open(session).unwrap();
    let mut told = Vec::new();
    while let Some(tick) = findings.read().unwrap() {
        told.extend(tick.inputs.into_iter().filter_map(|input| match input.payload {
            Payload::Message(message) => Some((message.topic, message.by)),
            _ => None,
        }));
    }
    told
}

#[test]
fn a_run_makes_tokens_and_lets_in_who_has_one_for_what_it_allows() {
    let mut run = Run::start("");
    let address = run.address();
    let mode = run.tokens_file().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let (operator, agent) = (bearer(&run.token("operator")), bearer(&run.token("agent")));

    // The page holds nothing; what it shows is for those with a token, on this computer too.
    let page = get(address, "/", &[]);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let may = page.header("content-security-policy").unwrap();
    for words in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(may.contains(words) && !may.contains("unsafe"), "{may}");
    }
    for path in
        ["/api/scene", "/api/scenes", "/api/events", "/api/cameras/front/frame.jpg", "/api/sessions", "/foxglove"]
    {
        let refused = get(address, path, &[]);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    for wrong in [&bearer("0123456789abcdef"), "Authorization: Basic YTpi"] {
        assert_eq!(get(address, "/api/scene", &[wrong]).status, 401, "{wrong}");
    }
    let scene = get(address, "/api/scene", &[&agent]);
    assert_eq!((scene.status, scene.json()["devices"][0]["name"].as_str()), (200, Some("front")), "{scene:?}");
    let frame = get(address, "/api/cameras/front/frame.jpg", &[&agent]);
    assert!(
        frame.status == 200 && frame.header("content-type") == Some("image/jpeg") && frame.header("x-frame").is_some()
    );
    assert_eq!(get(address, "/api/cameras/rear/frame.jpg", &[&agent]).status, 404);
    assert_eq!(get(address, "/api/cameras/..%2F..%2Fetc%2Fpasswd/frame.jpg", &[&agent]).status, 404);
    assert_eq!(get(address, "/api/sessions/..%2F..%2Fetc", &[&agent]).status, 404);
    let listed = get(address, "/api/sessions", &[&agent]).json();
    assert_eq!(listed["sessions"][0]["live"], true, "{listed}");

    // Commands: the agent may give none.
    let order =
        |who: &str, name: &str, body: &str| ask(address, "POST", &format!("/api/commands/{name}"), &[who], body);
    let refused = order(&agent, "ping", "{}");
    assert_eq!((refused.status, refused.json()["detail"].as_str().unwrap().contains("`command`")), (403, true));
    assert_eq!(ask(address, "POST", "/api/commands/ping", &[], "{}").status, 401);
    let pong = order(&operator, "ping", "");
    assert_eq!((pong.status, pong.json()["reason"].as_str()), (200, Some("pong")), "{pong:?}");
    assert!(pong.json()["id"].as_str().is_some_and(|id| !id.is_empty()));
    let switched = order(&operator, "privacy", r#"{"id":"a1","value":"on"}"#);
    assert_eq!((switched.status, switched.json()["status"].as_str()), (200, Some("done")), "{switched:?}");
    assert_eq!(get(address, "/api/scene", &[&operator]).json()["privacy"], true);
    // What comes twice is done once: it is answered as it stands.
    assert_eq!(order(&operator, "privacy", r#"{"id":"a2","value":"off"}"#).status, 200);
    assert_eq!(order(&operator, "privacy", r#"{"id":"a1","value":"on"}"#).json()["reason"], "privacy is on");
    assert_eq!(get(address, "/api/scene", &[&operator]).json()["privacy"], false);
    for (name, body, status) in [
        ("reboot", "{}", 404),
        ("ping", "[]", 400),
        ("ping", "\u{0}", 400),
        ("ping", r#"{"sudo":true}"#, 422),
        ("ping", r#"{"expires_at":"2001-01-01T00:00:00Z"}"#, 410),
        ("restart-device", r#"{"device":"../../dev/null"}"#, 422),
    ] {
        assert_eq!(order(&operator, name, body).status, status, "{name} {body}");
    }
    let huge = format!(r#"{{"id":"{}"}}"#, "a".repeat(20_000));
    assert_eq!(order(&operator, "ping", &huge).status, 413);

    // All of it is in the session, with who it was, and replays.
    let token = run.token("operator");
    let session = run.finish();
    assert!(!run.said().contains(&token), "no token is logged");
    let told = told(&session);
    assert!(told.contains(&("cmd/privacy".to_owned(), "operator".to_owned())), "{told:?}");
    assert!(told.iter().all(|(_, by)| by == "operator"), "{told:?}");
    waywarden(run.dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
}

#[test]
fn a_token_that_is_taken_out_of_the_file_is_good_no_longer() {
    let mut run = Run::start("");
    let address = run.address();
    let (operator, agent) = (run.token("operator"), run.token("agent"));
    let status = |header: &str| get(address, "/api/scene", &[header]).status;
    let begun = ask(address, "POST", "/session", &[&bearer(&operator)], "");
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let by_cookie =
        || get(address, "/api/scene", &[&format!("Cookie: {cookie}"), "Sec-Fetch-Site: same-origin"]).status;
    assert_eq!((status(&bearer(&operator)), status(&bearer(&agent)), by_cookie()), (200, 200, 200));
    // What is seen, as it is seen: it goes on for as long as it is listened to.
    let open = |path: &str, token: &str, more: &str, answer: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{}\r\n{more}\r\n", bearer(token));
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(String::from_utf8_lossy(&first), format!("HTTP/1.1 {answer}"));
        stream
    };
    let listen = |token: &str| open("/api/scenes", token, "", "200");
    let (ends, goes_on) = (listen(&operator), listen(&agent));
    let watch = |token: &str| {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: foxglove.sdk.v1\r\n";
        open("/foxglove", token, upgrade, "101")
    };
    let (watch_ends, watch_goes_on) = (watch(&operator), watch(&agent));

    // One that others may read is not taken, and those of before stay.
    let tokens = run.tokens_file();
    let text = std::fs::read_to_string(&tokens).unwrap();
    let mode = |mode| std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    send(&run.child, Signal::SIGHUP);
    let said = run.dir.path().join("stderr.txt");
    let hear = |child: &mut Child, words: &str| {
        until(child, words, || std::fs::read_to_string(&said).ok()?.contains(words).then_some(()));
    };
    hear(&mut run.child, "tokens not taken, those of before stay");
    assert_eq!((status(&bearer(&operator)), by_cookie()), (200, 200));

    mode(0o600);
    let other = "00112233445566778899aabbccddeeff";
    std::fs::write(&tokens, text.replace(&operator, other)).unwrap();
    send(&run.child, Signal::SIGHUP);
    hear(&mut run.child, "tokens read anew: operator, agent");
    assert_eq!((status(&bearer(&operator)), by_cookie()), (401, 401));
    assert_eq!((status(&bearer(other)), status(&bearer(&agent))), (200, 200));
    // Whether it ends within so long; what goes on says something several times a second.
    let ends_within = |mut stream: TcpStream, patience: Duration| {
        stream.set_read_timeout(Some(patience)).unwrap();
        let (begin, mut bytes, mut heard) = (boottime(), vec![0; 65536], Vec::new());
        while boottime().since(begin) < patience && !heard.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(n) => heard.extend_from_slice(&bytes[..n]),
                Err(_) => return false,
            }
        }
        heard.ends_with(b"\r\n0\r\n\r\n")
    };
    assert!(ends_within(ends, PATIENCE));
    assert!(!ends_within(goes_on, Duration::from_secs(1)));
    assert!(ends_within(watch_ends, PATIENCE));
    assert!(!ends_within(watch_goes_on, Duration::from_secs(1)));
    run.finish();
    for token in [&operator, &agent, other] {
        assert!(!run.said().contains(token));
    }
}

#[test]
fn a_tokens_file_that_others_may_read_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.toml");
    access::make(&path).unwrap();
    let http = Http { tokens_file: path.to_str().unwrap().into(), ..Http::default() };
    assert!(!Access::read(&http).unwrap().is_empty());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = format!("{CAMERA}[http]\nlisten = \"127.0.0.1:0\"\ntokens_file = {:?}\n", http.tokens_file);
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let refused = waywarden(dir.path(), &["run", "--simulate", "--config", "config.toml"]);
    let refused = refused.refused(&["http.tokens_file", "mode 644"]);
    assert!(refused.err.contains("chmod 600"), "{refused:?}");
}

/// A server with a route for each scope, for whoever has the tokens `view-…` and `all-…`.
fn served(http: Http) -> (Network, SocketAddr) {
    let entry = |name: &str, scopes: &[Scope]| Entry {
        name: name.into(),
        token: format!("{name}-0123456789abcdef"),
        scopes: scopes.iter().copied().collect(),
    };
    let access = Access::of([entry("view", &[Scope::View]), entry("all", &Scope::ALL)]);
    let routes = Scope::ALL.into_iter().fold(axum::Router::new(), |router, scope| {
        let one = axum::Router::new().route(&format!("/{scope}"), axum::routing::get(async || "in"));
        router.merge(one.route_layer(access::needs(scope)))
    });
    let network = Network::new(1);
    let server = Server::new(&http, access.clone()).unwrap();
    let listening =
        server.start_at_once(routes.merge(access::routes(access, serde_json::json!({}))), &network).unwrap();
    (network, listening.address().unwrap())
}

fn anywhere() -> Http {
    Http { listen: "127.0.0.1:0".into(), ..Http::default() }
}

#[test]
fn each_route_asks_for_its_scope() {
    let (_network, address) = served(anywhere());
    let status = |path: &str, token: &str| get(address, path, &[&bearer(token)]).status;
    for scope in Scope::ALL {
        let path = format!("/{scope}");
        assert_eq!(get(address, &path, &[]).status, 401);
        assert_eq!(status(&path, "all-0123456789abcdef"), 200);
        assert_eq!(status(&path, "view-0123456789abcdef"), if scope == Scope::View { 200 } else { 403 }, "{scope}");
    }
    // Nobody is told by which ways he could come from elsewhere.
    let preflight = ask(address, "OPTIONS", "/view", &["Origin: https://evil.example"], "");
    assert_eq!(preflight.status, 403);
    let own = get(address, "/view", &[&bearer("all-0123456789abcdef")]);
    assert!(own.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{own:?}");
}

#[test]
fn a_cookie_stands_in_for_a_token_where_the_own_page_asks() {
    let (_network, address) = served(anywhere());
    assert_eq!(ask(address, "POST", "/session", &[], "").status, 401);
    assert_eq!(ask(address, "POST", "/session", &[&bearer("wrong-0123456789abcdef")], "").status, 401);
    let begun = ask(address, "POST", "/session", &[&bearer("view-0123456789abcdef")], "");
    assert_eq!((begun.status, begun.json()["scopes"].clone()), (200, serde_json::json!(["view"])));
    let set = begun.header("set-cookie").unwrap().to_owned();
    for words in ["HttpOnly", "SameSite=Strict", "Max-Age=", "Path=/"] {
        assert!(set.contains(words) && !set.contains("Secure"), "{set}");
    }
    let cookie = format!("Cookie: {}", set.split(';').next().unwrap());
    let own = format!("Origin: http://{address}");
    let status = |path: &str, headers: &[&str]| get(address, path, headers).status;
    assert_eq!(status("/view", &[&cookie, "Sec-Fetch-Site: same-origin"]), 200);
    assert_eq!(status("/view", &[&cookie, &own]), 200);
    assert_eq!(status("/talk", &[&cookie, &own]), 403, "it allows what the token does");
    // Across sites, from another program of this computer, or by nobody knows whom.
    for site in ["cross-site", "same-site", "none", ""] {
        assert_eq!(status("/view", &[&cookie, &format!("Sec-Fetch-Site: {site}")]), 401, "{site}");
    }
    assert_eq!(status("/view", &[&cookie]), 401);
    assert_eq!(status("/view", &[&cookie, "Origin: http://127.0.0.1:1"]), 403);
    assert_eq!(status("/view", &["Cookie: waywarden=0000", &own]), 401);
    // It makes no other one, and is over when its owner says so.
    assert_eq!(ask(address, "POST", "/session", &[&cookie, &own], "").status, 401);
    let ended = ask(address, "DELETE", "/session", &[&cookie, &own], "");
    assert!(ended.status == 204 && ended.header("set-cookie").unwrap().contains("Max-Age=0"), "{ended:?}");
    assert_eq!(status("/view", &[&cookie, &own]), 401);
}

#[test]
fn who_guesses_has_to_wait() {
    let (_network, address) = served(anywhere());
    let statuses: Vec<u16> =
        (0..20).map(|n| get(address, "/view", &[&bearer(&format!("guess-{n}-0123456789"))]).status).collect();
    assert_eq!((statuses[0], statuses[19]), (401, 429), "{statuses:?}");
    let waits = get(address, "/view", &[&bearer("all-0123456789abcdef")]);
    let after: u32 = waits.header("retry-after").unwrap().parse().unwrap();
    assert!(waits.status == 429 && (1..=60).contains(&after), "{waits:?}");
    // Who brings none is asked for one all the same.
    assert_eq!(get(address, "/view", &[]).status, 401);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    };
    let (old, new) = (make(), make());
    write(&old);
    let http = Http { tls_cert: path("cert.pem"), tls_key: path("key.pem"), ..anywhere() };
    let (_network, address) = served(http);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = |trusted: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let trusted = reqwest::Certificate::from_pem(trusted.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
        let url = format!("https://localhost:{}/session", address.port());
        let asked = client.post(url).bearer_auth("all-0123456789abcdef").send();
        runtime.block_on(asked).ok().map(|answer| {
            let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
            (answer.status().as_u16(), cookie.contains("; Secure"))
        })
    };
    assert_eq!((status(&old), status(&new)), (Some((200, true)), None));
    write(&new);
    let began = boottime();
    while status(&new).is_none() {
        assert!(boottime().since(began) < PATIENCE, "the old one is still shown");
        outcome::pause(Duration::from_millis(100));
    }
    assert_eq!(status(&old), None);
}
