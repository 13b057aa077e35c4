//! What keys do in a room.
//!
//! Keys are collected until they are one of the menu, or can become none; after a pause they are forgotten. Each is an event
//! all the same, so that programs can have menus of their own.

use std::time::{Duration, Instant};

use api::event::EventType;
use api::model::{
    LeftReason, LegId, MenuAction, MutedBy, PlaybackEnd, PlaybackPurpose, Role, RoomId,
};
use serde_json::json;

use super::Bridge;
use super::playing::{Hearer, Then};

/// Keys that somebody has pressed and that do nothing yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pressed: String,
    last: Option<Instant>,
}

impl Keys {
    /// Takes a key; the action that it completes, if it does.
    fn press(
        &mut self,
        now: Instant,
        key: char,
        actions: &[(&str, MenuAction)],
    ) -> Option<MenuAction> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > PAUSE) {
            self.pressed.clear();
        }
        self.last = Some(now);
        self.pressed.push(key);
        let begins = |pressed: &str| actions.iter().any(|(keys, _)| keys.starts_with(pressed));
        if !begins(&self.pressed) {
            self.pressed = key.to_string(); // it may begin another
        }
        let found = actions.iter().find(|(keys, _)| *keys == self.pressed);
        if found.is_some() || !begins(&self.pressed) {
            self.pressed.clear();
        }
        found.map(|(_, action)| *action)
    }
}

impl Bridge {
    /// A key of somebody in a room.
    pub(super) fn menu_key(&mut self, id: LegId, key: char) {
        let now = self.now;
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.joined_at.is_some()) else {
            return;
        };
        let role = leg.controls.role;
        let Some(room) = leg.place.room() else { return };
        let Some(found) = self.rooms.get(&room) else { return };
        let actions: Vec<_> = found.manners.actions(role).collect();
        let action = leg.keys.press(now, key, &actions);
        if let Some(action) = action {
            self.act(id, room, action);
        }
    }

    fn act(&mut self, id: LegId, room: RoomId, action: MenuAction) {
        self.end_playbacks(Hearer::Leg(id), &[PlaybackPurpose::Prompt], PlaybackEnd::Stopped);
        match action {
            MenuAction::Mute => self.mute_oneself(id),
            MenuAction::Hand => {
                let raised = self.legs.get(&id).is_some_and(|leg| leg.hand.is_none());
                self.set_hand(id, raised);
                self.tell_leg(
                    id,
                    &[if raised { "hand-raised" } else { "hand-lowered" }],
                    Then::Nothing,
                );
            }
            MenuAction::VolumeUp => self.turn(id, |leg| &mut leg.controls.gain_out_db, STEP_DB),
            MenuAction::VolumeDown => self.turn(id, |leg| &mut leg.controls.gain_out_db, -STEP_DB),
            MenuAction::TalkUp => self.turn(id, |leg| &mut leg.controls.gain_in_db, STEP_DB),
            MenuAction::TalkDown => self.turn(id, |leg| &mut leg.controls.gain_in_db, -STEP_DB),
            MenuAction::Count => self.tell_count(id),
            MenuAction::Lock => {
                let locked = self.rooms.get(&room).is_some_and(|room| !room.locked);
                self.set_locked(room, locked);
                self.tell_leg(id, &[if locked { "locked" } else { "unlocked" }], Then::Nothing);
            }
            MenuAction::MuteAll => {
                let muted = self.rooms.get(&room).is_some_and(|room| !room.company.is_hushed);
                self.hush(room, muted);
                self.tell_room(room, &[if muted { "all-muted" } else { "all-unmuted" }]);
            }
            MenuAction::KickLast => self.kick_last(room),
            MenuAction::Extend => {
                if self.extend(room) {
                    self.tell_room(room, &["extended"]);
                }
            }
            MenuAction::Admit => {
                self.admit_all(room);
            }
            MenuAction::Leave => {
                self.tell_leg(id, &["goodbye"], Then::HangUp(LeftReason::HungUp));
            }
            MenuAction::Help => {
                let is_moderator =
                    self.legs.get(&id).is_some_and(|leg| leg.controls.role == Role::Moderator);
                let prompts: &[&str] = if is_moderator {
                    &["menu-participant", "menu-moderator"]
                } else {
                    &["menu-participant"]
                };
                self.tell_leg(id, prompts, Then::Nothing);
            }
        }
    }

    /// Who was muted by a moderator asks to speak instead.
    fn mute_oneself(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let room = leg.place.room().and_then(|room| self.rooms.get(&room));
        let is_hushed = room.is_some_and(|room| room.company.is_hushed);
        let by = match leg.controls.muted_by.filter(|_| leg.controls.muted) {
            Some(_) if leg.controls.is_asked => Some(MutedBy::Participant),
            Some(_) if is_hushed && leg.controls.role != Role::Moderator => {
                Some(MutedBy::Moderator)
            }
            by => by,
        };
        match by {
            None => {
                self.mute(id, Some(MutedBy::Participant));
                self.tell_leg(id, &["muted"], Then::Nothing);
            }
            Some(MutedBy::Participant | MutedBy::Room) => {
                self.mute(id, None);
                self.tell_leg(id, &["unmuted"], Then::Nothing);
            }
            Some(MutedBy::Moderator | MutedBy::Api) => {
                self.set_hand(id, true);
                self.tell_leg(id, &["hand-raised"], Then::Nothing);
            }
        }
    }

    fn turn(&mut self, id: LegId, gain: impl FnOnce(&mut super::leg::Leg) -> &mut f32, by: f32) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let gain = gain(leg);
        *gain = (*gain + by).clamp(-LIMIT_DB, LIMIT_DB);
        self.apply_seat(id);
        self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
    }

    /// Removes who came last and is no moderator.
    fn kick_last(&mut self, room: RoomId) {
        let Some(found) = self.rooms.get(&room) else { return };
        let others = found.legs.iter().filter_map(|leg| self.legs.get(leg));
        let others =
            others.filter(|leg| leg.joined_at.is_some() && leg.controls.role != Role::Moderator);
        let last = others.max_by_key(|leg| (leg.joined_at, leg.id)).map(|leg| leg.id);
        if let Some(last) = last {
            self.tell_leg(last, &["kicked"], Then::HangUp(LeftReason::Kicked));
        }
    }
}

