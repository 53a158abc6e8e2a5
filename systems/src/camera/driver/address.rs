//! Where a camera is.

use std::path::{Path, PathBuf};

use crate::supervisor::DriverError;

/// Where udev gives cameras names that stay.
const NAMES: [&str; 2] = ["v4l/by-id", "v4l/by-path"];

/// The device node of a camera below `dev` (`/dev`), given by number, path or name, and its number.
///
/// # Errors
/// [`DriverError::Absent`] when there is none, [`DriverError::Failed`] when it is something else.
pub fn find(dev: &Path, address: &str) -> Result<(PathBuf, u32), DriverError> {
    let candidates = if !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit()) {
        vec![dev.join(format!("video{address}"))]
    } else if address.starts_with('/') {
        vec![PathBuf::from(address)]
    } else if address.is_empty() || address.contains('/') {
        let words = "is neither the number (\"0\"), the path (\"/dev/video0\") nor the name of a camera";
        return Err(DriverError::Failed(format!("{address:?} {words}: see `waywarden devices`")));
    } else {
        NAMES.iter().map(|names| dev.join(names).join(address)).collect()
    };
    let Some(path) = candidates.iter().find_map(|path| path.canonicalize().ok()) else {
        let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        return Err(DriverError::Absent(format!("there is no {}: is it plugged in?", tried.join(" or "))));
    };
    match number(&path) {
        Some(number) => Ok((path, number)),
        None => Err(DriverError::Failed(format!(
            "{} is not a camera: those are called /dev/video0 and so on, see `waywarden devices`",
            path.display()
        ))),
    }
}

/// The number of a device node.
pub fn number(node: &Path) -> Option<u32> {
    let digits = node.file_name()?.to_str()?.strip_prefix("video")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The names below `dev` that stay, each with the device node for which it stands, in order; those by id first.
pub fn names(dev: &Path) -> Vec<(String, PathBuf)> {
    let mut names = Vec::new();
    for folder in NAMES {
        let entries = std::fs::read_dir(dev.join(folder)).into_iter().flatten().flatten();
        let mut here: Vec<_> = entries
            .filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path().canonicalize().ok()?)))
            .collect();
        here.sort_unstable();
        names.extend(here);
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn cameras_are_found_by_number_path_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let dev = folder.path().canonicalize().unwrap();
        for name in ["video0", "video12", "ttyUSB0"] {
            std::fs::write(dev.join(name), "").unwrap();
        }
        for (names, name, target) in [
            ("by-id", "usb-Maker_Cam_12345678-video-index0", "video12"),
            ("by-path", "pci-0000:00:14.0-usb-0:1:1.0-video-index0", "video12"),
            ("by-id", "usb-Gone", "video3"),
        ] {
            std::fs::create_dir_all(dev.join("v4l").join(names)).unwrap();
            symlink(dev.join(target), dev.join("v4l").join(names).join(name)).unwrap();
        }
        let twelve = Ok((dev.join("video12"), 12));
        assert_eq!(find(&dev, "12"), twelve);
        assert_eq!(find(&dev, dev.join("video12").to_str().unwrap()), twelve);
        assert_eq!(find(&dev, "usb-Maker_Cam_12345678-video-index0"), twelve);
        assert_eq!(find(&dev, "pci-0000:00:14.0-usb-0:1:1.0-video-index0"), twelve);
        for absent in ["7", "usb-Gone", "usb-Never", "/dev/no-such-camera"] {
            assert!(matches!(find(&dev, absent), Err(DriverError::Absent(_))), "{absent}");
        }
        for other in [dev.join("ttyUSB0").to_str().unwrap(), "", "../usb-Gone", "by-id/usb-Gone"] {
            assert!(matches!(find(&dev, other), Err(DriverError::Failed(_))), "{other}");
        }
        assert_eq!(names(&dev).first(), Some(&("usb-Maker_Cam_12345678-video-index0".to_owned(), dev.join("video12"))));
        assert_eq!(names(&dev).len(), 2);
    }
}
