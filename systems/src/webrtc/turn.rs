//! Credentials of TURN servers that are good for a while, as coturn and others check them: the user's name begins with the time
//! at which they end, and the password is its HMAC-SHA1 with a secret that vehicle and server share ("A REST API For Access To
//! TURN Services", draft-uberti-behave-turn-rest-00).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::hub::IceServer;

/// TURN servers, and the secret that they share with the vehicle.
#[derive(Clone)]
pub struct Turn {
    /// Their addresses: `turn:relay.example:3478`.
    pub urls: Vec<String>,
    /// The secret.
    pub secret: Vec<u8>,
    /// How long credentials are good, in seconds.
    pub lifetime_s: u32,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Turn({:?})", self.urls)
    }
}

impl Turn {
    /// The servers, with credentials for `name` that are good from `now_s` on, seconds since 1970 UTC.
    pub fn server(&self, name: &str, now_s: u64) -> IceServer {
        let username = format!("{}:{name}", now_s.saturating_add(self.lifetime_s.into()));
        // A key may be of any length.
        let credential = Hmac::<Sha1>::new_from_slice(&self.secret).map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(username.as_bytes());
                STANDARD.encode(mac.finalize().into_bytes())
            },
        );
        IceServer { urls: self.urls.clone(), username, credential }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_others_compute() {
        let urls = vec!["turn:relay.example:3478".to_owned()];
        let turn = Turn { urls: urls.clone(), secret: b"north".to_vec(), lifetime_s: 600 };
        let server = turn.server("vehicle-1", 1_700_000_000);
        assert_eq!((server.urls, server.username.as_str()), (urls, "1700000600:vehicle-1"));
        // printf 1700000600:vehicle-1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(server.credential, "qwKCn8lH1XTfXlhK7dm8wCmegFo=");
        assert!(!format!("{turn:?}").contains("north"));
    }
}
