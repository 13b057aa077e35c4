//! One call: a dialog, its session and its media.

use std::net::SocketAddr;
use std::time::Duration;

use rsip::{Method, Request};

use crate::command::Behaviour;
use crate::media::{Media, Plan};
use crate::sdp::{Direction, Local, Remote};
use crate::sip::{self, Parts};
use crate::transport::Flow;

pub struct Call {
    pub name: String,
    pub line: String,
    /// Where the line is reached: Contact and Via.
    pub contact: SocketAddr,
    /// It was answered although we had given up: to be ended once acknowledged.
    pub unwanted: bool,
    pub stage: Stage,
    pub sip_call_id: String,
    /// From of our requests, with our tag.
    pub local: String,
    /// To of our requests, with their tag once known.
    pub remote: String,
    /// Request-URI of our requests: their Contact.
    pub target: String,
    pub routes: Vec<String>,
    pub cseq: u32,
    pub remote_cseq: u32,
    pub flow: Flow,
    pub media: Media,
    pub session: Local,
    /// The session to go back to when an offer of ours is refused.
    pub before_offer: Option<Local>,
    /// An offer of ours waits for its answer.
    pub offering: bool,
    pub behaviour: Behaviour,
    /// What plays once answered.
    pub tones_hz: Vec<f64>,
    /// The call whose REFER made this one.
    pub referred_by: Option<String>,
    /// The call in whose place this one comes (RFC 3891).
    pub replaces: Option<String>,
}

pub enum Stage {
    /// Our INVITE is out.
    Calling {
        branch: String,
        provisional: bool,
        cancel: Cancel,
    },
    /// Their INVITE waits for us.
    Ringing {
        invite: Box<Request>,
        flow: Flow,
    },
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cancel {
    No,
    /// As soon as a provisional response allows it (RFC 3261 §9.1).
    Wanted,
    Sent,
}

impl Call {
    /// The fields of a new request inside the dialog.
    pub fn parts(&mut self, method: Method, branch: &str) -> Parts {
        if method != Method::Ack && method != Method::Cancel {
            self.cseq += 1;
        }
        let transport = match self.flow.transport {
            crate::command::Transport::Udp => "UDP",
            crate::command::Transport::Tcp => "TCP",
        };
        let mut parts = Parts::default()
            .with("Via", format!("SIP/2.0/{transport} {};branch={branch};rport", self.contact));
        for route in &self.routes {
            parts = parts.with("Route", route);
        }
        parts
            .with("Max-Forwards", "70")
            .with("From", &self.local)
            .with("To", &self.remote)
            .with("Call-ID", &self.sip_call_id)
            .with("CSeq", format!("{} {method}", self.cseq))
            .with("Contact", self.contact_value())
            .with("Allow", ALLOW)
            .with("User-Agent", "test-phone")
    }

    pub fn contact_value(&self) -> String {
        let tcp = self.flow.transport == crate::command::Transport::Tcp;
        format!("<sip:{}@{}{}>", self.line, self.contact, if tcp { ";transport=tcp" } else { "" })
    }

    /// Its dialog as its far end sees it: what Replaces and Join say.
    pub fn named(&self) -> String {
        let (to_tag, from_tag) = (sip::tag(&self.remote).unwrap_or_default(), self.local_tag());
        format!("{};to-tag={to_tag};from-tag={from_tag}", self.sip_call_id)
    }

    /// True if a Replaces that came names its dialog.
    pub fn is_named_by(&self, replaces: &str) -> bool {
        let mut parts = replaces.split(';').map(str::trim);
        let tag = |name: &str| replaces.split(';').find_map(|part| part.trim().strip_prefix(name));
        parts.next() == Some(&self.sip_call_id)
            && tag("to-tag=") == Some(&self.local_tag())
            && tag("from-tag=") == sip::tag(&self.remote).as_deref()
    }

    pub fn local_tag(&self) -> String {
        sip::tag(&self.local).unwrap_or_default()
    }

    /// Takes the peer's tag, Contact and route set from the message that makes the dialog.
    pub fn learn(&mut self, headers: &rsip::Headers, from_response: bool) {
        if let Some(contact) = sip::value(headers, "Contact").and_then(|value| sip::uri(&value)) {
            self.target = contact;
        }
        if matches!(self.stage, Stage::Up) {
            return;
        }
        let mut routes = sip::record_routes(headers);
        if from_response {
            routes.reverse();
            self.remote = sip::value(headers, "To").unwrap_or_default();
        }
        self.routes = routes;
    }

    /// An offer of ours, with a new version.
    pub fn offer(&mut self) -> String {
        self.before_offer.get_or_insert_with(|| self.session.clone());
        self.session.version += 1;
        self.session.address = self.media.address();
        self.offering = true;
        self.session.print()
    }

    /// Their answer to our offer.
    ///
    /// # Errors
    /// When it cannot be read or shares no codec with the offer.
    pub fn conclude(&mut self, body: &[u8]) -> Result<(), String> {
        let remote = Remote::parse(body)?;
        self.offering = false;
        self.before_offer = None;
        let send = remote.codecs.iter().find(|theirs| self.offers(theirs)).cloned();
        let send =
            send.ok_or_else(|| format!("the answer has no codec of the offer: {remote:?}"))?;
        let receive = self.session.codecs.clone();
        let direction = self.session.direction.answer_to(remote.direction);
        self.apply(&remote, send, receive, direction);
        Ok(())
    }

    /// Answers their offer.
    ///
    /// # Errors
    /// When it cannot be read or shares no codec with ours.
    pub fn answer(&mut self, body: &[u8]) -> Result<String, String> {
        let remote = Remote::parse(body)?;
        let common: Vec<_> =
            remote.codecs.iter().filter(|theirs| self.offers(theirs)).cloned().collect();
        let send = common.first().cloned().ok_or_else(|| format!("no common codec: {remote:?}"))?;
        self.session.version += 1;
        self.session.address = self.media.address();
        let mut shown = self.session.clone();
        shown.codecs.clone_from(&common);
        shown.events.clone_from(&remote.events);
        shown.direction = self.session.direction.answer_to(remote.direction);
        self.apply(&remote, send, common, shown.direction);
        Ok(shown.print())
    }

    /// Goes back to the session that stood before our refused offer.
    pub fn abandon_offer(&mut self) {
        self.offering = false;
        if let Some(before) = self.before_offer.take() {
            let version = self.session.version;
            self.session = Local { version, ..before };
        }
    }

    pub fn direction(&self) -> Direction {
        self.session.direction
    }

    fn offers(&self, codec: &crate::codec::Codec) -> bool {
        self.session.codecs.iter().any(|ours| ours.same_format(codec))
    }

    fn apply(
        &mut self,
        remote: &Remote,
        send: crate::codec::Codec,
        receive: Vec<crate::codec::Codec>,
        direction: Direction,
    ) {
        let fitting = remote.events.iter().find(|(_, rate)| *rate == send.clock_rate);
        let send_events = fitting.or(remote.events.first()).copied();
        let mut receive_events = self.session.events.clone();
        receive_events.extend(&remote.events);
        self.media.apply(Plan {
            remote: remote.address,
            send,
            receive,
            send_events,
            receive_events,
            ptime_ms: self.session.ptime_ms,
            sends: direction.sends(),
        });
    }
}

/// What the phone says it understands.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY, UPDATE";

/// Time between the bursts of a delay measurement.
pub const BURST_PAUSE: Duration = Duration::from_millis(733);
