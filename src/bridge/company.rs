//! Who is in a room, and what that does: sounds and music, moderators who come and go, and the hour at which it closes.

use std::time::Duration;

use api::event::EventType;
use api::model::{LegId, MutedBy, PlaybackEnd, PlaybackId, PlaybackPurpose, Role, RoomId};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::playing::{Hearer, Order, Then, Turn};
use super::{Bridge, Timer};
use crate::sounds::prompts::names;

/// What a room does by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Company {
    /// The music that one hears who is alone.
    music: Option<PlaybackId>,
    /// Since the last moderator has left, the room waits for its end.
    is_orphaned: bool,
    /// All were muted by a key.
    pub(super) is_hushed: bool,
    /// It was recorded by itself since somebody came.
    pub(super) was_recorded: bool,
}

impl Bridge {
    pub(super) fn has_media(&mut self, name: &str) -> bool {
        names().any(|shipped| shipped == name) || self.clip(name).is_some()
    }

    /// Music by its name, if there is such.
    pub(super) fn music(&mut self, name: String) -> Option<Order> {
        let clip = self.clip(&name)?;
        Some(Order::music(vec![name], vec![clip], 0.0))
    }

    /// Whether somebody has joined whom the others are told of: a coach comes unnoticed.
    fn is_company(&self, leg: LegId) -> bool {
        let leg = self.legs.get(&leg);
        leg.is_some_and(|leg| leg.joined_at.is_some() && leg.controls.role != Role::Coach)
    }

    /// Somebody has joined.
    pub(super) fn somebody_came(&mut self, id: RoomId, leg: LegId) {
        let Some(room) = self.rooms.get(&id) else { return };
        let sound = room.manners.enter_sound.clone();
        let is_told = room.manners.announce_count;
        let is_moderator =
            self.legs.get(&leg).is_some_and(|leg| leg.controls.role == Role::Moderator);
        if self.legs.get(&leg).is_some_and(|leg| leg.controls.role == Role::Coach) {
            return;
        }
        self.sound(id, sound);
        if is_told {
            self.tell_count(leg);
        }
        if is_moderator {
            self.moderator_is_there(id);
        }
        self.record_company(id, leg);
        self.follow_company(id);
    }

    /// Somebody who had joined has left, or was moved.
    pub(super) fn somebody_left(&mut self, id: RoomId, role: Role) {
        let Some(room) = self.rooms.get(&id) else { return };
        let (sound, ends) = (room.manners.leave_sound.clone(), room.manners.end_with_moderator);
        let grace = room.manners.moderator_grace;
        if role == Role::Coach {
            return;
        }
        self.sound(id, sound);
        self.record_alone(id);
        self.follow_company(id);
        let is_last = role == Role::Moderator && !self.has_moderator(id);
        let Some(room) = self.rooms.get_mut(&id).filter(|_| is_last && ends) else { return };
        room.company.is_orphaned = true;
        if !grace.is_zero() {
            self.tell_room(id, &["moderator-left"]);
        }
        self.set_timer(grace, Timer::Orphaned(id));
    }

