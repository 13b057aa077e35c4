//! Rooms that do as a phone asks by REFER (RFC 4579), with `sipp` as the one who asks.

use std::thread;

use crate::support::{Baresip, Bridge, Options, Sipp, has_program, json};

/// A bridge with a user, and bert in its room.
fn room() -> (Bridge, Baresip) {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    // What sipp can answer is MD5.
    let config = "[sip]\nusers = [\"alice:secret\"]\ndigest = [\"MD5\"]\n";
    let bridge = Bridge::start(Options { config: config.to_owned(), ..Options::default() });
    let bert = Baresip::call("bert", &bridge.uri("standup"), 660);
    bridge.wait_participant("participant.joined", "bert");
    (bridge, bert)
}

#[test]
fn sipp_has_a_room_call_baresip_and_hang_up_on_it_again_but_on_nobody_else() {
    let (bridge, bert) = room();
    let registrar = bridge.sip.to_string();
    let alice = Baresip::registered("alice", &registrar, 1000, ";auth_pass=secret");
    bridge.wait("registration.added", |_| true);
    let ask = |scenario: &str, target: &str| {
        Sipp::new(&registrar, "standup", scenario)
            .args(&["-au", "alice", "-ap", "secret", "-key", "target", target])
            .args(&["-m", "1", "-timeout", "30", "-timeout_error"])
            .expect_success();
    };

    ask("focus.xml", "sip:alice@plenary");
    let joined = bridge.wait_participant("participant.joined", "alice");
    let leg = joined["leg"].as_str().unwrap();
    bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
        stats["received"]["packets"].as_u64() > Some(150)
    });
    ask("focus_refused.xml", "sip:bert@127.0.0.1;method=BYE");
    ask("focus.xml", "sip:alice@plenary;method=BYE");

    let left = bridge.wait_leg("participant.left", leg);
    assert_eq!(left["data"]["left_reason"], "kicked", "{left}");
    assert_eq!(bridge.get("/v1/rooms/standup")["participants"], 1);
    let (alice, bert) = (alice.finish(), bert.finish());
    assert!(
        alice.holds(660) && bert.holds(1000),
        "{} {}",
        alice.level_db(660),
        bert.level_db(1000)
    );
}

#[test]
fn a_moderator_at_sipp_has_baresip_removed_within_its_call() {
    let (bridge, bert) = room();
    let (sipp, uri) = Sipp::callee("focus_moderator.xml");
    let sipp = thread::spawn(|| {
        sipp.args(&["-key", "target", "sip:bert@127.0.0.1;method=BYE"])
            .args(&["-m", "1", "-timeout", "30", "-timeout_error"])
            .expect_success();
    });

    let body = json!({ "to": uri, "role": "moderator" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let removed = bridge.wait_participant("participant.left", "bert");
    let left = bridge.wait_leg("participant.left", dialled["leg"].as_str().unwrap());

    sipp.join().unwrap();
    assert_eq!(removed["data"]["left_reason"], "kicked", "{removed}");
    assert_eq!(left["data"]["left_reason"], "hung_up", "{left}");
    drop(bert);
}
