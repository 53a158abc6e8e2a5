//! `devices` and `doctor` as a person meets them before the first drive.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/server.rs"]
mod server;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use broker::{Broker, FAST, free_port, until};
use outcome::{Outcome, start, waywarden};
use serde_json::Value;
use server::{Reply, Server};

fn verdict(outcome: &Outcome) -> Value {
    serde_json::from_str(outcome.out.lines().next().unwrap()).unwrap()
}

fn check<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let checks = verdict["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

fn doctor(dir: &Path, config: &str) -> Outcome {
    std::fs::write(dir.join("config.toml"), config).unwrap();
    waywarden(dir, &["doctor", "--config", "config.toml", "--record", ".", "--json"])
}

#[test]
fn a_computer_on_which_all_works_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let camera =
        "range = []\n[http]\nlisten = \"127.0.0.1:0\"\n[[camera]]\nwidth = 160\nheight = 96\nloop_frames = 5\n";
    let found = verdict(&doctor(dir.path(), camera).done());
    assert_eq!(found["ok"], true);
    for name in ["config", "space", "disk", "clock", "threads", "priority", "http", "http.listen", "mqtt", "remote"] {
        assert_ne!(check(&found, name)["status"], "fail", "{found}");
    }
    // It was opened and delivered; that it is simulated is worth a warning, and so is a model that is missing.
    for name in ["front", "gps"] {
        assert_eq!(check(&found, name)["status"], "warn", "{found}");
        assert!(check(&found, name)["found"].as_str().unwrap().contains(" a second, "), "{found}");
    }
    assert!(check(&found, "detection")["todo"].as_str().unwrap().contains("models fetch"), "{found}");
    // It leaves nothing behind.
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_does_not_work_is_named_with_what_to_do_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = doctor(dir.path(), "camera = []\nrange = []\n[[gps]]\nsource = \"/dev/tty-that-is-not-there\"\n");
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let found = verdict(&outcome);
    let gps = check(&found, "gps");
    assert_eq!(gps["status"], "fail");
    assert!(gps["found"].as_str().unwrap().contains("/dev/tty-that-is-not-there"), "{gps}");
    assert!(gps["todo"].as_str().unwrap().contains("waywarden devices"));

    let outcome = doctor(dir.path(), "[gate]\nthreshold = 300.0\n");
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(check(&verdict(&outcome), "config")["found"].as_str().unwrap().contains("gate.threshold"));
    let outcome = waywarden(dir.path(), &["doctor", "--config", "other.toml"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.out.starts_with("fail  config") && outcome.out.contains("other.toml"), "{outcome:?}");
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let said = waywarden(dir.path(), &["devices"]).done().out;
    for title in ["Cameras", "Microphones", "Loudspeakers", "Serial ports"] {
        assert!(said.contains(title), "{said}");
    }
    let listing = waywarden(dir.path(), &["devices", "--json"]).done().out;
    let listing: Value = serde_json::from_str(listing.lines().next().unwrap()).unwrap();
    for kind in ["cameras", "microphones", "speakers", "serial_ports"] {
        assert!(listing[kind].is_array(), "{listing}");
    }
}

/// No devices, no models, no HTTP server.
const NOTHING: &str = "camera = []\nrange = []\ngps = []\n";
const NO_MODELS: &str = "[segmentation]\nenabled = false\n[detection]\nenabled = false\n";

fn nothing_but(sections: &str) -> String {
    let off = if sections.contains("[http]") { "" } else { "[http]\nenabled = false\n" };
    format!("{NOTHING}{NO_MODELS}{off}{sections}")
}

fn status<'a>(verdict: &'a Value, name: &str) -> &'a str {
    check(verdict, name)["status"].as_str().unwrap()
}

fn found<'a>(verdict: &'a Value, name: &str) -> &'a str {
    check(verdict, name)["found"].as_str().unwrap()
}

#[test]
fn what_listens_for_speech_is_tried_and_what_listens_instead_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("models")).unwrap();
    let listening = |detector: &str| {
        let config = nothing_but(&format!("[voice]\ndetector = \"{detector}\"\n[[microphone]]\n"));
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        let args = ["doctor", "--config", "config.toml", "--record", ".", "--json", "--models", "models"];
        verdict(&waywarden(dir.path(), &args))
    };
    let own = listening("earshot");
    assert_eq!(status(&own, "speech"), "ok", "{own}");
    let said = found(&own, "speech");
    assert!(said.starts_with("earshot ") && said.ends_with(" % of a core"), "{said}");

    let missing = listening("silero");
    assert_eq!(status(&missing, "speech"), "warn", "{missing}");
    let said = found(&missing, "speech");
    assert!(said.starts_with("earshot ") && said.contains("because no silero_vad: looked for "), "{said}");
    assert!(check(&missing, "speech")["todo"].as_str().unwrap().contains("models list"), "{missing}");

    // Not what it claims to be.
    std::fs::write(dir.path().join("models/silero_vad_16k_op15.onnx"), "no network").unwrap();
    let wrong = listening("auto");
    assert_eq!(status(&wrong, "speech"), "fail", "{wrong}");
    assert!(found(&wrong, "speech").contains("silero_vad_16k_op15.onnx"), "{wrong}");
    // Nobody listens where there is no microphone.
    let none = verdict(&doctor(dir.path(), &nothing_but("")));
    assert!(none["checks"].as_array().unwrap().iter().all(|check| check["name"] != "speech"), "{none}");
}

