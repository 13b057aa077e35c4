//! SIP timer values (RFC 3261 §17.1.1.1 and table 4) and the structures that keep time cheap.
//!
//! Nothing here reads a clock: instants come in as arguments and deadlines go out as values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Estimate of the round-trip time, from which the other timers follow.
pub const T1: Duration = Duration::from_millis(500);
/// Longest pause between retransmissions of non-INVITE requests and INVITE responses.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: when to stop waiting (timers B, F, H, J, L, M).
pub const GIVE_UP: Duration = Duration::from_secs(32);

/// A retransmission timer whose interval doubles: T1, 2·T1, 4·T1 …
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    at: Instant,
    interval: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Fires first at `now + T1` and doubles up to T2 (timers E and G, and 2xx of §13.3.1.4).
    pub fn capped(now: Instant) -> Self {
        Self { at: now + T1, interval: T1, ceiling: T2 }
    }

    /// Fires first at `now + T1` and doubles for ever (timer A).
    pub fn uncapped(now: Instant) -> Self {
        Self { at: now + T1, interval: T1, ceiling: Duration::MAX }
    }

    /// When it fires next.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Doubles the interval and starts it at `now`.
    pub fn rearm(&mut self, now: Instant) {
        self.interval = self.interval.saturating_mul(2).min(self.ceiling);
        self.at = now + self.interval;
    }

    /// Jumps to the longest interval, as a provisional response asks of timer E.
    pub fn slow_down(&mut self) {
        self.interval = self.ceiling;
    }
}

/// The next deadline of many machines, each named by a key.
///
/// Setting and clearing cost O(log n), the earliest is read in O(log n), and ties fire in key order.
#[derive(Debug)]
pub struct Deadlines<K> {
    ordered: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Clone + Ord> Deadlines<K> {
    /// No deadline at all.
    pub fn new() -> Self {
        Self { ordered: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Replaces the deadline of `key`; `None` clears it.
    pub fn set(&mut self, key: &K, at: Option<Instant>) {
        if self.by_key.get(key).copied() == at {
            return;
        }
        if let Some(old) = self.by_key.remove(key) {
            self.ordered.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_key.insert(key.clone(), at);
            self.ordered.insert((at, key.clone()));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// Removes and returns the key with the earliest deadline if that is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.ordered.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

impl<K: Clone + Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
mod tests {
    use super::*;

    #[test]
    fn a_capped_backoff_doubles_up_to_t2() {
        let start = Instant::now();
        let mut backoff = Backoff::capped(start);

        let fired: Vec<u128> = (0..6)
            .map(|_| {
                let at = backoff.at();
                backoff.rearm(at);
                (at - start).as_millis()
            })
            .collect();

        assert_eq!(fired, [500, 1500, 3500, 7500, 11_500, 15_500]);
    }

    #[test]
    fn deadlines_fire_in_order_of_time_then_key() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        deadlines.set(&'b', Some(start + T1));
        deadlines.set(&'a', Some(start + T1));
        deadlines.set(&'c', Some(start));
        deadlines.set(&'d', Some(start + T2));

        let due: Vec<char> = std::iter::from_fn(|| deadlines.pop_due(start + T1)).collect();

        assert_eq!(due, ['c', 'a', 'b']);
        assert_eq!(deadlines.next(), Some(start + T2));
    }

    #[test]
    fn a_replaced_deadline_does_not_fire() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        deadlines.set(&1, Some(start));

        deadlines.set(&1, Some(start + T1));
        deadlines.set(&2, None);

        assert_eq!(deadlines.pop_due(start), None);
        assert_eq!(deadlines.pop_due(start + T1), Some(1));
        assert_eq!(deadlines.next(), None);
    }
}
