//! Before the final response: RFC 3262, RFC 3311, RFC 6337 §3.

use std::time::Duration;

use super::network::{Network, Weather, address, invited, sdp, short};
use super::script::{called, heard, invite, peer, request, response, say, tag};
use crate::sip::endpoint::{Busy, Prack, SessionId, Settings};
use crate::sip::headers::Name;
use crate::sip::{Message, StatusCode};

const SHORTLY: Duration = Duration::from_millis(100);
const SDP: &str = "Content-Type: application/sdp\r\n";

#[test]
fn early_media_arrives_for_sure_and_the_200_waits_for_it() {
    let (mut net, _, theirs) = ringing(Some("offer"));

    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("ignored")));
    let at_once = net.log_to(address(0));
    net.run(SHORTLY);

    assert_eq!(at_once, [""; 0], "the PRACK is missing");
    assert_eq!(short(&net.events[0]), ["progress 183 early", "answered early"]);
    assert_eq!(short(&net.events[1]), ["acknowledged -"]);
    assert_eq!(lines(&net), ["PRACK", "200 PRACK", "200 INVITE", "ACK"]);
    let (_, _, answer) = &net.sent[2];
    assert!(answer.body.is_empty());
}

#[test]
fn early_media_survives_a_bad_network() {
    for seed in 0..50 {
        let weather = Weather { loss: 300, twice: 100, ..Weather::FINE };
        let mut net = Network::new(2, seed, weather);
        net.invite(0, 1, Some("offer"));
        net.run(Duration::from_secs(20));
        let theirs = invited(&net.events[1]);

        net.act(1, |endpoint, now| {
            endpoint.ring(now, theirs, StatusCode::SESSION_PROGRESS, Some(sdp("early")));
            endpoint.answer(now, theirs, sdp("answer"));
        });
        net.run(Duration::from_secs(30));

        let expected = ["progress 183 early", "answered early"];
        assert_eq!(short(&net.events[0]), expected, "seed {seed}");
    }
}

#[test]
fn a_late_offer_in_a_183_is_answered_in_its_prack() {
    let (mut net, ours, theirs) = ringing(None);

    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.acknowledge(now, ours, sdp("answer")));
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("ignored")));
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["progress 183 early", "answered -"]);
    assert_eq!(short(&net.events[1]), ["acknowledged answer", "acknowledged -"]);
    assert_eq!(lines(&net), ["PRACK", "200 PRACK", "200 INVITE", "ACK"]);
}

#[test]
fn a_reliable_response_is_sent_again_until_the_caller_is_given_up() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "Require: 100rel\r\n", "offer"));
    let session = invited(&net.events[0]);
    net.forget();

    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::RINGING, None));
    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::SESSION_PROGRESS, None));
    net.run(Duration::from_secs(33));

    let log = net.log();
    let at: Vec<u128> =
        log.iter().filter(|(_, line)| line == "180 INVITE").map(|(at, _)| *at).collect();
    assert_eq!(at, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert!(!log.iter().any(|(_, line)| line == "183 INVITE"), "one is under way at a time");
    assert!(log.contains(&(32_000, "504 INVITE".to_owned())));
    assert_eq!(short(&net.events[0]), ["cancelled"]);
    net.run(Duration::from_secs(64));
    net.assert_empty();
}

#[test]
fn a_prack_names_what_is_open_or_is_481() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag, rseq) = scripted_ringing(&mut net, "offer");

    let wrong = [format!("{} 1 INVITE", rseq + 1), format!("{rseq} 2 INVITE"), "x".into()];
    for (number, rack) in (2..).zip(&wrong) {
        say(&mut net, &prack(number, &tag, rack, ""));
    }
    say(&mut net, &prack(5, &tag, &format!("{rseq} 1 INVITE"), ""));
    say(&mut net, &prack(6, &tag, &format!("{rseq} 1 INVITE"), ""));
    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::RINGING, None));

    let pracked = ["481 PRACK", "481 PRACK", "481 PRACK", "200 PRACK", "481 PRACK", "180 INVITE"];
    assert_eq!(heard(&net), pracked);
    assert!(!net.last_to(peer()).headers.contains(&Name::RSeq), "nothing to be sure of");
}

