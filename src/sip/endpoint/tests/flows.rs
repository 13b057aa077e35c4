//! Peers that are not where their Contact says: behind a NAT, or at the end of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::network::{Network, Weather, address, invitation, invited, sdp, short};
use crate::sip::endpoint::{Invitation, SessionId, Settings};
use crate::sip::headers::Name;
use crate::sip::transport::Transport;
use crate::sip::{Message, Method, StatusCode, Uri};

#[test]
fn bye_and_reinvite_arrive_on_the_connection_of_the_call() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:40000;transport=tcp");
    let session = phone.connect(&mut net);

    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();
    let reinvite = net.last_to(phone.source).clone();
    phone.say(&mut net, &phone.response(&reinvite));
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(phone.source), ["INVITE", "ACK", "BYE"]);
    assert_eq!(net.sent.len(), 3, "nothing went elsewhere");
    assert_eq!(reinvite.uri().unwrap().as_str(), phone.contact);
}

#[test]
fn a_connection_that_is_gone_leaves_the_contact() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:5070;transport=tcp");
    let session = phone.connect(&mut net);
    net.without_tcp.push(phone.source);

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(phone.source), ["BYE"]);
    assert_eq!(net.log_to(at([192, 0, 2, 100], 5070)), ["BYE"]);
    net.run(Duration::from_secs(40));
    net.assert_empty();
}

#[test]
fn a_contact_that_is_gone_too_is_unreachable() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:5070;transport=tcp");
    let session = phone.connect(&mut net);
    net.without_tcp = vec![phone.source, at([192, 0, 2, 100], 5070)];

    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();

    assert_eq!(net.sent.len(), 2);
    assert_eq!(short(&net.events[0]), ["reoffer failed 503"]);
}

#[test]
fn a_contact_by_name_is_looked_up_when_the_connection_is_gone() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@u7;transport=tcp");
    let session = phone.connect(&mut net);
    net.without_tcp.push(phone.source);

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(phone.source), ["BYE"]);
    assert_eq!(net.log_to(address(7)), ["BYE"]);
}

#[test]
fn the_newest_connection_of_a_call_is_taken() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:40000;transport=tcp");
    let session = phone.connect(&mut net);
    let reconnected = Phone { source: at([192, 0, 2, 100], 40_002), ..phone.clone() };
    let tag = net.endpoints[0].dialog_of(session).unwrap().local_tag;

    reconnected.say(&mut net, &reconnected.request("INFO", &tag, 2));
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(reconnected.source), ["200 INFO", "BYE"]);
    assert_eq!(net.log_to(phone.source), Vec::<String>::new());
}

#[test]
fn a_callee_over_tcp_gets_ack_and_bye_on_the_connection_of_its_answer() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let target = Uri::parse(b"sip:peer@192.0.2.100:5060;transport=tcp").unwrap();
    let call = Invitation { targets: vec![vec![target.into()]], ..invitation(0, 1, Some("offer")) };
    let session = net.act(0, |endpoint, now| endpoint.invite(now, call));
    let phone = Phone {
        source: at([192, 0, 2, 100], 5060),
        ..Phone::over_tcp("sip:peer@10.0.0.5:49152;transport=tcp")
    };
    let invite = net.last_to(phone.source).clone();

    phone.say(&mut net, &phone.response(&invite));
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(phone.source), ["INVITE", "ACK", "BYE"]);
    assert_eq!(net.sent.len(), 3);
}

#[test]
fn an_ack_whose_connection_is_gone_goes_to_the_contact() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let target = Uri::parse(b"sip:peer@192.0.2.100:5060;transport=tcp").unwrap();
    let call = Invitation { targets: vec![vec![target.into()]], ..invitation(0, 1, Some("offer")) };
    net.act(0, |endpoint, now| endpoint.invite(now, call));
    let phone = Phone {
        source: at([192, 0, 2, 100], 5060),
        ..Phone::over_tcp("sip:peer@192.0.2.100:5070;transport=tcp")
    };
    let invite = net.last_to(phone.source).clone();
    net.without_tcp.push(phone.source);

    phone.say(&mut net, &phone.response(&invite));
    phone.say(&mut net, &phone.response(&invite));

    assert_eq!(net.log_to(phone.source), ["INVITE", "ACK"]);
    assert_eq!(net.log_to(at([192, 0, 2, 100], 5070)), ["ACK", "ACK"]);
}

#[test]
fn a_caller_behind_a_nat_gets_bye_and_reinvite_where_it_calls_from() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_udp("sip:peer@10.0.0.5:5060");
    let session = phone.connect(&mut net);

    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();
    let reinvite = net.last_to(phone.source).clone();
    phone.say(&mut net, &phone.response(&reinvite));
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(phone.source), ["INVITE", "ACK", "BYE"]);
    assert_eq!(net.sent.len(), 3, "nothing went elsewhere");
    assert_eq!(reinvite.uri().unwrap().as_str(), phone.contact);
}

#[test]
fn a_large_request_reaches_a_caller_behind_a_nat_in_a_datagram() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_udp("sip:peer@10.0.0.5:5060");
    let session = phone.connect(&mut net);

    let large = sdp(&"a".repeat(2000));
    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(large))).unwrap();

    let via = net.last_to(phone.source).headers.via().unwrap();
    assert_eq!(via.transport, "UDP");
}

#[test]
fn without_nat_the_contact_is_followed() {
    let settings = Settings { nat: false, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);
    let session = Phone::over_udp("sip:peer@10.0.0.5:5060").connect(&mut net);

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(at([10, 0, 0, 5], 5060)), ["BYE"]);
}

