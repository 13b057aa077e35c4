//! PINs, moderators and waiting rooms, as phones hear them.

use std::time::Duration;

use crate::support::{Call, Scene, Value, json, scene, wav};

/// A room, and tones in the place of what is shipped.
fn house(settings: Value, sounds: &[(&str, u32)]) -> Scene {
    let scene = scene();
    for (name, hz) in sounds {
        let answer =
            scene.bridge.client.upload(&format!("/v1/media/{name}"), &wav(*hz, 3)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    scene.bridge.post("/v1/rooms", &json!({"name": "board", "settings": settings}));
    scene
}

fn press(call: &Call<'_>, keys: &str) {
    call.order("dtmf", json!({"digits": keys}));
}

#[test]
fn a_caller_is_asked_for_a_pin_and_comes_in_with_it() {
    let scene = house(json!({"pin": "2468"}), &[("en.enter-pin", 1_500), ("en.wrong-pin", 2_000)]);
    let line = scene.phones.line("anna", json!({}));
    let anna = line.call("anna-out", &scene.bridge.uri("board"), 440, json!({}));
    anna.expect(&[1_500], &[]);

    press(&anna, "1111");
    anna.expect(&[2_000], &[]);
    assert_eq!(scene.bridge.get("/v1/rooms/board")["participants"], 0);
    press(&anna, "2468");

    scene.bridge.wait_participant("participant.joined", "anna");
    let bert = scene.phones.line("bert", json!({}));
    let bert = bert.call("bert-out", &scene.bridge.uri("board"), 880, json!({}));
    bert.expect(&[1_500], &[440]);
    press(&bert, "2468");
    bert.expect(&[440], &[1_500]);
    anna.expect(&[880], &[1_500, 2_000]);
    assert_eq!(scene.bridge.count("participant.dtmf", |_| true), 0, "PINs are in no event");
}

#[test]
fn who_waits_for_the_moderator_hears_music_which_stops_when_she_comes() {
    let settings = json!({"moderator_pin": "99", "wait_for_moderator": true});
    let sounds = [("en.enter-pin", 1_500), ("en.wait-moderator", 1_500), ("music", 2_000)];
    let scene = house(settings, &sounds);
    let (anna, bert) = (scene.phones.line("anna", json!({})), scene.phones.line("bert", json!({})));
    let anna = anna.call("anna-out", &scene.bridge.uri("board"), 440, json!({}));
    anna.expect(&[1_500], &[]);
    press(&anna, "#");
    scene.bridge.wait_participant("participant.waiting", "anna");
    anna.hear(&[2_000], Duration::from_secs(2), Duration::ZERO);

    let bert = bert.call("bert-out", &scene.bridge.uri("board"), 880, json!({}));
    bert.expect(&[1_500], &[440]);
    press(&bert, "99");

    scene.bridge.wait_participant("participant.joined", "anna");
    anna.expect(&[880], &[2_000]);
    bert.expect(&[440], &[2_000]);
}

#[test]
fn who_is_let_in_one_by_one_hears_nobody_before() {
    let scene = house(json!({"waiting_room": true, "enter_sound": ""}), &[("music", 2_000)]);
    let (anna, bert) = (scene.phones.line("anna", json!({})), scene.phones.line("bert", json!({})));
    let anna = anna.call("anna-out", &scene.bridge.uri("board"), 440, json!({}));
    let waiting = scene.bridge.wait_participant("participant.waiting", "anna");
    let admit = |leg: &Value| {
        let leg = leg["leg"].as_str().unwrap();
        scene.bridge.post(&format!("/v1/rooms/board/participants/{leg}/admit"), &json!({}));
    };
    admit(&waiting);
    let bert = bert.call("bert-out", &scene.bridge.uri("board"), 880, json!({}));
    let waiting = scene.bridge.wait_participant("participant.waiting", "bert");

    bert.expect(&[2_000], &[440]);
    anna.expect(&[], &[880, 2_000]);
    admit(&waiting);

    bert.expect(&[440], &[2_000]);
    anna.expect(&[880], &[2_000]);
}

#[test]
fn keys_mute_and_a_moderator_mutes_all() {
    let scene = house(json!({"pin": "1", "moderator_pin": "2"}), &[]);
    let join = |name: &str, hz: u32, pin: &str| {
        let line = scene.phones.line(name, json!({}));
        let call = line.call(&format!("{name}-out"), &scene.bridge.uri("board"), hz, json!({}));
        scene.bridge.wait("playback.started", |_| true);
        press(&call, pin);
        scene.bridge.wait_participant("participant.joined", name);
        (line, call)
    };
    let (_anna_line, anna) = join("anna", 440, "1");
    let (_bert_line, bert) = join("bert", 880, "2");
    bert.expect(&[440], &[]);

    press(&anna, "*1");
    let muted = scene.bridge.wait_participant("participant.muted", "anna");
    assert_eq!(muted["data"]["muted_by"], "participant");
    bert.expect(&[], &[440]);
    press(&anna, "*1");
    scene.bridge.wait_participant("participant.unmuted", "anna");
    bert.expect(&[440], &[]);
    press(&bert, "*3");
    let muted = scene.bridge.wait_participant("participant.muted", "anna");
    assert_eq!(muted["data"]["muted_by"], "moderator");
    press(&anna, "*9");

    let raised = scene.bridge.wait_participant("participant.hand_raised", "anna");
    assert!(raised["data"]["hand_raised_at"].is_string(), "{raised}");
    bert.expect(&[], &[440]);
}
