//! The INVITE that all branches of a call share (RFC 3261 §16.6): one Call-ID, one From tag, one offer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::RELIABLE;
use super::timer::SessionTimer;
use crate::sip::dialog::Identity;
use crate::sip::digest::{Account, Login};
use crate::sip::endpoint::core::{ALLOW, Core, SDP};
use crate::sip::endpoint::{Prack, SessionId, Target};
use crate::sip::headers::Name;
use crate::sip::layer::{Owner, Request, RequestId};
use crate::sip::{Message, Method};

/// What one INVITE has of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub(super) to: &'a Target,
    pub(super) sequence: u32,
    pub(super) timer: &'a SessionTimer,
    /// Others wait for their turn.
    pub(super) has_others: bool,
}

/// An INVITE, but for its request-URI and sequence number.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) identity: Identity,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) call_id: String,
    pub(super) headers: Vec<(String, String)>,
    /// What a target is offered that has no offer of its own.
    pub(super) offer: Option<Bytes>,
    pub(super) account: Option<Arc<Account>>,
}

impl Template {
    /// What a target is offered.
    pub(super) fn offer_to<'a>(&'a self, target: &'a Target) -> Option<&'a Bytes> {
        target.offer.as_ref().or(self.offer.as_ref())
    }

    /// Sends it to one target.
    pub(super) fn send(
        &self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        Turn { to, sequence, timer, has_others }: Turn<'_>,
    ) -> RequestId {
        let target = &to.uri;
        let mut message = Message::request(Method::Invite, target.without_headers());
        let headers = &mut message.headers;
        for route in &to.routes {
            headers.push(Name::Route, route.clone());
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, self.from.clone());
        headers.push(Name::To, self.to.clone());
        headers.push(Name::CallId, self.call_id.clone());
        headers.push(Name::CSeq, format!("{sequence} INVITE"));
        headers.push(Name::Allow, ALLOW);
        headers.push(Name::Supported, core.layer.settings.extensions().join(", "));
        if core.layer.settings.prack == Prack::Required {
            headers.push(Name::Require, RELIABLE);
        }
        timer.ask_first(core.layer.settings.session_expires, headers);
        headers.push(Name::UserAgent, core.layer.settings.product.clone());
        for (name, value) in &self.headers {
            let name = Name::new(name);
            if name == Name::MaxForwards {
                headers.replace(name, value.clone());
            } else if !OWN_HEADERS.contains(&name) {
                headers.push(name, value.clone());
            }
        }
        // RFC 3261 §19.1.5: only headers that a referrer may rightly ask for are taken from a URI.
        for (name, value) in target.headers() {
            let name = Name::new(&name);
            if URI_HEADERS.contains(&name) {
                headers.replace(name, value.into_owned());
            }
        }
        if let Some(offer) = self.offer_to(to) {
            headers.push(Name::ContentType, SDP);
            message.body = offer.clone();
        }
        let contact = Some(self.identity.clone());
        let owner = Owner::Session(id);
        let login = self.account.clone().map(Login::new);
        let flow = to.flow;
        core.layer.send(now, Request { message, contact, owner, flow, login, has_others })
    }
}

/// What the endpoint itself decides.
const OWN_HEADERS: [Name; 11] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::ContentType,
    Name::ContentLength,
    Name::RecordRoute,
    Name::SessionExpires,
    Name::MinSe,
];

/// RFC 3891, 3911, 3892, 4538 and harmless ones.
const URI_HEADERS: [Name; 5] =
    [Name::Replaces, Name::Join, Name::ReferredBy, Name::TargetDialog, Name::Subject];
