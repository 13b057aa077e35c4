//! The way a dialog's messages really come, for peers that their Contact does not lead to.
//!
//! RFC 3261 §12.2.1.1 sends a request within a dialog to the Contact. A phone that calls over TCP
//! writes the port of its connection there, or none that listens (RFC 5923 says why); a phone behind
//! a NAT writes an address of its own network; a browser can only be reached at its WebSocket, and
//! writes a name that does not exist (RFC 7118 §5). One that knows its GRUU writes that (RFC 5627 §5.1),
//! which leads to its registrar: to us, or to the proxy that the messages come from. All are reached where
//! their messages come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Source;
use super::route::{Destination, NextHop};
use crate::sip::headers::Name;
use crate::sip::transport::Transport;
use crate::sip::{Host, Message};

/// Where the far side's last message in a dialog, or its registration, came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    destination: Destination,
    origin: Origin,
}

/// Who is at the other end of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// The far side itself: it sent a request that nobody else put a Via on.
    Peer,
    /// The far side or a proxy that left the dialog.
    Unknown,
    /// The far side itself, which keeps the flow open to be reached by it (RFC 5626).
    Keeper,
}

impl Flow {
    /// The flow of a request that came from `source`.
    pub(in crate::sip) fn of_request(request: &Message, source: Source) -> Self {
        let is_direct = request.headers.items(&Name::Via).nth(1).is_none();
        let origin = if is_direct { Origin::Peer } else { Origin::Unknown };
        Self { destination: source.destination(), origin }
    }

    /// The flow of a response that came from `source`.
    pub(in crate::sip) fn of_response(source: Source) -> Self {
        Self { destination: source.destination(), origin: Origin::Unknown }
    }

    /// The same flow, which its peer has promised to keep open.
    pub(in crate::sip) fn kept(self) -> Self {
        Self { origin: Origin::Keeper, ..self }
    }

    /// Where the far side was heard.
    pub(super) fn destination(self) -> Destination {
        self.destination
    }

    /// Where a request with this next hop goes instead; `None` if it goes there.
    pub(super) fn instead_of(self, hop: &NextHop, nat: Nat) -> Option<Destination> {
        let Destination { transport, peer } = self.destination;
        if hop.is_gruu || self.origin == Origin::Keeper && !hop.is_route {
            return Some(self.destination);
        }
        if transport.is_websocket() {
            // A proxy with TLS in front of us makes a WSS of what comes as WS.
            return hop.transport.is_websocket().then_some(self.destination);
        }
        // Over TLS a connection that stands may be for another name of the same host.
        if transport != hop.transport || transport != Transport::Tls && hop.is_at(peer) {
            return None;
        }
        let leads_here = match transport {
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => self.serves(hop),
            Transport::Udp => nat == Nat::Followed && !hop.is_route && self.translates(hop),
        };
        leads_here.then_some(self.destination)
    }

    /// A connection from the host of the next hop is a connection to it.
    fn serves(self, hop: &NextHop) -> bool {
        match hop.address() {
            Some(address) if address == self.address() => true,
            _ if hop.is_route => false,
            // A public address of another host may be the peer that a proxy left us alone with.
            Some(address) => self.origin == Origin::Peer || enclave(address).is_some(),
            None => true,
        }
    }

    /// True if the next hop is an address that only its own network can reach.
    fn translates(self, hop: &NextHop) -> bool {
        let Some(address) = hop.address().filter(|address| *address != self.address()) else {
            return false;
        };
        let inside = enclave(address);
        // A proxy of the same network that left the dialog has told us of a peer beside it.
        inside.is_some() && (self.origin == Origin::Peer || inside != enclave(self.address()))
    }

    fn address(self) -> IpAddr {
        self.destination.peer.ip().to_canonical()
    }
}

/// Whether a UDP peer behind a NAT is answered where its messages come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nat {
    Followed,
    Ignored,
}

impl NextHop {
    fn address(&self) -> Option<IpAddr> {
        self.host.address().map(|address| address.to_canonical())
    }

    fn is_at(&self, peer: SocketAddr) -> bool {
        let port = self.port();
        matches!(&self.host, Host::Address(address) if SocketAddr::new(*address, port) == peer)
    }
}

/// A range of addresses that mean another host in each network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Enclave {
    Unspecified,
    Loopback,
    LinkLocal,
    /// RFC 6598.
    CarrierGrade,
    /// RFC 1918, by first octet.
    Private(u8),
    /// RFC 4193.
    UniqueLocal,
}

fn enclave(address: IpAddr) -> Option<Enclave> {
    match address {
        IpAddr::V4(address) => enclave_v4(address),
        IpAddr::V6(address) => enclave_v6(address),
    }
}

fn enclave_v4(address: Ipv4Addr) -> Option<Enclave> {
    match address.octets() {
        [0, ..] => Some(Enclave::Unspecified),
        [127, ..] => Some(Enclave::Loopback),
        [169, 254, ..] => Some(Enclave::LinkLocal),
        [100, 64..=127, ..] => Some(Enclave::CarrierGrade),
        [first, ..] if address.is_private() => Some(Enclave::Private(first)),
        _ => None,
    }
}

