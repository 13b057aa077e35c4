//! The messages that transactions themselves make: responses, the ACK of a refusal, CANCEL.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Destination, Layer, Source};
use crate::sip::dialog::Identity;
use crate::sip::headers::{FieldError, Name};
use crate::sip::transport::{self, Transport};
use crate::sip::{Message, Method, ParseError, StatusCode};

/// A response without what the request and the way back decide.
#[derive(Clone, Debug)]
pub(in crate::sip) struct Reply {
    pub(in crate::sip) status: StatusCode,
    reason: Option<String>,
    headers: Vec<(Name, Bytes)>,
    /// The Contact to add, if it needs one.
    contact: Option<Identity>,
    body: Option<(&'static str, Bytes)>,
}

impl Reply {
    pub(in crate::sip) fn new(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Vec::new(), contact: None, body: None }
    }

    pub(in crate::sip) fn reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    pub(in crate::sip) fn header(mut self, name: impl Into<Name>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(in crate::sip) fn contact(mut self, identity: &Identity) -> Self {
        self.contact = Some(identity.clone());
        self
    }

    pub(in crate::sip) fn body(mut self, content_type: &'static str, body: Option<Bytes>) -> Self {
        self.body = body.map(|body| (content_type, body));
        self
    }
}

impl Source {
    /// Notes where a request came from (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(super) fn note_in_via(self, message: &mut Message) -> Result<(), FieldError> {
        transport::note_source(&mut message.headers, self.peer)
    }

    /// Where the responses to a request go (RFC 3261 §18.2.2).
    ///
    /// A `maddr` is not followed: it serves multicast only, and would let anybody aim us at anybody.
    pub(super) fn reply_to(self, request: &Message) -> Destination {
        let is_at_source = match self.transport {
            Transport::Udp => request.headers.via().map_or(true, |via| via.wants_rport()),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => true,
        };
        let peer = if is_at_source { self.peer } else { self.sent_by(request) };
        Destination { transport: self.transport, peer }
    }

    /// The port of the top Via's sent-by, at the address that the request came from.
    pub(super) fn sent_by(self, request: &Message) -> SocketAddr {
        let port = request.headers.via().map_or(None, |via| via.port);
        SocketAddr::new(self.peer.ip(), port.unwrap_or_else(|| self.transport.default_port()))
    }
}

impl Layer {
    /// Builds a response from us.
    pub(super) fn response(
        &self,
        request: &Message,
        tag: &str,
        source: Source,
        reply: Reply,
    ) -> Message {
        let Reply { status, reason, headers, contact, body } = reply;
        let mut response = Message::response_to(request, status, reason.as_deref());
        if status != StatusCode::TRYING {
            response.headers.add_to_tag(tag);
        }
        if let Some(identity) = contact {
            let contact = self.contact(source.reply_to(request), &identity, request.uri());
            response.headers.push(Name::Contact, contact);
        }
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        response.headers.push(Name::Server, self.settings.product.clone());
        if let Some((content_type, body)) = body {
            response.headers.push(Name::ContentType, content_type);
            response.body = body;
        }
        response
    }

    /// Answers what could not be parsed, where that is possible.
    pub(super) fn refuse_malformed(&mut self, error: &ParseError, source: Source) {
        self.counters.malformed += 1;
        let Some(response) = error.response() else { return };
        let mut response = response.clone();
        if transport::note_source(&mut response.headers, source.peer).is_err() {
            return;
        }
        response.headers.push(Name::Server, self.settings.product.clone());
        if let (Ok(cseq), Some(status)) = (response.headers.cseq(), response.status()) {
            self.counters.response_out(&cseq.method, status);
        }
        self.transmit(source.reply_to(&response).carry(response.print()));
    }

    /// The same for each retransmission of a request, and ours alone (RFC 3261 §8.2.7).
    pub(super) fn stateless_tag(&self, request: &Message) -> String {
        let headers = [Name::Via, Name::From, Name::CallId, Name::CSeq];
        let values = headers.iter().filter_map(|name| request.headers.first(name));
        let hash = values.flatten().fold(self.secret, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        format!("{hash:016x}")
    }
}

/// The ACK for a 3xx–6xx: RFC 3261 §17.1.1.3.
pub(super) fn ack_of_failure(invite: &Message, response: &Message) -> Message {
    let mut ack = hop_by_hop(invite, &Method::Ack);
    if let Some(to) = response.headers.first(&Name::To) {
        ack.headers.replace(Name::To, to.clone());
    }
    ack
}

/// The CANCEL of an INVITE: RFC 3261 §9.1.
pub(super) fn cancel_of(invite: &Message, reason: Option<&str>) -> Message {
    let mut cancel = hop_by_hop(invite, &Method::Cancel);
    if let Some(reason) = reason {
        cancel.headers.push(Name::Reason, reason.to_owned());
    }
    cancel
}

/// A request that follows an INVITE to the same hop, with its top Via.
fn hop_by_hop(invite: &Message, method: &Method) -> Message {
    let uri = invite.uri().cloned();
    let sequence = invite.headers.cseq().map_or(0, |cseq| cseq.number);
    let mut message = match uri {
        Some(uri) => Message::request(method.clone(), uri),
        None => return invite.clone(), // only requests are handed in
    };
    if let Some(via) = invite.headers.first(&Name::Via) {
        message.headers.push(Name::Via, via.clone());
    }
    for name in [Name::Route, Name::MaxForwards, Name::From, Name::To, Name::CallId] {
        message.headers.copy(&name, &invite.headers);
    }
    message.headers.push(Name::CSeq, format!("{sequence} {method}"));
    message
}
