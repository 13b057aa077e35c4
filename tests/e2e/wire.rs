//! SIP as it stands on the wire, against a peer that writes it by hand.

use std::net::{TcpListener, UdpSocket};

use crate::support::{Bridge, Dialog, Message, Options, Peer, Value, idle_sdp, json};

fn bridge() -> Bridge {
    Bridge::start(Options::default())
}

fn dial(bridge: &Bridge, body: &Value) -> String {
    let participant = bridge.post("/v1/rooms/standup/participants", body);
    participant["leg"].as_str().unwrap().to_owned()
}

/// Seated by hand: the dialog, and the leg's id.
fn join(bridge: &Bridge, peer: &mut Peer, extra: &str) -> (Dialog, String) {
    let (dialog, answer) = peer.call(&bridge.uri("standup"), extra, &idle_sdp());
    assert_eq!(answer.headers("Record-Route").len(), usize::from(!extra.is_empty()), "{answer:?}");
    let joined = bridge.wait_participant("participant.joined", "raw");
    (dialog, joined["leg"].as_str().unwrap().to_owned())
}

// ---- dialling out ----

#[test]
fn of_two_phones_that_answer_the_first_wins_and_the_second_is_ended() {
    let bridge = bridge();
    let mut callee = Peer::listening("127.0.0.1");
    let leg = dial(&bridge, &json!({"to": format!("sip:fork@{}", callee.local)}));
    let invite = callee.wait_request("INVITE");
    callee.answer(&invite, 180, "a", ("", ""));
    callee.answer(&invite, 180, "b", ("", ""));

    callee.answer(&invite, 200, "a", ("", &idle_sdp()));
    callee.answer(&invite, 200, "b", ("", &idle_sdp()));

    let of = |tag: &str| {
        let (tag, user) = (format!(";tag={tag}"), format!("sip:{tag}@"));
        move |m: &Message| m.header("To").ends_with(&tag) && m.target().starts_with(&user)
    };
    let (to_a, to_b) = (of("a"), of("b"));
    callee.wait(|m| m.method() == Some("ACK") && to_a(m));
    callee.wait(|m| m.method() == Some("ACK") && to_b(m));
    let bye = callee.wait(|m| m.method() == Some("BYE"));
    assert!(to_b(&bye), "{bye:?}");
    callee.answer(&bye, 200, "b", ("", ""));
    bridge.wait_leg("participant.joined", &leg);
    let participants = bridge.get("/v1/rooms/standup/participants");
    assert_eq!(participants["items"].as_array().unwrap().len(), 1, "{participants}");
    assert_eq!(participants["items"][0]["state"], "joined", "{participants}");
    bridge.delete(&format!("/v1/legs/{leg}"));
    assert!(to_a(&callee.wait_request("BYE")));
}

/// A dial-out whose INVITE does not fit into 1300 octets.
fn dial_large(bridge: &Bridge, callee: &Peer) -> String {
    let to = format!("sip:{}@{}", "t".repeat(400), callee.local);
    let from = format!("sip:{}@phones.test", "f".repeat(400));
    dial(bridge, &json!({"to": to, "from": from}))
}

#[test]
fn a_request_too_large_for_a_datagram_goes_over_tcp() {
    let bridge = bridge();
    let (mut callee, listener) = udp_and_tcp();

    let leg = dial_large(&bridge, &callee);

    let mut connection = Peer::accepted(&listener);
    let invite = connection.wait_request("INVITE");
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP "), "{invite:?}");
    assert!(invite.uri("Contact").ends_with(";transport=tcp"), "{invite:?}");
    connection.answer(&invite, 200, "a", ("", &idle_sdp()));
    callee.wait_request("ACK"); // small, and the Contact names no transport
    bridge.wait_leg("participant.joined", &leg);
    assert_eq!(bridge.get(&format!("/v1/legs/{leg}"))["transport"], "tcp");
}

#[test]
fn a_large_request_goes_in_a_datagram_where_tcp_is_refused() {
    let bridge = bridge();
    let (mut callee, listener) = udp_and_tcp();
    drop(listener);

    let leg = dial_large(&bridge, &callee);

    let invite = callee.wait_request("INVITE");
    assert!(invite.text.len() > 1300, "{}", invite.text.len());
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP "), "{invite:?}");
    assert!(!invite.uri("Contact").contains("transport"), "{invite:?}");
    callee.answer(&invite, 200, "a", ("", &idle_sdp()));
    callee.wait_request("ACK");
    bridge.wait_leg("participant.joined", &leg);
    assert_eq!(bridge.get(&format!("/v1/legs/{leg}"))["transport"], "udp");
}

/// A peer over UDP, and a listener on the same port.
fn udp_and_tcp() -> (Peer, TcpListener) {
    loop {
        let peer = Peer::listening("127.0.0.1");
        if let Ok(listener) = TcpListener::bind(peer.local) {
            return (peer, listener);
        }
    }
}

// ---- routes ----

