use std::sync::Arc;

use api::control::{Command, ControlError};
use api::event::EventType;
use api::model::Invite;

use super::*;
use crate::bridge::scene::{self, Scene};
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;
use crate::sip::digest::Account;

fn uri(text: &str) -> Uri {
    Uri::parse(text.as_bytes()).unwrap()
}

fn gateway(text: &str, priority: u16) -> TrunkGateway {
    TrunkGateway { uri: uri(text), priority, weight: 1 }
}

/// A carrier with two gateways that knows us as 4930.
fn trunk() -> TrunkSettings {
    let account = Account { username: "4930".to_owned(), password: "secret".to_owned() };
    TrunkSettings {
        gateways: vec![gateway("sip:192.0.2.1", 0), gateway("sip:192.0.2.2:5070", 1)],
        account: Some(Arc::new(account)),
        registers: true,
        from: None,
        networks: vec!["198.51.100.0/24".parse().unwrap()],
        room: Some("lobby".to_owned()),
        check: Duration::from_secs(30),
        max_calls: 2,
        prefixes: vec!["+49".to_owned()],
        ..scene::trunk("carrier", "sip:192.0.2.1")
    }
}

fn settings(trunk: TrunkSettings) -> Settings {
    let settings = bridge_settings(&Config::default(), 1);
    let access = crate::bridge::AccessSettings { open_to: Vec::new(), ..settings.access };
    Settings {
        access,
        trunks: vec![trunk],
        auto_create_from: vec!["0.0.0.0/0".parse().unwrap()],
        ..settings
    }
}

/// A bridge that has just begun, and what it sent the carrier.
struct Carrier {
    scene: Scene,
    sent: Vec<String>,
}

impl Carrier {
    fn new(trunk: TrunkSettings) -> Self {
        let scene = Scene::new(settings(trunk));
        let sent = scene.sent.clone();
        Self { scene, sent }
    }

    /// The last request of this method that was sent.
    fn request(&self, method: &str) -> String {
        let mut all = self.sent.iter().rev();
        all.find(|sent| sent.starts_with(method)).cloned().unwrap_or_default()
    }

    fn count(&self, method: &str) -> usize {
        self.sent.iter().filter(|sent| sent.starts_with(method)).count()
    }

    fn answer(&mut self, request: &str, status: u16, more: &str) {
        let line = |name: &str| {
            request.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
        };
        let [via, from, to, call_id, cseq] =
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(line);
        self.scene.say(format!(
            "SIP/2.0 {status} So\r\n{via}\r\n{from}\r\n{to};tag=c\r\n{call_id}\r\n{cseq}\r\n\
             {more}Content-Length: 0\r\n\r\n"
        ));
        self.sent.extend(self.scene.sent.clone());
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.scene.now + Duration::from_secs(seconds);
        while let Some(at) = self.scene.deadline.filter(|at| *at <= end) {
            self.scene.now = self.scene.now.max(at);
            self.scene.input(Input::Timeout);
            self.sent.extend(self.scene.sent.clone());
        }
        self.scene.now = end;
    }

    fn kinds(&self) -> Vec<EventType> {
        self.scene.happened.iter().map(|event| event.kind).collect()
    }

    fn view(&mut self) -> model::Trunk {
        let trunk = "carrier".to_owned();
        self.scene.ask(|reply| Command::Trunk { trunk, reply }).unwrap()
    }

    fn dial(&mut self, to: &str) -> Result<(), ControlError> {
        let body = json!({ "to": to, "trunk": "carrier" });
        let body = invite(body);
        let room = "hall".to_owned();
        let dialled = self.scene.ask(|reply| Command::Invite { room, body, reply }).map(drop);
        self.sent.extend(self.scene.sent.clone());
        dialled
    }
}

fn invite(body: serde_json::Value) -> Invite {
    serde_json::from_value(body).unwrap()
}

const ASK: &str = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\n";

#[test]
fn a_trunk_is_registered_with_its_password_and_again_in_time() {
    let mut carrier = Carrier::new(trunk());
    let first = carrier.request("REGISTER ");

    carrier.answer(&first, 401, ASK);
    let second = carrier.request("REGISTER ");
    carrier.answer(&second, 200, "Contact: <sip:4930@10.0.0.254:5060>;expires=100\r\n");
    let kinds = carrier.kinds();
    let before = carrier.count("REGISTER ");
    carrier.wait(59);
    let early = carrier.count("REGISTER ");
    carrier.wait(25);

    assert!(first.starts_with("REGISTER sip:192.0.2.1 SIP/2.0\r\n"), "{first}");
    assert!(first.contains("\r\nTo: <sip:4930@192.0.2.1>\r\n"), "{first}");
    assert!(first.contains("\r\nContact: <sip:4930@10.0.0.254:5060>\r\n"), "{first}");
    assert!(second.contains("\r\nAuthorization: Digest username=\"4930\""), "{second}");
    assert_eq!((kinds, before, early), (vec![EventType::TrunkUp], 2, 2));
    let again = carrier.request("REGISTER ");
    assert!(again.contains("\r\nCSeq: 3 REGISTER\r\n"), "{again}");
    let call_id =
        |text: &str| text.lines().find(|line| line.starts_with("Call-ID")).map(str::to_owned);
    assert_eq!(call_id(&again), call_id(&first));
}

