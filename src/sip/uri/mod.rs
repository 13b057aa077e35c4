//! URIs: `sip:` and `sips:` (RFC 3261 §19.1) taken apart, every other scheme kept opaque.

mod equivalence;
mod host;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::sip::scan;

pub use host::Host;
pub(crate) use host::split_host_port;

/// A URI and its exact text: what is not changed prints as it was read.
///
/// `==` compares the text; [`Uri::is_equivalent`] compares as RFC 3261 §19.1.4 says.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Uri {
    text: String,
    parts: Parts,
}

/// Which kind of URI it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, such as `urn:`.
    Other,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a URI, found {0}")]
pub struct UriError(&'static str);

/// Where the parts stand in the text.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Parts {
    Sip(Box<SipParts>),
    Opaque { scheme_end: usize },
}

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct SipParts {
    secure: bool,
    user: Option<Span>,
    password: Option<Span>,
    host: Host,
    port: Option<u16>,
    /// Ends where the parameters start.
    authority_end: usize,
    /// Without the first `;`.
    params: Span,
    /// Without the `?`.
    headers: Option<Span>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Span(usize, usize);

impl Uri {
    /// Reads a URI that fills `bytes`.
    ///
    /// Bytes that are not UTF-8 are percent-escaped, which names the same octets.
    ///
    /// # Errors
    /// [`UriError`] says what stands where a URI should be.
    pub fn parse(bytes: &[u8]) -> Result<Self, UriError> {
        let (text, parts) = read(bytes)?;
        Ok(Self { text: text.into_owned(), parts })
    }

    /// Finds the errors of [`Self::parse`] without keeping the text.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), UriError> {
        read(bytes).map(drop)
    }

    /// Makes `sip:user@host:port`, escaping what a user part may not hold.
    ///
    /// # Panics
    /// If `host` is a [`Host::Name`] that [`Host::parse`] would not have made.
    pub fn sip(user: Option<&str>, host: &Host, port: Option<u16>) -> Self {
        let mut text = String::from("sip:");
        if let Some(user) = user {
            escape_user(user, &mut text);
            text.push('@');
        }
        text.push_str(&host.to_string());
        if let Some(port) = port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        Self::parse(text.as_bytes()).expect("escaped parts make a URI")
    }

    /// The exact text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which kind of URI it is.
    pub fn scheme(&self) -> Scheme {
        match &self.parts {
            Parts::Sip(parts) if parts.secure => Scheme::Sips,
            Parts::Sip(_) => Scheme::Sip,
            Parts::Opaque { scheme_end }
                if self.text[..*scheme_end].eq_ignore_ascii_case("tel") =>
            {
                Scheme::Tel
            }
            Parts::Opaque { .. } => Scheme::Other,
        }
    }

    /// What follows the scheme and its colon.
    pub fn after_scheme(&self) -> &str {
        match &self.parts {
            Parts::Sip(parts) => &self.text[if parts.secure { 5 } else { 4 }..],
            Parts::Opaque { scheme_end } => &self.text[scheme_end + 1..],
        }
    }

    /// True for `sip:` and `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.parts, Parts::Sip(_))
    }

    /// The user part as written, escapes and all.
    pub fn user(&self) -> Option<&str> {
        self.sip_parts()?.user.map(|span| self.slice(span))
    }

    /// The user part in plain letters: what a person would call this user.
    pub fn user_plain(&self) -> Option<Cow<'_, str>> {
        self.user().map(unescape)
    }

    /// The password as written; RFC 3261 §19.1.1 advises against its use.
    pub fn password(&self) -> Option<&str> {
        self.sip_parts()?.password.map(|span| self.slice(span))
    }

    /// The host; `None` unless the scheme is `sip` or `sips`.
    pub fn host(&self) -> Option<&Host> {
        self.sip_parts().map(|parts| &parts.host)
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.sip_parts()?.port
    }

    /// The URI parameters in order, as written: name, and value if there is one.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let params = self.sip_parts().map_or("", |parts| self.slice(parts.params));
        params.split(';').filter(|param| !param.is_empty()).map(name_and_value)
    }

    /// The value of a URI parameter, `""` if it has none; the name's case and escapes do not matter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(own, _)| is_named(own, name)).map(|(_, value)| value.unwrap_or(""))
    }

    /// The headers after `?`, unescaped: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.raw_headers().map(|(name, value)| (unescape(name), unescape(value)))
    }

    /// True if headers follow the parameters, as in `sip:a@h?Replaces=…`.
    pub fn has_headers(&self) -> bool {
        self.sip_parts().is_some_and(|parts| parts.headers.is_some())
    }

    /// The same URI with this parameter, in place of any of that name. Opaque URIs stay as they are.
    ///
    /// # Panics
    /// If `name` or `value` holds what a parameter may not: they are ours, not a peer's.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Self {
        let without = self.without_param(name);
        let Parts::Sip(parts) = &without.parts else { return without };
        let at = parts.params.1.max(parts.authority_end);
        let value = value.map(|value| format!("={value}")).unwrap_or_default();
        let text = format!("{};{name}{value}{}", &without.text[..at], &without.text[at..]);
        Self::parse(text.as_bytes()).expect("the caller gives a parameter name and value")
    }

    /// The same URI without this parameter.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "parts of a URI make a URI")]
    pub fn without_param(&self, name: &str) -> Self {
        let Parts::Sip(parts) = &self.parts else { return self.clone() };
        if self.param(name).is_none() {
            return self.clone();
        }
        let mut text = self.text[..parts.authority_end].to_owned();
        for (own, value) in self.params().filter(|(own, _)| !is_named(own, name)) {
            text.push(';');
            text.push_str(own);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        if let Some(headers) = parts.headers {
            text.push('?');
            text.push_str(self.slice(headers));
        }
        Self::parse(text.as_bytes()).expect("parts of a URI make a URI")
    }

    /// The same URI without its headers: what a request to it carries (RFC 3261 §19.1.5).
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the start of a URI is a URI")]
    pub fn without_headers(&self) -> Self {
        let Parts::Sip(parts) = &self.parts else { return self.clone() };
        let end = parts.headers.map_or(self.text.len(), |headers| headers.0 - 1);
        Self::parse(&self.text.as_bytes()[..end]).expect("the start of a URI is a URI")
    }

    /// The same URI with one more header, escaped (RFC 3261 §19.1.1). Opaque URIs stay as they are.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "escaped parts make a URI")]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let Parts::Sip(parts) = &self.parts else { return self.clone() };
        let mut text = self.text.clone();
        match parts.headers {
            None => text.push('?'),
            Some(headers) if headers.0 == headers.1 => {}
            Some(_) => text.push('&'),
        }
        escape_header(name, &mut text);
        text.push('=');
        escape_header(value, &mut text);
        Self::parse(text.as_bytes()).expect("escaped parts make a URI")
    }

    fn sip_parts(&self) -> Option<&SipParts> {
        match &self.parts {
            Parts::Sip(parts) => Some(parts),
            Parts::Opaque { .. } => None,
        }
    }

    fn raw_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.sip_parts().and_then(|parts| parts.headers);
        let headers = headers.map_or("", |span| self.slice(span));
        headers.split('&').filter(|header| !header.is_empty()).map(|header| {
            let (name, value) = name_and_value(header);
            (name, value.unwrap_or(""))
        })
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[Range::from(span)]
    }
}

