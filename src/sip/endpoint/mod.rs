//! SIP as the bridge sees it: messages in, events out (RFC 3261 and its friends).
//!
//! ```text
//!  Packet ─▶ Layer (transactions) ─▶ Dialogs ─▶ Session / Refer ─▶ Event
//!    ▲            │ routes, look-ups, fail-over         ▲             │
//!    └─ Transmit ◀┘                                     └── invite, answer, refer … ◀─ user
//! ```
//!
//! Every `handle_*` and every act is one input: afterwards call [`Endpoint::poll_output`] until it
//! yields [`Output::WaitUntil`]. No clock, socket or randomness inside: the same seed and the same
//! inputs give the same outputs.
//!
//! Without asking its user the endpoint refuses what RFC 3261 §8.2 refuses (400 405 415 416 420 481
//! 482 483 491 500 503 513), answers OPTIONS within dialogs, absorbs retransmissions, acknowledges
//! and ends superfluous forks, follows redirections and retries crossed offers.

mod counters;
mod event;
mod output;
mod settings;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::sip::dialog::DialogId;
use crate::sip::headers::NameAddr;
use crate::sip::transport::Transport;
use crate::sip::{StatusCode, Uri};

pub use counters::{Counters, Counts};
pub use event::{Busy, EndCause, Event, Invitation, Invited, Options, Referred, Rejection};
pub use output::{OptionsId, Output, Packet, ReferId, Resolve, ResolveId, SessionId, Transmit};
pub use settings::{LocalAddress, Settings};

/// Transactions, dialogs and sessions of one SIP user agent.
#[derive(Debug)]
pub struct Endpoint {
    outputs: VecDeque<Output>,
    counters: Counters,
}

#[expect(
    unused_variables,
    clippy::needless_pass_by_value,
    reason = "signatures first, for those who build on them"
)]
impl Endpoint {
    /// An endpoint that holds nothing. The same `seed` makes the same tags, branches and Call-IDs.
    pub fn new(settings: Settings, seed: u64, local: Box<dyn LocalAddress + Send>) -> Self {
        Self { outputs: VecDeque::new(), counters: Counters::default() }
    }

    /// Takes one message from the network.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {}

    /// Takes the news that a [`Transmit`] to this peer failed, or its connection broke.
    pub fn handle_transmit_failed(&mut self, now: Instant, transport: Transport, peer: SocketAddr) {
    }

    /// Takes the addresses of a name, best first; none means that the look-up failed.
    pub fn handle_resolved(&mut self, now: Instant, id: ResolveId, addresses: Vec<SocketAddr>) {}

    /// Lets time pass: due when [`Output::WaitUntil`] says, harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {}

    /// Returns the next output; [`Output::WaitUntil`] means drained.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::WaitUntil(None))
    }

    /// Calls somebody: `Progress`, then `Answered` or `Failed` follow. 3xx is followed within.
    pub fn invite(&mut self, now: Instant, invitation: Invitation) -> SessionId {
        SessionId(0)
    }

    /// Tells a caller 101 to 199, with early media if there is `sdp`.
    pub fn ring(
        &mut self,
        now: Instant,
        session: SessionId,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) {
    }

    /// Accepts a call with our answer, or with our offer if the INVITE had none.
    pub fn answer(&mut self, now: Instant, session: SessionId, sdp: Bytes) {}

    /// Refuses a call; the session is over.
    pub fn reject(&mut self, now: Instant, session: SessionId, rejection: Rejection) {}

    /// Answers the offer that `Answered` or `ReofferAnswered` carried after we sent none.
    pub fn acknowledge(&mut self, now: Instant, session: SessionId, sdp: Bytes) {}

    /// Ends a session whatever its state; no event about it follows. `reason` is a Reason header.
    pub fn hang_up(&mut self, now: Instant, session: SessionId, reason: Option<String>) {}

    /// Offers a change by re-INVITE, or asks the peer for an offer. Crossed offers are retried within.
    ///
    /// # Errors
    /// [`Busy`] if an offer is open in either direction or the session is not established.
    pub fn reinvite(
        &mut self,
        now: Instant,
        session: SessionId,
        sdp: Option<Bytes>,
    ) -> Result<(), Busy> {
        Err(Busy)
    }

    /// Offers a change by UPDATE (RFC 3311), which the peer must answer at once.
    ///
    /// # Errors
    /// [`Busy`] if an offer is open in either direction or the session is not established.
    pub fn update(&mut self, now: Instant, session: SessionId, sdp: Bytes) -> Result<(), Busy> {
        Err(Busy)
    }

    /// Answers a `Reoffered`: our answer (our offer if it had none), or why not.
    pub fn answer_offer(
        &mut self,
        now: Instant,
        session: SessionId,
        answer: Result<Bytes, StatusCode>,
    ) {
    }

    /// Asks the peer to contact somebody (RFC 3515): `ReferAnswered`, then `ReferProgress` follow.
    pub fn refer(
        &mut self,
        now: Instant,
        session: SessionId,
        refer_to: Uri,
        referred_by: Option<NameAddr>,
    ) -> ReferId {
        ReferId(0)
    }

    /// Answers a `Referred`. A 2xx starts the subscription with 100 Trying, anything else ends it.
    pub fn answer_refer(&mut self, now: Instant, refer: ReferId, status: StatusCode) {}

    /// Tells who sent a REFER how the call fares; a final status is the last report.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        refer: ReferId,
        status: StatusCode,
        reason: Option<String>,
    ) {
    }

    /// Sends application data within an established session (RFC 6086), such as DTMF.
    pub fn info(&mut self, now: Instant, session: SessionId, content_type: &str, body: Bytes) {}

    /// Answers an `Options`: 200 with a session description if there is one, or a refusal.
    pub fn answer_options(
        &mut self,
        now: Instant,
        options: OptionsId,
        answer: Result<Option<Bytes>, Rejection>,
    ) {
    }

    /// The confirmed dialog of a session, for `Replaces` in either direction.
    pub fn dialog_of(&self, session: SessionId) -> Option<DialogId> {
        None
    }

    /// The session that uses this dialog.
    pub fn session_of(&self, dialog: &DialogId) -> Option<SessionId> {
        None
    }

    /// How much is held now.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// How often things happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
