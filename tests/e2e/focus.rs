//! Rooms that do as a phone asks by REFER (RFC 4579), with `sipp` as the one who asks.

use crate::support::{Baresip, Bridge, Options, Sipp, has_program};

#[test]
fn sipp_has_a_room_call_baresip_and_hang_up_on_it_again_but_on_nobody_else() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let config = "[sip]\nusers = [\"alice:secret\"]\ndigest = [\"MD5\"]\n";
    let bridge = Bridge::start(Options { config: config.to_owned(), ..Options::default() });
    let registrar = bridge.sip.to_string();
    let bert = Baresip::call("bert", &bridge.uri("standup"), 660);
    bridge.wait_participant("participant.joined", "bert");
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
    ask("focus_refused.xml", "sip:bert@127.0.0.1;method=BYE");
    ask("focus.xml", "sip:alice@plenary;method=BYE");

    let left = bridge.wait_leg("participant.left", joined["leg"].as_str().unwrap());
    assert_eq!(left["data"]["left_reason"], "kicked", "{left}");
    assert_eq!(bridge.get("/v1/rooms/standup")["participants"], 1);
    drop((alice, bert));
}