#[test]
fn the_next_reliable_response_follows_the_prack() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "Require: 100rel\r\n", "offer"));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::RINGING, None));
    let (tag, rseq) = (tag(&net), response_number(net.last_to(peer())));
    net.act(0, |endpoint, now| {
        endpoint.ring(now, session, StatusCode::SESSION_PROGRESS, Some(sdp("early")));
        endpoint.ring(now, session, StatusCode::RINGING, None);
    });
    net.forget();

    say(&mut net, &prack(2, &tag, &format!("{rseq} 1 INVITE"), ""));

    assert_eq!(heard(&net), ["180 INVITE", "200 PRACK"]);
    let (_, _, second) = &net.sent[0];
    assert_eq!(response_number(second), rseq + 1);
    assert_eq!(second.body, "early", "what waited is not lost");
}

#[test]
fn a_prack_that_the_200_overtakes_is_answered() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "Require: 100rel\r\n", "offer"));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::RINGING, None));
    let (tag, rseq) = (tag(&net), response_number(net.last_to(peer())));

    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("answer")));
    net.forget();
    say(&mut net, &prack(2, &tag, &format!("{rseq} 1 INVITE"), ""));
    say(&mut net, &prack(3, &tag, &format!("{rseq} 1 INVITE"), ""));

    assert_eq!(heard(&net), ["200 PRACK", "481 PRACK"]);
}

#[test]
fn a_prack_may_offer_again() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag, rseq) = scripted_ringing(&mut net, "offer");

    say(&mut net, &prack(2, &tag, &format!("{rseq} 1 INVITE"), "again"));
    let waits = heard(&net);
    net.act(0, |endpoint, now| endpoint.answer_offer(now, session, Ok(sdp("fine"))));

    assert_eq!(waits, [""; 0]);
    assert_eq!(short(&net.events[0]), ["reoffered again"]);
    assert_eq!(heard(&net), ["200 PRACK"]);
    assert_eq!(net.last_to(peer()).body, "fine");
}

#[test]
fn reliable_responses_are_acknowledged_in_order_and_once() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));
    assert!(invite.headers.has_token(&Name::Supported, "100rel"));

    for (number, body) in [("7", ""), ("7", ""), ("9", ""), ("8", "early"), ("6", ""), ("9", "")] {
        say(&mut net, &reliable(&invite, "a", number, body));
    }

    let racks = net.sent.iter().filter_map(|(_, _, m)| m.headers.first(&Name::RAck).cloned());
    assert_eq!(racks.collect::<Vec<_>>(), ["7 1 INVITE", "8 1 INVITE", "9 1 INVITE"]);
    assert_eq!(heard(&net), ["INVITE", "PRACK", "PRACK", "PRACK"]);
    let expected = ["progress 183 -", "progress 183 early", "progress 183 -"];
    assert_eq!(short(&net.events[0]), expected);
    assert_eq!(net.last_to(peer()).headers.cseq().unwrap().number, 4);
}

#[test]
fn each_fork_counts_for_itself_and_its_own_answer_stands() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));

    say(&mut net, &reliable(&invite, "a", "7", "answer of a"));
    say(&mut net, &reliable(&invite, "b", "70", "answer of b"));
    say(&mut net, &reliable(&invite, "a", "8", ""));
    say(&mut net, &response(&invite, (200, "a"), &[], ""));

    let racks = net.sent.iter().filter_map(|(_, _, m)| m.headers.first(&Name::RAck).cloned());
    assert_eq!(racks.collect::<Vec<_>>(), ["7 1 INVITE", "70 1 INVITE", "8 1 INVITE"]);
    assert_eq!(short(&net.events[0]).last().unwrap(), "answered answer of a");
    assert_eq!(net.endpoints[0].counts().dialogs, 1);
}

#[test]
fn what_is_required_of_everybody_is_421_without_it() {
    let settings = Settings { prack: Prack::Required, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);

    say(&mut net, &invite("1", "", ""));
    let refusal = net.last_to(peer()).clone();
    let ours = called(&mut net, Some("offer"));
    say(&mut net, &response(&ours, (200, "a"), &[], "answer"));
    say(&mut net, &from_callee(&ours, "INVITE", ("a", 1), "hold"));

    let expected = ["100 INVITE", "421 INVITE", "INVITE", "ACK", "100 INVITE"];
    assert_eq!(heard(&net), expected);
    assert_eq!(short(&net.events[0]), ["answered answer", "reoffered hold"]);
    assert!(refusal.headers.has_token(&Name::Require, "100rel"));
    assert!(ours.headers.has_token(&Name::Require, "100rel"));
}

