//! Legs whose far side does ICE, as a browser does: checks, a DTLS handshake, then sound under its keys.

use std::sync::Arc;

use super::*;
use crate::media::command::{Association, Fault, Statistics, Suite};
use crate::webrtc::testing::{NOMINATES, check, identity, identity_within};
use crate::webrtc::{
    Candidate, Check, Credentials, Dtls, Ice, Identity, Kind, Lite, Output, Remote, Role,
};

#[test]
fn a_browser_and_a_phone_hear_each_other_whoever_begins_the_handshake() {
    for (ours, port) in [(Role::Server, 33_500), (Role::Client, 33_520)] {
        let mut scene = Scene::new(port);
        let mut alice = scene.browser(1, ours);
        let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);

        converse(&mut [&mut bob], 5);
        alice.hears_nothing();
        assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);
        alice.shake();
        converse(&mut [&mut alice.phone, &mut bob], 50);

        let suite = scene.bench.wait(|event| {
            let Event::Secured { leg: MediaKey(1), suite } = event else { return None };
            Some(*suite)
        });
        assert!(Suite::ALL.contains(&suite));
        assert!(alice.phone.hears(1_000.0) && bob.hears(440.0), "{ours:?}");
        assert!(!alice.phone.hears(440.0) && !bob.hears(1_000.0), "{ours:?}");
    }
}

#[test]
fn sound_follows_to_the_address_that_is_nominated_next() {
    let mut scene = Scene::new(33_540);
    let mut alice = scene.browser(1, Role::Server);
    let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);
    assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);
    alice.shake();
    converse(&mut [&mut alice.phone, &mut bob], 20);

    assert_eq!(alice.check(&[]), Answer::Passed); // Consent for the old pair; the new one is nominated.
    alice.phone.rtp = socket();
    assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);
    alice.phone.heard.clear();
    converse(&mut [&mut alice.phone, &mut bob], 50);

    assert!(alice.phone.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn strangers_cannot_shake_hands_and_what_is_not_encrypted_is_not_heard() {
    let mut scene = Scene::new(33_560);
    let mut alice = scene.browser(1, Role::Server);
    let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);

    // In clear, then without a check, then with the wrong password.
    converse(&mut [&mut alice.phone, &mut bob], 20);
    let heard_in_clear = bob.hears(440.0);
    alice.dtls.handle_timeout(now());
    alice.say();
    alice.phone.rtp.send_to(&[22; 2_000], alice.phone.bridge).unwrap();
    alice.phone.rtp.send_to(b"\0\x01\0\0garbage", alice.phone.bridge).unwrap();
    let password = std::mem::replace(&mut alice.ice.password, "wrong".repeat(5));
    let refused = alice.check(&[NOMINATES]);
    alice.hears_nothing();
    alice.ice.password = password;
    assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);
    alice.shake();
    converse(&mut [&mut alice.phone, &mut bob], 40);

    assert!(!heard_in_clear);
    assert_eq!(refused, Answer::Refused(4, 1));
    assert!(alice.phone.hears(1_000.0) && bob.hears(440.0));
    assert!(scene.end(1).packets_rejected >= 20);
}

#[test]
fn a_browser_that_is_not_who_the_signalling_says_is_reported() {
    let mut scene = Scene::new(33_580);
    let mut alice = scene.browser(1, Role::Server);
    scene.theirs = identity();
    alice.dtls = scene.client(Role::Server, 1);
    assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);

    alice.shake_until(|_| false, 50);

    assert_eq!(scene.fault(1), Fault::Fingerprint);
}

#[test]
fn a_browser_that_never_comes_is_reported() {
    let mut scene = Scene::within(33_600, Duration::from_secs(1));
    let _alice = scene.browser(1, Role::Client);

    assert_eq!(scene.fault(1), Fault::Timeout);
}

#[test]
fn a_phone_with_dtls_and_without_ice_is_heard_from_where_it_speaks() {
    for (ours, port) in [(Role::Server, 33_620), (Role::Client, 33_640)] {
        let mut scene = Scene::new(port);
        scene.ice = None;
        let mut alice = scene.browser(1, ours);
        let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);

        alice.shake();
        converse(&mut [&mut alice.phone, &mut bob], 50);

        assert!(alice.phone.hears(1_000.0) && bob.hears(440.0), "{ours:?}");
    }
}

