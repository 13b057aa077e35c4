//! Sans-IO conference audio.

mod agc;
pub mod codec;
pub mod comfort;
pub mod conceal;
mod denoise;
pub mod dtmf;
mod echo;
mod floor;
mod gain;
pub mod jitter;
pub mod level;
pub mod limiter;
mod outlet;
pub mod play;
pub mod quality;
pub mod resample;
pub mod room;
pub mod rtcp;
pub mod rtp;
pub mod slot;
pub mod srtp;
pub mod stretch;
