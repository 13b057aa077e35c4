//! JSON shapes of the resources: what a GET shows and what a POST, PATCH or PUT may say. Times are RFC 3339 UTC.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use crate::id::{CallId, LegId, NodeId, RoomId};

// ---- rooms ----

/// A conference.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
    /// Start locked.
    pub locked: bool,
    /// End when the last participant leaves; default false for rooms made here.
    pub end_when_empty: bool,
    /// Seats (1 to the configured limit).
    pub max_participants: Option<u32>,
    /// How many people are mixed at once (1 to 64).
    pub contributors: Option<u32>,
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
}

/// `POST /v1/rooms/{room}/end`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndRoom {
    /// Seconds until the participants are hung up; nobody joins meanwhile.
    pub grace_s: u32,
}

// ---- participants ----

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
    /// Audio group (reserved for sidebars).
    pub group: Option<String>,
    /// Speaks now.
    pub talking: bool,
    /// Loudness of what they say, dBov (−127 silence to 0), when known.
    pub level_dbov: Option<i8>,
    /// The codec they send, such as `opus/48000`.
    pub codec: Option<String>,
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
    /// In the room.
    Joined,
    /// Gone.
    Left,
}

/// Who placed the call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
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
}

/// Who put a leg on hold.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// The API.
    Local,
    /// The phone.
    Remote,
    /// Both.
    Both,
}

/// Why a participant left, or a leg ended, or a dial-out failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// They hung up.
    HungUp,
    /// The API removed them.
    Kicked,
    /// They were moved to another room.
    Moved,
    /// A transfer took them elsewhere.
    Transferred,
    /// The room ended.
    RoomEnded,
    /// The other party of a two-party call is gone.
    PeerLeft,
    /// The caller gave up before the answer.
    Cancelled,
    /// The far side is busy (486, 600).
    Busy,
    /// The far side declined (403, 603 and the like).
    Declined,
    /// Nobody answered in time (408, 480, our own timeout).
    NoAnswer,
    /// No such party (404, 410, 484, 604).
    NotFound,
    /// No common codec or SDP (488, 606).
    Incompatible,
    /// The far side, or the way to it, is out of order (5xx, network).
    Unreachable,
    /// Our own limits.
    Overloaded,
    /// No media came for too long.
    MediaTimeout,
    /// The dialog broke: no ACK, no answer to our requests.
    DialogLost,
    /// The bridge is stopping.
    Shutdown,
    /// Something else; see `sip`.
    Failed,
}

/// The SIP side of a failure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct SipFailure {
    /// Status code, 300 to 699.
    pub status: u16,
    /// Reason phrase as it came.
    pub reason: String,
}

/// `POST /v1/rooms/{room}/participants`: dial `to` and seat it.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// `sip:` URI to call.
    pub to: String,
    /// `sip:` URI or user part shown as the caller; default: the room's name.
    #[serde(default)]
    pub from: Option<String>,
    /// The participant's name in lists.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What they may do.
    #[serde(default)]
    pub role: Role,
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

/// `PATCH /v1/rooms/{room}/participants/{leg}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateParticipant {
    /// Not heard.
    pub muted: Option<bool>,
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
    /// Audio group; an empty string clears it.
    pub group: Option<String>,
    /// Move to this room (id or name).
    pub room: Option<String>,
}

// ---- legs and calls ----

/// One SIP dialog and its media.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leg {
    /// Never reused.
    pub id: LegId,
    /// The call it was set up in, if by `POST /v1/calls`.
    pub call: Option<CallId>,
    /// The room it sits in.
    pub room: Option<RoomId>,
    /// Who dialled whom.
    pub direction: Direction,
    /// Where it is in its life.
    pub state: LegState,
    /// From address.
    pub from: String,
    /// To address.
    pub to: String,
    /// The far party's name.
    pub display_name: Option<String>,
    /// `udp` or `tcp`.
    pub transport: String,
    /// The SIP Call-ID, to find it in other logs.
    pub sip_call_id: String,
    /// The codec agreed, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// On hold, by us or by them.
    pub held: bool,
    /// Who holds.
    pub held_by: Option<HeldBy>,
    /// Not heard by the others.
    pub muted: bool,
    /// A transfer in progress.
    pub transfer: Option<TransferState>,
    /// How it sounds now.
    pub quality: LegQuality,
    /// How it returns what it is sent, while it does: others hear their own voices come back from here.
    pub echo: Option<LegEcho>,
    /// When the INVITE came or went.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<LeftReason>,
    /// The SIP answer that ended it, if one did.
    pub sip: Option<SipFailure>,
}

/// An echo that a leg returns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LegEcho {
    /// From our sending to our hearing it.
    pub delay_ms: f32,
    /// Level relative to what was sent: the echo return loss, negated.
    pub level_db: i8,
}

