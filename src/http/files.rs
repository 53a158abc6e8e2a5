//! What the server reads at its start: the token, the certificate and its key.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::Failure;

/// The longest token and the longest PEM file that are read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The shortest token that nobody guesses, in characters.
pub const SHORTEST_TOKEN: usize = 16;

/// Reads a token: one line of printable characters without spaces.
///
/// # Errors
/// When the file cannot be read, or holds no token; `key` of the config names it.
pub fn token(key: &str, path: &str) -> Result<String, Failure> {
    let bytes = read(key, path)?;
    let token = bytes.trim_ascii();
    if token.len() < SHORTEST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::bad_input(format!(
            "{key}: {path} holds no token: one line of {SHORTEST_TOKEN} or more letters, digits and signs"
        ))
        .hint(format!("make one: openssl rand -hex 32 > {path}; chmod 600 {path}")));
    }
    warn_of_readers(key, path);
    Ok(String::from_utf8_lossy(token).into_owned())
}

/// What TLS needs, from PEM files.
///
/// # Errors
/// When a file cannot be read, or the two do not belong together.
pub(super) fn tls(cert: &str, key: &str) -> Result<TlsAcceptor, Failure> {
    let refused = |name: &str, path: &str, why: &dyn std::fmt::Display| {
        Failure::bad_input(format!("http.{name}: {path}: {why}"))
            .hint("PEM files with a certificate and its private key")
    };
    let bytes = read("http.tls_cert", cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| refused("tls_cert", cert, &error))?;
    if chain.is_empty() {
        return Err(refused("tls_cert", cert, &"no certificate in it"));
    }
    let bytes = read("http.tls_key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| refused("tls_key", key, &error))?;
    warn_of_readers("http.tls_key", key);
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let mut config = config.map_err(|error| refused("tls_cert", cert, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(key: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| Failure::bad_input(format!("{key}: {path}: {error}")))?;
    Ok(bytes)
}

/// A secret that every user of the computer can read is worth a word.
fn warn_of_readers(key: &str, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mode = Path::new(path).metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        tracing::warn!("{key}: every user of this computer can read {path}: chmod 600 {path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_plain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let path = path.to_str().unwrap();
        let read = |text: &str| {
            std::fs::write(path, text).unwrap();
            token("http.token_file", path)
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), "0123456789abcdef");
        for wrong in ["", "short", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef", "0123456789abcdeé"] {
            let failure = read(wrong).unwrap_err();
            assert!(failure.to_string().contains("http.token_file") && failure.to_string().contains(path), "{failure}");
        }
        assert!(token("remote.token_file", "/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
    }

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
}
