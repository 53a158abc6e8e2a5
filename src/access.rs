//! Who may see and do what over the network: tokens, their scopes, and who has come with one.
//!
//! A token is a long random text that a person or a program brings. Those of the tokens file may do what their scopes say; that
//! of `http.token_file` may do everything. Only hashes of them are kept in memory. The guard of the server
//! ([`crate::http`]) finds out who asks; a route says what is needed:
//!
//! ```ignore
//! Router::new().route("/api/scene", get(scene)).route_layer(access::needs(Scope::View))
//! ```
//!
//! A route finds who asks in the extension [`Visitor`] of its request.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;
use waywarden_systems::clock::boottime;

use crate::config::Http;
use crate::failure::Failure;
use crate::http::{Problem, token};
use crate::uplink;

mod failures;
mod session;
mod tokens;

pub(crate) use session::cookie;
pub use session::{COOKIE, routes};
pub use tokens::{Entry, make};

use failures::Failures;
use session::Sessions;

/// How long a ticket is good.
const TICKET: Duration = Duration::from_secs(60);

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To see and hear what the vehicle sees and hears, and what it has recorded.
    View,
    /// To be heard in the vehicle.
    Talk,
    /// To give commands.
    Command,
    /// To see the config.
    Config,
    /// To ask as an agent, over the Model Context Protocol.
    Mcp,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::View, Self::Talk, Self::Command, Self::Config, Self::Mcp];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "view",
            Self::Talk => "talk",
            Self::Command => "command",
            Self::Config => "config",
            Self::Mcp => "mcp",
        })
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The name of the token, for logs and for what is recorded.
    pub name: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// Which of all tokens that were ever in force in this run: one that is made anew under the same name is another one.
    pub issue: u64,
}

impl Visitor {
    /// Whether this is allowed.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Where a request comes from. The listener puts it on every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// SHA-256 of a token, so that comparing takes the same time whatever comes, and memory holds no secret.
type Hash = [u8; 32];

fn hash(token: &[u8]) -> Hash {
    Sha256::digest(token).into()
}

/// The tokens in force.
#[derive(Debug, Default)]
struct Keys {
    keys: Vec<(Hash, Visitor)>,
    /// Tokens that were ever in force.
    issued: u64,
}

impl Keys {
    /// These are in force from now on. One that is the same as before, and allows the same, is still the same one. Says whether
    /// anything is another.
    fn replace(&mut self, entries: impl IntoIterator<Item = Entry>) -> bool {
        let issued = self.issued;
        let before = std::mem::take(&mut self.keys);
        for Entry { name, token, scopes } in entries {
            let hash = hash(token.as_bytes());
            let same = before
                .iter()
                .find(|(known, visitor)| *known == hash && visitor.name == name && visitor.scopes == scopes);
            let visitor = same.map(|(_, visitor)| visitor.clone()).unwrap_or_else(|| {
                self.issued += 1;
                Visitor { name, scopes, issue: self.issued }
            });
            self.keys.push((hash, visitor));
        }
        self.issued != issued || self.keys.len() != before.len()
    }
}

/// The tokens that are known, and who has come with one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    keys: watch::Sender<Keys>,
    failures: Mutex<Failures>,
    sessions: Mutex<Sessions>,
    tickets: Mutex<Sessions>,
}

impl Access {
    /// The tokens of a config. Where there is no tokens file one is made; where that cannot be, it is logged, and nobody has a
    /// token of it.
    ///
    /// # Errors
    /// When a file is there and cannot be used.
    pub fn begin(config: &Http) -> Result<Self, Failure> {
        Ok(Self::of(made(config)?))
    }

    /// The tokens of a config, as far as there are files.
    ///
    /// # Errors
    /// When a file is there and cannot be used.
    pub fn read(config: &Http) -> Result<Self, Failure> {
        Ok(Self::of(entries(config)?))
    }

