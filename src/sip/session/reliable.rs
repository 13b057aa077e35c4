//! Provisional responses that must arrive: RFC 3262 §3, from our side.
//!
//! ```text
//!  send() ──▶ open ──PRACK──▶ the one that waits, or none
//!              └── 64·T1 without PRACK ──▶ lost
//! ```

use std::time::Instant;

use bytes::Bytes;

use crate::sip::dialog::Identity;
use crate::sip::endpoint::Prack;
use crate::sip::endpoint::core::{Core, SDP};
use crate::sip::headers::{CSeq, Name, RAck};
use crate::sip::layer::{Reply, ServerId};
use crate::sip::timer::{Backoff, GIVE_UP};
use crate::sip::{Message, StatusCode};

/// The reliable provisional responses to one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    server: ServerId,
    wanted: Wanted,
    /// RSeq of the next one.
    next: u32,
    open: Option<Open>,
    /// At most one is under way: what comes in between waits, the newest in place of older ones.
    waiting: Option<Provisional>,
}

/// Which responses go reliably.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Never,
    WithSdp,
    Always,
}

impl Wanted {
    /// What the caller wants.
    fn of(invite: &Message) -> Self {
        if invite.headers.has_token(&Name::Require, TAG) {
            Self::Always
        } else if invite.headers.has_token(&Name::Supported, TAG) {
            Self::WithSdp
        } else {
            Self::Never
        }
    }
}

/// A response to send.
#[derive(Debug)]
pub(super) struct Provisional {
    pub(super) status: StatusCode,
    pub(super) sdp: Option<Bytes>,
    /// User part of our Contact.
    pub(super) identity: Identity,
}

/// A response whose PRACK is missing.
#[derive(Debug)]
pub(super) struct Open {
    acknowledgement: RAck,
    response: Bytes,
    resend: Backoff,
    give_up: Instant,
    content: Content,
}

/// Whether a response carries a session description.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content {
    Sdp,
    Nothing,
}

impl Reliable {
    /// For the responses to `invite`, as it and the setting want it.
    pub(super) fn new(core: &mut Core, server: ServerId, invite: &Message) -> Self {
        let wanted = match core.layer.settings.prack {
            Prack::Off => Wanted::Never,
            Prack::Supported => Wanted::of(invite),
            Prack::Required => Wanted::Always,
        };
        let next = core.layer.new_response_number();
        Self { server, wanted, next, open: None, waiting: None }
    }

    /// Whether a response goes this way.
    pub(super) fn takes(&self, sdp: Option<&Bytes>) -> bool {
        match self.wanted {
            Wanted::Never => false,
            Wanted::WithSdp => sdp.is_some(),
            Wanted::Always => true,
        }
    }

    /// Sends a response, now or when those before it are acknowledged.
    pub(super) fn send(&mut self, now: Instant, core: &mut Core, mut provisional: Provisional) {
        if self.open.is_none() {
            return self.send_now(now, core, provisional);
        }
        let before = self.waiting.take().and_then(|waiting| waiting.sdp);
        provisional.sdp = provisional.sdp.or(before);
        self.waiting = Some(provisional);
    }

    /// True while a 2xx has to wait (§3).
    pub(super) fn holds_success(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.content == Content::Sdp)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.resend.at().min(open.give_up))
    }

    /// Sends again what is due; false if no PRACK came in 64·T1.
    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Core) -> bool {
        let Some(open) = &mut self.open else { return true };
        if open.give_up <= now {
            return false;
        }
        if open.resend.at() <= now {
            open.resend.rearm(now);
            core.layer.resend_provisional(now, self.server, open.response.clone());
        }
        true
    }

    /// Takes a PRACK; tells what it acknowledged, or nothing if that is not open.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        core: &mut Core,
        prack: &Message,
    ) -> Option<Content> {
        let open = self.open.take_if(|open| open.is_acknowledged_by(prack))?;
        if let Some(waiting) = self.waiting.take() {
            self.send_now(now, core, waiting);
        }
        Some(open.content)
    }

    /// What a PRACK may still come for after the final response.
    pub(super) fn into_open(self) -> Option<Open> {
        self.open
    }

    fn send_now(&mut self, now: Instant, core: &mut Core, provisional: Provisional) {
        let Provisional { status, sdp, identity } = provisional;
        let content = if sdp.is_some() { Content::Sdp } else { Content::Nothing };
        let Some(request) = core.layer.request_of(self.server) else { return };
        let Ok(cseq) = request.headers.cseq() else { return };
        let reply = Reply::new(status).contact(&identity).body(SDP, sdp);
        let reply = core.with_capabilities(reply);
        let reply = reply.header(Name::Require, TAG).header(Name::RSeq, self.next.to_string());
        let acknowledgement = RAck { response: self.next, cseq };
        self.next = self.next.wrapping_add(1);
        let (resend, give_up) = (Backoff::uncapped(now), now + GIVE_UP);
        let response = core.layer.reply(now, self.server, reply);
        self.open =
            response.map(|response| Open { acknowledgement, response, resend, give_up, content });
    }
}

impl Open {
    pub(super) fn is_acknowledged_by(&self, prack: &Message) -> bool {
        let rack = prack.headers.first(&Name::RAck).and_then(|value| RAck::parse(value).ok());
        rack.as_ref() == Some(&self.acknowledgement)
    }
}

/// Adds what names this response in a PRACK, and our answer if its offer is to be answered.
pub(super) fn complete_prack(prack: &mut Message, rack: &RAck, sdp: Option<Bytes>) {
    prack.headers.push(Name::RAck, rack.to_string());
    if let Some(sdp) = sdp {
        prack.headers.push(Name::ContentType, SDP);
        prack.body = sdp;
    }
}

/// What a PRACK for this response says; `None` if it does not ask for one (§4).
pub(super) fn rack_of(response: &Message) -> Option<RAck> {
    let headers = &response.headers;
    let cseq: CSeq = headers.cseq().ok()?;
    let is_reliable = headers.has_token(&Name::Require, TAG);
    Some(RAck { response: headers.rseq().filter(|_| is_reliable)?, cseq })
}

/// The option tag of RFC 3262.
pub(in crate::sip) const TAG: &str = "100rel";
