//! The JSON Schemas in `assets/mqtt` and the page `docs/mqtt.md` are made of the types that the program speaks with:
//!
//!     WAYWARDEN_WRITE=1 cargo test --test mqtt_documents

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use waywarden_systems::commands::parse;
use waywarden_systems::mqtt::wire;

const HEAD: &str = "\
# MQTT

<!-- Made by `WAYWARDEN_WRITE=1 cargo test --test mqtt_documents`; do not edit. -->

The vehicle reports to the broker that `mqtt.broker` names in the config, below the topic `PREFIX/VEHICLE/`: with the defaults
`waywarden/<name of the computer>/`. Everything is sent with QoS 1.

## What is promised

- **Nothing is lost.** What is said waits on disk (`mqtt.spool`) until the broker has acknowledged it, over restarts of both and
  power cuts; on disk it is 50 ms after it was said (`mqtt.commit_ms`). Where the spool is full (`mqtt.spool_mb`) the oldest of
  the least important is dropped, what is older than `mqtt.keep_*_h` has expired, and `telemetry/health` counts both.
- **What is new comes first.** Behind an outage what happens now is sent at once, and what waited beside it, with `hist`
  true: the most important first, the oldest of it first. Among what is late, and among what is not, each topic is in order.
- **Nothing is counted twice.** A message may come more than once; `boot_id`, topic and `seq` name it.
- **A parked car is quiet.** Telemetry is sent where it has changed by more than its deadband, no more often than its rate, and
  every `mqtt.heartbeat_s` where it has not.
- **Commands are obeyed once, and never late.** A command has an `id`; one that comes again is answered and not obeyed, over
  restarts too. After `expires_at` it is not obeyed; where the vehicle does not know the date, one that expires is refused. The
  broker keeps commands for a vehicle that is away; retained ones are refused.

## Switches

| topic | | what |
| --- | --- | --- |
| `recording/set`, `privacy/set` | to the vehicle | `ON` or `OFF`, and nothing else |
| `recording/state`, `privacy/state` | from the vehicle, retained | `ON` or `OFF` |

`recording` off ends the recording until it is on again; the session has a hole there, and replays before and behind it.
`privacy` on closes microphones and cabin cameras, and lets nothing in of what they said last; it outlives a restart.

## Commands

| command | what it needs | what it does |
| --- | --- | --- |
| `ping` | | answers |
| `snapshot` | `camera`, or nothing for the front one | sends its next frame to `snapshot/<camera>`, a JPEG as the camera gave it |
| `preserve` | `around_s`, or nothing for `record.preserve_s` | keeps what is recorded around now |
| `recording`, `privacy` | `value`: `on` or `off` | as the switches |
| `restart-device` | `device` | closes it, and opens it anew; done when it is open |
| `set-rate` | `stream`, `rate_hz` | another highest rate for `telemetry/<stream>`, until the next start |

They are sent to `cmd/<name>` as JSON, and answered on `cmd/<name>/ack`: `received`, then `running` where it takes a while,
then `done`, `failed` or `expired`. What cannot be read is answered with `failed` and what is wrong with it, commands
that there are not on `cmd/unknown/ack`.

```sh
mosquitto_pub -t waywarden/van-1/cmd/snapshot -q 1 -m '{\"id\": \"7f3a\", \"expires_at\": \"2026-11-23T12:00:00Z\"}'
```

## Live video

A vehicle that can only dial out is watched by offers over the broker, where `webrtc.mqtt` says so: whoever may publish below
`webrtc/` may watch and talk then. An offer is sent to `webrtc/<session>/offer` and answered on `webrtc/<session>/answer`, with
all addresses of the vehicle. Addresses of the other end that come later go to `webrtc/<session>/candidates`, as a fragment of
SDP (RFC 8840); anything to `webrtc/<session>/end` ends the session. Retained messages, offers that have expired, and all offers
where the vehicle does not know the date, are not taken.

## Others

`mqtt.home_assistant` has the vehicle appear in Home Assistant by itself, `mqtt.owntracks` has its positions sent as OwnTracks
knows them.

## Messages

Fields and schemas (JSON Schema 2020-12, in `assets/mqtt/`). Names with dots are of the COVESA Vehicle Signal Specification,
with its units; others end in theirs. Telemetry, events and answers have an envelope:

";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file is what it is to be, or becomes it where that is wanted.
fn check(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("WAYWARDEN_WRITE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "{path} is old: WAYWARDEN_WRITE=1 cargo test --test mqtt_documents");
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    root.pointer(reference.trim_start_matches('#')).unwrap()
}

fn type_of(schema: &Value, root: &Value) -> String {
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<_> = choices.iter().map(|choice| type_of(choice, root)).collect();
        return choices.join(" or ");
    }
    let schema = resolve(schema, root);
    if let Some(choices) = schema["oneOf"].as_array() {
        let words: Vec<_> = choices.iter().filter_map(|choice| choice["const"].as_str()).collect();
        return format!("`{}`", words.join("`, `"));
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("array of {}", type_of(&schema["items"], root)),
        Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("object of {}", type_of(&schema["additionalProperties"], root))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "object".to_owned(),
    }
}

fn table(out: &mut String, schema: &Value, root: &Value) {
    out.push_str("| field | type | |\n| --- | --- | --- |\n");
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().unwrap() {
        let described = field["description"].as_str().or_else(|| resolve(field, root)["description"].as_str());
        let described = described.unwrap_or_default().replace('\n', " ");
        let maybe = if required.iter().any(|required| required == name) { "" } else { ", may be missing" };
        writeln!(out, "| `{name}` | {}{maybe} | {described} |", type_of(field, root)).unwrap();
    }
    out.push('\n');
}

#[test]
fn schemas_and_page_are_those_of_the_types() {
    let mut page = HEAD.to_owned();
    let mut has_envelope = false;
    let mut messages = String::new();
    for (name, topic, schema) in wire::schemas() {
        let schema = schema.to_value();
        check(
            &format!("assets/mqtt/{name}.schema.json"),
            &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()),
        );
        let data = &schema["properties"]["data"];
        let said = if data.is_null() { &schema } else { resolve(data, &schema) };
        if !data.is_null() && !has_envelope {
            has_envelope = true;
            table(&mut page, &schema, &schema);
        }
        write!(messages, "### `{topic}`\n\n[{name}.schema.json](../assets/mqtt/{name}.schema.json)").unwrap();
        if !data.is_null() {
            messages.push_str(", whose `data` is this:");
        }
        messages.push_str("\n\n");
        table(&mut messages, said, &schema);
    }
    page.push_str(messages.trim_end());
    page.push('\n');
    check("docs/mqtt.md", &page);
    for command in parse::NAMES {
        assert!(HEAD.contains(&format!("`{command}`")), "{command} is not described");
    }
}
