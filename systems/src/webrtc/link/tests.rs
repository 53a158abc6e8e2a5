use rtc::interceptor::AttributedPacket;
use rtc::rtp;
use rtc::shared::TransportContext;

use super::*;
use crate::clock::instant;

fn rtp(ssrc: u32, bytes: usize, now: Instant) -> TaggedPacket {
    let header = rtp::header::Header { version: 2, ssrc, ..Default::default() };
    let packet = rtp::Packet { header, payload: vec![0; bytes].into() };
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(Packet::Rtp(packet)) }
}

fn rtcp(part: impl rtc::rtcp::Packet + 'static, now: Instant) -> TaggedPacket {
    let packet = Packet::Rtcp(vec![Box::new(part)]);
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
}

fn listener(target: f64) -> (Listener, Arc<Gauges>) {
    let gauges = Arc::<Gauges>::default();
    (Listener::new(gauges.clone(), ByLoss::new(target, 1e5, 3e6)), gauges)
}

fn nack(from: u16, count: u16) -> TransportLayerNack {
    let nacks = (from..from + count).map(|packet_id| NackPair { packet_id, lost_packets: 0 }).collect();
    TransportLayerNack { sender_ssrc: 1, media_ssrc: 2, nacks }
}

/// Packets that may be sent again of those that are asked for.
fn kept(listener: &mut Listener, asked: TransportLayerNack, now: Instant) -> usize {
    listener.handle_read(rtcp(asked, now)).unwrap();
    match listener.poll_read().unwrap().message.packet {
        Packet::Rtcp(parts) => parts[0].as_any().downcast_ref::<TransportLayerNack>().unwrap().nacks.len(),
        _ => 0,
    }
}

#[test]
fn retransmissions_have_a_budget_and_a_picture_makes_up_for_the_rest() {
    let (mut listener, gauges) = listener(1e6);
    let start = instant();
    assert_eq!(kept(&mut listener, nack(100, 10), start), 10);
    assert_eq!(kept(&mut listener, nack(100, 10), start + Duration::from_millis(20)), 0, "they are on their way");
    assert!(!gauges.keyframe.load(Ordering::Relaxed));
    assert!(kept(&mut listener, nack(200, 50), start + Duration::from_millis(40)) < 10);
    assert!(gauges.keyframe.load(Ordering::Relaxed));
    // A quarter of 1 Mbit/s for a second is some 26 packets; what may come at once is less.
    assert_eq!(kept(&mut listener, nack(100, 10), start + Duration::from_secs(1)), 10);
}

#[test]
fn requests_for_a_picture_are_heard_and_reports_judge_a_link_that_says_no_more() {
    let (mut listener, gauges) = listener(1e6);
    let now = instant();
    listener.handle_read(rtcp(PictureLossIndication { sender_ssrc: 1, media_ssrc: 2 }, now)).unwrap();
    assert!(gauges.keyframe.swap(false, Ordering::Relaxed));
    let of = |fraction_lost| rtc::rtcp::reception_report::ReceptionReport { fraction_lost, ..Default::default() };
    let report = |lost| ReceiverReport { reports: vec![of(lost)], ..Default::default() };
    listener.handle_read(rtcp(report(128), now)).unwrap();
    assert_eq!(gauges.target_bps.load(Ordering::Relaxed), 750_000);
    assert_eq!(gauges.lost_ppm.load(Ordering::Relaxed), 500_000);
    gauges.reports_packets.store(true, Ordering::Relaxed);
    listener.handle_read(rtcp(report(128), now)).unwrap();
    assert_eq!(gauges.target_bps.load(Ordering::Relaxed), 750_000, "the estimator knows better");
}

#[test]
fn pictures_leave_at_the_pace_of_the_link_and_sound_at_once() {
    let gauges = Arc::<Gauges>::default();
    gauges.set_target(1_000_000.0);
    let mut pacer = Pacer::new(gauges.clone());
    pacer.bind_local_stream(&StreamInfo { ssrc: 7, mime_type: "video/H264".to_owned(), ..Default::default() });
    let start = instant();
    for _ in 0..50 {
        pacer.handle_write(rtp(7, 1200, start)).unwrap();
    }
    pacer.handle_write(rtp(8, 100, start)).unwrap();
    let left = |pacer: &mut Pacer| std::iter::from_fn(|| pacer.poll_write()).count();
    let at_once = left(&mut pacer);
    assert!((2..8).contains(&at_once), "sound and a burst: {at_once}");
    assert!(gauges.waiting() > Duration::from_millis(200));
    let mut now = start;
    let mut more = 0;
    while let Some(next) = pacer.poll_timeout() {
        assert!(next > now, "it moves on");
        now = next;
        pacer.handle_timeout(now).unwrap();
        more += left(&mut pacer);
    }
    assert_eq!(at_once + more, 51);
    // 50 packets of 1212 bytes at 1.2 Mbit/s: 0.4 s.
    let took = now - start;
    assert!((Duration::from_millis(320)..Duration::from_millis(500)).contains(&took), "{took:?}");
    assert_eq!(gauges.waiting(), Duration::ZERO);
}

#[test]
fn what_waits_for_too_long_is_given_up() {
    let gauges = Arc::<Gauges>::default();
    gauges.set_target(100_000.0);
    let mut pacer = Pacer::new(gauges.clone());
    pacer.bind_local_stream(&StreamInfo { ssrc: 7, mime_type: "video/H264".to_owned(), ..Default::default() });
    let now = instant();
    for _ in 0..50 {
        pacer.handle_write(rtp(7, 1200, now)).unwrap();
    }
    assert!(pacer.waiting.len() < 20);
    assert!(gauges.keyframe.load(Ordering::Relaxed));
}
