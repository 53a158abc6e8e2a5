//! What comes from the broker, or from those whom the app let in itself: commands, and switches that are set.

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::commands::parse::{self, Parsed};

/// The topics that are listened to, below that of the vehicle.
pub const TOPICS: [&str; 3] = ["cmd/+", "recording/set", "privacy/set"];

/// Under this name commands are answered that there are not.
pub const UNKNOWN: &str = "unknown";

/// Reads the messages of this tick.
pub fn receive(mut messages: MessageReader<BrokerMessage>, mut commands: MessageWriter<CommandReceived>) {
    for message in messages.read() {
        if let Some(command) = read(message) {
            commands.write(command);
        }
    }
}

/// What a message asks for; none where it is none of the vehicle's business.
fn read(message: &BrokerMessage) -> Option<CommandReceived> {
    let Parsed { id, expires_ns, action } = match message.topic.split_once('/')? {
        ("cmd", name) if !name.is_empty() => {
            let parsed = parse::read(name, &message.bytes);
            let action = parsed.action.and_then(|action| {
                // The broker keeps it for whoever comes, whenever: nobody can want that.
                if message.retained { Err("a command must not be retained".to_owned()) } else { Ok(action) }
            });
            return Some(CommandReceived {
                id: parsed.id,
                // Whoever invents names is answered under one: each would become a topic of its own.
                name: parse::NAMES.iter().find(|known| **known == name).map_or(UNKNOWN, |known| known).to_owned(),
                expires_ns: parsed.expires_ns,
                again: message.again,
                action,
            });
        }
        (switch @ ("recording" | "privacy"), "set") => switch_order(switch, message)?,
        _ => return None,
    };
    let name = message.topic.split('/').next().unwrap_or_default().to_owned();
    Some(CommandReceived { id, name, expires_ns, again: message.again, action })
}

/// A switch that is set by a message that says nothing but `ON` or `OFF`, as home automation does. It has no id of its own:
/// it is called after the time at which it came.
fn switch_order(switch: &str, message: &BrokerMessage) -> Option<Parsed> {
    let id = format!("{switch}-set-{}", message.at.as_nanos());
    let action = match parse::on_off(&message.bytes) {
        _ if message.retained => Err("a switch must not be set by a retained message".to_owned()),
        Some(on) if switch == "recording" => Ok(Action::Recording(on)),
        Some(on) => Ok(Action::Privacy(on)),
        None => Err("neither ON nor OFF".to_owned()),
    };
    Some(Parsed { id, expires_ns: None, action })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(topic: &str, bytes: &'static [u8], retained: bool) -> BrokerMessage {
        let (at, bytes) = (Mono::from_nanos(7), Bytes::from_static(bytes));
        BrokerMessage { at, topic: topic.to_owned(), bytes, retained, again: false, by: String::new() }
    }

    #[test]
    fn commands_and_switches_are_read() {
        let read = |topic: &str, bytes, retained| read(&message(topic, bytes, retained));
        let ping = read("cmd/ping", br#"{"id":"a"}"#, false).unwrap();
        assert_eq!((ping.id.as_str(), ping.name.as_str(), ping.action), ("a", "ping", Ok(Action::Ping)));
        let off = read("recording/set", b"OFF", false).unwrap();
        assert_eq!((off.id.as_str(), off.action), ("recording-set-7", Ok(Action::Recording(false))));
        assert!(read("privacy/set", b"perhaps", false).unwrap().action.is_err());
        let invented = read("cmd/reboot", br#"{"id":"a"}"#, false).unwrap();
        assert!(invented.name == UNKNOWN && invented.action.is_err());
        // What the broker keeps may be of any age.
        assert!(read("cmd/ping", br#"{"id":"a"}"#, true).unwrap().action.unwrap_err().contains("retained"));
        assert!(read("privacy/set", b"OFF", true).unwrap().action.unwrap_err().contains("retained"));
        for other in ["telemetry/position", "cmd/", "cmd", "", "recording/state"] {
            assert_eq!(read(other, b"{}", false), None, "{other}");
        }
    }
}
