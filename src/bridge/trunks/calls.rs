//! Calls through a trunk.

use api::model::{EarlyMedia, LegId};

use super::{Bridge, Reach, Trunk};
use crate::bridge::command::{Answer, invalid, no_such};
use crate::bridge::leg::Caller;
use crate::sip::endpoint::Target;
use crate::sip::headers::NameAddr;
use crate::sip::uri::Scheme;
use crate::sip::{Host, Uri};

/// How a call goes out through a trunk.
pub(in crate::bridge) struct Passage {
    pub(in crate::bridge) targets: Vec<Target>,
    pub(in crate::bridge) from: NameAddr,
    pub(in crate::bridge) account: Option<std::sync::Arc<crate::sip::digest::Account>>,
}

impl Bridge {
    /// The trunk of this name and what `to` is there: a number, a `tel:` or a `sip:` URI.
    pub(in crate::bridge) fn trunk_target(
        &mut self,
        name: &str,
        (pointer, to): (&str, &str),
    ) -> Answer<(usize, Uri)> {
        let index = self.trunks.iter().position(|trunk| trunk.settings.name == name);
        let index = index.ok_or_else(|| no_such("trunk", name))?;
        let user = dialled(to).ok_or_else(|| {
            let expected =
                "expected a number such as +4930123456, a tel: or a sip: URI with a user";
            invalid(pointer, format!("{expected}, found {to}"))
        })?;
        let legs = &self.legs;
        let Some(trunk) = self.trunks.get_mut(index) else { return Err(no_such("trunk", name)) };
        let prefixes = &trunk.settings.prefixes;
        if !prefixes.is_empty() && !prefixes.iter().any(|prefix| user.starts_with(prefix.as_str()))
        {
            let allowed = prefixes.join(", ");
            let detail =
                format!("this trunk may only call what begins with {allowed}; found {user}");
            return Err(invalid(pointer, detail));
        }
        trunk.legs.retain(|leg| legs.contains_key(leg));
        if trunk.legs.len() >= trunk.settings.max_calls {
            return Err(api::control::ControlError::Busy {
                detail: format!("trunk {name} has as many calls as it may; raise its max_calls"),
                retry_after_s: 10,
            });
        }
        let target = trunk.gateways.first().and_then(|gateway| called_at(&gateway.uri, &user));
        target.map(|target| (index, target)).ok_or_else(|| no_such("trunk", name))
    }

    /// Notes that a leg goes through a trunk.
    pub(in crate::bridge) fn note_trunk_leg(&mut self, index: usize, leg: LegId) {
        let legs = &self.legs;
        if let Some(trunk) = self.trunks.get_mut(index) {
            trunk.legs.retain(|leg| legs.contains_key(leg));
            trunk.legs.insert(leg);
        }
    }

    /// Whether a trunk may bring one call more.
    pub(in crate::bridge) fn trunk_has_line(&mut self, index: usize) -> bool {
        let legs = &self.legs;
        self.trunks.get_mut(index).is_none_or(|trunk| {
            trunk.legs.retain(|leg| legs.contains_key(leg));
            trunk.legs.len() < trunk.settings.max_calls
        })
    }

    /// Whether the early media of what goes through a trunk, or past them all, is heard.
    pub(in crate::bridge) fn early_media_of(&self, trunk: Option<usize>) -> EarlyMedia {
        let trunk = trunk.and_then(|index| self.trunks.get(index));
        trunk.map(|trunk| trunk.settings.early_media).unwrap_or_default()
    }

    /// Every gateway by which `target` is reached, those that are there first, and who we are to them.
    pub(in crate::bridge) fn passage(
        &self,
        index: usize,
        target: &Uri,
        from: &Caller,
    ) -> Option<Passage> {
        let trunk = self.trunks.get(index)?;
        let user = target.user_plain()?;
        let mut gateways: Vec<_> = trunk.gateways.iter().collect();
        gateways.sort_by_key(|gateway| matches!(gateway.reach, Reach::No(_)));
        let targets: Vec<Target> = gateways
            .iter()
            .filter_map(|gateway| called_at(&gateway.uri, &user).map(Target::from))
            .collect();
        let host = targets.first()?.uri.host()?.clone();
        let from = NameAddr::new(trunk.caller(&host, from));
        Some(Passage { targets, from, account: trunk.settings.account.clone() })
    }
}

impl Trunk {
    /// Carriers know callers by names or numbers of their own domain.
    fn caller(&self, host: &Host, from: &Caller) -> Uri {
        let account = self.settings.account.as_ref().map(|account| account.username.as_str());
        match from {
            Caller::Uri(uri) => uri.clone(),
            Caller::User(user) => Uri::sip(Some(user), host, None),
            Caller::Unsaid(name) => match (&self.settings.from, account) {
                (Some(from), _) => from.clone(),
                (None, Some(account)) => Uri::sip(Some(account), host, None),
                (None, None) => Uri::sip(Some(name), host, None),
            },
        }
    }
}

/// This user at a gateway, by the gateway's transport.
fn called_at(gateway: &Uri, user: &str) -> Option<Uri> {
    let uri = Uri::sip(Some(user), gateway.host()?, gateway.port());
    let transport = gateway.param("transport");
    Some(match transport {
        Some(transport) => uri.with_param("transport", Some(transport)),
        None => uri,
    })
}

/// The user part that a trunk is to be given: of a number without its visual separators (RFC 3966 §5.1.1).
fn dialled(to: &str) -> Option<String> {
    let uri = to.contains(':').then(|| Uri::parse(to.as_bytes()).ok());
    let number = match uri {
        Some(uri) => {
            let uri = uri?;
            match uri.scheme() {
                Scheme::Sip | Scheme::Sips => {
                    return uri.user_plain().map(std::borrow::Cow::into_owned);
                }
                Scheme::Tel => uri.after_scheme().split(';').next()?.to_owned(),
                Scheme::Other => return None,
            }
        }
        None => to.to_owned(),
    };
    let number: String = number.chars().filter(|letter| !"-.() ".contains(*letter)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_number = !digits.is_empty()
        && digits.chars().all(|digit| digit.is_ascii_digit() || "*#".contains(digit));
    (is_number && number.len() <= 40).then_some(number)
}
