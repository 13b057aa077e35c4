//! SIP as the bridge sees it: messages in, events out (RFC 3261 and its friends).
//!
//! ```text
//!  Packet ─▶ Layer (transactions) ─▶ Dialogs ─▶ Session / Refer ─▶ Event
//!    ▲            │ routes, look-ups, fail-over         ▲             │
//!    └─ Transmit ◀┘                                     └── invite, answer, refer … ◀─ user
//! ```
//!
//! Every `handle_*` and every act is one input: afterwards call [`Endpoint::poll_output`] until it
//! yields [`Output::WaitUntil`]. No clock, socket or randomness inside: the same seed and the same
//! inputs give the same outputs.
//!
//! Without asking its user the endpoint refuses what RFC 3261 §8.2 refuses (400 405 415 416 420 422 481
//! 482 483 491 500 503 513), keeps sessions refreshed (RFC 4028), answers OPTIONS within dialogs, absorbs retransmissions, acknowledges
//! and ends superfluous forks, follows redirections and retries crossed offers.

mod admit;
pub(in crate::sip) mod core;
mod counters;
mod dispatch;
mod event;
mod output;
mod settings;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

use self::core::Core;
use crate::sip::dialog::{DialogId, Dialogs};
use crate::sip::digest::Login;
use crate::sip::headers::{Name, NameAddr};
use crate::sip::layer::{Layer, Owner, Reply, Request, ServerId};
use crate::sip::locate::{Answer, Question, Reach};
use crate::sip::notifier::{self, Subscription};
use crate::sip::refer::Refer;
use crate::sip::session::{self, Session};
use crate::sip::timer::Deadlines;
use crate::sip::transport::{Refusal, Transport};
use crate::sip::{Message, Method, StatusCode, Uri};

pub use crate::sip::dialog::Identity;
pub use crate::sip::layer::{Destination, Flow};
pub use counters::{Counters, Counts};
pub use event::{
    Busy, EndCause, Event, Hunt, Invitation, Invited, Options, Publishing, Query, Referred,
    Registering, Rejection, Subscribing, Takes, Target, Text, Texted,
};
pub use output::{
    OptionsId, Output, Packet, PublishId, QueryId, ReferId, RegisterId, Resolve, ResolveId,
    SessionId, SubscriptionId, TextId, TextedId, Transmit,
};
pub use settings::{LocalAddress, Ports, Prack, Settings};

/// Transactions, dialogs, sessions and references of one SIP user agent.
#[derive(Debug)]
pub struct Endpoint {
    core: Core,
    sessions: BTreeMap<SessionId, Session>,
    refers: BTreeMap<ReferId, Refer>,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
}

/// What comes from the network and the clock.
impl Endpoint {
    /// An endpoint that holds nothing. The same `seed` makes the same tags, branches and Call-IDs.
    pub fn new(settings: Settings, seed: u64, local: Box<dyn LocalAddress + Send>) -> Self {
        let layer = Layer::new(settings, seed, local);
        let core = Core { layer, dialogs: Dialogs::default(), deadlines: Deadlines::new() };
        Self {
            core,
            sessions: BTreeMap::new(),
            refers: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    /// Takes one message from the network.
    #[expect(clippy::needless_pass_by_value, reason = "the caller has no more use for it")]
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        self.core.layer.handle_packet(now, &packet);
        self.settle(now);
    }

    /// Takes the news that a [`Transmit`] to this peer failed, or that its connection broke.
    ///
    /// Costs O(open transactions).
    pub fn handle_transmit_failed(&mut self, now: Instant, transport: Transport, peer: SocketAddr) {
        self.core.layer.handle_transmit_failed(now, transport, peer);
        self.settle(now);
    }

    /// Counts a connection that was not taken, or not kept.
    pub fn handle_refused(&mut self, transport: Transport, refusal: Refusal) {
        let refused = &mut self.core.layer.counters.connections_refused;
        *refused.entry((transport, refusal)).or_default() += 1;
    }

    /// Takes what DNS says to a question of [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        (question, answer): (&Question, Answer),
    ) {
        self.core.layer.handle_resolved(now, id, (question, answer));
        self.settle(now);
    }

