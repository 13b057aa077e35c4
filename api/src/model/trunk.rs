//! Carriers and PBXs.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Source;

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
    /// As it was made over the API, but for the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub config: Option<TrunkConfig>,
    /// Who made it.
    pub source: Source,
    /// Rises with each change; also the `ETag`. 0 where it comes from the settings.
    pub revision: u64,
}

/// A trunk as it is set up: an object with the keys of a `[[trunks]]` section of the settings, which `plenary.sample.toml` explains.
/// `name` and `gateways` are needed; durations are texts as in `30s`; `password` is never shown.
#[derive(Clone, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct TrunkConfig(pub Map<String, Value>);

impl TrunkConfig {
    /// What stands at `key`, if that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// Without what is secret.
    #[must_use]
    pub fn shown(&self) -> Self {
        let public = self.0.iter().filter(|(key, _)| *key != "password");
        Self(public.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// The password stays out of it.
impl fmt::Debug for TrunkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrunkConfig").field(&self.shown().0).finish()
    }
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