    /// These tokens.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let access = Self::default();
        access.replace(entries);
        access
    }

    /// Reads the files of a config anew, as [`Self::begin`] does, and gives the names of all tokens that are in force now, if others
    /// are than before. What goes on with a token that is no longer, or allows something else, ends ([`Self::revoked`]).
    ///
    /// # Errors
    /// When a file is there and cannot be used: the tokens of before stay in force.
    pub fn reread(&self, config: &Http) -> Result<Option<Vec<String>>, Failure> {
        let entries = made(config)?;
        let names = entries.iter().map(|entry| entry.name.clone()).collect();
        Ok(self.replace(entries).then_some(names))
    }

    /// These tokens are in force from now on, and no others. Says whether they are others than before.
    pub fn replace(&self, entries: impl IntoIterator<Item = Entry>) -> bool {
        self.0.keys.send_if_modified(|keys| keys.replace(entries))
    }

    /// Whether the token that somebody came with is still in force, and allows what it did.
    pub fn is_in_force(&self, visitor: &Visitor) -> bool {
        self.0.keys.borrow().keys.iter().any(|(_, known)| known == visitor)
    }

    /// Waits until the token that somebody came with is not in force any more.
    pub async fn revoked(&self, visitor: &Visitor) {
        let mut keys = self.0.keys.subscribe();
        // It fails where nobody can replace tokens any more: nothing is revoked then.
        let revoked = |keys: &Keys| !keys.keys.iter().any(|(_, known)| known == visitor);
        if keys.wait_for(revoked).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.0.keys.borrow().keys.is_empty()
    }

    /// Whose token this is. It takes the same time whichever it is, and is refused for a while to a peer whose tokens were wrong
    /// too often.
    ///
    /// # Errors
    /// 401 where it is nobody's, 429 where it was not looked at.
    pub fn visitor(&self, token: &[u8], peer: IpAddr) -> Result<Visitor, Problem> {
        let now = boottime();
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seconds) = failures.wait(peer, now) {
            let detail = "too many wrong tokens came from this address";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds));
        }
        let found = self.find(token);
        if found.is_none() {
            failures.count(peer, now);
            tracing::info!("http: a wrong token from {peer}");
        }
        found.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "this token is nobody's"))
    }

    fn find(&self, token: &[u8]) -> Option<Visitor> {
        let brought = hash(token);
        let mut found = u64::MAX;
        let keys = self.0.keys.borrow();
        for (n, (known, _)) in (0..).zip(&keys.keys) {
            let same: Choice = known.ct_eq(&brought);
            found.conditional_assign(&n, same);
        }
        let (_, visitor) = keys.keys.get(usize::try_from(found).ok()?)?;
        Some(visitor.clone())
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text that lets a visitor in once, within a minute: for programs that can be told an address and nothing else.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn ticket(&self, visitor: Visitor) -> std::io::Result<String> {
        let ticket = secret()?;
        let mut tickets = self.0.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.begin(hash(ticket.as_bytes()), visitor, boottime(), TICKET);
        Ok(ticket)
    }

    /// Whose ticket this is. It is none from now on.
    pub(crate) fn of_ticket(&self, ticket: &[u8]) -> Option<Visitor> {
        let (ticket, mut tickets) = (hash(ticket), self.0.tickets.lock().unwrap_or_else(PoisonError::into_inner));
        let visitor = tickets.visitor(&ticket, boottime());
        tickets.end(&ticket);
        visitor.filter(|visitor| self.is_in_force(visitor))
    }

    /// Who has this cookie, if it is still good.
    pub(crate) fn of_cookie(&self, cookie: &[u8]) -> Option<Visitor> {
        self.sessions().visitor(&hash(cookie), boottime()).filter(|visitor| self.is_in_force(visitor))
    }
}

/// What the files of a config say, as far as there are any.
fn entries(config: &Http) -> Result<Vec<Entry>, Failure> {
    let mut entries = tokens::read(&tokens_file(config))?;
    if !config.token_file.is_empty() {
        let token = token("http.token_file", &config.token_file)?;
        entries.push(Entry { name: "token_file".to_owned(), token, scopes: Scope::ALL.into() });
    }
    Ok(entries)
}

/// The same, where a tokens file is made if there is none.
fn made(config: &Http) -> Result<Vec<Entry>, Failure> {
    let path = tokens_file(config);
    match make(&path) {
        Ok(true) => tracing::info!("http: tokens for the operator's page and for agents are in {}", path.display()),
        Ok(false) => {}
        Err(error) => tracing::warn!("http: {}: no tokens can be made: {error}", path.display()),
    }
    entries(config)
}

/// Where the tokens of a config are.
pub fn tokens_file(config: &Http) -> PathBuf {
    if config.tokens_file.is_empty() {
        uplink::state_folder().join("tokens.toml")
    } else {
        PathBuf::from(&config.tokens_file)
    }
}

/// A random text that nobody guesses: 64 hexadecimal digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn secret() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

type Asking = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A layer by which a route asks for a scope.
pub type Needs = FromFnLayer<fn(State<Scope>, Request, Next) -> Asking, Scope, (State<Scope>, Request)>;

/// Lets only those to a route who may do this: 401 for whoever brings no token, 403 where the token does not allow it.
pub fn needs(scope: Scope) -> Needs {
    from_fn_with_state(scope, ask as fn(State<Scope>, Request, Next) -> Asking)
}

