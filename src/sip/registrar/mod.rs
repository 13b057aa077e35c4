//! Where users can be reached: RFC 3261 §10.3, with Path (RFC 3327), flows (RFC 5626) and public GRUUs (RFC 5627).
//!
//! ```text
//!  REGISTER of a user who proved it ─▶ ask.rs: what it asks, or 400 423 439
//!                                   ─▶ all of it, or nothing ─▶ Changes and the 200, or a refusal
//!  time, a connection that closed   ─▶ bindings end
//! ```
//! Who may register what is decided before. Users are names without a domain: there is one.

mod ask;
mod binding;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sip::endpoint::{Registering, Rejection};
use crate::sip::headers::Name;
use crate::sip::transport::Transport;
use crate::sip::{Host, StatusCode, Uri};

pub use binding::{Binding, BindingId};

use ask::{Ask, Contact, Wish};

/// Limits of a registrar.
#[derive(Clone, Debug)]
pub struct RegistrarOptions {
    /// How long a binding lasts where the phone does not say.
    pub usual: Duration,
    /// The shortest time; a shorter one is refused with 423.
    pub min: Duration,
    /// The longest time; a longer one is cut to it.
    pub max: Duration,
    /// Contacts of one user; one more takes the place of the one that was refreshed longest ago.
    pub contacts: usize,
    /// Bindings in all; one more is refused with 503.
    pub bindings: usize,
    /// The domain of users, in the GRUUs that phones are told.
    pub domain: Host,
    /// The `Flow-Timer` of RFC 5626 §4.4.1: how long a phone's connection may stay silent.
    pub flow_timer: Duration,
}

/// All bindings.
#[derive(Debug)]
pub struct Registrar {
    options: RegistrarOptions,
    users: BTreeMap<String, Vec<Binding>>,
    count: usize,
    /// Whose a binding is.
    owners: BTreeMap<BindingId, String>,
    /// When each user's first binding ends.
    due: BTreeSet<(Instant, String)>,
    /// Whose bindings end with a connection.
    flows: BTreeSet<(Transport, SocketAddr, String)>,
    last: u64,
}

/// What became of a binding.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new.
    Added(Binding),
    /// It is gone.
    Removed(Binding, Removal),
}

/// Why a binding is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// Its time was over.
    Expired,
    /// The phone took it back.
    Unregistered,
    /// The phone put another one in its place, or the user had too many.
    Replaced,
    /// The connection that it depends on closed.
    Disconnected,
    /// Somebody asked so over the API.
    Dropped,
}

/// A REGISTER that was carried out.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Of the 200.
    pub headers: Vec<(String, String)>,
    /// What is other than before; a refresh changes nothing.
    pub changes: Vec<Change>,
}

impl Registrar {
    /// One without bindings.
    pub fn new(options: RegistrarOptions) -> Self {
        Self {
            options,
            users: BTreeMap::new(),
            count: 0,
            owners: BTreeMap::new(),
            due: BTreeSet::new(),
            flows: BTreeSet::new(),
            last: 0,
        }
    }

    /// Does all that a REGISTER of `user` asks, or nothing.
    ///
    /// # Errors
    /// 400 for what no registrar understands, 423, 439, 500 for one that came late, 503 when there is no room.
    pub fn register(
        &mut self,
        now: Instant,
        user: &str,
        request: &Registering,
    ) -> Result<Registered, Rejection> {
        let ask = Ask::read(request, &self.options)?;
        let before = self.users.get(user).map_or(&[][..], Vec::as_slice);
        let mut round =
            Round { now, bindings: before.to_vec(), changes: Vec::new(), last: self.last };
        match &ask.wish {
            Wish::Query => {}
            Wish::Clear => round.clear(&ask)?,
            Wish::Bind(contacts) => {
                for contact in contacts {
                    round.bind(contact, (request, &ask))?;
                }
            }
        }
        round.keep(self.options.contacts);
        let Round { bindings, changes, last, .. } = round;
        if self.count - before.len() + bindings.len() > self.options.bindings {
            return Err(StatusCode::SERVICE_UNAVAILABLE.into());
        }
        self.last = last;
        let headers = self.answer(now, (user, &ask), &bindings);
        self.put(user, bindings);
        Ok(Registered { headers, changes })
    }

    /// The bindings of a user, those to be tried first standing first: by `q`, then the one refreshed last.
    pub fn bindings(&self, user: &str) -> Vec<&Binding> {
        let mut found: Vec<&Binding> = self.users.get(user).into_iter().flatten().rev().collect();
        found.sort_by_key(|binding| std::cmp::Reverse(binding.quality));
        found
    }

