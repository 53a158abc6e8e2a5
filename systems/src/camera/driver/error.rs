//! What went wrong with a camera, in words that a person can act on.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nokhwa::NokhwaError;

use crate::supervisor::DriverError;

/// What it means that a camera would not do something ("to be opened").
pub fn explain(camera: &Path, what: &str, error: &io::Error) -> DriverError {
    words(camera, what, error.raw_os_error(), &error.to_string())
}

/// The same for an error of nokhwa, which has the system's error at most in its text.
pub(super) fn explain_nokhwa(camera: &Path, what: &str, error: &NokhwaError) -> DriverError {
    let text = error.to_string();
    words(camera, what, os_error(&text), &text)
}

fn words(camera: &Path, what: &str, number: Option<i32>, text: &str) -> DriverError {
    let camera = camera.display();
    let failed = |words: String| DriverError::Failed(format!("{camera} refuses {what}: {words}"));
    match number.map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => {
            DriverError::Absent(format!("{camera} is not there: is it plugged in?"))
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            failed("not permitted; may this user use it? Add it to the group `video`".to_owned())
        }
        Some(Errno::EBUSY) => failed(format!("another program uses it; `fuser -v {camera}` names it")),
        Some(Errno::ENOSPC) => failed(
            "the USB bus has no room left; take mjpeg, a smaller picture, fewer frames, or another USB port".to_owned(),
        ),
        Some(Errno::EINVAL) => {
            failed("it cannot do so (EINVAL); see `waywarden devices` for what it has, or plug it in anew".to_owned())
        }
        Some(Errno::ENOTTY) => failed("it is not a camera".to_owned()),
        Some(Errno::EIO | Errno::EPROTO | Errno::EPIPE | Errno::ETIMEDOUT) => {
            failed(format!("{text}; check its cable and power, or plug it in anew"))
        }
        _ => failed(text.to_owned()),
    }
}

/// The number in the text of a system error: `No such device (os error 19)`.
fn os_error(text: &str) -> Option<i32> {
    text.split_once("(os error ")?.1.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_absent_and_the_rest_says_what_to_do() {
        let camera = Path::new("/dev/video0");
        let of = |number: Errno| explain(camera, "to be opened", &io::Error::from_raw_os_error(number as i32));
        for gone in [Errno::ENODEV, Errno::ENOENT, Errno::ENXIO] {
            assert!(matches!(of(gone), DriverError::Absent(text) if text.contains("plugged in")), "{gone}");
        }
        for (number, hint) in [
            (Errno::EACCES, "group `video`"),
            (Errno::EBUSY, "fuser -v /dev/video0"),
            (Errno::ENOSPC, "USB"),
            (Errno::EINVAL, "waywarden devices"),
            (Errno::EIO, "cable"),
            (Errno::ENOMEM, "/dev/video0 refuses to be opened"),
        ] {
            assert!(matches!(of(number), DriverError::Failed(text) if text.contains(hint)), "{number}");
        }
    }

    #[test]
    fn the_numbers_of_system_errors_are_read_from_texts() {
        let gone = NokhwaError::ReadFrameError(io::Error::from_raw_os_error(Errno::ENODEV as i32).to_string());
        assert!(matches!(explain_nokhwa(Path::new("/dev/video0"), "to be set", &gone), DriverError::Absent(_)));
        let rejected = NokhwaError::OpenStreamError("Rejected".to_owned());
        assert!(matches!(explain_nokhwa(Path::new("x"), "to be set", &rejected), DriverError::Failed(_)));
        for (text, number) in [("a (os error 5)", Some(5)), ("(os error x)", None), ("(os error 5", None), ("", None)] {
            assert_eq!(os_error(text), number);
        }
    }
}
