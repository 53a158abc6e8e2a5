//! The server's certificate and its key, read anew when their files change: a renewed one counts without a restart.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

use super::files::{read, warn_of_readers};
use crate::failure::Failure;

/// The files are looked at no more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// What TLS needs, from PEM files.
///
/// # Errors
/// When a file cannot be read, or the two do not belong together.
pub(super) fn tls(cert: &str, key: &str) -> Result<TlsAcceptor, Failure> {
    let files = Files { cert: cert.to_owned(), key: key.to_owned() };
    let stamp = files.stamp();
    let current = Arc::new(files.load()?);
    warn_of_readers("http.tls_key", key);
    let certificates = Certificates { files, state: Mutex::new(State { current, stamp, looked: boottime() }) };
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("tls_cert", cert, &error))?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Where the two are.
#[derive(Debug)]
struct Files {
    cert: String,
    key: String,
}

/// What tells one state of the two files from another.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

impl Files {
    fn load(&self) -> Result<CertifiedKey, Failure> {
        let Self { cert, key } = self;
        let bytes = read("http.tls_cert", cert)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.map_err(|error| refused("tls_cert", cert, &error))?;
        if chain.is_empty() {
            return Err(refused("tls_cert", cert, &"no certificate in it"));
        }
        let bytes = read("http.tls_key", key)?;
        let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| refused("tls_key", key, &error))?;
        CertifiedKey::from_der(chain, private, &default_provider()).map_err(|error| refused("tls_cert", cert, &error))
    }

    fn stamp(&self) -> Stamp {
        let of = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        [&self.cert, &self.key].map(|path| Path::new(path).metadata().ok().map(of))
    }
}

fn refused(name: &str, path: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::bad_input(format!("http.{name}: {path}: {why}")).hint("PEM files with a certificate and its private key")
}

/// The certificate that is shown, and the files it came from.
#[derive(Debug)]
struct Certificates {
    files: Files,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Arc<CertifiedKey>,
    /// The state of the files that was looked at last, whatever came of it.
    stamp: Stamp,
    looked: Mono,
}

impl Certificates {
    fn current(&self, now: Mono) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.looked) >= PAUSE {
            state.looked = now;
            let stamp = self.files.stamp();
            if stamp != state.stamp {
                state.stamp = stamp;
                match self.files.load() {
                    Ok(new) => {
                        tracing::info!("http: {} has changed and is shown from now on", self.files.cert);
                        state.current = Arc::new(new);
                    }
                    // One of the two may be there before the other.
                    Err(failure) => tracing::warn!("the certificate from before is still shown: {failure}"),
                }
            }
        }
        state.current.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current(boottime()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let paths = || tls(cert.to_str().unwrap(), key.to_str().unwrap());
        let said = || paths().err().map(|failure| failure.to_string()).unwrap_or_default();
        assert!(said().contains("http.tls_cert"));
        std::fs::write(&cert, "no certificate").unwrap();
        assert!(said().contains("no certificate in it"));
        std::fs::write(&cert, own.cert.pem()).unwrap();
        assert!(said().contains("http.tls_key"));
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(!said().is_empty(), "a key of another certificate");
        std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        assert_eq!(said(), "");
    }

    #[test]
    fn a_renewed_certificate_is_shown_as_soon_as_both_files_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let files = Files { cert: path("cert.pem"), key: path("key.pem") };
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (old, new) = (make(), make());
        std::fs::write(&files.cert, old.cert.pem()).unwrap();
        std::fs::write(&files.key, old.signing_key.serialize_pem()).unwrap();
        let (current, stamp) = (Arc::new(files.load().unwrap()), files.stamp());
        let now = boottime();
        let shown = Certificates { files, state: Mutex::new(State { current, stamp, looked: now }) };
        let is = |seconds, of: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            shown.current(now + Duration::from_secs(seconds)).cert[0] == *of.cert.der()
        };
        assert!(is(2, &old));
        std::fs::write(&shown.files.cert, format!("{}\n", new.cert.pem())).unwrap();
        assert!(is(4, &old), "the key is not its own");
        std::fs::write(&shown.files.key, format!("{}\n", new.signing_key.serialize_pem())).unwrap();
        assert!(is(4, &old), "it is not looked at all the time");
        assert!(is(6, &new));
        std::fs::remove_file(&shown.files.key).unwrap();
        assert!(is(8, &new), "what is lost takes nothing away");
    }
}
