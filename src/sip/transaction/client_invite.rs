//! INVITE client transaction: RFC 3261 §17.1.1, with `Accepted` from RFC 6026 §7.2.
//!
//! ```text
//!   INVITE ─▶ Calling ──1xx──▶ Proceeding
//!               │ │ └──────┬───────┘ │
//!               │ B       2xx     3xx–6xx
//!               │ │        ▼         ▼
//!               │ │    Accepted  Completed (each 3xx–6xx is acknowledged)
//!               │ ▼        │M        │D
//!               └─▶───── Terminated ◀┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ClientInput, Output, Reliability, StatusClass};
use crate::sip::timer::{Backoff, GIVE_UP};

/// One INVITE sent, from first byte to timer B, D or M.
#[derive(Debug)]
pub struct ClientInvite {
    reliability: Reliability,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Calling { request: Bytes, resend: Option<Backoff>, give_up: Instant },
    Proceeding,
    Completed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl ClientInvite {
    /// Starts in `Calling`; the first output sends `request`.
    pub fn new(now: Instant, request: Bytes, reliability: Reliability) -> Self {
        let resend = match reliability {
            Reliability::Unreliable => Some(Backoff::uncapped(now)), // timer A
            Reliability::Reliable => None,
        };
        let outputs = VecDeque::from([Output::Transmit(request.clone())]);
        let state = State::Calling { request, resend, give_up: now + GIVE_UP }; // timer B
        Self { reliability, state, outputs }
    }

    /// Gives up at `until` already if nothing has been heard by then.
    pub fn hurry(&mut self, until: Instant) {
        if let State::Calling { give_up, .. } = &mut self.state {
            *give_up = until.min(*give_up);
        }
    }

    /// Applies one input. Call [`Self::poll_output`] until it yields `WaitUntil` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: ClientInput) {
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        use StatusClass::{Failure, Provisional, Success};

        match (&mut self.state, input) {
            (Calling { .. } | Proceeding, ClientInput::Response(Provisional)) => {
                self.state = Proceeding;
                self.outputs.push_back(Output::Deliver);
            }
            (Calling { .. } | Proceeding, ClientInput::Response(Success)) => {
                self.state = Accepted { until: now + GIVE_UP }; // timer M
                self.outputs.push_back(Output::Deliver);
            }
            // RFC 6026 §7.2: retransmitted and forked 2xx all reach the user, who acknowledges.
            (Accepted { .. }, ClientInput::Response(Success)) => {
                self.outputs.push_back(Output::Deliver);
            }
            (Calling { .. } | Proceeding, ClientInput::Response(Failure)) => {
                self.state = Completed { until: self.reliability.linger(now, TIMER_D) };
                self.outputs.push_back(Output::Acknowledge);
                self.outputs.push_back(Output::Deliver);
            }
            (Completed { .. }, ClientInput::Response(Failure)) => {
                self.outputs.push_back(Output::Acknowledge);
            }
            (Calling { .. }, ClientInput::TransportFailed) => {
                self.state = Terminated;
                self.outputs.push_back(Output::TransportFailed);
            }
            (Calling { give_up, .. }, ClientInput::Timeout) if *give_up <= now => {
                self.state = Terminated;
                self.outputs.push_back(Output::TimedOut);
            }
            (Calling { request, resend: Some(resend), .. }, ClientInput::Timeout)
                if resend.at() <= now =>
            {
                resend.rearm(now);
                self.outputs.push_back(Output::Transmit(request.clone()));
            }
            (Completed { until } | Accepted { until }, ClientInput::Timeout) if *until <= now => {
                self.state = Terminated;
            }
            // Late or duplicate inputs. A peer that answered and then cannot be reached is left to
            // the owner's timers: its response may still be on the way.
            (_, ClientInput::Response(_) | ClientInput::TransportFailed | ClientInput::Timeout) => {
            }
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

    /// True before the first response: a CANCEL must wait (RFC 3261 §9.1).
    pub fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// True while a CANCEL makes sense.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
    }

    /// When it wants [`ClientInput::Timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { resend: Some(resend), give_up, .. } => Some(resend.at().min(*give_up)),
            State::Calling { resend: None, give_up: until, .. }
            | State::Completed { until }
            | State::Accepted { until } => Some(*until),
            State::Proceeding | State::Terminated => None,
        }
    }
}