/// Keys further apart do not belong together.
const PAUSE: Duration = Duration::from_secs(4);
const STEP_DB: f32 = 3.0;
/// As far as keys turn it.
const LIMIT_DB: f32 = 15.0;

#[cfg(test)]
mod tests {
    use super::*;
    use api::model::RoomMenu;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn press(keys: &str, wait: Duration) -> Vec<MenuAction> {
        let menu = RoomMenu::default();
        let actions: Vec<_> =
            menu.participant.iter().map(|(keys, action)| (keys.as_str(), *action)).collect();
        let (mut pressed, mut now) = (Keys::default(), Instant::now());
        let press = |key| {
            now += wait;
            pressed.press(now, key, &actions)
        };
        keys.chars().filter_map(press).collect()
    }

    #[test]
    fn keys_that_belong_together_do_something() {
        let quick = Duration::from_millis(300);

        assert_eq!(press("*1", quick), [MenuAction::Mute]);
        assert_eq!(press("*1*9", quick), [MenuAction::Mute, MenuAction::Hand]);
        assert_eq!(press("55*1", quick), [MenuAction::Mute]);
        assert_eq!(press("*8*1", quick), [MenuAction::Mute]);
        assert_eq!(press("**", quick), [MenuAction::Help]);
        assert_eq!(press("12#", quick), []);
    }

    #[test]
    fn keys_far_apart_do_not() {
        assert_eq!(press("*1", Duration::from_secs(5)), []);
    }
}
