//! Hold from both sides, and sessions that change.

use crate::support::{Value, json, scene};

#[test]
fn a_phone_that_holds_neither_hears_nor_is_heard() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    for how in ["sendonly", "inactive", "zero"] {
        anna.call.order("hold", json!({"how": how}));
        assert_eq!(anna.call.wait("reinvite_answered")["status"], 200);
        let held = scene.bridge.wait_leg("participant.held", &anna.leg);
        assert_eq!(held["data"]["held_by"], "remote", "{how}: {held}");
        bert.call.expect(&[], &[440]);
        anna.call.expect(&[], &[880]);

        anna.call.order("resume", json!({}));

        assert_eq!(anna.call.wait("reinvite_answered")["status"], 200);
        scene.bridge.wait_leg("participant.resumed", &anna.leg);
        bert.call.expect(&[440], &[]);
        anna.call.expect(&[880], &[]);
    }
}

#[test]
fn update_holds_as_well() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    anna.call.order("hold", json!({"method": "update"}));

    assert_eq!(anna.call.wait("reinvite_answered")["status"], 200);
    scene.bridge.wait_leg("participant.held", &anna.leg);
    bert.call.expect(&[], &[440]);
    anna.call.order("resume", json!({"method": "update"}));
    anna.call.expect(&[880], &[]);
}

#[test]
fn the_api_holds_and_resumes_a_phone() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    scene.bridge.put(&format!("/v1/legs/{}/hold", anna.leg));
    let held = anna.call.wait("reinvited");
    scene.bridge.wait_leg("participant.held", &anna.leg);

    assert!(held["direction"] == "sendonly" || held["direction"] == "inactive", "{held}");
    bert.call.expect(&[], &[440]);
    anna.call.expect(&[], &[880]);
    scene.bridge.delete(&format!("/v1/legs/{}/hold", anna.leg));
    let resumed = anna.call.wait("reinvited");
    assert_eq!(resumed["direction"], "sendrecv", "{resumed}");
    scene.bridge.wait_leg("participant.resumed", &anna.leg);
    bert.call.expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn both_holds_must_end() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let path = format!("/v1/legs/{}", anna.leg);
    anna.call.order("hold", json!({}));
    scene.bridge.wait_leg("participant.held", &anna.leg);
    anna.call.wait("reinvite_answered");

    scene.bridge.put(&format!("{path}/hold"));
    anna.call.wait("reinvited");
    assert_eq!(scene.bridge.get(&path)["held_by"], "both");
    scene.bridge.delete(&format!("{path}/hold"));
    anna.call.wait("reinvited");
    let between = scene.bridge.get(&path);
    anna.call.order("resume", json!({}));

    assert_eq!(between["held_by"], "remote", "{between}");
    bert.call.expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn a_refused_hold_leaves_the_call_as_it_was() {
    let scene = scene();
    let line = scene.phones.line("anna", json!({"refuse_offers": 488}));
    let anna = line.call("anna-out", &scene.bridge.uri("standup"), 440, json!({}));
    let leg = scene.joined("anna");
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    scene.bridge.try_request("PUT", &format!("/v1/legs/{leg}/hold"), None);
    assert_eq!(anna.wait("reinvited")["status"], 488);

    scene.bridge.delete(&format!("/v1/legs/{leg}/hold"));
    anna.expect(&[880], &[]);
    bert.call.expect(&[440], &[]);
}

#[test]
fn a_phone_moves_to_another_port() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    anna.call.expect(&[880], &[]);

    anna.call.order("reinvite", json!({"new_port": true}));

    assert_eq!(anna.call.wait("reinvite_answered")["status"], 200);
    scene.bridge.wait_leg("leg.reinvited", &anna.leg);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}

#[test]
fn a_phone_changes_codec_in_the_call() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    anna.call.expect(&[880], &[]);
    for (codec, name) in [("opus", "opus/48000"), ("G722", "G722/8000"), ("PCMA", "PCMA/8000")] {
        anna.call.order("reinvite", json!({"new_port": true, "codecs": [codec]}));

        assert_eq!(anna.call.wait("reinvite_answered")["codec"], name);
        anna.call.expect(&[880], &[440]);
        bert.call.expect(&[440], &[880]);
        let leg = scene.bridge.get(&format!("/v1/legs/{}", anna.leg));
        assert_eq!(leg["codec"], name, "{leg}");
    }
}

#[test]
fn an_offer_without_common_codec_is_refused_and_the_call_goes_on() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    anna.call.order(
        "request",
        json!({
            "method": "UPDATE", "content_type": "application/sdp",
            "body": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio 40000 RTP/AVP 96\r\na=rtpmap:96 EVS/16000\r\n",
        }),
    );

    let refused = scene.phones.wait("response", |event| event["method"] == "UPDATE");
    assert_eq!(refused["status"], 488);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}

#[test]
fn offers_come_late_in_invite_and_reinvite() {
    let scene = scene();
    let anna = scene.join_with("anna", "standup", 440, json!({"late_offer": true}));
    let bert = scene.join("bert", "standup", 880);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);

    anna.call.order("reinvite", json!({"late_offer": true, "new_port": true}));

    assert_eq!(anna.call.wait("reinvite_answered")["status"], 200);
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
    scene.phones.assert_no_objections();
}

#[test]
fn the_origin_version_rises_only_with_a_change() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);

    let mut versions = Vec::new();
    for _ in 0..2 {
        scene.bridge.put(&format!("/v1/legs/{}/hold", anna.leg));
        versions.push(version(&anna.call.wait("reinvited")));
        scene.bridge.delete(&format!("/v1/legs/{}/hold", anna.leg));
        versions.push(version(&anna.call.wait("reinvited")));
    }

    assert!(versions.is_sorted_by(|a, b| *b == a + 1), "{versions:?}");
}

#[test]
fn offers_that_cross_both_stand_in_the_end() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);
    let path = format!("/v1/legs/{}", anna.leg);

    // Whoever is refused with 491 tries again (RFC 3261 §14.1); the phone does so by its test.
    anna.call.order("hold", json!({}));
    scene.bridge.put(&format!("{path}/hold"));
    while anna.call.wait("reinvite_answered")["status"] == 491 {
        anna.call.wait_for("reinvited", |event| event["status"] == 200);
        anna.call.order("hold", json!({}));
    }
    scene.bridge.wait_any(|event| event["leg"] == anna.leg && event["data"]["held_by"] == "both");

    scene.bridge.delete(&format!("{path}/hold"));
    anna.call.wait_for("reinvited", |event| event["our_direction"] == "sendonly");
    anna.call.order("resume", json!({}));
    bert.call.expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

fn version(event: &Value) -> u64 {
    event["version"].as_str().unwrap().parse().unwrap()
}
