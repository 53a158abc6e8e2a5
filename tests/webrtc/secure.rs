//! From another computer: by HTTPS, under an address that is not loopback.

use std::net::{IpAddr, UdpSocket};

use serde_json::json;

use super::{CONFIG, Puppet, Run, TOKEN, number, waywarden};

/// The address under which this computer is seen, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: it only says which address would be used.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn who_comes_from_elsewhere_talks_by_the_certificate_that_init_makes() {
    let Some(here) = own_address() else {
        println!("skipped: this computer has no address but that of loopback");
        return;
    };
    let made = tempfile::tempdir().unwrap();
    waywarden(made.path(), &["init", "--certificate", &here.to_string()]).done();
    let made_config = std::fs::read_to_string(made.path().join("waywarden.toml")).unwrap();
    let made_config: toml::Table = toml::from_str(&made_config).unwrap();
    let http = &made_config["http"];
    // One line says where HTTP and WebRTC are reached.
    let listen = format!(
        "listen = \"0.0.0.0:0\"\ntls_cert = {}\ntls_key = {}\nallowed_hosts = {}",
        http["tls_cert"], http["tls_key"], http["allowed_hosts"]
    );
    let mut run = Run::start_with(&CONFIG.replace("listen = \"127.0.0.1:0\"", &listen));
    let url = format!("https://{here}:{}", run.address.port());
    let Some(mut browser) = Puppet::browser(&url, TOKEN, &json!({ "talk": true, "camera": "front" })) else { return };
    let answer = browser.open(|sdp| sdp);
    let sdp = answer["sdp"].as_str().unwrap();
    let ways: Vec<&str> = sdp.lines().filter(|line| line.starts_with("a=candidate")).collect();
    assert!(ways.iter().any(|way| way.contains(&format!(" {here} "))), "{ways:?}");
    run.until("pictures", |_| (number(&browser.told("stats"), "/video/framesDecoded") > 10.0).then_some(()));
    // A page that is not secure would be given no microphone.
    browser.tell(&json!({ "do": "talk", "on": true }));
    run.until("a voice that is heard", |_| {
        browser.told("stats")["seen"]["talk"]["heard"].as_bool().filter(|heard| *heard)
    });
    drop(browser);
    run.finish();
}
