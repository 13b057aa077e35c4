//! The phone calls itself: every feature that a test of the bridge leans on.

#[path = "../driver/mod.rs"]
#[allow(dead_code, reason = "shared with the bridge's end-to-end tests")]
mod driver;

use std::path::Path;
use std::time::Duration;

use driver::{Call, Line, Phones, delay};
use serde_json::json;

fn phones() -> Phones {
    Phones::start(Path::new(env!("CARGO_BIN_EXE_phone")))
}

fn pair<'p>(phones: &'p Phones, codec: &str) -> (Line<'p>, Line<'p>, Call<'p>, Call<'p>) {
    let alice = phones.line("alice", json!({"codecs": [codec]}));
    let bob = phones.line("bob", json!({"codecs": [codec], "tones_hz": [880]}));
    let out = alice.call("out", bob.uri(), 440, json!({}));
    let back = bob.incoming();
    (alice, bob, out, back)
}

#[test]
fn both_hear_each_other_in_every_codec() {
    for codec in ["PCMU", "PCMA", "G722", "opus", "L16", "L16/8000", "L16/48000"] {
        let phones = phones();

        let (_, _, out, back) = pair(&phones, codec);

        out.expect(&[880], &[440]);
        back.expect(&[440], &[880]);
        let heard = back.hear(&[440], Duration::from_secs(1), Duration::ZERO);
        assert!(heard["tones"][0]["continuity"].as_f64().unwrap() > 0.98, "{codec}: {heard}");
        assert!((heard["tones"][0]["level_db"].as_f64().unwrap() + 16.0).abs() < 1.5, "{heard}");
        out.hang_up();
        back.wait("ended");
        phones.assert_no_objections();
    }
}

#[test]
fn tcp_carries_a_call() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"tones_hz": [880]}));

    let out = alice.call("out", bob.uri(), 440, json!({"transport": "tcp"}));
    let back = bob.incoming();

    out.expect(&[880], &[440]);
    back.hang_up();
    out.wait("ended");
}

#[test]
fn refusals_arrive_with_their_status() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({}));
    for (index, (behaviour, status)) in [
        (json!({"on_invite": "busy"}), 486),
        (json!({"on_invite": "decline"}), 603),
        (json!({"on_invite": "reject", "status": 404}), 404),
        (json!({"codecs": ["G722"]}), 488),
    ]
    .into_iter()
    .enumerate()
    {
        bob.behave(behaviour);

        let call = alice.dial(&format!("out{index}"), bob.uri(), json!({}));

        assert_eq!(call.wait("failed")["status"], status);
    }
}

#[test]
fn cancel_ends_a_ringing_call() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"on_invite": "ring"}));

    let out = alice.dial("out", bob.uri(), json!({}));
    out.wait("progress");
    out.hang_up();

    bob.incoming().wait("cancelled");
    assert_eq!(out.wait("failed")["status"], 487);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"on_invite": "ring", "answer_on_cancel": true}));

    let out = alice.dial("out", bob.uri(), json!({}));
    out.wait("progress");
    out.hang_up();

    let back = bob.incoming();
    back.wait("answered");
    assert_eq!(back.wait("ended")["by"], "them");
    assert!(!phones.seen("ack_missing", |_| true));
}

#[test]
fn hold_stops_the_far_side_and_resume_starts_it() {
    for how in ["sendonly", "inactive", "zero"] {
        let phones = phones();
        let (_, _, out, back) = pair(&phones, "PCMU");

        out.order("hold", json!({"how": how}));
        assert_eq!(out.wait("reinvite_answered")["status"], 200);
        out.expect(&[], &[880]);
        out.order("resume", json!({}));

        out.wait("reinvite_answered");
        out.expect(&[880], &[]);
        back.expect(&[440], &[]);
    }
}

#[test]
fn a_call_moves_to_another_port_and_codec() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"codecs": ["PCMU", "opus"], "tones_hz": [880]}));
    let out = alice.call("out", bob.uri(), 440, json!({}));
    let back = bob.incoming();

    out.order("reinvite", json!({"new_port": true, "codecs": ["opus"]}));

    assert_eq!(out.wait("reinvite_answered")["codec"], "opus/48000");
    out.expect(&[880], &[440]);
    back.expect(&[440], &[880]);
    back.order("reinvite", json!({"method": "update"}));
    assert_eq!(back.wait("reinvite_answered")["status"], 200);
}

#[test]
fn offers_may_come_late() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"tones_hz": [880]}));

    let out = alice.call("out", bob.uri(), 440, json!({"late_offer": true}));
    let back = bob.incoming();

    back.wait("late_answer");
    out.expect(&[880], &[440]);
    back.expect(&[440], &[880]);
}

#[test]
fn a_refused_offer_leaves_the_call_as_it_was() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"refuse_offers": 488, "tones_hz": [880]}));
    let out = alice.call("out", bob.uri(), 440, json!({}));

    out.order("hold", json!({}));

    assert_eq!(out.wait("reinvite_answered")["status"], 488);
    out.expect(&[880], &[440]);
}

#[test]
fn digits_arrive_once_by_either_path() {
    let phones = phones();
    let (_, _, out, back) = pair(&phones, "PCMU");

    out.order("dtmf", json!({"digits": "15#"}));
    for digit in ["1", "5", "#"] {
        assert_eq!(back.wait("digit")["digit"], digit);
    }
    out.order("dtmf", json!({"digits": "7", "via": "info"}));

    assert!(back.wait("info")["body"].as_str().unwrap().starts_with("Signal=7"));
    assert!(!phones.seen("digit", |_| true));
}

#[test]
fn a_transfer_reports_its_steps() {
    let phones = phones();
    let (_, _, out, back) = pair(&phones, "PCMU");
    let carol = phones.line("carol", json!({"tones_hz": [1320]}));

    out.order("refer", json!({"to": carol.uri()}));

    assert_eq!(out.wait("refer_answered")["status"], 202);
    out.wait_for("notify", |event| event["status"] == 200);
    let moved = Call::named(&phones, &format!("{}-transferred", back.name()));
    carol.incoming();
    moved.expect(&[1320], &[440]);
}

#[test]
fn lost_messages_are_sent_again() {
    let phones = phones();
    let alice = phones.line("alice", json!({}));
    let bob = phones.line("bob", json!({"tones_hz": [880]}));
    bob.trouble(json!({"lose_incoming": 1}));
    alice.trouble(json!({"lose_acks": 1, "repeat": 1}));

    let out = alice.call("out", bob.uri(), 440, json!({}));

    out.expect(&[880], &[]);
    out.hang_up();
    bob.incoming().wait("ended");
    assert!(!phones.seen("ack_missing", |_| true));
}

#[test]
fn loss_shows_in_what_is_heard() {
    let phones = phones();
    let (_, _, out, back) = pair(&phones, "PCMU");

    out.order("impair", json!({"loss_percent": 20, "jitter_ms": 30, "seed": 7}));
    let heard = back.hear(&[440], Duration::from_secs(2), Duration::from_millis(200));

    let continuity = heard["tones"][0]["continuity"].as_f64().unwrap();
    assert!((0.6..0.95).contains(&continuity), "{heard}");
}

#[test]
fn delay_is_measured_between_calls() {
    let phones = phones();
    let (_, _, out, back) = pair(&phones, "PCMU");
    out.hush();
    back.expect(&[], &[440]);

    let measured = delay(&out, &back, 3);

    assert_eq!(measured["missed"], 0, "{measured}");
    assert!(measured["median_ms"].as_f64().unwrap() < 25.0, "{measured}");
}
