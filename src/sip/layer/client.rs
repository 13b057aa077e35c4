//! Client transactions: what we ask of peers, from route to final response.
//!
//! One [`Request`] may take several attempts: each address of the next hop is tried in turn, and a
//! request too large for UDP tries TCP first (RFC 3261 §18.1.1, RFC 3263 §4.3). Each attempt is a
//! transaction of its own with its own branch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::key::COOKIE;
use super::route::obey_strict_router;
use super::{
    Answer, Destination, Flow, Hop, Indication, Key, Layer, Source, ack_of_failure, cancel_of,
    class_of,
};
use crate::sip::dialog::Identity;
use crate::sip::digest::{Account, Login};
use crate::sip::endpoint::{Output, QueryId, ReferId, SessionId, SubscriptionId, TextId, Transmit};
use crate::sip::headers::{Name, RetryAfter};
use crate::sip::timer::GIVE_UP;
use crate::sip::transaction::{self, ClientInput, ClientInvite, ClientNonInvite, Reliability};
use crate::sip::transport::Transport;
use crate::sip::{Message, Method, StatusCode};

/// Names a request of ours over all its attempts; it is 64 random bits of their branches, so that
/// a response cannot be guessed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::sip) struct RequestId(u64);

/// A request to send: complete but for Via and Contact, which depend on the way it takes.
#[derive(Debug)]
pub(in crate::sip) struct Request {
    pub(in crate::sip) message: Message,
    /// The Contact to add, if it needs one.
    pub(in crate::sip) contact: Option<Identity>,
    pub(in crate::sip) owner: Owner,
    /// Where the far side of its dialog was last heard from.
    pub(in crate::sip) flow: Option<Flow>,
    /// What answers a challenge.
    pub(in crate::sip) login: Option<Login>,
    /// Whoever sends it has somebody else to ask if nobody answers at all.
    pub(in crate::sip) has_others: bool,
}

/// A request that was challenged, to be sent again with an answer.
#[derive(Debug)]
pub(in crate::sip) struct Challenged {
    pub(in crate::sip) message: Message,
    pub(in crate::sip) contact: Option<Identity>,
    pub(in crate::sip) login: Login,
    /// Who asked, and whom its certificate names.
    way: (Destination, Option<String>),
}

/// Whom the response is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sip) enum Owner {
    /// INVITE, re-INVITE or UPDATE.
    Session(SessionId),
    /// INFO.
    Info(SessionId),
    /// REFER.
    Refer(ReferId),
    /// NOTIFY.
    Notify(ReferId),
    /// MESSAGE within a session.
    Text(TextId),
    /// NOTIFY of a subscription that was asked for by SUBSCRIBE.
    Notice(SubscriptionId),
    /// REGISTER, OPTIONS … outside of any call.
    Query(QueryId),
    /// BYE: whatever comes back, it is over.
    Nobody,
}

/// Why there is no final response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sip) enum Failure {
    /// Timer B or F, or 64·T1 after CANCEL: as if 408 had come (RFC 3261 §8.1.3.1).
    TimedOut,
    /// No address could be reached: as if 503 had come.
    Unreachable,
    /// The next hop is no SIP URI, or its name has no address.
    Unresolved,
}

