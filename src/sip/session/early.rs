//! Offers and answers before the final response to INVITE: RFC 3262 §5, RFC 3311 §5, RFC 6337 §3.
//!
//! ```text
//!  Open ──reliable 18x, with SDP, and its PRACK──▶ Settled ◀──answer──┬── Theirs ◀── UPDATE or PRACK with an offer
//!                                                     └──offer()──────┴─▶ Ours
//! ```

use std::time::Instant;

use bytes::Bytes;

use super::exchange::Exchange;
use super::{Refusal, Within, sdp_of};
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::core::{Core, SDP};
use crate::sip::endpoint::{Busy, Event, SessionId};
use crate::sip::headers::Name;
use crate::sip::layer::{Owner, Reply, RequestId, ServerId};
use crate::sip::{Message, Method, StatusCode};

/// Which offer is open in an early dialog.
#[derive(Clone, Debug)]
pub(super) enum Early {
    /// The first offer, which is in or due after the INVITE, has no answer that arrives for sure.
    Open(Offerer),
    /// There is an agreement that the final response leaves alone.
    Settled,
    /// The peer's UPDATE or PRACK waits for the user.
    Theirs { server: ServerId },
    /// Our UPDATE waits for the peer.
    Ours { request: RequestId, offer: Bytes },
}

/// Whose the first offer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offerer {
    Us,
    Peer,
}

impl Early {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    pub(super) fn note_sent_again(&mut self, sent: RequestId, again: RequestId) {
        if let Self::Ours { request, .. } = self
            && *request == sent
        {
            *request = again;
        }
    }

    pub(super) fn is_ours(&self, id: RequestId) -> bool {
        matches!(self, Self::Ours { request, .. } if *request == id)
    }

    pub(super) fn is_theirs(&self) -> bool {
        matches!(self, Self::Theirs { .. })
    }

    /// Takes an offer in UPDATE or PRACK (RFC 3311 §5.2).
    pub(super) fn handle_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) {
        match self {
            Self::Open(Offerer::Peer) | Self::Theirs { .. } => core.reply_later(now, within.server),
            Self::Open(Offerer::Us) | Self::Ours { .. } => {
                core.reply_status(now, within.server, StatusCode::REQUEST_PENDING);
            }
            Self::Settled => {
                *self = Self::Theirs { server: within.server };
                let (dialog, sdp) = (within.dialog.clone(), sdp_of(within.request));
                core.emit(Event::Reoffered { session: id, dialog, sdp });
            }
        }
    }

    /// Answers the peer's offer; returns our answer if that stands now.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        core: &mut Core,
        dialog: &DialogId,
        answer: Result<Bytes, StatusCode>,
    ) -> Option<Bytes> {
        let Self::Theirs { server } = *self else { return None };
        *self = Self::Settled;
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(status) => {
                core.reply_status(now, server, status);
                return None;
            }
        };
        let (request, dialog) = (core.layer.request_of(server)?, core.dialogs.dialog_mut(dialog)?);
        let is_update = request.method() == Some(&Method::Update);
        let mut reply = Reply::new(StatusCode::OK).body(SDP, Some(sdp.clone()));
        if is_update {
            dialog.refresh_target(request);
            let identity = dialog.identity().clone();
            reply = core.with_capabilities(reply.contact(&identity));
        }
        core.reply(now, server, reply);
        Some(sdp)
    }

    /// Offers a change by UPDATE.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        (id, dialog): (SessionId, &DialogId),
        offer: Bytes,
    ) -> Result<(), Busy> {
        if !matches!(self, Self::Settled) {
            return Err(Busy);
        }
        let body = offer.clone();
        let what = (Method::Update, Owner::Session(id));
        let request = core.send_within(now, dialog, what, |update| {
            update.headers.push(Name::ContentType, SDP);
            update.body = body;
        });
        *self = Self::Ours { request: request.ok_or(Busy)?, offer };
        Ok(())
    }

    /// Takes the final response to our UPDATE; returns our offer if that stands now.
    pub(super) fn handle_response(
        &mut self,
        core: &mut Core,
        (session, dialog): (SessionId, &DialogId),
        response: &Message,
    ) -> Option<Bytes> {
        let status = response.status().filter(|status| status.is_final())?;
        if !status.is_success() {
            self.fail(core, session, Refusal::of_response(response));
            return None;
        }
        let Self::Ours { offer, .. } = std::mem::replace(self, Self::Settled) else { return None };
        core.dialogs.dialog_mut(dialog)?.refresh_target(response);
        core.emit(Event::ReofferAnswered { session, sdp: sdp_of(response) });
        Some(offer)
    }

    /// Our UPDATE came to nothing.
    pub(super) fn fail(&mut self, core: &mut Core, session: SessionId, refusal: Refusal) {
        *self = Self::Settled;
        let Refusal { status, reason, .. } = refusal;
        core.emit(Event::ReofferFailed { session, status, reason });
    }

    /// Leaves nothing unanswered when the early dialog ends.
    pub(super) fn close(&self, now: Instant, core: &mut Core) {
        if let Self::Theirs { server } = *self {
            core.reply_status(now, server, StatusCode::REQUEST_TERMINATED);
        }
    }

    /// What is still open when the call stands.
    pub(super) fn into_exchange(self, until: Instant) -> Exchange {
        match self {
            Self::Open(_) | Self::Settled => Exchange::Idle,
            Self::Theirs { server } => Exchange::Theirs { server },
            Self::Ours { request, offer } => Exchange::of_update(request, offer, until),
        }
    }
}
