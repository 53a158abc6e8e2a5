//! The HTTP server of a run: whether it could be started.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::Check;
use super::files::Files;
use crate::access::{self, Access};
use crate::config::{Config, Http};
use crate::http::Server;

/// How long who has the port may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read.
const LONGEST: u64 = 64 * 1024;

/// Files, address and port of the HTTP server.
pub fn server(config: &Config) -> Vec<Check> {
    let http = &config.http;
    if !http.enabled {
        return vec![Check::ok("http", "nothing listens: http.enabled is false")];
    }
    // It reads all files, and judges them as a run does.
    if let Err(failure) = Access::read(http).and_then(|access| Server::new(http, access)) {
        return vec![Check::failure("http", &failure)];
    }
    let mut files = Files::of("http");
    let tokens = access::tokens_file(http);
    if tokens.exists() {
        files.secret("http.tokens_file", &tokens);
    }
    for (key, path) in [("http.token_file", &http.token_file), ("http.tls_key", &http.tls_key)] {
        if !path.is_empty() {
            files.secret(key, Path::new(path));
        }
    }
    if !http.tls_cert.is_empty() {
        files.certificates("http.tls_cert", &http.tls_cert);
    }
    let mut checks = vec![files.check("no token and no TLS, for this computer alone")];
    checks.extend(http.address().map(|address| port(http, address)));
    checks
}

/// Whether the port can be had, or who has it.
fn port(http: &Http, address: SocketAddr) -> Check {
    const NAME: &str = "http.listen";
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(NAME, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let todo = "end that one, or let http.listen name another port";
            match who(http, address) {
                Owner::Run(what) => Check::ok(NAME, format!("{address}: {what} has it")),
                Owner::Unknown => {
                    Check::warn(NAME, format!("{address}: somebody has it. If that is no run of waywarden"), todo)
                }
                Owner::Other => Check::fail(NAME, format!("{address}: another program has it"), todo),
            }
        }
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Check::fail(
            NAME,
            format!("{address}: {error}"),
            "http.listen names an address that is none of this computer's: `ip address` lists them",
        ),
        Err(error) => Check::fail(
            NAME,
            format!("{address}: {error}"),
            "may this user listen there? Ports below 1024 want CAP_NET_BIND_SERVICE",
        ),
    }
}

/// Who has a port.
enum Owner {
    /// A run of this program, in words.
    Run(String),
    /// Whoever has it speaks TLS, and was not asked.
    Unknown,
    /// Somebody else.
    Other,
}

/// Asks who has the port, and gives nothing away: a token is for a run, and this may be none.
fn who(http: &Http, address: SocketAddr) -> Owner {
    if !http.tls_cert.is_empty() {
        return Owner::Unknown;
    }
    let answer = ask(address).unwrap_or_default();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let refused = answer.contains("application/problem+json") && body["status"] == 401;
    match (body["ok"].as_bool(), body["version"].as_str()) {
        (Some(_), Some(version)) => Owner::Run(format!("a run of waywarden {version}")),
        // Before its first tick.
        (Some(false), None) => Owner::Run("a run of waywarden that begins".to_owned()),
        _ if refused => Owner::Run("a run of waywarden that asks for its token".to_owned()),
        _ => Owner::Other,
    }
}

/// What is answered to a question that costs nothing.
fn ask(address: SocketAddr) -> Option<String> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // What came before a time-out is an answer, too.
    let _ = stream.take(LONGEST).read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