#[test]
fn hold_keeps_the_keys_and_another_certificate_makes_new_ones() {
    let mut scene = Scene::new(33_660);
    let mut alice = scene.browser(1, Role::Server);
    let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);
    assert_eq!(alice.check(&[NOMINATES]), Answer::Passed);
    alice.shake();
    converse(&mut [&mut alice.phone, &mut bob], 20);

    let stream = scene.stream(&alice.phone, Role::Server, 1);
    scene.bench.send(Command::Configure { leg: MediaKey(1), stream });
    alice.phone.heard.clear();
    converse(&mut [&mut alice.phone, &mut bob], 30);
    let kept = alice.phone.hears(1_000.0) && bob.hears(440.0);
    scene.theirs = identity();
    let stream = scene.stream(&alice.phone, Role::Server, 2);
    scene.bench.send(Command::Configure { leg: MediaKey(1), stream });
    alice.dtls = scene.client(Role::Server, 2);
    alice.shake();
    alice.phone.heard.clear();
    converse(&mut [&mut alice.phone, &mut bob], 40);

    assert!(kept);
    assert!(alice.phone.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn a_lite_party_that_checks_nobody_is_found_and_heard() {
    for (ours, port) in [(Role::Server, 33_680), (Role::Client, 33_700)] {
        let mut scene = Scene::new(port);
        let mut alice = scene.called(1, ours);
        let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);

        let (checks, from) = alice.answer_until_nominated();
        alice.browser.shake();
        converse(&mut [&mut alice.browser.phone, &mut bob], 50);

        assert_eq!(from, alice.browser.phone.bridge);
        assert!((2..=4).contains(&checks), "{checks} checks");
        assert!(alice.browser.phone.hears(1_000.0) && bob.hears(440.0), "{ours:?}");
    }
}

