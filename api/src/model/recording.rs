//! What was said in rooms, calls and legs, as files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Audience;
use super::object::kept_objects;
use crate::id::{CallId, LegId, RecordingId, RoomId};

/// A recording that goes on, or is over.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Recording {
    /// Never reused.
    pub id: RecordingId,
    /// The room that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_name: Option<String>,
    /// The call that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The leg that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    /// Where it is in its life.
    pub state: RecordingState,
    /// The room's settings began it.
    pub automatic: bool,
    /// Of its files.
    pub format: RecordingFormat,
    /// When it began: the beginning of every track.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it is, pauses included, milliseconds.
    pub duration_ms: u64,
    /// Why it ended.
    pub end_reason: Option<RecordingEnd>,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its files. Each begins with the recording, and is silent while there is nothing to be heard.
    pub tracks: Vec<Track>,
    /// What happened in it, in order. Not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Marks that found no place.
    #[serde(default)]
    pub marks_dropped: u64,
}

impl Recording {
    /// Whether it is over, and all of it on the disk.
    pub fn is_over(&self) -> bool {
        matches!(self.state, RecordingState::Completed | RecordingState::Failed)
    }
}

/// Where a recording is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// What is said is written.
    Recording,
    /// What is said is not; the files are silent meanwhile.
    Paused,
    /// It has ended, and its files are being closed.
    Finishing,
    /// Over.
    Completed,
    /// Over before it should; what there was until then can be played.
    Failed,
}

impl RecordingState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Paused => "paused",
            Self::Finishing => "finishing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingEnd {
    /// Somebody stopped it.
    Stopped,
    /// The room, call or leg has ended.
    Ended,
    /// It was as long as one may be: `recordings.max_length`.
    TooLong,
    /// There was no room on the disk.
    DiskFull,
    /// The disk failed.
    DiskFailed,
    /// The bridge was stopped in the middle of it.
    Interrupted,
}

/// Of files.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingFormat {
    /// 16 bits, mono.
    #[default]
    Wav,
    /// Opus in Ogg (RFC 7845), 48 kHz, mono, 32 kbit/s.
    Opus,
}

/// One file of a recording.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Track {
    /// `mix`, or the id of the leg whose voice it is.
    pub name: String,
    /// The leg whose voice it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    /// Who that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The file, once it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<TrackFile>,
}

/// What a file of a recording is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct TrackFile {
    /// Name in the folder of the recording.
    pub name: String,
    /// Octets.
    pub octets: u64,
    /// Samples in a second, Hz.
    pub rate_hz: u32,
    /// How long it lasts, milliseconds.
    pub duration_ms: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Sound that was lost because the disk was too slow, milliseconds.
    pub lost_ms: u64,
}

/// Something that happened in a recording.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Mark {
    /// When, milliseconds from the beginning.
    pub at_ms: u64,
    /// What.
    pub kind: MarkKind,
    /// Whose doing it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    /// The digit, or what a note says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What can happen in a recording.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Somebody came.
    Joined,
    /// Somebody left.
    Left,
    /// Somebody began to talk.
    TalkStarted,
    /// Somebody stopped talking.
    TalkEnded,
    /// A key was pressed.
    Dtmf,
    /// From here on it is silent.
    Paused,
    /// It goes on.
    Resumed,
    /// Over the API.
    Note,
}

/// `POST /v1/recordings`: exactly one of `room`, `call` and `leg`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateRecording {
    /// Id or name of the room that is recorded.
    pub room: Option<String>,
    /// The call that is recorded.
    pub call: Option<CallId>,
    /// The leg that is recorded: what it says, alone.
    pub leg: Option<LegId>,
    /// What all hear, as one track; default true.
    pub mix: Option<bool>,
    /// What each says, as a track of their own; default false.
    pub tracks: Option<bool>,
    /// Of the files; default `wav`.
    pub format: Option<RecordingFormat>,
    /// Of WAV files: 8000, 16000 or 48000; without it, 16000 for the mix, and for a track that of the codec.
    pub rate_hz: Option<u32>,
    /// Whether a prompt tells everybody when it begins, pauses, goes on and ends; default false.
    pub notice: Option<bool>,
}

