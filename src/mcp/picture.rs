//! Pictures for agents: small enough for a message, whatever the camera gives.

use bytes::Bytes;
use waywarden_systems::camera::jpeg::{RgbPicture, decode_rgb_within, encode_rgb};

use super::answers::Unanswered;

/// The largest picture that is handed out, in bytes of JPEG: in base64 a third more.
pub const LARGEST: usize = 384 * 1024;

/// Widths that may be asked for, in pixels, and the usual one.
pub const WIDTHS: (u32, u32) = (64, 1280);
/// See [`WIDTHS`].
pub const USUAL_WIDTH: u32 = 640;

/// Qualities that are tried one after the other, of libjpeg's 1 to 100.
const QUALITIES: [u8; 3] = [80, 60, 40];

/// A picture that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The JPEG.
    pub jpeg: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether it was made smaller than the camera gave it.
    pub scaled: bool,
}

/// Makes a camera's picture no wider than `width`, and no larger than [`LARGEST`]. It is decoded in any case: what is no
/// picture is handed to nobody. Takes some 10 ms, and so belongs on no thread of the network.
///
/// # Errors
/// When it is no JPEG that can be decoded.
pub fn fit(jpeg: &Bytes, width: u32) -> Result<Fitted, Unanswered> {
    let broken = |error| Unanswered(format!("the camera's picture cannot be used: {error}"));
    let whole = decode_rgb_within(jpeg, u32::MAX).map_err(broken)?;
    if whole.width <= width && jpeg.len() <= LARGEST {
        return Ok(Fitted { jpeg: jpeg.clone(), width: whole.width, height: whole.height, scaled: false });
    }
    let mut width = width.min(whole.width);
    loop {
        let small = decode_rgb_within(jpeg, width).map_err(broken)?;
        for quality in QUALITIES {
            let made = encode_rgb(&small, quality).map_err(broken)?;
            if made.len() <= LARGEST {
                let RgbPicture { width, height, .. } = small;
                return Ok(Fitted { jpeg: made, width, height, scaled: true });
            }
        }
        // An eighth is the least that the decoder makes.
        if small.width <= whole.width.div_ceil(8) {
            return Err(Unanswered::because("the camera's picture cannot be made small enough"));
        }
        width = small.width.saturating_sub(1).max(small.width * 3 / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that compresses badly.
    fn noise(width: u32, height: u32) -> Bytes {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let data = (0..3 * width * height).map(|_| next()).collect();
        encode_rgb(&RgbPicture { width, height, data }, 95).unwrap()
    }

    #[test]
    fn small_ones_are_the_cameras_own_and_large_ones_become_small() {
        let small = noise(64, 48);
        assert_eq!(fit(&small, 640).unwrap(), Fitted { jpeg: small, width: 64, height: 48, scaled: false });
        let large = noise(1920, 1080);
        assert!(large.len() > LARGEST);
        for width in [64, 640, 1280] {
            let fitted = fit(&large, width).unwrap();
            assert!(fitted.scaled && fitted.jpeg.len() <= LARGEST, "{width}: {}", fitted.jpeg.len());
            // An eighth of it is the least.
            assert!(fitted.width <= width.max(240), "{width}: {}", fitted.width);
            let seen = decode_rgb_within(&fitted.jpeg, u32::MAX).unwrap();
            assert_eq!((seen.width, seen.height), (fitted.width, fitted.height));
        }
    }

    #[test]
    fn what_is_no_picture_is_handed_to_nobody() {
        for broken in [&b""[..], b"secret", &noise(64, 48)[..200]] {
            assert!(fit(&Bytes::copy_from_slice(broken), 640).is_err());
        }
    }
}
