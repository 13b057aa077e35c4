//! Tokens for one room, for hosts and embedded pages, and for who has logged in by password: signed, not stored.
//!
//! A token says what it is good for and who made it, and is as good as its maker: what the key cannot do any more, or once it is
//! gone, the token cannot either. So there is no table that somebody could fill, and nothing to revoke one by one. The secret that
//! signs them is new at each start, after which no room of before is open.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::auth::Scope;
use crate::id::{ApiKeyId, RoomId};

/// What signs tokens; cheap to clone.
#[derive(Clone)]
pub(crate) struct Signer(Option<Arc<[u8; 32]>>);

/// What a token says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Claims {
    pub(crate) room: RoomId,
    pub(crate) scopes: Vec<Scope>,
    /// Seconds since 1970.
    pub(crate) expires: i64,
    /// The key that made it; `None`: one that was given at start.
    pub(crate) key: Option<ApiKeyId>,
}

/// What a token says of somebody who has logged in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SessionClaims {
    /// As the directory writes it.
    pub(crate) user: String,
    pub(crate) scopes: Vec<Scope>,
    /// Seconds since 1970.
    pub(crate) expires: i64,
}

impl Signer {
    /// With a secret that nobody knows; without randomness no token is made, and none accepted.
    pub(crate) fn new() -> Self {
        let mut secret = [0; 32];
        Self(getrandom::fill(&mut secret).ok().map(|()| Arc::new(secret)))
    }

    /// The token; `None` without a secret.
    pub(crate) fn sign(&self, claims: &Claims) -> Option<String> {
        self.signed(PREFIX, claims)
    }

    /// The same for who has logged in.
    pub(crate) fn sign_session(&self, claims: &SessionClaims) -> Option<String> {
        self.signed(SESSION_PREFIX, claims)
    }

    /// What a token says, if we have signed it.
    pub(crate) fn open(&self, token: &str) -> Option<Claims> {
        self.opened(PREFIX, token)
    }

    /// The same of one that somebody has who has logged in.
    pub(crate) fn open_session(&self, token: &str) -> Option<SessionClaims> {
        self.opened(SESSION_PREFIX, token)
    }

    fn signed(&self, prefix: &str, claims: &impl Serialize) -> Option<String> {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?);
        let proof = self.mac(prefix, &body)?.finalize().into_bytes();
        Some(format!("{prefix}{body}.{}", URL_SAFE_NO_PAD.encode(proof)))
    }

    fn opened<T: DeserializeOwned>(&self, prefix: &str, token: &str) -> Option<T> {
        let (body, proof) = token.strip_prefix(prefix)?.split_once('.')?;
        self.mac(prefix, body)?.verify_slice(&URL_SAFE_NO_PAD.decode(proof).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }

    /// One kind of token is never taken for another.
    fn mac(&self, prefix: &str, body: &str) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_ref()?.as_slice()).ok()?;
        Some(mac.chain_update(prefix).chain_update(body))
    }
}

/// The secret is in no log.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Whether somebody shows a token, good or not, and not a key.
pub(crate) fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether somebody shows that they have logged in, truly or not.
pub(crate) fn is_session(text: &str) -> bool {
    text.starts_with(SESSION_PREFIX)
}

/// What every token begins with.
const PREFIX: &str = "plenary_room_";
const SESSION_PREFIX: &str = "plenary_session_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_where_it_was_signed_and_as_it_was_signed() {
        let (ours, theirs) = (Signer::new(), Signer::new());
        let claims = Claims {
            room: RoomId::new(1, 2),
            scopes: vec![Scope::EventsRead],
            expires: 3,
            key: None,
        };

        let token = ours.sign(&claims).unwrap();
        let opened = ours.open(&token);
        let is_same = opened.as_ref() == Some(&claims);
        let more = Claims { scopes: vec![Scope::Admin], ..claims };
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&more).unwrap());
        let forged = format!("{PREFIX}{body}.{}", token.split_once('.').unwrap().1);

        assert!(is_same, "{opened:?}");
        assert_eq!(theirs.open(&token), None);
        assert_eq!(ours.open(&forged), None);
    }

    #[test]
    fn a_token_of_one_kind_is_none_of_another() {
        let signer = Signer::new();
        let claims = SessionClaims { user: "ada".to_owned(), scopes: Vec::new(), expires: 3 };

        let session = signer.sign_session(&claims).unwrap();
        let body = session.strip_prefix(SESSION_PREFIX).unwrap();

        assert_eq!(signer.open_session(&session), Some(claims));
        assert!(signer.opened::<SessionClaims>(PREFIX, &format!("{PREFIX}{body}")).is_none());
    }
}
