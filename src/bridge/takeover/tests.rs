//! Calls that name a dialog of ours, through the whole bridge in virtual time.

use std::time::Duration;

use api::control::{Command as Ask, ControlError, IfMatch};
use api::model::{
    HeldBy, Hold, Invite, LegState, Participant, ParticipantQuery, Role, UpdateParticipant,
    UpdateRoom,
};

use super::*;
use crate::bridge::Settings;
use crate::bridge::scene::{Scene, Talk, response};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::Command;

fn scene() -> Scene {
    Scene::new(settings())
}

fn settings() -> Settings {
    bridge_settings(&Config::default(), 1)
}

/// The answer to a call of which only this header matters.
fn take(scene: &mut Scene, header: &str) -> String {
    scene.headers = format!("{header}\r\n");
    let answer = scene.call("elsewhere");
    scene.headers.clear();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn roster(scene: &mut Scene, room: &str) -> Vec<Participant> {
    let (room, query) = (room.to_owned(), ParticipantQuery::default());
    let page = scene.ask(|reply| Ask::ListParticipants { room, query, reply });
    page.map_or_else(|_| Vec::new(), |page| page.items)
}

fn update(scene: &mut Scene, leg: LegId, body: UpdateParticipant) -> Participant {
    let room = "standup".to_owned();
    scene
        .ask(|reply| Ask::UpdateParticipant {
            room,
            leg,
            body,
            condition: IfMatch::default(),
            reply,
        })
        .unwrap()
}

#[test]
fn a_call_with_replaces_takes_the_seat_and_nobody_misses_a_word() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let body = UpdateParticipant {
        role: Some(Role::Moderator),
        display_name: Some("Chair".into()),
        gain_in_db: Some(-3.0),
        muted: Some(true),
        deaf: Some(true),
        group: Some("a".into()),
        ..UpdateParticipant::default()
    };
    let before = update(&mut scene, anna.leg, body);

    take(&mut scene, &format!("Replaces: {}\r\nRequire: replaces", anna.named()));

    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
    let expected =
        ["leg.answered", "participant.joined", "leg.replaced", "participant.left", "leg.ended"];
    assert_eq!(scene.names(), expected);
    let by = scene.told("leg.replaced")["by"].clone();
    assert_eq!(scene.told("leg.ended")["end_reason"], "replaced");
    let bye = scene.sent("BYE ");
    assert!(bye.contains(&format!("Call-ID: {}", anna.call_id)), "{bye}");
    assert!(bye.contains("Reason: SIP;cause=200;text=\"Replaced by another call\""), "{bye}");
    let joins = scene.told.iter().position(|told| matches!(told, Command::Join { .. }));
    let closes = scene.told.iter().position(|told| matches!(told, Command::Close { .. }));
    assert!(joins.unwrap() < closes.unwrap(), "{:?}", scene.told);
    let [after] = <[Participant; 1]>::try_from(roster(&mut scene, "standup")).unwrap();
    assert_eq!(serde_json::json!(after.leg), by);
    let kept = Participant {
        leg: after.leg,
        revision: after.revision,
        joined_at: after.joined_at,
        uri: after.uri.clone(),
        ..before
    };
    assert_eq!(after, kept, "all else goes with the seat");
}

#[test]
fn a_held_seat_stays_held() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    scene
        .ask(|reply| Ask::HoldLeg { leg: anna.leg, held: true, body: Hold::default(), reply })
        .unwrap();

    let answer = take(&mut scene, &format!("Replaces: {}", anna.named()));

    let ok = scene.sent("SIP/2.0 200").to_owned();
    assert!(ok.contains("a=sendonly"), "{answer}");
    assert_eq!(roster(&mut scene, "standup")[0].held_by, Some(HeldBy::Local));
}

#[test]
fn who_comes_in_has_its_own_name_unless_the_api_gave_one() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    scene.headers = format!("Replaces: {}\r\n", anna.named());
    let body = crate::bridge::scene::SDP;
    let length = body.len();
    let headers = scene.headers.clone();

    scene.say(format!(
        "INVITE sip:x@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKz\r\n\
         From: \"Bert\" <sip:bert@10.0.0.1>;tag=b\r\nTo: <sip:x@10.0.0.254>\r\nCall-ID: z\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:bert@10.0.0.1>\r\n{headers}\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    ));

    assert_eq!(roster(&mut scene, "standup")[0].display_name.as_deref(), Some("Bert"));
}

#[test]
fn a_dialog_that_is_not_there_is_481_and_one_that_was_is_603() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let bert = scene.joined("standup");
    scene.within(&bert, ("BYE", 2), "");
    let stranger = Talk { ours: "1".into(), ..anna.clone() };

    for header in ["Replaces", "Join"] {
        assert_eq!(status(&take(&mut scene, &format!("{header}: {}", stranger.named()))), "481");
        assert_eq!(scene.told("room.join_rejected")["reason"], "no_dialog");
        assert_eq!(status(&take(&mut scene, &format!("{header}: {}", bert.named()))), "603");
    }

    assert_eq!(scene.leg(anna.leg).state, LegState::Answered);
    assert!(roster(&mut scene, "elsewhere").is_empty(), "no other room was made");
}

