//! Attended transfers through the whole bridge in virtual time.

use api::control::{Command as Ask, ControlError};
use api::model::{Hold, LegState, Transfer, TransferMode};
use serde_json::Value;

use super::*;
use crate::bridge::Settings;
use crate::bridge::scene::{SDP, Scene, Talk, header, response};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Command, MixKey};

fn scene() -> Scene {
    Scene::new(bridge_settings(&Config::default(), 1))
}

/// A Refer-To that names this dialog as its far end, which is we, sees it.
fn refer_to(talk: &Talk) -> String {
    let named = talk.named().replace(';', "%3B").replace('=', "%3D").replace('@', "%40");
    format!("Refer-To: <sip:us@10.0.0.254?Replaces={named}>\r\n")
}

/// The body of the last NOTIFY since the last input.
fn reported(scene: &Scene) -> Option<&str> {
    let notify = scene.sent.iter().rfind(|sent| sent.starts_with("NOTIFY "))?;
    notify.split_once("\r\n\r\n").map(|(_, body)| body.trim_end())
}

/// The mix that each leg was last seated in.
fn seats(scene: &Scene) -> Vec<MixKey> {
    let seat = |told: &Command| {
        if let Command::Join { mix, .. } = told { Some(*mix) } else { None }
    };
    scene.told.iter().filter_map(seat).collect()
}

fn transfer(scene: &mut Scene, leg: LegId, body: Transfer) -> Result<(), ControlError> {
    scene.ask(|reply| Ask::Transfer { leg, body, reply }).map(drop)
}

fn with(leg: LegId) -> Transfer {
    Transfer { leg: Some(leg), ..Transfer::default() }
}

fn failure(scene: &Scene) -> Value {
    scene.told("leg.transfer_failed")["reason"].clone()
}

#[test]
fn two_calls_of_a_phone_become_one_of_its_parties() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let [aside, carl] = scene.connected(["aside", "carl"]);

    scene.within(&anna, ("REFER", 1), &refer_to(&aside));

    assert!(scene.has_sent("SIP/2.0 202"), "{:?}", scene.sent);
    assert_eq!(reported(&scene), Some("SIP/2.0 200 OK"));
    let expected =
        ["leg.transfer_requested", "call.updated", "leg.ended", "leg.transfer_completed"];
    assert_eq!(scene.names(), expected);
    assert_eq!(seats(&scene).len(), 1, "only Bert moves");
    assert_eq!(scene.leg(bert.leg).call, scene.leg(carl.leg).call);
    assert!(!scene.has_sent("INVITE"), "nobody is called");
    assert_eq!(scene.leg(aside.leg).end_reason, Some(LeftReason::Transferred));
    scene.within(&anna, ("BYE", 2), "");
    let left = scene.told("call.ended");
    assert_eq!(left["end_reason"], "hung_up", "the call that Anna was left alone in: {left}");
    for party in [&bert, &carl] {
        assert_eq!(scene.leg(party.leg).state, LegState::Answered);
    }
    scene.within(&carl, ("BYE", 1), "");
    assert_eq!(scene.leg(bert.leg).end_reason, Some(LeftReason::PeerLeft));
}

#[test]
fn a_transferor_that_stays_is_hung_up() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let [aside, _] = scene.connected(["aside", "carl"]);
    scene.within(&anna, ("REFER", 1), &refer_to(&aside));

    scene.wait(TRANSFEROR_LINGERS);

    let is_annas = |sent: &&String| sent.contains(&format!("Call-ID: {}\r\n", anna.call_id));
    let bye = scene.sent.iter().filter(|sent| sent.starts_with("BYE ")).find(is_annas).unwrap();
    assert_eq!(header(bye, "Reason"), "SIP;cause=200;text=\"Transferred\"");
    assert_eq!(scene.leg(bert.leg).state, LegState::Answered);
}

#[test]
fn a_call_and_a_room_put_the_far_party_into_the_room_either_way() {
    for first_is_call in [true, false] {
        let mut scene = scene();
        let [anna, bert] = scene.connected(["anna", "bert"]);
        let aside = scene.joined("standup");
        let (by, other) = if first_is_call { (&anna, &aside) } else { (&aside, &anna) };

        scene.within(by, ("REFER", 2), &refer_to(other));

        assert_eq!(reported(&scene), Some("SIP/2.0 200 OK"));
        let moved = scene.told("participant.moved");
        assert_eq!(moved["leg"], serde_json::json!(bert.leg), "{moved}");
        assert!(scene.leg(bert.leg).room.is_some());
        scene.wait(TRANSFEROR_LINGERS);
        assert_eq!(scene.leg(by.leg).state, LegState::Ended);
        assert_eq!(scene.leg(bert.leg).state, LegState::Answered);
    }
}

