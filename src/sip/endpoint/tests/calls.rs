//! Calls that go well.

use std::time::Duration;

use super::network::{Network, Weather, address, invitation, invited, sdp, short};
use crate::sip::endpoint::Invitation;
use crate::sip::headers::Name;
use crate::sip::{StatusCode, Uri};

const SHORTLY: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(100);

#[test]
fn a_call_rings_is_answered_and_ends() {
    let mut net = Network::new(2, 1, Weather::FINE);

    let ours = net.invite(0, 1, Some("offer"));
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.ring(now, theirs, StatusCode::RINGING, None));
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("answer")));
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, None));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), ["progress 180 -", "answered answer"]);
    let ended = "ended Bye { reason: None }";
    assert_eq!(short(&net.events[1]), ["invited offer", "acknowledged -", ended]);
    let log: Vec<String> = net.log().into_iter().map(|(_, line)| line).collect();
    let expected = ["INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"];
    assert_eq!(log, expected);
    net.assert_empty();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut net = Network::new(2, 1, Weather::FINE);

    let ours = net.invite(0, 1, None);
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("offer")));
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.acknowledge(now, ours, sdp("answer")));
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["answered offer"]);
    assert_eq!(short(&net.events[1]), ["invited -", "acknowledged answer"]);
}

#[test]
fn early_media_travels_in_183() {
    let mut net = Network::new(2, 1, Weather::FINE);

    net.invite(0, 1, Some("offer"));
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| {
        endpoint.ring(now, theirs, StatusCode::SESSION_PROGRESS, Some(sdp("early")));
    });
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["progress 183 early"]);
    assert_eq!(net.endpoints[0].counts().dialogs, 1);
}

#[test]
fn a_caller_that_gives_up_cancels() {
    let mut net = Network::new(2, 1, Weather::FINE);

    let ours = net.invite(0, 1, Some("offer"));
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, Some("SIP;cause=600".into())));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), [""; 0]);
    assert_eq!(short(&net.events[1]), ["invited offer", "cancelled"]);
    let log: Vec<String> = net.log().into_iter().map(|(_, line)| line).collect();
    let expected = ["INVITE", "100 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"];
    assert_eq!(log, expected);
    net.assert_empty();
}

#[test]
fn a_cancel_that_crosses_the_200_ends_in_ack_and_bye() {
    let mut net = Network::new(2, 1, Weather::FINE);

    let ours = net.invite(0, 1, Some("offer"));
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("answer")));
    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, None));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), [""; 0]);
    let ended = "ended Bye { reason: None }";
    assert_eq!(short(&net.events[1]), ["invited offer", "acknowledged -", ended]);
    net.assert_empty();
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut net = Network::new(2, 1, Weather::FINE);

    let ours = net.invite(0, 1, Some("offer"));
    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, None));
    let at_once = net.log().len();
    net.run(LONG);

    assert_eq!(at_once, 1, "no CANCEL before the 100");
    assert_eq!(short(&net.events[1]), ["invited offer", "cancelled"]);
    net.assert_empty();
}

#[test]
fn a_callee_that_hangs_up_before_the_ack_says_bye_after_it() {
    let mut net = Network::new(2, 1, Weather::FINE);

    net.invite(0, 1, Some("offer"));
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| {
        endpoint.answer(now, theirs, sdp("answer"));
        endpoint.hang_up(now, theirs, None);
    });
    net.run(LONG);

    let log: Vec<String> = net.log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(log, ["INVITE", "100 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]);
    net.assert_empty();
}

#[test]
fn names_are_resolved_and_requests_follow() {
    let mut net = Network::new(2, 1, Weather::FINE);
    let target = Uri::parse(b"sip:anybody@u1").unwrap();
    let headers = vec![("X-Thing".into(), "kept".into())];
    let invitation =
        Invitation { targets: vec![vec![target.into()]], headers, ..invitation(0, 1, None) };

    net.act(0, |endpoint, now| endpoint.invite(now, invitation));

    let invite = net.last_to(address(1));
    assert_eq!(invite.headers.first(&Name::new("X-Thing")).unwrap(), "kept");
}

#[test]
fn large_requests_take_tcp_and_fall_back_to_udp() {
    let offer = "x".repeat(1400);
    for is_closed in [false, true] {
        let mut net = Network::new(2, 1, Weather::FINE);
        if is_closed {
            net.without_tcp.push(address(1));
        }

        net.invite(0, 1, Some(&offer));
        net.run(SHORTLY);

        let (sent, events) = (net.log_to(address(1)), short(&net.events[1]));
        assert_eq!(sent.len(), 1 + usize::from(is_closed));
        assert_eq!(events, [format!("invited {offer}")]);
        let via = net.last_to(address(1)).headers.via().unwrap();
        assert_eq!(via.transport, if is_closed { "UDP" } else { "TCP" });
    }
}

#[test]
fn the_same_seed_makes_the_same_messages() {
    let run = || {
        let mut net = Network::new(2, 7, Weather::FINE);
        net.invite(0, 1, Some("offer"));
        net.run(SHORTLY);
        net.sent.iter().map(|(_, _, message)| message.print()).collect::<Vec<_>>()
    };

    assert_eq!(run(), run());
}
