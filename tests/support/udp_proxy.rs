//! A bad link: passes UDP packets on between an operator and the vehicle, with loss, delay and a bottleneck.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waywarden_components::time::Mono;
use waywarden_systems::clock::boottime;

/// How bad it is now. What leaves the vehicle goes through the bottleneck; loss and delay hit either way.
#[derive(Default)]
pub struct Impairment {
    /// Packets of a million that are lost, each way.
    pub loss_ppm: AtomicU32,
    /// Milliseconds that each packet takes longer, each way.
    pub delay_ms: AtomicU32,
    /// Thousands of bits a second that pass from the vehicle; 0 for all.
    pub rate_kbps: AtomicU32,
    /// Packets that came from the vehicle, and those of them that were passed on.
    pub passed: [AtomicU64; 2],
    /// The number by which the answer names the playout-delay extension of RTP's headers; 0 where it does not.
    pub playout_number: AtomicU8,
    /// Milliseconds, at least and at most, after which the picture of the last packet that had one is to be shown.
    pub playout_ms: [AtomicU32; 2],
}

/// Milliseconds of packets that wait before the bottleneck; what comes then is lost.
const QUEUE_MS: u64 = 200;

/// A link that is as bad as it is told to be, as long as it lives.
pub struct Proxy {
    /// How bad it is.
    pub impairment: Arc<Impairment>,
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Impairment {
    /// Sets all of it.
    pub fn set(&self, loss_percent: u32, delay_ms: u32, rate_kbps: u32) {
        self.loss_ppm.store(loss_percent * 10_000, Ordering::Relaxed);
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
        self.rate_kbps.store(rate_kbps, Ordering::Relaxed);
    }
}

/// An answer whose only address is that of a new proxy before the vehicle.
pub fn before(answer: String) -> (String, Proxy) {
    let candidate = answer.lines().find(|line| line.starts_with("a=candidate") && line.contains(" udp ")).unwrap();
    let words: Vec<&str> = candidate.split(' ').collect();
    let vehicle: SocketAddr = format!("{}:{}", words[4], words[5]).parse().unwrap();
    let outer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = outer.local_addr().unwrap().port();
    let from = format!(" {} {} typ", words[4], words[5]);
    let changed = answer.replace(&from, &format!(" 127.0.0.1 {port} typ"));
    let proxy = Proxy::new(outer, vehicle);
    let number = answer.lines().find(|line| line.starts_with("a=extmap:") && line.ends_with("/playout-delay"));
    let number = number.and_then(|line| line["a=extmap:".len()..].split([' ', '/']).next()?.parse().ok());
    proxy.impairment.playout_number.store(number.unwrap_or(0), Ordering::Relaxed);
    (changed, proxy)
}

/// An extension of an RTP packet's header (RFC 8285, one byte each); SRTP leaves headers as they are.
fn extension(packet: &[u8], number: u8) -> Option<&[u8]> {
    let [first, kind, ..] = packet else { return None };
    // Version 2, with extensions, and no RTCP (RFC 5761).
    if first >> 4 & 0b1101 != 0b1001 || (192..=223).contains(kind) {
        return None;
    }
    let rest = packet.get(12 + 4 * usize::from(first & 15)..)?;
    let [0xbe, 0xde, high, low, elements @ ..] = rest else { return None };
    let mut elements = elements.get(..4 * usize::from(u16::from_be_bytes([*high, *low])))?;
    while let [head, behind @ ..] = elements {
        let length = usize::from(head & 15) + 1;
        match head >> 4 {
            0 => elements = behind,
            this if this == number => return behind.get(..length),
            _ => elements = behind.get(length..)?,
        }
    }
    None
}

impl Proxy {
    #[expect(clippy::disallowed_methods, reason = "the threads of a test's own")]
    fn new(outer: UdpSocket, vehicle: SocketAddr) -> Self {
        let inner = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (impairment, over) = (Arc::<Impairment>::default(), Arc::<AtomicBool>::default());
        let operator = Arc::<Mutex<Option<SocketAddr>>>::default();
        for socket in [&outer, &inner] {
            socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        let clone = |socket: &UdpSocket| socket.try_clone().unwrap();
        let up = Way {
            from: clone(&outer),
            to: clone(&inner),
            down: false,
            waiting: VecDeque::new(),
            free: Mono(0),
            chance: 1,
        };
        let down = Way { from: inner, to: outer, down: true, waiting: VecDeque::new(), free: Mono(0), chance: 2 };
        let threads = [up, down].map(|mut way| {
            let (impairment, over, operator) = (impairment.clone(), over.clone(), operator.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    way.take(&impairment, &operator);
                    way.give(&operator, vehicle);
                }
            })
        });
        Self { impairment, over, threads: threads.into() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Way {
    from: UdpSocket,
    to: UdpSocket,
    down: bool,
    waiting: VecDeque<(Mono, Vec<u8>)>,
    /// When the bottleneck is free again.
    free: Mono,
    chance: u64,
}

impl Way {
    fn take(&mut self, impairment: &Impairment, operator: &Mutex<Option<SocketAddr>>) {
        let mut buffer = [0; 2048];
        let Ok((length, source)) = self.from.recv_from(&mut buffer) else { return };
        if !self.down {
            *operator.lock().unwrap() = Some(source);
        } else {
            impairment.passed[0].fetch_add(1, Ordering::Relaxed);
            let number = impairment.playout_number.load(Ordering::Relaxed);
            if let (1.., Some([a, b, c])) = (number, extension(&buffer[..length], number)) {
                // Twelve bits each, in steps of 10 ms.
                let (least, most) = (u32::from(*a) << 4 | u32::from(*b >> 4), u32::from(*b & 15) << 8 | u32::from(*c));
                impairment.playout_ms[0].store(least * 10, Ordering::Relaxed);
                impairment.playout_ms[1].store(most * 10, Ordering::Relaxed);
            }
        }
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (self.chance >> 33) % 1_000_000 < u64::from(impairment.loss_ppm.load(Ordering::Relaxed)) {
            return;
        }
        let now = boottime();
        let mut at = now;
        let rate = u64::from(impairment.rate_kbps.load(Ordering::Relaxed));
        if self.down && rate > 0 {
            self.free = self.free.max(now);
            if self.free.since(now) > Duration::from_millis(QUEUE_MS) {
                return;
            }
            // With the headers of UDP and IP.
            self.free = self.free + Duration::from_micros((length as u64 + 28) * 8000 / rate);
            at = self.free;
        }
        at = at + Duration::from_millis(impairment.delay_ms.load(Ordering::Relaxed).into());
        if self.down {
            impairment.passed[1].fetch_add(1, Ordering::Relaxed);
        }
        self.waiting.push_back((at, buffer[..length].to_vec()));
    }

    fn give(&mut self, operator: &Mutex<Option<SocketAddr>>, vehicle: SocketAddr) {
        let now = boottime();
        while self.waiting.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, packet)) = self.waiting.pop_front() else { return };
            let to = if self.down { *operator.lock().unwrap() } else { Some(vehicle) };
            if let Some(to) = to {
                let _ = self.to.send_to(&packet, to);
            }
        }
    }
}
