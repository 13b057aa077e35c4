//! Who may use the API, and for what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Scope;
use crate::id::ApiKeyId;

/// A key of the API.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ApiKey {
    /// Never reused.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The rooms (ids or names) that it is bound to; none: all.
    pub rooms: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not good any more.
    pub expires_at: Option<Timestamp>,
    /// Rises with each change; also the `ETag`.
    pub revision: u64,
}

/// A key that was made just now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NewApiKey {
    /// What it is.
    #[serde(flatten)]
    pub about: ApiKey,
    /// The key itself: it cannot be had again.
    pub key: String,
}

/// `POST /v1/api_keys`.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// For people.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Vec<Scope>,
    /// The rooms (ids or names) that it is bound to; none: all. Such a key sees nothing but these rooms, who is in them, and
    /// their events.
    #[serde(default)]
    pub rooms: Vec<String>,
    /// From when on it is not good any more; default: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// `PATCH /v1/api_keys/{key}`: what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateApiKey {
    /// For people.
    pub name: Option<String>,
    /// What it may do; at least one.
    pub scopes: Option<Vec<Scope>>,
    /// The rooms that it is bound to; none: all.
    pub rooms: Option<Vec<String>>,
    /// From when on it is not good any more.
    pub expires_at: Option<Timestamp>,
}