impl Failure {
    /// The response that RFC 3261 §8.1.3.1 has us imagine.
    pub(in crate::sip) fn status(self) -> StatusCode {
        match self {
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Unreachable | Self::Unresolved => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request of ours and what became of it.
#[derive(Debug)]
pub(super) struct Client {
    request: Request,
    method: Method,
    stage: Stage,
    untried: VecDeque<Hop>,
    origin: Origin,
    /// Whom the certificate of a new connection must name.
    domain: Option<String>,
    attempt: u8,
    cancel: Cancel,
    /// The ACK for each 2xx, by To tag; `None` while the user owes it.
    acknowledged: BTreeMap<String, Option<SentAck>>,
    /// Where the last response came from.
    heard: Option<Source>,
}

/// An ACK for a 2xx.
#[derive(Debug)]
pub(super) struct SentAck {
    pub(super) transmit: Transmit,
    /// The ACK without Via, if it took a flow and can still go to its next hop.
    pub(super) detour: Option<Box<Message>>,
}

#[derive(Debug)]
enum Stage {
    /// Waits for addresses.
    Resolving,
    Sent(Box<Sent>),
}

/// One attempt.
#[derive(Debug)]
struct Sent {
    machine: Machine,
    destination: Destination,
    message: Message,
}

/// How far giving up an INVITE got (RFC 3261 §9.1).
#[derive(Debug)]
enum Cancel {
    No,
    /// Wanted, but no provisional response allows it yet.
    Wanted {
        reason: Option<String>,
    },
    Sent {
        machine: ClientNonInvite,
        give_up: Instant,
    },
}

#[derive(Debug)]
enum Machine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

impl Machine {
    fn new(now: Instant, method: &Method, bytes: Bytes, reliability: Reliability) -> Self {
        if *method == Method::Invite {
            Self::Invite(ClientInvite::new(now, bytes, reliability))
        } else {
            Self::NonInvite(ClientNonInvite::new(now, bytes, reliability))
        }
    }

    fn handle_input(&mut self, now: Instant, input: ClientInput) {
        match self {
            Self::Invite(machine) => machine.handle_input(now, input),
            Self::NonInvite(machine) => machine.handle_input(now, input),
        }
    }

    fn hurry(&mut self, until: Instant) {
        match self {
            Self::Invite(machine) => machine.hurry(until),
            Self::NonInvite(machine) => machine.hurry(until),
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

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }

    fn may_cancel(&self) -> bool {
        matches!(self, Self::Invite(machine) if machine.is_proceeding())
    }
}

/// Whether it is still worth waiting for the end of a cancelled INVITE (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Patience {
    Kept,
    Lost,
}

/// Whether a request too large for a datagram tries TCP first (RFC 3261 §18.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Size {
    Minded,
    Ignored,
}

/// Where the addresses of a request come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// A flow, or an address in a URI.
    Given,
    /// DNS: there may be others of the same name.
    Found,
}

/// What a round of a machine asked for.
#[derive(Default)]
struct Round {
    sent: u64,
    deliver: bool,
    failure: Option<Failure>,
}

impl Layer {
    /// Sends a request; its response or failure comes as an [`Indication`] for its owner.
    pub(in crate::sip) fn send(&mut self, now: Instant, request: Request) -> RequestId {
        let id = self.add_client(request);
        self.route_request(now, id);
        id
    }

    /// Sends a request again, answered, to who challenged it.
    pub(in crate::sip) fn send_answered(
        &mut self,
        now: Instant,
        owner: Owner,
        challenged: Challenged,
    ) -> RequestId {
        let Challenged { message, contact, login, way: (to, domain) } = challenged;
        let login = Some(login);
        let request = Request { message, contact, owner, flow: None, login, has_others: false };
        let id = self.add_client(request);
        self.set_way(id, VecDeque::from([Hop::Preferred(to)]), domain);
        self.next_attempt(now, id, Failure::Unreachable);
        id
    }

    fn add_client(&mut self, request: Request) -> RequestId {
        let id = RequestId(self.random_u64());
        let method = request.message.method().cloned().unwrap_or(Method::Options);
        self.counters.request_out(&method);
        let client = Client {
            request,
            method,
            stage: Stage::Resolving,
            untried: VecDeque::new(),
            origin: Origin::Given,
            domain: None,
            attempt: 0,
            cancel: Cancel::No,
            acknowledged: BTreeMap::new(),
            heard: None,
        };
        self.clients.insert(id, client);
        id
    }

    /// Gives up an INVITE. Nobody is told how it ends; a 2xx that crosses it still comes up.
    pub(in crate::sip) fn cancel(&mut self, now: Instant, id: RequestId, reason: Option<String>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match (&client.stage, &client.cancel) {
            (Stage::Resolving, _) => self.forget_client(id),
            (Stage::Sent(_), Cancel::No) => {
                client.cancel = Cancel::Wanted { reason };
                self.cancel_if_possible(now, id);
                self.schedule_client(id);
            }
            (Stage::Sent(_), Cancel::Wanted { .. } | Cancel::Sent { .. }) => {}
        }
    }

