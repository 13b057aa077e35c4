//! What is refused without asking anybody: RFC 3261 §8.2, §12.2.2, §16.3.

use std::time::Duration;

use super::network::{Network, Weather, invited, sdp, short};
use super::script::{heard, invite, peer, request, say, tag};
use crate::sip::StatusCode;
use crate::sip::endpoint::{Identity, Rejection, Settings};
use crate::sip::headers::Name;

#[test]
fn requests_are_refused_as_rfc_3261_says() {
    let cases = [
        ("unknown method", request("DANCE", ("1", "", 1), "", ""), "405 DANCE", "Allow"),
        (
            "event",
            request("PUBLISH", ("1", "", 1), "Event: x\r\n", ""),
            "489 PUBLISH",
            "Allow-Events",
        ),
        ("scheme", invite("1", "", "").replace("INVITE sip:", "INVITE tel:"), "416 INVITE", "To"),
        ("extension", invite("1", "Require: 100rel, x\r\n", ""), "420 INVITE", "Unsupported"),
        ("type", invite("1", "Content-Type: text/plain\r\n", "hi"), "415 INVITE", "Accept"),
        (
            "encoding",
            invite("1", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "x"),
            "415 INVITE",
            "Accept-Encoding",
        ),
        ("hops", invite("1", "Max-Forwards: 0\r\n", ""), "483 INVITE", "To"),
        ("no contact", invite("1", "", "").replace("Contact:", "X-Contact:"), "400 INVITE", "To"),
        ("dialog", request("BYE", ("1", "none", 1), "", ""), "481 BYE", "To"),
        ("no dialog", request("INFO", ("1", "", 1), "", ""), "481 INFO", "To"),
        ("cancel", request("CANCEL", ("1", "", 1), "", ""), "481 CANCEL", "To"),
        ("notify", request("NOTIFY", ("1", "none", 1), "Event: refer\r\n", ""), "481 NOTIFY", "To"),
        ("no target", request("REFER", ("1", "", 1), "", ""), "400 REFER", "To"),
        ("two lengths", invite("1", "Content-Length: 9\r\n", ""), "400 INVITE", "To"),
        ("version", invite("1", "", "").replacen("SIP/2.0", "SIP/7.0", 1), "505 INVITE", "To"),
    ];
    for (name, text, answer, header) in cases {
        let mut net = Network::new(1, 1, Weather::FINE);

        say(&mut net, &text);

        assert_eq!(heard(&net).last().map(String::as_str), Some(answer), "{name}");
        let response = net.last_to(peer());
        assert!(response.headers.contains(&Name::new(header)), "{name}: {header} is missing");
        assert!(response.headers.to().unwrap().tag().is_some(), "{name}: no To tag");
        assert_eq!(short(&net.events[0]), [""; 0], "{name}");
        net.run(Duration::from_secs(64));
        net.assert_empty();
    }
}

#[test]
fn unsupported_extensions_are_named() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &invite("1", "Require: 100rel, precondition, x\r\n", ""));

    let unsupported = net.last_to(peer()).headers.first(&Name::Unsupported).cloned();
    assert_eq!(unsupported.unwrap(), "precondition, x");
}

#[test]
fn options_may_arrive_with_no_hops_left() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &request("OPTIONS", ("1", "", 1), "Max-Forwards: 0\r\n", ""));
    let options = match net.events[0].last() {
        Some(crate::sip::endpoint::Event::Options(options)) => options.options,
        event => panic!("expected OPTIONS, found {event:?}"),
    };
    net.act(0, |endpoint, now| {
        endpoint.answer_options(now, options, Ok(Some(Identity::focus("hall"))));
    });

    let answer = net.last_to(peer());
    assert_eq!(answer.status(), Some(StatusCode::OK));
    let contact = answer.headers.contact().unwrap();
    assert!(contact.params.contains("isfocus"), "{contact}");
    for name in [Name::Allow, Name::Accept, Name::Supported] {
        assert!(answer.headers.contains(&name), "{name} is missing");
    }
}

#[test]
fn a_request_that_comes_by_two_ways_is_a_loop() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &invite("1", "", ""));
    say(&mut net, &invite("2", "", ""));

    assert_eq!(heard(&net), ["100 INVITE", "482 INVITE"]);
    assert_eq!(net.events[0].len(), 1);
}

#[test]
fn a_retransmitted_invite_is_absorbed() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &invite("1", "", ""));
    say(&mut net, &invite("1", "", ""));

    assert_eq!(heard(&net), ["100 INVITE", "100 INVITE"]);
    assert_eq!(net.events[0].len(), 1);
    assert_eq!(net.endpoints[0].counters().retransmissions_in, 1);
}

