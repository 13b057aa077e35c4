use std::time::Duration;

use api::control::{Command, ControlError, IfMatch};
use serde_json::{Value, json};

use super::*;
use crate::bridge::scene::{self, SDP, Scene, header, response};
use crate::bridge::{Settings, TrunkLimits, TrunkSettings};
use crate::bridge_settings;
use crate::config::Config;

fn rule(name: &str, mut route: Value) -> Rule {
    route["name"] = json!(name);
    Rule::new(serde_json::from_value(route).unwrap()).unwrap()
}

fn trunk() -> TrunkSettings {
    TrunkSettings { prefixes: vec!["+49".to_owned()], ..scene::trunk("carrier", "sip:192.0.2.1") }
}

/// A bridge with one route for all calls.
fn scene(steps: &Value) -> Scene {
    with_routes(vec![rule("only", json!({ "steps": steps }))])
}

fn with_routes(routes: Vec<Rule>) -> Scene {
    let settings = bridge_settings(&Config::default(), 1);
    let access = &settings.access;
    let users = [("anna".to_owned(), "secret".to_owned())].into();
    let access = crate::bridge::AccessSettings { users, ..access.clone() };
    Scene::new(Settings { access, trunks: vec![trunk()], routes, ..settings })
}

fn values(message: &str, name: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn a_call_goes_out_through_a_trunk_rings_and_is_answered() {
    let step = json!({"trunk": "carrier", "number": "+49$1"});
    let route = json!({"destination": {"prefix": "0"}, "steps": [step]});
    let mut scene = with_routes(vec![rule("out", route)]);

    scene.call("030123");
    let invite = scene.sent("INVITE ").to_owned();
    let created = scene.told("call.created");
    scene.say(response(&invite, (180, "c"), ""));
    let ringing = scene.sent("SIP/2.0 180 ").to_owned();
    scene.say(response(&invite, (200, "c"), SDP));

    assert!(invite.starts_with("INVITE sip:+4930123@192.0.2.1 SIP/2.0\r\n"), "{invite}");
    assert!(header(&invite, "From").starts_with("<sip:+4930@us.example>;tag="), "{invite}");
    assert_eq!(header(&invite, "Max-Forwards"), "69");
    assert!(values(&invite, "Diversion").is_empty(), "it goes where it was to go");
    assert_eq!(header(&ringing, "Call-ID"), "call1@10.0.0.1");
    let answer = scene.sent("SIP/2.0 200 ");
    assert!(answer.contains("\r\nCall-ID: call1@10.0.0.1\r\n") && answer.contains("m=audio "));
    assert!(scene.has_sent("ACK sip:phone@10.0.0.1 "));
    let connected = scene.told("call.connected");
    assert_eq!((&connected["id"], &connected["state"]), (&created["id"], &json!("connected")));
    assert_eq!(connected["legs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_refusal_goes_back_to_the_caller() {
    for (refusal, becomes) in [(404, 404), (486, 486), (603, 603), (503, 503), (407, 500)] {
        let mut scene = scene(&json!([{"forward": "sip:bob@10.0.0.2"}]));

        scene.call("bob");
        let invite = scene.sent("INVITE ").to_owned();
        scene.say(response(&invite, (refusal, "c"), ""));

        let sent = scene.sent(&format!("SIP/2.0 {becomes} "));
        assert_eq!(header(sent, "Call-ID"), "call1@10.0.0.1");
        assert!(scene.names().contains(&"call.ended"), "{:?}", scene.names());
        assert_eq!(scene.told("call.ended")["sip"]["status"], json!(refusal.max(becomes)));
    }
}

#[test]
fn a_step_takes_up_only_what_it_is_for_and_the_call_tells_where_it_was() {
    let mut scene = scene(&json!([
        {"forward": "sip:bob@10.0.0.2"},
        {"forward": "sip:nobody@10.0.0.3", "on": ["no_answer", "unreachable"]},
        {"forward": "sip:carl@10.0.0.4", "on": ["busy"]},
        {"reject": {"status": 480, "reason": "Try later"}},
    ]));

    scene.call("team");
    let to_bob = scene.sent("INVITE sip:bob@10.0.0.2 ").to_owned();
    scene.say(response(&to_bob, (486, "b"), ""));
    let to_carl = scene.sent("INVITE sip:carl@10.0.0.4 ").to_owned();
    let caller_waits = !scene.has_sent("SIP/2.0 4");
    scene.say(response(&to_carl, (500, "c"), ""));

    assert!(caller_waits);
    assert_eq!(
        values(&to_carl, "Diversion"),
        [
            "<sip:bob@10.0.0.2>;reason=user-busy;counter=1",
            "<sip:team@10.0.0.254>;reason=unconditional;counter=1"
        ]
    );
    assert_eq!(
        values(&to_carl, "History-Info"),
        [
            "<sip:team@10.0.0.254?Reason=SIP%3Bcause%3D302>;index=1",
            "<sip:bob@10.0.0.2?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1",
            "<sip:carl@10.0.0.4>;index=1.1.1;mp=1.1"
        ]
    );
    assert!(scene.has_sent("SIP/2.0 480 Try later\r\n"), "{:?}", scene.sent);
}

#[test]
fn who_is_not_answered_in_time_goes_into_a_room() {
    let mut scene = scene(&json!([{"forward": "sip:bob@10.0.0.2", "timeout_s": 20},
        {"room": "lobby", "on": ["no_answer"]}]));

    scene.call("bob");
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (180, "b"), ""));
    scene.wait(Duration::from_secs(20));

    assert!(scene.has_sent("CANCEL sip:bob@10.0.0.2 "), "{:?}", scene.sent);
    assert_eq!(header(scene.sent("SIP/2.0 200 "), "Call-ID"), "call1@10.0.0.1");
    assert_eq!(scene.told("room.created")["name"], "lobby");
    let joined = scene.told("participant.joined");
    assert_eq!(joined["uri"], "sip:phone@10.0.0.1");
    assert_eq!(scene.told("call.ended")["end_reason"], "moved");
    let rooms = scene.ask(|reply| Command::Room { room: "lobby".to_owned(), reply }).unwrap();
    assert_eq!(rooms.participants, 1);
}

#[test]
fn a_caller_who_gives_up_ends_the_ringing() {
    let mut scene = scene(&json!([{"forward": "sip:bob@10.0.0.2"}, {"room": "lobby"}]));

    scene.call("bob");
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (180, "b"), ""));
    let cancel = "CANCEL sip:bob@10.0.0.254 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKINVITE11\r\nFrom: <sip:phone@10.0.0.1>;tag=f1\r\n\
        To: <sip:bob@10.0.0.254>\r\nCall-ID: call1@10.0.0.1\r\nCSeq: 1 CANCEL\r\nMax-Forwards: 70\r\n\
        Content-Length: 0\r\n\r\n";
    scene.say(cancel.to_owned());

    assert!(scene.has_sent("SIP/2.0 487 "), "{:?}", scene.sent);
    assert!(scene.has_sent("CANCEL sip:bob@10.0.0.2 "), "{:?}", scene.sent);
    assert_eq!(scene.told("call.ended")["end_reason"], "cancelled");
    assert!(!scene.names().contains(&"room.created"));
}

