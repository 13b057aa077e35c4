//! What the bridge refuses, with which status, and with the header that says more.

use crate::support::{Bridge, Options, Peer, Value, idle_sdp, json};

fn bridge(config: &str) -> Bridge {
    Bridge::start(Options { config: config.to_owned(), ..Options::default() })
}

/// The status of the final answer to this request, and the value of one of its headers.
///
/// The answer to an INVITE is acknowledged (RFC 3261 §17.1.1.3).
fn refusal(peer: &mut Peer, request: &str, header: &str) -> (u16, String) {
    peer.send(request);
    let method = request.split(' ').next().unwrap();
    let call_id = request.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap();
    let answer = peer.wait(|message| {
        message.status().is_some_and(|status| status >= 200) && message.header("Call-ID") == call_id
    });
    assert!(answer.header("To").contains(";tag="), "{answer:?}");
    if method == "INVITE" {
        let line = |start: &str| request.lines().find(|line| line.starts_with(start)).unwrap();
        let number = answer.sequence().0;
        peer.send(&format!(
            "ACK {} SIP/2.0\r\n{}\r\n{}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} ACK\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            request.split(' ').nth(1).unwrap(),
            line("Via:"),
            line("From:"),
            answer.header("To"),
            answer.header("Call-ID"),
        ));
    }
    (answer.status().unwrap(), answer.header(header).to_owned())
}

#[test]
fn a_request_that_cannot_be_served_is_refused_with_what_would_be_better() {
    let bridge = bridge("");
    let uri = bridge.uri("standup");
    for mut peer in [Peer::udp(bridge.sip), Peer::tcp(bridge.sip)] {
        let request = |method: &str, extra: &str, body: &str| {
            peer.request(method, &peer.dialog(&uri), extra, body)
        };
        let invite = |extra: &str| request("INVITE", extra, &idle_sdp());
        let cases = [
            (invite("").replace("Contact:", "X-Contact:"), 400, ("Server", "Plenary")),
            (invite("").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), 400, ("CSeq", "1 BYE")),
            (request("PUBLISH", "", ""), 489, ("Allow-Events", "presence")),
            (request("SUBSCRIBE", "", ""), 489, ("Allow-Events", "conference")),
            (request("REGISTER", "", ""), 403, ("Server", "Plenary")),
            (request("FROBNICATE", "", ""), 405, ("Allow", "INVITE, ACK")),
            (
                request("INVITE", "Content-Type: text/plain\r\n", "hello"),
                415,
                ("Accept", "application/sdp"),
            ),
            (invite("Content-Encoding: gzip\r\n"), 415, ("Accept-Encoding", "identity")),
            (invite("").replacen("sip:", "tel:", 1), 416, ("Server", "Plenary")),
            (
                invite("Require: 100rel, precondition\r\nRequire: x\r\n"),
                420,
                ("Unsupported", "precondition, x"),
            ),
            (request("INFO", "", ""), 481, ("Server", "Plenary")),
            (
                request("BYE", "", "").replacen(">\r\nCall", ">;tag=gone\r\nCall", 1),
                481,
                ("Server", "Plenary"),
            ),
            (request("CANCEL", "", ""), 481, ("Server", "Plenary")),
            (invite("").replace("Forwards: 70", "Forwards: 0"), 483, ("Server", "Plenary")),
            (invite("").replace("RTP/AVP 0", "RTP/AVP 18"), 488, ("Warning", "399 ")),
            (invite("").replacen("SIP/2.0", "SIP/3.0", 1), 505, ("Server", "Plenary")),
        ];

        for (request, status, (header, value)) in cases {
            let answer = refusal(&mut peer, &request, header);

            assert_eq!(answer.0, status, "{request}");
            assert!(answer.1.starts_with(value), "{header}: {} to\n{request}", answer.1);
        }
    }
    assert_eq!(bridge.get("/v1/legs")["items"], json!([]));
}