#[test]
fn a_called_party_that_moves_is_followed_after_a_restart_and_heard_until_then() {
    let mut scene = Scene::new(33_720);
    let mut alice = scene.called(1, Role::Server);
    let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);
    alice.answer_until_nominated();
    alice.browser.shake();
    converse(&mut [&mut alice.browser.phone, &mut bob], 20);

    let before = std::mem::replace(&mut alice.browser.phone.rtp, socket());
    alice.agent = Lite::new(credentials("anew"));
    let ice = scene.full(&alice.browser.phone, &credentials("anew"));
    let stream = scene.stream_with(&alice.browser.phone, (Role::Server, 1), Some(ice));
    scene.bench.send(Command::Configure { leg: MediaKey(1), stream });
    let after = std::mem::replace(&mut alice.browser.phone.rtp, before);
    alice.browser.phone.heard.clear();
    converse(&mut [&mut alice.browser.phone, &mut bob], 30);
    let kept = alice.browser.phone.hears(1_000.0) && bob.hears(440.0);
    alice.browser.phone.rtp = after;
    alice.answer_until_nominated();
    alice.browser.phone.heard.clear();
    converse(&mut [&mut alice.browser.phone, &mut bob], 50);

    assert!(kept);
    assert!(alice.browser.phone.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn who_no_longer_consents_is_sent_nothing_and_reported_though_it_speaks() {
    let mut scene = Scene::new(33_740);
    let mut alice = scene.called(1, Role::Server);
    let mut bob = scene.bench.phone(2, Some(1)).saying(1_000.0);
    alice.answer_until_nominated();
    alice.browser.shake();
    let answered = now();

    let mut since = None;
    while since.is_none() && answered.elapsed() < Duration::from_secs(45) {
        converse(&mut [&mut alice.browser.phone, &mut bob], 25);
        since = scene.bench.so_far().iter().find_map(|event| {
            let Event::Silent { leg: MediaKey(1), since } = event else { return None };
            Some(*since)
        });
    }
    let after = answered.elapsed();
    converse(&mut [&mut alice.browser.phone, &mut bob], 25);
    alice.browser.hears_nothing();

    assert_eq!(since, Some(Duration::from_secs(30)));
    assert!(after > Duration::from_secs(29), "{after:?}");
    assert!(!bob.hears(440.0));
}

/// A bench that has a certificate, and what a browser has.
struct Scene {
    bench: Bench,
    ours: Arc<Identity>,
    theirs: Arc<Identity>,
    ice: Option<Credentials>,
}

impl Scene {
    fn new(port: u16) -> Self {
        Self::within(port, PATIENCE)
    }

    /// One in which a handshake may take so long.
    fn within(port: u16, timeout: Duration) -> Self {
        let ours = identity_within(timeout);
        let options = Options {
            ports: port..=port + 9,
            workers: 1.try_into().ok(),
            identity: Some(Arc::clone(&ours)),
            ..Options::default()
        };
        let ice = Credentials { ufrag: "ours".to_owned(), password: "secret".repeat(4) };
        Self { bench: Bench::new(&options), ours, theirs: identity(), ice: Some(ice) }
    }

    /// A leg in mix 1, and its browser.
    fn browser(&mut self, leg: u64, ours: Role) -> Browser {
        let port = self.bench.open(leg).unwrap();
        let phone = Phone::new(leg, port).saying(440.0);
        let stream = self.stream(&phone, ours, 1);
        self.bench.send(Command::Configure { leg: MediaKey(leg), stream });
        self.bench.join(leg, 1);
        let ice = self
            .ice
            .clone()
            .unwrap_or(Credentials { ufrag: String::new(), password: String::new() });
        Browser { dtls: self.client(ours, 1), phone, ice }
    }

    /// A leg in mix 1 that we have called, and who answers.
    fn called(&mut self, leg: u64, ours: Role) -> Called {
        let port = self.bench.open(leg).unwrap();
        let phone = Phone::new(leg, port).saying(440.0);
        let ice = self.full(&phone, &credentials("them"));
        let stream = self.stream_with(&phone, (ours, 1), Some(ice));
        self.bench.send(Command::Configure { leg: MediaKey(leg), stream });
        self.bench.join(leg, 1);
        let browser = Browser { dtls: self.client(ours, 1), phone, ice: credentials("nobody's") };
        Called { browser, agent: Lite::new(credentials("them")) }
    }

    /// What is agreed with a lite agent where `phone` is, after a place where nobody is.
    fn full(&self, phone: &Phone, theirs: &Credentials) -> Ice {
        let there = phone.rtp.local_addr().unwrap();
        let nowhere = SocketAddr::new(LOOPBACK, 9);
        let candidates = [(nowhere, 2), (there, 1)];
        let candidates = candidates.map(|(address, priority)| Candidate { address, priority });
        let credentials = theirs.clone();
        let theirs = Remote { credentials, candidates: candidates.to_vec(), is_lite: true };
        Ice::Full { ours: self.ice.clone().unwrap(), theirs }
    }

    fn stream(&self, phone: &Phone, role: Role, number: u32) -> Stream {
        self.stream_with(phone, (role, number), self.ice.clone().map(Ice::Lite))
    }

    fn stream_with(&self, phone: &Phone, (role, number): (Role, u32), ice: Option<Ice>) -> Stream {
        let fingerprints = vec![self.theirs.fingerprint().clone()];
        let association = Association { number, role, fingerprints, ice };
        let remote = if self.ice.is_some() {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9)
        } else {
            phone.rtp.local_addr().unwrap()
        };
        let dtls = Some(Box::new(association));
        Stream { remote, remote_rtcp: None, dtls, ..phone.stream() }
    }

    /// The other end of the handshake.
    fn client(&self, ours: Role, number: u32) -> Dtls {
        let role = if ours == Role::Server { Role::Client } else { Role::Server };
        let fingerprints = vec![self.ours.fingerprint().clone()];
        let ice = self.ice.clone().map(Ice::Lite);
        let association = Association { number, role, fingerprints, ice };
        Dtls::new(now(), Arc::clone(&self.theirs), association)
    }

    fn fault(&mut self, leg: u64) -> Fault {
        self.bench.wait(|event| {
            let Event::HandshakeFailed { leg: failed, fault } = event else { return None };
            (*failed == MediaKey(leg)).then_some(*fault)
        })
    }

    fn end(&mut self, leg: u64) -> Statistics {
        secure::end(&mut self.bench, leg)
    }
}