#[test]
fn a_user_without_a_phone_and_a_number_that_is_too_dear_are_passed_over() {
    let mut scene = scene(&json!([{"user": "anna"}, {"user": "nobody"},
        {"trunk": "carrier", "number": "+1900"}, {"room": "lobby"}]));

    scene.call("anna");

    assert!(!scene.has_sent("INVITE "), "{:?}", scene.sent);
    assert_eq!(scene.told("room.created")["name"], "lobby");
}

#[test]
fn what_cannot_be_answered_rings_nobody() {
    let mut scene = scene(&json!([{"forward": "sip:bob@10.0.0.2"}]));
    let video = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                 m=audio 4000 RTP/AVP 99\r\na=rtpmap:99 speex/8000\r\n";

    scene.say(format!(
        "INVITE sip:bob@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKv\r\n\
         From: <sip:phone@10.0.0.1>;tag=v\r\nTo: <sip:bob@10.0.0.254>\r\nCall-ID: v@10.0.0.1\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:phone@10.0.0.1:5060>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{video}",
        video.len()
    ));

    assert!(scene.has_sent("SIP/2.0 488 ") && !scene.has_sent("INVITE "), "{:?}", scene.sent);
    assert_eq!(scene.told("call.ended")["end_reason"], "incompatible");
}

