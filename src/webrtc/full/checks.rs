//! The check list (RFC 8445 §6.1.2): which pair is checked when, and which are good.
//!
//! ```text
//!               pace                answer               pace, USE-CANDIDATE
//!   Waiting ─────────▶ Checking ─────────────▶ Valid ───────────────────────▶ Nominating
//!     ▲  ▲                │ no answer, an error                                   │
//!     │  └─ their check ─ Failed ◀────────────────────────────────────────────────┤
//!     └──────────────────── a conflict of roles ──────────────────────────────────┘
//! ```
//! One check begins each [`TA`]; what is repeated has its own clock. A check of theirs brings its pair to the front
//! (§7.3.1.4); one that is under way begins anew at once, under the name that it has, so that an answer to either counts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;

use super::super::ice::{Candidate, Credentials, Remote};
use super::super::stun::{Control, Request, Transaction};
use super::Key;

/// All pairs, the best first.
#[derive(Debug)]
pub(super) struct CheckList {
    pub(super) key: Key,
    pub(super) is_their_lite: bool,
    pairs: Vec<Pair>,
    /// When the next check may begin.
    next: Instant,
    /// When one of those that are valid is taken, though better ones may yet be.
    patience: Option<Instant>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Open,
    Chosen(SocketAddr),
    /// Nothing more is wanted of it.
    Ended,
}

#[derive(Debug)]
struct Pair {
    remote: SocketAddr,
    /// Of the remote candidate.
    priority: u32,
    state: State,
    /// A check of theirs came from there.
    heard: bool,
    /// It wants to be checked before others.
    triggered: bool,
    /// Their last check nominated it.
    nominated: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Waiting,
    Checking(Attempt),
    Valid,
    /// Valid, and they are told that it is taken.
    Nominating(Attempt),
    Failed,
}

/// A check that is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Attempt {
    transaction: Transaction,
    /// What we took ourselves for.
    control: Control,
    sent: u32,
    /// Until it is repeated, or given up.
    next: Instant,
    rto: Duration,
}

/// A check that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) transaction: Transaction,
    pub(super) nominates: bool,
}

impl CheckList {
    pub(super) fn new(now: Instant, ours: &Credentials, theirs: &Remote) -> Self {
        let mut list = Self {
            key: Key::new(ours, &theirs.credentials),
            is_their_lite: theirs.is_lite,
            pairs: Vec::with_capacity(PAIRS_MAX),
            next: now,
            patience: None,
            progress: Progress::Open,
        };
        list.extend(theirs);
        list
    }

    /// Whether it is made with these credentials.
    pub(super) fn is_for(&self, ours: &Credentials, theirs: &Remote) -> bool {
        self.key == Key::new(ours, &theirs.credentials)
    }

    /// Adds candidates that are new.
    pub(super) fn extend(&mut self, theirs: &Remote) {
        self.is_their_lite = theirs.is_lite;
        for candidate in theirs.candidates.iter().take(CANDIDATES_MAX) {
            if self.is_open() && self.position(candidate.address).is_none() {
                self.add(*candidate);
            }
        }
    }

    /// Whether no pair is chosen yet.
    pub(super) fn is_open(&self) -> bool {
        self.progress == Progress::Open
    }

