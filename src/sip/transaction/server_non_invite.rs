//! Non-INVITE server transaction: RFC 3261 §17.2.2, with the rules of RFC 4320.
//!
//! ```text
//!   request ─▶ Trying ──final──▶ Completed ──J──▶ Terminated
//!                 └────────64·T1 (RFC 4320)───────▲
//! ```
//!
//! We never answer provisionally, so `Proceeding` does not exist. RFC 4320 §4.2 forbids a late
//! answer: what has no response after 64·T1 is forgotten in silence, as the peer has done.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Output, Reliability, ServerInput, StatusClass};
use crate::sip::timer::GIVE_UP;

/// One request other than INVITE or ACK, from first byte to timer J.
#[derive(Debug)]
pub struct ServerNonInvite {
    reliability: Reliability,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Trying { until: Instant },
    Completed { response: Bytes, until: Instant },
    Terminated,
}

impl ServerNonInvite {
    /// Starts in `Trying`: the request that creates the transaction has just arrived.
    pub fn new(now: Instant, reliability: Reliability) -> Self {
        let state = State::Trying { until: now + GIVE_UP };
        Self { reliability, state, outputs: VecDeque::new() }
    }

    /// Applies one input. Call [`Self::poll_output`] until it yields `WaitUntil` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: ServerInput) {
        use State::{Completed, Terminated, Trying};

        match (&mut self.state, input) {
            (
                Trying { .. },
                ServerInput::Respond(StatusClass::Success | StatusClass::Failure, message),
            ) => {
                let until = self.reliability.linger(now, GIVE_UP); // timer J
                self.state = Completed { response: message.clone(), until };
                self.outputs.push_back(Output::Transmit(message));
            }
            (Completed { response, .. }, ServerInput::Retransmission) => {
                self.outputs.push_back(Output::Transmit(response.clone()));
            }
            (Trying { until } | Completed { until, .. }, ServerInput::Timeout) if *until <= now => {
                self.state = Terminated;
            }
            // A second answer, a duplicate while we think, or a late timer: absorbed.
            (
                _,
                ServerInput::Ack
                | ServerInput::Respond(..)
                | ServerInput::Retransmission
                | ServerInput::Timeout,
            ) => {}
        }
    }

    /// Returns the next output; `WaitUntil` means drained.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::WaitUntil(self.deadline()))
    }

    /// True while it only waits to be asked again.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    /// True once the owner may forget this transaction.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { until } | State::Completed { until, .. } => Some(until),
            State::Terminated => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
mod tests {
    use super::*;

    const OK: Bytes = Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n");

    #[test]
    fn a_retransmitted_bye_gets_the_same_200_until_timer_j() {
        let start = Instant::now();
        let mut bye = ServerNonInvite::new(start, Reliability::Unreliable);
        bye.handle_input(start, ServerInput::Retransmission);
        bye.handle_input(start, ServerInput::Respond(StatusClass::Success, OK));
        bye.handle_input(start, ServerInput::Retransmission);

        assert_eq!(bye.poll_output(), Output::Transmit(OK));
        assert_eq!(bye.poll_output(), Output::Transmit(OK));
        assert_eq!(bye.poll_output(), Output::WaitUntil(Some(start + GIVE_UP)));
        bye.handle_input(start + GIVE_UP, ServerInput::Timeout);
        assert!(bye.is_terminated());
    }

    #[test]
    fn over_tcp_it_ends_with_its_answer() {
        let start = Instant::now();
        let mut bye = ServerNonInvite::new(start, Reliability::Reliable);

        bye.handle_input(start, ServerInput::Respond(StatusClass::Success, OK));

        assert_eq!(bye.poll_output(), Output::Transmit(OK));
        assert_eq!(bye.poll_output(), Output::WaitUntil(Some(start)));
    }

    #[test]
    fn an_unanswered_request_is_forgotten_without_a_408() {
        let start = Instant::now();
        let mut refer = ServerNonInvite::new(start, Reliability::Unreliable);

        refer.handle_input(start + GIVE_UP, ServerInput::Timeout);

        assert!(refer.is_terminated());
        assert_eq!(refer.poll_output(), Output::WaitUntil(None));
    }
}
