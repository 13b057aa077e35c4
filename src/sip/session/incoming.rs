//! A call that rings here: RFC 3261 §13.3.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::established::{Established, Side};
use super::timer::SessionTimer;
use super::{Ask, State, Within};
use crate::sip::StatusCode;
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::endpoint::core::{Core, SDP};
use crate::sip::endpoint::{Event, SessionId};
use crate::sip::layer::{Reply, ServerId};

/// An INVITE without a final response from us.
#[derive(Debug)]
pub(super) struct Incoming {
    server: ServerId,
    dialog: DialogId,
    user: String,
    /// When we stop ringing.
    until: Instant,
    /// The provisional response to repeat, and when.
    repeat: Option<(Instant, Reply)>,
}

impl Incoming {
    pub(super) fn new(
        now: Instant,
        core: &mut Core,
        session: SessionId,
        (server, dialog): (ServerId, Dialog),
    ) -> Self {
        let user = dialog.user().to_owned();
        let dialog = core.dialogs.insert_for_session(dialog, session);
        Self { server, dialog, user, until: now + core.layer.settings.ring, repeat: None }
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn deadline(&self) -> Instant {
        self.repeat.as_ref().map_or(self.until, |(at, _)| self.until.min(*at))
    }

    pub(super) fn handle_timeout(mut self, now: Instant, core: &mut Core, id: SessionId) -> State {
        if self.until <= now {
            self.refuse(now, core, Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE));
            core.emit(Event::Cancelled { session: id });
            return State::Over;
        }
        if let Some((at, reply)) = &mut self.repeat
            && *at <= now
        {
            *at = now + REPEAT;
            core.reply(now, self.server, reply.clone());
        }
        State::Incoming(self)
    }

    pub(super) fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) {
        if !status.is_provisional() || status == StatusCode::TRYING {
            return;
        }
        let reply = Reply::new(status).contact(&self.user).body(SDP, sdp);
        core.reply(now, self.server, reply.clone());
        self.repeat = Some((now + REPEAT, reply));
    }

    pub(super) fn answer(self, now: Instant, core: &mut Core, sdp: Bytes) -> State {
        let Self { server, dialog, user, .. } = self;
        let reply = core.with_capabilities(Reply::new(StatusCode::OK).contact(&user));
        let reply = reply.body(SDP, Some(sdp.clone()));
        let timer = SessionTimer::new(core.layer.settings.min_se);
        let mut established = Established::new(dialog, Side::Callee, timer);
        established.description = Some(sdp);
        established.accept(now, core, server, reply);
        State::Established(established)
    }

    /// Gives a final response other than 2xx and leaves the dialog.
    pub(super) fn refuse(self, now: Instant, core: &mut Core, reply: Reply) {
        core.reply(now, self.server, reply);
        core.dialogs.leave_session(&self.dialog);
    }

    pub(super) fn handle_request(
        self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        match within.ask {
            // RFC 3261 §15.1.2: a caller may end an early dialog by BYE too.
            Ask::Bye => {
                core.reply_status(now, within.server, StatusCode::OK);
                self.refuse(now, core, Reply::new(StatusCode::REQUEST_TERMINATED));
                core.emit(Event::Cancelled { session: id });
                return State::Over;
            }
            Ask::Refresh => {
                super::established::accept_refresh(now, core, within, None);
            }
            // RFC 3311 §5.2, RFC 3261 §14.2: the offer of the INVITE is not answered yet.
            Ask::Offer => core.reply_later(now, within.server),
        }
        State::Incoming(self)
    }
}

/// RFC 3261 §13.3.1.1: proxies want to hear each minute that we still ring.
const REPEAT: Duration = Duration::from_mins(1);
