//! Sans-IO conference audio.

pub mod codec;
pub mod dtmf;
pub mod jitter;
pub mod room;
pub mod rtcp;
pub mod rtp;
pub mod slot;
