//! Trunks: carriers and PBXs that we call through, register with, watch, and are called by.
//!
//! ```text
//!  start ─▶ REGISTER ─2xx─▶ registered ─ before it ends ─▶ REGISTER
//!               └─ else ─▶ again at the next gateway, ever later
//!  start ─▶ OPTIONS to each gateway ─ any answer but 408, 503 ─▶ reachable, asked again after a while
//! ```
//! A trunk is up while it is registered, if it is to be, and one of its gateways is reachable, as far as that is known.

mod calls;
mod change;
mod choose;
mod counts;
mod headers;
mod numbers;
mod present;
mod watch;

pub(super) use calls::Passage;
pub(super) use change::Made;
pub use change::TrunkFault;
use counts::Counts;
pub use headers::HeaderRules;
pub(super) use headers::passable;
pub use numbers::{NumberFormat, NumberRules};
pub use present::{CallerId, CallerRules};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::event::EventType;
use api::model::{self, Direction, EarlyMedia, LegId, Page, PageQuery, TrunkConfig, TrunkState};
use serde_json::json;

use super::bucket::Bucket;
use super::command::{Answer, no_such, page};
use super::keeping::source;
use super::{Bridge, MediaRules, Network, Subject, with};
use crate::sip::Uri;
use crate::sip::digest::Account;
use crate::sip::endpoint::QueryId;

/// A trunk as it is configured.
#[derive(Clone, Debug)]
pub struct TrunkSettings {
    /// What the API calls it.
    pub name: String,
    /// Where it is reached.
    pub gateways: Vec<TrunkGateway>,
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
    /// What it is told of callers and calls, and how.
    pub rules: TrunkRules,
    /// What it is spared.
    pub limits: TrunkLimits,
}

/// One address of a trunk as it is configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrunkGateway {
    /// Where.
    pub uri: Uri,
    /// Those of the lowest are tried first.
    pub priority: u16,
    /// How often it is the first among those of its priority, relative to the others.
    pub weight: u16,
}

/// Limits of calls through a trunk, both ways.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TrunkLimits {
    /// New calls a second; zero: any number.
    pub calls_per_second: u32,
    /// How long a call may last; zero: for ever.
    pub max_duration: Duration,
}

/// What a trunk is told of callers and calls, and how.
#[derive(Clone, Debug, Default)]
pub struct TrunkRules {
    /// Whether it is believed who calls, and told (RFC 3325).
    pub trusted: bool,
    /// Whom we say calls.
    pub caller: CallerRules,
    /// More headers, and fewer.
    pub headers: HeaderRules,
    /// How numbers are written.
    pub numbers: NumberRules,
    /// Codecs, encryption, digits.
    pub media: MediaRules,
}

/// A trunk as it is.
#[derive(Debug)]
pub(super) struct Trunk {
    settings: TrunkSettings,
    /// As it was made over the API.
    config: Option<TrunkConfig>,
    /// 0: it is of the settings.
    revision: u64,
    gateways: Vec<Gateway>,
    registration: Registration,
    legs: BTreeMap<LegId, Direction>,
    /// New calls that it may still have.
    rate: Option<Bucket>,
    counts: Counts,
    /// From where its gateways have answered, and when last, if one is known by name.
    learnt: BTreeMap<IpAddr, Instant>,
    /// What was told of it last.
    told: TrunkState,
}

#[derive(Debug)]
struct Gateway {
    uri: Uri,
    priority: u16,
    weight: u16,
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
    fn new(now: Instant, settings: TrunkSettings, call_id: String) -> Self {
        let gateway = |gateway: &TrunkGateway| Gateway {
            uri: gateway.uri.clone(),
            priority: gateway.priority,
            weight: gateway.weight,
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
            rate: match settings.limits.calls_per_second {
                0 => None,
                rate => Some(Bucket::new(now, rate)),
            },
            counts: Counts::default(),
            learnt: BTreeMap::new(),
            settings,
            config: None,
            revision: 0,
            legs: BTreeMap::new(),
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
            priority: gateway.priority,
            weight: gateway.weight,
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
            config: self.config.as_ref().map(TrunkConfig::shown),
            source: source(self.revision),
            revision: self.revision,
        }
    }

    /// Remembers from where a gateway has answered: its calls will come from there. One that is an address is known.
    fn learn(&mut self, now: Instant, peer: IpAddr) {
        let is_name =
            |gateway: &Gateway| gateway.uri.host().is_some_and(|host| host.address().is_none());
        if !self.gateways.iter().any(is_name) {
            return;
        }
        self.learnt.insert(peer, now);
        self.learnt.retain(|_, heard| now.saturating_duration_since(*heard) < LEARNT_FOR);
        if self.learnt.len() > MOST_LEARNT {
            let oldest = self.learnt.iter().min_by_key(|(_, heard)| **heard);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.learnt.remove(&oldest);
            }
        }
    }

    fn has_address(&self, now: Instant, peer: IpAddr) -> bool {
        let is_fresh = |heard: &Instant| now.saturating_duration_since(*heard) < LEARNT_FOR;
        let is_gateway = |gateway: &Gateway| {
            gateway.uri.host().and_then(crate::sip::Host::address) == Some(peer)
        };
        self.gateways.iter().any(is_gateway)
            || self.learnt.get(&peer).is_some_and(is_fresh)
            || self.settings.networks.iter().any(|network| network.contains(peer))
    }
}

impl Bridge {
    /// The trunk that calls from there.
    pub(super) fn trunk_at(&self, peer: IpAddr) -> Option<usize> {
        self.trunk_where(|trunk| trunk.has_address(self.now, peer))
    }

    /// The trunk of this name.
    pub(super) fn trunk_named(&self, name: &str) -> Option<usize> {
        self.trunk_where(|trunk| trunk.settings.name == name)
    }

    fn trunk_where(&self, is_it: impl Fn(&Trunk) -> bool) -> Option<usize> {
        self.trunks.iter().find(|(_, trunk)| is_it(trunk)).map(|(index, _)| *index)
    }

    pub(super) fn trunk_name(&self, index: usize) -> Option<&str> {
        self.trunks.get(&index).map(|trunk| trunk.settings.name.as_str())
    }

    /// The room that calls of this trunk go to, if it has one.
    pub(super) fn trunk_room(&self, index: usize) -> Option<&str> {
        self.trunks.get(&index)?.settings.room.as_deref()
    }

    pub(super) fn trunk_rules(&self, index: usize) -> Option<&TrunkRules> {
        self.trunks.get(&index).map(|trunk| &trunk.settings.rules)
    }

    /// Says that a trunk is up or down, if that is news.
    fn tell_trunk(&mut self, index: usize) {
        let clock = self.clock;
        let Some(trunk) = self.trunks.get_mut(&index) else { return };
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
        let mut views: Vec<_> = self.trunks.values().map(|trunk| trunk.view(self.clock)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        page::page(query, views.into_iter(), |trunk| trunk.name.clone())
    }

    pub(super) fn api_trunk(&self, name: &str) -> Answer<model::Trunk> {
        let found = self.trunks.values().find(|trunk| trunk.settings.name == name);
        found.map(|trunk| trunk.view(self.clock)).ok_or_else(|| no_such("trunk", name))
    }
}

/// For how long calls are taken from where a gateway has answered last. Checks and registrations make it hear again much sooner.
const LEARNT_FOR: Duration = Duration::from_hours(24);
/// Addresses of a trunk that are remembered so.
const MOST_LEARNT: usize = 32;

#[cfg(test)]
mod tests;
