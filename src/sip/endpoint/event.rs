//! What an endpoint tells its user, and what the user hands it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Identity, OptionsId, PublishId, QueryId, ReferId, RegisterId, SessionId, SubscriptionId,
    TextId, TextedId,
};
use crate::sip::dialog::DialogId;
use crate::sip::digest::Account;
use crate::sip::headers::{FieldError, Headers, Join, Name, NameAddr, Replaces};
use crate::sip::layer::Flow;
use crate::sip::transport::Transport;
use crate::sip::{Message, Method, StatusCode, Uri};

/// Something the user of the endpoint decides about or learns.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer calls: `ring`, `answer`, `reject` or `hang_up`.
    Invited(Box<Invited>),
    /// The caller gave up before we answered; the session is over.
    Cancelled {
        /// Whose.
        session: SessionId,
    },
    /// The peer acknowledged our 200 to its INVITE or re-INVITE.
    Acknowledged {
        /// Whose.
        session: SessionId,
        /// Its answer, if our 200 carried the offer.
        sdp: Option<Bytes>,
    },
    /// A provisional response to our invitation; several peers may send them after a fork.
    Progress {
        /// Whose.
        session: SessionId,
        /// 101 to 199.
        status: StatusCode,
        /// Reason phrase.
        reason: String,
        /// Early session description.
        sdp: Option<Bytes>,
        /// Which of these peers; `None` if it names no dialog.
        dialog: Option<DialogId>,
    },
    /// The peer accepted our invitation.
    Answered {
        /// Whose.
        session: SessionId,
        /// Its answer; its offer if we invited without one, then owed: `acknowledge`.
        /// What it said before counts where the 2xx says nothing; `None` if UPDATE has replaced that.
        sdp: Option<Bytes>,
        /// The whole response.
        response: Box<Message>,
        /// Which of those we called it is; [`Target::offer`] tells what it has answered.
        target: Box<Target>,
    },
    /// Our invitation came to nothing; the session is over.
    Failed {
        /// Whose.
        session: SessionId,
        /// The peer's final status, or 408, 503 … made here for want of one.
        status: StatusCode,
        /// Reason phrase.
        reason: String,
        /// When the peer asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// The peer wants to change the session (re-INVITE or UPDATE): `answer_offer`.
    Reoffered {
        /// Whose.
        session: SessionId,
        /// In which of its dialogs: before the answer to an invitation of ours there may be several.
        dialog: DialogId,
        /// Its offer; `None` asks for ours, whose answer comes with `Acknowledged`.
        sdp: Option<Bytes>,
    },
    /// The peer took back a `Reoffered` that was not answered yet; the session stands as it was.
    ReofferCancelled {
        /// Whose.
        session: SessionId,
    },
    /// The peer answered our `reinvite` or `update`.
    ReofferAnswered {
        /// Whose.
        session: SessionId,
        /// Its answer; its offer if we sent none, then owed: `acknowledge`.
        sdp: Option<Bytes>,
    },
    /// The peer refused our `reinvite` or `update`; the session stands as it was.
    ReofferFailed {
        /// Whose.
        session: SessionId,
        /// The final status; 491 if the peer's own offer crossed ours, then try again later.
        status: StatusCode,
        /// Reason phrase.
        reason: String,
    },
    /// A refresh of ours is over (RFC 4028), whatever became of it: what was [`Busy`] may be tried again.
    Refreshed {
        /// Whose.
        session: SessionId,
        /// What the peer answered to our description as it stood, where that was sent again.
        sdp: Option<Bytes>,
    },
    /// A peer asks us to contact somebody (RFC 3515): `answer_refer`, then `notify_refer`.
    Referred(Box<Referred>),
    /// The peer answered our REFER. Anything but 2xx ends it.
    ReferAnswered {
        /// Which.
        refer: ReferId,
        /// The final status.
        status: StatusCode,
        /// Reason phrase.
        reason: String,
    },
    /// The peer told how our REFER fares.
    ReferProgress {
        /// Which.
        refer: ReferId,
        /// Status of the call that the peer makes, from the sipfrag.
        status: StatusCode,
        /// Its reason phrase.
        reason: String,
        /// True for the last report.
        terminated: bool,
    },
    /// INFO within a session, already answered with 200.
    Info {
        /// Whose.
        session: SessionId,
        /// As it stands in the message; empty if there is none.
        content_type: String,
        /// The body.
        body: Bytes,
    },
    /// A peer asks what we can do, outside any dialog: `answer_options`.
    Options(Box<Options>),
    /// A phone says where it is to be reached: `answer_register`.
    Registering(Box<Registering>),
    /// A phone says how its user is (RFC 3903): `answer_publish`.
    Publishing(Box<Publishing>),
    /// A peer says something (RFC 3428), within a session or outside: `answer_text`.
    Texted(Box<Texted>),
    /// What became of a MESSAGE of ours within a session, in the end.
    TextAnswered {
        /// Which.
        text: TextId,
        /// The final status; 408 or 503 made here for want of one.
        status: StatusCode,
    },
    /// A peer wants to follow what we know (RFC 6665): `answer_subscribe`.
    Subscribing(Box<Subscribing>),
    /// A subscriber is to be told the state now, of which it knows nothing or not the last of it: `notify`.
    NotifyDue {
        /// Which.
        subscription: SubscriptionId,
        /// Everything is to be told, not only what has changed.
        whole: bool,
    },
    /// A subscription is over, however it ended; one that was refused too.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
    },
    /// What a request of ours outside of any call came to, in the end.
    Replied {
        /// Which.
        query: QueryId,
        /// The final status; 408 or 503 made here for want of one.
        status: StatusCode,
        /// The response, if one came.
        response: Option<Box<Message>>,
    },
    /// An established session is over.
    Ended {
        /// Whose.
        session: SessionId,
        /// Why.
        cause: EndCause,
    },
}

