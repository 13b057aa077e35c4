//! Everything that is live at one moment.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Call, Leg, Participant, Playback, Room};

/// What is live at one moment, as the lists show it, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Snapshot {
    /// Open rooms.
    pub rooms: Vec<Room>,
    /// Those dialled, ringing, waiting or joined in them.
    pub participants: Vec<Participant>,
    /// Two-party calls under way.
    pub calls: Vec<Call>,
    /// Legs under way.
    pub legs: Vec<Leg>,
    /// What is played, or waits to be.
    pub playbacks: Vec<Playback>,
}
