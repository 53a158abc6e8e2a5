//! Commands as they are written: a name, and JSON with an id, perhaps a time of expiry, and what the name needs.

use chrono::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use waywarden_components::command::Action;

/// The largest command that is read, in bytes.
pub const MOST_BYTES: usize = 16 * 1024;

/// The longest id, in bytes.
pub const MOST_ID: usize = 128;

/// The names of all commands.
pub const NAMES: [&str; 7] = ["ping", "snapshot", "preserve", "recording", "privacy", "restart-device", "set-rate"];

/// A command as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// Its id; empty where it cannot be read.
    pub id: String,
    /// When it expires, in nanoseconds since 1970 UTC.
    pub expires_ns: Option<i64>,
    /// What it asks for, or what is wrong with it.
    pub action: Result<Action, String>,
}

impl Parsed {
    fn refused(id: String, reason: String) -> Self {
        Self { id, expires_ns: None, action: Err(reason) }
    }
}

/// Reads the command `name`. Never fails: what is wrong is what it is answered.
pub fn read(name: &str, bytes: &[u8]) -> Parsed {
    if bytes.len() > MOST_BYTES {
        return Parsed::refused(String::new(), format!("{} bytes: more than {MOST_BYTES}", bytes.len()));
    }
    let mut fields: Map<String, Value> = match serde_json::from_slice(bytes) {
        Ok(fields) => fields,
        Err(error) => return Parsed::refused(String::new(), format!("no JSON object: {error}")),
    };
    let id = match fields.remove("id") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MOST_ID => id,
        Some(_) => return Parsed::refused(String::new(), format!("`id` is no text of 1 to {MOST_ID} bytes")),
        None => return Parsed::refused(String::new(), "no `id`".to_owned()),
    };
    let expires_ns = match fields.remove("expires_at") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_str().and_then(nanos) {
            Some(nanos) => Some(nanos),
            None => return Parsed::refused(id, format!("`expires_at` is no time as of RFC 3339: {value}")),
        },
    };
    Parsed { id, expires_ns, action: action(name, fields) }
}

/// Nanoseconds since 1970 of a time as of RFC 3339.
fn nanos(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

/// What a switch may be set to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum OnOff {
    #[serde(alias = "ON")]
    On,
    #[serde(alias = "OFF")]
    Off,
}

/// What a switch is set to by a message that says nothing else: `ON`, `OFF`.
pub fn on_off(bytes: &[u8]) -> Option<bool> {
    match bytes {
        b"ON" | b"on" => Some(true),
        b"OFF" | b"off" => Some(false),
        _ => None,
    }
}