/// A certificate for this computer, and its key, as files.
fn certificate(dir: &Path, name: &str) -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    (cert.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned())
}

#[test]
fn rates_that_are_not_kept_come_with_what_would_keep_them() {
    let dir = tempfile::tempdir().unwrap();
    // Four cameras, and a hundred pictures a second of each by two models: no computer does that on one thread.
    let camera = |name: &str, fps: u32| {
        format!("[[camera]]\nname = \"{name}\"\nwidth = 160\nheight = 96\nloop_frames = 2\nfps = {fps}.0\n")
    };
    let models = tiny_models::write(dir.path(), &["segmentation", "detection"]);
    let at = |hz: &str| {
        let rate = |role: &str| models.replace(&format!("[{role}]\n"), &format!("[{role}]\nrate_hz = {hz}\n"));
        let both = rate("segmentation").replace("[detection]\n", &format!("[detection]\nrate_hz = {hz}\n"));
        let cameras: String = ["a", "b", "c", "d"].iter().map(|name| camera(name, 100)).collect();
        verdict(&doctor(dir.path(), &format!("range = []\ngps = []\n{both}[http]\nenabled = false\n{cameras}")).done())
    };
    let kept = at("0.1");
    assert_eq!(status(&kept, "rates"), "ok", "{kept}");
    assert!(check(&kept, "rates")["config"].is_null());

    let slow = at("100.0");
    assert_eq!(status(&slow, "rates"), "warn", "{slow}");
    assert!(found(&slow, "rates").contains("400.0 a second for segmentation by tiny-lanes"), "{slow}");
    let rates = check(&slow, "rates");
    let todo = rates["todo"].as_str().unwrap();
    for file in ["twinlitenetplus_nano.onnx", "fastestdet.onnx"] {
        let expected = dir.path().join(".local/share/waywarden/models").join(file);
        assert!(todo.contains(expected.to_str().unwrap()), "{todo}");
    }
    let lines = rates["config"].as_str().unwrap();
    assert!(
        lines.contains("[segmentation]\nmodel = \"twinlitenet_plus_nano\"") && lines.contains("score = 0.5"),
        "{lines}"
    );
    // The same for a person, a line of the config a line.
    let said = waywarden(dir.path(), &["doctor", "--config", "config.toml", "--record", "."]).done().out;
    assert!(said.lines().any(|line| line.trim() == "model = \"fastestdet\""), "{said}");
}

#[test]
fn the_port_of_the_server_is_free_or_has_an_owner() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let http = |more: &str| nothing_but(&format!("[http]\nlisten = \"127.0.0.1:{port}\"\n{more}"));
    let free = verdict(&doctor(dir.path(), &http("")).done());
    assert_eq!((status(&free, "http"), status(&free, "http.listen")), ("ok", "ok"), "{free}");

    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let taken = doctor(dir.path(), &http(""));
    assert_eq!(taken.code, Some(3), "{taken:?}");
    assert!(found(&verdict(&taken), "http.listen").contains("another program has it"), "{taken:?}");
    drop(listener);

    // A run of this program, which asks for a token.
    let token = dir.path().join("token");
    std::fs::write(&token, "a-token-that-nobody-guesses").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    for more in ["", "token_file = \"token\"\n"] {
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(&token, other.path().join("token")).unwrap();
        let camera = "[[camera]]\nwidth = 160\nheight = 96\nloop_frames = 5\n";
        let listen = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n{more}");
        std::fs::write(other.path().join("config.toml"), format!("{NO_MODELS}{listen}{camera}")).unwrap();
        let mut run = start(other.path(), &["run", "--simulate", "--config", "config.toml", "--log", "info"]);
        until("server", || {
            std::fs::read_to_string(other.path().join("stderr.txt")).ok()?.contains("listening on").then_some(())
        });
        let mine = doctor(dir.path(), &http(more));
        run.kill().unwrap();
        run.wait().unwrap();
        let mine = verdict(&mine.done());
        assert!(found(&mine, "http.listen").contains("a run of waywarden"), "{mine}");
        assert_eq!(status(&mine, "http"), if more.is_empty() { "ok" } else { "warn" }, "{mine}");
        if !more.is_empty() {
            assert_eq!(check(&mine, "http")["todo"], "chmod 600 token", "{mine}");
            assert!(!mine.to_string().contains("a-token-that-nobody-guesses"));
        }
    }

    let (cert, key) = certificate(dir.path(), "own");
    let tls = format!("tls_cert = \"{cert}\"\ntls_key = \"{key}\"\n");
    let sound = verdict(&doctor(dir.path(), &http(&tls)).done());
    assert!(status(&sound, "http") == "ok" && found(&sound, "http").contains("days more"), "{sound}");
    for missing in ["token_file = \"none\"\n", "tls_cert = \"none\"\ntls_key = \"none\"\n"] {
        let outcome = doctor(dir.path(), &http(missing));
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        assert_eq!(status(&verdict(&outcome), "http"), "fail", "{outcome:?}");
    }
}

