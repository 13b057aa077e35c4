//! The transaction layer: RFC 3261 §17 and §18, between packets and the transaction user.
//!
//! It parses, finds or begins transactions, routes requests (RFC 3263 with DNS left to the
//! caller), moves to the next address when one fails, and hands up [`Indication`]s. Dialogs,
//! sessions and the rules of §8.2 are above it.

mod client;
mod echoes;
mod flow;
mod head;
mod key;
mod message;
mod outage;
mod route;
mod server;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use client::Client;
use echoes::Echoes;
use key::{MergeKey, ServerKey};
use message::{ack_of_failure, cancel_of};
use outage::Outages;
use route::{Hop, Lookup, reliability};
use server::Server;

use crate::sip::endpoint::{
    Counters, Counts, Event, LocalAddress, Output, Packet, ResolveId, Settings, Transmit,
};
use crate::sip::message::Start;
use crate::sip::timer::Deadlines;
use crate::sip::transaction::{ClientInput, ServerInput, StatusClass};
use crate::sip::transport::Transport;
use crate::sip::{Message, StatusCode};

pub(super) use client::{Challenged, Failure, Owner, Request, RequestId};
pub use flow::Flow;
pub(super) use head::Head;
pub(super) use message::Reply;
pub use route::Destination;
pub(super) use route::Source;
pub(super) use server::ServerId;

/// Both transaction tables and everything that sends.
pub(super) struct Layer {
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    local: Box<dyn LocalAddress + Send>,
    random: ChaCha12Rng,
    /// Makes the To tags of stateless responses ours and the same for each retransmission.
    secret: u64,
    last_id: u64,
    clients: BTreeMap<RequestId, Client>,
    servers: BTreeMap<ServerId, Server>,
    by_key: BTreeMap<ServerKey, ServerId>,
    /// Those of `servers` that have a 2xx, and wait for the end of timer L.
    accepted: usize,
    echoes: Echoes,
    merges: BTreeSet<MergeKey>,
    lookups: BTreeMap<ResolveId, Lookup>,
    outages: Outages,
    deadlines: Deadlines<Key>,
    outputs: VecDeque<Output>,
    indications: VecDeque<Indication>,
}

/// What the layer tells the transaction user.
#[derive(Debug)]
pub(super) enum Indication {
    /// A new request; an ACK for a 2xx has no transaction.
    Request { server: Option<ServerId>, request: Message, head: Head, source: Source },
    /// A CANCEL arrived for this INVITE, which has no final response yet.
    Cancelled(ServerId),
    /// A response to a request of ours, other than 100 and repeated 2xx.
    Response(Answer),
    /// A request of ours got no final response.
    Failed { owner: Owner, request: RequestId, failure: Failure },
}

/// A response, and what it is to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) owner: Owner,
    pub(super) request: RequestId,
    pub(super) message: Message,
    pub(super) source: Source,
    /// The request, if it is to be sent again with an answer.
    pub(super) challenged: Option<Box<Challenged>>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Client(RequestId),
    Server(ServerId),
}

impl Layer {
    pub(super) fn new(settings: Settings, seed: u64, local: Box<dyn LocalAddress + Send>) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        Self {
            secret: random.next_u64(),
            counters: Counters::default(),
            local,
            random,
            last_id: 0,
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            accepted: 0,
            echoes: Echoes::new(settings.transactions.saturating_mul(ECHOES)),
            merges: BTreeSet::new(),
            lookups: BTreeMap::new(),
            outages: Outages::default(),
            deadlines: Deadlines::new(),
            outputs: VecDeque::new(),
            indications: VecDeque::new(),
            settings,
        }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: &Packet) {
        let source = Source::of(packet);
        let mut message = match Message::parse(&packet.bytes, &self.settings.message) {
            Ok(message) => message,
            Err(error) => return self.refuse_malformed(&error, source),
        };
        match &message.start {
            Start::Request { .. } => {
                if source.note_in_via(&mut message).is_ok() {
                    self.receive_request(now, message, source);
                } else {
                    self.counters.malformed += 1; // never: the parser has seen a good Via
                }
            }
            Start::Response { status, .. } => {
                let status = *status;
                self.receive_response(now, status, message, source);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.pop_due(now) {
            match key {
                Key::Client(id) => self.drive_client(now, id, ClientInput::Timeout, None),
                Key::Server(id) => self.drive_server(now, id, ServerInput::Timeout),
            }
        }
        self.forget_echoes(now);
    }

    /// Takes every message that waits for this peer elsewhere, or tells its owner.
    pub(super) fn handle_transmit_failed(
        &mut self,
        now: Instant,
        transport: Transport,
        peer: SocketAddr,
    ) {
        let failed = Destination { transport, peer };
        self.redirect_replies(failed);
        self.redirect_acks(failed);
        self.fail_requests(now, failed);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next().into_iter().chain(self.echoes.deadline()).min()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn poll_indication(&mut self) -> Option<Indication> {
        self.indications.pop_front()
    }

    /// Queues an event behind whatever was sent before it.
    pub(super) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.server_transactions = self.servers.len() + self.echoes.len();
        counts.client_transactions = self.clients.len();
        counts.lookups = self.lookups.len();
    }

    /// A number that was never given before.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A first RSeq, from 1 below 2³¹ (RFC 3262 §3).
    pub(in crate::sip) fn new_response_number(&mut self) -> u32 {
        (self.random.next_u32() >> 1).max(1)
    }

    /// A tag of 64 random bits (RFC 3261 §19.3 asks for 32).
    pub(super) fn new_tag(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    /// A Call-ID of 128 random bits.
    pub(super) fn new_call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.random.next_u64(), self.random.next_u64())
    }

    /// A random delay from nothing up to `range`, in steps of 10 ms.
    pub(super) fn random_delay(&mut self, range: Duration) -> Duration {
        const STEP: Duration = Duration::from_millis(10);
        let steps = range.as_millis() / STEP.as_millis() + 1;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        STEP * (self.random.next_u32() % steps)
    }

    pub(super) fn random_u64(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.outputs.push_back(Output::Transmit(transmit));
    }
}

fn class_of(status: StatusCode) -> StatusClass {
    if status.is_provisional() {
        StatusClass::Provisional
    } else if status.is_success() {
        StatusClass::Success
    } else {
        StatusClass::Failure
    }
}

/// Answers that are remembered for each transaction that may be open: seconds of them.
const ECHOES: usize = 5;

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("clients", &self.clients)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}
