//! Trunks: carriers and PBXs that we call through, register with, watch, and are called by.
//!
//! ```text
//!  start ─▶ REGISTER ─2xx─▶ registered ─ before it ends ─▶ REGISTER
//!               └─ else ─▶ again at the next gateway, ever later
//!  start ─▶ OPTIONS to each gateway ─ any answer but 408, 503 ─▶ reachable, asked again after a while
//! ```
//! A trunk is up while it is registered, if it is to be, and one of its gateways is reachable, as far as that is known.

mod calls;
mod watch;

pub(super) use calls::Passage;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::event::EventType;
use api::model::{self, EarlyMedia, LegId, Page, PageQuery, TrunkState};
use serde_json::json;

use super::command::{Answer, no_such, page};
use super::{Bridge, Network, Subject, with};
use crate::sip::Uri;
use crate::sip::digest::Account;
use crate::sip::endpoint::QueryId;

/// A trunk as it is configured.
#[derive(Clone, Debug)]
pub struct TrunkSettings {
    /// What the API calls it.
    pub name: String,
    /// Where it is reached, those to be tried first standing first.
    pub gateways: Vec<Uri>,
    /// What it knows us by.
    pub account: Option<Arc<Account>>,
    /// Whether we register there, to be called.
    pub registers: bool,
    /// How long such a registration is to last.
    pub expires: Duration,
    /// Who we say calls, where the API does not.
    pub from: Option<Uri>,
    /// From where it calls us, beside its gateways' addresses.
    pub networks: Vec<Network>,
    /// The room that its calls go to; otherwise that which they name.
    pub room: Option<String>,
    /// How often its gateways are asked for a sign of life; zero: never.
    pub check: Duration,
    /// Calls at once, both ways.
    pub max_calls: usize,
    /// What numbers may be called through it begin with; none: all.
    pub prefixes: Vec<String>,
    /// Whether callers hear what comes before the answer.
    pub early_media: EarlyMedia,
}

/// A trunk as it is.
#[derive(Debug)]
pub(super) struct Trunk {
    settings: TrunkSettings,
    gateways: Vec<Gateway>,
    registration: Registration,
    legs: BTreeSet<LegId>,
    /// What was told of it last.
    told: TrunkState,
}

#[derive(Debug)]
struct Gateway {
    uri: Uri,
    reach: Reach,
    /// The OPTIONS that is under way, and since when.
    asking: Option<(QueryId, Instant)>,
    round_trip: Option<Duration>,
}

/// What the last sign of life was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    /// Nobody has asked yet.
    Unknown,
    Yes,
    /// Status, 408 for silence.
    No(u16),
}

#[derive(Debug)]
struct Registration {
    call_id: String,
    sequence: u32,
    expires: Duration,
    /// Attempts in vain since it stood last.
    failures: u32,
    asking: Option<QueryId>,
    stand: Stand,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stand {
    /// None is wanted.
    Off,
    /// Nobody has answered yet.
    Pending,
    Until(Instant),
    /// The status of the refusal.
    Refused(u16),
}

impl Trunk {
    fn new(settings: TrunkSettings, call_id: String) -> Self {
        let gateway = |uri: &Uri| Gateway {
            uri: uri.clone(),
            reach: Reach::Unknown,
            asking: None,
            round_trip: None,
        };
        let stand = if settings.registers { Stand::Pending } else { Stand::Off };
        Self {
            gateways: settings.gateways.iter().map(gateway).collect(),
            registration: Registration {
                call_id,
                sequence: 0,
                expires: settings.expires,
                failures: 0,
                asking: None,
                stand,
            },
            settings,
            legs: BTreeSet::new(),
            told: TrunkState::Unknown,
        }
    }

    fn state(&self) -> TrunkState {
        let reached = |reach: &dyn Fn(Reach) -> bool| {
            self.gateways.iter().any(|gateway| reach(gateway.reach))
        };
        let none_is_there = !reached(&|reach| !matches!(reach, Reach::No(_)));
        match self.registration.stand {
            Stand::Refused(_) => TrunkState::Down,
            _ if none_is_there => TrunkState::Down,
            Stand::Until(_) => TrunkState::Up,
            Stand::Off if reached(&|reach| reach == Reach::Yes) => TrunkState::Up,
            Stand::Off | Stand::Pending => TrunkState::Unknown,
        }
    }

