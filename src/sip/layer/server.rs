//! Server transactions: what peers ask of us.

use std::time::Instant;

use bytes::Bytes;

use super::key::{MergeKey, ServerKey};
use super::{Destination, Head, Indication, Key, Layer, Reply, Source, class_of, reliability};
use crate::sip::endpoint::Output;
use crate::sip::transaction::{
    self, Reliability, ServerInput, ServerInvite, ServerNonInvite, StatusClass,
};
use crate::sip::{Message, Method, StatusCode};

/// Names a server transaction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::sip) struct ServerId(pub(in crate::sip) u64);

/// A request that came, its machine and where answers go.
#[derive(Debug)]
pub(super) struct Server {
    key: ServerKey,
    merge: Option<MergeKey>,
    machine: Machine,
    request: Message,
    method: Method,
    source: Source,
    reply_to: Destination,
    /// What was sent last, for a connection that is gone.
    sent: Option<Bytes>,
    /// It has a 2xx, and counts among those.
    is_accepted: bool,
    /// Every response from us carries the same To tag (RFC 3261 §8.2.6.2).
    tag: String,
}

#[derive(Debug)]
enum Machine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

impl Machine {
    fn new(now: Instant, method: &Method, reliability: Reliability) -> Self {
        if *method == Method::Invite {
            Self::Invite(ServerInvite::new(reliability))
        } else {
            Self::NonInvite(ServerNonInvite::new(now, reliability))
        }
    }

    fn handle_input(&mut self, now: Instant, input: ServerInput) {
        match self {
            Self::Invite(machine) => machine.handle_input(now, input),
            Self::NonInvite(machine) => machine.handle_input(now, input),
        }
    }

