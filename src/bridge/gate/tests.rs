//! PINs, moderators and waiting rooms in virtual time.

use std::time::Duration;

use api::control::{Command as Ask, ControlError, IfMatch};
use api::model::{
    CreateRoom, LeftReason, LegId, MutedBy, Participant, ParticipantQuery, ParticipantState, Role,
    RoomSettings, UpdateParticipant, UpdateRoom, WaitingFor,
};

use super::*;
use crate::bridge::Input;
use crate::bridge::scene::{Scene, Talk};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Audience, Event, MediaKey, PlayId};

fn scene(settings: RoomSettings) -> Scene {
    let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
    let body = CreateRoom { name: Some("board".to_owned()), settings, ..CreateRoom::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    scene
}

fn with_pins() -> RoomSettings {
    RoomSettings {
        pin: Some("1234".to_owned()),
        moderator_pin: Some("987654".to_owned()),
        ..RoomSettings::default()
    }
}

fn media_of(scene: &mut Scene, leg: LegId) -> MediaKey {
    scene.bridge_leg(leg).media
}

/// The keys that a phone presses; gives the names of what happened.
fn press(scene: &mut Scene, leg: LegId, keys: &str) -> Vec<&'static str> {
    let media = media_of(scene, leg);
    let mut all = Vec::new();
    for digit in keys.chars() {
        let duration = Duration::from_millis(100);
        scene.input(Input::Media(Event::Digit { leg: media, digit, duration }));
        all.extend(scene.names());
    }
    all
}

fn participant(scene: &mut Scene, leg: LegId) -> Result<Participant, ControlError> {
    let room = "board".to_owned();
    scene.ask(|reply| Ask::Participant { room, leg, reply })
}

/// The mix that a leg was told to join last since the last input.
fn mix_of(scene: &mut Scene, leg: LegId) -> Option<MixKey> {
    let media = media_of(scene, leg);
    scene.told.iter().rev().find_map(|command| {
        let Command::Join { leg, mix, .. } = command else { return None };
        (*leg == media).then_some(*mix)
    })
}

fn room_mix(scene: &mut Scene) -> (MixKey, MixKey) {
    let room = scene.bridge().rooms.values().next().unwrap();
    (room.mix, room.lobby)
}

/// What is being played, and to whom, since the last input.
fn begun(scene: &Scene) -> Vec<(Audience, PlayId)> {
    let begun = scene.told.iter().filter_map(|command| {
        let Command::Play { to, id, .. } = command else { return None };
        Some((*to, *id))
    });
    begun.collect()
}

fn over(scene: &mut Scene, id: PlayId) {
    scene.input(Input::Media(Event::Played { id, cut: false }));
}

fn moderator(scene: &mut Scene) -> Talk {
    let talk = scene.joined("board");
    press(scene, talk.leg, "987654");
    talk
}

#[test]
fn who_enters_the_pin_comes_in_and_nobody_is_told_of_the_digits() {
    let mut scene = scene(with_pins());
    let talk = scene.joined("board");
    assert!(participant(&mut scene, talk.leg).is_err(), "nobody is told before");

    let happened = press(&mut scene, talk.leg, "1234");

    assert_eq!(happened, ["playback.ended", "participant.joined"]);
    let (room, _) = room_mix(&mut scene);
    assert_eq!(mix_of(&mut scene, talk.leg), Some(room));
    assert_eq!(participant(&mut scene, talk.leg).unwrap().role, Role::Speaker);
    assert!(scene.bridge_leg(talk.leg).joined_at.is_some());
    press(&mut scene, talk.leg, "5");
    assert_eq!(scene.names(), ["participant.dtmf"]);
}

#[test]
fn another_pin_makes_a_moderator() {
    let mut scene = scene(with_pins());

    let talk = moderator(&mut scene);

    assert_eq!(participant(&mut scene, talk.leg).unwrap().role, Role::Moderator);
}

#[test]
fn who_guesses_too_often_is_told_and_hung_up() {
    let mut scene = scene(RoomSettings { pin_attempts: Some(2), ..with_pins() });
    let talk = scene.joined("board");

    press(&mut scene, talk.leg, "1111#");
    assert!(scene.bridge().legs.contains_key(&talk.leg));
    press(&mut scene, talk.leg, "2222#");
    let (_, last) = *begun(&scene).last().unwrap();
    press(&mut scene, talk.leg, "1234");
    assert!(scene.bridge().legs.contains_key(&talk.leg));
    over(&mut scene, last);

    assert!(scene.has_sent("BYE "), "{:?}", scene.sent);
    assert_eq!(scene.told("room.join_rejected")["reason"], "pin_refused");
    assert_eq!(scene.bridge().counters.pins_refused, 1);
}

