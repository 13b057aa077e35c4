//! Sans-IO conference audio.

pub mod codec;
pub mod room;
pub mod slot;
