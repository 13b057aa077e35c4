//! What is heard before the answer.

use std::thread;
use std::time::Duration;

use crate::support::{
    Bridge, Call, Line, Options, Phones, SECOND, SETTLE, Sipp, continuity, free_port, has_program,
    json, phones,
};

/// A bridge with one route for all calls.
fn routed(steps: &str) -> Bridge {
    let config = format!("[[routes]]\nname = \"all\"\nsteps = [{steps}]\n");
    Bridge::start(Options { config, ..Options::default() })
}

fn forward(line: &Line<'_>, more: &str) -> String {
    format!("{{ forward = \"{}\"{more} }}", line.uri())
}

/// A line that plays this before it answers, which it does when it is told to.
fn playing<'p>(phones: &'p Phones, name: &str, tone_hz: u32) -> Line<'p> {
    let behaviour = json!({"on_invite": "early_media", "delay_ms": 60_000, "tones_hz": [tone_hz]});
    phones.line(name, behaviour)
}

/// Calls, and plays as soon as it may.
fn call<'p>(caller: &Line<'p>, to: &str, tone_hz: u32) -> Call<'p> {
    let call = caller.dial("out", to, json!({"tones_hz": [tone_hz]}));
    call.wait_for("progress", |progress| progress["early_media"] == true);
    call.play(tone_hz);
    call
}

#[test]
fn two_phones_hear_each_other_before_the_answer_and_after_it() {
    let phones = phones();
    let bob = playing(&phones, "bob", 880);
    let bridge = routed(&forward(&bob, ""));

    let anna = call(&phones.line("anna", json!({})), &bridge.uri("bob"), 440);
    let at_bob = bob.incoming();
    anna.expect(&[880], &[440]);
    at_bob.expect(&[440], &[880]);
    let heard = anna.hear(&[880], 2 * SECOND, SETTLE);
    assert!(!phones.seen("answered", |_| true));
    assert_eq!(bridge.count("leg.answered", |_| true), 0);
    at_bob.order("answer", json!({}));
    anna.wait("answered");
    bridge.wait("call.connected", |_| true);

    assert!(continuity(&heard) >= 0.98, "{heard}");
    anna.expect(&[880], &[440]);
    at_bob.expect(&[440], &[880]);
    phones.assert_no_objections();
}

#[test]
fn the_answer_makes_no_gap() {
    let phones = phones();
    let behaviour = json!({"on_invite": "early_media", "delay_ms": 3000, "tones_hz": [880]});
    let bob = phones.line("bob", behaviour);
    let bridge = routed(&forward(&bob, ""));

    let anna = call(&phones.line("anna", json!({})), &bridge.uri("bob"), 440);
    anna.expect(&[880], &[]);
    let heard = anna.hear(&[880], 4 * SECOND, Duration::ZERO);

    bridge.wait("call.connected", |_| true);
    assert!(continuity(&heard) >= 0.98, "{heard}");
    assert!(heard["longest_gap_ms"].as_f64().is_none_or(|gap| gap < 100.0), "{heard}");
}

#[test]
fn a_hunt_that_moves_on_drops_the_one_and_plays_the_other() {
    let phones = phones();
    let (bob, carl) = (playing(&phones, "bob", 880), playing(&phones, "carl", 1320));
    let bridge = routed(&format!("{}, {}", forward(&bob, ""), forward(&carl, ", on = [\"busy\"]")));

    let anna = call(&phones.line("anna", json!({})), &bridge.uri("team"), 440);
    anna.expect(&[880], &[1320]);
    bob.incoming().order("reject", json!({"status": 486}));
    let at_carl = carl.incoming();
    anna.expect(&[1320], &[880]);
    at_carl.expect(&[440], &[1320]);
    at_carl.order("answer", json!({}));
    anna.wait("answered");

    bridge.wait("call.connected", |_| true);
    anna.expect(&[1320], &[880]);
    at_carl.expect(&[440], &[1320]);
    phones.assert_no_objections();
}

#[test]
fn a_carrier_is_heard_before_it_refuses() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let phones = phones();
    let (carrier, uri) = Sipp::callee("early_carrier.xml");
    let media = free_port().port().to_string();
    let bridge = routed(&format!("{{ forward = \"{uri}\" }}"));

    thread::scope(|scope| {
        scope.spawn(|| {
            let arguments = ["-m", "1", "-timeout", "30", "-mp", &media, "-rtp_echo"];
            carrier.args(&arguments).expect_success();
        });
        let anna = call(&phones.line("anna", json!({})), &bridge.uri("1234"), 440);
        anna.expect(&[440], &[]); // there and back
        let failed = anna.wait("failed");
        assert_eq!(failed["status"], 404, "{failed}");
    });

    let ended = bridge.wait("call.ended", |_| true);
    assert_eq!(ended["data"]["sip"]["status"], 404, "{ended}");
}

#[test]
fn a_caller_that_knows_100rel_is_told_for_sure() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let phones = phones();
    let behaviour = json!({"on_invite": "early_media", "delay_ms": 1000, "tones_hz": [880]});
    let bob = phones.line("bob", behaviour);
    let bridge = routed(&forward(&bob, ""));

    Sipp::new(&bridge.sip.to_string(), "bob", "early_caller.xml")
        .args(&["-m", "2", "-r", "5", "-timeout", "30"])
        .expect_success();

    for _ in 0..2 {
        bridge.wait("call.connected", |_| true);
    }
}

#[test]
fn where_it_is_off_the_caller_hears_its_own_ringing() {
    let phones = phones();
    let bob = playing(&phones, "bob", 880);
    let bridge = routed(&forward(&bob, ", early_media = \"off\""));

    let anna = phones.line("anna", json!({})).dial("out", &bridge.uri("bob"), json!({}));
    let progress = anna.wait_for("progress", |progress| progress["status"] == 180);

    bridge.wait("leg.early_media", |_| true);
    assert_eq!(progress["early_media"], false, "{progress}");
    bob.incoming().order("answer", json!({}));
    anna.expect(&[880], &[]);
}
