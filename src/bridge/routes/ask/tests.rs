use std::time::Duration;

use api::control::Command;
use api::model::{Route, RouteAnswer, TestRoutes};
use serde_json::{Value, json};

use super::*;
use crate::bridge::scene::{SDP, Scene, header, response};
use crate::bridge::{Input, Rule, Settings};
use crate::bridge_settings;
use crate::config::Config;

/// A bridge whose calls go where an endpoint says.
fn scene(ask: Value, at_once: usize) -> Scene {
    scene_of(&json!([{ "ask": asking(ask) }]), at_once)
}

fn asking(mut ask: Value) -> Value {
    ask["url"] = json!("https://routes.example.com/ask?for=us");
    ask
}

fn scene_of(steps: &Value, at_once: usize) -> Scene {
    let route = json!({ "name": "asked", "destination": { "prefix": "0" }, "steps": steps });
    let route: Route = serde_json::from_value(route).unwrap();
    let settings = bridge_settings(&Config::default(), 1);
    let ask = AskSettings { at_once, ..settings.ask };
    Scene::new(Settings { routes: vec![Rule::new(route).unwrap()], ask, ..settings })
}

fn asked(scene: &Scene) -> Question {
    scene.asked.first().unwrap_or_else(|| panic!("nobody was asked: {:?}", scene.sent)).clone()
}

fn tell(scene: &mut Scene, question: &Question, answer: &Value) {
    scene.input(Input::Told(question.id, Ok(answer.to_string().into())));
}

