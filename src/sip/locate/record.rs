//! What DNS is asked for a SIP server, and what it says.

use std::net::IpAddr;

/// What DNS is asked.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Question {
    /// The services of a domain (NAPTR, RFC 3403).
    Services(String),
    /// The servers of a service, such as `_sip._udp.example.com` (SRV, RFC 2782).
    Servers(String),
    /// The addresses of a host (A and AAAA).
    Addresses(String),
}

impl Question {
    /// The name that is asked about.
    pub fn name(&self) -> &str {
        match self {
            Self::Services(name) | Self::Servers(name) | Self::Addresses(name) => name,
        }
    }
}

/// What DNS says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To [`Question::Services`].
    Services(Vec<Naptr>),
    /// To [`Question::Servers`].
    Servers(Vec<Srv>),
    /// To [`Question::Addresses`], those to be tried first standing first.
    Addresses(Vec<IpAddr>),
    /// There are no such records, or no server knows.
    Nothing,
    /// No server answered in time, or it was not asked: there is too much to ask.
    Silence,
}

/// A service of a domain: RFC 3403 §4.1, as far as SIP uses it (RFC 3263 §4.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Naptr {
    /// The lowest is used first, before any preference counts.
    pub order: u16,
    /// Within an order the lowest is used first.
    pub preference: u16,
    /// `s`: the replacement has SRV records; `a`: it is a host.
    pub flags: String,
    /// Such as `SIP+D2U`.
    pub service: String,
    /// Where to go on.
    pub replacement: String,
}

/// A server of a service: RFC 2782.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Srv {
    /// The lowest is used first.
    pub priority: u16,
    /// Its share of those with the same priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name; `.` says that there is no such service.
    pub target: String,
}
