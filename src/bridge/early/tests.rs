use api::control::Command as Ask;
use api::model::{CallParty, CreateCall, Invite, Route};
use serde_json::{Value, json};

use crate::bridge::scene::{SDP, Scene, header, response};
use crate::bridge::{Rule, Settings, TrunkSettings};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Command, MediaKey};

/// A bridge whose calls go where these steps say; its one trunk has two gateways.
fn scene(steps: &Value) -> Scene {
    let route: Route = serde_json::from_value(json!({ "name": "only", "steps": steps })).unwrap();
    let mut config = Config::default();
    let trunk = json!({ "name": "carrier", "gateways": ["sip:10.0.0.2", "sip:10.0.0.3"] });
    config.trunks = vec![serde_json::from_value(trunk).unwrap()];
    let settings = bridge_settings(&config, 1);
    let quiet = |trunk: TrunkSettings| TrunkSettings { check: std::time::Duration::ZERO, ..trunk };
    let trunks = settings.trunks.iter().cloned().map(quiet).collect();
    Scene::new(Settings { routes: vec![Rule::new(route).unwrap()], trunks, ..settings })
}

fn to_bob() -> Scene {
    scene(&json!([{ "forward": "sip:bob@10.0.0.2" }]))
}

/// The description of a phone that hears at this port.
fn hears_at(port: u16) -> String {
    SDP.replace("m=audio 4000", &format!("m=audio {port}"))
}

fn reliably(response: &str) -> String {
    response.replacen("Contact:", "Require: 100rel\r\nRSeq: 1\r\nContact:", 1)
}

/// Calls `name`; gives the INVITE that went on.
fn calls(scene: &mut Scene, name: &str) -> String {
    scene.call(name);
    scene.sent("INVITE ").to_owned()
}

/// Whose media was seated since the last input.
fn seated(scene: &Scene) -> Vec<MediaKey> {
    scene.told.iter().filter_map(joins).collect()
}

fn joins(command: &Command) -> Option<MediaKey> {
    if let Command::Join { leg, .. } = command { Some(*leg) } else { None }
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map(|(_, body)| body).unwrap()
}

fn tag_of(message: &str) -> String {
    header(message, "To").split_once(";tag=").unwrap().1.to_owned()
}

#[test]
fn the_caller_is_told_our_answer_and_hears_whom_it_calls_before_that_answers() {
    let mut scene = to_bob();
    let invite = calls(&mut scene, "bob");

    scene.say(response(&invite, (183, "b"), SDP));
    let (early, both) = (scene.sent("SIP/2.0 183 ").to_owned(), seated(&scene));
    let names = scene.names();
    let rings = scene.has_sent("SIP/2.0 180 ");
    scene.say(response(&invite, (200, "b"), SDP));

    assert_eq!(header(&early, "Call-ID"), "call1@10.0.0.1");
    assert!(!early.contains("\r\nRSeq:"), "the caller knows no 100rel: {early}");
    assert!(!rings && names.contains(&"leg.early_media"), "{names:?}");
    assert_eq!(both.len(), 2);
    let answer = scene.sent("SIP/2.0 200 ");
    assert_eq!(body(answer), body(&early), "o-line and all: it is one answer");
    let again = |command: &Command| matches!(command, Command::Leave { .. });
    assert!(!scene.told.iter().any(again), "nobody leaves the mix for it");
    assert!(scene.names().contains(&"call.connected"));
}

