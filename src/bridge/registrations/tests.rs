use std::time::Duration;

use api::archive::{Change, Document};
use api::control::{Command, IfMatch};
use api::model::Invite;

use super::*;
use crate::bridge::scene::{SDP, Scene, header, response};
use crate::bridge::{AccessSettings, Input, Rule, Settings};
use crate::bridge_settings;
use crate::config::Config;
use crate::sip::digest::{Algorithm, Credentials};
use crate::sip::endpoint::Packet;
use crate::webrtc::Fingerprint;

/// Alice and Bob have passwords.
fn settings() -> Settings {
    let settings = bridge_settings(&Config::default(), 1);
    let users = ["alice", "bob"].map(|user| (user.to_owned(), format!("{user}'s")));
    let access = AccessSettings { users: users.into(), ..settings.access };
    Settings { access, ..settings }
}

/// A phone that registers.
pub(in crate::bridge) struct Phone {
    pub(in crate::bridge) scene: Scene,
    sequence: u32,
    transport: Transport,
    /// Its Contact, with the end of the line.
    pub(in crate::bridge) lines: &'static str,
}

impl Phone {
    pub(in crate::bridge) fn new() -> Self {
        let lines = "Contact: <sip:desk@10.0.0.7:5070>\r\n";
        Self { scene: Scene::new(settings()), sequence: 0, transport: Transport::Udp, lines }
    }

    fn send(&mut self, named: &str, authorization: &str) -> String {
        self.sequence += 1;
        let (number, lines) = (self.sequence, self.lines);
        let text = format!(
            "REGISTER sip:plenary SIP/2.0\r\n\
             Via: SIP/2.0/{} 10.0.0.7:5070;branch=z9hG4bKr{number}\r\n\
             From: <sip:{named}@plenary>;tag=r\r\nTo: <sip:{named}@plenary>\r\n\
             Call-ID: register\r\nCSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n\
             {lines}{authorization}Content-Length: 0\r\n\r\n",
            self.transport.as_str()
        );
        self.say(text);
        self.scene.sent.last().cloned().unwrap_or_default()
    }

    fn say(&mut self, text: String) {
        let packet = Packet {
            transport: self.transport,
            peer: "10.0.0.7:5070".parse().unwrap(),
            local: "10.0.0.254:5060".parse().unwrap(),
            bytes: text.into_bytes().into(),
        };
        self.scene.input(Input::Packet(packet));
    }

    /// Registers `named` with the password of `user`.
    pub(in crate::bridge) fn register(&mut self, named: &str, user: &str) -> String {
        self.register_with(named, user, &format!("{user}'s"))
    }

    fn register_with(&mut self, named: &str, user: &str, password: &str) -> String {
        let challenged = self.send(named, "");
        let line = authorization_with(&challenged, "REGISTER", (user, password));
        self.send(named, &line)
    }

    fn list(&mut self) -> Vec<Registration> {
        let query = RegistrationQuery::default();
        self.scene.ask(|reply| Command::ListRegistrations { query, reply }).unwrap().items
    }

    /// Dials a user over the API; gives the INVITE, if one went out.
    fn dial(&mut self, to: &str) -> Option<String> {
        let body: Invite = serde_json::from_value(json!({ "to": to })).unwrap();
        let room = "hall".to_owned();
        self.scene.ask(|reply| Command::Invite { room, body, reply }).unwrap();
        self.scene.sent.iter().find(|sent| sent.starts_with("INVITE ")).cloned()
    }

    /// The INVITEs of a call to Alice, by the user parts of where they go.
    pub(in crate::bridge) fn ring<const N: usize>(&mut self, contacts: [&str; N]) -> [String; N] {
        self.dial("sip:alice@plenary");
        contacts.map(|user| self.scene.sent(&format!("INVITE sip:{user}@")).to_owned())
    }

    /// What happened, beside the user's presence.
    fn kinds(&self) -> Vec<&'static str> {
        let names = self.scene.names().into_iter();
        names.filter(|name| *name != "presence.updated").collect()
    }
}

/// The answer of a user to a challenge.
pub(in crate::bridge) fn authorization(challenged: &str, method: &str, user: &str) -> String {
    authorization_with(challenged, method, (user, &format!("{user}'s")))
}