    /// Sends the ACK for the 2xx with this To tag, and again for each time it is retransmitted.
    pub(in crate::sip) fn acknowledge(
        &mut self,
        id: RequestId,
        tag: &str,
        (ack, flow): (Message, Option<Flow>),
    ) {
        self.counters.request_out(&Method::Ack);
        self.route_ack(id, tag.to_owned(), ack, flow);
    }

    /// The request as the user gave it, while its transaction lasts.
    pub(in crate::sip) fn request_sent(&self, id: RequestId) -> Option<&Message> {
        self.clients.get(&id).map(|client| &client.request.message)
    }

    /// The account that a request answers challenges with.
    pub(in crate::sip) fn account_of(&self, id: RequestId) -> Option<Arc<Account>> {
        let login = self.clients.get(&id)?.request.login.as_ref()?;
        Some(Arc::clone(login.account()))
    }

    /// The flow of the last response to a request, while its transaction lasts.
    pub(in crate::sip) fn flow_of(&self, id: RequestId) -> Option<Flow> {
        self.clients.get(&id)?.heard.map(Flow::of_response)
    }

    /// Takes a request's flow: it is tried once.
    pub(super) fn take_flow(&mut self, id: RequestId) -> Option<Flow> {
        self.clients.get_mut(&id)?.request.flow.take()
    }

    /// Tells every transaction that waits for this peer that it cannot be reached.
    pub(super) fn fail_requests(&mut self, now: Instant, failed: Destination) {
        let concerned: Vec<RequestId> = self
            .clients
            .iter()
            .filter(|(_, client)| client.destination() == Some(failed))
            .map(|(id, _)| *id)
            .collect();
        for id in concerned {
            self.drive_client(now, id, ClientInput::TransportFailed, None);
        }
    }

    /// Sends each ACK that took a flow which is gone to its next hop.
    pub(super) fn redirect_acks(&mut self, failed: Destination) {
        let mut acks = Vec::new();
        for (id, client) in &mut self.clients {
            for (tag, ack) in &mut client.acknowledged {
                let ack = ack.as_mut().filter(|ack| ack.transmit.destination() == failed);
                if let Some(message) = ack.and_then(|ack| ack.detour.take()) {
                    acks.push((*id, tag.clone(), *message));
                }
            }
        }
        for (id, tag, ack) in acks {
            self.route_ack(id, tag, ack, None);
        }
    }

    /// Finds the transaction of a response: RFC 3261 §17.1.3.
    pub(super) fn receive_response(
        &mut self,
        now: Instant,
        status: StatusCode,
        response: Message,
        source: Source,
    ) {
        let headers = &response.headers;
        let (Ok(via), Ok(cseq)) = (headers.via(), headers.cseq()) else {
            self.counters.malformed += 1;
            return;
        };
        self.counters.response_in(&cseq.method, status);
        let Some((id, attempt)) = via.branch().and_then(parse_branch) else {
            self.counters.strays += 1;
            return;
        };
        let input = ClientInput::Response(class_of(status));
        match self.clients.get_mut(&id) {
            Some(client) if client.attempt == attempt && client.method == cseq.method => {
                client.heard = Some(source);
                self.drive_client(now, id, input, Some(response));
            }
            Some(client) if client.attempt == attempt && cseq.method == Method::Cancel => {
                if let Cancel::Sent { machine, .. } = &mut client.cancel {
                    machine.handle_input(now, input);
                    self.schedule_client(id);
                }
            }
            _ => self.counters.strays += 1,
        }
    }

    /// Hands one input to the machine of `id` and does what it asks.
    pub(super) fn drive_client(
        &mut self,
        now: Instant,
        id: RequestId,
        input: ClientInput,
        response: Option<Message>,
    ) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let Stage::Sent(sent) = &mut client.stage {
            sent.machine.handle_input(now, input);
        }
        let is_timeout = input == ClientInput::Timeout;
        if is_timeout && client.tick_cancel(now) == Patience::Lost {
            return self.forget_client(id);
        }
        let round = self.drain_client(id, response.as_ref());
        if is_timeout {
            self.counters.retransmissions_out += round.sent;
        }
        if let Some(failure) = round.failure {
            return self.next_attempt(now, id, failure);
        }
        if let Some(response) = response.filter(|_| round.deliver) {
            self.deliver(now, id, response);
        }
        self.cancel_if_possible(now, id);
        self.schedule_client(id);
    }

