//! Calls that take the place of another, or come into its conversation: Replaces (RFC 3891) and Join (RFC 3911).
//!
//! ```text
//!  INVITE names a dialog ─▶ one of ours? 481, 603 ─▶ may its sender? 403 ─▶ a line, a seat? ─▶ answered as any caller
//!       Replaces: it is seated ─▶ leg.replaced ─▶ who sat there is hung up       Join: it sits beside
//! ```
//! Until the new leg is seated nothing has changed for the old one, so whatever goes wrong before leaves the call as it was.
//!
//! *Who may* (RFC 3891 §8): whoever may call at all and names all three parts of the dialog, 64 random bits of which are ours.
//! If the caller of that dialog proved to be a user, only that user, or whom that party referred (`Referred-By`).

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use api::event::EventType;
use api::model::{CallId, LeftReason, LegId, RoomId};
use serde_json::json;

use crate::sip::Message;
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::{Invited, Takes};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::uri::Uri;

use super::leg::{Leg, NamedBy, Stage};
use super::room::Refusal;
use super::{Bridge, Place};

/// Dialogs that were ours and have ended, the oldest forgotten first: 603 tells more than 481 (RFC 3891 §3).
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<u64>);

/// How many of them are known.
const PAST: usize = 1000;

impl Past {
    pub(super) fn remember(&mut self, dialog: &DialogId) {
        if self.0.len() >= PAST {
            self.0.pop_front();
        }
        self.0.push_back(digest(dialog));
    }

    fn knows(&self, dialog: &DialogId) -> bool {
        self.0.contains(&digest(dialog))
    }
}

fn digest(dialog: &DialogId) -> u64 {
    let mut hasher = DefaultHasher::new();
    dialog.hash(&mut hasher);
    hasher.finish()
}

/// Where a caller comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    call: Option<CallId>,
    replaces: Option<LegId>,
}

impl Entry {
    /// Into a room, as most do.
    pub(super) fn room(room: RoomId) -> Self {
        Self { place: Place::Room(room), call: None, replaces: None }
    }

    /// Into a call that was made for it.
    pub(super) fn call(call: CallId) -> Self {
        Self { place: Place::Call(call), call: Some(call), replaces: None }
    }
}

/// Who asks for something about a dialog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// The user that it proved to be.
    pub(super) user: Option<&'a str>,
    /// The request with which it asks.
    pub(super) request: &'a Message,
}

impl Bridge {
    /// Where a caller comes in who names a dialog.
    pub(super) fn admit_to(
        &mut self,
        takes: &Takes,
        invited: &Invited,
        user: Option<&str>,
    ) -> Result<Entry, Refusal> {
        let id = self.leg_named(takes, Asker { user, request: &invited.request })?;
        self.has_line()?;
        if !self.rate.take(self.now) {
            return Err(Refusal::TooFast);
        }
        let Some(leg) = self.legs.get(&id) else { return Err(Refusal::NoDialog) };
        let (place, call) = (leg.place, leg.call);
        let replaces = match takes {
            Takes::Place(_) => Some(id),
            Takes::Part(_) => None,
        };
        self.has_place(place, replaces)?;
        self.has_room(1)?;
        self.counters.joins += u64::from(replaces.is_none());
        Ok(Entry { place, call, replaces })
    }

    /// The leg whose dialog is named, if who asks may have what it wants of it.
    fn leg_named(&self, takes: &Takes, asker: Asker<'_>) -> Result<LegId, Refusal> {
        if !self.settings.takeover {
            return Err(Refusal::NotAllowed);
        }
        let leg = self.leg_of_dialog(&takes.dialog())?;
        if !may_take(leg, asker) {
            return Err(Refusal::NotAllowed);
        }
        let early_only = matches!(takes, Takes::Place(replaces) if replaces.early_only);
        match leg.stage {
            Stage::Up | Stage::Confirming if early_only => Err(Refusal::NotEarly),
            Stage::Up | Stage::Confirming | Stage::Dialing | Stage::Ringing => Ok(leg.id),
            // RFC 3891 §3: an early dialog that its peer began cannot be replaced.
            Stage::Answering { .. }
            | Stage::Waiting(_)
            | Stage::Opening { .. }
            | Stage::Resolving { .. } => Err(Refusal::NoDialog),
        }
    }

    /// The leg that has this dialog.
    pub(super) fn leg_of_dialog(&self, dialog: &DialogId) -> Result<&Leg, Refusal> {
        let session = self.endpoint.session_of(dialog);
        let leg = session.and_then(|session| self.legs.get(self.sessions.get(&session)?));
        let was_ours = || self.past.knows(dialog);
        leg.ok_or_else(|| if was_ours() { Refusal::DialogEnded } else { Refusal::NoDialog })
    }

