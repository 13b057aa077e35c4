//! A hall of many legs ends while others want to be served.

use std::collections::BTreeSet;

use api::control::{Command, ControlError};
use api::model::Room;
use tokio::sync::oneshot;

use super::*;
use crate::bridge::scene::Scene;
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;

const HALL: usize = 500;

type Answer<T> = oneshot::Receiver<Result<T, ControlError>>;

/// What happened while a hall ended.
#[derive(Default)]
struct Course {
    turns: usize,
    most_byes_in_a_turn: usize,
    said_bye: BTreeSet<String>,
    events: Vec<(EventType, Option<LegId>)>,
}

impl Course {
    /// Notes what the last input brought.
    fn note(&mut self, scene: &Scene) {
        let byes: Vec<&String> =
            scene.sent.iter().filter(|sent| sent.starts_with("BYE ")).collect();
        let to = |bye: &&String| {
            bye.lines().find(|line| line.starts_with("Call-ID:")).map(str::to_owned)
        };
        self.turns += 1;
        self.most_byes_in_a_turn = self.most_byes_in_a_turn.max(byes.len());
        self.said_bye.extend(byes.iter().filter_map(to));
        self.events.extend(scene.happened.iter().map(|event| (event.kind, event.leg)));
    }

    /// Goes from deadline to deadline until `is_over`.
    fn run(&mut self, scene: &mut Scene, is_over: impl Fn(&Scene, &Self) -> bool) {
        while !is_over(scene, self) {
            scene.now = scene.now.max(scene.deadline.expect("there is more to do"));
            scene.input(Input::Timeout);
            self.note(scene);
        }
    }

    fn has_ended(_: &Scene, course: &Self) -> bool {
        course.events.last().is_some_and(|(kind, _)| *kind == EventType::RoomEnded)
    }
}

/// A bridge with `legs` callers in the room `hall`, and one in `study`.
fn scene(legs: usize) -> Scene {
    let mut scene = Scene::new(Settings {
        max_participants: 1_000,
        calls_per_second: 10_000,
        ..bridge_settings(&Config::default(), 1)
    });
    for name in (0..legs).map(|_| "hall").chain(["study"]) {
        enter(&mut scene, name);
    }
    scene
}

/// Calls and acknowledges the answer.
fn enter(scene: &mut Scene, name: &str) {
    let answer = scene.call(name);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let tag = answer.lines().find_map(|line| line.strip_prefix("To:")?.split_once(";tag="));
    let to_tag = format!(";tag={}", tag.unwrap().1);
    scene.request("ACK", name, scene.calls, &to_tag);
}

fn delete(scene: &mut Scene, room: &str) -> Answer<()> {
    let (reply, answer) = Reply::channel();
    scene.input(Input::Command(Command::DeleteRoom { room: room.to_owned(), reply }));
    answer
}

fn show(scene: &mut Scene, room: &str) -> Result<Room, ControlError> {
    scene.ask(|reply| Command::Room { room: room.to_owned(), reply })
}

#[test]
fn everybody_in_a_hall_is_hung_up_a_few_a_turn_and_told_in_order() {
    let mut scene = scene(HALL);
    let mut course = Course::default();

    let mut answer = delete(&mut scene, "hall");
    course.note(&scene);
    assert!(answer.try_recv().is_err(), "the hall has not ended yet");
    course.run(&mut scene, Course::has_ended);

    assert_eq!(course.said_bye.len(), HALL);
    assert!(course.most_byes_in_a_turn <= SLICE && course.turns >= HALL / SLICE);
    assert_eq!(answer.try_recv().unwrap(), Ok(()));
    assert!(show(&mut scene, "hall").is_err() && show(&mut scene, "study").is_ok());
    let (ended, legs) = course.events.split_last().unwrap();
    assert_eq!(*ended, (EventType::RoomEnded, None));
    assert_eq!(legs.len(), 2 * HALL);
    for pair in legs.chunks(2) {
        assert_eq!(pair[0].0, EventType::ParticipantLeft);
        assert_eq!(pair[1], (EventType::LegEnded, pair[0].1));
    }
}

#[test]
fn others_are_served_between_the_turns_but_nobody_comes_in() {
    let mut scene = scene(HALL);
    let _answer = delete(&mut scene, "hall");
    let mut course = Course::default();
    course.note(&scene);

    let late = scene.call("hall");
    course.note(&scene);
    let other = scene.call("study");
    course.note(&scene);
    let small = delete(&mut scene, "study").try_recv();
    course.note(&scene);

    assert!(late.starts_with("SIP/2.0 480 "), "{late}");
    assert!(other.starts_with("SIP/2.0 200 "), "{other}");
    assert_eq!(small, Ok(Ok(())), "a small room need not wait for a hall");
    assert!(show(&mut scene, "hall").is_ok());
    assert!(course.most_byes_in_a_turn <= SLICE);
}

#[test]
fn who_asks_again_for_the_end_of_a_hall_is_answered_with_the_first() {
    let mut scene = scene(HALL);
    let (reply, mut first) = Reply::channel();
    let end = Command::EndRoom { room: "hall".to_owned(), body: model::EndRoom::default(), reply };
    scene.input(Input::Command(end));

    let mut second = delete(&mut scene, "hall");
    Course::default().run(&mut scene, Course::has_ended);

    assert_eq!(first.try_recv().unwrap().unwrap().state, RoomState::Ended);
    assert_eq!(second.try_recv().unwrap(), Ok(()));
    assert!(show(&mut scene, "hall").is_err());
}

#[test]
fn a_shutdown_meanwhile_loses_nobody() {
    let mut scene = scene(HALL);
    let mut course = Course::default();
    let mut answer = delete(&mut scene, "hall");
    course.note(&scene);

    for _ in 0..2 {
        scene.input(Input::Drain);
        course.note(&scene);
    }
    course.run(&mut scene, |scene, _| scene.has_drained);

    assert_eq!(course.said_bye.len(), HALL + 1);
    assert!(course.most_byes_in_a_turn <= 2 * SLICE, "some say it again");
    assert_eq!(answer.try_recv().unwrap(), Ok(()));
    let ended = |kind| course.events.iter().filter(|(other, _)| *other == kind).count();
    assert_eq!((ended(EventType::LegEnded), ended(EventType::RoomEnded)), (HALL + 1, 2));
}

#[test]
fn halls_whose_grace_is_over_at_once_share_the_turns() {
    let mut scene = scene(SLICE);
    let grace = model::EndRoom { grace_s: 60 };
    for room in ["hall", "study"] {
        let room = room.to_owned();
        scene.ask(|reply| Command::EndRoom { room, body: grace.clone(), reply }).unwrap();
    }
    let mut course = Course::default();

    course.run(&mut scene, |_, course| course.said_bye.len() == SLICE + 1);

    assert!(course.most_byes_in_a_turn <= SLICE, "{}", course.most_byes_in_a_turn);
}