fn of(question: &Question, name: &str) -> String {
    let found = question.headers.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

#[test]
fn an_endpoint_is_told_who_calls_whom_and_says_where_the_call_goes() {
    let mut scene = scene(json!({ "headers": ["X-Account", "Subject"] }), 10);
    scene.headers = "X-Account: 4711\r\nX-Other: secret\r\n".to_owned();

    let heard = scene.call("030123");
    let question = asked(&scene);
    let told: Value = serde_json::from_slice(&question.body).unwrap();
    tell(&mut scene, &question, &json!({ "steps": [{ "forward": "sip:bob@10.0.0.2" }] }));
    let invite = scene.sent("INVITE sip:bob@10.0.0.2 ").to_owned();
    scene.say(response(&invite, (200, "b"), SDP));

    assert!(heard.starts_with("SIP/2.0 100 "), "{heard}");
    let AskUrl { is_secure, host, port, authority, path } = &question.url;
    assert!(*is_secure && *port == 443, "{question:?}");
    assert_eq!((&host[..], &authority[..]), ("routes.example.com", "routes.example.com"));
    assert_eq!(path, "/ask?for=us");
    assert_eq!(question.deadline, Duration::from_secs(2));
    assert_eq!(told["type"], "route.asked");
    let data = &told["data"];
    assert_eq!(data["route"], "asked");
    assert_eq!(data["caller"]["uri"], "sip:phone@10.0.0.1");
    assert_eq!(data["caller"]["name"], "phone");
    assert_eq!(data["callee"]["name"], "030123");
    assert_eq!(data["source"], json!({ "trunk": null, "user": null, "address": "10.0.0.1" }));
    assert_eq!(data["headers"], json!({ "X-Account": ["4711"], "Subject": [] }));
    assert_eq!(data["failure"], Value::Null);
    assert!(of(&question, "webhook-id").starts_with("ask_"));
    assert!(!question.headers.iter().any(|(name, _)| *name == "webhook-signature"));
    assert_eq!(header(scene.sent("SIP/2.0 200 "), "Call-ID"), "call1@10.0.0.1");
}

#[test]
fn an_endpoint_may_say_a_room_or_that_the_call_is_refused() {
    let mut scene = scene(json!({}), 10);

    scene.call("01");
    let question = asked(&scene);
    tell(&mut scene, &question, &json!({ "steps": [{ "room": "lobby" }] }));
    let joined = scene.names();
    scene.call("02");
    let question = asked(&scene);
    let reject = json!({ "steps": [{ "reject": { "status": 603, "reason": "Not today" } }] });
    tell(&mut scene, &question, &reject);

    assert!(joined.contains(&"participant.joined"), "{joined:?}");
    assert!(scene.has_sent("SIP/2.0 603 Not today\r\n"), "{:?}", scene.sent);
    assert!(scene.names().contains(&"call.ended"));
}

#[test]
fn without_an_answer_of_use_the_fallback_is_taken_or_the_call_refused() {
    let nonsense = [
        json!({ "steps": [] }).to_string(),
        json!({ "steps": [{ "room": "a", "user": "b" }] }).to_string(),
        json!({ "steps": [{ "ask": { "url": "http://127.0.0.1/" } }] }).to_string(),
        json!({ "steps": [{ "trunk": "unknown", "number": "1" }] }).to_string(),
        json!({ "steps": [{ "reject": { "status": 200 } }] }).to_string(),
        json!({ "steps": [{ "reject": { "status": 486, "reason": "a\r\nX: y" } }] }).to_string(),
        json!({ "steps": [{ "room": "a" }], "more": 1 }).to_string(),
        json!([{ "room": "a" }]).to_string(),
        "<html>".to_owned(),
        "\u{0}".to_owned(),
    ];
    let answers = nonsense.map(|body| (Ok(Bytes::from(body)), "invalid"));
    let faults = [
        (Err(AskFault::Status(302)), "status"),
        (Err(AskFault::Unreachable("refused".to_owned())), "unreachable"),
        (Err(AskFault::TooLong), "too_long"),
    ];
    for (answer, reason) in answers.into_iter().chain(faults) {
        for (fallback, status) in
            [(json!([]), 503), (json!([{ "reject": { "status": 480 } }]), 480)]
        {
            let mut scene = scene(json!({ "fallback": fallback }), 10);
            scene.call("01");
            let question = asked(&scene);

            scene.input(Input::Told(question.id, answer.clone()));

            assert!(scene.has_sent(&format!("SIP/2.0 {status} ")), "{answer:?}: {:?}", scene.sent);
            let failed = scene.told("route.ask_failed");
            assert_eq!(failed["reason"], reason, "{failed}");
            assert_eq!(failed["route"], "asked");
            assert_eq!(failed["url"], "https://routes.example.com/ask?for=us");
        }
    }
}

#[test]
fn an_endpoint_that_is_too_slow_is_not_waited_for() {
    let mut scene = scene(json!({ "deadline_s": 3, "fallback": [{ "room": "lobby" }] }), 10);
    scene.call("01");
    let question = asked(&scene);

    scene.wait(Duration::from_millis(2_900));
    let waits = scene.sent.is_empty();
    scene.wait(Duration::from_millis(100));
    let (failed, names) = (scene.told("route.ask_failed"), scene.names());
    tell(&mut scene, &question, &json!({ "steps": [{ "reject": { "status": 403 } }] }));

    assert!(waits);
    assert_eq!(failed["reason"], "timeout");
    assert!(names.contains(&"participant.joined"), "{names:?}");
    assert!(scene.sent.is_empty() && scene.happened.is_empty(), "it came too late");
}

#[test]
fn no_more_are_asked_at_once_than_may_be() {
    let mut scene = scene(json!({}), 1);

    scene.call("01");
    let first = asked(&scene);
    scene.call("02");
    let (second, failed) = (scene.asked.clone(), scene.told("route.ask_failed"));
    let refused = scene.has_sent("SIP/2.0 503 ");
    tell(&mut scene, &first, &json!({ "steps": [{ "room": "lobby" }] }));
    scene.call("03");

    assert!(second.is_empty() && refused);
    assert_eq!(failed["reason"], "too_many");
    assert_eq!(scene.asked.len(), 1, "there is room again");
}

#[test]
fn an_endpoint_asked_later_is_told_what_came_before_and_what_is_left_follows_its_steps() {
    let mut scene = scene_of(
        &json!([{ "forward": "sip:bob@10.0.0.2" }, { "ask": asking(json!({})), "on": ["busy"] },
            { "room": "lobby" }]),
        10,
    );
    scene.call("01");
    let to_bob = scene.sent("INVITE sip:bob@").to_owned();

    scene.say(response(&to_bob, (486, "b"), ""));
    let question = asked(&scene);
    let told: Value = serde_json::from_slice(&question.body).unwrap();
    tell(&mut scene, &question, &json!({ "steps": [{ "forward": "sip:carl@10.0.0.3" }] }));
    let to_carl = scene.sent("INVITE sip:carl@").to_owned();
    scene.say(response(&to_carl, (480, "c"), ""));

    assert_eq!(told["data"]["failure"]["outcome"], "busy");
    assert_eq!(told["data"]["failure"]["sip"]["status"], 486);
    assert!(scene.names().contains(&"participant.joined"), "{:?}", scene.names());
}

#[test]
fn a_caller_who_gives_up_is_not_routed_any_more() {
    let mut scene = scene(json!({}), 10);
    scene.call("01");
    let question = asked(&scene);
    scene.say(
        "CANCEL sip:01@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKINVITE11\r\nFrom: <sip:phone@10.0.0.1>;tag=f1\r\n\
         To: <sip:01@10.0.0.254>\r\nCall-ID: call1@10.0.0.1\r\nCSeq: 1 CANCEL\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
            .to_owned(),
    );
    let cancelled = scene.has_sent("SIP/2.0 487 ");

    tell(&mut scene, &question, &json!({ "steps": [{ "forward": "sip:bob@10.0.0.2" }] }));

    assert!(cancelled && scene.sent.is_empty(), "{:?}", scene.sent);
}

#[test]
fn what_cannot_be_asked_is_no_route() {
    let url = "https://a.example/";
    for (ask, pointer) in [
        (json!({ "url": "ftp://a.example/" }), "url"),
        (json!({ "url": "a.example" }), "url"),
        (json!({ "url": "https://anna:secret@a.example/" }), "url"),
        (json!({ "url": "https://a.example/#here" }), "url"),
        (json!({ "url": format!("https://a.example/{}", "x".repeat(2_000)) }), "url"),
        (json!({ "url": url, "deadline_s": 0 }), "deadline_s"),
        (json!({ "url": url, "deadline_s": 31 }), "deadline_s"),
        (json!({ "url": url, "headers": ["Authorization"] }), "headers"),
        (json!({ "url": url, "headers": ["a b"] }), "headers"),
        (json!({ "url": url, "headers": vec!["x"; 17] }), "headers"),
        (json!({ "url": url, "secret": "secret" }), "secret"),
        (json!({ "url": url, "secret": "whsec_c2hvcnQ=" }), "secret"),
        (json!({ "url": url, "fallback": [{ "ask": { "url": url } }] }), "fallback/0/ask"),
        (json!({ "url": url, "fallback": [{}] }), "fallback/0"),
    ] {
        let route = json!({ "name": "a", "steps": [{ "ask": ask }] });

        let fault = Rule::new(serde_json::from_value(route).unwrap()).unwrap_err();

        assert_eq!(fault.pointer, format!("/steps/0/ask/{pointer}"), "{ask}");
    }
}

#[test]
fn urls_are_taken_apart() {
    let v6 = AskUrl::parse("http://[2001:db8::1]:8080/x").unwrap();
    let plain = AskUrl::parse("http://pbx").unwrap();

    assert_eq!(
        (&v6.host[..], v6.port, &v6.authority[..]),
        ("2001:db8::1", 8080, "[2001:db8::1]:8080")
    );
    assert_eq!((plain.is_secure, plain.port, &plain.path[..]), (false, 80, "/"));
}

#[test]
fn a_test_of_the_routes_says_whom_it_would_ask_and_asks_nobody() {
    let mut scene = scene(json!({}), 10);
    let body: TestRoutes = serde_json::from_value(json!({ "to": "01" })).unwrap();

    let trace = scene.ask(|reply| Command::TestRoutes { body, reply }).unwrap();

    let asks = trace.asks.unwrap();
    assert!(
        asks.contains("https://routes.example.com/ask?for=us") && asks.contains("2 s"),
        "{asks}"
    );
    assert!(scene.asked.is_empty());
}

#[test]
fn questions_their_failures_and_their_time_are_counted() {
    let mut scene = scene(json!({}), 1);
    scene.call("01");
    scene.wait(Duration::from_secs(2));

    let metrics = scene.ask(|reply| Command::Metrics { reply }).unwrap();

    for row in [
        "plenary_route_questions_total 1\n",
        "plenary_route_questions_failed_total{reason=\"timeout\"} 1\n",
        "plenary_route_answer_seconds_bucket{le=\"2\"} 1\n",
        "plenary_route_answer_seconds_count 1\n",
    ] {
        assert!(metrics.contains(row), "{row} in {metrics}");
    }
}

#[test]
fn an_answer_is_as_strict_as_a_request() {
    let parse = |text: &str| RouteAnswer::parse(text.as_bytes());

    assert!(parse(r#"{"steps": [{"room": "a"}]}"#).is_ok());
    let fault = parse(r#"{"steps": [{"room": "a", "on": ["sometimes"]}]}"#).unwrap_err();
    assert!(fault.contains("/steps/0/on/0"), "{fault}");
}
