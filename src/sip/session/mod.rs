//! The INVITE usage of a dialog: RFC 3261 §13 to §15, RFC 3264 as far as it orders messages.
//!
//! ```text
//!  INVITE in ──▶ Incoming ──answer──▶ Established ──BYE──▶ Over
//!                   │ reject, CANCEL      ▲   │ hang_up before ACK
//!                   ▼                     │   ▼
//!                  Over                  2xx  Closing ──ACK: BYE──▶ Over
//!                   ▲                     │
//!                   │ 3xx–6xx, hang_up    │
//!  invite() ────▶ Outgoing ───────────────┘
//! ```
//!
//! A session that was hung up is forgotten at once: a 2xx that still comes is acknowledged and its
//! dialog ended by [`release`], the way RFC 3261 §13.2.2.4 treats the superfluous answers of a fork.

mod early;
mod established;
mod exchange;
mod forks;
mod incoming;
mod outgoing;
mod reliable;
mod template;
mod timer;

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;

use established::{Closing, Established};
use incoming::Incoming;
use outgoing::Outgoing;

use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::digest::Login;
use crate::sip::endpoint::core::{Core, SDP};
use crate::sip::endpoint::{Busy, Event, Invitation, Invited, Rejection, SessionId, Takes};
use crate::sip::headers::{Name, RetryAfter};
use crate::sip::layer::{Failure, Head, Owner, Reply, Request, RequestId, ServerId, Source};
use crate::sip::message::Start;
use crate::sip::{Message, Method, StatusCode};

pub(super) use reliable::TAG as RELIABLE;
pub(super) use timer::refuse_interval;

/// One INVITE usage.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    state: State,
}

#[derive(Debug)]
enum State {
    Incoming(Box<Incoming>),
    Outgoing(Box<Outgoing>),
    Established(Box<Established>),
    Closing(Box<Closing>),
    Over,
}

/// A response that the session has no use for.
#[derive(Debug)]
pub(super) struct Stray(pub(super) Message);

/// A request within the dialog of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within<'a> {
    pub(super) server: ServerId,
    pub(super) request: &'a Message,
    pub(super) dialog: &'a DialogId,
    pub(super) ask: Ask,
}

/// What a request within a dialog asks of the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// BYE.
    Bye,
    /// UPDATE without an offer: only the peer's address may be new, and the session timer starts anew.
    Refresh,
    /// UPDATE with an offer.
    Update,
    /// PRACK.
    Prack,
    /// INVITE.
    Reinvite,
}

impl Ask {
    /// What INVITE, UPDATE, PRACK or BYE asks.
    pub(super) fn of(method: &Method, request: &Message) -> Self {
        if *method == Method::Bye {
            Self::Bye
        } else if *method == Method::Update && request.body.is_empty() {
            Self::Refresh
        } else if *method == Method::Update {
            Self::Update
        } else if *method == Method::Prack {
            Self::Prack
        } else {
            Self::Reinvite
        }
    }
}

impl Session {
    /// A call that comes in. `None` if it says not where to send requests.
    pub(super) fn invited(
        now: Instant,
        core: &mut Core,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) -> Option<Self> {
        let id = SessionId(core.layer.next_id());
        let tag = core.layer.tag_of(server)?.to_owned();
        let dialog = Dialog::of_request(&request, head, source, &tag)?;
        let invited = Invited {
            session: id,
            from: request.headers.from().ok()?,
            to: request.headers.to().ok()?,
            target: request.uri()?.clone(),
            offer: sdp_of(&request),
            takes: Takes::of(&request.headers).ok()?,
            request: request.clone(),
            transport: source.transport,
            peer: source.peer,
            local: source.local,
        };
        let incoming = Incoming::new(now, core, id, (server, dialog, &request));
        core.emit(Event::Invited(Box::new(invited)));
        Some(Self { id, state: State::Incoming(Box::new(incoming)) })
    }

