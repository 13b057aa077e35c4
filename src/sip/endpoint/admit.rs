//! What a new request has to pass before a session sees it: RFC 3261 §8.2 and §12.2.2.

use std::time::Instant;

use super::core::{ALLOW, SDP};
use super::{
    Endpoint, Event, Options, OptionsId, Prack, PublishId, Publishing, RegisterId, Registering,
    SessionId, SubscriptionId, Takes, Texted, TextedId,
};
use crate::sip::dialog::DialogId;
use crate::sip::headers::{self, MaxForwards, Name};
use crate::sip::layer::{Flow, Head, Reply, ServerId, Source};
use crate::sip::notifier::{self, Subscription};
use crate::sip::refer::{self, Refer};
use crate::sip::session::{Ask, RELIABLE, Session, Within, refuse_interval};
use crate::sip::transport::Transport;
use crate::sip::uri::Scheme;
use crate::sip::{Message, Method, StatusCode, Uri};

impl Endpoint {
    /// Refuses a request, answers it, or hands it to whom it concerns.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) {
        let dialog = DialogId::of_request(head);
        let refusal = refuse_method(&head.method)
            .or_else(|| match &dialog {
                Some(dialog) => self.refuse_within(dialog, head.sequence),
                None => refuse_outside(&request, &head.method, source.transport),
            })
            .or_else(|| self.refuse_extension(&request))
            .or_else(|| refuse_content(&request, &head.method))
            .or_else(|| refuse_takes(&request, &head.method))
            .or_else(|| self.refuse_unreliable(&request, head))
            .or_else(|| self.refuse_interval(&request, &head.method));
        match (refusal, dialog) {
            (Some(Refusal::Now(reply)), _) => self.core.reply(now, server, reply),
            (Some(Refusal::Later), _) => self.core.reply_later(now, server),
            (None, Some(dialog)) => {
                self.admit_within(now, server, &dialog, (request, head, source));
            }
            (None, None) => self.admit_outside(now, server, (request, head, source)),
        }
    }

    fn admit_outside(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) {
        match &head.method {
            Method::Invite => self.admit_invite(now, server, (request, head, source)),
            Method::Refer => self.admit_refer(now, server, (request, head, source)),
            Method::Subscribe => self.admit_subscribe(now, server, (request, head, source)),
            Method::Message => self.admit_text(now, server, (request, None, source)),
            Method::Options => {
                let Some(target) = request.uri().cloned() else { return };
                let options = OptionsId(server.0);
                let peer = source.peer;
                let options = Options { options, target, request, peer };
                self.core.emit(Event::Options(Box::new(options)));
            }
            Method::Register => {
                let register = RegisterId(server.0);
                let flow = Flow::of_request(&request, source);
                let Source { transport, peer, .. } = source;
                let registering = Registering { register, request, transport, peer, flow };
                self.core.emit(Event::Registering(Box::new(registering)));
            }
            Method::Publish => self.admit_publish(now, server, (request, source)),
            // The rest only makes sense within a dialog, and this is in none.
            Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Update
            | Method::Prack
            | Method::Info
            | Method::Notify
            | Method::Other(_) => {
                self.core.reply_status(now, server, StatusCode::CALL_DOES_NOT_EXIST);
            }
        }
    }

    fn admit_within(
        &mut self,
        now: Instant,
        server: ServerId,
        dialog: &DialogId,
        (request, head, source): (Message, &Head, Source),
    ) {
        self.core.dialogs.note_flow(dialog, Flow::of_request(&request, source));
        let session = self.session_of(dialog);
        match (&head.method, session) {
            (Method::Options, _) => {
                let reply = self.capabilities();
                self.core.reply(now, server, reply);
            }
            (Method::Notify, _) => self.admit_notify(now, server, dialog, &request),
            (Method::Refer, _) => self.admit_refer(now, server, (request, head, source)),
            (Method::Subscribe, _) => self.admit_subscribe(now, server, (request, head, source)),
            // RFC 3903 §4: it belongs to no dialog.
            (Method::Publish, _) => self.core.reply_status(now, server, StatusCode::FORBIDDEN),
            (Method::Message, Some(id)) => {
                self.admit_text(now, server, (request, Some(id), source));
            }
            (Method::Info, Some(id)) => {
                self.with_session(id, |session, core| {
                    session.handle_info(now, core, server, &request);
                });
            }
            (method, Some(id)) => {
                let ask = Ask::of(method, &request);
                let within = Within { server, request: &request, dialog, ask };
                self.with_session(id, |session, core| session.handle_request(now, core, within));
            }
            // The call is over, only a subscription keeps the dialog.
            (_, None) => self.core.reply_status(now, server, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    /// RFC 3903 §6, step 2: presence is all that may be published.
    fn admit_publish(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, source): (Message, Source),
    ) {
        let event = request.headers.first(&Name::Event);
        let event = event.and_then(|value| headers::Event::parse(value).ok());
        if !event.is_some_and(|event| event.package.eq_ignore_ascii_case("presence")) {
            let reply = Reply::new(StatusCode::BAD_EVENT);
            return self.core.reply(now, server, reply.header(Name::AllowEvents, "presence"));
        }
        let publish = PublishId(server.0);
        let publishing = Publishing { publish, request, peer: source.peer };
        self.core.emit(Event::Publishing(Box::new(publishing)));
    }

    fn admit_invite(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) {
        if self.sessions.len() >= self.core.layer.settings.sessions {
            return self.refuse_overload(now, server);
        }
        match Session::invited(now, &mut self.core, server, (request, head, source)) {
            Some(session) => self.insert_session(session.id(), session),
            None => self.core.reply_status(now, server, StatusCode::BAD_REQUEST),
        }
    }

    fn admit_refer(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) {
        let dialog = DialogId::of_request(head);
        let is_full = self.refers.len() >= self.core.layer.settings.refers;
        if is_full || dialog.is_some_and(|dialog| !refer::may_refer(&self.core, &dialog)) {
            return self.refuse_overload(now, server);
        }
        match Refer::receive(now, &mut self.core, server, (request, head, source)) {
            Ok(refer) => self.insert_refer(refer.id(), refer),
            Err(refer::BadRefer) => {
                self.core.reply_status(now, server, StatusCode::BAD_REQUEST);
            }
        }
    }

    fn admit_text(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, session, source): (Message, Option<SessionId>, Source),
    ) {
        if request.body.len() > self.core.layer.settings.text {
            return self.core.reply_status(now, server, StatusCode::REQUEST_ENTITY_TOO_LARGE);
        }
        let Some(target) = request.uri().cloned() else { return };
        let text = TextedId(server.0);
        let texted = Texted { text, session, target, request, peer: source.peer };
        self.core.emit(Event::Texted(Box::new(texted)));
    }

    fn admit_subscribe(
        &mut self,
        now: Instant,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) {
        let ask = match notifier::Ask::read(&request, &self.core.layer.settings) {
            Ok(ask) => ask,
            Err(refusal) => return self.core.reply(now, server, *refusal),
        };
        let dialog = DialogId::of_request(head);
        let entry = dialog.as_ref().and_then(|dialog| self.core.dialogs.get(dialog));
        let open = entry.map(|entry| entry.subscriptions.clone()).unwrap_or_default();
        let stands = |id: &&SubscriptionId| {
            self.subscriptions.get(*id).is_some_and(|own| own.is_refreshed_by(&ask))
        };
        if let Some(&id) = open.iter().find(stands) {
            self.with_subscription(id, |own, core| {
                own.refresh(now, core, (server, ask), &request);
            });
            return;
        }
        if open.len() >= notifier::PER_DIALOG || self.has_too_many_subscriptions(source) {
            return self.refuse_overload(now, server);
        }
        let own =
            Subscription::receive(now, &mut self.core, (server, ask), (request, head, source));
        if let Some(own) = own {
            self.insert_subscription(own.id(), own);
        }
    }

    /// One source must not take the places of all.
    fn has_too_many_subscriptions(&self, source: Source) -> bool {
        let settings = &self.core.layer.settings;
        let peer = source.peer.ip();
        let of_peer = || self.subscriptions.values().filter(|own| own.is_of(peer)).count();
        self.subscriptions.len() >= settings.subscriptions
            || of_peer() >= settings.subscriptions_per_source
    }

    fn admit_notify(
        &mut self,
        now: Instant,
        server: ServerId,
        dialog: &DialogId,
        request: &Message,
    ) {
        let event = refer::event_of(request);
        let Some(event) = event.filter(|event| event.package.eq_ignore_ascii_case("refer")) else {
            let reply = Reply::new(StatusCode::BAD_EVENT).header(Name::AllowEvents, "refer");
            return self.core.reply(now, server, reply);
        };
        let refers = self.core.dialogs.get(dialog).map(|entry| entry.refers.clone());
        let refer = refers
            .into_iter()
            .flatten()
            .find(|id| self.refers.get(id).is_some_and(|refer| refer.is_about(event.id())));
        match refer {
            Some(id) => {
                self.with_refer(id, |refer, core| {
                    refer.handle_notify(now, core, server, request);
                });
            }
            None => self.core.reply_status(now, server, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    fn refuse_overload(&mut self, now: Instant, server: ServerId) {
        self.core.layer.counters.overloads += 1;
        let delay = self.core.layer.settings.retry_after.as_secs().to_string();
        let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
        self.core.reply(now, server, reply.header(Name::RetryAfter, delay));
    }

    /// RFC 3261 §12.2.2.
    fn refuse_within(&mut self, dialog: &DialogId, sequence: u32) -> Option<Refusal> {
        let Some(dialog) = self.core.dialogs.dialog_mut(dialog) else {
            return Refusal::status(StatusCode::CALL_DOES_NOT_EXIST);
        };
        dialog.note_sequence(sequence).is_err().then_some(Refusal::Later)
    }

    /// RFC 3262 §3: a caller that does not take reliable responses is refused where they are required.
    fn refuse_unreliable(&self, request: &Message, head: &Head) -> Option<Refusal> {
        let is_required = self.core.layer.settings.prack == Prack::Required;
        let is_first = head.method == Method::Invite && head.to_tag.is_none();
        let takes = [Name::Supported, Name::Require]
            .iter()
            .any(|name| request.headers.has_token(name, RELIABLE));
        let reply = Reply::new(StatusCode::EXTENSION_REQUIRED).header(Name::Require, RELIABLE);
        (is_required && is_first && !takes).then_some(Refusal::Now(reply))
    }

    /// RFC 4028 §9.
    fn refuse_interval(&self, request: &Message, method: &Method) -> Option<Refusal> {
        let min = self.core.layer.settings.min_se;
        refuse_interval(request, method, min).map(Refusal::Now)
    }

    /// RFC 3261 §8.2.2.3.
    fn refuse_extension(&self, request: &Message) -> Option<Refusal> {
        let supported = self.core.layer.settings.extensions();
        let unsupported: Vec<String> = request
            .headers
            .items(&Name::Require)
            .map(|tag| String::from_utf8_lossy(tag).into_owned())
            .filter(|tag| !supported.iter().any(|own| own.eq_ignore_ascii_case(tag)))
            .collect();
        if unsupported.is_empty() {
            return None;
        }
        let reply = Reply::new(StatusCode::BAD_EXTENSION);
        Some(Refusal::Now(reply.header(Name::Unsupported, unsupported.join(", "))))
    }
}

/// How a request is refused.
enum Refusal {
    Now(Reply),
    /// 500 with a `Retry-After`.
    Later,
}

impl Refusal {
    #[expect(clippy::unnecessary_wraps, reason = "every rule yields an Option")]
    fn status(status: StatusCode) -> Option<Self> {
        Some(Self::Now(Reply::new(status)))
    }
}

/// RFC 3261 §8.2.1.
fn refuse_method(method: &Method) -> Option<Refusal> {
    match method {
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Update
        | Method::Prack
        | Method::Info
        | Method::Refer
        | Method::Register
        | Method::Notify
        | Method::Subscribe
        | Method::Message
        | Method::Publish => None,
        Method::Other(_) => {
            let reply = Reply::new(StatusCode::METHOD_NOT_ALLOWED);
            Some(Refusal::Now(reply.header(Name::Allow, ALLOW)))
        }
    }
}

/// RFC 3261 §8.2.2.1, and §16.3 for a user agent that may pass the call on.
fn refuse_outside(request: &Message, method: &Method, transport: Transport) -> Option<Refusal> {
    match request.uri().map(Uri::scheme) {
        Some(Scheme::Sip) => {}
        // What comes for a SIPS URI by another way was not secure all the way (RFC 3261 §26.2.2).
        Some(Scheme::Sips) if transport.is_secure() => {}
        Some(Scheme::Sips | Scheme::Tel | Scheme::Other) | None => {
            return Refusal::status(StatusCode::UNSUPPORTED_URI_SCHEME);
        }
    }
    // OPTIONS may be sent with no hops left to find out who is here (§11.1).
    let goes_on = matches!(method, Method::Invite | Method::Refer);
    match request.headers.max_forwards() {
        Ok(Some(MaxForwards(0))) if goes_on => Refusal::status(StatusCode::TOO_MANY_HOPS),
        Ok(_) => None,
        Err(_) => Refusal::status(StatusCode::BAD_REQUEST),
    }
}

/// RFC 3891 §3 and RFC 3911 §4: one dialog at most is taken over or joined, and by INVITE only.
fn refuse_takes(request: &Message, method: &Method) -> Option<Refusal> {
    let takes = Takes::of(&request.headers);
    let is_good = takes.is_ok_and(|takes| takes.is_none() || *method == Method::Invite);
    (!is_good).then(|| Refusal::Now(Reply::new(StatusCode::BAD_REQUEST)))
}

/// RFC 3261 §8.2.3.
fn refuse_content(request: &Message, method: &Method) -> Option<Refusal> {
    let reply = Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let is_encoded = request
        .headers
        .items(&Name::ContentEncoding)
        .any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        return Some(Refusal::Now(reply.header(Name::AcceptEncoding, "identity")));
    }
    if request.body.is_empty() || !matches!(method, Method::Invite | Method::Update | Method::Prack)
    {
        return None;
    }
    let is_sdp = match request.headers.content_type() {
        Ok(content_type) => content_type.is_none_or(|content_type| content_type.is(SDP)),
        Err(_) => false,
    };
    (!is_sdp).then(|| Refusal::Now(reply.header(Name::Accept, SDP)))
}
