use api::control::{Command, ControlError};
use api::model::{PageQuery, TrunkState};
use serde_json::{Value, json};

use super::*;
use crate::bridge::Settings;
use crate::bridge::scene::{Scene, header, response};
use crate::bridge_settings;
use crate::config::Config;

fn settings() -> Settings {
    bridge_settings(&Config::default(), 1)
}

fn config(more: &Value) -> TrunkConfig {
    let mut config = json!({"name": "carrier", "gateways": ["sip:192.0.2.1"],
        "username": "4930", "password": "secret", "register": true});
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    serde_json::from_value(config).unwrap()
}

fn create(scene: &mut Scene, config: TrunkConfig) -> Answer<model::Trunk> {
    scene.ask(|reply| Command::CreateTrunk { body: config, reply })
}

fn replace(scene: &mut Scene, config: TrunkConfig) -> Answer<model::Trunk> {
    let (trunk, condition) = ("carrier".to_owned(), IfMatch::default());
    scene.ask(|reply| Command::ReplaceTrunk { trunk, body: config, condition, reply })
}

fn delete(scene: &mut Scene) -> Answer<()> {
    let (trunk, condition) = ("carrier".to_owned(), IfMatch::default());
    scene.ask(|reply| Command::DeleteTrunk { trunk, condition, reply })
}

/// The carrier takes the REGISTER that was just sent.
fn registered(scene: &mut Scene) -> String {
    let register = scene.sent("REGISTER ").to_owned();
    scene.say(response(&register, (200, "c"), ""));
    register
}

fn kept(scene: &Scene) -> Vec<Document> {
    let put = |change: &Change| match change {
        Change::Put(document) => Some(document.clone()),
        Change::Remove(..) => None,
    };
    scene.stored.iter().filter_map(put).collect()
}

#[test]
fn a_trunk_that_is_made_registers_and_is_watched_at_once_and_after_a_restart() {
    let mut scene = Scene::new(settings());

    let made = create(&mut scene, config(&json!({}))).unwrap();
    let (registers, asks) = (scene.has_sent("REGISTER sip:192.0.2.1 "), scene.has_sent("OPTIONS "));
    let again = Scene::new(Settings { kept: kept(&scene), ..settings() });

    assert!(registers && asks, "{:?}", scene.sent);
    assert!(again.has_sent("REGISTER sip:192.0.2.1 ") && again.has_sent("OPTIONS "));
    let shown = serde_json::to_value(&made).unwrap();
    assert_eq!((&shown["source"], &shown["config"]["username"]), (&json!("api"), &json!("4930")));
    assert!(!shown.to_string().contains("secret"), "{shown}");
}

#[test]
fn a_trunk_that_is_deleted_is_unregistered_and_left_alone() {
    let mut scene = Scene::new(settings());
    create(&mut scene, config(&json!({}))).unwrap();
    let register = registered(&mut scene);

    delete(&mut scene).unwrap();
    let gone = scene.sent("REGISTER ").to_owned();
    scene.wait(std::time::Duration::from_hours(2));

    assert_eq!(header(&gone, "Expires"), "0");
    assert_eq!(header(&gone, "Call-ID"), header(&register, "Call-ID"));
    let asked_again = scene.sent.iter().any(|sent| sent.starts_with("OPTIONS "));
    assert!(!asked_again, "{:?}", scene.sent);
    let list = scene.ask(|reply| Command::ListTrunks { query: PageQuery::default(), reply });
    assert!(list.unwrap().items.is_empty());
}

#[test]
fn calls_through_a_trunk_go_on_when_it_is_deleted() {
    let mut scene = Scene::new(settings());
    create(&mut scene, config(&json!({}))).unwrap();
    let body = serde_json::from_value(json!({"to": "+4930", "trunk": "carrier"})).unwrap();
    let room = "hall".to_owned();
    let dialled = scene.ask(|reply| Command::Invite { room, body, reply }).unwrap();
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (200, "c"), crate::bridge::scene::SDP));

    delete(&mut scene).unwrap();

    assert!(!scene.has_sent("BYE "), "{:?}", scene.sent);
    assert!(scene.leg(dialled.leg).answered_at.is_some());
}

#[test]
fn a_password_that_is_not_given_stays_and_a_name_that_stays_keeps_its_registration() {
    let mut scene = Scene::new(settings());
    create(&mut scene, config(&json!({}))).unwrap();
    let register = registered(&mut scene);

    let changed = replace(&mut scene, config(&json!({"password": "", "max_calls": 3}))).unwrap();
    let registers: Vec<_> =
        scene.sent.iter().filter(|sent| sent.starts_with("REGISTER ")).cloned().collect();

    assert_eq!(changed.max_calls, 3);
    let last = kept(&scene).pop().unwrap();
    assert!(last.body.contains("\"secret\""), "{}", last.body);
    assert_eq!(registers.len(), 1, "{registers:?}");
    assert_eq!(header(&registers[0], "Call-ID"), header(&register, "Call-ID"));
    assert_eq!(header(&registers[0], "CSeq"), "2 REGISTER");
    assert_eq!(header(&registers[0], "Expires"), "3600");
}

#[test]
fn a_trunk_that_a_route_names_is_not_deleted() {
    let mut scene = Scene::new(settings());
    create(&mut scene, config(&json!({}))).unwrap();
    let body = json!({"name": "out", "steps": [{"trunk": "carrier"}]});
    let body = serde_json::from_value(body).unwrap();
    scene.ask(|reply| Command::CreateRoute { body, reply }).unwrap();

    let refused = delete(&mut scene);

    assert!(matches!(refused, Err(ControlError::Conflict { code: "trunk_in_use", .. })));
}

#[test]
fn a_field_that_cannot_be_is_pointed_at() {
    let mut scene = Scene::new(settings());
    let cases = [
        (json!({"gateways": []}), "/gateways"),
        (json!({"gateways": ["tel:1"]}), "/gateways"),
        (json!({"password": ""}), "/password"),
        (json!({"expires": "1s"}), "/expires"),
        (json!({"networks": ["10.0.0.0"]}), "/networks"),
        (json!({"max_call": 3}), "/max_call"),
        (json!({"name": "a/b"}), "/name"),
    ];

    for (more, expected) in cases {
        let refused = create(&mut scene, config(&more)).unwrap_err();

        let ControlError::Invalid { pointer, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(pointer, expected, "{refused}");
    }
    assert!(scene.stored.is_empty());
}

#[test]
fn a_trunk_of_the_settings_is_changed_there() {
    let fixed = (settings().read_trunk)(&config(&json!({"register": false}))).unwrap();
    let mut scene = Scene::new(Settings { trunks: vec![fixed], ..settings() });

    let refused = delete(&mut scene).unwrap_err();
    let shown = scene.ask(|reply| Command::Trunk { trunk: "carrier".to_owned(), reply });

    assert!(refused.to_string().contains("change it there"), "{refused}");
    assert_eq!(shown.unwrap().state, TrunkState::Unknown);
}