    /// A call that goes out.
    pub(super) fn invite(now: Instant, core: &mut Core, id: SessionId, call: Invitation) -> Self {
        let outgoing = Outgoing::new(now, core, id, call);
        Self { id, state: State::Outgoing(Box::new(outgoing)) }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// True once the owner may forget it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// When it wants [`Self::handle_timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Incoming(incoming) => Some(incoming.deadline()),
            State::Outgoing(outgoing) => Some(outgoing.deadline()),
            State::Established(established) => established.deadline(),
            State::Closing(closing) => Some(closing.deadline()),
            State::Over => None,
        }
    }

    /// The dialog, once it is confirmed.
    pub(super) fn dialog(&self) -> Option<&DialogId> {
        match &self.state {
            State::Established(established) => Some(established.dialog()),
            State::Incoming(_) | State::Outgoing(_) | State::Closing(_) | State::Over => None,
        }
    }

    /// The dialog, early or confirmed; of several phones that ring, one.
    pub(super) fn any_dialog(&self) -> Option<&DialogId> {
        match &self.state {
            State::Incoming(incoming) => Some(incoming.dialog()),
            State::Outgoing(outgoing) => outgoing.forks.first(),
            State::Established(established) => Some(established.dialog()),
            State::Closing(_) | State::Over => None,
        }
    }

    /// The Call-ID of a call we make, from its first INVITE on.
    pub(super) fn call_id(&self) -> Option<String> {
        match &self.state {
            State::Outgoing(outgoing) => Some(outgoing.call_id().to_owned()),
            State::Established(established) => Some(established.dialog().call_id.to_string()),
            State::Incoming(_) | State::Closing(_) | State::Over => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        let id = self.id;
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) => incoming.handle_timeout(now, core, id),
            State::Outgoing(outgoing) => outgoing.handle_timeout(now, core, id),
            State::Established(established) => established.handle_timeout(now, core, id),
            State::Closing(closing) => closing.handle_timeout(now, core),
            State::Over => State::Over,
        };
    }

    /// Takes a response to INVITE, re-INVITE or UPDATE.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        request: RequestId,
        response: Message,
    ) -> Result<(), Stray> {
        let id = self.id;
        match mem::replace(&mut self.state, State::Over) {
            State::Outgoing(outgoing) if outgoing.is_ours(request) => {
                self.state = outgoing.handle_response(now, core, id, (request, response));
            }
            State::Established(established) if established.is_ours(request) => {
                self.state = established.handle_response(now, core, id, &response);
            }
            State::Incoming(mut incoming) if incoming.is_ours(request) => {
                incoming.handle_response(core, id, &response);
                self.state = State::Incoming(incoming);
            }
            State::Outgoing(mut outgoing) if outgoing.forks.has_update(request) => {
                outgoing.forks.handle_update_response(core, id, (request, &response));
                self.state = State::Outgoing(outgoing);
            }
            state @ (State::Incoming(_)
            | State::Outgoing(_)
            | State::Established(_)
            | State::Closing(_)
            | State::Over) => {
                self.state = state;
                return Err(Stray(response));
            }
        }
        Ok(())
    }

    /// Notes that a request of ours went out again, with a password, under another name.
    pub(super) fn note_sent_again(&mut self, request: RequestId, again: RequestId) {
        match &mut self.state {
            State::Outgoing(outgoing) => outgoing.note_sent_again(request, again),
            State::Established(established) => established.exchange.note_sent_again(request, again),
            State::Incoming(_) | State::Closing(_) | State::Over => {}
        }
    }

    /// Takes the news that INVITE, re-INVITE or UPDATE got no final response.
    pub(super) fn handle_failure(
        &mut self,
        now: Instant,
        core: &mut Core,
        request: RequestId,
        failure: Failure,
    ) {
        let (id, status) = (self.id, failure.status());
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Outgoing(outgoing) if outgoing.is_ours(request) => {
                outgoing.fail(now, core, id, (request, Refusal::of_status(status)))
            }
            State::Established(established) if established.is_ours(request) => {
                established.handle_refusal(now, core, id, Refusal::of_status(status))
            }
            State::Incoming(mut incoming) if incoming.is_ours(request) => {
                incoming.handle_refusal(core, id, Refusal::of_status(status));
                State::Incoming(incoming)
            }
            State::Outgoing(mut outgoing) if outgoing.forks.has_update(request) => {
                let refusal = Refusal::of_status(status);
                outgoing.forks.handle_update_refusal(core, id, (request, refusal));
                State::Outgoing(outgoing)
            }
            state @ (State::Incoming(_)
            | State::Outgoing(_)
            | State::Established(_)
            | State::Closing(_)
            | State::Over) => state,
        };
    }

    /// Takes the end of an INFO: 408 and 481 mean that the peer has lost the dialog (RFC 5057 §5.1).
    pub(super) fn handle_info_status(&mut self, now: Instant, core: &mut Core, status: StatusCode) {
        let id = self.id;
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Established(established) => {
                established.end_if_dialog_lost(now, core, id, status)
            }
            state @ (State::Incoming(_) | State::Outgoing(_) | State::Closing(_) | State::Over) => {
                state
            }
        };
    }

    /// Takes INVITE, UPDATE, PRACK or BYE within one of its dialogs.
    pub(super) fn handle_request(&mut self, now: Instant, core: &mut Core, within: Within<'_>) {
        let id = self.id;
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) => incoming.handle_request(now, core, id, within),
            State::Outgoing(outgoing) => outgoing.handle_request(now, core, id, within),
            State::Established(established) => established.handle_request(now, core, id, within),
            State::Closing(closing) => closing.handle_request(now, core, within),
            State::Over => State::Over,
        };
    }

    /// Takes the ACK for a 2xx of ours.
    pub(super) fn handle_ack(&mut self, now: Instant, core: &mut Core, ack: &Message, head: &Head) {
        let id = self.id;
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Established(established) => {
                State::Established(established.handle_ack(core, id, ack, head.sequence))
            }
            State::Closing(closing) => closing.handle_ack(now, core, head.sequence),
            state @ (State::Incoming(_) | State::Outgoing(_) | State::Over) => state,
        };
    }

    /// Takes a CANCEL for an INVITE that has no final response yet.
    pub(super) fn handle_cancelled(&mut self, now: Instant, core: &mut Core, server: ServerId) {
        let id = self.id;
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) if incoming.server() == server => {
                incoming.refuse(now, core, Reply::new(StatusCode::REQUEST_TERMINATED));
                core.emit(Event::Cancelled { session: id });
                State::Over
            }
            State::Established(established) => {
                State::Established(established.handle_cancelled(now, core, id, server))
            }
            state @ (State::Incoming(_) | State::Outgoing(_) | State::Closing(_) | State::Over) => {
                state
            }
        };
    }

    /// Says otherwise who we are in our Contact, from the next message on.
    pub(super) fn identify(&mut self, core: &mut Core, identity: Identity) {
        let dialog = match &mut self.state {
            State::Incoming(incoming) => incoming.dialog(),
            State::Established(established) => established.dialog(),
            State::Outgoing(outgoing) => return outgoing.identify(identity),
            State::Closing(_) | State::Over => return,
        };
        if let Some(dialog) = core.dialogs.dialog_mut(dialog) {
            dialog.identify(identity);
        }
    }

    pub(super) fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) {
        if let State::Incoming(incoming) = &mut self.state {
            incoming.ring(now, core, status, sdp);
        }
    }

    pub(super) fn answer(&mut self, now: Instant, core: &mut Core, sdp: Bytes) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) => incoming.answer(now, core, sdp),
            state @ (State::Outgoing(_)
            | State::Established(_)
            | State::Closing(_)
            | State::Over) => state,
        };
    }

    pub(super) fn reject(&mut self, now: Instant, core: &mut Core, rejection: Rejection) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) => {
                incoming.refuse(now, core, reply_of(rejection));
                State::Over
            }
            state @ (State::Outgoing(_)
            | State::Established(_)
            | State::Closing(_)
            | State::Over) => state,
        };
    }

    pub(super) fn acknowledge(&mut self, now: Instant, core: &mut Core, sdp: Bytes) {
        match &mut self.state {
            State::Established(established) => established.acknowledge(core, Some(sdp)),
            State::Outgoing(outgoing) => outgoing.forks.acknowledge(now, core, sdp),
            State::Incoming(_) | State::Closing(_) | State::Over => {}
        }
    }

    pub(super) fn hang_up(&mut self, now: Instant, core: &mut Core, reason: Option<String>) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Incoming(incoming) => {
                incoming.refuse(now, core, hang_up_reply(reason));
                State::Over
            }
            State::Outgoing(outgoing) => {
                outgoing.give_up(now, core, reason.as_deref());
                State::Over
            }
            State::Established(established) => established.hang_up(now, core, reason),
            state @ (State::Closing(_) | State::Over) => state,
        };
    }

    pub(super) fn offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        method: Method,
        sdp: Option<Bytes>,
    ) -> Result<(), Busy> {
        match (&mut self.state, method, sdp) {
            (State::Established(established), method, sdp) => {
                established.offer(now, core, self.id, (method, sdp))
            }
            (State::Incoming(incoming), Method::Update, Some(sdp)) => {
                incoming.offer(now, core, self.id, sdp)
            }
            (State::Outgoing(outgoing), Method::Update, Some(sdp)) => {
                outgoing.forks.offer(now, core, self.id, sdp)
            }
            _ => Err(Busy),
        }
    }

    pub(super) fn answer_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        answer: Result<Bytes, StatusCode>,
    ) {
        match &mut self.state {
            State::Established(established) => established.answer_offer(now, core, answer),
            State::Incoming(incoming) => incoming.answer_offer(now, core, answer),
            State::Outgoing(outgoing) => outgoing.forks.answer_offer(now, core, answer),
            State::Closing(_) | State::Over => {}
        }
    }

    pub(super) fn info(&mut self, now: Instant, core: &mut Core, content_type: &str, body: Bytes) {
        let Some(dialog) = self.dialog().cloned() else { return };
        core.send_within(now, &dialog, (Method::Info, Owner::Info(self.id)), |info| {
            info.headers.push(Name::ContentType, content_type.to_owned());
            info.body = body;
        });
    }

    /// Takes INFO within one of its dialogs; RFC 6086 §4.2.2 has it answered whatever the state.
    pub(super) fn handle_info(
        &self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Message,
    ) {
        core.reply_status(now, server, StatusCode::OK);
        if matches!(self.state, State::Closing(_)) {
            return;
        }
        let content_type = request.headers.first(&Name::ContentType);
        core.emit(Event::Info {
            session: self.id,
            content_type: content_type.map(|value| text(value)).unwrap_or_default(),
            body: request.body.clone(),
        });
    }
}

