//! Attended transfer: seats taken over, conversations joined, second calls, and what is left when it fails.

use crate::support::{Baresip, Call, Line, SECOND, Scene, Sipp, Value, has_program, json, scene};

/// Connects two lines; the call, and its legs in this order.
fn connect(scene: &Scene, lines: [&Line<'_>; 2]) -> (String, [String; 2]) {
    let body = json!({"legs": [{"to": lines[0].uri()}, {"to": lines[1].uri()}]});
    let id = scene.bridge.post("/v1/calls", &body)["id"].as_str().unwrap().to_owned();
    let event = scene.bridge.wait("call.connected", |event| event["call"] == id.as_str());
    let leg = |index: usize| event["data"]["legs"][index].as_str().unwrap().to_owned();
    let legs = [leg(0), leg(1)];
    (id, legs)
}

/// Anna is in a call with Bert, and in another with Carl.
struct Consultation<'s> {
    first: Call<'s>,
    second: Call<'s>,
    bert: Call<'s>,
    carl: Call<'s>,
    legs: [String; 2],
}

impl<'s> Consultation<'s> {
    fn begin(scene: &'s Scene) -> Self {
        let anna = scene.answering("anna", 440);
        let bert = scene.answering("bert", 880);
        let carl = scene.answering("carl", 1320);
        let (_, [one, _]) = connect(scene, [&anna, &bert]);
        let first = anna.incoming();
        first.order("hold", json!({}));
        let (_, [other, _]) = connect(scene, [&anna, &carl]);
        let second = anna.incoming();
        Self { first, second, bert: bert.incoming(), carl: carl.incoming(), legs: [one, other] }
    }

    fn assert_others_talk(&self) {
        self.bert.expect(&[1320], &[440]);
        self.carl.expect(&[880], &[440]);
    }
}

#[test]
fn a_call_takes_the_seat_of_another_without_a_gap() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let body = json!({"display_name": "Chair", "role": "moderator"});
    scene.bridge.patch(&format!("/v1/rooms/standup/participants/{}", anna.leg), &body);

    let options = json!({"replaces": anna.call.name()});
    let carl = scene.line("carl").call("carl-out", &scene.bridge.uri("x"), 1320, options);

    let replaced = scene.bridge.wait_leg("leg.replaced", &anna.leg);
    let ended = anna.call.wait("ended");
    assert!(ended["reason"].as_str().unwrap().contains("Replaced by another call"), "{ended}");
    bert.call.expect(&[1320], &[440]);
    carl.expect(&[880], &[440]);
    let people = scene.bridge.get("/v1/rooms/standup/participants");
    let items = people["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{people}");
    let new = items.iter().find(|one| one["leg"] == replaced["data"]["by"]).unwrap();
    assert_eq!((&new["display_name"], &new["role"]), (&json!("Chair"), &json!("moderator")));
    scene.phones.assert_no_objections();
}

#[test]
fn a_call_that_names_no_dialog_of_ours_changes_nothing() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let headers = |value: &str| json!({"headers": [["Replaces", value]]});

    let line = scene.line("carl");
    let carl = line.dial("one", &scene.bridge.uri("standup"), headers("x;to-tag=1;from-tag=2"));
    let dora = line.dial("two", &scene.bridge.uri("standup"), headers("x;to-tag=1"));

    assert_eq!(carl.wait("failed")["status"], 481);
    assert_eq!(dora.wait("failed")["status"], 400);
    anna.call.expect(&[880], &[]);
    bert.call.expect(&[440], &[1320]);
}

#[test]
fn who_joins_a_call_of_two_hears_both_and_is_heard() {
    let scene = scene();
    let (anna, bert) = (scene.answering("anna", 440), scene.answering("bert", 880));
    let (id, _) = connect(&scene, [&anna, &bert]);
    let (first, second) = (anna.incoming(), bert.incoming());

    let options = json!({"join": second.name()});
    let carl = scene.line("carl").call("carl-out", &scene.bridge.uri("x"), 1320, options);

    scene.bridge.wait("call.updated", |event| event["call"] == id.as_str());
    carl.expect(&[440, 880], &[]);
    first.expect(&[880, 1320], &[]);
    second.expect(&[440, 1320], &[]);
    first.hang_up();
    second.expect(&[1320], &[440]);
}

