//! What the microphone hears, as Opus: encoded once for all who listen.

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder};
use waywarden_components::audio::SAMPLE_RATE;
use waywarden_components::time::Mono;

use super::send::Sound;

/// Samples of a packet: 20 ms.
const PACKET: usize = 320;

/// Bits a second: speech, and what else is heard in a vehicle.
const BITRATE: i32 = 24_000;

/// RTP counts sound of Opus in samples of 48 kHz, whatever was encoded (RFC 7587).
const TICKS_PER_SAMPLE: u32 = 48_000 / SAMPLE_RATE;

/// Sound that begins later than this after the last one does not follow it, in nanoseconds.
const HOLE_NS: u64 = 150_000_000;

/// A packet of sound.
#[derive(Clone, Debug)]
pub(super) struct OpusPacket {
    /// Its time, in samples of 48 kHz from any beginning.
    pub timestamp: u32,
    /// Opus.
    pub data: Bytes,
}

/// Makes packets of sound.
pub(super) struct Microphone {
    encoder: Encoder,
    waiting: Vec<i16>,
    timestamp: u32,
    heard: Option<Mono>,
}

impl Microphone {
    /// One that has heard nothing.
    pub fn new() -> Result<Self, opus::Error> {
        // The encoder takes 16 kHz as they are: nothing is gained by resampling them to what RTP counts in.
        let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE))?;
        encoder.set_complexity(5)?;
        encoder.set_inband_fec(true)?;
        encoder.set_packet_loss_perc(5)?;
        Ok(Self { encoder, waiting: Vec::new(), timestamp: 0, heard: None })
    }

    /// Takes a piece of sound, and gives the packets that became full.
    pub fn hear(&mut self, (captured, pcm): &Sound) -> Result<Vec<OpusPacket>, opus::Error> {
        let samples = pcm.as_chunks::<2>().0;
        let length = samples.len() as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE);
        let start = captured.as_nanos().saturating_sub(length);
        if let Some(heard) = self.heard.filter(|heard| start > heard.as_nanos() + HOLE_NS) {
            // Who listens is to hear a pause, not the parts one behind the other.
            self.waiting.clear();
            let hole = (start - heard.as_nanos()) * 48 / 1_000_000;
            self.timestamp = self.timestamp.wrapping_add(hole as u32);
        }
        self.heard = Some(*captured);
        self.waiting.extend(samples.iter().map(|pair| i16::from_le_bytes(*pair)));
        let mut packets = Vec::new();
        let mut taken = 0;
        for piece in self.waiting.chunks_exact(PACKET) {
            let data = self.encoder.encode_vec(piece, 1000)?.into();
            packets.push(OpusPacket { timestamp: self.timestamp, data });
            self.timestamp = self.timestamp.wrapping_add(PACKET as u32 * TICKS_PER_SAMPLE);
            taken += PACKET;
        }
        self.waiting.drain(..taken);
        Ok(packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(end_ms: u64, samples: usize) -> Sound {
        let pcm: Vec<u8> = (0..samples).flat_map(|n| (((n % 40) as i16 - 20) * 500).to_le_bytes()).collect();
        (Mono(end_ms * 1_000_000), pcm.into())
    }

    #[test]
    fn pieces_become_packets_of_20_ms_and_a_hole_stays_one() {
        let mut microphone = Microphone::new().unwrap();
        let mut stamps = Vec::new();
        for (end_ms, samples) in [(32, 512), (64, 512), (96, 512), (1096, 512)] {
            let packets = microphone.hear(&sound(end_ms, samples)).unwrap();
            assert!(packets.iter().all(|packet| !packet.data.is_empty() && packet.data.len() < 300));
            stamps.extend(packets.iter().map(|packet| packet.timestamp));
        }
        // 1536 samples are 4 packets; 968 ms of nothing are 46464 ticks.
        assert_eq!(stamps, [0, 960, 1920, 2880, 3840 + 46_464]);
    }
}
