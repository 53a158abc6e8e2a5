//! The broker that the vehicle reports to.

use serde::{Deserialize, Serialize};

use super::check::{Violation, is_name};
use super::path::Path;

/// What is told to a broker, and how it is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Its address: `mqtts://broker.example.com`. Empty: there is none.
    pub broker: String,
    /// What the vehicle is called in topics. Empty: as the computer is.
    pub vehicle: String,
    /// The first part of all topics.
    pub prefix: String,
    /// The user name. Empty: none.
    pub username: String,
    /// The file of the password, or the name of a systemd credential.
    pub password_file: String,
    /// The file of the certificates that are trusted, PEM. Empty: those of the system.
    pub ca_file: String,
    /// The file of the vehicle's own certificate, PEM. Empty: none.
    pub cert_file: String,
    /// The file of its key, PEM.
    pub key_file: String,
    /// Whether a connection beyond this computer may be without TLS.
    pub plain_text: bool,
    /// Seconds without a word after which the broker is asked whether it is there.
    pub keep_alive_s: u32,
    /// Longest pause between two attempts to connect, in seconds.
    pub reconnect_max_s: u32,
    /// Messages under way without an acknowledgement.
    pub in_flight: u32,
    /// The folder in which messages wait for the broker. Empty: the program's folder for its state.
    pub spool: String,
    /// Megabytes that may wait there.
    pub spool_mb: u32,
    /// Milliseconds after which a message is on disk.
    pub commit_ms: u32,
    /// Positions a second at most.
    pub position_hz: f64,
    /// Speeds a second at most.
    pub speed_hz: f64,
    /// Lanes a second at most.
    pub lane_hz: f64,
    /// Lists of objects a second at most.
    pub objects_hz: f64,
    /// Changes of voice activity a second at most.
    pub voice_hz: f64,
    /// Changes of health a second at most.
    pub health_hz: f64,
    /// Seconds after which what has not changed is told all the same.
    pub heartbeat_s: u32,
    /// Metres that the vehicle must have moved for its position to be told.
    pub position_deadband_m: f64,
    /// Kilometres an hour by which its speed must have changed.
    pub speed_deadband_kmh: f64,
    /// Metres that it must have moved in its lane.
    pub lane_deadband_m: f64,
    /// Metres by which the distance to an obstacle must have changed.
    pub distance_deadband_m: f64,
    /// Hours that telemetry is kept for a broker that is not reached.
    pub keep_telemetry_h: f64,
    /// Hours that events, answers and pictures are.
    pub keep_events_h: f64,
    /// The prefix of Home Assistant's topics. Empty: it is not told that the vehicle is there.
    pub home_assistant: String,
    /// The topic to which positions go in the form of OwnTracks. Empty: none.
    pub owntracks: String,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            broker: String::new(),
            vehicle: String::new(),
            prefix: "waywarden".to_owned(),
            username: String::new(),
            password_file: String::new(),
            ca_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            plain_text: false,
            keep_alive_s: 15,
            reconnect_max_s: 30,
            in_flight: 256,
            spool: String::new(),
            spool_mb: 256,
            commit_ms: 50,
            position_hz: 1.0,
            speed_hz: 1.0,
            lane_hz: 1.0,
            objects_hz: 1.0,
            voice_hz: 2.0,
            health_hz: 1.0,
            heartbeat_s: 60,
            position_deadband_m: 5.0,
            speed_deadband_kmh: 1.0,
            lane_deadband_m: 0.1,
            distance_deadband_m: 0.25,
            keep_telemetry_h: 24.0,
            keep_events_h: 168.0,
            home_assistant: String::new(),
            owntracks: String::new(),
        }
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The name or address of the computer.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `mqtt://host[:port]` or `mqtts://host[:port]`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (tls, usual) = match scheme {
            "mqtts" => (true, 8883),
            "mqtt" => (false, 1883),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an address of IP version 6 are within its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
            _ => (rest, usual),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        (!host.is_empty() && host.chars().all(is_host)).then(|| Self { tls, host: host.to_owned(), port })
    }

    /// Whether it is this computer.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

