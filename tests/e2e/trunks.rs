//! Calls through a carrier that asks for a password.

use crate::support::{Bridge, Message, Options, Peer, Sipp, has_program, json};

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
