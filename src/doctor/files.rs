//! Files of secrets and certificates, as `doctor` looks at them. What is in a secret is said nowhere.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use waywarden_systems::clock::{boottime, system_utc};
use x509_parser::parse_x509_certificate;

use super::{Check, Status};

/// A certificate that ends within so many days is worth a word.
const SOON_DAYS: i64 = 14;

const DAY_S: i64 = 86_400;

/// What was found in the files of a section, gathered into one check.
pub(super) struct Files {
    name: &'static str,
    found: Vec<String>,
    todo: Vec<String>,
    status: Status,
}

impl Files {
    pub(super) fn of(name: &'static str) -> Self {
        Self { name, found: Vec::new(), todo: Vec::new(), status: Status::Ok }
    }

    fn say(&mut self, status: Status, found: String, todo: Option<String>) {
        // What fails counts more than what could be better.
        self.status = match (self.status, status) {
            (Status::Fail, _) | (_, Status::Fail) => Status::Fail,
            (Status::Warn, _) | (_, Status::Warn) => Status::Warn,
            _ => Status::Ok,
        };
        self.found.push(found);
        self.todo.extend(todo);
    }

    /// A file with a secret that has been read. Whoever else may read it is told of.
    pub(super) fn secret(&mut self, key: &str, path: &Path) {
        let shown = path.display();
        match path.metadata() {
            Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => {
                self.say(Status::Ok, format!("{key}: {shown}"), None);
            }
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                let found = format!("{key}: others than its owner may read or change {shown} (mode {mode:03o})");
                self.say(Status::Warn, found, Some(format!("chmod 600 {shown}")));
            }
            Err(error) => self.say(Status::Fail, format!("{key}: {shown}: {error}"), None),
        }
    }

    /// A file with certificates: each must be valid now.
    pub(super) fn certificates(&mut self, key: &str, path: &str) {
        let now = now_s();
        let read = std::fs::read(path).map_err(|error| error.to_string());
        let valid = read.and_then(|pem| validity(&pem));
        let renew = || Some(format!("get a new certificate and write it to {path}"));
        match (valid, now) {
            (Err(why), _) => {
                let todo = Some(format!("{key} wants a PEM file that this user may read"));
                self.say(Status::Fail, format!("{key}: {path}: {why}"), todo);
            }
            (Ok(_), None) => {
                let found =
                    format!("{key}: {path}, of which nobody can say whether it is valid: the date is not known");
                self.say(Status::Warn, found, Some("set the date".to_owned()));
            }
            (Ok((from, _)), Some(now)) if now < from => {
                let days = (from - now) / DAY_S + 1;
                let found = format!("{key}: {path} is valid in {days} days only");
                self.say(Status::Fail, found, Some("is the date of this computer right?".to_owned()));
            }
            (Ok((_, until)), Some(now)) if now > until => {
                let days = (now - until) / DAY_S;
                self.say(Status::Fail, format!("{key}: {path} has ended {days} days ago"), renew());
            }
            (Ok((_, until)), Some(now)) => {
                let days = (until - now) / DAY_S;
                let found = format!("{key}: {path} is valid for {days} days more");
                if days < SOON_DAYS {
                    self.say(Status::Warn, found, renew());
                } else {
                    self.say(Status::Ok, found, None);
                }
            }
        }
    }

    /// What is said of all of them; `nothing` where there are none.
    pub(super) fn check(self, nothing: &str) -> Check {
        let found = if self.found.is_empty() { nothing.to_owned() } else { self.found.join("; ") };
        let todo = (!self.todo.is_empty()).then(|| self.todo.join("; "));
        Check { name: self.name.to_owned(), status: self.status, found, todo, config: None }
    }
}

/// The date in seconds since 1970, if it is known.
fn now_s() -> Option<i64> {
    let now = i64::try_from(boottime().as_nanos()).ok()?.checked_add(system_utc()?.offset_ns)?;
    Some(now / 1_000_000_000)
}

/// From when to when all certificates of a PEM file are valid, in seconds since 1970.
fn validity(pem: &[u8]) -> Result<(i64, i64), String> {
    let (mut from, mut until, mut any) = (i64::MIN, i64::MAX, false);
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| error.to_string())?;
        let (_, certificate) = parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        let valid = certificate.validity();
        (from, until) = (from.max(valid.not_before.timestamp()), until.min(valid.not_after.timestamp()));
        any = true;
    }
    any.then_some((from, until)).ok_or_else(|| "no certificate in it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: i32, until: i32) -> String {
        let mut of = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (of.not_before, of.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(until, 1, 1));
        of.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn certificates_are_valid_for_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let judge = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut files = Files::of("http");
            files.certificates("http.tls_cert", path.to_str().unwrap());
            files.check("")
        };
        let ok = judge(&certificate(2000, 2999));
        assert_eq!((ok.status, ok.todo), (Status::Ok, None), "{}", ok.found);
        for (text, word) in [
            (certificate(2000, 2001), "has ended"),
            (certificate(2998, 2999), "days only"),
            // The one of a chain that ends first counts.
            (certificate(2000, 2999) + &certificate(2000, 2001), "has ended"),
            ("no certificate".to_owned(), "no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "cert.pem"),
        ] {
            let check = judge(&text);
            assert_eq!(check.status, Status::Fail, "{}", check.found);
            assert!(check.found.contains(word) && check.todo.is_some(), "{}", check.found);
        }
    }

    #[test]
    fn a_secret_is_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "very-secret-indeed").unwrap();
        for (mode, status) in [(0o600, Status::Ok), (0o400, Status::Ok), (0o640, Status::Warn), (0o604, Status::Warn)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut files = Files::of("http");
            files.secret("http.token_file", &path);
            let check = files.check("");
            assert_eq!(check.status, status, "{mode:o}");
            assert_eq!(check.todo.is_some(), status == Status::Warn);
            assert!(!check.found.contains("secret"), "{}", check.found);
        }
    }
}
