//! Endpoints that talk over a network in virtual time.

#![expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]

mod calls;
mod changes;
mod early;
mod failures;
mod flows;
mod logins;
mod lossy;
mod network;
mod noise;
mod parallel;
mod refers;
mod refusals;
mod script;
mod servers;
mod subscriptions;
mod texts;
mod timers;
