//! The host of a URI or a Via: a name or an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sip::scan;

/// A host name as written, or an address. Names compare without regard to case.
#[derive(Clone, Debug)]
pub enum Host {
    /// A domain name.
    Name(Box<str>),
    /// An address; IPv6 prints in brackets.
    Address(IpAddr),
}

impl Host {
    /// Reads `host`, `192.0.2.1`, `[2001:db8::1]`, or an IPv6 address that lost its brackets.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let [b'[', inner @ .., b']'] = bytes {
            return ipv6(inner).map(|address| Self::Address(address.into()));
        }
        if memchr::memchr(b':', bytes).is_some() {
            return ipv6(bytes).map(|address| Self::Address(address.into()));
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if text.starts_with(|char: char| char.is_ascii_digit())
            && let Ok(address) = text.parse::<Ipv4Addr>()
        {
            return Some(Self::Address(address.into()));
        }
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        (is_name && !text.is_empty()).then(|| Self::Name(text.into()))
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Host {}

impl PartialOrd for Host {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Host {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Name(own), Self::Name(other)) => lower(own).cmp(lower(other)),
            (Self::Address(own), Self::Address(other)) => own.cmp(other),
            (Self::Name(_), Self::Address(_)) => std::cmp::Ordering::Less,
            (Self::Address(_), Self::Name(_)) => std::cmp::Ordering::Greater,
        }
    }
}

impl std::hash::Hash for Host {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Name(name) => lower(name).for_each(|byte| state.write_u8(byte)),
            Self::Address(address) => address.hash(state),
        }
    }
}

/// Reads `host[:port]`; an IPv6 host stands in brackets here, or its last group would be a port.
pub(crate) fn split_host_port(bytes: &[u8]) -> Option<(Host, Option<u16>)> {
    let host_end = match bytes {
        [b'[', ..] => memchr::memchr(b']', bytes)? + 1,
        _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
    };
    let (host, rest) = bytes.split_at(host_end);
    let host = Host::parse(scan::trim(host))?;
    match scan::trim(rest) {
        [] => Some((host, None)),
        [b':', port @ ..] => {
            let port = scan::number(scan::trim(port))?;
            Some((host, Some(u16::try_from(port).ok()?)))
        }
        _ => None,
    }
}

/// RFC 5118 §4.10: the grammar of RFC 3261 lets three colons slip in before an IPv4 tail.
fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse().or_else(|_| text.replacen(":::", "::", 1).parse()).ok()
}

fn lower(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| byte.to_ascii_lowercase())
}
