//! Calls over IPv6, alone and together with those over IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::support::{
    Baresip, Bridge, Options, Peer, Ports, Scene, Sipp, has_program, json, scene_with, sdp, tone,
};

/// On both loopback addresses.
fn both() -> Scene {
    scene_with(Options { hosts: vec![Ipv4Addr::LOCALHOST.into(), LOOPBACK], ..Options::default() })
}

#[test]
fn a_caller_over_ipv6_and_one_over_ipv4_hear_each_other() {
    let scene = both();
    let anna = scene.join("anna", "standup", 440);
    let uri = format!("sip:standup@{}", scene.bridge.sip6());
    for mut peer in [Peer::udp(scene.bridge.sip6()), Peer::tcp(scene.bridge.sip6())] {
        let ports = Ports::bind(LOOPBACK);

        let (mut dialog, answer) = peer.call(&uri, "", &sdp(ports.address(), "0", ""));

        assert!(answer.body().contains("\r\nc=IN IP6 ::1\r\n"), "{answer:?}");
        let origin = answer.body().lines().find(|line| line.starts_with("o=")).unwrap();
        assert!(origin.ends_with("IN IP6 ::1"), "{origin}");
        assert!(dialog.target.contains(&format!("@{}", scene.bridge.sip6())), "{answer:?}");
        let sound = ports.start(answer.media(), &tone(880));
        anna.call.expect(&[880], &[440]);
        sound.expect(440);
        assert!(sound.receive(1).iter().all(|packet| packet.from == answer.media()));
        peer.hang_up(&mut dialog);
        scene.bridge.wait("leg.ended", |event| event["data"]["end_reason"] == "hung_up");
    }
}

#[test]
fn a_phone_that_calls_over_ipv4_and_offers_ipv6_is_heard_over_that() {
    let scene = scene_with(Options::default());
    let anna = scene.join("anna", "standup", 440);
    let (mut peer, ports) = (Peer::udp(scene.bridge.sip), Ports::bind(LOOPBACK));

    let uri = scene.bridge.uri("standup");
    let (mut dialog, answer) = peer.call(&uri, "", &sdp(ports.address(), "0", ""));

    assert!(answer.body().contains("\r\nc=IN IP6 ::1\r\n"), "{answer:?}");
    let sound = ports.start(answer.media(), &tone(880));
    anna.call.expect(&[880], &[440]);
    sound.expect(440);
    peer.hang_up(&mut dialog);
}

#[test]
fn a_phone_at_an_ipv6_address_is_dialled() {
    let scene = both();
    let mut callee = Peer::listening("::1");
    let ports = Ports::bind(LOOPBACK);
    let anna = scene.join("anna", "standup", 440);

    let to = format!("sip:bert@{}", callee.local);
    scene.bridge.post("/v1/rooms/standup/participants", &json!({"to": to}));

    let invite = callee.wait_request("INVITE");
    assert!(invite.body().contains("\r\nc=IN IP6 ::1\r\n"), "{invite:?}");
    assert!(invite.header("Via").contains(&format!(" {};", scene.bridge.sip6())), "{invite:?}");
    callee.answer(&invite, 200, "b", ("", &sdp(ports.address(), "0", "")));
    callee.wait_request("ACK");
    let leg = scene.joined("bert");
    let sound = ports.start(invite.media(), &tone(880));
    anna.call.expect(&[880], &[440]);
    sound.expect(440);
    scene.bridge.delete(&format!("/v1/legs/{leg}"));
    let bye = callee.wait_request("BYE");
    callee.answer(&bye, 200, "b", ("", ""));
}

#[test]
fn both_wildcard_addresses_are_listened_on_at_once() {
    let hosts = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let bridge = Bridge::start(Options { hosts, ..Options::default() });

    for target in [bridge.sip, bridge.sip6()] {
        for mut peer in [Peer::udp(target), Peer::tcp(target)] {
            let (mut dialog, answer) =
                peer.call(&format!("sip:standup@{target}"), "", &idle_at(target));

            assert_eq!(answer.media().ip(), target.ip(), "{answer:?}");
            assert_eq!(dialog.target.split(';').next(), Some(&*format!("sip:standup@{target}")));
            peer.hang_up(&mut dialog);
        }
    }
}

#[test]
fn each_family_may_have_a_port_of_its_own() {
    let other = crate::support::free_port().port();
    let own = format!("[::1]:{other}");
    let arguments = ["--sip-udp", &own, "--sip-tcp", &own].map(str::to_owned).to_vec();
    let hosts = vec![Ipv4Addr::LOCALHOST.into()];
    let bridge = Bridge::start(Options { arguments, hosts, ..Options::default() });

    for target in [bridge.sip, own.parse().unwrap()] {
        for mut peer in [Peer::udp(target), Peer::tcp(target)] {
            let (mut dialog, _) = peer.call(&format!("sip:standup@{target}"), "", &idle_at(target));

            assert_eq!(dialog.target.split(';').next(), Some(&*format!("sip:standup@{target}")));
            peer.hang_up(&mut dialog);
        }
    }
}

#[test]
fn sipp_calls_over_ipv6() {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let scene = both();
    let target = scene.bridge.sip6().to_string();

    for transport in ["u1", "t1"] {
        Sipp::new(&target, "load", "uac")
            .args(&["-t", transport, "-m", "20", "-r", "20", "-d", "200", "-timeout", "40"])
            .expect_success();
    }
    for scenario in ["reinvite.xml", "late_offer.xml", "update.xml"] {
        Sipp::new(&target, "scenario", scenario)
            .args(&["-m", "2", "-r", "5", "-timeout", "30"])
            .expect_success();
    }
}

#[test]
fn baresip_over_ipv6_is_heard_and_hears() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let scene = both();
    let bare = Baresip::call("bare", &format!("sip:standup@{}", scene.bridge.sip6()), 660);
    scene.joined("bare");

    let anna = scene.join("anna", "standup", 440);
    anna.call.expect(&[660], &[440]);
    let heard = anna.call.hear(&[660], 2 * crate::support::SECOND, crate::support::SETTLE);

    let tape = bare.finish();
    assert!(tape.holds(440), "{} dB, {heard}", tape.level_db(440));
    assert!(!tape.holds(660), "{} dB", tape.level_db(660));
}

/// PCMU at an address of this family where nobody listens.
fn idle_at(target: SocketAddr) -> String {
    sdp(SocketAddr::new(target.ip(), 9), "0", "")
}

const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
