//! Port pairs for RTP and RTCP (RFC 3550 §11: even, and the next odd one).
//!
//! All workers take from one [`PortPool`], which is a bitmap of atomics: no lock, no message. A pair that was closed
//! rests in the closing worker's [`Quarantine`] before it returns, so that late packets of the old call do not reach
//! a new one.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An even port; the pair is this one and the next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct PortPair(u16);

impl PortPair {
    /// Where RTP arrives.
    pub(super) const fn rtp(self) -> u16 {
        self.0
    }

    /// Where RTCP arrives.
    pub(super) const fn rtcp(self) -> u16 {
        self.0 | 1
    }
}

/// The pairs of a range that are not in use.
#[derive(Debug)]
pub(super) struct PortPool {
    first: u16,
    pairs: usize,
    /// One bit a pair, set while it is taken.
    taken: Vec<AtomicU64>,
    /// Where the next search begins, in steps of `stride`.
    cursor: AtomicUsize,
    /// Coprime to `pairs`, so that the steps visit every pair before they come back.
    stride: usize,
}

impl PortPool {
    /// Holds the whole pairs of `ports`; `seed` says where to begin.
    pub(super) fn new(ports: &RangeInclusive<u16>, seed: u64) -> Self {
        let first = ports.start().saturating_add(ports.start() & 1);
        let past = usize::from(*ports.end()) + 1;
        let pairs = past.saturating_sub(usize::from(first)) / 2;
        let start = usize::try_from(seed % (pairs as u64 + 1)).unwrap_or(0);
        Self {
            first,
            pairs,
            taken: (0..pairs.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            cursor: AtomicUsize::new(start),
            stride: coprime_stride(pairs),
        }
    }

    /// How many pairs there are, taken or not.
    pub(super) fn capacity(&self) -> usize {
        self.pairs
    }

    /// Takes a free pair, one that has been free for long where there are many.
    pub(super) fn take(&self) -> Option<PortPair> {
        (0..self.pairs).find_map(|_| {
            let step = self.cursor.fetch_add(1, Ordering::Relaxed) % self.pairs;
            let index = step * self.stride % self.pairs;
            let bit = 1 << (index % 64);
            let before = self.taken[index / 64].fetch_or(bit, Ordering::AcqRel);
            (before & bit == 0).then(|| self.pair(index))
        })
    }

    /// Gives a pair back.
    pub(super) fn put(&self, pair: PortPair) {
        let index = usize::from(pair.0.saturating_sub(self.first)) / 2;
        if let Some(word) = self.taken.get(index / 64) {
            word.fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
        }
    }

    fn pair(&self, index: usize) -> PortPair {
        let offset = u16::try_from(index * 2).unwrap_or(u16::MAX); // Below the size of a u16 range.
        PortPair(self.first.saturating_add(offset))
    }
}

/// Near the golden section of `n`, and without a common factor.
fn coprime_stride(n: usize) -> usize {
    let start = n * 618 / 1_000;
    (start.max(1)..=n).find(|&stride| greatest_common_divisor(stride, n) == 1).unwrap_or(1)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Closed pairs that rest before they are used again.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    resting: VecDeque<(Instant, PortPair)>,
}

impl Quarantine {
    /// Lets a pair rest from `now` on.
    pub(super) fn add(&mut self, now: Instant, pair: PortPair) {
        self.resting.push_back((now + REST, pair));
    }

    /// Returns the pairs that have rested.
    pub(super) fn release(&mut self, now: Instant, pool: &PortPool) {
        while let Some((_, pair)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            pool.put(pair);
        }
    }

    /// When to call [`Self::release`] next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.resting.front().map(|(until, _)| *until)
    }

    /// Returns every pair at once: the owner ends.
    pub(super) fn release_all(&mut self, pool: &PortPool) {
        self.resting.drain(..).for_each(|(_, pair)| pool.put(pair));
    }
}

/// Longer than packets of an ended call keep coming, since the far side has its BYE by then.
const REST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_pair_is_given_once_and_lies_in_the_range(
            first in 1_024_u16..60_000, len in 0_u16..600, seed: u64,
        ) {
            let ports = first..=first + len;
            let pool = PortPool::new(&ports, seed);

            let pairs: Vec<PortPair> = std::iter::from_fn(|| pool.take()).collect();

            let distinct: BTreeSet<PortPair> = pairs.iter().copied().collect();
            prop_assert_eq!(pairs.len(), pool.capacity());
            prop_assert_eq!(distinct.len(), pairs.len());
            prop_assert!(pairs.iter().all(|p| p.rtp() % 2 == 0 && ports.contains(&p.rtp()) && ports.contains(&p.rtcp())));
            let even = ports.clone().filter(|p| p % 2 == 0 && ports.contains(&(p + 1))).count();
            prop_assert_eq!(pool.capacity(), even);
        }
    }

    #[test]
    fn a_pair_that_was_given_back_comes_last() {
        let pool = PortPool::new(&(20_000..=20_999), 1);
        let pair = pool.take().unwrap();
        pool.put(pair);

        let next: Vec<PortPair> = (0..400).filter_map(|_| pool.take()).collect();

        assert!(!next.contains(&pair));
    }

    #[test]
    fn a_closed_pair_rests() {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
        let now = Instant::now();
        let pool = PortPool::new(&(20_000..=20_001), 1);
        let mut quarantine = Quarantine::default();
        quarantine.add(now, pool.take().unwrap());

        quarantine.release(now + REST / 2, &pool);
        let early = pool.take();
        quarantine.release(now + REST, &pool);

        assert_eq!(early, None);
        assert!(pool.take().is_some());
    }
}