fn enclave_v6(address: Ipv6Addr) -> Option<Enclave> {
    if address.is_unspecified() {
        Some(Enclave::Unspecified)
    } else if address.is_loopback() {
        Some(Enclave::Loopback)
    } else if address.is_unicast_link_local() {
        Some(Enclave::LinkLocal)
    } else if address.is_unique_local() {
        Some(Enclave::UniqueLocal)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::locate::Choice;

    #[test]
    fn udp_follows_the_flow_where_the_contact_cannot_be_reached() {
        let cases = [
            ("10.0.0.5:5060", "198.51.100.7:4000", true),
            ("192.168.1.5:5060", "10.0.0.1:4000", true),
            ("100.64.0.9:5060", "198.51.100.7:4000", true),
            ("127.0.0.1:5060", "10.0.0.1:4000", true),
            ("[fd00::1]:5060", "[2001:db8::1]:4000", true),
            ("10.0.0.5:5060", "10.0.0.5:4000", false),
            ("10.0.0.5:5060", "10.0.0.1:4000", false),
            ("203.0.113.5:5060", "198.51.100.7:4000", false),
            ("127.0.0.1:5070", "127.0.0.1:4000", false),
            ("10.0.0.5:5060", "[::ffff:10.0.0.5]:4000", false),
        ];

        for (contact, source, follows) in cases {
            let flow = flow(Transport::Udp, source, Origin::Unknown);
            let instead = flow.instead_of(&hop(Transport::Udp, contact), Nat::Followed);
            assert_eq!(instead.is_some(), follows, "{contact} {source}");
            let ignored = flow.instead_of(&hop(Transport::Udp, contact), Nat::Ignored);
            assert_eq!(ignored, None);
        }
    }

    #[test]
    fn tcp_follows_the_connection_unless_a_proxy_may_be_at_its_end() {
        let cases = [
            ("192.0.2.9:5060", Origin::Unknown, true),
            ("10.0.0.5:5060", Origin::Unknown, true),
            ("203.0.113.5:5060", Origin::Peer, true),
            ("203.0.113.5:5060", Origin::Unknown, false),
            ("192.0.2.9:4000", Origin::Peer, false),
        ];

        for (contact, origin, follows) in cases {
            let flow = flow(Transport::Tcp, "192.0.2.9:4000", origin);
            let instead = flow.instead_of(&hop(Transport::Tcp, contact), Nat::Ignored);
            assert_eq!(instead.is_some(), follows, "{contact} {origin:?}");
            let over_udp = flow.instead_of(&hop(Transport::Udp, contact), Nat::Followed);
            assert_eq!(over_udp, None);
        }
    }

    #[test]
    fn a_websocket_is_the_only_way_to_who_opened_it() {
        for (flowing, named, follows) in [
            (Transport::Wss, Transport::Ws, true),
            (Transport::Ws, Transport::Wss, true),
            (Transport::Ws, Transport::Udp, false),
        ] {
            let flow = flow(flowing, "192.0.2.9:4000", Origin::Unknown);
            let nowhere = Host::parse(b"x.invalid").unwrap();
            let hop = NextHop { host: nowhere, port: None, ..hop(named, "192.0.2.9:4000") };
            assert_eq!(flow.instead_of(&hop, Nat::Ignored).is_some(), follows, "{flowing} {named}");
        }
    }

    #[test]
    fn a_gruu_is_reached_where_its_phone_was_heard() {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Wss] {
            let flow = flow(transport, "192.0.2.9:4000", Origin::Unknown);
            let registrar = Host::parse(b"plenary").unwrap();
            let hop =
                NextHop { host: registrar, is_gruu: true, ..hop(Transport::Udp, "192.0.2.1:5060") };

            assert_eq!(flow.instead_of(&hop, Nat::Ignored), Some(flow.destination), "{transport}");
        }
    }

    #[test]
    fn a_tls_connection_that_stands_is_used_whatever_name_it_is_for() {
        let flow = flow(Transport::Tls, "192.0.2.9:5061", Origin::Unknown);

        let instead = flow.instead_of(&hop(Transport::Tls, "192.0.2.9:5061"), Nat::Ignored);

        assert!(instead.is_some());
    }

    #[test]
    fn a_route_is_left_only_for_a_connection_from_its_host() {
        let flow = flow(Transport::Tcp, "192.0.2.9:4000", Origin::Peer);
        let route = |host| NextHop { is_route: true, ..hop(Transport::Tcp, host) };

        assert!(flow.instead_of(&route("192.0.2.9:5060"), Nat::Followed).is_some());
        assert_eq!(flow.instead_of(&route("10.0.0.5:5060"), Nat::Followed), None);
    }

    fn flow(transport: Transport, peer: &str, origin: Origin) -> Flow {
        Flow { destination: Destination { transport, peer: peer.parse().unwrap() }, origin }
    }

    fn hop(transport: Transport, address: &str) -> NextHop {
        let address: SocketAddr = address.parse().unwrap();
        let host = Host::Address(address.ip());
        let (port, domain) = (Some(address.port()), String::new());
        NextHop {
            host,
            port,
            transport,
            choice: Choice::Made,
            domain,
            is_route: false,
            is_gruu: false,
        }
    }
}
