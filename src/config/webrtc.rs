//! The section of the config about operators who watch and talk over WebRTC.

use serde::{Deserialize, Serialize};

use super::check::Violation;
use super::path::Path;

/// Servers of a kind at most.
const MOST_SERVERS: usize = 8;

/// Live video, sound and voice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebRtc {
    /// Whether anybody may watch.
    pub enabled: bool,
    /// How many at a time. Whoever comes then takes the place of who has been there longest.
    pub sessions: u32,
    /// Seconds that an accepted offer waits for its connection.
    pub offer_s: u32,
    /// Whether they hear the microphone, if there is one.
    pub audio: bool,
    /// Whether offers are taken over the broker, too: from whoever may publish there.
    pub mqtt: bool,
    /// Bits a second of pictures at most, in thousands.
    pub max_kbps: u32,
    /// Pictures a second at most.
    pub max_fps: f64,
    /// Rows of a picture at most; larger ones are made smaller.
    pub max_height: u32,
    /// Servers that tell the vehicle the address under which it is seen from outside.
    pub stun: Vec<String>,
    /// Servers that pass packets on where there is no direct way.
    pub turn: Vec<String>,
    /// A file with the secret that vehicle and TURN servers share.
    pub turn_secret_file: String,
    /// Seconds for which credentials made of it are good.
    pub turn_lifetime_s: u32,
}

impl Default for WebRtc {
    fn default() -> Self {
        Self {
            enabled: true,
            sessions: 4,
            offer_s: 10,
            audio: true,
            mqtt: false,
            max_kbps: 2500,
            max_fps: 30.0,
            max_height: 720,
            stun: Vec::new(),
            turn: Vec::new(),
            turn_secret_file: String::new(),
            turn_lifetime_s: 3600,
        }
    }
}

/// Whether the section makes sense.
pub(super) fn check(webrtc: &WebRtc, found: &mut Vec<Violation>) {
    let section = Path::default().key("webrtc");
    for (key, list, schemes) in [("stun", &webrtc.stun, &["stun"][..]), ("turn", &webrtc.turn, &["turn", "turns"][..])]
    {
        let path = section.key(key);
        if list.len() > MOST_SERVERS {
            let message = format!("{} entries in `webrtc.{key}`", list.len());
            found.push(Violation { path: path.clone(), message, hint: format!("at most {MOST_SERVERS}") });
        }
        for (n, url) in list.iter().enumerate().take(MOST_SERVERS) {
            let scheme = url.split_once(':').filter(|(_, rest)| is_server(rest)).map(|(scheme, _)| scheme);
            if !scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
                let message = format!("\"{}\" is no {key} server", url.escape_debug());
                let hint = format!("\"{key}:name\" or \"{key}:name:3478\"");
                found.push(Violation { path: path.index(n), message, hint });
            }
        }
    }
    if !webrtc.turn.is_empty() && webrtc.turn_secret_file.is_empty() {
        let message = "`webrtc.turn` is set and `webrtc.turn_secret_file` is not".to_owned();
        let hint = "the file holds the secret of the server (coturn: static-auth-secret)".to_owned();
        found.push(Violation { path: section.key("turn_secret_file"), message, hint });
    }
}

/// Whether this is a host, with a port, and with the transport of a TURN server.
fn is_server(text: &str) -> bool {
    let (server, query) = text.split_once('?').unwrap_or((text, ""));
    super::network::is_host(server) && ["", "transport=udp", "transport=tcp"].contains(&query)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn problems(text: &str) -> Vec<String> {
        match Config::from_toml(&format!("[webrtc]\n{text}"), "f.toml") {
            Ok(_) => Vec::new(),
            Err(error) => error.problems.into_iter().map(|problem| problem.key).collect(),
        }
    }

    #[test]
    fn servers_are_servers() {
        let secret = "turn_secret_file = \"s\"\n";
        assert_eq!(problems("stun = [\"stun:stun.example\", \"stun:10.0.0.1:3478\"]"), [""; 0]);
        assert_eq!(problems(&format!("{secret}turn = [\"turn:a.example:3478?transport=udp\", \"turns:a\"]")), [""; 0]);
        assert_eq!(problems("turn = [\"turn:a\"]"), ["webrtc.turn_secret_file"]);
        for wrong in ["", "stun.example", "turn:a", "stun:", "stun:a b", "stun://a"] {
            assert_eq!(problems(&format!("stun = [{wrong:?}]")), ["webrtc.stun[0]"], "{wrong}");
        }
        assert_eq!(problems(&format!("{secret}turn = [\"turn:a?x\"]")), ["webrtc.turn[0]"]);
        assert_eq!(problems("sessions = 0"), ["webrtc.sessions"]);
    }
}
