//! Who may do what: bearer keys, each with its scopes, and perhaps bound to rooms.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::{Desk, Record};
use crate::control::{Command, Control};
use crate::envelope::RequestName;
use crate::error::ApiError;
use crate::id::{AuditId, LegId};
use crate::keys::{Entry, KeyDigest};
use crate::model::AuditEntry;

pub use crate::keys::Keys;

/// A right that a key may carry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub enum Scope {
    /// Read rooms, participants, calls and legs.
    #[serde(rename = "rooms:read")]
    RoomsRead,
    /// Change rooms and participants.
    #[serde(rename = "rooms:control")]
    RoomsControl,
    /// Place calls; hang up, hold and transfer legs.
    #[serde(rename = "calls:write")]
    CallsWrite,
    /// Read recordings.
    #[serde(rename = "recordings:read")]
    RecordingsRead,
    /// Read and change users, trunks, routes and webhooks.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Read the event log and the levels.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Everything, and the metrics.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// The published name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoomsRead => "rooms:read",
            Self::RoomsControl => "rooms:control",
            Self::CallsWrite => "calls:write",
            Self::RecordingsRead => "recordings:read",
            Self::ConfigWrite => "config:write",
            Self::EventsRead => "events:read",
            Self::Admin => "admin",
        }
    }

    /// What a request needs.
    fn needed_for(method: &Method, path: &str) -> Self {
        let mut parts = path.strip_prefix("/v1/").unwrap_or_default().split('/');
        let (resource, part) = (parts.next(), parts.nth(1));
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match resource {
            Some("events") => Self::EventsRead,
            // What was said in SIP tells of the network, and of who else is called.
            Some("calls" | "legs") if part == Some("trace") => Self::Admin,
            Some("rooms" | "calls" | "legs" | "records" | "playbacks" | "media") if reads => {
                Self::RoomsRead
            }
            Some("rooms" | "playbacks") => Self::RoomsControl,
            Some("calls" | "legs") => Self::CallsWrite,
            Some("users" | "trunks" | "routes" | "webhooks" | "media") => Self::ConfigWrite,
            Some("recordings") if reads => Self::RecordingsRead,
            _ => Self::Admin,
        }
    }
}

/// Digest of the key that a request came with: whose request it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Principal(pub(crate) KeyDigest);

/// The rooms that the key of a request is bound to; none: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds(Arc<[String]>);

impl Bounds {
    /// Whether somebody may be moved to the room of this id or name.
    pub(crate) fn check(&self, room: Option<&str>) -> Result<(), ApiError> {
        let Some(room) = room else { return Ok(()) };
        if self.0.is_empty() || self.names(room) { Ok(()) } else { Err(self.exceeded()) }
    }

    fn names(&self, room: &str) -> bool {
        self.0.iter().any(|bound| bound == room)
    }

    fn exceeded(&self) -> ApiError {
        ApiError::OutOfBounds(self.0.join(", "))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Bounds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// What is asked before a request goes on.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) keys: Keys,
    /// Knows which room has which name, and who is in it.
    pub(crate) control: Control,
    /// Where the audit goes.
    pub(crate) desk: Desk,
}

/// Lets a request through when its key may do what it asks, and has every command remembered, refused ones included.
pub(crate) async fn authorise(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let known = gate.keys.find(bearer(&request)?);
    let (digest, entry) = known.ok_or(ApiError::Unauthorized("this key is not known"))?;
    if entry.expires_at.is_some_and(|at| at <= Timestamp::now()) {
        return Err(ApiError::Unauthorized("this key has expired"));
    }
    let commanded = commanded(&request, &entry);
    let answer = go_on(&gate, request, (next, Principal(digest), &entry)).await;
    if let Some(commanded) = commanded {
        let status = answer.as_ref().map_or_else(ApiError::status, Response::status).as_u16();
        let now = Timestamp::now();
        let id = AuditId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), random());
        let entry = AuditEntry { id, time: now, status, ..commanded };
        gate.desk.note(Record::Audit(Box::new(entry)));
    }
    answer
}

async fn go_on(
    gate: &Gate,
    mut request: Request,
    (next, principal, entry): (Next, Principal, &Entry),
) -> Result<Response, ApiError> {
    let needed = Scope::needed_for(request.method(), request.uri().path());
    if !entry.scopes.contains(&needed) && !entry.scopes.contains(&Scope::Admin) {
        return Err(ApiError::Forbidden(needed));
    }
    let bounds = Bounds(Arc::clone(&entry.rooms));
    if !bounds.0.is_empty() {
        stay_within(&gate.control, &bounds, request.uri()).await?;
    }
    let extensions = request.extensions_mut();
    extensions.insert(principal);
    extensions.insert(bounds);
    Ok(next.run(request).await)
}