#[test]
fn refer_sub_false_is_answered_so_and_nothing_is_reported() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let [aside, carl] = scene.connected(["aside", "carl"]);
    let headers = format!("{}Refer-Sub: false\r\nRequire: norefersub\r\n", refer_to(&aside));

    scene.within(&anna, ("REFER", 1), &headers);

    assert_eq!(header(scene.sent("SIP/2.0 202"), "Refer-Sub"), "false");
    assert!(!scene.has_sent("NOTIFY"), "{:?}", scene.sent);
    assert_eq!(scene.leg(bert.leg).call, scene.leg(carl.leg).call);
}

#[test]
fn the_dialog_of_others_is_replaced_by_calling_its_holder() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let headers = "Refer-To: <sip:carl@10.0.0.1?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2\
                   &Require=replaces&Route=%3Csip:evil%3E>\r\nReferred-By: <sip:anna@10.0.0.1>\r\n";

    scene.within(&anna, ("REFER", 1), headers);

    let invite = scene.sent("INVITE sip:carl@10.0.0.1 SIP/2.0").to_owned();
    assert_eq!(header(&invite, "Replaces"), "a@b;to-tag=1;from-tag=2");
    assert_eq!(header(&invite, "Require"), "replaces");
    assert_eq!(header(&invite, "Referred-By"), "<sip:anna@10.0.0.1>");
    assert_eq!(header(&invite, "To"), "<sip:carl@10.0.0.1>");
    assert!(!invite.contains("Route"), "{invite}");
    scene.say(response(&invite, (180, "carl"), ""));
    assert_eq!(reported(&scene), Some("SIP/2.0 180 Ringing"));
    scene.say(response(&invite, (200, "carl"), SDP));
    assert_eq!(reported(&scene), Some("SIP/2.0 200 OK"));
    scene.wait(TRANSFEROR_LINGERS);
    assert_eq!(scene.leg(anna.leg).end_reason, Some(LeftReason::Transferred));
    assert_eq!(scene.leg(bert.leg).state, LegState::Answered);
}

#[test]
fn a_target_that_refuses_leaves_everybody_the_call_and_the_hold_they_had() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    scene
        .ask(|reply| Ask::HoldLeg { leg: anna.leg, held: true, body: Hold::default(), reply })
        .unwrap();
    let reinvite = scene.sent("INVITE ").to_owned();
    scene.say(response(&reinvite, (200, "anna"), &SDP.replace("t=0 0", "t=0 0\r\na=recvonly")));
    let before = (scene.leg(anna.leg), scene.leg(bert.leg));
    let headers = "Refer-To: <sip:carl@10.0.0.1?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n";

    scene.within(&anna, ("REFER", 1), headers);
    let invite = scene.sent("INVITE sip:carl@").to_owned();
    scene.say(response(&invite, (486, "carl"), ""));

    assert_eq!(reported(&scene), Some("SIP/2.0 486 Said"));
    assert_eq!(failure(&scene), "target_failed");
    assert!(scene.told.iter().all(|told| matches!(told, Command::Close { .. })));
    scene.wait(TRANSFEROR_LINGERS);
    let after = (scene.leg(anna.leg), scene.leg(bert.leg));
    assert_eq!(after.0.held_by, before.0.held_by);
    assert_eq!((after.0.state, after.1), (LegState::Answered, before.1));
}

#[test]
fn what_cannot_be_connected_is_refused_and_says_why() {
    let mut scene = scene();
    let (anna, aside) = (scene.joined("standup"), scene.joined("other"));
    let beside = scene.joined("standup");
    let gone = scene.joined("standup");
    scene.within(&gone, ("BYE", 2), "");
    let bad = "Refer-To: <sip:x@10.0.0.1?Replaces=nothing>\r\n".to_owned();
    let early = refer_to(&aside).replace('>', "%3Bearly-only>");
    let cases = [
        (refer_to(&aside), "403", "two_rooms"),
        (refer_to(&beside), "403", "same_place"),
        (refer_to(&gone), "603", "no_dialog"),
        (early, "486", "no_dialog"),
        (bad, "400", "bad_target"),
        ("Refer-To: <tel:110>\r\n".to_owned(), "416", "bad_target"),
    ];

    for (number, (headers, status, reason)) in (2..).zip(cases) {
        scene.within(&anna, ("REFER", number), &headers);

        let start = format!("SIP/2.0 {status}");
        assert!(scene.has_sent(&start), "{headers} {:?}", scene.sent);
        assert_eq!(failure(&scene), reason, "{headers}");
    }
    for leg in [&anna, &aside, &beside] {
        assert_eq!(scene.leg(leg.leg).state, LegState::Answered);
    }
}

