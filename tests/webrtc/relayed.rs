//! By way of a TURN server: a real one (coturn), with credentials that the vehicle made of a shared secret.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use waywarden_systems::clock::utc_seconds;
use waywarden_systems::webrtc::turn::Turn;

use super::{Puppet, Run, TOKEN, number, pause};

const SECRET: &str = "what-both-of-them-know";

/// A TURN server on loopback, as long as this lives.
struct Relay {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Relay {
    /// None where there is none, which is said.
    fn start() -> Option<Self> {
        // Free when it was asked for; a server cannot say which it took.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("turnserver");
        command.args(["-n", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--allow-loopback-peers"]);
        command.args(["--listening-port", &port.to_string(), "--no-tls", "--no-dtls", "--no-tcp", "--no-cli"]);
        command.args(["--use-auth-secret", "--static-auth-secret", SECRET, "--realm", "example"]);
        command.args(["--simple-log", "--log-file", &path("log"), "--pidfile", &path("pid"), "--userdb", &path("db")]);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, port, folder }),
            Err(error) => {
                println!("skipped: no TURN server: turnserver: {error}");
                None
            }
        }
    }

    /// Settings of a vehicle that knows it.
    fn config(&self) -> String {
        let secret = self.folder.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        format!("[webrtc]\nturn = [\"turn:127.0.0.1:{}\"]\nturn_secret_file = '{}'\n", self.port, secret.display())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_operator_s_page_uses_what_the_vehicle_names() {
    let Some(relay) = Relay::start() else { return };
    let relayed = json!({ "relayed": true });
    let by_page = json!({ "do": "open by page", "camera": "front" });
    let mut run = Run::start(&relay.config());
    let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &relayed) else { return };
    let opened = browser.tell(&by_page);
    assert_eq!(opened["connected"], true, "{opened}");
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    let stats = browser.told("stats");
    assert_eq!(stats["way"]["here"], "relay", "{stats}");
    drop((browser, run));

    // That it could not have come there otherwise.
    let run = Run::start("");
    let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &relayed) else { return };
    let opened = browser.tell(&by_page);
    assert_eq!(opened["connected"], false, "{opened}");
}

#[test]
fn who_finds_no_other_way_is_relayed_with_the_vehicle_s_credentials_and_with_no_others() {
    let Some(relay) = Relay::start() else { return };
    let mut run = Run::start(&relay.config());
    let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &json!({ "relayed": true })) else { return };
    let answer = browser.open(|sdp| sdp);
    let sdp = answer["sdp"].as_str().unwrap();
    assert!(sdp.contains(" typ relay"), "the vehicle can be reached through it as well: {sdp}");
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    let stats = browser.told("stats");
    assert_eq!(stats["way"]["here"], "relay", "{stats}");
    drop(browser);

    let wrong = json!({ "relayed": true, "credential": "guessed" });
    // Made of the secret by the vehicle's own code: an hour ago, for a minute; and now.
    let turn = Turn { urls: Vec::new(), secret: SECRET.as_bytes().to_vec(), lifetime_s: 60 };
    let now = utc_seconds();
    let made = |at: u64| turn.server("vehicle", at);
    let [expired, good] = [made(now - 3600), made(now)]
        .map(|made| json!({ "relayed": true, "username": made.username, "credential": made.credential }));
    for (credentials, are_good) in [(wrong, false), (expired, false), (good, true)] {
        let Some(mut browser) = Puppet::browser(&run.url(), TOKEN, &credentials) else { return };
        browser.open(|sdp| sdp);
        if are_good {
            run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 0.0).then_some(()));
        } else {
            pause(Duration::from_secs(4));
            let stats = browser.told("stats");
            assert_eq!(number(&stats, "/video/framesDecoded"), 0.0, "{credentials} {stats}");
        }
    }
}
