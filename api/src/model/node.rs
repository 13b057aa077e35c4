//! A bridge, its media threads and its health.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::NodeId;

/// A bridge: one process, with what it carries and can carry.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Node {
    /// New at each start.
    pub id: NodeId,
    /// The machine's name.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Whether it takes calls at all.
    pub state: NodeState,
    /// When it started.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Legs now, ringing ones included.
    pub legs: u32,
    /// Open rooms now.
    pub rooms: u32,
    /// Two-party calls now.
    pub calls: u32,
    /// Legs that can be added now, spread over the workers: by the time they have left, by what a leg costs now, and by
    /// the limits. At zero, calls are refused with 503 and `Retry-After`.
    pub room_for_legs: u32,
    /// Its media threads.
    pub workers: Vec<NodeWorker>,
}

/// What a node is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Takes calls while it has room.
    Ready,
    /// Takes no more calls and stops once those that are up have ended.
    Draining,
}

/// A media thread, by its report of the last second.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NodeWorker {
    /// Which, from 0.
    pub worker: u32,
    /// Legs it serves.
    pub legs: u32,
    /// Rooms and two-party calls it mixes.
    pub mixes: u32,
    /// Share of its time spent working, 0 to 1.
    pub busy: f32,
    /// Share of the time for its ticks that was left at the worst of the second, 0 to 1: at 0 they are late, or it is
    /// busy all the time.
    pub slack: f32,
    /// Ticks since the start.
    pub ticks: u64,
    /// Those that began over 10 ms late.
    pub late_ticks: u64,
    /// Legs that can be added to rooms that are on this worker.
    pub room_for_legs: u32,
}

/// `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// Takes new calls.
    pub ready: bool,
    /// Why not, in words.
    pub reason: Option<String>,
}
