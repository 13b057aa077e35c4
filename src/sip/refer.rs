//! REFER and the subscription it implies: RFC 3515, RFC 4488, RFC 6665 §4.
//!
//! ```text
//!  refer() ──▶ Asking ──2xx──▶ Watching ──NOTIFY terminated, expiry──▶ over
//!  REFER in ─▶ Asked ──answer 2xx──▶ Reporting ──final status, expiry──▶ over
//! ```

use std::time::Instant;

use bytes::Bytes;

use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{Event, ReferId, Referred};
use crate::sip::headers::{self, Name, NameAddr, SubscriptionState};
use crate::sip::layer::{Head, Owner, Reply, ServerId, Source};
use crate::sip::timer::GIVE_UP;
use crate::sip::{Message, Method, StatusCode, Uri, scan};

/// One reference, in either direction.
#[derive(Debug)]
pub(super) struct Refer {
    id: ReferId,
    /// `None` for a REFER outside of any dialog until it is accepted.
    dialog: Option<DialogId>,
    /// CSeq of the REFER: the `id` of its event (RFC 3515 §2.4.6).
    sequence: u32,
    /// Whether it was addressed to the focus of a conference.
    is_focus: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// We sent it; no final response yet.
    Asking,
    /// The peer accepted; NOTIFYs come.
    Watching {
        until: Instant,
    },
    /// The peer sent it; the user has not answered.
    Asked {
        server: ServerId,
        until: Instant,
        wants: Wants,
    },
    /// We accepted; NOTIFYs go.
    Reporting {
        until: Instant,
    },
    Over,
}

/// What `Refer-Sub` asks for (RFC 4488).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wants {
    Reports,
    Silence,
}

/// Why a REFER cannot be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadRefer;

impl Refer {
    /// Sends a REFER within a confirmed dialog.
    pub(super) fn send(
        now: Instant,
        core: &mut Core,
        (id, dialog): (ReferId, DialogId),
        (refer_to, referred_by): (Uri, Option<NameAddr>),
    ) -> Option<Self> {
        let mut sequence = 0;
        core.send_within(now, &dialog, (Method::Refer, Owner::Refer(id)), |refer| {
            refer.headers.push(Name::ReferTo, NameAddr::new(refer_to).to_string());
            if let Some(referred_by) = referred_by {
                refer.headers.push(Name::ReferredBy, referred_by.to_string());
            }
            sequence = refer.headers.cseq().map_or(0, |cseq| cseq.number);
        })?;
        core.dialogs.get_mut(&dialog)?.refers.insert(id);
        Some(Self { id, dialog: Some(dialog), sequence, is_focus: false, state: State::Asking })
    }

    /// Takes a REFER, within a dialog or outside of any, and asks the user.
    pub(super) fn receive(
        now: Instant,
        core: &mut Core,
        server: ServerId,
        (request, head, source): (Message, &Head, Source),
    ) -> Result<Self, BadRefer> {
        let id = ReferId(core.layer.next_id());
        let target = refer_to(&request).ok_or(BadRefer)?.uri;
        let addressed = request.uri().ok_or(BadRefer)?.clone();
        let dialog = DialogId::of_request(head);
        let entry = dialog.as_ref().and_then(|dialog| core.dialogs.get_mut(dialog));
        let session = entry.and_then(|entry| {
            entry.refers.insert(id);
            entry.session
        });
        let referred_by = request.headers.first(&Name::ReferredBy);
        let referred = Referred {
            session,
            refer: id,
            target,
            referred_by: referred_by.and_then(|value| NameAddr::parse(value).ok()),
            addressed,
            peer: source.peer,
            request,
        };
        let wants = match referred.request.headers.first(&Name::ReferSub) {
            Some(value) if is_false(value) => Wants::Silence,
            Some(_) | None => Wants::Reports,
        };
        core.emit(Event::Referred(Box::new(referred)));
        let state = State::Asked { server, until: now + GIVE_UP, wants };
        Ok(Self { id, dialog, sequence: head.sequence, is_focus: false, state })
    }

    /// What it asks of is a conference.
    pub(super) fn is_to_focus(&mut self) {
        self.is_focus = true;
    }

