//! A name has several servers: RFC 3263, from the question to DNS to the one that answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::network::{Network, Weather, invitation, short};
use super::script::response;
use crate::sip::endpoint::{Invitation, SessionId};
use crate::sip::locate::{Answer, Naptr, Question, Srv};
use crate::sip::transport::Transport;
use crate::sip::{Message, Uri};

#[test]
fn a_server_that_is_unreachable_gives_way_to_the_next_with_a_new_branch() {
    let mut net = carrier(&[1, 2]);

    call(&mut net, "sip:a@carrier");
    net.act(0, |endpoint, now| endpoint.handle_transmit_failed(now, Transport::Udp, server(1)));

    let [first, second] = [1, 2].map(|number| net.last_to(server(number)).clone());
    assert_ne!(branch(&first), branch(&second));
    assert_eq!(first.headers.call_id(), second.headers.call_id());
    assert_eq!(first.headers.cseq().unwrap().number, second.headers.cseq().unwrap().number);
    assert!(net.events[0].is_empty());
}

#[test]
fn a_server_that_is_silent_gives_way_to_the_next_soon_and_the_last_one_is_waited_for() {
    let mut net = carrier(&[1, 2]);

    call(&mut net, "sip:a@carrier");
    net.run(Duration::from_secs(5));
    let heard = net.log_to(server(2));
    net.run(Duration::from_secs(33));

    assert_eq!(net.log_to(server(1)).len(), 4, "timer A in 4 s");
    assert_eq!(heard[0], "INVITE");
    assert_eq!(net.log_to(server(2)).len(), 7, "timer A until timer B");
    assert_eq!(short(&net.events[0]), ["failed 408"]);
    net.assert_empty();
}

#[test]
fn a_server_that_answers_503_gives_way_and_other_refusals_do_not() {
    let mut net = carrier(&[1, 2, 3]);
    call(&mut net, "sip:a@carrier");

    answer(&mut net, 1, (503, "busy"), &[]);
    answer(&mut net, 2, (500, "error"), &[]);

    assert_eq!(net.log_to(server(1)), ["INVITE", "ACK"]);
    assert_eq!(net.log_to(server(2)), ["INVITE", "ACK"]);
    assert!(net.log_to(server(3)).is_empty());
    assert_eq!(short(&net.events[0]), ["failed 500"]);
}

#[test]
fn the_ack_of_a_refusal_and_the_cancel_go_where_the_invite_went() {
    let mut net = carrier(&[1, 2]);
    let session = call(&mut net, "sip:a@carrier");
    answer(&mut net, 1, (503, "busy"), &[]);
    answer(&mut net, 2, (180, "ring"), &[]);

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));
    let [invite, cancel] = [0, 1].map(|at| sent_to(&net, server(2))[at].clone());
    answer(&mut net, 2, (487, "ring"), &[]);

    assert_eq!(net.log_to(server(1)), ["INVITE", "ACK"]);
    assert_eq!(net.log_to(server(2)), ["INVITE", "CANCEL", "ACK"]);
    assert_eq!(branch(&cancel), branch(&invite));
    assert_eq!(branch(net.last_to(server(2))), branch(&invite));
}

#[test]
fn a_server_that_failed_is_tried_last_for_a_while() {
    let mut net = carrier(&[1, 2]);
    call(&mut net, "sip:a@carrier");
    answer(&mut net, 1, (503, "busy"), &[]);
    net.forget();

    call(&mut net, "sip:a@carrier");
    let while_down = net.sent.last().unwrap().1;
    net.run(Duration::from_secs(61));
    call(&mut net, "sip:a@carrier");

    assert_eq!(while_down, server(2));
    assert_eq!(net.sent.last().unwrap().1, server(1));
}

#[test]
fn a_server_may_ask_to_be_left_alone_for_longer_and_is_back_when_it_answers() {
    let mut net = carrier(&[1, 2]);
    call(&mut net, "sip:a@carrier");
    answer(&mut net, 1, (503, "busy"), &[("Retry-After", "600")]);
    net.run(Duration::from_mins(5));
    net.forget();

    call(&mut net, "sip:a@carrier");
    let first = net.sent.last().unwrap().1;
    answer(&mut net, 2, (503, "busy"), &[]);
    answer(&mut net, 1, (404, "back"), &[]);
    call(&mut net, "sip:a@carrier");

    assert_eq!(first, server(2));
    assert_eq!(net.sent.last().unwrap().1, server(1), "it has answered meanwhile");
}

