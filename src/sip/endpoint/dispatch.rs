//! Which session or reference an indication of the transaction layer belongs to.

use std::time::Instant;

use super::core::{Core, Timer};
use super::{Endpoint, Event, ReferId, SessionId, SubscriptionId};
use crate::sip::dialog::DialogId;
use crate::sip::headers::Name;
use crate::sip::layer::{
    Answer, Challenged, Failure, Flow, Head, Indication, Owner, RequestId, ServerId,
};
use crate::sip::notifier::Subscription;
use crate::sip::refer::Refer;
use crate::sip::session::{self, Session, Stray};
use crate::sip::{Message, StatusCode};

impl Endpoint {
    /// Hands on everything that the layer has found out.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(indication) = self.core.layer.poll_indication() {
            match indication {
                Indication::Request { server: Some(server), request, head, source } => {
                    self.admit(now, server, (request, &head, source));
                }
                Indication::Request { server: None, request, head, source } => {
                    if let Some(dialog) = DialogId::of_request(&head) {
                        let flow = Flow::of_request(&request, source);
                        self.core.dialogs.note_flow(&dialog, flow);
                    }
                    self.handle_ack(now, &request, &head);
                }
                Indication::Cancelled(server) => self.handle_cancelled(now, server),
                Indication::Response(answer) => {
                    let Answer { owner, request, message: response, source, challenged } = answer;
                    if let Some(dialog) = DialogId::of_response(&response) {
                        self.core.dialogs.note_flow(&dialog, Flow::of_response(source));
                    }
                    let answered = challenged.is_some_and(|challenged| {
                        self.log_in(now, (owner, request), *challenged, &response)
                    });
                    if !answered {
                        self.handle_response(now, (owner, request), response);
                    }
                }
                Indication::Failed { owner, request, failure } => {
                    self.handle_failure(now, (owner, request), failure);
                }
            }
        }
    }

    /// Sends a challenged request again with our password (RFC 3261 §22.2); false if there is no answer.
    fn log_in(
        &mut self,
        now: Instant,
        (owner, request): (Owner, RequestId),
        mut challenged: Challenged,
        response: &Message,
    ) -> bool {
        if let Owner::Session(id) = owner
            && !self.sessions.contains_key(&id)
        {
            return false;
        }
        let Challenged { message, login, .. } = &mut challenged;
        let cnonce = format!("{:016x}", self.core.layer.random_u64());
        if !login.answer(message, response, &cnonce) {
            return false;
        }
        let Ok(cseq) = message.headers.cseq() else { return false };
        let dialog = DialogId::of_sent(message).and_then(|id| self.core.dialogs.dialog_mut(&id));
        let number = match dialog {
            Some(dialog) => dialog.next_sequence(),
            None => cseq.number + 1,
        };
        message.headers.replace(Name::CSeq, format!("{number} {}", cseq.method));
        let again = self.core.layer.send_answered(now, owner, challenged);
        if let Owner::Session(id) = owner {
            self.with_session(id, |session, _| session.note_sent_again(request, again));
        }
        true
    }

    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some(timer) = self.core.deadlines.pop_due(now) {
            match timer {
                Timer::Session(id) => {
                    self.with_session(id, |session, core| session.handle_timeout(now, core));
                }
                Timer::Refer(id) => {
                    self.with_refer(id, |refer, core| refer.handle_timeout(now, core));
                }
                Timer::Subscription(id) => {
                    self.with_subscription(id, |own, core| own.handle_timeout(now, core));
                }
            }
        }
    }

    pub(super) fn insert_session(&mut self, id: SessionId, session: Session) {
        self.core.deadlines.set(&Timer::Session(id), session.deadline());
        self.sessions.insert(id, session);
    }

    pub(super) fn insert_refer(&mut self, id: ReferId, refer: Refer) {
        self.core.deadlines.set(&Timer::Refer(id), refer.deadline());
        self.refers.insert(id, refer);
    }

    /// Lets something happen to a session, then keeps its timer or forgets it.
    pub(super) fn with_session<R>(
        &mut self,
        id: SessionId,
        act: impl FnOnce(&mut Session, &mut Core) -> R,
    ) -> Option<R> {
        let session = self.sessions.get_mut(&id)?;
        let result = act(session, &mut self.core);
        let deadline = session.deadline();
        if session.is_over() {
            self.sessions.remove(&id);
        }
        self.core.deadlines.set(&Timer::Session(id), deadline);
        Some(result)
    }

    /// Lets something happen to a reference, then keeps its timer or forgets it.
    pub(super) fn with_refer<R>(
        &mut self,
        id: ReferId,
        act: impl FnOnce(&mut Refer, &mut Core) -> R,
    ) -> Option<R> {
        let refer = self.refers.get_mut(&id)?;
        let result = act(refer, &mut self.core);
        let deadline = refer.deadline();
        if refer.is_over() {
            self.refers.remove(&id);
        }
        self.core.deadlines.set(&Timer::Refer(id), deadline);
        Some(result)
    }

    pub(super) fn insert_subscription(&mut self, id: SubscriptionId, own: Subscription) {
        self.core.deadlines.set(&Timer::Subscription(id), own.deadline());
        self.subscriptions.insert(id, own);
    }

    /// Lets something happen to a subscription, then keeps its timer or forgets it.
    pub(super) fn with_subscription<R>(
        &mut self,
        id: SubscriptionId,
        act: impl FnOnce(&mut Subscription, &mut Core) -> R,
    ) -> Option<R> {
        let own = self.subscriptions.get_mut(&id)?;
        let result = act(own, &mut self.core);
        let deadline = own.deadline();
        if own.is_over() {
            self.subscriptions.remove(&id);
        }
        self.core.deadlines.set(&Timer::Subscription(id), deadline);
        Some(result)
    }

    fn handle_ack(&mut self, now: Instant, ack: &Message, head: &Head) {
        let session = DialogId::of_request(head).and_then(|dialog| self.session_of(&dialog));
        match session {
            Some(id) => {
                self.with_session(id, |session, core| session.handle_ack(now, core, ack, head));
            }
            None => self.core.layer.counters.strays += 1,
        }
    }

    fn handle_cancelled(&mut self, now: Instant, server: ServerId) {
        let session = self.dialog_of_server(server).and_then(|dialog| self.session_of(&dialog));
        if let Some(id) = session {
            self.with_session(id, |session, core| session.handle_cancelled(now, core, server));
        }
    }

    /// The dialog that an INVITE belongs to, or that our answer makes.
    fn dialog_of_server(&self, server: ServerId) -> Option<DialogId> {
        let mut head = Head::of(self.core.layer.request_of(server)?)?;
        if head.to_tag.is_none() {
            head.to_tag = self.core.layer.tag_of(server).map(ToOwned::to_owned);
        }
        DialogId::of_request(&head)
    }

    fn handle_response(
        &mut self,
        now: Instant,
        (owner, request): (Owner, RequestId),
        response: Message,
    ) {
        let Some(status) = response.status() else { return };
        match owner {
            Owner::Session(id) => self.handle_session_response(now, (id, request), response),
            Owner::Info(id) => {
                self.with_session(id, |own, core| own.handle_info_status(now, core, status));
            }
            Owner::Refer(id) => {
                let answer = (status, session::reason_of(&response));
                self.with_refer(id, |refer, core| {
                    refer.handle_response(now, core, answer, Some(&response));
                });
            }
            Owner::Notify(id) => {
                self.with_refer(id, |refer, core| refer.handle_notify_status(core, status));
            }
            Owner::Text(text) => self.core.emit(Event::TextAnswered { text, status }),
            Owner::Notice(id) => {
                self.with_subscription(id, |own, core| own.handle_status(now, core, status));
            }
            Owner::Query(query) => {
                let response = Some(Box::new(response));
                self.core.emit(Event::Replied { query, status, response });
            }
            Owner::Nobody => {}
        }
    }

    fn handle_session_response(
        &mut self,
        now: Instant,
        (id, request): (SessionId, RequestId),
        response: Message,
    ) {
        let is_success = response.status().is_some_and(StatusCode::is_success);
        let taken = if self.sessions.contains_key(&id) {
            self.with_session(id, |session, core| {
                session.handle_response(now, core, request, response)
            })
        } else {
            Some(Err(Stray(response)))
        };
        if let Some(Err(Stray(response))) = taken
            && is_success
        {
            session::release(now, &mut self.core, request, &response);
        }
    }

    fn handle_failure(
        &mut self,
        now: Instant,
        (owner, request): (Owner, RequestId),
        failure: Failure,
    ) {
        let status = failure.status();
        match owner {
            Owner::Session(id) => {
                self.with_session(id, |session, core| {
                    session.handle_failure(now, core, request, failure);
                });
            }
            Owner::Info(id) => {
                self.with_session(id, |own, core| own.handle_info_status(now, core, status));
            }
            Owner::Refer(id) => {
                let answer = (status, status.reason().to_owned());
                self.with_refer(id, |refer, core| refer.handle_response(now, core, answer, None));
            }
            Owner::Notify(id) => {
                self.with_refer(id, |refer, core| refer.handle_notify_status(core, status));
            }
            Owner::Text(text) => self.core.emit(Event::TextAnswered { text, status }),
            Owner::Notice(id) => {
                self.with_subscription(id, |own, core| own.handle_status(now, core, status));
            }
            Owner::Query(query) => {
                self.core.emit(Event::Replied { query, status, response: None });
            }
            Owner::Nobody => {}
        }
    }
}
