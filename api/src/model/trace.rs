//! What was said in a call.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::id::LegId;

/// SIP messages and what happened, in the order in which it went. Secrets are overwritten with `*`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Trace {
    /// Entries that are gone because there were too many.
    pub dropped: u64,
    /// Oldest first; none if the trace is not kept any more.
    pub entries: Vec<TraceEntry>,
}

/// A message, or something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TraceEntry {
    /// When.
    pub time: Timestamp,
    /// Whose.
    pub leg: LegId,
    /// The start line of a message; the type of an event.
    pub summary: String,
    /// Of a message: `received` or `sent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// Of a message: `udp`, `tcp`, `tls`, `ws` or `wss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// Of a message: our address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub local: Option<SocketAddr>,
    /// Of a message: theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub peer: Option<SocketAddr>,
    /// The whole message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Default for TraceEntry {
    fn default() -> Self {
        Self {
            time: Timestamp::UNIX_EPOCH,
            leg: LegId::new(0, 0),
            summary: String::new(),
            direction: None,
            transport: None,
            local: None,
            peer: None,
            text: None,
        }
    }
}
