//! What rooms are made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::group::{AudioGroup, GroupChanges, changes_schema};
use super::manners::{RoomManners, RoomSettings};
use super::object::kept_objects;

/// What rooms are made of that name it, or whose names it is for. PINs are not shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RoomTemplate {
    /// 1 to 64 of `A-Z a-z 0-9 - _ . + ~`.
    pub name: String,
    /// Rooms that callers make by calling such a name, where they may make one, are made of it.
    pub names: Option<String>,
    /// They start locked.
    pub locked: bool,
    /// Seats.
    pub max_participants: Option<u32>,
    /// How many people are mixed at once.
    pub contributors: Option<u32>,
    /// How they treat those who come, are there and leave.
    pub settings: RoomManners,
    /// Their audio groups.
    pub groups: BTreeMap<String, AudioGroup>,
    /// Rises with each change; also the `ETag`.
    pub revision: u64,
    /// When it was made, or made anew.
    pub created_at: Timestamp,
}

kept_objects! { PutRoomTemplate }

/// `PUT /v1/room_templates/{template}`: what is absent is as usual.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct PutRoomTemplate {
    /// Rooms that callers make by calling such a name (`team-*`), where they may make one, are made of it; of several templates the longest pattern counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// They start locked.
    pub locked: bool,
    /// Seats (1 to the configured limit).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_participants: Option<u32>,
    /// How many people are mixed at once (1 to 64).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributors: Option<u32>,
    /// How they treat those who come, are there and leave.
    pub settings: RoomSettings,
    /// Their audio groups, by name.
    #[schema(schema_with = changes_schema)]
    pub groups: GroupChanges,
}
