//! Linphone: what a desktop softphone expects of its registrar and of a room, whose roster it follows unasked.

use crate::secure::secure;
use crate::support::{Baresip, Linphone, Options, Scene, Value, has_program, json, scene_with};

fn scene() -> Scene {
    scene_where("")
}

/// `sip` are further lines of that section.
fn scene_where(sip: &str) -> Scene {
    for (program, package) in [("linphonec", "linphone-cli"), ("baresip", "baresip-core")] {
        assert!(has_program(program), "install {program} (Debian: {package})");
    }
    let config = format!("[sip]\nusers = [\"alice:secret\"]\n{sip}[media]\ncodecs = [\"PCMU\"]\n");
    scene_with(Options { config, ..Options::default() })
}

impl Scene {
    /// Alice's Linphone plays 1000 Hz.
    fn alice(&self) -> Linphone {
        let alice = Linphone::registered("alice", &self.bridge.sip.to_string(), 1000, "secret");
        let added =
            self.bridge.wait("registration.added", |event| event["data"]["user"] == "alice");
        assert!(added["data"]["user_agent"].as_str().unwrap().contains("Linphone"), "{added}");
        alice
    }

    /// Three seconds of sound have gone to a leg: long enough to be on its tape.
    fn wait_spoken_to(&self, leg: &str) {
        let sent = |stats: &Value| stats["sent"]["packets"].as_u64();
        let path = format!("/v1/legs/{leg}/stats");
        let before = sent(&self.bridge.get(&path));
        self.bridge.get_until(&path, |stats| sent(stats) > before.map(|count| count + 150));
    }
}

#[test]
fn linphone_without_an_account_calls_a_room_and_is_heard() {
    assert!(has_program("linphonec"), "install linphonec (Debian: linphone-cli)");
    let scene = scene_with(Options::default());
    let bert = scene.join("bert", "standup", 660);

    let mut stranger = Linphone::unregistered(1000);
    stranger.order(&format!("call {}", scene.bridge.uri("standup")));
    let leg = scene.joined("linphone");
    bert.call.expect(&[1000], &[660]);
    scene.wait_spoken_to(&leg);
    let heard = stranger.finish();

    assert!(heard.holds(660) && !heard.holds(1000), "{}", heard.level_db(660));
    scene.bridge.wait_leg("participant.left", &leg);
}

#[test]
fn linphone_registers_calls_a_room_holds_resumes_and_hangs_up() {
    let scene = scene();
    let bert = scene.join("bert", "standup", 660);

    let mut alice = scene.alice();
    alice.order(&format!("call {}", scene.bridge.uri("standup")));
    let leg = scene.joined("alice");
    bert.call.expect(&[1000], &[660]);
    scene.wait_spoken_to(&leg);
    alice.order("pause");
    let held = scene.bridge.wait_leg("participant.held", &leg);
    bert.call.expect(&[], &[1000]);
    alice.order("resume");
    scene.bridge.wait_leg("participant.resumed", &leg);
    bert.call.expect(&[1000], &[]);
    let heard = alice.finish();
    let left = scene.bridge.wait_leg("participant.left", &leg);

    assert_eq!(held["data"]["held_by"], "remote", "{held}");
    assert_eq!(left["data"]["left_reason"], "hung_up", "{left}");
    assert!(heard.holds(660) && !heard.holds(1000), "{}", heard.level_db(660));
    scene.bridge.wait("registration.removed", |event| event["data"]["user"] == "alice");
}

#[test]
fn linphone_follows_a_room_where_baresip_comes_and_goes_and_both_hear_each_other() {
    let scene = scene();

    let mut alice = scene.alice();
    alice.order(&format!("call {}", scene.bridge.uri("standup")));
    let leg = scene.joined("alice");
    scene.bridge.wait_notified(1);
    let bert = Baresip::call("bert", &scene.bridge.uri("standup"), 660);
    scene.bridge.wait_participant("participant.joined", "bert");
    scene.bridge.wait_notified(2);
    scene.wait_spoken_to(&leg);
    let bert = bert.finish();
    scene.bridge.wait_participant("participant.left", "bert");
    scene.bridge.wait_notified(3);
    let alice = alice.finish();
    scene.bridge.wait_leg("participant.left", &leg);

    assert!(
        alice.holds(660) && bert.holds(1000),
        "{} {}",
        alice.level_db(660),
        bert.level_db(1000)
    );
}

