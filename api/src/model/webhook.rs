//! Who is told of events by HTTP, and how that goes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::id::{DeliveryId, EventId, RoomId, WebhookId};

/// An endpoint that is told of events.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Webhook {
    /// Never reused.
    pub id: WebhookId,
    /// Where events are sent by POST.
    pub url: String,
    /// For people.
    pub description: String,
    /// Types of the events that it wants; none: all.
    pub events: Vec<String>,
    /// Rooms (ids or names) whose events it wants; none: all events, those of no room included.
    pub rooms: Vec<String>,
    /// Whether it is told. While it is not, what happens is never told, and what was to be tried again waits.
    pub enabled: bool,
    /// Why the bridge has disabled it.
    pub disabled_reason: Option<DisabledReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Rises with each change; also the `ETag`.
    pub revision: u64,
}

/// Why the bridge has disabled a webhook.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// It has taken nothing for `webhooks.disable_after_days`.
    Failing,
}

/// A webhook whose secret was made just now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NewWebhook {
    /// What it is.
    #[serde(flatten)]
    pub about: Webhook,
    /// What deliveries are signed with: it cannot be had again.
    pub secret: String,
}

/// `POST /v1/webhooks`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// `http:` or `https:`, without user and password. Redirections are not followed; of addresses that are not public only
    /// those in `webhooks.private_networks` are told.
    pub url: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Types of events, `participant.*` for all that begin so; none: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Rooms (ids or names) whose events it wants; none: all events, those of no room included.
    #[serde(default)]
    pub rooms: Vec<String>,
    /// `whsec_` and 24 to 64 octets in base64; default: a new one.
    #[serde(default)]
    pub secret: Option<String>,
    /// Whether it is told.
    #[serde(default = "is_enabled")]
    pub enabled: bool,
}

fn is_enabled() -> bool {
    true
}

/// `PATCH /v1/webhooks/{webhook}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateWebhook {
    /// `http:` or `https:`.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Types of events.
    pub events: Option<Vec<String>>,
    /// Rooms (ids or names).
    pub rooms: Option<Vec<String>>,
    /// Whether it is told; from now on, where it was not.
    pub enabled: Option<bool>,
}

/// `POST /v1/webhooks/{webhook}/rotate`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateSecret {
    /// `whsec_` and 24 to 64 octets in base64; default: a new one.
    pub secret: Option<String>,
    /// For how many seconds deliveries are signed with the secret before as well (0 to 604800).
    #[schema(default = 86_400)]
    pub overlap_s: u32,
}

impl Default for RotateSecret {
    fn default() -> Self {
        Self { secret: None, overlap_s: 86_400 }
    }
}

/// The delivery of one event to one webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Delivery {
    /// The same for each attempt, also when it is delivered again.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// The event; what `webhook-id` says.
    pub event: EventId,
    /// Its place in the log; none: a test.
    pub seq: Option<u64>,
    /// Its type; `webhook.test` of a test.
    #[serde(rename = "type")]
    pub kind: String,
    /// The room concerned.
    pub room: Option<RoomId>,
    /// How far it is.
    pub state: DeliveryState,
    /// When the event happened.
    pub time: Timestamp,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// The last twenty, oldest first.
    pub attempts: Vec<Attempt>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried, or tried again.
    Pending,
    /// The endpoint has answered 2xx.
    Delivered,
    /// It is not tried any more.
    Failed,
}

impl DeliveryState {
    /// The published name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, ms.
    pub duration_ms: u64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there was none: `host_not_found`, `not_allowed`, `unreachable`, `tls`, `timeout`, `broken`.
    pub error: Option<String>,
    /// The answer's body, of which at most 1,000 octets are kept; or what is to be said of the error.
    pub response: String,
}

/// Which deliveries.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// Items a page, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Only of what happened then or later.
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only of what happened before that.
    #[param(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// Only in this state.
    #[param(value_type = Option<DeliveryState>)]
    pub state: Option<DeliveryState>,
    /// Only of events of this type.
    pub r#type: Option<String>,
    /// Only of this event.
    pub event: Option<EventId>,
}