/// A call that comes in.
#[derive(Clone, Debug)]
pub struct Invited {
    /// The new session.
    pub session: SessionId,
    /// Who calls.
    pub from: NameAddr,
    /// Whom it calls, as first addressed.
    pub to: NameAddr,
    /// Whom it calls now: the request-URI.
    pub target: Uri,
    /// Its offer; `None` asks for ours, to be given with `answer`.
    pub offer: Option<Bytes>,
    /// The dialog of ours that it is about.
    pub takes: Option<Takes>,
    /// The whole request.
    pub request: Message,
    /// How it came.
    pub transport: Transport,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
}

/// What an INVITE wants of a dialog that its recipient already has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Takes {
    /// To be in its place (RFC 3891).
    Place(Replaces),
    /// To be in its conversation (RFC 3911).
    Part(Join),
}

impl Takes {
    /// The dialog that is meant.
    pub fn dialog(&self) -> DialogId {
        match self {
            Self::Place(replaces) => replaces.into(),
            Self::Part(join) => join.into(),
        }
    }

    /// Reads Replaces and Join.
    ///
    /// # Errors
    /// If there is more than one of them, or it cannot be read (RFC 3891 §3, RFC 3911 §4).
    pub(in crate::sip) fn of(headers: &Headers) -> Result<Option<Self>, FieldError> {
        let mut replaces = headers.items(&Name::Replaces);
        let mut joins = headers.items(&Name::Join);
        match [replaces.next(), replaces.next(), joins.next(), joins.next()] {
            [None, None, None, None] => Ok(None),
            [Some(one), None, None, None] => Replaces::parse(one).map(Self::Place).map(Some),
            [None, None, Some(one), None] => Join::parse(one).map(Self::Part).map(Some),
            [one, _, other, _] => {
                Err(FieldError::invalid("one dialog", one.or(other).unwrap_or_default()))
            }
        }
    }
}