fn ask(State(scope): State<Scope>, request: Request, next: Next) -> Asking {
    Box::pin(async move {
        match request.extensions().get::<Visitor>() {
            Some(visitor) if visitor.may(scope) => next.run(request).await,
            Some(visitor) => {
                let detail = format!("the token `{}` does not allow this: it lacks the scope `{scope}`", visitor.name);
                Problem::new(StatusCode::FORBIDDEN, detail).into_response()
            }
            None => Problem::new(StatusCode::UNAUTHORIZED, format!("a token with the scope `{scope}` is asked for"))
                .into_response(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn entry(name: &str, token: &str, scopes: &[Scope]) -> Entry {
        Entry { name: name.into(), token: token.into(), scopes: scopes.iter().copied().collect() }
    }

    #[test]
    fn each_token_is_found_and_no_other() {
        let access = Access::of([
            entry("a", "0123456789abcdef", &[Scope::View]),
            entry("b", "fedcba9876543210", &[Scope::View, Scope::Command]),
        ]);
        let name = |token: &[u8]| access.find(token).map(|visitor| visitor.name);
        assert_eq!(name(b"0123456789abcdef").as_deref(), Some("a"));
        assert_eq!(name(b"fedcba9876543210").as_deref(), Some("b"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdef ", b"fedcba9876543211"] {
            assert_eq!(name(wrong), None);
        }
        assert!(access.find(b"fedcba9876543210").unwrap().may(Scope::Command));
        assert!(!access.find(b"0123456789abcdef").unwrap().may(Scope::Command));
        assert_eq!(Access::default().find(b""), None);
    }

    #[test]
    fn who_guesses_is_made_to_wait() {
        let access = Access::of([entry("a", "0123456789abcdef", &[])]);
        let statuses: Vec<u16> = (0..100)
            .map(|_| access.visitor(b"guess", HERE).map_or_else(|problem| problem.status.as_u16(), |_| 200))
            .collect();
        assert_eq!((statuses[0], statuses[99]), (401, 429));
        // The right one is not told from a wrong one then; another peer is not concerned.
        let waiting = access.visitor(b"0123456789abcdef", HERE).unwrap_err();
        assert!(waiting.status == 429 && waiting.retry_after > Some(0), "{waiting:?}");
        assert!(access.visitor(b"0123456789abcdef", IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))).is_ok());
    }

    #[test]
    fn a_ticket_lets_in_once() {
        let access = Access::of([entry("a", "0123456789abcdef", &[Scope::View])]);
        let visitor = access.find(b"0123456789abcdef").unwrap();
        let ticket = access.ticket(visitor.clone()).unwrap();
        assert_eq!(access.of_ticket(b"another"), None);
        assert_eq!(access.of_ticket(ticket.as_bytes()), Some(visitor));
        assert_eq!(access.of_ticket(ticket.as_bytes()), None);
    }

    #[tokio::test]
    async fn what_is_replaced_is_in_force_no_longer() {
        let entries = |b: &str, scopes| [entry("a", "0123456789abcdef", &[Scope::View]), entry("b", b, scopes)];
        let access = Access::of(entries("fedcba9876543210", &[Scope::View]));
        let (a, b) = (access.find(b"0123456789abcdef").unwrap(), access.find(b"fedcba9876543210").unwrap());
        let (tickets, waits) = ([&a, &b].map(|who| access.ticket(who.clone()).unwrap()), access.clone());
        let who = b.clone();
        let waiting = tokio::spawn(async move { waits.revoked(&who).await });
        assert!(!access.replace(entries("fedcba9876543210", &[Scope::View])));
        tokio::task::yield_now().await;
        assert!(access.is_in_force(&a) && access.is_in_force(&b) && !waiting.is_finished());
        // Another token under the same name is another one, and so is one that allows more.
        assert!(access.replace(entries("another9876543210", &[Scope::View])));
        assert!(access.is_in_force(&a) && !access.is_in_force(&b) && access.find(b"fedcba9876543210").is_none());
        waiting.await.unwrap();
        assert_eq!(tickets.map(|ticket| access.of_ticket(ticket.as_bytes())), [Some(a.clone()), None]);
        let c = access.find(b"another9876543210").unwrap();
        access.replace(entries("another9876543210", &[Scope::View, Scope::Talk]));
        assert!(access.is_in_force(&a) && !access.is_in_force(&c));
        // One that comes back is not the one that went.
        assert!(access.replace([]));
        access.replace(entries("fedcba9876543210", &[Scope::View]));
        assert!(!access.is_in_force(&a) && access.find(b"0123456789abcdef").is_some());
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (a, b) = (secret().unwrap(), secret().unwrap());
        assert!(a.len() == 64 && a != b && a.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn memory_holds_no_token() {
        let access = Access::of([entry("a", "0123456789abcdef", &[])]);
        assert!(!format!("{access:?}").contains("0123456789abcdef"));
    }
}