    pub(super) fn id(&self) -> ReferId {
        self.id
    }

    /// True once the owner may forget it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// When it wants [`Self::handle_timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Watching { until } | State::Asked { until, .. } | State::Reporting { until } => {
                Some(until)
            }
            State::Asking | State::Over => None,
        }
    }

    /// True if a NOTIFY with this event id, or with none, is about this reference.
    pub(super) fn is_about(&self, event_id: Option<&str>) -> bool {
        matches!(self.state, State::Asking | State::Watching { .. })
            && event_id.is_none_or(|id| id.parse() == Ok(self.sequence))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        if self.deadline().is_none_or(|until| now < until) {
            return;
        }
        match self.state {
            State::Watching { .. } => {
                self.emit_progress(core, StatusCode::REQUEST_TIMEOUT, None, true);
            }
            State::Reporting { .. } => {
                self.notify(now, core, "terminated;reason=timeout", "SIP/2.0 408 Request Timeout");
            }
            State::Asking | State::Asked { .. } | State::Over => {}
        }
        self.end(core);
    }

    /// Takes the final response to our REFER, or its stand-in.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        (status, reason): (StatusCode, String),
        response: Option<&Message>,
    ) {
        if !status.is_final() || !matches!(self.state, State::Asking | State::Watching { .. }) {
            return;
        }
        core.emit(Event::ReferAnswered { refer: self.id, status, reason });
        let silent = response
            .and_then(|response| response.headers.first(&Name::ReferSub))
            .is_some_and(|value| is_false(value));
        if !status.is_success() || silent {
            return self.end(core);
        }
        self.state = State::Watching { until: now + core.layer.settings.subscription };
    }

    /// Takes a NOTIFY and answers it.
    pub(super) fn handle_notify(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Message,
    ) {
        core.reply_status(now, server, StatusCode::OK);
        let state = request.headers.first(&Name::SubscriptionState);
        let is_last = state
            .and_then(|value| SubscriptionState::parse(value).ok())
            .is_some_and(|state| state.is_terminated());
        match parse_sipfrag(&request.body) {
            Some((status, reason)) => self.emit_progress(core, status, Some(reason), is_last),
            // The peer will not tell how it ended.
            None if is_last => {
                self.emit_progress(core, StatusCode::TEMPORARILY_UNAVAILABLE, None, true);
            }
            None => {}
        }
        if is_last {
            self.end(core);
        }
    }

    /// The peer did not take our NOTIFY: 481 and silence end the subscription (RFC 6665 §4.2.2).
    pub(super) fn handle_notify_status(&mut self, core: &mut Core, status: StatusCode) {
        let is_lost =
            matches!(status, StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT);
        if is_lost && matches!(self.state, State::Reporting { .. }) {
            self.end(core);
        }
    }

    /// Answers the REFER as the user says.
    pub(super) fn answer(&mut self, now: Instant, core: &mut Core, status: StatusCode) {
        let State::Asked { server, wants, .. } = self.state else { return };
        if !status.is_success() {
            core.reply_status(now, server, status);
            return self.end(core);
        }
        if self.dialog.is_none() && wants == Wants::Reports {
            self.dialog = self.make_dialog(core, server);
        }
        let identity = self.identity(core, server);
        let reply = core.with_capabilities(Reply::new(status).contact(&identity));
        if wants == Wants::Silence {
            core.reply(now, server, reply.header(Name::ReferSub, "false"));
            return self.end(core);
        }
        core.reply(now, server, reply);
        self.state = State::Reporting { until: now + core.layer.settings.subscription };
        self.report(now, core, (StatusCode::TRYING, None));
    }

    /// Refuses the REFER.
    pub(super) fn refuse(&mut self, now: Instant, core: &mut Core, reply: Reply) {
        let State::Asked { server, .. } = self.state else { return };
        core.reply(now, server, reply);
        self.end(core);
    }

    /// Tells the peer how the call fares.
    pub(super) fn report(
        &mut self,
        now: Instant,
        core: &mut Core,
        (status, reason): (StatusCode, Option<String>),
    ) {
        let State::Reporting { until } = self.state else { return };
        let reason = reason.as_deref().unwrap_or_else(|| status.reason());
        let fragment = format!("SIP/2.0 {status} {reason}");
        if status.is_final() {
            self.notify(now, core, "terminated;reason=noresource", &fragment);
            self.end(core);
        } else {
            let left = until.saturating_duration_since(now).as_secs();
            self.notify(now, core, &format!("active;expires={left}"), &fragment);
        }
    }

    fn notify(&self, now: Instant, core: &mut Core, state: &str, fragment: &str) {
        let Some(dialog) = &self.dialog else { return };
        core.send_within(now, dialog, (Method::Notify, Owner::Notify(self.id)), |notify| {
            notify.headers.push(Name::Event, format!("refer;id={}", self.sequence));
            notify.headers.push(Name::SubscriptionState, state.to_owned());
            notify.headers.push(Name::ContentType, "message/sipfrag;version=2.0");
            notify.body = Bytes::from(format!("{}\r\n", fragment.replace(['\r', '\n'], " ")));
        });
    }

    fn make_dialog(&self, core: &mut Core, server: ServerId) -> Option<DialogId> {
        let request = core.layer.request_of(server)?;
        let (source, tag) = (core.layer.source_of(server)?, core.layer.tag_of(server)?);
        let mut dialog = Dialog::of_request(request, &Head::of(request)?, source, tag)?;
        dialog.identify(self.identity(core, server));
        Some(core.dialogs.insert_for_refer(dialog, self.id))
    }

    fn identity(&self, core: &Core, server: ServerId) -> Identity {
        let entry = self.dialog.as_ref().and_then(|dialog| core.dialogs.get(dialog));
        if let Some(entry) = entry {
            return entry.dialog.identity().clone();
        }
        let addressed = core.layer.request_of(server).and_then(Message::uri);
        let user = addressed.and_then(Uri::user_plain).unwrap_or_default();
        Identity { user: user.into_owned(), is_focus: self.is_focus }
    }

    fn emit_progress(
        &self,
        core: &mut Core,
        status: StatusCode,
        reason: Option<String>,
        terminated: bool,
    ) {
        let reason = reason.unwrap_or_else(|| status.reason().to_owned());
        core.emit(Event::ReferProgress { refer: self.id, status, reason, terminated });
    }

    fn end(&mut self, core: &mut Core) {
        self.state = State::Over;
        if let Some(dialog) = &self.dialog {
            core.dialogs.leave_refer(dialog, self.id);
        }
    }
}

