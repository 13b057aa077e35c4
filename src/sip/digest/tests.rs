use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng as _;

use super::*;

#[expect(clippy::disallowed_methods, reason = "tests start virtual time")]
fn now() -> Instant {
    Instant::now()
}

fn options() -> GateOptions {
    GateOptions {
        realm: "plenary".into(),
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        lifetime: Duration::from_mins(5),
        nonces: 100,
    }
}

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

/// A gate, and a phone that answers its challenges.
struct Scene {
    gate: Gate,
    random: ChaCha12Rng,
    now: Instant,
}

impl Scene {
    fn new(options: GateOptions) -> Self {
        let (now, mut random) = (now(), ChaCha12Rng::seed_from_u64(1));
        Self { gate: Gate::new(now, options, &mut random), random, now }
    }

    fn nonce(&mut self) -> String {
        let challenge =
            self.gate.challenges(self.now, (PEER, false), &mut self.random).next().unwrap();
        challenge.split('"').nth(3).unwrap().to_owned()
    }

    fn answer(nonce: &str, count: u32, password: &str) -> Credentials {
        let mut said = Credentials {
            username: "alice".into(),
            realm: "plenary".into(),
            nonce: nonce.into(),
            uri: "sip:standup@plenary".into(),
            algorithm: Algorithm::Sha256,
            cnonce: "0a4f113b".into(),
            count,
            response: String::new(),
        };
        let secret = said.algorithm.secret("alice", "plenary", password);
        said.response = said.algorithm.response(&secret, "INVITE", &said);
        said
    }

    fn check(&mut self, said: &Credentials) -> Verdict {
        let secret = said.algorithm.secret("alice", "plenary", "secret");
        self.gate.check(self.now, PEER, ("INVITE", Some(&secret)), said)
    }
}

#[test]
fn the_examples_of_rfc_7616() {
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let value = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );

        let said = Credentials::parse(value.as_bytes()).unwrap();

        let secret = said.algorithm.secret("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(said.algorithm.response(&secret, "GET", &said), response);
    }
}

#[test]
fn the_best_algorithm_is_offered_first() {
    let mut scene = Scene::new(options());

    let challenges: Vec<_> =
        scene.gate.challenges(scene.now, (PEER, true), &mut scene.random).collect();

    assert_eq!(challenges.len(), 2);
    assert!(
        challenges[0].ends_with("qop=\"auth\", algorithm=SHA-256, stale=true"),
        "{challenges:?}"
    );
    assert!(challenges[1].ends_with("qop=\"auth\", algorithm=MD5, stale=true"), "{challenges:?}");
}

#[test]
fn the_right_password_is_known_and_another_is_not() {
    let mut scene = Scene::new(options());
    let nonce = scene.nonce();

    assert_eq!(scene.check(&Scene::answer(&nonce, 1, "secret")), Verdict::Known);
    assert_eq!(scene.check(&Scene::answer(&nonce, 2, "Secret")), Verdict::Wrong);
    let said = Scene::answer(&nonce, 3, "");
    let secret = Algorithm::Sha256.secret("alice", "plenary", "secret");
    for (method, secret) in [("INVITE", None), ("REGISTER", Some(&*secret))] {
        let verdict = scene.gate.check(scene.now, PEER, (method, secret), &said);
        assert_eq!(verdict, Verdict::Wrong);
    }
    let elsewhere = Credentials { realm: "elsewhere".into(), ..Scene::answer(&nonce, 4, "secret") };
    assert_eq!(scene.check(&elsewhere), Verdict::Wrong);
}

#[test]
fn a_nonce_counts_and_no_count_is_good_twice() {
    let mut scene = Scene::new(options());
    let nonce = scene.nonce();

    for (count, verdict) in [
        (1, Verdict::Known),
        (1, Verdict::Stale),
        (5, Verdict::Known),
        (3, Verdict::Known), // Requests overtake each other.
        (3, Verdict::Stale),
        (0, Verdict::Stale),
        (100, Verdict::Known),
        (36, Verdict::Stale), // Too long ago to know.
        (37, Verdict::Known),
    ] {
        assert_eq!(scene.check(&Scene::answer(&nonce, count, "secret")), verdict, "{count}");
    }
}

#[test]
fn a_nonce_that_is_old_or_not_ours_is_stale() {
    let mut scene = Scene::new(options());
    let nonce = scene.nonce();
    let forged = format!("{}00", &nonce[..nonce.len() - 2]);

    assert_eq!(scene.check(&Scene::answer(&forged, 1, "secret")), Verdict::Stale);
    assert_eq!(scene.check(&Scene::answer("", 1, "secret")), Verdict::Stale);
    scene.now += Duration::from_mins(5);
    assert_eq!(scene.check(&Scene::answer(&nonce, 1, "secret")), Verdict::Known);
    scene.now += Duration::from_millis(1);
    assert_eq!(scene.check(&Scene::answer(&nonce, 2, "secret")), Verdict::Stale);
}

#[test]
fn a_nonce_is_good_only_from_where_it_was_sent() {
    let mut scene = Scene::new(options());
    let nonce = scene.nonce();
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

    for password in ["secret", "guess"] {
        let said = Scene::answer(&nonce, 1, password);
        let verdict = scene.gate.check(scene.now, elsewhere, ("INVITE", Some("secret")), &said);
        assert_eq!(verdict, Verdict::Stale, "nobody guesses in another's name");
    }
    assert_eq!(scene.check(&Scene::answer(&nonce, 1, "secret")), Verdict::Known);
}

#[test]
fn who_makes_a_nonce_up_does_not_learn_whether_its_password_is_right() {
    let mut scene = Scene::new(options());

    for password in ["secret", "guess"] {
        assert_eq!(scene.check(&Scene::answer("made up", 1, password)), Verdict::Stale);
    }
}

#[test]
fn what_was_forgotten_for_want_of_room_is_stale_and_not_new() {
    let mut scene = Scene::new(GateOptions { nonces: 2, ..options() });
    let nonces: Vec<String> = (0..3)
        .map(|_| {
            scene.now += Duration::from_millis(1);
            scene.nonce()
        })
        .collect();
    for nonce in &nonces {
        assert_eq!(scene.check(&Scene::answer(nonce, 1, "secret")), Verdict::Known);
    }

    assert_eq!(scene.check(&Scene::answer(&nonces[0], 1, "secret")), Verdict::Stale);
    assert_eq!(scene.check(&Scene::answer(&nonces[2], 2, "secret")), Verdict::Known);
}

#[test]
fn credentials_that_could_be_used_twice_are_none() {
    for value in [
        "Basic YWxpY2U6c2VjcmV0",
        "Digest",
        "Digest username=\"a\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"r\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"r\", qop=auth-int, nc=00000001, cnonce=\"c\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"r\", qop=auth, nc=1, cnonce=\"c\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"r\", qop=auth, nc=00000001, cnonce=\"c\", algorithm=MD4",
    ] {
        assert_eq!(Credentials::parse(value.as_bytes()), Err(Malformed), "{value}");
    }
}

proptest! {
    #[test]
    fn anything_may_be_sent(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = Credentials::parse(&value);
        let _either = Credentials::parse(&[b"Digest ", &value[..]].concat());
    }
}
