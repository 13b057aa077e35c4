//! The line of a user: the legs to and from its phones, and who follows them by SUBSCRIBE (RFC 4235, RFC 3856).
//!
//! As in a room (`followers.rs`), a line counts its changes and a watcher remembers up to which it was told, so what it is
//! told is made when it may be sent.

use std::collections::{BTreeMap, BTreeSet};

use api::model::{Direction, LeftReason, LegId, SipFailure};

use super::Bridge;
use super::dialog_info::{Details, Dialog, DialogInfo, Ending, State};
use super::followers::entity_uri;
use super::leg::{Leg, Privacy, Stage};
use super::signal::user_of;
use super::xml::Scope;
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::{Identity, Invited, Rejection, Subscribing, SubscriptionId};
use crate::sip::{Message, StatusCode};

/// What is known of a user's phones together.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// To and from its phones.
    legs: BTreeSet<LegId>,
    watchers: BTreeSet<SubscriptionId>,
    /// How many changes there were.
    count: u64,
    /// Who was told since before this change must be told everything.
    forgotten: u64,
    changed: BTreeMap<LegId, Change>,
}

/// The last change of a leg.
#[derive(Debug)]
struct Change {
    number: u64,
    gone: Option<Gone>,
}

/// A leg that has ended.
#[derive(Clone, Debug)]
struct Gone {
    direction: Direction,
    ending: Ending,
    dialog: Option<DialogId>,
}

/// Somebody who is told of a line.
#[derive(Debug)]
pub(super) struct Watcher {
    user: String,
    /// The user as it calls it.
    entity: String,
    /// Of the document that it is told next.
    version: u32,
    /// The last change that it knows of.
    told: Option<u64>,
    package: Package,
}

/// What a watcher is told of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Package {
    /// The calls (RFC 4235).
    Dialogs(Sight),
    /// How the user is (RFC 3856).
    Presence,
}

/// How much a watcher may see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sight {
    /// That there are calls.
    States,
    /// Call-IDs, tags and parties too: it is the user.
    Everything,
}

impl Line {
    fn note(&mut self, leg: LegId, gone: Option<Gone>) {
        self.count += 1;
        self.changed.insert(leg, Change { number: self.count, gone });
        if self.changed.len() > CHANGES {
            self.changed.clear();
            self.forgotten = self.count;
        }
    }

    fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.watchers.is_empty()
    }
}

impl Bridge {
    /// Somebody wants to follow the calls of a user, or how it is: whoever may call.
    pub(super) fn watching(&mut self, asked: &Subscribing) {
        let id = asked.subscription;
        let answer = self.may_watch(asked).map(|(user, sight)| {
            let identity = Identity::party(user.clone());
            self.lines.entry(user.clone()).or_default().watchers.insert(id);
            let entity = entity_uri(&asked.target);
            let package = match &*asked.package {
                "presence" => Package::Presence,
                _ => Package::Dialogs(sight),
            };
            self.watchers.insert(id, Watcher { user, entity, version: 0, told: None, package });
            identity
        });
        self.endpoint.answer_subscribe(self.now, id, answer);
    }

    /// Who says that it is the user has to prove it, even where others may ask without.
    fn may_watch(&mut self, asked: &Subscribing) -> Result<(String, Sight), Rejection> {
        let user = user_of(&asked.target);
        let within = asked.session.and_then(|session| self.sessions.get(&session));
        let proven = if let Some(leg) = within.and_then(|leg| self.legs.get(leg)) {
            leg.user.clone()
        } else if is_from(&asked.request, &user) {
            self.identify_claimed(&asked.request, asked.peer.ip())?
        } else {
            self.identify(&asked.request, asked.peer.ip())?
        };
        if !self.is_user(&user) {
            return Err(StatusCode::NOT_FOUND.into());
        }
        let sight = if proven.as_ref() == Some(&user) { Sight::Everything } else { Sight::States };
        Ok((user, sight))
    }

    /// True if it was one of these.
    pub(super) fn unwatched(&mut self, id: SubscriptionId) -> bool {
        let Some(watcher) = self.watchers.remove(&id) else { return false };
        if let Some(line) = self.lines.get_mut(&watcher.user) {
            line.watchers.remove(&id);
            if line.watchers.is_empty() {
                line.changed.clear();
                line.forgotten = line.count;
            }
            if line.is_idle() {
                self.lines.remove(&watcher.user);
            }
        }
        true
    }

    /// A watcher may be told now; false if this is none.
    pub(super) fn watcher_due(&mut self, id: SubscriptionId, whole: bool) -> bool {
        let Some(watcher) = self.watchers.get(&id) else { return false };
        let Some(line) = self.lines.get(&watcher.user) else { return true };
        let Package::Dialogs(sight) = watcher.package else {
            let body = self.presence_of(&watcher.user).print(&watcher.entity);
            self.endpoint.notify(self.now, id, body.into());
            return true;
        };
        let since = watcher.told.filter(|told| !whole && *told >= line.forgotten);
        let (scope, dialogs) = match since {
            Some(since) => (Scope::Partial, self.changes(line, since, sight)),
            None => (Scope::Full, self.dialogs(line, sight)),
        };
        let info = DialogInfo { entity: &watcher.entity, version: watcher.version, scope, dialogs };
        let (body, count) = (info.print(), line.count);
        if let Some(watcher) = self.watchers.get_mut(&id) {
            watcher.version = watcher.version.wrapping_add(1);
            watcher.told = Some(count);
        }
        self.endpoint.notify(self.now, id, body.into());
        true
    }

