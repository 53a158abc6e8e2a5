//! Whether a camera can see at all: covered, blinded, frozen or upside down, it goes on to give pictures, and nothing may be
//! concluded from them.

use std::time::Duration;

use waywarden_components::frame::{Luma, Sight, SightFault};
use waywarden_components::perception::Mask;
use waywarden_components::time::Mono;

/// How long something must last before it is believed: a bridge or a headlight passes sooner.
const LASTS: Duration = Duration::from_secs(2);
/// The same picture for so long is one that is shown again and again: a sensor has noise.
const FROZEN_AFTER: Duration = Duration::from_secs(3);
/// A road at night spreads by more luma levels than this (standard deviation), and has brighter spots.
const PLAIN_DEVIATION: f64 = 4.0;
const PLAIN_SPAN: u8 = 40;
/// From this luma on a pixel is blown out, and with more than this share of them so is the picture.
const BLOWN_OUT: u8 = 250;
const MOST_BLOWN_OUT: f64 = 0.6;
/// Above this speed in m/s a picture that does not change at all is none of the road.
const MOVES_MPS: f32 = 3.0;
/// Of a road that fills this share of the picture, more than that share is above the middle: the camera hangs upside down.
const LEAST_ROAD: f64 = 0.03;
const MOST_ABOVE: f64 = 0.8;
/// Masks in a row that say so before it is believed.
const MASKS: u32 = 4;

/// Takes a picture: its small grey one with a hash of it, and a way to a hash of its bytes. `speed_mps` is that of the vehicle,
/// if it is known.
pub fn look(
    sight: &mut Sight,
    (luma, hash): (&Luma, u64),
    fingerprint: impl Fn() -> u64,
    captured: Mono,
    speed_mps: Option<f32>,
) {
    let (plain, bright) = light(&luma.0);
    since(&mut sight.plain, plain, captured);
    since(&mut sight.bright, bright, captured);
    let alike = sight.last.replace(hash) == Some(hash);
    // Bytes are compared only where the small pictures are alike, which happens where nothing moves.
    let bytes = alike.then(fingerprint);
    let moves = speed_mps.is_some_and(|speed| speed > MOVES_MPS);
    let same = alike && (moves || (bytes.is_some() && sight.fingerprint == bytes));
    since(&mut sight.same, same, captured);
    sight.fingerprint = bytes;
    judge(sight, captured);
}

/// Takes the mask of the drivable area of one of its pictures.
pub fn take_road(sight: &mut Sight, drivable: &Mask, captured: Mono) {
    let all = f64::from(drivable.width) * f64::from(drivable.height);
    let (above, white) = (above_the_middle(drivable) as f64, drivable.count() as f64);
    if white < LEAST_ROAD * all {
        return;
    }
    sight.overhead = if above > MOST_ABOVE * white { sight.overhead.saturating_add(1) } else { 0 };
    judge(sight, captured);
}

fn judge(sight: &mut Sight, now: Mono) {
    let lasted = |began: Option<Mono>, least: Duration| began.is_some_and(|began| now.since(began) >= least);
    sight.fault = if lasted(sight.same, FROZEN_AFTER) {
        Some(SightFault::Frozen)
    } else if lasted(sight.bright, LASTS) {
        Some(SightFault::Overexposed)
    } else if lasted(sight.plain, LASTS) {
        Some(SightFault::Blocked)
    } else if sight.overhead >= MASKS {
        Some(SightFault::UpsideDown)
    } else {
        None
    };
}

fn since(began: &mut Option<Mono>, is_so: bool, now: Mono) {
    *began = is_so.then(|| began.unwrap_or(now));
}

/// Whether a grey picture is all of one shade, and whether it is blown out.
// Inlined it would be compiled as whoever calls it is: for size.
#[inline(never)]
fn light(pixels: &[u8]) -> (bool, bool) {
    let count = pixels.len().max(1) as f64;
    let (sum, squares) = pixels.iter().fold((0u64, 0u64), |(sum, squares), &pixel| {
        (sum + u64::from(pixel), squares + u64::from(pixel) * u64::from(pixel))
    });
    let mean = sum as f64 / count;
    let deviation = (squares as f64 / count - mean * mean).max(0.0).sqrt();
    let (least, most) = pixels.iter().fold((u8::MAX, 0), |(least, most), &pixel| (least.min(pixel), most.max(pixel)));
    let blown_out = pixels.iter().filter(|&&pixel| pixel >= BLOWN_OUT).count() as f64;
    (deviation < PLAIN_DEVIATION && most.saturating_sub(least) < PLAIN_SPAN, blown_out > MOST_BLOWN_OUT * count)
}