#[test]
fn timers_and_reliable_responses_are_demanded_as_configured() {
    let cases = [
        ("prack = \"required\"", "", 421, ("Require", "100rel")),
        ("prack = \"off\"", "Require: 100rel\r\n", 420, ("Unsupported", "100rel")),
        ("min_se = \"5m\"", "Supported: timer\r\nSession-Expires: 299\r\n", 422, ("Min-SE", "300")),
    ];

    for (setting, extra, status, (header, value)) in cases {
        let bridge = bridge(&format!("[sip]\n{setting}\n"));
        let mut peer = Peer::udp(bridge.sip);
        let invite = peer.request("INVITE", &peer.dialog(&bridge.uri("a")), extra, &idle_sdp());

        let answer = refusal(&mut peer, &invite, header);

        assert_eq!(answer, (status, value.to_owned()), "{setting}");
    }
}

#[test]
fn a_name_that_makes_no_room_is_not_found() {
    let bridge = bridge("[rooms]\nauto_create = \"conf-*\"\n");
    let mut peer = Peer::udp(bridge.sip);

    for (name, status) in [("standup", 404), ("conf-1", 200)] {
        let dialog = peer.dialog(&bridge.uri(name));
        peer.send(&peer.request("INVITE", &dialog, "", &idle_sdp()));
        assert_eq!(peer.wait_final("INVITE").status(), Some(status), "{name}");
    }
}

#[test]
fn a_room_may_be_locked_or_full() {
    let bridge = bridge("");
    let mut peer = Peer::udp(bridge.sip);
    bridge.post("/v1/rooms", &json!({"name": "small", "max_participants": 1}));
    bridge.post("/v1/rooms", &json!({"name": "closed", "locked": true}));
    peer.call(&bridge.uri("small"), "", &idle_sdp());

    for (name, status) in [("small", 486), ("closed", 403)] {
        let invite = peer.request("INVITE", &peer.dialog(&bridge.uri(name)), "", &idle_sdp());
        assert_eq!(refusal(&mut peer, &invite, "Server").0, status, "{name}");
    }
}

#[test]
fn beyond_its_legs_the_bridge_says_when_to_come_again() {
    let bridge = bridge("[limits]\nlegs = 1\n");
    let mut peer = Peer::udp(bridge.sip);
    let (mut first, _) = peer.call(&bridge.uri("standup"), "", &idle_sdp());
    let next = peer.request("INVITE", &peer.dialog(&bridge.uri("standup")), "", &idle_sdp());

    assert_eq!(refusal(&mut peer, &next, "Retry-After"), (503, "10".to_owned()));

    peer.hang_up(&mut first);
    bridge.wait("leg.ended", |_| true);
    peer.call(&bridge.uri("standup"), "", &idle_sdp());
}

#[test]
fn beyond_what_its_media_threads_can_take_the_bridge_says_when_to_come_again() {
    // By what a leg is taken to cost, one is all that this share of one worker's time is enough for.
    let bridge = bridge("[limits]\nmedia_load = 0.0004\n[media]\nworkers = 1\n");
    let mut peer = Peer::udp(bridge.sip);
    let has_room = |nodes: &Value| nodes["items"][0]["room_for_legs"] == 1;
    bridge.get_until("/v1/nodes", has_room);
    let (mut first, _) = peer.call(&bridge.uri("standup"), "", &idle_sdp());
    let next = peer.request("INVITE", &peer.dialog(&bridge.uri("standup")), "", &idle_sdp());

    let (status, seconds) = refusal(&mut peer, &next, "Retry-After");
    assert_eq!(status, 503);
    assert!((4..8).contains(&seconds.parse().unwrap()), "{seconds}");
    let rejected = bridge.wait("room.join_rejected", |_| true);
    assert_eq!(rejected["data"]["reason"], "no_capacity", "{rejected}");
    let body = json!({"to": bridge.uri("elsewhere")});
    let answer = bridge.try_request("POST", "/v1/rooms/standup/participants", Some(&body));
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("no_capacity")));
    assert!(answer.header("retry-after").is_some(), "{}", answer.text);
    assert_eq!(bridge.try_request("GET", "/readyz", None).status, 503);
    assert_eq!(bridge.log().matches("no media capacity").count(), 1, "one warning for both");

    peer.hang_up(&mut first);
    bridge.wait("leg.ended", |_| true);
    bridge.get_until("/v1/nodes", has_room);
    peer.call(&bridge.uri("standup"), "", &idle_sdp());
}

