//! A conference, and what may be asked of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::group::{AudioGroup, GroupChanges, changes_schema};
use super::manners::{RoomManners, RoomSettings};
use crate::id::{LegId, RoomId};

/// A conference.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "a JSON shape: each is a field clients read")]
pub struct Room {
    /// Never reused.
    pub id: RoomId,
    /// What callers dial: the user part of `sip:NAME@host`.
    pub name: String,
    /// Open, or ended and kept for reading.
    pub state: RoomState,
    /// A locked room refuses whoever calls in; dialling out still works.
    pub locked: bool,
    /// Made by somebody calling or dialling out to an unknown name.
    pub ad_hoc: bool,
    /// Whether the room ends when its last participant leaves.
    pub end_when_empty: bool,
    /// Seats; a caller beyond them is refused with 486.
    pub max_participants: u32,
    /// How many people are mixed at once, loudest first.
    pub contributors: u32,
    /// Joined participants now.
    pub participants: u32,
    /// Who has the floor: speaks, or spoke last.
    pub floor: Option<LegId>,
    /// How it treats those who come, are there and leave.
    pub settings: RoomManners,
    /// Who hears whom, beside those in `main`, who hear each other; by name.
    pub groups: BTreeMap<String, AudioGroup>,
    /// Whether it is there after a restart, just as it is now: rooms that are made here and do not end by themselves are, once that is stored.
    pub kept: bool,
    /// Rises with each change of its settings or lock; the first part of the `ETag`.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where a room is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomState {
    /// Takes participants.
    Open,
    /// Over; readable for a while.
    Ended,
}

/// `POST /v1/rooms`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateRoom {
    /// What callers dial: 1 to 64 of `A-Z a-z 0-9 - _ . + ~`; made up when absent.
    pub name: Option<String>,
    /// The template it is made of; what is said beside it counts more.
    pub template: Option<String>,
    /// Start locked.
    pub locked: bool,
    /// End when the last participant leaves; default false for rooms made here.
    pub end_when_empty: bool,
    /// Seats (1 to the configured limit).
    pub max_participants: Option<u32>,
    /// How many people are mixed at once (1 to 64).
    pub contributors: Option<u32>,
    /// How it treats those who come, are there and leave.
    pub settings: RoomSettings,
    /// Audio groups, by name: 1 to 64 of `A-Z a-z 0-9 - _ . +`.
    #[schema(schema_with = changes_schema)]
    pub groups: GroupChanges,
}

/// `PATCH /v1/rooms/{room}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateRoom {
    /// Lock or unlock.
    pub locked: Option<bool>,
    /// End when the last participant leaves.
    pub end_when_empty: Option<bool>,
    /// Seats; those already seated stay.
    pub max_participants: Option<u32>,
    /// How many people are mixed at once.
    pub contributors: Option<u32>,
    /// How it treats those who come, are there and leave; what is absent stays.
    pub settings: Option<RoomSettings>,
    /// Audio groups to be made or made anew, by name; null takes one away in which nobody is. The others stay.
    #[schema(schema_with = changes_schema)]
    pub groups: Option<GroupChanges>,
}

/// `POST /v1/rooms/{room}/end`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndRoom {
    /// Seconds until the participants are hung up; nobody joins meanwhile.
    pub grace_s: u32,
}
