//! Sections of the config: what listens on the network, and what is asked over it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::JobRole;

use super::Config;
use super::check::Violation;
use super::path::Path;

/// Hosts and origins that may be listed at most.
const MOST_LISTED: usize = 64;

/// Longest name of a host, in characters.
const LONGEST_HOST: usize = 253;

/// The HTTP server: metrics, health, and what is built on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Whether `run` listens.
    pub enabled: bool,
    /// Where: an IP address and a port.
    pub listen: String,
    /// A file with tokens and what each allows. Empty: `tokens.toml` in the folder in which the program keeps what outlives it.
    pub tokens_file: String,
    /// A file with a token that allows everything, and that each request then has to bring. Empty: there is none.
    pub token_file: String,
    /// A PEM file with the certificate and those that vouch for it. Empty: no TLS.
    pub tls_cert: String,
    /// A PEM file with the private key of `tls_cert`.
    pub tls_key: String,
    /// Hosts by which clients may call this computer, beside loopback ones: `name` or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that may ask, beside the server's own: `https://name` or `https://name:port`.
    pub allowed_origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "127.0.0.1:9180".into(),
            tokens_file: String::new(),
            token_file: String::new(),
            tls_cert: String::new(),
            tls_key: String::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}

impl Http {
    /// Where it listens; none if that is no address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Whether only this computer reaches it.
    pub fn is_loopback(&self) -> bool {
        self.address().is_some_and(|address| address.ip().to_canonical().is_loopback())
    }
}

/// The Model Context Protocol: what agents may ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcp {
    /// Whether agents are answered at `/mcp` of the HTTP server.
    pub enabled: bool,
    /// Whether they may do something, with a token that allows commands.
    pub act: bool,
}

/// A service that computes models elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Remote {
    /// Its address. Empty: there is none.
    pub url: String,
    /// What it computes.
    pub roles: Vec<JobRole>,
    /// Whether it is given utterances as well, to listen to.
    pub speech: bool,
    /// A file with the token that it asks for. Empty: none.
    pub token_file: String,
    /// A PEM file with certificates that vouch for it, beside those that this computer trusts. Empty: none.
    pub ca_file: String,
    /// Whether pictures may go to another computer without TLS.
    pub plain_http: bool,
    /// Longest time for a picture in milliseconds, all tries together.
    pub timeout_ms: u32,
    /// Times that a picture is sent again when the connection broke.
    pub retries: u32,
    /// Failures in a row after which it is left alone.
    pub breaker_failures: u32,
    /// Seconds for which it is left alone at first; twice as long each time that it has not come back.
    pub breaker_rest_s: f64,
    /// Longest of these times, in seconds.
    pub breaker_longest_rest_s: f64,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            url: String::new(),
            roles: JobRole::ALL.to_vec(),
            speech: false,
            token_file: String::new(),
            ca_file: String::new(),
            plain_http: false,
            timeout_ms: 1000,
            retries: 1,
            breaker_failures: 5,
            breaker_rest_s: 2.0,
            breaker_longest_rest_s: 60.0,
        }
    }
}

/// Whether the sections of this file make sense.
pub(super) fn check(config: &Config, found: &mut Vec<Violation>) {
    check_http(&config.http, found);
    check_remote(&config.remote, found);
    let (timeout, off) = (config.remote.timeout_ms, config.remote.url.is_empty());
    for (role, deadline) in
        [(JobRole::Segmentation, config.segmentation.deadline_ms), (JobRole::Detection, config.detection.deadline_ms)]
    {
        if !off && config.remote.roles.contains(&role) && timeout >= deadline {
            found.push(Violation {
                path: Path::default().key("remote").key("timeout_ms"),
                message: format!("`remote.timeout_ms` ({timeout}) is not below `{role}.deadline_ms` ({deadline})"),
                hint: "a job that waits for the service would count as hung: lower timeout_ms".to_owned(),
            });
        }
    }
}