#[test]
fn linphone_follows_whom_a_room_calls_mutes_and_removes() {
    // Each change is told by itself.
    let scene = scene_where("notify_interval = \"0s\"\n");
    let carl = scene.phones.line("carl", json!({"tones_hz": [1320], "on_invite": "ring"}));
    let mut alice = scene.alice();
    alice.order(&format!("call {}", scene.bridge.uri("standup")));
    scene.joined("alice");
    scene.bridge.wait_notified(1);

    let body = json!({ "to": carl.uri() });
    let dialled = scene.bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap();
    scene.bridge.wait_leg("participant.ringing", leg);
    scene.bridge.wait_notified(3);
    let ringing = carl.incoming();
    ringing.order("answer", json!({}));
    scene.bridge.wait_notified(4);
    scene.bridge.put(&format!("/v1/legs/{leg}/mute"));
    scene.bridge.wait_notified(5);
    scene.bridge.delete(&format!("/v1/legs/{leg}"));
    scene.bridge.wait_notified(6);

    ringing.wait("ended");
    alice.finish();
    scene.bridge.wait_participant("participant.left", "alice");
}

#[test]
fn linphone_is_called_by_a_room_and_answers() {
    let scene = scene();
    let bert = scene.join("bert", "standup", 660);
    let mut alice = scene.alice();

    let body = json!({ "to": "sip:alice@plenary" });
    let dialled = scene.bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap();
    scene.bridge.wait_leg("participant.ringing", leg);
    alice.order("answer");
    scene.bridge.wait_leg("participant.joined", leg);
    bert.call.expect(&[1000], &[660]);
    scene.wait_spoken_to(leg);
    let heard = alice.finish();
    scene.bridge.wait_leg("participant.left", leg);

    assert!(heard.holds(660), "{}", heard.level_db(660));
}

#[test]
fn linphone_over_tls_hears_a_room_in_opus_and_srtp() {
    assert!(has_program("linphonec"), "install linphonec (Debian: linphone-cli)");
    let secure = secure("users = [\"alice:secret\"]\n", "");
    let scene = &secure.scene;
    let bert = scene.join("bert", "standup", 660);

    let place = format!("localhost:{}", secure.tls.port());
    let account = (1000, "secret");
    let mut alice = Linphone::secure("alice", &place, account, &secure.authority.path());
    let added = scene.bridge.wait("registration.added", |_| true);
    alice.order(&format!("call sip:standup@{place};transport=tls"));
    let leg = scene.joined("alice");
    bert.call.expect(&[1000], &[660]);
    scene.wait_spoken_to(&leg);
    let view = scene.bridge.get(&format!("/v1/legs/{leg}"));
    let heard = alice.finish();
    scene.bridge.wait_leg("participant.left", &leg);

    assert_eq!((&added["data"]["transport"], &view["transport"]), (&json!("tls"), &json!("tls")));
    assert!(view["srtp"].as_str().is_some_and(|suite| suite.contains("AES")), "{view}");
    assert!(view["codec"].as_str().is_some_and(|codec| codec.contains("opus")), "{view}");
    assert!(heard.holds(660), "{}", heard.level_db(660));
}

#[test]
fn linphone_types_digits_and_gives_its_place_to_another() {
    let scene = scene();
    let bert = scene.join("bert", "standup", 660);
    let carl = scene.answering("carl", 1320);
    let mut alice = scene.alice();
    alice.order(&format!("call {}", scene.bridge.uri("standup")));
    let leg = scene.joined("alice");
    bert.call.expect(&[1000], &[660]);

    alice.order("159#");
    for digit in ["1", "5", "9", "#"] {
        let event = scene.bridge.wait_leg("participant.dtmf", &leg);
        assert_eq!(event["data"]["digit"], digit, "{event}");
    }
    alice.order(&format!("transfer {}", carl.uri()));

    scene.bridge.wait_leg("leg.transfer_completed", &leg);
    scene.bridge.wait_leg("participant.left", &leg);
    bert.call.expect(&[1320], &[660, 1000]);
    carl.incoming().expect(&[660], &[1320]);
}

#[test]
fn linphone_is_sent_to_another_room_by_the_api() {
    let scene = scene();
    let bert = scene.join("bert", "standup", 660);
    let carl = scene.join("carl", "lounge", 1320);
    let mut alice = scene.alice();
    alice.order(&format!("call {}", scene.bridge.uri("standup")));
    let leg = scene.joined("alice");
    bert.call.expect(&[1000], &[660]);

    let body = json!({ "to": scene.bridge.uri("lounge") });
    scene.bridge.post(&format!("/v1/legs/{leg}/transfer"), &body);

    scene.bridge.wait_leg("leg.transfer_completed", &leg);
    let left = scene.bridge.wait_leg("participant.left", &leg);
    assert_eq!(left["data"]["left_reason"], "transferred", "{left}");
    carl.call.expect(&[1000], &[660]);
    bert.call.expect(&[], &[1000, 1320]);
}
