//! Binary protocols of satellite receivers: recognised and named, never read.

use serde::{Deserialize, Serialize};

/// A binary protocol that satellite receivers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BinaryProtocol {
    /// SiRF (CSR) binary: `A0 A2`, length (two bytes, at most 1023), payload, sum, `B0 B3`.
    Sirf,
    /// u-blox UBX: `B5 62`, class, id, length, payload, two sum bytes.
    Ubx,
    /// RTCM 3: `D3`, six zero bits, length (ten bits), message number (twelve bits), payload, 24 bit CRC.
    Rtcm3,
    /// SkyTraq (Venus) binary: `A0 A1`, length (two bytes), payload, exclusive or, `0D 0A`.
    SkyTraq,
    /// MediaTek binary: `04 24`, length of all (two bytes, low first), command, data, exclusive or, `0D 0A`.
    MediaTek,
    /// NovAtel binary: `AA 44 12` or, with a short header, `AA 44 13`.
    NovAtel,
    /// Unicore binary: `AA 44 B5`.
    Unicore,
    /// Trimble's TSIP: `10`, id, data, `10 03`.
    Tsip,
    /// Garmin binary: `10`, id, length, data, sum, `10 03`.
    Garmin,
}

impl BinaryProtocol {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sirf => "SiRF binary",
            Self::Ubx => "UBX",
            Self::Rtcm3 => "RTCM 3",
            Self::SkyTraq => "SkyTraq binary",
            Self::MediaTek => "MediaTek binary",
            Self::NovAtel => "NovAtel binary",
            Self::Unicore => "Unicore binary",
            Self::Tsip => "Trimble TSIP",
            Self::Garmin => "Garmin binary",
        }
    }

    /// The protocol whose frame begins within the last four bytes, the newest lowest.
    ///
    /// Two bytes alone turn up by chance every 64 KiB of some other protocol, so more is looked at: high bytes of lengths,
    /// classes and numbers that exist, the end of the frame before.
    pub(super) fn starting(recent: u32) -> Option<Self> {
        match recent.to_be_bytes() {
            [_, 0xa0, 0xa2, 0x00..=0x03] => Some(Self::Sirf),
            [_, 0xb5, 0x62, 0x01..=0x06 | 0x09..=0x0d | 0x10 | 0x13 | 0x21 | 0x27..=0x29] => Some(Self::Ubx),
            // Numbers 1001 to 1230, by their upper eight of twelve bits.
            [0xd3, 0x00..=0x03, _, 0x3e..=0x4c] => Some(Self::Rtcm3),
            [_, 0xa0, 0xa1, 0x00..=0x03] => Some(Self::SkyTraq),
            [0x04, 0x24, _, 0x00..=0x01] => Some(Self::MediaTek),
            [_, 0xaa, 0x44, 0x12 | 0x13] => Some(Self::NovAtel),
            [_, 0xaa, 0x44, 0xb5] => Some(Self::Unicore),
            // Record 51 is Garmin's position; TSIP reports have ids from 41 hexadecimal on.
            [0x10, 0x03, 0x10, 0x33] => Some(Self::Garmin),
            [0x10, 0x03, 0x10, 0x41..=0x8f] => Some(Self::Tsip),
            _ => None,
        }
    }

    /// The first protocol of which there is a whole frame with the right sum in `bytes`; of those whose sums are not
    /// looked at, two beginnings of frames. For finding out what a line at an unknown rate carries.
    pub fn spoken_in(bytes: &[u8]) -> Option<Self> {
        let mut sighted = [0; 4];
        let mut recent = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            recent = (recent << 8) | u32::from(byte);
            let protocol = match Self::starting(recent) {
                Some(protocol) => protocol,
                None => continue,
            };
            let count = match protocol {
                Self::NovAtel => &mut sighted[0],
                Self::Unicore => &mut sighted[1],
                Self::Tsip => &mut sighted[2],
                Self::Garmin => &mut sighted[3],
                Self::Sirf | Self::Ubx | Self::SkyTraq if is_sound(protocol, bytes.get(at - 2..)) => {
                    return Some(protocol);
                }
                Self::Rtcm3 | Self::MediaTek if is_sound(protocol, bytes.get(at - 3..)) => return Some(protocol),
                _ => continue,
            };
            *count += 1;
            if *count >= 2 {
                return Some(protocol);
            }
        }
        None
    }
}

/// Whether a whole frame of `protocol` with the right sum begins at the beginning of `bytes`.
fn is_sound(protocol: BinaryProtocol, bytes: Option<&[u8]>) -> bool {
    bytes.and_then(|bytes| sum_is_right(protocol, bytes)).unwrap_or_default()
}

