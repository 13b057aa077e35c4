//! What SIP says about transports, without any: where responses go (RFC 3261 §18.2, RFC 3581),
//! and where messages begin and end in a stream (§18.3).

mod framer;

use std::fmt;
use std::net::SocketAddr;

use super::headers::{FieldError, Headers, Name, Via};
use super::uri::{Host, Scheme, Uri};

pub use framer::{Frame, Framer};

/// How bytes travel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// Frames of a WebSocket (RFC 7118).
    Ws,
    /// Frames of a WebSocket inside TLS.
    Wss,
}

/// Why a connection was not taken, or not kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Refusal {
    /// There are as many as there may be.
    Limit,
    /// There are as many from this network as there may be.
    Source,
    /// It did not get as far as TLS, or not in time.
    Handshake,
    /// It asked for no WebSocket that speaks SIP, or may not have one.
    Upgrade,
    /// What came on it was no SIP, or too large.
    Garbage,
    /// A message had begun and did not end in time.
    Slow,
}

impl Refusal {
    /// As a label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Source => "source",
            Self::Handshake => "handshake",
            Self::Upgrade => "upgrade",
            Self::Garbage => "garbage",
            Self::Slow => "slow",
        }
    }
}

/// Where a response over UDP goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResponseTarget {
    /// To this address.
    Address(SocketAddr),
    /// To a name that must be resolved first: only a `maddr` leads here.
    Name {
        /// The name.
        host: Host,
        /// The port.
        port: u16,
    },
}

impl Transport {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// As it stands in a Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Reads what stands in a Via.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
        all.into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// True if nothing needs to be sent twice.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// True if the far side alone can open the way (RFC 7118 §5).
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// True if nobody on the way can read along.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port where none is written: RFC 3261 §19.1.2, RFC 7118 §5.1.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// How a request to this URI travels; `None` if we cannot go there.
    ///
    /// `sips` is never sent without TLS (RFC 3261 §26.2.2); `transport=tls` is old but what phones write.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let name = uri.param("transport").map(str::to_ascii_lowercase);
        match (uri.scheme(), name.as_deref()) {
            (Scheme::Sip, None | Some("udp")) => Some(Self::Udp),
            (Scheme::Sip, Some("tcp")) => Some(Self::Tcp),
            (Scheme::Sips, None | Some("tcp")) | (Scheme::Sip | Scheme::Sips, Some("tls")) => {
                Some(Self::Tls)
            }
            (Scheme::Sip, Some("ws")) => Some(Self::Ws),
            (Scheme::Sips, Some("ws")) | (Scheme::Sip | Scheme::Sips, Some("wss")) => {
                Some(Self::Wss)
            }
            (Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Other, _) => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Notes in the top Via where the message came from: RFC 3261 §18.2.1, RFC 3581 §4.
///
/// `received` is added if sent-by is another address, or a name, or if `rport` is asked for.
///
/// # Errors
/// If there is no Via or it is malformed; a message that was parsed has one.
pub fn note_source(headers: &mut Headers, source: SocketAddr) -> Result<(), FieldError> {
    let mut via = headers.via()?;
    let address = source.ip().to_canonical();
    let is_named = via.host.address().map(|host| host.to_canonical()) == Some(address);
    let wants_rport = via.wants_rport();
    if wants_rport {
        via.params.set("rport", Some(&source.port().to_string()));
    }
    // A `received` that the client itself wrote must not lead anywhere.
    if is_named && !wants_rport && !via.params.contains("received") {
        return Ok(());
    }
    via.params.set("received", Some(&address.to_string()));
    headers.replace_first_item(&Name::Via, &via.to_string());
    Ok(())
}

/// Where the response with this top Via goes over UDP: RFC 3261 §18.2.2, RFC 3581 §4.
///
/// Over TCP it goes back on the connection of the request; this is where to connect if that is gone.
/// `source` is where the request came from; [`note_source`] has seen the Via.
pub fn response_target(via: &Via, source: SocketAddr) -> ResponseTarget {
    let port = via.port.unwrap_or(Transport::Udp.default_port());
    match via.maddr() {
        Some(Host::Address(address)) => ResponseTarget::Address((address, port).into()),
        Some(host @ Host::Name(_)) => ResponseTarget::Name { host, port },
        None if via.wants_rport() => ResponseTarget::Address(source),
        None => ResponseTarget::Address((source.ip(), port).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rport_and_received_say_where_the_request_came_from() {
        let cases = [
            ("h", "h;received=192.0.2.9"),
            ("192.0.2.9:5070", "192.0.2.9:5070"),
            ("192.0.2.9;rport;x=y", "192.0.2.9;rport=4000;x=y;received=192.0.2.9"),
            ("10.0.0.1;rport", "10.0.0.1;rport=4000;received=192.0.2.9"),
            ("192.0.2.9;received=10.0.0.1", "192.0.2.9;received=192.0.2.9"),
        ];

        for (sent, noted) in cases {
            assert_eq!(note(sent), format!("SIP/2.0/UDP {noted}, SIP/2.0/TCP other"));
        }
    }

    #[test]
    fn responses_go_to_source_sent_by_port_or_maddr() {
        let cases = [
            ("h:5070;rport", "192.0.2.9:4000"),
            ("h:5070", "192.0.2.9:5070"),
            ("h", "192.0.2.9:5060"),
            ("h:7;maddr=224.0.0.1", "224.0.0.1:7"),
        ];

        for (sent, target) in cases {
            let via = Via::parse(format!("SIP/2.0/UDP {sent}").as_bytes()).unwrap();
            let address = ResponseTarget::Address(target.parse().unwrap());
            assert_eq!(response_target(&via, source()), address);
        }
    }

    #[test]
    fn a_uri_says_how_to_go_there() {
        let cases = [
            ("sip:h", Some(Transport::Udp)),
            ("sip:h;transport=TCP", Some(Transport::Tcp)),
            ("sip:h;transport=tls", Some(Transport::Tls)),
            ("sips:h", Some(Transport::Tls)),
            ("sips:h;transport=tcp", Some(Transport::Tls)),
            ("sip:h;transport=ws", Some(Transport::Ws)),
            ("sips:h;transport=ws", Some(Transport::Wss)),
            ("sips:h;transport=udp", None),
            ("sip:h;transport=sctp", None),
            ("tel:1", None),
        ];

        for (uri, transport) in cases {
            assert_eq!(Transport::of_uri(&Uri::parse(uri.as_bytes()).unwrap()), transport, "{uri}");
        }
    }

    fn note(sent: &str) -> String {
        let mut headers = Headers::new();
        headers.push(Name::Via, format!("SIP/2.0/UDP {sent}, SIP/2.0/TCP other"));
        note_source(&mut headers, source()).unwrap();
        String::from_utf8(headers.first(&Name::Via).unwrap().to_vec()).unwrap()
    }

    fn source() -> SocketAddr {
        "192.0.2.9:4000".parse().unwrap()
    }
}
