//! From an offer to an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{CongestionControlBuilder, Gcc, Slot};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::rtp;
use rtc::rtp::extension::playout_delay_extension::PlayoutDelayExtension;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCIceServer, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    configure_nack, configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RtpSender};

use super::super::estimator::Estimator;
use super::super::link::{Gauges, Listener, Pacer, Reports};
use super::super::rates::ByLoss;
use super::Setup;

/// Constrained baseline, of which both ends may have their own level.
const H264: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// Pictures are shown when they come: without this browsers hold them back, and after a congestion for as long as it lasted.
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// How long addresses are gathered. What is not there by then is left out.
const GATHERING: Duration = Duration::from_secs(3);

/// Without a sign of the other end: as long until it counts as disconnected, as long again until it has failed; and how often a
/// sign is given. The library waits for half a minute by itself.
const ICE: (Duration, Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(4), Duration::from_secs(1));

/// Bytes that may wait in a data channel. What is beyond is not sent: it is old by the time that it would be.
const WAITING_DATA: usize = 128 * 1024;

/// Things that happen to a connection which may wait.
const WAITING_EVENTS: usize = 64;

/// Least and first rate that a link is believed to carry, in bits a second.
const RATES: (f64, f64) = (100_000.0, 1_500_000.0);

/// Why no connection can be made.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum OpenError {
    /// The offer cannot be used.
    #[error("the offer cannot be used: {0}")]
    Offer(String),
    /// It can, and something else is wrong.
    #[error("no connection can be made: {0}")]
    Here(String),
}

impl OpenError {
    fn offer(error: &impl std::fmt::Display) -> Self {
        // Some errors hold what was read.
        Self::Offer(error.to_string().chars().take(160).collect())
    }

    fn here(error: &impl std::fmt::Display) -> Self {
        Self::Here(error.to_string().chars().take(160).collect())
    }
}

/// What happens to a connection.
pub(super) enum Event {
    Gathered,
    State(RTCPeerConnectionState),
    Data(Arc<dyn DataChannel>),
    Track(Arc<dyn TrackRemote>),
}

