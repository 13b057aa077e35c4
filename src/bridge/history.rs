//! What has ended and may still be read: bounded, oldest forgotten first.

use std::collections::BTreeMap;

use api::model::{
    Call, CallId, Leg, LegId, LegStats, Participant, Playback, PlaybackId, Room, RoomId,
};

/// Ended legs, calls, rooms and playbacks, up to a number of each.
#[derive(Debug)]
pub(super) struct History {
    keep: usize,
    pub(super) legs: BTreeMap<LegId, (Leg, LegStats)>,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) rooms: BTreeMap<RoomId, (Room, Vec<Participant>)>,
    pub(super) playbacks: BTreeMap<PlaybackId, Playback>,
}

impl History {
    /// Keeps up to `keep` of each kind.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            legs: BTreeMap::new(),
            calls: BTreeMap::new(),
            rooms: BTreeMap::new(),
            playbacks: BTreeMap::new(),
        }
    }

    pub(super) fn leg(&mut self, leg: Leg, stats: LegStats) {
        self.legs.insert(leg.id, (leg, stats));
        trim(&mut self.legs, self.keep);
    }

    pub(super) fn call(&mut self, call: Call) {
        self.calls.insert(call.id, call);
        trim(&mut self.calls, self.keep);
    }

    pub(super) fn room(&mut self, room: Room, left: Vec<Participant>) {
        self.rooms.insert(room.id, (room, left));
        trim(&mut self.rooms, self.keep);
    }

    pub(super) fn playback(&mut self, playback: Playback) {
        self.playbacks.insert(playback.id, playback);
        trim(&mut self.playbacks, self.keep);
    }

    /// The room that ended last under this name.
    pub(super) fn room_named(&self, name: &str) -> Option<RoomId> {
        self.rooms.values().rev().find(|(room, _)| room.name == name).map(|(room, _)| room.id)
    }
}

/// Ids sort by creation, so the first is the oldest.
fn trim<K: Ord, V>(map: &mut BTreeMap<K, V>, keep: usize) {
    while map.len() > keep {
        map.pop_first();
    }
}
