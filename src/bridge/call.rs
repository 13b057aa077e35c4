//! Two-party calls, made by routes (`routes::calls`) or by the API: third-party call control (RFC 3725, flow I with our own media in between).

use api::model::{self, CallId, CallState, LegId};
use jiff::Timestamp;

use crate::media::command::MixKey;

use super::leg::Dial;
use super::routes::Routed;

/// A call that is not over.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) mix: MixKey,
    /// All it ever had, in order.
    pub(super) legs: Vec<LegId>,
    /// The second party, until the first has answered.
    pub(super) next: Option<Next>,
    /// What a route has for it, while the caller waits.
    pub(super) routed: Option<Box<Routed>>,
    pub(super) created_at: Timestamp,
    pub(super) connected_at: Option<Timestamp>,
}

/// The party still to be dialled.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) dial: Dial,
    pub(super) timeout: std::time::Duration,
}

impl Call {
    /// As the API shows it.
    pub(super) fn view(&self) -> model::Call {
        model::Call {
            id: self.id,
            state: if self.connected_at.is_some() {
                CallState::Connected
            } else {
                CallState::Dialing
            },
            legs: self.legs.clone(),
            created_at: self.created_at,
            connected_at: self.connected_at,
            ended_at: None,
            end_reason: None,
            sip: None,
        }
    }
}
