use super::*;
use crate::sip::layer::{Flow, Source};
use crate::sip::{Limits, Message, endpoint::RegisterId};

const PHONE: &str = "192.0.2.9:5060";

fn options() -> RegistrarOptions {
    RegistrarOptions {
        usual: Duration::from_hours(1),
        min: Duration::from_mins(1),
        max: Duration::from_hours(2),
        contacts: 3,
        bindings: 5,
        domain: Host::Name("plenary".into()),
        flow_timer: Duration::from_mins(2),
    }
}

/// A registrar that is told what phones of Alice say.
struct Desk {
    now: Instant,
    registrar: Registrar,
    sequence: u32,
    user: &'static str,
    transport: Transport,
    peer: &'static str,
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn new() -> Self {
        let registrar = Registrar::new(options());
        let (transport, peer) = (Transport::Udp, PHONE);
        Self { now: Instant::now(), registrar, sequence: 0, user: "alice", transport, peer }
    }

    fn ask(&mut self, lines: &str) -> Result<Registered, Rejection> {
        self.sequence += 1;
        self.ask_late(lines, self.sequence)
    }

    fn ask_late(&mut self, lines: &str, sequence: u32) -> Result<Registered, Rejection> {
        let lines: String = lines.split('|').map(|line| line.trim().to_owned() + "\r\n").collect();
        let text = format!(
            "REGISTER sip:plenary SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{sequence}\r\n\
             From: <sip:alice@plenary>;tag=a\r\nTo: <sip:alice@plenary>\r\nCall-ID: one\r\n\
             CSeq: {sequence} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        let asked = self.request(text);
        self.registrar.register(self.now, self.user, &asked)
    }

    fn request(&self, text: String) -> Registering {
        let request = Message::parse(&text.into_bytes().into(), &Limits::default()).unwrap();
        let (transport, peer) = (self.transport, self.peer.parse().unwrap());
        let local = "192.0.2.1:5060".parse().unwrap();
        let flow = Flow::of_request(&request, Source { transport, peer, local });
        Registering { register: RegisterId(1), request, transport, peer, flow }
    }

    fn contacts(&self) -> Vec<String> {
        let bindings = self.registrar.bindings("alice");
        bindings.iter().map(|binding| binding.contact.to_string()).collect()
    }

    fn after(&mut self, seconds: u64) -> Vec<(String, Change)> {
        self.now += Duration::from_secs(seconds);
        self.registrar.expire(self.now)
    }
}

fn status(answer: Result<Registered, Rejection>) -> u16 {
    answer.unwrap_err().status.code()
}

fn values<'a>(registered: &'a Registered, name: &str) -> Vec<&'a str> {
    let headers = registered.headers.iter().filter(|(own, _)| own == name);
    headers.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_binding_lasts_until_its_time_is_over() {
    let mut desk = Desk::new();

    let made = desk.ask("Contact: <sip:a@192.0.2.9>;expires=90").unwrap();
    let early = desk.after(89);
    let late = desk.after(1);

    assert_eq!(values(&made, "Contact"), ["<sip:a@192.0.2.9>;expires=90"]);
    assert!(matches!(made.changes[..], [Change::Added(_)]));
    assert!(early.is_empty());
    assert!(matches!(&late[..], [(user, Change::Removed(_, Removal::Expired))] if user == "alice"));
    assert!(desk.registrar.is_empty() && desk.registrar.deadline().is_none());
}

#[test]
fn a_refresh_changes_nothing_but_the_time() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:a@192.0.2.9>|Expires: 90").unwrap();
    let id = desk.registrar.bindings("alice")[0].id;

    desk.after(60);
    let again = desk.ask("Contact: <sip:a@192.0.2.9>|Expires: 90").unwrap();

    assert!(again.changes.is_empty());
    assert_eq!(desk.registrar.bindings("alice")[0].id, id);
    assert!(desk.after(60).is_empty());
}

#[test]
fn a_phone_that_has_a_name_is_told_its_gruu_if_it_wants_one() {
    let instance = "Contact: <sip:a@192.0.2.9>;+sip.instance=\"<urn:uuid:f81d4fae-7dec>\"";
    let mut desk = Desk::new();

    let wanted = desk.ask(&format!("{instance}|Supported: gruu")).unwrap();
    let unwanted = desk.ask(instance).unwrap();
    let odd = desk.ask(&format!("{}|Supported: gruu", instance.replace("f81d", ";>x"))).unwrap();

    let gruu = ";pub-gruu=\"sip:alice@plenary;gr=urn:uuid:f81d4fae-7dec\";";
    assert!(values(&wanted, "Contact")[0].contains(gruu), "{wanted:?}");
    assert!(!values(&unwanted, "Contact")[0].contains("gruu"), "{unwanted:?}");
    assert!(!values(&odd, "Contact")[0].contains("gruu"), "{odd:?}");
}

