//! A certificate that the vehicle signs itself, for browsers that are told to trust it.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::Ipv6Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use sha2::{Digest, Sha256};
use waywarden_systems::clock::{boottime, system_utc};

use crate::failure::Failure;

/// How long it is good, in days: what is good for longer is refused by some phones.
const GOOD_DAYS: u64 = 800;

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate, as a file.
pub(super) struct Made {
    pub cert: PathBuf,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
}

/// Where a certificate and its key are: beside the config.
pub(super) fn paths(config: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    // The service is started elsewhere.
    let config = std::path::absolute(config)?;
    Ok((config.with_file_name("waywarden-cert.pem"), config.with_file_name("waywarden-key.pem")))
}

/// How a name or an address stands in a URL.
pub(super) fn host(name: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match name.parse::<Ipv6Addr>() {
        Ok(address) => Ok(format!("[{address}]")),
        Err(_) if !name.is_empty() && name.bytes().all(plain) => Ok(name.to_owned()),
        Err(_) => Err(Failure::bad_input(format!("--certificate: \"{}\" is no name", name.escape_debug()))
            .hint("names and IP addresses, as they will stand in the browser, without a port")),
    }
}

/// Makes a certificate for these names and addresses, and puts it and its key beside the config.
pub(super) fn make(names: &[String], config: &Path, force: bool) -> Result<Made, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::bad_input(format!("--certificate: {what}"));
    let mut params = CertificateParams::new(names).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("waywarden", String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Where the date is not known it is good for ever.
    if let Some(now) = now() {
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
        params.not_after = params.not_before + DAY * u32::try_from(GOOD_DAYS).unwrap_or(u32::MAX);
    }
    let pair = KeyPair::generate().map_err(|error| failed(&error))?;
    let made = params.self_signed(&pair).map_err(|error| failed(&error))?;
    let (cert, key) = paths(config)?;
    write(&key, &pair.serialize_pem(), 0o600, force)?;
    write(&cert, &made.pem(), 0o644, force)?;
    let digest = Sha256::digest(made.der());
    let fingerprint: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(Made { cert, fingerprint: fingerprint.join(":") })
}

/// Time since 1970, if the date is known.
fn now() -> Option<Duration> {
    let offset = Duration::from_nanos(u64::try_from(system_utc()?.offset_ns).ok()?);
    Some(offset + Duration::from_nanos(boottime().as_nanos()))
}

fn write(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::bad_input(format!("{} cannot be written: {error}", path.display()))
            .hint("--force replaces what is there")
    };
    if force && path.exists() {
        // A file that is there would keep its mode.
        std::fs::remove_file(path).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}