#[test]
fn who_says_nothing_is_asked_again_and_then_hung_up() {
    let mut scene = scene(RoomSettings { pin_attempts: Some(1), ..with_pins() });
    let talk = scene.joined("board");

    scene.wait(Duration::from_secs(30));

    let (_, goodbye) = *begun(&scene).last().unwrap();
    over(&mut scene, goodbye);
    assert!(!scene.bridge().legs.contains_key(&talk.leg));
}

#[test]
fn a_star_begins_again() {
    let mut scene = scene(with_pins());
    let talk = scene.joined("board");

    let happened = press(&mut scene, talk.leg, "99*1234");

    assert!(happened.contains(&"participant.joined"), "{happened:?}");
}

#[test]
fn where_only_moderators_have_a_pin_others_enter_none() {
    let settings =
        RoomSettings { moderator_pin: Some("4711".to_owned()), ..RoomSettings::default() };
    let mut scene = scene(settings);
    let talk = scene.joined("board");

    let happened = press(&mut scene, talk.leg, "#");

    assert!(happened.contains(&"participant.joined"), "{happened:?}");
    assert_eq!(participant(&mut scene, talk.leg).unwrap().role, Role::Speaker);
}

#[test]
fn others_wait_with_music_until_a_moderator_is_there() {
    let mut scene = scene(RoomSettings { wait_for_moderator: Some(true), ..with_pins() });
    let talk = scene.joined("board");
    press(&mut scene, talk.leg, "1234");
    let (room, lobby) = room_mix(&mut scene);
    assert_eq!(mix_of(&mut scene, talk.leg), Some(lobby));
    assert_eq!(scene.told("participant.waiting")["waiting_for"], "moderator");
    assert!(begun(&scene).iter().any(|(to, _)| *to == Audience::Mix(lobby)), "music");
    let waiting = participant(&mut scene, talk.leg).unwrap();
    let expected = (ParticipantState::Waiting, Some(WaitingFor::Moderator));
    assert_eq!((waiting.state, waiting.waiting_for), expected);
    assert!(scene.bridge_leg(talk.leg).seat().muted);

    moderator(&mut scene);

    assert_eq!(mix_of(&mut scene, talk.leg), Some(room));
    assert_eq!(participant(&mut scene, talk.leg).unwrap().state, ParticipantState::Joined);
    assert!(!scene.bridge_leg(talk.leg).seat().muted);
    assert!(!scene.bridge().is_played(Hearer::Lobby(waiting.room)), "no music for nobody");
}

#[test]
fn callers_wait_until_they_are_let_in_one_by_one_or_all() {
    let mut scene = scene(RoomSettings { waiting_room: Some(true), ..RoomSettings::default() });
    let [anna, bert, carl] = [(); 3].map(|()| scene.joined("board"));
    let room = || "board".to_owned();
    let admit = |scene: &mut Scene, leg| scene.ask(|reply| Ask::Admit { room: room(), leg, reply });

    assert_eq!(admit(&mut scene, anna.leg).unwrap().state, ParticipantState::Joined);
    let again = admit(&mut scene, anna.leg).unwrap_err();
    assert!(matches!(again, ControlError::Conflict { code: "not_waiting", .. }));
    assert_eq!(participant(&mut scene, bert.leg).unwrap().state, ParticipantState::Waiting);
    scene.bridge().end_leg(carl.leg, LeftReason::HungUp, None);
    scene.input(Input::Timeout);
    assert_eq!(scene.told("participant.left")["left_reason"], "hung_up");
    let all = scene.ask(|reply| Ask::AdmitAll { room: room(), reply }).unwrap();

    assert_eq!(all.admitted, 1);
    assert_eq!(participant(&mut scene, bert.leg).unwrap().state, ParticipantState::Joined);
}

