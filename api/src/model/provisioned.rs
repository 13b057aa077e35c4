//! Where a resource comes from that the settings or the API may have made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who made a resource.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The settings: it can be read here, and changed there.
    Settings,
    /// The API; kept in the store.
    Api,
}

/// A resource, who made it, and which of its revisions it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Provisioned<T> {
    /// The resource.
    #[serde(flatten)]
    pub item: T,
    /// Who made it; a route has a `source` of its own.
    #[serde(rename = "made_by")]
    pub source: Source,
    /// Rises with each change; also the `ETag`. 0 where it comes from the settings.
    pub revision: u64,
}
