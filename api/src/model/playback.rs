//! Recorded sound that is played to a room, a call or a leg.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::PageQuery;
use crate::id::{CallId, LegId, PlaybackId, RoomId};

/// Something that is played, waits to be, or was.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Playback {
    /// Never reused.
    pub id: PlaybackId,
    /// The room that hears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// The call that hears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The leg that hears it, alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    /// What it is for.
    pub purpose: PlaybackPurpose,
    /// Where it is in its life.
    pub state: PlaybackState,
    /// Names of what is played, one after the other.
    pub media: Vec<String>,
    /// How often all of it; 0 is until it is stopped.
    pub repeat: u32,
    /// −60 to 12 dB.
    pub gain_db: f32,
    /// By how much everything else is lowered meanwhile, 0 to 60 dB.
    pub duck_db: f32,
    /// Where in a round it is, milliseconds.
    pub position_ms: u64,
    /// How long a round lasts, milliseconds.
    pub duration_ms: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was heard first.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<PlaybackEnd>,
}

impl Playback {
    /// Who hears it.
    pub fn hearer(&self) -> Option<Audience> {
        let room = self.room.map(|room| Audience::Room(room.to_string()));
        room.or_else(|| self.call.map(Audience::Call)).or_else(|| self.leg.map(Audience::Leg))
    }
}

/// What is played for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackPurpose {
    /// Somebody asked for it over the API.
    Announcement,
    /// Goes on until it is stopped.
    Music,
    /// The bridge tells something by itself.
    Prompt,
}

/// Where a playback is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackState {
    /// It waits for those before it to end, or for somebody who hears it.
    Queued,
    /// It is heard.
    Playing,
    /// It does not go on.
    Paused,
    /// Over; readable for a while.
    Ended,
}

/// Why a playback ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaybackEnd {
    /// All of it was played.
    Completed,
    /// Somebody stopped it, or a key did.
    Stopped,
    /// Another took its place.
    Replaced,
    /// Nobody is left who hears it.
    NobodyLeft,
}

/// `POST …/announcements` and `…/play`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// Names of media, played one after the other; 1 to 64.
    pub media: Vec<String>,
    /// How often all of it (0 to 1,000); 0 is until it is stopped.
    #[serde(default = "once")]
    pub repeat: u32,
    /// −60 to 12 dB.
    #[serde(default)]
    pub gain_db: f32,
    /// By how much everything else is lowered meanwhile, 0 to 60 dB.
    #[serde(default)]
    pub duck_db: f32,
    /// Where to begin, milliseconds.
    #[serde(default)]
    pub position_ms: u64,
    /// What becomes of what is played there already.
    #[serde(default)]
    pub mode: PlayMode,
}

/// What becomes of the announcements that are played or wait; music goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlayMode {
    /// They are heard before it.
    #[default]
    Queue,
    /// They end.
    Replace,
    /// They are heard at the same time.
    Overlay,
}

/// `POST /v1/playbacks`: exactly one of `room`, `call` and `leg`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlayback {
    /// Id or name of the room that hears it.
    #[serde(default)]
    pub room: Option<String>,
    /// The call that hears it.
    #[serde(default)]
    pub call: Option<CallId>,
    /// The leg that hears it, alone.
    #[serde(default)]
    pub leg: Option<LegId>,
    /// Names of media, played one after the other; 1 to 64.
    pub media: Vec<String>,
    /// How often all of it (0 to 1,000); 0 is until it is stopped.
    #[serde(default = "once")]
    pub repeat: u32,
    /// −60 to 12 dB.
    #[serde(default)]
    pub gain_db: f32,
    /// By how much everything else is lowered meanwhile, 0 to 60 dB.
    #[serde(default)]
    pub duck_db: f32,
    /// Where to begin, milliseconds.
    #[serde(default)]
    pub position_ms: u64,
    /// What becomes of what is played there already.
    #[serde(default)]
    pub mode: PlayMode,
}

/// Who is to hear something; a room by id or name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each names what hears it")]
pub enum Audience {
    Room(String),
    Call(CallId),
    Leg(LegId),
}

impl CreatePlayback {
    /// Who hears it and what they hear; `None` unless exactly one is named.
    pub fn split(self) -> Option<(Audience, Play)> {
        let audience = match (self.room, self.call, self.leg) {
            (Some(room), None, None) => Audience::Room(room),
            (None, Some(call), None) => Audience::Call(call),
            (None, None, Some(leg)) => Audience::Leg(leg),
            _ => return None,
        };
        let Self { media, repeat, gain_db, duck_db, position_ms, mode, .. } = self;
        Some((audience, Play { media, repeat, gain_db, duck_db, position_ms, mode }))
    }
}

/// `PUT /v1/rooms/{room}/music`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlayMusic {
    /// Names of media, played in turn until it is stopped; without any, the music that is shipped.
    pub media: Vec<String>,
    /// −60 to 12 dB.
    pub gain_db: f32,
}

/// `PATCH /v1/playbacks/{playback}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdatePlayback {
    /// Stop it for a while, or let it go on.
    pub paused: Option<bool>,
    /// Go on from there, milliseconds from the beginning of a round.
    pub position_ms: Option<u64>,
    /// −60 to 12 dB.
    pub gain_db: Option<f32>,
}

/// `GET /v1/playbacks`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PlaybackQuery {
    /// Those that this room hears (id or name).
    pub room: Option<String>,
    /// Those that this call hears.
    pub call: Option<CallId>,
    /// Those that this leg hears alone.
    pub leg: Option<LegId>,
    /// `queued`, `playing`, `paused`, `ended` or `all`; those that are not over when absent.
    pub state: Option<String>,
    /// From `next` of the page before.
    pub cursor: Option<String>,
    /// Items of a page, 1 to 500; 50 when absent.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The rooms that the key is bound to: what they hear, and the legs in them.
    #[serde(skip)]
    #[param(ignore)]
    pub within: Vec<RoomId>,
}

impl PlaybackQuery {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone(), state: self.state.clone() }
    }
}

fn once() -> u32 {
    1
}