#[test]
fn dns_chooses_the_transport_and_the_certificate_is_that_of_the_domain() {
    let mut net = carrier(&[1]);
    let record = Naptr {
        order: 1,
        preference: 1,
        flags: "s".into(),
        service: "SIP+D2T".into(),
        replacement: "_sip._tcp.carrier".into(),
    };
    net.zone.insert(Question::Services("carrier".into()), Answer::Services(vec![record]));
    let servers = Answer::Servers(vec![srv(1, 1)]);
    net.zone.insert(Question::Servers("_sip._tcp.carrier".into()), servers.clone());
    net.zone.insert(Question::Servers("_sips._tcp.carrier".into()), servers);

    call(&mut net, "sip:a@carrier");
    call(&mut net, "sips:a@carrier");

    let via = |at: usize| net.sent[at].2.headers.via().unwrap().transport;
    assert_eq!([via(0), via(1)], ["TCP", "TLS"]);
    assert_eq!(net.domains, [None, Some("carrier".to_owned())]);
}

#[test]
fn a_dialog_stays_with_the_server_that_it_has() {
    let mut net = carrier(&[1, 2]);
    let session = call(&mut net, "sip:a@carrier");
    answer(&mut net, 1, (503, "busy"), &[]);
    let contact = [("Contact", "<sip:a@carrier>")];
    answer_with(&mut net, 2, (200, "up"), &contact, "answer");
    net.run(Duration::from_mins(5));
    net.forget();

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(net.log_to(server(2)), ["BYE"]);
    assert!(net.log_to(server(1)).is_empty());
}

#[test]
fn a_call_that_is_given_up_before_dns_answers_is_never_made() {
    let mut net = carrier(&[1]);
    net.silent_dns = true;
    let session = call(&mut net, "sip:a@carrier");
    let waiting = net.endpoints[0].counts().lookups;

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));
    net.answer_dns(0);

    assert_eq!(waiting, 1);
    assert!(net.sent.is_empty());
    net.assert_empty();
}

#[test]
fn only_the_first_large_request_waits_for_a_peer_without_tcp() {
    let mut net = Network::new(2, 1, Weather::FINE);
    net.without_tcp.push(super::network::address(1));
    let large = "o".repeat(2000);
    let transports = |net: &mut Network| -> Vec<String> {
        net.forget();
        let call = invitation(0, 1, Some(&large));
        net.act(0, |endpoint, now| endpoint.invite(now, call));
        net.sent.iter().map(|(_, _, sent)| sent.headers.via().unwrap().transport).collect()
    };

    let first = transports(&mut net);
    let second = transports(&mut net);
    net.run(Duration::from_mins(11));
    let later = transports(&mut net);

    assert_eq!(first, ["TCP", "UDP"]);
    assert_eq!(second, ["UDP"]);
    assert_eq!(later, ["TCP", "UDP"]);
}

/// A network in which `_sip._udp.carrier` has these servers, in this order.
fn carrier(servers: &[u8]) -> Network {
    let mut net = Network::new(1, 1, Weather::FINE);
    let mut records = Vec::new();
    for (priority, number) in (0..).zip(servers) {
        records.push(srv(*number, priority));
        let address = Answer::Addresses(vec![server(*number).ip()]);
        net.zone.insert(Question::Addresses(format!("s{number}")), address);
    }
    net.zone.insert(Question::Servers("_sip._udp.carrier".into()), Answer::Servers(records));
    net
}

fn srv(number: u8, priority: u16) -> Srv {
    Srv { priority, weight: 0, port: 5060, target: format!("s{number}") }
}

/// Where the servers of the carrier are; nobody listens there.
fn server(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([198, 51, 100, number]), 5060)
}

fn call(net: &mut Network, uri: &str) -> SessionId {
    let targets = vec![vec![Uri::parse(uri.as_bytes()).unwrap().into()]];
    let call = Invitation { targets, ..invitation(0, 1, Some("offer")) };
    net.act(0, |endpoint, now| endpoint.invite(now, call))
}

/// A server answers the last INVITE that it got.
fn answer(net: &mut Network, from: u8, status: (u16, &str), more: &[(&str, &str)]) {
    answer_with(net, from, status, more, "");
}

fn answer_with(
    net: &mut Network,
    from: u8,
    status: (u16, &str),
    more: &[(&str, &str)],
    body: &str,
) {
    let sent = sent_to(net, server(from));
    let invite = sent.into_iter().rfind(|sent| sent.method() == Some(&crate::sip::Method::Invite));
    let text = response(&invite.unwrap(), status, more, body);
    net.inject(0, server(from), &text);
}

fn sent_to(net: &Network, peer: SocketAddr) -> Vec<Message> {
    let sent = net.sent.iter().filter(|(_, to, _)| *to == peer);
    sent.map(|(_, _, message)| message.clone()).collect()
}

fn branch(message: &Message) -> String {
    message.headers.via().unwrap().branch().unwrap().to_owned()
}
