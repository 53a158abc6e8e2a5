//! Which moment of a drive a simulated picture shows, written into the picture: a comment of its JPEG, which decoders pass
//! over. So whatever has the picture knows the moment, in a live run, in a replay and behind a gap.

use bytes::Bytes;
use waywarden_components::time::Mono;

/// What the comment begins with; the time in nanoseconds since the drive began follows, in decimal digits.
const WORDS: &[u8] = b"waywarden simulated, ns: ";
/// Digits of the largest time.
const MOST_DIGITS: usize = 20;

/// Where a comment may be put: behind the first two bytes, and behind the JFIF header if there is one.
fn place(jpeg: &[u8]) -> usize {
    match jpeg {
        [_, _, 0xff, 0xe0, high, low, ..] => {
            let behind = 4 + usize::from(u16::from_be_bytes([*high, *low]));
            if behind <= jpeg.len() { behind } else { 2 }
        }
        _ => jpeg.len().min(2),
    }
}

/// The JPEG with the time since the drive began written into it.
pub(super) fn stamp(jpeg: &[u8], at: Mono) -> Bytes {
    let words = [WORDS, at.0.to_string().as_bytes()].concat();
    // At most a few dozen bytes, and two for the length itself.
    let length = (words.len() + 2) as u16;
    let (before, behind) = jpeg.split_at(place(jpeg));
    [before, &[0xff, 0xfe], &length.to_be_bytes(), &words, behind].concat().into()
}

/// The time since the drive began of a picture that has been stamped.
pub fn stamped(jpeg: &[u8]) -> Option<Mono> {
    let rest = jpeg.get(place(jpeg)..)?;
    let length = usize::from(u16::from_be_bytes(rest.strip_prefix(&[0xff, 0xfe])?.first_chunk().copied()?));
    let digits = rest.get(4..length.checked_add(2)?)?.strip_prefix(WORDS)?;
    if digits.len() > MOST_DIGITS {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(Mono)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::camera::jpeg::{JpegEncoder, decode_rgb};

    #[test]
    fn a_stamp_is_read_and_changes_no_pixel() {
        let jpeg = JpegEncoder::new().unwrap().rgb(&[90; 3 * 64 * 32], 64, 32).unwrap();
        let with = stamp(&jpeg, Mono(12_345_678_901));
        assert_eq!((stamped(&jpeg), stamped(&with)), (None, Some(Mono(12_345_678_901))));
        assert_eq!(decode_rgb(&jpeg), decode_rgb(&with));
        assert_eq!(with[..20], jpeg[..20], "the JFIF header stays first");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 2..80), at: u64) {
            let _ = stamped(&bytes);
            prop_assert_eq!(stamped(&stamp(&bytes, Mono(at))), Some(Mono(at)));
        }
    }
}
