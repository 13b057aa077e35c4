//! What is expected of a torture message.

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

/// What is to become of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is understood; the bridge's final answer is one of these, or none is due if there are none.
    Understood(&'static [u16]),
    /// The message layer refuses it with this status.
    Refused(u16),
    /// It is dropped without an answer.
    Dropped,
    /// The stream waits for the rest.
    Waits,
}

impl Outcome {
    /// The statuses that the bridge may answer with in the end; none means silence.
    #[allow(dead_code, reason = "the whole-bridge test asks")]
    pub(crate) fn answers(self) -> Vec<u16> {
        match self {
            Self::Understood(statuses) => statuses.to_vec(),
            Self::Refused(status) => vec![status],
            Self::Dropped | Self::Waits => Vec::new(),
        }
    }
}

/// A call was read well, and what becomes of it is a matter of routes, rooms and codecs.
pub(crate) const CALL: Outcome = Outcome::Understood(&[200, 404, 415, 480, 486, 488, 503, 603]);
/// OPTIONS is answered as an INVITE would be; for rooms that is 200.
pub(crate) const OK: Outcome = Outcome::Understood(&[200]);
/// A request for someone who may be unknown here.
pub(crate) const ANYONE: Outcome = Outcome::Understood(&[200, 404, 480]);
/// A method that is known and not served.
pub(crate) const NOT_SERVED: Outcome = Outcome::Understood(&[405, 501]);
/// A method that is unknown.
pub(crate) const UNKNOWN: Outcome = Outcome::Understood(&[405, 501]);
/// A response without a transaction.
pub(crate) const STRAY: Outcome = Outcome::Understood(&[]);
/// The message is malformed.
pub(crate) const BAD: Outcome = Outcome::Refused(400);
