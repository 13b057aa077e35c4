//! Mail, handed in to a server that knows nothing of us, and read there by Python's email package and icalendar.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Authority, Bridge, Options, Smtp, Value, fresh_folder, json, scene_with};

const LOGIN: &str = "user = \"bridge\"\npassword = \"s3cret\"\n";
const ASKS: [&str; 2] = ["--user", "bridge:s3cret"];

fn bridge(config: String) -> Bridge {
    Bridge::start(Options { config, ..Options::default() })
}

fn header<'m>(mail: &'m Value, name: &str) -> Vec<&'m str> {
    let headers = mail["headers"].as_array().unwrap().iter();
    let of_name = headers.filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    of_name.map(|header| header[1].as_str().unwrap()).collect()
}

fn part<'m>(mail: &'m Value, kind: &str) -> &'m Value {
    let parts = mail["parts"].as_array().unwrap();
    parts.iter().find(|part| part["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {mail}"))
}

#[test]
fn an_invitation_comes_with_the_pin_and_an_entry_for_the_calendar() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &ASKS);
    let more = format!(
        "{LOGIN}time_zone = \"Europe/Berlin\"\ndial_in = [\"sip:{{room}}@conf.test\", \"+49 30 1234, then {{room}}\"]"
    );
    let bridge = bridge(server.settings(&authority, &more));
    bridge.post(
        "/v1/rooms",
        &json!({"name": "board", "settings": {"pin": "4711", "moderator_pin": "9"}}),
    );

    let said = "Bring the figures; all of them, \\please.\nÜber €2 😀 we talk later.";
    let subject =
        "Vorstand, Ä; und sehr viel mehr, als in eine einzige Zeile eines Kalenders passt: €€€";
    let body = json!({"to": ["ada@example.test", "grace@example.test"], "duration_min": 45,
        "starts_at": "2026-06-01T14:00:00Z", "subject": subject, "message": said});
    let answer = bridge.try_request("POST", "/v1/rooms/board/invitations", Some(&body));

    assert_eq!(answer.status, 202, "{}", answer.text);
    let invitation = answer.json();
    assert_eq!(invitation["ends_at"], "2026-06-01T14:45:00Z");
    assert!(server.next("login")["tls"].as_bool().unwrap());
    for to in ["ada@example.test", "grace@example.test"] {
        let mail = server.next("mail");
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("bridge")));
        assert_eq!((&mail["sender"], &mail["to"]), (&json!("bridge@plenary.test"), &json!([to])));
        assert_eq!(mail["faults"], json!([]), "{mail}");
        assert_eq!(header(&mail, "subject"), [subject]);
        assert_eq!(header(&mail, "from"), ["Conferences <bridge@plenary.test>"]);
        assert_eq!((header(&mail, "to"), header(&mail, "message-id").len()), (vec![to], 1));
        let text = part(&mail, "text/plain")["text"].as_str().unwrap().replace("\r\n", "\n");
        let expected = format!(
            "{said}\n\nYou are invited to a conference.\n\nWhat: {subject}\nWhen: Monday, 1 June 2026, 16:00 to 16:45 (CEST)\n\
            Call: sip:board@conf.test\n      +49 30 1234, then board\nPIN:  4711, then #\n"
        );
        assert_eq!(text, expected);
        let html = part(&mail, "text/html")["text"].as_str().unwrap();
        assert!(
            html.contains("<a href=\"sip:board@conf.test\">") && html.contains("4711"),
            "{html}"
        );
        let alternative = part(&mail, "text/calendar");
        assert_eq!(alternative["parameters"]["method"], "REQUEST", "{alternative}");
        let file = part(&mail, "application/ics");
        assert_eq!((&file["file"], &file["event"]), (&json!("invite.ics"), &alternative["event"]));
        let event = &file["event"];
        assert_eq!((&event["METHOD"], &event["UID"]), (&json!("REQUEST"), &invitation["uid"]));
        assert_eq!((&event["SUMMARY"], &event["DESCRIPTION"]), (&json!(subject), &json!(text)));
        assert_eq!(event["LOCATION"], "sip:board@conf.test");
        assert_eq!(event["DTSTART"], "2026-06-01T14:00:00+00:00");
        assert_eq!(event["DTEND"], "2026-06-01T14:45:00+00:00");
        assert_eq!(event["ORGANIZER"], "mailto:bridge@plenary.test");
        assert_eq!(event["ATTENDEE"], format!("mailto:{to}"));
    }
    bridge.wait_metric("plenary_mails_total{outcome=\"sent\"} 2");
    bridge.wait_metric("plenary_mails_waiting 0");
}

