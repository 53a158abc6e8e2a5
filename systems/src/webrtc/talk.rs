//! An operator's voice: from packets of Opus to sound for the loudspeaker, and its level.

use opus::{Channels, Decoder};
use rtc::rtp;
use waywarden_components::audio::SAMPLE_RATE;

/// Root mean square below which nobody is taken to talk, in decibels below full scale: a microphone that was switched off sends
/// silence.
pub(super) const FLOOR_DBFS: f32 = -55.0;

/// The longest packet of Opus, in samples: 120 ms.
const LONGEST: usize = SAMPLE_RATE as usize * 120 / 1000;

/// A piece of an operator's voice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// The number of its first sample, counted from any beginning.
    pub at: u64,
    /// Samples of 16 kHz, mono.
    pub pcm: Vec<i16>,
    /// Root mean square, in decibels below full scale.
    pub level_dbfs: f32,
}

/// Decodes an operator's voice.
pub(super) struct Ear {
    decoder: Decoder,
    /// The time of the last packet: as it came, and with its overflows counted.
    last: Option<(u32, u64)>,
}

impl Ear {
    /// For one stream.
    pub fn new() -> Result<Self, opus::Error> {
        Ok(Self { decoder: Decoder::new(SAMPLE_RATE, Channels::Mono)?, last: None })
    }

    /// Takes a packet. None where there is no sound in it, or none that can be decoded.
    pub fn hear(&mut self, packet: &rtp::Packet) -> Option<Piece> {
        if packet.payload.is_empty() {
            return None;
        }
        let mut pcm = vec![0; LONGEST];
        let samples = self.decoder.decode(&packet.payload, &mut pcm, false).ok()?;
        pcm.truncate(samples);
        let ticks = self.unwrap(packet.header.timestamp);
        let level_dbfs = level_dbfs(&pcm);
        Some(Piece { at: ticks / 3, pcm, level_dbfs })
    }

    /// RTP's times have 32 bits: the one that is nearest to the last.
    fn unwrap(&mut self, stamp: u32) -> u64 {
        // Far enough from 0 for the first ones to come out of order.
        let (before, long) = self.last.unwrap_or((stamp, 1 << 32));
        let step = stamp.wrapping_sub(before).cast_signed();
        let long = long.saturating_add_signed(step.into());
        self.last = Some((stamp, long));
        long
    }
}

fn level_dbfs(pcm: &[i16]) -> f32 {
    let squares: f64 = pcm.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    let mean = squares / pcm.len().max(1) as f64;
    (20.0 * libm::log10(mean.sqrt() / f64::from(i16::MAX))).max(-96.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(encoder: &mut opus::Encoder, timestamp: u32, loud: i16) -> rtp::Packet {
        let pcm: Vec<i16> = (0..320).map(|n| if n % 32 < 16 { loud } else { -loud }).collect();
        let payload = encoder.encode_vec(&pcm, 1000).unwrap().into();
        let header = rtp::header::Header { version: 2, timestamp, ..Default::default() };
        rtp::Packet { header, payload }
    }

    #[test]
    fn a_voice_has_a_level_and_its_place() {
        let mut encoder = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, opus::Application::Voip).unwrap();
        let mut ear = Ear::new().unwrap();
        let mut level = -96.0f32;
        let mut places = Vec::new();
        for n in 0..20u32 {
            // Over the end of what 32 bits count.
            let stamp = u32::MAX.wrapping_sub(4800).wrapping_add(n * 960);
            let piece = ear.hear(&packet(&mut encoder, stamp, 8000)).unwrap();
            assert_eq!(piece.pcm.len(), 320);
            level = level.max(piece.level_dbfs);
            places.push(piece.at);
        }
        assert!((-18.0..-8.0).contains(&level), "{level}");
        assert!(places.windows(2).all(|two| two[1] - two[0] == 320), "{places:?}");
        for n in 20..40 {
            level = ear.hear(&packet(&mut encoder, n * 960, 0)).unwrap().level_dbfs;
        }
        assert!(level < FLOOR_DBFS, "{level}");
        let garbage = rtp::Packet { payload: vec![0xff; 40].into(), ..Default::default() };
        let _ = ear.hear(&garbage);
        assert_eq!(ear.hear(&rtp::Packet::default()), None);
    }
}