/// Where a leg is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// INVITE on its way.
    Dialing,
    /// 180, or 183.
    Ringing,
    /// Media flows, or is held.
    Answered,
    /// Over.
    Ended,
}

/// Where a transfer is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// REFER sent, or received and being carried out.
    Requested,
    /// The target rings.
    Progressing,
    /// Done.
    Completed,
    /// It failed; the parties have the call they had.
    Failed,
}

/// `POST /v1/legs/{leg}/transfer`: exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// Blind: the phone is asked by REFER to call this URI.
    pub to: Option<String>,
    /// Attended: connect with the far party of this leg.
    pub leg: Option<LegId>,
    /// Move into this room (id or name), without telling the phone.
    pub room: Option<String>,
}

/// `POST /v1/legs/{leg}/dtmf`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendDtmf {
    /// 1 to 64 of `0-9 * # A-D`.
    pub digits: String,
    /// Milliseconds a digit lasts (40 to 2000, default 100).
    #[serde(default)]
    pub duration_ms: Option<u32>,
}

/// Legs set up together.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Call {
    /// Never reused.
    pub id: CallId,
    /// Where it is in its life.
    pub state: CallState,
    /// Its legs, in the order they were made.
    pub legs: Vec<LegId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When both parties first heard each other.
    pub connected_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<LeftReason>,
    /// The SIP answer that ended it, if one did.
    pub sip: Option<SipFailure>,
}

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// A party is being dialled.
    Dialing,
    /// The parties hear each other.
    Connected,
    /// Over.
    Ended,
}

/// `POST /v1/calls`: connect two outside parties.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCall {
    /// Exactly two parties; the first is dialled first, the second once the first has answered.
    pub legs: Vec<CallParty>,
    /// Seconds to let each ring (1 to 600, default 60).
    #[serde(default)]
    pub timeout_s: Option<u32>,
}

/// One party of [`CreateCall`].
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallParty {
    /// `sip:` URI to call.
    pub to: String,
    /// `sip:` URI or user part shown as the caller; default: the other party.
    #[serde(default)]
    pub from: Option<String>,
}

/// `GET /v1/legs/{leg}/stats`: what came from the leg, what went to it, and where the time goes. Renewed each two seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct LegStats {
    /// Where their media comes from.
    pub remote_rtp: Option<String>,
    /// Round trip by RTCP (RFC 3550 §6.4.1), ms.
    pub round_trip_ms: Option<f32>,
    /// What the leg sends to us.
    pub received: ReceivedStats,
    /// What we send to the leg.
    pub sent: SentStats,
    /// Where the time goes.
    pub delay: DelayStats,
}

/// RTP as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReceivedStats {
    /// Codec, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// Packets kept.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
    /// Packets that never came (RFC 3550 A.3; below zero with duplicates).
    pub packets_lost: i64,
    /// Came after their turn.
    pub packets_late: u64,
    /// Came twice.
    pub packets_duplicate: u64,
    /// Dropped as not RTP, of the wrong payload type or source.
    pub packets_rejected: u64,
    /// Packets of the whole call that never came, percent.
    pub loss_percent: f32,
    /// Packets of the whole call that came too late to be played, percent.
    pub late_percent: f32,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    pub jitter_ms: f32,
    /// Frames made up for lost ones.
    pub frames_concealed: u64,
    /// Loudness of what they say, dBov.
    pub level_dbov: Option<i8>,
    /// How loss comes: in bursts or alone (RFC 3611 §4.7.2).
    pub bursts: BurstStats,
    /// How it sounds.
    pub quality: QualityStats,
}

/// RTP as sent, and what the far side reports of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SentStats {
    /// Codec, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
    /// Packets of the whole call that the far side missed.
    pub packets_lost: Option<i32>,
    /// The same of a hundred.
    pub loss_percent: Option<f32>,
    /// The far side's jitter, ms.
    pub jitter_ms: Option<f32>,
    /// How it sounds, by the far side's reports.
    pub quality: QualityStats,
    /// The far side's own figures (RFC 3611 §4.7), where it sends any.
    pub reported: Option<ReportedStats>,
}

/// Quality of one direction by the E-model (ITU-T G.107), rated each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct QualityStats {
    /// R-factor of the last seconds, 0 to 93.2; absent while nothing flows or nothing is known.
    pub r: Option<f32>,
    /// Mean opinion score of the last seconds, 1.0 to 4.4.
    pub mos: Option<f32>,
    /// Packets of the last seconds that never came, percent.
    pub loss_percent: Option<f32>,
    /// Packets of the last seconds that came too late, percent.
    pub late_percent: Option<f32>,
    /// One way, from the mouth to us or from us to the ear, as far as it is known, ms.
    pub delay_ms: Option<f32>,
    /// Mean R-factor of the call.
    pub r_mean: Option<f32>,
    /// Mean MOS of the call.
    pub mos_mean: Option<f32>,
    /// R-factor of the worst second.
    pub r_min: Option<f32>,
    /// MOS of the worst second.
    pub mos_min: Option<f32>,
    /// Why it counts as bad (between `leg.quality_degraded` and `leg.quality_recovered`); absent while it does not.
    pub degraded: Option<QualityCause>,
}