#[test]
fn a_call_that_comes_back_too_often_is_refused() {
    let mut scene = scene(&json!([{"forward": "sip:bob@10.0.0.2"}]));
    scene.headers = "Diversion: <sip:bob@10.0.0.254>;counter=20\r\n".to_owned();

    let answer = scene.call("bob");

    assert!(answer.starts_with("SIP/2.0 482 "), "{answer}");
    let rejected = scene.told("room.join_rejected");
    assert_eq!((&rejected["reason"], &rejected["route"]), (&json!("route"), &json!("only")));
}

#[test]
fn the_first_route_that_fits_takes_the_call_and_others_go_where_they_went() {
    let to = |status: u16| json!([{"reject": {"status": status}}]);
    let mut scene = with_routes(vec![
        rule("b", json!({"destination": {"exact": "112"}, "steps": to(403)})),
        rule("a", json!({"destination": {"prefix": "1"}, "steps": to(404)})),
        rule("z", json!({"order": 1, "destination": {"exact": "113"}, "steps": to(410)})),
    ]);

    let answers = ["112", "113", "2"].map(|number| scene.call(number));

    for (answer, status) in answers.iter().zip([404, 410, 200]) {
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{answer}");
    }
}

#[test]
fn routes_are_made_shown_in_order_replaced_and_deleted() {
    let mut scene =
        with_routes(vec![rule("late", json!({"order": 500, "steps": [{"room": "a"}]}))]);
    let body: Route =
        serde_json::from_value(json!({"name": "early", "steps": [{"room": "b"}]})).unwrap();

    let made = scene.ask(|reply| Command::CreateRoute { body: body.clone(), reply });
    let again = scene.ask(|reply| Command::CreateRoute { body: body.clone(), reply });
    let query = PageQuery { limit: Some(1), ..PageQuery::default() };
    let first = scene.ask(|reply| Command::ListRoutes { query: query.clone(), reply }).unwrap();
    let query = PageQuery { cursor: first.next.clone(), ..query };
    let second = scene.ask(|reply| Command::ListRoutes { query, reply }).unwrap();
    let body = serde_json::from_value(json!({"steps": [{"trunk": "unknown"}]})).unwrap();
    let route = "early".to_owned();
    let faulty = scene.ask(|reply| Command::ReplaceRoute {
        route,
        body,
        condition: IfMatch::default(),
        reply,
    });
    let route = "early".to_owned();
    let gone =
        scene.ask(|reply| Command::DeleteRoute { route, condition: IfMatch::default(), reply });
    let route = "early".to_owned();
    let shown = scene.ask(|reply| Command::Route { route, reply });

    assert_eq!(made.unwrap().item, body_of("early"));
    assert!(matches!(again, Err(ControlError::Conflict { code: "route_name_taken", .. })));
    let names = [first, second].map(|page| page.items[0].item.name.clone());
    assert_eq!(names, ["early", "late"]);
    assert!(
        matches!(&faulty, Err(ControlError::Invalid { pointer, .. }) if pointer == "/steps/0/trunk"),
        "{faulty:?}"
    );
    assert_eq!(gone, Ok(()));
    assert!(matches!(shown, Err(ControlError::NotFound { what: "route", .. })));
}

fn body_of(name: &str) -> Route {
    serde_json::from_value(json!({"name": name, "steps": [{"room": "b"}]})).unwrap()
}

#[test]
fn a_test_tells_which_route_takes_a_call_and_why() {
    let night = json!([{"from": "18:00", "to": "08:00", "timezone": "Europe/Berlin"}]);
    let mut scene = with_routes(vec![
        rule("night", json!({"order": 1, "times": night, "steps": [{"room": "night"}]})),
        rule(
            "day",
            json!({"source": {"trunk": "carrier"}, "destination": {"regex": "\\+4930(.*)"},
            "steps": [{"room": "ext-$1"}]}),
        ),
        rule("rest", json!({"order": 900, "steps": [{"reject": {"status": 404}}]})),
    ]);
    let body = json!({"to": "sip:+4930123@us.example", "from": "tel:+1;x=y",
        "source": {"address": "192.0.2.1"}, "at": "2026-01-05T11:00:00Z"});
    let body: TestRoutes = serde_json::from_value(body).unwrap();

    let trace = scene.ask(|reply| Command::TestRoutes { body, reply }).unwrap();

    assert_eq!(trace.route.as_deref(), Some("day"));
    assert_eq!(trace.dialled, "+4930123");
    let looks: Vec<_> =
        trace.looked_at.iter().map(|look| (look.route.as_str(), look.fits)).collect();
    assert_eq!(looks, [("night", false), ("day", true)]);
    assert!(trace.looked_at[0].why.contains("none of its times"), "{trace:?}");
    assert!(trace.looked_at[1].why.contains("source.trunk is carrier"), "{trace:?}");
    assert_eq!(trace.steps[0].room.as_deref(), Some("ext-123"));
    assert!(scene.sent.is_empty() && scene.happened.is_empty(), "no call is placed");
}