#[test]
fn who_waits_is_in_lists_and_snapshots_and_is_of_another_revision_once_let_in() {
    let settings = RoomSettings { waiting_room: Some(true), ..RoomSettings::default() };
    let mut scene = scene(settings);
    let talk = scene.joined("board");
    let room = scene.leg(talk.leg).room.unwrap();
    let query = ParticipantQuery { state: Some("waiting".to_owned()), ..Default::default() };
    let list = |reply| Ask::ListParticipants { room: "board".to_owned(), query, reply };
    let listed = scene.ask(list).unwrap();
    let snapshot = scene.bridge().api_snapshot(&[room]);
    let before = participant(&mut scene, talk.leg).unwrap();

    let admit = |reply| Ask::Admit { room: "board".to_owned(), leg: talk.leg, reply };
    let after = scene.ask(admit).unwrap();

    assert_eq!(listed.items.iter().map(|one| one.leg).collect::<Vec<_>>(), [talk.leg]);
    assert_eq!(snapshot.participants[0].state, ParticipantState::Waiting);
    let heard: Vec<_> = snapshot.playbacks.iter().map(|one| (one.room, one.leg)).collect();
    assert!(heard.contains(&(Some(room), None)), "the music of those who wait: {heard:?}");
    assert!(heard.contains(&(None, Some(talk.leg))), "what they are told: {heard:?}");
    assert!(after.revision > before.revision, "{before:?} {after:?}");
}

#[test]
fn hands_and_whose_a_mute_is_make_another_revision() {
    let mut scene = scene(RoomSettings::default());
    let talk = scene.joined("board");
    let (room, leg) = ("board".to_owned(), talk.leg);
    let change = |scene: &mut Scene, body: UpdateParticipant| {
        let (room, condition) = (room.clone(), IfMatch::default());
        scene.ask(|reply| Ask::UpdateParticipant { room, leg, body, condition, reply }).unwrap()
    };
    let mut revisions = vec![participant(&mut scene, leg).unwrap().revision];

    let hand = UpdateParticipant { hand_raised: Some(true), ..UpdateParticipant::default() };
    revisions.push(change(&mut scene, hand).revision);
    press(&mut scene, leg, "*1");
    revisions.push(participant(&mut scene, leg).unwrap().revision);
    let mute = UpdateParticipant { muted: Some(true), ..UpdateParticipant::default() };
    revisions.push(change(&mut scene, mute.clone()).revision);
    let names = scene.names();
    let again = change(&mut scene, mute).revision;

    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(names, ["participant.updated"], "the mute is by another");
    assert_eq!(again, *revisions.last().unwrap());
}

#[test]
fn settings_are_changed_for_the_revision_that_was_read_alone() {
    let mut scene = scene(RoomSettings::default());
    let read = |scene: &mut Scene| {
        scene.ask(|reply| Ask::Room { room: "board".to_owned(), reply }).unwrap()
    };
    let change = |scene: &mut Scene, revision| {
        let settings = RoomSettings { waiting_room: Some(true), ..RoomSettings::default() };
        let body = UpdateRoom { settings: Some(settings), ..UpdateRoom::default() };
        let (room, condition) = ("board".to_owned(), IfMatch(Some(vec![revision])));
        scene.ask(|reply| Ask::UpdateRoom { room, body, condition, reply })
    };
    let before = read(&mut scene);

    let stale = change(&mut scene, before.revision + 1).unwrap_err();
    let unchanged = read(&mut scene);
    let changed = change(&mut scene, before.revision).unwrap();

    assert!(matches!(stale, ControlError::Stale { .. }), "{stale:?}");
    assert_eq!(unchanged, before);
    assert!(changed.settings.waiting_room && changed.revision > before.revision);
}

#[test]
fn the_room_ends_when_its_last_moderator_has_left_and_none_comes_back() {
    let settings =
        RoomSettings { end_with_moderator: Some(true), moderator_grace_s: Some(60), ..with_pins() };
    let mut scene = scene(settings);
    let talk = scene.joined("board");
    press(&mut scene, talk.leg, "1234");
    let leave = |scene: &mut Scene, talk: &Talk| {
        scene.bridge().end_leg(talk.leg, LeftReason::HungUp, None);
        scene.input(Input::Timeout);
    };

    let first = moderator(&mut scene);
    leave(&mut scene, &first);
    scene.wait(Duration::from_secs(50));
    let second = moderator(&mut scene);
    scene.wait(Duration::from_secs(50));
    assert!(scene.bridge().legs.contains_key(&talk.leg));
    leave(&mut scene, &second);
    scene.wait(Duration::from_secs(61));

    assert!(!scene.bridge().legs.contains_key(&talk.leg));
    assert!(scene.bridge().rooms.is_empty());
}