#[test]
fn the_broker_is_reached_and_trusted_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let mqtt = |broker: &str, more: &str| nothing_but(&format!("[mqtt]\nbroker = \"{broker}\"\n{more}"));
    let nobody = verdict(&doctor(dir.path(), &mqtt(&format!("mqtt://127.0.0.1:{}", free_port()), "")).done());
    assert_eq!((status(&nobody, "mqtt"), status(&nobody, "mqtt.broker")), ("ok", "warn"), "{nobody}");
    assert!(check(&nobody, "mqtt.broker")["todo"].as_str().unwrap().contains("wait on disk"), "{nobody}");
    let missing = doctor(dir.path(), &mqtt("mqtt://127.0.0.1:1", "username = \"van\"\npassword_file = \"none\"\n"));
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(found(&verdict(&missing), "mqtt").contains("mqtt.password_file"), "{missing:?}");

    let Some(plain) = Broker::start(dir.path(), FAST) else { return };
    let password = dir.path().join("password");
    std::fs::write(&password, "pass word that is secret").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let login = "username = \"van\"\npassword_file = \"password\"\n";
    let reached = doctor(dir.path(), &mqtt(&format!("mqtt://127.0.0.1:{}", plain.port), login)).done();
    assert!(!reached.out.contains("pass word"), "{reached:?}");
    let reached = verdict(&reached);
    assert_eq!((status(&reached, "mqtt"), status(&reached, "mqtt.broker")), ("ok", "ok"), "{reached}");

    let (cert, key) = certificate(dir.path(), "broker");
    let (other, _) = certificate(dir.path(), "other");
    let folder = dir.path().join("tls");
    std::fs::create_dir(&folder).unwrap();
    let tls = format!("{FAST}certfile {cert}\nkeyfile {key}\n");
    let Some(tls) = Broker::start(&folder, &tls) else { return };
    let by = |broker: String, ca: &str| doctor(dir.path(), &mqtt(&broker, &format!("ca_file = \"{ca}\"\n")));
    let trusted = verdict(&by(format!("mqtts://127.0.0.1:{}", tls.port), &cert).done());
    assert!(found(&trusted, "mqtt.broker").contains("over TLS"), "{trusted}");
    assert!(found(&trusted, "mqtt").contains("mqtt.ca_file"), "{trusted}");
    for (port, ca) in [(tls.port, &other), (plain.port, &cert)] {
        let distrusted = by(format!("mqtts://127.0.0.1:{port}"), ca);
        assert_eq!(distrusted.code, Some(3), "{distrusted:?}");
        let distrusted = verdict(&distrusted);
        assert!(found(&distrusted, "mqtt.broker").contains("TLS"), "{distrusted}");
        assert!(check(&distrusted, "mqtt.broker")["todo"].as_str().unwrap().contains("mqtt.ca_file"), "{distrusted}");
    }
}

#[test]
fn the_service_answers_or_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "a-token-that-nobody-guesses").unwrap();
    std::fs::set_permissions(dir.path().join("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(|_, request| {
        let json = "Content-Type: application/json";
        let model = format!(r#"{{ "name": "big", "sha256": "{}", "engine": "abacus 1" }}"#, "0".repeat(64));
        match request.header("authorization") {
            Some("Bearer a-token-that-nobody-guesses") if request.path == "/v1/models" => {
                Reply::new("200 OK", &[json], format!(r#"{{ "models": {{ "segmentation": {model} }} }}"#).as_bytes())
            }
            _ => Reply::new("401 Unauthorized", &[json], b"{}"),
        }
    });
    let remote = |url: &str, more: &str| {
        let rest = "[http]\nenabled = false\n[remote]";
        doctor(dir.path(), &format!("{NOTHING}{rest}\nurl = \"{url}\"\n{more}"))
    };
    let some = remote(&server.url, "token_file = \"token\"\nroles = [\"segmentation\"]\n").done();
    assert!(!some.out.contains("nobody-guesses"), "{some:?}");
    let some = verdict(&some);
    assert_eq!((status(&some, "remote"), status(&some, "remote.url")), ("ok", "ok"), "{some}");
    assert!(found(&some, "remote.url").contains("segmentation by big on abacus 1"), "{some}");
    let lacks = verdict(&remote(&server.url, "token_file = \"token\"\n").done());
    assert!(status(&lacks, "remote.url") == "warn" && found(&lacks, "remote.url").contains("no detection"), "{lacks}");

    let refused = remote(&server.url, "");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(found(&verdict(&refused), "remote.url").contains("token"), "{refused:?}");
    let nobody = verdict(&remote(&format!("http://127.0.0.1:{}", free_port()), "").done());
    assert_eq!(status(&nobody, "remote.url"), "warn", "{nobody}");
    let missing = remote(&server.url, "token_file = \"none\"\n");
    assert_eq!((missing.code, status(&verdict(&missing), "remote")), (Some(3), "fail"), "{missing:?}");
}
