//! All that is live, for who follows it from here on by its events.

use api::model::{RoomId, Snapshot};

use crate::bridge::{Bridge, call, leg};

impl Bridge {
    /// Of these rooms and the legs in them; where none is named, of everything.
    pub(super) fn api_snapshot(&self, rooms: &[RoomId]) -> Snapshot {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::bridge::Settings;
    use crate::bridge::scene::Scene;

    #[test]
    fn a_snapshot_of_a_room_holds_who_is_in_it_and_nobody_else() {
        let mut scene = Scene::new(Settings::default());
        let (here, there) = (scene.joined("here"), scene.joined("there"));
        scene.connected(["a", "b"]);
        let room = scene.leg(here.leg).room.unwrap();

        let of_room = scene.bridge().api_snapshot(&[room]);
        let of_all = scene.bridge().api_snapshot(&[]);

        assert_eq!(of_room.rooms.len(), 1);
        assert_eq!(of_room.participants.iter().map(|one| one.leg).collect::<Vec<_>>(), [here.leg]);
        assert_eq!(of_room.legs.iter().map(|leg| leg.id).collect::<Vec<_>>(), [here.leg]);
        assert!(of_room.calls.is_empty());
        assert_eq!((of_all.rooms.len(), of_all.calls.len(), of_all.legs.len()), (2, 1, 4));
        assert!(of_all.participants.iter().any(|one| one.leg == there.leg));
    }
}
