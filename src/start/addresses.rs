//! What a peer is told of where we are: behind a NAT, who is on our side of it is told otherwise.

use std::net::IpAddr;

use crate::bridge::Network;
use crate::config::Config;
use crate::net::RoutingTable;
use crate::sip::endpoint::LocalAddress;

#[derive(Debug)]
pub(super) struct Addresses {
    inside: RoutingTable,
    outside: RoutingTable,
    local: Vec<Network>,
}

impl Addresses {
    /// `bound` are the addresses of listeners.
    pub(super) fn new(config: &Config, bound: &[IpAddr]) -> Self {
        let public = config.public_ip.set().copied().into_iter().collect();
        Self {
            inside: RoutingTable::new(Vec::new(), bound.to_vec()),
            outside: RoutingTable::new(public, bound.to_vec()),
            local: config.local_networks.clone(),
        }
    }
}

impl LocalAddress for Addresses {
    fn towards(&self, peer: IpAddr) -> IpAddr {
        let is_inside = self.local.iter().any(|network| network.contains(peer));
        if is_inside { self.inside.towards(peer) } else { self.outside.towards(peer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Auto;

    #[test]
    fn only_who_is_on_the_other_side_of_the_nat_is_told_the_public_address() {
        let (public, own) = ("192.0.2.7".parse().unwrap(), "10.0.0.5".parse().unwrap());
        let config = Config {
            public_ip: Auto::Set(public),
            local_networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Config::default()
        };
        let addresses = Addresses::new(&config, &[own]);

        assert_eq!(addresses.towards("10.9.9.9".parse().unwrap()), own);
        assert_eq!(addresses.towards("198.51.100.1".parse().unwrap()), public);
    }
}