#[test]
fn a_caller_that_knows_100rel_is_told_for_sure_and_may_change_its_mind() {
    let mut scene = to_bob();
    scene.headers = "Supported: 100rel\r\n".to_owned();
    let invite = calls(&mut scene, "bob");

    scene.say(response(&invite, (183, "b"), SDP));
    let early = scene.sent("SIP/2.0 183 ").to_owned();
    let (rseq, tag) = (header(&early, "RSeq").to_owned(), tag_of(&early));
    let within = |method: &str, number: u32, more: &str, body: &str| {
        format!(
            "{method} sip:bob@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{number}\r\n\
             From: <sip:phone@10.0.0.1>;tag=f1\r\nTo: <sip:bob@10.0.0.254>;tag={tag}\r\n\
             Call-ID: call1@10.0.0.1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:phone@10.0.0.1:5060>\r\n{more}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    scene.say(within("PRACK", 2, &format!("RAck: {rseq} 1 INVITE\r\n"), ""));
    let acknowledged = scene.has_sent("SIP/2.0 200 ");
    scene.say(within("UPDATE", 3, "", &hears_at(4444).replace("1 1 IN", "1 2 IN")));
    let (updated, moved) = (scene.sent("SIP/2.0 200 ").to_owned(), scene.remote);
    scene.say(response(&invite, (200, "b"), SDP));

    assert!(header(&early, "Require").contains("100rel"));
    assert!(acknowledged);
    assert!(body(&updated).contains("m=audio "), "{updated}");
    assert_eq!(moved.map(|remote| remote.port()), Some(4444));
    let answer = scene.sent("SIP/2.0 200 ");
    assert_eq!((header(answer, "CSeq"), body(answer)), ("1 INVITE", ""), "it has its answer");
    let at_4444 = |command: &Command| matches!(command, Command::Configure { stream, .. } if stream.remote.port() == 4444);
    assert!(scene.told.iter().any(at_4444), "what it said last stands");
}

#[test]
fn of_a_fork_the_first_is_heard_and_then_the_one_that_answers() {
    let mut scene = to_bob();
    let invite = calls(&mut scene, "bob");

    scene.say(response(&invite, (183, "a"), &hears_at(5000)));
    let first = scene.remote;
    scene.say(response(&invite, (183, "b"), &hears_at(6000)));
    let (told, second) = (scene.told.clone(), scene.has_sent("SIP/2.0 183 "));
    scene.say(response(&invite, (200, "b"), &hears_at(6000)));

    assert!(first.is_some() && told.is_empty() && !second, "{told:?}");
    let to_b = |command: &Command| matches!(command, Command::Configure { stream, .. } if stream.remote.port() == 6000);
    assert!(scene.told.iter().any(to_b), "{:?}", scene.told);
    let gap = |command: &Command| matches!(command, Command::Leave { .. } | Command::Close { .. });
    assert!(!scene.told.iter().any(gap), "{:?}", scene.told);
}

#[test]
fn media_goes_over_to_the_phone_of_a_fork_that_changes_it_by_update() {
    let mut scene = to_bob();
    let invite = calls(&mut scene, "bob");
    scene.say(response(&invite, (183, "a"), &hears_at(5000)));
    scene.say(reliably(&response(&invite, (183, "b"), &hears_at(6000))));
    let [from, to, call_id] = ["From", "To", "Call-ID"].map(|name| header(&invite, name));
    let sdp = hears_at(6002).replace("1 1 IN", "1 2 IN");

    scene.say(format!(
        "UPDATE sip:us@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKu\r\n\
         From: {to};tag=b\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: 1 UPDATE\r\n\
         Contact: <sip:b@10.0.0.1>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    ));
    let (updated, heard) = (scene.has_sent("SIP/2.0 200 "), scene.remote);
    scene.say(response(&invite, (200, "a"), &hears_at(5000)));

    assert!(updated);
    assert_eq!(heard.map(|remote| remote.port()), Some(6002));
    let to_a = |command: &Command| matches!(command, Command::Configure { stream, .. } if stream.remote.port() == 5000);
    assert!(scene.told.iter().any(to_a), "it knows our first offer only: {:?}", scene.told);
}

#[test]
fn a_hunt_drops_what_the_last_one_played_and_passes_what_the_next_one_does() {
    let mut scene = scene(&json!([
        { "forward": "sip:bob@10.0.0.2" }, { "forward": "sip:carl@10.0.0.3" }
    ]));
    let to_bob = calls(&mut scene, "team");
    scene.say(response(&to_bob, (183, "b"), SDP));
    let first = scene.sent("SIP/2.0 183 ").to_owned();

    scene.say(response(&to_bob, (486, "b"), ""));
    let to_carl = scene.sent("INVITE sip:carl@").to_owned();
    let left: Vec<MediaKey> = scene.told.iter().filter_map(leaves).collect();
    scene.say(response(&to_carl, (180, "c"), ""));
    let rings = scene.has_sent("SIP/2.0 180 ");
    scene.say(response(&to_carl, (183, "c"), SDP));
    let (second, seats) = (scene.sent("SIP/2.0 183 ").to_owned(), seated(&scene));
    scene.say(response(&to_carl, (200, "c"), SDP));

    assert_eq!(left.len(), 1, "the caller alone; the callee is closed");
    assert!(rings && seats.contains(&left[0]) && seats.len() == 2, "{seats:?}");
    assert_eq!(body(&second), body(&first));
    assert_eq!(body(scene.sent("SIP/2.0 200 ")), body(&first));
    assert!(scene.names().contains(&"call.connected"));
}

fn leaves(command: &Command) -> Option<MediaKey> {
    if let Command::Leave { leg } = command { Some(*leg) } else { None }
}

#[test]
fn a_refusal_after_early_media_ends_the_call_and_frees_the_ports() {
    let mut scene = to_bob();
    let invite = calls(&mut scene, "bob");
    scene.say(response(&invite, (183, "b"), SDP));

    scene.say(response(&invite, (404, "b"), ""));

    assert_eq!(header(scene.sent("SIP/2.0 404 "), "Call-ID"), "call1@10.0.0.1");
    assert_eq!(scene.told("call.ended")["sip"]["status"], 404);
    let closed = scene.told.iter().filter(|told| matches!(told, Command::Close { .. })).count();
    assert_eq!(closed, 2);
}

#[test]
fn where_it_is_off_the_caller_hears_ringing() {
    for (steps, passes) in [
        (json!([{ "forward": "sip:bob@10.0.0.2", "early_media": "off" }]), false),
        (json!([{ "trunk": "carrier", "early_media": "off" }]), false),
        (json!([{ "trunk": "carrier" }]), true),
    ] {
        let mut scene = scene(&steps);
        let invite = calls(&mut scene, "1234");

        scene.say(response(&invite, (183, "b"), SDP));

        assert_eq!(scene.has_sent("SIP/2.0 183 "), passes, "{steps}");
        assert_eq!(scene.has_sent("SIP/2.0 180 "), !passes, "{steps}");
        assert_eq!(seated(&scene).is_empty(), !passes, "{steps}");
        assert!(scene.names().contains(&"leg.early_media"), "it is told all the same");
    }
}

#[test]
fn the_next_gateway_is_heard_after_the_one_that_failed() {
    let mut scene = scene(&json!([{ "trunk": "carrier" }]));
    let first = calls(&mut scene, "1234");
    scene.say(response(&first, (183, "a"), &hears_at(5000)));

    scene.say(response(&first, (503, "a"), ""));
    let second = scene.sent("INVITE ").to_owned();
    scene.say(response(&second, (183, "b"), &hears_at(6000)));

    assert!(second.starts_with("INVITE sip:1234@10.0.0.3 "), "{second}");
    let to_b = |command: &Command| matches!(command, Command::Configure { stream, .. } if stream.remote.port() == 6000);
    assert!(scene.told.iter().any(to_b), "{:?}", scene.told);
}

#[test]
fn a_carrier_that_only_sends_is_heard_and_a_caller_without_an_offer_hears_ringing() {
    let mut scene = to_bob();
    let invite = calls(&mut scene, "bob");
    scene.say(response(&invite, (183, "b"), &format!("{SDP}a=sendonly\r\n")));
    let seat = |command: &Command| {
        if let Command::Seat { seat, .. } = command { Some(*seat) } else { None }
    };
    let is_muted = scene.told.iter().rev().find_map(seat).unwrap().muted;

    let mut late = to_bob();
    late.invite("bob", "");
    let invite = late.sent("INVITE ").to_owned();
    late.say(response(&invite, (183, "b"), SDP));

    assert!(!is_muted);
    assert!(late.has_sent("SIP/2.0 180 ") && seated(&late).is_empty(), "{:?}", late.sent);
}

#[test]
fn the_first_party_of_a_call_hears_the_second_before_it_answers_and_a_room_hears_nobody() {
    let mut scene = to_bob();
    let to = |user: &str| CallParty { to: format!("sip:{user}@10.0.0.1"), from: None, trunk: None };
    let body = CreateCall { legs: vec![to("anna"), to("bert")], timeout_s: None };
    scene.ask(|reply| Ask::CreateCall { body, reply }).unwrap();
    let to_anna = scene.sent("INVITE sip:anna@").to_owned();
    scene.say(response(&to_anna, (183, "a"), SDP));
    let alone = seated(&scene);
    scene.say(response(&to_anna, (200, "a"), SDP));
    let to_bert = scene.sent("INVITE sip:bert@").to_owned();
    scene.say(response(&to_bert, (183, "b"), SDP));
    let second = seated(&scene);

    let body: Invite = serde_json::from_value(json!({ "to": "sip:carl@10.0.0.1" })).unwrap();
    scene.ask(|reply| Ask::Invite { room: "hall".to_owned(), body, reply }).unwrap();
    let to_carl = scene.sent("INVITE sip:carl@").to_owned();
    scene.say(response(&to_carl, (183, "c"), SDP));

    assert!(alone.is_empty(), "nobody is there to hear it");
    assert_eq!(second.len(), 1);
    assert!(seated(&scene).is_empty() && scene.names().contains(&"leg.early_media"));
}
