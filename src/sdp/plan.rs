//! What offer/answer comes to: a plan for the media threads, or a refusal.

use std::net::SocketAddr;

use mixer::codec::{Encoding, Format};
use mixer::srtp;

use crate::sdp::attribute::Direction;
use crate::sdp::session::ParseError;
use crate::webrtc::Association;

/// The agreed audio stream, as seen from our side.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaPlan {
    /// Where the far side receives RTP. An unspecified address is an old hold: then nothing may be sent.
    pub remote: SocketAddr,
    /// Where it receives RTCP; `None` where RTP and RTCP share a port.
    pub remote_rtcp: Option<SocketAddr>,
    /// Payload type and encoding of what we send.
    pub send: (u8, Encoding),
    /// Payload types we accept, and what they mean; the far side's favourite first.
    pub receive: Vec<(u8, Format)>,
    /// telephone-event payload types we accept, with their clocks in Hz.
    pub receive_events: Vec<(u8, u32)>,
    /// telephone-event payload type and clock in Hz for what we send: at the clock of `send` where there is one,
    /// else the first that the far side takes.
    pub send_events: Option<(u8, u32)>,
    /// Comfort noise payload types we accept (RFC 3389).
    pub receive_noise: Vec<u8>,
    /// Comfort noise payload type that may be sent instead of silence: at the clock of `send`, which is G.711 or G.722.
    pub send_noise: Option<u8>,
    /// Id of the header extension by which they tell the level of what they send (RFC 6464).
    pub level_id: Option<u8>,
    /// Id of the header extension by which we tell them the levels of those whom they hear (RFC 6465).
    pub levels_id: Option<u8>,
    /// The keys, if RTP and RTCP are encrypted with those of the descriptions.
    pub srtp: Option<srtp::Keys>,
    /// What keys are to be made by, if they are encrypted with such. Then `remote` says nothing where ICE is agreed.
    pub dtls: Option<Box<Association>>,
    /// Ours, after negotiation.
    pub direction: Direction,
    /// The far side put us on hold: it does not want to hear us.
    pub remote_holds: bool,
}

/// Why no stream was agreed. What stood before still stands.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not a session description.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// There is an audio m-line but no c-line for it.
    #[error("expected a c-line for the audio stream")]
    NoConnection,
    /// No m-line is an open audio stream.
    #[error("no audio stream")]
    NoAudio,
    /// Audio only by a protocol that is not spoken here, such as `DCCP/RTP/AVP`.
    #[error("audio only by {0}, expected {1}")]
    Protocol(String, &'static str),
    /// `RTP/SAVP` or our policy wants encryption, and there is no `a=crypto` that we take.
    #[error("audio must be encrypted, expected an a=crypto line with a suite that is known here")]
    NotEncrypted,
    /// DTLS-SRTP without the fingerprint of a certificate.
    #[error("expected a=fingerprint with sha-256, sha-384 or sha-512")]
    NoFingerprint,
    /// DTLS-SRTP with a port of its own for RTCP.
    #[error("audio by DTLS-SRTP expected with a=rtcp-mux")]
    NoMux,
    /// DTLS-SRTP that shall not begin yet, or unreadably so.
    #[error("expected a=setup with actpass, active or passive")]
    Setup,
    /// None of our codecs is on the list.
    #[error("no common audio codec")]
    NoCommonCodec,
    /// The address is a host name, a multicast address, or of the family that we do not use in this session.
    #[error("media address {0} cannot be used, expected a unicast address of the family {1}")]
    Address(String, &'static str),
    /// An answer came to no offer.
    #[error("an answer without an offer")]
    NotOffered,
}

impl Refusal {
    /// The SIP status that says so: 400, or 488 Not Acceptable Here (RFC 3261 §21.4.1, §21.4.26).
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::NoConnection | Self::NotOffered => 400,
            Self::NoAudio
            | Self::Protocol(..)
            | Self::NotEncrypted
            | Self::NoFingerprint
            | Self::NoMux
            | Self::Setup
            | Self::NoCommonCodec
            | Self::Address(..) => 488,
        }
    }

    /// The warn-code for a Warning header beside it (RFC 3261 §20.43).
    pub fn warn_code(&self) -> u16 {
        match self {
            Self::Address(..) => 301,
            Self::Protocol(..) => 302,
            Self::NoAudio => 304,
            Self::NoCommonCodec => 305,
            Self::Malformed(_)
            | Self::NoConnection
            | Self::NotOffered
            | Self::NotEncrypted
            | Self::NoFingerprint
            | Self::NoMux
            | Self::Setup => 399,
        }
    }
}
