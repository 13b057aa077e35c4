//! SDP (RFC 8866) and its offer/answer (RFC 3264): text in, text and a [`MediaPlan`] out.
//!
//! ```text
//!  bytes ─▶ Session::parse ─▶ Session ─▶ Negotiation ─▶ bytes for the peer
//!           line by line,     typed      remembers o=,  └▶ MediaPlan for the media threads
//!           unknown kept      accessors  m-lines, plan
//! ```
//!
//! Parsing is tolerant line by line: an odd line costs that line and nothing else, because a phone with one strange
//! attribute must still be heard. Only what would make the number or order of m-lines doubtful is an error.

mod attribute;
mod crypto;
mod dtls;
mod extension;
mod format;
mod ice;
mod local;
mod negotiate;
mod plan;
mod session;

pub use attribute::{Direction, Fmtp, Host, Origin, RtcpAddress, RtpMap};
pub use crypto::{KeySeed, SrtpPolicy};
pub use dtls::DtlsPolicy;
pub use local::Local;
pub use negotiate::Negotiation;
pub use plan::{MediaPlan, Refusal};
pub use session::{Line, MAX_BYTES, MAX_LINES, MAX_MEDIA, Media, ParseError, Session};
