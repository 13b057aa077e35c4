//! What goes wrong on the way: lost ACKs, silent peers, redirections, forks.

use std::time::Duration;

use super::network::{Network, Weather, address, invited, sdp, short};
use super::script::{called, heard, invite, peer, request, response, say};
use crate::sip::headers::Name;
use crate::sip::transport::Transport;

const LONG: Duration = Duration::from_secs(100);

#[test]
fn an_unacknowledged_200_is_resent_and_ended_by_bye() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.forget();

    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("offer")));
    net.run(Duration::from_secs(33));

    let log = net.log();
    let at = |line: &str| -> Vec<u128> {
        log.iter().filter(|(_, sent)| sent == line).map(|(at, _)| *at).collect()
    };
    let expected = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(at("200 INVITE"), expected);
    assert_eq!(at("BYE")[0], 32_000);
    assert_eq!(short(&net.events[0]), ["ended AckMissing"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn an_invite_that_nobody_answers_fails_with_408() {
    let mut net = Network::new(1, 1, Weather::FINE);

    called(&mut net, Some("offer"));
    net.run(LONG);

    assert_eq!(heard(&net).len(), 7, "timer A");
    assert_eq!(short(&net.events[0]), ["failed 408"]);
    net.assert_empty();
}

#[test]
fn an_invite_that_rings_for_ever_is_cancelled() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));
    say(&mut net, &response(&invite, (180, "a"), &[], ""));

    net.run(Duration::from_mins(4));

    assert_eq!(short(&net.events[0]), ["progress 180 -", "failed 408"]);
    assert_eq!(heard(&net)[1], "CANCEL");
    net.assert_empty();
}

#[test]
fn a_peer_that_cannot_be_reached_is_503() {
    let mut net = Network::new(2, 1, Weather::FINE);
    net.invite(0, 1, Some("offer"));

    net.act(0, |endpoint, now| {
        endpoint.handle_transmit_failed(now, Transport::Udp, address(1));
    });

    assert_eq!(short(&net.events[0]), ["failed 503"]);
    assert!(net.endpoints[0].counts().is_empty());
}

#[test]
fn a_name_without_addresses_is_503() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let target = crate::sip::Uri::parse(b"sip:a@nowhere").unwrap();
    let call = crate::sip::endpoint::Invitation {
        targets: vec![vec![target.into()]],
        ..super::network::invitation(0, 1, None)
    };

    net.act(0, |endpoint, now| endpoint.invite(now, call));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), ["failed 503"]);
    net.assert_empty();
}

#[test]
fn a_refusal_is_acknowledged_with_its_tag_and_our_branch() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));

    say(&mut net, &response(&invite, (486, "busy"), &[], ""));

    let ack = net.last_to(peer());
    assert_eq!(heard(&net), ["INVITE", "ACK"]);
    assert_eq!(ack.headers.first(&Name::Via), invite.headers.first(&Name::Via));
    assert_eq!(ack.headers.to().unwrap().tag(), Some("busy"));
    assert_eq!(ack.headers.cseq().unwrap().number, 1);
    assert_eq!(short(&net.events[0]), ["failed 486"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn redirections_are_followed_best_first_and_never_twice() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let first = called(&mut net, Some("offer"));
    let contacts = "<sip:low@192.0.2.100>;q=0.1, <sip:high@192.0.2.100>;q=0.9";
    let uri = |net: &Network| {
        let sent = net.sent.iter().rev().find(|(_, _, sent)| sent.uri().is_some());
        let invite = net
            .sent
            .iter()
            .rev()
            .find(|(_, _, sent)| sent.method() == Some(&crate::sip::Method::Invite));
        assert!(sent.is_some());
        invite.unwrap().2.clone()
    };

    say(&mut net, &response(&first, (302, "a"), &[("Contact", contacts)], ""));
    let second = uri(&net);
    say(&mut net, &response(&second, (302, "b"), &[("Contact", "<sip:u99@192.0.2.100>")], ""));
    let third = uri(&net);
    say(&mut net, &response(&third, (404, "c"), &[], ""));

    let user = |message: &crate::sip::Message| message.uri().unwrap().user().unwrap().to_owned();
    assert_eq!([user(&first), user(&second), user(&third)], ["u99", "high", "u99"]);
    let number = |message: &crate::sip::Message| message.headers.cseq().unwrap().number;
    assert_eq!([number(&first), number(&second), number(&third)], [1, 2, 3]);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
}

#[test]
fn redirections_end() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let mut invite = called(&mut net, Some("offer"));

    for round in 0..20 {
        let contact = format!("<sip:r{round}@192.0.2.100>");
        say(&mut net, &response(&invite, (302, "a"), &[("Contact", &contact)], ""));
        let last = net
            .sent
            .iter()
            .rev()
            .find(|(_, _, sent)| sent.method() == Some(&crate::sip::Method::Invite));
        invite = last.unwrap().2.clone();
    }

    let invites = heard(&net).iter().filter(|line| *line == "INVITE").count();
    assert_eq!(invites, 6, "the first and five redirections");
    assert_eq!(short(&net.events[0]), ["failed 302"]);
}

