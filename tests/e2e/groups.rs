//! Who hears whom in a room: sidebars, whispering, listening in and interpreters, as phones hear them.

use crate::support::{Call, SECOND, SETTLE, Scene, Seat, Value, json, level, scene};

const ANNA: u32 = 440;
const BERT: u32 = 880;
const CARL: u32 = 1_320;
const DORA: u32 = 1_760;

/// Changes a participant of the room.
fn put(scene: &Scene, leg: &str, change: &Value) -> Value {
    scene.bridge.patch(&format!("/v1/rooms/board/participants/{leg}"), change)
}

fn three(scene: &Scene) -> [Seat<'_>; 3] {
    [("anna", ANNA), ("bert", BERT), ("carl", CARL)].map(|(name, hz)| scene.join(name, "board", hz))
}

/// Each hears of these tones the first ones, and not the others.
fn expect_all(rows: &[(&Call<'_>, &[u32], &[u32])]) {
    for (call, heard, unheard) in rows {
        call.expect(heard, unheard);
    }
}

#[test]
fn a_whisper_is_heard_by_one_and_a_monitor_by_nobody() {
    let scene = scene();
    let [customer, agent, boss] = three(&scene);
    let calls = [&customer.call, &agent.call, &boss.call];

    let shown = put(&scene, &boss.leg, &json!({"role": "coach", "coaching": agent.leg}));
    assert_eq!(shown["supervision"], "whisper", "{shown}");
    expect_all(&[
        (calls[1], &[ANNA, CARL], &[BERT]),
        (calls[0], &[BERT], &[ANNA, CARL]),
        (calls[2], &[ANNA, BERT], &[CARL]),
    ]);

    put(&scene, &boss.leg, &json!({"supervision": "barge"}));
    expect_all(&[(calls[0], &[BERT, CARL], &[ANNA]), (calls[1], &[ANNA, CARL], &[BERT])]);

    put(&scene, &boss.leg, &json!({"supervision": "monitor"}));
    expect_all(&[
        (calls[0], &[BERT], &[ANNA, CARL]),
        (calls[1], &[ANNA], &[BERT, CARL]),
        (calls[2], &[ANNA, BERT], &[CARL]),
    ]);
}

#[test]
fn a_coach_who_is_dialled_whispers_and_listens_on_when_the_agent_has_gone() {
    let scene = scene();
    let [customer, agent] =
        [("anna", ANNA), ("bert", BERT)].map(|(name, hz)| scene.join(name, "board", hz));
    let boss = scene.answering("boss", CARL);

    let invite = json!({"to": boss.uri(), "role": "coach", "coaching": agent.leg});
    scene.bridge.post("/v1/rooms/board/participants", &invite);
    let leg = scene.joined("boss");
    let boss = boss.incoming();
    agent.call.expect(&[ANNA, CARL], &[BERT]);
    customer.call.expect(&[BERT], &[CARL]);
    agent.call.hang_up();

    let told = scene.bridge.wait("participant.updated", |event| {
        event["leg"] == leg.as_str() && event["data"]["previous_coaching"] == agent.leg.as_str()
    });
    assert_eq!(told["data"]["supervision"], "monitor", "{told}");
    boss.expect(&[ANNA], &[BERT]);
    customer.call.expect(&[], &[BERT, CARL]);
}

#[test]
fn a_sidebar_is_heard_by_nobody_else_and_hears_the_others_softly() {
    let scene = scene();
    let [anna, bert, carl] = three(&scene);
    let dora = scene.join("dora", "board", DORA);
    scene.bridge.patch("/v1/rooms/board", &json!({"groups": {"aside": {"relation": "sidebar"}}}));

    let path = format!("/v1/rooms/board/participants?legs={},{}", carl.leg, dora.leg);
    let moved = scene.bridge.patch(&path, &json!({"group": "aside"}));

    assert_eq!(moved["items"].as_array().map(Vec::len), Some(2), "{moved}");
    expect_all(&[
        (&anna.call, &[BERT], &[CARL, DORA]),
        (&bert.call, &[ANNA], &[CARL, DORA]),
        (&carl.call, &[DORA], &[CARL]),
    ]);
    let heard = dora.call.hear(&[CARL, ANNA, BERT], SECOND, SETTLE);
    for at in [1, 2] {
        let below = level(&heard, 0) - level(&heard, at);
        assert!((below - 20.0).abs() < 1.5, "{heard}");
    }

    scene.bridge.patch(&path, &json!({"group": "main"}));
    anna.call.expect(&[BERT, CARL, DORA], &[]);
}

#[test]
fn who_listens_to_an_interpreter_hears_the_speaker_lower_while_she_speaks() {
    let scene = scene();
    let groups =
        json!({"tr": {"relation": "interpreter"}, "ears": {"relation": "audience", "of": "tr"}});
    scene.bridge.post("/v1/rooms", &json!({"name": "board", "groups": groups}));
    let [speaker, interpreter, listener] = three(&scene);
    let before = level(&listener.call.hear(&[ANNA], SECOND, SETTLE), 0);

    put(&scene, &interpreter.leg, &json!({"group": "tr"}));
    put(&scene, &listener.leg, &json!({"group": "ears"}));

    listener.call.expect(&[BERT], &[CARL]);
    speaker.call.expect(&[CARL], &[BERT]);
    interpreter.call.expect(&[ANNA, CARL], &[BERT]);
    let heard = listener.call.hear(&[ANNA, BERT], SECOND, SETTLE);
    let (lowered, hers) = (level(&heard, 0), level(&heard, 1));
    assert!((before - lowered - 18.0).abs() < 1.5, "{before} {heard}");
    assert!((hers - before).abs() < 1.5, "{before} {heard}");

    put(&scene, &interpreter.leg, &json!({"muted": true}));
    listener.call.expect(&[ANNA], &[BERT]);
    let path = format!("/v1/rooms/board/participants/{}", interpreter.leg);
    assert_eq!(scene.bridge.get(&path)["group"], "tr", "it stays hers");
    let after = level(&listener.call.hear(&[ANNA], SECOND, 2 * SECOND), 0);
    assert!((after - before).abs() < 1.5, "{before} {after}");
}

/// Each on a thread of its own: groups reach over the parts of a room.
#[test]
fn a_room_on_two_threads_has_the_same_groups_on_both() {
    let config = "[media]\nworkers = 2\nspread_above = 1\n".to_owned();
    let scene =
        crate::support::scene_with(crate::support::Options { config, ..Default::default() });
    let [anna, bert, carl] = three(&scene);
    let dora = scene.join("dora", "board", DORA);

    put(&scene, &carl.leg, &json!({"group": "aside"}));
    put(&scene, &dora.leg, &json!({"group": "aside"}));

    expect_all(&[
        (&anna.call, &[BERT], &[CARL, DORA]),
        (&bert.call, &[ANNA], &[CARL, DORA]),
        (&carl.call, &[DORA], &[ANNA, BERT]),
        (&dora.call, &[CARL], &[ANNA, BERT]),
    ]);
}

#[test]
fn what_cannot_be_is_refused_by_its_place_in_the_body() {
    let scene = scene();
    let [anna, bert, _carl] = three(&scene);
    let path = format!("/v1/rooms/board/participants/{}", anna.leg);
    for (path, body, status, expected) in [
        (path.as_str(), json!({"coaching": bert.leg}), 422, "/coaching"),
        (path.as_str(), json!({"role": "coach", "coaching": "nobody"}), 422, "/coaching"),
        (path.as_str(), json!({"group": "a b"}), 422, "/group"),
        (
            "/v1/rooms/board",
            json!({"groups": {"x": {"ducked_by": "y"}}}),
            422,
            "/groups/x/ducked_by",
        ),
        ("/v1/rooms/board", json!({"groups": {"x": {"duck_db": 90}}}), 422, "/groups/x/duck_db"),
    ] {
        let answer = scene.bridge.try_request("PATCH", path, Some(&body));
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], expected, "{}", answer.text);
    }
    put(&scene, &anna.leg, &json!({"group": "aside"}));

    let body = json!({"groups": {"aside": null}});
    let answer = scene.bridge.try_request("PATCH", "/v1/rooms/board", Some(&body));

    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("group_in_use")));
}
