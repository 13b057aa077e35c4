//! Linphone: what a desktop softphone expects of its registrar and of a room.

use crate::support::{Baresip, Bridge, Linphone, Options, has_program};

#[test]
fn linphone_registers_calls_a_room_is_heard_and_hears_holds_and_resumes() {
    for (program, package) in [("linphonec", "linphone-cli"), ("baresip", "baresip-core")] {
        assert!(has_program(program), "install {program} (Debian: {package})");
    }
    let config = "[sip]\nusers = [\"alice:secret\"]\n[media]\ncodecs = [\"PCMU\"]\n";
    let bridge = Bridge::start(Options { config: config.to_owned(), ..Options::default() });
    let bert = Baresip::call("bert", &bridge.uri("standup"), 660);
    bridge.wait_participant("participant.joined", "bert");

    let mut linphone = Linphone::registered("alice", &bridge.sip.to_string(), 1000, "secret");
    let added = bridge.wait("registration.added", |event| event["data"]["user"] == "alice");
    linphone.order(&format!("call {}", bridge.uri("standup")));
    let joined = bridge.wait_participant("participant.joined", "alice");
    let leg = joined["leg"].as_str().unwrap().to_owned();
    let hears = |packets: u64| {
        bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
            stats["received"]["packets"].as_u64() > Some(packets)
        })
    };
    let before = hears(100)["received"]["packets"].as_u64().unwrap();
    linphone.order("pause");
    let held = bridge.wait_leg("participant.held", &leg);
    linphone.order("resume");
    bridge.wait_leg("participant.resumed", &leg);
    hears(before + 100);
    let (alice, bert) = (linphone.finish(), bert.finish());

    assert!(added["data"]["user_agent"].as_str().unwrap().contains("Linphone"), "{added}");
    assert_eq!(held["data"]["held_by"], "remote", "{held}");
    assert!(alice.holds(660), "{}", alice.level_db(660));
    assert!(bert.holds(1000), "{}", bert.level_db(1000));
    bridge.wait_leg("participant.left", &leg);
}