#[test]
fn the_first_2xx_of_a_fork_wins_and_the_others_are_ended() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));

    say(&mut net, &response(&invite, (180, "a"), &[], ""));
    say(&mut net, &response(&invite, (183, "b"), &[], "early"));
    let early = net.endpoints[0].counts().dialogs;
    say(&mut net, &response(&invite, (200, "b"), &[], "answer b"));
    say(&mut net, &response(&invite, (200, "a"), &[], "answer a"));
    say(&mut net, &response(&invite, (200, "a"), &[], "answer a"));
    say(&mut net, &response(&invite, (200, "b"), &[], "answer b"));

    assert_eq!(early, 2);
    assert_eq!(net.endpoints[0].counts().dialogs, 1);
    let expected = ["progress 180 -", "progress 183 early", "answered answer b"];
    assert_eq!(short(&net.events[0]), expected);
    let tags: Vec<String> = net
        .sent
        .iter()
        .skip(1)
        .map(|(_, _, sent)| {
            format!("{} {}", sent.method().unwrap(), sent.headers.to().unwrap().tag().unwrap())
        })
        .collect();
    assert_eq!(tags, ["ACK b", "ACK a", "BYE a", "ACK a", "ACK b"]);
}

#[test]
fn a_fork_bomb_is_bounded() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));

    for tag in 0..1000 {
        say(&mut net, &response(&invite, (180, &tag.to_string()), &[], ""));
    }
    let early = net.endpoints[0].counts().dialogs;
    for tag in 0..1000 {
        say(&mut net, &response(&invite, (200, &tag.to_string()), &[], "answer"));
    }

    assert_eq!(early, 16);
    assert_eq!(heard(&net).iter().filter(|line| *line == "ACK").count(), 16);
    net.run(LONG);
    assert_eq!(net.endpoints[0].counts().client_transactions, 0);
}

#[test]
fn a_route_set_is_kept_in_the_order_of_its_direction() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));
    let routes = ("Record-Route", "<sip:192.0.2.100:7002;lr>, <sip:192.0.2.100:7001;lr>");

    say(&mut net, &response(&invite, (200, "a"), &[routes], "answer"));

    let (_, to, ack) = net.sent.last().unwrap();
    assert_eq!(to.port(), 7001);
    assert_eq!(ack.uri().unwrap().as_str(), "sip:a@192.0.2.100");
    let route = ack.headers.addresses(&Name::Route).map(|route| route.unwrap().uri.port());
    assert_eq!(route.collect::<Vec<_>>(), [Some(7001), Some(7002)]);
}

#[test]
fn a_bye_within_an_early_dialog_ends_the_invitation() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| {
        endpoint.ring(now, session, crate::sip::StatusCode::RINGING, None);
    });
    let tag = super::script::tag(&net);

    say(&mut net, &request("BYE", ("2", &tag, 2), "", ""));

    assert_eq!(heard(&net), ["100 INVITE", "180 INVITE", "200 BYE", "487 INVITE"]);
    assert_eq!(short(&net.events[0]), ["invited -", "cancelled"]);
}

#[test]
fn ringing_is_repeated_every_minute_until_it_ends() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| {
        endpoint.ring(now, session, crate::sip::StatusCode::RINGING, None);
    });

    net.run(Duration::from_secs(181));

    let expected = ["100 INVITE", "180 INVITE", "180 INVITE", "180 INVITE", "480 INVITE"];
    assert_eq!(heard(&net)[..5], expected);
    assert_eq!(short(&net.events[0]), ["invited -", "cancelled"]);
}