#[test]
fn a_message_beyond_the_limit_is_too_large() {
    let bridge = bridge("[limits]\nmessage_size = 4096\n");
    for mut peer in [Peer::udp(bridge.sip), Peer::tcp(bridge.sip)] {
        let padding = format!("X-Padding: {}\r\n", "x".repeat(1000)).repeat(5);
        let request = peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), &padding, "");

        peer.send(&request);

        let answer = peer.wait_final("OPTIONS");
        assert_eq!(answer.status(), Some(513), "{answer:?}");
    }
}

#[test]
fn a_request_that_comes_by_two_ways_is_a_loop() {
    let bridge = bridge("");
    let mut peer = Peer::udp(bridge.sip);
    let dialog = peer.dialog(&bridge.uri("standup"));
    let first = peer.request("INVITE", &dialog, "", &idle_sdp());
    let second = peer.request("INVITE", &dialog, "", &idle_sdp());
    peer.send(&first);
    let answer = peer.wait_status(200);

    assert_eq!(refusal(&mut peer, &second, "Server").0, 482);

    // The same branch is no loop but a repetition.
    peer.send(&first);
    let again = peer.wait_final("INVITE");
    assert_eq!((again.status(), again.header("To")), (Some(200), answer.header("To")));
    assert_eq!(bridge.get("/v1/legs")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn an_offer_that_crosses_ours_is_told_to_wait() {
    let bridge = bridge("");
    let mut peer = Peer::udp(bridge.sip);
    let (mut dialog, _) = peer.call(&bridge.uri("standup"), "", &idle_sdp());
    let joined = bridge.wait_participant("participant.joined", "raw");
    let leg = joined["leg"].as_str().unwrap();
    bridge.put(&format!("/v1/legs/{leg}/hold"));
    let ours = peer.wait_request("INVITE");
    dialog.sequence += 1;
    let crossing = peer.request("INVITE", &dialog, "", &idle_sdp());

    assert_eq!(refusal(&mut peer, &crossing, "Server").0, 491);

    peer.answer(&ours, 200, "", ("", &format!("{}a=recvonly\r\n", idle_sdp())));
    peer.wait_request("ACK");
    bridge.wait_leg("participant.held", leg);
    dialog.sequence += 1;
    let info = peer.request("INFO", &dialog, "", "");
    assert_eq!(refusal(&mut peer, &info, "Server").0, 200);
    dialog.sequence -= 1;
    let late = peer.request("INFO", &dialog, "", "");
    assert_eq!(refusal(&mut peer, &late, "Retry-After").0, 500);
}

#[test]
fn news_of_what_was_never_asked_is_refused_and_the_call_goes_on() {
    let bridge = bridge("");
    let mut peer = Peer::udp(bridge.sip);
    let (mut dialog, _) = peer.call(&bridge.uri("standup"), "", &idle_sdp());

    for (event, status) in [("weather", 489), ("refer", 481)] {
        dialog.sequence += 1;
        let notify = peer.request("NOTIFY", &dialog, &format!("Event: {event}\r\n"), "");
        assert_eq!(refusal(&mut peer, &notify, "Server").0, status, "{event}");
    }

    peer.hang_up(&mut dialog);
    bridge.wait("leg.ended", |event| event["data"]["end_reason"] == "hung_up");
}
