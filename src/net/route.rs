//! Which of our addresses a peer sees: the kernel's routing table knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::sip::endpoint::LocalAddress;

/// Asks the kernel, unless a public address was configured for the peer's family.
#[derive(Clone, Debug)]
pub struct RoutingTable {
    /// Advertised to everybody outside this machine.
    public: Vec<IpAddr>,
    /// Listeners on one address: what a peer of the family must be told.
    bound: Vec<IpAddr>,
}

impl RoutingTable {
    /// `public` are the configured addresses, `bound` those of listeners that are bound to one address.
    pub fn new(public: Vec<IpAddr>, bound: Vec<IpAddr>) -> Self {
        Self { public, bound: bound.into_iter().filter(|ip| !ip.is_unspecified()).collect() }
    }
}

impl LocalAddress for RoutingTable {
    fn towards(&self, peer: IpAddr) -> IpAddr {
        let same_family = |ip: &&IpAddr| ip.is_ipv4() == peer.is_ipv4();
        let public = self.public.iter().find(same_family).filter(|_| !peer.is_loopback());
        let chosen = public.or_else(|| self.bound.iter().find(same_family)).copied();
        let loopback: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        chosen.or_else(|| route(peer)).unwrap_or(loopback)
    }
}

/// Connecting a UDP socket sends nothing but makes the kernel choose the source address.
fn route(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(peer, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_sees_loopback_and_others_the_public_address() {
        let public: IpAddr = "192.0.2.7".parse().expect("an address");
        let table = RoutingTable::new(vec![public], vec!["0.0.0.0".parse().expect("an address")]);

        assert_eq!(table.towards(Ipv4Addr::LOCALHOST.into()), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(table.towards("198.51.100.1".parse().expect("an address")), public);
    }
}
