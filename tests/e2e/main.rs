//! End to end: the real binary on real sockets, called by real phones and steered over HTTP.
//!
//! Who hears whom is judged by tones; everything else by what the API and the phones report. Nothing
//! sleeps: tests wait for events, and listen for windows of media time. A test that fails prints the
//! bridge's log and all that the phones said.
//!
//! `E2E_BRIDGE` and `E2E_PHONE` put other binaries to the test.
//!
//! Needed besides cargo: cmake and a C compiler (for the test phone), `sipp`, `baresip`, `linphonec`, `dnsmasq`,
//! `kamailio`, Python with aiosmtpd and icalendar, and `slapd`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "test helpers: they wait in real time, panic to report and are read by tests alone"
)]

mod access;
mod api;
mod ask;
mod attended;
mod calls;
mod comfort;
mod conference;
mod dial_out;
mod digits;
mod directory;
mod dns;
mod early_media;
mod fec;
mod focus;
mod groups;
mod hep;
mod hold;
mod ipv6;
mod kept;
mod levels;
mod linphone;
mod mail;
mod manners;
mod media;
mod messages;
mod operation;
mod peers;
mod proxy;
mod recordings;
mod refusals;
mod registration;
mod secure;
mod signalling;
mod sounds;
mod srtp;
mod storm;
mod subscriptions;
mod support;
mod timers;
mod transfer;
mod trunks;
mod watchers;
mod webhooks;
mod wire;
