//! Addresses from which nothing new is taken for a while.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// An address from which too many wrong passwords came.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Ban {
    /// From where.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Wrong passwords that led to it.
    pub failures: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}
