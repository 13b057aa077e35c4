//! The legs of a worker, found by the bridge's name or, at no cost, by their place in the mixer.

use std::collections::{BTreeMap, BTreeSet};

use mixer::room::SlotId;

use super::command::MediaKey;
use super::leg::Leg;

/// A slab of legs: a [`SlotId`] is an index.
#[derive(Debug, Default)]
pub(super) struct Legs {
    cells: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    by_key: BTreeMap<MediaKey, SlotId>,
    /// Configured, but in no mix.
    lobby: BTreeSet<SlotId>,
}

impl Legs {
    pub(super) fn insert(&mut self, leg: Box<Leg>) -> SlotId {
        let key = leg.key;
        let index = self.free.pop().unwrap_or(self.cells.len());
        if index == self.cells.len() {
            self.cells.push(None);
        }
        self.cells[index] = Some(leg);
        let id = SlotId(index as u64);
        self.by_key.insert(key, id);
        self.note_lobby(id);
        id
    }

    pub(super) fn remove(&mut self, key: MediaKey) -> Option<Box<Leg>> {
        let id = self.by_key.remove(&key)?;
        self.lobby.remove(&id);
        self.free.push(place_of(id));
        self.cells[place_of(id)].take()
    }

    /// Looks again whether a leg is in the lobby: it was configured, or has changed its mix.
    pub(super) fn note_lobby(&mut self, id: SlotId) {
        let waits = self.at(id).is_some_and(|leg| leg.mix.is_none() && leg.is_configured());
        if waits {
            self.lobby.insert(id);
        } else {
            self.lobby.remove(&id);
        }
    }

    /// Configured legs in no mix.
    pub(super) fn lobby_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        let lobby = &self.lobby;
        let cells = self.cells.iter_mut().enumerate();
        cells
            .filter(|(index, _)| lobby.contains(&SlotId(*index as u64)))
            .filter_map(|(_, cell)| cell.as_deref_mut())
    }

    pub(super) fn is_lobby_empty(&self) -> bool {
        self.lobby.is_empty()
    }

    pub(super) fn id(&self, key: MediaKey) -> Option<SlotId> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn at(&self, id: SlotId) -> Option<&Leg> {
        self.cells.get(place_of(id))?.as_deref()
    }

    pub(super) fn at_mut(&mut self, id: SlotId) -> Option<&mut Leg> {
        self.cells.get_mut(place_of(id))?.as_deref_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Its place in the slab.
pub(super) fn place_of(id: SlotId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
}
