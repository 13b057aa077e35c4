//! Where users can be reached.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::PageQuery;
use crate::id::RegistrationId;

/// A phone of a user, for as long as it keeps its registration.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Registration {
    /// Stays while the phone refreshes it.
    pub id: RegistrationId,
    /// Whose.
    pub user: String,
    /// Where calls go.
    pub contact: String,
    /// Which contact is tried first, 0 to 1.
    pub q: f32,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// Where the phone's messages come from.
    #[schema(value_type = String)]
    pub source: SocketAddr,
    /// What the phone says that it is.
    pub user_agent: String,
    /// The phone, whatever its address (`+sip.instance`, RFC 5626).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Proxies on the way, the next one first (RFC 3327).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Since when.
    pub registered_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// Which registrations to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct RegistrationQuery {
    /// Items a page, 1 to 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Of this user only.
    pub user: Option<String>,
}

impl RegistrationQuery {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone(), state: None }
    }
}
