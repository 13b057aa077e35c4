//! Sans-IO conference audio.

pub mod codec;