#[test]
fn everybody_but_moderators_starts_muted_where_the_room_wants_it() {
    let mut scene = scene(RoomSettings { start_muted: Some(true), ..with_pins() });
    let talk = scene.joined("board");

    press(&mut scene, talk.leg, "1234");
    let other = moderator(&mut scene);

    let anna = participant(&mut scene, talk.leg).unwrap();
    assert_eq!((anna.muted, anna.muted_by), (true, Some(MutedBy::Room)));
    assert!(!participant(&mut scene, other.leg).unwrap().muted);
    press(&mut scene, talk.leg, "*1");
    assert!(!participant(&mut scene, talk.leg).unwrap().muted);
}

#[test]
fn whom_a_moderator_has_muted_asks_to_speak_and_is_asked() {
    let mut scene = scene(with_pins());
    let host = moderator(&mut scene);
    let talk = scene.joined("board");
    press(&mut scene, talk.leg, "1234");
    press(&mut scene, host.leg, "*3");
    let muted = participant(&mut scene, talk.leg).unwrap();
    assert_eq!(muted.muted_by, Some(MutedBy::Moderator));

    let happened = press(&mut scene, talk.leg, "*1");

    assert!(happened.contains(&"participant.hand_raised"), "{happened:?}");
    let asking = participant(&mut scene, talk.leg).unwrap();
    assert!(asking.muted && asking.hand_raised_at.is_some());
    let (room, leg) = ("board".to_owned(), talk.leg);
    scene.ask(|reply| Ask::AskToSpeak { room, leg, reply }).unwrap();
    press(&mut scene, talk.leg, "*1");
    assert!(!participant(&mut scene, talk.leg).unwrap().muted);
    let body = UpdateParticipant { hand_raised: Some(false), ..UpdateParticipant::default() };
    let (room, leg) = ("board".to_owned(), talk.leg);
    scene
        .ask(|reply| Ask::UpdateParticipant {
            room,
            leg,
            body,
            condition: IfMatch::default(),
            reply,
        })
        .unwrap();
    assert!(scene.names().contains(&"participant.hand_lowered"));
}

#[test]
fn who_has_muted_themselves_stays_so_but_cannot_speak_while_all_are_muted() {
    let mut scene = scene(with_pins());
    let host = moderator(&mut scene);
    let [anna, bert] = [(); 2].map(|()| {
        let talk = scene.joined("board");
        press(&mut scene, talk.leg, "1234");
        talk
    });
    press(&mut scene, anna.leg, "*1");

    press(&mut scene, host.leg, "*3");
    let happened = press(&mut scene, anna.leg, "*1");

    assert!(happened.contains(&"participant.hand_raised"), "{happened:?}");
    assert!(participant(&mut scene, bert.leg).unwrap().muted);
    press(&mut scene, host.leg, "*3");
    assert!(!participant(&mut scene, bert.leg).unwrap().muted);
    let muted = participant(&mut scene, anna.leg).unwrap();
    assert_eq!((muted.muted, muted.muted_by), (true, Some(MutedBy::Participant)));
    press(&mut scene, anna.leg, "*1");
    assert!(!participant(&mut scene, anna.leg).unwrap().muted);
}

#[test]
fn a_moderator_locks_kicks_and_counts_by_keys() {
    let mut scene = scene(with_pins());
    let host = moderator(&mut scene);
    let talk = scene.joined("board");
    press(&mut scene, talk.leg, "1234");

    assert!(press(&mut scene, host.leg, "*5").contains(&"room.locked"));
    assert!(scene.call("board").starts_with("SIP/2.0 403"));
    assert!(!press(&mut scene, talk.leg, "*5").contains(&"room.unlocked"), "no moderator");
    assert!(press(&mut scene, host.leg, "*5").contains(&"room.unlocked"));
    press(&mut scene, host.leg, "*2");
    assert_eq!(begun(&scene).len(), 1);
    press(&mut scene, host.leg, "*7");
    let (_, removed) = *begun(&scene).last().unwrap();
    over(&mut scene, removed);
    assert_eq!(scene.told("participant.left")["left_reason"], "kicked");
    assert!(!scene.bridge().legs.contains_key(&talk.leg));
}

