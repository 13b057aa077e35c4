//! Rooms that outlast a restart: those that were made over the API and do not end by themselves.
//!
//! ```text
//!           a change                     stored, and it has not changed meanwhile
//!  Kept ─────────────▶ on its way ────────────────────────────────────────────────▶ Kept
//!                          ▲ └── not stored, or changed meanwhile ──┐
//!                          └──── at once, or a little later ────────┘
//! ```
//! Unlike users and trunks a room is changed first and stored then: a lock must hold now, whatever the disk does. Who asked over
//! the API is answered once it is stored, or cannot be, and `kept` says which. One that is being stored is stored again when it
//! has changed meanwhile, so the store is never asked for more than one change of a room at a time.

use std::time::Duration;

use api::archive::{Change, Document, DocumentKind};
use api::control::{ControlError, Reply};
use api::event::EventType;
use api::model::{self, Edit, GroupChanges, GroupSettings, RoomId, RoomOrigin, RoomSettings};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ending::Waiting;
use super::groups::Groups;
use super::keeping::{Deed, unusable};
use super::lifecycle::NewRoom;
use super::manners::Manners;
use super::room::Room;
use super::{Bridge, Timer};

/// How a room stands to the store.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// The revision that is stored.
    stored: Option<u64>,
    /// The one that is on its way.
    under_way: Option<u64>,
    /// Who wants to see it once this revision is stored.
    waiting: Vec<(u64, Reply<model::Room>)>,
}

impl Lasting {
    fn is_known(&self) -> bool {
        self.stored.is_some() || self.under_way.is_some()
    }
}

/// A room that has ended and that the store is still to forget.
#[derive(Debug)]
pub(super) struct Gone {
    /// The store is asked already, or is still busy with the last change of it.
    is_asked: bool,
    waiting: Vec<Waiting>,
}

/// As the store keeps it.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    id: RoomId,
    name: String,
    locked: bool,
    max_participants: u32,
    contributors: u32,
    settings: RoomSettings,
    groups: GroupChanges,
    revision: u64,
    created_at: Timestamp,
}

impl Room {
    /// Whether it is there after a restart, as it is now.
    pub(super) fn is_kept(&self) -> bool {
        self.is_lasting() && self.lasting.stored == Some(self.revision)
    }

    fn is_lasting(&self) -> bool {
        self.created_by == RoomOrigin::Api && !self.end_when_empty
    }

    fn document(&self) -> Document {
        let kept = Kept {
            id: self.id,
            name: self.name.clone(),
            locked: self.locked,
            max_participants: self.max_participants,
            contributors: self.contributors,
            settings: self.manners.settings(),
            groups: self.groups.settings(),
            revision: self.revision,
            created_at: self.created_at,
        };
        Document {
            kind: DocumentKind::Room,
            name: self.id.to_string(),
            revision: self.revision,
            body: serde_json::to_string(&kept).unwrap_or_default(),
        }
    }
}

impl Bridge {
    /// Opens those that are kept. One whose time is over is forgotten.
    pub(super) fn open_kept_rooms(&mut self) {
        for (_, kept) in self.kept::<Kept>(DocumentKind::Room) {
            let Kept { id, ref name, revision, .. } = kept;
            let closes =
                if let Edit::Set(closes) = kept.settings.closes_at { Some(closes) } else { None };
            if closes.is_some_and(|closes| closes <= self.wall()) {
                self.gone.insert(id, Gone { is_asked: false, waiting: Vec::new() });
                self.forget_room(id);
                continue;
            }
            let manners = self.mannered(&Manners::default(), &kept.settings);
            let most = self.settings.groups_per_room;
            let groups = Groups::default().changed(&kept.groups, most);
            let (manners, groups) = match (manners, groups) {
                (Ok(manners), Ok(groups)) => (manners, groups),
                (Err(error), _) | (_, Err(error)) => {
                    unusable(DocumentKind::Room, name, &error);
                    continue;
                }
            };
            let new = NewRoom {
                name: kept.name,
                locked: kept.locked,
                ad_hoc: false,
                end_when_empty: false,
                max_participants: Some(kept.max_participants),
                contributors: Some(kept.contributors),
                origin: RoomOrigin::Api,
                manners,
                groups,
            };
            let mut room = self.new_room(id, new);
            (room.revision, room.created_at) = (revision, kept.created_at);
            room.lasting.stored = Some(revision);
            self.open(room);
        }
    }

    /// Has a room stored as it is now, unless it is, or will not outlast a restart.
    pub(super) fn keep_room(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let is_known = room.lasting.stored.is_some();
        if room.is_kept() || room.lasting.under_way.is_some() || !(room.is_lasting() || is_known) {
            return;
        }
        room.lasting.under_way = Some(room.revision);
        let change = if room.is_lasting() {
            Change::Put(room.document())
        } else {
            Change::Remove(DocumentKind::Room, id.to_string())
        };
        self.store(change, Deed::KeepRoom(id));
    }

    /// Answers who has made or changed a room, once it is stored if it is to outlast a restart.
    pub(super) fn answer_kept(&mut self, id: RoomId, reply: Reply<model::Room>) {
        match self.rooms.get_mut(&id) {
            Some(room) if room.lasting.under_way.is_some() => {
                room.lasting.waiting.push((room.revision, reply));
            }
            Some(_) | None => reply.send(self.api_room(&id.to_string())),
        }
    }

    /// The store has what was on its way, or does not take it.
    pub(super) fn room_stored(&mut self, id: RoomId, is_stored: bool) {
        let Some(room) = self.rooms.get_mut(&id) else {
            if let Some(gone) = self.gone.get_mut(&id) {
                gone.is_asked = false;
            }
            return self.forget_room(id);
        };
        let done = room.lasting.under_way.take();
        if is_stored {
            room.lasting.stored = done.filter(|_| room.is_lasting());
        } else {
            self.set_timer(AGAIN, Timer::KeepRoom(id));
        }
        self.answer_those_who_wait(id, done.filter(|_| is_stored));
        if is_stored {
            self.keep_room(id);
        }
    }

