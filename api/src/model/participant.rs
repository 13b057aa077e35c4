//! A leg seen from its room.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::group::Supervision;
use super::leg::{Direction, HeldBy, LeftReason, SipFailure};
use crate::error::Problem;
use crate::id::{LegId, RoomId};

/// A leg seen from its room.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "a JSON shape: each is a field clients read")]
pub struct Participant {
    /// The leg; also this participant's address below the room.
    pub leg: LegId,
    /// The room.
    pub room: RoomId,
    /// Dialling, ringing, joined, or left and kept for reading.
    pub state: ParticipantState,
    /// Who dialled whom.
    pub direction: Direction,
    /// The far party's address, as in From (they called) or To (we called).
    pub uri: String,
    /// The far party's name.
    pub display_name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Not heard by the others.
    pub muted: bool,
    /// By whom; absent while they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<MutedBy>,
    /// Since when they ask to speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_raised_at: Option<Timestamp>,
    /// When they go back to the room from which they were moved for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns_at: Option<Timestamp>,
    /// What they wait for, while they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Hears nobody.
    pub deaf: bool,
    /// On hold, by us or by them: neither heard nor hearing.
    pub held: bool,
    /// Who holds; absent when nobody does.
    pub held_by: Option<HeldBy>,
    /// Gain of what they say, −60 to 30 dB.
    pub gain_in_db: f32,
    /// Gain of what they hear, −60 to 30 dB.
    pub gain_out_db: f32,
    /// What they say is brought to the loudness of the others.
    pub agc: bool,
    /// What they say is freed from noise.
    pub noise_suppression: bool,
    /// What they say is held back while it is only the echo of what they hear.
    pub echo_suppression: bool,
    /// Audio group; null is `main`.
    pub group: Option<String>,
    /// Whom they coach, if they are a coach: a leg, or a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coaching: Option<String>,
    /// How they take part, if they are a coach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// Speaks now.
    pub talking: bool,
    /// Loudness of what they say, dBov (−127 silence to 0), when known.
    pub level_dbov: Option<i8>,
    /// The codec they send, such as `opus/48000`.
    pub codec: Option<String>,
    /// Rises with each change of what can be set, with their hand, when they are let in and when they move; the first part of
    /// the `ETag`.
    pub revision: u64,
    /// When they were seated.
    pub joined_at: Option<Timestamp>,
    /// When they left.
    pub left_at: Option<Timestamp>,
    /// Why they left.
    pub left_reason: Option<LeftReason>,
    /// The SIP answer that ended it, if one did.
    pub sip: Option<SipFailure>,
}

/// Where a participant is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantState {
    /// We sent an INVITE and heard nothing but 100 yet.
    Dialing,
    /// Their phone rings.
    Ringing,
    /// Answered, but not in the room yet: see `waiting_for`.
    Waiting,
    /// In the room.
    Joined,
    /// Gone.
    Left,
}

/// What somebody waits for before a room.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// They are asked for a PIN.
    Pin,
    /// For a moderator.
    Moderator,
    /// For somebody who lets them in.
    Admission,
}

/// Who has muted somebody.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MutedBy {
    /// They themselves, by a key.
    Participant,
    /// The room, in which all start so.
    Room,
    /// A moderator, by a key.
    Moderator,
    /// The API.
    Api,
}

/// How many were let in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Admitted {
    /// Participants.
    pub admitted: u32,
}

/// What a participant may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the room.
    Moderator,
    /// Speaks and hears.
    #[default]
    Speaker,
    /// Only hears.
    Listener,
    /// Hears what those hear whom they coach, and is heard by those alone.
    Coach,
}

/// `POST /v1/rooms/{room}/participants`: dial `to` and seat it.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// `sip:` URI to call; through a trunk a number such as `+4930123456` too.
    pub to: String,
    /// The trunk to call through.
    #[serde(default)]
    pub trunk: Option<String>,
    /// `sip:` URI or user part shown as the caller; default: the room's name.
    #[serde(default)]
    pub from: Option<String>,
    /// The participant's name in lists.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What they may do.
    #[serde(default)]
    pub role: Role,
    /// Audio group; one that the room does not have is made, apart from the others.
    #[serde(default)]
    pub group: Option<String>,
    /// Whom a coach coaches: a leg of the room (`leg_…`), or a group.
    #[serde(default)]
    pub coaching: Option<String>,
    /// How a coach takes part; default: `whisper` to whom they coach, `monitor` where that is nobody.
    #[serde(default)]
    pub supervision: Option<Supervision>,
    /// Seat them muted.
    #[serde(default)]
    pub muted: bool,
    /// Bring what they say to the loudness of the others; default: `media.agc`.
    #[serde(default)]
    pub agc: Option<bool>,
    /// Free what they say from noise; default: `media.noise_suppression`.
    #[serde(default)]
    pub noise_suppression: Option<bool>,
    /// Hold them back while they only return an echo; default: `media.echo_suppression`.
    #[serde(default)]
    pub echo_suppression: Option<bool>,
    /// Seconds to let it ring (1 to 600, default 60).
    #[serde(default)]
    pub timeout_s: Option<u32>,
    /// Codecs to offer, best first: `PCMU PCMA G722 opus L16`; default: all configured.
    #[serde(default)]
    pub codecs: Option<Vec<String>>,
}

/// What became of a change of many.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ParticipantsUpdated {
    /// Those that were changed, as they are now.
    pub items: Vec<Participant>,
    /// Those that were not, and why.
    pub refused: Vec<ParticipantRefused>,
}

/// A participant that a change of many did not reach.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ParticipantRefused {
    /// Who.
    pub leg: LegId,
    /// Why, as a change of this one alone would have been answered.
    pub problem: Problem,
}

/// `PATCH /v1/rooms/{room}/participants/{leg}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateParticipant {
    /// Not heard.
    pub muted: Option<bool>,
    /// Whether they ask to speak.
    pub hand_raised: Option<bool>,
    /// Hears nobody.
    pub deaf: Option<bool>,
    /// Put on hold or resume (a re-INVITE goes out).
    pub held: Option<bool>,
    /// What they may do.
    pub role: Option<Role>,
    /// −60 to 30 dB.
    pub gain_in_db: Option<f32>,
    /// −60 to 30 dB.
    pub gain_out_db: Option<f32>,
    /// Bring what they say to the loudness of the others, by up to 15 dB.
    pub agc: Option<bool>,
    /// Free what they say from noise; it comes 10 to 16 ms later.
    pub noise_suppression: Option<bool>,
    /// Once `leg.echo_detected` named them, hold them back by 30 dB while they only return an echo.
    pub echo_suppression: Option<bool>,
    /// Their name in lists.
    pub display_name: Option<String>,
    /// Audio group; one that the room does not have is made, apart from the others. `main` or an empty string leads back.
    pub group: Option<String>,
    /// Whom a coach coaches: a leg of the room (`leg_…`), or a group; an empty string is nobody.
    pub coaching: Option<String>,
    /// How a coach takes part.
    pub supervision: Option<Supervision>,
    /// Move to this room (id or name).
    pub room: Option<String>,
    /// Come back by themselves after so many seconds (1 to 86,400), or when that room ends before; with `room` only.
    pub return_after_s: Option<u32>,
}