fn authorization_with(challenged: &str, method: &str, (user, password): (&str, &str)) -> String {
    let nonce = challenged.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut said = Credentials {
        username: user.into(),
        realm: "plenary".into(),
        nonce: nonce.into(),
        uri: "sip:plenary".into(),
        algorithm: Algorithm::Sha256,
        cnonce: "c".into(),
        count: 1,
        response: String::new(),
    };
    let secret = said.algorithm.secret(user, "plenary", password);
    said.response = said.algorithm.response(&secret, method, &said);
    let Credentials { response, .. } = said;
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"plenary\", nonce=\"{nonce}\", \
         uri=\"sip:plenary\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\", \
         response=\"{response}\"\r\n"
    )
}

#[test]
fn a_phone_registers_with_its_password_even_from_an_open_network() {
    let mut phone = Phone::new();

    let challenged = phone.send("alice", "");
    let registered = phone.register("alice", "alice");

    assert!(challenged.starts_with("SIP/2.0 401 "), "{challenged}");
    assert!(registered.starts_with("SIP/2.0 200 "), "{registered}");
    assert!(registered.contains("Contact: <sip:desk@10.0.0.7:5070>;expires=3600\r\n"));
    assert!(registered.contains("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"), "{registered}");
    assert_eq!(phone.kinds(), ["registration.added"]);
    let list = phone.list();
    assert_eq!((list[0].user.as_str(), list[0].transport.as_str()), ("alice", "udp"));
}

#[test]
fn nobody_registers_for_somebody_else() {
    let mut phone = Phone::new();

    let refused = phone.register("bob", "alice");

    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
    assert_eq!(phone.kinds(), ["registration.rejected"]);
    assert!(phone.list().is_empty());
}

#[test]
fn a_user_is_called_at_its_phone() {
    let mut phone = Phone::new();
    phone.register("alice", "alice");

    for to in ["sip:alice@plenary", "sip:alice@10.0.0.254"] {
        let invite = phone.dial(to).unwrap();

        assert!(invite.starts_with("INVITE sip:desk@10.0.0.7:5070 SIP/2.0\r\n"), "{invite}");
        assert!(invite.contains(&format!("To: <{to}>\r\n")), "{invite}");
    }
}

#[test]
fn a_user_without_a_phone_is_unreachable() {
    let mut phone = Phone::new();

    assert_eq!(phone.dial("sip:alice@plenary"), None);

    assert_eq!(phone.kinds().last(), Some(&"room.ended"));
    let left = phone.scene.happened.iter().find(|event| event.kind.as_str() == "participant.left");
    let data = serde_json::to_value(&left.unwrap().data).unwrap();
    assert_eq!(
        (&data["left_reason"], &data["sip"]["status"]),
        (&json!("unreachable"), &json!(480))
    );
}

#[test]
fn a_phone_that_refuses_gives_way_to_the_next() {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:first@10.0.0.7:5070>, <sip:second@10.0.0.7:5070>;q=0.5\r\n";
    phone.register("alice", "alice");
    let invite = phone.dial("sip:alice@plenary").unwrap();

    let line = |name: &str| {
        invite.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
    };
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(line);
    phone.scene.say(format!(
        "SIP/2.0 486 Busy Here\r\n{via}\r\n{from}\r\n{to};tag=b\r\n{call_id}\r\n{cseq}\r\n\
         Content-Length: 0\r\n\r\n"
    ));

    let next = phone.scene.sent.iter().find(|sent| sent.starts_with("INVITE ")).unwrap();
    assert!(next.starts_with("INVITE sip:second@10.0.0.7:5070 "), "{next}");
}

#[test]
fn all_phones_of_a_user_ring_as_one_leg_and_the_first_answer_ends_it_for_the_others() {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>, <sip:mobile@10.0.0.7:5070>\r\n";
    phone.register("alice", "alice");
    let [desk, mobile] = phone.ring(["desk", "mobile"]);

    phone.scene.say(response(&desk, (180, "d"), ""));
    let first = phone.kinds();
    phone.scene.say(response(&mobile, (180, "m"), ""));
    let second = phone.kinds();
    phone.scene.say(response(&mobile, (200, "m"), SDP));

    assert_eq!((first, second), (vec!["participant.ringing"], vec![]));
    assert_eq!(phone.kinds(), ["leg.answered", "participant.joined"]);
    let cancel = phone.scene.sent("CANCEL sip:desk@10.0.0.7:5070 ");
    let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
    assert_eq!(header(cancel, "Reason"), reason);
    let leg = phone.scene.told("leg.answered");
    assert_eq!(leg["answered_by"], "sip:mobile@10.0.0.7:5070");
    phone.scene.say(response(&desk, (200, "d"), SDP));
    assert!(phone.scene.has_sent("ACK ") && phone.scene.has_sent("BYE "));
    assert!(phone.kinds().is_empty(), "{:?}", phone.kinds());
}

