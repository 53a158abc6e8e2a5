//! `waywarden init`: a commented config for this computer.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::access;
use crate::config::{Config, DEFAULT_TOML};
use crate::failure::Failure;

mod certificate;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A config with every key explained, for the devices that are found:
    waywarden init

  With a certificate for the operator's page, by the names and addresses under which it will be called, and tokens:
    waywarden init --certificate car-7.local 192.168.4.1 --tokens /var/lib/waywarden/tokens.toml

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

    /// Makes a certificate for these names and addresses of this computer as well, signed by itself, with its key, and has the
    /// config name both. Then others may be let in: http.listen.
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with = "unit")]
    pub certificate: Vec<String>,

    /// Makes tokens for the operator and for an agent as well, in this file; without it, the first start makes them.
    #[arg(long, value_name = "FILE", conflicts_with = "unit")]
    pub tokens: Option<PathBuf>,

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
    let mut text = config(found.as_ref().and_then(|found| found.toml.as_deref()))?;
    // Nothing is made beside a config that is there and stays.
    if !args.force && args.out.exists() {
        return Err(is_there(&args.out));
    }
    let hosts: Result<Vec<_>, _> = args.certificate.iter().map(|name| certificate::host(name)).collect();
    if !args.certificate.is_empty() {
        set(&mut text, "allowed_hosts = []", hosts?)?;
        let (cert, key) = certificate::paths(&args.out)?;
        set(&mut text, "tls_cert = \"\"", cert.to_string_lossy().as_ref())?;
        set(&mut text, "tls_key = \"\"", key.to_string_lossy().as_ref())?;
    }
    if let Some(tokens) = &args.tokens {
        let tokens = std::path::absolute(tokens)?;
        set(&mut text, "tokens_file = \"\"", tokens.to_string_lossy().as_ref())?;
        Config::from_toml(&text, "the config for this computer")?;
        access::make(&tokens)
            .map_err(|error| Failure::bad_input(format!("--tokens: {}: {error}", tokens.display())))?;
    }
    Config::from_toml(&text, "the config for this computer")?;
    let made = match args.certificate.as_slice() {
        [] => None,
        names => Some(certificate::make(names, &args.out, args.force)?),
    };
    write(&args.out, &text, args.force)?;
    let path = args.out.display().to_string();
    let what = found.map_or_else(|| "no devices".to_owned(), |found| found.what);
    if args.json {
        let mut said = json!({ "ok": true, "file": path, "devices": what });
        if let Some(made) = &made {
            said["certificate"] = json!({ "file": made.cert, "sha256": made.fingerprint });
        }
        writeln!(out, "{said}")?;
        return Ok(());
    }
    writeln!(out, "{path}: {what}\n")?;
    if let Some(made) = &made {
        writeln!(out, "Certificate:                {}, its key beside it", made.cert.display())?;
        writeln!(out, "Its SHA-256 fingerprint, by which you know it in a browser:\n  {}\n", made.fingerprint)?;
    }
    if let Some(tokens) = &args.tokens {
        writeln!(out, "Tokens:                     {}", tokens.display())?;
    }
    writeln!(out, "Check what it amounts to:   waywarden check --config {path}")?;
    writeln!(out, "Drive with it:              waywarden run --config {path} --record sessions")?;
    Ok(())
}

/// Gives a key of the config a value in place of its default, which stands in a line of its own.
fn set(text: &mut String, line: &str, value: impl Into<toml::Value>) -> Result<(), Failure> {
    let line = format!("\n{line}\n");
    let key = line.split('=').next().unwrap_or_default();
    if !text.contains(&line) {
        return Err(Failure::running(format!("the commented config has no line `{}`", line.trim())));
    }
    *text = text.replacen(&line, &format!("{key}= {}\n", value.into()), 1);
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
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(error) => Err(Failure::bad_input(format!("{} cannot be written: {error}", path.display()))
            .hint("name a file in a folder that is there and yours with -o")),
    }
}

fn is_there(path: &Path) -> Failure {
    Failure::bad_input(format!("{} is there already", path.display()))
        .hint("--force replaces it; -o names another file")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::command::check;
    use crate::failure::Code;

    fn args(out: PathBuf, force: bool) -> InitArgs {
        InitArgs { out, force, certificate: Vec::new(), tokens: None, unit: false, json: false }
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
    fn a_certificate_and_tokens_are_made_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.toml");
        let mut args = args(path.clone(), false);
        args.certificate = vec!["car-7.local".into(), "192.168.4.1".into()];
        args.tokens = Some(folder.path().join("tokens.toml"));
        let said = init(&args).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.http.allowed_hosts, args.certificate);
        assert_eq!(PathBuf::from(&config.http.tokens_file), folder.path().join("tokens.toml"));
        let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&config.http.tls_key), mode(&config.http.tokens_file)), (0o600, 0o600));
        // Others may be let in with it by one line.
        let open = fs::read_to_string(&path).unwrap().replace("listen = \"127.0.0.1:9180\"", "listen = \"0.0.0.0:0\"");
        let http = Config::from_toml(&open, "test").unwrap().http;
        assert!(!http.is_loopback());
        crate::http::Server::new(&http, access::Access::read(&http).unwrap()).unwrap();
        let print = said.lines().map(str::trim).find(|line| line.matches(':').count() == 31);
        assert!(print.is_some_and(|print| print.len() == 95), "{said}");
        // A key that is there is not replaced by chance.
        let failure = init(&args).unwrap_err();
        assert!(failure.to_string().contains("is there already"), "{failure}");
        fs::remove_file(&path).unwrap();
        let failure = init(&args).unwrap_err();
        assert!(failure.to_string().contains("waywarden-key.pem"), "{failure}");
        args.force = true;
        init(&args).unwrap();
        args.certificate = vec!["no name".into()];
        assert!(init(&args).is_err());
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
