//! One place where a user can be reached.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ask::{Ask, Contact};
use crate::sip::StatusCode;
use crate::sip::Uri;
use crate::sip::endpoint::{Flow, Registering, Rejection, Target};
use crate::sip::headers::{CallId, NameAddr};
use crate::sip::transport::Transport;

/// Names a binding; never used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BindingId(pub u64);

impl fmt::Display for BindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Contact of a user, until it ends.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The same for as long as the phone only refreshes it.
    pub id: BindingId,
    /// Where requests go.
    pub contact: Uri,
    /// Its `q` in thousandths.
    pub quality: u16,
    /// `+sip.instance` of the phone (RFC 5626 §4.1), with its brackets.
    pub instance: Option<String>,
    /// Which of the phone's ways this is, where it keeps them open (RFC 5626 §4.2).
    pub reg_id: Option<u32>,
    /// Proxies between us and the phone, the next one first (RFC 3327).
    pub paths: Vec<NameAddr>,
    /// What the phone says that it is.
    pub user_agent: String,
    /// How its REGISTER came.
    pub transport: Transport,
    /// From where.
    pub peer: SocketAddr,
    /// When it was first there.
    pub since: Instant,
    /// When it ends.
    pub until: Instant,
    pub(super) flow: Flow,
    pub(super) call_id: CallId,
    pub(super) sequence: u32,
}

impl Binding {
    /// How a call gets there.
    pub fn target(&self) -> Target {
        let routes = self.paths.iter().map(ToString::to_string).collect();
        Target { uri: self.contact.clone(), routes, flow: Some(self.flow), offer: None }
    }

    /// The connection that it cannot do without.
    pub fn connection(&self) -> Option<(Transport, SocketAddr)> {
        let is_kept = self.reg_id.is_some() && self.paths.is_empty();
        let depends = self.transport.is_websocket() || is_kept;
        (depends && self.transport.is_reliable()).then_some((self.transport, self.peer))
    }

    /// Whether a Contact is this one: by the phone's name for its way (RFC 5626 §6), else by URI.
    pub(super) fn is_of(&self, contact: &Contact, ask: &Ask) -> bool {
        match (&self.instance, self.reg_id) {
            (Some(instance), Some(reg_id)) if ask.keeps_flow => {
                contact.instance.as_ref() == Some(instance) && contact.reg_id == Some(reg_id)
            }
            _ => self.contact.is_equivalent(&contact.uri),
        }
    }

    /// Whether a Contact leads there by the same way, so that it is but refreshed.
    pub(super) fn is_same(&self, contact: &Contact, ask: &Ask) -> bool {
        self.contact.is_equivalent(&contact.uri) && self.flow == ask.flow && self.paths == ask.paths
    }

    /// RFC 3261 §10.3 step 7: what comes late does not undo what came after it.
    pub(super) fn yields_to(&self, ask: &Ask) -> Result<(), Rejection> {
        if self.call_id == ask.call_id && ask.sequence <= self.sequence {
            return Err(StatusCode::SERVER_INTERNAL_ERROR.into());
        }
        Ok(())
    }

    /// The `gr` of its public GRUU (RFC 5627 §3.1): what the phone is called, if that may stand in a URI.
    fn gr(&self) -> Option<&str> {
        let urn = self.instance.as_ref()?.strip_prefix('<')?.strip_suffix('>')?;
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        Some(urn).filter(|urn| !urn.is_empty() && urn.bytes().all(may_stand))
    }

    /// Whether the `gr` of a URI that is called means this phone.
    pub fn is_called(&self, gr: &str) -> bool {
        self.gr().is_some_and(|own| own.eq_ignore_ascii_case(gr))
    }

    pub(super) fn contact_line(&self, now: Instant, aor: Option<&Uri>) -> String {
        let mut contact = NameAddr::new(self.contact.clone());
        let params = &mut contact.params;
        if self.quality < 1000 {
            params.set("q", Some(&format!("0.{:03}", self.quality)));
        }
        if let Some(instance) = &self.instance {
            params.set("+sip.instance", Some(&format!("\"{instance}\"")));
        }
        if let (Some(aor), Some(gr)) = (aor, self.gr()) {
            params.set("pub-gruu", Some(&format!("\"{}\"", aor.with_param("gr", Some(gr)))));
        }
        if let Some(reg_id) = self.reg_id {
            params.set("reg-id", Some(&reg_id.to_string()));
        }
        let left = self.until.saturating_duration_since(now);
        params.set("expires", Some(&whole_seconds(left).to_string()));
        contact.to_string()
    }
}

impl Contact {
    pub(super) fn bind(
        &self,
        now: Instant,
        (id, since): (BindingId, Instant),
        (request, ask): (&Registering, &Ask),
    ) -> Binding {
        Binding {
            id,
            contact: self.uri.clone(),
            quality: self.quality,
            instance: self.instance.clone(),
            reg_id: self.reg_id.filter(|_| ask.keeps_flow),
            paths: ask.paths.clone(),
            user_agent: ask.user_agent.clone(),
            transport: request.transport,
            peer: request.peer,
            since,
            until: now + self.lasts,
            flow: ask.flow,
            call_id: ask.call_id.clone(),
            sequence: ask.sequence,
        }
    }
}

/// Rounded up: a phone must not believe that it has ended while it has not.
fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
