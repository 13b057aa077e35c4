//! INVITE server transaction: RFC 3261 §17.2.1, with `Accepted` from RFC 6026 §7.1.
//!
//! ```text
//!   INVITE ─▶ Proceeding ──2xx──▶ Accepted ───────────L──▶ Terminated
//!                 │
//!             3xx–6xx──▶ Completed ──ACK──▶ Confirmed ──I──▶ Terminated
//!                            └──────────H (no ACK)──────────▲
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Output, Reliability, ServerInput, StatusClass};
use crate::sip::timer::{Backoff, GIVE_UP, T4};

/// One INVITE received, from first byte to timer I or L.
#[derive(Debug)]
pub struct ServerInvite {
    reliability: Reliability,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Proceeding { provisional: Option<Bytes> },
    Completed { response: Bytes, resend: Option<Backoff>, give_up: Instant },
    Confirmed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl ServerInvite {
    /// Starts in `Proceeding`: the INVITE that creates the transaction has just arrived.
    pub fn new(reliability: Reliability) -> Self {
        let state = State::Proceeding { provisional: None };
        Self { reliability, state, outputs: VecDeque::new() }
    }

    /// Applies one input. Call [`Self::poll_output`] until it yields `WaitUntil` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: ServerInput) {
        use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};

        match (&mut self.state, input) {
            (
                Proceeding { provisional },
                ServerInput::Respond(StatusClass::Provisional, message),
            ) => {
                *provisional = Some(message.clone());
                self.transmit(message);
            }
            (Proceeding { .. }, ServerInput::Respond(StatusClass::Success, message)) => {
                self.state = Accepted { until: now + GIVE_UP }; // timer L
                self.transmit(message);
            }
            (Proceeding { .. }, ServerInput::Respond(StatusClass::Failure, message)) => {
                self.complete(now, message);
            }
            (Proceeding { provisional: Some(message) }, ServerInput::Retransmission) => {
                let message = message.clone();
                self.transmit(message);
            }
            (Completed { response, .. }, ServerInput::Retransmission) => {
                let response = response.clone();
                self.transmit(response);
            }
            (Completed { .. }, ServerInput::Ack) => {
                self.state = Confirmed { until: self.reliability.linger(now, T4) }; // timer I
            }
            (Completed { give_up, .. }, ServerInput::Timeout) if *give_up <= now => {
                self.state = Terminated;
                self.outputs.push_back(Output::TimedOut);
            }
            (Completed { response, resend: Some(resend), .. }, ServerInput::Timeout)
                if resend.at() <= now =>
            {
                resend.rearm(now);
                let response = response.clone();
                self.transmit(response);
            }
            // RFC 6026 §7.1: each 2xx the user resends goes out as is; we never resend it ourselves.
            (Accepted { .. }, ServerInput::Respond(StatusClass::Success, message)) => {
                self.transmit(message);
            }
            (Accepted { until } | Confirmed { until }, ServerInput::Timeout) if *until <= now => {
                self.state = Terminated;
            }
            // Everything else is a late or duplicate input, which the RFC says to absorb.
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

    /// True once the owner may forget this transaction.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// True while no final response was given.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// True after a 2xx: an ACK with our branch then belongs to the dialog, not to us.
    pub fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted { .. })
    }

    fn complete(&mut self, now: Instant, message: Bytes) {
        let resend = match self.reliability {
            Reliability::Unreliable => Some(Backoff::capped(now)), // timer G
            Reliability::Reliable => None,
        };
        let give_up = now + GIVE_UP; // timer H
        self.state = State::Completed { response: message.clone(), resend, give_up };
        self.transmit(message);
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Completed { resend: Some(resend), give_up, .. } => {
                Some(resend.at().min(*give_up))
            }
            State::Completed { resend: None, give_up: until, .. }
            | State::Confirmed { until }
            | State::Accepted { until } => Some(*until),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    fn transmit(&mut self, message: Bytes) {
        self.outputs.push_back(Output::Transmit(message));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
mod tests {
    use super::*;
    use crate::sip::transaction::timeline;

    const RINGING: Bytes = Bytes::from_static(b"SIP/2.0 180 Ringing\r\n\r\n");
    const OK: Bytes = Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n");
    const BUSY: Bytes = Bytes::from_static(b"SIP/2.0 486 Busy Here\r\n\r\n");

    #[test]
    fn unacknowledged_486_is_resent_with_backoff_until_timer_h() {
        let start = Instant::now();
        let mut invite = ServerInvite::new(Reliability::Unreliable);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Failure, BUSY));

        let timeline = run_to_end(&mut invite, start);

        let sent: Vec<u64> = timeline.iter().filter(|(_, o)| o == &sends(&BUSY)).map(at).collect();
        let resent = [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(sent, [&[0], &resent[..]].concat());
        assert_eq!(timeline.last(), Some(&(32_000, Output::TimedOut)));
        assert!(invite.is_terminated());
    }

    #[test]
    fn over_tcp_a_486_is_sent_once_and_still_times_out() {
        let start = Instant::now();
        let mut invite = ServerInvite::new(Reliability::Reliable);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Failure, BUSY));

        let timeline = run_to_end(&mut invite, start);

        assert_eq!(timeline, [(0, sends(&BUSY)), (32_000, Output::TimedOut)]);
    }

    #[test]
    fn ack_stops_retransmission_and_timer_i_ends_it() {
        let start = Instant::now();
        let mut invite = ServerInvite::new(Reliability::Unreliable);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Failure, BUSY));
        invite.handle_input(start, ServerInput::Ack);
        invite.handle_input(start, ServerInput::Retransmission);

        let timeline = run_to_end(&mut invite, start);

        assert_eq!(timeline, [(0, sends(&BUSY))]);
        assert!(invite.is_terminated());
    }

    #[test]
    fn a_retransmitted_invite_gets_the_last_provisional_again() {
        let start = Instant::now();
        let mut invite = ServerInvite::new(Reliability::Unreliable);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Provisional, RINGING));

        invite.handle_input(start, ServerInput::Retransmission);

        assert_eq!(run_to_end(&mut invite, start), [(0, sends(&RINGING)), (0, sends(&RINGING))]);
    }

    #[test]
    fn accepted_absorbs_invites_and_passes_resent_2xx_until_timer_l() {
        let start = Instant::now();
        let mut invite = ServerInvite::new(Reliability::Unreliable);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Success, OK));
        invite.handle_input(start, ServerInput::Retransmission);
        invite.handle_input(start, ServerInput::Respond(StatusClass::Failure, BUSY));
        invite.handle_input(start, ServerInput::Respond(StatusClass::Success, OK));

        let timeline = run_to_end(&mut invite, start);

        assert_eq!(timeline, [(0, sends(&OK)), (0, sends(&OK))]);
        assert!(invite.is_terminated());
    }

    fn sends(message: &Bytes) -> Output {
        Output::Transmit(message.clone())
    }

    fn at(entry: &(u64, Output)) -> u64 {
        entry.0
    }

    fn run_to_end(invite: &mut ServerInvite, start: Instant) -> Vec<(u64, Output)> {
        timeline(start, |due| {
            if let Some(now) = due {
                invite.handle_input(now, ServerInput::Timeout);
            }
            invite.poll_output()
        })
    }
}
