//! A peer that says what a test writes, byte by byte.

use std::net::SocketAddr;

use super::network::{Network, invited, sdp};
use crate::sip::endpoint::SessionId;
use crate::sip::headers::Name;
use crate::sip::{Message, StatusCode};

/// Where the scripted peer lives: nothing else is there, so all that is sent to it is only logged.
pub(super) fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 100], 5060))
}

/// An INVITE from the scripted peer, with more headers (each with its line end) and a body.
pub(super) fn invite(branch: &str, more: &str, body: &str) -> String {
    request("INVITE", (branch, "", 1), more, body)
}

/// A request from the scripted peer; `to_tag` makes it one within a dialog.
pub(super) fn request(
    method: &str,
    (branch, to_tag, sequence): (&str, &str, u32),
    more: &str,
    body: &str,
) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let max_forwards = if more.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
    format!(
        "{method} sip:room@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.100;rport;branch=z9hG4bK{branch}\r\n\
         From: <sip:peer@192.0.2.100>;tag=peer\r\n\
         To: <sip:room@192.0.2.1>{to_tag}\r\n\
         Call-ID: scripted\r\n\
         CSeq: {sequence} {method}\r\n\
         Contact: <sip:peer@192.0.2.100>\r\n\
         {max_forwards}{more}Content-Length: {length}\r\n\r\n{body}",
        length = body.len()
    )
}

/// A response to `request`, with this To tag, more headers and a body.
pub(super) fn response(
    request: &Message,
    (status, tag): (u16, &str),
    more: &[(&str, &str)],
    body: &str,
) -> String {
    let status = StatusCode::new(status).expect("a status");
    let mut response = Message::response_to(request, status, None);
    response.headers.add_to_tag(tag);
    response.headers.push(Name::Contact, format!("<sip:{tag}@192.0.2.100>"));
    for (name, value) in more {
        response.headers.replace(Name::new(name), (*value).to_owned());
    }
    if !body.is_empty() {
        response.headers.push(Name::ContentType, "application/sdp");
    }
    response.body = body.to_owned().into();
    String::from_utf8(response.print().to_vec()).expect("text")
}

/// Says something to endpoint 0.
pub(super) fn say(net: &mut Network, text: &str) {
    net.inject(0, peer(), text);
}

/// Endpoint 0 calls the scripted peer; returns its INVITE.
pub(super) fn called(net: &mut Network, offer: Option<&str>) -> Message {
    let mut invitation = super::network::invitation(0, 99, offer);
    invitation.headers.push(("Subject".into(), "scripted".into()));
    net.act(0, |endpoint, now| endpoint.invite(now, invitation));
    net.last_to(peer()).clone()
}

/// The tag that endpoint 0 put into the To of what it sent last.
pub(super) fn tag(net: &Network) -> String {
    let to = net.last_to(peer()).headers.to().expect("every message has one");
    to.tag().expect("it answered").to_owned()
}

/// Start lines of what the scripted peer received.
pub(super) fn heard(net: &Network) -> Vec<String> {
    net.log_to(peer())
}

/// The scripted peer has called endpoint 0; returns the session and our tag. What was sent is forgotten.
pub(super) fn connected(net: &mut Network) -> (SessionId, String) {
    say(net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("offer")));
    let tag = tag(net);
    say(net, &request("ACK", ("2", &tag, 1), "", ""));
    net.forget();
    (session, tag)
}