fn action(name: &str, fields: Map<String, Value>) -> Result<Action, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Snapshot {
        camera: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Preserve {
        around_s: Option<u32>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Switch {
        value: OnOff,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Restart {
        device: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SetRate {
        stream: String,
        rate_hz: f64,
    }
    fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
    }
    Ok(match name {
        "ping" => {
            read::<Nothing>(fields)?;
            Action::Ping
        }
        "snapshot" => Action::Snapshot { camera: read::<Snapshot>(fields)?.camera },
        "preserve" => match read::<Preserve>(fields)?.around_s {
            Some(around_s) if !(1..=3600).contains(&around_s) => return Err("`around_s` is not 1 to 3600".to_owned()),
            around_s => Action::Preserve { around_s },
        },
        "recording" => Action::Recording(read::<Switch>(fields)?.value == OnOff::On),
        "privacy" => Action::Privacy(read::<Switch>(fields)?.value == OnOff::On),
        "restart-device" => Action::RestartDevice { device: read::<Restart>(fields)?.device },
        "set-rate" => {
            let SetRate { stream, rate_hz } = read(fields)?;
            if !(0.0..=50.0).contains(&rate_hz) {
                return Err("`rate_hz` is not 0 to 50".to_owned());
            }
            Action::SetRate { stream, rate_hz }
        }
        _ => return Err(format!("no such command: there are {}", NAMES.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action_of(name: &str, json: &str) -> Result<Action, String> {
        let parsed = read(name, json.as_bytes());
        assert_eq!(parsed.id, "a1");
        parsed.action
    }

    #[test]
    fn each_command_is_read() {
        assert_eq!(action_of("ping", r#"{"id":"a1"}"#), Ok(Action::Ping));
        assert_eq!(action_of("snapshot", r#"{"id":"a1"}"#), Ok(Action::Snapshot { camera: None }));
        let rear = Action::Snapshot { camera: Some("rear".into()) };
        assert_eq!(action_of("snapshot", r#"{"id":"a1","camera":"rear"}"#), Ok(rear));
        assert_eq!(action_of("preserve", r#"{"id":"a1","around_s":30}"#), Ok(Action::Preserve { around_s: Some(30) }));
        assert_eq!(action_of("recording", r#"{"id":"a1","value":"off"}"#), Ok(Action::Recording(false)));
        assert_eq!(action_of("privacy", r#"{"id":"a1","value":"ON"}"#), Ok(Action::Privacy(true)));
        let restart = Action::RestartDevice { device: "gps".into() };
        assert_eq!(action_of("restart-device", r#"{"id":"a1","device":"gps"}"#), Ok(restart));
        let rate = Action::SetRate { stream: "speed".into(), rate_hz: 2.5 };
        assert_eq!(action_of("set-rate", r#"{"id":"a1","stream":"speed","rate_hz":2.5}"#), Ok(rate));
    }

    #[test]
    fn expiry_is_a_time_with_its_zone() {
        let parsed = read("ping", br#"{"id":"a","expires_at":"1970-01-01T01:00:01.5+01:00"}"#);
        assert_eq!(parsed.expires_ns, Some(1_500_000_000));
        for wrong in [r#""1970-01-01T00:00:01""#, "17", r#""tomorrow""#, r#""9999-12-31T23:59:59Z""#] {
            let parsed = read("ping", format!(r#"{{"id":"a","expires_at":{wrong}}}"#).as_bytes());
            assert!(parsed.action.unwrap_err().contains("expires_at"), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_is_asked_for() {
        for (name, bytes, words) in [
            ("ping", &b"\xff\xfe"[..], "no JSON object"),
            ("ping", b"[]", "no JSON object"),
            ("ping", b"{", "no JSON object"),
            ("ping", b"{}", "no `id`"),
            ("ping", br#"{"id":""}"#, "`id`"),
            ("ping", br#"{"id":7}"#, "`id`"),
            ("ping", br#"{"id":"a","sudo":true}"#, "sudo"),
            ("snapshot", br#"{"id":"a","camera":"/dev/video0","path":"/etc/passwd"}"#, "path"),
            ("preserve", br#"{"id":"a","around_s":-1}"#, "-1"),
            ("preserve", br#"{"id":"a","around_s":0}"#, "around_s"),
            ("recording", br#"{"id":"a","value":"maybe"}"#, "maybe"),
            ("recording", br#"{"id":"a"}"#, "value"),
            ("set-rate", br#"{"id":"a","stream":"speed","rate_hz":1e300}"#, "rate_hz"),
            ("set-rate", br#"{"id":"a","stream":"speed","rate_hz":null}"#, "null"),
            ("reboot", br#"{"id":"a"}"#, "no such command"),
        ] {
            let reason = read(name, bytes).action.unwrap_err();
            assert!(reason.contains(words), "{name}: {reason}");
        }
        let huge = vec![b' '; 10_000_000];
        assert!(read("ping", &huge).action.unwrap_err().contains("10000000 bytes"));
        let deep = [br#"{"id":"a","x":"#.to_vec(), vec![b'['; 8000]].concat();
        assert!(read("ping", &deep).action.is_err());
    }
}
