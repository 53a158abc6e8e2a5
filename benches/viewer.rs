//! Somebody who watches over WebRTC and decodes nothing: pictures and bytes are counted as they come in, so that what is measured is
//! the vehicle.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use waywarden_systems::clock::boottime;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, configure_nack, configure_rtcp_reports, configure_twcc,
};

use crate::client::raw;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has come in.
#[derive(Debug, Default)]
pub struct Seen {
    /// Pictures: packets that end one.
    pub pictures: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// Packets of sound.
    pub sound: AtomicU64,
    /// From the moment at which each picture was taken to its last packet, in milliseconds: their times are of this computer's clock.
    pub late_ms: Mutex<Vec<f64>>,
}

/// One who watches, as long as this lives.
pub struct Viewer {
    /// What has come in.
    pub seen: Arc<Seen>,
    connection: Arc<dyn PeerConnection>,
    runtime: Arc<Runtime>,
}

enum Event {
    Gathered,
    Connected,
}

struct Handler {
    events: Sender<Event>,
    seen: Arc<Seen>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.events.try_send(Event::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.events.try_send(Event::Connected);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let seen = self.seen.clone();
        tokio::spawn(async move {
            let video = track.kind().await == RtpCodecKind::Video;
            while let Some(event) = track.poll().await {
                let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
                if video {
                    seen.pictures.fetch_add(packet.header.marker.into(), Ordering::Relaxed);
                    if packet.header.marker {
                        // 90000 a second, of which the lower 32 bits.
                        let now = (boottime().as_nanos() / 100 * 9 / 1000) as u32;
                        let late = f64::from(now.wrapping_sub(packet.header.timestamp)) / 90.0;
                        seen.late_ms.lock().unwrap_or_else(PoisonError::into_inner).push(late);
                    }
                    seen.bytes.fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
                } else {
                    seen.sound.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

impl Viewer {
    /// Watches the first camera of a run. `through` may change the answer: another address for the vehicle.
    pub fn watch(
        runtime: &Arc<Runtime>,
        address: SocketAddr,
        token: &str,
        through: impl FnOnce(String) -> String,
    ) -> Result<Self, Box<dyn Error>> {
        let seen = Arc::<Seen>::default();
        let (events, happened) = channel(16);
        let handler = Arc::new(Handler { events, seen: seen.clone() });
        let connection = runtime.block_on(offer(handler, happened, address, token, through))?;
        Ok(Self { seen, connection, runtime: runtime.clone() })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.connection.close());
    }
}

fn codecs() -> [(RTCRtpCodec, u8, RtpCodecKind); 3] {
    let codec = |mime: &str, clock_rate, channels, line: &str, feedback: &[(&str, &str)]| RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: line.to_owned(),
        rtcp_feedback: feedback
            .iter()
            .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).to_owned(), parameter: (*parameter).to_owned() })
            .collect(),
    };
    let line = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let feedback = [("ccm", "fir"), ("nack", ""), ("nack", "pli")];
    [
        (codec(MIME_TYPE_H264, 90_000, 0, line, &feedback), 102, RtpCodecKind::Video),
        (codec("video/rtx", 90_000, 0, "apt=102", &[]), 103, RtpCodecKind::Video),
        (codec(MIME_TYPE_OPUS, 48_000, 2, "minptime=10;useinbandfec=1", &[]), 111, RtpCodecKind::Audio),
    ]
}

async fn offer(
    handler: Arc<Handler>,
    mut happened: Receiver<Event>,
    address: SocketAddr,
    token: &str,
    through: impl FnOnce(String) -> String,
) -> Result<Arc<dyn PeerConnection>, Box<dyn Error>> {
    let mut engine = MediaEngine::default();
    for (rtp_codec, payload_type, kind) in codecs() {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    let registry = configure_rtcp_reports(configure_nack(Registry::new(), &mut engine));
    let registry = configure_twcc(registry, &mut engine)?;
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(handler)
        .with_udp_addrs(vec!["127.0.0.1:0".parse::<SocketAddr>()?])
        .build()
        .await?;
    let connection: Arc<dyn PeerConnection> = Arc::new(connection);
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        let direction = RTCRtpTransceiverDirection::Recvonly;
        let init = RTCRtpTransceiverInit { direction, ..Default::default() };
        connection.add_transceiver_from_kind(kind, Some(init)).await?;
    }
    let own = connection.create_offer(None).await?;
    connection.set_local_description(own).await?;
    let wait = async {
        while let Some(event) = happened.recv().await {
            if matches!(event, Event::Gathered) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await?;
    let sdp = connection.local_description().await.ok_or("there is no offer")?.sdp;
    let head = format!(
        "POST /whep HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}",
        sdp.len()
    );
    let answer = tokio::task::spawn_blocking(move || raw(address, &head, sdp.as_bytes())).await?;
    if answer.status != 201 {
        return Err(format!("the offer was answered with {answer:?}").into());
    }
    connection.set_remote_description(RTCSessionDescription::answer(through(answer.body))?).await?;
    let connected = async {
        while let Some(event) = happened.recv().await {
            if matches!(event, Event::Connected) {
                return Ok(());
            }
        }
        Err("the connection ended before it began")
    };
    tokio::time::timeout(PATIENCE, connected).await??;
    Ok(connection)
}