#[test]
fn requests_within_a_dialog_take_its_route() {
    let bridge = bridge();
    let mut peer = Peer::udp(bridge.sip);
    let mut proxy = Peer::listening("127.0.0.1");
    let route = format!("<sip:{};lr>", proxy.local);
    let (_, leg) = join(&bridge, &mut peer, &format!("Record-Route: {route}\r\n"));
    let contact = format!("sip:raw@{}", peer.local);

    bridge.put(&format!("/v1/legs/{leg}/hold"));
    let reinvite = proxy.wait_request("INVITE");
    let own_contact = format!("Contact: <{contact}>\r\n");
    proxy.answer(&reinvite, 200, "", (&own_contact, &format!("{}a=recvonly\r\n", idle_sdp())));
    let ack = proxy.wait_request("ACK");
    bridge.wait_leg("participant.held", &leg);
    bridge.delete(&format!("/v1/legs/{leg}"));
    let bye = proxy.wait_request("BYE");
    proxy.answer(&bye, 200, "", ("", ""));

    for request in [reinvite, ack, bye] {
        assert_eq!(request.headers("Route"), [&route], "{request:?}");
        assert_eq!(request.target(), contact, "{request:?}");
    }
}

#[test]
fn the_route_of_a_callee_is_reversed() {
    let bridge = bridge();
    let mut callee = Peer::listening("127.0.0.1");
    let far = "<sip:far.test;lr>";
    let near = format!("<sip:{};lr>", callee.local);
    let leg = dial(&bridge, &json!({"to": format!("sip:bert@{}", callee.local)}));
    let invite = callee.wait_request("INVITE");

    let recorded = format!("Record-Route: {far}, {near}\r\n");
    callee.answer(&invite, 200, "a", (&recorded, &idle_sdp()));
    let ack = callee.wait_request("ACK");
    bridge.wait_leg("participant.joined", &leg);
    bridge.delete(&format!("/v1/legs/{leg}"));
    let bye = callee.wait_request("BYE");

    for request in [ack, bye] {
        let routes = request.headers("Route").join(", ").replace(", ", ",");
        assert_eq!(routes, format!("{near},{far}"), "{request:?}");
    }
}

#[test]
fn a_strict_router_gets_itself_as_target() {
    let bridge = bridge();
    let mut peer = Peer::udp(bridge.sip);
    let mut proxy = Peer::listening("127.0.0.1");
    let recorded = format!("Record-Route: <sip:{}>\r\n", proxy.local);
    let (_, leg) = join(&bridge, &mut peer, &recorded);

    bridge.delete(&format!("/v1/legs/{leg}"));

    let bye = proxy.wait_request("BYE");
    assert_eq!(bye.target(), format!("sip:{}", proxy.local));
    assert_eq!(bye.headers("Route"), [format!("<sip:raw@{}>", peer.local)], "{bye:?}");
}

// ---- the way back ----

#[test]
fn rport_brings_the_answer_back_to_the_port_it_came_from() {
    let bridge = bridge();
    for mut peer in [Peer::udp(bridge.sip), Peer::tcp(bridge.sip)] {
        let own = peer.local.to_string();
        let options = peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), "", "");

        peer.send(&options.replacen(&own, "192.0.2.77:5999", 1));

        let answer = peer.wait_final("OPTIONS");
        assert!(answer.header("Via").contains(" 192.0.2.77:5999;"), "{answer:?}");
        assert_eq!(answer.via_parameter("received"), Some("127.0.0.1"), "{answer:?}");
        assert_eq!(answer.via_parameter("rport"), Some(&*peer.local.port().to_string()));
    }
}

#[test]
fn without_rport_the_answer_goes_to_the_port_of_the_via() {
    let bridge = bridge();
    let mut peer = Peer::udp(bridge.sip);
    let mut elsewhere = Peer::listening("127.0.0.1");
    let own = peer.local.to_string();
    let options = peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), "", "");
    let named = format!("phone.invalid:{}", elsewhere.local.port());

    peer.send(&options.replacen(&own, &named, 1).replacen(";rport", "", 1));

    let answer = elsewhere.wait_final("OPTIONS");
    assert_eq!(answer.via_parameter("received"), Some("127.0.0.1"), "{answer:?}");
    assert_eq!(answer.via_parameter("rport"), None, "{answer:?}");
}

// ---- how it is written ----

#[test]
fn an_invite_in_compact_and_folded_headers_is_a_call() {
    let bridge = bridge();
    let mut peer = Peer::udp(bridge.sip);
    let (sdp, via, local) = (idle_sdp(), peer.via().replace(";branch", "\r\n ;branch"), peer.local);
    let invite = format!(
        "INVITE {uri} SIP/2.0\r\nv: {via}\r\nf: \"Raw,\r\n\t\\\"folded\\\"\"\r\n <sip:raw@{local}>\r\n ;tag=x\r\n\
         T:\r\n <{uri}>\r\ni :compact-{port}\r\ncseq: 7\r\n\tINVITE\r\nm: <sip:raw@{local}>\r\n\
         mAX-fORWARDS:70\r\nk: timer,\r\n 100rel\r\nc: application/sdp\r\nl: {length}\r\n\r\n{sdp}",
        uri = bridge.uri("standup"),
        port = local.port(),
        length = sdp.len(),
    );

    peer.send(&invite);

    let answer = peer.wait_final("INVITE");
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    assert_eq!(answer.header("Call-ID"), format!("compact-{}", local.port()));
    assert_eq!(answer.sequence(), (7, "INVITE"));
    assert!(answer.header("From").ends_with(";tag=x"), "{answer:?}");
    let dialog = Dialog {
        target: answer.uri("Contact").to_owned(),
        from: answer.header("From").to_owned(),
        to: answer.header("To").to_owned(),
        call_id: answer.header("Call-ID").to_owned(),
        sequence: 7,
    };
    peer.send(&peer.request("ACK", &dialog, "", ""));
    let joined = bridge.wait_participant("participant.joined", "raw");
    assert_eq!(joined["data"]["display_name"], "Raw, \"folded\"", "{joined}");
    peer.hang_up(&mut { dialog });
}

