//! Limits against toll fraud: what a user, or an address that calls, may do at once, in a minute and in a day.
//!
//! ```text
//!  a call comes in ─▶ max_calls, calls_per_minute ─▶ a step of its route calls out ─▶ denied, allowed, minutes and spend of the day
//!                                                         └─ answered ─▶ time and money run ─▶ gone: the call is hung up
//! ```
//! Days are those of UTC. Money runs by the second; a number of which no price is known is free. What was used is stored each
//! minute, so that a restart gives nobody a new day.

mod account;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use api::archive::{Change, Document, DocumentKind};
use api::model::LegId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::account::{Account, Charge, Used};
use super::keeping::Deed;
use super::limits::{Limit, Reached, Scope};
use super::{Bridge, MediaRules, Network, Pattern, Timer};

/// Limits of some callers, for each of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CallerLimits {
    /// Users that these limits are for.
    pub users: Vec<Pattern>,
    /// Networks for each of whose addresses they are; of IPv6, for each /64.
    pub networks: Vec<Network>,
    /// Calls at once; zero: any number.
    pub max_calls: usize,
    /// New calls within 60 s; zero: any number.
    pub calls_per_minute: usize,
    /// What may be called begins with one of these; none: everything.
    pub allowed: Vec<String>,
    /// What begins with one of these may not.
    pub denied: Vec<String>,
    /// Talk a day; zero: any.
    pub minutes_per_day: u32,
    /// Money a day, in millionths; zero: any.
    pub spend_per_day: u64,
    /// How long a call may last; zero: for ever.
    pub max_duration: Duration,
    /// Media with these users; networks have none of their own.
    pub media: MediaRules,
}

/// What a minute costs, by the longest of the prefixes that a number begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prices(BTreeMap<String, u64>);

impl Prices {
    /// Prefixes, and millionths a minute.
    pub fn new(prices: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self(prices.into_iter().collect())
    }

    /// Millionths a minute.
    pub(super) fn of(&self, number: &str) -> u64 {
        let mut prefixes = (0..=number.len()).rev().filter_map(|end| number.get(..end));
        prefixes.find_map(|prefix| self.0.get(prefix)).copied().unwrap_or(0)
    }
}

/// Whose account it is.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payer {
    User(String),
    Source(IpAddr),
}

impl Payer {
    /// Of IPv6 a /64 is one source.
    fn source(address: IpAddr) -> Self {
        Self::Source(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 64).into(),
        })
    }

    fn scope(&self) -> Scope {
        match self {
            Self::User(_) => Scope::User,
            Self::Source(_) => Scope::Source,
        }
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => f.write_str(user),
            Self::Source(address) => address.fmt(f),
        }
    }
}

/// Who pays for a call, with the index of the limits that hold for it.
#[derive(Clone, Debug)]
pub(super) struct Payers {
    all: Vec<(Payer, usize)>,
    /// Where the call comes from.
    pub(super) peer: IpAddr,
}

/// Everybody's account.
#[derive(Debug)]
pub(super) struct Tolls {
    limits: Vec<CallerLimits>,
    prices: Prices,
    accounts: BTreeMap<Payer, Account>,
    /// Each leg of a caller, and each that was called for one.
    legs: BTreeMap<LegId, Paid>,
    /// When the bridge looks again.
    timer: Option<Instant>,
    /// Something was used that is not stored, and is going to be.
    is_unsaved: bool,
}

/// A leg that somebody pays for.
#[derive(Debug)]
struct Paid {
    payers: Payers,
    /// What it calls; none: it is the caller's.
    number: Option<String>,
}

impl Tolls {
    pub(super) fn new(limits: Vec<CallerLimits>, prices: Prices) -> Self {
        let (accounts, legs) = (BTreeMap::new(), BTreeMap::new());
        Self { limits, prices, accounts, legs, timer: None, is_unsaved: false }
    }

    /// What was used before a restart.
    fn restore(&mut self, now: Timestamp, used: Vec<(Payer, Used)>) {
        let restored = |(payer, used): (Payer, Used)| (payer, Account::restored(now, &used));
        self.accounts.extend(used.into_iter().take(ACCOUNTS).map(restored));
    }

    /// What everybody has used today.
    fn used(&mut self, now: Timestamp) -> Vec<(&Payer, Used)> {
        let used = |(payer, account): (_, &mut Account)| Some((payer, account.used(now)?));
        self.accounts.iter_mut().filter_map(used).collect()
    }