/// What takes most of the quality away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityCause {
    /// Packets that never come.
    Loss,
    /// Packets that come too late to be played.
    Jitter,
    /// The time from mouth to ear.
    Delay,
}

/// Loss in bursts and in the gaps between them. A burst has fewer than 16 good packets in a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct BurstStats {
    /// How many bursts there were.
    pub count: u64,
    /// Packets within bursts that were not there in their turn, percent.
    pub burst_loss_percent: f32,
    /// Mean length of a burst, ms.
    pub burst_ms: f32,
    /// Packets between bursts that were not there in their turn, percent.
    pub gap_loss_percent: f32,
    /// Mean length of a gap, ms.
    pub gap_ms: f32,
}

/// What the far side says of its reception (RFC 3611 §4.7), over the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReportedStats {
    /// Packets that never came, percent.
    pub loss_percent: f32,
    /// Packets it dropped because they came too late or too early, percent.
    pub late_percent: f32,
    /// R-factor, 0 to 100.
    pub r: Option<u8>,
    /// MOS without delay.
    pub mos_listening: Option<f32>,
    /// MOS with delay.
    pub mos_conversational: Option<f32>,
    /// Its jitter buffer, ms.
    pub buffer_ms: f32,
}

/// Where a leg's time goes. A voice from one leg to another meets the network, the buffer and the mix of the first, and
/// the packet and the network of the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DelayStats {
    /// Half the round trip, ms; absent until RTCP has measured it.
    pub network_ms: Option<f32>,
    /// In the jitter buffer, after the earliest that a packet could have been played, ms.
    pub buffer_ms: f32,
    /// What the buffer aims at, ms.
    pub buffer_target_ms: f32,
    /// Decoded and waiting for its turn in the mix, ms.
    pub mix_ms: f32,
    /// Filling a packet towards this leg, with the codec's look-ahead, ms.
    pub packet_ms: f32,
    /// `network_ms`, `buffer_ms`, `mix_ms` and `packet_ms` together.
    pub total_ms: f32,
    /// The buffer is as long as it may be (`media.jitter_ceiling`): what comes later is lost.
    pub at_ceiling: bool,
}

/// How a leg fares now, in short; `GET /v1/legs/{leg}/stats` has all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct LegQuality {
    /// What the leg sends to us.
    pub received: StreamQuality,
    /// What we send to the leg, by its reports.
    pub sent: StreamQuality,
    /// The jitter buffer is as long as it may be.
    pub at_delay_ceiling: bool,
}

/// How one direction fares now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StreamQuality {
    /// Mean opinion score of the last seconds, 1.0 to 4.4; absent while nothing flows or nothing is known.
    pub mos: Option<f32>,
    /// Why it counts as bad; absent while it does not.
    pub degraded: Option<QualityCause>,
}

// ---- lists and health ----

/// How much of a list to give and from where.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items a page, 1 to 500.
    #[param(default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// `all` shows what has ended or left too; any state's name shows only that.
    pub state: Option<String>,
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    pub next: Option<String>,
}

/// `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// Takes new calls.
    pub ready: bool,
    /// Why not, in words.
    pub reason: Option<String>,
}

// ---- nodes ----

/// A bridge: one process, with what it carries and can carry.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Node {
    /// New at each start.
    pub id: NodeId,
    /// The machine's name.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Whether it takes calls at all.
    pub state: NodeState,
    /// When it started.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Legs now, ringing ones included.
    pub legs: u32,
    /// Open rooms now.
    pub rooms: u32,
    /// Two-party calls now.
    pub calls: u32,
    /// Legs that can be added now, spread over the workers: by the time they have left, by what a leg costs now, and by
    /// the limits. At zero, calls are refused with 503 and `Retry-After`.
    pub room_for_legs: u32,
    /// Its media threads.
    pub workers: Vec<NodeWorker>,
}

/// What a node is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Takes calls while it has room.
    Ready,
    /// Takes no more calls and stops once those that are up have ended.
    Draining,
}

/// A media thread, by its report of the last second.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NodeWorker {
    /// Which, from 0.
    pub worker: u32,
    /// Legs it serves.
    pub legs: u32,
    /// Rooms and two-party calls it mixes.
    pub mixes: u32,
    /// Share of its time spent working, 0 to 1.
    pub busy: f32,
    /// Share of the time for its ticks that was left at the worst of the second, 0 to 1: at 0 they are late, or it is
    /// busy all the time.
    pub slack: f32,
    /// Ticks since the start.
    pub ticks: u64,
    /// Those that began over 10 ms late.
    pub late_ticks: u64,
    /// Legs that can be added to rooms that are on this worker.
    pub room_for_legs: u32,
}
