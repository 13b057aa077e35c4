//! Rooms as conferences of SIP (RFC 4579): each leg of a room is told that it talks to the focus, and under which URI; calling
//! the conference factory makes a new room.

use std::net::IpAddr;

use api::model::{LegId, RoomId};

use super::lifecycle::NewRoom;
use super::room::{Refusal, Room};
use super::{Bridge, Place};
use crate::sip::endpoint::Identity;

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
        Ok(self.create_room(NewRoom::ad_hoc(name)))
    }

    /// Whether callers from there may make rooms.
    pub(super) fn may_create_from(&self, peer: IpAddr) -> bool {
        self.settings.auto_create_from.iter().any(|network| network.contains(peer))
    }
}

/// The focus of a room.
fn focus(room: &Room) -> Identity {
    Identity::focus(room.name.clone())
}

#[cfg(test)]
mod tests;
