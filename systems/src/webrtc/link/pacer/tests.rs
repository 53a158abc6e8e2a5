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
fn what_is_sent_again_leaves_before_pictures_that_wait_and_in_order() {
    let gauges = Arc::<Gauges>::default();
    gauges.set_target(1_000_000.0);
    let mut pacer = Pacer::new(gauges);
    let stream = StreamInfo { ssrc: 7, ssrc_rtx: Some(9), mime_type: "video/H264".to_owned(), ..Default::default() };
    pacer.bind_local_stream(&stream);
    let mut now = instant();
    for _ in 0..20 {
        pacer.handle_write(rtp(7, 1200, now)).unwrap();
    }
    let left = |pacer: &mut Pacer| -> Vec<(u32, usize)> {
        let of = |packet: TaggedPacket| match packet.message.packet {
            Packet::Rtp(packet) => (packet.header.ssrc, packet.payload.len()),
            _ => (0, 0),
        };
        std::iter::from_fn(|| pacer.poll_write()).map(of).collect()
    };
    let at_once = left(&mut pacer).len();
    for bytes in [100, 200] {
        let mut packet = rtp(9, bytes, now);
        packet.message = packet.message.with(Attribute::Retransmission);
        pacer.handle_write(packet).unwrap();
    }
    let mut then = Vec::new();
    while let Some(next) = pacer.poll_timeout() {
        now = next;
        pacer.handle_timeout(now).unwrap();
        then.extend(left(&mut pacer));
    }
    assert_eq!(then[..3], [(9, 100), (9, 200), (7, 1200)]);
    assert_eq!(at_once + then.len(), 22);
    // Later ones take their place as well.
    assert_eq!((pacer.again, pacer.waiting.len()), (0, 0));
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

#[test]
fn how_long_the_other_end_waits_for_a_picture_that_stands_alone_is_told() {
    let gauges = Arc::<Gauges>::default();
    gauges.set_target(1_000_000.0);
    let mut pacer = Pacer::new(gauges.clone());
    let stream = StreamInfo { ssrc: 7, ssrc_rtx: Some(9), mime_type: "video/H264".to_owned(), ..Default::default() };
    pacer.bind_local_stream(&stream);
    let ms = Duration::from_millis;
    let start = instant();
    let mut leaves = |payload: &'static [u8], again: bool, now| {
        let mut packet = rtp(7, 0, now);
        if let Packet::Rtp(of) = &mut packet.message.packet {
            of.payload = payload.into();
        }
        if again {
            packet.message = packet.message.with(Attribute::Retransmission);
        }
        pacer.handle_write(packet).unwrap();
        pacer.handle_timeout(now).unwrap();
        assert!(pacer.poll_write().is_some());
    };
    let (alone, together, other) = (&[0x67, 1][..], &[0x78, 0, 9, 0x67, 1][..], &[0x41, 7][..]);
    leaves(alone, false, start);
    assert_eq!(gauges.longest_for_keyframe(start + ms(900)), Duration::ZERO, "nobody has asked");
    gauges.asked_for_keyframe(start + ms(900));
    gauges.asked_for_keyframe(start + ms(950));
    leaves(other, false, start + ms(1000));
    leaves(alone, true, start + ms(1050));
    assert_eq!(gauges.longest_for_keyframe(start + ms(1100)), ms(200), "he waits still");
    leaves(together, false, start + ms(1150));
    gauges.asked_for_keyframe(start + ms(1200));
    leaves(alone, false, start + ms(1210));
    assert_eq!(gauges.longest_for_keyframe(start + ms(9000)), ms(250));
}

#[test]
fn a_picture_that_stands_alone_does_not_wait_behind_others() {
    let gauges = Arc::<Gauges>::default();
    gauges.set_target(1_000_000.0);
    let mut pacer = Pacer::new(gauges.clone());
    let stream = StreamInfo { ssrc: 7, ssrc_rtx: Some(9), mime_type: "video/H264".to_owned(), ..Default::default() };
    pacer.bind_local_stream(&stream);
    let now = instant();
    let keyframe = |number: u16| {
        let mut packet = rtp(7, 0, now);
        if let Packet::Rtp(of) = &mut packet.message.packet {
            of.payload = (&[0x67, 1][..]).into();
            of.header.sequence_number = number;
        }
        packet
    };
    // What waits for a moment only goes first.
    (0..5).for_each(|_| pacer.handle_write(rtp(7, 1200, now)).unwrap());
    pacer.handle_write(keyframe(5)).unwrap();
    assert!(pacer.waiting.len() > 2 && gauges.is_superseded(4, now) && !gauges.is_superseded(5, now));
    (0..30).for_each(|_| pacer.handle_write(rtp(7, 1200, now)).unwrap());
    let mut again = rtp(9, 1200, now);
    again.message = again.message.with(Attribute::Retransmission);
    pacer.handle_write(again).unwrap();
    assert!(gauges.waiting() > SUPERSEDED);
    pacer.handle_write(keyframe(36)).unwrap();
    assert_eq!((pacer.waiting.len(), pacer.again), (1, 0));
    assert!(gauges.waiting() < SUPERSEDED);
}
