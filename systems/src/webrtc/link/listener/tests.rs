use rtc::interceptor::AttributedPacket;
use rtc::shared::TransportContext;

use super::*;
use crate::clock::instant;

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
    // Fifteen may leave at once: the first four of ten twice.
    assert_eq!(kept(&mut listener, nack(100, 10), start), 14);
    assert_eq!(kept(&mut listener, nack(100, 10), start + Duration::from_millis(20)), 0, "they are on their way");
    assert!(!gauges.keyframe.load(Ordering::Relaxed));
    let ms = Duration::from_millis;
    assert_eq!(kept(&mut listener, nack(200, 50), start + ms(40)), 0, "more than it may");
    assert!(gauges.keyframe.load(Ordering::Relaxed));
    assert_eq!(kept(&mut listener, nack(250, 1), start + ms(300)), 0, "the picture is being made");
    gauges.keyframe_begins(251, start + ms(310));
    assert_eq!(kept(&mut listener, nack(240, 10), start + ms(320)), 0, "it stands for all before");
    assert!(kept(&mut listener, nack(250, 3), start + ms(330)) >= 2, "and not for itself and what follows");
    // A quarter of 1 Mbit/s for a second is some 26 packets; what may come at once is less.
    assert_eq!(kept(&mut listener, nack(300, 10), start + ms(1330)), 14);
    // Numbers go round.
    gauges.keyframe_begins(3, start + ms(1340));
    assert_eq!(kept(&mut listener, nack(65_530, 5), start + ms(3000)), 0);
    assert_eq!(kept(&mut listener, nack(3, 1), start + ms(3000)), 2);
    // Half of them later, two minutes of pictures, what was long ago says nothing.
    assert_eq!(kept(&mut listener, nack(3 + 33_000, 1), start + ms(120_000)), 2);
}

#[test]
fn packets_lost_by_chance_are_sent_twice_and_of_many_each_once() {
    let (mut listener, _) = listener(1e6);
    let start = instant();
    // Three in a second, as 2 % of what 1.5 Mbit/s are.
    for n in 0..20 {
        assert_eq!(kept(&mut listener, nack(100 + n, 1), start + Duration::from_millis(330) * n.into()), 2);
    }
    let (mut listener, _) = self::listener(1e6);
    assert_eq!(kept(&mut listener, nack(100, 15), start), 15);
}

#[test]
fn what_is_reported_lost_is_sent_again_unasked_but_once() {
    let (mut listener, gauges) = listener(1e6);
    listener.bind_local_stream(&StreamInfo { ssrc: 7, mime_type: "video/H264".to_owned(), ..Default::default() });
    listener.bind_local_stream(&StreamInfo { ssrc: 8, mime_type: "audio/opus".to_owned(), ..Default::default() });
    let start = instant();
    let mut report = |after: u64, lost: &[(u32, u16)]| -> Vec<(u32, Vec<u16>)> {
        lost.iter().for_each(|&(stream, number)| gauges.lost(stream, number));
        let now = start + Duration::from_millis(after);
        listener.handle_read(rtcp(TransportLayerCc::default(), now)).unwrap();
        let Packet::Rtcp(parts) = listener.poll_read().unwrap().message.packet else { panic!() };
        assert!(parts[0].as_any().is::<TransportLayerCc>(), "the report itself goes on");
        let numbers = |nack: &TransportLayerNack| nack.nacks.iter().map(|pair| pair.packet_id).collect();
        let nacks = parts.iter().filter_map(|part| part.as_any().downcast_ref::<TransportLayerNack>());
        nacks.map(|nack| (nack.media_ssrc, numbers(nack))).collect()
    };
    assert_eq!(report(0, &[]), []);
    assert_eq!(report(50, &[(8, 5), (7, 100), (9, 3)]), [(7, vec![100, 100])], "sound and what is sent again are not");
    assert_eq!(report(500, &[(7, 100)]), [], "it has been");
    // Its number comes again minutes later.
    assert_eq!(report(400_000, &[(7, 100)]), [(7, vec![100, 100])]);
    let many: Vec<_> = (0..1000).map(|number| (7, number)).collect();
    let sent: usize = report(500_000, &many).iter().map(|(_, numbers)| numbers.len()).sum();
    assert!(sent <= AGAIN_AT_ONCE as usize, "{sent}");
}

#[test]
fn of_two_reports_in_one_packet_none_is_forgotten() {
    let (mut listener, gauges) = listener(1e6);
    listener.bind_local_stream(&StreamInfo { ssrc: 7, mime_type: "video/H264".to_owned(), ..Default::default() });
    gauges.lost(7, 100);
    let mut packet = rtcp(TransportLayerCc::default(), instant());
    if let Packet::Rtcp(parts) = &mut packet.message.packet {
        parts.push(Box::new(TransportLayerCc::default()));
    }
    listener.handle_read(packet).unwrap();
    let Packet::Rtcp(parts) = listener.poll_read().unwrap().message.packet else { panic!() };
    assert!(parts.iter().any(|part| part.as_any().is::<TransportLayerNack>()), "{} parts", parts.len());
}

#[test]
fn what_was_asked_for_is_not_sent_again_because_it_is_reported_too() {
    let (mut listener, gauges) = listener(1e6);
    listener.bind_local_stream(&StreamInfo { ssrc: 2, mime_type: "video/H264".to_owned(), ..Default::default() });
    let start = instant();
    assert_eq!(kept(&mut listener, nack(100, 1), start), 2);
    gauges.lost(2, 100);
    listener.handle_read(rtcp(TransportLayerCc::default(), start + Duration::from_millis(80))).unwrap();
    let Packet::Rtcp(parts) = listener.poll_read().unwrap().message.packet else { panic!() };
    assert_eq!(parts.len(), 1);
    // Who asks once more gets it once more.
    assert_eq!(kept(&mut listener, nack(100, 1), start + Duration::from_millis(120)), 2);
}

#[test]
fn requests_for_a_picture_are_heard_and_reports_judge_a_link_that_says_no_more() {
    let (mut listener, gauges) = listener(1e6);
    let now = instant();
    listener.handle_read(rtcp(PictureLossIndication { sender_ssrc: 1, media_ssrc: 2 }, now)).unwrap();
    assert!(gauges.keyframe.swap(false, Ordering::Relaxed));
    listener.handle_read(rtcp(FullIntraRequest { sender_ssrc: 1, media_ssrc: 2, fir: Vec::new() }, now)).unwrap();
    assert!(gauges.keyframe.swap(false, Ordering::Relaxed), "older clients ask in this way");
    let of = |fraction_lost| rtc::rtcp::reception_report::ReceptionReport { fraction_lost, ..Default::default() };
    let report = |lost| ReceiverReport { reports: vec![of(lost)], ..Default::default() };
    listener.handle_read(rtcp(report(128), now)).unwrap();
    assert_eq!(gauges.target_bps.load(Ordering::Relaxed), 750_000);
    assert_eq!(gauges.lost_ppm.load(Ordering::Relaxed), 500_000);
    gauges.reports_packets.store(true, Ordering::Relaxed);
    listener.handle_read(rtcp(report(128), now)).unwrap();
    assert_eq!(gauges.target_bps.load(Ordering::Relaxed), 750_000, "the estimator knows better");
}