#[test]
fn a_call_with_nobody_else_in_it_cannot_be_transferred() {
    let mut scene = scene();
    let [anna, _] = scene.connected(["anna", "bert"]);
    let [aside, _] = scene.connected(["aside", "carl"]);
    scene.within(&anna, ("REFER", 1), &refer_to(&aside));

    scene.within(&anna, ("REFER", 2), &refer_to(&aside));

    assert!(scene.has_sent("SIP/2.0 603"), "the other dialog has ended: {:?}", scene.sent);
    scene.wait(TRANSFEROR_LINGERS);
    assert_eq!(scene.leg(anna.leg).state, LegState::Ended, "it goes all the same");
}

#[test]
fn a_refer_outside_of_any_dialog_that_is_to_no_room_must_name_one_of_ours() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let refer = |number: u32, headers: &str| {
        format!(
            "REFER sip:standup@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKr{number}\r\n\
             From: <sip:phone@10.0.0.1>;tag=r\r\nTo: <sip:standup@10.0.0.254>\r\n\
             Call-ID: r{number}\r\nCSeq: {number} REFER\r\nMax-Forwards: 70\r\n\
             Contact: <sip:phone@10.0.0.1>\r\nRefer-To: <sip:carl@10.0.0.1>\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        )
    };
    let Talk { call_id, ours, theirs, .. } = &anna;

    scene.say(refer(1, "").replace("standup", "nobody"));
    assert!(scene.has_sent("SIP/2.0 403"), "{:?}", scene.sent);
    scene.say(refer(2, &format!("Target-Dialog: {call_id};local-tag=x;remote-tag={theirs}\r\n")));
    assert!(scene.has_sent("SIP/2.0 403"), "{:?}", scene.sent);
    let named = format!("Target-Dialog: {call_id};local-tag={ours};remote-tag={theirs}\r\n");
    scene.say(refer(3, &format!("{named}Require: tdialog\r\n")));

    assert!(scene.has_sent("SIP/2.0 202"), "{:?}", scene.sent);
    assert!(scene.has_sent("INVITE sip:carl@10.0.0.1"), "{:?}", scene.sent);
    assert_eq!(scene.told("leg.transfer_requested")["id"], serde_json::json!(anna.leg));
}

#[test]
fn a_stranger_who_names_a_dialog_is_asked_for_its_password() {
    let config = bridge_settings(&Config::default(), 1);
    let access = crate::bridge::AccessSettings {
        users: [("alice".to_owned(), "secret".to_owned())].into(),
        open_to: vec!["10.0.0.0/8".parse().unwrap()],
        ..config.access
    };
    let mut scene = Scene::new(Settings { access, ..config });
    let Talk { call_id, ours, theirs, .. } = scene.joined("standup");
    scene.peer = "192.0.2.9:5060".parse().unwrap();

    scene.say(format!(
        "REFER sip:standup@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKr\r\n\
         From: <sip:x@192.0.2.9>;tag=r\r\nTo: <sip:standup@10.0.0.254>\r\nCall-ID: r\r\n\
         CSeq: 1 REFER\r\nMax-Forwards: 70\r\nContact: <sip:x@192.0.2.9>\r\n\
         Target-Dialog: {call_id};local-tag={ours};remote-tag={theirs}\r\n\
         Refer-To: <sip:carl@10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    ));

    let refused = scene.sent("SIP/2.0 401");
    assert!(header(refused, "WWW-Authenticate").starts_with("Digest "), "{refused}");
}

#[test]
fn the_api_connects_the_others_of_two_legs() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let [aside, carl] = scene.connected(["aside", "carl"]);

    transfer(&mut scene, anna.leg, with(aside.leg)).unwrap();

    let names = scene.names();
    for name in ["leg.transfer_requested", "call.updated", "leg.transfer_completed"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!(scene.sent.iter().filter(|sent| sent.starts_with("BYE ")).count(), 2);
    assert_eq!(scene.told("call.ended")["end_reason"], "transferred");
    assert_eq!(scene.leg(bert.leg).call, scene.leg(carl.leg).call);
    for gone in [&anna, &aside] {
        assert_eq!(scene.leg(gone.leg).end_reason, Some(LeftReason::Transferred));
    }
}

#[test]
fn the_api_sends_one_phone_to_the_other_in_our_place() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let body = Transfer { mode: Some(TransferMode::Refer), ..with(bert.leg) };

    transfer(&mut scene, anna.leg, body.clone()).unwrap();

    let refer = scene.sent("REFER ").to_owned();
    let Talk { call_id, ours, .. } = &bert;
    let named = format!("{call_id}%3Bto-tag%3Dbert%3Bfrom-tag%3D{ours}");
    assert_eq!(header(&refer, "Call-ID"), anna.call_id);
    assert_eq!(header(&refer, "Refer-To"), format!("<sip:phone@10.0.0.1?Replaces={named}>"));
    assert!(header(&refer, "Referred-By").starts_with("<sip:"), "{refer}");
    let again = transfer(&mut scene, bert.leg, body);
    assert!(matches!(again, Err(ControlError::Invalid { .. })), "{again:?}");
    let again = transfer(&mut scene, bert.leg, with(anna.leg));
    assert!(matches!(again, Err(ControlError::Conflict { code: "transfer_pending", .. })));
    scene.say(response(&refer, (202, "anna"), ""));
    scene.within(&anna, ("NOTIFY", 1), "Event: refer\r\nSubscription-State: terminated\r\n");
    assert_eq!(failure(&scene), "target_failed", "it did not say how it ended");
    for leg in [&anna, &bert] {
        assert_eq!(scene.leg(leg.leg).state, LegState::Answered);
    }
}

#[test]
fn two_phones_that_talk_without_us_leave_us() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let body = Transfer { mode: Some(TransferMode::Refer), ..with(bert.leg) };
    transfer(&mut scene, anna.leg, body).unwrap();
    let refer = scene.sent("REFER ").to_owned();
    scene.say(response(&refer, (202, "anna"), ""));
    let (fragment, Talk { call_id, ours, theirs, .. }) = ("SIP/2.0 200 OK\r\n", &anna);

    scene.say(format!(
        "NOTIFY sip:us@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKn\r\n\
         From: <sip:anna@10.0.0.1>;tag={theirs}\r\nTo: <sip:us@10.0.0.254>;tag={ours}\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 NOTIFY\r\nMax-Forwards: 70\r\nContact: <sip:anna@10.0.0.1>\r\n\
         Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n\
         Content-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{fragment}",
        fragment.len()
    ));

    assert!(scene.names().contains(&"leg.transfer_completed"), "{:?}", scene.names());
    assert_eq!(scene.leg(anna.leg).end_reason, Some(LeftReason::Transferred));
    scene.wait(TRANSFEROR_LINGERS);
    assert_eq!(scene.leg(bert.leg).state, LegState::Ended);
}

