//! Session timers: RFC 4028.

use std::time::Duration;

use super::network::{Network, Weather, invited, sdp, short};
use super::script::{called, heard, invite, peer, request, response, say, tag};
use crate::sip::endpoint::SessionId;
use crate::sip::headers::Name;
use crate::sip::{Message, Method};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_call_between_two_of_us_is_refreshed_by_its_caller_and_lasts() {
    let (mut net, ours, _) = Network::connected(1);

    net.run(10 * HOUR);

    assert!(net.events[1].is_empty(), "{:?}", short(&net.events[1]));
    let (sent, rest) = net.sent.as_chunks::<2>();
    assert!(rest.is_empty());
    assert_eq!(sent.len(), 39, "each quarter of an hour, from the last answer on");
    for [(_, _, update), (_, _, answer)] in sent {
        assert_eq!(update.method(), Some(&Method::Update));
        assert!(update.body.is_empty());
        assert_eq!(value(update, &Name::SessionExpires), "1800;refresher=uac");
        assert_eq!(value(answer, &Name::SessionExpires), "1800;refresher=uac");
        assert_eq!(value(answer, &Name::Require), "timer");
    }
    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, None));
    net.run(Duration::from_secs(64));
    net.assert_empty();
}

#[test]
fn a_refresh_survives_a_bad_network() {
    for seed in 0..20 {
        let (mut net, ..) = Network::connected(seed);
        net.weather.loss = 300;

        net.run(20 * HOUR);

        assert_eq!(net.endpoints[0].counts().sessions, 1, "seed {seed}");
        assert_eq!(net.endpoints[1].counts().sessions, 1, "seed {seed}");
    }
}

#[test]
fn a_call_whose_peer_has_gone_ends_before_it_expires() {
    for (refresher, at) in [("uac", 1800 - 32), ("uas", 900)] {
        let mut net = Network::new(1, 1, Weather::FINE);
        let more = format!("Supported: timer\r\nSession-Expires: 1800;refresher={refresher}\r\n");
        answered(&mut net, &format!("{more}Allow: UPDATE\r\n"));
        let answered_at = net.now - net.start;

        net.run(HOUR);

        let (ended, _) = net.log().into_iter().find(|(_, line)| line == "BYE").expect("an end");
        // The refresh of ours times out; what the peer should have refreshed is waited for.
        let expected = if refresher == "uac" { at } else { at + 32 };
        assert_eq!(ended, (answered_at + Duration::from_secs(expected)).as_millis());
        let cause = if refresher == "uac" { "ended Expired" } else { "ended RequestTimeout" };
        assert_eq!(short(&net.events[0]).last().unwrap(), cause);
        net.run(HOUR);
        net.assert_empty();
    }
}

#[test]
fn each_2xx_says_who_refreshes_and_how_often() {
    let cases = [
        ("", "1800;refresher=uas", false),
        ("Session-Expires: 600\r\n", "600;refresher=uas", false),
        ("Session-Expires: 10;refresher=uac\r\n", "90;refresher=uas", false),
        ("Supported: timer\r\n", "1800;refresher=uac", true),
        ("k: timer\r\nx: 600;refresher=uas\r\n", "600;refresher=uas", true),
        ("Require: timer\r\nSession-Expires: 7200\r\nMin-SE: 90\r\n", "1800;refresher=uac", true),
        (
            "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n",
            "3600;refresher=uac",
            true,
        ),
        ("Supported: timer\r\nSession-Expires: soon\r\n", "1800;refresher=uac", true),
    ];

    for (more, expected, requires) in cases {
        let mut net = Network::new(1, 1, Weather::FINE);

        answered(&mut net, more);

        let answer = net.last_to(peer());
        assert_eq!(value(answer, &Name::SessionExpires), expected, "{more}");
        assert_eq!(answer.headers.has_token(&Name::Require, "timer"), requires, "{more}");
    }
}

#[test]
fn an_interval_below_ours_is_422_where_timers_are_known() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = super::script::connected(&mut net);
    let more = "Supported: timer\r\nSession-Expires: 89\r\n";

    say(&mut net, &invite("9", more, "").replace("scripted", "another"));
    let first = net.last_to(peer()).clone();
    say(&mut net, &request("UPDATE", ("3", &tag, 2), more, ""));

    assert_eq!(heard(&net)[1..], ["422 INVITE", "422 UPDATE"]);
    assert_eq!(value(&first, &Name::MinSe), "90");
    assert_eq!(value(net.last_to(peer()), &Name::MinSe), "90");
    assert!(net.endpoints[0].dialog_of(session).is_some());
}

#[test]
fn a_422_is_followed_as_long_as_it_asks_for_more() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let first = called(&mut net, Some("offer"));

    say(&mut net, &response(&first, (422, "a"), &[("Min-SE", "3600")], ""));
    let second = net.last_to(peer()).clone();
    say(&mut net, &response(&second, (422, "b"), &[("Min-SE", "3600")], ""));

    assert_eq!(value(&first, &Name::SessionExpires), "1800");
    assert_eq!(value(&second, &Name::SessionExpires), "3600");
    assert_eq!(value(&second, &Name::MinSe), "3600");
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(heard(&net), ["INVITE", "ACK", "INVITE", "ACK"]);
    assert_eq!(short(&net.events[0]), ["failed 422"]);
}