#[test]
fn early_only_spares_a_call_that_stands() {
    let mut scene = scene();
    let anna = scene.joined("standup");

    let answer = take(&mut scene, &format!("Replaces: {};early-only", anna.named()));

    assert_eq!(status(&answer), "486");
    assert_eq!(scene.leg(anna.leg).state, LegState::Answered);
}

#[test]
fn two_dialogs_at_once_are_a_bad_request() {
    let mut scene = scene();
    let (anna, bert) = (scene.joined("standup"), scene.joined("standup"));

    for headers in [
        format!("Replaces: {}\r\nReplaces: {}", anna.named(), bert.named()),
        format!("Replaces: {}, {}", anna.named(), bert.named()),
        format!("Replaces: {}\r\nJoin: {}", anna.named(), bert.named()),
        "Replaces: x;to-tag=1".to_owned(),
        "Join: ;to-tag=1;from-tag=2".to_owned(),
    ] {
        assert_eq!(status(&take(&mut scene, &headers)), "400", "{headers}");
    }
    scene.within(&anna, ("INFO", 2), &format!("Replaces: {}\r\n", bert.named()));
    assert_eq!(status(scene.sent("SIP/2.0")), "400", "not an INVITE");
    assert_eq!(roster(&mut scene, "standup").len(), 2);
}

#[test]
fn a_call_whose_audio_fits_not_is_refused_and_the_seat_kept() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let body = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 3\r\n";
    let (length, named) = (body.len(), anna.named());

    scene.say(format!(
        "INVITE sip:x@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKz\r\n\
         From: <sip:bert@10.0.0.1>;tag=b\r\nTo: <sip:x@10.0.0.254>\r\nCall-ID: z\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:bert@10.0.0.1>\r\nReplaces: {named}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    ));

    assert!(scene.has_sent("SIP/2.0 488"), "{:?}", scene.sent);
    assert!(!scene.has_sent("BYE"));
    assert_eq!(scene.leg(anna.leg).state, LegState::Answered);
    assert_eq!(roster(&mut scene, "standup").len(), 1);
}

#[test]
fn a_locked_and_full_room_lets_in_who_replaces_and_nobody_who_joins() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let room = || "standup".to_owned();
    let body = UpdateRoom { max_participants: Some(1), ..UpdateRoom::default() };
    scene
        .ask(|reply| Ask::UpdateRoom { room: room(), body, condition: IfMatch::default(), reply })
        .unwrap();

    let full = take(&mut scene, &format!("Join: {}", anna.named()));
    scene
        .ask(|reply| Ask::LockRoom {
            room: room(),
            locked: true,
            condition: IfMatch::default(),
            reply,
        })
        .unwrap();
    let locked = take(&mut scene, &format!("Join: {}", anna.named()));
    take(&mut scene, &format!("Replaces: {}", anna.named()));

    assert_eq!((status(&full), status(&locked)), ("486", "403"));
    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
    assert_eq!(roster(&mut scene, "standup").len(), 1);
}

#[test]
fn where_it_is_switched_off_nobody_takes_over() {
    let mut scene = Scene::new(Settings { takeover: false, ..settings() });
    let anna = scene.joined("standup");

    assert_eq!(status(&take(&mut scene, &format!("Replaces: {}", anna.named()))), "403");
    assert_eq!(status(&take(&mut scene, &format!("Join: {}", anna.named()))), "403");
}

#[test]
fn join_comes_into_the_room_of_the_dialog() {
    let mut scene = scene();
    let anna = scene.joined("standup");

    take(&mut scene, &format!("Join: {}\r\nRequire: join", anna.named()));

    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
    assert_eq!(scene.names(), ["leg.answered", "participant.joined"]);
    assert_eq!(roster(&mut scene, "standup").len(), 2);
}

#[test]
fn join_makes_a_call_of_two_one_of_three() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);

    take(&mut scene, &format!("Join: {}", bert.named()));

    assert_eq!(scene.names(), ["leg.answered", "call.updated"]);
    assert_eq!(scene.told("call.updated")["legs"].as_array().unwrap().len(), 3);
    let call = scene.leg(anna.leg).call;
    scene.within(&anna, ("BYE", 1), "");
    assert!(!scene.names().contains(&"call.ended"), "two are left");
    assert_eq!(scene.leg(bert.leg).call, call);
    scene.within(&bert, ("BYE", 1), "");
    assert!(scene.names().contains(&"call.ended"));
}

