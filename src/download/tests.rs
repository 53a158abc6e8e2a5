//! Tests against a server on this computer.

use std::fs;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

#[path = "../../tests/support/server.rs"]
mod server;

use server::{Reply, Server};

const TAG: &str = "\"v1\"";

/// Some bytes that are no repetition.
fn body() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn manner() -> Manner {
    let patience = Duration::from_secs(10);
    Manner { patience, retries: 2, first_wait: Duration::from_millis(1), show: Show::Nothing }
}

/// A folder, and what is fetched into it.
struct Case {
    folder: TempDir,
    accepted: Vec<String>,
    urls: Vec<String>,
    largest: u64,
    manner: Manner,
}

impl Case {
    fn new(urls: &[String]) -> Self {
        let (folder, accepted) = (tempfile::tempdir().unwrap(), vec![sha256(&body())]);
        Self { folder, accepted, urls: urls.to_vec(), largest: 1_000_000, manner: manner() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("new/model.onnx")
    }

    fn part(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("new/model.onnx{suffix}"))
    }

    fn run(&self) -> Result<(), Vec<DownloadError>> {
        let to = self.path();
        let Self { accepted: sha256, urls, largest, .. } = self;
        download(&Wanted { urls, sha256, to: &to, largest: *largest }, &self.manner)
    }

    /// It is there, whole, and nothing else is.
    fn assert_whole(&self) {
        assert!(fs::read(self.path()).unwrap() == body());
        assert_eq!(self.left(), ["model.onnx"]);
    }

    /// What is in the folder.
    fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("new")) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

fn at(server: &Server) -> String {
    format!("{}/some/where?x=../../evil", server.url)
}

#[test]
fn a_file_comes_whole_and_under_the_name_that_was_asked_for() {
    let server = Server::start(|_, request| {
        let mut reply = Reply::file(request, &body(), TAG);
        let evil = b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=../../evil\r\n";
        reply.bytes.splice(.."HTTP/1.1 200 OK\r\n".len(), evil.iter().copied());
        reply
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].header("range")), (1, None));
    assert!(requests[0].header("user-agent").unwrap().starts_with("waywarden/"));
}

#[test]
fn what_was_cut_is_resumed_where_it_was_cut() {
    let server = Server::start(|number, request| {
        let reply = Reply::file(request, &body(), TAG);
        if number < 2 { reply.cut(50_000) } else { reply }
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    let asked: Vec<_> = server.requests().iter().map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("bytes=150000-".into()), Some("bytes=150000-".into())]);
    assert_eq!(server.requests()[1].header("if-range"), Some(TAG));
}

#[test]
fn the_next_program_goes_on_where_one_was_ended() {
    let server = Server::start(|number, request| {
        let reply = Reply::file(request, &body(), TAG);
        if number == 0 { reply.cut(1) } else { reply }
    });
    let mut case = Case::new(&[at(&server)]);
    case.manner.retries = 0;
    let errors = case.run().unwrap_err();
    assert!(matches!(errors[..], [DownloadError::Broken { .. }]), "{errors:?}");
    assert_eq!(case.left(), ["model.onnx.part", "model.onnx.part.from"]);
    case.run().unwrap();
    case.assert_whole();
    assert_eq!(server.requests()[1].header("range"), Some("bytes=199999-"));
}