    /// Who pays for what this user, or this address, calls.
    pub(super) fn payers(&self, user: Option<&str>, peer: IpAddr) -> Payers {
        let rule = |fits: &dyn Fn(&CallerLimits) -> bool| self.limits.iter().position(fits);
        let user = user.and_then(|user| {
            let rule = rule(&|limits| limits.users.iter().any(|pattern| pattern.matches(user)))?;
            Some((Payer::User(user.to_owned()), rule))
        });
        let source = rule(&|limits| limits.networks.iter().any(|network| network.contains(peer)));
        let source = source.map(|rule| (Payer::source(peer), rule));
        Payers { all: user.into_iter().chain(source).collect(), peer }
    }

    /// Whether a call may come in, which then counts.
    fn admit(&mut self, now: Timestamp, payers: &Payers) -> Result<(), Reached> {
        for (payer, rule) in &payers.all {
            let limits = &self.limits[*rule];
            let Some(account) = self.accounts.get_mut(payer) else { continue };
            if let Some(limit) = account.refuses(now, limits) {
                return Err(payers.reached(payer, limit));
            }
        }
        for (payer, rule) in &payers.all {
            let per_minute = self.limits[*rule].calls_per_minute;
            account(&mut self.accounts, now, payer).note_call(now, per_minute);
        }
        Ok(())
    }

    /// Notes the leg of a caller.
    fn came(&mut self, now: Timestamp, leg: LegId, payers: Payers) {
        if payers.all.is_empty() {
            return;
        }
        for (payer, _) in &payers.all {
            account(&mut self.accounts, now, payer).legs.insert(leg);
        }
        self.legs.insert(leg, Paid { payers, number: None });
    }

    /// Whether this number may be called now.
    fn may_call(&mut self, now: Timestamp, payers: &Payers, number: &str) -> Result<(), Reached> {
        for (payer, rule) in &payers.all {
            let limits = &self.limits[*rule];
            let price = self.prices.of(number);
            let reached = if limits.denies(number) {
                Some(Limit::Prefixes)
            } else {
                account(&mut self.accounts, now, payer).overdrawn(now, limits, price)
            };
            if let Some(limit) = reached {
                let reached = payers.reached(payer, limit);
                return Err(Reached { to: Some(number.to_owned()), ..reached });
            }
        }
        Ok(())
    }

    /// Notes the leg that calls a number for a caller.
    fn goes(&mut self, leg: LegId, payers: Payers, number: String) {
        if !payers.all.is_empty() {
            self.legs.insert(leg, Paid { payers, number: Some(number) });
        }
    }

    /// A leg is answered: if it calls for somebody, which is true then, that costs from now on.
    fn answered(&mut self, now: Timestamp, leg: LegId) -> bool {
        let Some(Paid { payers, number: Some(number) }) = self.legs.get(&leg) else { return false };
        let per_minute = self.prices.of(number);
        for (payer, rule) in &payers.all {
            let charge = Charge { per_minute, rule: *rule };
            account(&mut self.accounts, now, payer).charge(now, leg, charge);
        }
        true
    }

    fn ended(&mut self, now: Timestamp, leg: LegId) {
        let Some(Paid { payers, .. }) = self.legs.remove(&leg) else { return };
        for (payer, _) in &payers.all {
            if let Some(account) = self.accounts.get_mut(payer) {
                account.end(now, leg);
            }
        }
    }

    /// Whether something costs now.
    fn is_running(&self) -> bool {
        self.accounts.values().any(Account::is_running)
    }

    /// When somebody has nothing left, or a day ends on which he had not.
    fn due(&self) -> Option<Timestamp> {
        self.accounts.values().filter_map(|account| account.due(&self.limits)).min()
    }

    /// The legs whose time or money is used up.
    fn used_up(&mut self, now: Timestamp) -> Vec<(LegId, Reached)> {
        let mut found = Vec::new();
        for (payer, account) in &mut self.accounts {
            for (leg, limit) in account.used_up(now, &self.limits) {
                let Some(paid) = self.legs.get(&leg) else { continue };
                let reached = paid.payers.reached(payer, limit);
                found.push((leg, Reached { to: paid.number.clone(), ..reached }));
            }
        }
        found
    }

    /// How long a leg may last, and by whose limit.
    pub(super) fn longest(&self, leg: LegId) -> Option<(Duration, Reached)> {
        let Paid { payers, .. } = self.legs.get(&leg)?;
        let set = payers.all.iter().map(|(payer, rule)| (self.limits[*rule].max_duration, payer));
        let set = set.filter(|(longest, _)| !longest.is_zero());
        let (longest, payer) = set.min_by_key(|(longest, _)| *longest)?;
        Some((longest, payers.reached(payer, Limit::MaxDuration)))
    }
}

impl Payers {
    fn reached(&self, payer: &Payer, limit: Limit) -> Reached {
        let (scope, name, peer) = (payer.scope(), payer.to_string(), Some(self.peer));
        Reached { limit, scope, name, peer, to: None }
    }
}

