//! What failed lately: servers that are tried last (RFC 3263 §4.3), and peers that speak no TCP (RFC 3261 §18.1.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Destination;

/// What is remembered of failures, each for a while.
#[derive(Debug, Default)]
pub(super) struct Outages {
    down: Memory<Destination>,
    udp_only: Memory<SocketAddr>,
}

impl Outages {
    /// Notes that a server did not answer, or answered 503.
    pub(super) fn note_down(&mut self, now: Instant, server: Destination, time: Duration) {
        self.down.note(now, server, time);
    }

    /// Notes that a server answers.
    pub(super) fn note_up(&mut self, server: Destination) {
        self.down.until.remove(&server);
    }

    /// Puts those that are down behind the others.
    pub(super) fn sort(&self, now: Instant, servers: &mut [Destination]) {
        servers.sort_by_key(|server| self.down.holds(now, server));
    }

    /// Notes that no connection leads to a peer that datagrams reach.
    pub(super) fn note_udp_only(&mut self, now: Instant, peer: SocketAddr, time: Duration) {
        self.udp_only.note(now, peer, time);
    }

    /// Whether to send a datagram however large it is.
    pub(super) fn is_udp_only(&self, now: Instant, peer: SocketAddr) -> bool {
        self.udp_only.holds(now, &peer)
    }
}

/// Keys that hold until an instant.
#[derive(Debug)]
struct Memory<K> {
    until: BTreeMap<K, Instant>,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self { until: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Memory<K> {
    /// Costs O(entries) when it is full.
    fn note(&mut self, now: Instant, key: K, time: Duration) {
        if self.until.len() >= MOST && !self.until.contains_key(&key) {
            self.until.retain(|_, until| *until > now);
            let soonest = self.until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            if let Some(soonest) = soonest.filter(|_| self.until.len() >= MOST) {
                self.until.remove(&soonest);
            }
        }
        let until = self.until.entry(key).or_insert(now);
        *until = (*until).max(now + time);
    }

    fn holds(&self, now: Instant, key: &K) -> bool {
        self.until.get(key).is_some_and(|until| *until > now)
    }
}

/// Failures of each kind that are remembered; beyond it the one that would be forgotten first is.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
    fn a_failure_is_forgotten_in_time_and_memory_is_bounded() {
        let start = Instant::now();
        let mut memory = Memory::default();
        let minute = Duration::from_mins(1);

        for key in 0..3000 {
            memory.note(start + Duration::from_millis(key), key, minute);
        }

        assert_eq!(memory.until.len(), MOST);
        assert!(!memory.holds(start, &0), "the oldest made room");
        assert!(memory.holds(start + minute, &2999));
        assert!(!memory.holds(start + minute * 2, &2999));
    }
}
