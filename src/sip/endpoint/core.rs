//! What sessions and references share: the layer below, the dialogs, the timers.

use std::time::{Duration, Instant};

use crate::sip::dialog::{DialogId, Dialogs};
use crate::sip::digest::Login;
use crate::sip::endpoint::{Event, ReferId, SessionId, SubscriptionId};
use crate::sip::headers::Name;
use crate::sip::layer::{Layer, Owner, Reply, Request, RequestId, ServerId};
use crate::sip::timer::Deadlines;
use crate::sip::{Message, Method, StatusCode};

/// The user agent core of RFC 3261 §8, without its usages.
#[derive(Debug)]
pub(in crate::sip) struct Core {
    pub(in crate::sip) layer: Layer,
    pub(in crate::sip) dialogs: Dialogs,
    pub(in crate::sip) deadlines: Deadlines<Timer>,
}

/// Whose time may come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::sip) enum Timer {
    Session(SessionId),
    Refer(ReferId),
    Subscription(SubscriptionId),
}

impl Core {
    pub(in crate::sip) fn emit(&mut self, event: Event) {
        self.layer.emit(event);
    }

    pub(in crate::sip) fn reply(&mut self, now: Instant, server: ServerId, reply: Reply) {
        self.layer.reply(now, server, reply);
    }

    pub(in crate::sip) fn reply_status(&mut self, now: Instant, to: ServerId, status: StatusCode) {
        self.layer.reply(now, to, Reply::new(status));
    }

    /// 500 for a request that would do at another time (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(in crate::sip) fn reply_later(&mut self, now: Instant, server: ServerId) {
        let delay = self.layer.random_delay(Duration::from_secs(10)).as_secs();
        let reply = Reply::new(StatusCode::SERVER_INTERNAL_ERROR);
        self.layer.reply(now, server, reply.header(Name::RetryAfter, delay.to_string()));
    }

    /// Adds what OPTIONS and the messages of an INVITE tell of us.
    pub(in crate::sip) fn with_capabilities(&self, reply: Reply) -> Reply {
        reply
            .header(Name::Allow, ALLOW)
            .header(Name::Supported, self.layer.settings.extensions().join(", "))
    }

    /// Sends a request within a dialog, after `complete` has added what it is about.
    pub(in crate::sip) fn send_within(
        &mut self,
        now: Instant,
        dialog: &DialogId,
        (method, owner): (Method, Owner),
        complete: impl FnOnce(&mut Message),
    ) -> Option<RequestId> {
        let dialog = self.dialogs.dialog_mut(dialog)?;
        let contact = needs_contact(&method).then(|| dialog.identity().clone());
        let flow = dialog.flow();
        let login = dialog.account.clone().map(Login::new);
        let mut message = dialog.request(&method);
        complete(&mut message);
        message.headers.push(Name::UserAgent, self.layer.settings.product.clone());
        Some(
            self.layer
                .send(now, Request { message, contact, owner, flow, login, has_others: false }),
        )
    }

    /// Ends the INVITE usage of a dialog on the wire.
    pub(in crate::sip) fn send_bye(
        &mut self,
        now: Instant,
        dialog: &DialogId,
        why: Option<String>,
    ) {
        self.send_within(now, dialog, (Method::Bye, Owner::Nobody), |bye| {
            if let Some(reason) = why {
                bye.headers.push(Name::Reason, reason);
            }
        });
    }
}

/// RFC 3261 table 2, RFC 3311, RFC 3515, RFC 6665: which requests carry Contact.
fn needs_contact(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Refer | Method::Notify)
}

/// The methods we answer with other than 405.
pub(in crate::sip) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE, REGISTER, PUBLISH";

/// The one body type of sessions.
pub(in crate::sip) const SDP: &str = "application/sdp";
