//! `waywarden init`: a commented config for this computer.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::config::{Config, DEFAULT_TOML};
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A config with every key explained, for the devices that are found:
    waywarden init

  Under another name, in place of what is there:
    waywarden init -o /etc/waywarden.toml --force

  The unit for systemd, which explains itself:
    waywarden init --unit > /etc/systemd/system/waywarden.service";

/// What `init` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// The config to write.
    #[arg(short, long, value_name = "FILE", default_value = "waywarden.toml")]
    pub out: PathBuf,

    /// Replaces a file that is there.
    #[arg(long)]
    pub force: bool,

    /// Prints a unit for systemd instead, and writes no config.
    #[arg(long)]
    pub unit: bool,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The unit for systemd.
const UNIT: &str = include_str!("../../assets/waywarden.service");

/// The first line of what stands above the devices in the commented config, and of what stands below them.
const DEVICES: &str = "# A camera. At most 16.";
const BEHIND_DEVICES: &str = "# A model of your own,";

/// Devices for a config.
struct Found {
    /// What they are, for a person.
    what: String,
    /// Their part of the config: commented TOML with `[[camera]]` and its like, in place of that of the default. None
    /// leaves that.
    toml: Option<String>,
}

/// Looks for devices of one sort; none when there are none.
type Search = fn() -> Option<Found>;

/// The searches, the best first. The first one that finds something counts: simulated devices are always found.
const SEARCHES: [Search; 2] = [real, simulated];

/// Devices of this computer: its cameras, and its serial ports, of which nobody knows what is at the other end.
fn real() -> Option<Found> {
    #[cfg(feature = "camera")]
    let cameras: Vec<(String, String)> = waywarden_systems::camera::listing::cameras()
        .into_iter()
        .filter(|camera| camera.formats.iter().any(|format| format.usable))
        .map(|camera| (camera.by_id.unwrap_or(camera.path), camera.name))
        .collect();
    #[cfg(not(feature = "camera"))]
    let cameras = Vec::new();
    #[cfg(feature = "serial")]
    let ports: Vec<(String, String)> = waywarden_systems::serial::serial_ports()
        .into_iter()
        .filter(|port| port.usb.is_some())
        .map(|port| (port.by_id.unwrap_or_else(|| port.path.display().to_string()), port.what))
        .collect();
    #[cfg(not(feature = "serial"))]
    let ports = Vec::new();
    found(&cameras, &ports)
}

/// The config of cameras and serial ports, given as address and description. What is not there is not simulated beside
/// what is: nobody is to take an invented position for a real one.
fn found(cameras: &[(String, String)], ports: &[(String, String)]) -> Option<Found> {
    use std::fmt::Write;
    if cameras.is_empty() && ports.is_empty() {
        return None;
    }
    let mut toml = String::from(
        "# What was found on this computer (`waywarden devices`). See `waywarden check --print-default` for every key.\n",
    );
    toml.push_str("gps = []\nrange = []\n");
    if cameras.is_empty() {
        toml.push_str("camera = []\n");
    }
    for (n, (address, name)) in cameras.iter().take(16).enumerate() {
        let (stream, role) = if n == 0 { ("front".to_owned(), "front") } else { (format!("camera-{}", n + 1), "rear") };
        let address = toml::Value::from(address.as_str());
        let name = name.escape_default();
        let _ = write!(toml, "\n# {name}\n[[camera]]\nname = \"{stream}\"\nrole = \"{role}\"\nsource = {address}\n");
    }
    for (address, what) in ports {
        let (address, what) = (toml::Value::from(address.as_str()), what.escape_default());
        let _ = write!(
            toml,
            "\n# {what}: take away the marks, and `gps = []` or `range = []` above, if it is one.\n\
             #[[gps]]\n#source = {address}\n#[[range]]\n#source = {address}\n"
        );
    }
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let what = format!("{}, {}", plural(cameras.len(), "camera"), plural(ports.len(), "serial port"));
    Some(Found { what, toml: Some(toml) })
}

/// Simulated devices, as in the commented default config.
fn simulated() -> Option<Found> {
    Some(Found { what: "simulated devices: no others were found".to_owned(), toml: None })
}

/// Writes the config, and prints to `out` what is in it.
///
/// # Errors
///
/// When the file is there already and is not to be replaced, or cannot be written.
pub fn run(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    run_with(args, &SEARCHES, out)
}

