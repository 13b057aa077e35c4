//! Non-INVITE client transaction: RFC 3261 §17.1.2.
//!
//! ```text
//!   request ─▶ Trying ──1xx──▶ Proceeding
//!                │  └─────┬───────┘ │
//!                │      final       F
//!                F        ▼         │
//!                │    Completed ──K─┤
//!                └──────────────────┴─▶ Terminated
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{ClientInput, Output, Reliability, StatusClass};
use crate::sip::timer::{Backoff, GIVE_UP, T4};

/// One request other than INVITE or ACK sent, from first byte to timer F or K.
#[derive(Debug)]
pub struct ClientNonInvite {
    reliability: Reliability,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Trying(Waiting),
    Proceeding(Waiting),
    Completed { until: Instant },
    Terminated,
}

#[derive(Debug)]
struct Waiting {
    request: Bytes,
    resend: Option<Backoff>,
    give_up: Instant,
    /// When to give up if nothing at all has been heard.
    silent_until: Option<Instant>,
}

impl ClientNonInvite {
    /// Starts in `Trying`; the first output sends `request`.
    pub fn new(now: Instant, request: Bytes, reliability: Reliability) -> Self {
        let resend = match reliability {
            Reliability::Unreliable => Some(Backoff::capped(now)), // timer E
            Reliability::Reliable => None,
        };
        let outputs = VecDeque::from([Output::Transmit(request.clone())]);
        let give_up = now + GIVE_UP; // timer F
        let state = State::Trying(Waiting { request, resend, give_up, silent_until: None });
        Self { reliability, state, outputs }
    }

    /// Gives up at `until` already if nothing has been heard by then.
    pub fn hurry(&mut self, until: Instant) {
        if let State::Trying(waiting) = &mut self.state {
            waiting.silent_until = Some(until);
        }
    }

    /// Applies one input. Call [`Self::poll_output`] until it yields `WaitUntil` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: ClientInput) {
        use State::{Completed, Proceeding, Terminated, Trying};

        match (&mut self.state, input) {
            (
                Trying(_) | Proceeding(_),
                ClientInput::Response(StatusClass::Success | StatusClass::Failure),
            ) => {
                self.state = Completed { until: self.reliability.linger(now, T4) }; // timer K
                self.outputs.push_back(Output::Deliver);
            }
            (Trying(waiting), ClientInput::Response(StatusClass::Provisional)) => {
                let request = waiting.request.clone();
                let mut waiting = Waiting { request, silent_until: None, ..*waiting };
                waiting.resend.iter_mut().for_each(Backoff::slow_down); // §17.1.2.2: E becomes T2
                self.state = Proceeding(waiting);
                self.outputs.push_back(Output::Deliver);
            }
            (Proceeding(_), ClientInput::Response(StatusClass::Provisional)) => {
                self.outputs.push_back(Output::Deliver);
            }
            (Trying(_) | Proceeding(_), ClientInput::TransportFailed) => {
                self.state = Terminated;
                self.outputs.push_back(Output::TransportFailed);
            }
            (Trying(waiting) | Proceeding(waiting), ClientInput::Timeout) => {
                if waiting.end() <= now {
                    self.state = Terminated;
                    self.outputs.push_back(Output::TimedOut);
                } else {
                    self.outputs.extend(waiting.resend_if_due(now));
                }
            }
            (Completed { until }, ClientInput::Timeout) if *until <= now => {
                self.state = Terminated;
            }
            // Duplicates of the final response and late timers.
            (
                Completed { .. } | Terminated,
                ClientInput::Response(_) | ClientInput::TransportFailed | ClientInput::Timeout,
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

    /// When it wants [`ClientInput::Timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Trying(waiting) | State::Proceeding(waiting) => Some(waiting.deadline()),
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }
}

impl Waiting {
    fn deadline(&self) -> Instant {
        let end = self.end();
        self.resend.map_or(end, |resend| resend.at().min(end))
    }

