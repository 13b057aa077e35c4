//! Via: the way a response goes back (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{FieldError, Params};
use crate::sip::scan;
use crate::sip::uri::{Host, split_host_port};

/// One Via value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Via {
    /// Protocol and version, such as `SIP/2.0`, without blanks.
    pub protocol: String,
    /// The transport as written, such as `UDP`.
    pub transport: String,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, `maddr` and others.
    pub params: Params,
}

impl Via {
    /// A Via of ours: `SIP/2.0/<transport> <sent_by>;rport;branch=<branch>`.
    pub fn new(transport: &str, sent_by: SocketAddr, branch: &str) -> Self {
        let mut params = Params::default();
        params.set("rport", None);
        params.set("branch", Some(branch));
        Self {
            protocol: "SIP/2.0".to_owned(),
            transport: transport.to_owned(),
            host: Host::Address(sent_by.ip()),
            port: Some(sent_by.port()),
            params,
        }
    }

    /// Reads one Via value. Blanks around the slashes and the colon are legal and ignored.
    ///
    /// # Errors
    /// If protocol, transport or host are missing or malformed.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        Self::read(value).ok_or_else(|| FieldError::invalid("a Via", value))
    }

    /// The branch, unless it is empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch if it is unique for its transaction: RFC 3261 §8.1.1.7 marks it by a cookie,
    /// which by itself (RFC 4475 §3.2.1) is no branch.
    pub fn unique_branch(&self) -> Option<&str> {
        self.branch().filter(|branch| {
            branch.len() > COOKIE.len()
                && branch.as_bytes()[..COOKIE.len()].eq_ignore_ascii_case(COOKIE)
        })
    }

    /// The address that the request came from, if a server noted it; brackets may be there or not.
    pub fn received(&self) -> Option<IpAddr> {
        Host::parse(self.params.value("received")?.as_bytes())?.address()
    }

    /// True if the client asks for the response at its source port (RFC 3581 §3).
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The source port, if a server noted it.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }

    /// Where the client asks for the response instead (RFC 3261 §18.1.1, multicast).
    pub fn maddr(&self) -> Option<Host> {
        Host::parse(self.params.value("maddr")?.as_bytes())
    }

    /// Finds the errors of [`Self::parse`] without keeping anything.
    pub(crate) fn check(value: &[u8]) -> Result<(), FieldError> {
        Slices::read(value)
            .filter(|via| Params::check(via.params).is_ok())
            .map(drop)
            .ok_or_else(|| FieldError::invalid("a Via", value))
    }

    fn read(value: &[u8]) -> Option<Self> {
        let Slices { name, version, transport, host, port, params } = Slices::read(value)?;
        Some(Self {
            protocol: format!("{}/{}", scan::text(name), scan::text(version)),
            transport: scan::text(transport).into_owned(),
            host,
            port,
            params: Params::parse(params).ok()?,
        })
    }
}

/// Where the parts of a Via stand.
struct Slices<'a> {
    name: &'a [u8],
    version: &'a [u8],
    transport: &'a [u8],
    host: Host,
    port: Option<u16>,
    params: &'a [u8],
}

impl<'a> Slices<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let (sent, params) = scan::cut(value, b';');
        let (name, sent) = sent.split_at(memchr::memchr(b'/', sent)?);
        let sent = &sent[1..];
        let (version, sent) = sent.split_at(memchr::memchr(b'/', sent)?);
        let sent = scan::trim(&sent[1..]);
        let (transport, sent_by) = sent.split_at(memchr::memchr3(b' ', b'\t', b'\n', sent)?);
        let [name, version, transport] = [name, version, transport].map(scan::trim);
        if ![name, version, transport].into_iter().all(scan::is_token) {
            return None;
        }
        let (host, port) = split_host_port(scan::trim(sent_by))?;
        Some(Self { name, version, transport, host, port, params: params.unwrap_or_default() })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.protocol, self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

/// RFC 3261 §8.1.1.7.
const COOKIE: &[u8] = b"z9hG4bK";
