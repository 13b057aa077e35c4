//! Rooms as conferences of SIP (RFC 4579): each leg of a room is told that it talks to the focus, and under which URI; calling
//! the conference factory makes a new room; a REFER to the focus adds or removes somebody.

use std::net::IpAddr;

use api::model::{LeftReason, LegId, Role, RoomId, RoomOrigin};

use super::conference_info::entity_of;
use super::leg::{Caller, Dial, Leg};
use super::room::{Refusal, Room};
use super::signal::{rejection, user_of};
use super::transfer::Carried;
use super::{Bridge, Place};
use crate::sip::endpoint::{Identity, Referred, Rejection};
use crate::sip::headers::Name;
use crate::sip::{StatusCode, Uri};

impl Bridge {
    /// Who we are towards the legs of a room.
    pub(super) fn focus(&self, room: RoomId) -> Option<Identity> {
        self.rooms.get(&room).map(focus)
    }

    /// Tells a leg that is somewhere else now which conference it is in, or that it is in none any more: by re-INVITE
    /// (RFC 4579 §5.8), or by what is sent next where it is not answered yet.
    pub(super) fn tell_focus(&mut self, leg: LegId, to: Place) {
        let session = self.legs.get(&leg).and_then(|leg| leg.session);
        let Some(session) = session else { return };
        let focus = to.room().and_then(|room| self.focus(room));
        self.endpoint.identify(session, focus.unwrap_or_default());
        self.reoffer(leg);
    }

    /// The room that a REFER asks something of as a conference: one that comes from outside to its URI, or one of its legs
    /// that wants somebody removed.
    pub(super) fn conference_of(&self, referred: &Referred) -> Option<RoomId> {
        if let Some(session) = referred.session {
            let leg = self.legs.get(self.sessions.get(&session)?)?;
            return leg.place.room().filter(|_| Errand::of(&referred.target) != Some(Errand::Add));
        }
        let names_dialog = referred.request.headers.contains(&Name::TargetDialog);
        self.names.get(&user_of(&referred.addressed)).copied().filter(|_| !names_dialog)
    }

    /// Adds whom a REFER names to a conference, or removes him (RFC 4579 §5.5 to §5.8).
    pub(super) fn referred_to_focus(&mut self, referred: &Referred, room: RoomId) {
        let refer = referred.refer;
        self.endpoint.refer_to_focus(refer);
        let done = self.may_direct(referred, room).and_then(|(errand, director)| match errand {
            Errand::Add => self.add_for_phone(referred, room),
            Errand::Remove => self.remove_for_phone(referred, room, &director),
        });
        if let Err(rejection) = done {
            self.endpoint.refuse_refer(self.now, refer, rejection);
        }
    }

    /// Whether somebody may ask the focus of a room for something: who may call it, and each of its participants but those
    /// who may only listen.
    fn may_direct(
        &mut self,
        referred: &Referred,
        room: RoomId,
    ) -> Result<(Errand, Director), Rejection> {
        let forbidden = || Rejection::new(StatusCode::FORBIDDEN);
        let director;
        if let Some(session) = referred.session {
            let leg = self.sessions.get(&session).and_then(|leg| self.legs.get(leg));
            let is_listener = leg.is_none_or(|leg| leg.controls.role == Role::Listener);
            if is_listener || !leg.is_some_and(Leg::is_up) {
                return Err(forbidden());
            }
            let user = leg.and_then(|leg| leg.user.clone());
            director = Director { leg: leg.map(|leg| leg.id), user };
        } else {
            let user = self.identify_claimed(&referred.request, referred.peer.ip())?;
            director = Director { leg: None, user };
            self.rooms[&room].is_open().map_err(rejection)?;
        }
        if !self.settings.transfer_by_phones {
            return Err(forbidden());
        }
        let errand = Errand::of(&referred.target);
        errand.map(|errand| (errand, director)).ok_or_else(|| StatusCode::NOT_IMPLEMENTED.into())
    }

    /// Whether somebody may remove a leg: a moderator each of his room, others their own.
    fn may_remove(&self, director: &Director, leg: &Leg) -> bool {
        let is_moderator = |other: &LegId| {
            self.legs.get(other).is_some_and(|other| {
                director.is_own(other) && other.is_up() && other.controls.role == Role::Moderator
            })
        };
        let room = leg.place.room().and_then(|room| self.rooms.get(&room));
        director.is_own(leg) || room.is_some_and(|room| room.legs.iter().any(is_moderator))
    }