#[test]
fn a_phone_connects_its_two_calls_and_leaves() {
    let scene = scene();
    let talk = Consultation::begin(&scene);

    talk.first.order("refer", json!({"replaces": talk.second.name()}));

    assert_eq!(talk.first.wait("refer_answered")["status"], 202);
    talk.first.wait_for("notify", |event| event["status"] == 200);
    talk.assert_others_talk();
    talk.second.wait("ended");
    talk.first.wait("ended");
    let completed = scene.bridge.wait_leg("leg.transfer_completed", &talk.legs[0]);
    assert_eq!(completed["data"]["with"], talk.legs[1].as_str(), "{completed}");
    scene.phones.assert_no_objections();
}

#[test]
fn a_phone_that_wants_no_reports_gets_none() {
    let scene = scene();
    let talk = Consultation::begin(&scene);

    talk.first.order("refer", json!({"replaces": talk.second.name(), "reports": false}));

    assert_eq!(talk.first.wait("refer_answered")["status"], 202);
    talk.assert_others_talk();
    talk.first.wait("ended");
    assert!(!scene.phones.seen("notify", |_| true), "{}", scene.phones.told());
}

#[test]
fn a_phone_hands_its_caller_on_into_a_room() {
    let scene = scene();
    let (anna, bert) = (scene.answering("anna", 440), scene.answering("bert", 880));
    let carl = scene.join("carl", "standup", 1320);
    connect(&scene, [&anna, &bert]);
    let (first, bert) = (anna.incoming(), bert.incoming());
    let second = anna.call("aside", &scene.bridge.uri("standup"), 440, json!({}));

    first.order("refer", json!({"replaces": second.name()}));

    first.wait_for("notify", |event| event["status"] == 200);
    scene.bridge.wait("participant.moved", |_| true);
    bert.expect(&[1320], &[440]);
    carl.call.expect(&[880], &[440]);
}

/// Anna talks to Bert through the bridge, and to Dora without it.
fn aside(scene: &Scene) -> (Call<'_>, Call<'_>, Line<'_>, Call<'_>) {
    let (anna, bert) = (scene.answering("anna", 440), scene.answering("bert", 880));
    let dora = scene.answering("dora", 1320);
    connect(scene, [&anna, &bert]);
    let first = anna.incoming();
    let aside = anna.call("aside", dora.uri(), 440, json!({}));
    (first, bert.incoming(), dora, aside)
}

#[test]
fn the_target_of_a_call_elsewhere_is_called_in_its_place() {
    let scene = scene();
    let (first, bert, dora, aside) = aside(&scene);
    let old = dora.incoming();

    first.order("refer", json!({"replaces": aside.name()}));

    let (new, event) = dora.incoming_event();
    assert!(event["replaces"].as_str().unwrap().contains(";to-tag="), "{event}");
    assert!(event["referred_by"].as_str().unwrap().contains("anna"), "{event}");
    first.wait_for("notify", |event| event["status"] == 200);
    old.wait("ended");
    aside.wait("ended");
    first.wait("ended");
    bert.expect(&[1320], &[440]);
    new.expect(&[880], &[440]);
}

#[test]
fn when_the_target_refuses_all_hear_each_other_as_before() {
    let scene = scene();
    let (first, bert, dora, aside) = aside(&scene);
    let old = dora.incoming();
    dora.behave(json!({"on_invite": "busy"}));
    first.order("hold", json!({}));
    bert.expect(&[], &[440]);

    first.order("refer", json!({"replaces": aside.name()}));

    first.wait_for("notify", |event| event["status"] == 486);
    let failed = scene.bridge.wait("leg.transfer_failed", |_| true);
    assert_eq!(failed["data"]["reason"], "target_failed", "{failed}");
    assert_eq!(failed["data"]["held_by"], "remote", "{failed}");
    old.expect(&[440], &[]);
    first.order("resume", json!({}));
    first.expect(&[880], &[]);
    bert.expect(&[440], &[1320]);
    assert_eq!(scene.bridge.count("leg.ended", |event| event["data"]["end_reason"] != "busy"), 0);
}

