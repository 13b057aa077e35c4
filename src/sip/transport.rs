//! What SIP says about transports, without any: where responses go (RFC 3261 §18.2, RFC 3581),
//! and where messages begin and end in a stream (§18.3).

mod framer;

use std::fmt;
use std::net::SocketAddr;

use super::headers::{FieldError, Headers, Name, Via};
use super::uri::Host;

pub use framer::{Frame, Framer};

/// How bytes travel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
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
    /// As it stands in a Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// True if nothing needs to be sent twice.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
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
    let port = via.port.unwrap_or(DEFAULT_PORT);
    match via.maddr() {
        Some(Host::Address(address)) => ResponseTarget::Address((address, port).into()),
        Some(host @ Host::Name(_)) => ResponseTarget::Name { host, port },
        None if via.wants_rport() => ResponseTarget::Address(source),
        None => ResponseTarget::Address((source.ip(), port).into()),
    }
}

/// The port where none is written (RFC 3261 §19.1.2), for UDP and TCP.
pub const DEFAULT_PORT: u16 = 5060;

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