#[test]
fn expires_of_the_contact_counts_before_that_of_the_request() {
    let mut desk = Desk::new();
    for (lines, lasts) in [
        ("Contact: <sip:a@h>;expires=70|Expires: 80", 70),
        ("Contact: <sip:a@h>|Expires: 80", 80),
        ("Contact: <sip:a@h>", 3600),
        ("Contact: <sip:a@h>;expires=soon", 3600),
        ("Contact: <sip:a@h>;expires=99999999999999999999", 3600),
        ("Contact: <sip:a@h>;expires=999999", 7200),
    ] {
        let made = desk.ask(lines).unwrap();
        assert_eq!(values(&made, "Contact"), [format!("<sip:a@h>;expires={lasts}")], "{lines}");
    }
}

#[test]
fn too_short_a_time_is_refused_with_the_shortest() {
    let mut desk = Desk::new();

    let refused = desk.ask("Contact: <sip:a@h>;expires=59").unwrap_err();

    assert_eq!(refused.status.code(), 423);
    assert_eq!(refused.headers, [("Min-Expires".to_owned(), "60".to_owned())]);
    assert!(desk.registrar.is_empty());
}

#[test]
fn a_phone_takes_back_one_contact_or_all() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:a@h>, <sip:b@h>|Contact: <sip:c@h>").unwrap();

    let one = desk.ask("Contact: <sip:b@h>;expires=0").unwrap();
    let left = values(&one, "Contact").len();
    let all = desk.ask("Contact: *|Expires: 0").unwrap();

    assert_eq!(left, 2);
    assert!(matches!(one.changes[..], [Change::Removed(_, Removal::Unregistered)]));
    assert_eq!(all.changes.len(), 2);
    assert!(values(&all, "Contact").is_empty() && desk.registrar.is_empty());
}

#[test]
fn without_a_contact_it_is_a_question() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:a@h>;q=0.5").unwrap();

    let told = desk.ask("Expires: 0").unwrap();

    assert_eq!(values(&told, "Contact"), ["<sip:a@h>;q=0.500;expires=3600"]);
}

#[test]
fn what_no_registrar_understands_is_refused_whole() {
    let mut desk = Desk::new();
    for lines in [
        "Contact: *",
        "Contact: *|Expires: 60",
        "Contact: *, <sip:a@h>|Expires: 0",
        "Contact: <sip:a@h>, <mailto:a@h>",
        "Contact: <sip:a@h>, <<",
        "Contact: <sip:a@h>|Path: <<",
        "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>, <sip:d@h>",
    ] {
        assert_eq!(status(desk.ask(lines)), 400, "{lines}");
    }
    let one_is_too_short = desk.ask("Contact: <sip:a@h>, <sip:b@h>;expires=1");

    assert_eq!(status(one_is_too_short), 423);
    assert!(desk.registrar.is_empty());
}

#[test]
fn what_comes_late_does_not_undo_what_came_after() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:a@h>").unwrap();
    desk.ask("Contact: <sip:a@h>").unwrap();

    assert_eq!(status(desk.ask_late("Contact: <sip:a@h>;expires=0", 1)), 500);
    assert_eq!(status(desk.ask_late("Contact: *|Expires: 0", 2)), 500);
    assert_eq!(desk.contacts(), ["sip:a@h"]);
}

#[test]
fn phones_are_tried_by_q_and_then_the_latest_first() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:low@h>;q=0.2").unwrap();
    desk.ask("Contact: <sip:old@h>").unwrap();
    desk.ask("Contact: <sip:new@h>;q=1.0").unwrap();

    assert_eq!(desk.contacts(), ["sip:new@h", "sip:old@h", "sip:low@h"]);
}

#[test]
fn one_phone_too_many_takes_the_place_of_the_one_silent_for_longest() {
    let mut desk = Desk::new();
    for contact in ["a", "b", "c", "a", "d"] {
        desk.ask(&format!("Contact: <sip:{contact}@h>")).unwrap();
    }

    assert_eq!(desk.contacts(), ["sip:d@h", "sip:a@h", "sip:c@h"]);
    assert_eq!(desk.registrar.iter().count(), 3);
}

