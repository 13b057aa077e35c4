//! Phones that follow who is in a room (RFC 4575), with `sipp` as the one that follows.

use std::thread;

use crate::support::{Bridge, Sipp, has_program, scene};

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
    wait_told(&scene.bridge, 1);
    let bert = scene.join("bert", "standup", 880);
    wait_told(&scene.bridge, 2);
    scene.bridge.delete(&format!("/v1/legs/{}", bert.leg));

    sipp.join().unwrap();
    wait_for(&scene.bridge, "plenary_sip_subscriptions 0");
}

/// Waits until so many NOTIFYs have been answered.
fn wait_told(bridge: &Bridge, count: usize) {
    let name = "plenary_sip_responses_total{direction=\"in\",method=\"NOTIFY\",status=\"200\"}";
    wait_for(bridge, &format!("{name} {count}"));
}

fn wait_for(bridge: &Bridge, line: &str) {
    let line = format!("\n{line}\n");
    let holds = || bridge.try_request("GET", "/metrics", None).text.contains(&line);
    assert!((0..400).any(|_| holds() || pause()), "{line} never comes");
}

/// There is no event of a NOTIFY; never true.
fn pause() -> bool {
    thread::sleep(std::time::Duration::from_millis(50));
    false
}
