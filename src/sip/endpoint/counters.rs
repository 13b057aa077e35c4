//! Figures for metrics and for proving that nothing leaks.

use std::collections::BTreeMap;

use crate::sip::transport::{Refusal, Transport};
use crate::sip::{Method, StatusCode};

/// How many of each thing an endpoint holds now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Transactions that peers began.
    pub server_transactions: usize,
    /// Requests of ours that are being resolved, sent or lingered for.
    pub client_transactions: usize,
    /// Early and confirmed dialogs.
    pub dialogs: usize,
    /// INVITE usages, those that wait for their last ACK included.
    pub sessions: usize,
    /// References and the subscriptions they imply, in both directions.
    pub refers: usize,
    /// What peers have subscribed to.
    pub subscriptions: usize,
    /// Names being looked up.
    pub lookups: usize,
}

impl Counts {
    /// True if nothing at all is held.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How often things happened since the endpoint was made. Methods we have no name for count as
/// `OTHER`, so the tables are bounded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Requests received, retransmissions included.
    pub requests_in: BTreeMap<&'static str, u64>,
    /// Requests sent, retransmissions not included.
    pub requests_out: BTreeMap<&'static str, u64>,
    /// Responses received, retransmissions included.
    pub responses_in: BTreeMap<(&'static str, StatusCode), u64>,
    /// Responses sent, retransmissions not included.
    pub responses_out: BTreeMap<(&'static str, StatusCode), u64>,
    /// Retransmitted requests that were absorbed.
    pub retransmissions_in: u64,
    /// Requests and responses that were sent again.
    pub retransmissions_out: u64,
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// Responses and ACKs that belong to nothing we know.
    pub strays: u64,
    /// Requests refused with 503 because a table was full.
    pub overloads: u64,
    /// Connections that were not taken, or not kept.
    pub connections_refused: BTreeMap<(Transport, Refusal), u64>,
}

impl Counters {
    pub(in crate::sip) fn request_in(&mut self, method: &Method) {
        *self.requests_in.entry(label(method)).or_default() += 1;
    }

    pub(in crate::sip) fn request_out(&mut self, method: &Method) {
        *self.requests_out.entry(label(method)).or_default() += 1;
    }

    pub(in crate::sip) fn response_in(&mut self, method: &Method, status: StatusCode) {
        *self.responses_in.entry((label(method), status)).or_default() += 1;
    }

    pub(in crate::sip) fn response_out(&mut self, method: &Method, status: StatusCode) {
        *self.responses_out.entry((label(method), status)).or_default() += 1;
    }
}

fn label(method: &Method) -> &'static str {
    match method {
        Method::Invite => "INVITE",
        Method::Ack => "ACK",
        Method::Bye => "BYE",
        Method::Cancel => "CANCEL",
        Method::Options => "OPTIONS",
        Method::Register => "REGISTER",
        Method::Update => "UPDATE",
        Method::Prack => "PRACK",
        Method::Info => "INFO",
        Method::Refer => "REFER",
        Method::Notify => "NOTIFY",
        Method::Subscribe => "SUBSCRIBE",
        Method::Message => "MESSAGE",
        Method::Publish => "PUBLISH",
        Method::Other(_) => "OTHER",
    }
}
