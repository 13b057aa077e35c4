//! The last packets that were left out: a decoder that remembers is given them, unheard, before it is heard again.

use std::collections::VecDeque;

/// Octets kept: 240 ms of G.722. What does not fit is left out, the oldest first.
const MAX_OCTETS: usize = 1_920;
/// Octets in memory, so that those kept move only now and then.
const ROOM: usize = 2 * MAX_OCTETS;

/// Some payloads, oldest first, in one piece of memory.
#[derive(Debug)]
pub(super) struct Stash {
    octets: Vec<u8>,
    /// Where the oldest begins.
    from: usize,
    /// Of each payload, oldest first.
    lengths: VecDeque<usize>,
    /// How many are kept.
    most: usize,
}

impl Stash {
    /// Keeps up to `most` payloads, in memory that is taken here.
    pub(super) fn new(most: usize) -> Self {
        Self {
            octets: Vec::with_capacity(if most == 0 { 0 } else { ROOM }),
            from: 0,
            lengths: VecDeque::with_capacity(most),
            most,
        }
    }

    /// Keeps the newest payload. One that is too large leaves a gap, and nothing from before it is of use.
    pub(super) fn push(&mut self, payload: &[u8]) {
        while self.lengths.len() >= self.most || self.held() + payload.len() > MAX_OCTETS {
            let Some(oldest) = self.lengths.pop_front() else { return self.clear() };
            self.from += oldest;
        }
        if self.octets.len() + payload.len() > ROOM {
            self.octets.drain(..self.from);
            self.from = 0;
        }
        self.octets.extend_from_slice(payload);
        self.lengths.push_back(payload.len());
    }

    /// What is kept, oldest first.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.octets[self.from..];
        self.lengths.iter().map(move |&length| {
            let (payload, after) = rest.split_at(length);
            rest = after;
            payload
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.from = 0;
        self.lengths.clear();
    }

    fn held(&self) -> usize {
        self.octets.len() - self.from
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_are_kept(
            most in 1_usize..13,
            lengths in prop::collection::vec(prop_oneof![1_usize..200, 1_usize..2_500], 0..60),
        ) {
            let mut stash = Stash::new(most);
            let room = stash.octets.capacity();
            let payloads: Vec<Vec<u8>> =
                lengths.iter().zip(0..).map(|(&length, octet)| vec![octet; length]).collect();
            for payload in &payloads {
                stash.push(payload);
            }

            let kept: Vec<&[u8]> = stash.payloads().collect();

            let mut octets = 0;
            let fits = |payload: &&[u8]| {
                octets += payload.len();
                octets <= MAX_OCTETS
            };
            let newest = payloads.iter().rev().map(Vec::as_slice).take(most).take_while(fits);
            prop_assert!(kept.iter().rev().copied().eq(newest));
            prop_assert_eq!(stash.octets.capacity(), room);
        }
    }
}
