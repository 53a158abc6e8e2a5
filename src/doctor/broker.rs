//! The broker: whether it can be reached, and is the one that is trusted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Check;
use super::files::Files;
use crate::config::mqtt::Address;
use crate::config::{Config, Mqtt};
use crate::failure::Failure;
use crate::network::Network;
use crate::uplink;

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why no connection came about.
enum Trouble {
    /// It may come about later.
    Unreached(String),
    /// One of the two does not trust the other.
    Distrust(String),
}

/// Files of the broker, and the broker.
pub fn broker(config: &Config, network: &Network) -> Vec<Check> {
    let mqtt = &config.mqtt;
    let Some(address) = Address::parse(&mqtt.broker) else {
        return vec![Check::ok("mqtt", "nobody is reported to: mqtt.broker is empty")];
    };
    let tls = match secrets(mqtt, &address) {
        Ok(tls) => tls,
        Err(failure) => return vec![Check::failure("mqtt", &failure)],
    };
    let mut files = Files::of("mqtt");
    if !mqtt.password_file.is_empty() {
        files.secret("mqtt.password_file", &uplink::password_file(mqtt));
    }
    if !mqtt.key_file.is_empty() {
        files.secret("mqtt.key_file", Path::new(&mqtt.key_file));
    }
    for (key, path) in [("mqtt.cert_file", &mqtt.cert_file), ("mqtt.ca_file", &mqtt.ca_file)] {
        if !path.is_empty() {
            files.certificates(key, path);
        }
    }
    vec![files.check("no files of its own"), reach(&address, tls, network)]
}

/// Reads all files as a run does.
fn secrets(mqtt: &Mqtt, address: &Address) -> Result<Option<Arc<ClientConfig>>, Failure> {
    uplink::password(mqtt)?;
    address.tls.then(|| uplink::trust(mqtt)).transpose()
}

fn reach(address: &Address, tls: Option<Arc<ClientConfig>>, network: &Network) -> Check {
    const NAME: &str = "mqtt.broker";
    let handle = match network.handle() {
        Ok(handle) => handle,
        Err(failure) => return Check::failure(NAME, &failure),
    };
    let place = format!("{}:{}", address.host, address.port);
    let way = if tls.is_some() { "over TLS" } else { "without TLS" };
    let tried = handle.block_on(async { tokio::time::timeout(PATIENCE, connect(address, tls)).await });
    match tried.unwrap_or_else(|_| Err(Trouble::Unreached("no answer in time".to_owned()))) {
        Ok(()) => Check::ok(NAME, format!("{place} is reached {way}; whether it takes the login was not tried")),
        Err(Trouble::Unreached(why)) => Check::warn(
            NAME,
            format!("{place}: {why}"),
            "is the network there, and the address in mqtt.broker right? Until it is reached messages wait on disk",
        ),
        Err(Trouble::Distrust(why)) => Check::fail(
            NAME,
            format!("{place}: TLS: {why}"),
            "mqtt.ca_file must vouch for the broker's certificate, and that be for the name in mqtt.broker; mqtt:// is \
             without TLS",
        ),
    }
}

async fn connect(address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<(), Trouble> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| Trouble::Unreached(error.to_string()))?;
    let Some(tls) = tls else { return Ok(()) };
    let name = ServerName::try_from(address.host.clone()).map_err(|error| Trouble::Distrust(error.to_string()))?;
    match TlsConnector::from(tls).connect(name, stream).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Trouble::Distrust(error.to_string())),
    }
}
