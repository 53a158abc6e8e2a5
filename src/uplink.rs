//! The broker of a config: what waits for it, the link to it, and their end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use waywarden_components::prelude::*;
use waywarden_systems::commands::parse;
use waywarden_systems::ingress::{Inlet, Wake, channel};
use waywarden_systems::mqtt::link::{BrokerLink, LinkSettings};
use waywarden_systems::mqtt::outbox::Outbox;
use waywarden_systems::mqtt::seen::Seen;
use waywarden_systems::mqtt::spool::{Spool, SpoolSettings};
use waywarden_systems::mqtt::wire::{Birth, VERSION};
use waywarden_systems::mqtt::{self, home_assistant, publish};
use waywarden_systems::supervisor::{Supervisor, SupervisorSettings, Task};

use crate::config::mqtt::Address;
use crate::config::{Config, Mqtt};
use crate::failure::Failure;
use crate::network::Network;
use crate::session_info;

/// Messages of the broker that may wait for a tick.
const WAITING: usize = 256;

/// How long the link has to say goodbye when the program ends, and what waits has to get to the disk.
const PATIENCE: Duration = Duration::from_millis(800);

/// A link that has not been started.
pub struct Uplink {
    outbox: Outbox,
    task: Task,
    settings: SupervisorSettings,
}

/// A link that runs.
pub struct RunningUplink {
    supervisor: Supervisor,
    outbox: Outbox,
}

impl Uplink {
    /// What the config says of a broker, if it does, and where it is heard. `run` names this run: that of its session.
    ///
    /// # Errors
    /// When a file that it names cannot be read, or another program has the folder in which messages wait.
    pub fn new(
        config: &Config,
        streams: &[StreamSpec],
        run: &str,
        network: &Network,
        wake: &Wake,
    ) -> Result<Option<(Self, Inlet)>, Failure> {
        let mqtt = &config.mqtt;
        let Some(address) = Address::parse(&mqtt.broker) else { return Ok(None) };
        let folder = if mqtt.spool.is_empty() { state_folder() } else { PathBuf::from(&mqtt.spool) };
        let spool_settings = SpoolSettings {
            delay: Duration::from_millis(mqtt.commit_ms.into()),
            disk_bytes: u64::from(mqtt.spool_mb) * 1_000_000,
            ..SpoolSettings::default()
        };
        let (spool, found) = Spool::open(&folder.join("outbox.db"), spool_settings).map_err(Failure::running)?;
        if let Some(aside) = found.aside {
            let (path, saved) = (aside.path.display(), aside.saved);
            tracing::warn!("what waited for the broker was broken, {saved} messages were saved, {path}: {}", aside.why);
        }
        let outbox = Outbox::new(spool, run.to_owned());
        let (outlet, inlet) = channel(StreamId::BROKER, WAITING, DropPolicy::KeepOldest, wake.clone());
        let seen = Seen::open(&folder.join("commands.db"));
        let seen = seen.inspect_err(|error| tracing::error!("commands are not remembered over restarts: {error}")).ok();
        let link = BrokerLink::new(link(mqtt, address, streams)?, outbox.clone(), network.handle()?, seen);
        let task = Task { name: "broker".to_owned(), driver: Arc::new(link), outlet };
        let settings = SupervisorSettings {
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(mqtt.reconnect_max_s.into()),
            // A broker may be out of reach for days: it is never given up.
            failures: usize::MAX,
            window: Duration::from_secs(10),
            ..SupervisorSettings::default()
        };
        Ok(Some((Self { outbox, task, settings }, inlet)))
    }

    /// The world's end.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Starts to connect.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(self) -> Result<RunningUplink, Failure> {
        let supervisor = Supervisor::start(vec![self.task], self.settings)?;
        Ok(RunningUplink { supervisor, outbox: self.outbox })
    }
}

impl RunningUplink {
    /// Says goodbye to the broker, and has what waits written. What the disk does not take by then is lost.
    pub fn stop(self) {
        for name in self.supervisor.stop(PATIENCE) {
            tracing::warn!("{name}: its thread does not come back and is left behind");
        }
        if !self.outbox.spool().flush(PATIENCE) {
            let waiting = self.outbox.spool().tally().waiting;
            tracing::error!("{waiting} messages that wait for the broker are not on disk, and lost");
        }
    }
}

/// The plugin that says what there is to say; the same in a replay.
pub fn plugin(config: &Config, streams: &[StreamSpec]) -> mqtt::MqttPlugin {
    let mqtt = &config.mqtt;
    let hours = |hours: f64| Duration::try_from_secs_f64(hours * 3600.0).unwrap_or(Duration::MAX);
    mqtt::MqttPlugin {
        enabled: !mqtt.broker.is_empty(),
        names: names(streams),
        rates_hz: [mqtt.position_hz, mqtt.speed_hz, mqtt.lane_hz, mqtt.objects_hz, mqtt.voice_hz, mqtt.health_hz],
        heartbeat: Duration::from_secs(mqtt.heartbeat_s.into()),
        position_m: mqtt.position_deadband_m,
        speed_kmh: mqtt.speed_deadband_kmh,
        lane_m: mqtt.lane_deadband_m,
        distance_m: mqtt.distance_deadband_m,
        keep_telemetry: hours(mqtt.keep_telemetry_h),
        keep_events: hours(mqtt.keep_events_h),
        lanes: config.gate.enabled && config.segmentation.enabled,
    }
}

