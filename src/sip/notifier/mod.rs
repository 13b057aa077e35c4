//! Subscriptions to what we know: the notifier of RFC 6665 §4.2.
//!
//! ```text
//!  SUBSCRIBE ─▶ Asked ──accepted──▶ Active ──Expires: 0, expiry, end, lost NOTIFY──▶ over
//!                 └────refused─────────────────────────────────────────────────────▶ over
//!
//!  Active:   news ─▶ interval passed, no NOTIFY open ─▶ NotifyDue ─▶ notify() ─▶ NOTIFY ─▶ 2xx
//! ```
//! The user is asked for the state only when it can be sent. So changes that come faster than they may be told are told
//! together, and what is told is never out of date.

mod ask;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{Event, Subscribing, SubscriptionId};
use crate::sip::headers::{self, Name};
use crate::sip::layer::{Head, Owner, Reply, ServerId, Source};
use crate::sip::timer::GIVE_UP;
use crate::sip::{Message, Method, StatusCode};

pub(super) use ask::Ask;

/// A state somebody follows.
#[derive(Debug)]
pub(super) struct Subscription {
    id: SubscriptionId,
    /// Package and `id`: they tell it from others of the same dialog.
    event: headers::Event,
    /// Who asked.
    peer: IpAddr,
    /// `None` for one outside of any dialog until it is accepted.
    dialog: Option<DialogId>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The user has not answered.
    Asked {
        server: ServerId,
        until: Instant,
        expires: Duration,
    },
    Active(Active),
    Over,
}

#[derive(Debug)]
struct Active {
    until: Instant,
    /// No NOTIFY before.
    next: Instant,
    turn: Turn,
    /// What the subscriber does not know.
    news: News,
    /// The reason for which the next NOTIFY is the last.
    last: Option<&'static str>,
    /// How often it was refused for now.
    failures: u32,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    /// Ours: a NOTIFY may go.
    Ours,
    /// The user was asked for the state.
    User,
    /// A NOTIFY waits for its answer.
    Peer,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum News {
    Nothing,
    Changes,
    Everything,
}

impl Subscription {
    /// Takes a SUBSCRIBE, within a dialog or outside of any, and asks the user.
    pub(super) fn receive(
        now: Instant,
        core: &mut Core,
        (server, ask): (ServerId, Ask),
        (request, head, source): (Message, &Head, Source),
    ) -> Option<Self> {
        let id = SubscriptionId(core.layer.next_id());
        let target = request.uri()?.clone();
        let dialog = DialogId::of_request(head);
        let entry = dialog.as_ref().and_then(|dialog| core.dialogs.get_mut(dialog));
        let session = entry.and_then(|entry| {
            entry.dialog.refresh_target(&request);
            entry.subscriptions.insert(id);
            entry.session
        });
        let package = ask.event.package.to_ascii_lowercase();
        let peer = source.peer;
        let subscribing = Subscribing { subscription: id, session, package, target, request, peer };
        core.emit(Event::Subscribing(Box::new(subscribing)));
        let state = State::Asked { server, until: now + GIVE_UP, expires: ask.expires };
        Some(Self { id, event: ask.event, peer: peer.ip().to_canonical(), dialog, state })
    }

    pub(super) fn id(&self) -> SubscriptionId {
        self.id
    }

    /// True once the owner may forget it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// True if it was asked for from there.
    pub(super) fn is_of(&self, peer: IpAddr) -> bool {
        self.peer == peer.to_canonical()
    }

    /// True if a SUBSCRIBE of the same dialog that asks for this refreshes it (RFC 6665 §4.5.1).
    pub(super) fn is_refreshed_by(&self, ask: &Ask) -> bool {
        matches!(self.state, State::Active(_))
            && self.event.package.eq_ignore_ascii_case(&ask.event.package)
            && self.event.id() == ask.event.id()
    }

    /// When it wants [`Self::handle_timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Asked { until, .. } => Some(*until),
            State::Active(active) if active.is_pending() => Some(active.until.min(active.next)),
            State::Active(active) => Some(active.until),
            State::Over => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        match &self.state {
            State::Asked { server, until, .. } if *until <= now => {
                core.reply_status(now, *server, StatusCode::SERVER_INTERNAL_ERROR);
                self.close(core);
            }
            State::Active(active) if active.until <= now => self.end(now, core, "timeout"),
            State::Active(_) => self.tell_news(now, core),
            State::Asked { .. } | State::Over => {}
        }
    }

