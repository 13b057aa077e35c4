//! What one user, or one address, does and has used today.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::model::LegId;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::CallerLimits;
use crate::bridge::limits::Limit;

#[derive(Debug)]
pub(super) struct Account {
    /// Its calls now.
    pub(super) legs: BTreeSet<LegId>,
    /// When its last calls came, those of a minute.
    recent: VecDeque<Timestamp>,
    day: Date,
    /// Talk of this day up to `counted`.
    talked: Duration,
    /// Money of this day up to `counted`, in millionths of millionths: that of a nanosecond is little.
    spent: u128,
    counted: Timestamp,
    /// What costs now.
    charges: BTreeMap<LegId, Charge>,
}

/// What of it survives a restart.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Used {
    day: Date,
    talked_ms: u64,
    /// In millionths.
    spent: u64,
}

/// A call that costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// Millionths a minute.
    pub(super) per_minute: u64,
    /// Index of the limits that hold.
    pub(super) rule: usize,
}

impl Account {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            legs: BTreeSet::new(),
            recent: VecDeque::new(),
            day: day(now),
            talked: Duration::ZERO,
            spent: 0,
            counted: now,
            charges: BTreeMap::new(),
        }
    }

    /// With what was used before a restart, if it is still the same day.
    pub(super) fn restored(now: Timestamp, used: &Used) -> Self {
        let mut account = Self::new(now);
        if used.day == account.day {
            account.talked = Duration::from_millis(used.talked_ms);
            account.spent = u128::from(used.spent) * MILLION;
        }
        account
    }

    /// What it has used today; `None` if nothing.
    pub(super) fn used(&mut self, now: Timestamp) -> Option<Used> {
        self.count(now);
        let talked_ms = u64::try_from(self.talked.as_millis()).unwrap_or(u64::MAX);
        let spent = u64::try_from(self.spent / MILLION).unwrap_or(u64::MAX);
        (talked_ms > 0).then_some(Used { day: self.day, talked_ms, spent })
    }

    /// Whether it has nothing that must be remembered.
    pub(super) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.count(now);
        self.forget_minutes(now);
        let has_used = !self.talked.is_zero() || self.spent > 0;
        self.legs.is_empty() && self.charges.is_empty() && self.recent.is_empty() && !has_used
    }

    /// What refuses one call more.
    pub(super) fn refuses(&mut self, now: Timestamp, limits: &CallerLimits) -> Option<Limit> {
        self.forget_minutes(now);
        let is_full = |count: usize, most: usize| most > 0 && count >= most;
        if is_full(self.legs.len(), limits.max_calls) {
            Some(Limit::MaxCalls)
        } else if is_full(self.recent.len(), limits.calls_per_minute) {
            Some(Limit::CallsPerMinute)
        } else {
            None
        }
    }

    /// Remembers when a call came, as far as that is asked for.
    pub(super) fn note_call(&mut self, now: Timestamp, per_minute: usize) {
        if per_minute > 0 {
            self.recent.push_back(now);
        }
    }

    fn forget_minutes(&mut self, now: Timestamp) {
        let is_old = |at: &Timestamp| now.duration_since(*at) >= SignedDuration::from_secs(60);
        while self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
    }

    /// What refuses a call that costs `per_minute`, of those that are counted by the day.
    pub(super) fn overdrawn(
        &mut self,
        now: Timestamp,
        limits: &CallerLimits,
        per_minute: u64,
    ) -> Option<Limit> {
        self.count(now);
        if limits.time().is_some_and(|time| self.talked >= time) {
            Some(Limit::MinutesPerDay)
        } else if per_minute > 0 && limits.money().is_some_and(|money| self.spent >= money) {
            Some(Limit::SpendPerDay)
        } else {
            None
        }
    }

    pub(super) fn charge(&mut self, now: Timestamp, leg: LegId, charge: Charge) {
        self.count(now);
        self.charges.insert(leg, charge);
    }

    pub(super) fn end(&mut self, now: Timestamp, leg: LegId) {
        self.count(now);
        self.legs.remove(&leg);
        self.charges.remove(&leg);
    }

    /// Adds up to `now`; what was before midnight is forgotten then.
    fn count(&mut self, now: Timestamp) {
        let today = day(now);
        if today != self.day {
            self.day = today;
            self.talked = Duration::ZERO;
            self.spent = 0;
            let midnight = today.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp());
            self.counted = self.counted.max(midnight);
        }
        let passed = Duration::try_from(now.duration_since(self.counted)).unwrap_or_default();
        self.counted = self.counted.max(now);
        let calls = u32::try_from(self.charges.len()).unwrap_or(u32::MAX);
        self.talked = self.talked.saturating_add(passed.saturating_mul(calls));
        self.spent =
            self.spent.saturating_add(self.rate().saturating_mul(passed.as_nanos()) / MINUTE);
    }

    /// Whether calls of it cost now.
    pub(super) fn is_running(&self) -> bool {
        !self.charges.is_empty()
    }

    /// What all its calls cost a minute, in the unit of `spent`.
    fn rate(&self) -> u128 {
        self.charges.values().map(|charge| u128::from(charge.per_minute) * MILLION).sum()
    }

    /// When something of it is used up, or the day is over on which that would have been later.
    pub(super) fn due(&self, limits: &[CallerLimits]) -> Option<Timestamp> {
        let limits = limits.get(self.charges.values().next()?.rule)?;
        let calls = u32::try_from(self.charges.len()).unwrap_or(u32::MAX);
        let time = limits.time().map(|time| time.saturating_sub(self.talked) / calls);
        let rate = self.rate();
        let money = limits.money().filter(|_| rate > 0).map(|money| {
            let left = money.saturating_sub(self.spent).saturating_mul(MINUTE).div_ceil(rate);
            Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
        });
        let left = time.into_iter().chain(money).min()?.min(A_DAY);
        let tomorrow = self.day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let used_up = self.counted.checked_add(left).unwrap_or(Timestamp::MAX);
        Some(used_up.min(tomorrow))
    }

    /// The calls that may not go on.
    pub(super) fn used_up(
        &mut self,
        now: Timestamp,
        limits: &[CallerLimits],
    ) -> Vec<(LegId, Limit)> {
        if self.charges.is_empty() {
            return Vec::new();
        }
        self.count(now);
        let over = |(leg, charge): (&LegId, &Charge)| {
            let limits = limits.get(charge.rule)?;
            if limits.time().is_some_and(|time| self.talked >= time) {
                return Some((*leg, Limit::MinutesPerDay));
            }
            let is_broke = limits.money().is_some_and(|money| self.spent >= money);
            (is_broke && charge.per_minute > 0).then_some((*leg, Limit::SpendPerDay))
        };
        self.charges.iter().filter_map(over).collect()
    }
}

impl CallerLimits {
    fn time(&self) -> Option<Duration> {
        let minutes = u64::from(self.minutes_per_day);
        (minutes > 0).then(|| Duration::from_mins(minutes))
    }

    /// In the unit of [`Account::spent`].
    fn money(&self) -> Option<u128> {
        (self.spend_per_day > 0).then(|| u128::from(self.spend_per_day) * MILLION)
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

const MILLION: u128 = 1_000_000;
/// Nanoseconds.
const MINUTE: u128 = 60_000_000_000;
const A_DAY: Duration = Duration::from_hours(24);