/// Streams by name, and the loudspeaker, which can be there.
pub fn names(streams: &[StreamSpec]) -> Vec<(StreamId, String)> {
    let speaker = StreamId::SPEAKER.own_name().map(|name| (StreamId::SPEAKER, name.to_owned()));
    streams.iter().map(|spec| (spec.id, spec.name.clone())).chain(speaker).collect()
}

/// The folder in which the program keeps what outlives it.
pub fn state_folder() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("STATE_DIRECTORY")
        .or_else(|| folder("XDG_STATE_HOME").map(|state| state.join("waywarden")))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state/waywarden")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/waywarden"))
}

fn link(mqtt: &Mqtt, address: Address, streams: &[StreamSpec]) -> Result<LinkSettings, Failure> {
    let vehicle = vehicle(mqtt);
    let base = format!("{}/{vehicle}", mqtt.prefix);
    let version = session_info::build().version;
    let tls = address.tls.then(|| trust(mqtt)).transpose()?;
    let login = (!mqtt.username.is_empty()).then(|| password(mqtt)).transpose()?;
    let kinds = streams.iter().filter(|spec| spec.kind != StreamKind::Truth);
    let birth = Birth {
        v: VERSION,
        boot_id: String::new(),
        version: version.clone(),
        devices: kinds.map(|spec| (spec.name.clone(), kind(&spec.kind).to_owned())).collect(),
        streams: publish::STREAMS.iter().map(|stream| format!("telemetry/{stream}")).collect(),
        commands: parse::NAMES.iter().map(|name| format!("cmd/{name}")).collect(),
        switches: vec!["recording".to_owned(), "privacy".to_owned()],
    };
    let assistant = &mqtt.home_assistant;
    let told = !assistant.is_empty();
    Ok(LinkSettings {
        host: address.host,
        port: address.port,
        tls,
        client_id: format!("{}-{vehicle}", mqtt.prefix.replace('/', "-")),
        login: login.map(|password| (mqtt.username.clone(), password)),
        announcements: told
            .then(|| home_assistant::discovery(assistant, &base, &vehicle, &version))
            .into_iter()
            .collect(),
        announce_again_on: told.then(|| format!("{assistant}/{}", home_assistant::STATUS)),
        owntracks: Some(mqtt.owntracks.clone()).filter(|topic| !topic.is_empty()),
        base,
        keep_alive: Duration::from_secs(mqtt.keep_alive_s.into()),
        acknowledged_in: Duration::from_secs(u64::from(mqtt.keep_alive_s).max(10)),
        in_flight: u16::try_from(mqtt.in_flight).unwrap_or(u16::MAX),
        birth,
    })
}

fn kind(kind: &StreamKind) -> &'static str {
    match kind {
        StreamKind::Camera { .. } => "camera",
        StreamKind::Microphone => "microphone",
        StreamKind::Gps { .. } => "gps",
        StreamKind::Range { .. } => "range",
        StreamKind::Truth => "truth",
    }
}

/// What the vehicle is called.
pub fn vehicle(mqtt: &Mqtt) -> String {
    if mqtt.vehicle.is_empty() { host_name() } else { mqtt.vehicle.clone() }
}

/// The computer's name as it may stand in a topic.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().to_lowercase();
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let name: String = name.split('.').next().unwrap_or_default().chars().map(safe).take(32).collect();
    if name.is_empty() { "vehicle".to_owned() } else { name }
}

/// The password: from a file, or from a systemd credential of that name.
pub(crate) fn password(mqtt: &Mqtt) -> Result<String, Failure> {
    if mqtt.password_file.is_empty() {
        return Ok(String::new());
    }
    let text = read("password_file", &password_file(mqtt))?;
    let text = String::from_utf8(text).map_err(|_| Failure::bad_input("mqtt.password_file: it is no UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Where the password is.
pub(crate) fn password_file(mqtt: &Mqtt) -> PathBuf {
    let name = &mqtt.password_file;
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .filter(|_| !name.contains('/'))
        .map(|folder| Path::new(&folder).join(name))
        .filter(|path| path.exists());
    credential.unwrap_or_else(|| PathBuf::from(name))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::bad_input(format!("mqtt.{key}: {}: {error}", path.display())))
}

/// Whom to trust, and how the vehicle proves who it is.
pub(crate) fn trust(mqtt: &Mqtt) -> Result<Arc<ClientConfig>, Failure> {
    let wrong = |key: &str, what: String| Failure::bad_input(format!("mqtt.{key}: {what}"));
    let mut roots = RootCertStore::empty();
    if mqtt.ca_file.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(wrong("ca_file", "this computer trusts nobody".to_owned())
                .hint("install ca-certificates, or name a file"));
        }
    } else {
        for certificate in certificates("ca_file", &mqtt.ca_file)? {
            roots.add(certificate).map_err(|error| wrong("ca_file", error.to_string()))?;
        }
    }
    // The one that all of this program uses.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("broker", error.to_string()))?
        .with_root_certificates(roots);
    let config = if mqtt.cert_file.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_slice(&read("key_file", Path::new(&mqtt.key_file))?)
            .map_err(|error| wrong("key_file", error.to_string()))?;
        builder
            .with_client_auth_cert(certificates("cert_file", &mqtt.cert_file)?, key)
            .map_err(|error| wrong("cert_file", error.to_string()))?
    };
    Ok(Arc::new(config))
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(key, Path::new(path))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| Failure::bad_input(format!("mqtt.{key}: {path}: {error}")))?;
    if found.is_empty() {
        Err(Failure::bad_input(format!("mqtt.{key}: {path}: no certificate in it")))
    } else {
        Ok(found)
    }
}
