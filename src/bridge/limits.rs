//! Limits of calls that refuse one or end one: what each is called, what whoever it refuses is told, and who else learns of it.

use std::net::IpAddr;
use std::time::Duration;

use api::event::{Data, EventType};
use api::model::{LeftReason, LegId};
use serde_json::json;

use super::{Bridge, Subject, Timer};

/// What has been reached.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Limit {
    /// Calls at once.
    MaxCalls,
    /// New calls a second.
    CallsPerSecond,
    /// What may be called.
    Prefixes,
    /// How long a call may last.
    MaxDuration,
    /// New calls of a caller within a minute.
    CallsPerMinute,
    /// Talk of a caller this day.
    MinutesPerDay,
    /// Money of a caller this day.
    SpendPerDay,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Scope {
    /// Everybody's.
    Node,
    /// A trunk's.
    Trunk,
    /// A user's who calls.
    User,
    /// An address's that calls.
    Source,
}

/// A limit that stands in a call's way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reached {
    pub(super) limit: Limit,
    pub(super) scope: Scope,
    /// Of the trunk or user, or the address.
    pub(super) name: String,
    /// Where the call comes from.
    pub(super) peer: Option<IpAddr>,
    /// What it was to call.
    pub(super) to: Option<String>,
}

impl Limit {
    /// As events, metrics and the log name it: mostly its setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MaxCalls => "max_calls",
            Self::CallsPerSecond => "calls_per_second",
            Self::Prefixes => "prefixes",
            Self::MaxDuration => "max_duration",
            Self::CallsPerMinute => "calls_per_minute",
            Self::MinutesPerDay => "minutes_per_day",
            Self::SpendPerDay => "spend_per_day",
        }
    }

    /// What whoever it refuses is told: status, and Retry-After in seconds where it helps. What a caller may not is forbidden.
    pub(super) fn answer(self, scope: Scope) -> (u16, &'static str, Option<u32>) {
        match self {
            Self::MaxCalls if scope.is_caller() => (403, "No more calls at once", None),
            Self::MaxCalls => (503, "All lines are busy", Some(10)),
            Self::CallsPerSecond => (503, "Too many calls at once", Some(1)),
            Self::Prefixes => (403, "This number may not be called", None),
            Self::MaxDuration => (403, "The call lasted as long as it may", None),
            Self::CallsPerMinute => (403, "No more calls in this minute", None),
            Self::MinutesPerDay => (403, "No more minutes today", None),
            Self::SpendPerDay => (403, "No more money today", None),
        }
    }
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Trunk => "trunk",
            Self::User => "user",
            Self::Source => "source",
        }
    }

    fn is_caller(self) -> bool {
        matches!(self, Self::User | Self::Source)
    }
}

impl Bridge {
    /// Tells that a limit has refused a call, `leg` if it has one already: to the log, in events and in metrics.
    pub(super) fn limit_refused(&mut self, reached: &Reached, leg: Option<LegId>) {
        let (status, reason, _) = reached.limit.answer(reached.scope);
        self.limit_reached(reached, leg, "refused", Some((status, reason)));
    }

    /// Hangs up a leg that a limit does not let go on.
    pub(super) fn limit_ended(&mut self, reached: &Reached, leg: LegId) {
        self.limit_reached(reached, Some(leg), "ended", None);
        self.end_leg(leg, LeftReason::LimitReached, None);
    }

    fn limit_reached(
        &mut self,
        reached: &Reached,
        leg: Option<LegId>,
        action: &str,
        sip: Option<(u16, &str)>,
    ) {
        let Reached { limit, scope, name, peer, to } = reached;
        let (limit, scope) = (limit.name(), scope.name());
        if let Some(peer) = peer {
            tracing::warn!(%peer, scope, name, limit, action, "limit reached");
        } else {
            tracing::warn!(scope, name, limit, action, "limit reached");
        }
        self.counters.limited(scope, limit);
        let sip = sip.map(|(status, reason)| json!({ "status": status, "reason": reason }));
        let data = json!({
            "scope": scope, "name": name, "limit": limit, "action": action, "sip": sip,
            "source": peer, "to": to,
        });
        let subject = leg.and_then(|leg| self.legs.get(&leg)).map(Subject::of);
        self.happened(EventType::LimitReached, subject.unwrap_or_default(), Data::of(&data));
    }

    /// Begins to count the time that a leg may last.
    pub(super) fn watch_duration(&mut self, leg: LegId) {
        if let Some((longest, _)) = self.longest(leg) {
            self.set_timer(longest, Timer::Longest(leg));
        }
    }

    /// A leg has lasted as long as it may.
    pub(super) fn lasted_too_long(&mut self, leg: LegId) {
        if !self.legs.contains_key(&leg) {
            return;
        }
        if let Some((_, reached)) = self.longest(leg) {
            self.limit_ended(&reached, leg);
        }
    }

    /// The longest that a leg may last, and who says so.
    fn longest(&self, leg: LegId) -> Option<(Duration, Reached)> {
        let trunk = self.trunk_of(leg).and_then(|trunk| self.trunk_limit_of_duration(trunk));
        let of =
            |scope, name| Reached { limit: Limit::MaxDuration, scope, name, peer: None, to: None };
        let node = (self.settings.max_duration, of(Scope::Node, String::new()));
        let trunk = trunk.map(|(longest, name)| (longest, of(Scope::Trunk, name)));
        let all = [Some(node), trunk, self.tolls.longest(leg)];
        let set = all.into_iter().flatten().filter(|(longest, _)| !longest.is_zero());
        set.min_by_key(|(longest, _)| *longest)
    }
}