#[test]
fn a_party_of_a_call_is_replaced_and_the_other_never_left() {
    let mut scene = scene();
    let [anna, bert] = scene.connected(["anna", "bert"]);

    take(&mut scene, &format!("Replaces: {}", anna.named()));

    assert_eq!(scene.names(), ["leg.answered", "leg.replaced", "leg.ended", "call.updated"]);
    assert_eq!(scene.leg(bert.leg).state, LegState::Answered);
    scene.within(&bert, ("BYE", 1), "");
    assert!(scene.names().contains(&"call.ended"), "{:?}", scene.names());
    let ended = scene.names().iter().filter(|name| **name == "leg.ended").count();
    assert_eq!(ended, 2, "who came in is hung up with it");
}

#[test]
fn a_call_that_rings_is_picked_up_elsewhere() {
    let mut scene = scene();
    let body: Invite = serde_json::from_str(r#"{"to": "sip:anna@10.0.0.1"}"#).unwrap();
    scene.ask(|reply| Ask::Invite { room: "hall".into(), body, reply }).unwrap();
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (180, "anna"), ""));
    let ours = crate::bridge::scene::header(&invite, "From").split(";tag=").nth(1).unwrap();
    let call_id = crate::bridge::scene::header(&invite, "Call-ID");

    let named = format!("{call_id};to-tag={ours};from-tag=anna;early-only");
    take(&mut scene, &format!("Replaces: {named}"));

    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
    assert!(scene.has_sent("CANCEL "), "{:?}", scene.sent);
    assert!(scene.names().contains(&"leg.replaced"));
    assert_eq!(roster(&mut scene, "hall").len(), 1);
}

#[test]
fn picking_up_the_second_party_connects_the_call() {
    let mut scene = scene();
    let to = |user: &str| api::model::CallParty {
        to: format!("sip:{user}@10.0.0.1"),
        from: None,
        trunk: None,
    };
    let body = api::model::CreateCall { legs: vec![to("anna"), to("bert")], timeout_s: None };
    scene.ask(|reply| Ask::CreateCall { body, reply }).unwrap();
    scene.answered("anna");
    let invite = scene.sent("INVITE sip:bert@").to_owned();
    scene.say(response(&invite, (180, "bert"), ""));
    let ours = crate::bridge::scene::header(&invite, "From").split(";tag=").nth(1).unwrap();
    let call_id = crate::bridge::scene::header(&invite, "Call-ID");

    take(&mut scene, &format!("Replaces: {call_id};to-tag={ours};from-tag=bert"));

    assert!(scene.names().contains(&"call.connected"), "{:?}", scene.names());
}

#[test]
fn a_users_dialog_is_for_that_user_and_for_whom_it_referred() {
    let access = crate::bridge::AccessSettings {
        users: [("alice".to_owned(), "secret".to_owned())].into(),
        ..settings().access
    };
    let mut scene = Scene::new(Settings { access, ..settings() });
    let anna = scene.joined("standup");
    let owner = |scene: &mut Scene| scene.bridge_leg(anna.leg).user = Some("alice".into());
    owner(&mut scene);
    let named = anna.named();

    let stranger = take(&mut scene, &format!("Replaces: {named}"));
    let by_another = "Referred-By: <sip:phone@10.0.0.7>";
    let lie = take(&mut scene, &format!("Replaces: {named}\r\n{by_another}"));
    let by_owner = "Referred-By: \"A\" <sip:phone@10.0.0.1:5070>";
    take(&mut scene, &format!("Replaces: {named}\r\n{by_owner}"));

    assert_eq!((status(&stranger), status(&lie)), ("403", "403"));
    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
}

#[test]
fn only_one_call_at_a_time_takes_a_seat() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let named = anna.named();
    let late = |call: &str| {
        format!(
            "INVITE sip:x@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{call}\r\n\
             From: <sip:bert@10.0.0.1>;tag=b\r\nTo: <sip:x@10.0.0.254>\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:bert@10.0.0.1>\r\n\
             Replaces: {named}\r\nContent-Length: 0\r\n\r\n"
        )
    };

    scene.say(late("one"));
    assert!(scene.has_sent("SIP/2.0 200"), "with our offer");
    scene.say(late("two"));
    assert!(scene.has_sent("SIP/2.0 491"), "{:?}", scene.sent);
    // Whoever never acknowledges takes nothing.
    for _ in 0..100 {
        scene.wait(Duration::from_secs(1));
    }

    assert_eq!(scene.leg(anna.leg).state, LegState::Answered);
    take(&mut scene, &format!("Replaces: {named}"));
    assert!(scene.has_sent("SIP/2.0 200"), "{:?}", scene.sent);
}

#[test]
fn a_leg_that_is_gone_is_a_conflict_over_the_api() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    take(&mut scene, &format!("Replaces: {}", anna.named()));

    let held =
        scene.ask(|reply| Ask::HoldLeg { leg: anna.leg, held: true, body: Hold::default(), reply });

    assert!(matches!(held, Err(ControlError::Conflict { code: "leg_ended", .. })), "{held:?}");
}
