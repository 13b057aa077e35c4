//! What phones are told of the conference that they are in.

use api::control::Command;
use api::model::Invite;

use crate::bridge::scene::Scene;
use crate::bridge_settings;
use crate::config::Config;

#[test]
fn a_caller_of_a_room_is_told_that_it_talks_to_the_focus() {
    let mut scene = scene();

    let answer = scene.call("standup");

    assert_eq!(contact(&answer), "<sip:standup@10.0.0.254:5060>;isfocus");
}

#[test]
fn whoever_is_called_from_a_room_is_told_too() {
    let mut scene = scene();
    let body: Invite = serde_json::from_str(r#"{"to": "sip:anna@10.0.0.1"}"#).unwrap();

    scene.ask(|reply| Command::Invite { room: "hall".to_owned(), body, reply }).unwrap();

    let invite = scene.sent.iter().find(|sent| sent.starts_with("INVITE ")).unwrap();
    assert_eq!(contact(invite), "<sip:hall@10.0.0.254:5060>;isfocus");
}

#[test]
fn the_parties_of_a_call_talk_to_no_focus() {
    let mut scene = scene();
    let body = serde_json::from_str(
        r#"{"legs": [{"to": "sip:anna@10.0.0.1"}, {"to": "sip:bert@10.0.0.2"}]}"#,
    );

    scene.ask(|reply| Command::CreateCall { body: body.unwrap(), reply }).unwrap();

    let invite = scene.sent.iter().find(|sent| sent.starts_with("INVITE ")).unwrap();
    assert!(!invite.contains("isfocus"), "{invite}");
}

#[test]
fn options_tell_of_the_focus_and_of_its_events() {
    let mut scene = scene();
    scene.call("standup");

    let answer = scene.request("OPTIONS", "standup", 7, "");

    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert_eq!(contact(&answer), "<sip:standup@10.0.0.254:5060>;isfocus");
}

#[test]
fn whoever_calls_the_factory_gets_a_room_of_its_own() {
    let mut scene = scene();

    let first = scene.call("conference-factory");
    let second = scene.call("conference-factory");

    let [first, second] = [first, second].map(|answer| contact(&answer).to_owned());
    assert!(first.starts_with("<sip:conf-") && first.ends_with(";isfocus"), "{first}");
    assert_ne!(first, second);
}

#[test]
fn the_room_of_a_factory_is_called_by_what_its_contact_says() {
    let mut scene = scene();
    let answer = scene.call("conference-factory");
    let name = contact(&answer).trim_start_matches("<sip:").split_once('@').unwrap().0.to_owned();

    let other = scene.call(&name);

    assert_eq!(contact(&other), contact(&answer));
}

#[test]
fn strangers_get_no_room_of_the_factory() {
    let mut settings = bridge_settings(&Config::default(), 1);
    settings.auto_create_from.clear();
    let mut scene = Scene::new(settings);

    let answer = scene.call("conference-factory");

    assert!(answer.starts_with("SIP/2.0 404 "), "{answer}");
}

fn scene() -> Scene {
    Scene::new(bridge_settings(&Config::default(), 1))
}

fn contact(message: &str) -> &str {
    message.lines().find_map(|line| line.strip_prefix("Contact: ")).unwrap_or("none")
}
