//! With reports of media threads that are at their limit or not.

use api::control::{self, ControlError};
use api::model::{CallParty, CreateCall, Invite, Node, Readiness, Role};

use super::*;
use crate::bridge::scene::Scene;
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Event, WorkerReport};

impl Scene {
    /// Seconds go by, and worker 0 reports each that it was so busy.
    fn report(&mut self, seconds: usize, busy: f32) {
        for _ in 0..seconds {
            let report =
                WorkerReport { legs: 1, active_legs: 1.0, busy, ..WorkerReport::default() };
            self.now += Duration::from_secs(1);
            self.input(Input::Media(Event::Worker(report)));
        }
    }

    fn dial_out(&mut self) -> Result<(), ControlError> {
        let body = Invite {
            trunk: None,
            to: "sip:bob@10.0.0.1".to_owned(),
            from: None,
            display_name: None,
            role: Role::default(),
            group: None,
            coaching: None,
            supervision: None,
            muted: false,
            timeout_s: None,
            codecs: None,
            agc: None,
            noise_suppression: None,
            echo_suppression: None,
        };
        let room = "beta".to_owned();
        self.ask(|reply| control::Command::Invite { room, body, reply }).map(drop)
    }

    fn connect_two(&mut self) -> Result<(), ControlError> {
        let party = |to: &str| CallParty { to: to.to_owned(), from: None, trunk: None };
        let legs = vec![party("sip:a@10.0.0.1"), party("sip:b@10.0.0.1")];
        let body = CreateCall { legs, timeout_s: None };
        self.ask(|reply| control::Command::CreateCall { body, reply }).map(drop)
    }

    fn node(&mut self) -> Node {
        let node = "here".to_owned();
        self.ask(|reply| control::Command::Node { node, reply }).unwrap()
    }

    fn readiness(&mut self) -> Readiness {
        self.ask(|reply| control::Command::Readiness { reply }).unwrap()
    }
}

#[test]
fn a_caller_beyond_the_capacity_is_told_when_to_come_again() {
    let mut scene = Scene::new(settings(1));
    scene.report(5, 0.9);

    let answers: Vec<String> = (0..20).map(|_| scene.call("alpha")).collect();

    let seconds: Vec<u32> = answers.iter().map(|answer| retry_after(answer)).collect();
    assert!(answers.iter().all(|answer| answer.starts_with("SIP/2.0 503 ")), "{answers:?}");
    assert!(seconds.iter().all(|seconds| (4..8).contains(seconds)), "{seconds:?}");
    assert!(seconds.iter().any(|other| *other != seconds[0]), "all come again at once");
    let metrics = scene.ask(|reply| control::Command::Metrics { reply }).unwrap();
    for line in
        ["plenary_capacity_refusals_total 20", "plenary_refused_total 20", "plenary_rooms 0"]
    {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
}

#[test]
fn calls_that_are_up_are_served_whatever_the_load() {
    let mut scene = Scene::new(settings(1));
    let answer = scene.call("alpha");
    let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
    let tag = format!(";tag={}", to.rsplit("tag=").next().unwrap());
    scene.request("ACK", "alpha", 1, &tag);
    scene.report(5, 0.9);

    let reinvite = scene.request("INVITE", "alpha", 1, &tag);
    let other = scene.call("alpha");

    assert!(reinvite.starts_with("SIP/2.0 200 "), "{reinvite}");
    assert!(other.starts_with("SIP/2.0 503 "), "{other}");
}

#[test]
fn admission_comes_back_with_the_slack() {
    let mut scene = Scene::new(settings(1));
    scene.report(5, 0.9);
    assert_eq!(scene.node().room_for_legs, 0);
    assert!(!scene.readiness().ready);

    scene.report(5, 0.3);

    assert!(scene.node().room_for_legs > 0);
    assert!(scene.readiness().ready);
    let answer = scene.call("alpha");
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(scene.dial_out().is_ok() && scene.connect_two().is_ok());
}

#[test]
fn dialling_out_is_refused_too_and_leaves_nothing_behind() {
    let mut scene = Scene::new(settings(1));
    scene.report(5, 0.9);

    let refused = [scene.dial_out(), scene.connect_two()];

    for error in refused {
        let saturated = matches!(error, Err(ControlError::Saturated { retry_after_s: 4..8, .. }));
        assert!(saturated, "{error:?}");
    }
    let node = scene.node();
    assert_eq!((node.legs, node.rooms, node.calls), (0, 0, 0));
}

#[test]
fn nobody_is_refused_for_a_full_worker_while_another_has_room() {
    let mut scene = Scene::new(settings(2));
    scene.call("alpha");
    scene.report(5, 0.9);

    let (to_alpha, to_beta) = (scene.call("alpha"), scene.call("beta"));

    assert!(to_alpha.starts_with("SIP/2.0 200 "), "{to_alpha}");
    assert!(to_beta.starts_with("SIP/2.0 200 "), "{to_beta}");
}

#[test]
fn ports_are_a_limit_like_any_other() {
    let mut scene = Scene::new(settings(1));

    let answers: Vec<String> = (0..4).map(|_| scene.call("alpha")).collect();

    assert!(answers[2].starts_with("SIP/2.0 200 "), "{answers:?}");
    assert!(answers[3].starts_with("SIP/2.0 503 "), "{answers:?}");
    assert_eq!(retry_after(&answers[3]), 10);
    assert_eq!(scene.node().room_for_legs, 0);
}

fn retry_after(answer: &str) -> u32 {
    let value = answer.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    value.unwrap_or_else(|| panic!("no Retry-After in {answer}")).parse().unwrap()
}

fn settings(media_workers: usize) -> Settings {
    Settings {
        node_name: "here".to_owned(),
        max_legs: 40,
        port_pairs: 3,
        media_load: 0.75,
        calls_per_second: 100,
        ..bridge_settings(&Config::default(), media_workers)
    }
}