/// A REFER that comes in.
#[derive(Clone, Debug)]
pub struct Referred {
    /// The session it came in, if it came in one.
    pub session: Option<SessionId>,
    /// The new reference.
    pub refer: ReferId,
    /// Whom to contact, with URI headers such as `Replaces` kept.
    pub target: Uri,
    /// On whose behalf (RFC 3892).
    pub referred_by: Option<NameAddr>,
    /// The request-URI: whom it addresses outside a session.
    pub addressed: Uri,
    /// The whole request.
    pub request: Message,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// A MESSAGE that comes in.
#[derive(Clone, Debug)]
pub struct Texted {
    /// To be given back with the answer.
    pub text: TextedId,
    /// The session it came in, if it came in one.
    pub session: Option<SessionId>,
    /// Whom it is for: the request-URI.
    pub target: Uri,
    /// The whole request, with what it says.
    pub request: Message,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// What we say within a session.
#[derive(Clone, Debug)]
pub struct Text {
    /// Whose words these are: the display name of `From`.
    pub author: Option<String>,
    /// Such as `text/plain`.
    pub content_type: String,
    /// What is said.
    pub body: Bytes,
}

/// A SUBSCRIBE that comes in; refreshes are dealt with by the endpoint.
#[derive(Clone, Debug)]
pub struct Subscribing {
    /// The new subscription.
    pub subscription: SubscriptionId,
    /// The session it came in, if it came in one.
    pub session: Option<SessionId>,
    /// The event package, such as `conference`, in lower case.
    pub package: String,
    /// What it is about: the request-URI.
    pub target: Uri,
    /// The whole request.
    pub request: Message,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// An OPTIONS that comes in outside any dialog.
#[derive(Clone, Debug)]
pub struct Options {
    /// To be given back with the answer.
    pub options: OptionsId,
    /// Whom it asks about: the request-URI.
    pub target: Uri,
    /// The whole request.
    pub request: Message,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// A REGISTER that comes in.
#[derive(Clone, Debug)]
pub struct Registering {
    /// To be given back with the answer.
    pub register: RegisterId,
    /// The whole request.
    pub request: Message,
    /// How it came.
    pub transport: Transport,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The way back.
    pub flow: Flow,
}

/// A PUBLISH of presence that comes in.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// To be given back with the answer.
    pub publish: PublishId,
    /// The whole request.
    pub request: Message,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// A place to call.
#[derive(Clone, Debug)]
pub struct Target {
    /// The request-URI.
    pub uri: Uri,
    /// Values of Route headers: proxies on the way, the next one first.
    pub routes: Vec<String>,
    /// The way that the place itself has opened, to be tried before the URI.
    pub flow: Option<Flow>,
    /// Our offer to this one, where it is other than that to all.
    pub offer: Option<Bytes>,
}

impl From<Uri> for Target {
    fn from(uri: Uri) -> Self {
        Self { uri, routes: Vec::new(), flow: None, offer: None }
    }
}

/// Why an established session ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndCause {
    /// The peer said BYE.
    Bye {
        /// Its `Reason` header (RFC 3326).
        reason: Option<String>,
    },
    /// The peer never acknowledged our 200 (RFC 3261 §13.3.1.4).
    AckMissing,
    /// A request within the session got 408 or no response.
    RequestTimeout,
    /// The peer answered 481: it does not know the session any more.
    DialogMissing,
    /// A request within the session could not be sent.
    TransportFailed,
    /// Nobody refreshed the session in time (RFC 4028 §10).
    Expired,
}

/// Whom to call and how.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Where the call goes: to all of a group at once, and to the next group when all of one have refused. The first who
    /// answers has it.
    pub targets: Vec<Vec<Target>>,
    /// How long a group may ring while another waits; as long as the call may, if `None`.
    pub patience: Option<Duration>,
    /// What makes it go on.
    pub hunt: Hunt,
    /// `From`; its tag is replaced.
    pub from: NameAddr,
    /// `To`; its tag is removed.
    pub to: NameAddr,
    /// Our offer; `None` asks the peer for one.
    pub offer: Option<Bytes>,
    /// Who we are in the Contact; the user of `from` if `None`.
    pub identity: Option<Identity>,
    /// What we are known by where this goes, to answer challenges in this session.
    pub account: Option<Arc<Account>>,
    /// More headers, such as `Route`, `Referred-By` or `Replaces`, in this order; `Max-Forwards`
    /// in place of 70. Those that make the dialog are left out: the endpoint decides them.
    pub headers: Vec<(String, String)>,
}

/// What makes a call go on to the next targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hunt {
    /// Any refusal but a 6xx: the targets are phones of one user.
    Refused,
    /// 408, 5xx, or nobody there: the targets are ways to one callee.
    Unreachable,
}

/// A request outside of any call.
#[derive(Clone, Debug)]
pub struct Query {
    /// REGISTER, OPTIONS …
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// Its tag is replaced.
    pub from: NameAddr,
    /// Its tag is removed.
    pub to: NameAddr,
    /// Call-ID and sequence number, where they must follow those of an earlier one.
    pub call: Option<(String, u32)>,
    /// User part of the Contact, if it has one.
    pub contact: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Content type and body, if it has one.
    pub body: Option<(String, Bytes)>,
    /// What we are known by there.
    pub account: Option<Arc<Account>>,
}

/// How to refuse an invitation or another request.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// 300 to 699.
    pub status: StatusCode,
    /// Reason phrase; the registered one if `None`.
    pub reason: Option<String>,
    /// More headers, such as `Contact`, `Retry-After` or `Warning`.
    pub headers: Vec<(String, String)>,
}

impl Rejection {
    /// Refuses with `status` and its registered phrase.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Vec::new() }
    }
}

impl From<StatusCode> for Rejection {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}

/// The session cannot take a new offer now: another exchange is open, or it is not established.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("session is busy with another offer, or not established")]
pub struct Busy;
