//! Offers within a call: re-INVITE, UPDATE, glare.

use std::time::Duration;

use super::network::{Network, Weather, address, sdp, short};
use super::script::{called, heard, request, response, say};
use crate::sip::StatusCode;
use crate::sip::endpoint::Busy;

const SHORTLY: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(100);

#[test]
fn a_reinvite_is_answered_in_both_directions() {
    let (mut net, ours, theirs) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.reinvite(now, ours, Some(sdp("hold")))).unwrap();
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, Ok(sdp("held"))));
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.reinvite(now, theirs, Some(sdp("back")))).unwrap();
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.answer_offer(now, ours, Ok(sdp("fine"))));
    net.run(SHORTLY);

    let expected = ["reoffer answered held", "reoffered back", "acknowledged -"];
    assert_eq!(short(&net.events[0]), expected);
    let expected = ["reoffered hold", "acknowledged -", "reoffer answered fine"];
    assert_eq!(short(&net.events[1]), expected);
}

#[test]
fn a_reinvite_without_offer_gets_one_and_answers_in_the_ack() {
    let (mut net, ours, theirs) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.reinvite(now, ours, None)).unwrap();
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, Ok(sdp("offer"))));
    net.run(SHORTLY);
    net.act(0, |endpoint, now| endpoint.acknowledge(now, ours, sdp("answer")));
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["reoffer answered offer"]);
    assert_eq!(short(&net.events[1]), ["reoffered -", "acknowledged answer"]);
}

#[test]
fn an_update_needs_no_ack() {
    let (mut net, ours, theirs) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.update(now, ours, sdp("hold"))).unwrap();
    net.run(SHORTLY);
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, Ok(sdp("held"))));
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["reoffer answered held"]);
    assert_eq!(short(&net.events[1]), ["reoffered hold"]);
    let log: Vec<String> = net.log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(log, ["UPDATE", "200 UPDATE"]);
}

#[test]
fn a_refused_reinvite_leaves_the_call_standing() {
    let (mut net, ours, theirs) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.reinvite(now, ours, Some(sdp("video")))).unwrap();
    net.run(SHORTLY);
    let refusal = Err(StatusCode::NOT_ACCEPTABLE_HERE);
    net.act(1, |endpoint, now| endpoint.answer_offer(now, theirs, refusal));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), ["reoffer failed 488"]);
    let counts = net.endpoints[0].counts();
    assert_eq!((counts.sessions, counts.dialogs), (1, 1));
}

#[test]
fn only_one_offer_is_open_at_a_time() {
    let (mut net, ours, _) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.reinvite(now, ours, Some(sdp("one")))).unwrap();
    let second = net.act(0, |endpoint, now| endpoint.reinvite(now, ours, Some(sdp("two"))));

    assert_eq!(second, Err(Busy));
}

#[test]
fn crossed_offers_are_retried_by_the_callee_first() {
    for seed in 0..20 {
        let (mut net, ours, theirs) = Network::connected(seed);

        net.act(0, |endpoint, now| endpoint.reinvite(now, ours, Some(sdp("caller")))).unwrap();
        net.act(1, |endpoint, now| endpoint.reinvite(now, theirs, Some(sdp("callee")))).unwrap();
        net.run(Duration::from_millis(2090));

        // The callee's second offer arrives while the caller still waits: its own is stale then.
        assert_eq!(
            short(&net.events[0]),
            ["reoffer failed 491", "reoffered callee"],
            "seed {seed}"
        );
        net.act(0, |endpoint, now| endpoint.answer_offer(now, ours, Ok(sdp("fine"))));
        net.run(SHORTLY);
        assert_eq!(short(&net.events[1]), ["reoffer answered fine"], "seed {seed}");
    }
}

#[test]
fn the_caller_waits_from_2_1_to_4_seconds_after_491() {
    for seed in 0..20 {
        let mut net = Network::new(1, seed, Weather::FINE);
        let invite = called(&mut net, Some("offer"));
        say(&mut net, &response(&invite, (200, "a"), &[], "answer"));
        let session = crate::sip::endpoint::SessionId(1);
        net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();
        let reinvite = net.last_to(super::script::peer()).clone();
        net.forget();

        say(&mut net, &response(&reinvite, (491, "a"), &[], ""));
        net.run(LONG);

        let (at, _) = net.log().into_iter().find(|(_, line)| line == "INVITE").expect("again");
        assert!((2100..=4000).contains(&at), "seed {seed}: after {at} ms");
    }
}

#[test]
fn an_offer_that_overtakes_ours_is_491_and_one_too_many_is_500() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = super::script::connected(&mut net);
    let sdp_body = "Content-Type: application/sdp\r\n";

    say(&mut net, &request("INVITE", ("3", &tag, 2), sdp_body, "one"));
    say(&mut net, &request("INVITE", ("4", &tag, 3), sdp_body, "two"));
    net.act(0, |endpoint, now| endpoint.answer_offer(now, session, Ok(sdp("answer"))));
    say(&mut net, &request("ACK", ("5", &tag, 2), "", ""));
    net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("ours")))).unwrap();
    say(&mut net, &request("UPDATE", ("6", &tag, 4), sdp_body, "theirs"));

    let sent: Vec<String> = heard(&net).into_iter().filter(|line| line != "100 INVITE").collect();
    assert_eq!(sent, ["500 INVITE", "200 INVITE", "INVITE", "491 UPDATE"]);
    assert_eq!(short(&net.events[0]), ["reoffered one", "acknowledged -"]);
}

#[test]
fn an_update_without_offer_refreshes_the_target() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = super::script::connected(&mut net);

    let update = request("UPDATE", ("3", &tag, 2), "", "").replace("<sip:peer@", "<sip:moved@");
    say(&mut net, &update);
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));

    assert_eq!(heard(&net), ["200 UPDATE", "BYE"]);
    assert_eq!(net.sent[1].2.uri().unwrap().user(), Some("moved"));
}

#[test]
fn a_cancelled_reinvite_leaves_the_call_standing() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, tag) = super::script::connected(&mut net);

    say(&mut net, &request("INVITE", ("3", &tag, 2), "", ""));
    say(&mut net, &request("CANCEL", ("3", &tag, 2), "", ""));

    assert_eq!(heard(&net), ["100 INVITE", "200 CANCEL", "487 INVITE"]);
    assert_eq!(short(&net.events[0]), ["reoffered -", "reoffer cancelled"]);
    assert_eq!(net.endpoints[0].counts().sessions, 1);
}

#[test]
fn a_reinvite_to_a_peer_that_lost_the_dialog_ends_it() {
    for (status, cause, bye) in [(481, "DialogMissing", 0), (408, "RequestTimeout", 1)] {
        let mut net = Network::new(1, 1, Weather::FINE);
        let (session, _) = super::script::connected(&mut net);
        net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold")))).unwrap();
        let reinvite = net.last_to(super::script::peer()).clone();

        say(&mut net, &response(&reinvite, (status, "peer"), &[], ""));

        assert_eq!(short(&net.events[0]), [format!("ended {cause}")]);
        assert_eq!(heard(&net).iter().filter(|line| *line == "BYE").count(), bye);
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn info_reaches_the_user_once() {
    let (mut net, ours, _) = Network::connected(1);
    net.weather.twice = 1000;

    net.act(0, |endpoint, now| {
        endpoint.info(now, ours, "application/dtmf-relay", sdp("Signal=5"));
    });
    net.run(SHORTLY);

    assert_eq!(short(&net.events[1]), ["info Signal=5"]);
    assert_eq!(net.log_to(address(0))[0], "200 INFO");
}
