use api::control;

use super::*;
use crate::bridge::scene::Scene;
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;

/// Alice has a password, and callers from 10.0.0.0/8 need none.
fn settings() -> Settings {
    let settings = bridge_settings(&Config::default(), 1);
    let access = AccessSettings {
        users: [("alice".to_owned(), "secret".to_owned())].into(),
        open_to: vec!["10.0.0.0/8".parse().unwrap()],
        failures: 3,
        ..settings.access
    };
    let everywhere = vec!["0.0.0.0/0".parse().unwrap()];
    Settings { access, auto_create_from: everywhere, ..settings }
}

/// A bridge to which a stranger from far away sends.
fn scene() -> Scene {
    let mut scene = Scene::new(settings());
    scene.peer = "192.0.2.9:5060".parse().unwrap();
    scene
}

impl Scene {
    /// Calls and answers the challenge with this password.
    fn call_with(&mut self, password: &str) -> String {
        self.headers.clear();
        let challenged = self.call("standup");
        let nonce = challenged.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        self.headers = answer(nonce, password);
        self.call("standup")
    }

    fn bans(&mut self) -> Vec<Ban> {
        let query = PageQuery::default();
        self.ask(|reply| control::Command::ListBans { query, reply }).unwrap().items
    }
}

fn answer(nonce: &str, password: &str) -> String {
    let mut said = Credentials {
        username: "alice".into(),
        realm: "plenary".into(),
        nonce: nonce.into(),
        uri: "sip:standup@10.0.0.254".into(),
        algorithm: Algorithm::Sha256,
        cnonce: "c".into(),
        count: 1,
        response: String::new(),
    };
    let secret = said.algorithm.secret("alice", "plenary", password);
    said.response = said.algorithm.response(&secret, "INVITE", &said);
    let Credentials { username, realm, nonce, uri, cnonce, response, .. } = said;
    format!(
        "Authorization: Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"{cnonce}\", response=\"{response}\"\r\n"
    )
}

#[test]
fn a_stranger_is_asked_and_a_user_comes_in() {
    let mut scene = scene();

    let challenged = scene.call("standup");
    let admitted = scene.call_with("secret");

    assert!(challenged.starts_with("SIP/2.0 401 "), "{challenged}");
    let (first, second) = (challenged.find("algorithm=SHA-256"), challenged.find("algorithm=MD5"));
    assert!(first.is_some() && first < second, "{challenged}");
    assert!(admitted.starts_with("SIP/2.0 200 "), "{admitted}");
}

#[test]
fn credentials_are_good_once() {
    let mut scene = scene();
    scene.call_with("secret");

    let again = scene.call("standup");

    assert!(again.starts_with("SIP/2.0 401 ") && again.contains("stale=true"), "{again}");
    assert!(scene.bans().is_empty(), "whoever knows the password does not guess");
}

#[test]
fn a_caller_from_an_open_network_is_not_asked() {
    let mut scene = Scene::new(settings());

    assert!(scene.call("standup").starts_with("SIP/2.0 200 "));
}

#[test]
fn without_users_strangers_are_told_that_they_cannot_call() {
    let mut settings = settings();
    settings.access.users.clear();
    let mut scene = Scene::new(settings);
    scene.peer = "192.0.2.9:5060".parse().unwrap();

    assert!(scene.call("standup").starts_with("SIP/2.0 403 "));
}

#[test]
fn who_guesses_is_not_answered_any_more_until_the_ban_is_over() {
    let mut scene = scene();
    for _ in 0..2 {
        assert!(scene.call_with("guess").starts_with("SIP/2.0 401 "));
        assert!(scene.happened.is_empty());
    }

    scene.call_with("guess");

    assert_eq!(scene.happened[0].kind, EventType::SecurityBanAdded);
    let bans = scene.bans();
    assert_eq!((bans[0].address, bans[0].failures), ([192, 0, 2, 9].into(), 3));
    assert_eq!(scene.call("standup"), "", "not even a right password is looked at");
    scene.now += Duration::from_mins(10);
    assert!(scene.bans().is_empty());
    assert!(scene.call_with("secret").starts_with("SIP/2.0 200 "));
}

#[test]
fn a_call_that_is_up_goes_on_through_a_ban() {
    let mut scene = scene();
    let admitted = scene.call_with("secret");
    let call = scene.calls;
    let tag = admitted.split("\r\nTo: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let tag = tag[tag.find(";tag=").unwrap()..].to_owned();
    scene.headers.clear();
    scene.request("ACK", "standup", call, &tag);
    for _ in 0..3 {
        scene.call_with("guess");
    }
    scene.headers.clear();

    assert_eq!(scene.call("standup"), "");
    assert!(scene.request("BYE", "standup", call, &tag).starts_with("SIP/2.0 200 "));
}

#[test]
fn a_ban_is_lifted_by_the_api() {
    let mut scene = scene();
    for _ in 0..3 {
        scene.call_with("guess");
    }
    let address = "192.0.2.9".parse().unwrap();

    scene.ask(|reply| control::Command::LiftBan { address, reply }).unwrap();

    assert!(scene.ask(|reply| control::Command::LiftBan { address, reply }).is_err());
    assert!(scene.call_with("secret").starts_with("SIP/2.0 200 "));
}

#[test]
fn a_scanner_hears_nothing_and_others_from_there_do() {
    let mut settings = settings();
    settings.access.scanners = vec!["friendly-scanner".to_owned()];
    let mut scene = Scene::new(settings);

    scene.headers = "User-Agent: Friendly-Scanner 0.3\r\n".into();
    let scanned = scene.call("standup");
    scene.headers.clear();
    let called = scene.call("standup");

    assert_eq!(scanned, "");
    assert!(called.starts_with("SIP/2.0 200 "), "{called}");
    assert!(scene.bans().is_empty(), "an address that a datagram names may be anybody's");
}

#[test]
fn the_addresses_that_are_watched_are_bounded() {
    let mut scene = scene();
    for host in 0..20 {
        scene.peer = std::net::SocketAddr::from(([198, 51, 100, host], 5060));
        scene.call_with("guess");
    }

    assert!(scene.bans().is_empty(), "one guess each");
    scene.input(Input::Timeout);
}