impl CreateRecording {
    /// What is recorded; `None` unless exactly one is named.
    pub fn audience(&self) -> Option<Audience> {
        match (&self.room, self.call, self.leg) {
            (Some(room), None, None) => Some(Audience::Room(room.clone())),
            (None, Some(call), None) => Some(Audience::Call(call)),
            (None, None, Some(leg)) => Some(Audience::Leg(leg)),
            _ => None,
        }
    }

    /// How it is recorded.
    pub fn options(&self) -> RecordingOptions {
        RecordingOptions {
            mix: self.mix.unwrap_or(true),
            tracks: self.tracks.unwrap_or(false),
            format: self.format.unwrap_or_default(),
            rate_hz: self.rate_hz,
            notice: self.notice.unwrap_or(false),
        }
    }
}

kept_objects! { RoomRecording }

/// When a room is recorded by itself, and how.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct RoomRecording {
    /// Once somebody is there, once a moderator is, or not by itself.
    pub when: RecordWhen,
    /// What all hear, as one track; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<bool>,
    /// What each says, as a track of their own; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracks: Option<bool>,
    /// Of the files; default `wav`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<RecordingFormat>,
    /// Of WAV files: 8000, 16000 or 48000; without it, 16000 for the mix, and for a track that of the codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<u32>,
    /// Whether a prompt tells everybody when it begins, pauses, goes on and ends; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<bool>,
}

impl RoomRecording {
    /// How it is recorded.
    pub fn options(&self) -> RecordingOptions {
        RecordingOptions {
            mix: self.mix.unwrap_or(true),
            tracks: self.tracks.unwrap_or(false),
            format: self.format.unwrap_or_default(),
            rate_hz: self.rate_hz,
            notice: self.notice.unwrap_or(true),
        }
    }
}

/// When a room is recorded by itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordWhen {
    /// Over the API alone.
    #[default]
    Never,
    /// Whenever somebody is there.
    Always,
    /// From when the first moderator is there.
    Moderator,
}

/// How something is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordingOptions {
    /// What all hear, as one track.
    pub mix: bool,
    /// What each says, as a track of their own.
    pub tracks: bool,
    /// Of the files.
    pub format: RecordingFormat,
    /// Of WAV files, Hz.
    pub rate_hz: Option<u32>,
    /// Whether a prompt tells everybody of it.
    pub notice: bool,
}

/// `PATCH /v1/recordings/{recording}`: what is absent stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateRecording {
    /// Write nothing for a while, or go on.
    pub paused: Option<bool>,
    /// Whether a prompt tells everybody of this and what follows.
    pub notice: Option<bool>,
}

/// `POST /v1/recordings/{recording}/marks`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMark {
    /// What it says: 1 to 256 characters.
    pub label: String,
}

/// `GET /v1/recordings`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RecordingQuery {
    /// Those of this room (id or name).
    pub room: Option<String>,
    /// Those of this call.
    pub call: Option<CallId>,
    /// Those of this leg alone.
    pub leg: Option<LegId>,
    /// `recording`, `paused`, `finishing`, `completed` or `failed`; all when absent.
    pub state: Option<String>,
    /// Only what began then or later.
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only what began before that.
    #[param(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// From `next` of the page before.
    pub cursor: Option<String>,
    /// Items of a page, 1 to 500; 50 when absent.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl RecordingQuery {
    /// Whether it asks for this one, wherever that is in the pages.
    pub fn wants(&self, recording: &Recording) -> bool {
        let is_of = |room: &String| {
            recording.room.is_some_and(|id| id.to_string() == *room)
                || recording.room_name.as_ref() == Some(room)
        };
        self.room.as_ref().is_none_or(is_of)
            && self.call.is_none_or(|call| recording.call == Some(call))
            && self.leg.is_none_or(|leg| recording.leg == Some(leg))
            && self.state.as_ref().is_none_or(|state| recording.state.as_str() == state)
            && self.since.is_none_or(|since| recording.started_at >= since)
            && self.until.is_none_or(|until| recording.started_at < until)
    }
}
