//! `waywarden devices`: what there is to see, hear and locate with.

use std::io::Write;

use serde_json::json;
use waywarden_systems::camera::listing::{CameraListing, cameras};
use waywarden_systems::serial::listing::{SerialListing, serial_ports};
use waywarden_systems::sound::listing::{SoundListing, microphones, speakers};

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

/// Lists the devices of this computer.
///
/// # Errors
/// When that cannot be written.
pub fn run(args: &DevicesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (cameras, serial) = (cameras(), serial_ports());
    let (microphones, speakers) = (microphones(), speakers());
    if args.json {
        let listing = json!({
            "ok": true, "cameras": cameras, "microphones": microphones, "speakers": speakers, "serial_ports": serial,
        });
        writeln!(out, "{listing}")?;
        return Ok(());
    }
    section(out, "Cameras", &cameras, camera)?;
    section(out, "Microphones", &microphones, |device| sound("microphone", device))?;
    section(out, "Loudspeakers", &speakers, |device| sound("speaker", device))?;
    section(out, "Serial ports", &serial, serial_port)?;
    writeln!(out, "Try those of a config:   waywarden doctor --config FILE")?;
    Ok(())
}

fn section<T>(
    out: &mut dyn Write,
    title: &str,
    devices: &[T],
    lines: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    writeln!(out, "{title}")?;
    if devices.is_empty() {
        writeln!(out, "  none")?;
    }
    for device in devices {
        for (n, line) in lines(device).iter().enumerate() {
            writeln!(out, "{}{line}", if n == 0 { "  " } else { "      " })?;
        }
    }
    writeln!(out)?;
    Ok(())
}

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

fn sound(kind: &str, device: &SoundListing) -> Vec<String> {
    let key = if kind == "speaker" { "device" } else { "source" };
    let mut lines = vec![device.name.clone(), format!("{key} = \"{}\"", device.address)];
    lines.extend(device.taken.clone());
    if !device.problem.is_empty() {
        lines.push(device.problem.clone());
    }
    lines
}

fn serial_port(port: &SerialListing) -> Vec<String> {
    let path = port.path.display().to_string();
    let address = port.by_id.clone().unwrap_or_else(|| path.clone());
    vec![format!("{path}: {}", port.what), format!("source = \"{address}\"")]
}
