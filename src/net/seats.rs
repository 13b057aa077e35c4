//! How many connections there may be, in all and from one network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sip::transport::Refusal;

/// Seats for the connections of all listeners.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    all: usize,
    per_source: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: BTreeMap<IpAddr, usize>,
    last_id: u64,
}

/// One connection's; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    /// Names the connection among all that were accepted.
    pub(super) id: u64,
    source: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    pub(super) fn new(all: usize, per_source: usize) -> Self {
        Self { all, per_source, taken: Arc::default() }
    }

    /// A seat for a connection from this address.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(super) fn take(&self, peer: IpAddr) -> Result<Seat, Refusal> {
        let source = network(peer);
        let mut taken = lock(&self.taken);
        if taken.all >= self.all {
            return Err(Refusal::Limit);
        }
        let of_source = taken.by_source.entry(source).or_default();
        if *of_source >= self.per_source {
            return Err(Refusal::Source);
        }
        *of_source += 1;
        taken.all += 1;
        taken.last_id += 1;
        let id = FIRST_ID + taken.last_id;
        Ok(Seat { id, source, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

/// What one customer has: an address of IPv4, the /64 of an address of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits((address.to_bits() >> 64) << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Apart from those of the connections that we open.
const FIRST_ID: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_gets_its_share_and_all_together_theirs() {
        let seats = Seats::new(3, 2);
        let take = |peer: &str| seats.take(peer.parse().unwrap());

        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::2").unwrap();
        assert_eq!(take("2001:db8::3").unwrap_err(), Refusal::Source);
        let _other = take("192.0.2.1").unwrap();
        assert_eq!(take("192.0.2.2").unwrap_err(), Refusal::Limit);
        drop(first);

        assert!(take("2001:db8::3").is_ok());
    }
}