/// Whether `topic` may be published to: no wildcards, nothing that a broker refuses.
fn is_topic(topic: &str) -> bool {
    topic.len() <= 256
        && !topic.starts_with(['/', '$'])
        && !topic.ends_with('/')
        && !topic.contains("//")
        && !topic.contains(|c: char| c.is_control() || "+#".contains(c))
}

/// What in the section makes no sense.
pub(super) fn check(mqtt: &Mqtt, found: &mut Vec<Violation>) {
    let mut wrong = |key: &str, message: String, hint: &str| {
        let path = Path::default().key("mqtt").key(key);
        found.push(Violation { path, message, hint: hint.to_owned() });
    };
    let address = Address::parse(&mqtt.broker);
    match &address {
        None if mqtt.broker.is_empty() => {}
        None => wrong(
            "broker",
            format!("\"{}\" is no address of a broker", mqtt.broker.escape_debug()),
            "mqtts://HOST[:PORT], or mqtt://HOST[:PORT] without TLS",
        ),
        Some(address) if !address.tls && !address.is_loopback() && !mqtt.plain_text => wrong(
            "broker",
            format!(
                "{} would be reached without TLS: anybody on the way could read, and command the vehicle",
                address.host
            ),
            "mqtts:// encrypts; mqtt.plain_text = true allows it all the same",
        ),
        Some(_) => {}
    }
    if !mqtt.vehicle.is_empty() && !is_name(&mqtt.vehicle) {
        let message = format!("\"{}\" is no name", mqtt.vehicle.escape_debug());
        wrong("vehicle", message, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit");
    }
    let topics = [("prefix", &mqtt.prefix), ("home_assistant", &mqtt.home_assistant), ("owntracks", &mqtt.owntracks)];
    for (key, topic) in topics {
        if !is_topic(topic) || (key == "prefix" && topic.is_empty()) {
            let message = format!("\"{}\" is no topic", topic.escape_debug());
            wrong(key, message, "words with / between them, without + and #");
        }
    }
    if mqtt.cert_file.is_empty() != mqtt.key_file.is_empty() {
        wrong(
            "cert_file",
            "a certificate and its key go together".to_owned(),
            "set cert_file and key_file, or neither",
        );
    }
    if mqtt.username.is_empty() && !mqtt.password_file.is_empty() {
        wrong("username", "a password without a user name".to_owned(), "set username too");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| Address::parse(text).map(|address| (address.tls, address.host, address.port));
        assert_eq!(read("mqtts://broker.example.com"), Some((true, "broker.example.com".into(), 8883)));
        assert_eq!(read("mqtt://127.0.0.1:1884/"), Some((false, "127.0.0.1".into(), 1884)));
        assert_eq!(read("mqtt://[::1]:99"), Some((false, "::1".into(), 99)));
        assert_eq!(read("mqtt://[::1]"), Some((false, "::1".into(), 1883)));
        for wrong in
            ["", "broker", "http://a", "mqtt://", "mqtt://a:0", "mqtt://a:70000", "mqtt://a b", "mqtt://u:p@a/x"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn plain_text_is_for_this_computer_unless_it_is_wanted() {
        let ok =
            |text: &str| Config::from_toml(&format!("[mqtt]\n{text}"), "test").map(drop).map_err(|e| e.to_string());
        assert_eq!(ok("broker = \"mqtt://localhost\""), Ok(()));
        assert_eq!(ok("broker = \"mqtt://[::1]:1883\""), Ok(()));
        assert_eq!(ok("broker = \"mqtts://10.0.0.1\""), Ok(()));
        assert!(ok("broker = \"mqtt://10.0.0.1\"").unwrap_err().contains("without TLS"));
        assert_eq!(ok("broker = \"mqtt://10.0.0.1\"\nplain_text = true"), Ok(()));
        assert!(ok("vehicle = \"a/b\"").unwrap_err().contains("no name"));
        assert!(ok("prefix = \"a/#\"").unwrap_err().contains("no topic"));
        assert!(ok("prefix = \"\"").unwrap_err().contains("no topic"));
        assert!(ok("cert_file = \"a.pem\"").unwrap_err().contains("go together"));
        assert!(ok("password_file = \"a\"").unwrap_err().contains("user name"));
    }
}
