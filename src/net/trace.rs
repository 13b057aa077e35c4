//! One line of log for each SIP message, at DEBUG: what it is and whose, never what people said in it.

use std::net::SocketAddr;

use bytes::Bytes;
use tracing::{Level, debug, enabled};

use crate::sip::message::Message;
use crate::sip::transport::Transport;
use crate::sip::{Limits, StatusCode};

/// Which way a message went.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Received,
    Sent,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// Logs a message; where nobody reads that, it costs one comparison.
pub(super) fn message(
    direction: Direction,
    (transport, peer): (Transport, SocketAddr),
    bytes: &Bytes,
    limits: &Limits,
) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let (direction, octets) = (direction.as_str(), bytes.len());
    let Ok(message) = Message::parse(bytes, limits) else {
        return debug!(target: TARGET, direction, %transport, %peer, octets, "no SIP message");
    };
    let cseq = message.headers.cseq().ok();
    let method = message.method().or_else(|| cseq.as_ref().map(|cseq| &cseq.method));
    let call_id = message.headers.call_id().ok().map(|id| id.to_string());
    debug!(
        target: TARGET,
        direction,
        %transport,
        %peer,
        method = method.map(tracing::field::display),
        status = message.status().map(StatusCode::code),
        call_id = call_id.as_deref(),
        octets,
        "message"
    );
}

/// For the filter: `plenary::sip=debug`.
const TARGET: &str = "plenary::sip";