/// White pixels in the upper half.
fn above_the_middle(mask: &Mask) -> u64 {
    let half = u64::from(mask.width) * u64::from(mask.height / 2);
    let (mut at, mut white) = (0u64, 0u64);
    for (n, &run) in mask.runs.iter().enumerate() {
        let end = at.saturating_add(u64::from(run));
        if n % 2 == 1 {
            white += end.min(half).saturating_sub(at.min(half));
        }
        at = end;
    }
    white
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A road: dark below, bright above, with some texture that depends on `n`.
    fn road(n: u64) -> Luma {
        Luma((0..4096u64).map(|i| (if i < 2048 { 170 } else { 60 }) + ((i * 31 + n * 7) % 40) as u8).collect())
    }

    /// Some hash.
    fn hash(luma: &Luma) -> u64 {
        luma.0.iter().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
    }

    /// The fault after `seconds` of pictures at 10 Hz.
    fn after(seconds: f64, speed: Option<f32>, picture: impl Fn(u64) -> (Luma, u64)) -> Option<SightFault> {
        let mut sight = Sight::default();
        for n in 0..=(seconds * 10.0) as u64 {
            let (luma, bytes) = picture(n);
            look(&mut sight, (&luma, hash(&luma)), || bytes, Mono(n * 100_000_000), speed);
        }
        sight.fault
    }

    #[test]
    fn a_road_that_moves_is_seen() {
        assert_eq!(after(10.0, Some(20.0), |n| (road(n), n)), None);
        // A parked car in good light: small pictures alike, bytes not.
        assert_eq!(after(10.0, Some(0.0), |n| (road(0), n)), None);
        assert_eq!(after(10.0, None, |n| (road(0), n)), None);
    }

    #[test]
    fn a_frozen_picture_is_none() {
        assert_eq!(after(2.9, None, |_| (road(0), 5)), None);
        assert_eq!(after(3.3, None, |_| (road(0), 5)), Some(SightFault::Frozen));
        assert_eq!(after(3.3, Some(20.0), |n| (road(0), n)), Some(SightFault::Frozen), "it drives, and nothing moves");
    }

    #[test]
    fn a_covered_and_a_blinded_camera_are_told_apart() {
        let noise = |level: u8| move |n: u64| (Luma((0..4096).map(|i| level + ((i + n) % 5) as u8).collect()), n);
        assert_eq!(after(1.9, None, noise(3)), None);
        assert_eq!(after(2.1, None, noise(3)), Some(SightFault::Blocked));
        assert_eq!(after(2.1, None, noise(120)), Some(SightFault::Blocked));
        assert_eq!(after(2.1, None, noise(251)), Some(SightFault::Overexposed));
        // Night: black, with lamps.
        let night = |n: u64| (Luma((0..4096u64).map(|i| if i % 300 == n % 20 { 180 } else { 4 }).collect()), n);
        assert_eq!(after(10.0, None, night), None);
    }

    #[test]
    fn it_is_forgotten_when_it_is_over() {
        let mut sight = Sight::default();
        for n in 0..40 {
            look(&mut sight, (&Luma(vec![0; 4096]), 0), || n, Mono(n * 100_000_000), None);
        }
        assert_eq!(sight.fault, Some(SightFault::Blocked));
        look(&mut sight, (&road(1), 1), || 99, Mono(41 * 100_000_000), None);
        assert_eq!(sight.fault, None);
    }

    #[test]
    fn a_road_overhead_hangs_upside_down() {
        let mask = |above: bool| Mask::encode(64, 36, |_, y| (y < 15) == above);
        let mut sight = Sight::default();
        for n in 0..4 {
            assert_eq!(sight.fault, None);
            take_road(&mut sight, &mask(true), Mono(n));
        }
        assert_eq!(sight.fault, Some(SightFault::UpsideDown));
        take_road(&mut sight, &mask(false), Mono(9));
        assert_eq!(sight.fault, None);
        // No road says nothing.
        take_road(&mut sight, &Mask::default(), Mono(10));
        assert_eq!(sight.overhead, 0);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_judged(pixels in prop::collection::vec(any::<u8>(), 0..200), runs in prop::collection::vec(any::<u32>(), 0..9), width: u32, height: u32) {
            let mut sight = Sight::default();
            look(&mut sight, (&Luma(pixels), 1), || 0, Mono(5), Some(f32::NAN));
            take_road(&mut sight, &Mask { width, height, runs }, Mono(6));
        }
    }
}
