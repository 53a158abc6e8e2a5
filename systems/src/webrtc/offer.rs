//! What an operator's description of a connection (SDP, RFC 8866) asks for, and candidates that come later (RFC 8840): read
//! as text, without I/O. The library that makes the connection reads the whole of it again; what is refused here it never
//! sees.

/// The longest description that is read, in bytes. Browsers write 3 to 8 thousand.
pub const MOST_BYTES: usize = 48 * 1024;

/// Lines of a description at most.
const MOST_LINES: usize = 1500;

/// Media sections of a description at most: pictures, sound, data, and some to spare.
const MOST_MEDIA: usize = 8;

/// Addresses of the other end at most: each one is knocked at.
pub const MOST_CANDIDATES: usize = 32;

/// The longest candidate, in bytes.
const LONGEST_CANDIDATE: usize = 512;

/// Why a description is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is none, or says what no description may.
    #[error("this is no SDP offer: {0}")]
    Malformed(&'static str),
    /// It is one, and cannot be met.
    #[error("the offer cannot be met: {0}")]
    Unusable(&'static str),
}

/// What a description asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Pictures.
    pub video: bool,
    /// The microphone.
    pub audio: bool,
    /// To talk.
    pub talk: bool,
    /// A data channel.
    pub data: bool,
}

/// A media section.
#[derive(Default)]
struct Media<'a> {
    kind: &'a str,
    refused: bool,
    receives: bool,
    sends: bool,
    h264: bool,
    opus: bool,
}

/// Reads an offer.
///
/// # Errors
/// When it is no SDP, or asks for nothing that there is.
pub fn read(sdp: &str) -> Result<Wants, OfferError> {
    let malformed = |what| Err(OfferError::Malformed(what));
    if sdp.len() > MOST_BYTES {
        return malformed("it is too long");
    }
    let (mut media, mut candidates) = (Vec::<Media>::new(), 0);
    let (mut named, mut ice, mut fingerprint) = (false, false, false);
    for (n, line) in sdp.lines().enumerate() {
        if n >= MOST_LINES {
            return malformed("it has too many lines");
        }
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return malformed("a line does not begin with a letter and `=`");
        };
        if n == 0 && line != "v=0" {
            return malformed("it does not begin with v=0");
        }
        match kind {
            "o" => named = true,
            "m" => {
                if media.len() >= MOST_MEDIA {
                    return malformed("it has too many media sections");
                }
                let mut words = value.split(' ');
                let (Some(kind), Some(port)) = (words.next(), words.next()) else {
                    return malformed("a media section without kind and port");
                };
                let receives = true;
                let refused = port == "0";
                media.push(Media { kind, refused, receives, sends: true, ..Media::default() });
            }
            "a" => {
                ice |= value.starts_with("ice-ufrag:");
                fingerprint |= value.starts_with("fingerprint:");
                if let Some(candidate) = value.strip_prefix("candidate:") {
                    candidates += 1;
                    if candidate.len() > LONGEST_CANDIDATE || candidates > MOST_CANDIDATES {
                        return malformed("it has too many or too long candidates");
                    }
                }
                if let Some(section) = media.last_mut() {
                    attribute(section, value);
                }
            }
            _ => {}
        }
    }
    if !named {
        return malformed("it has no o= line");
    }
    if media.is_empty() {
        return malformed("it has no media sections");
    }
    if !ice || !fingerprint {
        return malformed("it has no ICE credentials or no DTLS fingerprint");
    }
    wants(&media)
}

fn attribute(section: &mut Media, value: &str) {
    match value {
        "sendonly" => section.receives = false,
        "recvonly" => section.sends = false,
        "inactive" => (section.receives, section.sends) = (false, false),
        _ => {}
    }
    let codec = value.strip_prefix("rtpmap:").and_then(|map| map.split_once(' ')).map(|(_, codec)| codec);
    let is = |name: &str| {
        codec.is_some_and(|codec| {
            codec.len() >= name.len()
                && codec.is_char_boundary(name.len())
                && codec[..name.len()].eq_ignore_ascii_case(name)
        })
    };
    section.h264 |= is("H264/90000");
    section.opus |= is("opus/48000");
}