    /// Sends to the next untried address, or reports `failure` if there is none.
    pub(super) fn next_attempt(&mut self, now: Instant, id: RequestId, failure: Failure) {
        self.note_failure(now, id, None);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let next = match client.cancel {
            Cancel::No => client.untried.pop_front(),
            Cancel::Wanted { .. } | Cancel::Sent { .. } => None,
        };
        match next {
            Some(Hop::AsRouted) if failure == Failure::Unreachable => {
                client.stage = Stage::Resolving;
                return self.route_request(now, id);
            }
            // A peer that was reached is as silent elsewhere.
            Some(Hop::AsRouted) | None => {}
            Some(Hop::Preferred(destination)) => {
                return self.attempt(now, id, (destination, Size::Minded));
            }
            Some(Hop::OverUdp(peer)) => {
                let destination = Destination { transport: Transport::Udp, peer };
                return self.attempt(now, id, (destination, Size::Ignored));
            }
        }
        let owner = client.request.owner;
        self.forget_client(id);
        self.indications.push_back(Indication::Failed { owner, request: id, failure });
    }

    /// Gives a request the way to its next hop.
    pub(super) fn set_way(&mut self, id: RequestId, hops: VecDeque<Hop>, domain: Option<String>) {
        if let Some(client) = self.clients.get_mut(&id) {
            (client.untried, client.domain) = (hops, domain);
        }
    }

    /// Gives a request the addresses of its next hop.
    pub(super) fn set_hops(&mut self, id: RequestId, hops: VecDeque<Hop>) {
        if let Some(client) = self.clients.get_mut(&id) {
            (client.untried, client.origin) = (hops, Origin::Found);
        }
    }

