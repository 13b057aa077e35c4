//! A call that rings elsewhere: RFC 3261 §13.2 and, for redirections, §8.1.3.4.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::established::{Established, Side};
use super::forks::{Forks, Order};
use super::reliable::rack_of;
use super::timer::SessionTimer;
use super::{Ask, RELIABLE, Refusal, State, Within, reason_of, sdp_of};
use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::digest::{Account, Login};
use crate::sip::endpoint::core::{ALLOW, Core, SDP};
use crate::sip::endpoint::{Event, Hunt, Invitation, Prack, SessionId, Target};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::layer::{Owner, Request, RequestId};
use crate::sip::uri::Scheme;
use crate::sip::{Message, Method, StatusCode, Uri};

/// An INVITE of ours without a final response; with redirections, a row of them.
#[derive(Debug)]
pub(super) struct Outgoing {
    request: RequestId,
    /// The INVITE, but for its request-URI and sequence number.
    template: Template,
    timer: SessionTimer,
    target: Target,
    sequence: u32,
    pub(super) forks: Forks,
    /// Everywhere the call went or will go.
    visited: Vec<Uri>,
    /// Where it goes next if it fails.
    targets: VecDeque<Target>,
    hunt: Hunt,
    redirects_left: usize,
    /// When we stop ringing.
    until: Instant,
}

#[derive(Debug)]
struct Template {
    identity: Identity,
    from: String,
    to: String,
    call_id: String,
    headers: Vec<(String, String)>,
    offer: Option<Bytes>,
    account: Option<Arc<Account>>,
}

impl Outgoing {
    /// The Call-ID of the INVITE and of every dialog it makes.
    pub(super) fn call_id(&self) -> &str {
        &self.template.call_id
    }

    pub(super) fn new(now: Instant, core: &mut Core, id: SessionId, call: Invitation) -> Self {
        let Invitation { target, others, hunt, from, mut to, offer, headers, account, identity } =
            call;
        to.params.remove("tag");
        let own = || Identity::party(from.uri.user_plain().unwrap_or_default());
        let identity = identity.unwrap_or_else(own);
        let template = Template {
            identity,
            from: from.with_tag(&core.layer.new_tag()).to_string(),
            to: to.to_string(),
            call_id: core.layer.new_call_id(),
            headers,
            offer,
            account,
        };
        let timer = SessionTimer::new(core.layer.settings.min_se);
        let request = template.send(now, core, id, (&target, 1, &timer));
        Self {
            request,
            template,
            timer,
            sequence: 1,
            forks: Forks::default(),
            visited: others.iter().chain([&target]).map(|to| to.uri.clone()).collect(),
            target,
            targets: others.into(),
            hunt,
            redirects_left: core.layer.settings.redirects,
            until: now + core.layer.settings.ring,
        }
    }