fn sum_is_right(protocol: BinaryProtocol, bytes: &[u8]) -> Option<bool> {
    let length = |high: usize, low: usize| Some((usize::from(*bytes.get(high)?) << 8) | usize::from(*bytes.get(low)?));
    let exclusive_or = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum ^ byte);
    Some(match protocol {
        BinaryProtocol::Sirf => {
            let end = 4 + length(2, 3)?;
            let sum = bytes.get(4..end)?.iter().fold(0u16, |sum, byte| sum.wrapping_add((*byte).into())) & 0x7fff;
            let [high, low] = sum.to_be_bytes();
            bytes.get(end..end + 4)? == [high, low, 0xb0, 0xb3]
        }
        BinaryProtocol::Ubx => {
            let end = 6 + length(5, 4)?;
            let (mut a, mut b) = (0u8, 0u8);
            for byte in bytes.get(2..end)? {
                a = a.wrapping_add(*byte);
                b = b.wrapping_add(a);
            }
            bytes.get(end..end + 2)? == [a, b]
        }
        BinaryProtocol::Rtcm3 => {
            let end = 3 + (length(1, 2)? & 0x3ff);
            bytes.get(end..end + 3)? == &crc24q(bytes.get(..end)?).to_be_bytes()[1..]
        }
        BinaryProtocol::SkyTraq => {
            let end = 4 + length(2, 3)?;
            bytes.get(end..end + 3)? == [exclusive_or(bytes.get(4..end)?), 0x0d, 0x0a]
        }
        BinaryProtocol::MediaTek => {
            let end = length(3, 2)?.checked_sub(3)?;
            bytes.get(end..end + 3)? == [exclusive_or(bytes.get(2..end)?), 0x0d, 0x0a]
        }
        BinaryProtocol::NovAtel | BinaryProtocol::Unicore | BinaryProtocol::Tsip | BinaryProtocol::Garmin => false,
    })
}

/// CRC-24Q (RTCM 10403, 4.1): polynomial 1864CFB, from zero.
fn crc24q(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 16), |crc, _| {
            let shifted = crc << 1;
            if shifted & 0x100_0000 == 0 { shifted } else { shifted ^ 0x186_4cfb }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ubx(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xb5, 0x62, class, id, payload.len() as u8, 0];
        frame.extend(payload);
        let (a, b) = frame[2..].iter().fold((0u8, 0u8), |(a, b), byte| {
            let a = a.wrapping_add(*byte);
            (a, b.wrapping_add(a))
        });
        frame.extend([a, b]);
        frame
    }

    /// A frame of each protocol whose sum is looked at.
    fn frames() -> Vec<(BinaryProtocol, Vec<u8>)> {
        let xor = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum ^ byte);
        // SiRF message 41 cut short, sum of its bytes.
        let sirf = [&[0xa0, 0xa2, 0x00, 0x03][..], &[0x29, 0xff, 0x10], &[0x01, 0x38, 0xb0, 0xb3]].concat();
        let mut rtcm = vec![0xd3, 0x00, 0x04, 0x3e, 0xd0, 0x00, 0x01];
        rtcm.extend(&crc24q(&rtcm).to_be_bytes()[1..]);
        let skytraq = [0xa0, 0xa1, 0x00, 0x02, 0xa8, 0x02, xor(&[0xa8, 0x02]), 0x0d, 0x0a].to_vec();
        let mediatek = [0x04, 0x24, 0x09, 0x00, 0xdd, 0x00, xor(&[0x09, 0x00, 0xdd, 0x00]), 0x0d, 0x0a].to_vec();
        vec![
            (BinaryProtocol::Sirf, sirf),
            (BinaryProtocol::Ubx, ubx(1, 7, &[1, 2, 3])),
            (BinaryProtocol::Rtcm3, rtcm),
            (BinaryProtocol::SkyTraq, skytraq),
            (BinaryProtocol::MediaTek, mediatek),
        ]
    }

    #[test]
    fn sound_frames_are_recognised_between_anything_and_broken_ones_are_not() {
        for (protocol, frame) in frames() {
            let noise = [0x00, 0xff, 0xb5, 0xa0];
            assert_eq!(BinaryProtocol::spoken_in(&[&noise, &frame[..], &noise].concat()), Some(protocol));
            assert_eq!(BinaryProtocol::spoken_in(&frame[..frame.len() - 1]), None, "{protocol:?} cut");
            let mut broken = frame.clone();
            let middle = broken.len() - 3;
            broken[middle] ^= 0x20;
            assert_eq!(BinaryProtocol::spoken_in(&broken), None, "{protocol:?} broken");
        }
    }

    #[test]
    fn protocols_without_a_sum_that_is_looked_at_are_seen_twice() {
        for (protocol, start) in [
            (BinaryProtocol::NovAtel, &[0xaa, 0x44, 0x12, 0x1c][..]),
            (BinaryProtocol::Unicore, &[0xaa, 0x44, 0xb5, 0x00]),
            (BinaryProtocol::Tsip, &[0x10, 0x03, 0x10, 0x8f, 0xab]),
            (BinaryProtocol::Garmin, &[0x10, 0x03, 0x10, 0x33, 0x40]),
        ] {
            assert_eq!(BinaryProtocol::spoken_in(start), None);
            assert_eq!(BinaryProtocol::spoken_in(&[start, start].concat()), Some(protocol));
        }
    }

    #[test]
    fn the_crc_is_that_of_the_standard() {
        // The catalogue's check value for polynomial 864CFB from zero, which it calls CRC-24/LTE-A.
        assert_eq!(crc24q(b"123456789"), 0xcd_e703);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), more in any::<bool>()) {
            let bytes = if more { [&[0xb5, 0x62, 0x01][..], &bytes].concat() } else { bytes };
            let _ = BinaryProtocol::spoken_in(&bytes);
        }
    }
}
