//! Users' phones: who may register, what is told of it, and how a user is called.
//!
//! A user proves who it is with its password wherever it registers from: a network that may call freely must not be able to
//! take another's calls.

use std::net::SocketAddr;

use api::event::{Data, EventType};
use api::model::{Page, Registration, RegistrationId, RegistrationQuery};
use serde_json::json;

use super::command::{Answer, no_such, page};
use super::signal::wire_name;
use super::{Bridge, SIP_PORT, Subject, with};
use crate::sip::endpoint::{LocalAddress as _, Registering, Rejection, Target};
use crate::sip::registrar::{Binding, BindingId, Change, Removal};
use crate::sip::transport::Transport;
use crate::sip::{Host, StatusCode, Uri};

/// Whom a URI that is to be called names.
#[derive(Clone, Debug)]
pub(super) enum Callee {
    /// Somebody elsewhere.
    Elsewhere,
    /// A user of ours: its phones, those to be tried first standing first; none if it has none now.
    User(Vec<Phone>),
}

/// A phone of a user.
#[derive(Clone, Debug)]
pub(super) struct Phone {
    pub(super) target: Target,
    /// Where its messages come from, and media goes first.
    pub(super) peer: SocketAddr,
    /// Its `q` in thousandths.
    pub(super) quality: u16,
    /// What it is called, whatever its address.
    pub(super) instance: Option<String>,
}

impl Bridge {
    /// A phone says where it is. Strangers who prove nothing are no event: anybody could fill the log with them.
    pub(super) fn registering(&mut self, asked: &Registering) {
        let guesses = self.counters.guesses;
        let user = self.identify_user(&asked.request, asked.peer.ip());
        let is_known = user.is_ok();
        let answer = user.and_then(|user| self.register(&user, asked));
        if let Err(rejection) = &answer
            && (is_known || self.counters.guesses > guesses)
        {
            self.registration_rejected(asked, rejection.status);
        }
        let answer = answer.map(|mut headers| {
            headers.push(("Date".to_owned(), self.wall().strftime(HTTP_DATE).to_string()));
            headers
        });
        self.endpoint.answer_register(self.now, asked.register, answer);
    }

