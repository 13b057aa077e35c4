//! The contract of Plenary: what can be asked ([`control`]), what is said ([`model`], [`event`]), and the HTTP that carries both.
//!
//! This crate knows nothing of SIP or audio: the root crate fulfils its commands.
#![forbid(unsafe_code)]

pub mod control;
pub mod event;
pub mod id;
pub mod model;