    /// All bindings with their users, in the order in which they came.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Binding)> {
        self.owners.keys().filter_map(|&id| self.find(id))
    }

    /// One binding and whose it is.
    pub fn find(&self, id: BindingId) -> Option<(&str, &Binding)> {
        let user = self.owners.get(&id)?;
        let mut bindings = self.users.get(user)?.iter();
        Some((user.as_str(), bindings.find(|binding| binding.id == id)?))
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Ends what is over.
    pub fn expire(&mut self, now: Instant) -> Vec<(String, Change)> {
        let mut changes = Vec::new();
        while let Some((_, user)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            let ended = |binding: &Binding| binding.until <= now;
            self.end(&user, (ended, Removal::Expired), &mut changes);
        }
        changes
    }

    /// Ends what can only be reached over this connection, which closed.
    pub fn disconnected(
        &mut self,
        transport: Transport,
        peer: SocketAddr,
    ) -> Vec<(String, Change)> {
        let from = (transport, peer, String::new());
        let flows = self.flows.range(from..);
        let users: Vec<String> = flows
            .take_while(|(own, at, _)| (*own, *at) == (transport, peer))
            .map(|(_, _, user)| user.clone())
            .collect();
        let mut changes = Vec::new();
        for user in users {
            let ended = |binding: &Binding| binding.connection() == Some((transport, peer));
            self.end(&user, (ended, Removal::Disconnected), &mut changes);
        }
        changes
    }

    /// Ends one binding; `None` if there is none of this number.
    pub fn drop_binding(&mut self, id: BindingId) -> Option<(String, Change)> {
        let user = self.owners.get(&id)?.clone();
        let mut changes = Vec::new();
        self.end(&user, (|binding: &Binding| binding.id == id, Removal::Dropped), &mut changes);
        changes.pop()
    }

    /// Ends all bindings of a user.
    pub fn drop_user(&mut self, user: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        self.end(user, (|_: &Binding| true, Removal::Dropped), &mut changes);
        changes.into_iter().map(|(_, change)| change).collect()
    }

    fn end(
        &mut self,
        user: &str,
        (ends, why): (impl Fn(&Binding) -> bool, Removal),
        changes: &mut Vec<(String, Change)>,
    ) {
        let bindings = self.users.get(user).cloned().unwrap_or_default();
        let (gone, stay): (Vec<_>, Vec<_>) = bindings.into_iter().partition(|own| ends(own));
        self.put(user, stay);
        changes.extend(gone.into_iter().map(|own| (user.to_owned(), Change::Removed(own, why))));
    }

    /// Puts these in the place of all bindings of a user. Costs O(log n) for n users.
    fn put(&mut self, user: &str, bindings: Vec<Binding>) {
        let first = |bindings: &[Binding]| bindings.iter().map(|binding| binding.until).min();
        let before = self.users.remove(user).unwrap_or_default();
        if let Some(at) = first(&before) {
            self.due.remove(&(at, user.to_owned()));
        }
        for (transport, peer) in before.iter().filter_map(Binding::connection) {
            self.flows.remove(&(transport, peer, user.to_owned()));
        }
        self.count = self.count - before.len() + bindings.len();
        for old in &before {
            self.owners.remove(&old.id);
        }
        self.owners.extend(bindings.iter().map(|own| (own.id, user.to_owned())));
        if let Some(at) = first(&bindings) {
            self.due.insert((at, user.to_owned()));
        }
        for (transport, peer) in bindings.iter().filter_map(Binding::connection) {
            self.flows.insert((transport, peer, user.to_owned()));
        }
        if !bindings.is_empty() {
            self.users.insert(user.to_owned(), bindings);
        }
    }

    /// RFC 3261 §10.3 step 8, RFC 3327 §5.3, RFC 5626 §6, RFC 5627 §5.1.
    fn answer(
        &self,
        now: Instant,
        (user, ask): (&str, &Ask),
        bindings: &[Binding],
    ) -> Vec<(String, String)> {
        let aor = Uri::sip(Some(user), &self.options.domain, None);
        let aor = Some(&aor).filter(|_| ask.wants_gruu);
        let mut headers = Vec::new();
        let mut push = |name: Name, value: String| headers.push((name.to_string(), value));
        for binding in bindings {
            push(Name::Contact, binding.contact_line(now, aor));
        }
        for path in &ask.paths {
            push(Name::Path, path.to_string());
        }
        if ask.keeps_flow {
            push(Name::Require, OUTBOUND.to_owned());
            let timer = self.options.flow_timer.as_secs();
            push(Name::new("Flow-Timer"), timer.to_string());
        }
        headers
    }
}

/// The bindings of one user while a REGISTER is carried out.
struct Round {
    now: Instant,
    /// Those refreshed last stand last.
    bindings: Vec<Binding>,
    changes: Vec<Change>,
    last: u64,
}

impl Round {
    fn clear(&mut self, ask: &Ask) -> Result<(), Rejection> {
        for binding in self.bindings.drain(..) {
            binding.yields_to(ask)?;
            self.changes.push(Change::Removed(binding, Removal::Unregistered));
        }
        Ok(())
    }

    fn bind(
        &mut self,
        contact: &Contact,
        (request, ask): (&Registering, &Ask),
    ) -> Result<(), Rejection> {
        let found = self.bindings.iter().position(|binding| binding.is_of(contact, ask));
        let old = found.map(|at| self.bindings.remove(at));
        if let Some(old) = &old {
            old.yields_to(ask)?;
        }
        if contact.lasts.is_zero() {
            self.gone(old, Removal::Unregistered);
            return Ok(());
        }
        if let Some(old) = old.as_ref().filter(|old| old.is_same(contact, ask)) {
            let refreshed = contact.bind(self.now, (old.id, old.since), (request, ask));
            self.bindings.push(refreshed);
            return Ok(());
        }
        self.gone(old, Removal::Replaced);
        self.last += 1;
        let binding = contact.bind(self.now, (BindingId(self.last), self.now), (request, ask));
        self.changes.push(Change::Added(binding.clone()));
        self.bindings.push(binding);
        Ok(())
    }

    fn keep(&mut self, most: usize) {
        while self.bindings.len() > most {
            let old = self.bindings.remove(0);
            self.gone(Some(old), Removal::Replaced);
        }
    }

    fn gone(&mut self, old: Option<Binding>, why: Removal) {
        self.changes.extend(old.map(|old| Change::Removed(old, why)));
    }
}

/// The option tag of RFC 5627.
const GRUU: &str = "gruu";
/// The option tag of RFC 5626.
const OUTBOUND: &str = "outbound";

#[cfg(test)]
mod tests;
