//! Rooms: who hears whom.

use std::time::Duration;

use crate::support::{Options, SECOND, SETTLE, Value, json, level, scene, scene_with};

#[test]
fn callers_hear_each_other_but_not_themselves() {
    let scene = scene();

    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.join("carl", "standup", 1320);

    anna.call.expect(&[880, 1320], &[440]);
    bert.call.expect(&[440, 1320], &[880]);
    carl.call.expect(&[440, 880], &[1320]);
    scene.phones.assert_no_objections();
}

#[test]
fn a_lone_caller_hears_silence() {
    let scene = scene();

    let anna = scene.join("anna", "standup", 440);
    let heard = anna.call.hear(&[440], SECOND, SETTLE);

    assert!(heard["level_db"].as_f64().unwrap() < -60.0, "{heard}");
}

#[test]
fn codecs_mix() {
    let config =
        "[media]\ncodecs = [\"opus\", \"G722\", \"PCMU\", \"PCMA\", \"L16/16000\"]\n".to_owned();
    let scene = scene_with(Options { config, ..Options::default() });
    let codecs =
        [("pcmu", "PCMU"), ("pcma", "PCMA"), ("g722", "G722"), ("opus", "opus"), ("l16", "L16")];
    let tones = [440, 700, 1000, 1320, 1700];

    // Three are mixed at once by default, so all but two at a time are silent.
    let room = scene.bridge.post("/v1/rooms", &json!({"name": "mixed", "contributors": 8}));
    assert_eq!(room["contributors"], 8);
    let seats: Vec<_> = codecs
        .iter()
        .zip(tones)
        .map(|((name, codec), tone)| {
            scene.join_with(name, "mixed", tone, json!({"codecs": [codec]}))
        })
        .collect();

    for (seat, own) in seats.iter().zip(tones) {
        let others: Vec<u32> = tones.into_iter().filter(|tone| *tone != own).collect();
        seat.call.expect(&others, &[own]);
    }
    scene.phones.assert_no_objections();
}

#[test]
fn levels_pass_unchanged() {
    let scene = scene();

    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join_with("bert", "standup", 880, json!({"codecs": ["opus"]}));

    for (seat, tone) in [(&anna, 880), (&bert, 440)] {
        seat.call.expect(&[tone], &[]);
        let heard = seat.call.hear(&[tone], SECOND, SETTLE);
        assert!((level(&heard, 0) + 16.0).abs() < 1.5, "{heard}");
    }
}

#[test]
fn a_muted_participant_hears_but_is_not_heard() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);
    let answer = scene.bridge.patch(&path, &json!({"muted": true}));

    assert_eq!(answer["muted"], true);
    scene.bridge.wait_leg("participant.muted", &anna.leg);
    bert.call.expect(&[], &[440, 880]);
    anna.call.expect(&[880], &[440]);
    scene.bridge.patch(&path, &json!({"muted": false}));
    scene.bridge.wait_leg("participant.unmuted", &anna.leg);
    bert.call.expect(&[440], &[880]);
}

#[test]
fn a_leg_is_muted_by_its_own_address_too() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    scene.bridge.put(&format!("/v1/legs/{}/mute", anna.leg));
    bert.call.expect(&[], &[440]);
    scene.bridge.delete(&format!("/v1/legs/{}/mute", anna.leg));

    bert.call.expect(&[440], &[]);
}

#[test]
fn a_deaf_participant_is_heard_but_hears_nobody() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);

    scene.bridge.patch(&path, &json!({"deaf": true}));

    anna.call.expect(&[], &[880]);
    bert.call.expect(&[440], &[]);
    scene.bridge.patch(&path, &json!({"deaf": false}));
    anna.call.expect(&[880], &[]);
}

#[test]
fn gain_changes_what_others_hear() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);
    scene.bridge.patch(&path, &json!({"gain_in_db": -12.0}));
    let heard = bert.call.hear(&[440], SECOND, SETTLE);

    assert!((level(&heard, 0) + 28.0).abs() < 1.5, "{heard}");
}

