//! What a browser asks of a media port beside RTP, without IO: it is found by ICE and its keys are made by DTLS.
//!
//! ```text
//!                   0–3    ┌▶ stun ─▶ lite, full   who may speak, and where ours goes (RFC 8445)
//!  datagram ─▶ Kind 20–63  ┼▶ dtls                 certificate against fingerprint, then keys (RFC 5763, 5764)
//!                   128–   └▶ SRTP with those keys, in the mixer
//! ```
//! The SDP brings the [`Credentials`] and the [`Fingerprint`]s; an [`Association`] is what offer and answer made of them.
//! Time, randomness and addresses are arguments, but for what [`dimpl`] draws: its keys are the system's.

mod dtls;
mod fingerprint;
mod full;
mod ice;
mod lite;
mod stun;

pub use dtls::{Dtls, Fault, Identity, Output};
pub use fingerprint::{Fingerprint, Hash};
pub use full::{Full, Output as IceOutput};
pub use ice::{Candidate, Credentials, Ice, Remote};
pub use lite::{Check, Lite};
pub use stun::{ParseError, Request};

/// What a datagram on a media port is, by its first octet (RFC 7983 §7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 0 to 3.
    Stun,
    /// 20 to 63.
    Dtls,
    /// 128 to 191: RTP or RTCP.
    Rtp,
    /// Nothing that we know; empty datagrams too.
    Other,
}

impl Kind {
    /// Looks at the first octet.
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            Some(128..=191) => Self::Rtp,
            Some(_) | None => Self::Other,
        }
    }
}

/// Who begins the handshake (RFC 4145 §4, RFC 5763 §5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// We do: `a=setup:active`.
    Client,
    /// They do: `a=setup:passive`.
    Server,
}

/// What offer and answer agreed about encryption by DTLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Association {
    /// A new number is a new handshake; with the same one it goes on as it was.
    pub number: u32,
    /// Ours.
    pub role: Role,
    /// One of them must be that of their certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// Where they do ICE: then who knows the password may speak, from anywhere.
    pub ice: Option<Ice>,
}

/// What tests of others need to play a browser.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::dtls::tests::{identity, identity_within};
    pub(crate) use super::stun::tests::{NOMINATES, check};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_tells_what_a_datagram_is() {
        for (first, kind) in [
            (0, Kind::Stun),
            (3, Kind::Stun),
            (4, Kind::Other),
            (19, Kind::Other),
            (20, Kind::Dtls),
            (63, Kind::Dtls),
            (64, Kind::Other),
            (127, Kind::Other),
            (128, Kind::Rtp),
            (191, Kind::Rtp),
            (192, Kind::Other),
            (255, Kind::Other),
        ] {
            assert_eq!(Kind::of(&[first, 0]), kind, "{first}");
        }
        assert_eq!(Kind::of(&[]), Kind::Other);
    }
}