fn credentials(ufrag: &str) -> Credentials {
    Credentials { ufrag: ufrag.to_owned(), password: "their secret".repeat(2) }
}

/// A party that answers checks, and sends none.
struct Called {
    browser: Browser,
    agent: Lite,
}

impl Called {
    /// Answers checks; tells how many came before one nominated, and where ours is.
    fn answer_until_nominated(&mut self) -> (usize, SocketAddr) {
        let (mut datagram, mut answer) = ([0; 2_048], Vec::new());
        let end = now() + PATIENCE;
        for count in 1.. {
            let ready = receive_from_until(&self.browser.phone.rtp, end, &mut datagram);
            let (len, from) = ready.expect("a check in time");
            match Kind::of(&datagram[..len]) {
                Kind::Stun => {
                    let check = self.agent.handle_check(from, &datagram[..len], &mut answer);
                    self.browser.phone.rtp.send_to(&answer, from).unwrap();
                    if let Check::Nominated(remote) = check {
                        return (count, remote);
                    }
                }
                Kind::Dtls => self.browser.dtls.handle_packet(now(), &datagram[..len]),
                Kind::Rtp | Kind::Other => {}
            }
        }
        unreachable!("it goes on for ever")
    }
}

/// What a check comes to: the class and number of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Passed,
    Refused(u8, u8),
}

/// A phone that does ICE and DTLS first.
struct Browser {
    phone: Phone,
    dtls: Dtls,
    /// Of the bridge.
    ice: Credentials,
}

impl Browser {
    /// Checks the bridge.
    fn check(&mut self, more: &[(u16, &[u8])]) -> Answer {
        let user = format!("{}:theirs", self.ice.ufrag);
        let request = check(&user, &self.ice.password, more);
        self.phone.rtp.send_to(&request, self.phone.bridge).unwrap();
        let mut datagram = [0; 2_048];
        loop {
            let len = receive_until(&self.phone.rtp, now() + PATIENCE, &mut datagram).unwrap();
            match (Kind::of(&datagram[..len]), &datagram[..2]) {
                (Kind::Stun, [1, 1]) => return Answer::Passed,
                (Kind::Stun, _) => {
                    return Answer::Refused(datagram[26], datagram[27]);
                }
                (Kind::Dtls, _) => self.dtls.handle_packet(now(), &datagram[..len]),
                _ => {}
            }
        }
    }

    /// Shakes hands until there are keys.
    fn shake(&mut self) {
        assert!(self.shake_until(|browser| browser.phone.secure.is_some(), 500));
    }

    fn shake_until(&mut self, is_done: impl Fn(&Self) -> bool, ticks: u32) -> bool {
        self.phone.secure = None;
        let mut datagram = [0; 2_048];
        for _ in 0..ticks {
            self.dtls.handle_timeout(now());
            self.say();
            if is_done(self) {
                return true;
            }
            if let Some(len) = receive_until(&self.phone.rtp, now() + TICK, &mut datagram)
                && Kind::of(&datagram[..len]) == Kind::Dtls
            {
                self.dtls.handle_packet(now(), &datagram[..len]);
            }
        }
        false
    }

    /// Sends what the handshake wants sent.
    fn say(&mut self) {
        let mut room = Vec::new();
        loop {
            match self.dtls.poll_output(&mut room) {
                Output::Packet => {
                    self.phone.rtp.send_to(&room, self.phone.bridge).unwrap();
                }
                Output::Keys(keys) => {
                    let contexts =
                        (srtp::Sender::new(&keys.send), srtp::Receiver::new(&keys.receive));
                    self.phone.secure = Some(contexts);
                }
                Output::Failed(_) | Output::WaitUntil(_) => return,
            }
        }
    }

    /// Nothing waits for it.
    fn hears_nothing(&self) {
        assert_eq!(receive_until(&self.phone.rtp, now() + 3 * TICK, &mut [0; 2_048]), None);
    }
}
