//! The four transaction machines of RFC 3261 §17, with the states RFC 6026 corrected.
//!
//! Each machine takes one [`ClientInput`] or [`ServerInput`] and is then drained through
//! `poll_output` until it yields [`Output::WaitUntil`]. They know bytes and the class of a status
//! code, nothing else of a message; the endpoint finds the machine a message belongs to.

mod client_invite;
mod client_non_invite;
mod server_invite;
mod server_non_invite;

use std::time::Instant;

use bytes::Bytes;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;

/// The only property of a status code that a transaction cares about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusClass {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 3xx–6xx
    Failure,
}

/// Whether the transport retransmits for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reliability {
    /// UDP: requests are resent and late duplicates are waited for.
    Unreliable,
    /// TCP: each message is sent once and the waiting timers are zero.
    Reliable,
}

impl Reliability {
    /// `wait` over an unreliable transport, nothing over a reliable one (timers D, I, J and K).
    fn linger(self, now: Instant, wait: std::time::Duration) -> Instant {
        match self {
            Self::Unreliable => now + wait,
            Self::Reliable => now,
        }
    }
}

/// What can happen to a client transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientInput {
    /// A response with our branch and method arrived.
    Response(StatusClass),
    /// The request could not be sent (§17.1.4).
    TransportFailed,
    /// The deadline given by [`Output::WaitUntil`] has passed.
    Timeout,
}

/// What can happen to a server transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerInput {
    /// The peer acknowledged our final response (INVITE only).
    Ack,
    /// The transaction user answers with a serialised response.
    Respond(StatusClass, Bytes),
    /// The peer sent the same request again.
    Retransmission,
    /// The deadline given by [`Output::WaitUntil`] has passed.
    Timeout,
}

/// What the owner of a transaction must do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send these bytes to the peer.
    Transmit(Bytes),
    /// Client INVITE: acknowledge the 3xx–6xx that was just handed in (§17.1.1.3).
    Acknowledge,
    /// Client: the response that was just handed in is for the transaction user.
    Deliver,
    /// Client: no final response arrived (timers B and F). Server INVITE: no ACK (timer H).
    TimedOut,
    /// Client: the request could not be sent.
    TransportFailed,
    /// Nothing to do until this instant, or for ever if `None`.
    WaitUntil(Option<Instant>),
}

/// Drains a machine, jumping from deadline to deadline; returns what came out after how many
/// milliseconds. `poll` first applies a timeout if it is given one.
#[cfg(test)]
fn timeline(start: Instant, mut poll: impl FnMut(Option<Instant>) -> Output) -> Vec<(u64, Output)> {
    let mut timeline = Vec::new();
    let mut now = start;
    let mut due = None;
    loop {
        let output = poll(due.take());
        if let Output::WaitUntil(at) = output {
            let Some(at) = at else { return timeline };
            now = at;
            due = Some(at);
        } else {
            let elapsed = u64::try_from((now - start).as_millis()).unwrap_or(u64::MAX);
            timeline.push((elapsed, output));
        }
    }
}
