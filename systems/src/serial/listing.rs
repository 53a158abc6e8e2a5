//! Serial ports that are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::address::BY_ID;

/// A serial port, and what may be behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SerialListing {
    /// Its file: `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// Its name under `/dev/serial/by-id`, which stays the same whatever is plugged in first.
    pub by_id: Option<String>,
    /// What its adapter says of itself, if it is on USB.
    pub usb: Option<UsbIdentity>,
    /// What it may be, for people.
    pub what: String,
}

/// What a device on USB says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsbIdentity {
    /// Its maker's number.
    pub vendor_id: u16,
    /// Its number among its maker's.
    pub product_id: u16,
    /// Its maker.
    pub manufacturer: Option<String>,
    /// What it is.
    pub product: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
}

/// The serial ports of this computer, in order of their paths, as the kernel lists them. It opens none.
pub fn serial_ports() -> Vec<SerialListing> {
    list(Path::new("/sys/class/tty"), Path::new("/dev"), Path::new(BY_ID))
}

fn list(class: &Path, dev: &Path, by_id: &Path) -> Vec<SerialListing> {
    let names: BTreeMap<PathBuf, String> = entries(by_id)
        .filter_map(|link| Some((link.canonicalize().ok()?, link.file_name()?.to_str()?.to_owned())))
        .collect();
    let mut found: Vec<_> = entries(class)
        // Consoles and ptys have no device behind them.
        .filter_map(|tty| Some((tty.join("device").canonicalize().ok()?, tty)))
        // A place on the board for a chip that is not there.
        .filter(|(_, tty)| read(&tty.join("type")).as_deref() != Some("0"))
        .filter_map(|(device, tty)| {
            let name = tty.file_name()?;
            let path = dev.join(name);
            let usb = usb_above(&device);
            let what = what_may_be(&name.to_string_lossy(), usb.as_ref());
            let by_id = path.canonicalize().ok().and_then(|path| names.get(&path).cloned());
            Some(SerialListing { path, by_id, usb, what })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // It is shown on terminals, and a device may say anything.
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(128).collect();
    (!text.is_empty()).then_some(text)
}

/// What the USB device says to which this one belongs, if any: it is the next above with a maker's number.
fn usb_above(device: &Path) -> Option<UsbIdentity> {
    device.ancestors().take(8).find_map(|folder| {
        let number = |name: &str| u16::from_str_radix(&read(&folder.join(name))?, 16).ok();
        Some(UsbIdentity {
            vendor_id: number("idVendor")?,
            product_id: number("idProduct")?,
            manufacturer: read(&folder.join("manufacturer")),
            product: read(&folder.join("product")),
            serial: read(&folder.join("serial")),
        })
    })
}

/// Words by which receivers call themselves.
const RECEIVERS: [&str; 6] = ["gps", "gnss", "u-blox", "glonass", "galileo", "navigation"];

fn what_may_be(name: &str, usb: Option<&UsbIdentity>) -> String {
    let Some(usb) = usb else {
        return match name {
            name if name.starts_with("rfcomm") => "a Bluetooth connection: often a receiver",
            _ => "a port on the board: a receiver or range finder may be wired to it",
        }
        .to_owned();
    };
    let says =
        [&usb.manufacturer, &usb.product].into_iter().flatten().fold(String::new(), |all, text| all + text + " ");
    let says = says.to_lowercase();
    // Numbers as usb.ids has them.
    match (usb.vendor_id, usb.product_id) {
        (0x1546, _) => "a satellite receiver by u-blox",
        (0x091e, _) => "a satellite receiver by Garmin",
        _ if RECEIVERS.iter().any(|word| says.contains(word)) => "a satellite receiver",
        (0x067b, _) => "a PL2303 adapter: often a satellite receiver or a range finder",
        (0x10c4, 0xea60..=0xea71) => "a CP210x adapter: often a satellite receiver or a range finder",
        (0x1a86, _) => "a CH340 adapter: often a range finder",
        (0x0403, _) => "an FTDI adapter",
        (0x2341 | 0x2a03, _) => "an Arduino: perhaps a range finder",
        (0x12d1 | 0x1199 | 0x2c7c | 0x1e0e, _) => "a mobile network modem: one of its ports may speak NMEA",
        _ => "a USB serial device",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A computer with a receiver on USB, a port on the board, a place for one that is not there, and a console.
    #[test]
    fn ports_are_listed_with_their_lasting_names() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let usb = "sys/devices/usb1/1-2";
        write(&at(&format!("{usb}/idVendor")), "067b\n");
        write(&at(&format!("{usb}/idProduct")), "2303\n");
        write(&at(&format!("{usb}/manufacturer")), "Prolific\u{1b}[31m Technology\n");
        fs::create_dir_all(at(&format!("{usb}/1-2:1.0/ttyUSB0/tty/ttyUSB0"))).unwrap();
        symlink(at(&format!("{usb}/1-2:1.0/ttyUSB0")), at(&format!("{usb}/1-2:1.0/ttyUSB0/tty/ttyUSB0/device")))
            .unwrap();
        fs::create_dir_all(at("sys/class/tty/tty0")).unwrap();
        symlink(at(&format!("{usb}/1-2:1.0/ttyUSB0/tty/ttyUSB0")), at("sys/class/tty/ttyUSB0")).unwrap();
        for (name, kind) in [("ttyS0", "4\n"), ("ttyS1", "0\n")] {
            fs::create_dir_all(at(&format!("sys/devices/{name}"))).unwrap();
            write(&at(&format!("sys/class/tty/{name}/type")), kind);
            symlink(at(&format!("sys/devices/{name}")), at(&format!("sys/class/tty/{name}/device"))).unwrap();
        }
        write(&at("dev/ttyUSB0"), "");
        fs::create_dir_all(at("dev/serial/by-id")).unwrap();
        symlink("../../ttyUSB0", at("dev/serial/by-id/usb-Prolific-if00")).unwrap();

        let found = list(&at("sys/class/tty"), &at("dev"), &at("dev/serial/by-id"));
        let [board, receiver] = &found[..] else { panic!("{found:?}") };
        assert_eq!((board.path.clone(), &board.usb, &board.by_id), (at("dev/ttyS0"), &None, &None));
        assert_eq!(receiver.path, at("dev/ttyUSB0"));
        assert_eq!(receiver.by_id.as_deref(), Some("usb-Prolific-if00"));
        let usb = receiver.usb.clone().unwrap();
        assert_eq!((usb.vendor_id, usb.product_id), (0x067b, 0x2303));
        assert_eq!(usb.manufacturer.as_deref(), Some("Prolific[31m Technology"));
        assert!(receiver.what.contains("PL2303"), "{receiver:?}");
        assert!(serde_json::to_string(&found).unwrap().contains("usb-Prolific-if00"));
    }

    #[test]
    fn a_computer_without_any_has_none() {
        assert_eq!(list(Path::new("/nonexistent"), Path::new("/dev"), Path::new("/nonexistent")), []);
        let _ = serial_ports();
    }
}