    fn add_for_phone(&mut self, referred: &Referred, room: RoomId) -> Result<(), Rejection> {
        let target = &referred.target;
        if !target.is_sip() {
            return Err(StatusCode::UNSUPPORTED_URI_SCHEME.into());
        }
        self.may_call_into(Place::Room(room)).map_err(rejection)?;
        let dial = Dial {
            target: target.without_headers().without_param("method"),
            from: Caller::User(self.rooms[&room].name.clone()),
            codecs: self.settings.codecs.clone(),
            trunk: None,
            headers: Vec::new(),
        };
        let carried = Carried { by: None, place: Place::Room(room) };
        self.call_for(referred.refer, (carried, None), dial);
        Ok(())
    }

    fn remove_for_phone(
        &mut self,
        referred: &Referred,
        room: RoomId,
        director: &Director,
    ) -> Result<(), Rejection> {
        let legs = &self.rooms[&room].legs;
        let is_meant = |leg: &&LegId| self.legs.get(*leg).is_some_and(|leg| names(referred, leg));
        let meant: Vec<LegId> = legs.iter().filter(is_meant).copied().collect();
        if meant.is_empty() {
            return Err(StatusCode::NOT_FOUND.into());
        }
        let may =
            |leg: &LegId| self.legs.get(leg).is_some_and(|leg| self.may_remove(director, leg));
        if !meant.iter().all(may) {
            return Err(StatusCode::FORBIDDEN.into());
        }
        self.endpoint.answer_refer(self.now, referred.refer, StatusCode::ACCEPTED);
        for leg in meant {
            self.end_leg(leg, LeftReason::Kicked, None);
        }
        self.endpoint.notify_refer(self.now, referred.refer, StatusCode::OK, None);
        Ok(())
    }

    /// True for the name that makes a new room whenever it is called (RFC 4579 §5.4), unless somebody made a room of it.
    pub(super) fn is_factory(&self, name: &str) -> bool {
        let factory = &self.settings.factory;
        !factory.is_empty() && factory == name && !self.names.contains_key(name)
    }

    /// A new room with a name that nobody can guess, for whoever may make rooms by calling.
    pub(super) fn make_conference(&mut self, peer: IpAddr) -> Result<RoomId, Refusal> {
        if !self.may_create_from(peer) {
            return Err(Refusal::NotFound);
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(Refusal::Overloaded);
        }
        self.has_room(1)?;
        let name = format!("conf-{:032x}", self.random());
        Ok(self.make_ad_hoc(&name, RoomOrigin::Factory))
    }

    /// Whether callers from there may make rooms.
    pub(super) fn may_create_from(&self, peer: IpAddr) -> bool {
        self.settings.auto_create_from.iter().any(|network| network.contains(peer))
    }
}

/// Who asks something of a focus.
#[derive(Debug)]
struct Director {
    /// The participant, if it asks within its dialog.
    leg: Option<LegId>,
    /// Who it proved to be.
    user: Option<String>,
}

impl Director {
    /// Whether a leg is its own, or leads to a phone of its user.
    fn is_own(&self, leg: &Leg) -> bool {
        let is_of_user = self.user.is_some() && (self.user == leg.user || self.user == leg.owner);
        self.leg == Some(leg.id) || is_of_user
    }
}

/// What a REFER wants of the focus: the method of the request that is to be sent to whom it names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Errand {
    Add,
    Remove,
}

impl Errand {
    fn of(target: &Uri) -> Option<Self> {
        match target.param("method") {
            None => Some(Self::Add),
            Some(method) if method.eq_ignore_ascii_case("INVITE") => Some(Self::Add),
            Some(method) if method.eq_ignore_ascii_case("BYE") => Some(Self::Remove),
            Some(_) => None,
        }
    }
}

/// Whether a Refer-To means this leg: its user, or it alone, as documents of the conference name it.
fn names(referred: &Referred, leg: &Leg) -> bool {
    let target = &referred.target;
    if let Some(id) = target.param("leg") {
        return leg.id.to_string().eq_ignore_ascii_case(id);
    }
    let target = target.without_headers().without_param("method");
    Uri::parse(entity_of(leg).as_bytes()).is_ok_and(|user| user.is_equivalent(&target))
}

/// The focus of a room.
fn focus(room: &Room) -> Identity {
    Identity::focus(room.name.clone())
}

#[cfg(test)]
mod tests;