#[test]
fn a_trunk_that_has_enough_passes_a_call_on_to_the_next_step() {
    let limits = TrunkLimits { calls_per_second: 1, ..TrunkLimits::default() };
    let settings = bridge_settings(&Config::default(), 1);
    let steps = json!([{"trunk": "carrier", "number": "+49$0"}, {"forward": "sip:bob@10.0.0.2"}]);
    let routes = vec![rule("only", json!({ "steps": steps }))];
    let trunks = vec![TrunkSettings { limits, ..trunk() }];
    let mut scene = Scene::new(Settings { trunks, routes, ..settings });

    scene.call("1");
    let first = scene.sent("INVITE ").to_owned();
    scene.call("2");

    assert!(first.starts_with("INVITE sip:+491@192.0.2.1 "), "{first}");
    assert!(scene.has_sent("INVITE sip:bob@10.0.0.2 "), "{:?}", scene.sent);
    assert_eq!(scene.told("limit.reached")["limit"], "calls_per_second");
}

#[test]
fn who_declines_ends_the_call_unless_the_step_goes_on() {
    for (step, on, status, goes_on) in [
        (json!({"forward": "sip:bob@10.0.0.2"}), json!([]), 603, false),
        (json!({"forward": "sip:bob@10.0.0.2", "continue_on": [603]}), json!([]), 603, true),
        (json!({"forward": "sip:bob@10.0.0.2", "continue_on": [603]}), json!([]), 607, false),
        (
            json!({"forward": "sip:bob@10.0.0.2", "continue_on": [607, 608]}),
            json!(["declined"]),
            608,
            true,
        ),
        (json!({"forward": "sip:bob@10.0.0.2", "continue_on": [603]}), json!(["busy"]), 603, false),
    ] {
        let mut scene = scene(&json!([step, {"room": "lobby", "on": on}]));

        scene.call("bob");
        let invite = scene.sent("INVITE ").to_owned();
        scene.say(response(&invite, (status, "c"), ""));

        let answer = if goes_on { 200 } else { status };
        assert!(scene.has_sent(&format!("SIP/2.0 {answer} ")), "{step} {:?}", scene.sent);
    }
}

#[test]
fn options_to_what_a_route_takes_are_answered_as_a_call_would_be() {
    let mut scene = with_routes(vec![
        rule("out", json!({"destination": {"prefix": "0"}, "steps": [{"trunk": "carrier"}]})),
        rule("room", json!({"destination": {"exact": "9"}, "steps": [{"room": "lobby"}]})),
        rule("no", json!({"destination": {"exact": "8"}, "steps": [{"reject": {"status": 410}}]})),
        rule(
            "none",
            json!({"order": 900, "destination": {"exact": "!"}, "steps": [{"room": "a"}]}),
        ),
    ]);

    for (number, status) in [("030123", 200), ("9", 200), ("8", 410), ("!", 200)] {
        scene.calls += 1;
        let answer = scene.request("OPTIONS", number, scene.calls, "");

        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{number} {answer}");
    }
}

#[test]
fn a_sips_uri_is_called_over_tls_alone() {
    let mut scene = scene(&json!([{"forward": "sips:bob@192.0.2.9"}]));

    scene.call("bob");

    let invite = scene.sent("INVITE sips:bob@192.0.2.9 ");
    assert!(header(invite, "Via").starts_with("SIP/2.0/TLS "), "{invite}");
    assert!(header(invite, "Contact").starts_with("<sips:"), "{invite}");
}
