//! Challenges, and who has answered one.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::Rng;
use sha2::Sha256;

use super::{Algorithm, Credentials, hex, same};

/// What a gate is made with.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// What the far side shows its user, and what passwords belong to.
    pub realm: String,
    /// Best first; each gets a challenge of its own (RFC 8760 §2.4).
    pub algorithms: Vec<Algorithm>,
    /// For how long a nonce is good.
    pub lifetime: Duration,
    /// Nonces in use whose counts are kept; of more the oldest is stale.
    pub nonces: usize,
}

/// What credentials are worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Whoever sent them knows the password, and they were not used before.
    Known,
    /// Nothing yet: what they answer is no challenge of ours to this address, too old, or was answered. There has to be another.
    Stale,
    /// No such user, or another password.
    Wrong,
}

/// Makes challenges and knows which were answered.
#[derive(Debug)]
pub struct Gate {
    options: GateOptions,
    seal: Hmac<Sha256>,
    start: Instant,
    used: BTreeMap<u64, Counts>,
    /// The same in the order of their first use, with the ages at which they were made, ms.
    order: VecDeque<(u64, u64)>,
    /// What was made until then and is not in `used` may have been forgotten for want of room, ms.
    forgotten: Option<u64>,
}

/// Counts that one nonce was used with.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    highest: u32,
    /// Bit n: `highest` − n was used.
    seen: u64,
}

impl Gate {
    /// A gate that knows none of the nonces of an earlier one.
    pub fn new(now: Instant, options: GateOptions, random: &mut impl Rng) -> Self {
        let mut key = [0; 64];
        random.fill_bytes(&mut key);
        let seal = Hmac::new(&key.into());
        Self {
            options,
            seal,
            start: now,
            used: BTreeMap::new(),
            order: VecDeque::new(),
            forgotten: None,
        }
    }

    /// The values of WWW-Authenticate, best first. They can be answered from this address alone.
    pub fn challenges(
        &self,
        now: Instant,
        (peer, is_stale): (IpAddr, bool),
        random: &mut impl Rng,
    ) -> impl Iterator<Item = String> {
        let nonce = self.nonce(peer, self.age(now), random.next_u64());
        let stale = if is_stale { ", stale=true" } else { "" };
        let realm = crate::sip::scan::quote(&self.options.realm);
        self.options.algorithms.iter().map(move |algorithm| {
            let name = algorithm.name();
            format!(
                "Digest realm={realm}, nonce=\"{nonce}\", qop=\"auth\", algorithm={name}{stale}"
            )
        })
    }

    /// Judges what came with a request of `method`; `secret` is that of the user it names for the algorithm and realm that it
    /// names, if there is one.
    ///
    /// The nonce is looked at first. Whoever made one up has neither guessed, which anybody could do in the name of another
    /// address, nor learns whether its password is right.
    pub fn check(
        &mut self,
        now: Instant,
        peer: IpAddr,
        (method, secret): (&str, Option<&str>),
        said: &Credentials,
    ) -> Verdict {
        let Some(nonce) = self.read(now, peer, &said.nonce) else { return Verdict::Stale };
        // Of nobody's secret as much is computed, so that time does not tell who exists.
        let expected = said.algorithm.response(secret.unwrap_or_default(), method, said);
        let is_right = same(expected.as_bytes(), said.response.to_ascii_lowercase().as_bytes());
        let is_ours =
            said.realm == self.options.realm && self.options.algorithms.contains(&said.algorithm);
        if secret.is_none() || !is_right || !is_ours {
            return Verdict::Wrong;
        }
        if self.count(nonce, said.count) { Verdict::Known } else { Verdict::Stale }
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    fn nonce(&self, peer: IpAddr, made: u64, number: u64) -> String {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&made.to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        let seal = self.seal.clone().chain_update(bytes);
        let seal = match peer.to_canonical() {
            IpAddr::V4(peer) => seal.chain_update(peer.octets()),
            IpAddr::V6(peer) => seal.chain_update(peer.octets()),
        };
        let seal = seal.finalize().into_bytes();
        hex(&bytes) + &hex(&seal[..SEAL])
    }

    /// Age and number of a nonce of ours to this address that is good still.
    fn read(&self, now: Instant, peer: IpAddr, nonce: &str) -> Option<(u64, u64)> {
        let field = |range: std::ops::Range<usize>| u64::from_str_radix(nonce.get(range)?, 16).ok();
        let (made, number) = (field(0..16)?, field(16..32)?);
        let is_ours = same(self.nonce(peer, made, number).as_bytes(), nonce.as_bytes());
        let lifetime = u64::try_from(self.options.lifetime.as_millis()).unwrap_or(u64::MAX);
        (is_ours && self.age(now).saturating_sub(made) <= lifetime).then_some((made, number))
    }

    /// Takes down that a nonce was used; false if it was with this count, or may have been.
    fn count(&mut self, (made, number): (u64, u64), count: u32) -> bool {
        if !self.used.contains_key(&number) {
            if self.forgotten.is_some_and(|forgotten| made <= forgotten) {
                return false;
            }
            while self.order.len() >= self.options.nonces
                && let Some((made, oldest)) = self.order.pop_front()
            {
                self.used.remove(&oldest);
                self.forgotten = self.forgotten.max(Some(made));
            }
            self.order.push_back((made, number));
        }
        self.used.entry(number).or_default().note(count)
    }
}

impl Counts {
    /// False if the count was noted before, or is too far behind to know.
    fn note(&mut self, count: u32) -> bool {
        if count == 0 {
            return false;
        }
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1_u64.checked_shl(self.highest - count).unwrap_or(0);
        let is_new = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// Octets of time and number.
const HEAD: usize = 16;
/// Octets of the seal: 2⁶⁴ guesses would be needed for an even chance.
const SEAL: usize = 16;