#[test]
fn two_requests_in_one_segment_are_two() {
    let bridge = bridge();
    let mut peer = Peer::tcp(bridge.sip);
    let dialogs = [(); 2].map(|()| peer.dialog(&bridge.uri("standup")));
    let requests = dialogs.each_ref().map(|dialog| peer.request("OPTIONS", dialog, "", ""));

    peer.send(&requests.concat());

    for dialog in dialogs {
        let answer = peer.wait(|message| message.header("Call-ID") == dialog.call_id);
        assert_eq!(answer.status(), Some(200), "{answer:?}");
    }
}

#[test]
fn a_request_in_three_segments_is_one() {
    let bridge = bridge();
    let mut peer = Peer::tcp(bridge.sip);
    let dialog = peer.dialog(&bridge.uri("standup"));
    let invite = peer.request("INVITE", &dialog, "", &idle_sdp());
    let body = invite.find("\r\n\r\n").unwrap() + 4;

    for piece in [&invite[..40], &invite[40..body + 10], &invite[body + 10..]] {
        peer.send(piece);
        // Another's answer shows that there was time to read this piece alone.
        let mut other = Peer::tcp(bridge.sip);
        other.send(&other.request("OPTIONS", &other.dialog(&bridge.uri("standup")), "", ""));
        other.wait_final("OPTIONS");
    }

    let answer = peer.wait_final("INVITE");
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    assert!(answer.body().contains("m=audio"), "{answer:?}");
}

#[test]
fn keep_alives_are_answered_and_do_not_disturb() {
    let bridge = bridge();
    let mut peer = Peer::tcp(bridge.sip);

    peer.send("\r\n\r\n");
    assert_eq!(peer.read_bytes(2), b"\r\n");
    peer.send("\r\n");
    peer.send(&peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), "", ""));

    assert_eq!(peer.wait_final("OPTIONS").status(), Some(200));
    // Over UDP they are not answered, nor anything behind them lost (RFC 5626 §3.5.1).
    let mut peer = Peer::udp(bridge.sip);
    peer.send("\r\n\r\n");
    peer.send(&peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), "", ""));
    assert_eq!(peer.wait(|_| true).status(), Some(200));
}

// ---- what is logged ----

#[test]
fn every_message_is_one_line_of_the_log_without_what_people_said() {
    let bridge = bridge();
    let mut peer = Peer::udp(bridge.sip);
    let secret = "Authorization: Digest response=\"5ec2e7\"\r\n";

    let mut dialog = peer.dialog(&bridge.uri("standup"));
    peer.send(&peer.request("INVITE", &dialog, secret, &idle_sdp()));
    let answer = peer.wait_final("INVITE");
    answer.header("To").clone_into(&mut dialog.to);
    peer.send(&peer.request("ACK", &dialog, "", ""));
    peer.hang_up(&mut dialog);

    let log = bridge.log();
    let call_id = format!("call_id=\"{}\"", dialog.call_id);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" plenary::sip: ")).collect();
    let of = |direction: &str, what: &str| {
        let wanted = [direction, what, &call_id, &peer.local.to_string(), "transport=UDP"];
        lines.iter().filter(|line| wanted.iter().all(|part| line.contains(part))).count()
    };
    for method in ["INVITE", "ACK", "BYE"] {
        assert_eq!(of("received", &format!("method={method} call_id")), 1, "{method} in\n{log}");
    }
    for status in ["method=INVITE status=100", "method=INVITE status=200", "method=BYE status=200"]
    {
        assert_eq!(of("sent", status), 1, "{status} in\n{log}");
    }
    for private in ["5ec2e7", "m=audio", "sip:raw@", "sip:standup@127"] {
        assert!(!lines.iter().any(|line| line.contains(private)), "{private} in\n{log}");
    }
}

/// Nobody listens there.
#[test]
fn a_peer_that_closed_its_port_does_not_stop_the_bridge() {
    let bridge = bridge();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let leg = dial(&bridge, &json!({"to": format!("sip:nobody@{gone}"), "timeout_s": 1}));

    bridge.wait_leg("participant.left", &leg);

    let mut peer = Peer::udp(bridge.sip);
    peer.send(&peer.request("OPTIONS", &peer.dialog(&bridge.uri("standup")), "", ""));
    assert_eq!(peer.wait_final("OPTIONS").status(), Some(200));
}
