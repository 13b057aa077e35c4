//! Blind transfer, asked by the API and asked by a phone.

use crate::support::{Call, Scene, json, scene};

fn transfer(scene: &Scene, leg: &str, to: &str) {
    scene.bridge.post(&format!("/v1/legs/{leg}/transfer"), &json!({"to": to}));
}

#[test]
fn the_api_sends_a_phone_elsewhere() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.answering("carl", 1320);

    transfer(&scene, &anna.leg, carl.uri());

    scene.bridge.wait_leg("leg.transfer_requested", &anna.leg);
    let referred = anna.call.wait("referred");
    assert_eq!(referred["to"], carl.uri(), "{referred}");
    scene.bridge.wait_leg("leg.transfer_progress", &anna.leg);
    scene.bridge.wait_leg("leg.transfer_completed", &anna.leg);
    let left = scene.bridge.wait_leg("participant.left", &anna.leg);
    assert_eq!(left["data"]["left_reason"], "transferred", "{left}");
    carl.incoming().expect(&[], &[880]);
    bert.call.expect(&[], &[440, 1320]);
    Call::named(&scene.phones, "anna-out-transferred").expect(&[1320], &[]);
}

#[test]
fn a_phone_that_refuses_the_transfer_stays() {
    let scene = scene();
    let line = scene.phones.line("anna", json!({"on_refer": "refuse"}));
    let anna = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));
    let leg = scene.joined("anna");
    let bert = scene.join("bert", "standup", 880);

    transfer(&scene, &leg, "sip:nobody@127.0.0.1:9");

    let failed = scene.bridge.wait_leg("leg.transfer_failed", &leg);
    assert_eq!(
        failed["data"]["status"].as_u64().or_else(|| failed["data"]["sip"]["status"].as_u64()),
        Some(603),
        "{failed}"
    );
    anna.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}

#[test]
fn a_transfer_to_a_busy_target_leaves_the_call() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.phones.line("carl", json!({"on_invite": "busy"}));

    transfer(&scene, &anna.leg, carl.uri());

    scene.bridge.wait_leg("leg.transfer_failed", &anna.leg);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
    assert_eq!(scene.bridge.get(&format!("/v1/legs/{}", anna.leg))["state"], "answered");
}

#[test]
fn a_phone_transfers_its_place_in_the_room() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.answering("carl", 1320);

    anna.call.order("refer", json!({"to": carl.uri()}));

    assert_eq!(anna.call.wait("refer_answered")["status"], 202);
    scene.bridge.wait_leg("leg.transfer_requested", &anna.leg);
    anna.call.wait_for("notify", |event| event["status"] == 200);
    scene.bridge.wait_leg("leg.transfer_completed", &anna.leg);
    bert.call.expect(&[1320], &[880]);
    carl.incoming().expect(&[880], &[1320]);
}

#[test]
fn a_phones_transfer_to_a_busy_target_leaves_the_call() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.phones.line("carl", json!({"on_invite": "busy"}));

    anna.call.order("refer", json!({"to": carl.uri()}));

    anna.call.wait_for("notify", |event| event["status"] == 486);
    scene.bridge.wait_leg("leg.transfer_failed", &anna.leg);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}

#[test]
fn a_party_of_a_call_transfers_the_other() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    let carl = scene.answering("carl", 1320);
    let body = json!({"legs": [{"to": anna.uri()}, {"to": bert.uri()}]});
    scene.bridge.post("/v1/calls", &body);
    scene.bridge.wait("call.connected", |_| true);
    let (first, second) = (anna.incoming(), bert.incoming());
    second.expect(&[440], &[]);

    first.order("refer", json!({"to": carl.uri()}));

    first.wait_for("notify", |event| event["status"] == 200);
    carl.incoming().expect(&[880], &[1320]);
    second.expect(&[1320], &[880]);
}

#[test]
fn a_failed_transfer_leaves_the_parties_their_call() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    let carl = scene.phones.line("carl", json!({"on_invite": "decline"}));
    let body = json!({"legs": [{"to": anna.uri()}, {"to": bert.uri()}]});
    scene.bridge.post("/v1/calls", &body);
    scene.bridge.wait("call.connected", |_| true);
    let (first, second) = (anna.incoming(), bert.incoming());

    first.order("refer", json!({"to": carl.uri()}));

    first.wait_for("notify", |event| event["status"] == 603);
    first.expect(&[880], &[440]);
    second.expect(&[440], &[880]);
}
