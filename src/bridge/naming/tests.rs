use crate::bridge::scene::{self, Scene};
use crate::bridge::{Input, Settings, TrunkSettings};
use crate::bridge_settings;
use crate::config::Config;

/// A bridge with a directory, called by a carrier at the address of the phone, or by that phone itself.
fn scene(has_trunk: bool) -> Scene {
    let settings = bridge_settings(&Config::default(), 1);
    let carrier = TrunkSettings {
        networks: vec!["10.0.0.1/32".parse().unwrap()],
        ..scene::trunk("carrier", "sip:192.0.2.1")
    };
    let trunks = if has_trunk { vec![carrier] } else { Vec::new() };
    Scene::new(Settings { caller_names: true, trunks, ..settings })
}

#[test]
fn a_caller_without_a_name_gets_that_of_the_directory_and_waits_for_nothing() {
    let mut scene = scene(true);
    scene.from = "<sip:+4930111@carrier.test>";

    let answer = scene.call("hall");
    let looked_up = scene.looked_up.clone();
    let talk = scene.acknowledged(&answer);
    scene.input(Input::Named(talk.leg, "Ada Lovelace".to_owned()));

    assert_eq!(looked_up, [(talk.leg, "+4930111".to_owned())]);
    assert_eq!(scene.names(), ["participant.updated"]);
    assert_eq!(scene.told("participant.updated")["display_name"], "Ada Lovelace");
    scene.input(Input::Named(talk.leg, "Ada Lovelace".to_owned()));
    assert_eq!(scene.names(), Vec::<&str>::new());
}

#[test]
fn who_has_a_name_or_is_hidden_or_is_no_trunks_caller_is_not_looked_up() {
    for (has_trunk, from, headers, times) in [
        (true, "\"Ada\" <sip:+4930111@c.test>", "", 0),
        (true, "\"+4930111\" <sip:+4930111@c.test>", "", 1),
        (true, "<sip:+4930111@c.test>", "Privacy: id\r\n", 0),
        (true, "<sip:ada@c.test>", "", 0),
        (false, "<sip:+4930111@c.test>", "", 0),
    ] {
        let mut scene = scene(has_trunk);
        (scene.from, scene.headers) = (from, headers.to_owned());

        scene.call("hall");

        assert_eq!(scene.looked_up.len(), times, "{has_trunk} {from} {headers}");
    }
}

#[test]
fn a_name_that_comes_when_the_call_is_over_does_nothing() {
    let mut scene = scene(true);
    scene.from = "<sip:+4930111@c.test>";
    let talk = scene.joined("hall");
    scene.within(&talk, ("BYE", 2), "");

    scene.input(Input::Named(talk.leg, "Ada".to_owned()));

    assert_eq!(scene.names(), Vec::<&str>::new());
}
