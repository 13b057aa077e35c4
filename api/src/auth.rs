//! Who may do what: scopes, and rooms that a key is bound to.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::{Command, Control, ControlError};
use crate::error::ApiError;
use crate::id::{LegId, RoomId};
use crate::model::Audience;
use crate::routes::room_id;

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
    pub(crate) fn needed_for(method: &Method, path: &str) -> Self {
        let mut parts = path.strip_prefix("/v1/").unwrap_or_default().split('/');
        let (resource, part) = (parts.next(), parts.nth(1));
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match resource {
            Some("events" | "ws") => Self::EventsRead,
            // What was said in SIP tells of the network, and of who else is called.
            Some("calls" | "legs") if part == Some("trace") => Self::Admin,
            Some(
                "rooms" | "room_templates" | "calls" | "legs" | "records" | "playbacks" | "media",
            ) if reads => Self::RoomsRead,
            // Whoever may call may see whom.
            Some("calls" | "legs" | "directory") => Self::CallsWrite,
            Some("users" | "trunks" | "routes" | "webhooks" | "media" | "room_templates") => {
                Self::ConfigWrite
            }
            Some("recordings") if reads => Self::RecordingsRead,
            // What calls and legs are played, or are recorded of, needs `calls:write` too.
            Some("rooms" | "playbacks" | "recordings") => Self::RoomsControl,
            _ => Self::Admin,
        }
    }
}

/// The rooms that the key of a request is bound to; none: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds(pub(crate) Arc<[String]>);

impl Bounds {
    /// Whether somebody may be moved to the room of this id or name.
    pub(crate) fn check(&self, room: Option<&str>) -> Result<(), ApiError> {
        let Some(room) = room else { return Ok(()) };
        if self.0.is_empty() || self.names(room) { Ok(()) } else { Err(self.exceeded()) }
    }

    /// Whether the room of this id or name is one of them, by whichever of both.
    pub(crate) async fn admit(&self, control: &Control, room: &str) -> Result<(), ApiError> {
        if self.0.is_empty() || self.names(room) {
            return Ok(());
        }
        let room = room.to_owned();
        let found = control.ask(|reply| Command::Room { room, reply }).await;
        let is_one =
            found.is_ok_and(|room| self.names(&room.name) || self.names(&room.id.to_string()));
        if is_one { Ok(()) } else { Err(self.exceeded()) }
    }

    /// Whether something may be played to this one: a room, or a leg while it sits in one.
    pub(crate) async fn admit_hearer(
        &self,
        control: &Control,
        hearer: &Audience,
    ) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let room = match hearer {
            Audience::Room(room) => Some(room.clone()),
            Audience::Leg(leg) => room_of(control, *leg).await,
            Audience::Call(_) => None,
        };
        self.admit(control, &room.ok_or_else(|| self.exceeded())?).await
    }

    /// The ids of those that there are, for a filter: none only if the key is not bound.
    pub(crate) async fn rooms(&self, control: &Control) -> Result<Vec<RoomId>, ApiError> {
        let mut rooms = Vec::new();
        for room in self.0.iter() {
            rooms.extend(room_id(control, room.clone()).await.ok());
        }
        if rooms.is_empty() && !self.0.is_empty() {
            let name = self.0.join(", ");
            return Err(ControlError::NotFound { what: "room", name }.into());
        }
        Ok(rooms)
    }

    /// Whether the room of this id or name is one of them, or all are.
    pub(crate) fn name_one_of(&self, mut names: impl Iterator<Item = String>) -> bool {
        self.0.is_empty() || names.any(|name| self.names(&name))
    }

    fn names(&self, room: &str) -> bool {
        self.0.iter().any(|bound| bound == room)
    }

    pub(crate) fn exceeded(&self) -> ApiError {
        ApiError::OutOfBounds(self.0.join(", "))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Bounds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The room that a leg sits in, or did.
async fn room_of(control: &Control, leg: LegId) -> Option<String> {
    let found = control.ask(|reply| Command::Leg { leg, reply }).await;
    found.ok()?.room.map(|room| room.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_scopes() {
        let keys = Keys::admin("root").with("watcher", &[Scope::RoomsRead]);
        let digest = crate::keys::digest;
        let scopes = |key: &str| keys.find(&digest(key)).map(|entry| entry.scopes.clone());

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
            (Method::GET, "/v1/directory", Scope::CallsWrite),
        ];

        for (method, path, needed) in cases {
            assert_eq!(Scope::needed_for(&method, path), needed, "{method} {path}");
        }
    }
}