/// How long retransmitted 3xx–6xx are waited for over UDP.
const TIMER_D: Duration = Duration::from_secs(32);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
mod tests {
    use super::*;
    use crate::sip::transaction::timeline;

    const INVITE: Bytes = Bytes::from_static(b"INVITE sip:a@b SIP/2.0\r\n\r\n");

    #[test]
    fn an_unanswered_invite_is_resent_by_timer_a_until_timer_b() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Unreliable);

        let timeline = run_to_end(&mut invite, start);

        let sends = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
        let mut expected: Vec<_> = sends.map(|at| (at, Output::Transmit(INVITE))).into();
        expected.push((32_000, Output::TimedOut));
        assert_eq!(timeline, expected);
    }

    #[test]
    fn in_a_hurry_silence_is_given_up_early_and_a_response_is_not() {
        let start = Instant::now();
        let mut silent = ClientInvite::new(start, INVITE, Reliability::Unreliable);
        let mut trying = ClientInvite::new(start, INVITE, Reliability::Unreliable);
        for invite in [&mut silent, &mut trying] {
            invite.hurry(start + Duration::from_secs(4));
        }

        trying.handle_input(start, ClientInput::Response(StatusClass::Provisional));
        trying.handle_input(start + GIVE_UP, ClientInput::Timeout);

        assert_eq!(run_to_end(&mut silent, start).pop(), Some((4_000, Output::TimedOut)));
        assert!(trying.is_proceeding());
    }

    #[test]
    fn over_tcp_an_invite_is_sent_once() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Reliable);

        let timeline = run_to_end(&mut invite, start);

        assert_eq!(timeline, [(0, Output::Transmit(INVITE)), (32_000, Output::TimedOut)]);
    }

    #[test]
    fn a_provisional_response_stops_timers_a_and_b() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Unreliable);

        invite.handle_input(start, ClientInput::Response(StatusClass::Provisional));

        let timeline = run_to_end(&mut invite, start);
        assert_eq!(timeline, [(0, Output::Transmit(INVITE)), (0, Output::Deliver)]);
        assert!(invite.is_proceeding());
    }

    #[test]
    fn each_486_is_acknowledged_but_delivered_once() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Unreliable);
        invite.poll_output();

        invite.handle_input(start, ClientInput::Response(StatusClass::Failure));
        invite.handle_input(start, ClientInput::Response(StatusClass::Failure));
        invite.handle_input(start, ClientInput::Response(StatusClass::Success));

        let expected = [Output::Acknowledge, Output::Deliver, Output::Acknowledge];
        assert_eq!(run_to_end(&mut invite, start), expected.map(|output| (0, output)));
        assert!(invite.is_terminated());
    }

    #[test]
    fn every_2xx_is_delivered_until_timer_m() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Unreliable);
        invite.poll_output();

        invite.handle_input(start, ClientInput::Response(StatusClass::Success));
        invite.handle_input(start, ClientInput::Response(StatusClass::Success));

        assert_eq!(invite.poll_output(), Output::Deliver);
        assert_eq!(invite.poll_output(), Output::Deliver);
        assert_eq!(invite.poll_output(), Output::WaitUntil(Some(start + GIVE_UP)));
        invite.handle_input(start + GIVE_UP, ClientInput::Timeout);
        assert!(invite.is_terminated());
    }

    #[test]
    fn a_transport_failure_ends_calling() {
        let start = Instant::now();
        let mut invite = ClientInvite::new(start, INVITE, Reliability::Reliable);
        invite.poll_output();

        invite.handle_input(start, ClientInput::TransportFailed);

        assert_eq!(invite.poll_output(), Output::TransportFailed);
        assert!(invite.is_terminated());
    }

    fn run_to_end(invite: &mut ClientInvite, start: Instant) -> Vec<(u64, Output)> {
        timeline(start, |due| {
            if let Some(now) = due {
                invite.handle_input(now, ClientInput::Timeout);
            }
            invite.poll_output()
        })
    }
}
