//! Two parties that were connected.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::leg::{LeftReason, SipFailure};
use super::object::objects;
use crate::id::{CallId, LegId};

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

objects! { CallParty }

/// One party of [`CreateCall`].
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CallParty {
    /// `sip:` URI to call; through a trunk a number such as `+4930123456` too.
    pub to: String,
    /// The trunk to call through.
    #[serde(default)]
    pub trunk: Option<String>,
    /// `sip:` URI or user part shown as the caller; default: the other party.
    #[serde(default)]
    pub from: Option<String>,
}
