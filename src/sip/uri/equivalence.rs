//! When two URIs mean the same: RFC 3261 §19.1.4.

use std::collections::BTreeMap;

use super::{SipParts, Uri, escaped};

/// Parameters that make a difference even where only one URI has them.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri {
    /// Compares as RFC 3261 §19.1.4 says; opaque URIs compare by text, their scheme without case.
    ///
    /// A parameter that stands several times has all its values. Costs n·log n for n parameters and headers.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self.sip_parts(), other.sip_parts()) {
            (Some(own), Some(theirs)) => {
                same_authority(self, own, other, theirs)
                    && params_agree(&params(self), &params(other))
                    && headers(self) == headers(other)
            }
            (None, None) => {
                let scheme = |uri: &Self| uri.text.len() - uri.after_scheme().len();
                self.after_scheme() == other.after_scheme()
                    && self.text[..scheme(self)].eq_ignore_ascii_case(&other.text[..scheme(other)])
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

fn same_authority(own: &Uri, own_parts: &SipParts, other: &Uri, other_parts: &SipParts) -> bool {
    own_parts.secure == other_parts.secure
        && own_parts.host == other_parts.host
        && own_parts.port == other_parts.port
        && own.user().map(canonical) == other.user().map(canonical)
        && own.password().map(canonical) == other.password().map(canonical)
}

/// Values by name, both as they compare.
type Values = BTreeMap<String, Vec<String>>;

fn params(uri: &Uri) -> Values {
    collect(uri.params().map(|(name, value)| (folded(name), folded(value.unwrap_or("")))))
}

/// Header values keep their case: each header has its own rules.
fn headers(uri: &Uri) -> Values {
    collect(uri.raw_headers().map(|(name, value)| (folded(name), canonical(value))))
}

fn collect(pairs: impl Iterator<Item = (String, String)>) -> Values {
    let mut values = Values::new();
    for (name, value) in pairs {
        values.entry(name).or_default().push(value);
    }
    for values in values.values_mut() {
        values.sort_unstable();
    }
    values
}

/// What both have is the same; what one has alone may be ignored, but for some names.
fn params_agree(own: &Values, other: &Values) -> bool {
    let may_lack = |name: &String| !NEVER_IGNORED.contains(&name.as_str());
    own.iter().all(|(name, values)| {
        other.get(name).map_or_else(|| may_lack(name), |theirs| values == theirs)
    }) && other.keys().filter(|name| !own.contains_key(*name)).all(may_lack)
}

fn folded(text: &str) -> String {
    canonical(text).to_ascii_lowercase()
}

/// Undoes escapes, but for reserved characters, which mean something else when escaped.
fn canonical(text: &str) -> String {
    if text.is_ascii() && !text.contains('%') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let (byte, next) = escaped(bytes).map_or((*first, rest), |byte| (byte, &bytes[3..]));
        if !byte.is_ascii() || *first == b'%' && b";/?:@&=+$,%".contains(&byte) {
            super::push_escaped(byte, &mut plain);
        } else {
            plain.push(char::from(byte));
        }
        bytes = next;
    }
    plain
}
