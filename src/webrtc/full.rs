//! A full ICE agent (RFC 8445), for calls that we make: it checks where the far side says that it is, and decides.
//!
//! ```text
//!  their candidates ─▶ CheckList ── valid ─▶ nominate ─▶ Path ── 30 s without consent ─▶ Lost
//!  their checks ─────▶ (triggered)             ▲ by us, or by them after a conflict of roles
//! ```
//! It has one host candidate, its socket, so a pair is a remote candidate, and pairs rank as those do: whichever role we
//! have, the formula of §6.1.2.3 grows with the remote priority where the local one stays. So nothing has to be computed
//! anew when roles change. All of it is one component of one stream, so nothing is frozen (§6.1.2.6): what goes out is
//! bounded by the pace.
//!
//! Choices where the RFCs leave one:
//! - Before a pair is nominated DTLS may use the best that is valid (§12.1); media waits for the nomination.
//! - Who offers is controlling and stays it over every re-INVITE and restart (§9), unless a conflict says otherwise.
//! - A restart leaves the path alone, consent by the old credentials included, until another pair is nominated.
//! - Without consent (RFC 7675 §5.1) there is no path any more, and no other is looked for: a restart brings one.
//!
//! One input, then [`Full::poll_output`] until [`Output::WaitUntil`]. In the steady state, consent and answers, nothing is
//! allocated.

mod checks;
mod consent;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use self::checks::{CheckList, Sent};
use self::consent::{Consent, EXPIRES_AFTER, Path};
use super::ice::{Credentials, Era, Ours, Remote};
use super::stun::{Control, Query, Request, Response, Transaction, Verdict};

/// What the agent wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send there what is in the buffer now.
    Check(SocketAddr),
    /// Media goes there from now on.
    Nominated(SocketAddr),
    /// For so long the far side has not said that it wants to hear us: nothing may be sent any more.
    Lost(Duration),
    /// Nothing until then, or until a packet comes.
    WaitUntil(Option<Instant>),
}

/// Our end of the agreement.
#[derive(Debug)]
pub struct Full {
    ours: Ours,
    claim: Claim,
    list: CheckList,
    outcome: Outcome,
    /// To be told.
    nominated: Option<SocketAddr>,
    dice: ChaCha12Rng,
}

/// Where media goes.
#[derive(Debug)]
enum Outcome {
    /// Nowhere yet.
    Open,
    Selected(Box<Path>),
    Lost,
}

impl Full {
    /// Begins to check. Whoever knows `seed` foresees what its checks are called.
    pub fn new(now: Instant, ours: &Credentials, theirs: &Remote, seed: [u8; 32]) -> Self {
        let mut dice = ChaCha12Rng::from_seed(seed);
        let claim = Claim { control: Control::Controlling, tie_breaker: dice.next_u64() };
        let list = CheckList::new(now, ours, theirs);
        let ours = Ours::new(ours.clone());
        Self { ours, claim, list, outcome: Outcome::Open, nominated: None, dice }
    }

    /// Takes what offer/answer agreed now. New credentials on either side are a restart, or another phone that answers.
    pub fn configure(&mut self, now: Instant, ours: &Credentials, theirs: &Remote) {
        self.ours.restart(ours);
        if !self.list.is_for(ours, theirs) {
            self.list = CheckList::new(now, ours, theirs);
            self.nominated = None;
            if matches!(self.outcome, Outcome::Lost) {
                self.outcome = Outcome::Open;
            }
        }
        self.list.extend(theirs);
        if theirs.is_lite {
            self.claim.control = Control::Controlling; // RFC 8445 §6.1.1: who is lite never is.
        }
    }