fn wants(media: &[Media]) -> Result<Wants, OfferError> {
    let there = || media.iter().filter(|section| !section.refused);
    let video = there().any(|section| section.kind == "video" && section.receives);
    let wants = Wants {
        video: there().any(|section| section.kind == "video" && section.receives && section.h264),
        audio: there().any(|section| section.kind == "audio" && section.receives && section.opus),
        talk: there().any(|section| section.kind == "audio" && section.sends && section.opus),
        data: there().any(|section| section.kind == "application"),
    };
    if video && !wants.video {
        return Err(OfferError::Unusable("pictures are sent as H.264, which it does not take"));
    }
    if !wants.video && !wants.audio && !wants.talk && !wants.data {
        return Err(OfferError::Unusable("it asks for nothing: no pictures, no sound, no data"));
    }
    Ok(wants)
}

/// An address of the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The media section it is for.
    pub mid: Option<String>,
    /// `candidate:…`; empty says that no more come.
    pub text: String,
}

/// Reads a fragment of a description that brings candidates.
///
/// # Errors
/// When it is none, or brings too much.
pub fn candidates(fragment: &str) -> Result<Vec<Candidate>, OfferError> {
    let malformed = |what| Err(OfferError::Malformed(what));
    if fragment.len() > MOST_BYTES {
        return malformed("it is too long");
    }
    let (mut mid, mut found) = (None, Vec::new());
    for line in fragment.lines().filter(|line| !line.is_empty()) {
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return malformed("a line does not begin with a letter and `=`");
        };
        if kind == "m" {
            mid = None;
        }
        if let Some(name) = value.strip_prefix("mid:").filter(|_| kind == "a") {
            if name.len() > 32 {
                return malformed("a media section has a long name");
            }
            mid = Some(name.to_owned());
        }
        if kind == "a" && value.starts_with("candidate:") {
            if value.len() > LONGEST_CANDIDATE || found.len() >= MOST_CANDIDATES {
                return malformed("it has too many or too long candidates");
            }
            found.push(Candidate { mid: mid.clone(), text: value.to_owned() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=fingerprint:sha-256 AA\r\n";
    const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=recvonly\r\na=rtpmap:102 H264/90000\r\n";

    #[test]
    fn what_is_asked_for_is_read() {
        let all = format!(
            "{HEAD}{VIDEO}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
        );
        assert_eq!(read(&all), Ok(Wants { video: true, audio: true, talk: true, data: true }));
        let watches = Wants { video: true, ..Wants::default() };
        assert_eq!(read(&format!("{HEAD}{VIDEO}")), Ok(watches));
        let listens = all.replace("sendrecv", "recvonly");
        assert!(!read(&listens).unwrap().talk);
        assert!(!read(&all.replace("m=audio 9", "m=audio 0")).unwrap().audio);
    }

    #[test]
    fn what_is_none_is_refused_and_what_cannot_be_met_too() {
        let unusable = |sdp: &str| matches!(read(sdp), Err(OfferError::Unusable(_)));
        assert!(unusable(&format!("{HEAD}{}", VIDEO.replace("H264", "VP8"))));
        assert!(unusable(&format!("{HEAD}{}", VIDEO.replace("recvonly", "inactive"))));
        let malformed = |sdp: &str| matches!(read(sdp), Err(OfferError::Malformed(_)));
        for sdp in ["", "hello", "v=1\r\n", "v=0", HEAD, "{\"sdp\": 1}", &"v=0\n".repeat(20_000)] {
            assert!(malformed(sdp), "{sdp:.40}");
        }
        assert!(malformed(&format!("{HEAD}{VIDEO}").replace("a=ice-ufrag:abcd\r\n", "")));
        assert!(malformed(&format!("{HEAD}{VIDEO}").replace("a=fingerprint:sha-256 AA\r\n", "")));
        assert!(malformed(&format!("{HEAD}{}", VIDEO.repeat(9))));
        assert!(malformed(&format!("{HEAD}{VIDEO}{}", "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n".repeat(33))));
        assert!(malformed(&"a".repeat(MOST_BYTES + 1)));
    }

    #[test]
    fn candidates_come_with_their_section() {
        let found = candidates(
            "a=ice-ufrag:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\na=candidate:1 1 udp 1 ::1 9 typ host\r\na=end-of-candidates\r\n",
        );
        let text = "candidate:1 1 udp 1 ::1 9 typ host".to_owned();
        assert_eq!(found, Ok(vec![Candidate { mid: Some("1".to_owned()), text }]));
        assert_eq!(candidates(""), Ok(Vec::new()));
        assert!(candidates("hello").is_err());
        assert!(candidates(&"a=candidate:1\r\n".repeat(33)).is_err());
    }
}
