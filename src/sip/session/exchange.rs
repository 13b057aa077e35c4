//! Offers within a call that stands, by re-INVITE and UPDATE: RFC 3261 §14, RFC 3311, RFC 6337 §4.
//!
//! ```text
//!         offer()         2xx without our offer        acknowledge()
//!  Idle ─────────▶ Ours ─────────────────────▶ OweAck ──────────────▶ Idle
//!   │ ▲             │ ▲                          ▲
//!   │ │         491 │ │ after 0–2 or 2.1–4 s     └── 2xx to our first INVITE without offer
//!   │ │             ▼ │
//!   │ │           Waiting ──their offer──▶ Theirs
//!   │ └─ answer_offer() ───────────────────┘ ▲
//!   └────────── their offer ─────────────────┘
//! ```

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::established::{Established, Offer, Side, Updates};
use super::{Refusal, State, Within, sdp_of};
use crate::sip::endpoint::core::{ALLOW, Core, SDP};
use crate::sip::endpoint::{Busy, Event, SessionId};
use crate::sip::headers::Name;
use crate::sip::layer::{Owner, Reply, RequestId, ServerId};
use crate::sip::{Message, Method, StatusCode};

/// Which offer is open.
#[derive(Debug)]
pub(super) enum Exchange {
    Idle,
    /// The peer's 2xx to our INVITE has no ACK yet: the user owes the answer to its offer.
    OweAck {
        request: RequestId,
        sequence: u32,
    },
    /// Our request waits for the peer.
    Ours {
        request: RequestId,
        until: Instant,
        proposal: Proposal,
    },
    /// Our request was refused for now.
    Waiting {
        until: Instant,
        proposal: Proposal,
    },
    /// The peer's request waits for the user.
    Theirs {
        server: ServerId,
    },
}

/// What we want of the peer.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    method: Method,
    offer: Option<Bytes>,
    purpose: Purpose,
    tries_left: u32,
}

/// Why we ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    /// The user wants another session.
    Change,
    /// The session is to go on as it is (RFC 4028).
    Refresh,
}

impl Exchange {
    /// An UPDATE that was sent before the call stood.
    pub(super) fn of_update(request: RequestId, offer: Bytes, until: Instant) -> Self {
        let purpose = Purpose::Change;
        let proposal =
            Proposal { method: Method::Update, offer: Some(offer), purpose, tries_left: TRIES };
        Self::Ours { request, until, proposal }
    }

    /// Notes that our request went out again under another name.
    pub(super) fn note_sent_again(&mut self, sent: RequestId, again: RequestId) {
        if let Self::Ours { request, .. } = self
            && *request == sent
        {
            *request = again;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Ours { until, .. } | Self::Waiting { until, .. } => Some(*until),
            Self::Idle | Self::OweAck { .. } | Self::Theirs { .. } => None,
        }
    }
}

impl Established {
    /// Notes that the peer's 2xx waits for our ACK.
    pub(super) fn owe_ack(&mut self, request: RequestId, sequence: u32) {
        self.exchange = Exchange::OweAck { request, sequence };
    }

    /// Sends the ACK that is owed, with our answer if there is one to give.
    pub(super) fn acknowledge(&mut self, core: &mut Core, sdp: Option<Bytes>) {
        let Exchange::OweAck { request, sequence } = self.exchange else { return };
        self.exchange = Exchange::Idle;
        let Some(entry) = core.dialogs.get(&self.dialog) else { return };
        let flow = entry.dialog.flow();
        let mut ack = entry.dialog.ack(sequence);
        // RFC 3261 §13.2.2.4: with the same credentials as the INVITE.
        if let Some(invite) = core.layer.request_sent(request) {
            ack.headers.copy(&Name::Authorization, &invite.headers);
            ack.headers.copy(&Name::ProxyAuthorization, &invite.headers);
        }
        ack.headers.push(Name::UserAgent, core.layer.settings.product.clone());
        if let Some(sdp) = sdp {
            ack.headers.push(Name::ContentType, SDP);
            ack.body = sdp.clone();
            self.description = Some(sdp);
        }
        core.layer.acknowledge(request, &self.dialog.remote_tag, (ack, flow));
    }

