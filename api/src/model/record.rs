//! What is remembered of calls that are over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Direction, LeftReason, SipFailure};
use crate::id::{ApiKeyId, AuditId, CallId, LegId, RoomId};

/// A leg that is over: who, when, why it ended, and how it sounded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct LegRecord {
    /// Its id while it was up.
    pub id: LegId,
    /// The call it was part of.
    pub call: Option<CallId>,
    /// The room it sat in last.
    pub room: Option<RoomId>,
    /// That room's name.
    pub room_name: Option<String>,
    /// Who dialled whom.
    pub direction: Direction,
    /// From address.
    pub from: String,
    /// To address.
    pub to: String,
    /// The far party's name.
    pub display_name: Option<String>,
    /// The user who proved to be the caller.
    pub user: Option<String>,
    /// The trunk it went through.
    pub trunk: Option<String>,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// The SIP Call-ID, to find it in other logs.
    pub sip_call_id: String,
    /// The last codec agreed, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// How its media was encrypted; null where it was not.
    pub srtp: Option<String>,
    /// When the INVITE came or went.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// From answer to end; 0 where nobody answered.
    pub duration_s: f64,
    /// Why it ended.
    pub end_reason: LeftReason,
    /// The SIP answer that ended it, if one did.
    pub sip: Option<SipFailure>,
    /// The leg whose seat it took (Replaces, or an attended transfer).
    pub replaced: Option<LegId>,
    /// The leg that took its seat.
    pub replaced_by: Option<LegId>,
    /// What came from it.
    pub received: StreamRecord,
    /// What went to it, by its own reports.
    pub sent: StreamRecord,
    /// The last round trip by RTCP, ms.
    pub round_trip_ms: Option<f32>,
}

/// How one direction of a leg was.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(default)]
pub struct StreamRecord {
    /// Packets.
    pub packets: u64,
    /// Mean opinion score over the whole leg, 1 to 4.4.
    pub mos_mean: Option<f32>,
    /// The worst second.
    pub mos_min: Option<f32>,
    /// Packets that were not there in their turn, percent.
    pub loss_percent: Option<f32>,
    /// The last jitter, ms.
    pub jitter_ms: Option<f32>,
}

/// A two-party call that is over.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct CallRecord {
    /// Its id while it was up.
    pub id: CallId,
    /// All its legs, in the order in which they came.
    pub legs: Vec<LegId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When both parties first heard each other.
    pub connected_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// From connection to end; 0 where there was none.
    pub duration_s: f64,
    /// Why it ended.
    pub end_reason: Option<LeftReason>,
    /// The SIP answer that ended it, if one did.
    pub sip: Option<SipFailure>,
}

/// A room that is over.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct RoomRecord {
    /// Its id while it was open.
    pub id: RoomId,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub created_by: RoomOrigin,
    /// Who sat in it first, or rang there: of a room that a caller made, that caller.
    pub first_leg: Option<LegId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// From one to the other.
    pub duration_s: f64,
    /// Why it ended.
    pub end_reason: RoomEndReason,
    /// Legs that joined it, each as often as it came. Their records are at `/v1/records/rooms/{room}/legs`.
    pub participants: u32,
    /// Most of them at once.
    pub peak_participants: u32,
    /// Who was refused, by the `reason` of `room.join_rejected`.
    pub refused: Vec<RefusedJoins>,
}

/// Who makes a room.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomOrigin {
    /// `POST /v1/rooms`; the audit says by which key.
    Api,
    /// Somebody who dialled out into a room that was not there.
    DialOut,
    /// A caller.
    Caller,
    /// A caller of the conference factory.
    Factory,
}

/// Why a room ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomEndReason {
    /// The last participant left.
    Empty,
    /// It was ended over the API.
    Ended,
    /// The bridge stopped.
    Shutdown,
}

/// How many were refused for the same reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RefusedJoins {
    /// As in `room.join_rejected`.
    pub reason: String,
    /// How many.
    pub count: u32,
}

/// A command that came over the API: everything but what only reads, and requests that were not let in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Never reused.
    pub id: AuditId,
    /// When it was answered.
    pub time: Timestamp,
    /// The key that it came with; null: the first one, which the start gave, or none that is known (401).
    pub key: Option<ApiKeyId>,
    /// What that key is called; of a token, what the key is called that made it.
    pub key_name: String,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Of what.
    pub path: String,
    /// How it was answered.
    pub status: u16,
    /// As in `X-Request-Id`.
    pub request_id: String,
    /// The address that it came from.
    #[serde(default)]
    pub source: Option<String>,
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Items a page, 1 to 500; of an export, items at most.
    #[param(default = 50, minimum = 1)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Only what began then or later.
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only what began before that.
    #[param(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// Legs of this call.
    pub call: Option<CallId>,
    /// Legs of this room (its id).
    pub room: Option<RoomId>,
    /// Rooms of this name.
    pub name: Option<String>,
    /// Legs of this user.
    pub user: Option<String>,
    /// Legs through this trunk.
    pub trunk: Option<String>,
    /// Commands of this key.
    pub key: Option<ApiKeyId>,
    /// `json` (a page), or all that there are as `jsonl` (a JSON object a line) or `csv`; without it, as `Accept` says.
    #[param(default = "json", value_type = Option<RecordFormat>)]
    pub format: Option<RecordFormat>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// A page.
    #[default]
    Json,
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180, with a line of names.
    Csv,
}
