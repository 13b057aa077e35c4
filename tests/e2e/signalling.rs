//! SIP in trouble: lost, repeated, crossing and strange messages.

use crate::support::{json, scene};

#[test]
fn repeated_requests_make_one_participant() {
    let scene = scene();
    let line = scene.line("anna");
    line.trouble(json!({"repeat": 2}));

    let call = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));
    let leg = scene.joined("anna");
    call.hang_up();
    scene.bridge.wait_leg("leg.ended", &leg);

    assert_eq!(scene.bridge.count("participant.joined", |_| true), 1);
    assert_eq!(scene.bridge.count("leg.ended", |_| true), 1);
}

#[test]
fn a_lost_answer_and_a_lost_ack_come_again() {
    let scene = scene();
    let line = scene.line("anna");
    line.trouble(json!({"lose_incoming": 2, "lose_acks": 2}));
    let call = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));
    let bert = scene.join("bert", "standup", 880);

    bert.call.expect(&[440], &[]);
    call.expect(&[880], &[]);
}

#[test]
fn a_call_that_is_never_acknowledged_is_ended() {
    let scene = scene();
    let line = scene.line("anna");
    line.trouble(json!({"lose_acks": 1000}));
    let call = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));

    // 64·T1 = 32 s (RFC 3261 §13.3.1.4).
    let ended = scene.bridge.wait("leg.ended", |_| true);

    assert_eq!(ended["data"]["end_reason"], "dialog_lost", "{ended}");
    call.wait("ended");
}

#[test]
fn a_caller_who_gives_up_at_once_leaves_nothing_behind() {
    let scene = scene();
    let line = scene.line("anna");
    for index in 0..20 {
        let call = line.dial(&format!("out{index}"), &scene.bridge.uri("standup"), json!({}));
        scene.phones.try_order(json!({"do": "hangup", "call": call.name()}));
        scene.phones.wait_any(&["ended", "failed"], |event| event["call"] == call.name());
    }

    for _ in 0..20 {
        scene.bridge.wait("leg.ended", |_| true);
    }
    let legs = scene.bridge.get("/v1/legs");
    assert_eq!(legs["items"].as_array().unwrap().len(), 0, "{legs}");
}

#[test]
fn no_common_codec_is_488() {
    let scene = scene();
    let config = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 18\r\n";
    let answer = raw(&scene.bridge.sip.to_string(), "INVITE", &scene.bridge.uri("standup"), config);

    assert!(answer.starts_with("SIP/2.0 488 "), "{answer}");
}

#[test]
fn options_tell_what_the_bridge_can() {
    let scene = scene();

    let answer = raw(&scene.bridge.sip.to_string(), "OPTIONS", &scene.bridge.uri("standup"), "");

    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    for field in ["allow:", "accept:", "supported:"] {
        assert!(lower.contains(field), "{field} is missing: {answer}");
    }
}

#[test]
fn an_unknown_method_is_refused_and_kills_nothing() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    let answer = raw(&scene.bridge.sip.to_string(), "FROBNICATE", &scene.bridge.uri("standup"), "");
    anna.call.order(
        "request",
        json!({"method": "PUBLISH", "content_type": "text/plain", "body": "hello"}),
    );

    assert!(answer.starts_with("SIP/2.0 405 ") || answer.starts_with("SIP/2.0 501 "), "{answer}");
    let refused = scene.phones.wait("response", |event| event["method"] == "PUBLISH");
    assert!(refused["status"].as_u64().unwrap() >= 400, "{refused}");
    bert.call.expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn rubbish_is_survived() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut rubbish: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 65_000], b"SIP/2.0".to_vec()];
    rubbish.push(b"INVITE sip:x SIP/2.0\r\nVia: \r\n\r\n".to_vec());
    rubbish.push([b"INVITE sip:x@y SIP/2.0\r\nX: ".to_vec(), vec![b'a'; 60_000]].concat());

    for bytes in rubbish {
        socket.send_to(&bytes, scene.bridge.sip).unwrap();
    }

    let answer = raw(&scene.bridge.sip.to_string(), "OPTIONS", &scene.bridge.uri("standup"), "");
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    bert.call.expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn a_phone_that_vanishes_is_noticed_when_the_bridge_hangs_up() {
    let mut scene = scene();
    let line = scene.phones.line("anna", json!({"tones_hz": [440]}));
    let call = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));
    let leg = scene.joined("anna");
    call.expect(&[], &[440]);
    scene.phones = crate::support::phones();

    scene.bridge.delete(&format!("/v1/legs/{leg}"));

    scene.bridge.wait_leg("leg.ended", &leg);
}

/// Sends one request by hand and gives the first final response.
fn raw(target: &str, method: &str, uri: &str, body: &str) -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let us = socket.local_addr().unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let request = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{port};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:raw@{us}>;tag=r\r\nTo: <{uri}>\r\nCall-ID: raw-{port}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:raw@{us}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}",
        port = us.port(),
        length = body.len(),
    );
    socket.send_to(request.as_bytes(), target).unwrap();
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).expect("an answer within ten seconds");
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !answer.starts_with("SIP/2.0 1") {
            return answer;
        }
    }
}