    /// Whether there is a place: that of a leg that will leave, or one more.
    fn has_place(&self, place: Place, replaces: Option<LegId>) -> Result<(), Refusal> {
        let pending = |leg: &Leg| leg.replaces.is_some() && leg.replaces == replaces;
        if self.legs.values().any(pending) {
            return Err(Refusal::Contended);
        }
        match place {
            Place::Room(room) => match self.rooms.get(&room) {
                Some(room) if replaces.is_none() => room.admit(),
                Some(room) if room.ending => Err(Refusal::Ending),
                Some(_) => Ok(()),
                None => Err(Refusal::NotFound),
            },
            Place::Call(call) => {
                let parties = self.calls.get(&call).map_or(0, |call| call.legs.len());
                let most = usize::try_from(self.settings.max_participants).unwrap_or(usize::MAX);
                if replaces.is_some() || parties < most { Ok(()) } else { Err(Refusal::Full) }
            }
        }
    }

    /// Gives a caller what its entry comes with.
    pub(super) fn enter(&self, leg: &mut Leg, entry: Entry) {
        leg.call = entry.call;
        leg.replaces = entry.replaces;
        let Some(old) = entry.replaces.and_then(|old| self.legs.get(&old)) else { return };
        inherit(leg, old);
    }

    /// Whether the leg that a caller is to replace is still there.
    pub(super) fn may_still_enter(&self, id: LegId) -> Result<(), Refusal> {
        match self.legs.get(&id).and_then(|leg| leg.replaces) {
            Some(old) if !self.legs.contains_key(&old) => Err(Refusal::DialogEnded),
            Some(_) | None => Ok(()),
        }
    }

    /// Brings a leg that is answered to where the one sits that it replaces, as that is by now; tells which that is.
    pub(super) fn take_seat(&mut self, id: LegId) -> Option<LegId> {
        let old = self.legs.get_mut(&id)?.replaces.take()?;
        let mut seat = self.legs.remove(&old)?;
        let carries = seat.carries.take();
        let from = self.legs.get(&id).map(|leg| leg.place);
        if let Some(leg) = self.legs.get_mut(&id) {
            inherit(leg, &seat);
            leg.replaced = Some(old);
            (leg.place, leg.call, leg.carries) = (seat.place, seat.call, carries);
        }
        let to = seat.place;
        self.legs.insert(old, seat);
        if let Some(from) = from.filter(|from| *from != to) {
            if let Place::Room(room) = from
                && let Some(room) = self.rooms.get_mut(&room)
            {
                room.legs.retain(|other| *other != id);
            }
            self.list(id, to);
        }
        self.circle_inherited(old, id);
        self.apply_seat(id);
        Some(old)
    }

    /// Hangs up the leg whose seat `by` has taken.
    pub(super) fn give_way(&mut self, old: LegId, by: LegId) {
        let Some(leg) = self.legs.get_mut(&old) else { return };
        leg.replaced_by = Some(by);
        let (was_up, call) = (leg.is_up(), leg.call);
        self.counters.replaced += 1;
        self.leg_happened(EventType::LegReplaced, old, json!({ "by": by }));
        self.end_leg(old, LeftReason::Replaced, None);
        match call {
            Some(call) if was_up => self.call_happened(EventType::CallUpdated, call),
            Some(call) => self.call_gained(call),
            None => {}
        }
    }
}

/// What goes with a seat. A name that the API gave is that of the seat; else who comes has its own.
fn inherit(leg: &mut Leg, old: &Leg) {
    leg.controls = old.controls.clone();
    leg.hold.local = old.hold.local;
    if old.named_by == NamedBy::Api || leg.display_name.is_none() {
        leg.display_name.clone_from(&old.display_name);
        leg.named_by = old.named_by;
    }
}

/// RFC 3891 §8: a user's dialog is for that user, and for whom that user referred.
pub(super) fn may_take(leg: &Leg, asker: Asker<'_>) -> bool {
    let Some(owner) = &leg.user else { return true };
    if asker.user == Some(owner) {
        return true;
    }
    let by = asker.request.headers.first(&Name::ReferredBy);
    let by = by.and_then(|by| NameAddr::parse(by).ok());
    let party = Uri::parse(leg.remote().as_bytes()).ok();
    by.zip(party).is_some_and(|(by, party)| is_same_party(&by.uri, &party))
}

/// Whether two URIs are of one user at one host, whatever the port and parameters.
fn is_same_party(one: &Uri, other: &Uri) -> bool {
    one.is_sip() && one.host() == other.host() && one.user_plain() == other.user_plain()
}

#[cfg(test)]
mod tests;
