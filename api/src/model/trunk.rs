//! Carriers and PBXs.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A carrier or PBX that calls go through.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trunk {
    /// As configured.
    pub name: String,
    /// Up while it is registered, if it is to be, and one of its gateways is reachable.
    pub state: TrunkState,
    /// Where it is reached, those to be tried first standing first.
    pub gateways: Vec<TrunkGateway>,
    /// Whether we register there.
    pub registers: bool,
    /// When that ends unless it is refreshed.
    pub registered_until: Option<Timestamp>,
    /// The SIP status by which our registration was refused; 408 where nobody answered.
    pub refused: Option<u16>,
    /// Calls now, both ways.
    pub calls: u32,
    /// The most there may be.
    pub max_calls: u32,
}

/// One address of a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrunkGateway {
    /// Where.
    pub uri: String,
    /// Those of the lowest are tried first.
    pub priority: u16,
    /// How often it is the first among those of its priority, relative to the others.
    pub weight: u16,
    /// By its last answer to OPTIONS.
    pub state: TrunkState,
    /// How long that took.
    pub round_trip_ms: Option<f32>,
}

/// Whether calls can go there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkState {
    /// Nobody has answered yet, or nobody was asked.
    Unknown,
    /// They can.
    Up,
    /// They cannot.
    Down,
}