/// The event package and id of a NOTIFY.
pub(super) fn event_of(request: &Message) -> Option<headers::Event> {
    headers::Event::parse(request.headers.first(&Name::Event)?).ok()
}

/// A Refer-Sub that wants no subscription, whatever its parameters (RFC 4488 §4).
fn is_false(value: &[u8]) -> bool {
    scan::trim(scan::cut(value, b';').0).eq_ignore_ascii_case(b"false")
}

/// RFC 3515 §2.4.2: exactly one Refer-To.
fn refer_to(request: &Message) -> Option<NameAddr> {
    let mut targets = request.headers.addresses(&Name::ReferTo);
    let target = targets.next()?.ok()?;
    targets.next().is_none().then_some(target)
}

/// The status line of a message/sipfrag (RFC 3420).
fn parse_sipfrag(body: &[u8]) -> Option<(StatusCode, String)> {
    let line = body.split(|&byte| byte == b'\r' || byte == b'\n').find(|line| !line.is_empty())?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.splitn(3, ' ');
    words.next().filter(|version| version.eq_ignore_ascii_case("SIP/2.0"))?;
    let status = StatusCode::new(words.next()?.parse().ok()?)?;
    Some((status, words.next().unwrap_or_else(|| status.reason()).trim().to_owned()))
}

/// Whether a session may get another reference; the peer could otherwise fill the table alone.
pub(super) fn may_refer(core: &Core, dialog: &DialogId) -> bool {
    core.dialogs.get(dialog).is_none_or(|entry| entry.refers.len() < PER_DIALOG)
}

/// References open at the same time in one dialog.
const PER_DIALOG: usize = 8;
