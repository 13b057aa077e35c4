//! DTLS-SRTP and ICE; SDES is tested with the rest of the negotiation.

use mixer::codec::{Codec, Format};

use super::super::tests::local;
use super::*;
use crate::sdp::{Direction, DtlsPolicy, KeySeed, Local, MediaPlan};
use crate::webrtc::{Association, Credentials, Fingerprint, Ice, Remote, Role};

/// What Chromium 14x says of audio and video in a call of a page, shortened by codecs and header extensions.
const BROWSER: &str = "v=0\r\n\
    o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0 1\r\n\
    a=extmap-allow-mixed\r\n\
    a=msid-semantic: WMS 5c1b\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=candidate:1 1 udp 2113937151 8f2b.local 53312 typ host generation 0 network-cost 999\r\n\
    a=ice-ufrag:Xk3q\r\n\
    a=ice-pwd:0123456789abcdef01234567\r\n\
    a=ice-options:trickle\r\n\
    a=fingerprint:sha-256 FINGERPRINT\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
    a=sendrecv\r\n\
    a=msid:5c1b 9f00\r\n\
    a=rtcp-mux\r\n\
    a=rtcp-rsize\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    a=rtcp-fb:111 transport-cc\r\n\
    a=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:110 telephone-event/48000\r\n\
    a=rtpmap:126 telephone-event/8000\r\n\
    a=ssrc:1184 cname:x\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:Xk3q\r\n\
    a=ice-pwd:0123456789abcdef01234567\r\n\
    a=fingerprint:sha-256 FINGERPRINT\r\n\
    a=setup:actpass\r\n\
    a=mid:1\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:96 VP8/90000\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=mid:2\r\n";

fn browser() -> String {
    let fingerprint = Fingerprint::of(b"theirs").to_string();
    BROWSER.replace("sha-256 FINGERPRINT", &fingerprint)
}

fn ours(offers: bool) -> Negotiation {
    let dtls = Some(DtlsPolicy { fingerprint: Fingerprint::of(b"ours"), offers });
    let codecs = [Codec::Opus, Codec::Pcmu, Codec::Pcma].map(Format::usual);
    Negotiation::new(Local { dtls, key_seed: KeySeed([9; 32]), ..local(&codecs) })
}

fn answer(ours: &mut Negotiation, offer: &str) -> Result<(String, MediaPlan), Refusal> {
    let (answer, plan) = ours.answer(offer.as_bytes(), Direction::SendRecv)?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), plan))
}

fn association(plan: &MediaPlan) -> &Association {
    plan.dtls.as_deref().unwrap()
}

/// Our credentials.
fn credentials(plan: &MediaPlan) -> &Credentials {
    association(plan).ice.as_ref().unwrap().ours()
}

/// Whom a full agent of ours checks.
fn remote(plan: &MediaPlan) -> &Remote {
    match association(plan).ice.as_ref().unwrap() {
        Ice::Full { theirs, .. } => theirs,
        Ice::Lite(_) => panic!("we are lite"),
    }
}

/// The values of an attribute, wherever they stand.
fn values<'a>(description: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("a={name}");
    let lines = description.lines().filter_map(|line| line.strip_prefix(&*start));
    lines.map(|rest| rest.strip_prefix(':').unwrap_or(rest)).collect()
}

