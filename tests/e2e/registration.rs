//! Phones that register, and are called by the name of their user.

use crate::support::{Baresip, Bridge, Options, Sipp, has_program, json};

fn bridge() -> Bridge {
    // What baresip and sipp can answer is MD5.
    let config = "[sip]\nusers = [\"alice:secret\", \"bob:secret\"]\ndigest = [\"MD5\"]\n";
    Bridge::start(Options { config: config.to_owned(), ..Options::default() })
}

#[test]
fn baresip_registers_is_called_by_name_and_unregisters() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let tcp = format!(";auth_pass=secret;outbound=\"sip:{registrar};transport=tcp\"");

    let alice = Baresip::registered("alice", &registrar, 660, ";auth_pass=secret");
    let bob = Baresip::registered("bob", &registrar, 1000, &tcp);
    for (user, transport) in [("alice", "udp"), ("bob", "tcp")] {
        let added = bridge.wait("registration.added", |event| event["data"]["user"] == user);
        assert_eq!(added["data"]["transport"], transport, "{added}");
    }
    let legs = ["alice", "bob"].map(|user| {
        let body = json!({ "to": format!("sip:{user}@plenary") });
        let dialled = bridge.post("/v1/rooms/standup/participants", &body);
        dialled["leg"].as_str().unwrap().to_owned()
    });
    for leg in &legs {
        bridge.wait_leg("participant.joined", leg);
        bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
            stats["received"]["packets"].as_u64() > Some(150)
        });
    }
    let (alice, bob) = (alice.finish(), bob.finish());

    assert!(alice.holds(1000) && bob.holds(660), "{} {}", alice.level_db(1000), bob.level_db(660));
    for user in ["alice", "bob"] {
        bridge.wait("registration.removed", |event| event["data"]["user"] == user);
    }
    assert!(bridge.get("/v1/registrations")["items"].as_array().unwrap().is_empty());
}

#[test]
fn two_baresips_of_a_user_ring_at_once_and_one_has_the_call() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let bridge = bridge();
    let registrar = bridge.sip.to_string();
    let slow = Baresip::registered_with("alice", &registrar, (660, ";auth_pass=secret"), "manual");
    let first = bridge.wait("registration.added", |_| true)["data"]["contact"].clone();
    let quick = Baresip::registered("alice", &registrar, 1000, ";auth_pass=secret");
    let added = bridge.wait("registration.added", |event| event["data"]["contact"] != first);

    let body = json!({ "to": "sip:alice@plenary" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap().to_owned();
    let joined = bridge.wait_leg("leg.answered", &leg);

    assert_eq!(joined["data"]["answered_by"], added["data"]["contact"], "{joined}");
    let cancelled = bridge
        .get_until(&format!("/v1/legs/{leg}/trace"), |trace| trace.to_string().contains("487 "));
    let trace = cancelled.to_string();
    assert!(trace.contains("CANCEL sip:alice") && trace.contains("completed elsewhere"), "{trace}");
    assert_eq!(bridge.get("/v1/rooms/standup")["participants"], 1);
    bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
        stats["received"]["packets"].as_u64() > Some(50)
    });
    quick.finish();
    drop(slow);
}

#[test]
fn sipp_registers_with_its_password_and_not_without() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let bridge = bridge();
    let sipp = |password: &str| {
        Sipp::new(&bridge.sip.to_string(), "alice", "register.xml")
            .args(&["-au", "alice", "-ap", password, "-timeout", "30", "-m", "5"])
    };

    sipp("secret").expect_success();
    let wrong = sipp("guess").run();

    assert!(!wrong.status.success());
    let rejected = bridge.wait("registration.rejected", |_| true);
    assert_eq!(rejected["data"]["sip"]["status"], 401, "{rejected}");
    let list = bridge.get("/v1/registrations?user=alice");
    let item = &list["items"][0];
    assert_eq!((&item["user"], &item["transport"]), (&json!("alice"), &json!("udp")), "{list}");
    bridge.delete(&format!("/v1/registrations/{}", item["id"].as_str().unwrap()));
    bridge.wait("registration.removed", |event| event["data"]["reason"] == "dropped");
}