#[test]
fn switched_off_it_is_neither_offered_nor_taken() {
    let settings = Settings { prack: Prack::Off, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);

    say(&mut net, &invite("1", "Require: 100rel\r\n", ""));
    let ours = called(&mut net, Some("offer"));

    assert_eq!(heard(&net)[..2], ["100 INVITE", "420 INVITE"]);
    assert!(!ours.headers.has_token(&Name::Supported, "100rel"));
}

#[test]
fn preconditions_are_refused_where_they_are_required() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &invite("1", "Require: 100rel, precondition\r\n", "offer"));
    let refusal = net.last_to(peer()).clone();
    say(&mut net, &invite("2", "Supported: precondition\r\n", "").replace("scripted", "another"));

    assert_eq!(heard(&net), ["100 INVITE", "420 INVITE", "100 INVITE"]);
    assert_eq!(refusal.headers.first(&Name::Unsupported).unwrap(), "precondition");
    assert_eq!(short(&net.events[0]), ["invited -"]);
}

#[test]
fn an_update_changes_an_early_session_in_both_directions() {
    let (mut net, ours, theirs) = ringing(Some("offer"));
    net.run(SHORTLY);

    net.act(1, |endpoint, now| endpoint.update(now, theirs, sdp("hold"))).unwrap();
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.answer_offer(now, ours, Ok(sdp("held"))));
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.update(now, ours, sdp("back"))).unwrap();
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, Ok(sdp("fine"))));
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("ignored")));
    net.run(SHORTLY);

    let expected = ["progress 183 early", "reoffered hold", "reoffer answered fine", "answered -"];
    assert_eq!(short(&net.events[0]), expected);
    let expected = ["reoffer answered held", "reoffered back", "acknowledged -"];
    assert_eq!(short(&net.events[1]), expected);
    let changes: Vec<String> = lines(&net).into_iter().skip(2).collect();
    assert_eq!(changes, ["UPDATE", "200 UPDATE", "UPDATE", "200 UPDATE", "200 INVITE", "ACK"]);
}

#[test]
fn early_updates_that_cross_are_491() {
    let (mut net, ours, theirs) = ringing(Some("offer"));
    net.run(SHORTLY);

    net.act(1, |endpoint, now| endpoint.update(now, theirs, sdp("one"))).unwrap();
    net.act(0, |endpoint, now| endpoint.update(now, ours, sdp("two"))).unwrap();
    let again = net.act(0, |endpoint, now| endpoint.update(now, ours, sdp("three")));
    net.run(SHORTLY);

    assert_eq!(again, Err(Busy));
    assert_eq!(short(&net.events[0]).last().unwrap(), "reoffer failed 491");
    assert_eq!(short(&net.events[1]).last().unwrap(), "reoffer failed 491");
}

#[test]
fn an_update_before_the_first_answer_is_told_to_wait() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", "offer"));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.ring(now, session, StatusCode::RINGING, None));
    let tag = tag(&net);

    say(&mut net, &request("UPDATE", ("2", &tag, 2), SDP, "too early"));

    let answer = net.last_to(peer());
    assert_eq!(answer.status(), Some(StatusCode::SERVER_INTERNAL_ERROR));
    assert!(answer.headers.contains(&Name::RetryAfter));
}

#[test]
fn a_second_update_before_the_answer_to_the_first_is_500() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, tag, rseq) = scripted_ringing(&mut net, "offer");
    say(&mut net, &prack(2, &tag, &format!("{rseq} 1 INVITE"), ""));

    say(&mut net, &request("UPDATE", ("3", &tag, 3), SDP, "one"));
    say(&mut net, &request("UPDATE", ("4", &tag, 4), SDP, "two"));
    say(&mut net, &request("CANCEL", ("1", "", 1), "", ""));

    let log = ["200 PRACK", "500 UPDATE", "200 CANCEL", "487 UPDATE", "487 INVITE"];
    assert_eq!(heard(&net), log);
    assert_eq!(short(&net.events[0]), ["reoffered one", "cancelled"]);
}

