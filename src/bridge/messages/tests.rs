//! Who gets what is said in writing, and what is told of it.

use api::control::Command;
use api::event::EventType;
use api::model::{MessageState, PageQuery, SendMessage};
use serde_json::Value;

use crate::bridge::scene::Scene;
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;

#[test]
fn what_a_participant_says_reaches_the_others_who_take_messages() {
    let mut scene = scene();
    let anna = join(&mut scene, "anna", 10, "Allow: INVITE, MESSAGE\r\n");
    join(&mut scene, "bert", 20, "Allow: INVITE, MESSAGE\r\n");
    join(&mut scene, "carl", 30, "Allow: INVITE\r\n");

    scene.say(message("standup", "anna", (10, 2), &anna));

    assert!(scene.sent[0].starts_with("MESSAGE sip:bert@10.0.0.1"), "{:?}", scene.sent);
    assert!(
        scene.sent[0].contains("\r\nFrom: \"anna\" <sip:standup@10.0.0.254>;tag=")
            || scene.sent[0].contains("\r\nFrom: anna <sip:standup@10.0.0.254>;tag="),
        "{:?}",
        scene.sent
    );
    assert!(scene.sent[0].ends_with("\r\n\r\nhello"), "{:?}", scene.sent);
    assert!(scene.sent[1].starts_with("SIP/2.0 200 "), "{:?}", scene.sent);
    assert_eq!(scene.sent.len(), 2);
    let received = told(&scene, EventType::MessageReceived).unwrap();
    assert_eq!((&received["body"], &received["recipients"]), (&"hello".into(), &1.into()));
    let sent = scene.sent[0].clone();
    scene.say(answer(&sent, 200));
    assert_eq!(told(&scene, EventType::MessageDelivered).unwrap()["delivered"], 1);
}

#[test]
fn whoever_may_call_a_room_may_say_something_to_it() {
    let mut scene = scene();
    join(&mut scene, "bert", 20, "Allow: MESSAGE\r\n");

    scene.say(message("standup", "dora", (50, 1), ""));

    assert!(scene.sent.iter().any(|sent| sent.starts_with("MESSAGE sip:bert@")));
    assert!(scene.sent.iter().any(|sent| sent.starts_with("SIP/2.0 200 ")));
}

#[test]
fn what_is_for_nobody_we_know_is_refused() {
    let mut scene = scene();

    scene.say(message("nowhere", "dora", (50, 1), ""));

    assert!(scene.sent[0].starts_with("SIP/2.0 404 "), "{:?}", scene.sent);
    assert!(scene.happened.is_empty());
}

#[test]
fn a_stranger_says_nothing() {
    let mut settings = with_user();
    settings.access.open_to.clear();
    let mut scene = Scene::new(settings);

    scene.say(message("anna", "dora", (50, 1), ""));

    assert!(scene.sent[0].starts_with("SIP/2.0 401 "), "{:?}", scene.sent);
}

#[test]
fn a_message_waits_for_a_phone_of_its_user_but_not_for_ever() {
    let mut scene = Scene::new(with_user());

    scene.say(message("anna", "dora", (50, 1), ""));
    let accepted = scene.sent[0].clone();
    let waiting = list(&mut scene)[0].state;
    scene.now += std::time::Duration::from_hours(1);
    scene.input(Input::Timeout);

    assert!(accepted.starts_with("SIP/2.0 202 "), "{accepted}");
    assert_eq!(waiting, MessageState::Waiting);
    assert_eq!(told(&scene, EventType::MessageFailed).unwrap()["sip"]["status"], 480);
}

#[test]
fn without_waiting_a_user_without_a_phone_is_told_so() {
    let settings = Settings { message_wait: std::time::Duration::ZERO, ..with_user() };
    let mut scene = Scene::new(settings);

    scene.say(message("anna", "dora", (50, 1), ""));

    assert!(scene.sent[0].starts_with("SIP/2.0 480 "), "{:?}", scene.sent);
}

