//! The last packets that were left out: a decoder that remembers is given them, unheard, before it is heard again.

/// So many are enough: by then predictive codecs have forgotten what they missed.
const PACKETS: usize = 3;
/// Octets kept; what does not fit is left out, the oldest first.
const MAX_OCTETS: usize = 1_500;

/// A few payloads, oldest first, in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Stash {
    octets: Vec<u8>,
    /// Of each payload, newest last; 0 for none.
    lengths: [usize; PACKETS],
}

impl Stash {
    /// With memory for what it may hold.
    pub(super) fn with_room() -> Self {
        Self { octets: Vec::with_capacity(MAX_OCTETS), lengths: [0; PACKETS] }
    }

    /// Keeps the newest payload; one that is too large is as good as none.
    pub(super) fn push(&mut self, payload: &[u8]) {
        let length = if payload.len() <= MAX_OCTETS { payload.len() } else { 0 };
        let mut out = 0;
        for oldest in 0..PACKETS {
            if oldest > 0 && self.octets.len() - out + length <= MAX_OCTETS {
                break;
            }
            out += std::mem::take(&mut self.lengths[oldest]);
        }
        self.octets.drain(..out);
        self.octets.extend_from_slice(&payload[..length]);
        self.lengths.rotate_left(1);
        self.lengths[PACKETS - 1] = length;
    }

    /// What is kept, oldest first.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.octets[..];
        self.lengths.iter().filter(|&&length| length > 0).map(move |&length| {
            let (payload, after) = rest.split_at(length);
            rest = after;
            payload
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.lengths = [0; PACKETS];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_are_kept(lengths in prop::collection::vec(1_usize..1_600, 0..9)) {
            let mut stash = Stash::with_room();
            let payloads: Vec<Vec<u8>> =
                lengths.iter().zip(0..).map(|(&length, octet)| vec![octet; length]).collect();
            for payload in &payloads {
                stash.push(payload);
            }

            let kept: Vec<&[u8]> = stash.payloads().collect();

            prop_assert!(kept.len() <= PACKETS && stash.octets.len() <= MAX_OCTETS);
            let fitting = payloads.iter().filter(|payload| payload.len() <= MAX_OCTETS);
            prop_assert!(fitting.map(Vec::as_slice).collect::<Vec<_>>().ends_with(&kept));
            let fits = payloads.last().is_some_and(|last| last.len() <= MAX_OCTETS);
            prop_assert!(!fits || kept.last() == payloads.last().map(Vec::as_slice).as_ref());
        }
    }
}