    /// A moderator joined, or became one.
    pub(super) fn moderator_is_there(&mut self, id: RoomId) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.company.is_orphaned = false;
        }
        self.timers.retain(|(_, timer)| *timer != Timer::Orphaned(id));
        self.moderator_came(id);
        self.record_by_itself(id);
    }

    /// No moderator has come back.
    pub(super) fn orphaned_too_long(&mut self, id: RoomId) {
        if self.rooms.get(&id).is_some_and(|room| room.company.is_orphaned) {
            self.end_room(id, None);
        }
    }

    /// A short sound for all; nothing is none.
    fn sound(&mut self, room: RoomId, name: String) {
        if name.is_empty() {
            return;
        }
        if let Some(clip) = self.clip(&name) {
            let order = Order::prompt(vec![name], vec![clip], Then::Nothing);
            self.play(Hearer::Room(room), Order { turn: Turn::Beside, ..order });
        }
    }

    /// Who is alone hears music.
    fn follow_company(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get(&id) else { return };
        let joined = room.legs.iter().filter(|leg| self.is_company(**leg)).count();
        let name = room.manners.music_alone.clone();
        let wanted = joined == 1 && !name.is_empty();
        let music = room.company.music.filter(|music| self.is_live(*music));
        match (music, wanted) {
            (None, true) => {
                let music = self.music(name).map(|order| self.play(Hearer::Room(id), order));
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.company.music = music;
                }
            }
            (Some(music), false) => {
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.company.music = None;
                }
                self.end_playback(music, PlaybackEnd::Stopped);
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Tells one how many are there.
    pub(super) fn tell_count(&mut self, leg: LegId) {
        let room = self.legs.get(&leg).and_then(|leg| leg.place.room());
        let Some(room) = room.and_then(|room| self.rooms.get(&room)) else { return };
        let language = room.manners.language;
        let joined = room.legs.iter().filter(|leg| self.is_company(**leg)).count();
        if joined == 1 {
            return self.tell_leg(leg, &["alone"], Then::Nothing);
        }
        let mut media = vec![language.named("there-are")];
        media.extend(language.number(u32::try_from(joined).unwrap_or(u32::MAX)));
        media.push(language.named("participants"));
        self.prompt(Hearer::Leg(leg), media, Then::Nothing);
    }

    /// We hold somebody, or do so no more.
    pub(super) fn play_to_held(&mut self, id: LegId, held: bool) {
        if !held {
            let music = [PlaybackPurpose::Music];
            return self.end_playbacks(Hearer::Leg(id), &music, PlaybackEnd::Stopped);
        }
        let room = self.legs.get(&id).and_then(|leg| leg.place.room());
        let name = room.and_then(|room| self.rooms.get(&room));
        let name = name.map(|room| room.manners.music_held.clone()).filter(|name| !name.is_empty());
        if let Some(order) = name.and_then(|name| self.music(name)) {
            self.play(Hearer::Leg(id), order);
        }
    }

    // ---- hours ----

    /// Sets when the room is told that it ends, and when it does.
    pub(super) fn follow_hours(&mut self, id: RoomId) {
        self.timers
            .retain(|(_, timer)| *timer != Timer::Closes(id) && *timer != Timer::ClosesSoon(id));
        let closes = self.rooms.get(&id).and_then(|room| room.manners.closes_at);
        let Some(left) = closes.map(|closes| self.until(closes)) else { return };
        self.set_timer(left, Timer::Closes(id));
        if let Some(soon) = left.checked_sub(LAST_MINUTE) {
            self.set_timer(soon, Timer::ClosesSoon(id));
        }
    }

    fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.wall())).unwrap_or_default()
    }

    pub(super) fn closes_soon(&mut self, id: RoomId) {
        self.tell_room(id, &["ending"]);
    }

    /// True before the room opens.
    pub(super) fn is_closed(&self, id: RoomId) -> bool {
        let opens = self.rooms.get(&id).and_then(|room| room.manners.opens_at);
        opens.is_some_and(|opens| self.wall() < opens)
    }

    /// A room that closes does so later.
    pub(super) fn extend(&mut self, id: RoomId) -> bool {
        let Some(room) = self.rooms.get_mut(&id) else { return false };
        let later = room.manners.closes_at.and_then(|closes| closes.checked_add(MORE).ok());
        let Some(later) = later else { return false };
        room.manners.closes_at = Some(later);
        self.follow_hours(id);
        self.room_happened(EventType::RoomUpdated, id);
        true
    }

    // ---- hands and mutes ----

    /// Raises or lowers a hand.
    pub(super) fn set_hand(&mut self, id: LegId, raised: bool) {
        let wall = self.wall();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.hand.is_some() == raised {
            return;
        }
        leg.hand = raised.then_some(wall);
        let kind = if raised {
            EventType::ParticipantHandRaised
        } else {
            EventType::ParticipantHandLowered
        };
        self.participant_happened(kind, id, json!({}));
    }

    /// Mutes all who are no moderators, and lets none unmute themselves; or the other way round. Who has muted themselves stays so.
    pub(super) fn hush(&mut self, room: RoomId, muted: bool) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        found.company.is_hushed = muted;
        let concerned = |leg: &LegId| {
            let leg = self.legs.get(leg).filter(|leg| leg.joined_at.is_some());
            let controls = leg.map(|leg| &leg.controls);
            let controls =
                controls.filter(|controls| !matches!(controls.role, Role::Moderator | Role::Coach));
            controls.is_some_and(|controls| match controls.muted_by {
                None => muted,
                Some(MutedBy::Moderator | MutedBy::Room) => !muted,
                Some(MutedBy::Participant | MutedBy::Api) => false,
            })
        };
        let legs = self.rooms.get(&room).map(|room| room.legs.clone()).unwrap_or_default();
        for leg in legs.into_iter().filter(concerned).collect::<Vec<_>>() {
            self.mute(leg, muted.then_some(MutedBy::Moderator));
        }
    }
}

/// Before a room closes, it is told.
const LAST_MINUTE: Duration = Duration::from_mins(1);
/// By how much a room is extended.
const MORE: SignedDuration = SignedDuration::from_mins(15);
