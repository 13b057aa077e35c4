//! A call that stands, from 2xx to BYE: RFC 3261 §13.3.1.4 and §15.

use std::time::Instant;

use bytes::Bytes;

use super::exchange::Exchange;
use super::reliable::Open;
use super::timer::{Due, SessionTimer};
use super::{Ask, State, Within, sdp_of, text};
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{EndCause, Event, SessionId};
use crate::sip::headers::Name;
use crate::sip::layer::{Reply, ServerId};
use crate::sip::timer::{Backoff, GIVE_UP};
use crate::sip::{Message, Method, StatusCode};

/// A confirmed dialog with its session.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) dialog: DialogId,
    pub(super) side: Side,
    /// Our 2xx, while the peer's ACK is missing.
    pub(super) unacknowledged: Option<Unacknowledged>,
    pub(super) exchange: Exchange,
    pub(super) timer: SessionTimer,
    /// Our session description as it stands, for a refresh by re-INVITE.
    pub(super) description: Option<Bytes>,
    /// Whether the peer takes UPDATE.
    pub(super) updates: Updates,
    /// A reliable provisional response that our 2xx has overtaken.
    pub(super) unpracked: Option<Open>,
}

/// Whether a peer takes UPDATE (RFC 3311), as its Allow says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Updates {
    Taken,
    Refused,
}

/// Who made the Call-ID: it decides who retries a crossed offer first (RFC 3261 §14.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Caller,
    Callee,
}

/// A 2xx of ours that is resent until its ACK comes.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    server: ServerId,
    sequence: u32,
    response: Bytes,
    resend: Backoff,
    give_up: Instant,
    offer: Offer,
}

/// Whether a 2xx carries an offer, so that its ACK carries the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offer {
    InResponse,
    InRequest,
}

impl Offer {
    /// Where the offer of the exchange is that this INVITE begins.
    pub(super) fn of(invite: &Message) -> Self {
        match sdp_of(invite) {
            Some(_) => Self::InRequest,
            None => Self::InResponse,
        }
    }
}

/// A session hung up before the ACK for our 2xx: BYE must wait for it (RFC 3261 §15).
#[derive(Debug)]
pub(super) struct Closing {
    dialog: DialogId,
    unacknowledged: Unacknowledged,
    reason: Option<String>,
}

impl Established {
    pub(super) fn new(dialog: DialogId, side: Side, timer: SessionTimer) -> Self {
        Self {
            dialog,
            side,
            unacknowledged: None,
            exchange: Exchange::Idle,
            timer,
            description: None,
            updates: Updates::Refused,
            unpracked: None,
        }
    }

    pub(super) fn dialog(&self) -> &DialogId {
        &self.dialog
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let unacknowledged = self.unacknowledged.as_ref().map(Unacknowledged::deadline);
        let own = unacknowledged.into_iter().chain(self.exchange.deadline());
        own.chain(self.timer.deadline()).min()
    }

    pub(super) fn handle_timeout(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
    ) -> State {
        if let Some(unacknowledged) = &mut self.unacknowledged {
            if unacknowledged.give_up <= now {
                core.send_bye(now, &self.dialog, None);
                return self.end(now, core, id, EndCause::AckMissing);
            }
            unacknowledged.resend_if_due(now, core);
        }
        self.continue_exchange(now, core, id);
        match self.timer.due(now) {
            Some(Due::Expiry) => {
                self.close_exchange(now, core);
                core.send_bye(now, &self.dialog, Some(EXPIRED.to_owned()));
                return self.end(now, core, id, EndCause::Expired);
            }
            Some(Due::Refresh) => self.refresh(now, core, id),
            None => {}
        }
        State::Established(self)
    }