/// Acknowledges a 2xx that nobody waits for, and ends the dialog it made (RFC 3261 §13.2.2.4).
///
/// A late 2xx to a re-INVITE is only acknowledged: its dialog ends, or has ended, by itself.
pub(super) fn release(now: Instant, core: &mut Core, request: RequestId, response: &Message) {
    let Some(invite) = core.layer.request_sent(request) else { return };
    let (flow, login) = (core.layer.flow_of(request), core.layer.account_of(request));
    let nobody = Identity::default();
    let Some(mut dialog) = Dialog::of_response(invite, response, flow, &nobody) else { return };
    let is_first = invite.headers.to().is_ok_and(|to| to.tag().is_none());
    let Ok(cseq) = response.headers.cseq() else { return };
    if cseq.method != Method::Invite {
        return;
    }
    core.layer.acknowledge(request, &dialog.id.remote_tag, (dialog.ack(cseq.number), flow));
    if is_first {
        let message = dialog.request(&Method::Bye);
        let owner = Owner::Nobody;
        let login = login.map(Login::new);
        core.layer
            .send(now, Request { message, contact: None, owner, flow, login, has_others: false });
    }
}

/// A final response other than 2xx, or its stand-in.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
    retry_after: Option<Duration>,
    /// Of a 422.
    min_se: Option<Duration>,
}

