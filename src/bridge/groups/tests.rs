//! Who hears whom, as it is told to the mixer, in virtual time.

use api::control::{Command as Ask, ControlError, IfMatch};
use api::model::{
    CreateRoom, Participant, Room, RoomSettings, Transfer, UpdateParticipant, UpdateRoom, Whom,
};
use serde_json::{Value, from_value, json};

use super::*;
use crate::bridge::scene::{Scene, Talk};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Command, Seat};

/// The room `board` with these groups.
fn scene(groups: Value) -> Scene {
    let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
    let groups = read(groups);
    let body = CreateRoom { name: Some("board".into()), groups, ..CreateRoom::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    scene
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> T {
    from_value(body).unwrap()
}

fn patch(scene: &mut Scene, leg: LegId, body: Value) -> Result<Participant, ControlError> {
    let (room, body, condition) = ("board".to_owned(), read(body), IfMatch::default());
    scene.ask(|reply| Ask::UpdateParticipant { room, leg, body, condition, reply })
}

fn put(scene: &mut Scene, leg: LegId, body: Value) -> Participant {
    patch(scene, leg, body).unwrap()
}

fn set_groups(scene: &mut Scene, groups: Value) -> Result<Room, ControlError> {
    let (room, condition) = ("board".to_owned(), IfMatch::default());
    let body = UpdateRoom { groups: Some(read(groups)), ..UpdateRoom::default() };
    scene.ask(|reply| Ask::UpdateRoom { room, body, condition, reply })
}

fn invite(scene: &mut Scene, body: Value) -> Result<Participant, ControlError> {
    let (room, body) = ("board".to_owned(), read(body));
    scene.ask(|reply| Ask::Invite { room, body, reply })
}

fn seat(scene: &mut Scene, leg: LegId) -> Seat {
    scene.bridge_leg(leg).seat()
}

/// A row for each, with a letter for each of the others that it hears.
fn heard<const N: usize>(scene: &mut Scene, legs: [LegId; N]) -> [String; N] {
    let seats = legs.map(|leg| seat(scene, leg));
    let hears = |one: usize, other: usize| {
        let [one_seat, other_seat] = [seats[one], seats[other]];
        one != other && !other_seat.muted && one_seat.hearing.hears(other_seat.group)
    };
    std::array::from_fn(|one| {
        (0..N).zip('a'..).filter(|(other, _)| hears(one, *other)).map(|(_, name)| name).collect()
    })
}

fn pointer(answer: Result<impl fmt::Debug, ControlError>) -> String {
    let error = answer.unwrap_err();
    if let ControlError::Conflict { code, .. } = error {
        return code.to_owned();
    }
    let ControlError::Invalid { pointer, .. } = error else { panic!("{error}") };
    pointer
}

fn three(scene: &mut Scene) -> [LegId; 3] {
    std::array::from_fn(|_| scene.joined("board").leg)
}

#[test]
fn a_group_that_nobody_has_made_is_apart() {
    let mut scene = scene(json!({}));
    let [a, b, c] = three(&mut scene);

    put(&mut scene, a, json!({"group": "aside"}));
    assert_eq!(scene.names(), ["room.updated", "participant.updated"]);
    assert_eq!(scene.told("participant.updated")["group"], "aside");
    let media = scene.bridge_leg(a).media;
    let is_told = |told: &Command| matches!(told, Command::Seat { leg, .. } if *leg == media);
    assert!(scene.told.iter().any(is_told), "{:?}", scene.told);
    put(&mut scene, b, json!({"group": "aside"}));

    assert_eq!(heard(&mut scene, [a, b, c]), ["b", "a", ""]);
    put(&mut scene, b, json!({"group": "main"}));
    assert_eq!(heard(&mut scene, [a, b, c]), ["", "c", "b"]);
    assert_eq!(put(&mut scene, a, json!({"group": ""})).group, None);
    assert_eq!(heard(&mut scene, [a, b, c]), ["bc", "ac", "ab"]);
}

#[test]
fn ready_made_relations_say_who_hears_whom() {
    let mut scene = scene(json!({
        "ears": {"relation": "monitor"}, "aside": {"relation": "sidebar"},
        "tr": {"relation": "interpreter"}, "tr-audience": {"relation": "audience", "of": "tr"},
    }));
    let [a, b, c] = three(&mut scene);

    put(&mut scene, b, json!({"group": "ears"}));
    put(&mut scene, c, json!({"group": "aside"}));
    assert_eq!(heard(&mut scene, [a, b, c]), ["", "a", "a"]);

    put(&mut scene, b, json!({"group": "tr"}));
    put(&mut scene, c, json!({"group": "tr-audience"}));
    assert_eq!(heard(&mut scene, [a, b, c]), ["c", "ac", "ab"]);
    let ducked = Hearing::MAIN.with(seat(&mut scene, b).group, 0.0);
    assert_eq!(seat(&mut scene, c).hearing, ducked.ducked_by(seat(&mut scene, b).group, 18.0));
}

#[test]
fn groups_are_changed_while_people_sit_in_them() {
    let mut scene = scene(json!({"aside": {}}));
    let [a, b, c] = three(&mut scene);
    put(&mut scene, c, json!({"group": "aside"}));
    let before = seat(&mut scene, c).group;

    let hears = json!([{"group": "main"}, {"group": "aside", "gain_db": -18.0}]);
    let room = set_groups(&mut scene, json!({"aa": {}, "main": {"hears": hears}})).unwrap();

    assert_eq!(scene.names(), ["room.updated"]);
    assert_eq!(room.groups.keys().collect::<Vec<_>>(), ["aa", "aside", "main"]);
    assert_eq!(heard(&mut scene, [a, b, c]), ["bc", "ac", ""]);
    assert_eq!(seat(&mut scene, c).group, before, "who sits there does not change groups");
    assert_eq!(pointer(set_groups(&mut scene, json!({"aside": null}))), "group_in_use");
    put(&mut scene, c, json!({"group": ""}));
    assert_eq!(
        pointer(set_groups(&mut scene, json!({"aside": null}))),
        "/groups/main/hears/1/group"
    );
    set_groups(&mut scene, json!({"aside": null, "main": null})).unwrap();
    assert_eq!(heard(&mut scene, [a, b, c]), ["bc", "ac", "ab"]);
}

#[test]
fn what_cannot_be_is_told_by_its_place() {
    let mut scene = scene(json!({}));
    let [a, b, _] = three(&mut scene);

    for (groups, expected) in [
        (json!({"x": {"hears": [{"group": "y"}]}}), "/groups/x/hears/0/group"),
        (json!({"x": {"hears": [{"group": "x"}, {"group": "x"}]}}), "/groups/x/hears/1/group"),
        (json!({"x": {"speaks_to": "y"}}), "/groups/x/speaks_to"),
        (json!({"x": {"ducked_by": "y"}}), "/groups/x/ducked_by"),
        (json!({"x": {"duck_db": 3.0}}), "/groups/x/duck_db"),
        (json!({"x": {"relation": "audience"}}), "/groups/x/of"),
        (json!({"x": {"relation": "sidebar", "of": "x"}}), "/groups/x/of"),
        (json!({"x": {"of": "main"}}), "/groups/x/of"),
        (json!({"main": {"relation": "monitor"}}), "/groups/main/relation"),
        (json!({"main": {"speaks_to": null}}), "/groups/main/speaks_to"),
    ] {
        assert_eq!(pointer(set_groups(&mut scene, groups.clone())), expected, "{groups}");
    }
    for (body, expected) in [
        (json!({"coaching": b}), "/coaching"),
        (json!({"supervision": "barge"}), "/supervision"),
        (json!({"role": "coach", "coaching": a}), "/coaching"),
        (json!({"role": "coach", "coaching": "nobody"}), "/coaching"),
        (json!({"role": "coach", "supervision": "whisper"}), "/supervision"),
    ] {
        assert_eq!(pointer(patch(&mut scene, a, body.clone())), expected, "{body}");
    }
    put(&mut scene, b, json!({"role": "coach", "coaching": a}));
    assert_eq!(pointer(patch(&mut scene, a, json!({"role": "coach", "coaching": b}))), "/coaching");
    let many = (0..16).map(|at| (format!("g{at}"), json!({}))).collect::<Value>();
    assert_eq!(pointer(set_groups(&mut scene, many)), "too_many_groups");
    let many = (0..15).map(|at| (format!("g{at}"), json!({}))).collect::<Value>();
    set_groups(&mut scene, many).unwrap();
    assert_eq!(pointer(patch(&mut scene, a, json!({"group": "more"}))), "too_many_groups");
}

#[test]
fn a_coach_whispers_listens_and_barges_in() {
    let mut scene = scene(json!({}));
    let [customer, agent, coach] = three(&mut scene);
    let all = [customer, agent, coach];

    let shown = put(&mut scene, coach, json!({"role": "coach"}));
    assert_eq!((shown.coaching, shown.supervision), (None, Some(Supervision::Monitor)));
    assert_eq!(heard(&mut scene, all), ["b", "a", "ab"]);

    let shown = put(&mut scene, coach, json!({"coaching": agent}));
    assert_eq!(shown.supervision, Some(Supervision::Whisper));
    assert_eq!(shown.coaching, Some(agent.to_string()));
    assert_eq!(scene.names(), ["participant.updated"]);
    assert_eq!(heard(&mut scene, all), ["b", "ac", "ab"]);

    put(&mut scene, coach, json!({"supervision": "barge"}));
    assert_eq!(heard(&mut scene, all), ["bc", "ac", "ab"]);
    put(&mut scene, coach, json!({"supervision": "monitor"}));
    assert_eq!(heard(&mut scene, all), ["b", "a", "ab"]);
    put(&mut scene, coach, json!({"role": "speaker"}));
    assert_eq!(heard(&mut scene, all), ["bc", "ac", "ab"]);
}

#[test]
fn a_coach_follows_who_is_coached_into_a_group() {
    let mut scene = scene(json!({}));
    let [a, b, coach] = three(&mut scene);
    put(&mut scene, coach, json!({"role": "coach", "coaching": b}));

    put(&mut scene, b, json!({"group": "aside"}));

    assert_eq!(heard(&mut scene, [a, b, coach]), ["", "c", "b"]);
    put(&mut scene, a, json!({"group": "aside"}));
    put(&mut scene, coach, json!({"coaching": "aside"}));
    assert_eq!(heard(&mut scene, [a, b, coach]), ["bc", "ac", "ab"]);
    let third = scene.joined("board").leg;
    assert_eq!(heard(&mut scene, [third, coach, a]), ["", "c", "b"]);
}

#[test]
fn whispers_outlast_hold_mute_and_a_change_of_phone() {
    let mut scene = scene(json!({}));
    let customer = scene.joined("board").leg;
    let agent = scene.joined("board");
    let coach = scene.joined("board").leg;
    put(&mut scene, coach, json!({"role": "coach", "coaching": agent.leg}));

    for (on, off) in [
        (json!({"held": true}), json!({"held": false})),
        (json!({"muted": true}), json!({"muted": false})),
    ] {
        put(&mut scene, agent.leg, on.clone());
        put(&mut scene, coach, on);
        put(&mut scene, agent.leg, off.clone());
        put(&mut scene, coach, off);
    }
    assert_eq!(heard(&mut scene, [customer, agent.leg, coach]), ["b", "ac", "ab"]);

    let by = take(&mut scene, &agent);

    assert_eq!(heard(&mut scene, [customer, by, coach]), ["b", "ac", "ab"]);
    let coaching = scene.bridge_leg(coach).controls.coaching.clone();
    assert_eq!(coaching, Some(Coached::Leg(by)));
}

/// Another phone takes over this call; gives its leg.
fn take(scene: &mut Scene, old: &Talk) -> LegId {
    scene.headers = format!("Replaces: {}\r\nRequire: replaces\r\n", old.named());
    scene.call("board");
    scene.headers.clear();
    from_value(scene.told("leg.replaced")["by"].clone()).unwrap()
}

#[test]
fn a_coach_of_who_has_left_listens_on() {
    let mut scene = scene(json!({}));
    let [customer, agent, coach] = three(&mut scene);
    put(&mut scene, coach, json!({"role": "coach", "coaching": agent}));

    scene.ask(|reply| Ask::HangUpLeg { leg: agent, reply }).unwrap();

    let expected = ["participant.left", "leg.ended", "participant.updated"];
    assert_eq!(scene.names(), expected);
    let told = scene.told("participant.updated");
    assert_eq!(told["previous_coaching"], json!(agent));
    assert_eq!((&told["supervision"], &told["coaching"]), (&json!("monitor"), &Value::Null));
    assert_eq!(heard(&mut scene, [customer, coach]), ["", "a"]);
}

#[test]
fn who_moves_to_another_room_is_in_main_there() {
    let mut scene = scene(json!({}));
    let [a, agent, coach] = three(&mut scene);
    let other = scene.joined("other").leg;
    put(&mut scene, coach, json!({"role": "coach", "coaching": agent}));
    put(&mut scene, a, json!({"group": "aside"}));

    for leg in [a, agent] {
        let body = Transfer { room: Some("other".into()), ..Transfer::default() };
        scene.ask(|reply| Ask::Transfer { leg, body, reply }).unwrap();
    }
    assert_eq!(heard(&mut scene, [other, a, agent]), ["bc", "ac", "ab"]);
    assert_eq!(scene.bridge_leg(coach).controls.coaching, None);

    put(&mut scene, coach, json!({"room": "other", "coaching": agent, "group": "aside"}));
    assert_eq!(heard(&mut scene, [other, a, agent, coach]), ["bc", "ac", "abd", "abc"]);
    assert_eq!(scene.bridge_leg(coach).controls.group.as_deref(), Some("aside"));
}

#[test]
fn a_coach_is_dialled_and_whispers_from_the_first_word() {
    let mut scene = scene(json!({}));
    let [customer, agent, _] = three(&mut scene);

    let body = json!({"to": "sip:boss@10.0.0.1", "role": "coach", "coaching": agent});
    let coach = invite(&mut scene, body).unwrap();
    assert_eq!(coach.supervision, Some(Supervision::Whisper));
    let coach = scene.answered("boss").leg;

    assert_eq!(heard(&mut scene, [customer, agent, coach]), ["b", "ac", "ab"]);
    let refused = json!({"to": "sip:boss@10.0.0.1", "coaching": agent});
    assert_eq!(pointer(invite(&mut scene, refused)), "/coaching");
}

#[test]
fn many_are_moved_at_once() {
    let mut scene = scene(json!({}));
    let [a, b, c] = three(&mut scene);
    let whom = Whom { legs: vec![a, c], ..Whom::default() };
    let body = UpdateParticipant { group: Some("aside".into()), ..UpdateParticipant::default() };
    let room = "board".to_owned();

    scene.ask(|reply| Ask::UpdateParticipants { room, whom, body, reply }).unwrap();

    assert_eq!(heard(&mut scene, [a, b, c]), ["c", "", "a"]);
}

#[test]
fn a_coach_comes_unnoticed() {
    let settings =
        RoomSettings { enter_sound: Some("tone.enter".into()), ..RoomSettings::default() };
    let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
    let body = CreateRoom { name: Some("board".into()), settings, ..CreateRoom::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    let is_played = |told: &Command| matches!(told, Command::Play { .. });
    scene.joined("board");

    invite(&mut scene, json!({"to": "sip:boss@10.0.0.1", "role": "coach"})).unwrap();
    scene.answered("boss");
    assert!(!scene.told.iter().any(is_played), "{:?}", scene.told);

    scene.call("board");
    assert!(scene.told.iter().any(is_played), "{:?}", scene.told);
}
