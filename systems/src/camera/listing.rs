//! The cameras of this computer, and what they have.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use v4l::Device;
use v4l::capability::Flags as Can;

use super::driver::{Offer, PictureFormat, Rates, Sizes, explain, names, offers, rates};

/// A camera of this computer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CameraListing {
    /// Its device node, which may be another one tomorrow.
    pub path: String,
    /// The name under /dev/v4l/by-id, else under by-path, that stays its own. None where udev gives it none.
    pub by_id: Option<String>,
    /// What it calls itself.
    pub name: String,
    /// Where it is plugged in.
    pub bus: String,
    /// What it has, in its own order. Nothing: it has no pictures to give, as a loopback that nobody feeds.
    pub formats: Vec<FormatListing>,
    /// Why it could not be asked, and what to do about it.
    pub problem: Option<String>,
}

/// A format that a camera has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FormatListing {
    /// As it is called in the config; one that is not known here by V4L2's code.
    pub format: String,
    /// Whether it can be used here.
    pub usable: bool,
    /// The sizes of its pictures.
    pub sizes: Vec<SizeListing>,
}

/// A size of pictures, or a range of sizes, that a camera has in a format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeListing {
    /// Width in pixels; the smallest of a range.
    pub width: u32,
    /// Height in pixels; the smallest of a range.
    pub height: u32,
    /// Of a range the largest width and height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<[u32; 2]>,
    /// Pictures a second, the highest first; of a range of rates the highest and the lowest. Those of a range of sizes are
    /// its largest one's. Empty where the driver does not say.
    pub fps: Vec<f64>,
}

/// The cameras of this computer, in order of their numbers. Nodes that give no pictures are left out. A camera that is
/// in use can be asked all the same.
pub fn cameras() -> Vec<CameraListing> {
    let dev = Path::new("/dev");
    let names = names(dev);
    nodes(dev).into_iter().filter_map(|node| camera(&node, &names)).collect()
}

/// Device nodes of what may be a camera, in order of their numbers.
fn nodes(dev: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dev).into_iter().flatten().flatten();
    let mut nodes: Vec<_> =
        entries.filter_map(|entry| Some((super::driver::number(&entry.path())?, entry.path()))).collect();
    nodes.sort_unstable();
    nodes.into_iter().map(|(_, path)| path).collect()
}

fn camera(node: &Path, names: &[(String, PathBuf)]) -> Option<CameraListing> {
    let mut listing = CameraListing {
        path: node.display().to_string(),
        by_id: names.iter().find(|(_, path)| path == node).map(|(name, _)| name.clone()),
        name: sysfs_name(node).unwrap_or_default(),
        ..CameraListing::default()
    };
    // The library panics where a name is no UTF-8, as one that was cut at 31 bytes may be.
    match catch_unwind(AssertUnwindSafe(|| ask(node))) {
        Ok(Ok(Some((bus, formats)))) => (listing.bus, listing.formats) = (bus, formats),
        Ok(Ok(None)) => return None,
        Ok(Err(error)) => listing.problem = Some(explain(node, "to be opened", &error).to_string()),
        Err(_) => listing.problem = Some("its name cannot be read: it is not supported".to_owned()),
    }
    Some(listing)
}

/// Where a camera is plugged in, and what it has; None when it is something else.
fn ask(node: &Path) -> std::io::Result<Option<(String, Vec<FormatListing>)>> {
    let device = Device::with_path(node)?;
    let caps = device.query_caps()?;
    // A loopback that nobody feeds is one that can be fed.
    if !caps.capabilities.intersects(Can::VIDEO_CAPTURE | Can::VIDEO_OUTPUT) {
        return Ok(None);
    }
    let listed = offers(&device).iter().map(|offer| listed(offer, |size| rates(&device, offer.fourcc, size))).collect();
    Ok(Some((caps.bus, listed)))
}

fn listed(offer: &Offer, rates: impl Fn([u32; 2]) -> Rates) -> FormatListing {
    let known = PictureFormat::from_fourcc(offer.fourcc);
    let code = String::from_utf8_lossy(&offer.fourcc);
    let size = |sizes: &Sizes| {
        let (least, most) = match *sizes {
            Sizes::One(size) => (size, None),
            Sizes::Range { least, most, .. } => (least, Some(most)),
        };
        let fps = match rates(most.unwrap_or(least)) {
            Rates::These(these) => these,
            Rates::Between(least, most) => vec![most, least],
        };
        SizeListing { width: least[0], height: least[1], up_to: most, fps }
    };
    FormatListing {
        format: known.map_or_else(|| code.trim().to_owned(), |format| format.name().to_owned()),
        usable: known.is_some(),
        sizes: offer.sizes.iter().map(size).collect(),
    }
}

fn sysfs_name(node: &Path) -> Option<String> {
    let name = std::fs::read(Path::new("/sys/class/video4linux").join(node.file_name()?).join("name")).ok()?;
    Some(String::from_utf8_lossy(&name).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_in_order_of_their_numbers_and_others_are_left_out() {
        let dev = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "video", "videos", "video2x", "null", "video99999999999"] {
            std::fs::write(dev.path().join(name), "").unwrap();
        }
        assert_eq!(nodes(dev.path()), ["video2", "video10"].map(|name| dev.path().join(name)));
    }

    #[test]
    fn what_cannot_be_asked_is_listed_with_the_reason() {
        let dev = tempfile::tempdir().unwrap();
        let node = dev.path().join("video7");
        std::fs::write(&node, "").unwrap();
        let listing = camera(&node, &[("usb-cam".to_owned(), node.clone())]).unwrap();
        assert_eq!(listing.by_id.as_deref(), Some("usb-cam"));
        assert!(listing.problem.unwrap().contains("is not a camera") && listing.formats.is_empty());
    }

    #[test]
    fn the_cameras_of_this_computer_can_be_asked() {
        let cameras = cameras();
        for camera in &cameras {
            println!("{}", serde_json::to_string_pretty(camera).unwrap());
            assert!(!camera.path.is_empty());
        }
        if cameras.is_empty() {
            println!("skipped: there are no cameras");
        }
    }

    #[test]
    fn formats_have_the_names_of_the_config() {
        let range = Sizes::Range { least: [32, 32], most: [640, 480], step: [16, 16] };
        let offer = Offer { fourcc: *b"YUYV", sizes: vec![Sizes::One([1280, 720]), range] };
        let yuyv = listed(&offer, |size| match size {
            [640, 480] => Rates::Between(1.0, 60.0),
            _ => Rates::These(vec![30.0, 7.5]),
        });
        let size = |width, height, up_to, fps| SizeListing { width, height, up_to, fps };
        let sizes = vec![size(1280, 720, None, vec![30.0, 7.5]), size(32, 32, Some([640, 480]), vec![60.0, 1.0])];
        assert_eq!(yuyv, FormatListing { format: "yuyv".to_owned(), usable: true, sizes });
        let other = listed(&Offer { fourcc: *b"Y10 ", sizes: vec![] }, |_| Rates::These(vec![]));
        assert_eq!((other.format.as_str(), other.usable), ("Y10", false));
    }
}