    /// Remembers that the present attempt failed, for as long as a peer says or as is set.
    fn note_failure(&mut self, now: Instant, id: RequestId, said: Option<Duration>) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(failed) = client.destination() else { return };
        match client.untried.front() {
            Some(&Hop::OverUdp(peer)) => {
                self.outages.note_udp_only(now, peer, self.settings.udp_only_time);
            }
            Some(Hop::Preferred(_) | Hop::AsRouted) | None if client.origin == Origin::Found => {
                self.outages.note_down(now, failed, said.unwrap_or(self.settings.down_time));
            }
            Some(Hop::Preferred(_) | Hop::AsRouted) | None => {}
        }
    }

    /// Remembers the ACK that goes out for each 2xx with this tag.
    pub(super) fn keep_ack(&mut self, id: RequestId, tag: String, ack: SentAck) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.acknowledged.insert(tag, Some(ack));
        }
    }

    fn attempt(&mut self, now: Instant, id: RequestId, (to, size): (Destination, Size)) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.attempt = client.attempt.wrapping_add(1);
        let branch = print_branch(id, client.attempt);
        let mut destination = to;
        let Some((mut message, mut bytes)) = self.dress(id, destination, &branch) else { return };
        if size == Size::Minded
            && destination.transport == Transport::Udp
            && bytes.len() > self.settings.datagram
            && !self.outages.is_udp_only(now, destination.peer)
        {
            // RFC 3261 §18.1.1: too large for a datagram, unless the peer does not speak TCP.
            let over_udp = Hop::OverUdp(destination.peer);
            destination.transport = Transport::Tcp;
            let Some(dressed) = self.dress(id, destination, &branch) else { return };
            (message, bytes) = dressed;
            if let Some(client) = self.clients.get_mut(&id) {
                client.untried.push_front(over_udp);
            }
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut machine = Machine::new(now, &client.method, bytes, destination.reliability());
        if client.has_others() {
            machine.hurry(now + self.settings.silence);
        }
        client.stage = Stage::Sent(Box::new(Sent { machine, destination, message }));
        self.drain_client(id, None);
        self.schedule_client(id);
    }

    /// Adds what depends on the way: Via and Contact.
    fn dress(
        &self,
        id: RequestId,
        destination: Destination,
        branch: &str,
    ) -> Option<(Message, Bytes)> {
        let request = &self.clients.get(&id)?.request;
        let mut message = request.message.clone();
        obey_strict_router(&mut message);
        self.add_via(&mut message, destination, branch);
        if let Some(identity) = &request.contact {
            let contact = self.contact(destination, identity, request.message.uri());
            message.headers.push(Name::Contact, contact);
        }
        let bytes = message.print();
        Some((message, bytes))
    }

    /// Does what the machine asks until it waits.
    fn drain_client(&mut self, id: RequestId, response: Option<&Message>) -> Round {
        let mut round = Round::default();
        let Some(client) = self.clients.get_mut(&id) else { return round };
        let Stage::Sent(attempt) = &mut client.stage else { return round };
        let Sent { machine, destination, message } = attempt.as_mut();
        loop {
            let bytes = match machine.poll_output() {
                transaction::Output::Transmit(bytes) => bytes,
                transaction::Output::Acknowledge => match response {
                    Some(response) => ack_of_failure(message, response).print(),
                    None => continue,
                },
                transaction::Output::Deliver => {
                    round.deliver = true;
                    continue;
                }
                transaction::Output::TimedOut => {
                    round.failure = Some(Failure::TimedOut);
                    continue;
                }
                transaction::Output::TransportFailed => {
                    round.failure = Some(Failure::Unreachable);
                    continue;
                }
                transaction::Output::WaitUntil(_) => break,
            };
            round.sent += 1;
            let transmit = destination.carry_to(client.domain.clone(), bytes);
            self.outputs.push_back(Output::Transmit(transmit));
        }
        round
    }

    /// Hands a response up, unless it is one that only concerns us.
    fn deliver(&mut self, now: Instant, id: RequestId, response: Message) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(status) = response.status() else { return };
        if status == StatusCode::TRYING {
            return;
        }
        // RFC 3263 §4.3: 503 moves to the next address, as a failed transport does.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let may_move = client.may_move();
            self.note_failure(now, id, retry_after(&response));
            if may_move {
                return self.next_attempt(now, id, Failure::Unreachable);
            }
        } else if let Some(server) = client.destination() {
            self.outages.note_up(server);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        if status.is_success() && client.method == Method::Invite {
            let tag = response.headers.to().ok().and_then(|to| to.tag().map(ToOwned::to_owned));
            match client.acknowledged.get(tag.as_deref().unwrap_or_default()) {
                Some(Some(ack)) => {
                    self.counters.retransmissions_out += 1;
                    let ack = ack.transmit.clone();
                    return self.transmit(ack);
                }
                Some(None) => return,
                None if client.acknowledged.len() >= self.settings.forks => return,
                None => client.acknowledged.insert(tag.unwrap_or_default(), None),
            };
        }
        let (owner, Some(source)) = (client.request.owner, client.heard) else { return };
        let challenged = client.challenged(status).map(Box::new);
        let answer = Answer { owner, request: id, message: response, source, challenged };
        self.indications.push_back(Indication::Response(answer));
    }

    /// Sends the CANCEL once a provisional response came (RFC 3261 §9.1).
    fn cancel_if_possible(&mut self, now: Instant, id: RequestId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (Stage::Sent(invite), Cancel::Wanted { reason }) = (&client.stage, &client.cancel)
        else {
            return;
        };
        let Sent { machine, destination, message } = invite.as_ref();
        if !machine.may_cancel() {
            return;
        }
        let bytes = cancel_of(message, reason.as_deref()).print();
        let machine = ClientNonInvite::new(now, bytes, destination.reliability());
        client.cancel = Cancel::Sent { machine, give_up: now + GIVE_UP };
        self.counters.request_out(&Method::Cancel);
    }

    /// Sends what the CANCEL wants sent, sets the next deadline, and forgets what is over.
    fn schedule_client(&mut self, id: RequestId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Stage::Sent(attempt) = &client.stage else { return };
        let Sent { machine, destination, .. } = attempt.as_ref();
        if machine.is_terminated() {
            return self.forget_client(id);
        }
        let destination = *destination;
        let mut deadline = machine.deadline();
        if let Cancel::Sent { machine: cancel, give_up } = &mut client.cancel {
            let give_up = machine.may_cancel().then_some(*give_up);
            let resend = loop {
                match cancel.poll_output() {
                    transaction::Output::Transmit(bytes) => {
                        self.outputs.push_back(Output::Transmit(destination.carry(bytes)));
                    }
                    transaction::Output::WaitUntil(at) => break at,
                    // Whether the CANCEL itself was heard shows in what becomes of the INVITE.
                    transaction::Output::Acknowledge
                    | transaction::Output::Deliver
                    | transaction::Output::TimedOut
                    | transaction::Output::TransportFailed => {}
                }
            };
            deadline = [deadline, give_up, resend].into_iter().flatten().min();
        }
        self.deadlines.set(&Key::Client(id), deadline);
    }

    fn forget_client(&mut self, id: RequestId) {
        self.deadlines.set(&Key::Client(id), None);
        self.clients.remove(&id);
    }
}

