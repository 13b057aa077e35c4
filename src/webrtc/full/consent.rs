//! The nominated pair, and whether the far side still wants to hear us there (RFC 7675).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use super::super::stun::{Response, Transaction, Verdict};
use super::Key;

/// Where media goes, as long as they consent.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) remote: SocketAddr,
    pub(super) key: Key,
    /// Questions whose answers still count, the latest first.
    asked: [Transaction; ASKED_MAX],
    next: Instant,
    expires: Instant,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Consent {
    Fresh,
    Ask(Transaction),
    Lost,
}

impl Path {
    /// The answer to the check that nominated it is the first consent.
    pub(super) fn new(now: Instant, remote: SocketAddr, key: Key, dice: &mut ChaCha12Rng) -> Self {
        let asked = [Transaction::default(); ASKED_MAX];
        Self { remote, key, asked, next: now + pause(dice), expires: now + EXPIRES_AFTER }
    }

    pub(super) fn poll(&mut self, now: Instant, dice: &mut ChaCha12Rng) -> Consent {
        if now >= self.expires {
            return Consent::Lost;
        }
        if now < self.next {
            return Consent::Fresh;
        }
        // A question is not repeated: the next one is another.
        self.next = now + pause(dice);
        self.asked.rotate_right(1);
        self.asked[0] = Transaction::draw(dice);
        Consent::Ask(self.asked[0])
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next.min(self.expires)
    }

    /// Takes an answer, and says whether it was one to such a question.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        from: SocketAddr,
        response: &Response<'_>,
    ) -> bool {
        let is_asked = self.asked.contains(&response.transaction());
        if is_asked
            && from == self.remote
            && response.verdict == Verdict::Success
            && response.is_made_with(&self.key.password)
        {
            self.expires = now + EXPIRES_AFTER;
        }
        is_asked
    }
}

/// RFC 7675 §5.1: 5 s, a fifth more or less, so that nothing falls into step.
fn pause(dice: &mut ChaCha12Rng) -> Duration {
    Duration::from_millis(4_000 + u64::from(dice.next_u32() % 2_001))
}

/// Without consent.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_secs(30);
/// Those of half a minute.
const ASKED_MAX: usize = 8;