    fn end(&self) -> Instant {
        self.silent_until.map_or(self.give_up, |silent| silent.min(self.give_up))
    }

    fn resend_if_due(&mut self, now: Instant) -> Option<Output> {
        let resend = self.resend.as_mut().filter(|resend| resend.at() <= now)?;
        resend.rearm(now);
        Some(Output::Transmit(self.request.clone()))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]
mod tests {
    use super::*;
    use crate::sip::transaction::timeline;

    const BYE: Bytes = Bytes::from_static(b"BYE sip:a@b SIP/2.0\r\n\r\n");

    #[test]
    fn in_a_hurry_silence_is_given_up_early_and_a_response_is_not() {
        let start = Instant::now();
        let mut silent = ClientNonInvite::new(start, BYE, Reliability::Unreliable);
        let mut trying = ClientNonInvite::new(start, BYE, Reliability::Unreliable);
        for bye in [&mut silent, &mut trying] {
            bye.hurry(start + T4);
        }

        trying.handle_input(start, ClientInput::Response(StatusClass::Provisional));

        assert_eq!(run_to_end(&mut silent, start).pop(), Some((5_000, Output::TimedOut)));
        assert_eq!(run_to_end(&mut trying, start).pop(), Some((32_000, Output::TimedOut)));
    }

    #[test]
    fn an_unanswered_bye_is_resent_by_timer_e_until_timer_f() {
        let start = Instant::now();
        let mut bye = ClientNonInvite::new(start, BYE, Reliability::Unreliable);

        let timeline = run_to_end(&mut bye, start);

        let sends = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        let mut expected: Vec<_> = sends.map(|at| (at, Output::Transmit(BYE))).into();
        expected.push((32_000, Output::TimedOut));
        assert_eq!(timeline, expected);
    }

    #[test]
    fn after_a_provisional_response_it_is_resent_every_t2() {
        let start = Instant::now();
        let mut bye = ClientNonInvite::new(start, BYE, Reliability::Unreliable);
        bye.poll_output();

        bye.handle_input(start, ClientInput::Response(StatusClass::Provisional));

        let timeline = run_to_end(&mut bye, start);
        let sends = [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
        let mut expected = vec![(0, Output::Deliver)];
        expected.extend(sends.map(|at| (at, Output::Transmit(BYE))));
        expected.push((32_000, Output::TimedOut));
        assert_eq!(timeline, expected);
    }

    #[test]
    fn a_final_response_is_delivered_once_and_lingers_for_timer_k() {
        let start = Instant::now();
        let mut bye = ClientNonInvite::new(start, BYE, Reliability::Unreliable);
        bye.poll_output();

        bye.handle_input(start, ClientInput::Response(StatusClass::Success));
        bye.handle_input(start, ClientInput::Response(StatusClass::Success));

        assert_eq!(bye.poll_output(), Output::Deliver);
        assert_eq!(bye.poll_output(), Output::WaitUntil(Some(start + T4)));
        bye.handle_input(start + T4, ClientInput::Timeout);
        assert!(bye.is_terminated());
    }

    #[test]
    fn over_tcp_nothing_is_resent_and_nothing_lingers() {
        let start = Instant::now();
        let mut bye = ClientNonInvite::new(start, BYE, Reliability::Reliable);
        bye.poll_output();
        assert_eq!(bye.poll_output(), Output::WaitUntil(Some(start + GIVE_UP)));

        bye.handle_input(start, ClientInput::Response(StatusClass::Failure));

        assert_eq!(bye.poll_output(), Output::Deliver);
        assert_eq!(bye.poll_output(), Output::WaitUntil(Some(start)));
    }

    fn run_to_end(bye: &mut ClientNonInvite, start: Instant) -> Vec<(u64, Output)> {
        timeline(start, |due| {
            if let Some(now) = due {
                bye.handle_input(now, ClientInput::Timeout);
            }
            bye.poll_output()
        })
    }
}
