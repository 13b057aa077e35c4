//! Announcements, prompts and music, as phones hear them.

use std::time::Duration;

use crate::support::{Bridge, Options, Value, fresh_folder, json, scene, wav};

/// Uploads some seconds of a tone.
fn upload(bridge: &Bridge, name: &str, hz: u32, seconds: u32) -> Value {
    let answer = bridge.client.upload(&format!("/v1/media/{name}"), &wav(hz, seconds)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[test]
fn an_announcement_is_heard_by_all_in_the_room_beside_each_other() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    upload(&scene.bridge, "gong", 1_500, 10);

    let body = json!({"media": ["gong"], "gain_db": -6.0});
    let playback = scene.bridge.post("/v1/rooms/standup/announcements", &body);

    anna.call.expect(&[880, 1_500], &[440]);
    bert.call.expect(&[440, 1_500], &[880]);
    let id = playback["id"].as_str().unwrap();
    let path = format!("/v1/playbacks/{id}");
    scene.bridge.patch(&path, &json!({"paused": true}));
    anna.call.expect(&[880], &[1_500]);
    assert_eq!(scene.bridge.get(&path)["state"], "paused");
    scene.bridge.patch(&path, &json!({"paused": false}));
    bert.call.expect(&[440, 1_500], &[]);
    scene.bridge.delete(&path);
    let ended = scene.bridge.wait("playback.ended", |event| event["data"]["id"] == id);
    assert_eq!(ended["data"]["end_reason"], "stopped");
    anna.call.expect(&[880], &[1_500]);
}

#[test]
fn what_is_played_to_one_nobody_else_hears_and_it_ends_by_itself() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    upload(&scene.bridge, "whisper", 1_500, 6);

    let body = json!({"media": ["whisper"], "duck_db": 40.0});
    scene.bridge.post(&format!("/v1/legs/{}/play", anna.leg), &body);

    anna.call.expect(&[1_500], &[880]);
    bert.call.expect(&[440], &[1_500]);
    let ended = scene.bridge.wait_leg("playback.ended", &anna.leg);
    assert_eq!(ended["data"]["end_reason"], "completed", "{ended}");
    anna.call.expect(&[880], &[1_500]);
}

#[test]
fn music_goes_on_until_it_is_stopped_and_is_changed_without_a_gap_in_the_stream() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    upload(&scene.bridge, "first", 1_500, 1);
    upload(&scene.bridge, "second", 2_000, 1);
    let play = |name: &str| {
        let body = json!({"media": [name]});
        let answer = scene.bridge.try_request("PUT", "/v1/rooms/standup/music", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text);
    };

    play("first");
    anna.call.hear(&[1_500], Duration::from_secs(3), Duration::ZERO);
    play("second");
    anna.call.expect(&[2_000], &[1_500]);
    scene.bridge.delete("/v1/rooms/standup/music");

    anna.call.expect(&[], &[1_500, 2_000]);
}

#[test]
fn both_parties_of_a_call_hear_what_is_played_to_it() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    upload(&scene.bridge, "notice", 1_500, 8);
    let legs = json!([{"to": anna.uri()}, {"to": bert.uri()}]);
    let call = scene.bridge.post("/v1/calls", &json!({"legs": legs}));
    let id = call["id"].as_str().unwrap();
    scene.bridge.wait("call.connected", |event| event["call"] == id);

    scene.bridge.post(&format!("/v1/calls/{id}/play"), &json!({"media": ["notice"]}));

    anna.incoming().expect(&[880, 1_500], &[]);
    bert.incoming().expect(&[440, 1_500], &[]);
}

#[test]
fn what_was_uploaded_is_there_after_a_kill_and_can_be_heard_by_a_program() {
    let data = fresh_folder().join("data");
    let start = || Bridge::start(Options { data: Some(data.clone()), ..Options::default() });
    let mut bridge = start();
    let media = upload(&bridge, "gong", 1_500, 2);
    assert_eq!((&media["duration_ms"], &media["rate_hz"]), (&json!(2_000), &json!(8_000)));

    bridge.kill();
    let bridge = start();

    assert_eq!(bridge.get("/v1/media/gong"), media);
    let heard = bridge.client.download("/v1/media/gong/content").unwrap();
    assert_eq!(heard, wav(1_500, 2));
    let prompt = bridge.client.download("/v1/media/en.enter-pin/content").unwrap();
    assert!(prompt.starts_with(b"RIFF") && prompt.len() > 100_000, "{}", prompt.len());
    let broken = bridge.client.upload("/v1/media/gong", b"no sound").unwrap();
    assert_eq!(broken.status, 422, "{}", broken.text);
    assert_eq!(bridge.get("/v1/media/gong"), media);
    bridge.delete("/v1/media/gong");
    assert_eq!(bridge.try_request("GET", "/v1/media/gong", None).status, 404);
    drop(std::fs::remove_dir_all(data));
}

#[test]
fn who_is_held_hears_the_music_of_that_hold_and_who_is_removed_hears_why() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    upload(&scene.bridge, "waiting", 1_500, 1);
    upload(&scene.bridge, "why", 2_000, 3);
    let hold = format!("/v1/legs/{}/hold", anna.leg);

    let body = json!({"music": "waiting"});
    let answer = scene.bridge.try_request("PUT", &hold, Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.text);
    anna.call.expect(&[1_500], &[880]);
    bert.call.expect(&[], &[440, 1_500]);
    scene.bridge.delete(&hold);
    anna.call.expect(&[880], &[1_500]);
    let participant = format!("/v1/rooms/standup/participants/{}?prompt=why", anna.leg);
    scene.bridge.delete(&participant);

    anna.call.expect(&[2_000], &[]);
    let left = scene.bridge.wait_leg("participant.left", &anna.leg);
    assert_eq!(left["data"]["left_reason"], "kicked");
}
