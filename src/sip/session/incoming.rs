//! A call that rings here: RFC 3261 §13.3, RFC 3262 §3.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::early::{Early, Offerer};
use super::established::{Established, Offer, Side};
use super::reliable::{Content, Provisional, Reliable};
use super::timer::SessionTimer;
use super::{Ask, Refusal, State, Within, sdp_of};
use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::endpoint::core::{Core, SDP};
use crate::sip::endpoint::{Busy, Event, SessionId};
use crate::sip::layer::{Reply, RequestId, ServerId};
use crate::sip::{Message, StatusCode};

/// An INVITE without a final response from us.
#[derive(Debug)]
pub(super) struct Incoming {
    server: ServerId,
    dialog: DialogId,
    offer: Offer,
    /// When we stop ringing.
    until: Instant,
    /// The provisional response to repeat, and when.
    repeat: Option<(Instant, Reply)>,
    reliable: Reliable,
    early: Early,
    /// Our session description as the peer has it for sure, or will have.
    description: Option<Bytes>,
    /// What the user accepted the call with, while a 2xx has to wait for a PRACK.
    accepted: Option<Bytes>,
}

impl Incoming {
    pub(super) fn new(
        now: Instant,
        core: &mut Core,
        session: SessionId,
        (server, dialog, invite): (ServerId, Dialog, &Message),
    ) -> Self {
        let offer = Offer::of(invite);
        Self {
            server,
            dialog: core.dialogs.insert_for_session(dialog, session),
            offer,
            until: now + core.layer.settings.ring,
            repeat: None,
            reliable: Reliable::new(core, server, invite),
            early: Early::Open(match offer {
                Offer::InRequest => Offerer::Peer,
                Offer::InResponse => Offerer::Us,
            }),
            description: None,
            accepted: None,
        }
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn dialog(&self) -> &DialogId {
        &self.dialog
    }

    fn identity(&self, core: &Core) -> Identity {
        let entry = core.dialogs.get(&self.dialog);
        entry.map(|entry| entry.dialog.identity().clone()).unwrap_or_default()
    }

    pub(super) fn deadline(&self) -> Instant {
        let repeat = self.repeat.as_ref().map(|(at, _)| *at);
        repeat.into_iter().chain(self.reliable.deadline()).fold(self.until, Instant::min)
    }

    pub(super) fn handle_timeout(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
    ) -> State {
        if self.until <= now {
            return self.give_up(now, core, id, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        // RFC 3262 §3: a caller that acknowledges nothing is told 5xx.
        if !self.reliable.handle_timeout(now, core) {
            return self.give_up(now, core, id, StatusCode::SERVER_TIMEOUT);
        }
        if let Some((at, reply)) = &mut self.repeat
            && *at <= now
        {
            *at = now + REPEAT;
            core.reply(now, self.server, reply.clone());
        }
        State::Incoming(self)
    }

    pub(super) fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) {
        if !status.is_provisional() || status == StatusCode::TRYING || self.accepted.is_some() {
            return;
        }
        // One description is enough: what was offered or answered for sure is not said again.
        let sdp = sdp.filter(|_| self.description.is_none());
        let identity = self.identity(core);
        if self.reliable.takes(sdp.as_ref()) {
            self.description = self.description.take().or_else(|| sdp.clone());
            return self.reliable.send(now, core, Provisional { status, sdp, identity });
        }
        let reply = Reply::new(status).contact(&identity).body(SDP, sdp);
        core.reply(now, self.server, reply.clone());
        self.repeat = Some((now + REPEAT, reply));
    }

    pub(super) fn answer(mut self: Box<Self>, now: Instant, core: &mut Core, sdp: Bytes) -> State {
        if self.reliable.holds_success() {
            self.accepted = Some(sdp);
            return State::Incoming(self);
        }
        let contact = Reply::new(StatusCode::OK).contact(&self.identity(core));
        let reply = core.with_capabilities(contact);
        let is_settled = self.description.is_some();
        let sdp = Some(sdp).filter(|_| !is_settled);
        let offer = if is_settled { Offer::InRequest } else { self.offer };
        let timer = SessionTimer::new(core.layer.settings.min_se);
        let mut established = Box::new(Established::new(self.dialog, Side::Callee, timer));
        established.description = self.description.or_else(|| sdp.clone());
        established.exchange = self.early.into_exchange(now + core.layer.settings.ring);
        established.unpracked = self.reliable.into_open();
        established.accept(now, core, (self.server, offer), reply.body(SDP, sdp));
        State::Established(established)
    }

    /// Gives a final response other than 2xx and leaves the dialog.
    pub(super) fn refuse(self: Box<Self>, now: Instant, core: &mut Core, reply: Reply) {
        self.early.close(now, core);
        core.reply(now, self.server, reply);
        core.dialogs.leave_session(&self.dialog);
    }

    pub(super) fn handle_request(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        match within.ask {
            // RFC 3261 §15.1.2: a caller may end an early dialog by BYE too.
            Ask::Bye => {
                core.reply_status(now, within.server, StatusCode::OK);
                return self.give_up(now, core, id, StatusCode::REQUEST_TERMINATED);
            }
            Ask::Refresh => {
                super::established::accept_refresh(now, core, within, None);
            }
            Ask::Prack => return self.handle_prack(now, core, id, within),
            Ask::Update => self.early.handle_offer(now, core, id, within),
            // RFC 3261 §14.2: the first INVITE is not answered yet.
            Ask::Reinvite => core.reply_later(now, within.server),
        }
        State::Incoming(self)
    }

    /// Says that the user wants another session before the final response.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        offer: Bytes,
    ) -> Result<(), Busy> {
        self.early.offer(now, core, (id, &self.dialog), offer)
    }

    pub(super) fn answer_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        answer: Result<Bytes, StatusCode>,
    ) {
        let answer = self.early.answer(now, core, &self.dialog, answer);
        self.description = answer.or_else(|| self.description.take());
    }