#[test]
fn an_update_of_ours_that_the_200_overtakes_is_still_answered() {
    let (mut net, ours, theirs) = ringing(Some("offer"));
    net.run(SHORTLY);

    net.act(0, |endpoint, now| endpoint.update(now, ours, sdp("hold"))).unwrap();
    net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("ignored")));
    net.run(Duration::from_millis(4100)); // the ACK was missing: 491, and once more
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, Ok(sdp("held"))));
    net.run(SHORTLY);

    let expected = ["progress 183 early", "answered early", "reoffer answered held"];
    assert_eq!(short(&net.events[0]), expected);
}

#[test]
fn one_fork_changes_the_session_and_the_others_wait() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = called(&mut net, Some("offer"));
    say(&mut net, &reliable(&invite, "a", "1", "answer of a"));
    say(&mut net, &reliable(&invite, "b", "1", "answer of b"));
    net.forget();

    for fork in ["a", "b"] {
        say(&mut net, &from_callee(&invite, "UPDATE", (fork, 1), "hold"));
        let session = SessionId(1);
        net.act(0, |endpoint, now| endpoint.answer_offer(now, session, Ok(sdp("held"))));
    }
    say(&mut net, &response(&invite, (200, "b"), &[], ""));

    assert_eq!(heard(&net), ["200 UPDATE", "500 UPDATE", "ACK"]);
    assert_eq!(short(&net.events[0]), ["reoffered hold", "answered answer of b"]);
}

/// Endpoint 0 calls 1, which has just sent a 183 with `early`. What came before is forgotten, the 183 too.
fn ringing(offer: Option<&str>) -> (Network, SessionId, SessionId) {
    let mut net = Network::new(2, 1, Weather::FINE);
    let ours = net.invite(0, 1, offer);
    net.run(SHORTLY);
    let theirs = invited(&net.events[1]);
    net.act(1, |endpoint, now| {
        endpoint.ring(now, theirs, StatusCode::SESSION_PROGRESS, Some(sdp("early")));
    });
    net.forget();
    (net, ours, theirs)
}

/// The scripted peer calls with `offer` and is sent a 183; returns our tag and the RSeq.
fn scripted_ringing(net: &mut Network, offer: &str) -> (SessionId, String, u32) {
    say(net, &invite("1", "Supported: 100rel\r\n", offer));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| {
        endpoint.ring(now, session, StatusCode::SESSION_PROGRESS, Some(sdp("early")));
    });
    let (tag, rseq) = (tag(net), response_number(net.last_to(peer())));
    net.forget();
    (session, tag, rseq)
}

fn response_number(response: &Message) -> u32 {
    assert!(response.headers.has_token(&Name::Require, "100rel"));
    response.headers.rseq().expect("a number")
}

fn prack(number: u32, tag: &str, rack: &str, body: &str) -> String {
    let more = format!("RAck: {rack}\r\n{}", if body.is_empty() { "" } else { SDP });
    request("PRACK", (&format!("p{number}"), tag, number), &more, body)
}

/// A reliable 183 to `invite`.
fn reliable(invite: &Message, tag: &str, rseq: &str, body: &str) -> String {
    response(invite, (183, tag), &[("Require", "100rel"), ("RSeq", rseq)], body)
}

/// A request of the phone that endpoint 0 called, within the early dialog of this tag.
fn from_callee(invite: &Message, method: &str, (tag, sequence): (&str, u32), body: &str) -> String {
    let header = |name: &Name| {
        String::from_utf8_lossy(invite.headers.first(name).expect("it is there")).into_owned()
    };
    let length = body.len();
    format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.100;rport;branch=z9hG4bK{tag}{sequence}\r\n\
         From: {to};tag={tag}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {method}\r\n\
         Contact: <sip:{tag}@192.0.2.100>\r\nMax-Forwards: 70\r\n{SDP}\
         Content-Length: {length}\r\n\r\n{body}",
        to = header(&Name::To),
        from = header(&Name::From),
        call_id = header(&Name::CallId),
    )
}

fn lines(net: &Network) -> Vec<String> {
    net.log().into_iter().map(|(_, line)| line).collect()
}