#[test]
fn a_contact_that_can_be_reached_is_followed_over_udp() {
    for (contact, expected) in [
        ("sip:peer@192.0.2.100:5070", at([192, 0, 2, 100], 5070)),
        ("sip:peer@203.0.113.9", at([203, 0, 113, 9], 5060)),
    ] {
        let mut net = Network::new(1, 1, Weather::FINE);
        let session = Phone::over_udp(contact).connect(&mut net);

        net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

        assert_eq!(net.log_to(expected), ["BYE"]);
    }
}

#[test]
fn a_response_whose_connection_is_gone_goes_to_the_sent_by_port_once() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:5070;transport=tcp");
    phone.say(&mut net, &phone.request("INVITE", "", 1));
    let session = invited(&net.events[0]);
    net.forget();
    let sent_by = at([192, 0, 2, 100], 5080);
    net.without_tcp = vec![phone.source, sent_by];

    net.act(0, |endpoint, now| {
        endpoint.ring(now, session, StatusCode::RINGING, None);
    });
    net.without_tcp.pop();
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("answer")));

    assert_eq!(net.log_to(phone.source), ["180 INVITE"]);
    assert_eq!(net.log_to(sent_by), ["180 INVITE", "200 INVITE"]);
}

#[test]
fn a_200_whose_connection_is_gone_is_resent_to_the_sent_by_port() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let phone = Phone::over_tcp("sip:peer@192.0.2.100:5070;transport=tcp");
    phone.say(&mut net, &phone.request("INVITE", "", 1));
    let session = invited(&net.events[0]);
    net.forget();
    net.without_tcp.push(phone.source);

    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("answer")));
    net.run(Duration::from_secs(1));

    assert_eq!(net.log_to(phone.source), ["200 INVITE"]);
    assert_eq!(net.log_to(at([192, 0, 2, 100], 5080)), ["200 INVITE"]);
}

#[test]
fn a_browser_is_reached_at_its_websocket_or_nowhere() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let over_tcp = Phone::over_tcp("sip:peer@browser.invalid;transport=ws");
    let phone = Phone { transport: Transport::Wss, ..over_tcp };
    let session = phone.connect(&mut net);

    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();
    let reinvite = net.last_to(phone.source).clone();
    phone.say(&mut net, &phone.response(&reinvite));
    net.without_tcp.push(phone.source);
    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("again")))).unwrap();

    assert_eq!(net.log_to(phone.source), ["INVITE", "ACK", "INVITE"]);
    assert_eq!(net.sent.len(), 3, "nothing went elsewhere");
    assert_eq!(short(&net.events[0]).last().unwrap(), "reoffer failed 503");
}

#[test]
fn a_sips_call_is_taken_where_nobody_reads_along() {
    for (transport, first) in [
        (Transport::Tls, "100 INVITE"),
        (Transport::Wss, "100 INVITE"),
        (Transport::Tcp, "416 INVITE"),
        (Transport::Ws, "416 INVITE"),
    ] {
        let mut net = Network::new(1, 1, Weather::FINE);
        let phone = Phone { transport, ..Phone::over_tcp("sips:peer@192.0.2.100") };

        let invite = phone.request("INVITE", "", 1).replacen("sip:", "sips:", 1);
        phone.say(&mut net, &invite);

        assert!(net.log_to(phone.source).iter().any(|line| line == first), "{transport}");
    }
}

/// A scripted phone at 192.0.2.100 whose messages come from `source`.
#[derive(Clone)]
struct Phone {
    transport: Transport,
    source: SocketAddr,
    contact: String,
}

impl Phone {
    fn over_tcp(contact: &str) -> Self {
        Self { transport: Transport::Tcp, ..Self::over_udp(contact) }
    }

    fn over_udp(contact: &str) -> Self {
        let source = at([192, 0, 2, 100], 40_001);
        Self { transport: Transport::Udp, source, contact: contact.to_owned() }
    }

    /// Calls endpoint 0, which answers; what was sent is forgotten.
    fn connect(&self, net: &mut Network) -> SessionId {
        self.say(net, &self.request("INVITE", "", 1));
        let session = invited(&net.events[0]);
        net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("answer")));
        let to = net.last_to(self.source).headers.to().unwrap();
        self.say(net, &self.request("ACK", to.tag().unwrap(), 1));
        net.forget();
        session
    }

    fn say(&self, net: &mut Network, text: &str) {
        net.inject_over(self.transport, 0, self.source, text);
    }

    fn request(&self, method: &str, to_tag: &str, sequence: u32) -> String {
        let (transport, contact) = (self.transport, &self.contact);
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let body = if method == Method::Invite.to_string() { "offer" } else { "" };
        format!(
            "{method} sip:room@192.0.2.1 SIP/2.0\r\n\
             Via: SIP/2.0/{transport} 192.0.2.100:5080;rport;branch=z9hG4bK{method}{sequence}\r\n\
             From: <sip:peer@192.0.2.100>;tag=peer\r\n\
             To: <sip:room@192.0.2.1>{to_tag}\r\n\
             Call-ID: flows\r\n\
             CSeq: {sequence} {method}\r\n\
             Contact: <{contact}>\r\n\
             Max-Forwards: 70\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            length = body.len()
        )
    }

    /// 200 to a request of ours.
    fn response(&self, request: &Message) -> String {
        let mut response = Message::response_to(request, StatusCode::OK, None);
        response.headers.add_to_tag("peer");
        response.headers.push(Name::Contact, format!("<{}>", self.contact));
        response.body = sdp("answer");
        String::from_utf8(response.print().to_vec()).unwrap()
    }
}

fn at(address: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((address, port))
}
