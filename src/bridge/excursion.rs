//! Breakouts: whoever is moved to another room for a while, and comes back.

use std::time::Duration;

use api::event::EventType;
use api::model::{LegId, RoomId};
use jiff::Timestamp;
use serde_json::json;

use super::{Bridge, Place, Timer};

/// Where somebody goes back to, and when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Excursion {
    home: RoomId,
    pub(super) returns_at: Timestamp,
}

impl Bridge {
    /// Whoever was moved just now goes back to `home` by themselves. Another move before makes that void.
    pub(super) fn set_excursion(&mut self, id: LegId, home: RoomId, after: Duration) {
        let returns_at = self.wall().checked_add(after).unwrap_or(Timestamp::MAX);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.excursion = Some(Excursion { home, returns_at });
        self.set_timer(after, Timer::Return(id));
        self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
    }

    /// They are moved elsewhere, or gone.
    pub(super) fn end_excursion(&mut self, id: LegId) {
        if self.legs.get_mut(&id).is_some_and(|leg| leg.excursion.take().is_some()) {
            self.timers.retain(|(_, timer)| *timer != Timer::Return(id));
        }
    }

    /// The time is over, or the room that they were moved to ends: true if they are back. Where there is no way back they stay.
    pub(super) fn bring_back(&mut self, id: LegId) -> bool {
        let leg = self.legs.get(&id);
        let Some(Excursion { home, .. }) = leg.and_then(|leg| leg.excursion) else { return false };
        let is_open = self.rooms.get(&home).is_some_and(|room| !room.ending);
        let is_away =
            self.legs.get(&id).is_some_and(|leg| leg.is_up() && leg.place != Place::Room(home));
        self.end_excursion(id);
        if is_open && is_away {
            self.move_leg(id, home);
            return true;
        }
        self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
        false
    }
}

#[cfg(test)]
mod tests {
    use api::control::{Command as Ask, IfMatch};
    use api::model::{CreateRoom, EndRoom, Participant, ParticipantState, UpdateParticipant};

    use super::super::scene::{Scene, Talk};
    use super::*;
    use crate::config::Config;

    fn scene() -> (Scene, Talk) {
        let mut scene = Scene::new(crate::bridge_settings(&Config::default(), 1));
        for name in ["hall", "corner"] {
            let body = CreateRoom { name: Some(name.to_owned()), ..CreateRoom::default() };
            scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
        }
        let talk = scene.joined("hall");
        (scene, talk)
    }

    fn send(
        scene: &mut Scene,
        leg: LegId,
        (from, to): (&str, &str),
        after: Option<u32>,
    ) -> Participant {
        let body = UpdateParticipant {
            room: Some(to.to_owned()),
            return_after_s: after,
            ..UpdateParticipant::default()
        };
        let (room, condition) = (from.to_owned(), IfMatch::default());
        scene.ask(|reply| Ask::UpdateParticipant { room, leg, body, condition, reply }).unwrap()
    }

    fn is_in(scene: &mut Scene, leg: LegId, room: &str) -> bool {
        let room = room.to_owned();
        let found = scene.ask(|reply| Ask::Participant { room, leg, reply });
        found.is_ok_and(|found| found.state == ParticipantState::Joined)
    }

    #[test]
    fn who_is_sent_for_a_while_comes_back_by_themselves() {
        let (mut scene, talk) = scene();

        let away = send(&mut scene, talk.leg, ("hall", "corner"), Some(10));
        assert_eq!(away.returns_at.unwrap().to_string(), "2026-01-01T00:00:10Z");
        scene.wait(Duration::from_secs(9));
        assert!(is_in(&mut scene, talk.leg, "corner"));
        scene.wait(Duration::from_secs(1));

        assert_eq!(scene.told("participant.moved")["returns_at"], serde_json::Value::Null);
        assert!(is_in(&mut scene, talk.leg, "hall"));
    }

    #[test]
    fn another_move_makes_it_void() {
        let (mut scene, talk) = scene();
        send(&mut scene, talk.leg, ("hall", "corner"), Some(10));
        send(&mut scene, talk.leg, ("corner", "hall"), None);
        send(&mut scene, talk.leg, ("hall", "corner"), None);

        scene.wait(Duration::from_secs(20));

        assert!(is_in(&mut scene, talk.leg, "corner"));
    }

    #[test]
    fn who_is_away_is_brought_back_when_that_room_ends_and_stays_where_home_has_ended() {
        let (mut scene, talk) = scene();
        send(&mut scene, talk.leg, ("hall", "corner"), Some(10));
        let end = |scene: &mut Scene, room: &str| {
            let (room, body) = (room.to_owned(), EndRoom { grace_s: 0 });
            scene.ask(|reply| Ask::EndRoom { room, body, reply }).unwrap();
        };
        end(&mut scene, "corner");
        assert!(is_in(&mut scene, talk.leg, "hall"));
        let body = CreateRoom { name: Some("nook".to_owned()), ..CreateRoom::default() };
        scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
        send(&mut scene, talk.leg, ("hall", "nook"), Some(10));
        end(&mut scene, "hall");

        scene.wait(Duration::from_secs(10));

        assert!(is_in(&mut scene, talk.leg, "nook"));
        let room = "nook".to_owned();
        let leg = talk.leg;
        let stays = scene.ask(|reply| Ask::Participant { room, leg, reply }).unwrap();
        assert_eq!(stays.returns_at, None);
    }
}
