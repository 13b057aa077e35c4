//! Everything that is live at one moment.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Call, Leg, Participant, Room};

/// What is live at one moment, as the lists show it, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Snapshot {
    /// Open rooms.
    pub rooms: Vec<Room>,
    /// Those dialled, ringing or joined in them.
    pub participants: Vec<Participant>,
    /// Two-party calls under way.
    pub calls: Vec<Call>,
    /// Legs under way.
    pub legs: Vec<Leg>,
}