#[test]
fn who_is_refused_tries_the_next_gateway_ever_later() {
    let mut carrier = Carrier::new(trunk());
    let first = carrier.request("REGISTER ");

    carrier.answer(&first, 403, "");
    let kinds = carrier.kinds();
    let view = carrier.view();
    carrier.wait(14);
    let early = carrier.count("REGISTER ");
    carrier.wait(17);

    assert_eq!(kinds, [EventType::TrunkDown]);
    assert_eq!((view.state, view.refused, early), (TrunkState::Down, Some(403), 1));
    let next = carrier.request("REGISTER ");
    assert!(next.starts_with("REGISTER sip:192.0.2.2:5070 "), "{next}");
}

#[test]
fn a_registrar_that_wants_it_longer_gets_it_longer() {
    let mut carrier = Carrier::new(trunk());
    let first = carrier.request("REGISTER ");

    carrier.answer(&first, 423, "Min-Expires: 7200\r\n");
    carrier.wait(0);

    assert!(carrier.request("REGISTER ").contains("\r\nExpires: 7200\r\n"));
}

#[test]
fn gateways_are_asked_whether_they_are_there() {
    let mut carrier = Carrier::new(TrunkSettings { registers: false, ..trunk() });
    let options: Vec<String> =
        carrier.sent.iter().filter(|sent| sent.starts_with("OPTIONS ")).cloned().collect();

    carrier.answer(&options[1], 405, "");
    let kinds = carrier.kinds();
    carrier.answer(&options[0], 503, "");
    let view = carrier.view();

    assert_eq!((options.len(), kinds), (2, vec![EventType::TrunkUp]));
    let states: Vec<TrunkState> = view.gateways.iter().map(|gateway| gateway.state).collect();
    assert_eq!(states, [TrunkState::Down, TrunkState::Up]);
    carrier.dial("+49 30 1").unwrap();
    let invite = carrier.request("INVITE ");
    assert!(invite.starts_with("INVITE sip:+49301@192.0.2.2:5070 "), "what is there goes first");
}

#[test]
fn a_call_goes_out_with_the_password_and_over_the_next_gateway_when_one_fails() {
    let mut carrier = Carrier::new(trunk());

    carrier.dial("tel:+49-30-1;phone-context=x").unwrap();
    let first = carrier.request("INVITE ");
    carrier.answer(&first, 407, &ASK.replace("WWW", "Proxy"));
    let with_password = carrier.request("INVITE ");
    carrier.answer(&with_password, 503, "");
    let second = carrier.request("INVITE ");
    carrier.answer(&second, 486, "");

    assert!(first.starts_with("INVITE sip:+49301@192.0.2.1 "), "{first}");
    assert!(first.contains("\r\nFrom: <sip:4930@192.0.2.1>;tag="), "{first}");
    assert!(with_password.contains("\r\nProxy-Authorization: Digest "), "{with_password}");
    assert!(second.starts_with("INVITE sip:+49301@192.0.2.2:5070 "), "{second}");
    assert!(carrier.kinds().contains(&EventType::ParticipantLeft), "busy is an answer");
}

#[test]
fn what_a_trunk_may_not_call_is_refused() {
    let mut carrier = Carrier::new(trunk());

    let dear = carrier.dial("+88213");
    let nonsense = carrier.dial("tel:abc");
    carrier.dial("+491").unwrap();
    carrier.dial("+492").unwrap();
    let third = carrier.dial("+493");

    assert!(matches!(dear, Err(ControlError::Invalid { pointer, .. }) if pointer == "/to"));
    assert!(matches!(nonsense, Err(ControlError::Invalid { .. })));
    assert!(matches!(third, Err(ControlError::Busy { .. })));
    assert_eq!(carrier.view().calls, 2);
}

#[test]
fn its_calls_come_in_without_a_password_and_go_to_its_room() {
    for (peer, status) in
        [("192.0.2.1:5060", 200), ("198.51.100.9:5060", 200), ("203.0.113.1:5060", 403)]
    {
        let mut carrier = Carrier::new(trunk());
        carrier.scene.peer = peer.parse().unwrap();

        let answer = carrier.scene.call("4930");

        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{peer} {answer}");
        let created =
            carrier.scene.happened.iter().find(|event| event.kind == EventType::RoomCreated);
        let name = created.and_then(|event| event.data.read::<serde_json::Value>());
        let name = name.map(|room| room["name"].clone());
        assert_eq!(name, (status == 200).then(|| json!("lobby")));
    }
}

/// A carrier that is neither registered with nor watched.
fn quiet(limits: TrunkLimits) -> TrunkSettings {
    TrunkSettings { registers: false, check: Duration::ZERO, limits, ..trunk() }
}