    /// Chooses the next check to be sent.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        control: Control,
        dice: &mut ChaCha12Rng,
    ) -> Option<Sent> {
        self.repeat_due(now).or_else(|| self.begin_due(now, control, dice))
    }

    /// When [`Self::poll`] has something next.
    pub(super) fn deadline(&self, control: Control) -> Option<Instant> {
        let attempts = self.pairs.iter().filter_map(|pair| Some(pair.state.attempt()?.next));
        let waits = self.pairs.iter().any(|pair| pair.state == State::Waiting);
        let nomination = self.nomination(control).map(|(_, at)| at.max(self.next));
        attempts.chain(waits.then_some(self.next)).chain(nomination).min()
    }

    /// Repeats the first check whose time has come, by RFC 8489 §6.2.1; gives those up that were repeated enough.
    fn repeat_due(&mut self, now: Instant) -> Option<Sent> {
        for pair in &mut self.pairs {
            let (to, nominates) = (pair.remote, matches!(pair.state, State::Nominating(_)));
            let Some(attempt) = pair.state.attempt_mut().filter(|attempt| attempt.next <= now)
            else {
                continue;
            };
            if attempt.sent < RC {
                attempt.note_sent(now);
                return Some(Sent { to, transaction: attempt.transaction, nominates });
            }
            pair.state = State::Failed;
        }
        None
    }

    /// Begins a check if the pace allows one: a nomination, a triggered one, or the best that waits.
    fn begin_due(
        &mut self,
        now: Instant,
        control: Control,
        dice: &mut ChaCha12Rng,
    ) -> Option<Sent> {
        if now < self.next {
            return None;
        }
        let best = self.nomination(control).filter(|&(_, from)| from <= now).map(|(best, _)| best);
        let nominates = best.is_some();
        let waiting = |pair: &Pair| pair.state == State::Waiting;
        let triggered = || self.pairs.iter().position(|pair| waiting(pair) && pair.triggered);
        let at = best.or_else(triggered).or_else(|| self.pairs.iter().position(waiting))?;
        self.next = now + TA;
        let mut attempt = Attempt {
            transaction: Transaction::draw(dice),
            control,
            sent: 0,
            next: now,
            rto: self.rto(),
        };
        attempt.note_sent(now);
        let pair = &mut self.pairs[at];
        pair.triggered = false;
        pair.state = if nominates { State::Nominating(attempt) } else { State::Checking(attempt) };
        Some(Sent { to: pair.remote, transaction: attempt.transaction, nominates })
    }

    /// The pair to nominate, and when (§8.1.1): the best valid one, as soon as no better one can become so, but a while after
    /// the first is valid in any case.
    fn nomination(&self, control: Control) -> Option<(usize, Instant)> {
        let is_valid = |pair: &Pair| pair.state == State::Valid;
        let under_way = |pair: &Pair| matches!(pair.state, State::Nominating(_));
        if control == Control::Controlled || !self.is_open() || self.pairs.iter().any(under_way) {
            return None;
        }
        let best = self.pairs.iter().position(is_valid)?;
        let is_open = |pair: &Pair| matches!(pair.state, State::Waiting | State::Checking(_));
        let has_better = self.pairs[..best].iter().any(is_open);
        let at = self.patience.filter(|_| has_better).unwrap_or(self.next);
        Some((best, at))
    }

    /// §14.3, without its N: by RFC 5245 §16.1 that counts check lists, of which there is one. Taken for the number of checks,
    /// sixteen candidates would wait 13 s for a datagram that was lost; other ways to compute it are allowed.
    fn rto(&self) -> Duration {
        let open = |pair: &&Pair| pair.state == State::Waiting || pair.state.attempt().is_some();
        let count = u32::try_from(self.pairs.iter().filter(open).count()).unwrap_or(u32::MAX);
        (TA * count).max(RTO_MIN)
    }

    /// The pair whose check this was, and what we took ourselves for in it.
    pub(super) fn find(&self, transaction: Transaction) -> Option<(usize, Control)> {
        self.pairs.iter().enumerate().find_map(|(at, pair)| {
            let attempt = pair.state.attempt()?;
            (attempt.transaction == transaction).then_some((at, attempt.control))
        })
    }

    /// Whether this pair goes to that address.
    pub(super) fn is_at(&self, at: usize, remote: SocketAddr) -> bool {
        self.pairs[at].remote == remote
    }

    /// Its check was answered; true if that was our nomination.
    pub(super) fn succeed(&mut self, now: Instant, at: usize) -> bool {
        let nominates = matches!(self.pairs[at].state, State::Nominating(_));
        self.pairs[at].state = State::Valid;
        self.patience.get_or_insert(now + PATIENCE);
        nominates
    }

    /// Its check was refused, or answered from elsewhere.
    pub(super) fn fail(&mut self, at: usize) {
        self.pairs[at].state = State::Failed;
    }

    /// It is to be checked again, before others.
    pub(super) fn repeat(&mut self, at: usize) {
        let pair = &mut self.pairs[at];
        (pair.state, pair.triggered) = (State::Waiting, true);
    }

    /// Notes a check of theirs. From where none was expected it makes a peer-reflexive candidate (§7.3.1.3), if there is room.
    pub(super) fn note_check(&mut self, from: SocketAddr, request: &Request<'_>) -> Option<usize> {
        let candidate = Candidate { address: from, priority: request.priority };
        let at = self.position(from).or_else(|| self.add(candidate))?;
        let pair = &mut self.pairs[at];
        (pair.heard, pair.nominated) = (true, request.nominates);
        Some(at)
    }

    /// §7.3.1.4: they can reach us from there, so it is worth a check now.
    pub(super) fn trigger(&mut self, now: Instant, at: usize) {
        let rto = self.rto();
        let pair = &mut self.pairs[at];
        match &mut pair.state {
            State::Waiting => pair.triggered = true,
            State::Failed => self.repeat(at),
            State::Checking(attempt) => {
                *attempt = Attempt { sent: 0, next: now, rto, ..*attempt };
            }
            State::Valid | State::Nominating(_) => {}
        }
    }

    /// Whether they have chosen a pair that is valid (§7.3.1.5). Of two that both their last checks nominate, as RFC 5245
    /// allowed, the better one counts.
    pub(super) fn is_nominated(&self, at: usize) -> bool {
        let pair = &self.pairs[at];
        let is_better = |chosen: &Pair| chosen.nominated && chosen.priority >= pair.priority;
        let chosen = match self.progress {
            Progress::Chosen(remote) => self.pairs.iter().find(|pair| pair.remote == remote),
            Progress::Open | Progress::Ended => None,
        };
        pair.nominated
            && pair.state == State::Valid
            && chosen.is_none_or(|chosen| chosen.remote != pair.remote && !is_better(chosen))
    }

    /// Takes a pair for good: what is under way for the others is over (§8.1.2).
    pub(super) fn choose(&mut self, at: usize) -> Option<SocketAddr> {
        let remote = self.pairs.get(at)?.remote;
        self.stop();
        self.progress = Progress::Chosen(remote);
        Some(remote)
    }

    /// Nothing is checked any more.
    pub(super) fn end(&mut self) {
        self.stop();
        self.progress = Progress::Ended;
    }

    fn stop(&mut self) {
        for pair in &mut self.pairs {
            pair.triggered = false;
            match pair.state {
                State::Waiting | State::Checking(_) => pair.state = State::Failed,
                State::Nominating(_) => pair.state = State::Valid,
                State::Valid | State::Failed => {}
            }
        }
    }

    pub(super) fn knows(&self, source: SocketAddr) -> bool {
        let proved = |pair: &Pair| pair.heard || pair.state.is_valid();
        self.pairs.iter().any(|pair| pair.remote == source && proved(pair))
    }

    pub(super) fn best_valid(&self) -> Option<SocketAddr> {
        self.pairs.iter().find(|pair| pair.state.is_valid()).map(|pair| pair.remote)
    }

    fn position(&self, remote: SocketAddr) -> Option<usize> {
        self.pairs.iter().position(|pair| pair.remote == remote)
    }

    /// Adds a pair in its place, if need be for one from where nothing ever came.
    fn add(&mut self, Candidate { address, priority }: Candidate) -> Option<usize> {
        if self.pairs.len() >= PAIRS_MAX {
            let is_dead = |pair: &Pair| pair.state == State::Failed && !pair.heard;
            let dead = self.pairs.iter().rposition(is_dead)?;
            self.pairs.remove(dead);
        }
        let at = self.pairs.partition_point(|pair| pair.priority >= priority);
        let pair = Pair {
            remote: address,
            priority,
            state: State::Waiting,
            heard: false,
            triggered: false,
            nominated: false,
        };
        self.pairs.insert(at, pair);
        Some(at)
    }
}

