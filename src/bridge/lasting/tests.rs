//! Rooms and the store, which answers or does not.

use std::time::Duration;

use api::archive::{Change, Document};
use api::control::{Command as Ask, ControlError, IfMatch, Reply};
use api::model::{CreateRoom, EndRoom, Room, RoomSettings, UpdateRoom};
use serde_json::json;

use super::super::Input;
use super::super::scene::{Disk, Scene};
use crate::config::Config;

fn scene_with(kept: Vec<Document>) -> Scene {
    let settings = crate::bridge_settings(&Config::default(), 1);
    Scene::new(super::super::Settings { kept, ..settings })
}

fn scene() -> Scene {
    scene_with(Vec::new())
}

fn create(scene: &mut Scene, body: CreateRoom) -> Result<Room, ControlError> {
    scene.ask(|reply| Ask::CreateRoom { body, reply })
}

fn board() -> CreateRoom {
    let settings = RoomSettings {
        pin: Some("2468".to_owned()),
        language: Some("tr".to_owned()),
        closes_at: api::model::Edit::Set("2026-01-02T00:00:00Z".parse().unwrap()),
        ..RoomSettings::default()
    };
    let groups = serde_json::from_value(json!({"aside": {"relation": "sidebar"}})).unwrap();
    CreateRoom { name: Some("board".to_owned()), settings, groups, ..CreateRoom::default() }
}

fn lock(scene: &mut Scene, locked: bool) -> Result<Room, ControlError> {
    let (room, condition) = ("board".to_owned(), IfMatch::default());
    scene.ask(|reply| Ask::LockRoom { room, locked, condition, reply })
}

fn shown(scene: &mut Scene) -> Result<Room, ControlError> {
    let room = "board".to_owned();
    scene.ask(|reply| Ask::Room { room, reply })
}

/// What a store has to which all of this was told.
fn kept(scene: &Scene) -> Vec<Document> {
    let mut kept: Vec<Document> = Vec::new();
    for change in &scene.stored {
        let (Change::Put(Document { name, .. }) | Change::Remove(_, name)) = change;
        kept.retain(|document| document.name != *name);
        if let Change::Put(document) = change {
            kept.push(document.clone());
        }
    }
    kept
}

#[test]
fn a_room_is_there_after_a_restart_as_it_was() {
    let mut scene = scene();
    create(&mut scene, board()).unwrap();
    let before = lock(&mut scene, true).unwrap();
    assert!(before.kept && before.locked);

    let mut next = scene_with(kept(&scene));

    assert_eq!(shown(&mut next).unwrap(), before);
    assert_eq!(next.names(), [""; 0], "it is no news");
    let answer = next.call("board");
    assert!(answer.starts_with("SIP/2.0 "), "{answer}");
    let taken = create(&mut next, board()).unwrap_err();
    assert!(matches!(taken, ControlError::Conflict { code: "room_name_taken", .. }));
}

#[test]
fn what_ends_by_itself_or_was_made_by_a_call_is_not_kept() {
    let mut scene = scene();
    let body = CreateRoom { end_when_empty: true, ..board() };
    let passing = create(&mut scene, body).unwrap();
    scene.joined("standup");

    assert!(!passing.kept);
    assert_eq!(kept(&scene), []);
    let body = UpdateRoom { end_when_empty: Some(false), ..UpdateRoom::default() };
    let (room, condition) = ("board".to_owned(), IfMatch::default());
    let lasting = scene.ask(|reply| Ask::UpdateRoom { room, body, condition, reply }).unwrap();
    assert!(lasting.kept && kept(&scene).len() == 1);
    let body = UpdateRoom { end_when_empty: Some(true), ..UpdateRoom::default() };
    let (room, condition) = ("board".to_owned(), IfMatch::default());
    let passing = scene.ask(|reply| Ask::UpdateRoom { room, body, condition, reply }).unwrap();
    assert!(!passing.kept && kept(&scene).is_empty());
}

#[test]
fn a_store_that_fails_keeps_no_room_from_being_used_and_is_asked_again() {
    let mut scene = scene();
    scene.store = Disk::Fails;
    let room = create(&mut scene, board()).unwrap();
    assert!(!room.kept);
    assert!(lock(&mut scene, true).unwrap().locked, "whatever the disk does");

    scene.store = Disk::Works;
    scene.wait(Duration::from_secs(5));

    assert!(shown(&mut scene).unwrap().kept);
    assert!(kept(&scene)[0].body.contains(r#""locked":true"#));
}

#[test]
fn what_has_changed_while_it_was_stored_is_stored_again() {
    let mut scene = scene();
    create(&mut scene, board()).unwrap();
    scene.store = Disk::Hangs;
    let mut asked = [true, false].map(|locked| {
        let (room, condition) = ("board".to_owned(), IfMatch::default());
        let (reply, answer) = Reply::channel();
        scene.input(Input::Command(Ask::LockRoom { room, locked, condition, reply }));
        answer
    });
    assert_eq!(scene.stored.len(), 2, "one change of a room at a time");

    scene.store = Disk::Works;
    scene.answer_store();

    let [first, second] = asked.each_mut().map(|answer| answer.try_recv().unwrap().unwrap());
    assert_eq!((first.revision, second.revision, second.kept), (3, 3, true));
    assert_eq!(scene.stored.len(), 3);
}

#[test]
fn a_room_that_has_ended_is_forgotten_before_that_is_answered() {
    let mut scene = scene();
    create(&mut scene, board()).unwrap();
    scene.store = Disk::Hangs;
    let (reply, mut ended) = Reply::channel();
    let (room, body) = ("board".to_owned(), EndRoom { grace_s: 0 });
    scene.input(Input::Command(Ask::EndRoom { room, body, reply }));
    assert!(ended.try_recv().is_err() && kept(&scene).is_empty());

    scene.store = Disk::Works;
    scene.answer_store();

    assert_eq!(ended.try_recv().unwrap().unwrap().state, api::model::RoomState::Ended);
}

#[test]
fn a_shutdown_ends_no_room_that_is_kept_and_one_whose_time_is_over_is_forgotten() {
    let mut scene = scene();
    create(&mut scene, board()).unwrap();
    scene.input(Input::Drain);
    assert!(scene.has_drained && !scene.names().contains(&"room.ended"));
    let mut over = kept(&scene);
    over[0].body = over[0].body.replace("2026-01-02", "2025-01-02");

    let mut next = scene_with(over);

    assert!(matches!(shown(&mut next), Err(ControlError::NotFound { .. })));
    assert!(matches!(next.stored[..], [Change::Remove(..)]), "{:?}", next.stored);
}