struct Handler(Sender<Event>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.try_send(Event::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.0.try_send(Event::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.0.try_send(Event::Data(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.0.try_send(Event::Track(track));
    }
}

/// A connection that was answered, and waits for the other end.
pub(in super::super) struct Opened {
    pub(super) number: u64,
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) events: Receiver<Event>,
    /// What happened before there was an answer.
    pub(super) early: Vec<Event>,
    pub(super) video: Option<Outgoing>,
    pub(super) sound: Option<Outgoing>,
    pub(super) talk: bool,
    pub(in super::super) gauges: Arc<Gauges>,
    pub(in super::super) answer: String,
}

impl Opened {
    /// Nobody wants it any more.
    pub(in super::super) async fn abandon(self) {
        let _ = self.connection.close().await;
    }
}

/// A stream that leaves.
pub(super) struct Outgoing {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    extensions: Vec<rtp::extension::HeaderExtension>,
}

/// The connection has ended: what was to be sent is lost.
pub(super) struct Lost;

impl Outgoing {
    /// Says from the next packet on how much later than they come pictures are to be shown, at least and at most.
    pub fn show(&mut self, least: Duration, most: Duration) {
        let steps = |delay: Duration| (delay.as_millis() / 10) as u16;
        let delay = PlayoutDelayExtension { min_delay: steps(least), max_delay: steps(most) };
        self.extensions = vec![rtp::extension::HeaderExtension::PlayoutDelay(delay)];
    }

    /// Sends what was made of one moment. The last packet is marked.
    pub async fn send(&mut self, timestamp: u32, payloads: &[Bytes]) -> Result<(), Lost> {
        for (n, payload) in payloads.iter().enumerate() {
            let header = rtp::header::Header {
                version: 2,
                marker: n + 1 == payloads.len(),
                payload_type: self.payload_type,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.ssrc,
                ..Default::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            let packet = rtp::Packet { header, payload: payload.clone() };
            // The error holds the packet: it is told nobody.
            self.track.write_rtp_with_extensions(packet, &self.extensions).await.map_err(|_| Lost)?;
        }
        Ok(())
    }
}

fn feedback() -> Vec<RTCPFeedback> {
    let kinds = [("goog-remb", ""), ("ccm", "fir"), ("nack", ""), ("nack", "pli")];
    kinds.map(|(typ, parameter)| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }).into()
}

fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: H264.to_owned(),
        rtcp_feedback: feedback(),
    }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// The codecs that there are, and what goes over the link beside them.
fn media(gauges: &Arc<Gauges>, most_bps: u32) -> Result<(MediaEngine, Registry), OpenError> {
    let wrong = |error| OpenError::here(&error);
    let mut engine = MediaEngine::default();
    let rtx = RTCRtpCodec {
        mime_type: "video/rtx".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: "apt=102".to_owned(),
        rtcp_feedback: Vec::new(),
    };
    for (rtp_codec, payload_type, kind) in
        [(h264(), 102, RtpCodecKind::Video), (rtx, 103, RtpCodecKind::Video), (opus(), 111, RtpCodecKind::Audio)]
    {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind).map_err(wrong)?;
    }
    configure_simulcast_extension_headers(&mut engine).map_err(wrong)?;
    let playout = RTCRtpHeaderExtensionCapability { uri: PLAYOUT_DELAY.to_owned() };
    engine.register_header_extension(playout, RtpCodecKind::Video, None).map_err(wrong)?;
    // More than is ever sent it cannot find out: it would only climb.
    let most = f64::from(most_bps) * 1.4 + 150_000.0;
    let start = RATES.1.min(most);
    let estimator = Estimator::new(Gcc::new(start, RATES.0, most), gauges.clone());
    let registry = configure_rtcp_reports(configure_nack(Registry::new(), &mut engine));
    let registry = configure_twcc(registry, &mut engine)
        .map_err(wrong)?
        // Next to the wire, before the estimator.
        .with(Slot::from(500_usize), Reports::new(gauges.clone()))
        .with(Slot::CongestionControl, CongestionControlBuilder::new(estimator).build())
        .with(Slot::Pacer, Pacer::new(gauges.clone()))
        // Between the wire and what answers to it.
        .with(Slot::from(3_500usize), Listener::new(gauges.clone(), ByLoss::new(start, RATES.0, most)));
    Ok((engine, registry))
}

fn track(kind: RtpCodecKind, codec: RTCRtpCodec, ssrc: u32, rtx: Option<u32>) -> Arc<TrackLocalStaticRTP> {
    let coding = RTCRtpCodingParameters {
        ssrc: Some(ssrc),
        rtx: rtx.map(|ssrc| RTCRtpRtxParameters { ssrc }),
        ..Default::default()
    };
    let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..Default::default() };
    let (stream, name) = ("vehicle".to_owned(), format!("{kind}"));
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(stream, name.clone(), name, kind, vec![encoding])))
}

/// The payload type that was agreed on for a codec.
async fn agreed(sender: &Arc<dyn RtpSender>, mime: &str) -> Option<u8> {
    let codecs = sender.get_parameters().await.ok()?.rtp_parameters.codecs;
    let mut of_kind = codecs.iter().filter(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(mime)).peekable();
    let first = of_kind.peek().map(|codec| codec.payload_type);
    let fits = |line: &str| line.contains("42e01f") && line.contains("packetization-mode=1");
    let best = of_kind.find(|codec| mime == MIME_TYPE_OPUS || fits(&codec.rtp_codec.sdp_fmtp_line));
    best.map(|codec| codec.payload_type).or(first)
}

/// Random numbers, one after the other.
fn random(seed: &mut u64) -> u32 {
    // SplitMix64; the seed is the kernel's.
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 32) as u32
}