impl State {
    fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Checking(attempt) | Self::Nominating(attempt) => Some(attempt),
            Self::Waiting | Self::Valid | Self::Failed => None,
        }
    }

    fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        match self {
            Self::Checking(attempt) | Self::Nominating(attempt) => Some(attempt),
            Self::Waiting | Self::Valid | Self::Failed => None,
        }
    }

    fn is_valid(&self) -> bool {
        matches!(self, Self::Valid | Self::Nominating(_))
    }
}

impl Attempt {
    /// RFC 8489 §6.2.1: the pause doubles, and is Rm RTOs after the last.
    fn note_sent(&mut self, now: Instant) {
        self.sent += 1;
        let factor = if self.sent < RC { 1 << (self.sent - 1) } else { RM };
        self.next = now + self.rto * factor;
    }
}

/// Between two checks (RFC 8445 §14.2).
pub(super) const TA: Duration = Duration::from_millis(50);
/// The least pause before a check is repeated (§14.3).
const RTO_MIN: Duration = Duration::from_millis(500);
/// How often one is sent, and how many RTOs the last is waited for (RFC 8489 §6.2.1).
const RC: u32 = 7;
const RM: u32 = 16;
/// Candidates of theirs that are looked at; a browser with two networks has about ten.
pub(super) const CANDIDATES_MAX: usize = 16;
/// With those that only their checks tell of.
const PAIRS_MAX: usize = CANDIDATES_MAX + 8;
/// How long a better pair than one that is valid is waited for: a round trip over land, and some checks more.
const PATIENCE: Duration = Duration::from_millis(200);