#[test]
fn moderators_are_told_their_own_pin_and_nobody_is_told_that_of_others() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &[]);
    let bridge = bridge(server.settings(&authority, ""));
    bridge.post("/v1/rooms", &json!({"name": "board", "settings": {"moderator_pin": "9876"}}));
    let invite = |moderator: bool| {
        let body = json!({"to": ["ada@example.test"], "moderator": moderator});
        bridge.post("/v1/rooms/board/invitations", &body);
        server.next("mail")["parts"].to_string()
    };

    assert!(invite(true).contains("PIN:  9876"));
    assert!(!invite(false).contains("9876"));
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again_at_once() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &["--user", "bridge:other"]);
    let bridge = bridge(server.settings(&authority, LOGIN));
    bridge.post("/v1/rooms", &json!({"name": "board"}));

    bridge.post("/v1/rooms/board/invitations", &json!({"to": ["ada@example.test"]}));

    assert_eq!(server.next("login")["good"], false);
    bridge.wait_log("the mail server does not take mail.user and mail.password", 1);
    bridge.wait_metric("plenary_mails_total{outcome=\"retried\"} 1");
    bridge.wait_metric("plenary_mails_waiting 1");
    // Another one does not make it knock again.
    bridge.post("/v1/rooms/board/invitations", &json!({"to": ["grace@example.test"]}));
    bridge.wait_metric("plenary_mails_waiting 2");
    assert_eq!(server.rest(), Vec::<Value>::new());
    assert!(!bridge.log().contains("s3cret"));
}

#[test]
fn without_starttls_nothing_goes_in_clear() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &["--no-starttls", "--user", "bridge:s3cret"]);
    let bridge = bridge(server.settings(&authority, LOGIN));
    bridge.post("/v1/rooms", &json!({"name": "board"}));

    bridge.post("/v1/rooms/board/invitations", &json!({"to": ["ada@example.test"]}));

    bridge.wait_log("STARTTLS is not supported on this server", 1);
    bridge.wait_metric("plenary_mails_waiting 1");
    assert_eq!(server.rest(), Vec::<Value>::new());
}

#[test]
fn a_server_whose_certificate_proves_nothing_is_told_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Smtp::start(&other, &ASKS);
    let bridge = bridge(server.settings(&authority, LOGIN));
    bridge.post("/v1/rooms", &json!({"name": "board"}));

    bridge.post("/v1/rooms/board/invitations", &json!({"to": ["ada@example.test"]}));

    bridge.wait_log("the mail server takes nothing", 1);
    assert!(bridge.log().contains("certificate"), "{}", bridge.log());
    assert_eq!(server.rest(), Vec::<Value>::new());
}

#[test]
fn what_the_server_does_not_take_yet_is_sent_after_a_restart() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &["--defer"]);
    let data = fresh_folder();
    let options = |server: &Smtp| Options {
        config: server.settings(&authority, ""),
        data: Some(data.clone()),
        ..Options::default()
    };
    let mut first = Bridge::start(options(&server));
    first.post("/v1/rooms", &json!({"name": "board"}));
    first.post("/v1/rooms/board/invitations", &json!({"to": ["ada@example.test"]}));
    server.next("deferred");
    first.wait_metric("plenary_mails_total{outcome=\"retried\"} 1");
    let uid = |mail: &Value| part(mail, "text/calendar")["event"]["UID"].clone();

    first.kill();
    let server = Smtp::start(&authority, &[]);
    let mut second = Bridge::start(options(&server));
    let mail = server.next("mail");
    second.wait_metric("plenary_mails_total{outcome=\"sent\"} 1");
    // A kill just now could have it sent again: what was sent is forgotten after that.
    second.terminate();
    second.wait_exit(Duration::from_secs(20));
    let third = Bridge::start(options(&server));
    third.post("/v1/rooms", &json!({"name": "other"}));
    third.post("/v1/rooms/other/invitations", &json!({"to": ["grace@example.test"]}));
    let next = server.next("mail");

    assert_eq!(mail["to"], json!(["ada@example.test"]));
    assert_eq!(next["to"], json!(["grace@example.test"]));
    assert_ne!(uid(&mail), uid(&next));
    drop(std::fs::remove_dir_all(data));
}

#[test]
fn a_server_that_is_gone_is_tried_again_and_one_that_says_nothing_holds_up_no_call() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = format!(
        "[mail]\nserver = \"{address}\"\nca = \"{}\"\nfrom = \"bridge@plenary.test\"\ntimeout = \"1s\"\n",
        authority.path().display()
    );
    let scene = scene_with(Options { config, ..Options::default() });
    scene.bridge.post("/v1/rooms", &json!({"name": "board"}));
    scene.bridge.post("/v1/rooms/board/invitations", &json!({"to": ["ada@example.test"]}));
    let (stream, _) = silent.accept().unwrap();

    let anna = scene.join("anna", "board", 440);
    scene.bridge.wait_log("the mail server takes nothing", 1);
    drop((stream, silent));
    let server = Smtp::start_at(address, &authority, &[]);

    assert_eq!(server.next("mail")["to"], json!(["ada@example.test"]));
    scene.bridge.wait_metric("plenary_mails_total{outcome=\"sent\"} 1");
    anna.call.hang_up();
}

