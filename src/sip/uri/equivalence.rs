//! When two URIs mean the same: RFC 3261 §19.1.4.

use super::{SipParts, Uri, escaped};

/// Parameters that make a difference even where only one URI has them.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri {
    /// Compares as RFC 3261 §19.1.4 says; opaque URIs compare by text, their scheme without case.
    ///
    /// Costs the product of the two parameter counts.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self.sip_parts(), other.sip_parts()) {
            (Some(own), Some(theirs)) => {
                same_authority(self, own, other, theirs)
                    && params_agree(self, other)
                    && params_agree(other, self)
                    && headers_agree(self, other)
                    && headers_agree(other, self)
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

/// What `own` says is not contradicted by `other`.
fn params_agree(own: &Uri, other: &Uri) -> bool {
    own.params().all(|(name, value)| match other.param(&canonical(name)) {
        Some(theirs) => same(value.unwrap_or(""), theirs),
        None => !NEVER_IGNORED.iter().any(|never| same(never, name)),
    })
}

/// Headers are never ignored; their order is.
fn headers_agree(own: &Uri, other: &Uri) -> bool {
    own.raw_headers().all(|(name, value)| {
        other.raw_headers().any(|(their_name, their_value)| {
            same(name, their_name) && canonical(value) == canonical(their_value)
        })
    })
}

fn same(own: &str, other: &str) -> bool {
    own == other || canonical(own).eq_ignore_ascii_case(&canonical(other))
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