    /// Nobody waits any longer for the store.
    pub(super) fn room_stored_late(&mut self, id: RoomId) {
        self.answer_those_who_wait(id, None);
    }

    /// Up to this revision, or all of them.
    fn answer_those_who_wait(&mut self, id: RoomId, up_to: Option<u64>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let is_answered = |(revision, _): &mut (u64, Reply<model::Room>)| {
            up_to.is_none_or(|done| *revision <= done)
        };
        let answered: Vec<_> = room.lasting.waiting.extract_if(.., is_answered).collect();
        for (_, reply) in answered {
            reply.send(self.api_room(&id.to_string()));
        }
    }

    /// It goes on after a restart, and is not ended by a shutdown.
    pub(super) fn outlasts_shutdown(&self, id: RoomId) -> bool {
        self.rooms.get(&id).is_some_and(|room| room.is_lasting() && room.lasting.is_known())
    }

    /// A room has ended that the store may know.
    pub(super) fn room_gone(&mut self, room: &mut Room) {
        for (_, reply) in room.lasting.waiting.drain(..) {
            let detail = "the room has ended".to_owned();
            reply.send(Err(ControlError::Conflict { code: "room_ended", detail }));
        }
        if room.lasting.is_known() {
            let is_asked = room.lasting.under_way.is_some();
            self.gone.insert(room.id, Gone { is_asked, waiting: Vec::new() });
            self.forget_room(room.id);
        }
    }

    /// Has the store forget a room that has ended, unless it is asked already.
    pub(super) fn forget_room(&mut self, id: RoomId) {
        let Some(gone) = self.gone.get_mut(&id).filter(|gone| !gone.is_asked) else { return };
        gone.is_asked = true;
        self.store(Change::Remove(DocumentKind::Room, id.to_string()), Deed::ForgetRoom(id));
    }

    /// The store has forgotten it, or not yet.
    pub(super) fn room_forgotten(&mut self, id: RoomId, is_forgotten: bool) {
        let Some(gone) = self.gone.get_mut(&id) else { return };
        let waiting = std::mem::take(&mut gone.waiting);
        if is_forgotten {
            self.gone.remove(&id);
            return self.answer_waiting(id, waiting);
        }
        gone.is_asked = false;
        self.set_timer(AGAIN, Timer::ForgetRoom(id));
        forgets_late(waiting);
    }

    /// Nobody waits any longer for the store.
    pub(super) fn room_forgotten_late(&mut self, id: RoomId) {
        let waiting = self.gone.get_mut(&id).map(|gone| std::mem::take(&mut gone.waiting));
        forgets_late(waiting.unwrap_or_default());
    }

    /// Answers who asked for the end of a room, once the store knows it too.
    pub(super) fn answer_ended(&mut self, id: RoomId, waiting: Vec<Waiting>) {
        match self.gone.get_mut(&id) {
            Some(gone) => gone.waiting.extend(waiting),
            None => self.answer_waiting(id, waiting),
        }
    }
}

fn forgets_late(waiting: Vec<Waiting>) {
    let error = || {
        ControlError::Unstored {
        detail: "the room has ended, but the store has not forgotten it yet; it is asked again until it has"
            .to_owned(),
    }
    };
    for waiting in waiting {
        match waiting {
            Waiting::ToSee(reply) => reply.send(Err(error())),
            Waiting::ToForget(reply) => reply.send(Err(error())),
        }
    }
}

impl Manners {
    /// What makes these manners of the usual ones.
    fn settings(&self) -> RoomSettings {
        let time = |time: Option<Timestamp>| time.map_or(Edit::Keep, Edit::Set);
        RoomSettings {
            pin: Some(self.pin.clone()),
            moderator_pin: Some(self.moderator_pin.clone()),
            pin_attempts: Some(self.pin_attempts),
            language: Some(self.language.code().to_owned()),
            wait_for_moderator: Some(self.wait_for_moderator),
            end_with_moderator: Some(self.end_with_moderator),
            moderator_grace_s: u32::try_from(self.moderator_grace.as_secs()).ok(),
            waiting_room: Some(self.waiting_room),
            start_muted: Some(self.start_muted),
            enter_sound: Some(self.enter_sound.clone()),
            leave_sound: Some(self.leave_sound.clone()),
            announce_count: Some(self.announce_count),
            music_alone: Some(self.music_alone.clone()),
            music_waiting: Some(self.music_waiting.clone()),
            music_held: Some(self.music_held.clone()),
            opens_at: time(self.opens_at),
            closes_at: time(self.closes_at),
            recording: Some(self.recording.clone()),
            menu: Some(self.menu.clone()),
        }
    }
}

impl Groups {
    /// What makes them.
    fn settings(&self) -> GroupChanges {
        let settings = |group: model::AudioGroup| GroupSettings {
            relation: group.relation,
            of: None,
            speaks_to: group.speaks_to.map_or(Edit::Clear, Edit::Set),
            hears: Some(group.hears),
            duck_db: group.ducked_by.as_ref().map(|_| group.duck_db),
            ducked_by: group.ducked_by,
        };
        self.view().into_iter().map(|(name, group)| (name, Some(settings(group)))).collect()
    }
}

/// Changes after which a room is to be stored.
pub(super) const CHANGES: [EventType; 4] = [
    EventType::RoomCreated,
    EventType::RoomUpdated,
    EventType::RoomLocked,
    EventType::RoomUnlocked,
];
/// When the store is asked again that did not take something.
const AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
