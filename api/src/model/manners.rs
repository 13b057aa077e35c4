//! How a room treats those who come, are there and leave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::RoomRecording;
use super::object::kept_objects;

/// The manners of a room, as they are. PINs are not shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "a JSON shape: each is a field clients read")]
pub struct RoomManners {
    /// Whether callers are asked for a PIN.
    pub has_pin: bool,
    /// Whether a PIN makes a moderator.
    pub has_moderator_pin: bool,
    /// Wrong PINs after which a caller is hung up.
    pub pin_attempts: u32,
    /// The language of prompts: `en` or `tr`.
    pub language: String,
    /// Others wait, and hear music, until a moderator is there.
    pub wait_for_moderator: bool,
    /// The room ends when its last moderator has left.
    pub end_with_moderator: bool,
    /// Seconds between the two.
    pub moderator_grace_s: u32,
    /// Callers wait until somebody lets them in.
    pub waiting_room: bool,
    /// Who is no moderator comes in muted.
    pub start_muted: bool,
    /// What everybody hears when somebody comes; a name of media, or nothing.
    pub enter_sound: String,
    /// The same when somebody leaves.
    pub leave_sound: String,
    /// Whether who comes is told how many are there.
    pub announce_count: bool,
    /// What is played while only one is there; a name of media, or nothing.
    pub music_alone: String,
    /// The same for those who wait.
    pub music_waiting: String,
    /// The same for those whom we hold.
    pub music_held: String,
    /// Before this callers are refused.
    pub opens_at: Option<Timestamp>,
    /// When the room ends.
    pub closes_at: Option<Timestamp>,
    /// When the room is recorded by itself, and how.
    pub recording: RoomRecording,
    /// What keys do in the room.
    pub menu: RoomMenu,
}

kept_objects! { RoomSettings RoomMenu }

/// Manners of a room to be made or changed; what is absent stays, or is the default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct RoomSettings {
    /// Callers are asked for it: 1 to 16 digits, or nothing for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Makes a moderator of who enters it: 1 to 16 digits, or nothing for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moderator_pin: Option<String>,
    /// Wrong PINs after which a caller is hung up (1 to 10, default 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_attempts: Option<u32>,
    /// The language of prompts: `en` (default) or `tr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Others wait, and hear music, until a moderator is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for_moderator: Option<bool>,
    /// The room ends when its last moderator has left …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_with_moderator: Option<bool>,
    /// … after so many seconds (0 to 3,600, default 0), unless one comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moderator_grace_s: Option<u32>,
    /// Callers wait until somebody lets them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_room: Option<bool>,
    /// Who is no moderator comes in muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_muted: Option<bool>,
    /// What everybody hears when somebody comes: a name of media such as `tone.enter`, or nothing (default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enter_sound: Option<String>,
    /// The same when somebody leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave_sound: Option<String>,
    /// Whether who comes is told how many are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce_count: Option<bool>,
    /// What is played while only one is there: a name of media, or nothing (default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub music_alone: Option<String>,
    /// The same for those who wait; default `music`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub music_waiting: Option<String>,
    /// The same for those whom we hold; default nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub music_held: Option<String>,
    /// Before this callers are refused; null takes it away.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schema(value_type = Option<Timestamp>)]
    pub opens_at: Edit<Timestamp>,
    /// When the room ends; a minute before, it is told. Null takes it away.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schema(value_type = Option<Timestamp>)]
    pub closes_at: Edit<Timestamp>,
    /// When the room is recorded by itself, and how, instead of what was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<RoomRecording>,
    /// What keys do in the room, instead of what they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub menu: Option<RoomMenu>,
}

/// What keys do: 1 to 4 of `0-9 * #`, of which none begins with another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RoomMenu {
    /// For everybody.
    #[serde(default)]
    pub participant: BTreeMap<String, MenuAction>,
    /// For moderators; where both have a key, this one counts.
    #[serde(default)]
    pub moderator: BTreeMap<String, MenuAction>,
}

impl Default for RoomMenu {
    /// What a room does unless it was told otherwise.
    fn default() -> Self {
        let menu = |keys: &[(&str, MenuAction)]| {
            keys.iter().map(|&(key, action)| (key.to_owned(), action)).collect()
        };
        Self {
            participant: menu(&[
                ("*1", MenuAction::Mute),
                ("*2", MenuAction::Count),
                ("*4", MenuAction::VolumeDown),
                ("*6", MenuAction::VolumeUp),
                ("*9", MenuAction::Hand),
                ("*0", MenuAction::Leave),
                ("**", MenuAction::Help),
            ]),
            moderator: menu(&[
                ("*3", MenuAction::MuteAll),
                ("*5", MenuAction::Lock),
                ("*7", MenuAction::KickLast),
                ("*8", MenuAction::Extend),
                ("*#", MenuAction::Admit),
            ]),
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MenuAction {
    /// Mutes or unmutes oneself. Who was muted by a moderator raises a hand instead.
    Mute,
    /// Raises or lowers one's hand.
    Hand,
    /// One hears the others 3 dB louder.
    VolumeUp,
    /// One hears the others 3 dB softer.
    VolumeDown,
    /// The others hear one 3 dB louder.
    TalkUp,
    /// The others hear one 3 dB softer.
    TalkDown,
    /// Tells how many are there.
    Count,
    /// Locks or unlocks the room.
    Lock,
    /// Mutes all who are no moderators, or unmutes them.
    MuteAll,
    /// Removes who came last, unless it is a moderator.
    KickLast,
    /// The room closes 15 minutes later.
    Extend,
    /// Lets in all who wait.
    Admit,
    /// Hangs up.
    Leave,
    /// Tells what keys do, as they are by default.
    Help,
}

/// A change of something that may be absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Edit<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is taken away.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T: Copy> Edit<T> {
    /// What becomes of `before`.
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(after) => Some(after),
        }
    }
}

impl<T> Edit<T> {
    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Serialize> Serialize for Edit<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}