fn check_remote(remote: &Remote, found: &mut Vec<Violation>) {
    let section = Path::default().key("remote");
    let mut wrong = |key: &str, message: String, hint: &str| {
        found.push(Violation { path: section.key(key), message, hint: hint.to_owned() });
    };
    match address(&remote.url) {
        _ if remote.url.is_empty() => {}
        None => {
            let message = format!("`remote.url` is \"{}\", which is no address", remote.url.escape_debug());
            wrong("url", message, "\"https://box.example:9181\", with a path if need be and nothing else");
        }
        Some(("http", host)) if !remote.plain_http && !is_loopback(host) => {
            let message = format!("`remote.url` is {}: pictures would go to another computer without TLS", remote.url);
            wrong("url", message, "use https://, or set remote.plain_http = true where nobody else is on that network");
        }
        Some(_) => {}
    }
    let rests = (remote.breaker_rest_s, remote.breaker_longest_rest_s);
    if rests.0 > rests.1 {
        let message =
            format!("`remote.breaker_rest_s` ({}) is above `remote.breaker_longest_rest_s` ({})", rests.0, rests.1);
        wrong("breaker_rest_s", message, "lower breaker_rest_s or raise breaker_longest_rest_s");
    }
}

/// Scheme and host of an address of a service.
fn address(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\@".contains(&byte));
    (plain && is_host(host)).then_some((scheme, host))
}

/// Whether a host, with a port or without, is this computer.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn check_http(http: &Http, found: &mut Vec<Violation>) {
    let section = Path::default().key("http");
    let mut wrong = |path: Path, message: String, hint: &str| {
        found.push(Violation { path, message, hint: hint.to_owned() });
    };
    if http.address().is_none() {
        let message =
            format!("`http.listen` is \"{}\", which is no IP address with a port", http.listen.escape_debug());
        wrong(section.key("listen"), message, "listen = \"127.0.0.1:9180\", or \"[::1]:9180\"");
    } else if !http.is_loopback() && [&http.tls_cert, &http.tls_key].iter().any(|file| file.is_empty()) {
        let message = format!(
            "`http.listen` is {}, which other computers reach: without TLS anybody there reads along",
            http.listen
        );
        let hint = "set http.tls_cert and http.tls_key (`waywarden init --certificate NAME`), or listen on 127.0.0.1";
        wrong(section.key("listen"), message, hint);
    }
    for (key, file, other_key, other) in
        [("tls_cert", &http.tls_cert, "tls_key", &http.tls_key), ("tls_key", &http.tls_key, "tls_cert", &http.tls_cert)]
    {
        if !file.is_empty() && other.is_empty() {
            let message = format!("`http.{key}` is set and `http.{other_key}` is not");
            wrong(section.key(key), message, "TLS needs the certificate and its key, each in a PEM file");
        }
    }
    let listed = |origins: bool| if origins { &http.allowed_origins } else { &http.allowed_hosts };
    for (key, origins) in [("allowed_hosts", false), ("allowed_origins", true)] {
        let (list, path) = (listed(origins), section.key(key));
        if list.len() > MOST_LISTED {
            wrong(path.clone(), format!("{} entries in `http.{key}`", list.len()), "at most 64");
        }
        for (n, entry) in list.iter().enumerate().take(MOST_LISTED) {
            if origins && !is_origin(entry) {
                let message = format!("\"{}\" is no origin", entry.escape_debug());
                wrong(path.index(n), message, "\"https://name\" or \"http://name:port\", without a path");
            } else if !origins && !is_host(entry) {
                let message = format!("\"{}\" is no host", entry.escape_debug());
                wrong(path.index(n), message, "\"name\", \"name:port\" or an IP address, as clients write it");
            }
        }
    }
}

/// Whether `text` is a host, with a port or without.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    let fits = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => (1..=LONGEST_HOST).contains(&host.len()) && host.bytes().all(of_a_name),
    };
    fits && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Whether `text` is an origin: scheme, host, port.
