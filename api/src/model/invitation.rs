//! Invitations by mail.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Room;
use crate::id::RoomId;

/// `POST /v1/rooms/{room}/invitations`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    /// 1 to 100 mail addresses; each is sent a mail of its own and does not see the others.
    pub to: Vec<String>,
    /// When they meet; default: now.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// For how many minutes, 1 to 1,440.
    #[serde(default = "an_hour")]
    #[schema(default = 60)]
    pub duration_min: u32,
    /// Of the mail and of the entry in the calendar, at most 200 characters; default: that of a conference in this room.
    #[serde(default)]
    pub subject: Option<String>,
    /// What the mail says beside how to call, at most 4,000 characters.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether they are told the PIN that makes them moderators, where there is one.
    #[serde(default)]
    pub moderator: bool,
}

fn an_hour() -> u32 {
    60
}

/// Mails that will be sent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Invitation {
    /// What calendars know it by.
    pub uid: String,
    /// To which room.
    pub room: RoomId,
    /// To whom.
    pub to: Vec<String>,
    /// As it will be read.
    pub subject: String,
    /// When they meet.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// What somebody needs to call a room.
#[derive(Clone, PartialEq)]
pub struct DialIn {
    /// The room.
    pub room: Room,
    /// What they are asked for, if anything.
    pub pin: Option<String>,
}

/// The PIN stays out of it.
impl std::fmt::Debug for DialIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DialIn").field("room", &self.room.name).finish_non_exhaustive()
    }
}