#[test]
fn a_browser_is_answered_with_a_lite_agent_and_our_fingerprint() {
    let (answer, plan) = answer(&mut ours(false), &browser()).unwrap();

    let ice = credentials(&plan);
    assert!(matches!(association(&plan).ice, Some(Ice::Lite(_))));
    assert!(answer.contains("m=audio 20000 UDP/TLS/RTP/SAVPF 111 0 8 110 126\r\n"), "{answer}");
    assert!(answer.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"), "{answer}");
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"));
    for (name, value) in [
        ("group", "BUNDLE 0"),
        ("ice-lite", ""),
        ("ice-options", "ice2"),
        ("ice-ufrag", &*ice.ufrag),
        ("ice-pwd", &*ice.password),
        ("candidate", "1 1 udp 2130706431 198.51.100.1 20000 typ host"),
        ("end-of-candidates", ""),
        ("fingerprint", &*Fingerprint::of(b"ours").to_string()),
        ("setup", "passive"),
        ("rtcp-mux", ""),
        ("extmap", "1/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
        ("sendrecv", ""),
    ] {
        assert_eq!(values(&answer, name), [value], "{name} in {answer}");
    }
    assert_eq!(values(&answer, "mid"), ["0", "1", "2"]);
    assert!(!answer.contains("crypto"), "{answer}");
}

#[test]
fn a_browser_behind_nothing_but_a_name_is_not_on_hold() {
    let (_, plan) = answer(&mut ours(false), &browser()).unwrap();

    let Association { role, fingerprints, .. } = association(&plan);
    assert_eq!((*role, &**fingerprints), (Role::Server, &[Fingerprint::of(b"theirs")][..]));
    assert_eq!((plan.direction, plan.remote_holds), (Direction::SendRecv, false));
    assert_eq!((plan.remote_rtcp, &plan.srtp), (None, &None));
    let without = browser().replace("c=IN IP4 0.0.0.0\r\n", "");
    assert!(answer(&mut ours(false), &without).is_ok());
    let ipv6 = browser().replace("c=IN IP4 0.0.0.0", "c=IN IP6 2001:db8::1");
    assert!(answer(&mut ours(false), &ipv6).is_ok());
}

#[test]
fn roles_are_those_that_the_offer_leaves() {
    for (setup, role, answered) in [
        ("actpass", Role::Server, "passive"),
        ("active", Role::Server, "passive"),
        ("passive", Role::Client, "active"),
    ] {
        let offer = browser().replace("setup:actpass", &format!("setup:{setup}"));

        let (answer, plan) = answer(&mut ours(false), &offer).unwrap();

        assert_eq!((association(&plan).role, values(&answer, "setup")), (role, vec![answered]));
    }
}

#[test]
fn what_cannot_be_made_safe_is_refused_with_the_reason() {
    let without = |line: &str| browser().replace(line, "a=x:y");
    let fingerprint = format!("a=fingerprint:{}", Fingerprint::of(b"theirs"));
    for (offer, refusal) in [
        (without(&fingerprint), Refusal::NoFingerprint),
        (browser().replace("fingerprint:sha-256", "fingerprint:sha-1"), Refusal::NoFingerprint),
        (without("a=rtcp-mux"), Refusal::NoMux),
        (browser().replace("setup:actpass", "setup:holdconn"), Refusal::Setup),
    ] {
        assert_eq!(answer(&mut ours(false), &offer).unwrap_err(), refusal);
        assert_eq!((refusal.status(), refusal.warn_code()), (488, 399));
    }
    let mut off = ours(false);
    off.local.dtls = None;
    let refusal = answer(&mut off, &browser()).unwrap_err();
    assert!(matches!(refusal, Refusal::Protocol(..)) && refusal.status() == 488);
}

#[test]
fn a_phone_with_dtls_and_without_ice_is_met_at_its_address() {
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
         a=fingerprint:{}\r\na=setup:actpass\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\na=rtcp-mux\r\n",
        Fingerprint::of(b"theirs")
    );
    // Some name the profile of SDES.
    for protocol in ["UDP/TLS/RTP/SAVP", "RTP/SAVP", "RTP/SAVPF"] {
        let offer = offer.replace("UDP/TLS/RTP/SAVP", protocol);

        let (answer, plan) = answer(&mut ours(false), &offer).unwrap();

        assert!(answer.contains(&format!(" {protocol} 0\r\n")), "{answer}");
        assert!(!answer.contains("ice") && !answer.contains("candidate"), "{answer}");
        assert_eq!(association(&plan).ice, None);
        assert_eq!(plan.remote, "192.0.2.9:4000".parse().unwrap());
    }
}

#[test]
fn an_association_lasts_through_hold_and_ice_restart_and_ends_with_its_certificate() {
    let mut ours = ours(false);
    let (first, plan) = answer(&mut ours, &browser()).unwrap();
    let before = association(&plan).clone();

    let (_, held) = answer(&mut ours, &browser().replace("sendrecv", "sendonly")).unwrap();
    let restarted = browser().replace("Xk3q", "Yl4r");
    let (_, restarted) = answer(&mut ours, &restarted).unwrap();
    let thief = Fingerprint::of(b"another").to_string();
    let theirs = Fingerprint::of(b"theirs").to_string();
    let (_, renewed) = answer(&mut ours, &browser().replace(&theirs, &thief)).unwrap();

    assert_eq!(*association(&held), before);
    assert!(values(&first, "ice-ufrag").contains(&&*before.ice.clone().unwrap().ours().ufrag));
    assert_eq!(association(&restarted).number, before.number);
    assert_ne!(association(&restarted).ice, before.ice);
    assert!(matches!(association(&restarted).ice, Some(Ice::Lite(_))));
    assert_eq!(association(&renewed).number, before.number + 1);
}

#[test]
fn a_session_with_dtls_is_offered_again_as_it_stands() {
    let mut ours = ours(false);
    let (first, plan) = answer(&mut ours, &browser()).unwrap();

    let offer = ours.offer(Direction::SendOnly);
    let offer = str::from_utf8(&offer).unwrap();

    assert!(offer.contains("m=audio 20000 UDP/TLS/RTP/SAVPF "), "{offer}");
    for name in ["ice-lite", "ice-ufrag", "ice-pwd", "fingerprint", "mid", "group", "candidate"] {
        assert_eq!(values(offer, name), values(&first, name), "{name}");
    }
    assert_eq!(values(offer, "setup"), ["actpass"]);
    let again = first.replace("setup:passive", "setup:active").replace("sendrecv", "recvonly");
    let again = again
        .replace(&Fingerprint::of(b"ours").to_string(), &Fingerprint::of(b"theirs").to_string());
    let again = ours.conclude(again.as_bytes()).unwrap();
    assert_eq!(association(&again).number, association(&plan).number);
}

#[test]
fn two_of_us_offer_and_take_it() {
    let (mut near, mut far) = (ours(true), ours(false));
    far.local.dtls = Some(DtlsPolicy { fingerprint: Fingerprint::of(b"far"), offers: false });

    let offer = near.offer(Direction::SendRecv);
    let (answer, theirs) = far.answer(&offer, Direction::SendRecv).unwrap();
    let plan = near.conclude(&answer).unwrap();

    let text = str::from_utf8(&offer).unwrap();
    assert!(text.contains("a=group:BUNDLE 0\r\n") && text.contains("a=mid:0\r\n"), "{text}");
    assert_eq!(values(text, "setup"), ["actpass"]);
    assert_eq!((association(&theirs).role, association(&plan).role), (Role::Server, Role::Client));
    assert_eq!(association(&plan).fingerprints, [Fingerprint::of(b"far")]);
    assert_eq!(values(text, "ice-pwd"), [&*credentials(&plan).password]);
    let found = remote(&plan);
    assert_eq!((&found.credentials, found.is_lite), (credentials(&theirs), true));
    assert_eq!(found.candidates[0].address, "198.51.100.1:20000".parse().unwrap());
}

/// What a browser answers to our offer.
fn answered(browser: &str, setup: &str) -> String {
    let video = browser.find("m=video").unwrap();
    browser[..video].replace("setup:actpass", &format!("setup:{setup}"))
}

#[test]
fn who_is_called_is_offered_a_full_agent_and_checked_where_it_says() {
    let mut ours = ours(true);
    let live =
        "a=candidate:2 1 udp 1677729535 203.0.113.1 5000 typ srflx raddr 0.0.0.0 rport 0\r\n";
    let answer =
        answered(&browser(), "active").replace("a=ice-ufrag", &format!("{live}a=ice-ufrag"));

    let offer = ours.offer(Direction::SendRecv);
    let plan = ours.conclude(answer.as_bytes()).unwrap();

    let offer = str::from_utf8(&offer).unwrap();
    assert!(values(offer, "ice-lite").is_empty(), "{offer}");
    assert_eq!(values(offer, "ice-options"), ["ice2"]);
    assert_eq!(values(offer, "candidate"), ["1 1 udp 2130706431 198.51.100.1 20000 typ host"]);
    let remote = remote(&plan);
    assert_eq!((&*remote.credentials.ufrag, remote.is_lite), ("Xk3q", false));
    let [found] = &*remote.candidates else { panic!("{remote:?}") };
    assert_eq!(
        (found.address, found.priority),
        ("203.0.113.1:5000".parse().unwrap(), 1_677_729_535)
    );
}

#[test]
fn a_full_agent_stays_one_whoever_offers_next_and_restarts_with_them() {
    let mut ours = ours(true);
    ours.offer(Direction::SendRecv);
    let first = ours.conclude(answered(&browser(), "active").as_bytes()).unwrap();

    let offer = ours.offer(Direction::SendOnly);
    let again = ours.conclude(answered(&browser(), "active").as_bytes()).unwrap();
    let (held, plan) = answer(&mut ours, &browser().replace("sendrecv", "sendonly")).unwrap();
    let (restarted, renewed) = answer(&mut ours, &browser().replace("Xk3q", "Yl4r")).unwrap();

    assert_eq!(association(&again), association(&first));
    assert_eq!(association(&plan), association(&first));
    for description in [str::from_utf8(&offer).unwrap(), &held, &restarted] {
        assert!(values(description, "ice-lite").is_empty(), "{description}");
    }
    assert_eq!(association(&renewed).number, association(&first).number);
    assert_eq!(remote(&renewed).credentials.ufrag, "Yl4r");
    assert_ne!(credentials(&renewed), credentials(&first));
    assert_eq!(values(&restarted, "ice-ufrag"), [&*credentials(&renewed).ufrag]);
}

#[test]
fn a_called_phone_that_does_no_ice_is_met_at_its_address() {
    let mut ours = ours(true);
    ours.offer(Direction::SendRecv);
    let answer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
         m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=setup:active\r\n\
         a=fingerprint:{}\r\n",
        Fingerprint::of(b"theirs")
    );

    let plan = ours.conclude(answer.as_bytes()).unwrap();

    assert_eq!(association(&plan).ice, None);
    assert_eq!(plan.remote, "192.0.2.9:4000".parse().unwrap());
}

#[test]
fn who_is_offered_dtls_cannot_answer_in_clear() {
    let mut ours = ours(true);
    ours.offer(Direction::SendRecv);
    for protocol in ["RTP/AVP", "RTP/SAVPF", "RTP/AVPF"] {
        let answer = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
             m=audio 4000 {protocol} 0\r\n"
        );

        assert_eq!(ours.conclude(answer.as_bytes()), Err(Refusal::NotEncrypted));
    }
}

#[test]
fn dtls_meets_the_demand_for_encryption() {
    let mut ours = ours(false);
    ours.local.srtp = SrtpPolicy::Require;

    assert!(answer(&mut ours, &browser()).is_ok());
}

#[test]
fn passwords_stay_out_of_logs() {
    let mut ours = ours(false);
    let (_, plan) = answer(&mut ours, &browser()).unwrap();
    let session = Session::parse(browser().as_bytes()).unwrap();

    let printed = format!("{ours:?} {plan:?} {session:?}");

    assert!(!printed.contains("0123456789abcdef01234567"), "{printed}");
    assert!(!printed.contains(&credentials(&plan).password), "{printed}");
}
