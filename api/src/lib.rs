//! The contract of Plenary: what can be asked ([`control`]), what is said ([`model`], [`event`]), and the HTTP that carries both.
//!
//! This crate knows nothing of SIP or audio: the root crate fulfils its commands and writes its [`events::EventLog`].
#![forbid(unsafe_code)]

pub mod archive;
pub mod auth;
pub mod control;
pub mod directory;
pub mod event;
pub mod events;
pub mod id;
pub mod mail;
pub mod model;
pub mod samples;
pub mod wav;
pub mod webhooks;

mod buckets;
mod envelope;
mod error;
mod extract;
mod gate;
mod idempotency;
mod keeping;
mod keys;
mod meters;
mod openapi;
mod origins;
mod pcapng;
mod routes;
mod serve;
mod socket;
mod streams;
mod tokens;
mod validate;

pub use error::{FieldError, Problem};
pub use routes::{Api, Settings, router};
pub use serve::serve;

/// Largest request body, bytes.
pub const MAX_BODY: usize = 64 * 1024;
