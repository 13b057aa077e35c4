//! Who may do what: bearer keys, kept and compared as SHA-256 digests, each with its scopes.

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::ApiError;

/// A right that a key may carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// Read rooms, participants, calls and legs.
    RoomsRead,
    /// Change rooms and participants.
    RoomsControl,
    /// Place calls; hang up, hold and transfer legs.
    CallsWrite,
    /// Read the event log and the levels.
    EventsRead,
    /// Everything, and the metrics.
    Admin,
}

impl Scope {
    /// The published name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoomsRead => "rooms:read",
            Self::RoomsControl => "rooms:control",
            Self::CallsWrite => "calls:write",
            Self::EventsRead => "events:read",
            Self::Admin => "admin",
        }
    }

    /// What a request needs.
    fn needed_for(method: &Method, path: &str) -> Self {
        let resource = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next());
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match resource {
            Some("events") => Self::EventsRead,
            Some("rooms" | "calls" | "legs") if reads => Self::RoomsRead,
            Some("rooms") => Self::RoomsControl,
            Some("calls" | "legs") => Self::CallsWrite,
            _ => Self::Admin,
        }
    }
}

/// The keys that are let in. Only their digests are kept.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(KeyDigest, Vec<Scope>)>);

type KeyDigest = [u8; 32];

impl Keys {
    /// One key that may do everything.
    pub fn admin(key: &str) -> Self {
        Self::default().with(key, &[Scope::Admin])
    }

    /// The key with this SHA-256 may do everything.
    pub fn admin_digest(digest: [u8; 32]) -> Self {
        Self(vec![(digest, vec![Scope::Admin])])
    }

    /// Adds a key with its scopes.
    #[must_use]
    pub fn with(mut self, key: &str, scopes: &[Scope]) -> Self {
        self.0.push((digest(key), scopes.to_vec()));
        self
    }

    /// The scopes of `key`; takes the same time whichever key it is or misses.
    fn scopes(&self, key: &str) -> Option<&[Scope]> {
        let given = digest(key);
        self.0.iter().fold(None, |found, (known, scopes)| {
            if bool::from(known.ct_eq(&given)) { Some(scopes.as_slice()) } else { found }
        })
    }
}

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// Digest of the key that a request came with: whose request it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Principal(pub(crate) KeyDigest);

/// Lets a request through when its key may do what it asks.
pub(crate) async fn authorise(
    State(keys): State<Keys>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let key = bearer(&request)?;
    let scopes = keys.scopes(key).ok_or(ApiError::Unauthorized("this key is not known"))?;
    let needed = Scope::needed_for(request.method(), request.uri().path());
    if !scopes.contains(&needed) && !scopes.contains(&Scope::Admin) {
        return Err(ApiError::Forbidden(needed));
    }
    let principal = Principal(digest(key));
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn bearer(request: &Request) -> Result<&str, ApiError> {
    const MISSING: ApiError =
        ApiError::Unauthorized("send the key as a header: Authorization: Bearer KEY");
    let value = request.headers().get(header::AUTHORIZATION).ok_or(MISSING)?;
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(MISSING)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(MISSING) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_scopes() {
        let keys = Keys::admin("root").with("watcher", &[Scope::RoomsRead]);

        assert_eq!(keys.scopes("root"), Some([Scope::Admin].as_slice()));
        assert_eq!(keys.scopes("watcher"), Some([Scope::RoomsRead].as_slice()));
        assert_eq!(keys.scopes("roo"), None);
    }

    #[test]
    fn what_a_request_needs_follows_from_method_and_path() {
        let cases = [
            (Method::GET, "/v1/rooms/x/participants", Scope::RoomsRead),
            (Method::PATCH, "/v1/rooms/x", Scope::RoomsControl),
            (Method::POST, "/v1/legs/x/transfer", Scope::CallsWrite),
            (Method::GET, "/v1/events/stream", Scope::EventsRead),
            (Method::GET, "/metrics", Scope::Admin),
            (Method::GET, "/v1/nodes", Scope::Admin),
        ];

        for (method, path, needed) in cases {
            assert_eq!(Scope::needed_for(&method, path), needed, "{method} {path}");
        }
    }
}
