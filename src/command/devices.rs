//! `waywarden devices`: what there is to see, hear and locate with.

use std::io::Write;

use serde_json::{Value, json};
#[cfg(feature = "camera")]
use waywarden_systems::camera::listing::{CameraListing, cameras};
#[cfg(feature = "serial")]
use waywarden_systems::serial::{SerialListing, serial_ports};
#[cfg(feature = "sound")]
use waywarden_systems::sound::{SoundListing, microphones, speakers};

use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  What there is, and what to write into the config for it:
    waywarden devices

  The same for a program:
    waywarden devices --json";

/// What `devices` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DevicesArgs {
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Devices of one kind.
struct Kind {
    title: &'static str,
    json: Value,
    /// A few lines for each, the first with its name.
    devices: Vec<Vec<String>>,
}

impl Kind {
    #[cfg(any(feature = "camera", feature = "serial", feature = "sound"))]
    fn new<T: serde::Serialize>(title: &'static str, devices: &[T], lines: impl Fn(&T) -> Vec<String>) -> Self {
        Self { title, json: json!(devices), devices: devices.iter().map(lines).collect() }
    }
}

/// Lists the devices of this computer.
///
/// # Errors
/// When that cannot be written.
pub fn run(args: &DevicesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // None at all in a build that knows of no devices.
    let kinds: Vec<(&str, Kind)> = vec![
        #[cfg(feature = "camera")]
        ("cameras", Kind::new("Cameras", &cameras(), camera)),
        #[cfg(feature = "sound")]
        ("microphones", Kind::new("Microphones", &microphones(), |device| sound("source", device))),
        #[cfg(feature = "sound")]
        ("speakers", Kind::new("Loudspeakers", &speakers(), |device| sound("device", device))),
        #[cfg(feature = "serial")]
        ("serial_ports", Kind::new("Serial ports", &serial_ports(), serial_port)),
    ];
    if args.json {
        let mut listing = json!({ "ok": true });
        kinds.into_iter().for_each(|(name, kind)| listing[name] = kind.json);
        writeln!(out, "{listing}")?;
        return Ok(());
    }
    for (_, Kind { title, devices, .. }) in kinds {
        writeln!(out, "{title}")?;
        if devices.is_empty() {
            writeln!(out, "  none")?;
        }
        for lines in devices {
            for (n, line) in lines.iter().enumerate() {
                writeln!(out, "{}{line}", if n == 0 { "  " } else { "      " })?;
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "Try those of a config:   waywarden doctor --config FILE")?;
    Ok(())
}

#[cfg(feature = "camera")]
fn camera(camera: &CameraListing) -> Vec<String> {
    let address = camera.by_id.as_deref().unwrap_or(&camera.path);
    let mut lines =
        vec![format!("{}: {} ({})", camera.path, camera.name, camera.bus), format!("source = \"{address}\"")];
    for format in camera.formats.iter().filter(|format| format.usable) {
        let sizes: Vec<String> = format
            .sizes
            .iter()
            .map(|size| {
                let up_to = size.up_to.map(|[width, height]| format!(" to {width}x{height}")).unwrap_or_default();
                let fps = size.fps.iter().copied().fold(0.0, f64::max);
                let fps = if fps > 0.0 { format!(" at {fps:.0}") } else { String::new() };
                format!("{}x{}{up_to}{fps}", size.width, size.height)
            })
            .collect();
        lines.push(format!("{}: {}", format.format, sizes.join(", ")));
    }
    lines.extend(camera.problem.clone());
    lines
}

#[cfg(feature = "sound")]
fn sound(key: &str, device: &SoundListing) -> Vec<String> {
    let mut lines = vec![device.name.clone(), format!("{key} = \"{}\"", device.address)];
    lines.extend(device.taken.clone());
    if !device.problem.is_empty() {
        lines.push(device.problem.clone());
    }
    lines
}

#[cfg(feature = "serial")]
fn serial_port(port: &SerialListing) -> Vec<String> {
    let path = port.path.display().to_string();
    let address = port.by_id.clone().unwrap_or_else(|| path.clone());
    vec![format!("{path}: {}", port.what), format!("source = \"{address}\"")]
}
