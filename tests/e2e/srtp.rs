//! Media that is encrypted with keys from the SDP.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{
    Baresip, Options, Peer, SECOND, continuity, has_program, idle_sdp, scene, scene_with,
};

/// `mediaenc` of baresip: `RTP/AVP` with keys, and `RTP/SAVP`.
const OPPORTUNISTIC: &str = "srtp";
const MANDATORY: &str = "srtp-mand";

#[test]
fn a_client_that_may_encrypt_and_a_plain_phone_hear_each_other() {
    converse(OPPORTUNISTIC, "maybe");
}

#[test]
fn a_client_that_must_encrypt_and_a_plain_phone_hear_each_other() {
    converse(MANDATORY, "must");
}

fn converse(encryption: &str, room: &str) {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let scene = scene();
    let bare = Baresip::call_encrypted("bare", &scene.bridge.uri(room), 660, encryption);
    let leg = scene.bridge.get(&format!("/v1/legs/{}", scene.joined("bare")));
    assert!(leg["srtp"].as_str().is_some_and(|suite| suite.contains("AES")), "{leg}");

    let anna = scene.join("anna", room, 440);

    anna.call.expect(&[660], &[440]);
    let plain = scene.bridge.get(&format!("/v1/legs/{}", anna.leg));
    assert!(plain["srtp"].is_null(), "{plain}");
    // So long that each side has sent a report.
    let heard = anna.call.hear(&[660], 9 * SECOND, Duration::ZERO);
    assert!(continuity(&heard) >= 0.98, "{heard}");
    let stats = scene.bridge.get(&format!("/v1/legs/{}/stats", leg["id"].as_str().unwrap()));
    assert!(stats["sent"]["packets_lost"] == 0, "{stats}");
    // baresip opens the way through a NAT by a packet that is empty and in clear.
    assert!(stats["received"]["packets_unauthentic"].as_u64() <= Some(1), "{stats}");
    let tape = bare.finish();
    assert!(tape.holds(440), "{} dB, {heard}", tape.level_db(440));
    assert!(!tape.holds(660), "{} dB", tape.level_db(660));
    anna.call.expect(&[], &[660]);
}

#[test]
fn where_encryption_is_required_a_plain_offer_is_refused() {
    let config = "[media]\nsrtp = \"require\"\n".to_owned();
    let scene = scene_with(Options { config, ..Options::default() });
    let uri = scene.bridge.uri("vault");

    assert_eq!(status_of_invite(scene.bridge.sip, &uri, &idle_sdp()), 488);

    for (name, encryption) in [("careful", OPPORTUNISTIC), ("strict", MANDATORY)] {
        let _bare = Baresip::call_encrypted(name, &uri, 660, encryption);
        scene.joined(name);
    }
}

#[test]
fn where_encryption_is_off_it_is_not_agreed_to() {
    let config = "[media]\nsrtp = \"off\"\n".to_owned();
    let scene = scene_with(Options { config, ..Options::default() });
    let uri = scene.bridge.uri("glass");
    let secure = idle_sdp().replace("RTP/AVP", "RTP/SAVP");

    assert_eq!(status_of_invite(scene.bridge.sip, &uri, &secure), 488);

    let _bare = Baresip::call_encrypted("careful", &uri, 660, OPPORTUNISTIC);
    let leg = scene.bridge.get(&format!("/v1/legs/{}", scene.joined("careful")));
    assert!(leg["srtp"].is_null(), "{leg}");
}

/// The final status that an INVITE with this SDP gets.
fn status_of_invite(sip: SocketAddr, uri: &str, sdp: &str) -> u16 {
    let mut peer = Peer::udp(sip);
    let invite = peer.request("INVITE", &peer.dialog(uri), "", sdp);
    peer.send(&invite);
    let answer = peer.wait(|message| message.status().is_some_and(|status| status >= 200));
    answer.status().unwrap()
}
