//! `/v1/rooms`.

use std::time::Duration;

use api::control::{IfMatch, Reply};
use api::event::EventType;
use api::model::{
    Admitted, CreateRoom, DialIn, EndRoom, Page, Room, RoomId, RoomOrigin, RoomQuery, RoomSettings,
    UpdateRoom,
};

use crate::bridge::ending::Waiting;
use crate::bridge::lifecycle::NewRoom;
use crate::bridge::room::Refusal;
use crate::bridge::signal::is_room_name;
use crate::bridge::{Bridge, Draining, Timer};
use crate::media::command::Command;

use super::page::{Wanted, page};
use super::{Answer, conflict, expect_revision, invalid, no_such, refused, within};

/// How many may be mixed at once: more than anybody could follow, few enough to bound the work.
const CONTRIBUTORS: std::ops::RangeInclusive<u32> = 1..=64;

impl Bridge {
    pub(super) fn api_create_room(&mut self, body: CreateRoom) -> Answer<Room> {
        if self.draining != Draining::No {
            return Err(refused(Refusal::Draining));
        }
        if let Some(seats) = body.max_participants {
            self.check_seats(seats)?;
        }
        if let Some(contributors) = body.contributors {
            within("/contributors", contributors, CONTRIBUTORS)?;
        }
        let name = match body.name {
            Some(name) if !is_room_name(&name) => {
                return Err(invalid("/name", "expected 1 to 64 of A-Z a-z 0-9 - _ . + ~"));
            }
            Some(name) if self.names.contains_key(&name) => {
                let detail = format!("a room named {name} is open; choose another name or use it");
                return Err(conflict("room_name_taken", detail));
            }
            Some(name) => name,
            None => format!("room-{:08x}", self.random() & 0xffff_ffff),
        };
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(refused(Refusal::Overloaded));
        }
        let new = NewRoom {
            locked: body.locked,
            ad_hoc: false,
            end_when_empty: body.end_when_empty,
            max_participants: body.max_participants,
            contributors: body.contributors,
            ..NewRoom::ad_hoc(name, RoomOrigin::Api)
        };
        let new = match &body.template {
            Some(name) => {
                let unknown = |_| invalid("/template", format!("there is no template {name}"));
                self.template(name).map_err(unknown)?.shape(new)
            }
            None => new,
        };
        let manners = self.mannered(&new.manners, &body.settings)?;
        let groups = new.groups.changed(&body.groups, self.settings.groups_per_room)?;
        let id = self.create_room(NewRoom { manners, groups, ..new });
        self.room_view(id).ok_or_else(|| no_such("room", id))
    }

    pub(super) fn api_list_rooms(&self, query: &RoomQuery) -> Answer<Page<Room>> {
        let asked = query.page();
        let wanted = Wanted::of(&asked, &["open", "ended"])?;
        let ended = self.history.rooms.values().map(|(room, _)| room.clone());
        let open = self.rooms.keys().filter_map(|id| self.room_view(*id));
        let mut all: Vec<(bool, Room)> =
            ended.map(|room| (false, room)).chain(open.map(|room| (true, room))).collect();
        all.retain(|(live, room)| wanted.takes(*live, &room.state) && query.matches(room));
        all.sort_by_key(|(_, room)| room.id);
        page(&asked, all.into_iter().map(|(_, room)| room), |room| room.id)
    }

    pub(in crate::bridge) fn api_room(&self, room: &str) -> Answer<Room> {
        if let Ok(id) = self.open_room(room) {
            return self.room_view(id).ok_or_else(|| no_such("room", room));
        }
        let ended = room.parse().ok().or_else(|| self.history.room_named(room));
        let found = ended.and_then(|id| self.history.rooms.get(&id));
        found.map(|(room, _)| room.clone()).ok_or_else(|| no_such("room", room))
    }

    pub(super) fn api_dial_in(&self, room: &str, moderator: bool) -> Answer<DialIn> {
        let id = self.open_room(room)?;
        let (Some(view), Some(found)) = (self.room_view(id), self.rooms.get(&id)) else {
            return Err(no_such("room", room));
        };
        Ok(DialIn { room: view, pin: found.manners.pin_for(moderator).map(str::to_owned) })
    }

    pub(super) fn api_update_room(
        &mut self,
        room: &str,
        body: &UpdateRoom,
        condition: &IfMatch,
    ) -> Answer<Room> {
        let id = self.open_room(room)?;
        let Some(found) = self.rooms.get(&id) else { return Err(no_such("room", room)) };
        expect_revision(condition, ("room", found.revision))?;
        if let Some(seats) = body.max_participants {
            self.check_seats(seats)?;
        }
        if let Some(contributors) = body.contributors {
            within("/contributors", contributors, CONTRIBUTORS)?;
        }
        let groups = self.regrouped(id, body.groups.as_ref())?;
        self.update_manners(id, body.settings.as_ref())?;
        let Some(found) = self.rooms.get_mut(&id) else { return Err(no_such("room", room)) };
        let before = (found.end_when_empty, found.max_participants, found.contributors);
        found.end_when_empty = body.end_when_empty.unwrap_or(found.end_when_empty);
        found.max_participants = body.max_participants.unwrap_or(found.max_participants);
        found.contributors = body.contributors.unwrap_or(found.contributors);
        let after = (found.end_when_empty, found.max_participants, found.contributors);
        let (mix, contributors) = (found.mix, found.contributors);
        if before.2 != after.2 {
            let contributors = usize::try_from(contributors).unwrap_or(usize::MAX);
            self.tell_media(Command::Contributors { mix, contributors });
        }
        let is_regrouped = groups.is_some();
        if let (Some(groups), Some(found)) = (groups, self.rooms.get_mut(&id)) {
            found.groups = groups;
            self.follow_groups(id);
        }
        if before != after || body.settings.is_some() || is_regrouped {
            self.room_happened(EventType::RoomUpdated, id);
        }
        match body.locked {
            Some(locked) => self.api_lock_room(room, locked, &IfMatch::default()),
            None => self.room_view(id).ok_or_else(|| no_such("room", room)),
        }
    }

    fn update_manners(&mut self, id: RoomId, body: Option<&RoomSettings>) -> Answer<()> {
        let before = self.rooms.get(&id).map(|room| room.manners.clone());
        let (Some(before), Some(body)) = (before, body) else { return Ok(()) };
        let after = self.mannered(&before, body)?;
        if let Some(room) = self.rooms.get_mut(&id) {
            room.manners = after;
        }
        self.follow_hours(id);
        Ok(())
    }

    pub(in crate::bridge) fn check_seats(&self, seats: u32) -> Answer<u32> {
        let most = u32::try_from(self.settings.max_legs).unwrap_or(u32::MAX);
        within("/max_participants", seats, 1..=most)
    }

    pub(super) fn api_lock_room(
        &mut self,
        room: &str,
        locked: bool,
        condition: &IfMatch,
    ) -> Answer<Room> {
        let id = self.open_room(room)?;
        let Some(found) = self.rooms.get(&id) else { return Err(no_such("room", room)) };
        expect_revision(condition, ("room", found.revision))?;
        self.set_locked(id, locked);
        self.room_view(id).ok_or_else(|| no_such("room", room))
    }

    pub(in crate::bridge) fn set_locked(&mut self, id: RoomId, locked: bool) {
        let found = self.rooms.get_mut(&id).filter(|room| room.locked != locked);
        let Some(found) = found else { return };
        found.locked = locked;
        let kind = if locked { EventType::RoomLocked } else { EventType::RoomUnlocked };
        self.room_happened(kind, id);
    }

    pub(super) fn api_admit_all(&mut self, room: &str) -> Answer<Admitted> {
        let id = self.open_room(room)?;
        Ok(Admitted { admitted: u32::try_from(self.admit_all(id)).unwrap_or(u32::MAX) })
    }

    /// Ends it after the grace time; asked again, the earlier end counts.
    pub(super) fn api_end_room(&mut self, room: &str, body: &EndRoom, reply: Reply<Room>) {
        let grace = within("/grace_s", body.grace_s, 0..=3600);
        match self.open_room(room).and_then(|id| grace.map(|_| id)) {
            Ok(id) if body.grace_s == 0 => self.end_room(id, Some(Waiting::ToSee(reply))),
            Ok(id) => {
                if let Some(found) = self.rooms.get_mut(&id) {
                    found.ending = true;
                }
                let grace = Duration::from_secs(body.grace_s.into());
                self.set_timer(grace, Timer::RoomEnd(id));
                reply.send(self.api_room(&id.to_string()));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(super) fn api_delete_room(&mut self, room: &str, reply: Reply<()>) {
        if let Ok(id) = self.open_room(room) {
            return self.end_room(id, Some(Waiting::ToForget(reply)));
        }
        let ended = room.parse().ok().or_else(|| self.history.room_named(room));
        let gone = ended.and_then(|id| self.history.rooms.remove(&id));
        reply.send(gone.map(drop).ok_or_else(|| no_such("room", room)));
    }
}
