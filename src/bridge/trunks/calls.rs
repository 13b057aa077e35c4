//! Calls through a trunk.

use std::time::{Duration, Instant};

use api::model::EarlyMedia;

use super::present::Presented;
use super::{Bridge, Reach, Trunk, choose};
use crate::bridge::command::{Answer, invalid, no_such};
use crate::bridge::identity::Identity;
use crate::bridge::leg::{Caller, Dial};
use crate::bridge::limits::{Limit, Reached, Scope};
use crate::bridge::room::Refusal;
use crate::sip::endpoint::Target;
use crate::sip::headers::NameAddr;
use crate::sip::uri::{Scheme, Uri};

/// How a call goes out through a trunk.
pub(in crate::bridge) struct Passage {
    pub(in crate::bridge) targets: Vec<Target>,
    pub(in crate::bridge) from: NameAddr,
    pub(in crate::bridge) account: Option<std::sync::Arc<crate::sip::digest::Account>>,
    pub(in crate::bridge) headers: Vec<(String, String)>,
}

impl Bridge {
    /// The trunk of this name and what `to` is there: a number, a `tel:` or a `sip:` URI.
    pub(in crate::bridge) fn trunk_target(
        &mut self,
        name: &str,
        (pointer, to): (&str, &str),
    ) -> Answer<(usize, Uri)> {
        let index = self.trunk_named(name).ok_or_else(|| no_such("trunk", name))?;
        let user = dialled(to).ok_or_else(|| {
            let expected =
                "expected a number such as +4930123456, a tel: or a sip: URI with a user";
            invalid(pointer, format!("{expected}, found {to}"))
        })?;
        let now = self.now;
        let Some(trunk) = self.trunks.get_mut(&index) else { return Err(no_such("trunk", name)) };
        let (prefixes, numbers) = (&trunk.settings.prefixes, &trunk.settings.rules.numbers);
        let normal = numbers.normal(&user);
        let user = numbers.written(&user);
        let is_allowed = |prefix: &String| normal.starts_with(prefix.as_str());
        if !prefixes.is_empty() && !prefixes.iter().any(is_allowed) {
            let allowed = prefixes.join(", ");
            let detail =
                format!("this trunk may only call what begins with {allowed}; found {normal}");
            let reached = Reached { to: Some(normal), ..reached(name, Limit::Prefixes) };
            self.limit_refused(&reached, None);
            return Err(invalid(pointer, detail));
        }
        if let Err(limit) = trunk.has_line(now) {
            let setting = limit.name();
            self.limit_refused(&reached(name, limit), None);
            return Err(api::control::ControlError::Busy {
                detail: format!("trunk {name} has as many calls as it may; raise its {setting}"),
                retry_after_s: limit.answer(Scope::Trunk).2.unwrap_or(1),
            });
        }
        let target =
            trunk.gateways.first().and_then(|gateway| trunk.called_at(&gateway.uri, &user));
        target.map(|target| (index, target)).ok_or_else(|| no_such("trunk", name))
    }

    /// How a number is known, how it would be written to a trunk, and the From beside it, for a caller of this name or number.
    pub(in crate::bridge) fn trunk_says(
        &self,
        index: usize,
        number: &str,
        from: &str,
    ) -> Option<(String, String, String)> {
        let trunk = self.trunks.get(&index)?;
        let numbers = &trunk.settings.rules.numbers;
        let user = dialled(number)?;
        let host = trunk.gateways.first()?.uri.host()?;
        let caller = Uri::sip(Some(from).filter(|from| !from.is_empty()), host, None);
        let caller = Caller::Routed(Box::new(Identity::said(caller)));
        let Presented { from, .. } = trunk.present(host, &caller);
        Some((numbers.normal(&user), numbers.written(&user), from.uri.to_string()))
    }

    /// Whether a trunk may bring one call more.
    pub(in crate::bridge) fn trunk_has_line(&mut self, index: usize) -> Result<(), Refusal> {
        let now = self.now;
        let Some(trunk) = self.trunks.get_mut(&index) else { return Ok(()) };
        let Err(limit) = trunk.has_line(now) else { return Ok(()) };
        let reached = reached(&trunk.settings.name, limit);
        self.limit_refused(&reached, None);
        Err(Refusal::Limited(limit, Scope::Trunk))
    }

    /// Whether the early media of what goes through a trunk, or past them all, is heard.
    pub(in crate::bridge) fn early_media_of(&self, trunk: Option<usize>) -> EarlyMedia {
        let trunk = trunk.and_then(|index| self.trunks.get(&index));
        trunk.map(|trunk| trunk.settings.early_media).unwrap_or_default()
    }

    /// How long a call through this trunk may last, zero for ever, and its name.
    pub(in crate::bridge) fn trunk_limit_of_duration(
        &self,
        index: usize,
    ) -> Option<(Duration, String)> {
        let settings = &self.trunks.get(&index)?.settings;
        Some((settings.limits.max_duration, settings.name.clone()))
    }

    /// Every gateway by which `dial` is reached, those that are there first, and what the INVITE says.
    pub(in crate::bridge) fn passage(&mut self, index: usize, dial: &Dial) -> Option<Passage> {
        let trunk = self.trunks.get(&index)?;
        let user = dial.target.user_plain()?;
        let turns: Vec<_> = trunk.gateways.iter().map(|one| (one.priority, one.weight)).collect();
        let turns = choose::order(&turns, &mut self.dice);
        let mut gateways: Vec<_> = turns.iter().map(|&at| &trunk.gateways[at]).collect();
        gateways.sort_by_key(|gateway| matches!(gateway.reach, Reach::No(_)));
        let targets: Vec<Target> = gateways
            .iter()
            .filter_map(|gateway| trunk.called_at(&gateway.uri, &user).map(Target::from))
            .collect();
        let host = targets.first()?.uri.host()?.clone();
        let Presented { from, headers: identity } = trunk.present(&host, &dial.from);
        let mut headers = dial.headers.clone();
        trunk.settings.rules.headers.apply(&mut headers);
        headers.extend(identity);
        Some(Passage { targets, from, account: trunk.settings.account.clone(), headers })
    }
}

impl Trunk {
    /// Whether it may have one call more, which then counts.
    fn has_line(&mut self, now: Instant) -> Result<(), Limit> {
        if self.legs.len() >= self.settings.max_calls {
            return Err(Limit::MaxCalls);
        }
        let is_slow = self.rate.as_mut().is_none_or(|rate| rate.take(now));
        if is_slow { Ok(()) } else { Err(Limit::CallsPerSecond) }
    }

    /// This user at a gateway, by the gateway's transport.
    fn called_at(&self, gateway: &Uri, user: &str) -> Option<Uri> {
        let uri = Uri::sip(Some(user), gateway.host()?, gateway.port());
        let transport = gateway.param("transport");
        let uri = match transport {
            Some(transport) => uri.with_param("transport", Some(transport)),
            None => uri,
        };
        Some(self.as_phone(uri))
    }
}

fn reached(name: &str, limit: Limit) -> Reached {
    Reached { limit, scope: Scope::Trunk, name: name.to_owned(), peer: None, to: None }
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
