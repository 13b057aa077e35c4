use api::control::Command as Ask;
use api::model::{Invite, SendDtmf};
use mixer::codec::{Codec, Format};
use serde_json::json;

use super::*;
use crate::bridge::scene::{SDP, Scene, Talk, trunk};
use crate::bridge::{AccessSettings, CallerLimits, Pattern, Settings, TrunkRules, TrunkSettings};
use crate::bridge_settings;
use crate::config::Config;

fn pcma() -> MediaRules {
    MediaRules { codecs: vec![Format::usual(Codec::Pcma)], ..MediaRules::default() }
}

/// A bridge with a trunk at 10.0.0.1, with which media is by these rules.
fn scene(media: MediaRules) -> Scene {
    let rules = TrunkRules { media, ..TrunkRules::default() };
    let trunk = TrunkSettings { rules, from: None, ..trunk("carrier", "sip:10.0.0.1") };
    let settings = bridge_settings(&Config::default(), 1);
    Scene::new(Settings { trunks: vec![trunk], ..settings })
}

/// What goes out to the trunk.
fn invite(scene: &mut Scene) -> String {
    let body = json!({ "to": "4930", "trunk": "carrier" });
    let body: Invite = serde_json::from_value(body).unwrap();
    scene.ask(|reply| Ask::Invite { room: "hall".to_owned(), body, reply }).unwrap();
    scene.sent("INVITE ").to_owned()
}

#[test]
fn a_trunk_is_offered_and_held_to_its_codecs() {
    let mut scene = scene(pcma());

    let invite = invite(&mut scene);
    let pcmu = scene.call("hall");
    let answer = scene.invite("hall", &SDP.replace("RTP/AVP 0", "RTP/AVP 0 8"));

    assert!(invite.contains("PCMA/8000") && !invite.contains("PCMU/8000"), "{invite}");
    assert!(pcmu.starts_with("SIP/2.0 488 "), "{pcmu}");
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("PCMA/8000"), "{answer}");
}

#[test]
fn a_trunk_is_encrypted_as_its_rules_say_whatever_is_usual() {
    for (srtp, line) in [
        (Some(SrtpPolicy::Off), " RTP/AVP "),
        (Some(SrtpPolicy::Require), " RTP/SAVP "),
        (None, " RTP/AVP "),
    ] {
        let mut scene = scene(MediaRules { srtp, ..MediaRules::default() });

        let invite = invite(&mut scene);

        let audio = invite.lines().find(|line| line.starts_with("m=audio ")).unwrap();
        assert!(audio.contains(line), "{audio}");
        let has_keys = invite.contains("\r\na=crypto:");
        assert_eq!(has_keys, srtp == Some(SrtpPolicy::Require), "{invite}");
    }
}

#[test]
fn users_have_media_of_their_own() {
    let caller =
        CallerLimits { users: vec![Pattern::new("an*")], media: pcma(), ..CallerLimits::default() };
    let settings = bridge_settings(&Config::default(), 1);
    let access = AccessSettings::default();
    let mut scene = Scene::new(Settings { callers: vec![caller], access, ..settings });

    let of = |scene: &mut Scene, user: &str| {
        scene.bridge().user_media(user).map(|rules| rules.codecs.len())
    };

    assert_eq!((of(&mut scene, "anna"), of(&mut scene, "bob")), (Some(1), None));
}

/// Two phones in a call, of which the second took events if `takes_events`.
fn call(scene: &mut Scene, dtmf: Dtmf, takes_events: bool) -> [Talk; 2] {
    let talks = scene.connected(["anna", "bob"]);
    scene.bridge_leg(talks[1].leg).media_rules.dtmf = dtmf;
    if takes_events {
        let offer =
            SDP.replace("RTP/AVP 0\r\n", "RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
        scene.reinvite(&talks[1], &offer);
    }
    talks
}

#[test]
fn what_one_party_presses_goes_to_the_other_as_its_rules_say() {
    for (dtmf, takes_events, takes_info, by) in [
        (Dtmf::Auto, true, true, "events"),
        (Dtmf::Auto, false, true, "info"),
        (Dtmf::Auto, false, false, "nothing"),
        (Dtmf::Rfc4733, true, false, "events"),
        (Dtmf::Rfc4733, false, true, "nothing"),
        (Dtmf::Info, true, false, "info"),
    ] {
        let mut scene = scene(MediaRules::default());
        let talks = call(&mut scene, dtmf, takes_events);
        scene.bridge_leg(talks[1].leg).infos =
            if takes_info { Infos::Taken } else { Infos::Refused };

        scene.pressed(&talks[0], "Signal=5\r\nDuration=160\r\n");

        let infos: Vec<_> = scene.sent.iter().filter(|sent| sent.starts_with("INFO ")).collect();
        let is_relay = |sent: &&&String| sent.ends_with("\r\n\r\nSignal=5\r\nDuration=160\r\n");
        assert_eq!(infos.iter().filter(is_relay).count(), usize::from(by == "info"), "{dtmf:?}");
        let events = scene.told.iter().filter(|told| matches!(told, Command::SendDigits { .. }));
        assert_eq!(events.count(), usize::from(by == "events"), "{dtmf:?} {takes_events}");
    }
}

#[test]
fn the_api_sends_digits_by_info_where_the_rules_say_so() {
    let mut scene = scene(MediaRules { dtmf: Dtmf::Info, ..MediaRules::default() });
    let talk = scene.joined("hall");

    let body: SendDtmf = serde_json::from_value(json!({"digits": "1#"})).unwrap();
    scene.ask(|reply| Ask::SendDtmf { leg: talk.leg, body, reply }).unwrap();

    let bodies: Vec<_> = scene.sent.iter().filter_map(|sent| sent.split_once("\r\n\r\n")).collect();
    let bodies: Vec<_> = bodies.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["Signal=1\r\nDuration=100\r\n", "Signal=#\r\nDuration=100\r\n"]);
}