#[test]
fn an_address_that_there_is_not_costs_the_others_nothing() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &["--refuse", "nobody@example.test"]);
    let bridge = bridge(server.settings(&authority, ""));
    bridge.post("/v1/rooms", &json!({"name": "board"}));

    let to = json!(["nobody@example.test", "ada@example.test"]);
    bridge.post("/v1/rooms/board/invitations", &json!({"to": to}));

    let told = [server.told(), server.told()];
    let of = |event: &str| told.iter().find(|told| told["event"] == event).unwrap();
    assert_eq!(of("refused")["to"], "nobody@example.test");
    assert_eq!(of("mail")["to"], json!(["ada@example.test"]));
    bridge.wait_metric("plenary_mails_total{outcome=\"given_up\"} 1");
    bridge.wait_metric("plenary_mails_total{outcome=\"sent\"} 1");
}

#[test]
fn a_trunk_that_is_down_is_told_by_mail_and_that_it_is_up_again() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &[]);
    let more =
        "alerts_to = [\"Ops <ops@example.test>\"]\nalert_after = \"1s\"\nalert_interval = \"1s\"";
    let gateway = crate::support::free_port();
    let config = format!(
        "{}[[trunks]]\nname = \"carrier\"\ngateways = [\"sip:{gateway};transport=tcp\"]\ncheck = \"1s\"\n",
        server.settings(&authority, more)
    );
    let bridge = bridge(config);

    // It has been down since before anybody could follow the events.
    let down = server.next("mail");
    let peer = Bridge::start(Options {
        arguments: vec!["--sip-tcp".to_owned(), gateway.to_string()],
        ..Options::default()
    });
    bridge.wait("trunk.up", |event| event["data"]["name"] == "carrier");
    let up = server.next("mail");

    assert_eq!(header(&down, "subject"), ["Trunk carrier is down"]);
    assert_eq!(header(&down, "auto-submitted"), ["auto-generated"]);
    assert_eq!(down["to"], json!(["ops@example.test"]));
    let text = part(&down, "text/plain")["text"].as_str().unwrap();
    assert!(text.starts_with("Trunk: carrier\r\nState: down"), "{text}");
    assert_eq!(header(&up, "subject"), ["Trunk carrier is up again"]);
    drop(peer);
}

#[test]
fn an_invitation_is_checked_and_bounded() {
    let authority = Authority::new();
    let server = Smtp::start(&authority, &[]);
    let bridge = bridge(server.settings(&authority, "per_hour = 3\nqueue = 2"));
    bridge.post("/v1/rooms", &json!({"name": "board"}));
    let invite =
        |body: Value| bridge.try_request("POST", "/v1/rooms/board/invitations", Some(&body));
    let pointer = |answer: &Value| answer["errors"][0]["pointer"].clone();

    for (body, at) in [
        (json!({"to": []}), "/to"),
        (json!({"to": ["a@b.test\r\nBcc: eve@c.test"]}), "/to/0"),
        (json!({"to": ["a@b.test, eve@c.test"]}), "/to/0"),
        (json!({"to": ["ada@b.test", "Ada <ada@b.test>"]}), "/to/1"),
        (json!({"to": ["a@b.test"], "subject": "x\r\nBcc: eve@c.test"}), "/subject"),
        (json!({"to": ["a@b.test"], "message": "x\u{0}"}), "/message"),
        (json!({"to": ["a@b.test"], "duration_min": 0}), "/duration_min"),
    ] {
        let refused = invite(body);
        assert_eq!(
            (refused.status, pointer(&refused.json())),
            (422, json!(at)),
            "{}",
            refused.text
        );
    }
    let no_room = json!({"to": ["a@b.test"]});
    let no_room = bridge.try_request("POST", "/v1/rooms/none/invitations", Some(&no_room));
    assert_eq!(no_room.status, 404);
    assert_eq!(invite(json!({"to": ["a@b.test", "b@b.test", "c@b.test"]})).status, 503);
    let spent = invite(json!({"to": ["a@b.test"]}));
    assert_eq!((spent.status, &spent.json()["code"]), (429, &json!("too_many_requests")));
    assert_eq!(server.rest(), Vec::<Value>::new());
}

#[test]
fn without_a_server_nobody_is_invited() {
    let bridge = bridge(String::new());
    bridge.post("/v1/rooms", &json!({"name": "board"}));

    let body = json!({"to": ["ada@example.test"]});
    let refused = bridge.try_request("POST", "/v1/rooms/board/invitations", Some(&body));

    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("no_mail")));
}