fn run_with(args: &InitArgs, searches: &[Search], out: &mut dyn Write) -> Result<(), Failure> {
    if args.unit {
        write!(out, "{UNIT}")?;
        return Ok(());
    }
    let found = searches.iter().find_map(|search| search());
    let text = config(found.as_ref().and_then(|found| found.toml.as_deref()))?;
    write(&args.out, &text, args.force)?;
    let path = args.out.display().to_string();
    let what = found.map_or_else(|| "no devices".to_owned(), |found| found.what);
    if args.json {
        writeln!(out, "{}", json!({ "ok": true, "file": path, "devices": what }))?;
        return Ok(());
    }
    writeln!(out, "{path}: {what}\n")?;
    writeln!(out, "Check what it amounts to:   waywarden check --config {path}")?;
    writeln!(out, "Drive with it:              waywarden run --config {path} --record sessions")?;
    Ok(())
}

/// The commented config with these devices. It is a config, whatever a search has found.
fn config(devices: Option<&str>) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::running(format!("the commented config has no line `{what}`"));
    let text = match devices {
        None => DEFAULT_TOML.to_owned(),
        Some(devices) => {
            let (above, rest) = DEFAULT_TOML.split_once(DEVICES).ok_or_else(|| wrong(DEVICES))?;
            let (_, below) = rest.split_once(BEHIND_DEVICES).ok_or_else(|| wrong(BEHIND_DEVICES))?;
            format!("{above}{}\n\n{BEHIND_DEVICES}{below}", devices.trim_end())
        }
    };
    Config::from_toml(&text, "the config for this computer")?;
    Ok(text)
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Without --force the file must be new: asked of the system, so that nobody comes between.
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    match options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::bad_input(format!("{} is there already", path.display()))
                .hint("--force replaces it; -o names another file"))
        }
        Err(error) => Err(Failure::bad_input(format!("{} cannot be written: {error}", path.display()))
            .hint("name a file in a folder that is there and yours with -o")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::check;
    use crate::failure::Code;

    fn args(out: PathBuf, force: bool) -> InitArgs {
        InitArgs { out, force, unit: false, json: false }
    }

    fn init(args: &InitArgs) -> Result<String, Failure> {
        let mut out = Vec::new();
        // Whatever this computer has.
        run_with(args, &[simulated], &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_written_is_a_config_with_every_key_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.toml");
        let said = init(&args(path.clone(), false)).unwrap();
        assert!(said.contains("simulated devices") && said.contains("waywarden check --config"), "{said}");
        let args = check::CheckArgs { config: Some(path.clone()), print_default: false, json: false };
        check::run(&args, &mut Vec::new()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), DEFAULT_TOML);
    }

    #[test]
    fn a_file_that_is_there_stays_unless_it_is_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, "# mine, and longer than nothing").unwrap();
        let failure = init(&args(path.clone(), false)).unwrap_err();
        assert_eq!(failure.code, Code::BadInput);
        assert!(failure.to_string().contains("is there already"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "# mine, and longer than nothing");
        init(&args(path.clone(), true)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), DEFAULT_TOML);
        let failure = init(&args(folder.path().join("gone/new.toml"), false)).unwrap_err();
        assert!(failure.to_string().contains("cannot be written"), "{failure}");
    }

    #[test]
    fn nothing_is_simulated_beside_real_devices() {
        let camera = ("/dev/v4l/by-id/usb-\"odd\"".to_owned(), "a camera\n[tick]".to_owned());
        let port = ("/dev/ttyUSB0".to_owned(), "u-blox 7".to_owned());
        for (cameras, ports, names) in [
            (vec![camera.clone(), camera.clone()], vec![port.clone()], vec!["front", "camera-2"]),
            (vec![camera], vec![], vec!["front"]),
            (vec![], vec![port], vec![]),
        ] {
            let text = config(found(&cameras, &ports).unwrap().toml.as_deref()).unwrap();
            assert_eq!(Config::from_toml(&text, "test").unwrap().names().collect::<Vec<_>>(), names);
        }
        assert!(found(&[], &[]).is_none());
    }

    #[test]
    fn the_unit_is_printed_and_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new.toml");
        let said = init(&InitArgs { unit: true, ..args(out.clone(), false) }).unwrap();
        assert!(said.contains("Type=notify") && said.contains("WatchdogSec=") && !out.exists());
    }

    /// A search that finds real devices gives the same config with those in it.
    #[test]
    fn devices_that_are_found_take_the_place_of_the_default_ones() {
        let text = config(Some("# Found on this computer.\n[[camera]]\nname = \"windscreen\"\n")).unwrap();
        let config = Config::from_toml(&text, "test").unwrap();
        assert_eq!(config.names().collect::<Vec<_>>(), ["windscreen", "gps", "range"]);
        for key in ["# Found on this computer.", "#[[model]]", "[tick]", "look_ahead_mb = 16"] {
            assert!(text.contains(key), "no `{key}`");
        }
        assert!(!text.contains("At most 16.\n[[camera]]"));
        assert!(super::config(Some("[[camera]]\nwidth = 0\n")).is_err(), "what makes no sense is not written");
    }
}