impl CallerLimits {
    fn denies(&self, number: &str) -> bool {
        let begins =
            |prefixes: &[String]| prefixes.iter().any(|prefix| number.starts_with(prefix.as_str()));
        begins(&self.denied) || (!self.allowed.is_empty() && !begins(&self.allowed))
    }
}

/// The account of a payer, a new one if there is none. Where there are too many, one that has nothing to remember goes.
fn account<'a>(
    accounts: &'a mut BTreeMap<Payer, Account>,
    now: Timestamp,
    payer: &Payer,
) -> &'a mut Account {
    if accounts.len() >= ACCOUNTS && !accounts.contains_key(payer) {
        accounts.retain(|_, account| !account.is_idle(now));
        if accounts.len() >= ACCOUNTS {
            let quiet = accounts.iter().find(|(_, account)| account.legs.is_empty());
            if let Some(quiet) = quiet.map(|(payer, _)| payer.clone()) {
                accounts.remove(&quiet);
            }
        }
    }
    accounts.entry(payer.clone()).or_insert_with(|| Account::new(now))
}

impl Bridge {
    /// Takes up what was used before a restart.
    pub(super) fn restore_tolls(&mut self) {
        let now = self.wall();
        for (_, used) in self.kept(DocumentKind::Tolls) {
            self.tolls.restore(now, used);
        }
    }

    /// A minute in which something was used is over: stores it, and goes on as long as something is.
    pub(super) fn save_tolls(&mut self) {
        let now = self.wall();
        let body = serde_json::to_string(&self.tolls.used(now)).unwrap_or_default();
        let revision = self.next_revision();
        let name = "today".to_owned();
        let document = Document { kind: DocumentKind::Tolls, name, revision, body };
        self.store(Change::Put(document), Deed::Nothing);
        self.tolls.is_unsaved = self.tolls.is_running();
        if self.tolls.is_unsaved {
            self.set_timer(SAVED_EACH, Timer::SaveTolls);
        }
    }

    /// The bridge stops.
    pub(super) fn save_unsaved_tolls(&mut self) {
        if self.tolls.is_unsaved {
            self.save_tolls();
        }
    }

    /// Whether a call may come in, which then counts.
    pub(super) fn may_come(&mut self, payers: &Payers) -> Result<(), Reached> {
        let now = self.wall();
        let admitted = self.tolls.admit(now, payers);
        self.told_if_reached(admitted)
    }

    /// Notes the leg of a caller.
    pub(super) fn caller_came(&mut self, leg: LegId, payers: Payers) {
        let now = self.wall();
        self.tolls.came(now, leg, payers);
    }

    /// Whether a caller may call this number.
    pub(super) fn may_call(&mut self, payers: &Payers, number: &str) -> Result<(), Reached> {
        let now = self.wall();
        let allowed = self.tolls.may_call(now, payers, number);
        self.told_if_reached(allowed)
    }

    /// Notes the leg that calls a number for a caller.
    pub(super) fn calls_for(&mut self, leg: LegId, payers: Payers, number: String) {
        self.tolls.goes(leg, payers, number);
    }

    /// A leg was answered: if it calls for somebody, that costs from now on.
    pub(super) fn toll_answered(&mut self, leg: LegId) {
        let now = self.wall();
        if self.tolls.answered(now, leg) {
            self.watch_tolls();
            if !std::mem::replace(&mut self.tolls.is_unsaved, true) {
                self.set_timer(SAVED_EACH, Timer::SaveTolls);
            }
        }
    }

    pub(super) fn toll_ended(&mut self, leg: LegId) {
        let now = self.wall();
        self.tolls.ended(now, leg);
    }

    /// Time has passed: hangs up whose time or money is used up.
    pub(super) fn tolls_due(&mut self) {
        let now = self.wall();
        for (leg, reached) in self.tolls.used_up(now) {
            self.limit_ended(&reached, leg);
        }
        self.watch_tolls();
    }

    fn watch_tolls(&mut self) {
        if let Some(before) = self.tolls.timer.take() {
            self.timers.remove(&(before, Timer::Tolls));
        }
        let Some(due) = self.tolls.due() else { return };
        let after = Duration::try_from(due.duration_since(self.wall())).unwrap_or_default();
        // A clock of whole milliseconds would come a moment too early, again and again.
        let after = after + Duration::from_millis(1);
        self.tolls.timer = Some(self.now + after);
        self.set_timer(after, Timer::Tolls);
    }

    fn told_if_reached(&mut self, result: Result<(), Reached>) -> Result<(), Reached> {
        if let Err(reached) = &result {
            self.limit_refused(reached, None);
        }
        result
    }
}

/// Accounts at once.
const ACCOUNTS: usize = 20_000;
/// What a crash may forget.
const SAVED_EACH: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