    /// Says otherwise who we are, from the next message on.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.template.identity = identity;
    }

    /// Notes that the INVITE, or an UPDATE before its answer, went out again under another name.
    pub(super) fn note_sent_again(&mut self, request: RequestId, again: RequestId) {
        if self.request == request {
            self.request = again;
            self.sequence += 1;
        } else {
            self.forks.note_sent_again(request, again);
        }
    }

    pub(super) fn request(&self) -> RequestId {
        self.request
    }

    pub(super) fn deadline(&self) -> Instant {
        self.until
    }

    pub(super) fn handle_timeout(
        self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
    ) -> State {
        if now < self.until {
            return State::Outgoing(self);
        }
        self.give_up(now, core, None);
        let refusal = Refusal::of_status(StatusCode::REQUEST_TIMEOUT);
        emit_failed(core, id, refusal);
        State::Over
    }

    pub(super) fn handle_response(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        response: Message,
    ) -> State {
        match response.status() {
            Some(status) if status.is_provisional() => {
                self.progress(now, core, id, (status, &response));
                State::Outgoing(self)
            }
            Some(status) if status.is_success() => self.establish(now, core, id, response),
            Some(status) if status.is_redirection() => {
                self.note_targets(core, &response);
                self.fail(now, core, id, Refusal::of_response(&response))
            }
            Some(StatusCode::SESSION_INTERVAL_TOO_SMALL) if self.bears_longer(&response) => {
                self.forks.leave_all(now, core);
                let target = self.target.clone();
                self.send_again(now, core, id, target)
            }
            _ => self.fail(now, core, id, Refusal::of_response(&response)),
        }
    }

    /// Goes to the next target of a redirection, or reports the refusal if there is none.
    pub(super) fn fail(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        refusal: Refusal,
    ) -> State {
        self.forks.leave_all(now, core);
        let goes_on = match (refusal.status.code(), self.hunt) {
            (600.., _) => false,
            (300..=399 | 408 | 500..=599, _) | (_, Hunt::Refused) => true,
            (_, Hunt::Unreachable) => false,
        };
        let Some(target) = self.targets.pop_front().filter(|_| goes_on) else {
            emit_failed(core, id, refusal);
            return State::Over;
        };
        self.send_again(now, core, id, target)
    }

    fn send_again(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        target: Target,
    ) -> State {
        self.sequence += 1;
        self.request = self.template.send(now, core, id, (&target, self.sequence, &self.timer));
        self.target = target;
        State::Outgoing(self)
    }

    /// Takes the Min-SE of a 422 (RFC 4028 §7.3), if it makes a difference and not too many did before.
    fn bears_longer(&mut self, response: &Message) -> bool {
        let min = response.headers.min_se().map(|min| min.interval);
        self.timer.raise(min) && self.sequence < MAX_INVITES
    }

    /// Cancels; a 2xx that crosses the CANCEL is released when it comes.
    pub(super) fn give_up(mut self: Box<Self>, now: Instant, core: &mut Core, why: Option<String>) {
        self.forks.leave_all(now, core);
        core.layer.cancel(now, self.request, why);
    }

    /// A request of the callee within an early dialog.
    pub(super) fn handle_request(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        match within.ask {
            Ask::Refresh => {
                super::established::accept_refresh(now, core, within, None);
            }
            // RFC 3261 §15 forbids the callee this; its branch is lost all the same.
            Ask::Bye => {
                core.reply_status(now, within.server, StatusCode::OK);
                self.forks.leave(now, core, within.dialog);
            }
            Ask::Update => self.forks.handle_offer(now, core, id, within),
            // We send no provisional responses.
            Ask::Prack => {
                core.reply_status(now, within.server, StatusCode::CALL_DOES_NOT_EXIST);
            }
            // RFC 3261 §14.2: our own INVITE is open.
            Ask::Reinvite => core.reply_status(now, within.server, StatusCode::REQUEST_PENDING),
        }
        State::Outgoing(self)
    }

    fn progress(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        (status, response): (StatusCode, &Message),
    ) {
        if response.headers.to().is_ok_and(|to| to.tag().is_some()) {
            self.note_early(core, id, response);
        }
        if let Some(rack) = rack_of(response) {
            let (offer, reliable) = (self.template.offer.as_ref(), (response, rack));
            let order = self.forks.acknowledge_reliable(now, core, reliable, offer);
            if order == Order::Broken {
                return;
            }
        }
        let (reason, sdp) = (reason_of(response), sdp_of(response));
        let dialog = DialogId::of_response(response);
        core.emit(Event::Progress { session: id, status, reason, sdp, dialog });
    }

    fn note_early(&mut self, core: &mut Core, id: SessionId, response: &Message) {
        let Some(invite) = core.layer.request_sent(self.request) else { return };
        let flow = core.layer.flow_of(self.request);
        let dialog = Dialog::of_response(invite, response, flow, &self.template.identity);
        if let Some(mut dialog) = dialog {
            dialog.account.clone_from(&self.template.account);
            self.forks.note(core, id, dialog, response);
        }
    }

    fn establish(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        response: Message,
    ) -> State {
        let invite = core.layer.request_sent(self.request);
        let flow = core.layer.flow_of(self.request);
        let identity = &self.template.identity;
        let dialog =
            invite.and_then(|invite| Dialog::of_response(invite, &response, flow, identity));
        let Some(mut dialog) = dialog else {
            // Not even an ACK can be sent; the callee gives up when it misses that.
            return self.fail(now, core, id, Refusal::of_status(StatusCode::BAD_REQUEST));
        };
        dialog.account.clone_from(&self.template.account);
        let dialog = core.dialogs.insert_for_session(dialog, id);
        let fork = self.forks.take(&dialog);
        self.forks.leave_all(now, core);
        let is_settled = !fork.exchange.is_open();
        // RFC 6337 §3.1.1: after a reliable answer, what the 2xx says is none.
        let sdp = if is_settled { fork.answer } else { sdp_of(&response) };
        let mut established = Box::new(Established::new(dialog, Side::Caller, self.timer));
        established.timer.conclude(now, &response);
        established.updates.note(&response);
        established.description = fork.description.or_else(|| self.template.offer.clone());
        established.owe_ack(self.request, self.sequence);
        if self.template.offer.is_some() || is_settled || sdp.is_none() {
            established.acknowledge(core, None);
        }
        if is_settled {
            established.exchange = fork.exchange.into_exchange(now + core.layer.settings.ring);
        }
        core.emit(Event::Answered { session: id, sdp, response: Box::new(response) });
        State::Established(established)
    }

    /// Takes the Contacts of a 3xx, best first, that were not tried yet.
    fn note_targets(&mut self, core: &Core, response: &Message) {
        if self.redirects_left == 0 {
            return;
        }
        self.redirects_left -= 1;
        let mut contacts: Vec<NameAddr> = response
            .headers
            .addresses(&Name::Contact)
            .filter_map(Result::ok)
            .filter(|contact| contact.uri.scheme() == Scheme::Sip)
            .take(core.layer.settings.forks)
            .collect();
        contacts.sort_by_key(|contact| std::cmp::Reverse(quality(contact)));
        for contact in contacts.into_iter().rev() {
            if !self.visited.iter().any(|uri| uri.is_equivalent(&contact.uri)) {
                self.visited.push(contact.uri.clone());
                self.targets.push_front(contact.uri.into());
            }
        }
    }
}