    /// Takes what may be a check or the answer to one of ours; `answer` is to be sent back unless it is empty.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        (from, bytes): (SocketAddr, &[u8]),
        answer: &mut Vec<u8>,
    ) {
        answer.clear();
        if let Ok(request) = Request::parse(bytes) {
            self.handle_check(now, (from, &request), answer);
        } else if let Ok(response) = Response::parse(bytes) {
            self.handle_response(now, from, &response);
        }
    }

    /// Returns what is wanted next; `room` is filled with a check, or with nothing that counts.
    pub fn poll_output(&mut self, now: Instant, room: &mut Vec<u8>) -> Output {
        if let Some(remote) = self.nominated.take() {
            return Output::Nominated(remote);
        }
        let Self { claim, list, outcome, dice, .. } = self;
        if let Some(Sent { to, transaction, nominates }) = list.poll(now, claim.control, dice) {
            let control = (claim.control, claim.tie_breaker);
            list.key.query(transaction, control, nominates).write(room);
            return Output::Check(to);
        }
        if let Outcome::Selected(path) = outcome {
            match path.poll(now, dice) {
                Consent::Ask(transaction) => {
                    let control = (claim.control, claim.tie_breaker);
                    path.key.query(transaction, control, false).write(room);
                    return Output::Check(path.remote);
                }
                Consent::Lost => {
                    *outcome = Outcome::Lost;
                    list.end();
                    return Output::Lost(EXPIRES_AFTER);
                }
                Consent::Fresh => {}
            }
        }
        Output::WaitUntil(self.deadline())
    }

    /// When [`Self::poll_output`] has something next, unless a packet comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let consent = match &self.outcome {
            Outcome::Selected(path) => Some(path.deadline()),
            Outcome::Open | Outcome::Lost => None,
        };
        [self.list.deadline(self.claim.control), consent].into_iter().flatten().min()
    }

    /// Whether this source has proved that it is the far side: its check knew our password, or it answered one of ours.
    pub fn knows(&self, source: SocketAddr) -> bool {
        let is_path = matches!(&self.outcome, Outcome::Selected(path) if path.remote == source);
        is_path || self.list.knows(source)
    }

    /// Where ours goes: to the nominated pair, or before that to the best that is valid.
    pub fn remote(&self) -> Option<SocketAddr> {
        match &self.outcome {
            Outcome::Open => self.list.best_valid(),
            Outcome::Selected(path) => Some(path.remote),
            Outcome::Lost => None,
        }
    }

    /// RFC 8445 §7.3.
    fn handle_check(
        &mut self,
        now: Instant,
        (from, request): (SocketAddr, &Request<'_>),
        answer: &mut Vec<u8>,
    ) {
        let Self { ours, claim, list, .. } = self;
        let conflicts = || claim.conflicts_with(request.control);
        let passed = ours.answer((from, request), conflicts, answer);
        if passed != Some(Era::Now) || matches!(self.outcome, Outcome::Lost) {
            return; // A check of before a restart says nothing of the pairs that there are now.
        }
        let Some(at) = list.note_check(from, request) else { return };
        let is_controlled = claim.control == Control::Controlled;
        if is_controlled && list.is_nominated(at) {
            self.select(now, at);
        } else if is_controlled || list.is_open() {
            list.trigger(now, at);
        }
    }

    /// RFC 8445 §7.2.5. What is not authentic is as if it had not come (RFC 8489 §9.1.4): it is still waited for.
    fn handle_response(&mut self, now: Instant, from: SocketAddr, response: &Response<'_>) {
        if let Outcome::Selected(path) = &mut self.outcome
            && path.handle_response(now, from, response)
        {
            return;
        }
        let transaction = response.transaction();
        let Some((at, control)) = self.list.find(transaction) else { return };
        if !response.is_made_with(&self.list.key.password) {
            return;
        }
        match response.verdict {
            // §7.2.5.2.1: from elsewhere than it was asked.
            _ if !self.list.is_at(at, from) => self.list.fail(at),
            Verdict::Success => {
                let is_ours = self.list.succeed(now, at);
                let is_nominated = match self.claim.control {
                    Control::Controlling => is_ours,
                    Control::Controlled => self.list.is_nominated(at),
                };
                if is_nominated {
                    self.select(now, at);
                }
            }
            Verdict::RoleConflict if !self.list.is_their_lite => {
                self.claim.give_way(control, &mut self.dice);
                self.list.repeat(at);
            }
            Verdict::RoleConflict | Verdict::Refused => self.list.fail(at),
        }
    }

    /// RFC 8445 §8.1.1: a pair is nominated, and the others are not looked at any more.
    fn select(&mut self, now: Instant, at: usize) {
        let Some(remote) = self.list.choose(at) else { return };
        let path = Path::new(now, remote, self.list.key.clone(), &mut self.dice);
        self.outcome = Outcome::Selected(Box::new(path));
        self.nominated = Some(remote);
    }
}

/// What we take ourselves for.
#[derive(Clone, Copy, Debug)]
struct Claim {
    control: Control,
    tie_breaker: u64,
}

impl Claim {
    /// RFC 8445 §7.3.1.1: of two that take themselves for the same, the one with the greater number is controlling. True if
    /// they are to give way; else we do, here and now.
    fn conflicts_with(&mut self, theirs: Option<(Control, u64)>) -> bool {
        let Some((_, tie_breaker)) = theirs.filter(|&(control, _)| control == self.control) else {
            return false;
        };
        let is_greater = self.tie_breaker >= tie_breaker;
        let stays = is_greater == (self.control == Control::Controlling);
        if !stays {
            self.control = self.control.other();
        }
        stays
    }

    /// §7.2.5.1: a check in which we took ourselves for `control` was refused for that. The tie-breaker is another then.
    fn give_way(&mut self, control: Control, dice: &mut ChaCha12Rng) {
        if control == self.control {
            *self = Self { control: control.other(), tie_breaker: dice.next_u64() };
        }
    }
}

/// What checks of ours are made with.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Key {
    /// Their user fragment, a colon and ours (RFC 8445 §7.2.2).
    username: Vec<u8>,
    /// Theirs.
    password: Vec<u8>,
}

impl Key {
    fn new(ours: &Credentials, theirs: &Credentials) -> Self {
        let username = format!("{}:{}", theirs.ufrag, ours.ufrag).into_bytes();
        Self { username, password: theirs.password.clone().into_bytes() }
    }

    fn query(
        &self,
        transaction: Transaction,
        control: (Control, u64),
        nominates: bool,
    ) -> Query<'_> {
        let Self { username, password } = self;
        Query { transaction, username, password, control, nominates }
    }
}

#[cfg(test)]
mod tests;
