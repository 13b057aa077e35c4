//! The canonical names of those who are heard: a mixer passes them on as they were told to it (RFC 3550 §6.5, §7.3).

use crate::rtp::{MAX_SOURCES, Sources, Ssrc};

use super::Chunk;

/// A source and its CNAME, as its own end tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    ssrc: Ssrc,
    octets: [u8; 255],
    length: u8,
}

impl Named {
    /// Of a chunk that has a CNAME.
    pub(super) fn of(chunk: Chunk<'_>) -> Option<Self> {
        let text = chunk.cname.filter(|text| !text.is_empty())?;
        let mut octets = [0; 255];
        octets.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { ssrc: chunk.ssrc, octets, length: u8::try_from(text.len()).ok()? })
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    fn chunk(&self) -> Chunk<'_> {
        let cname = self.octets.get(..usize::from(self.length));
        Chunk { ssrc: self.ssrc, cname }
    }
}

/// Of those who are heard in a room now, the names that are known.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Named>);

impl Names {
    /// Makes room for as many as sit in the room; the only call that allocates.
    pub(crate) fn reserve(&mut self, seats: usize) {
        let wanted = seats.min(MAX_SOURCES);
        self.0.reserve(wanted.saturating_sub(self.0.len()));
    }

    /// Notes a name; one for which there is no room is noted once somebody else is heard no more.
    pub(crate) fn note(&mut self, named: &Named) {
        let has_room = self.0.len() < self.0.capacity().min(MAX_SOURCES);
        match self.0.iter_mut().find(|known| known.ssrc == named.ssrc) {
            Some(known) if known == named => {}
            Some(known) => *known = *named,
            None if has_room => self.0.push(*named),
            None => {}
        }
    }

    /// Forgets those who are not heard.
    pub(crate) fn keep(&mut self, sources: &Sources) {
        self.0.retain(|known| sources.contains(known.ssrc));
    }

    /// One of them, another each time that `turn` is.
    pub(crate) fn take_turns(&self, turn: u64) -> Option<Named> {
        let count = u64::try_from(self.0.len()).ok().filter(|count| *count > 0)?;
        self.0.get(usize::try_from(turn % count).ok()?).copied()
    }

    /// As they are named to `listener`, who is not told of itself.
    pub(crate) fn to(&self, listener: Option<Ssrc>) -> Contributors<'_> {
        Contributors { names: &self.0, listener }
    }
}

/// Those whom a leg hears, to be described in its reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contributors<'a> {
    names: &'a [Named],
    listener: Option<Ssrc>,
}

impl<'a> Contributors<'a> {
    /// All of them, beginning with another in each `turn`: not all may fit into a report.
    pub(super) fn chunks(self, turn: usize) -> impl Iterator<Item = Chunk<'a>> {
        let first = turn.checked_rem(self.names.len()).unwrap_or(0);
        let (last, start) = self.names.split_at(first);
        let listener = self.listener;
        start.iter().chain(last).map(Named::chunk).filter(move |chunk| Some(chunk.ssrc) != listener)
    }
}
