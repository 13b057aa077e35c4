//! What is expected of a torture message.

use plenary::sip::transport::Transport;

/// One message and what is to become of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The file, without its ending.
    pub(crate) file: &'static str,
    /// What is peculiar about it.
    pub(crate) trouble: &'static str,
    /// What happens when it comes as one datagram.
    pub(crate) udp: Outcome,
    /// What happens when it comes first on a stream.
    pub(crate) tcp: Outcome,
    /// What the message layer reads, if it understands the message: (what, value); see `seen` in `main.rs`.
    pub(crate) seen: &'static [(&'static str, &'static str)],
}

impl Case {
    /// What happens when it comes by this transport.
    pub(crate) fn over(&self, transport: Transport) -> Outcome {
        if transport.is_reliable() { self.tcp } else { self.udp }
    }
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is understood; this is the bridge's final answer, if one is due.
    Understood(Option<u16>),
    /// The message layer refuses it with this status.
    Refused(u16),
    /// It is dropped without an answer.
    Dropped,
    /// The stream waits for the rest.
    Waits,
}

impl Outcome {
    /// The bridge's final status; none means silence.
    pub(crate) fn answer(self) -> Option<u16> {
        match self {
            Self::Understood(status) => status,
            Self::Refused(status) => Some(status),
            Self::Dropped | Self::Waits => None,
        }
    }
}

/// A call is taken, or would be: any name makes a room.
pub(crate) const OK: Outcome = Outcome::Understood(Some(200));
/// Whoever registers is no user: there are none.
pub(crate) const NO_USER: Outcome = Outcome::Understood(Some(403));
/// A method that is unknown, or known and not served.
pub(crate) const NOT_SERVED: Outcome = Outcome::Understood(Some(405));
/// A request within a dialog that there is not.
pub(crate) const GONE: Outcome = Outcome::Understood(Some(481));
/// A response without a transaction.
pub(crate) const STRAY: Outcome = Outcome::Understood(None);
/// The message is malformed.
pub(crate) const BAD: Outcome = Outcome::Refused(400);