#[test]
fn a_gruu_reaches_one_phone_and_a_phone_with_two_ways_rings_once() {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>;+sip.instance=\"<urn:uuid:1>\"\r\n";
    phone.register("alice", "alice");
    phone.lines = "Contact: <sip:mobile@10.0.0.7:5070>;+sip.instance=\"<urn:uuid:2>\"\r\n";
    phone.register("alice", "alice");
    phone.lines = "Contact: <sip:again@10.0.0.7:5070>;+sip.instance=\"<urn:uuid:2>\"\r\n";
    phone.register("alice", "alice");
    let rings = |phone: &mut Phone, to: &str| {
        phone.dial(to);
        let invites = phone.scene.sent.iter().filter_map(|sent| sent.strip_prefix("INVITE sip:"));
        invites.map(|sent| sent.split('@').next().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(rings(&mut phone, "sip:alice@plenary;gr=urn:uuid:1"), ["desk"]);
    assert_eq!(rings(&mut phone, "sip:alice@plenary;gr=urn:uuid:3"), [""; 0]);
    assert_eq!(rings(&mut phone, "sip:alice@plenary"), ["again", "desk"]);
}

#[test]
fn the_best_refusal_of_a_users_phones_is_what_becomes_of_the_leg() {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>, <sip:mobile@10.0.0.7:5070>\r\n";
    phone.register("alice", "alice");
    let [desk, mobile] = phone.ring(["desk", "mobile"]);

    phone.scene.say(response(&desk, (486, "d"), ""));
    let early = phone.kinds();
    phone.scene.say(response(&mobile, (503, "m"), ""));

    assert!(early.is_empty(), "{early:?}");
    let left = phone.scene.told("participant.left");
    assert_eq!((&left["left_reason"], &left["sip"]["status"]), (&json!("busy"), &json!(486)));
}

#[test]
fn phones_that_are_to_be_tried_later_have_their_share_of_the_time() {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>, <sip:mobile@10.0.0.7:5070>;q=0.5\r\n";
    phone.register("alice", "alice");
    let [desk] = phone.ring(["desk"]);
    phone.scene.say(response(&desk, (180, "d"), ""));

    phone.scene.wait(settings().ring_timeout / 2);
    let rings = phone.scene.has_sent("CANCEL sip:desk@");
    let mobile = phone.scene.sent("INVITE sip:mobile@").to_owned();
    phone.scene.say(response(&mobile, (180, "m"), ""));
    phone.scene.wait(settings().ring_timeout / 2);

    assert!(rings && phone.scene.has_sent("CANCEL sip:mobile@"));
    assert_eq!(phone.scene.told("participant.left")["left_reason"], "no_answer");
}

#[test]
fn phones_and_browsers_of_a_user_ring_at_once_each_with_an_offer_of_its_own() {
    for (answers, remote) in [("desk", 4000), ("web", 5000)] {
        let mut phone = Phone::new();
        let fingerprint = Some(Fingerprint::of(b"ours"));
        phone.scene = Scene::new(Settings { fingerprint, ..settings() });
        phone.transport = Transport::Wss;
        phone.lines = "Contact: <sip:desk@10.0.0.7:5070>, <sip:web@x.invalid;transport=ws>\r\n";
        phone.register("alice", "alice");
        let [desk, web] = phone.ring(["desk", "web"]);

        let offers = [&desk, &web].map(|invite| invite.contains(" UDP/TLS/RTP/SAVPF "));
        let invite = if answers == "desk" { &desk } else { &web };
        let answer = if answers == "desk" { SDP.to_owned() } else { browser() };
        phone.scene.say(response(invite, (200, "x"), &answer));

        assert_eq!(offers, [false, true], "{desk} {web}");
        assert_eq!(phone.kinds().first(), Some(&"leg.answered"), "{answers}");
        assert_eq!(phone.scene.remote.map(|remote| remote.port()), Some(remote), "{answers}");
    }
}

/// What a browser answers.
fn browser() -> String {
    let fingerprint = Fingerprint::of(b"theirs");
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=-\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\n\
         m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:Xk3q\r\n\
         a=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:{fingerprint}\r\n\
         a=setup:active\r\na=rtcp-mux\r\na=sendrecv\r\n"
    )
}

#[test]
fn a_route_to_a_user_rings_all_of_its_phones_and_the_caller_hears_the_best_refusal() {
    let mut phone = Phone::new();
    let rule = json!({ "name": "alice", "destination": { "exact": "alice" },
                       "steps": [{ "user": "alice" }] });
    let routes = vec![Rule::new(serde_json::from_value(rule).unwrap()).unwrap()];
    phone.scene = Scene::new(Settings { routes, ..settings() });
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>, <sip:mobile@10.0.0.7:5070>\r\n";
    phone.register("alice", "alice");

    phone.scene.call("alice");
    let [desk, mobile] =
        ["desk", "mobile"].map(|user| phone.scene.sent(&format!("INVITE sip:{user}@")).to_owned());
    phone.scene.say(response(&desk, (408, "d"), ""));
    let early = phone.scene.has_sent("SIP/2.0 4");
    phone.scene.say(response(&mobile, (486, "m"), ""));

    assert!(!early);
    assert_eq!(header(phone.scene.sent("SIP/2.0 486 "), "Call-ID"), "call1@10.0.0.1");
}

#[test]
fn a_message_that_waits_is_delivered_when_its_user_registers() {
    let mut phone = Phone::new();
    phone.scene.say(
        "MESSAGE sip:alice@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKm\r\n\
         From: <sip:bob@10.0.0.1>;tag=m\r\nTo: <sip:alice@10.0.0.254>\r\n\
         Call-ID: message\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
            .to_owned(),
    );
    let accepted = phone.scene.sent("SIP/2.0 202 ").to_owned();

    phone.register("alice", "alice");
    let delivered = phone.scene.sent("MESSAGE sip:desk@10.0.0.7:5070 ").to_owned();
    phone.scene.say(response(&delivered, (200, "d"), ""));

    assert!(!accepted.is_empty() && delivered.ends_with("\r\n\r\nhello"), "{delivered}");
    assert_eq!(phone.scene.told("message.delivered")["delivered"], 1);
    phone.register("alice", "alice");
    assert!(!phone.scene.has_sent("MESSAGE "), "once is enough");
}

#[test]
fn a_browser_is_called_over_its_websocket_and_gone_with_it() {
    let mut phone = Phone::new();
    phone.transport = Transport::Wss;
    phone.lines = "Contact: <sip:web@x.invalid;transport=ws>\r\n";
    phone.register("alice", "alice");

    let invite = phone.dial("sip:alice@plenary").unwrap();
    phone.scene.input(Input::Closed(Transport::Wss, "10.0.0.7:5070".parse().unwrap()));

    assert!(
        invite.starts_with("INVITE sip:web@x.invalid;transport=ws SIP/2.0\r\nVia: SIP/2.0/WSS ")
    );
    assert!(!invite.contains("\r\nRoute: "), "{invite}");
    assert_eq!(phone.kinds(), ["registration.removed"]);
    assert!(phone.list().is_empty());
}

#[test]
fn a_phone_that_answers_as_its_gruu_is_reached_by_its_flow() {
    let mut phone = Phone::new();
    phone.transport = Transport::Wss;
    phone.lines = "Contact: <sip:web@x.invalid;transport=ws>;+sip.instance=\"<urn:uuid:1-2>\"\r\n\
                   Supported: gruu\r\n";
    let registered = phone.register("alice", "alice");
    let invite = phone.dial("sip:alice@plenary").unwrap();
    let gruu = "sip:alice@plenary;gr=urn:uuid:1-2";
    let answer = response(&invite, (200, "w"), SDP);

    phone.say(answer.replace("sip:phone@10.0.0.1", gruu));

    assert!(registered.contains(&format!("pub-gruu=\"{gruu}\"")), "{registered}");
    let ack = phone.scene.sent(&format!("ACK {gruu} "));
    assert!(header(ack, "Via").starts_with("SIP/2.0/WSS "), "{ack}");
}

#[test]
fn a_registration_ends_by_itself_or_over_the_api() {
    let mut phone = Phone::new();
    phone.register("alice", "alice");
    phone.register("bob", "bob");
    let id = phone.list()[1].id;

    let removed = phone.scene.ask(|reply| Command::RemoveRegistration { registration: id, reply });
    let kinds = phone.kinds();
    let gone = phone.scene.ask(|reply| Command::Registration { registration: id, reply });
    let deadline = phone.scene.deadline.unwrap();
    phone.scene.now += Duration::from_hours(1);
    phone.scene.input(Input::Timeout);

    assert_eq!((removed, kinds), (Ok(()), vec!["registration.removed"]));
    assert!(gone.is_err() && deadline <= phone.scene.now);
    assert_eq!(phone.kinds(), ["registration.removed"]);
    assert!(phone.list().is_empty());
}

impl Phone {
    fn makes_user(&mut self, name: &str, password: &str) -> api::model::User {
        let body = json!({ "name": name, "password": password });
        let body = serde_json::from_value(body).unwrap();
        self.scene.ask(|reply| Command::CreateUser { body, reply }).unwrap()
    }

    fn changes_user(&mut self, name: &str, body: serde_json::Value) -> api::model::User {
        let (user, condition) = (name.to_owned(), IfMatch::default());
        let body = serde_json::from_value(body).unwrap();
        self.scene.ask(|reply| Command::UpdateUser { user, body, condition, reply }).unwrap()
    }
}

#[test]
fn a_user_made_over_the_api_registers_at_once_and_after_a_restart_and_no_password_is_kept() {
    let mut phone = Phone::new();

    phone.makes_user("carol", "her secret");
    let registered = phone.register_with("carol", "carol", "her secret");
    let kept: Vec<_> = phone.scene.stored.iter().map(put).collect();
    let mut again = Phone::new();
    again.scene = Scene::new(Settings { kept: kept.clone(), ..settings() });
    let registered_again = again.register_with("carol", "carol", "her secret");

    assert!(registered.starts_with("SIP/2.0 200 "), "{registered}");
    assert!(registered_again.starts_with("SIP/2.0 200 "), "{registered_again}");
    assert!(kept.iter().all(|document| !document.body.contains("her secret")), "{kept:?}");
}

fn put(change: &Change) -> Document {
    match change {
        Change::Put(document) => document.clone(),
        Change::Remove(..) => panic!("expected a document"),
    }
}

#[test]
fn a_new_password_takes_effect_at_once() {
    let mut phone = Phone::new();
    phone.makes_user("carol", "old");
    phone.register_with("carol", "carol", "old");

    let changed = phone.changes_user("carol", json!({ "password": "new" }));
    let told = phone.kinds();
    let with_old = phone.register_with("carol", "carol", "old");
    let with_new = phone.register_with("carol", "carol", "new");

    assert_eq!((told, changed.phones), (vec!["registration.removed"], 0));
    assert!(with_old.starts_with("SIP/2.0 401 "), "{with_old}");
    assert!(with_new.starts_with("SIP/2.0 200 "), "{with_new}");
}

#[test]
fn a_user_that_is_deleted_loses_its_registrations() {
    let mut phone = Phone::new();
    phone.makes_user("carol", "secret");
    phone.register_with("carol", "carol", "secret");
    let (user, condition) = ("carol".to_owned(), IfMatch::default());

    phone.scene.ask(|reply| Command::DeleteUser { user, condition, reply }).unwrap();
    let told = phone.kinds();
    let refused = phone.register_with("carol", "carol", "secret");

    assert_eq!(told, ["registration.removed"]);
    assert!(phone.list().is_empty());
    assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
}

#[test]
fn what_a_user_may_not_do_is_refused() {
    let mut phone = Phone::new();
    phone.makes_user("carol", "secret");
    phone.register_with("carol", "carol", "secret");

    let changed = phone.changes_user("carol", json!({ "may_register": false }));
    let refused = phone.register_with("carol", "carol", "secret");

    assert_eq!(changed.phones, 0);
    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
}

#[test]
fn users_of_the_settings_are_changed_there() {
    let mut phone = Phone::new();
    let (user, condition) = ("alice".to_owned(), IfMatch::default());
    let query = api::model::PageQuery::default();

    let refused =
        phone.scene.ask(|reply| Command::DeleteUser { user, condition, reply }).unwrap_err();
    let list = phone.scene.ask(|reply| Command::ListUsers { query, reply }).unwrap();

    assert!(refused.to_string().contains("change it there and restart"), "{refused}");
    let names: Vec<_> = list.items.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["bob", "alice"]);
    assert!(list.items.iter().all(|user| user.source == api::model::Source::Settings));
}

#[test]
fn a_user_of_another_realm_needs_a_new_password() {
    let mut phone = Phone::new();
    phone.makes_user("carol", "secret");
    let kept: Vec<_> = phone.scene.stored.iter().map(put).collect();
    let access = AccessSettings { realm: "elsewhere".to_owned(), ..settings().access };

    let mut scene = Scene::new(Settings { access, kept, ..settings() });
    let user = "carol".to_owned();
    let shown = scene.ask(|reply| Command::User { user, reply }).unwrap();

    assert!(shown.needs_password);
}