    /// Those that have changed since.
    fn changes(&self, line: &Line, since: u64, sight: Sight) -> Vec<Dialog> {
        let changed = line.changed.iter().filter(|(_, change)| change.number > since);
        changed
            .filter_map(|(id, change)| match &change.gone {
                Some(gone) => Some(gone.view(*id, sight)),
                None => self.legs.get(id).map(|leg| self.dialog(leg, sight)),
            })
            .collect()
    }

    fn dialogs(&self, line: &Line, sight: Sight) -> Vec<Dialog> {
        let legs = line.legs.iter().filter_map(|leg| self.legs.get(leg));
        legs.map(|leg| self.dialog(leg, sight)).collect()
    }

    fn dialog(&self, leg: &Leg, sight: Sight) -> Dialog {
        let details = (sight == Sight::Everything).then(|| Details {
            dialog: leg.session.and_then(|session| self.endpoint.any_dialog_of(session)),
            party: (leg.privacy == Privacy::Shown).then(|| leg.local().to_owned()),
        });
        Dialog { id: leg.id, direction: leg.direction, state: self.state_of(leg), details }
    }

    fn state_of(&self, leg: &Leg) -> State {
        match leg.stage {
            Stage::Resolving { .. }
            | Stage::Opening { .. }
            | Stage::Dialing
            | Stage::Answering { .. } => State::Trying,
            Stage::Waiting(_) if !self.hears_ringing(leg) => State::Proceeding,
            Stage::Ringing if !self.has_dialog(leg) => State::Proceeding,
            Stage::Waiting(_) | Stage::Ringing => State::Early,
            Stage::Confirming | Stage::Up => {
                let since = leg.answered_at.map(|at| self.wall().duration_since(at));
                let since = since.and_then(|since| since.try_into().ok()).unwrap_or_default();
                State::Confirmed { since, is_held: leg.hold.remote }
            }
        }
    }

    /// Whether somebody rings whom the caller of a routed call waits for.
    fn hears_ringing(&self, caller: &Leg) -> bool {
        let call = caller.call.and_then(|call| self.calls.get(&call));
        let mut others = call.into_iter().flat_map(|call| &call.legs);
        others.any(|leg| self.legs.get(leg).is_some_and(|leg| matches!(leg.stage, Stage::Ringing)))
    }

    fn has_dialog(&self, leg: &Leg) -> bool {
        leg.session.is_some_and(|session| self.endpoint.any_dialog_of(session).is_some())
    }

    /// The user whose phone calls: who proved it, or whoever is registered just there.
    pub(super) fn owner_of(&self, invited: &Invited, proven: Option<&String>) -> Option<String> {
        if let Some(user) = proven {
            return Some(user.clone());
        }
        let user = invited.from.uri.user_plain()?;
        let at = (invited.transport, invited.peer);
        let mut bindings = self.registrar.bindings(&user).into_iter();
        bindings.any(|own| (own.transport, own.peer) == at).then(|| user.into_owned())
    }

    /// Something about a leg is new that its line tells.
    pub(super) fn line_changed(&mut self, id: LegId) {
        let Some(user) = self.legs.get(&id).and_then(|leg| leg.owner.clone()) else { return };
        let line = self.lines.entry(user.clone()).or_default();
        line.legs.insert(id);
        if !line.watchers.is_empty() {
            line.note(id, None);
            self.tell_watchers(&user, |package| package != Package::Presence);
        }
        self.presence_changed(&user);
    }

    /// A leg has ended.
    pub(super) fn line_lost(&mut self, leg: &Leg, reason: LeftReason, sip: Option<&SipFailure>) {
        let Some(user) = &leg.owner else { return };
        let dialog = leg.session.and_then(|session| self.endpoint.any_dialog_of(session));
        let Some(line) = self.lines.get_mut(user) else { return };
        line.legs.remove(&leg.id);
        if !line.watchers.is_empty() {
            let dialog = dialog.or_else(|| leg.dialog.clone());
            let ending = Ending::of(reason, sip);
            line.note(leg.id, Some(Gone { direction: leg.direction, ending, dialog }));
            self.tell_watchers(user, |package| package != Package::Presence);
        } else if line.is_idle() {
            self.lines.remove(user);
        }
        self.presence_changed(user);
    }

    /// The user is otherwise than its watchers know.
    pub(super) fn tell_presence(&mut self, user: &str) {
        self.tell_watchers(user, |package| package == Package::Presence);
    }

    /// The legs to and from the phones of a user.
    pub(super) fn legs_of(&self, user: &str) -> impl Iterator<Item = &Leg> {
        let legs = self.lines.get(user).into_iter().flat_map(|line| &line.legs);
        legs.filter_map(|leg| self.legs.get(leg))
    }

    fn tell_watchers(&mut self, user: &str, is_meant: impl Fn(Package) -> bool) {
        let Some(line) = self.lines.get(user) else { return };
        let is_meant = |id: &&SubscriptionId| {
            self.watchers.get(*id).is_some_and(|watcher| is_meant(watcher.package))
        };
        for id in line.watchers.iter().filter(is_meant) {
            self.endpoint.note_news(self.now, *id);
        }
    }
}

impl Gone {
    fn view(&self, id: LegId, sight: Sight) -> Dialog {
        let details = (sight == Sight::Everything)
            .then(|| Details { dialog: self.dialog.clone(), party: None });
        let state = State::Terminated(self.ending);
        Dialog { id, direction: self.direction, state, details }
    }
}

/// Whether a request says that it comes from this user.
fn is_from(request: &Message, user: &str) -> bool {
    request.headers.from().is_ok_and(|from| from.uri.user_plain().is_some_and(|own| own == user))
}

/// Changed legs of a line that are remembered; beyond them its watchers are told everything once.
const CHANGES: usize = 100;

#[cfg(test)]
pub(super) mod tests;
