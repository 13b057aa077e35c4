//! Instant messages (RFC 3428).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Direction, SipFailure};
use crate::id::{MessageId, RoomId};

/// What somebody said in writing: to everybody in a room, or to a user.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Message {
    /// Made when it came.
    pub id: MessageId,
    /// `inbound` came by SIP, `outbound` over the API.
    pub direction: Direction,
    /// How far it got.
    pub state: MessageState,
    /// Who says it.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// The room to whose participants it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// Such as `text/plain`.
    pub content_type: String,
    /// What is said; absent if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Phones that it goes to.
    pub recipients: u32,
    /// Those of them that have taken it.
    pub delivered: u32,
    /// When it came.
    pub created_at: Timestamp,
    /// Why the last phone that refused it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<SipFailure>,
}

/// How far a message got.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// On its way to phones.
    Sending,
    /// Kept until a phone of the user registers.
    Waiting,
    /// A phone has it.
    Delivered,
    /// No phone took it, or there was none.
    Failed,
}

/// `POST /v1/messages`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// A room (id or name), a user, or a `sip:` URI.
    pub to: String,
    /// Plain text; or `body` instead.
    #[serde(default)]
    pub text: Option<String>,
    /// Anything else that is text, of the type that `content_type` names.
    #[serde(default)]
    pub body: Option<String>,
    /// Only with `body`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// `sip:` URI or user part shown as who says it; default: `plenary`.
    #[serde(default)]
    pub from: Option<String>,
}