    fn view(&self, clock: super::Clock) -> model::Trunk {
        let gateway = |gateway: &Gateway| model::TrunkGateway {
            uri: gateway.uri.to_string(),
            state: match gateway.reach {
                Reach::Unknown => TrunkState::Unknown,
                Reach::Yes => TrunkState::Up,
                Reach::No(_) => TrunkState::Down,
            },
            round_trip_ms: gateway.round_trip.map(|time| time.as_secs_f32() * 1000.0),
        };
        let Registration { stand, .. } = self.registration;
        model::Trunk {
            name: self.settings.name.clone(),
            state: self.state(),
            gateways: self.gateways.iter().map(gateway).collect(),
            registers: stand != Stand::Off,
            registered_until: match stand {
                Stand::Until(until) => Some(clock.at(until)),
                Stand::Off | Stand::Pending | Stand::Refused(_) => None,
            },
            refused: match stand {
                Stand::Refused(status) => Some(status),
                Stand::Off | Stand::Pending | Stand::Until(_) => None,
            },
            calls: u32::try_from(self.legs.len()).unwrap_or(u32::MAX),
            max_calls: u32::try_from(self.settings.max_calls).unwrap_or(u32::MAX),
        }
    }

    fn has_address(&self, peer: IpAddr) -> bool {
        let is_gateway = |gateway: &Gateway| {
            gateway.uri.host().and_then(crate::sip::Host::address) == Some(peer)
        };
        self.gateways.iter().any(is_gateway)
            || self.settings.networks.iter().any(|network| network.contains(peer))
    }
}

impl Bridge {
    /// Takes up the trunks of the settings.
    pub(super) fn open_trunks(&mut self) {
        for settings in self.settings.trunks.clone() {
            let call_id = format!("{:032x}", self.random());
            self.trunks.push(Trunk::new(settings, call_id));
        }
        for index in 0..self.trunks.len() {
            self.register_trunk(index);
            self.check_trunk(index);
        }
    }

    /// The trunk that calls from there.
    pub(super) fn trunk_at(&self, peer: IpAddr) -> Option<usize> {
        self.trunks.iter().position(|trunk| trunk.has_address(peer))
    }

    /// The trunk of this name.
    pub(super) fn trunk_named(&self, name: &str) -> Option<usize> {
        self.trunks.iter().position(|trunk| trunk.settings.name == name)
    }

    pub(super) fn trunk_name(&self, index: usize) -> Option<&str> {
        self.trunks.get(index).map(|trunk| trunk.settings.name.as_str())
    }

    /// The room that calls of this trunk go to, if it has one.
    pub(super) fn trunk_room(&self, index: usize) -> Option<&str> {
        self.trunks.get(index)?.settings.room.as_deref()
    }

    /// Says that a trunk is up or down, if that is news.
    fn tell_trunk(&mut self, index: usize) {
        let clock = self.clock;
        let Some(trunk) = self.trunks.get_mut(index) else { return };
        let state = trunk.state();
        if std::mem::replace(&mut trunk.told, state) == state {
            return;
        }
        let (view, name) = (trunk.view(clock), trunk.settings.name.clone());
        let kind = match state {
            TrunkState::Unknown => return,
            TrunkState::Up => {
                tracing::info!(trunk = name, "trunk is up");
                EventType::TrunkUp
            }
            TrunkState::Down => {
                let refused = view.refused;
                tracing::warn!(trunk = name, refused, "trunk is down");
                EventType::TrunkDown
            }
        };
        self.happened(kind, Subject::default(), with(&view, json!({})));
    }

    pub(super) fn api_list_trunks(&self, query: &PageQuery) -> Answer<Page<model::Trunk>> {
        let mut views: Vec<_> = self.trunks.iter().map(|trunk| trunk.view(self.clock)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        page::page(query, views.into_iter(), |trunk| trunk.name.clone())
    }

    pub(super) fn api_trunk(&self, name: &str) -> Answer<model::Trunk> {
        let found = self.trunks.iter().find(|trunk| trunk.settings.name == name);
        found.map(|trunk| trunk.view(self.clock)).ok_or_else(|| no_such("trunk", name))
    }
}

#[cfg(test)]
mod tests;
