//! Sound files that can be played.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sound that can be played by its name.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Media {
    /// What it is played by.
    pub name: String,
    /// Whether somebody put it here.
    pub origin: MediaOrigin,
    /// How long it lasts, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Samples a second that it is kept at, 8,000, 16,000 or 48,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<u32>,
    /// Octets of memory that it takes.
    pub octets: u64,
    /// Rises with each upload; 0 for what is shipped.
    pub revision: u64,
    /// When it was put here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// Where a sound comes from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaOrigin {
    /// With the program.
    Shipped,
    /// Put here; a shipped one of the same name comes back when it is deleted.
    Uploaded,
}

/// Sound: mono, 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Samples a second.
    pub rate: u32,
    /// The samples.
    pub samples: Arc<[i16]>,
}