impl Refusal {
    fn of_status(status: StatusCode) -> Self {
        Self { status, reason: status.reason().to_owned(), retry_after: None, min_se: None }
    }

    fn of_response(response: &Message) -> Self {
        let retry_after = response.headers.first(&Name::RetryAfter);
        Self {
            status: response.status().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR),
            reason: reason_of(response),
            retry_after: retry_after
                .and_then(|value| RetryAfter::parse(value).ok())
                .map(|retry_after| retry_after.delay),
            min_se: response.headers.min_se().map(|min| min.interval),
        }
    }
}

/// How the user's refusal looks on the wire.
pub(super) fn reply_of(rejection: Rejection) -> Reply {
    let Rejection { status, reason, headers } = rejection;
    let reply = Reply::new(status).reason(reason);
    headers.into_iter().fold(reply, |reply, (name, value)| reply.header(name.as_str(), value))
}

/// The session description of a message.
fn sdp_of(message: &Message) -> Option<Bytes> {
    let is_sdp = match message.headers.content_type() {
        Ok(Some(content_type)) => content_type.is(SDP),
        Ok(None) => true, // some old phones leave it out
        Err(_) => false,
    };
    (is_sdp && !message.body.is_empty()).then(|| message.body.clone())
}

/// The reason phrase of a response.
pub(super) fn reason_of(response: &Message) -> String {
    match &response.start {
        Start::Response { reason, .. } => text(reason),
        Start::Request { .. } => String::new(),
    }
}

fn hang_up_reply(reason: Option<String>) -> Reply {
    let reply = Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE);
    match reason {
        Some(reason) => reply.header(Name::Reason, reason),
        None => reply,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