impl Parts {
    fn parse(text: &str) -> Result<Self, UriError> {
        let scheme_end = text.find(':').ok_or(UriError("no scheme"))?;
        let scheme = &text[..scheme_end];
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return Ok(Self::Sip(Box::new(SipParts::parse(text, scheme_end)?)));
        }
        let is_scheme = scheme.starts_with(|char: char| char.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(UriError("no scheme"));
        }
        if scheme_end + 1 == text.len() {
            return Err(UriError("nothing after the scheme"));
        }
        Ok(Self::Opaque { scheme_end })
    }
}

impl SipParts {
    fn parse(text: &str, scheme_end: usize) -> Result<Self, UriError> {
        let start = scheme_end + 1;
        // The first @ ends the user part, whatever comes before it: `;` and `?` are legal there.
        let host_start = text[start..].find('@').map_or(start, |at| start + at + 1);
        let user_end = host_start.saturating_sub(1).max(start);
        let (user, password) = match text[start..user_end].find(':') {
            _ if user_end == start => (None, None),
            Some(colon) => {
                (Some(Span(start, start + colon)), Some(Span(start + colon + 1, user_end)))
            }
            None => (Some(Span(start, user_end)), None),
        };
        let authority_end =
            text[host_start..].find([';', '?']).map_or(text.len(), |at| host_start + at);
        let (host, port) = split_host_port(&text.as_bytes()[host_start..authority_end])
            .ok_or(UriError("no host or a bad port"))?;
        let question = text[authority_end..].find('?').map(|at| authority_end + at);
        let params_end = question.unwrap_or(text.len());
        Ok(Self {
            secure: scheme_end == 4,
            user,
            password,
            host,
            port,
            authority_end,
            params: Span((authority_end + 1).min(params_end), params_end),
            headers: question.map(|at| Span(at + 1, text.len())),
        })
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.0..span.1
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", self.text)
    }
}

fn read(bytes: &[u8]) -> Result<(Cow<'_, str>, Parts), UriError> {
    let is_bad = |byte: &u8| *byte <= b' ' || matches!(byte, 0x7f | b'<' | b'>' | b'"');
    if bytes.iter().any(is_bad) {
        return Err(UriError("a blank, a control character, a bracket or a quote"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(escape_high(bytes)),
    };
    let parts = Parts::parse(&text)?;
    Ok((text, parts))
}

fn name_and_value(param: &str) -> (&str, Option<&str>) {
    match param.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (param, None),
    }
}

fn is_named(own: &str, name: &str) -> bool {
    own.eq_ignore_ascii_case(name) || own.contains('%') && unescape(own).eq_ignore_ascii_case(name)
}

/// Takes `%HH` out; what is not UTF-8 then reads as Latin-1.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let (byte, next) = escaped(bytes).map_or((*first, rest), |byte| (byte, &bytes[3..]));
        plain.push(byte);
        bytes = next;
    }
    Cow::Owned(scan::text(&plain).into_owned())
}

/// The octet that `bytes` starts with in `%HH` form.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn escape_high(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for &byte in bytes {
        if byte.is_ascii() { text.push(char::from(byte)) } else { push_escaped(byte, &mut text) }
    }
    text
}

/// RFC 3261 §25.1, `user`: unreserved, escaped and user-unreserved.
fn escape_user(user: &str, text: &mut String) {
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            push_escaped(byte, text);
        }
    }
}

/// RFC 3261 §25.1, `hname` and `hvalue`: unreserved and hnv-unreserved.
fn escape_header(part: &str, text: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte) {
            text.push(char::from(byte));
        } else {
            push_escaped(byte, text);
        }
    }
}

fn push_escaped(byte: u8, text: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(HEX[usize::from(byte >> 4)]));
    text.push(char::from(HEX[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests;
