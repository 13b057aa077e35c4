//! DTMF, both paths and both directions.

use crate::support::{json, scene};

#[test]
fn events_of_rfc_4733_are_counted_once() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);

    anna.call.order("dtmf", json!({"digits": "1590*#D"}));

    for digit in ["1", "5", "9", "0", "*", "#", "D"] {
        let event = scene.bridge.wait_leg("participant.dtmf", &anna.leg);
        assert_eq!(event["data"]["digit"], digit, "{event}");
    }
    // A second key press proves that no repetition of the first is still on its way.
    anna.call.order("dtmf", json!({"digits": "8"}));
    assert_eq!(scene.bridge.wait_leg("participant.dtmf", &anna.leg)["data"]["digit"], "8");
    assert_eq!(scene.bridge.count("participant.dtmf", |_| true), 8);
}

#[test]
fn repeated_and_lost_event_packets_change_nothing() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let impairments =
        json!({"loss_percent": 10, "duplicate_percent": 30, "reorder_percent": 10, "seed": 2});
    anna.call.order("impair", impairments);

    anna.call.order("dtmf", json!({"digits": "1122334455", "duration_ms": 160}));

    for digit in "1122334455".chars() {
        let event = scene.bridge.wait_leg("participant.dtmf", &anna.leg);
        assert_eq!(event["data"]["digit"], digit.to_string(), "{event}");
    }
    assert_eq!(scene.bridge.count("participant.dtmf", |_| true), 10);
}

#[test]
fn info_counts_once() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    anna.line.trouble(json!({"repeat": 1}));

    anna.call.order("dtmf", json!({"digits": "42", "via": "info", "duration_ms": 200}));

    let mut digits: Vec<String> = (0..2)
        .map(|_| scene.bridge.wait_leg("participant.dtmf", &anna.leg)["data"]["digit"].to_string())
        .collect();
    digits.sort();
    assert_eq!(digits, ["\"2\"", "\"4\""]);
    anna.call.order("dtmf", json!({"digits": "7", "via": "info"}));
    scene.bridge.wait("participant.dtmf", |event| event["data"]["digit"] == "7");
    assert_eq!(scene.bridge.count("participant.dtmf", |_| true), 3);
}

#[test]
fn opus_carries_events_at_its_own_clock() {
    let scene = scene();
    let anna = scene.join_with("anna", "standup", 440, json!({"codecs": ["opus"]}));

    anna.call.order("dtmf", json!({"digits": "73"}));

    for digit in ["7", "3"] {
        assert_eq!(scene.bridge.wait_leg("participant.dtmf", &anna.leg)["data"]["digit"], digit);
    }
}

#[test]
fn the_api_sends_digits_to_a_phone() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    scene.bridge.post(&format!("/v1/legs/{}/dtmf", anna.leg), &json!({"digits": "19#"}));

    for digit in ["1", "9", "#"] {
        assert_eq!(anna.call.wait("digit")["digit"], digit);
    }
    assert!(!scene.phones.seen("digit", |_| true));
    anna.call.expect(&[880], &[]);
}

#[test]
fn the_others_do_not_hear_the_digits() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    bert.call.expect(&[440], &[]);

    anna.call.order("dtmf", json!({"digits": "5", "duration_ms": 600}));
    scene.bridge.wait_leg("participant.dtmf", &anna.leg);

    bert.call.expect(&[], &[770, 1336]);
}
