//! `sipp` and baresip: programs that other people wrote.

use std::time::Duration;

use crate::support::{Baresip, SECOND, Sipp, continuity, has_program, json, scene};

#[test]
fn sipp_places_and_ends_two_hundred_calls() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = scene();

    Sipp::new(&scene.bridge.sip.to_string(), "load", "uac")
        .args(&["-m", "200", "-r", "50", "-d", "500", "-l", "60", "-timeout", "60"])
        .expect_success();

    for _ in 0..200 {
        scene.bridge.wait("leg.ended", |event| event["data"]["end_reason"] == "hung_up");
    }
    assert_eq!(scene.bridge.count("participant.joined", |_| true), 200);
    let legs = scene.bridge.get("/v1/legs");
    assert_eq!(legs["items"].as_array().unwrap().len(), 0, "{legs}");
}

#[test]
fn sipp_calls_over_tcp() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = scene();

    Sipp::new(&scene.bridge.sip.to_string(), "load", "uac")
        .args(&["-t", "t1", "-m", "20", "-r", "20", "-d", "200", "-timeout", "40"])
        .expect_success();
}

#[test]
fn scenarios_of_sipp_go_as_written() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = scene();
    for scenario in ["reinvite.xml", "late_offer.xml", "update.xml", "compact.xml", "no_codec.xml"]
    {
        Sipp::new(&scene.bridge.sip.to_string(), "scenario", scenario)
            .args(&["-m", "3", "-r", "5", "-timeout", "30"])
            .expect_success();
    }
}

#[test]
fn three_real_clients_hear_each_other_and_never_themselves() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let scene = scene();
    let uri = scene.bridge.uri("standup");
    let first = Baresip::call("bare", &uri, 660);
    let second = Baresip::call("naked", &uri, 1000);
    scene.joined("bare");
    scene.joined("naked");

    let phone = scene.join_with("anna", "standup", 440, json!({"codecs": ["opus"]}));

    phone.call.expect(&[660, 1000], &[440]);
    // So long the others record.
    let heard = phone.call.hear(&[660, 1000], 3 * SECOND, Duration::ZERO);
    assert!(continuity(&heard) >= 0.98, "{heard}");
    let (first, second) = (first.finish(), second.finish());
    for (tape, heard, own) in [(first, [440, 1000], 660), (second, [440, 660], 1000)] {
        assert!(
            heard.iter().all(|hz| tape.holds(*hz)),
            "{heard:?}: {:?}",
            heard.map(|hz| tape.level_db(hz))
        );
        assert!(!tape.holds(own), "it hears itself: {} dB", tape.level_db(own));
    }
    phone.call.expect(&[], &[660, 1000]);
}