/// Makes a connection of an offer, which was accepted.
pub(in super::super) async fn open(setup: &Setup, seed: u64, offer: String) -> Result<Opened, OpenError> {
    let gauges = Arc::<Gauges>::default();
    let (engine, registry) = media(&gauges, setup.most_bps)?;
    let (sender, events) = channel(WAITING_EVENTS);
    let servers = setup.servers.iter().map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.clone(),
    });
    let settings = SettingEngineBuilder::new()
        .with_ice_timeouts(Some(ICE.0), Some(ICE.1), Some(ICE.2))
        // Names of the other end's are not looked up: it reaches us, and is known from then on.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_configuration(RTCConfigurationBuilder::new().with_ice_servers(servers.collect()).build())
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_data_channel_send_buffer_limit(WAITING_DATA)
        .with_handler(Arc::new(Handler(sender)))
        .with_udp_addrs(vec![SocketAddr::new(setup.bind, 0)])
        .build()
        .await
        .map_err(|error| OpenError::here(&error))?;
    let connection: Arc<dyn PeerConnection> = Arc::new(connection);
    match answer(setup, seed, offer, &connection, gauges, events).await {
        Ok(opened) => Ok(opened),
        Err(error) => {
            let _ = connection.close().await;
            Err(error)
        }
    }
}

/// Says that nothing is taken: nobody is to send a voice that is not heard.
async fn send_only(connection: &Arc<dyn PeerConnection>) -> Result<(), OpenError> {
    for transceiver in connection.get_transceivers().await {
        let direction = match transceiver.direction().await.map_err(|error| OpenError::offer(&error))? {
            RTCRtpTransceiverDirection::Sendrecv => RTCRtpTransceiverDirection::Sendonly,
            RTCRtpTransceiverDirection::Recvonly => RTCRtpTransceiverDirection::Inactive,
            _ => continue,
        };
        transceiver.set_direction(direction).await.map_err(|error| OpenError::offer(&error))?;
    }
    Ok(())
}

async fn answer(
    setup: &Setup,
    mut seed: u64,
    offer: String,
    connection: &Arc<dyn PeerConnection>,
    gauges: Arc<Gauges>,
    mut events: Receiver<Event>,
) -> Result<Opened, OpenError> {
    let offer = RTCSessionDescription::offer(offer).map_err(|error| OpenError::offer(&error))?;
    connection.set_remote_description(offer).await.map_err(|error| OpenError::offer(&error))?;
    let mut add = async |kind, codec, with_rtx: bool| {
        let (ssrc, rtx) = (random(&mut seed), with_rtx.then(|| random(&mut seed)));
        let sequence = random(&mut seed) as u16;
        let track = track(kind, codec, ssrc, rtx);
        let sender = connection.add_track(track.clone() as Arc<dyn TrackLocal>).await;
        let sender = sender.map_err(|error| OpenError::offer(&error))?;
        let outgoing = Outgoing { track, ssrc, payload_type: 0, sequence, extensions: Vec::new() };
        Ok::<_, OpenError>((sender, outgoing))
    };
    let mut video = if setup.wants.video { Some(add(RtpCodecKind::Video, h264(), true).await?) } else { None };
    let mut sound = if setup.wants.audio { Some(add(RtpCodecKind::Audio, opus(), false).await?) } else { None };
    if !setup.wants.talk {
        send_only(connection).await?;
    }
    let answer = connection.create_answer(None).await.map_err(|error| OpenError::offer(&error))?;
    connection.set_local_description(answer).await.map_err(|error| OpenError::offer(&error))?;
    let mut early = Vec::new();
    let gathered = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Gathered) {
                break;
            }
            early.push(event);
        }
    };
    let _ = tokio::time::timeout(GATHERING, gathered).await;
    let description = connection.local_description().await;
    let answer =
        description.map(|description| description.sdp).ok_or_else(|| OpenError::Here("no answer".to_owned()))?;
    for (outgoing, mime) in [(&mut video, MIME_TYPE_H264), (&mut sound, MIME_TYPE_OPUS)] {
        if let Some((sender, outgoing)) = outgoing {
            let nothing = || OpenError::Offer(format!("nothing was agreed on for {mime}"));
            outgoing.payload_type = agreed(sender, mime).await.ok_or_else(nothing)?;
        }
    }
    if let Some((_, outgoing)) = &mut video {
        outgoing.show(Duration::ZERO, Duration::ZERO);
    }
    Ok(Opened {
        number: setup.number,
        connection: connection.clone(),
        events,
        early,
        video: video.map(|(_, outgoing)| outgoing),
        sound: sound.map(|(_, outgoing)| outgoing),
        talk: setup.wants.talk,
        gauges,
        answer,
    })
}
