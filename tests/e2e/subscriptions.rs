//! Phones that follow who is in a room (RFC 4575), with `sipp` as the one that follows.

use std::thread;

use crate::support::{Sipp, has_program, scene};

#[test]
fn sipp_follows_who_joins_and_who_leaves() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let target = scene.bridge.sip.to_string();

    let sipp = thread::spawn(move || {
        Sipp::new(&target, "standup", "conference.xml")
            .args(&["-m", "1", "-timeout", "60", "-timeout_error"])
            .expect_success();
    });
    scene.bridge.wait_notified(1);
    let bert = scene.join("bert", "standup", 880);
    scene.bridge.wait_notified(2);
    scene.bridge.delete(&format!("/v1/legs/{}", bert.leg));

    sipp.join().unwrap();
    scene.bridge.wait_metric("plenary_sip_subscriptions 0");
}