#[test]
fn a_full_registrar_refuses_new_phones_and_keeps_the_old() {
    let mut desk = Desk::new();
    desk.ask("Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>").unwrap();
    desk.user = "bob";
    desk.ask("Contact: <sip:a@h>, <sip:b@h>").unwrap();
    desk.user = "carol";

    assert_eq!(status(desk.ask("Contact: <sip:a@h>")), 503);
    desk.user = "alice";
    assert!(desk.ask("Contact: <sip:a@h>").is_ok(), "a refresh needs no more room");
    assert_eq!(desk.registrar.len(), 5);
}

#[test]
fn a_path_is_kept_told_back_and_taken() {
    let mut desk = Desk::new();

    let made = desk
        .ask("Supported: path|Path: <sip:p1@edge;lr>, <sip:p2@inner;lr>|Contact: <sip:a@h>")
        .unwrap();
    let target = desk.registrar.bindings("alice")[0].target();

    assert_eq!(values(&made, "Path"), ["<sip:p1@edge;lr>", "<sip:p2@inner;lr>"]);
    assert_eq!(target.routes, ["<sip:p1@edge;lr>", "<sip:p2@inner;lr>"]);
}

const OUTBOUND_CONTACT: &str =
    "Supported: path, outbound|Contact: <sip:a@HOST>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";

#[test]
fn a_phone_that_keeps_its_flow_open_has_one_binding_wherever_it_is() {
    let mut desk = Desk::new();
    desk.transport = Transport::Tcp;

    let made = desk.ask(&OUTBOUND_CONTACT.replace("HOST", "10.0.0.1")).unwrap();
    desk.peer = "192.0.2.9:7000";
    let moved = desk.ask(&OUTBOUND_CONTACT.replace("HOST", "10.0.0.2")).unwrap();

    assert_eq!(
        (values(&made, "Require"), values(&made, "Flow-Timer")),
        (vec!["outbound"], vec!["120"])
    );
    assert!(matches!(moved.changes[..], [Change::Removed(_, Removal::Replaced), Change::Added(_)]));
    assert_eq!(desk.contacts(), ["sip:a@10.0.0.2"]);
}

#[test]
fn a_binding_goes_with_the_connection_that_it_depends_on() {
    let mut desk = Desk::new();
    desk.transport = Transport::Tcp;
    desk.ask(&OUTBOUND_CONTACT.replace("HOST", "10.0.0.1")).unwrap();
    desk.ask("Contact: <sip:listens@192.0.2.9:5060;transport=tcp>").unwrap();
    desk.transport = Transport::Wss;
    desk.ask("Contact: <sip:browser@x.invalid;transport=ws>").unwrap();

    let peer = PHONE.parse().unwrap();
    let tcp = desk.registrar.disconnected(Transport::Tcp, peer);
    let wss = desk.registrar.disconnected(Transport::Wss, peer);

    assert!(
        matches!(&tcp[..], [(_, Change::Removed(one, Removal::Disconnected))] if one.reg_id == Some(1))
    );
    assert_eq!(wss.len(), 1);
    assert_eq!(desk.contacts(), ["sip:listens@192.0.2.9:5060;transport=tcp"]);
    assert!(desk.registrar.flows.is_empty());
}

#[test]
fn a_proxy_that_cannot_keep_the_flow_is_told() {
    let mut desk = Desk::new();
    let asked = OUTBOUND_CONTACT.replace("HOST", "10.0.0.1");
    let behind = |path: &str| format!("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKp|{path}|{asked}");

    let plain = desk.ask(&behind("Path: <sip:edge;lr>"));
    let able = desk.ask(&behind("Path: <sip:edge;lr;ob>"));

    assert_eq!(status(plain), 439);
    assert!(able.is_ok());
}

#[test]
fn what_the_tables_hold_goes_when_the_bindings_go() {
    let mut desk = Desk::new();
    for round in 0..200 {
        let contact = format!("Contact: <sip:p{}@h>;expires={}", round % 7, 60 + round % 50);
        desk.ask(&contact).unwrap();
        desk.after(round % 9);
    }

    desk.after(200);

    let Registrar { users, count, owners, due, flows, .. } = &desk.registrar;
    assert!(users.is_empty() && owners.is_empty() && due.is_empty() && flows.is_empty());
    assert_eq!(*count, 0);
}