/// What is remembered of a request that does more than read, but for its answer.
fn commanded(request: &Request, entry: &Entry) -> Option<AuditEntry> {
    if request.method().is_safe() {
        return None;
    }
    let request_id = request.extensions().get::<RequestName>();
    Some(AuditEntry {
        id: AuditId::new(0, 0),
        time: Timestamp::UNIX_EPOCH,
        key: entry.id,
        key_name: entry.name.clone(),
        method: request.method().to_string(),
        path: request.uri().path().chars().take(LONGEST_PATH).collect(),
        status: 0,
        request_id: request_id.map(|name| name.0.clone()).unwrap_or_default(),
    })
}

fn random() -> u128 {
    let mut random = [0; 16];
    // Without randomness ids are only as unique as the clock, which is good enough to go on.
    getrandom::fill(&mut random).map_or(0, |()| u128::from_ne_bytes(random))
}

/// A key that is bound to rooms sees these rooms, the legs in them, and their events.
async fn stay_within(control: &Control, bounds: &Bounds, uri: &Uri) -> Result<(), ApiError> {
    let path = uri.path().strip_prefix("/v1/").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let room = match parts.as_slice() {
        ["rooms", room, ..] => Some((*room).to_owned()),
        // A transfer leads out of the room.
        ["legs", leg, rest @ ..] if rest != ["transfer"] => room_of(control, leg).await,
        ["events", ..] => queried_room(uri),
        _ => None,
    };
    let room = room.ok_or_else(|| bounds.exceeded())?;
    if bounds.names(&room) {
        return Ok(());
    }
    let found = control.ask(|reply| Command::Room { room, reply }).await;
    let is_bound =
        found.is_ok_and(|room| bounds.names(&room.name) || bounds.names(&room.id.to_string()));
    if is_bound { Ok(()) } else { Err(bounds.exceeded()) }
}

async fn room_of(control: &Control, leg: &str) -> Option<String> {
    let leg: LegId = leg.parse().ok()?;
    let found = control.ask(|reply| Command::Leg { leg, reply }).await;
    found.ok()?.room.map(|room| room.to_string())
}

/// The room whose events alone are wanted.
fn queried_room(uri: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct Asked {
        room: Option<String>,
    }

    let query = axum::extract::Query::<Asked>::try_from_uri(uri).ok()?;
    query.0.room
}

fn bearer(request: &Request) -> Result<&str, ApiError> {
    const MISSING: ApiError =
        ApiError::Unauthorized("send the key as a header: Authorization: Bearer KEY");
    let value = request.headers().get(header::AUTHORIZATION).ok_or(MISSING)?;
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(MISSING)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(MISSING) }
}

/// Most of a path that is remembered, characters.
const LONGEST_PATH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_scopes() {
        let keys = Keys::admin("root").with("watcher", &[Scope::RoomsRead]);
        let scopes = |key: &str| keys.find(key).map(|(_, entry)| entry.scopes.clone());

        assert_eq!(scopes("root"), Some(vec![Scope::Admin]));
        assert_eq!(scopes("watcher"), Some(vec![Scope::RoomsRead]));
        assert_eq!(scopes("roo"), None);
    }

    #[test]
    fn what_a_request_needs_follows_from_method_and_path() {
        let cases = [
            (Method::GET, "/v1/rooms/x/participants", Scope::RoomsRead),
            (Method::PATCH, "/v1/rooms/x", Scope::RoomsControl),
            (Method::POST, "/v1/legs/x/transfer", Scope::CallsWrite),
            (Method::GET, "/v1/legs/x/trace", Scope::Admin),
            (Method::GET, "/v1/events/stream", Scope::EventsRead),
            (Method::GET, "/v1/users", Scope::ConfigWrite),
            (Method::DELETE, "/v1/trunks/x", Scope::ConfigWrite),
            (Method::POST, "/v1/webhooks/x/test", Scope::ConfigWrite),
            (Method::GET, "/metrics", Scope::Admin),
            (Method::GET, "/v1/nodes", Scope::Admin),
            (Method::GET, "/v1/api_keys", Scope::Admin),
        ];

        for (method, path, needed) in cases {
            assert_eq!(Scope::needed_for(&method, path), needed, "{method} {path}");
        }
    }
}