impl Template {
    fn send(
        &self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        (to, sequence, timer): (&Target, u32, &SessionTimer),
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
        if let Some(offer) = &self.offer {
            headers.push(Name::ContentType, SDP);
            message.body = offer.clone();
        }
        let contact = Some(self.identity.clone());
        let owner = Owner::Session(id);
        let login = self.account.clone().map(Login::new);
        core.layer.send(now, Request { message, contact, owner, flow: to.flow, login })
    }
}

fn emit_failed(core: &mut Core, session: SessionId, refusal: Refusal) {
    let Refusal { status, reason, retry_after, .. } = refusal;
    core.emit(Event::Failed { session, status, reason, retry_after });
}

/// The `q` of a Contact in thousandths; 1 if there is none (RFC 3261 §20.10).
fn quality(contact: &NameAddr) -> u32 {
    let Some(value) = contact.params.value("q") else { return 1000 };
    match value.split_once('.') {
        Some(("0", thousandths)) => {
            let digits: String = thousandths.chars().chain("000".chars()).take(3).collect();
            digits.parse().unwrap_or(0)
        }
        Some(("1", _)) => 1000,
        None if value == "1" => 1000,
        Some(_) | None => 0,
    }
}

/// INVITEs of one call, redirections included: each proxy on the way may want a longer session interval.
const MAX_INVITES: u32 = 10;

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