impl Client {
    fn destination(&self) -> Option<Destination> {
        match &self.stage {
            Stage::Sent(sent) => Some(sent.destination),
            Stage::Resolving => None,
        }
    }

    /// Lets time pass for the CANCEL; without a final response to INVITE 64·T1 later all is lost.
    fn tick_cancel(&mut self, now: Instant) -> Patience {
        let (Cancel::Sent { machine: cancel, give_up }, Stage::Sent(invite)) =
            (&mut self.cancel, &self.stage)
        else {
            return Patience::Kept;
        };
        cancel.handle_input(now, ClientInput::Timeout);
        if *give_up <= now && invite.machine.may_cancel() { Patience::Lost } else { Patience::Kept }
    }

    /// What to send again if this status asks for a password that we may have.
    fn challenged(&self, status: StatusCode) -> Option<Challenged> {
        let asks = [StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED];
        let (Stage::Sent(sent), Cancel::No) = (&self.stage, &self.cancel) else { return None };
        let login = self.request.login.as_ref().filter(|_| asks.contains(&status))?;
        Some(Challenged {
            message: self.request.message.clone(),
            contact: self.request.contact.clone(),
            login: login.clone(),
            way: (sent.destination, self.domain.clone()),
        })
    }

    /// True if there is another to ask in place of one that is silent.
    fn has_others(&self) -> bool {
        let is_other = |hop: &Hop| matches!(hop, Hop::Preferred(_));
        self.request.has_others || self.untried.iter().any(is_other)
    }

    /// True if another address is left and the caller still wants an answer. Who has answered over TCP needs no datagram.
    fn may_move(&mut self) -> bool {
        while matches!(self.untried.front(), Some(Hop::OverUdp(_))) {
            self.untried.pop_front();
        }
        let is_elsewhere = |hop: &Hop| *hop != Hop::AsRouted;
        self.untried.front().is_some_and(is_elsewhere) && matches!(self.cancel, Cancel::No)
    }
}

/// How long a server that answered 503 wants to be left alone (RFC 3261 §20.33).
fn retry_after(response: &Message) -> Option<Duration> {
    let value = response.headers.first(&Name::RetryAfter)?;
    Some(RetryAfter::parse(value).ok()?.delay.min(LONGEST_RETRY))
}

/// The longest that a server may ask to be left alone.
const LONGEST_RETRY: Duration = Duration::from_hours(1);

/// `z9hG4bK`, 16 digits that name the request, 2 that name the attempt.
fn print_branch(RequestId(id): RequestId, attempt: u8) -> String {
    format!("{COOKIE}{id:016x}{attempt:02x}")
}

fn parse_branch(branch: &str) -> Option<(RequestId, u8)> {
    let digits = branch.strip_prefix(COOKIE).filter(|digits| digits.len() == 18)?;
    let (id, attempt) = (digits.get(..16)?, digits.get(16..)?);
    let id = u64::from_str_radix(id, 16).ok()?;
    Some((RequestId(id), u8::from_str_radix(attempt, 16).ok()?))
}
