//! Offers over the broker, for a vehicle that can only dial out: read, without I/O. The topic names the session, so that offer,
//! answer and candidates of one find each other: `webrtc/SESSION/offer`.

use chrono::DateTime;

use super::offer::MOST_BYTES;
use crate::mqtt::wire::WatchOffer;

/// The topics that are listened to, below that of the vehicle.
pub const TOPICS: [&str; 3] = ["webrtc/+/offer", "webrtc/+/candidates", "webrtc/+/end"];

/// The longest name of a session, in characters.
pub const MOST_ID: usize = 64;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To watch.
    Offer(CalledOffer),
    /// To be reached at these addresses, too: a fragment of a description.
    Candidates(String),
    /// To end it.
    End,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledOffer {
    /// The description of the connection (SDP).
    pub sdp: String,
    /// The camera by its name.
    pub camera: Option<String>,
    /// When nobody waits for the answer any more, in nanoseconds since 1970 UTC.
    pub expires_ns: i64,
}

/// The session that a topic below `webrtc/` names, and what is asked for.
///
/// # Errors
/// The session, and what is wrong; none where there is nobody to tell.
pub fn read(topic: &str, bytes: &[u8]) -> Result<(String, Call), Option<(String, String)>> {
    let (id, what) = topic.split_once('/').ok_or(None)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > MOST_ID || !id.bytes().all(plain) {
        return Err(None);
    }
    let wrong = |why: String| Some((id.to_owned(), why));
    if bytes.len() > MOST_BYTES + 1024 {
        return Err(wrong("it is too long".to_owned()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("this is no UTF-8".to_owned()))?;
    let call = match what {
        "offer" => {
            let written: WatchOffer = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            let expires =
                DateTime::parse_from_rfc3339(&written.expires_at).ok().and_then(|at| at.timestamp_nanos_opt());
            let expires_ns = expires.ok_or_else(|| wrong("`expires_at` is no time as of RFC 3339".to_owned()))?;
            Call::Offer(CalledOffer { sdp: written.sdp, camera: written.camera, expires_ns })
        }
        "candidates" => Call::Candidates(text.to_owned()),
        "end" => Call::End,
        _ => return Err(None),
    };
    Ok((id.to_owned(), call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_name_their_session_and_expire() {
        let offer = br#"{"sdp":"v=0","camera":"front","expires_at":"1970-01-01T00:00:01Z"}"#;
        let called = CalledOffer { sdp: "v=0".to_owned(), camera: Some("front".to_owned()), expires_ns: 1_000_000_000 };
        assert_eq!(read("a-1/offer", offer), Ok(("a-1".to_owned(), Call::Offer(called))));
        assert_eq!(read("a/candidates", b"a=mid:0"), Ok(("a".to_owned(), Call::Candidates("a=mid:0".to_owned()))));
        assert_eq!(read("a/end", b""), Ok(("a".to_owned(), Call::End)));
        for topic in ["", "offer", "/offer", "a/answer", "a b/offer", "a/b/offer"] {
            assert_eq!(read(topic, offer), Err(None), "{topic}");
        }
        assert_eq!(read(&format!("{}/offer", "a".repeat(65)), offer), Err(None));
        for wrong in [&b"{}"[..], b"v=0", b"\xff", br#"{"sdp":"v=0","expires_at":"soon"}"#, br#"{"sdp":"v=0"}"#] {
            assert!(matches!(read("a/offer", wrong), Err(Some((id, why))) if id == "a" && !why.is_empty()));
        }
        assert!(matches!(read("a/candidates", &[b'a'; 60_000]), Err(Some(_))));
    }
}
