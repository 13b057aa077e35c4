use api::control::Command;
use api::model::TestRoutes;
use serde_json::{Value, json};

use super::*;
use crate::bridge::scene::{self, Scene, header};
use crate::bridge::{
    CallerId, CallerRules, HeaderRules, NumberFormat, NumberRules, Pattern, Rule, Settings,
    TrunkRules, TrunkSettings,
};
use crate::bridge_settings;
use crate::config::Config;

#[test]
fn privacy_is_read_by_tokens_that_are_known() {
    for (value, tokens, hides) in [
        ("id", vec!["id"], true),
        ("User;ID;critical", vec!["user", "id", "critical"], true),
        ("none", vec!["none"], false),
        ("history, id;id", vec!["id"], true),
        ("", vec![], false),
    ] {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:c@c>;tag=t\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nPrivacy: {value}\r\nContent-Length: 0\r\n\r\n"
        );
        let request = Message::parse(&text.into(), &crate::sip::Limits::default()).unwrap();

        let privacy = wishes(&request);
        let identity = Identity {
            from: request.headers.from().unwrap(),
            asserted: Vec::new(),
            is_proven: false,
            privacy: privacy.clone(),
        };

        assert_eq!((privacy, identity.is_hidden()), (tokens, hides), "{value}");
    }
}

fn trunk(name: &str, gateway: &str, rules: TrunkRules) -> TrunkSettings {
    TrunkSettings { rules, ..scene::trunk(name, gateway) }
}

/// Calls come from one trunk at 192.0.2.1 or from anybody else, and all go to another trunk.
fn scene(come: TrunkRules, goes: TrunkRules) -> Scene {
    with_step(come, goes, &json!({"trunk": "to"}))
}

fn with_step(come: TrunkRules, goes: TrunkRules, step: &Value) -> Scene {
    let route = json!({"name": "all", "steps": [step]});
    let routes = vec![Rule::new(serde_json::from_value(route).unwrap()).unwrap()];
    let trunks = vec![trunk("from", "sip:192.0.2.1", come), trunk("to", "sip:192.0.2.2", goes)];
    Scene::new(Settings { trunks, routes, ..bridge_settings(&Config::default(), 1) })
}

fn trusted() -> TrunkRules {
    TrunkRules { trusted: true, ..TrunkRules::default() }
}

fn passes(allowed: &[&str]) -> TrunkRules {
    let allowed = allowed.iter().map(|text| Pattern::new(text)).collect();
    let caller = CallerRules { id: CallerId::Pass, allowed, name: true };
    TrunkRules { caller, ..TrunkRules::default() }
}

fn numbers(format: NumberFormat) -> TrunkRules {
    let numbers = NumberRules { country: "49".to_owned(), format, ..NumberRules::default() };
    TrunkRules { numbers, ..TrunkRules::default() }
}

/// What goes out when somebody calls with these headers.
fn invite(scene: &mut Scene, from_trunk: bool, headers: &str) -> String {
    if from_trunk {
        scene.peer = "192.0.2.1:5060".parse().unwrap();
    }
    scene.headers = headers.to_owned();
    scene.call("+49891");
    scene.sent("INVITE ").to_owned()
}

fn lines(message: &str, name: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    lines.map(ToOwned::to_owned).collect()
}

const ASSERTED: &str = "P-Asserted-Identity: \"Anna\" <sip:+49401@c.example>, <tel:+49401>\r\n\
                        P-Asserted-Identity: <sip:+49999@c.example>\r\n";

#[test]
fn a_trusted_trunk_is_believed_and_told_who_calls() {
    let mut scene = scene(trusted(), trusted());

    let invite = invite(&mut scene, true, &format!("{ASSERTED}Privacy: ID;critical\r\n"));
    let legs =
        scene.ask(|reply| Command::ListLegs { query: api::model::LegQuery::default(), reply });

    let asserted = ["\"Anna\" <sip:+49401@c.example>", "<tel:+49401>"];
    assert_eq!(lines(&invite, "P-Asserted-Identity"), asserted);
    assert_eq!(lines(&invite, "Privacy"), ["id;critical"]);
    let caller = &legs.unwrap().items[0];
    let (from, name) = (caller.from.as_str(), caller.display_name.as_deref());
    assert!(from == "sip:+49401@c.example" && name == Some("Anna"), "{caller:?}");
}

#[test]
fn what_is_asserted_stays_here_unless_both_sides_are_trusted() {
    for (come, goes, is_from_trunk) in [
        (trusted(), TrunkRules::default(), true),
        (TrunkRules::default(), trusted(), true),
        (trusted(), trusted(), false),
        (TrunkRules::default(), passes(&[]), true),
    ] {
        let mut scene = scene(come, goes);

        let invite = invite(&mut scene, is_from_trunk, ASSERTED);

        assert!(!invite.contains("+49401"), "{invite}");
        assert_eq!(lines(&invite, "P-Asserted-Identity"), Vec::<String>::new());
    }
}

