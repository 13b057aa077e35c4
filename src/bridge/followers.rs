//! Who follows rooms by SUBSCRIBE (RFC 4575), and what each of them knows.
//!
//! A room counts its changes and remembers for each user when it changed last; a follower remembers up to which change it
//! was told. So a follower costs the same in a room of any size, and what it is told is made when it may be sent.

use std::collections::{BTreeMap, BTreeSet};

use api::event::EventType;
use api::model::{LeftReason, LegId, Role, RoomId};

use super::Bridge;
use super::conference_info::{ConferenceInfo, Presence, User, entity_of};
use super::leg::Leg;
use super::room::Room;
use super::signal::{rejection, user_of};
use super::xml::Scope;
use crate::sip::endpoint::{Rejection, Subscribing, SubscriptionId};
use crate::sip::{StatusCode, Uri};

/// Somebody who is told of a room.
#[derive(Debug)]
pub(super) struct Follower {
    room: RoomId,
    /// The leg in whose dialog it is told; without, it followed from outside.
    leg: Option<LegId>,
    /// The conference as it calls it.
    entity: String,
    /// Of the document that it was told last; 0 before the first.
    version: u32,
    /// The room's last change that it knows of; `None`: it was told only how many there are.
    told: Option<u64>,
}

/// What has changed in a room that is followed.
#[derive(Debug, Default)]
pub(super) struct Roster {
    followers: BTreeSet<SubscriptionId>,
    /// How many changes there were.
    count: u64,
    /// Who was told since before this change must be told everything.
    forgotten: u64,
    changed: BTreeMap<String, Change>,
}

/// The last change of a user.
#[derive(Clone, Copy, Debug)]
struct Change {
    number: u64,
    left: Option<LeftReason>,
}

impl Roster {
    fn note(&mut self, user: String, left: Option<LeftReason>) {
        self.count += 1;
        self.changed.insert(user, Change { number: self.count, left });
        if self.changed.len() > CHANGES {
            self.changed.clear();
            self.forgotten = self.count;
        }
    }
}

impl Bridge {
    /// Somebody wants to follow a user, or a room: whoever is in it, and whoever might call it.
    pub(super) fn subscribing(&mut self, asked: &Subscribing) {
        if asked.package != "conference" {
            return self.watching(asked);
        }
        let id = asked.subscription;
        let answer = self.may_follow(asked).map(|(room, leg)| {
            let (entity, version) = (entity_uri(&asked.target), 0);
            self.followers.insert(id, Follower { room, leg, entity, version, told: None });
            if let Some(room) = self.rooms.get_mut(&room) {
                room.roster.followers.insert(id);
            }
            self.focus(room).unwrap_or_default()
        });
        self.endpoint.answer_subscribe(self.now, id, answer);
    }

    fn may_follow(&mut self, asked: &Subscribing) -> Result<(RoomId, Option<LegId>), Rejection> {
        if let Some(session) = asked.session {
            let leg = self.sessions.get(&session).and_then(|leg| self.legs.get(leg));
            let room = leg.and_then(|leg| Some((leg.place.room()?, Some(leg.id))));
            return room.ok_or_else(|| StatusCode::NOT_FOUND.into());
        }
        self.identify(&asked.request, asked.peer.ip())?;
        let room = self.names.get(&user_of(&asked.target)).copied();
        let room = room.ok_or(StatusCode::NOT_FOUND)?;
        // Who could not come in is not told who is.
        self.rooms[&room].is_open().map_err(rejection)?;
        Ok((room, None))
    }

    pub(super) fn unsubscribed(&mut self, id: SubscriptionId) {
        if self.unwatched(id) {
            return;
        }
        let Some(follower) = self.followers.remove(&id) else { return };
        if let Some(room) = self.rooms.get_mut(&follower.room) {
            room.roster.followers.remove(&id);
            if room.roster.followers.is_empty() {
                room.roster = Roster::default();
            }
        }
    }

    /// A follower may be told now.
    pub(super) fn notify_due(&mut self, id: SubscriptionId, whole: bool) {
        if self.watcher_due(id, whole) {
            return;
        }
        let limit = self.settings.roster;
        let Some(follower) = self.followers.get_mut(&id) else { return };
        let Some(room) = self.rooms.get(&follower.room) else { return };
        let is_long = room.legs.len() > limit;
        let since = follower.told.filter(|told| !whole && *told >= room.roster.forgotten);
        let (scope, users) = match since {
            _ if is_long => (Scope::Full, None),
            Some(since) => (Scope::Partial, Some(changes(room, &self.legs, since))),
            None => (Scope::Full, Some(everybody(room, &self.legs))),
        };
        follower.version = follower.version.wrapping_add(1);
        follower.told = (!is_long).then_some(room.roster.count);
        let joined = room.legs.iter().filter_map(|leg| self.legs.get(leg));
        let info = ConferenceInfo {
            entity: &follower.entity,
            version: follower.version,
            scope,
            name: &room.name,
            seats: room.max_participants,
            joined: joined.filter(|leg| leg.joined_at.is_some() && is_shown(leg)).count(),
            locked: room.locked,
            users,
        };
        let body = info.print();
        self.endpoint.notify(self.now, id, body.into());
    }