#[test]
fn the_gateway_of_the_lowest_priority_is_first_wherever_it_stands() {
    let gateways = vec![gateway("sip:192.0.2.1", 20), gateway("sip:192.0.2.2:5070", 10)];
    let mut carrier = Carrier::new(TrunkSettings { gateways, ..quiet(TrunkLimits::default()) });

    carrier.dial("+491").unwrap();
    let first = carrier.request("INVITE ");
    carrier.answer(&first, 503, "");

    assert!(first.starts_with("INVITE sip:+491@192.0.2.2:5070 "), "{first}");
    assert!(carrier.request("INVITE ").starts_with("INVITE sip:+491@192.0.2.1 "));
}

#[test]
fn calls_that_come_too_fast_are_refused_both_ways_and_it_is_told() {
    let limits = TrunkLimits { calls_per_second: 1, ..TrunkLimits::default() };
    let mut carrier = Carrier::new(TrunkSettings { max_calls: 10, ..quiet(limits) });

    carrier.dial("+491").unwrap();
    let second = carrier.dial("+492");
    let told = carrier.scene.told("limit.reached");
    carrier.scene.peer = "192.0.2.1:5060".parse().unwrap();
    let third = carrier.scene.call("4930");
    carrier.wait(1);
    let fourth = carrier.scene.call("4930");

    assert!(matches!(second, Err(ControlError::Busy { retry_after_s: 1, .. })), "{second:?}");
    let expected = json!({"scope": "trunk", "name": "carrier", "limit": "calls_per_second",
        "action": "refused", "sip": {"status": 503, "reason": "Too many calls at once"},
        "source": null, "to": null});
    assert_eq!(told, expected);
    assert!(
        third.starts_with("SIP/2.0 503 ") && third.contains("\r\nRetry-After: 1\r\n"),
        "{third}"
    );
    assert!(fourth.starts_with("SIP/2.0 200 "), "{fourth}");
}

#[test]
fn a_call_that_lasted_as_long_as_it_may_is_hung_up() {
    for (trunk, node) in [(60, 0), (0, 60), (60, 90)] {
        let limits =
            TrunkLimits { max_duration: Duration::from_secs(trunk), ..TrunkLimits::default() };
        let settings = settings(quiet(limits));
        let max_duration = Duration::from_secs(node);
        let mut scene = Scene::new(Settings { max_duration, ..settings });
        scene.peer = "192.0.2.1:5060".parse().unwrap();

        let talk = scene.joined("4930");
        scene.wait(Duration::from_secs(59));
        let is_early = !scene.has_sent("BYE ");
        scene.wait(Duration::from_secs(1));

        let told = scene.told("limit.reached");
        let scope = if trunk == 60 { "trunk" } else { "node" };
        assert_eq!((told["scope"].as_str(), told["action"].as_str()), (Some(scope), Some("ended")));
        assert_eq!(told["limit"], "max_duration");
        assert!(is_early && scene.sent("BYE ").contains("lasted as long as it may"));
        assert_eq!(scene.leg(talk.leg).end_reason, Some(model::LeftReason::LimitReached));
    }
}

#[test]
fn metrics_tell_how_the_calls_of_a_trunk_fare() {
    let mut carrier = Carrier::new(quiet(TrunkLimits::default()));
    carrier.dial("+491").unwrap();
    let invite = carrier.request("INVITE ");
    carrier.answer(&invite, 486, "");
    carrier.scene.peer = "192.0.2.1:5060".parse().unwrap();
    let talk = carrier.scene.joined("4930");
    carrier.scene.wait(Duration::from_secs(30));
    carrier.scene.within(&talk, ("BYE", 2), "");

    let page = carrier.scene.ask(|reply| Command::Metrics { reply }).unwrap();

    for line in [
        "plenary_trunk_attempts_total{trunk=\"carrier\",direction=\"inbound\"} 1",
        "plenary_trunk_attempts_total{trunk=\"carrier\",direction=\"outbound\"} 1",
        "plenary_trunk_answered_total{trunk=\"carrier\",direction=\"inbound\"} 1",
        "plenary_trunk_failed_total{trunk=\"carrier\",direction=\"outbound\",cause=\"busy\"} 1",
        "plenary_trunk_talk_seconds_total{trunk=\"carrier\"} 30",
        "plenary_trunk_calls{trunk=\"carrier\",direction=\"inbound\"} 0",
    ] {
        assert!(page.contains(line), "{line} {page}");
    }
}

#[test]
fn a_gateway_that_is_a_name_calls_from_where_it_has_answered() {
    for (name, status) in [("sip:sip.carrier.example", 200), ("sip:192.0.2.2", 403)] {
        let gateways = vec![gateway("sip:192.0.2.1", 0), gateway(name, 1)];
        let trunk = TrunkSettings { registers: false, networks: Vec::new(), gateways, ..trunk() };
        let mut carrier = Carrier::new(trunk);
        let options = carrier.request("OPTIONS sip:192.0.2.1 ");

        carrier.scene.peer = "203.0.113.7:5060".parse().unwrap();
        let stranger = carrier.scene.call("4930");
        carrier.answer(&options, 200, "");
        let known = carrier.scene.call("4930");

        assert!(stranger.starts_with("SIP/2.0 403 "), "{stranger}");
        assert!(known.starts_with(&format!("SIP/2.0 {status} ")), "{name} {known}");
    }
}
