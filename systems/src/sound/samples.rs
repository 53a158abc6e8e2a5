//! Samples of every format that devices have.

use cpal::SampleFormat;

const I24_FULL: f64 = 8_388_608.0;
const I32_FULL: f64 = 2_147_483_648.0;
const I64_FULL: f64 = 9_223_372_036_854_775_808.0;

/// The mean of the channels of one frame, full scale ±1. What is no number counts as silence.
pub(crate) fn mean(format: SampleFormat, frame: &[u8]) -> f64 {
    let size = format.sample_size();
    let samples = frame.chunks_exact(size);
    let channels = samples.len().max(1) as f64;
    samples.map(|bytes| read(format, bytes)).sum::<f64>() / channels
}

/// One sample, full scale ±1. What is no number is silence.
fn read(format: SampleFormat, bytes: &[u8]) -> f64 {
    let value = match (format, bytes) {
        (SampleFormat::I8, &[a]) => f64::from(i8::from_ne_bytes([a])) / 128.0,
        (SampleFormat::U8, &[a]) => (f64::from(a) - 128.0) / 128.0,
        (SampleFormat::I16, &[a, b]) => f64::from(i16::from_ne_bytes([a, b])) / 32_768.0,
        (SampleFormat::U16, &[a, b]) => (f64::from(u16::from_ne_bytes([a, b])) - 32_768.0) / 32_768.0,
        // Of 24 bits in four bytes nobody promises what the eight others are.
        (SampleFormat::I24, &[a, b, c, d]) => f64::from((i32::from_ne_bytes([a, b, c, d]) << 8) >> 8) / I24_FULL,
        (SampleFormat::U24, &[a, b, c, d]) => {
            (f64::from(u32::from_ne_bytes([a, b, c, d]) & 0x00FF_FFFF) - I24_FULL) / I24_FULL
        }
        (SampleFormat::I32, &[a, b, c, d]) => f64::from(i32::from_ne_bytes([a, b, c, d])) / I32_FULL,
        (SampleFormat::U32, &[a, b, c, d]) => (f64::from(u32::from_ne_bytes([a, b, c, d])) - I32_FULL) / I32_FULL,
        (SampleFormat::F32, &[a, b, c, d]) => f64::from(f32::from_ne_bytes([a, b, c, d])),
        (SampleFormat::I64, &[a, b, c, d, e, f, g, h]) => {
            i64::from_ne_bytes([a, b, c, d, e, f, g, h]) as f64 / I64_FULL
        }
        (SampleFormat::U64, &[a, b, c, d, e, f, g, h]) => {
            (u64::from_ne_bytes([a, b, c, d, e, f, g, h]) as f64 - I64_FULL) / I64_FULL
        }
        (SampleFormat::F64, &[a, b, c, d, e, f, g, h]) => f64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    };
    if value.is_finite() { value } else { 0.0 }
}

/// Appends one sample, full scale ±1, to every channel of a frame.
pub(crate) fn write(format: SampleFormat, channels: u16, sample: f64, frames: &mut Vec<u8>) {
    let sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
    // Numbers with a point become whole ones with saturation.
    let scaled = |full: f64| (sample * full).round().clamp(-full, full - 1.0);
    let mut bytes = [0; 8];
    let size = match format {
        SampleFormat::I8 => put(&mut bytes, (scaled(128.0) as i8).to_ne_bytes()),
        SampleFormat::U8 => put(&mut bytes, [(scaled(128.0) + 128.0) as u8]),
        SampleFormat::I16 => put(&mut bytes, (scaled(32_768.0) as i16).to_ne_bytes()),
        SampleFormat::U16 => put(&mut bytes, ((scaled(32_768.0) + 32_768.0) as u16).to_ne_bytes()),
        SampleFormat::I24 => put(&mut bytes, (scaled(I24_FULL) as i32).to_ne_bytes()),
        SampleFormat::U24 => put(&mut bytes, ((scaled(I24_FULL) + I24_FULL) as u32).to_ne_bytes()),
        SampleFormat::I32 => put(&mut bytes, (scaled(I32_FULL) as i32).to_ne_bytes()),
        SampleFormat::U32 => put(&mut bytes, ((scaled(I32_FULL) + I32_FULL) as u32).to_ne_bytes()),
        SampleFormat::I64 => put(&mut bytes, ((sample * I64_FULL) as i64).to_ne_bytes()),
        SampleFormat::U64 => put(&mut bytes, ((sample * I64_FULL + I64_FULL) as u64).to_ne_bytes()),
        SampleFormat::F32 => put(&mut bytes, (sample as f32).to_ne_bytes()),
        SampleFormat::F64 => put(&mut bytes, sample.to_ne_bytes()),
        _ => format.sample_size().min(8),
    };
    for _ in 0..channels {
        frames.extend_from_slice(&bytes[..size]);
    }
}

fn put<const N: usize>(bytes: &mut [u8; 8], value: [u8; N]) -> usize {
    bytes[..N].copy_from_slice(&value);
    N
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SampleFormat; 12] = [
        SampleFormat::I8,
        SampleFormat::U8,
        SampleFormat::I16,
        SampleFormat::U16,
        SampleFormat::I24,
        SampleFormat::U24,
        SampleFormat::I32,
        SampleFormat::U32,
        SampleFormat::I64,
        SampleFormat::U64,
        SampleFormat::F32,
        SampleFormat::F64,
    ];

    #[test]
    fn what_is_written_is_read_in_every_format() {
        for format in ALL {
            for sample in [-1.0, -0.5, -1.0 / 128.0, 0.0, 0.25, 63.0 / 128.0, 127.0 / 128.0] {
                let mut frame = Vec::new();
                write(format, 3, sample, &mut frame);
                assert_eq!(frame.len(), 3 * format.sample_size(), "{format}");
                assert_eq!(mean(format, &frame), sample, "{format}");
            }
            let mut loud = Vec::new();
            write(format, 1, 7.0, &mut loud);
            assert!(mean(format, &loud) > 0.99, "{format}");
        }
    }

    #[test]
    fn sixteen_bits_come_back_as_they_were() {
        for sample in i16::MIN..=i16::MAX {
            let heard = mean(SampleFormat::I16, &sample.to_ne_bytes());
            assert_eq!(crate::resample::to_i16(heard), sample);
            let mut played = Vec::new();
            write(SampleFormat::I16, 1, f64::from(sample) / 32_768.0, &mut played);
            assert_eq!(played, sample.to_ne_bytes());
        }
    }

    #[test]
    fn channels_are_averaged_and_what_is_no_number_is_silence() {
        let frame: Vec<u8> = [0.5f32, f32::NAN, -0.25, f32::INFINITY].iter().flat_map(|s| s.to_ne_bytes()).collect();
        assert_eq!(mean(SampleFormat::F32, &frame), 0.0625);
        assert_eq!(mean(SampleFormat::I16, &[]), 0.0);
        assert_eq!(mean(SampleFormat::DsdU8, &[0x69]), 0.0);
        // Only 24 of the 32 bits count.
        assert_eq!(mean(SampleFormat::I24, &0x7FFF_FFFF_i32.to_ne_bytes()), -1.0 / I24_FULL);
        assert_eq!(mean(SampleFormat::U24, &0xFF80_0000_u32.to_ne_bytes()), 0.0);
    }
}