    /// Accepts it as this identity, or refuses it.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        core: &mut Core,
        answer: Result<Identity, Reply>,
    ) {
        let State::Asked { server, expires, .. } = self.state else { return };
        let identity = match answer {
            Ok(identity) => identity,
            Err(reply) => {
                core.reply(now, server, reply);
                return self.close(core);
            }
        };
        if self.dialog.is_none() {
            self.dialog = self.make_dialog(core, server, identity);
        }
        if self.dialog.is_none() {
            core.reply_status(now, server, StatusCode::BAD_REQUEST); // no Contact to be reached at
            return self.close(core);
        }
        self.accept(now, core, (server, expires));
        self.state = State::Active(Active::new(now, expires));
        self.tell_news(now, core);
    }

    /// Takes a SUBSCRIBE for a subscription that stands: everything is told again (RFC 6665 §4.2.1.2).
    pub(super) fn refresh(
        &mut self,
        now: Instant,
        core: &mut Core,
        (server, ask): (ServerId, Ask),
        request: &Message,
    ) {
        let State::Active(active) = &mut self.state else { return };
        active.renew(now, ask.expires);
        if let Some(dialog) = self.dialog.as_ref().and_then(|id| core.dialogs.dialog_mut(id)) {
            dialog.refresh_target(request);
        }
        self.accept(now, core, (server, ask.expires));
        self.tell_news(now, core);
    }

    /// Notes that what the subscriber was told is out of date.
    pub(super) fn note_news(&mut self, now: Instant, core: &mut Core) {
        let State::Active(active) = &mut self.state else { return };
        active.news = active.news.max(News::Changes);
        self.tell_news(now, core);
    }

    /// Tells the subscriber what the user was asked for.
    pub(super) fn notify(&mut self, now: Instant, core: &mut Core, body: Bytes) {
        let State::Active(active) = &mut self.state else { return };
        if active.turn != Turn::User {
            return;
        }
        active.turn = Turn::Peer;
        active.next = now + core.layer.settings.notify_interval;
        if let Some(reason) = active.last {
            self.send(now, core, &format!("terminated;reason={reason}"), Some(body));
            return self.close(core);
        }
        let left = active.until.saturating_duration_since(now).as_secs();
        self.send(now, core, &format!("active;expires={left}"), Some(body));
    }

    /// Ends it with a last NOTIFY that says why (RFC 6665 §4.1.3).
    pub(super) fn end(&mut self, now: Instant, core: &mut Core, reason: &'static str) {
        match self.state {
            State::Active(_) => {
                self.send(now, core, &format!("terminated;reason={reason}"), None);
            }
            State::Asked { server, .. } => {
                core.reply_status(now, server, StatusCode::NOT_FOUND);
            }
            State::Over => return,
        }
        self.close(core);
    }

    /// Takes what became of a NOTIFY (RFC 6665 §4.2.2): who does not take it has lost the subscription, but for a moment's
    /// trouble.
    pub(super) fn handle_status(&mut self, now: Instant, core: &mut Core, status: StatusCode) {
        let State::Active(active) = &mut self.state else { return };
        if !status.is_final() {
            return;
        }
        if status.is_success() {
            (active.turn, active.failures) = (Turn::Ours, 0);
        } else if is_passing(status) && active.failures < FAILURES {
            // What it has learnt is not known any more.
            active.news = News::Everything;
            active.failures += 1;
            active.turn = Turn::Ours;
            active.next = now + PAUSE;
        } else {
            return self.close(core);
        }
        self.tell_news(now, core);
    }

    /// Asks the user for the state, if there is news and it may be told.
    fn tell_news(&mut self, now: Instant, core: &mut Core) {
        let State::Active(active) = &mut self.state else { return };
        if !active.is_pending() || now < active.next {
            return;
        }
        let whole = active.news == News::Everything;
        (active.turn, active.news) = (Turn::User, News::Nothing);
        core.emit(Event::NotifyDue { subscription: self.id, whole });
    }

    fn accept(&self, now: Instant, core: &mut Core, (server, expires): (ServerId, Duration)) {
        let entry = self.dialog.as_ref().and_then(|dialog| core.dialogs.get(dialog));
        let identity = entry.map(|entry| entry.dialog.identity().clone()).unwrap_or_default();
        let reply = Reply::new(StatusCode::OK).contact(&identity);
        let reply = reply.header(Name::Expires, expires.as_secs().to_string());
        let reply = core.with_capabilities(reply);
        core.reply(now, server, reply);
    }

    fn make_dialog(
        &self,
        core: &mut Core,
        server: ServerId,
        identity: Identity,
    ) -> Option<DialogId> {
        let request = core.layer.request_of(server)?;
        let (source, tag) = (core.layer.source_of(server)?, core.layer.tag_of(server)?);
        let mut dialog = Dialog::of_request(request, &Head::of(request)?, source, tag)?;
        dialog.identify(identity);
        Some(core.dialogs.insert_for_subscription(dialog, self.id))
    }

    fn send(&self, now: Instant, core: &mut Core, state: &str, body: Option<Bytes>) {
        let Some(dialog) = &self.dialog else { return };
        let content_type = PACKAGES
            .iter()
            .find(|(name, _)| self.event.package.eq_ignore_ascii_case(name))
            .map(|(_, content_type)| *content_type);
        core.send_within(now, dialog, (Method::Notify, Owner::Notice(self.id)), |notify| {
            notify.headers.push(Name::Event, event_of(&self.event));
            notify.headers.push(Name::SubscriptionState, state.to_owned());
            if let (Some(body), Some(content_type)) = (body, content_type) {
                notify.headers.push(Name::ContentType, content_type);
                notify.body = body;
            }
        });
    }

    fn close(&mut self, core: &mut Core) {
        self.state = State::Over;
        core.emit(Event::Unsubscribed { subscription: self.id });
        if let Some(dialog) = &self.dialog {
            core.dialogs.leave_subscription(dialog, self.id);
        }
    }
}

