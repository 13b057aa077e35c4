//! Tokens for one room, for hosts and embedded pages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Scope;
use crate::id::RoomId;

/// `POST /v1/rooms/{room}/tokens`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRoomToken {
    /// What it may do, at least one of `rooms:read`, `rooms:control` and `events:read`, and no more than the key that makes it.
    pub scopes: Vec<Scope>,
    /// Seconds until it is not good any more, 1 to 86,400.
    #[serde(default = "an_hour")]
    #[schema(default = 3600)]
    pub expires_in_s: u32,
}

fn an_hour() -> u32 {
    3600
}

/// A token that was made just now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RoomToken {
    /// The token itself, to be used as a key: it cannot be had again.
    pub token: String,
    /// The room that it is bound to.
    pub room: RoomId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is not good any more, at the latest: it ends with the room, and with the key that made it.
    pub expires_at: Timestamp,
}
