//! Dialling out into a room.

use crate::support::{Scene, Value, json, scene};

fn dial(scene: &Scene, to: &str, options: Value) -> String {
    let mut body = options;
    body["to"] = to.into();
    let participant = scene.bridge.post("/v1/rooms/standup/participants", &body);
    participant["leg"].as_str().unwrap().to_owned()
}

#[test]
fn a_dialled_phone_rings_joins_and_is_heard() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.phones.line("bert", json!({"tones_hz": [880], "on_invite": "ring"}));

    let leg = dial(&scene, bert.uri(), json!({"display_name": "Bert"}));
    scene.bridge.wait_leg("participant.dialing", &leg);
    scene.bridge.wait_leg("participant.ringing", &leg);
    let call = bert.incoming();
    call.order("answer", json!({}));

    let joined = scene.bridge.wait_leg("participant.joined", &leg);
    assert_eq!(joined["data"]["display_name"], "Bert", "{joined}");
    assert_eq!(joined["data"]["direction"], "outbound", "{joined}");
    call.expect(&[440], &[880]);
    anna.call.expect(&[880], &[440]);
    scene.phones.assert_no_objections();
}

#[test]
fn every_codec_is_offered_and_can_be_chosen() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    for (codec, tone) in [("PCMU", 700), ("PCMA", 880), ("G722", 1000), ("opus", 1320)] {
        let line = scene.phones.line(codec, json!({"codecs": [codec], "tones_hz": [tone]}));

        let leg = dial(&scene, line.uri(), json!({}));

        scene.bridge.wait_leg("participant.joined", &leg);
        anna.call.expect(&[tone], &[]);
        line.incoming().expect(&[440], &[tone]);
        scene.bridge.delete(&format!("/v1/legs/{leg}"));
        scene.bridge.wait_leg("participant.left", &leg);
    }
}

#[test]
fn a_participant_can_be_dialled_in_muted() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.answering("bert", 880);

    let leg = dial(&scene, bert.uri(), json!({"muted": true}));
    scene.bridge.wait_leg("participant.joined", &leg);

    bert.incoming().expect(&[440], &[]);
    anna.call.expect(&[], &[880]);
}

#[test]
fn refusals_are_typed() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    for (index, (behaviour, reason, status)) in [
        (json!({"on_invite": "busy"}), "busy", 486),
        (json!({"on_invite": "decline"}), "declined", 603),
        (json!({"on_invite": "reject", "status": 404}), "not_found", 404),
        (json!({"on_invite": "reject", "status": 480}), "no_answer", 480),
        (json!({"on_invite": "reject", "status": 503}), "unreachable", 503),
        (json!({"on_invite": "reject", "status": 488}), "incompatible", 488),
    ]
    .into_iter()
    .enumerate()
    {
        let line = scene.phones.line(&format!("line{index}"), behaviour);

        let leg = dial(&scene, line.uri(), json!({}));

        let left = scene.bridge.wait_leg("participant.left", &leg);
        assert_eq!(left["data"]["left_reason"], reason, "{left}");
        assert_eq!(left["data"]["sip"]["status"], status, "{left}");
        let ended = scene.bridge.wait_leg("leg.ended", &leg);
        assert_eq!(ended["data"]["end_reason"], reason, "{ended}");
    }
}

#[test]
fn a_phone_that_is_not_answered_is_cancelled() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let bert = scene.phones.line("bert", json!({"on_invite": "ring"}));

    let leg = dial(&scene, bert.uri(), json!({"timeout_s": 1}));

    bert.incoming().wait("cancelled");
    let left = scene.bridge.wait_leg("participant.left", &leg);
    assert_eq!(left["data"]["left_reason"], "no_answer", "{left}");
}

#[test]
fn a_phone_that_says_nothing_is_given_up() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let bert = scene.phones.line("bert", json!({"on_invite": "ignore"}));

    let leg = dial(&scene, bert.uri(), json!({"timeout_s": 1}));

    let left = scene.bridge.wait_leg("participant.left", &leg);
    assert_eq!(left["data"]["left_reason"], "no_answer", "{left}");
}

#[test]
fn kicking_a_ringing_phone_cancels_it() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let bert = scene.phones.line("bert", json!({"on_invite": "ring"}));
    let leg = dial(&scene, bert.uri(), json!({}));
    scene.bridge.wait_leg("participant.ringing", &leg);

    scene.bridge.delete(&format!("/v1/rooms/standup/participants/{leg}"));

    bert.incoming().wait("cancelled");
    let left = scene.bridge.wait_leg("participant.left", &leg);
    assert_eq!(left["data"]["left_reason"], "kicked", "{left}");
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let behaviour = json!({"on_invite": "ring", "answer_on_cancel": true});
    let bert = scene.phones.line("bert", behaviour);
    let leg = dial(&scene, bert.uri(), json!({}));
    scene.bridge.wait_leg("participant.ringing", &leg);

    scene.bridge.delete(&format!("/v1/rooms/standup/participants/{leg}"));

    let call = bert.incoming();
    call.wait("answered");
    assert_eq!(call.wait("ended")["by"], "them");
    assert!(!scene.phones.seen("ack_missing", |_| true));
    assert_eq!(scene.bridge.count("participant.joined", |event| event["leg"] == leg), 0);
}

#[test]
fn a_redirection_is_followed() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let carl = scene.answering("carl", 880);
    let behaviour = json!({"on_invite": "redirect", "contact": carl.uri()});
    let bert = scene.phones.line("bert", behaviour);

    let leg = dial(&scene, bert.uri(), json!({}));

    scene.bridge.wait_leg("participant.joined", &leg);
    carl.incoming().expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn early_media_does_not_disturb_the_room() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let behaviour = json!({"on_invite": "early_media", "delay_ms": 1500, "tones_hz": [880]});
    let bert = scene.phones.line("bert", behaviour);

    let leg = dial(&scene, bert.uri(), json!({}));

    scene.bridge.wait_leg("leg.early_media", &leg);
    scene.bridge.wait_leg("participant.joined", &leg);
    bert.incoming().expect(&[440], &[]);
    anna.call.expect(&[880], &[]);
}

#[test]
fn dialling_into_an_unknown_room_makes_it() {
    let scene = scene();
    let bert = scene.answering("bert", 880);

    dial(&scene, bert.uri(), json!({}));
    scene.joined("bert");

    assert_eq!(scene.bridge.get("/v1/rooms/standup")["ad_hoc"], true);
    bert.incoming().hang_up();
    scene.bridge.wait("room.ended", |_| true);
}

#[test]
fn tcp_is_used_where_the_uri_asks() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.answering("bert", 880);

    let leg = dial(&scene, &format!("{};transport=tcp", bert.uri()), json!({}));

    scene.bridge.wait_leg("participant.joined", &leg);
    assert_eq!(bert.incoming_event().1["transport"], "tcp");
    anna.call.expect(&[880], &[]);
    assert_eq!(scene.bridge.get(&format!("/v1/legs/{leg}"))["transport"], "tcp");
}