    /// Lets time pass: due when [`Output::WaitUntil`] says, harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.layer.handle_timeout(now);
        self.settle(now);
        self.fire_timers(now);
        self.settle(now);
    }

    /// Returns the next output; [`Output::WaitUntil`] means drained.
    pub fn poll_output(&mut self) -> Output {
        self.core.layer.poll_output().unwrap_or_else(|| {
            let deadlines = [self.core.layer.next_deadline(), self.core.deadlines.next()];
            Output::WaitUntil(deadlines.into_iter().flatten().min())
        })
    }
}

/// What the user asks. Acts on a session or reference that is over, or not in the right state, do
/// nothing: its end may have crossed the act.
impl Endpoint {
    /// Calls somebody, at one place or at several: `Progress`, then `Answered` or `Failed` follow. 3xx is followed within.
    ///
    /// Of several refusals the best is told (RFC 3261 §16.7); 480 if there is nobody to call.
    pub fn invite(&mut self, now: Instant, invitation: Invitation) -> SessionId {
        let id = SessionId(self.core.layer.next_id());
        let is_full = self.sessions.len() >= self.core.layer.settings.sessions;
        if is_full || invitation.targets.iter().all(Vec::is_empty) {
            let (status, retry_after) = if is_full {
                let retry_after = self.core.layer.settings.retry_after;
                (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after))
            } else {
                (StatusCode::TEMPORARILY_UNAVAILABLE, None)
            };
            let reason = status.reason().to_owned();
            self.core.emit(Event::Failed { session: id, status, reason, retry_after });
            return id;
        }
        let session = Session::invite(now, &mut self.core, id, invitation);
        self.insert_session(id, session);
        self.settle(now);
        id
    }

    /// Says otherwise who we are in the Contact of a session, from the next message on.
    pub fn identify(&mut self, session: SessionId, identity: Identity) {
        self.with_session(session, |session, core| session.identify(core, identity));
    }

    /// Says that a REFER outside of any session is addressed to a conference; before it is answered.
    pub fn refer_to_focus(&mut self, refer: ReferId) {
        self.with_refer(refer, |refer, _| refer.is_to_focus());
    }

    /// Tells a caller 101 to 199, with early media if there is `sdp`: reliably (RFC 3262) where the caller and
    /// [`Settings::prack`] want it.
    pub fn ring(
        &mut self,
        now: Instant,
        session: SessionId,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) {
        self.with_session(session, |session, core| session.ring(now, core, status, sdp));
    }

    /// Accepts a call with our answer, or with our offer if the INVITE had none. What `ring` said reliably of `sdp`
    /// stands instead.
    ///
    /// The 200 is sent again until the ACK comes; without one the session ends with
    /// [`EndCause::AckMissing`].
    pub fn answer(&mut self, now: Instant, session: SessionId, sdp: Bytes) {
        self.with_session(session, |session, core| session.answer(now, core, sdp));
    }

    /// Refuses a call; the session is over.
    pub fn reject(&mut self, now: Instant, session: SessionId, rejection: Rejection) {
        self.with_session(session, |session, core| session.reject(now, core, rejection));
    }

    /// Answers the offer that `Answered`, `ReofferAnswered` or a reliable `Progress` carried after we sent none.
    pub fn acknowledge(&mut self, now: Instant, session: SessionId, sdp: Bytes) {
        self.with_session(session, |session, core| session.acknowledge(now, core, sdp));
        self.settle(now);
    }

    /// Ends a session whatever its state: refuses, cancels or says BYE. No event about it follows.
    ///
    /// `reason` is the value of a Reason header (RFC 3326), such as `SIP;cause=200;text="done"`.
    pub fn hang_up(&mut self, now: Instant, session: SessionId, reason: Option<String>) {
        self.with_session(session, |session, core| session.hang_up(now, core, reason));
        self.settle(now);
    }

    /// Offers a change by re-INVITE, or asks the peer for an offer if `sdp` is `None`.
    ///
    /// `ReofferAnswered` or `ReofferFailed` follows. Crossed offers (491) are made again within.
    ///
    /// # Errors
    /// [`Busy`] if an offer is open in either direction, an ACK is missing, or the session is not
    /// established.
    pub fn reinvite(
        &mut self,
        now: Instant,
        session: SessionId,
        sdp: Option<Bytes>,
    ) -> Result<(), Busy> {
        self.offer(now, session, Method::Invite, sdp)
    }

    /// Offers a change by UPDATE (RFC 3311), which the peer must answer at once; before the call is answered too, if
    /// a reliable provisional response has settled the first offer.
    ///
    /// # Errors
    /// As [`Self::reinvite`].
    pub fn update(&mut self, now: Instant, session: SessionId, sdp: Bytes) -> Result<(), Busy> {
        self.offer(now, session, Method::Update, Some(sdp))
    }

    /// Answers a `Reoffered`: our answer (our offer if it had none), or why not.
    pub fn answer_offer(
        &mut self,
        now: Instant,
        session: SessionId,
        answer: Result<Bytes, StatusCode>,
    ) {
        self.with_session(session, |session, core| session.answer_offer(now, core, answer));
    }

    /// Asks the peer to contact somebody (RFC 3515): `ReferAnswered`, then `ReferProgress` follow.
    ///
    /// Without an established session `ReferAnswered` says 481.
    pub fn refer(
        &mut self,
        now: Instant,
        session: SessionId,
        refer_to: Uri,
        referred_by: Option<NameAddr>,
    ) -> ReferId {
        let id = ReferId(self.core.layer.next_id());
        let dialog = self.dialog_of(session);
        let refer = dialog.and_then(|dialog| {
            Refer::send(now, &mut self.core, (id, dialog), (refer_to, referred_by))
        });
        if let Some(refer) = refer {
            self.insert_refer(id, refer);
        } else {
            let status = StatusCode::CALL_DOES_NOT_EXIST;
            let reason = status.reason().to_owned();
            self.core.emit(Event::ReferAnswered { refer: id, status, reason });
        }
        self.settle(now);
        id
    }

    /// Answers a `Referred`. A 2xx starts the subscription with 100 Trying, anything else ends it.
    pub fn answer_refer(&mut self, now: Instant, refer: ReferId, status: StatusCode) {
        self.with_refer(refer, |refer, core| refer.answer(now, core, status));
        self.settle(now);
    }

    /// Refuses a `Referred`; it is over.
    pub fn refuse_refer(&mut self, now: Instant, refer: ReferId, rejection: Rejection) {
        let reply = session::reply_of(rejection);
        self.with_refer(refer, |refer, core| refer.refuse(now, core, reply));
        self.settle(now);
    }

    /// Tells who sent a REFER how the call fares; a final status is the last report.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        refer: ReferId,
        status: StatusCode,
        reason: Option<String>,
    ) {
        self.with_refer(refer, |refer, core| refer.report(now, core, (status, reason)));
        self.settle(now);
    }

    /// Answers a `Subscribing`: who we are in the Contact of its dialog, or why not. `NotifyDue` follows at once.
    pub fn answer_subscribe(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        answer: Result<Identity, Rejection>,
    ) {
        let answer = answer.map_err(session::reply_of);
        self.with_subscription(subscription, |own, core| own.answer(now, core, answer));
        self.settle(now);
    }

    /// Says that what a subscriber knows is out of date: `NotifyDue` follows when it may be told.
    pub fn note_news(&mut self, now: Instant, subscription: SubscriptionId) {
        self.with_subscription(subscription, |own, core| own.note_news(now, core));
    }

    /// Answers a `NotifyDue`.
    pub fn notify(&mut self, now: Instant, subscription: SubscriptionId, body: Bytes) {
        self.with_subscription(subscription, |own, core| own.notify(now, core, body));
        self.settle(now);
    }

    /// Ends a subscription; the subscriber is told the reason, such as `noresource` (RFC 6665 §4.1.3).
    pub fn end_subscription(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        reason: &'static str,
    ) {
        self.with_subscription(subscription, |own, core| own.end(now, core, reason));
        self.settle(now);
    }

    /// Sends application data within an established session (RFC 6086), such as DTMF.
    pub fn info(&mut self, now: Instant, session: SessionId, content_type: &str, body: Bytes) {
        self.with_session(session, |session, core| session.info(now, core, content_type, body));
        self.settle(now);
    }

    /// Answers an `Options`: 200 that says who it is that was asked about, if that is known, or a refusal.
    pub fn answer_options(
        &mut self,
        now: Instant,
        options: OptionsId,
        answer: Result<Option<Identity>, Rejection>,
    ) {
        let reply = match answer {
            Ok(Some(identity)) => self.capabilities().contact(&identity),
            Ok(None) => self.capabilities(),
            Err(rejection) => session::reply_of(rejection),
        };
        self.core.reply(now, ServerId(options.0), reply);
    }

    /// Sends a request outside of any call: `Replied` follows.
    pub fn ask(&mut self, now: Instant, query: Query) -> QueryId {
        let Query { method, target, from, mut to, call, contact, headers, body, account } = query;
        let id = QueryId(self.core.layer.next_id());
        to.params.remove("tag");
        let mut message = Message::request(method.clone(), target.uri.without_headers());
        let (call_id, sequence) = call.unwrap_or_else(|| (self.core.layer.new_call_id(), 1));
        let own = &mut message.headers;
        for route in target.routes {
            own.push(Name::Route, route);
        }
        own.push(Name::MaxForwards, "70");
        own.push(Name::From, from.with_tag(&self.core.layer.new_tag()).to_string());
        own.push(Name::To, to.to_string());
        own.push(Name::CallId, call_id);
        own.push(Name::CSeq, format!("{sequence} {method}"));
        own.push(Name::UserAgent, self.core.layer.settings.product.clone());
        for (name, value) in headers {
            own.push(Name::new(&name), value);
        }
        if let Some((content_type, body)) = body {
            own.push(Name::ContentType, content_type);
            message.body = body;
        }
        let (owner, login) = (Owner::Query(id), account.map(Login::new));
        let contact = contact.map(Identity::party);
        let flow = target.flow;
        let request = Request { message, contact, owner, flow, login, has_others: false };
        self.core.layer.send(now, request);
        self.settle(now);
        id
    }

    /// Says something within a session (RFC 3428): `TextAnswered` follows. `None` if there is none that stands.
    pub fn text(&mut self, now: Instant, session: SessionId, text: Text) -> Option<TextId> {
        let dialog = self.dialog_of(session)?;
        let id = TextId(self.core.layer.next_id());
        self.core.send_within(now, &dialog, (Method::Message, Owner::Text(id)), |message| {
            let from = message.headers.from();
            if let (Some(author), Ok(from)) = (text.author, from) {
                message.headers.replace(Name::From, from.with_display(author).to_string());
            }
            message.headers.push(Name::ContentType, text.content_type);
            message.body = text.body;
        })?;
        self.settle(now);
        Some(id)
    }

    /// Answers a `Texted`: 200, 202 for what goes on its way later, or why not.
    pub fn answer_text(
        &mut self,
        now: Instant,
        text: TextedId,
        answer: Result<StatusCode, Rejection>,
    ) {
        let reply = answer.map_or_else(session::reply_of, Reply::new);
        self.core.reply(now, ServerId(text.0), reply);
    }

    /// Answers a `Registering`: 200 with these headers beside the date, or why not.
    pub fn answer_register(
        &mut self,
        now: Instant,
        register: RegisterId,
        answer: Result<Vec<(String, String)>, Rejection>,
    ) {
        let reply = match answer {
            Ok(headers) => headers.into_iter().fold(
                self.core.with_capabilities(Reply::new(StatusCode::OK)),
                |reply, (name, value)| reply.header(Name::new(&name), value),
            ),
            Err(rejection) => session::reply_of(rejection),
        };
        self.core.reply(now, ServerId(register.0), reply);
    }

    /// Answers a `Publishing`: 200 with these headers, or why not.
    pub fn answer_publish(
        &mut self,
        now: Instant,
        publish: PublishId,
        answer: Result<Vec<(String, String)>, Rejection>,
    ) {
        self.answer_register(now, RegisterId(publish.0), answer);
    }

    fn offer(
        &mut self,
        now: Instant,
        session: SessionId,
        method: Method,
        sdp: Option<Bytes>,
    ) -> Result<(), Busy> {
        let offered =
            self.with_session(session, |session, core| session.offer(now, core, method, sdp));
        self.settle(now);
        offered.unwrap_or(Err(Busy))
    }

    fn capabilities(&self) -> Reply {
        let reply = self.core.with_capabilities(Reply::new(StatusCode::OK));
        reply.header("Accept", core::SDP).header("Allow-Events", notifier::allow_events())
    }
}