    /// True if this request is the one we wait for.
    pub(super) fn is_ours(&self, id: RequestId) -> bool {
        matches!(&self.exchange, Exchange::Ours { request, .. } if *request == id)
    }

    pub(super) fn offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        (method, offer): (Method, Option<Bytes>),
    ) -> Result<(), Busy> {
        if !matches!(self.exchange, Exchange::Idle) || self.unacknowledged.is_some() {
            return Err(Busy);
        }
        let purpose = Purpose::Change;
        self.propose(now, core, id, Proposal { method, offer, purpose, tries_left: TRIES });
        Ok(())
    }

    /// Keeps the session up (RFC 4028 §10): by UPDATE, or by the description as it stands, o-line and all.
    pub(super) fn refresh(&mut self, now: Instant, core: &mut Core, id: SessionId) {
        let is_busy = !matches!(self.exchange, Exchange::Idle) || self.unacknowledged.is_some();
        let (method, offer) = match (self.updates, &self.description) {
            _ if is_busy => return self.timer.postpone(now), // what is open refreshes the session too
            (Updates::Taken, _) => (Method::Update, None),
            (Updates::Refused, Some(description)) => (Method::Invite, Some(description.clone())),
            (Updates::Refused, None) => return self.timer.postpone(now), // our answer is still to come
        };
        let purpose = Purpose::Refresh;
        self.propose(now, core, id, Proposal { method, offer, purpose, tries_left: TRIES });
    }

    /// A re-INVITE, or an UPDATE with an offer.
    pub(super) fn handle_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) {
        match &self.exchange {
            Exchange::Theirs { .. } => return core.reply_later(now, within.server),
            Exchange::Ours { .. } | Exchange::OweAck { .. } => {
                return core.reply_status(now, within.server, StatusCode::REQUEST_PENDING);
            }
            // The ACK for our 2xx is lost or late; it will be here when the peer tries again.
            Exchange::Idle | Exchange::Waiting { .. } if self.unacknowledged.is_some() => {
                return core.reply_status(now, within.server, StatusCode::REQUEST_PENDING);
            }
            // The peer's offer overtakes ours, which was made for the session as it was.
            Exchange::Waiting { proposal, .. } => {
                let purpose = proposal.purpose;
                self.fail(
                    now,
                    core,
                    id,
                    (purpose, Refusal::of_status(StatusCode::REQUEST_PENDING)),
                );
            }
            Exchange::Idle => {}
        }
        self.exchange = Exchange::Theirs { server: within.server };
        let (dialog, sdp) = (within.dialog.clone(), sdp_of(within.request));
        core.emit(Event::Reoffered { session: id, dialog, sdp });
    }

    pub(super) fn answer_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        answer: Result<Bytes, StatusCode>,
    ) {
        let Exchange::Theirs { server } = self.exchange else { return };
        self.exchange = Exchange::Idle;
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(status) => return core.reply_status(now, server, status),
        };
        self.description = Some(sdp.clone());
        let (Some(request), Some(dialog)) =
            (core.layer.request_of(server), core.dialogs.dialog_mut(&self.dialog))
        else {
            return;
        };
        dialog.refresh_target(request);
        let reply = Reply::new(StatusCode::OK).contact(dialog.identity()).body(SDP, Some(sdp));
        let reply = core.with_capabilities(reply);
        match request.method() {
            Some(Method::Invite) => {
                let offer = Offer::of(request);
                self.accept(now, core, (server, offer), reply);
            }
            Some(Method::Update) => {
                self.updates = Updates::Taken;
                let wanted = core.layer.settings.session_expires;
                let reply = self.timer.accept(now, wanted, request, reply);
                core.reply(now, server, reply);
            }
            _ => core.reply(now, server, reply), // a PRACK that our 2xx has overtaken
        }
    }

    /// The peer takes its re-INVITE back.
    pub(super) fn handle_cancelled(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        cancelled: ServerId,
    ) -> Box<Self> {
        if matches!(self.exchange, Exchange::Theirs { server } if server == cancelled) {
            core.reply_status(now, cancelled, StatusCode::REQUEST_TERMINATED);
            self.exchange = Exchange::Idle;
            core.emit(Event::ReofferCancelled { session: id });
        }
        self
    }

    pub(super) fn handle_response(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        response: &Message,
    ) -> State {
        match response.status() {
            Some(status) if status.is_success() => {
                self.handle_answer(now, core, id, response);
                State::Established(self)
            }
            Some(status) if status.is_final() => {
                self.handle_refusal(now, core, id, Refusal::of_response(response))
            }
            _ => State::Established(self),
        }
    }

    /// RFC 3261 §14.1: whatever the refusal, the session stands; only 408 and 481 end it.
    pub(super) fn handle_refusal(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        refusal: Refusal,
    ) -> State {
        let exchange = mem::replace(&mut self.exchange, Exchange::Idle);
        let Exchange::Ours { mut proposal, .. } = exchange else {
            self.exchange = exchange;
            return State::Established(self);
        };
        if matches!(refusal.status, StatusCode::REQUEST_TIMEOUT | StatusCode::CALL_DOES_NOT_EXIST) {
            return self.end_if_dialog_lost(now, core, id, refusal.status);
        }
        if self.adapt(&mut proposal, &refusal) {
            proposal.tries_left -= 1;
            self.propose(now, core, id, proposal);
            return State::Established(self);
        }
        match self.pause_after(core, &refusal).filter(|_| proposal.tries_left > 0) {
            Some(pause) => {
                proposal.tries_left -= 1;
                self.exchange = Exchange::Waiting { until: now + pause, proposal };
            }
            None => self.fail(now, core, id, (proposal.purpose, refusal)),
        }
        State::Established(self)
    }

    /// Makes of a refused proposal one that may be taken at once; false if there is none.
    fn adapt(&mut self, proposal: &mut Proposal, refusal: &Refusal) -> bool {
        if proposal.tries_left == 0 {
            return false;
        }
        match (refusal.status, proposal.purpose, &self.description) {
            (StatusCode::SESSION_INTERVAL_TOO_SMALL, ..) => self.timer.raise(refusal.min_se),
            // It allowed UPDATE and does not take it.
            (
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED,
                Purpose::Refresh,
                Some(description),
            ) if proposal.method == Method::Update => {
                self.updates = Updates::Refused;
                (proposal.method, proposal.offer) = (Method::Invite, Some(description.clone()));
                true
            }
            _ => false,
        }
    }

    /// Gives up what we asked for; the session stands as it was.
    fn fail(
        &mut self,
        now: Instant,
        core: &mut Core,
        session: SessionId,
        (purpose, refusal): (Purpose, Refusal),
    ) {
        let Refusal { status, reason, .. } = refusal;
        match purpose {
            Purpose::Change => core.emit(Event::ReofferFailed { session, status, reason }),
            Purpose::Refresh => {
                self.timer.postpone(now);
                core.emit(Event::Refreshed { session, sdp: None });
            }
        }
    }

    /// Does what is due: sends a refused proposal again, or gives up one that is never answered.
    pub(super) fn continue_exchange(&mut self, now: Instant, core: &mut Core, id: SessionId) {
        match &self.exchange {
            Exchange::Waiting { until, proposal } if *until <= now => {
                let proposal = proposal.clone();
                self.propose(now, core, id, proposal);
            }
            Exchange::Ours { until, request, proposal } if *until <= now => {
                let purpose = proposal.purpose;
                core.layer.cancel(now, *request, None);
                self.exchange = Exchange::Idle;
                self.fail(
                    now,
                    core,
                    id,
                    (purpose, Refusal::of_status(StatusCode::REQUEST_TIMEOUT)),
                );
            }
            Exchange::Idle
            | Exchange::OweAck { .. }
            | Exchange::Ours { .. }
            | Exchange::Waiting { .. }
            | Exchange::Theirs { .. } => {}
        }
    }

    /// Leaves nothing open when the session ends.
    pub(super) fn close_exchange(&mut self, now: Instant, core: &mut Core) {
        match &self.exchange {
            Exchange::OweAck { .. } => self.acknowledge(core, None),
            Exchange::Ours { request, .. } => core.layer.cancel(now, *request, None),
            Exchange::Theirs { server } => {
                core.reply_status(now, *server, StatusCode::REQUEST_TERMINATED);
            }
            Exchange::Idle | Exchange::Waiting { .. } => {}
        }
        self.exchange = Exchange::Idle;
    }

    fn propose(&mut self, now: Instant, core: &mut Core, id: SessionId, proposal: Proposal) {
        // Not 100rel: provisional responses within a call tell us nothing.
        let supported = core.layer.settings.supported.join(", ");
        let what = (proposal.method.clone(), Owner::Session(id));
        let timer = &self.timer;
        let request = core.send_within(now, &self.dialog, what, |message| {
            message.headers.push(Name::Allow, ALLOW);
            message.headers.push(Name::Supported, supported);
            timer.ask_again(&mut message.headers);
            if let Some(offer) = &proposal.offer {
                message.headers.push(Name::ContentType, SDP);
                message.body = offer.clone();
            }
        });
        let until = now + core.layer.settings.ring;
        self.exchange = match request {
            Some(request) => Exchange::Ours { request, until, proposal },
            None => Exchange::Idle, // never: the dialog lives as long as its session
        };
    }

    fn handle_answer(&mut self, now: Instant, core: &mut Core, id: SessionId, response: &Message) {
        let exchange = mem::replace(&mut self.exchange, Exchange::Idle);
        let Exchange::Ours { request, proposal, .. } = exchange else { return };
        if let Some(dialog) = core.dialogs.dialog_mut(&self.dialog) {
            dialog.refresh_target(response);
        }
        self.timer.conclude(now, response);
        self.updates.note(response);
        let sdp = sdp_of(response);
        if proposal.method == Method::Invite {
            self.owe_ack(request, response.headers.cseq().map_or(0, |cseq| cseq.number));
            if proposal.offer.is_some() || sdp.is_none() {
                self.acknowledge(core, None);
            }
        }
        self.description = proposal.offer.or_else(|| self.description.take());
        core.emit(match proposal.purpose {
            Purpose::Change => Event::ReofferAnswered { session: id, sdp },
            Purpose::Refresh => Event::Refreshed { session: id, sdp },
        });
    }

    /// How long to wait before the same proposal may do better; `None` if it never will.
    fn pause_after(&self, core: &mut Core, refusal: &Refusal) -> Option<Duration> {
        match refusal.status {
            // RFC 3261 §14.1: the two ranges do not meet, so that the next offers do not cross.
            StatusCode::REQUEST_PENDING => Some(match self.side {
                Side::Caller => {
                    let range = Duration::from_millis(4000 - 2100);
                    Duration::from_millis(2100) + core.layer.random_delay(range)
                }
                Side::Callee => core.layer.random_delay(Duration::from_secs(2)),
            }),
            StatusCode::SERVER_INTERNAL_ERROR | StatusCode::SERVICE_UNAVAILABLE => {
                refusal.retry_after.filter(|delay| *delay <= PATIENCE)
            }
            _ => None,
        }
    }
}

/// How often a proposal that was refused for now is made again.
const TRIES: u32 = 5;

/// The longest Retry-After that is waited for: RFC 3261 §14.2 and RFC 3311 §5.2 choose up to 10 s.
const PATIENCE: Duration = Duration::from_secs(10);
