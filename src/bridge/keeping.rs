//! What must survive a restart: a change of it goes to the store first, and is made and answered once it is there.
//!
//! ```text
//!  command ─▶ checked ─▶ Output::Store ─▶ Input::Stored ─▶ made, told, answered
//!                                              └─ it failed: 503, and nothing has changed
//! ```
//! So what is answered is stored, what can be read is stored, and memory never says what the store does not. While the store
//! is slow or down, calls go on with what is in memory. One change of a thing at a time: a second one meanwhile is told to
//! come again.

use std::collections::BTreeMap;
use std::time::Duration;

use api::archive::{Change, Document, DocumentKind, StoreFailure};
use api::control::{ControlError, IfMatch, Reply};
use api::model::{self, Provisioned, RoomId, Route, Source};
use serde::de::DeserializeOwned;

use super::command::{Answer, conflict};
use super::library::Sound;
use super::templates::Template;
use super::trunks::Made;
use super::users::User;
use super::{Bridge, Output, Rule, Timer};

/// Names a change that is on its way to the store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ChangeId(u64);

/// The changes that are on their way.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    next: u64,
    /// The highest that was given.
    revision: u64,
    pending: BTreeMap<ChangeId, Pending>,
}

#[derive(Debug)]
struct Pending {
    kind: DocumentKind,
    name: String,
    deed: Deed,
}

/// What is done, and who is told, once a change is stored.
#[derive(Debug)]
pub(super) enum Deed {
    PutUser(Box<User>, Later<model::User>),
    PutTrunk(Box<Made>, Later<model::Trunk>),
    PutRoute(Box<Rule>, Later<Provisioned<Route>>),
    PutSound(Box<Sound>, Later<model::Media>),
    PutTemplate(Box<Template>, Later<model::RoomTemplate>),
    Remove(Later<()>),
    /// A room is stored as it was.
    KeepRoom(RoomId),
    /// A room that has ended is stored no more.
    ForgetRoom(RoomId),
    /// Nobody waits for it.
    Nothing,
}

/// A reply that is given once: when the change is stored, or before that when it takes too long.
#[derive(Debug)]
pub(super) struct Later<T>(Option<Reply<T>>);

impl<T> Later<T> {
    pub(super) fn new(reply: Reply<T>) -> Self {
        Self(Some(reply))
    }

    fn send(&mut self, answer: Answer<T>) {
        if let Some(reply) = self.0.take() {
            reply.send(answer);
        }
    }
}

impl Deed {
    fn refuse(&mut self, error: ControlError) {
        match self {
            Self::PutUser(_, reply) => reply.send(Err(error)),
            Self::PutTrunk(_, reply) => reply.send(Err(error)),
            Self::PutRoute(_, reply) => reply.send(Err(error)),
            Self::PutSound(_, reply) => reply.send(Err(error)),
            Self::PutTemplate(_, reply) => reply.send(Err(error)),
            Self::Remove(reply) => reply.send(Err(error)),
            Self::KeepRoom(_) | Self::ForgetRoom(_) | Self::Nothing => {}
        }
    }
}