#[test]
fn the_api_connects_the_parties_of_two_legs() {
    let scene = scene();
    let talk = Consultation::begin(&scene);
    let path = format!("/v1/legs/{}/transfer", talk.legs[0]);

    let leg = scene.bridge.post(&path, &json!({"leg": talk.legs[1]}));

    assert_eq!(leg["end_reason"], "transferred", "{leg}");
    talk.assert_others_talk();
    talk.first.wait("ended");
    talk.second.wait("ended");
    scene.bridge.wait_leg("leg.transfer_completed", &talk.legs[0]);
}

#[test]
fn the_api_sends_one_phone_to_the_other() {
    let scene = scene();
    let (anna, bert) = (scene.answering("anna", 440), scene.answering("bert", 880));
    let (_, legs) = connect(&scene, [&anna, &bert]);
    let (first, second) = (anna.incoming(), bert.incoming());
    let path = format!("/v1/legs/{}/transfer", legs[0]);

    scene.bridge.post(&path, &json!({"leg": legs[1], "mode": "refer"}));

    assert!(first.wait("referred")["referred_by"].is_string());
    let (new, event) = bert.incoming_event();
    assert!(event["replaces"].is_string(), "{event}");
    scene.bridge.wait_leg("leg.transfer_completed", &legs[0]);
    second.wait("ended");
    for leg in &legs {
        scene.bridge.wait_leg("leg.ended", leg);
    }
    new.expect(&[440], &[]);
    Call::named(&scene.phones, &format!("{}-transferred", first.name())).expect(&[880], &[]);
}

#[test]
fn what_the_api_cannot_connect_is_a_problem_with_a_code() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "other", 880);
    let path = format!("/v1/legs/{}/transfer", anna.leg);
    let code = |body: &Value| {
        let response = scene.bridge.try_request("POST", &path, Some(body));
        (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
    };

    assert_eq!(code(&json!({"leg": bert.leg})), (409, "two_rooms".into()));
    assert_eq!(code(&json!({"leg": anna.leg})).0, 422);
    assert_eq!(code(&json!({"to": "sip:x@h", "mode": "refer"})).0, 422);
    assert_eq!(code(&json!({"leg": bert.leg, "mode": "magic"})).0, 422);
}

#[test]
fn sipp_replaces_joins_and_refers() {
    assert!(has_program("sipp"), "sipp is not installed (Debian: sip-tester)");
    let scene = scene();
    let dora = scene.line("dora");
    let anna = scene.join("anna", "standup", 440);
    let target = scene.bridge.sip.to_string();

    for scenario in ["replaces.xml", "join.xml", "refer_replaces.xml"] {
        Sipp::new(&target, "standup", scenario)
            .args(&["-m", "1", "-key", "target", dora.uri()])
            .expect_success();
    }

    scene.bridge.wait("leg.replaced", |_| true);
    let failed = scene.bridge.wait("leg.transfer_failed", |_| true);
    assert_eq!(failed["data"]["sip"]["status"], 481, "{failed}");
    assert_eq!(scene.bridge.get(&format!("/v1/legs/{}", anna.leg))["state"], "answered");
}

#[test]
fn baresip_is_heard_by_who_takes_the_other_seat() {
    assert!(has_program("baresip"), "baresip is not installed");
    let scene = scene();
    let baresip = Baresip::call("bare", &scene.bridge.uri("standup"), 880);
    scene.joined("bare");
    let anna = scene.join("anna", "standup", 440);
    anna.call.expect(&[880], &[]);

    let options = json!({"replaces": anna.call.name()});
    let carl = scene.line("carl").call("carl-out", &scene.bridge.uri("x"), 1320, options);

    scene.bridge.wait_leg("leg.replaced", &anna.leg);
    carl.expect(&[880], &[440]);
    carl.hear(&[880], SECOND, SECOND);
    assert!(baresip.finish().holds(1320), "baresip goes on with who came");
}
