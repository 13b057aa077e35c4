//! The small headers, one type each.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{FieldError, Params};
use crate::sip::method::Method;
use crate::sip::scan;

/// CSeq: RFC 3261 §20.16.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method of the request, or of the request that a response answers.
    pub method: Method,
}

/// Call-ID: any bytes without blanks, compared byte by byte (RFC 3261 §20.8).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(Bytes);

/// Max-Forwards: 0 to 255 hops (RFC 3261 §20.22).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MaxForwards(pub u8);

/// Content-Type: RFC 3261 §20.15.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContentType {
    /// Such as `application`, as written.
    pub kind: String,
    /// Such as `sdp`, as written.
    pub subtype: String,
    /// Such as `boundary`.
    pub params: Params,
}

/// RAck: names the provisional response that a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RAck {
    /// The RSeq of that response.
    pub response: u32,
    /// The CSeq of the request that it answered.
    pub cseq: CSeq,
}

/// Reason: why a request was sent (RFC 3326).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// `SIP` or `Q.850`.
    pub protocol: String,
    /// `cause`, `text` and others.
    pub params: Params,
}

/// Retry-After: RFC 3261 §20.33; comments are dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RetryAfter {
    /// How long to wait; a value too large for 32 bits of seconds is cut there.
    pub delay: Duration,
    /// `duration` and others.
    pub params: Params,
}

impl CSeq {
    /// The first number that is too large: RFC 3261 §8.1.1.5.
    pub const LIMIT: u32 = 1 << 31;

    /// Reads number and method.
    ///
    /// # Errors
    /// If the number is 2³¹ or more, or either part is malformed.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        Self::read(value)
            .ok_or_else(|| FieldError::invalid("a sequence number and a method", value))
    }

    fn read(value: &[u8]) -> Option<Self> {
        let value = scan::trim(value);
        let (number, method) = value.split_at(memchr::memchr3(b' ', b'\t', b'\n', value)?);
        let number = u32::try_from(scan::number(scan::trim(number))?).ok()?;
        let method = Method::parse(scan::trim(method))?;
        (number < Self::LIMIT).then_some(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl CallId {
    /// Checks that it is not empty and has no blanks.
    ///
    /// # Errors
    /// If it is empty or has blanks.
    pub fn new(value: impl Into<Bytes>) -> Result<Self, FieldError> {
        let value = value.into();
        if value.is_empty() || value.iter().any(u8::is_ascii_whitespace) {
            return Err(FieldError::invalid("a Call-ID without blanks", &value));
        }
        Ok(Self(value))
    }

    /// Reads a Call-ID, blanks around it not minded.
    ///
    /// # Errors
    /// If it is empty or has blanks.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        Self::new(Bytes::copy_from_slice(scan::trim(value)))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&scan::text(&self.0))
    }
}

impl MaxForwards {
    /// Reads 0 to 255; leading zeros are fine.
    ///
    /// # Errors
    /// If it is not such a number.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        scan::number(scan::trim(value))
            .and_then(|hops| u8::try_from(hops).ok())
            .map(Self)
            .ok_or_else(|| FieldError::invalid("a number of hops from 0 to 255", value))
    }
}

impl fmt::Display for MaxForwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ContentType {
    /// Reads type, subtype and parameters.
    ///
    /// # Errors
    /// If type or subtype are no tokens.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let invalid = || FieldError::invalid("a media type", value);
        let (media, params) = scan::cut(value, b';');
        let (kind, subtype) = scan::cut(media, b'/');
        let (kind, subtype) = (scan::trim(kind), scan::trim(subtype.ok_or_else(invalid)?));
        if !scan::is_token(kind) || !scan::is_token(subtype) {
            return Err(invalid());
        }
        Ok(Self {
            kind: scan::text(kind).into_owned(),
            subtype: scan::text(subtype).into_owned(),
            params: Params::parse(params.unwrap_or_default())?,
        })
    }

    /// True if this is that type, such as `application/sdp`, whatever the case and parameters.
    pub fn is(&self, media: &str) -> bool {
        media.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

impl RAck {
    /// Reads response number, sequence number and method.
    ///
    /// # Errors
    /// If a part is missing or malformed.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let value = scan::trim(value);
        let invalid = || FieldError::invalid("two numbers and a method", value);
        let blank = memchr::memchr3(b' ', b'\t', b'\n', value).ok_or_else(invalid)?;
        let response = scan::number(scan::trim(&value[..blank])).ok_or_else(invalid)?;
        let response = u32::try_from(response).map_err(|_| invalid())?;
        Ok(Self { response, cseq: CSeq::parse(&value[blank..])? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.response, self.cseq)
    }
}

impl Reason {
    /// A reason with a cause, and a text for people.
    pub fn new(protocol: &str, cause: u16, text: &str) -> Self {
        let mut params = Params::default();
        params.set("cause", Some(&cause.to_string()));
        params.set("text", Some(&scan::quote(text)));
        Self { protocol: protocol.to_owned(), params }
    }

    /// Reads one reason; the header may hold several, separated by commas.
    ///
    /// # Errors
    /// If the protocol is no token.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (protocol, params) = scan::cut(value, b';');
        let protocol = scan::trim(protocol);
        if !scan::is_token(protocol) {
            return Err(FieldError::invalid("a protocol", value));
        }
        let params = Params::parse(params.unwrap_or_default())?;
        Ok(Self { protocol: scan::text(protocol).into_owned(), params })
    }

    /// The cause, if there is one.
    pub fn cause(&self) -> Option<u16> {
        self.params.value("cause")?.parse().ok()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.protocol, self.params)
    }
}

impl RetryAfter {
    /// Reads the delay, in whole seconds on the wire.
    ///
    /// # Errors
    /// If it does not start with a number.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (seconds, params) = scan::cut(value, b';');
        let seconds = seconds.split(|&byte| byte == b'(').next().unwrap_or_default();
        let delay = delta_seconds(seconds)?;
        let params = Params::parse(params.unwrap_or_default())?;
        Ok(Self { delay, params })
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.delay.as_secs(), self.params)
    }
}

/// `delta-seconds` of RFC 3261 §25.1, cut at 32 bits.
pub(super) fn delta_seconds(value: &[u8]) -> Result<Duration, FieldError> {
    let seconds = scan::trim(value);
    if seconds.is_empty() || !seconds.iter().all(u8::is_ascii_digit) {
        return Err(FieldError::invalid("a number of seconds", value));
    }
    let seconds = scan::number(seconds).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
    Ok(Duration::from_secs(seconds))
}
