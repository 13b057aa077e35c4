//! Logging in by a password of `slapd`, of `OpenLDAP`, and looking people up there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{
    Authority, Bridge, Options, Response, Slapd, Value, directory_settings, json, scene_with,
};

fn bridge(config: String) -> Bridge {
    Bridge::start(Options { config, ..Options::default() })
}

fn log_in(bridge: &Bridge, user: &str, password: &str) -> Response {
    let body = json!({"user": user, "password": password});
    bridge.try_request("POST", "/v1/sessions", Some(&body))
}

fn told(answer: &Response) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

/// A request of somebody who has logged in.
fn as_user(bridge: &Bridge, session: &Response, method: &str, path: &str) -> u16 {
    let token = session.json()["token"].as_str().unwrap().to_owned();
    bridge.client.with_key(&token).request(method, path, &[], None).unwrap().status
}

#[test]
fn who_is_in_a_group_logs_in_and_may_what_its_groups_may() {
    let authority = Authority::new();
    let slapd = Slapd::start(&authority);
    let bridge = bridge(directory_settings(slapd.address, &authority, ""));

    let ada = log_in(&bridge, "ADA", "correct-horse");
    let grace = log_in(&bridge, "grace", "nanosecond");

    assert_eq!(ada.status, 201, "{}", ada.text);
    assert_eq!(ada.json()["user"], "ada");
    assert_eq!(ada.json()["scopes"], json!(["rooms:read", "rooms:control", "calls:write"]));
    assert_eq!(grace.json()["scopes"], json!(["rooms:read", "rooms:control"]));
    assert_eq!(as_user(&bridge, &ada, "GET", "/v1/directory?q=hopper"), 200);
    assert_eq!(as_user(&bridge, &grace, "GET", "/v1/directory?q=hopper"), 403);
    assert_eq!(as_user(&bridge, &grace, "POST", "/v1/rooms"), 201);
    assert_eq!(as_user(&bridge, &grace, "GET", "/v1/users"), 403);
    let audit = bridge.get_until("/v1/audit?limit=20", |audit| {
        let entries = audit["items"].as_array().unwrap();
        entries.iter().any(|entry| entry["key_name"] == "grace" && entry["path"] == "/v1/rooms")
    });
    assert!(!audit.to_string().contains("nanosecond"));
    assert!(!bridge.log().contains("nanosecond") && !bridge.log().contains("service-secret"));
}

#[test]
fn who_has_no_group_or_the_wrong_password_is_not_let_in() {
    let authority = Authority::new();
    let slapd = Slapd::start(&authority);
    let bridge = bridge(directory_settings(slapd.address, &authority, ""));
    let refused = (401, "login_refused".to_owned());

    assert_eq!(told(&log_in(&bridge, "ada", "battery-staple")), refused);
    assert_eq!(told(&log_in(&bridge, "nobody", "correct-horse")), refused);
    // What is typed is no part of the filter's grammar.
    assert_eq!(told(&log_in(&bridge, "*", "correct-horse")), refused);
    assert_eq!(told(&log_in(&bridge, "a*", "correct-horse")), refused);
    assert_eq!(told(&log_in(&bridge, "ada)(uid=*", "correct-horse")), refused);
    assert_eq!(log_in(&bridge, "ada", "").status, 422);
    assert_eq!(told(&log_in(&bridge, "bob", "battery-staple")), (403, "no_scopes".to_owned()));
    assert_eq!(told(&log_in(&bridge, "bob", "wrong")), refused);
}

#[test]
fn a_directory_that_is_gone_or_says_nothing_is_told_in_time_and_calls_go_on() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = directory_settings(address, &authority, "timeout = \"1s\"");
    let scene = scene_with(Options { config, ..Options::default() });

    let began = Instant::now();
    let late = log_in(&scene.bridge, "ada", "correct-horse");
    let took = began.elapsed();
    let anna = scene.join("anna", "standup", 440);
    drop(silent);
    let gone = log_in(&scene.bridge, "ada", "correct-horse");

    let unavailable = (503, "directory_unavailable".to_owned());
    assert_eq!((told(&late), told(&gone)), (unavailable.clone(), unavailable));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(late.text.contains("no answer in time"), "{}", late.text);
    anna.call.hang_up();
}

#[test]
fn without_tls_that_proves_itself_no_password_is_sent() {
    let (authority, other) = (Authority::new(), Authority::new());
    let slapd = Slapd::start(&other);
    let config = directory_settings(slapd.address, &authority, "");
    let bridge = bridge(config);

    let refused = log_in(&bridge, "ada", "correct-horse");

    assert_eq!(told(&refused), (503, "directory_unavailable".to_owned()), "{}", refused.text);
    assert!(refused.text.to_lowercase().contains("certificate"), "{}", refused.text);
}

#[test]
fn people_are_looked_up_by_name_and_number_and_remembered() {
    let authority = Authority::new();
    let mut slapd = Slapd::start(&authority);
    let bridge = bridge(directory_settings(slapd.address, &authority, ""));
    let names = |q: &str| {
        let found = bridge.get(&format!("/v1/directory?q={q}"));
        let items = found["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].clone()).collect::<Vec<Value>>()
    };

    let ada = bridge.get("/v1/directory?q=lovel");

    let expected = json!({"items": [{"name": "Ada Lovelace", "number": "+4930111",
        "mail": "ada@example.test"}], "next": null});
    assert_eq!(ada, expected);
    assert_eq!(names("%2B4930222"), ["Grace Hopper (Rear Admiral)"]);
    assert_eq!(names("admiral)"), ["Grace Hopper (Rear Admiral)"]);
    assert_eq!(names("**"), Vec::<Value>::new());
    slapd.stop();
    assert_eq!(names("Lovel"), ["Ada Lovelace"]);
    assert_eq!(names("**"), Vec::<Value>::new());
    let unknown = bridge.try_request("GET", "/v1/directory?q=turing", None);
    assert_eq!(told(&unknown), (503, "directory_unavailable".to_owned()));
}

#[test]
fn without_a_directory_nobody_logs_in_by_password() {
    let bridge = bridge(String::new());

    assert_eq!(bridge.get("/v1/sessions"), json!({"by_password": false}));
    assert_eq!(told(&log_in(&bridge, "ada", "correct-horse")), (409, "no_directory".to_owned()));
}

#[test]
fn a_caller_of_a_trunk_without_a_name_is_shown_by_that_of_the_directory() {
    let authority = Authority::new();
    let slapd = Slapd::start(&authority);
    let trunk = "[[trunks]]\nname = \"carrier\"\ngateways = [\"sip:127.0.0.1:9\"]\ncheck = \"0s\"\nroom = \"lobby\"\n";
    let config = directory_settings(slapd.address, &authority, trunk);
    let scene = scene_with(Options { config, ..Options::default() });

    let ada = scene.join("+4930111", "lobby", 440);
    let named = scene.bridge.wait_any(|event| {
        let is_of_one =
            event["type"] == "participant.updated" || event["type"] == "participant.joined";
        is_of_one && event["data"]["display_name"] == "Ada Lovelace"
    });

    assert_eq!(named["leg"], ada.leg.as_str());
    ada.call.hang_up();
}