    fn register(
        &mut self,
        user: &str,
        asked: &Registering,
    ) -> Result<Vec<(String, String)>, Rejection> {
        let to = asked.request.headers.to().map_err(|_| StatusCode::BAD_REQUEST)?;
        // RFC 3261 §10.3 step 4: nobody registers for somebody else.
        if to.uri.user_plain().is_none_or(|named| named != user) {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let registered = self.registrar.register(self.now, user, asked)?;
        self.counters.registrations += 1;
        for change in registered.changes {
            self.registration_changed(user, &change);
        }
        Ok(registered.headers)
    }

    /// The end of what is over.
    pub(super) fn expire_registrations(&mut self) {
        for (user, change) in self.registrar.expire(self.now) {
            self.registration_changed(&user, &change);
        }
    }

    /// A connection is gone, and with it the phones at its end.
    pub(super) fn connection_closed(&mut self, transport: Transport, peer: SocketAddr) {
        for (user, change) in self.registrar.disconnected(transport, peer) {
            self.registration_changed(&user, &change);
        }
    }

    pub(super) fn registration_changed(&mut self, user: &str, change: &Change) {
        let (kind, binding, why) = match change {
            Change::Added(binding) => (EventType::RegistrationAdded, binding, None),
            Change::Removed(binding, why) => {
                (EventType::RegistrationRemoved, binding, Some(removal_name(*why)))
            }
        };
        let Binding { contact, peer, transport, .. } = binding;
        let event = kind.as_str();
        tracing::info!(user, %contact, %peer, %transport, why, "{event}");
        let view = self.registration_view(user, binding);
        let extra = why.map_or_else(|| json!({}), |why| json!({ "reason": why }));
        self.happened(kind, Subject::default(), with(&view, extra));
        self.presence_changed(user);
        if kind == EventType::RegistrationAdded {
            self.send_waiting(user);
        }
    }

    fn registration_rejected(&mut self, asked: &Registering, status: StatusCode) {
        let to = asked.request.headers.to().ok();
        let user = to.as_ref().and_then(|to| to.uri.user_plain());
        let (peer, status) = (asked.peer, (status.code(), status.reason()));
        tracing::warn!(user = user.as_deref(), %peer, status = status.0, "registration rejected");
        let data = json!({
            "user": user, "source": peer,
            "sip": { "status": status.0, "reason": status.1 },
        });
        self.happened(EventType::RegistrationRejected, Subject::default(), Data::of(&data));
    }

    /// Whom a call to `target` reaches: a user of ours if it is addressed at us.
    pub(super) fn callee(&self, target: &Uri) -> Callee {
        let user = target.user_plain().filter(|user| self.is_user(user) && self.is_us(target));
        let Some(user) = user else { return Callee::Elsewhere };
        // RFC 5627 §6.1: one phone alone is meant.
        let gr = target.param("gr");
        let is_meant = |binding: &&Binding| gr.is_none_or(|gr| binding.is_called(gr));
        let phone = |binding: &Binding| Phone {
            target: binding.target(),
            peer: binding.peer,
            quality: binding.quality,
            instance: binding.instance.clone(),
        };
        let bindings = self.registrar.bindings(&user).into_iter();
        Callee::User(bindings.filter(is_meant).map(phone).collect())
    }

    /// Whether a URI names our realm, or one of the addresses at which we are called.
    fn is_us(&self, target: &Uri) -> bool {
        match target.host() {
            Some(Host::Name(name)) => {
                target.port().is_none() && name.eq_ignore_ascii_case(&self.settings.access.realm)
            }
            Some(Host::Address(address)) => {
                let port = target.port().unwrap_or(SIP_PORT);
                self.local.towards(*address) == *address && self.endpoint.has_port(port, *address)
            }
            None => false,
        }
    }

    fn registration_view(&self, user: &str, binding: &Binding) -> Registration {
        Registration {
            id: self.registration_id(binding.id),
            user: user.to_owned(),
            contact: binding.contact.to_string(),
            q: f32::from(binding.quality) / 1000.0,
            transport: wire_name(binding.transport).to_owned(),
            source: binding.peer,
            user_agent: binding.user_agent.clone(),
            instance: binding.instance.clone(),
            path: binding.paths.iter().map(ToString::to_string).collect(),
            registered_at: self.clock.at(binding.since),
            expires_at: self.clock.at(binding.until),
        }
    }

    /// Ids sort by age, and none of an earlier start is used again.
    fn registration_id(&self, id: BindingId) -> RegistrationId {
        let start = u64::try_from(self.started.wall.as_millisecond()).unwrap_or(0);
        RegistrationId::new(start, id.0.into())
    }

    fn binding_id(&self, id: RegistrationId) -> Option<BindingId> {
        let binding = BindingId(u64::try_from(id.random()).ok()?);
        (self.registration_id(binding) == id).then_some(binding)
    }

    pub(super) fn api_list_registrations(
        &mut self,
        query: &RegistrationQuery,
    ) -> Answer<Page<Registration>> {
        let wanted = |user: &str| query.user.as_ref().is_none_or(|only| only == user);
        let found = self.registrar.iter().filter(|(user, _)| wanted(user));
        let found = found.map(|(user, binding)| self.registration_view(user, binding));
        page::page(&query.page(), found, |registration| registration.id)
    }

    pub(super) fn api_registration(&mut self, id: RegistrationId) -> Answer<Registration> {
        let found = self.binding_id(id).and_then(|binding| self.registrar.find(binding));
        found
            .map(|(user, binding)| self.registration_view(user, binding))
            .ok_or_else(|| no_such("registration", id))
    }

    pub(super) fn api_remove_registration(&mut self, id: RegistrationId) -> Answer<()> {
        let gone = self.binding_id(id).and_then(|binding| self.registrar.drop_binding(binding));
        let Some((user, change)) = gone else { return Err(no_such("registration", id)) };
        self.registration_changed(&user, &change);
        Ok(())
    }
}

fn removal_name(why: Removal) -> &'static str {
    match why {
        Removal::Expired => "expired",
        Removal::Unregistered => "unregistered",
        Removal::Replaced => "replaced",
        Removal::Disconnected => "disconnected",
        Removal::Dropped => "dropped",
    }
}

/// RFC 3261 §20.17.
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

#[cfg(test)]
pub(super) mod tests;