    /// Something happened to a participant.
    pub(super) fn roster_changed(&mut self, kind: EventType, leg: LegId) {
        let is_told = matches!(
            kind,
            EventType::ParticipantDialing
                | EventType::ParticipantRinging
                | EventType::ParticipantJoined
                | EventType::ParticipantUpdated
                | EventType::ParticipantMuted
                | EventType::ParticipantUnmuted
                | EventType::ParticipantHeld
                | EventType::ParticipantResumed
                | EventType::ParticipantMoved
        );
        let leg = self.legs.get(&leg).filter(|leg| is_told && is_shown(leg));
        let Some(leg) = leg else { return };
        let Some(id) = leg.place.room() else { return };
        if self.is_followed(id) {
            let user = entity_of(leg);
            self.note_change(id, Some((user, None)));
        }
    }

    /// A leg is not in a room any more, nor in its list. `user` is who it was to followers.
    pub(super) fn roster_lost(
        &mut self,
        room: RoomId,
        leg: LegId,
        (user, reason): (String, LeftReason),
    ) {
        let Some(found) = self.rooms.get(&room) else { return };
        let is_own = |id: &&SubscriptionId| {
            self.followers.get(*id).is_some_and(|follower| follower.leg == Some(leg))
        };
        for id in found.roster.followers.iter().filter(is_own) {
            self.endpoint.end_subscription(self.now, *id, "noresource");
        }
        let was_shown = !found.groups.coaches.contains(&leg);
        if was_shown && self.is_followed(room) {
            self.note_change(room, Some((user, Some(reason))));
        }
    }

    /// A participant has become a coach, whom others are not told of.
    pub(super) fn roster_hides(&mut self, leg: LegId) {
        let Some(found) = self.legs.get(&leg) else { return };
        let user = entity_of(found);
        if let Some(room) = found.place.room().filter(|room| self.is_followed(*room)) {
            self.note_change(room, Some((user, Some(LeftReason::Moved))));
        }
    }

    /// Something about the room itself has changed.
    pub(super) fn room_changed(&mut self, room: RoomId) {
        if self.is_followed(room) {
            self.note_change(room, None);
        }
    }

    /// The room has ended: nobody is told of it any more.
    pub(super) fn leave_followers(&mut self, room: &Room) {
        for id in &room.roster.followers {
            self.endpoint.end_subscription(self.now, *id, "noresource");
        }
    }

    fn is_followed(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| !room.roster.followers.is_empty())
    }

    fn note_change(&mut self, room: RoomId, user: Option<(String, Option<LeftReason>)>) {
        let Some(room) = self.rooms.get_mut(&room) else { return };
        if let Some((user, left)) = user {
            room.roster.note(user, left);
        }
        for id in &room.roster.followers {
            self.endpoint.note_news(self.now, *id);
        }
    }
}

/// Those who have changed since.
fn changes<'a>(room: &Room, legs: &'a BTreeMap<LegId, Leg>, since: u64) -> Vec<User<'a>> {
    let mut here = by_user(room, legs);
    let changed = room.roster.changed.iter().filter(|(_, change)| change.number > since);
    let told = changed.filter_map(|(user, change)| {
        let presence = match (here.remove(user), change.left) {
            (Some(legs), _) => Presence::Here(legs),
            (None, Some(reason)) => Presence::Left(reason),
            (None, None) => return None,
        };
        Some(User { entity: user.clone(), presence })
    });
    told.collect()
}

fn everybody<'a>(room: &Room, legs: &'a BTreeMap<LegId, Leg>) -> Vec<User<'a>> {
    let here = by_user(room, legs).into_iter();
    here.map(|(entity, legs)| User { entity, presence: Presence::Here(legs) }).collect()
}

fn by_user<'a>(room: &Room, legs: &'a BTreeMap<LegId, Leg>) -> BTreeMap<String, Vec<&'a Leg>> {
    let mut users: BTreeMap<String, Vec<&Leg>> = BTreeMap::new();
    let there = room.legs.iter().filter_map(|leg| legs.get(leg));
    for leg in there.filter(|leg| leg.is_announced() && is_shown(leg)) {
        users.entry(entity_of(leg)).or_default().push(leg);
    }
    users
}

/// Coaches are there without others being told.
fn is_shown(leg: &Leg) -> bool {
    leg.controls.role != Role::Coach
}

/// What is followed as the subscriber addressed it, without what only leads there.
pub(super) fn entity_uri(target: &Uri) -> String {
    let user = target.user_plain();
    let Some(host) = target.host() else { return target.to_string() };
    Uri::sip(user.as_deref(), host, target.port()).to_string()
}

/// Changed users of a room that are remembered; beyond them its followers are told everything once.
const CHANGES: usize = 1_000;

#[cfg(test)]
mod tests;
