//! How users are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a user is, as phones see it that follow it (RFC 3856).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct Presence {
    /// Whose.
    pub user: String,
    /// Whether it can be reached.
    pub status: PresenceStatus,
    /// What it does: `on-the-phone` while a phone of it is in a call, and what its phones publish (RFC 4480), such as `away`.
    pub activities: Vec<String>,
    /// What it, or the API, says of it.
    pub note: Option<String>,
    /// Whether a phone of it is registered.
    pub registered: bool,
}

/// Whether a user can be reached.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceStatus {
    /// It can: a phone is registered, and none says otherwise.
    Open,
    /// It cannot.
    Closed,
}

/// `PUT /v1/presence/{user}`: what is said of a user from now on, in place of what was said so before. What is absent is
/// left to its phones.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetPresence {
    /// Whatever the phones say. Calls go where they went before.
    pub status: Option<PresenceStatus>,
    /// At most 256 characters.
    pub note: Option<String>,
}
