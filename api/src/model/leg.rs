//! One SIP dialog, from its first INVITE to why it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::statistics::LegQuality;
use crate::id::{CallId, LegId, RoomId};

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
    /// Where it was answered, if we dialled: of the phones of a user, the one that was picked up.
    pub answered_by: Option<String>,
    /// The far party's name.
    pub display_name: Option<String>,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// The SIP Call-ID, to find it in other logs.
    pub sip_call_id: String,
    /// The codec agreed, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// How its media is encrypted (the SRTP suite agreed, such as `AEAD_AES_128_GCM`); null where it is not.
    pub srtp: Option<String>,
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

/// Who placed the call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
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

/// An echo that a leg returns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LegEcho {
    /// From our sending to our hearing it.
    pub delay_ms: f32,
    /// Level relative to what was sent: the echo return loss, negated.
    pub level_db: i8,
}

/// Why a participant left, or a leg ended, or a dial-out failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// They hung up.
    HungUp,
    /// The API removed them.
    Kicked,
    /// Too many wrong PINs.
    PinRefused,
    /// They were moved to another room.
    Moved,
    /// A transfer took them elsewhere.
    Transferred,
    /// Another call took their seat.
    Replaced,
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
    /// DTLS could not encrypt the media; `sip` says why.
    HandshakeFailed,
    /// It lasted as long as it may.
    LimitReached,
    /// The dialog broke: no ACK, no answer to our requests.
    DialogLost,
    /// Nobody refreshed the session in time (RFC 4028).
    SessionExpired,
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

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferFailure {
    /// The phone did not take our REFER; `sip` says with what.
    Refused,
    /// The target could not be reached, or refused; `sip` says with what.
    TargetFailed,
    /// The phone accepted and did not say how it ended.
    NoNews,
    /// The leg ended before the outcome.
    LegEnded,
    /// The dialog that the phone named has ended, or cannot be replaced.
    NoDialog,
    /// Phones may not transfer (`sip.transfer_by_phones`), or the dialog is somebody else's.
    NotAllowed,
    /// The address that the phone gave cannot be called.
    BadTarget,
    /// The limits leave no leg or seat for the target.
    NoCapacity,
    /// The room has no seat for whom would move there.
    NoSeat,
    /// Both legs are in rooms.
    TwoRooms,
    /// Both legs are in the same room or call.
    SamePlace,
    /// A leg has nobody on its far side.
    NobodyThere,
    /// Another transfer of these legs is under way.
    Pending,
}

/// How an attended transfer is done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// Both legs are the transferor's: whom they talk to are connected here, and both are hung up.
    #[default]
    Connect,
    /// The phone of this leg is asked (REFER with Replaces) to call the phone of the other leg in our place; both then leave.
    Refer,
}

/// `POST /v1/legs/{leg}/transfer`: exactly one of `to`, `leg` and `room`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// Blind: the phone is asked by REFER to call this URI.
    pub to: Option<String>,
    /// Attended: with this other leg, as `mode` says.
    pub leg: Option<LegId>,
    /// Only with `leg`: `connect` (default) or `refer`.
    pub mode: Option<TransferMode>,
    /// Move into this room (id or name), of which the phone only learns by the Contact.
    pub room: Option<String>,
}

/// `PUT /v1/legs/{leg}/hold`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// A name of media that it hears meanwhile, over and over; without it what the room plays to those who are held, if anything.
    pub music: Option<String>,
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