impl Bridge {
    /// A revision that nothing has had before, in this run or an earlier one.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.keeping.revision = self.unix_ms().max(self.keeping.revision + 1);
        self.keeping.revision
    }

    /// Changes of things of this kind that are on their way, which may be as many things more.
    pub(super) fn changes_under_way(&self, kind: DocumentKind) -> usize {
        self.keeping.pending.values().filter(|pending| pending.kind == kind).count()
    }

    /// Has a change stored; then `deed` is done.
    pub(super) fn store(&mut self, change: Change, deed: Deed) {
        let (kind, name) = match &change {
            Change::Put(Document { kind, name, .. }) | Change::Remove(kind, name) => (*kind, name),
        };
        if let Some(error) = self.keeping.refusal(kind, name) {
            return self.not_stored(deed, error);
        }
        let name = name.clone();
        self.keeping.next += 1;
        let id = ChangeId(self.keeping.next);
        self.keeping.pending.insert(id, Pending { kind, name, deed });
        self.set_timer(PATIENCE, Timer::Stored(id));
        self.outputs.push_back(Output::Store(id, change));
    }

    /// The store has answered.
    pub(super) fn stored(&mut self, id: ChangeId, answer: Result<(), StoreFailure>) {
        let Some(Pending { kind, name, deed }) = self.keeping.pending.remove(&id) else {
            return;
        };
        self.timers.retain(|(_, timer)| *timer != Timer::Stored(id));
        match answer {
            Ok(()) => {
                self.counters.stored += 1;
                self.make(kind, &name, deed);
            }
            Err(failure) => {
                self.counters.unstored += 1;
                tracing::warn!(kind = kind.as_str(), name, %failure, "a change was not stored");
                let detail = format!("nothing was changed, since it cannot be stored: {failure}");
                self.not_stored(deed, ControlError::Unstored { detail });
            }
        }
    }

    fn not_stored(&mut self, mut deed: Deed, error: ControlError) {
        match deed {
            Deed::KeepRoom(room) => self.room_stored(room, false),
            Deed::ForgetRoom(room) => self.room_forgotten(room, false),
            Deed::PutUser(..)
            | Deed::PutTrunk(..)
            | Deed::PutRoute(..)
            | Deed::PutSound(..)
            | Deed::PutTemplate(..)
            | Deed::Remove(_)
            | Deed::Nothing => deed.refuse(error),
        }
    }

    /// Nobody waits any longer; what is stored later is made later.
    pub(super) fn is_storing_too_long(&mut self, id: ChangeId) {
        let Some(pending) = self.keeping.pending.get_mut(&id) else { return };
        let detail = "the store has not answered yet: if it stores this, it will be as asked; read it to see";
        match pending.deed {
            Deed::KeepRoom(room) => self.room_stored_late(room),
            Deed::ForgetRoom(room) => self.room_forgotten_late(room),
            Deed::PutUser(..)
            | Deed::PutTrunk(..)
            | Deed::PutRoute(..)
            | Deed::PutSound(..)
            | Deed::PutTemplate(..)
            | Deed::Remove(_)
            | Deed::Nothing => {
                pending.deed.refuse(ControlError::Unstored { detail: detail.to_owned() });
            }
        }
    }

    fn make(&mut self, kind: DocumentKind, name: &str, deed: Deed) {
        match deed {
            Deed::PutUser(user, mut reply) => reply.send(Ok(self.put_user(*user))),
            Deed::PutTrunk(made, mut reply) => reply.send(Ok(self.made_trunk(*made))),
            Deed::PutRoute(rule, mut reply) => reply.send(Ok(self.put_route(*rule))),
            Deed::PutSound(sound, mut reply) => reply.send(Ok(self.put_sound(*sound))),
            Deed::PutTemplate(template, mut reply) => {
                reply.send(Ok(self.put_template(*template)));
            }
            Deed::Remove(mut reply) => {
                match kind {
                    DocumentKind::Route => self.remove_route(name),
                    DocumentKind::User => self.remove_user(name),
                    DocumentKind::Trunk => self.remove_trunk(name),
                    DocumentKind::Media => self.remove_sound(name),
                    DocumentKind::RoomTemplate => drop(self.templates.remove(name)),
                    // Never removed here.
                    DocumentKind::ApiKey
                    | DocumentKind::Room
                    | DocumentKind::Tolls
                    | DocumentKind::Webhook
                    | DocumentKind::WebhookCursor
                    | DocumentKind::Letter => {}
                }
                reply.send(Ok(()));
            }
            Deed::KeepRoom(room) => self.room_stored(room, true),
            Deed::ForgetRoom(room) => self.room_forgotten(room, true),
            Deed::Nothing => {}
        }
    }

    /// What was kept of this kind, as far as it can be read, with its revisions.
    pub(super) fn kept<T: DeserializeOwned>(&mut self, kind: DocumentKind) -> Vec<(u64, T)> {
        let mut found = Vec::new();
        for Document { kind: of, name, revision, body } in &self.settings.kept {
            if *of != kind {
                continue;
            }
            self.keeping.revision = self.keeping.revision.max(*revision);
            match serde_json::from_str(body) {
                Ok(item) => found.push((*revision, item)),
                Err(error) => unusable(kind, name, &error),
            }
        }
        found
    }
}

/// What is kept but cannot be used stays in the store: a later version may know it.
pub(super) fn unusable(kind: DocumentKind, name: &str, why: &dyn std::fmt::Display) {
    tracing::error!(kind = kind.as_str(), name, %why, "what is stored cannot be used and is left out");
}

impl Keeping {
    fn refusal(&self, kind: DocumentKind, name: &str) -> Option<ControlError> {
        let is_it = |pending: &Pending| pending.kind == kind && pending.name == name;
        let busy = |detail: String| Some(ControlError::Busy { detail, retry_after_s: 1 });
        if self.pending.values().any(is_it) {
            let kind = kind.as_str();
            return busy(format!("another change of {kind} {name} is being stored; try again"));
        }
        if self.pending.len() >= MAX_PENDING {
            return busy(format!("{MAX_PENDING} changes wait for the store; try again"));
        }
        None
    }
}

/// Whether somebody may change a resource of this revision over the API.
pub(super) fn may_change(
    (what, name): (&'static str, &str),
    revision: u64,
    condition: &IfMatch,
) -> Answer<()> {
    if !condition.allows(revision) {
        return Err(ControlError::Stale { what, revision });
    }
    if source(revision) == Source::Settings {
        let detail = format!(
            "{what} {name} comes from the settings: change it there and restart, or use another name here"
        );
        return Err(conflict("made_by_settings", detail));
    }
    Ok(())
}

/// Who made a resource of this revision.
pub(super) fn source(revision: u64) -> Source {
    if revision == 0 { Source::Settings } else { Source::Api }
}

/// How long a client waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes on their way at once.
const MAX_PENDING: usize = 256;

#[cfg(test)]
mod tests;
