//! The header of a mixed stream: who is heard in it (RFC 3550 §5.1) and how loud (RFC 6465).

use std::ops::Deref;

use super::extension::{AudioLevel, MAX_SHORT_ID, ONE_OCTET, TWO_OCTETS};
use super::{HEADER_LEN, Header, Ssrc};

/// The most sources that a header can name.
pub const MAX_SOURCES: usize = 15;
/// A head of two words at most, then an octet for each source, in whole words.
const MAX_LEVELS: usize = 8 + MAX_SOURCES + 1;
/// The longest header that is written.
const MAX_HEADER: usize = HEADER_LEN + 4 * MAX_SOURCES + MAX_LEVELS;

/// Whether a leg is told who contributes to what it hears.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Naming {
    /// The stream is sent as if one spoke.
    #[default]
    Nobody,
    /// By SSRC, in the CSRC list.
    Sources,
    /// Also how loud each is, by the header extension with this id (RFC 6465).
    Levels(u8),
}

/// Those who are heard in a tick, as they stand on the wire; no more than [`MAX_SOURCES`] are kept.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    ssrcs: [[u8; 4]; MAX_SOURCES],
    levels: [u8; MAX_SOURCES],
    count: usize,
}

impl Sources {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds one; gives its place, `None` where there is no more room.
    pub fn push(&mut self, ssrc: Ssrc, level: AudioLevel) -> Option<usize> {
        let at = self.count;
        *self.ssrcs.get_mut(at)? = ssrc.number().to_be_bytes();
        self.levels[at] = level.below_overload();
        self.count += 1;
        Some(at)
    }

    /// Adds those of another list, as far as there is room.
    pub fn append(&mut self, others: &Self) {
        let count = others.count.min(MAX_SOURCES - self.count);
        self.ssrcs[self.count..][..count].copy_from_slice(&others.ssrcs[..count]);
        self.levels[self.count..][..count].copy_from_slice(&others.levels[..count]);
        self.count += count;
    }

    /// Whether this one is among them.
    pub(crate) fn contains(&self, ssrc: Ssrc) -> bool {
        self.ssrcs[..self.count].contains(&ssrc.number().to_be_bytes())
    }

    /// All of them, or all but the one at a place.
    pub fn without(&self, place: Option<usize>) -> Heard<'_> {
        Heard { sources: self, without: place.filter(|&place| place < self.count) }
    }
}

/// Those whom one leg hears.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    sources: &'a Sources,
    without: Option<usize>,
}

impl Heard<'_> {
    fn len(self) -> usize {
        self.sources.count - usize::from(self.without.is_some())
    }

    /// Leaves the own place out of a list, of which what is behind [`Self::len`] does not count.
    fn pick<T: Copy>(self, mut all: [T; MAX_SOURCES]) -> [T; MAX_SOURCES] {
        if let Some(without) = self.without {
            all.copy_within(without + 1.., without);
        }
        all
    }
}

/// A header as it goes on the wire.
#[derive(Clone, Debug)]
pub struct MixedHeader {
    octets: [u8; MAX_HEADER],
    length: usize,
}

impl Deref for MixedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Header {
    /// Writes the header of a packet in which these are heard; version 2, no padding.
    #[inline]
    pub fn print_mixed(&self, naming: Naming, heard: Heard<'_>) -> MixedHeader {
        let mut printed = MixedHeader { octets: [0; MAX_HEADER], length: HEADER_LEN };
        if let Some(fixed) = printed.octets.first_chunk_mut() {
            self.write(fixed);
        }
        let count = heard.len();
        if count == 0 || naming == Naming::Nobody {
            return printed;
        }
        printed.octets[0] |= u8::try_from(count).unwrap_or(0); // At most 15.
        // All of the array: a copy of a fixed length takes a few instructions.
        let list = &mut printed.octets[HEADER_LEN..HEADER_LEN + 4 * MAX_SOURCES];
        match heard.without {
            None => list.copy_from_slice(heard.sources.ssrcs.as_flattened()),
            Some(_) => list.copy_from_slice(heard.pick(heard.sources.ssrcs).as_flattened()),
        }
        printed.length += 4 * count;
        if let Naming::Levels(id) = naming {
            printed.add_levels(id, &heard.pick(heard.sources.levels)[..count]);
        }
        printed
    }
}

impl MixedHeader {
    /// One element, padded to whole words (RFC 8285 §4.1.2), its head as short as the id allows.
    fn add_levels(&mut self, id: u8, levels: &[u8]) {
        let length = u8::try_from(levels.len()).unwrap_or(0); // 1 to 15
        let short = [(id << 4) | (length - 1)];
        let long = [id, length];
        let (profile, head) =
            if id <= MAX_SHORT_ID { (ONE_OCTET, &short[..]) } else { (TWO_OCTETS, &long[..]) };
        let words = (head.len() + levels.len()).div_ceil(4);
        let mut at = self.length;
        let words_field = u16::try_from(words).unwrap_or(0).to_be_bytes(); // At most 5.
        for part in [&profile.to_be_bytes()[..], &words_field, head, levels] {
            self.octets[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let end = self.length + 4 + 4 * words;
        self.octets[at..end].fill(0);
        self.octets[0] |= 1 << 4;
        self.length = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::{Packet, RtpTimestamp, Sequence};

    /// What a receiver finds: sources, levels and payload.
    fn read(datagram: &[u8], id: u8) -> (Vec<u32>, Vec<u8>, Vec<u8>) {
        let reader = rtp_rs::RtpReader::new(datagram).unwrap();
        let packet = Packet::parse(datagram).unwrap();
        let levels = packet.extension.element(id).unwrap_or_default().to_vec();
        (reader.csrc().collect(), levels, packet.payload.to_vec())
    }

    fn header() -> Header {
        let (sequence, timestamp) = (Sequence::new(9), RtpTimestamp::new(8));
        Header { marker: true, payload_type: 96, sequence, timestamp, ssrc: Ssrc::new(7) }
    }

    proptest! {
        #[test]
        fn whom_a_leg_hears_is_named_with_its_level(
            heard in prop::collection::vec((any::<u32>(), 0_u8..128), 0..20),
            own in prop::option::of(0_usize..20), id in 1_u8..=255,
        ) {
            let mut sources = Sources::default();
            for &(ssrc, level) in &heard {
                sources.push(Ssrc::new(ssrc), AudioLevel::new(level));
            }

            let header = header().print_mixed(Naming::Levels(id), sources.without(own));

            let datagram = [&header[..], b"voice"].concat();
            let named: Vec<(u32, u8)> = heard
                .iter()
                .take(MAX_SOURCES)
                .enumerate()
                .filter(|&(place, _)| Some(place) != own)
                .map(|(_, &source)| source)
                .collect();
            let (ssrcs, levels): (Vec<u32>, Vec<u8>) = named.into_iter().unzip();
            prop_assert_eq!(read(&datagram, id), (ssrcs, levels, b"voice".to_vec()));
            prop_assert_eq!(Packet::parse(&datagram).unwrap().header, self::header());
        }
    }

    #[test]
    fn who_wants_no_names_gets_the_plain_header() {
        let mut sources = Sources::default();
        sources.push(Ssrc::new(1), AudioLevel::SILENCE);

        assert_eq!(
            header().print_mixed(Naming::Nobody, sources.without(None))[..],
            header().print()
        );
        let named = header().print_mixed(Naming::Sources, sources.without(None));
        assert_eq!(named.len(), 16);
        assert_eq!(header().print_mixed(Naming::Sources, sources.without(Some(0))).len(), 12);
    }
}