    /// Sends a 2xx to INVITE or re-INVITE and watches for its ACK.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        core: &mut Core,
        (server, offer): (ServerId, Offer),
        reply: Reply,
    ) {
        let Some(request) = core.layer.request_of(server) else { return };
        let sequence = request.headers.cseq().map_or(0, |cseq| cseq.number);
        self.updates.note(request);
        let reply = self.timer.accept(now, core.layer.settings.session_expires, request, reply);
        self.unacknowledged = core.layer.reply(now, server, reply).map(|response| {
            let (resend, give_up) = (Backoff::capped(now), now + GIVE_UP);
            Unacknowledged { server, sequence, response, resend, give_up, offer }
        });
    }

    pub(super) fn handle_ack(
        mut self: Box<Self>,
        core: &mut Core,
        id: SessionId,
        ack: &Message,
        sequence: u32,
    ) -> Box<Self> {
        if let Some(acknowledged) = self.unacknowledged.take_if(|own| own.sequence == sequence) {
            let sdp = match acknowledged.offer {
                Offer::InResponse => sdp_of(ack),
                Offer::InRequest => None,
            };
            core.emit(Event::Acknowledged { session: id, sdp });
        }
        self
    }

    pub(super) fn handle_request(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        match within.ask {
            Ask::Bye => {
                core.reply_status(now, within.server, StatusCode::OK);
                let reason = within.request.headers.first(&Name::Reason).map(|value| text(value));
                return self.end(now, core, id, EndCause::Bye { reason });
            }
            Ask::Refresh => {
                self.updates = Updates::Taken;
                accept_refresh(now, core, within, Some(&mut self.timer));
            }
            Ask::Prack => {
                let is_known = |open: &mut Open| open.is_acknowledged_by(within.request);
                let status = match self.unpracked.take_if(is_known) {
                    Some(_) => StatusCode::OK,
                    None => StatusCode::CALL_DOES_NOT_EXIST,
                };
                core.reply_status(now, within.server, status);
            }
            Ask::Update | Ask::Reinvite => self.handle_offer(now, core, id, within),
        }
        State::Established(self)
    }

    pub(super) fn hang_up(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        reason: Option<String>,
    ) -> State {
        self.close_exchange(now, core);
        let Self { dialog, unacknowledged, .. } = *self;
        if let Some(unacknowledged) = unacknowledged {
            return State::Closing(Box::new(Closing { dialog, unacknowledged, reason }));
        }
        core.send_bye(now, &dialog, reason);
        core.dialogs.leave_session(&dialog);
        State::Over
    }

    /// Ends the session if this status of a request within it says that the peer has lost it.
    pub(super) fn end_if_dialog_lost(
        self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        status: StatusCode,
    ) -> State {
        match status {
            // RFC 3261 §12.2.1.2: a BYE reaches a peer that was only slow.
            StatusCode::REQUEST_TIMEOUT => {
                core.send_bye(now, &self.dialog, None);
                self.end(now, core, id, EndCause::RequestTimeout)
            }
            StatusCode::CALL_DOES_NOT_EXIST => self.end(now, core, id, EndCause::DialogMissing),
            _ => State::Established(self),
        }
    }

    fn end(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        cause: EndCause,
    ) -> State {
        self.close_exchange(now, core);
        core.dialogs.leave_session(&self.dialog);
        core.emit(Event::Ended { session: id, cause });
        State::Over
    }
}

impl Updates {
    /// Reads Allow; without one nothing is known anew.
    pub(super) fn note(&mut self, message: &Message) {
        let headers = &message.headers;
        if headers.has_token(&Name::Allow, Method::Update.as_str()) {
            *self = Self::Taken;
        } else if headers.contains(&Name::Allow) {
            *self = Self::Refused;
        }
    }
}

impl Unacknowledged {
    fn deadline(&self) -> Instant {
        self.resend.at().min(self.give_up)
    }

    fn resend_if_due(&mut self, now: Instant, core: &mut Core) {
        if self.resend.at() <= now {
            self.resend.rearm(now);
            core.layer.resend_success(now, self.server, self.response.clone());
        }
    }
}

impl Closing {
    pub(super) fn deadline(&self) -> Instant {
        self.unacknowledged.deadline()
    }

    pub(super) fn handle_timeout(mut self: Box<Self>, now: Instant, core: &mut Core) -> State {
        if self.unacknowledged.give_up <= now {
            return self.close(now, core);
        }
        self.unacknowledged.resend_if_due(now, core);
        State::Closing(self)
    }

    pub(super) fn handle_ack(
        self: Box<Self>,
        now: Instant,
        core: &mut Core,
        sequence: u32,
    ) -> State {
        if self.unacknowledged.sequence == sequence {
            self.close(now, core)
        } else {
            State::Closing(self)
        }
    }

    pub(super) fn handle_request(
        self: Box<Self>,
        now: Instant,
        core: &mut Core,
        within: Within<'_>,
    ) -> State {
        if within.ask == Ask::Bye {
            core.reply_status(now, within.server, StatusCode::OK);
            core.dialogs.leave_session(&self.dialog);
            return State::Over;
        }
        core.reply_status(now, within.server, StatusCode::CALL_DOES_NOT_EXIST);
        State::Closing(self)
    }

    fn close(self: Box<Self>, now: Instant, core: &mut Core) -> State {
        core.send_bye(now, &self.dialog, self.reason);
        core.dialogs.leave_session(&self.dialog);
        State::Over
    }
}

/// Answers an UPDATE that only refreshes the target (RFC 3311 §5.2).
///
/// The session timer starts anew with it, once there is one.
pub(super) fn accept_refresh(
    now: Instant,
    core: &mut Core,
    within: Within<'_>,
    timer: Option<&mut SessionTimer>,
) {
    let Some(dialog) = core.dialogs.dialog_mut(within.dialog) else { return };
    dialog.refresh_target(within.request);
    let reply = Reply::new(StatusCode::OK).contact(dialog.identity());
    let mut reply = core.with_capabilities(reply);
    if let Some(timer) = timer {
        reply = timer.accept(now, core.layer.settings.session_expires, within.request, reply);
    }
    core.reply(now, within.server, reply);
}

/// Why we say BYE when nobody refreshed the session in time.
const EXPIRED: &str = "SIP;cause=408;text=\"Session timer expired\"";