impl Active {
    fn new(now: Instant, expires: Duration) -> Self {
        let mut active = Self {
            until: now,
            next: now,
            turn: Turn::Ours,
            news: News::Everything,
            last: None,
            failures: 0,
        };
        active.renew(now, expires);
        active
    }

    /// Everything is to be told at once, and for the last time if it does not go on.
    fn renew(&mut self, now: Instant, expires: Duration) {
        self.news = News::Everything;
        self.next = now;
        if expires.is_zero() {
            self.last = Some("timeout");
            self.until = now + GIVE_UP;
        } else {
            self.until = now + expires;
        }
    }

    fn is_pending(&self) -> bool {
        self.turn == Turn::Ours && self.news != News::Nothing
    }
}

/// Whether a NOTIFY that was refused so may be taken a little later.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TEMPORARILY_UNAVAILABLE
            | StatusCode::REQUEST_PENDING
            | StatusCode::SERVER_INTERNAL_ERROR
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// The Event of a NOTIFY: the package and the `id` of the SUBSCRIBE (RFC 6665 §8.2.1).
fn event_of(event: &headers::Event) -> String {
    let package = event.package.to_ascii_lowercase();
    match event.id() {
        Some(id) => format!("{package};id={id}"),
        None => package,
    }
}

/// What can be subscribed to, and the body of its NOTIFYs.
const PACKAGES: [(&str, &str); 3] = [
    ("conference", "application/conference-info+xml"),
    ("dialog", "application/dialog-info+xml"),
    ("presence", "application/pidf+xml"),
];

/// What Allow-Events says: the packages above, and that of REFER.
pub(super) fn allow_events() -> String {
    let packages = PACKAGES.iter().map(|(name, _)| *name).chain(["refer"]);
    packages.collect::<Vec<_>>().join(", ")
}

/// How often in a row a NOTIFY may be refused for now.
const FAILURES: u32 = 3;
/// How long it rests then.
const PAUSE: Duration = Duration::from_secs(5);

/// Subscriptions open at the same time in one dialog.
pub(super) const PER_DIALOG: usize = 4;
