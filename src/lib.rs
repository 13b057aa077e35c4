//! Plenary: a SIP back-to-back user agent that hosts multi-party calls.
//!
//! [`start`] puts the parts together: [`net`] carries SIP bytes, [`bridge`] decides (over [`sip`] and [`sdp`]), [`media`] mixes, the
//! `api` crate serves HTTP, [`store`] keeps what must survive a restart. Only the driver sees them all. `ARCHITECTURE.md` has the picture.

mod ask;
pub mod bridge;
pub mod config;
mod directory;
mod driver;
pub mod key;
mod mail;
pub mod media;
pub mod net;
mod post;
pub mod recorder;
pub mod sdp;
mod shelf;
mod signature;
pub mod sip;
pub mod sounds;
mod start;
pub mod store;
mod webhooks;
pub mod webrtc;

pub use start::{Running, StartError, bridge_settings, start};