#[test]
fn a_quiet_participant_becomes_as_loud_as_the_others() {
    let config = "[media]\nagc = true\n".to_owned();
    let scene = scene_with(Options { config, ..Options::default() });
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    anna.call.order("play", json!({"tones_hz": [440], "level_db": -33.0}));
    bert.call.expect(&[440], &[]);

    // 5 dB in a second, up to 15.
    bert.call.hear(&[440], SECOND * 5, Duration::ZERO);
    let louder = bert.call.hear(&[440], SECOND, SETTLE);
    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);
    let off = scene.bridge.patch(&path, &json!({"agc": false}));
    let quiet = bert.call.hear(&[440], SECOND, SETTLE);

    assert_eq!(off["agc"], false, "{off}");
    // A full-scale sine is at −3 dBov.
    assert!((level(&louder, 0) + 17.0).abs() < 1.5, "{louder}");
    assert!((level(&quiet, 0) + 33.0).abs() < 1.5, "{quiet}");
}

#[test]
fn noise_suppression_takes_what_is_no_voice() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);
    anna.call.order("play", json!({"noise_db": -30.0}));
    let noise = |skip: Duration| {
        let heard = bert.call.hear(&[440], SECOND, skip);
        heard["level_db"].as_f64().expect("a report of `hear`")
    };
    let before = noise(SETTLE);

    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);
    let on = scene.bridge.patch(&path, &json!({"noise_suppression": true}));
    let clean = noise(SECOND * 2);
    scene.bridge.patch(&path, &json!({"noise_suppression": false}));
    let after = noise(SETTLE);

    assert_eq!(on["noise_suppression"], true, "{on}");
    assert!(clean < before - 10.0, "{before} dB became {clean} dB");
    assert!((after - before).abs() < 1.5, "{before} dB became {after} dB");
}

#[test]
fn who_returns_an_echo_is_named_and_can_be_held_back() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.join("carl", "standup", 1320);
    carl.call.expect(&[440, 880], &[]);
    bert.call.hush();
    carl.call.hush();
    anna.call.order("play", json!({"tones_hz": [440], "babble": 3}));

    bert.call.order("echo", json!({"delay_ms": 160, "level_db": -12.0}));
    let found = scene.bridge.wait("leg.echo_detected", |_| true);
    let heard = anna.call.hear(&[440], SECOND * 3, Duration::ZERO);
    let path = format!("/v1/rooms/standup/participants/{}", bert.leg);
    scene.bridge.patch(&path, &json!({"echo_suppression": true}));
    let suppressed = anna.call.hear(&[440], SECOND * 3, SECOND);
    bert.call.order("echo", json!({}));
    scene.bridge.wait_leg("leg.echo_cleared", &bert.leg);

    assert_eq!(found["leg"], bert.leg.as_str(), "{found}");
    let (delay, loss) = (&found["data"]["delay_ms"], &found["data"]["level_db"]);
    assert!((160.0..320.0).contains(&delay.as_f64().unwrap()), "{found}");
    assert!((-15..=-9).contains(&loss.as_i64().unwrap()), "{found}");
    assert_eq!(found["data"]["echo"]["level_db"], *loss, "{found}");
    let [before, after] = [heard, suppressed].map(|heard| level(&heard, 0));
    assert!(before > -45.0 && after < before - 15.0, "{before} dB became {after} dB");
    assert_eq!(scene.bridge.count("leg.echo_detected", |_| true), 1);
}

#[test]
fn a_kicked_participant_gets_bye_and_leaves_with_a_reason() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    scene.bridge.delete(&format!("/v1/rooms/standup/participants/{}", anna.leg));

    assert_eq!(anna.call.wait("ended")["by"], "them");
    let left = scene.bridge.wait_leg("participant.left", &anna.leg);
    assert_eq!(left["data"]["left_reason"], "kicked", "{left}");
    bert.call.expect(&[], &[440]);
    let people = scene.bridge.get("/v1/rooms/standup/participants");
    assert_eq!(people["items"].as_array().unwrap().len(), 1, "{people}");
}

#[test]
fn hanging_up_leaves_and_an_ad_hoc_room_ends_with_its_last() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    anna.call.hang_up();
    let left = scene.bridge.wait_leg("participant.left", &anna.leg);
    bert.call.hang_up();

    assert_eq!(left["data"]["left_reason"], "hung_up", "{left}");
    scene.bridge.wait_leg("leg.ended", &bert.leg);
    scene.bridge.wait("room.ended", |_| true);
    let open = scene.bridge.get("/v1/rooms");
    assert_eq!(open["items"].as_array().unwrap().len(), 0, "{open}");
}

