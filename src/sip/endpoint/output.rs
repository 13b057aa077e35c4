//! What goes into and comes out of an endpoint, other than [`Event`](super::Event)s.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::Event;
use crate::sip::locate::Question;
use crate::sip::transport::Transport;

/// One datagram, or one framed message of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// How it came.
    pub transport: Transport,
    /// Who sent it; but for UDP this names the connection.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// The message.
    pub bytes: Bytes,
}

/// A message to send. A connection with `peer` that stands is used again (RFC 5923), or one is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// How to send it.
    pub transport: Transport,
    /// Whom to send it to.
    pub peer: SocketAddr,
    /// Over TLS, whom the certificate of a new connection must name (RFC 5922 §7.2): a domain, or an address.
    /// Without it, only a connection that stands will do.
    pub domain: Option<String>,
    /// The message.
    pub bytes: Bytes,
}

/// What the caller must do next; `WaitUntil` is the last output of a drain.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this; report a failure with `handle_transmit_failed`.
    Transmit(Transmit),
    /// Ask DNS (RFC 3263); answer with `handle_resolved`.
    Resolve(Resolve),
    /// Something happened that the user of the endpoint decides about.
    Event(Event),
    /// Nothing to do until this instant, or for ever if `None`.
    WaitUntil(Option<Instant>),
}

/// What DNS is to be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolve {
    /// To be given back with the answer, as the question is.
    pub id: ResolveId,
    /// What to ask.
    pub question: Question,
}

/// Names an INVITE dialog usage; dead after `Failed`, `Ended`, `Cancelled`, `reject` or `hang_up`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub(in crate::sip) u64);

/// Names a REFER and the subscription it implies.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReferId(pub(in crate::sip) u64);

/// Names a subscription that a peer asked for; dead after `Unsubscribed`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(pub(in crate::sip) u64);

/// Names a MESSAGE that we send within a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TextId(pub(in crate::sip) u64);

/// Names a MESSAGE of a peer that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TextedId(pub(in crate::sip) u64);

/// Names an OPTIONS request that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OptionsId(pub(in crate::sip) u64);

/// Names a REGISTER that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RegisterId(pub(in crate::sip) u64);

/// Names a PUBLISH that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublishId(pub(in crate::sip) u64);

/// Names a request of ours outside of any call.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub(in crate::sip) u64);

/// Names a look-up in progress, which may have several questions.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResolveId(pub(in crate::sip) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ReferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for OptionsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ResolveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