#[test]
fn a_peer_without_update_is_refreshed_by_the_same_description() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let session = accepted(&mut net, &[("Session-Expires", "200;refresher=uac")]);

    net.run(Duration::from_millis(100_200));
    let refresh = net.last_to(peer()).clone();
    let busy = net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("hold"))));
    let more = [("Session-Expires", "200;refresher=uac")];
    say(&mut net, &response(&refresh, (200, "a"), &more, "answer"));

    assert_eq!(refresh.method(), Some(&Method::Invite));
    assert_eq!(refresh.body, "offer");
    assert_eq!(value(&refresh, &Name::SessionExpires), "200;refresher=uac");
    assert_eq!(heard(&net), ["INVITE", "ACK"]);
    assert!(busy.is_err());
    assert_eq!(short(&net.events[0]), ["refreshed answer"]);
}

#[test]
fn a_refused_update_becomes_a_reinvite() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let more = [("Session-Expires", "200;refresher=uac"), ("Allow", "INVITE, UPDATE")];
    accepted(&mut net, &more);

    net.run(Duration::from_millis(100_200));
    let update = net.last_to(peer()).clone();
    say(&mut net, &response(&update, (405, "a"), &[], ""));

    assert_eq!(heard(&net), ["UPDATE", "INVITE"]);
    assert_eq!(net.last_to(peer()).body, "offer");
}

#[test]
fn a_refresh_that_fails_is_tried_again_until_the_session_expires() {
    let mut net = Network::new(1, 1, Weather::FINE);
    accepted(&mut net, &[("Session-Expires", "1000;refresher=uac"), ("Allow", "UPDATE")]);

    let mut at = Vec::new();
    while net.step(net.start + HOUR) {
        let Some((_, _, update)) = net.sent.pop() else { continue };
        if update.method() == Some(&Method::Update) {
            at.push((net.now - net.start).as_secs());
            say(&mut net, &response(&update, (500, "a"), &[], ""));
        }
    }

    at.dedup();
    assert_eq!(at, [500, 734, 851, 909, 938, 953, 960]);
    assert_eq!(short(&net.events[0]).last().unwrap(), "ended Expired");
}

#[test]
fn a_422_to_a_refresh_makes_the_interval_longer() {
    let mut net = Network::new(1, 1, Weather::FINE);
    accepted(&mut net, &[("Session-Expires", "200;refresher=uac"), ("Allow", "UPDATE")]);

    net.run(Duration::from_millis(100_200));
    let update = net.last_to(peer()).clone();
    say(&mut net, &response(&update, (422, "a"), &[("Min-SE", "300")], ""));

    let again = net.last_to(peer());
    assert_eq!(value(again, &Name::SessionExpires), "300;refresher=uac");
    assert_eq!(value(again, &Name::MinSe), "300");
    assert_eq!(heard(&net), ["UPDATE", "UPDATE"]);
}

#[test]
fn a_2xx_without_session_expires_means_no_timer() {
    let mut net = Network::new(1, 1, Weather::FINE);
    accepted(&mut net, &[]);

    net.run(10 * HOUR);

    assert_eq!(heard(&net), [""; 0]);
    assert_eq!(net.endpoints[0].counts().sessions, 1);
}

#[test]
fn roles_are_kept_over_requests_of_either_side() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let session = answered(&mut net, "Supported: timer\r\nSession-Expires: 300;refresher=uas\r\n");
    let tag = tag(&net);
    net.forget();

    let more = "Supported: timer\r\nSession-Expires: 300\r\n";
    say(&mut net, &request("UPDATE", ("3", &tag, 2), more, ""));
    let theirs = value(net.last_to(peer()), &Name::SessionExpires);
    net.act(0, |endpoint, now| endpoint.update(now, session, sdp("hold"))).unwrap();
    let ours = value(net.last_to(peer()), &Name::SessionExpires);

    assert_eq!(theirs, "300;refresher=uas");
    assert_eq!(ours, "300;refresher=uac");
}

/// The scripted peer calls endpoint 0, which answers; the 200 is the last message.
fn answered(net: &mut Network, more: &str) -> SessionId {
    say(net, &invite("1", more, "offer"));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("answer")));
    let ack = request("ACK", ("2", &tag(net), 1), "", "");
    say(net, &ack);
    session
}

/// Endpoint 0 calls the scripted peer, which answers; what was sent and told is forgotten.
fn accepted(net: &mut Network, more: &[(&str, &str)]) -> SessionId {
    let invite = called(net, Some("offer"));
    say(net, &response(&invite, (200, "a"), more, "answer"));
    net.forget();
    SessionId(1)
}

fn value(message: &Message, name: &Name) -> String {
    message.headers.first(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
}
