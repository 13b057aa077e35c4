//! The API as a client sees it, with a bridge of cardboard behind the command channel.
#![allow(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the command it cares for")]

mod auth;
mod bridge;
mod conditions;
mod contract;
mod failures;
mod idempotency;
mod keys;
mod limits;
mod page;
mod recordings;
mod serve;
mod sessions;
mod socket;
mod stream;
mod tokens;
mod webhooks;
