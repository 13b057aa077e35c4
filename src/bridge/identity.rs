//! Who calls, and who may know it: P-Asserted-Identity and P-Preferred-Identity (RFC 3325), Privacy (RFC 3323).
//!
//! A trunk that is trusted is believed what it asserts, and is told what we know. Nobody else is: what others assert is dropped, and
//! what was asserted stays here. Who wants to be hidden is `anonymous@anonymous.invalid` to everybody but a trusted trunk.

use crate::sip::endpoint::Invited;
use crate::sip::headers::{Name, NameAddr};
use crate::sip::{Host, Message, Uri};

use super::leg::Privacy;

/// A caller, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// What it says of itself: From without its parameters.
    pub(super) from: NameAddr,
    /// What somebody whom we believe says of it: at most one `sip:` and one `tel:` URI (RFC 3325 §9.1).
    pub(super) asserted: Vec<NameAddr>,
    /// Whether we know it ourselves, by its password.
    pub(super) is_proven: bool,
    /// What its Privacy asks for, in tokens that we know; empty: nothing.
    pub(super) privacy: Vec<&'static str>,
}

/// Where a caller calls from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A trunk that is believed.
    Trusted,
    /// A user of ours, who has given its password.
    User(&'a str),
    /// Anybody.
    Anybody,
}

impl Identity {
    pub(super) fn of(invited: &Invited, source: Source<'_>) -> Self {
        let mut from = without_params(invited.from.clone());
        let asserted = match source {
            Source::Trusted => asserted(&invited.request),
            Source::User(_) | Source::Anybody => Vec::new(),
        };
        if let Source::User(user) = source
            && from.display.is_none()
        {
            from.display = preferred_name(&invited.request, user);
        }
        let is_proven = matches!(source, Source::User(_));
        Self { from, asserted, is_proven, privacy: wishes(&invited.request) }
    }

    /// Somebody who says no more than this.
    pub(super) fn said(uri: Uri) -> Self {
        Self {
            from: NameAddr::new(uri),
            asserted: Vec::new(),
            is_proven: false,
            privacy: Vec::new(),
        }
    }

    /// Who it is: what is asserted counts more than what it says.
    pub(super) fn known(&self) -> &NameAddr {
        self.asserted.first().unwrap_or(&self.from)
    }

    /// The name to show for it, asserted or not.
    pub(super) fn display(&self) -> Option<&String> {
        self.known().display.as_ref().or(self.from.display.as_ref())
    }

    /// Whether it is to be hidden from whoever is not trusted.
    pub(super) fn is_hidden(&self) -> bool {
        self.privacy.iter().any(|token| HIDING.contains(token)) || is_anonymous(&self.from.uri)
    }

    pub(super) fn privacy(&self) -> Privacy {
        if self.is_hidden() { Privacy::Hidden } else { Privacy::Shown }
    }

    /// Rewrites the user part of every address.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for address in self.asserted.iter_mut().chain([&mut self.from]) {
            let number = super::routes::user_or_number(&address.uri);
            let Some(written) = number.as_deref().and_then(&rewrite) else { continue };
            address.uri = match address.uri.host() {
                Some(host) => Uri::sip(Some(&written), host, address.uri.port()),
                None => match Uri::parse(format!("tel:{written}").as_bytes()) {
                    Ok(uri) => uri,
                    Err(_) => continue,
                },
            };
        }
    }

    /// The From of a call to somebody who is not trusted, by no rules of a trunk.
    pub(super) fn shown(&self) -> NameAddr {
        if self.is_hidden() { anonymous() } else { self.from.clone() }
    }
}

/// RFC 3323 §4.1.1.3.
pub(super) fn anonymous() -> NameAddr {
    let host = Host::Name("anonymous.invalid".into());
    NameAddr::new(Uri::sip(Some("anonymous"), &host, None)).with_display("Anonymous")
}

fn is_anonymous(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host.to_string().eq_ignore_ascii_case("anonymous.invalid"))
}

fn asserted(request: &Message) -> Vec<NameAddr> {
    let mut found: Vec<NameAddr> = Vec::new();
    for address in request.headers.addresses(&Name::PAssertedIdentity).filter_map(Result::ok) {
        let is_new = found.iter().all(|other| other.uri.is_sip() != address.uri.is_sip());
        if is_new && super::routes::user_or_number(&address.uri).is_some() {
            found.push(without_params(address));
        }
    }
    found.sort_by_key(|address| !address.uri.is_sip());
    found
}

/// The name that a user prefers for its own identity (RFC 3325 §9.2): another identity is not its to prefer.
fn preferred_name(request: &Message, user: &str) -> Option<String> {
    let mut preferred = request.headers.addresses(&Name::PPreferredIdentity).filter_map(Result::ok);
    preferred.find(|address| address.uri.user_plain().is_some_and(|own| own == user))?.display
}

fn without_params(address: NameAddr) -> NameAddr {
    let NameAddr { display, uri, .. } = address;
    NameAddr { display, ..NameAddr::new(uri.without_headers()) }
}

/// The tokens of Privacy; what we do not know is not passed on.
fn wishes(request: &Message) -> Vec<&'static str> {
    let mut found = Vec::new();
    for value in request.headers.items(&Name::Privacy) {
        for said in value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            let known = TOKENS.iter().find(|token| said.eq_ignore_ascii_case(token.as_bytes()));
            if let Some(known) = known
                && !found.contains(known)
            {
                found.push(*known);
            }
        }
    }
    found
}

/// RFC 3323 §4.2, RFC 3325 §9.3.
const TOKENS: [&str; 6] = ["header", "session", "user", "id", "none", "critical"];
/// Those that hide who calls.
const HIDING: [&str; 3] = ["id", "user", "header"];

#[cfg(test)]
mod tests;
