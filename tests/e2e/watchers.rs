//! Who follows a user: its calls (RFC 4235), as the keys of desk phones show them, and how it is (RFC 3856).

use std::thread;

use crate::support::{Baresip, Bridge, Linphone, Options, Sipp, Value, has_program, json};

const PASSWORD: &str = ";auth_pass=secret";

fn bridge() -> Bridge {
    for (program, package) in
        [("baresip", "baresip-core"), ("linphonec", "linphone-cli"), ("sipp", "sip-tester")]
    {
        assert!(has_program(program), "install {program} (Debian: {package})");
    }
    // What baresip and sipp can answer is MD5. What is told at once is told one by one.
    let config = "[sip]\nusers = [\"alice:secret\", \"bob:secret\"]\ndigest = [\"MD5\"]\n\
                  notify_interval = \"0s\"\n[media]\ncodecs = [\"PCMU\"]\n";
    Bridge::start(Options { config: config.to_owned(), ..Options::default() })
}

#[test]
fn sipp_sees_the_calls_of_a_linphone_come_and_go() {
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let mut alice = Linphone::registered("alice", &registrar, 1000, "secret");
    bridge.wait("registration.added", |_| true);
    let watches = [("line.xml", "desk"), ("own_line.xml", "alice")].map(|(scenario, watcher)| {
        let sipp = Sipp::new(&registrar, "alice", scenario)
            .args(&["-key", "watcher", watcher, "-au", "alice", "-ap", "secret"])
            .args(&["-m", "1", "-timeout", "60", "-timeout_error"]);
        thread::spawn(|| sipp.expect_success())
    });
    bridge.wait_notified(2);

    let dialled =
        bridge.post("/v1/rooms/standup/participants", &json!({ "to": "sip:alice@plenary" }));
    let leg = dialled["leg"].as_str().unwrap();
    bridge.wait_leg("participant.ringing", leg);
    bridge.wait_notified(6);
    alice.order("answer");
    bridge.wait_notified(8);
    alice.order("terminate");

    for watch in watches {
        watch.join().unwrap();
    }
    bridge.wait_metric("plenary_sip_subscriptions 0");
}

#[test]
fn sipp_takes_a_call_that_rings_at_the_linphone_of_the_same_user() {
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let alice = Linphone::registered("alice", &registrar, 1000, "secret");
    bridge.wait("registration.added", |_| true);
    let sipp = Sipp::new(&registrar, "pickup", "pickup.xml")
        .args(&["-au", "alice", "-ap", "secret"])
        .args(&["-m", "1", "-timeout", "60", "-timeout_error"]);
    let sipp = thread::spawn(|| sipp.expect_success());
    bridge.wait_notified(1);

    let body = json!({ "to": "sip:alice@plenary" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap();
    let replaced = bridge.wait_leg("leg.replaced", leg);
    let by = replaced["data"]["by"].as_str().unwrap();
    bridge.wait_leg("participant.joined", by);
    alice.wait_said("ended", 1);

    sipp.join().unwrap();
    let left = bridge.wait_leg("participant.left", leg);
    assert_eq!(left["data"]["left_reason"], "replaced", "{left}");
    let people = bridge.get("/v1/rooms/standup/participants");
    assert_eq!(people["items"][0]["leg"], by, "{people}");
}

#[test]
fn baresip_is_told_how_the_user_of_other_baresips_is() {
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let bob = Baresip::watching("bob", &registrar, (&bridge.uri("alice"), PASSWORD));
    bridge.wait_notified(1);
    let says = |status: &str, times| bob.wait_said(&format!(" to {status}"), times);

    let desk = Baresip::registered("alice", &registrar, 660, PASSWORD);
    says("Online", 1);
    let mobile = Baresip::absent("alice", &registrar, 1000, PASSWORD);
    says("Offline", 1);
    let absent = bridge.get("/v1/presence/alice");
    let body = json!({ "to": "sip:alice@plenary" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    says("Busy", 1);
    bridge.delete(&format!("/v1/legs/{}", dialled["leg"].as_str().unwrap()));
    says("Offline", 2);

    assert_eq!((&absent["status"], &absent["registered"]), (&json!("closed"), &Value::Bool(true)));
    drop((desk, mobile));
}

#[test]
fn linphone_publishes_how_it_is_and_is_told_how_its_friend_is() {
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let published =
        "plenary_sip_responses_total{direction=\"out\",method=\"PUBLISH\",status=\"200\"}";

    let alice = Linphone::with_friend("alice", &registrar, "secret", &bridge.uri("bob"));
    bridge.wait_metric(&format!("{published} 1"));
    alice.wait_said("is Offline", 1);
    let bob = Baresip::registered("bob", &registrar, 660, PASSWORD);
    alice.wait_said("is Online", 1);
    let body = json!({ "to": "sip:bob@plenary" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    alice.wait_said("is On the phone", 1);
    bridge.delete(&format!("/v1/legs/{}", dialled["leg"].as_str().unwrap()));
    alice.wait_said("is Online", 2);
    alice.quit();

    // It takes back what it has published.
    bridge.wait_metric(&format!("{published} 2"));
    drop(bob);
}

#[test]
fn sipp_publishes_how_a_user_is_and_takes_it_back() {
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let desk = Baresip::registered("alice", &registrar, 660, PASSWORD);
    bridge.wait("registration.added", |_| true);

    Sipp::new(&registrar, "alice", "publish.xml")
        .args(&["-au", "alice", "-ap", "secret", "-m", "1", "-timeout", "30", "-timeout_error"])
        .expect_success();

    for note in ["At lunch", "In Room 5"] {
        bridge.wait("presence.updated", |event| event["data"]["note"] == note);
    }
    assert_eq!(bridge.get("/v1/presence/alice")["note"], Value::Null);
    drop(desk);
}
