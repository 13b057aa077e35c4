//! Session timers (RFC 4028), reliable provisional responses (RFC 3262) and early UPDATE (RFC 3311), judged by sipp.

use std::thread;

use crate::support::{Bridge, Options, Sipp, has_program, json};

/// A bridge that does not mind that sipp sends no sound.
fn bridge() -> Bridge {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    Bridge::start(Options { config: "[media]\ntimeout = \"0s\"\n".into(), ..Options::default() })
}

#[test]
fn a_call_that_its_phone_refreshes_is_left_alone() {
    let bridge = bridge();

    Sipp::new(&bridge.sip.to_string(), "standup", "timer_refreshed.xml")
        .args(&["-m", "3", "-r", "5", "-timeout", "30"])
        .expect_success();

    for _ in 0..3 {
        bridge.wait("leg.ended", |event| event["data"]["end_reason"] == "hung_up");
    }
    assert_eq!(bridge.count("leg.reinvited", |_| true), 0);
}

/// The shortest interval is 90 s: it is refreshed after 45 s, or ended after 60.
#[test]
fn calls_are_refreshed_by_us_or_expire() {
    let bridge = bridge();
    let target = bridge.sip.to_string();

    thread::scope(|scope| {
        for scenario in
            ["timer_refreshes_update.xml", "timer_refreshes_invite.xml", "timer_expires.xml"]
        {
            let call = Sipp::new(&target, "standup", scenario);
            scope.spawn(|| call.args(&["-m", "2", "-timeout", "80"]).expect_success());
        }
    });

    for (reason, calls) in [("hung_up", 4), ("session_expired", 2)] {
        for _ in 0..calls {
            bridge.wait("leg.ended", |event| event["data"]["end_reason"] == reason);
        }
    }
    assert_eq!(bridge.count("leg.reinvited", |_| true), 0);
}

#[test]
fn a_phone_may_want_longer_refreshes_answer_early_for_sure_and_change_its_mind() {
    let bridge = bridge();
    let (callee, uri) = Sipp::callee("reliable_callee.xml");

    thread::scope(|scope| {
        scope.spawn(|| callee.args(&["-m", "1", "-timeout", "30"]).expect_success());
        let participant = bridge.post("/v1/rooms/standup/participants", &json!({"to": uri}));
        let leg = participant["leg"].as_str().unwrap();
        bridge.wait_leg("leg.early_media", leg);
        bridge.wait_leg("participant.joined", leg);
        let ended = bridge.wait_leg("leg.ended", leg);
        assert_eq!(ended["data"]["end_reason"], "hung_up", "{ended}");
    });
}