#[test]
fn who_hides_is_anonymous_where_not_trusted_and_the_carrier_knows_us() {
    for headers in ["Privacy: id\r\n", "Privacy: user;critical\r\n"] {
        let mut scene = scene(trusted(), passes(&[]));
        scene.from = "\"Anna\" <sip:+49401@c.example>";

        let invite = invite(&mut scene, true, &format!("{ASSERTED}{headers}"));

        let from = header(&invite, "From");
        assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{from}");
        assert_eq!(lines(&invite, "P-Preferred-Identity"), ["<sip:+4930@us.example>"]);
        assert_eq!(lines(&invite, "Privacy"), ["id"]);
        assert!(!invite.contains("+49401") && !invite.contains("Anna"), "{invite}");
    }
    let mut scene = with_step(trusted(), trusted(), &json!({"forward": "sip:bob@10.0.0.2"}));
    let invite = invite(&mut scene, true, &format!("{ASSERTED}Privacy: id\r\n"));
    assert!(header(&invite, "From").contains("anonymous@anonymous.invalid"), "{invite}");
    assert!(!invite.contains("+49401") && !invite.contains("P-"), "{invite}");
}

#[test]
fn a_trunk_is_told_our_number_or_the_callers_by_its_rules() {
    let silent = TrunkRules {
        caller: CallerRules { name: false, ..passes(&[]).caller },
        ..TrunkRules::default()
    };
    let own = "\"Anna\" <sip:+4930@us.example>";
    for (rules, from) in [
        (TrunkRules::default(), own),
        (passes(&[]), "\"Anna\" <sip:+49401@us.example>"),
        (passes(&["+49401"]), "\"Anna\" <sip:+49401@us.example>"),
        (passes(&["+4940*"]), "\"Anna\" <sip:+49401@us.example>"),
        (passes(&["+4989*", "+491"]), own),
        (silent, "<sip:+49401@us.example>"),
    ] {
        let mut scene = scene(TrunkRules::default(), rules.clone());
        scene.from = "\"Anna\" <sip:+49401@c.example>";

        let invite = invite(&mut scene, true, "");

        assert!(header(&invite, "From").starts_with(&format!("{from};tag=")), "{rules:?} {invite}");
    }
}

#[test]
fn headers_are_added_removed_and_passed_by_the_rules_of_the_trunk() {
    let headers = HeaderRules {
        add: vec![("X-Account".to_owned(), "17".to_owned())],
        remove: vec!["Diversion".to_owned()],
        pass: vec![Pattern::new("X-Customer*")],
    };
    let mut scene = scene(TrunkRules::default(), TrunkRules { headers, ..TrunkRules::default() });

    let invite = invite(
        &mut scene,
        true,
        "Diversion: <sip:z@z>\r\nX-Customer-Id: 7\r\nX-Secret: 1\r\nSubject: hi\r\n",
    );

    assert_eq!(lines(&invite, "X-Account"), ["17"]);
    assert_eq!(lines(&invite, "X-Customer-Id"), ["7"]);
    for name in ["Diversion", "X-Secret", "Subject"] {
        assert_eq!(lines(&invite, name), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn numbers_are_e164_here_and_as_each_trunk_writes_them_there() {
    let mut to = numbers(NumberFormat::National);
    to.numbers.user_phone = true;
    to.caller.id = CallerId::Pass;
    let mut scene =
        with_step(numbers(NumberFormat::Plain), to, &json!({"trunk": "to", "number": "$0"}));
    scene.peer = "192.0.2.1:5060".parse().unwrap();
    scene.from = "<sip:0401234567@c.example;user=phone>";

    scene.call("4915512345");
    let invite = scene.sent("INVITE ").to_owned();
    let legs =
        scene.ask(|reply| Command::ListLegs { query: api::model::LegQuery::default(), reply });

    assert!(
        invite.starts_with("INVITE sip:015512345@192.0.2.2;user=phone SIP/2.0\r\n"),
        "{invite}"
    );
    let from = "<sip:0401234567@us.example;user=phone>;tag=";
    assert!(header(&invite, "From").starts_with(from), "{invite}");
    assert_eq!(legs.unwrap().items[0].from, "sip:+49401234567@c.example");
}

#[test]
fn a_test_of_routes_tells_numbers_as_they_are_known_and_sent() {
    let to = TrunkRules { caller: passes(&[]).caller, ..numbers(NumberFormat::Plain) };
    let mut scene = scene(numbers(NumberFormat::E164), to);
    let body = json!({"to": "tel:0049-89-1234567", "from": "sip:0401234567@x;user=phone",
        "source": {"trunk": "from"}});
    let body: TestRoutes = serde_json::from_value(body).unwrap();

    let trace = scene.ask(|reply| Command::TestRoutes { body, reply }).unwrap();

    assert_eq!(
        (trace.dialled.as_str(), trace.from.as_deref()),
        ("+49891234567", Some("+49401234567"))
    );
    let sent = &trace.trunks[0];
    assert_eq!((sent.step, sent.trunk.as_str()), (0, "to"));
    assert_eq!((sent.number.as_str(), sent.dialled.as_str()), ("+49891234567", "49891234567"));
    assert_eq!(sent.from, "sip:49401234567@us.example");
}