/// What can be asked about it.
impl Endpoint {
    /// The confirmed dialog of a session, for `Replaces` in either direction.
    pub fn dialog_of(&self, session: SessionId) -> Option<DialogId> {
        self.sessions.get(&session)?.dialog().cloned()
    }

    /// The dialog of a session, early or confirmed; one of them, where several phones ring.
    pub fn any_dialog_of(&self, session: SessionId) -> Option<DialogId> {
        self.sessions.get(&session)?.any_dialog().cloned()
    }

    /// The Call-ID of a session that we began, or that is established.
    pub fn call_id_of(&self, session: SessionId) -> Option<String> {
        self.sessions.get(&session)?.call_id()
    }

    /// The session that uses this dialog, early or confirmed. A peer without a tag is named by the tag 0 (RFC 3891 §6.1).
    pub fn session_of(&self, dialog: &DialogId) -> Option<SessionId> {
        let dialogs = &self.core.dialogs;
        let untagged = || {
            let bare = DialogId { remote_tag: String::new(), ..dialog.clone() };
            dialogs.get(&bare).filter(|_| dialog.remote_tag == "0")
        };
        dialogs.get(dialog).or_else(untagged)?.session
    }

    /// Where the peer of an established session is reached.
    pub fn target_of(&self, session: SessionId) -> Option<Uri> {
        let dialog = self.sessions.get(&session)?.dialog()?;
        Some(self.core.dialogs.get(dialog)?.dialog.target().without_headers())
    }

    /// Whether this is a port at which we are called at this address, by any transport.
    pub fn has_port(&self, port: u16, local: IpAddr) -> bool {
        let settings = &self.core.layer.settings;
        Transport::ALL.iter().any(|&transport| settings.ports(transport).of(local) == port)
    }

    /// The port at which we are called at this address by this transport.
    pub fn port_of(&self, transport: Transport, local: IpAddr) -> u16 {
        self.core.layer.settings.ports(transport).of(local)
    }

    /// How servers are looked for.
    pub fn reach(&self) -> Reach {
        self.core.layer.settings.reach()
    }

    /// How much is held now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            dialogs: self.core.dialogs.len(),
            sessions: self.sessions.len(),
            refers: self.refers.len(),
            subscriptions: self.subscriptions.len(),
            ..Counts::default()
        };
        self.core.layer.count(&mut counts);
        counts
    }

    /// How often things happened so far.
    pub fn counters(&self) -> &Counters {
        &self.core.layer.counters
    }
}

#[cfg(test)]
mod tests;
