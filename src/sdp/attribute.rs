//! Typed views of the lines a bridge needs; each is `None` where the line is absent or unreadable.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::sdp::session::{Line, Media, Session};

/// Who sends on a stream, as the describing side sees it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Direction {
    /// Both ways; the default.
    #[default]
    SendRecv,
    /// Only the describing side sends: it holds the other.
    SendOnly,
    /// Only the other side sends.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// Whether the describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side listens.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for Direction {
    /// The attribute's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address of a c-line or of `a=rtcp`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// An address; a multicast TTL is cut off, an IPv4-mapped IPv6 address is made IPv4.
    Address(IpAddr),
    /// Anything else.
    Name(String),
}

impl Host {
    /// Reads `IN IP4 192.0.2.1/127`: what the address says counts, not `IP4` or `IP6`.
    fn parse(value: &str) -> Option<Self> {
        let address = value.split_ascii_whitespace().nth(2)?;
        let address = address.split('/').next().unwrap_or(address);
        Some(match address.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(address.to_owned()),
        })
    }
}

/// The o-line (RFC 8866 §5.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Identifies the session together with the address.
    pub session_id: u64,
    /// Rises by one when the description changes.
    pub version: u64,
    /// Of the describing side, at that time.
    pub host: Host,
}

/// `a=rtpmap` (RFC 8866 §6.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RtpMap<'a> {
    /// Encoding name as written; compared without case.
    pub encoding: &'a str,
    /// Hz.
    pub clock_rate: u32,
    /// 1 unless written.
    pub channels: u8,
}

/// `a=rtcp` (RFC 3605).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RtcpAddress {
    /// Where RTCP is received.
    pub port: u16,
    /// The c-line's unless written.
    pub host: Option<Host>,
}

/// `a=fmtp` as `name=value` pairs split by semicolons.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fmtp<'a>(&'a str);

impl<'a> Fmtp<'a> {
    /// The value of a parameter, by its name without case.
    pub fn parameter(self, name: &str) -> Option<&'a str> {
        self.0.split(';').find_map(|parameter| {
            let (found, value) = parameter.split_once('=')?;
            found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// A parameter that is a number.
    pub fn number(self, name: &str) -> Option<u32> {
        self.parameter(name)?.parse().ok()
    }

    /// A parameter that is on when it is 1.
    pub fn flag(self, name: &str) -> bool {
        self.number(name) == Some(1)
    }
}

impl Session {
    /// The o-line.
    pub fn origin(&self) -> Option<Origin> {
        let (_, rest) = self.value('o')?.split_once(' ')?;
        let mut words = rest.split_ascii_whitespace();
        let session_id = words.next()?.parse().ok()?;
        let version = words.next()?.parse().ok()?;
        let (_, address) = rest.trim().split_once(' ')?.1.trim().split_once(' ')?;
        Some(Origin { session_id, version, host: Host::parse(address)? })
    }

    /// The session's c-line.
    pub fn connection(&self) -> Option<Host> {
        self.value('c').and_then(Host::parse)
    }

    /// Where sound is to go, as the first m-line of it says; `None` for a name, or for nowhere (0.0.0.0), as ICE writes it.
    pub fn audio_address(&self) -> Option<IpAddr> {
        let is_audio =
            |media: &&Media| media.kind().eq_ignore_ascii_case("audio") && media.port() != 0;
        let media = self.media().iter().find(is_audio)?;
        match media.connection().or_else(|| self.connection())? {
            Host::Address(address) if !address.is_unspecified() => Some(address.to_canonical()),
            Host::Address(_) | Host::Name(_) => None,
        }
    }

    /// The session's direction, for m-lines that have none of their own.
    pub fn direction(&self) -> Option<Direction> {
        direction(self.lines())
    }

    /// The mids of each group with these semantics (`BUNDLE`), RFC 5888.
    pub fn groups<'a>(&'a self, semantics: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
        self.attributes("group").filter_map(move |group| {
            let mut words = group.split_ascii_whitespace();
            words.next()?.eq_ignore_ascii_case(semantics).then(|| words.collect())
        })
    }
}

impl Media {
    /// The m-line's own c-line.
    pub fn connection(&self) -> Option<Host> {
        self.value('c').and_then(Host::parse)
    }

    /// The m-line's own direction.
    pub fn direction(&self) -> Option<Direction> {
        direction(self.lines())
    }

    /// What a payload type stands for. `opus/48000 2`, as some libraries write it, is read as `opus/48000/2`.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'_>> {
        let value = self.numbered("rtpmap", payload_type)?;
        let mut words = value.split(['/', ' ', '\t']).filter(|word| !word.is_empty());
        let encoding = words.next()?;
        let clock_rate = words.next()?.parse().ok()?;
        let channels = words.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
        Some(RtpMap { encoding, clock_rate, channels })
    }

    /// The parameters of a payload type; none if there is no such line.
    pub fn fmtp(&self, payload_type: u8) -> Fmtp<'_> {
        Fmtp(self.numbered("fmtp", payload_type).unwrap_or_default())
    }

    /// How long the packets should be that the describing side receives (RFC 8866 §6.4).
    pub fn ptime(&self) -> Option<Duration> {
        self.attributes("ptime").find_map(milliseconds)
    }

    /// How long they may be at most.
    pub fn maxptime(&self) -> Option<Duration> {
        self.attributes("maxptime").find_map(milliseconds)
    }

    /// Where RTCP is received, if not on the next port.
    pub fn rtcp(&self) -> Option<RtcpAddress> {
        let value = self.attributes("rtcp").next()?;
        let (port, address) = value.split_once(' ').unwrap_or((value, ""));
        Some(RtcpAddress { port: port.parse().ok()?, host: Host::parse(address) })
    }

    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes("rtcp-mux").next().is_some()
    }

    /// The m-line's name in groups (RFC 5888); `None` unless it is a visible word.
    pub fn mid(&self) -> Option<&str> {
        self.attributes("mid")
            .find(|mid| !mid.is_empty() && mid.bytes().all(|b| b.is_ascii_graphic()))
    }

    /// What follows `name:payload_type `.
    fn numbered<'a>(&'a self, name: &'a str, payload_type: u8) -> Option<&'a str> {
        self.attributes(name).find_map(|value| {
            let (number, rest) = value.split_once([' ', '\t'])?;
            (number.parse() == Ok(payload_type)).then_some(rest.trim())
        })
    }
}

fn direction(lines: &[Line]) -> Option<Direction> {
    lines.iter().filter_map(Line::attribute).find_map(|(name, _)| Direction::parse(name))
}

/// Whole or broken milliseconds (`20`, `20.0`); RFC 8866 allows the latter only for `maxptime` of some codecs.
fn milliseconds(value: &str) -> Option<Duration> {
    let value: f64 = value.parse().ok()?;
    (0.0 < value && value <= 10_000.0).then(|| Duration::from_secs_f64(value / 1_000.0))
}
