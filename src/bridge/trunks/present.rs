//! Whom we say calls, to a trunk: From, P-Asserted-Identity, P-Preferred-Identity (RFC 3325) and Privacy (RFC 3323).

use serde::{Deserialize, Serialize};

use super::Trunk;
use crate::bridge::Pattern;
use crate::bridge::identity::{Identity, anonymous};
use crate::bridge::leg::Caller;
use crate::sip::headers::{Name, NameAddr};
use crate::sip::{Host, Uri};

/// Whom a trunk is told calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallerRules {
    /// Whose number that is.
    pub id: CallerId,
    /// The numbers that may be said, as in `+49301234*`; none: all. Others become our own.
    pub allowed: Vec<Pattern>,
    /// Whether the name of who calls is passed on.
    pub name: bool,
}

/// Whose number a trunk is told.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerId {
    /// That which the trunk knows us by.
    #[default]
    Own,
    /// The caller's.
    Pass,
}

impl Default for CallerRules {
    fn default() -> Self {
        Self { id: CallerId::Own, allowed: Vec::new(), name: true }
    }
}

/// What an INVITE through a trunk says of its caller.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) from: NameAddr,
    pub(super) headers: Vec<(String, String)>,
}

impl Trunk {
    /// Carriers know callers by names or numbers of their own domain.
    pub(super) fn present(&self, host: &Host, caller: &Caller) -> Presented {
        let rules = &self.settings.rules;
        let caller_id = self.caller_id(host, caller);
        let Caller::Routed(identity) = caller else {
            let asserted = rules.trusted.then(|| caller_id.clone());
            return Presented { headers: headers(asserted, None, &[]), from: caller_id };
        };
        let privacy = &identity.privacy[..];
        if rules.trusted {
            let mut asserted = self.asserted(identity);
            if asserted.is_empty() && identity.is_proven {
                asserted.push(caller_id.clone());
            }
            // Who says by its From alone that it wants to be hidden would be shown by what is asserted.
            let hides = identity.is_hidden() && identity.privacy.is_empty();
            let privacy: &[_] = if hides { &["id"] } else { privacy };
            let from = if is_nobody(&identity.from.uri) { anonymous() } else { caller_id };
            return Presented { from, headers: headers(asserted, None, privacy) };
        }
        if !identity.is_hidden() {
            return Presented { from: caller_id, headers: Vec::new() };
        }
        // The carrier has to know whose call it is, by who we are: never by who calls us.
        let own = self.own(host).map(NameAddr::new);
        let privacy: &[_] = if own.is_some() { &["id"] } else { &[] };
        Presented { from: anonymous(), headers: headers(None, own, privacy) }
    }

    fn caller_id(&self, host: &Host, caller: &Caller) -> NameAddr {
        let rules = &self.settings.rules;
        let own = self.own(host);
        let (said, display) = match caller {
            Caller::Uri(uri) => (Some(self.written(uri)), None),
            Caller::User(user) => (Some(self.user_at(&rules.numbers.written(user), host)), None),
            Caller::Unsaid(_) => (None, None),
            Caller::Routed(identity) => {
                let passes = rules.caller.id == CallerId::Pass && !is_nobody(&identity.from.uri);
                let said = passes.then(|| self.number_at(&identity.from.uri, host)).flatten();
                let display = identity.display().filter(|_| rules.caller.name).cloned();
                (said, display.filter(|_| !is_nobody(&identity.from.uri)))
            }
        };
        let said = said.filter(|uri| self.may_say(uri));
        let uri = said.or(own).unwrap_or_else(|| match caller {
            Caller::Uri(uri) => uri.clone(),
            Caller::User(name) | Caller::Unsaid(name) => Uri::sip(Some(name), host, None),
            Caller::Routed(identity) => self
                .number_at(&identity.from.uri, host)
                .unwrap_or_else(|| identity.from.uri.clone()),
        });
        NameAddr { display, ..NameAddr::new(uri) }
    }

    /// Who the trunk knows us as.
    fn own(&self, host: &Host) -> Option<Uri> {
        let account = self.settings.account.as_ref();
        let account = || account.map(|account| Uri::sip(Some(&account.username), host, None));
        self.settings.from.clone().or_else(account)
    }

    fn may_say(&self, uri: &Uri) -> bool {
        let rules = &self.settings.rules;
        let Some(user) = uri.user_plain() else { return false };
        let normal = rules.numbers.normal(&user);
        let allowed = &rules.caller.allowed;
        allowed.is_empty() || allowed.iter().any(|one| one.matches(&normal) || one.matches(&user))
    }

    /// What others assert, with its numbers as the trunk wants them.
    fn asserted(&self, identity: &Identity) -> Vec<NameAddr> {
        let name = self.settings.rules.caller.name;
        let written = |address: &NameAddr| NameAddr {
            display: address.display.clone().filter(|_| name),
            ..NameAddr::new(self.written(&address.uri))
        };
        identity.asserted.iter().map(written).collect()
    }

    /// The same address, its number as the trunk wants it; a `tel:` URI is E.164 for everybody.
    fn written(&self, uri: &Uri) -> Uri {
        let (Some(user), Some(host)) = (uri.user_plain(), uri.host()) else { return uri.clone() };
        let written = self.settings.rules.numbers.written(&user);
        if written == user { self.as_phone(uri.clone()) } else { self.user_at(&written, host) }
    }

    /// The number or name of an address, in the domain that we have with this trunk.
    fn number_at(&self, uri: &Uri, host: &Host) -> Option<Uri> {
        let number = crate::bridge::routes::user_or_number(uri)?;
        let own = self.settings.from.as_ref().and_then(Uri::host);
        Some(self.user_at(&self.settings.rules.numbers.written(&number), own.unwrap_or(host)))
    }

    fn user_at(&self, user: &str, host: &Host) -> Uri {
        self.as_phone(Uri::sip(Some(user), host, None))
    }

    /// Says that the user part is a telephone number, where that is wanted and true.
    pub(super) fn as_phone(&self, uri: Uri) -> Uri {
        let is_number = uri.user_plain().is_some_and(|user| super::numbers::is_number(&user));
        if self.settings.rules.numbers.user_phone && is_number {
            uri.with_param("user", Some("phone"))
        } else {
            uri
        }
    }
}

/// Whether an address names nobody (RFC 3323 §4.1.1.3).
fn is_nobody(uri: &Uri) -> bool {
    uri.user().is_none() && uri.is_sip()
        || uri.user().is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
}

fn headers(
    asserted: impl IntoIterator<Item = NameAddr>,
    preferred: impl IntoIterator<Item = NameAddr>,
    privacy: &[&str],
) -> Vec<(String, String)> {
    let line = |name: Name, address: NameAddr| (name.to_string(), address.to_string());
    let asserted = asserted.into_iter().map(|address| line(Name::PAssertedIdentity, address));
    let preferred = preferred.into_iter().map(|address| line(Name::PPreferredIdentity, address));
    let privacy = (!privacy.is_empty()).then(|| (Name::Privacy.to_string(), privacy.join(";")));
    asserted.chain(preferred).chain(privacy).collect()
}
