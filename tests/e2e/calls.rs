//! Two parties connected over HTTP.

use crate::support::{Scene, json, scene};

fn connect(scene: &Scene, first: &str, second: &str) -> String {
    let body = json!({"legs": [{"to": first}, {"to": second}], "timeout_s": 20});
    let call = scene.bridge.post("/v1/calls", &body);
    assert_eq!(call["state"], "dialing", "{call}");
    call["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_parties_are_connected_across_codecs() {
    let scene = scene();
    let anna = scene.phones.line("anna", json!({"codecs": ["opus"], "tones_hz": [440]}));
    let bert = scene.phones.line("bert", json!({"codecs": ["PCMA"], "tones_hz": [880]}));

    let id = connect(&scene, anna.uri(), bert.uri());
    scene.bridge.wait("call.connected", |event| event["call"] == id.as_str());

    let (first, second) = (anna.incoming(), bert.incoming());
    first.expect(&[880], &[440]);
    second.expect(&[440], &[880]);
    let call = scene.bridge.get(&format!("/v1/calls/{id}"));
    assert_eq!(call["state"], "connected", "{call}");
    assert_eq!(call["legs"].as_array().unwrap().len(), 2, "{call}");
    scene.bridge.delete(&format!("/v1/calls/{id}"));
    first.wait("ended");
    second.wait("ended");
    scene.bridge.wait("call.ended", |event| event["call"] == id.as_str());
    scene.phones.assert_no_objections();
}

#[test]
fn when_one_hangs_up_the_other_is_hung_up() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    let id = connect(&scene, anna.uri(), bert.uri());
    scene.bridge.wait("call.connected", |event| event["call"] == id.as_str());

    bert.incoming().hang_up();

    assert_eq!(anna.incoming().wait("ended")["by"], "them");
    scene.bridge.wait("call.ended", |event| event["call"] == id.as_str());
}

#[test]
fn a_busy_second_party_ends_the_call_with_its_reason() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.phones.line("bert", json!({"on_invite": "busy"}));

    let id = connect(&scene, anna.uri(), bert.uri());

    let ended = scene.bridge.wait("call.ended", |event| event["call"] == id.as_str());
    assert_eq!(ended["data"]["end_reason"], "busy", "{ended}");
    assert_eq!(ended["data"]["sip"]["status"], 486, "{ended}");
    anna.incoming().wait("ended");
}

#[test]
fn a_first_party_that_declines_spares_the_second() {
    let scene = scene();
    let anna = scene.phones.line("anna", json!({"on_invite": "decline"}));
    let bert = scene.answering("bert", 880);

    let id = connect(&scene, anna.uri(), bert.uri());

    let ended = scene.bridge.wait("call.ended", |event| event["call"] == id.as_str());
    assert_eq!(ended["data"]["end_reason"], "declined", "{ended}");
    assert!(!scene.phones.seen("incoming", |event| event["line"] == "bert"));
}

#[test]
fn a_phone_can_hold_its_peer() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    connect(&scene, anna.uri(), bert.uri());
    scene.bridge.wait("call.connected", |_| true);
    let (first, second) = (anna.incoming(), bert.incoming());
    second.expect(&[440], &[]);

    first.order("hold", json!({}));
    first.wait("reinvite_answered");

    second.expect(&[], &[440]);
    first.order("resume", json!({}));
    second.expect(&[440], &[]);
    first.expect(&[880], &[]);
}

#[test]
fn exactly_two_parties_are_asked_for() {
    let scene = scene();

    let body = json!({"legs": [{"to": "sip:a@127.0.0.1:9"}]});
    let answer = scene.bridge.try_request("POST", "/v1/calls", Some(&body));

    assert_eq!(answer.status, 422, "{}", answer.text);
}