    fn poll_output(&mut self) -> transaction::Output {
        match self {
            Self::Invite(machine) => machine.poll_output(),
            Self::NonInvite(machine) => machine.poll_output(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }

    fn is_accepted(&self) -> bool {
        matches!(self, Self::Invite(machine) if machine.is_accepted())
    }

    fn is_proceeding(&self) -> bool {
        matches!(self, Self::Invite(machine) if machine.is_proceeding())
    }

    /// All that is left is to answer alike whoever asks again.
    fn is_echo(&self) -> bool {
        matches!(self, Self::NonInvite(machine) if machine.is_completed())
    }
}

impl Layer {
    /// Finds the transaction of a request that was just received, or begins one.
    pub(super) fn receive_request(&mut self, now: Instant, request: Message, source: Source) {
        let Some(head) = Head::of(&request) else {
            self.counters.malformed += 1;
            return self.refuse(&request, source, StatusCode::BAD_REQUEST);
        };
        self.counters.request_in(&head.method);
        let key = ServerKey::of(&request, &head);
        match (self.by_key.get(&key).copied(), &head.method) {
            (Some(server), Method::Ack) => self.receive_ack(now, server, request, source),
            (Some(server), _) => {
                self.counters.retransmissions_in += 1;
                self.drive_server(now, server, ServerInput::Retransmission);
            }
            (None, Method::Ack) => self.indicate(None, request, head, source),
            (None, _) if let Some(answer) = self.echoes.get(&key) => {
                self.counters.retransmissions_in += 1;
                self.counters.retransmissions_out += 1;
                let answer = answer.clone();
                self.transmit(answer);
            }
            (None, Method::Cancel) => self.receive_cancel(now, &request, &head, source),
            (None, _) => self.begin(now, request, head, source),
        }
    }

    /// Answers; returns what was sent, so that a 2xx can be sent again.
    pub(in crate::sip) fn reply(
        &mut self,
        now: Instant,
        server: ServerId,
        reply: Reply,
    ) -> Option<Bytes> {
        let entry = self.servers.get(&server)?;
        let status = reply.status;
        let (source, method) = (entry.source, entry.method.clone());
        let response = self.response(&entry.request, &entry.tag, source, reply);
        let bytes = response.print();
        self.counters.response_out(&method, status);
        self.drive_server(now, server, ServerInput::Respond(class_of(status), bytes.clone()));
        Some(bytes)
    }

    /// Sends a 2xx to INVITE again, as RFC 3261 §13.3.1.4 asks of the transaction user.
    pub(in crate::sip) fn resend_success(&mut self, now: Instant, server: ServerId, bytes: Bytes) {
        self.counters.retransmissions_out += 1;
        self.drive_server(now, server, ServerInput::Respond(StatusClass::Success, bytes));
    }

    /// Sends a reliable provisional response again (RFC 3262 §3).
    pub(in crate::sip) fn resend_provisional(
        &mut self,
        now: Instant,
        server: ServerId,
        bytes: Bytes,
    ) {
        self.counters.retransmissions_out += 1;
        self.drive_server(now, server, ServerInput::Respond(StatusClass::Provisional, bytes));
    }

    /// The request of a transaction that still exists.
    pub(in crate::sip) fn request_of(&self, server: ServerId) -> Option<&Message> {
        self.servers.get(&server).map(|server| &server.request)
    }

    /// Where the request of a transaction that still exists came from.
    pub(in crate::sip) fn source_of(&self, server: ServerId) -> Option<Source> {
        self.servers.get(&server).map(|server| server.source)
    }

    /// The To tag that our responses in this transaction carry.
    pub(in crate::sip) fn tag_of(&self, server: ServerId) -> Option<&str> {
        self.servers.get(&server).map(|server| server.tag.as_str())
    }

    /// Answers without a transaction: each retransmission gets the same answer again.
    pub(in crate::sip) fn refuse(&mut self, request: &Message, source: Source, status: StatusCode) {
        let mut reply = Reply::new(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply = reply.header("Retry-After", self.settings.retry_after.as_secs().to_string());
        }
        let tag = self.stateless_tag(request);
        let response = self.response(request, &tag, source, reply);
        self.counters.response_out(request.method().unwrap_or(&Method::Options), status);
        self.transmit(source.reply_to(request).carry(response.print()));
    }

    /// Takes responses whose connection is gone to the sent-by port, once (RFC 3261 §18.2.2).
    ///
    /// Only an INVITE is remembered so long: over TCP other transactions end with their response.
    pub(super) fn redirect_replies(&mut self, failed: Destination) {
        if !failed.transport.is_reliable() {
            return;
        }
        for server in self.servers.values_mut().filter(|server| server.reply_to == failed) {
            let peer = server.source.sent_by(&server.request);
            if peer == failed.peer {
                continue;
            }
            server.reply_to.peer = peer;
            // The session resends a 2xx until its ACK comes; this one may have its ACK already.
            if let Some(bytes) = server.sent.clone().filter(|_| !server.machine.is_accepted()) {
                self.outputs.push_back(Output::Transmit(server.reply_to.carry(bytes)));
            }
        }
    }

    pub(super) fn drive_server(&mut self, now: Instant, id: ServerId, input: ServerInput) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let again = matches!(input, ServerInput::Timeout | ServerInput::Retransmission);
        server.machine.handle_input(now, input);
        let reply_to = server.reply_to;
        let deadline = loop {
            match server.machine.poll_output() {
                transaction::Output::Transmit(bytes) => {
                    self.counters.retransmissions_out += u64::from(again);
                    server.sent = Some(bytes.clone());
                    self.outputs.push_back(Output::Transmit(reply_to.carry(bytes)));
                }
                transaction::Output::WaitUntil(at) => break at,
                // An ACK that never comes after a refusal concerns nobody any more.
                transaction::Output::TimedOut
                | transaction::Output::Acknowledge
                | transaction::Output::Deliver
                | transaction::Output::TransportFailed => {}
            }
        };
        self.deadlines.set(&Key::Server(id), deadline);
        let is_accepted = server.machine.is_accepted();
        if is_accepted && !std::mem::replace(&mut server.is_accepted, is_accepted) {
            self.accepted += 1;
        }
        if server.machine.is_terminated() {
            self.forget_server(id);
        } else if server.machine.is_echo() {
            self.keep_echo(now, id);
        }
    }

    /// Keeps of a transaction only what was answered.
    fn keep_echo(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.take_server(id) else { return };
        if let Some(answer) = server.sent {
            let answer = server.reply_to.carry(answer);
            self.echoes.add(now, (server.key, server.merge), answer);
        }
        // One more came, so two may go: they never pile up.
        for _ in 0..2 {
            self.forget_echo(now);
        }
    }

    /// Forgets the answers whose time is over.
    pub(super) fn forget_echoes(&mut self, now: Instant) {
        while self.forget_echo(now) {}
    }

    fn forget_echo(&mut self, now: Instant) -> bool {
        let Some(echo) = self.echoes.forget(now) else { return false };
        if let Some(merge) = echo.merge {
            self.merges.remove(&merge);
        }
        true
    }

    fn begin(&mut self, now: Instant, request: Message, head: Head, source: Source) {
        let merge = MergeKey::of(&head);
        if merge.as_ref().is_some_and(|merge| self.merges.contains(merge)) {
            return self.refuse(&request, source, StatusCode::LOOP_DETECTED);
        }
        if self.is_overloaded(&head.method) {
            self.counters.overloads += 1;
            return self.refuse(&request, source, StatusCode::SERVICE_UNAVAILABLE);
        }
        let tag = self.new_tag();
        let server = self.insert_server(now, (&request, &head, source), tag);
        if head.method == Method::Invite {
            self.reply(now, server, Reply::new(StatusCode::TRYING));
        }
        self.indicate(Some(server), request, head, source);
    }

    /// BYE makes room, so it is let in for as long as a peer can have anything to end. What is answered is no work any more.
    fn is_overloaded(&self, method: &Method) -> bool {
        let factor = if *method == Method::Bye { 2 } else { 1 };
        let open = self.servers.len().saturating_sub(self.accepted);
        open >= self.settings.transactions.saturating_mul(factor)
    }

    fn receive_ack(&mut self, now: Instant, server: ServerId, request: Message, source: Source) {
        // A 2xx is acknowledged with a branch of its own; some phones reuse that of the INVITE.
        if self.servers.get(&server).is_some_and(|server| server.machine.is_accepted()) {
            if let Some(head) = Head::of(&request) {
                self.indicate(None, request, head, source);
            }
        } else {
            self.drive_server(now, server, ServerInput::Ack);
        }
    }

    /// RFC 3261 §9.2: the CANCEL itself always gets 200 if it finds its INVITE.
    fn receive_cancel(&mut self, now: Instant, request: &Message, head: &Head, source: Source) {
        let invite = self.by_key.get(&ServerKey::of(request, head).of_cancelled()).copied();
        let Some((id, invite)) = invite.and_then(|id| Some((id, self.servers.get(&id)?))) else {
            return self.refuse(request, source, StatusCode::CALL_DOES_NOT_EXIST);
        };
        let is_pending = invite.machine.is_proceeding();
        let tag = invite.tag.clone();
        let cancel = self.insert_server(now, (request, head, source), tag);
        self.reply(now, cancel, Reply::new(StatusCode::OK));
        if is_pending {
            self.indications.push_back(Indication::Cancelled(id));
        }
    }

    fn insert_server(
        &mut self,
        now: Instant,
        (request, head, source): (&Message, &Head, Source),
        tag: String,
    ) -> ServerId {
        let id = ServerId(self.next_id());
        let key = ServerKey::of(request, head);
        let merge = MergeKey::of(head).filter(|_| head.method != Method::Cancel);
        let machine = Machine::new(now, &head.method, reliability(source.transport));
        self.by_key.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merges.insert(merge.clone());
        }
        let server = Server {
            key,
            merge,
            machine,
            request: request.clone(),
            method: head.method.clone(),
            source,
            reply_to: source.reply_to(request),
            sent: None,
            is_accepted: false,
            tag,
        };
        self.servers.insert(id, server);
        self.drive_server(now, id, ServerInput::Timeout); // sets the first deadline
        id
    }

    fn forget_server(&mut self, id: ServerId) {
        if let Some(merge) = self.take_server(id).and_then(|server| server.merge) {
            self.merges.remove(&merge);
        }
    }

    fn take_server(&mut self, id: ServerId) -> Option<Server> {
        self.deadlines.set(&Key::Server(id), None);
        let server = self.servers.remove(&id)?;
        self.by_key.remove(&server.key);
        self.accepted -= usize::from(server.is_accepted);
        Some(server)
    }

    fn indicate(&mut self, server: Option<ServerId>, request: Message, head: Head, source: Source) {
        self.indications.push_back(Indication::Request { server, request, head, source });
    }
}
