//! What is said in writing (RFC 3428), between programs of others.

use std::thread;

use crate::support::{Sipp, has_program, json, scene};

#[test]
fn a_message_to_a_room_reaches_a_second_sipp() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = scene();
    let target = scene.bridge.sip.to_string();
    let listener = target.clone();
    let listening = thread::spawn(move || {
        Sipp::new(&listener, "standup", "message.xml")
            .args(&["-m", "1", "-timeout", "60", "-timeout_error"])
            .expect_success();
    });
    let joined = scene.bridge.wait_participant("participant.joined", "sipp");

    Sipp::new(&target, "standup", "say.xml")
        .args(&["-m", "1", "-timeout", "30", "-timeout_error"])
        .expect_success();

    let received = scene.bridge.wait("message.received", |_| true);
    let id = received["data"]["id"].as_str().unwrap();
    scene.bridge.wait("message.delivered", |event| event["data"]["id"] == id);
    assert_eq!(scene.bridge.get(&format!("/v1/messages/{id}"))["delivered"], 1);
    scene.bridge.delete(&format!("/v1/legs/{}", joined["leg"].as_str().unwrap()));
    listening.join().unwrap();
}

#[test]
fn the_api_says_something_to_a_phone_and_learns_what_became_of_it() {
    let scene = scene();
    let mut phone = crate::support::Peer::listening("127.0.0.1");
    let to = format!("sip:erna@{}", phone.local);

    let sent = scene.bridge.post("/v1/messages", &json!({"to": to, "text": "hello"}));
    let message = phone.wait_request("MESSAGE");
    phone.answer(&message, 200, "erna", ("", ""));

    assert_eq!(sent["state"], "sending", "{sent}");
    let id = sent["id"].clone();
    let told = scene.bridge.wait("message.delivered", |event| event["data"]["id"] == id);
    assert_eq!(told["data"]["body"], "hello", "{told}");
}
