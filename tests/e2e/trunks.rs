//! Calls through a carrier that asks for a password.

use crate::support::{Baresip, Bridge, Message, Options, Peer, Sipp, has_program, json};

fn bridge(trunk: &str) -> Bridge {
    let config = format!("[[trunks]]\nname = \"carrier\"\n{trunk}\n");
    Bridge::start(Options { config, ..Options::default() })
}

#[test]
fn sipp_is_a_carrier_that_asks_for_a_password() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let (carrier, uri) = Sipp::callee("carrier.xml");
    let gateway = uri.replace("sipp@", "");
    let bridge = bridge(&format!(
        "gateways = [\"{gateway}\"]\nusername = \"4930\"\npassword = \"secret\"\ncheck = \"0s\""
    ));
    let carrier =
        std::thread::spawn(|| carrier.args(&["-m", "1", "-timeout", "30"]).expect_success());

    let body = json!({ "to": "+49 30 1234", "trunk": "carrier" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap().to_owned();
    bridge.wait_leg("participant.joined", &leg);
    bridge.delete(&format!("/v1/legs/{leg}"));

    carrier.join().unwrap();
}

#[test]
fn a_call_takes_the_next_gateway_when_one_does_not_answer_and_the_trunk_is_watched() {
    let mut live = Peer::listening("127.0.0.1");
    let dead = Peer::listening("127.0.0.1").local;
    let bridge = bridge(&format!(
        "gateways = [\"sip:{dead};transport=tcp\", \"sip:{}\"]\nroom = \"lobby\"",
        live.local
    ));

    let options = live.wait(|message: &Message| message.text.starts_with("OPTIONS "));
    live.answer(&options, 200, "here", ("", ""));
    bridge.wait("trunk.up", |event| event["data"]["name"] == "carrier");
    let trunk =
        bridge.get_until("/v1/trunks/carrier", |trunk| trunk["gateways"][0]["state"] == "down");
    assert_eq!(trunk["state"], "up", "{trunk}");
    let body = json!({ "to": "1234", "trunk": "carrier" });
    bridge.post("/v1/rooms/standup/participants", &body);
    let invite = live.wait(|message: &Message| message.text.starts_with("INVITE "));

    assert!(
        invite.text.starts_with(&format!("INVITE sip:1234@{} ", live.local)),
        "{}",
        invite.text
    );
}

#[test]
fn a_route_takes_a_phone_to_the_carrier_and_back_to_a_room_where_nobody_answers() {
    for program in ["sipp", "baresip"] {
        assert!(has_program(program), "install {program}");
    }
    let (carrier, uri) = Sipp::callee("carrier.xml");
    let gateway = uri.replace("sipp@", "");
    let nobody = Peer::listening("127.0.0.1").local;
    let bridge = bridge(&format!(
        "gateways = [\"{gateway}\"]\nusername = \"4930\"\npassword = \"secret\"\ncheck = \"0s\"\n\
         [[routes]]\nname = \"out\"\ndestination = {{ prefix = \"0\" }}\n\
         steps = [{{ trunk = \"carrier\", number = \"+49$1\" }}]\n\
         [[routes]]\nname = \"help\"\ndestination = {{ exact = \"help\" }}\n\
         steps = [{{ forward = \"sip:bob@{nobody};transport=tcp\" }}, {{ room = \"lobby\" }}]"
    ));
    let carrier =
        std::thread::spawn(|| carrier.args(&["-m", "1", "-timeout", "30"]).expect_success());

    let out = Baresip::call("anna", &bridge.uri("0301234"), 440);
    bridge.wait("call.connected", |_| true);
    out.finish();
    carrier.join().unwrap();
    let help = Baresip::call("anna", &bridge.uri("help"), 440);
    bridge.wait("participant.joined", |event| event["data"]["room"].is_string());

    assert_eq!(bridge.get("/v1/rooms/lobby")["participants"], 1);
    help.finish();
}

#[test]
fn a_trunk_registers_with_one_who_asks_for_a_password_in_each_way_and_stays_registered() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let (registrar, uri) = Sipp::callee("registrar.xml");
    let gateway = uri.replace("sipp@", "");
    let registrar =
        std::thread::spawn(|| registrar.args(&["-m", "1", "-timeout", "60"]).expect_success());

    let bridge = bridge(&format!(
        "gateways = [\"{gateway}\"]\nusername = \"4930\"\npassword = \"secret\"\nregister = true\ncheck = \"0s\""
    ));
    let up = bridge.get_until("/v1/trunks/carrier", |trunk| trunk["state"] == "up");
    let first = up["registered_until"].clone();

    registrar.join().unwrap(); // it has been asked again before what it granted was over
    let trunk = bridge.get_until("/v1/trunks/carrier", |trunk| trunk["registered_until"] != first);
    assert_eq!((&trunk["state"], &trunk["refused"]), (&json!("up"), &json!(null)), "{trunk}");
    assert_eq!(bridge.count("trunk.down", |_| true), 0);
}

#[test]
fn a_route_rings_a_registered_user_and_both_hear_each_other() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let config = "[sip]\nusers = [\"alice:secret\"]\ndigest = [\"MD5\"]\n\
                  [[routes]]\nname = \"sales\"\ndestination = { exact = \"sales\" }\n\
                  steps = [{ user = \"alice\" }]\n";
    let bridge = Bridge::start(Options { config: config.to_owned(), ..Options::default() });
    let registrar = bridge.sip.to_string();

    let alice = Baresip::registered("alice", &registrar, 660, ";auth_pass=secret");
    bridge.wait("registration.added", |event| event["data"]["user"] == "alice");
    let bob = Baresip::call("bob", &bridge.uri("sales"), 1000);
    let connected = bridge.wait("call.connected", |_| true);
    for leg in connected["data"]["legs"].as_array().unwrap() {
        let leg = leg.as_str().unwrap();
        bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
            stats["received"]["packets"].as_u64() > Some(150)
        });
    }
    let (alice, bob) = (alice.finish(), bob.finish());

    assert!(alice.holds(1000) && bob.holds(660), "{} {}", alice.level_db(1000), bob.level_db(660));
}