fn is_origin(text: &str) -> bool {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).is_some_and(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        match Config::from_toml(text, "f.toml") {
            Ok(_) => Vec::new(),
            Err(error) => error.problems.into_iter().map(|problem| (problem.key, problem.message)).collect(),
        }
    }

    #[test]
    fn what_others_reach_needs_tls() {
        let secured = "tls_cert = \"c\"\ntls_key = \"k\"\n";
        for listen in ["0.0.0.0:9180", "[::]:9180", "192.168.1.4:80", "[::ffff:10.0.0.1]:80"] {
            let open = format!("[http]\nlisten = {listen:?}\n");
            let found = problems(&open);
            assert_eq!(found.len(), 1, "{listen}: {found:?}");
            assert!(found[0].0 == "http.listen" && found[0].1.contains("without TLS"), "{found:?}");
            assert_eq!(problems(&format!("{open}{secured}")), []);
            for line in secured.lines() {
                let found = problems(&format!("{open}{}", secured.replace(line, "")));
                assert!(found.iter().any(|(key, _)| key == "http.listen"), "{listen} without {line}: {found:?}");
            }
        }
        for listen in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:9180", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(problems(&format!("[http]\nlisten = {listen:?}\n")), [], "{listen}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for listen in ["", "localhost:9180", "127.0.0.1", "9180", "127.0.0.1:99999", "http://127.0.0.1:80"] {
            let found = problems(&format!("[http]\nlisten = {listen:?}\n"));
            assert!(found.len() == 1 && found[0].1.contains("no IP address with a port"), "{listen}: {found:?}");
        }
        assert_eq!(problems("[http]\ntls_key = \"k\"\n")[0].0, "http.tls_key");
        assert_eq!(problems("[http]\ntls_cert = \"c\"\n")[0].0, "http.tls_cert");
    }

    #[test]
    fn pictures_go_nowhere_without_tls_unasked() {
        let remote = |url: &str, more: &str| problems(&format!("[remote]\nurl = {url:?}\n{more}"));
        for url in [
            "",
            "https://box.example",
            "https://box:9181/a/b",
            "http://127.0.0.1:9181",
            "http://[::1]:1/",
            "http://localhost",
        ] {
            assert_eq!(remote(url, ""), [], "{url}");
        }
        let found = remote("http://box.example", "");
        assert!(found.len() == 1 && found[0].1.contains("without TLS"), "{found:?}");
        assert_eq!(remote("http://box.example", "plain_http = true"), []);
        for url in [
            "box",
            "ftp://box",
            "https://",
            "https://a b",
            "https://me@box",
            "https://box/?q",
            "https://box/#f",
            "http://[::1",
        ] {
            let found = remote(url, "plain_http = true");
            assert!(found.len() == 1 && found[0].1.contains("no address"), "{url}: {found:?}");
        }
        assert_eq!(remote("https://box", "timeout_ms = 14999"), []);
        let found = remote("https://box", "timeout_ms = 15000\nroles = [\"detection\"]");
        assert!(found.len() == 1 && found[0].1.contains("not below `detection.deadline_ms`"), "{found:?}");
        assert_eq!(remote("", "breaker_rest_s = 61.0")[0].0, "remote.breaker_rest_s");
        assert_eq!(remote("", "roles = [\"weather\"]")[0].0, "remote.roles[0]");
    }

    #[test]
    fn hosts_and_origins_are_hosts_and_origins() {
        let good = "[http]\nallowed_hosts = [\"car-7.fleet.example\", \"car:9180\", \"10.0.0.7\", \"[fe80::1]:80\"]\n\
                    allowed_origins = [\"https://fleet.example\", \"http://10.0.0.7:8080\"]\n";
        assert_eq!(problems(good), []);
        for host in ["", "a b", "http://a", "a:port", "a/b", "*", "[::1", "é"] {
            let found = problems(&format!("[http]\nallowed_hosts = [\"ok\", {host:?}]\n"));
            assert_eq!(
                found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
                ["http.allowed_hosts[1]"],
                "{host}"
            );
        }
        for origin in ["fleet.example", "null", "*", "https://a/", "ftp://a"] {
            assert_eq!(problems(&format!("[http]\nallowed_origins = [{origin:?}]\n")).len(), 1, "{origin}");
        }
        let many = vec!["a"; 65];
        assert!(problems(&format!("[http]\nallowed_hosts = {many:?}\n"))[0].1.contains("65 entries"));
    }
}