/// Anna's phone was asked to call Bert's in our place, and has accepted.
fn on_its_way(scene: &mut Scene) -> ([Talk; 2], String) {
    let [anna, bert] = scene.connected(["anna", "bert"]);
    let body = Transfer { mode: Some(TransferMode::Refer), ..with(bert.leg) };
    transfer(scene, anna.leg, body).unwrap();
    let refer = scene.sent("REFER ").to_owned();
    scene.say(response(&refer, (202, "anna"), ""));
    ([anna, bert], refer)
}

#[test]
fn a_target_that_takes_the_call_before_the_outcome_is_told_ends_nothing() {
    let mut scene = scene();
    let ([anna, bert], _) = on_its_way(&mut scene);

    scene.within(&bert, ("BYE", 1), "");

    assert_eq!(scene.names(), ["leg.ended"], "Anna's phone is heard out");
    scene.wait(Duration::from_mins(1));
    assert_eq!(failure(&scene), "no_news");
    assert_eq!(scene.leg(anna.leg).end_reason, Some(LeftReason::PeerLeft), "nobody is left");
}

#[test]
fn a_phone_that_hangs_up_to_call_the_target_still_finds_it() {
    let mut scene = scene();
    let ([anna, bert], _) = on_its_way(&mut scene);

    scene.within(&anna, ("BYE", 1), "");

    assert!(scene.names().contains(&"leg.transfer_completed"), "{:?}", scene.names());
    assert_eq!(scene.leg(bert.leg).state, LegState::Answered, "its dialog is to be replaced");
    scene.wait(TARGET_WAITS);
    assert_eq!(scene.leg(bert.leg).end_reason, Some(LeftReason::Transferred));
}

#[test]
fn the_api_says_what_it_cannot_connect() {
    let mut scene = scene();
    let (anna, aside) = (scene.joined("standup"), scene.joined("other"));
    let beside = scene.joined("standup");
    let code = |error| match error {
        Err(ControlError::Conflict { code, .. }) => code,
        Err(ControlError::Invalid { .. }) => "invalid",
        other => panic!("{other:?}"),
    };

    assert_eq!(code(transfer(&mut scene, anna.leg, with(aside.leg))), "two_rooms");
    assert_eq!(code(transfer(&mut scene, anna.leg, with(beside.leg))), "same_place");
    assert_eq!(code(transfer(&mut scene, anna.leg, with(anna.leg))), "invalid");
    let body =
        Transfer { room: Some("x".into()), mode: Some(TransferMode::Connect), leg: None, to: None };
    assert_eq!(code(transfer(&mut scene, anna.leg, body)), "invalid");
    let to_nobody = with(LegId::new(1, 2));
    assert_eq!(code(transfer(&mut scene, anna.leg, to_nobody)), "invalid");
}
