//! All that is live, for who follows it from here on by its events.

use api::model::{RoomId, Snapshot};

use crate::bridge::{Bridge, call, leg};

impl Bridge {
    /// Of these rooms and the legs in them; where none is named, of everything.
    pub(in crate::bridge) fn api_snapshot(&self, rooms: &[RoomId]) -> Snapshot {
        let is_wanted = |room: &RoomId| rooms.is_empty() || rooms.contains(room);
        let wanted = || self.rooms.values().filter(|room| is_wanted(&room.id));
        let legs = self.legs.values().filter(|leg| match leg.place.room() {
            Some(room) => is_wanted(&room),
            None => rooms.is_empty(),
        });
        let calls = self.calls.values().filter(|_| rooms.is_empty());
        Snapshot {
            rooms: wanted().filter_map(|room| self.room_view(room.id)).collect(),
            participants: wanted()
                .flat_map(|room| {
                    room.legs.iter().filter_map(|leg| self.live_participant(room.id, *leg))
                })
                .collect(),
            calls: calls.map(call::Call::view).collect(),
            legs: legs.map(leg::Leg::view).collect(),
            playbacks: self.live_playbacks().filter(|one| self.is_heard_in(one, rooms)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
