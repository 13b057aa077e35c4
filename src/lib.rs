//! Plenary: a SIP back-to-back user agent that hosts multi-party calls.

pub mod bridge;
pub mod config;
pub mod key;
pub mod media;
pub mod net;
pub mod sdp;
pub mod sip;