    /// True if this request is an UPDATE of ours.
    pub(super) fn is_ours(&self, id: RequestId) -> bool {
        self.early.is_ours(id)
    }

    pub(super) fn handle_response(&mut self, core: &mut Core, id: SessionId, response: &Message) {
        let offer = self.early.handle_response(core, (id, &self.dialog), response);
        self.description = offer.or_else(|| self.description.take());
    }

    pub(super) fn handle_refusal(&mut self, core: &mut Core, id: SessionId, refusal: Refusal) {
        self.early.fail(core, id, refusal);
    }

    /// RFC 3262 §3 and §5: what waited for the PRACK goes on; the PRACK may answer our offer, or make one.
    fn handle_prack(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        let Some(content) = self.reliable.acknowledge(now, core, within.request) else {
            core.reply_status(now, within.server, StatusCode::CALL_DOES_NOT_EXIST);
            return State::Incoming(self);
        };
        let sdp = sdp_of(within.request);
        let answers =
            self.offer == Offer::InResponse && content == Content::Sdp && self.early.is_open();
        if content == Content::Sdp {
            self.early = Early::Settled;
        }
        match sdp {
            Some(sdp) if answers => {
                core.reply_status(now, within.server, StatusCode::OK);
                core.emit(Event::Acknowledged { session: id, sdp: Some(sdp) });
            }
            Some(_) => self.early.handle_offer(now, core, id, within),
            None => core.reply_status(now, within.server, StatusCode::OK),
        }
        match self.accepted.take() {
            Some(sdp) => self.answer(now, core, sdp),
            None => State::Incoming(self),
        }
    }

    fn give_up(
        self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        status: StatusCode,
    ) -> State {
        self.refuse(now, core, Reply::new(status));
        core.emit(Event::Cancelled { session: id });
        State::Over
    }
}

/// RFC 3261 §13.3.1.1: proxies want to hear each minute that we still ring.
const REPEAT: Duration = Duration::from_mins(1);
