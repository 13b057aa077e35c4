//! Sans-IO conference audio.

pub mod codec;
pub mod jitter;
pub mod room;
pub mod rtp;
pub mod slot;
