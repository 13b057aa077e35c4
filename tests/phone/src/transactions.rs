//! Retransmission (RFC 3261 §17), as little as a test phone needs.

use std::time::{Duration, Instant};

use rsip::Method;

use crate::transport::Flow;

/// Sends the same bytes again at T1, 2·T1, …, until something comes or 64·T1 have passed.
#[derive(Debug)]
pub struct Retry {
    pub next: Option<Instant>,
    interval: Duration,
    /// T2, beyond which the interval does not grow; none for INVITE requests (timer A).
    ceiling: Option<Duration>,
    pub deadline: Instant,
}

/// What a timer of a transaction asks for.
#[derive(Debug, PartialEq)]
pub enum Due {
    Nothing,
    SendAgain,
    GiveUp,
}

impl Retry {
    /// `repeats` is false on a reliable transport.
    pub fn new(now: Instant, repeats: bool, ceiling: Option<Duration>) -> Self {
        let next = repeats.then(|| now + T1);
        Self { next, interval: T1, ceiling, deadline: now + 64 * T1 }
    }

    pub fn due(&mut self, now: Instant) -> Due {
        if now >= self.deadline {
            return Due::GiveUp;
        }
        if self.next.is_none_or(|next| now < next) {
            return Due::Nothing;
        }
        self.interval = self.ceiling.map_or(self.interval * 2, |t2| t2.min(self.interval * 2));
        self.next = Some(now + self.interval);
        Due::SendAgain
    }

    pub fn stop_repeating(&mut self) {
        self.next = None;
    }
}

/// A request of ours.
#[derive(Debug)]
pub struct Client {
    pub line: String,
    pub call: Option<String>,
    pub branch: String,
    pub method: Method,
    pub purpose: Purpose,
    pub flow: Flow,
    pub bytes: Vec<u8>,
    pub retry: Retry,
    /// The final response came; kept to answer its repetitions with `ack`.
    pub answered: bool,
    pub ack: Option<Vec<u8>>,
}

/// Why a request was sent, which decides what its response means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    Invite,
    Offer,
    Bye,
    Cancel,
    Refer,
    Notify,
    Other,
}

/// A request of theirs, kept to repeat our answer.
#[derive(Debug)]
pub struct Served {
    pub line: String,
    pub branch: String,
    pub method: Method,
    pub call_id: String,
    pub cseq: u32,
    pub flow: Flow,
    pub response: Vec<u8>,
    /// Repeats a final answer to INVITE until its ACK.
    pub retry: Option<Retry>,
    pub since: Instant,
}

pub const T1: Duration = Duration::from_millis(500);
pub const T2: Duration = Duration::from_secs(4);
/// How long a finished transaction is remembered.
pub const LINGER: Duration = Duration::from_secs(32);
