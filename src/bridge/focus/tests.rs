//! What phones are told of the conference that they are in.

use api::control::{Command, IfMatch};
use api::event::EventType;
use api::model::{Invite, LegQuery};
use serde_json::{Value, json};

use crate::bridge::registrations::tests::{Phone, authorization};
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

#[test]
fn a_refer_from_outside_adds_whom_it_names_and_tells_how_that_goes() {
    let mut scene = scene();
    scene.call("standup");

    let sent = refer(&mut scene, "standup", "<sip:anna@10.0.0.9;method=INVITE>", "");
    let invite = sent.iter().find(|sent| sent.starts_with("INVITE ")).unwrap().clone();
    scene.say(answer(&invite, 200));

    assert!(sent[0].starts_with("SIP/2.0 202 "), "{sent:?}");
    assert!(contact(&sent[0]).ends_with(";isfocus"));
    assert!(invite.starts_with("INVITE sip:anna@10.0.0.9 SIP/2.0"), "{invite}");
    assert_eq!(contact(&invite), "<sip:standup@10.0.0.254:5060>;isfocus");
    let last = scene.sent.iter().find(|sent| sent.starts_with("NOTIFY ")).unwrap();
    assert!(last.ends_with("SIP/2.0 200 OK\r\n"), "{last}");
}

#[test]
fn a_user_removes_its_own_phone_from_outside_and_no_other() {
    let mut phone = Phone::new();
    phone.register("alice", "alice");
    let [invite] = phone.ring(["desk"]);
    let mut scene = phone.scene;
    scene.say(answer(&invite, 200));
    scene.call("hall");
    let own = "<sip:alice@plenary;method=BYE>";

    let unproven = refer(&mut scene, "hall", own, "").remove(0);
    scene.peer = "203.0.113.9:5060".parse().unwrap();
    let challenged = refer(&mut scene, "hall", own, "").remove(0);
    let line = authorization(&challenged, "REFER", "alice");
    let other = refer(&mut scene, "hall", "<sip:phone@10.0.0.1;method=BYE>", &line).remove(0);
    let challenged = refer(&mut scene, "hall", own, "").remove(0);
    let line = authorization(&challenged, "REFER", "alice");
    let sent = refer(&mut scene, "hall", own, &line);

    assert!(unproven.starts_with("SIP/2.0 403 "), "{unproven}: nobody said that it is a user");
    assert!(other.starts_with("SIP/2.0 403 "), "{other}");
    assert!(sent[0].starts_with("SIP/2.0 202 "), "{sent:?}");
    assert!(sent.iter().any(|sent| sent.ends_with("SIP/2.0 200 OK\r\n")), "{sent:?}");
    let left = scene.happened.iter().find(|event| event.kind == EventType::ParticipantLeft);
    let left: Value = left.unwrap().data.read().unwrap();
    assert_eq!(left["left_reason"], "kicked");
}

#[test]
fn a_moderator_removes_another_within_its_dialog_and_nobody_else_does() {
    for (role, status) in [("moderator", 202), ("speaker", 403)] {
        remove_another(role, status);
    }
}

fn remove_another(role: &str, status: u16) {
    let mut scene = scene();
    scene.call("standup");
    let joined = scene.call("standup");
    let to = joined.lines().find(|line| line.starts_with("To:")).unwrap();
    let tag = to[to.find(";tag=").unwrap()..].to_owned();
    scene.request("ACK", "standup", 2, &tag);
    let query = LegQuery::default();
    let legs = scene.ask(|reply| Command::ListLegs { query, reply }).unwrap().items;
    let (own, other) = (legs[0].id, legs[1].id); // newest first
    let (room, body) = ("standup".to_owned(), serde_json::from_value(json!({ "role": role })));
    let body = body.unwrap();
    scene
        .ask(|reply| Command::UpdateParticipant {
            room,
            leg: own,
            body,
            condition: IfMatch::default(),
            reply,
        })
        .unwrap();

    scene.headers = format!("Refer-To: <sip:phone@10.0.0.1;leg={other};method=BYE>\r\n");
    scene.request("REFER", "standup", 2, &tag);

    assert!(scene.sent[0].starts_with(&format!("SIP/2.0 {status} ")), "{:?}", scene.sent);
    let left = scene.happened.iter().filter(|event| event.kind == EventType::ParticipantLeft);
    let left: Vec<_> = left.map(|event| event.leg).collect();
    let expected = if status == 202 { vec![Some(other)] } else { vec![] };
    assert_eq!(left, expected);
}

#[test]
fn what_the_focus_does_not_do_for_others_is_refused() {
    for (room, target, more, status) in [
        ("standup", "<sip:nobody@10.0.0.1;method=BYE>", "", 404),
        ("standup", "<sip:phone@10.0.0.1;method=MESSAGE>", "", 501),
        ("standup", "<tel:+4930123456>", "", 416),
        ("nowhere", "<sip:anna@10.0.0.9>", "", 403),
    ] {
        let mut scene = scene();
        scene.call("standup");

        let sent = refer(&mut scene, room, target, more);

        assert!(sent[0].starts_with(&format!("SIP/2.0 {status} ")), "{target}: {sent:?}");
    }
}

#[test]
fn nobody_directs_a_locked_room_from_outside() {
    let mut scene = scene();
    scene.call("standup");
    let room = "standup".to_owned();
    scene
        .ask(|reply| Command::LockRoom { room, locked: true, condition: IfMatch::default(), reply })
        .unwrap();

    let sent = refer(&mut scene, "standup", "<sip:phone@10.0.0.1;method=BYE>", "");

    assert!(sent[0].starts_with("SIP/2.0 403 "), "{sent:?}");
}

#[test]
fn a_stranger_proves_who_it_is_before_the_focus_does_anything() {
    let mut settings = bridge_settings(&Config::default(), 1);
    settings.access.users.insert("anna".to_owned(), "secret".to_owned());
    let mut scene = Scene::new(settings);
    scene.call("standup");
    scene.peer = "203.0.113.9:5060".parse().unwrap();

    let sent = refer(&mut scene, "standup", "<sip:phone@10.0.0.1;method=BYE>", "");

    assert!(sent[0].starts_with("SIP/2.0 401 "), "{sent:?}");
    assert!(sent[0].contains("WWW-Authenticate: "));
}

/// What a REFER outside of any dialog is answered with.
fn refer(scene: &mut Scene, room: &str, target: &str, more: &str) -> Vec<String> {
    scene.headers = format!("Refer-To: {target}\r\n{more}");
    scene.calls += 50;
    scene.request("REFER", room, scene.calls, "");
    scene.sent.clone()
}

fn answer(invite: &str, status: u16) -> String {
    let header = |name: &str| {
        let value = invite.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap()
    };
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(header);
    let body = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 0\r\n";
    let length = body.len();
    format!(
        "SIP/2.0 {status} Fine\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag=a\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq}\r\nContact: <sip:anna@10.0.0.9>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn scene() -> Scene {
    Scene::new(bridge_settings(&Config::default(), 1))
}

fn contact(message: &str) -> &str {
    message.lines().find_map(|line| line.strip_prefix("Contact: ")).unwrap_or("none")
}