#[test]
fn the_api_says_something_to_a_room_and_learns_who_took_it() {
    let mut scene = scene();
    join(&mut scene, "bert", 20, "Allow: MESSAGE\r\n");

    let body = ask(r#"{"to": "standup", "text": "hello", "from": "desk"}"#);
    let sent = scene.ask(|reply| Command::SendMessage { body, reply }).unwrap();
    let out = scene.sent[0].clone();
    scene.say(answer(&out, 486));

    assert_eq!((sent.state, sent.recipients), (MessageState::Sending, 1));
    assert!(out.starts_with("MESSAGE sip:bert@10.0.0.1"), "{out}");
    assert_eq!(told(&scene, EventType::MessageFailed).unwrap()["sip"]["status"], 486);
    assert_eq!(list(&mut scene)[0].id, sent.id);
}

#[test]
fn the_api_says_something_to_a_sip_uri() {
    let mut scene = scene();

    let body =
        ask(r#"{"to": "sip:erna@10.0.0.9", "body": "<b>hi</b>", "content_type": "text/html"}"#);
    scene.ask(|reply| Command::SendMessage { body, reply }).unwrap();
    let out = scene.sent[0].clone();
    scene.say(answer(&out, 202));

    assert!(out.starts_with("MESSAGE sip:erna@10.0.0.9 "), "{out}");
    assert!(out.contains("\r\nContent-Type: text/html\r\n") && out.ends_with("<b>hi</b>"), "{out}");
    assert!(!out.contains("\r\nContact: "), "{out}");
    assert!(told(&scene, EventType::MessageDelivered).is_some());
}

#[test]
fn what_the_api_cannot_mean_is_refused() {
    for body in [
        r#"{"to": "standup"}"#,
        r#"{"to": "standup", "text": "a", "body": "b"}"#,
        r#"{"to": "nobody here", "text": "a"}"#,
        r#"{"to": "sip:x@10.0.0.9", "body": "a", "content_type": "text/plain\r\nX: y"}"#,
        r#"{"to": "sip:x@10.0.0.9", "text": "a", "from": "mailto:x@y"}"#,
    ] {
        let mut scene = scene();
        scene.call("standup");

        let body = ask(body);
        let answer = scene.ask(|reply| Command::SendMessage { body, reply });

        assert!(answer.is_err(), "{answer:?}");
    }
}

#[test]
fn only_so_many_messages_a_second_come_through() {
    let settings = Settings { messages_per_second: 1, ..bridge_settings(&Config::default(), 1) };
    let mut scene = Scene::new(settings);
    join(&mut scene, "bert", 20, "");

    scene.say(message("standup", "dora", (50, 1), ""));
    scene.say(message("standup", "dora", (51, 1), ""));

    assert!(scene.sent[0].starts_with("SIP/2.0 503 "), "{:?}", scene.sent);
    assert!(scene.sent[0].contains("\r\nRetry-After: 1\r\n"));
}

fn scene() -> Scene {
    Scene::new(bridge_settings(&Config::default(), 1))
}

fn with_user() -> Settings {
    let mut settings = bridge_settings(&Config::default(), 1);
    settings.access.users.insert("anna".to_owned(), "secret".to_owned());
    settings
}

fn ask(body: &str) -> SendMessage {
    serde_json::from_str(&body.replace("\r\n", "\\r\\n")).unwrap()
}

fn list(scene: &mut Scene) -> Vec<api::model::Message> {
    let query = PageQuery::default();
    scene.ask(|reply| Command::ListMessages { query, reply }).unwrap().items
}

fn told(scene: &Scene, kind: EventType) -> Option<Value> {
    scene.happened.iter().find(|event| event.kind == kind)?.data.read()
}

/// A phone of this user joins the room "standup"; gives the To tag of its dialog.
fn join(scene: &mut Scene, user: &str, call: u32, more: &str) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
               m=audio 4000 RTP/AVP 0\r\n";
    let more = format!("{more}Content-Type: application/sdp\r\n");
    scene.say(request("INVITE", ("standup", user), (call, 1), "", (&more, sdp)));
    let answer = scene.sent.last().unwrap().clone();
    let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
    let tag = to[to.find(";tag=").unwrap()..].to_owned();
    scene.say(request("ACK", ("standup", user), (call, 1), &tag, ("", "")));
    tag
}

fn message(to: &str, user: &str, call: (u32, u32), tag: &str) -> String {
    request("MESSAGE", (to, user), call, tag, ("Content-Type: text/plain\r\n", "hello"))
}

fn request(
    method: &str,
    (to, user): (&str, &str),
    (call, number): (u32, u32),
    tag: &str,
    (more, body): (&str, &str),
) -> String {
    let length = body.len();
    format!(
        "{method} sip:{to}@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}{number}\r\n\
         From: <sip:{user}@10.0.0.1>;tag=f{call}\r\nTo: <sip:{to}@10.0.0.254>{tag}\r\n\
         Call-ID: call{call}@10.0.0.1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
         Contact: <sip:{user}@10.0.0.1:5060>\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn answer(request: &str, status: u16) -> String {
    let header = |name: &str| {
        let value = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap()
    };
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(header);
    format!(
        "SIP/2.0 {status} Fine\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
    )
}
