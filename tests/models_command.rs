//! `waywarden models`, against a server on this computer: the real ones are never asked.

#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

#[path = "support/program.rs"]
mod program;
#[path = "support/server.rs"]
mod server;

use std::fs;
use std::process::Output;

use program::{data, folder, json, run, text};
use serde_json::Value;
use server::{Reply, Server};

fn failed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is said of a model.
fn listed<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap()
}

#[test]
fn models_come_from_a_mirror_and_are_listed() {
    let Some(models) = data("models") else { return };
    let served = models.clone();
    // The first answer to each is cut off.
    let server = Server::start(move |number, request| {
        let name = request.path.trim_start_matches("/mirror/").replace("yolox_nano.onnx", "yolox_nano_reexport.onnx");
        let reply = Reply::file(request, &fs::read(served.join(name)).unwrap(), "\"tag\"");
        if number % 2 == 0 { reply.cut(1_000_000) } else { reply }
    });
    let (folder, mirror) = (folder(), format!("{}/mirror/", server.url));
    let dir = folder.path().join("models");
    let done = json(&["models", "fetch", "--dir", text(&dir), "--from", &mirror, "--json"]);
    let names: Vec<_> =
        done["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["twinlitenet", "yolox_nano"]);
    assert!(done["models"].as_array().unwrap().iter().all(|model| model["downloaded"] == true));
    assert_eq!(fs::read(dir.join("twinlitenet.onnx")).unwrap(), fs::read(models.join("twinlitenet.onnx")).unwrap());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    assert_eq!(server.requests().len(), 4);

    // Once more there is nothing to do.
    let again = json(&["models", "fetch", "--dir", text(&dir), "--from", &mirror, "--json"]);
    assert!(again["models"].as_array().unwrap().iter().all(|model| model["downloaded"] == false));
    assert_eq!(server.requests().len(), 4);

    let list = json(&["models", "list", "--dir", text(&dir), "--json"]);
    assert_eq!(listed(&list, "twinlitenet")["state"], "right");
    assert_eq!(listed(&list, "yolox_nano")["path"], text(&dir.join("yolox_nano.onnx")));
    assert_eq!(listed(&list, "twinlitenet_plus_small")["state"], "missing");
    let hears = listed(&list, "silero_vad");
    assert_eq!((hears["role"].as_str(), hears["state"].as_str()), (Some("speech"), Some("missing")));
}

#[test]
fn a_damaged_file_is_listed_as_such_and_stays_until_a_whole_one_is_there() {
    let server = Server::start(|_, request| Reply::file(request, b"not it either", "\"tag\""));
    let folder = folder();
    let path = folder.path().join("yolox_nano.onnx");
    fs::write(&path, "damaged").unwrap();
    let list = json(&["models", "list", "--dir", text(folder.path()), "--json"]);
    assert_eq!(listed(&list, "yolox_nano")["state"], "wrong");
    let shown = String::from_utf8(run(&["models", "list", "--dir", text(folder.path())]).stdout).unwrap();
    assert!(shown.contains("WRONG SHA-256") && shown.contains("waywarden models fetch"), "{shown}");
    for part in ["* yolox_nano", "detection", "Apache-2.0", "no known address of twinlitenetplus_nano.onnx"] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }

    let output = run(&["models", "fetch", "yolox_nano", "--dir", text(folder.path()), "--from", &server.url, "--json"]);
    let object = failed(&output);
    assert_eq!((output.status.code(), &object["code"]), (Some(3), &Value::from(3)), "{object}");
    assert!(object["error"].as_str().unwrap().contains("what came from there has SHA-256"), "{object}");
    assert_eq!(fs::read(&path).unwrap(), b"damaged");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn mirrors_are_tried_in_turn_and_each_failure_is_told() {
    let gone = Server::start(|_, _| Reply::new("404 Not Found", &[], b""));
    let forbidden = Server::start(|_, _| Reply::new("403 Forbidden", &[], b""));
    let folder = folder();
    let args =
        ["models", "fetch", "yolox_nano", "--dir", text(folder.path()), "--from", &gone.url, "--from", &forbidden.url];
    let output = run(&args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in ["404 Not Found", "403 Forbidden", &gone.url, &forbidden.url, "hint: name a mirror with --from"] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    assert_eq!(gone.requests()[0].path, "/yolox_nano.onnx");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_fetched_is_bad_input_with_what_to_do() {
    let folder = folder();
    let dir = text(folder.path());
    for (args, error, hint) in [
        (vec!["nothing"], "no model is called `nothing`", "known are twinlitenet, "),
        (
            vec!["twinlitenet_plus_nano"],
            "no known address of twinlitenet_plus_nano",
            "twinlitenetplus_nano.onnx yourself",
        ),
        (vec!["silero_vad"], "no known address of silero_vad", "silero_vad_16k_op15.onnx yourself"),
        (vec!["yolox_nano", "--from", "ftp://a"], "--from ftp://a: no address of a web server", "https://"),
    ] {
        let output = run(&[&["models", "fetch", "--dir", dir, "--json"][..], &args].concat());
        let object = failed(&output);
        assert_eq!(output.status.code(), Some(2), "{object}");
        assert!(object["error"].as_str().unwrap().contains(error), "{object}");
        assert!(object["hint"].as_str().unwrap().contains(hint), "{object}");
    }
}