#[test]
fn a_room_opens_and_closes_by_the_clock() {
    let at = |text: &str| api::model::Edit::Set(text.parse().unwrap());
    let mut scene = scene(RoomSettings {
        opens_at: at("2026-01-01T01:00:00Z"),
        closes_at: at("2026-01-01T02:00:00Z"),
        ..RoomSettings::default()
    });
    assert!(scene.call("board").starts_with("SIP/2.0 480"));
    assert_eq!(scene.told("room.join_rejected")["reason"], "not_open");
    scene.wait(Duration::from_hours(1));
    scene.joined("board");

    scene.wait(Duration::from_mins(59));
    assert!(scene.names().contains(&"playback.started"), "{:?}", scene.names());
    let body = UpdateRoom {
        settings: Some(RoomSettings {
            closes_at: api::model::Edit::Clear,
            ..RoomSettings::default()
        }),
        ..UpdateRoom::default()
    };
    let room = "board".to_owned();
    scene
        .ask(|reply| Ask::UpdateRoom { room, body, condition: IfMatch::default(), reply })
        .unwrap();
    scene.wait(Duration::from_hours(2));

    assert!(scene.bridge().names.contains_key("board"));
}

#[test]
fn who_is_alone_hears_music_and_others_end_it() {
    let settings = RoomSettings {
        music_alone: Some("music".to_owned()),
        enter_sound: Some("tone.enter".to_owned()),
        leave_sound: Some("tone.leave".to_owned()),
        announce_count: Some(true),
        ..RoomSettings::default()
    };
    let mut scene = scene(settings);
    let talk = scene.joined("board");
    let room = Hearer::Room(scene.bridge().rooms.values().next().unwrap().id);
    let is_musical = |scene: &mut Scene| {
        let purposes = scene.bridge().purposes(room);
        purposes.contains(&PlaybackPurpose::Music)
    };
    assert!(is_musical(&mut scene));

    let other = scene.joined("board");
    assert!(!is_musical(&mut scene));
    scene.bridge().end_leg(other.leg, LeftReason::HungUp, None);
    scene.input(Input::Timeout);

    assert!(is_musical(&mut scene));
    assert!(scene.bridge().legs.contains_key(&talk.leg));
}

#[test]
fn settings_that_cannot_be_are_refused_and_change_nothing() {
    let mut scene = scene(with_pins());
    let cases: [(&str, RoomSettings); 7] = [
        ("/settings/pin", RoomSettings { pin: Some("12a".to_owned()), ..RoomSettings::default() }),
        ("/settings/pin", RoomSettings { pin: Some("1".repeat(17)), ..RoomSettings::default() }),
        (
            "/settings/moderator_pin",
            RoomSettings { moderator_pin: Some("1234".to_owned()), ..RoomSettings::default() },
        ),
        (
            "/settings/language",
            RoomSettings { language: Some("xx".to_owned()), ..RoomSettings::default() },
        ),
        (
            "/settings/enter_sound",
            RoomSettings { enter_sound: Some("nothing".to_owned()), ..RoomSettings::default() },
        ),
        (
            "/settings/closes_at",
            RoomSettings {
                closes_at: api::model::Edit::Set("2020-01-01T00:00:00Z".parse().unwrap()),
                ..RoomSettings::default()
            },
        ),
        (
            "/settings/menu/participant/*1",
            RoomSettings {
                menu: Some(api::model::RoomMenu {
                    participant: [
                        ("*1".to_owned(), api::model::MenuAction::Mute),
                        ("*12".to_owned(), api::model::MenuAction::Hand),
                    ]
                    .into(),
                    moderator: std::collections::BTreeMap::new(),
                }),
                ..RoomSettings::default()
            },
        ),
    ];
    for (at, settings) in cases {
        let body = UpdateRoom { settings: Some(settings), ..UpdateRoom::default() };
        let room = "board".to_owned();
        let refused = scene
            .ask(|reply| Ask::UpdateRoom { room, body, condition: IfMatch::default(), reply })
            .unwrap_err();

        let ControlError::Invalid { pointer, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(pointer, at);
        assert_eq!(scene.names(), [""; 0]);
    }
}