#[test]
fn a_participant_moves_to_another_room() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let carl = scene.join("carl", "other", 1320);
    anna.call.expect(&[880], &[1320]);

    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);
    scene.bridge.patch(&path, &json!({"room": "other"}));

    scene.bridge.wait_leg("participant.moved", &anna.leg);
    anna.call.expect(&[1320], &[880]);
    carl.call.expect(&[440], &[880]);
    bert.call.expect(&[], &[440]);
}

#[test]
fn a_leg_is_transferred_into_a_room_without_its_phone_knowing() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let carl = scene.join("carl", "other", 1320);

    scene.bridge.post(&format!("/v1/legs/{}/transfer", anna.leg), &json!({"room": "other"}));

    carl.call.expect(&[440], &[]);
    anna.call.expect(&[1320], &[]);
    assert!(!scene.phones.seen("referred", |_| true));
}

#[test]
fn ending_a_room_hangs_up_everybody() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    scene.bridge.post("/v1/rooms/standup/end", &json!({}));

    anna.call.wait("ended");
    bert.call.wait("ended");
    let left = scene.bridge.wait_leg("participant.left", &anna.leg);
    assert_eq!(left["data"]["left_reason"], "room_ended", "{left}");
    scene.bridge.wait("room.ended", |_| true);
}

#[test]
fn a_locked_room_refuses_callers() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    scene.bridge.put("/v1/rooms/standup/lock");
    scene.bridge.wait("room.locked", |_| true);

    let bert = scene.line("bert");
    let refused = bert.dial("bert-out", &scene.bridge.uri("standup"), json!({}));

    assert!(refused.wait("failed")["status"].as_u64().unwrap() >= 400);
    scene.bridge.wait("room.join_rejected", |_| true);
    scene.bridge.delete("/v1/rooms/standup/lock");
    let seated = bert.call("bert-again", &scene.bridge.uri("standup"), 880, json!({}));
    anna.call.expect(&[880], &[]);
    seated.expect(&[440], &[]);
}

#[test]
fn a_full_room_is_busy() {
    let scene = scene();
    scene.bridge.post("/v1/rooms", &json!({"name": "small", "max_participants": 1}));
    let _anna = scene.join("anna", "small", 440);

    let bert = scene.line("bert");
    let refused = bert.dial("bert-out", &scene.bridge.uri("small"), json!({}));

    assert_eq!(refused.wait("failed")["status"], 486);
}

#[test]
fn a_talker_is_reported_with_level() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let _bert = scene.join("bert", "standup", 880);

    scene.bridge.wait_leg("participant.talk_started", &anna.leg);
    anna.call.hush();

    scene.bridge.wait_leg("participant.talk_ended", &anna.leg);
}

#[test]
fn the_floor_goes_to_who_speaks_and_stays_when_all_pause() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let first = scene.bridge.wait("room.floor_changed", |event| event["leg"] == anna.leg.as_str());
    let bert = scene.join("bert", "standup", 880);

    anna.call.hush();
    let second = scene.bridge.wait("room.floor_changed", |event| event["leg"] == bert.leg.as_str());
    bert.call.hush();
    scene.bridge.wait_leg("participant.talk_ended", &bert.leg);
    let room = scene.bridge.get("/v1/rooms/standup");
    anna.call.play(440);
    let third = scene.bridge.wait("room.floor_changed", |event| event["leg"] == anna.leg.as_str());
    anna.call.hang_up();
    let last = scene.bridge.wait("room.floor_changed", |event| event["leg"].is_null());

    let change =
        |event: &Value| [event["data"]["previous"].clone(), event["data"]["floor"].clone()];
    let (anna, bert) = (json!(anna.leg), json!(bert.leg));
    assert_eq!(change(&first), [Value::Null, anna.clone()]);
    assert_eq!(change(&second), [anna.clone(), bert.clone()]);
    assert_eq!(room["floor"], bert, "{room}");
    assert_eq!(change(&third), [bert, anna.clone()]);
    assert_eq!(change(&last), [anna, Value::Null]);
}

#[test]
fn tcp_and_udp_callers_share_a_room() {
    let scene = scene();

    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join_with("bert", "standup", 880, json!({"transport": "tcp"}));

    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
    let leg = scene.bridge.get(&format!("/v1/legs/{}", bert.leg));
    assert_eq!(leg["transport"], "tcp", "{leg}");
    scene.bridge.delete(&format!("/v1/legs/{}", bert.leg));
    bert.call.wait("ended");
}