#[test]
fn a_file_that_has_changed_meanwhile_comes_anew() {
    let server = Server::start(|number, request| match number {
        0 => Reply::file(request, &vec![7; 200_000], "\"v0\"").cut(1000),
        _ => Reply::file(request, &body(), TAG),
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    assert_eq!(server.requests()[1].header("if-range"), Some("\"v0\""));
}

/// A server that gives a piece of another version under the same tag.
#[test]
fn pieces_that_do_not_fit_together_are_thrown_away() {
    let server = Server::start(|number, request| match number {
        0 => Reply::file(request, &vec![7; 200_000], TAG).cut(1000),
        _ => Reply::file(request, &body(), TAG),
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    let asked: Vec<_> = server.requests().iter().map(|r| r.header("range").is_some()).collect();
    assert_eq!(asked, [false, true, false]);
}

#[test]
fn without_a_tag_nothing_is_resumed() {
    let server = Server::start(|number, _| {
        let reply = Reply::new("200 OK", &["ETag: W/\"weak\""], &body());
        if number == 0 { reply.cut(10) } else { reply }
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    assert_eq!(server.requests()[1].header("range"), None);
}

#[test]
fn a_piece_from_elsewhere_in_the_file_is_not_taken() {
    let server = Server::start(|number, request| match number {
        0 => Reply::file(request, &body(), TAG).cut(1000),
        1 => Reply::new("206 Partial Content", &["Content-Range: bytes 5-199999/200000"], &body()[5..]),
        _ => Reply::file(request, &body(), TAG),
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
}

#[test]
fn a_whole_file_that_only_lacks_its_name_is_no_trap() {
    let server = Server::start(|_, request| Reply::file(request, &body(), TAG));
    let case = Case::new(&[at(&server)]);
    fs::create_dir(case.folder.path().join("new")).unwrap();
    fs::write(case.part(".part"), body()).unwrap();
    fs::write(case.part(".part.from"), format!("{}\n{TAG}\n", case.urls[0])).unwrap();
    case.run().unwrap();
    case.assert_whole();
}

#[test]
fn another_file_is_refused_and_leaves_nothing() {
    let server = Server::start(|_, request| Reply::file(request, b"another file", TAG));
    let case = Case::new(&[at(&server)]);
    fs::create_dir(case.folder.path().join("new")).unwrap();
    fs::write(case.path(), "what was here before").unwrap();
    let errors = case.run().unwrap_err();
    let [DownloadError::WrongHash { found, .. }] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(*found, sha256(b"another file"));
    assert!(errors[0].to_string().contains(&case.accepted[0]), "{}", errors[0]);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(case.left(), ["model.onnx"]);
    assert_eq!(fs::read(case.path()).unwrap(), b"what was here before");
}

#[test]
fn servers_that_lie_about_the_length_are_not_believed() {
    let with_length = |length: usize| {
        move |_: usize, _: &server::Request| {
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            Reply { bytes: [head.as_bytes(), &body()].concat(), hold: Duration::ZERO }
        }
    };
    // More is promised than comes.
    let server = Server::start(with_length(200_001));
    let case = Case::new(&[at(&server)]);
    let errors = case.run().unwrap_err();
    assert!(matches!(errors[..], [DownloadError::Broken { .. }]), "{errors:?}");
    assert_eq!(server.requests().len(), 3);
    assert!(!case.path().exists());
    // More comes than is promised: what is promised is another file.
    let server = Server::start(with_length(1000));
    let case = Case::new(&[at(&server)]);
    let errors = case.run().unwrap_err();
    assert!(matches!(errors[..], [DownloadError::WrongHash { .. }]), "{errors:?}");
    assert!(case.left().is_empty());
}

#[test]
fn more_than_any_model_has_is_not_taken() {
    // Announced, and not.
    for head in ["Content-Length: 999999999999\r\n", ""] {
        let server = Server::start(move |_, _| {
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n");
            Reply { bytes: [head.as_bytes(), &body()].concat(), hold: Duration::ZERO }
        });
        let mut case = Case::new(&[at(&server)]);
        case.largest = 100_000;
        let errors = case.run().unwrap_err();
        let [DownloadError::Refused { reason, .. }] = &errors[..] else { panic!("{errors:?}") };
        assert!(reason.contains("at most 100000 are taken"), "{reason}");
        assert!(case.left().is_empty());
    }
}

#[test]
fn addresses_are_tried_in_turn() {
    let gone = Server::start(|_, _| Reply::new("404 Not Found", &[], b"gone"));
    let wrong = Server::start(|_, request| Reply::file(request, b"wrong", TAG));
    let good = Server::start(|_, request| Reply::file(request, &body(), TAG));
    let case = Case::new(&[at(&gone), at(&wrong), at(&good)]);
    case.run().unwrap();
    case.assert_whole();
    // What is not there will not be there in a second.
    assert_eq!((gone.requests().len(), wrong.requests().len(), good.requests().len()), (1, 1, 1));

    let case = Case::new(&[at(&gone), at(&wrong)]);
    let errors: Vec<_> = case.run().unwrap_err().iter().map(ToString::to_string).collect();
    assert!(errors[0].contains("the server says 404 Not Found") && errors[0].contains(&gone.url), "{errors:?}");
    assert!(errors[1].contains("has SHA-256") && errors[1].contains(&wrong.url), "{errors:?}");
    assert!(case.left().is_empty());
}

#[test]
fn servers_that_may_do_better_are_asked_again() {
    let server = Server::start(|number, request| match number {
        0 => Reply::new("503 Service Unavailable", &[], b""),
        1 => Reply::new("429 Too Many Requests", &[], b""),
        _ => Reply::file(request, &body(), TAG),
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
}

#[test]
fn redirects_are_followed_with_the_range_and_loops_end() {
    let server = Server::start(|number, request| match request.path.as_str() {
        "/file" => {
            let reply = Reply::file(request, &body(), TAG);
            if number < 2 { reply.cut(1000) } else { reply }
        }
        "/loop" => Reply::new("302 Found", &["Location: /loop"], b""),
        _ => Reply::new("302 Found", &["Location: /file"], b""),
    });
    let case = Case::new(&[at(&server)]);
    case.run().unwrap();
    case.assert_whole();
    assert_eq!(server.requests()[3].header("range"), Some("bytes=199000-"));

    let case = Case::new(&[format!("{}/loop", server.url)]);
    let errors = case.run().unwrap_err();
    assert!(matches!(&errors[..], [DownloadError::Refused { .. }]), "{errors:?}");
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Server::start(|number, request| {
        let reply = Reply::file(request, &body(), TAG);
        if number == 0 { reply.cut(100_000).hold(Duration::from_secs(4)) } else { reply }
    });
    let mut case = Case::new(&[at(&server)]);
    case.manner = Manner { patience: Duration::from_secs(1), retries: 0, ..manner() };
    let errors = case.run().unwrap_err();
    assert!(errors[0].to_string().contains("no answer in time"), "{errors:?}");
    case.manner = manner();
    case.run().unwrap();
    case.assert_whole();
}

#[test]
fn nobody_at_the_address_is_said_so() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, says) in [
        (format!("http://{closed}/a"), "cannot connect"),
        ("http://name.invalid/a".to_owned(), "cannot connect"),
        ("http://".to_owned(), "no address that can be asked"),
    ] {
        let case = Case::new(std::slice::from_ref(&url));
        let error = case.run().unwrap_err()[0].to_string();
        assert!(error.starts_with(&url) && error.contains(says), "{error}");
        assert!(case.left().is_empty());
    }
}

#[test]
fn an_address_with_tls_does_not_lead_to_one_without() {
    let server = Server::start(|_, request| Reply::file(request, &body(), TAG));
    let client = client(
        &Wanted { urls: &["https://a.invalid/b".into()], sha256: &[], to: Path::new("x"), largest: 1 },
        &manner(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(client.unwrap().get(at(&server)).send()).unwrap_err();
    assert!(error.is_builder(), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn two_at_once_do_not_write_the_same_file() {
    let server = Server::start(|_, request| Reply::file(request, &body(), TAG));
    let case = Case::new(&[at(&server)]);
    let other = Part::open(&case.path()).unwrap();
    let errors = case.run().unwrap_err();
    assert!(matches!(errors[..], [DownloadError::Busy { .. }]), "{errors:?}");
    drop(other);
    case.run().unwrap();
    case.assert_whole();
}

#[test]
fn a_place_that_cannot_be_written_ends_it() {
    let server = Server::start(|_, request| Reply::file(request, &body(), TAG));
    let case = Case::new(&[at(&server), at(&server)]);
    fs::write(case.folder.path().join("new"), "a file, no folder").unwrap();
    let errors = case.run().unwrap_err();
    let [DownloadError::Disk { file, .. }] = &errors[..] else { panic!("{errors:?}") };
    assert!(file.starts_with(case.folder.path()));
    assert!(server.requests().is_empty());
}