#[test]
fn transactions_of_rfc_2543_peers_are_matched_without_a_branch() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let plain = |text: String| text.replace(";branch=z9hG4bK1", "");

    say(&mut net, &plain(invite("1", "", "")));
    say(&mut net, &plain(invite("1", "", "")));
    say(&mut net, &plain(request("CANCEL", ("1", "", 1), "", "")));
    let ack = plain(request("ACK", ("1", &tag(&net), 1), "", ""));
    say(&mut net, &ack);
    net.run(Duration::from_secs(5));

    assert_eq!(heard(&net), ["100 INVITE", "100 INVITE", "200 CANCEL", "487 INVITE"]);
    assert_eq!(short(&net.events[0]), ["invited -", "cancelled"]);
}

#[test]
fn late_requests_within_a_dialog_get_500() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("offer")));
    let tag = tag(&net);
    say(&mut net, &request("ACK", ("2", &tag, 1), "", ""));

    say(&mut net, &request("INFO", ("3", &tag, 9), "", ""));
    say(&mut net, &request("INFO", ("4", &tag, 8), "", ""));

    assert_eq!(heard(&net)[2..], ["200 INFO", "500 INFO"]);
}

#[test]
fn an_unknown_method_does_not_end_the_dialog() {
    let mut net = Network::new(1, 1, Weather::FINE);
    say(&mut net, &invite("1", "", ""));
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("offer")));
    let tag = tag(&net);
    say(&mut net, &request("ACK", ("2", &tag, 1), "", ""));

    say(&mut net, &request("DANCE", ("3", &tag, 2), "", ""));
    say(&mut net, &request("NOTIFY", ("4", &tag, 3), "Event: refer\r\n", ""));
    say(&mut net, &request("NOTIFY", ("5", &tag, 4), "Event: weather\r\n", ""));
    say(&mut net, &request("OPTIONS", ("6", &tag, 5), "", ""));

    assert_eq!(heard(&net)[2..], ["405 DANCE", "481 NOTIFY", "489 NOTIFY", "200 OPTIONS"]);
    assert_eq!(net.endpoints[0].counts().sessions, 1);
}

#[test]
fn full_tables_are_503_with_retry_after() {
    let settings = Settings { sessions: 0, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);
    say(&mut net, &invite("1", "", ""));
    assert_eq!(heard(&net), ["100 INVITE", "503 INVITE"]);
    assert!(net.last_to(peer()).headers.contains(&Name::RetryAfter));

    let settings = Settings { transactions: 0, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);
    say(&mut net, &invite("1", "", ""));
    say(&mut net, &invite("1", "", ""));
    assert_eq!(heard(&net), ["503 INVITE", "503 INVITE"]);
    let tags = net
        .sent
        .iter()
        .map(|(_, _, message)| message.headers.to().unwrap().tag().unwrap().to_owned());
    assert_eq!(tags.collect::<std::collections::BTreeSet<_>>().len(), 1, "one tag for both");
    net.assert_empty();
}

#[test]
fn what_is_answered_is_no_work_any_more_and_is_answered_alike_when_asked_again() {
    let settings = Settings { transactions: 4, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);
    let bye = |number: u32| request("BYE", (&number.to_string(), "none", number), "", "");

    for number in 1..=30 {
        say(&mut net, &bye(number));
    }
    let kept = net.endpoints[0].counts().server_transactions;
    let last = net.last_to(peer()).clone();
    say(&mut net, &bye(30));

    assert_eq!(heard(&net), vec!["481 BYE"; 31]);
    assert_eq!(*net.last_to(peer()), last);
    assert_eq!(net.endpoints[0].counters().retransmissions_in, 1);
    assert_eq!(kept, 20, "no more than five times as many as may be open");
    net.run(Duration::from_secs(33));
    net.assert_empty();
}

#[test]
fn a_call_is_refused_as_its_user_says() {
    let mut net = Network::new(2, 1, Weather::FINE);
    net.invite(0, 1, Some("offer"));
    net.run(Duration::from_millis(100));
    let theirs = invited(&net.events[1]);
    let rejection = Rejection {
        status: StatusCode::BUSY_HERE,
        reason: Some("Not now".into()),
        headers: vec![("Retry-After".into(), "7".into())],
    };

    net.act(1, |endpoint, now| endpoint.reject(now, theirs, rejection));
    net.run(Duration::from_secs(64));

    match &net.events[0][..] {
        [crate::sip::endpoint::Event::Failed { status, reason, retry_after, .. }] => {
            assert_eq!(*status, StatusCode::BUSY_HERE);
            assert_eq!(reason, "Not now");
            assert_eq!(*retry_after, Some(Duration::from_secs(7)));
        }
        events => panic!("expected a failure, found {events:?}"),
    }
    net.assert_empty();
}

#[test]
fn nothing_at_all_is_answered_to_noise() {
    let mut net = Network::new(1, 1, Weather::FINE);

    for noise in
        ["", "\r\n\r\n", "hello", "\0\0\0\0", "SIP/2.0 200 OK\r\n\r\n", "ACK x SIP/2.0\r\n\r\n"]
    {
        say(&mut net, noise);
    }
    say(&mut net, &request("ACK", ("1", "none", 1), "", ""));

    assert_eq!(heard(&net), [""; 0]);
    net.assert_empty();
}
