//! What is told to the media threads and to the recorder, in virtual time.

use std::time::Duration;

use api::archive::Record;
use api::control::{Command as Ask, ControlError};
use api::id::RecordingId;
use api::model::{
    Audience as Of, CreateMark, CreateRoom, LegId, MarkKind, RecordWhen, Recording, RecordingEnd,
    RecordingFormat, RecordingOptions, RecordingState, RoomRecording, RoomSettings,
    UpdateParticipant, UpdateRecording,
};

use super::super::Input;
use super::super::scene::Scene;
use super::{Facts, Failure, Order, Report};
use crate::config::Config;
use crate::media::command::{Audience, Command, TapeKey};

const ALL: RecordingOptions = RecordingOptions {
    mix: true,
    tracks: true,
    format: RecordingFormat::Wav,
    rate_hz: None,
    notice: false,
};

fn scene() -> Scene {
    Scene::new(crate::bridge_settings(&Config::default(), 1))
}

fn record(scene: &mut Scene, options: RecordingOptions) -> Result<Recording, ControlError> {
    let of = Of::Room("standup".to_owned());
    scene.ask(|reply| Ask::CreateRecording { of, options, reply })
}

fn shown(scene: &mut Scene, recording: RecordingId) -> Result<Recording, ControlError> {
    scene.ask(|reply| Ask::Recording { recording, reply })
}

fn pause(scene: &mut Scene, recording: RecordingId, paused: bool) -> Recording {
    let body = UpdateRecording { paused: Some(paused), notice: None };
    scene.ask(|reply| Ask::UpdateRecording { recording, body, reply }).unwrap()
}

fn stop(scene: &mut Scene, recording: RecordingId) -> Result<Recording, ControlError> {
    scene.ask(|reply| Ask::StopRecording { recording, reply })
}

/// Tapes that the media threads were told to fill since the last input, and those they were told to leave.
fn taped(scene: &Scene) -> (Vec<(Audience, TapeKey)>, Vec<TapeKey>) {
    let mut begun = Vec::new();
    let mut left = Vec::new();
    for command in &scene.told {
        if let Command::Record { of, tape, .. } = command {
            begun.push((*of, *tape));
        } else if let Command::Unrecord { tape, .. } = command {
            left.push(*tape);
        }
    }
    (begun, left)
}

/// Names of the tracks that the recorder was told to make since the last input.
fn tracks(scene: &Scene) -> Vec<String> {
    let tracks = scene.recorder.iter().filter_map(|order| {
        let Order::Track { name, .. } = order else { return None };
        Some(name.clone())
    });
    tracks.collect()
}

fn facts(name: &str) -> Facts {
    Facts {
        file: format!("{name}.wav"),
        octets: 44,
        rate: 8_000,
        duration_ms: 1_000,
        sha256: "00".to_owned(),
        lost_ms: 0,
    }
}

/// The recorder has closed these files.
fn close(scene: &mut Scene, recording: RecordingId, names: &[&str]) {
    let tracks = names.iter().map(|name| facts(name)).collect();
    scene.input(Input::Recorder(Report::Finished { recording, tracks }));
}

fn remembered(scene: &Scene) -> Recording {
    let recordings = scene.records.iter().rev().find_map(|record| {
        let Record::Recording(recording) = record else { return None };
        Some((**recording).clone())
    });
    recordings.unwrap()
}

fn leg(scene: &mut Scene) -> LegId {
    *scene.bridge().legs.keys().next_back().unwrap()
}

#[test]
fn a_recording_has_a_mix_and_a_track_for_each_and_ends_once_its_files_are_closed() {
    let mut scene = scene();
    scene.joined("standup");
    let anna = leg(&mut scene);

    let recording = record(&mut scene, ALL).unwrap();

    assert_eq!(recording.state, RecordingState::Recording);
    assert_eq!(tracks(&scene), ["mix".to_owned(), anna.to_string()]);
    let (begun, _) = taped(&scene);
    assert!(matches!(begun[..], [(Audience::Mix(_), _), (Audience::Leg(_), _)]), "{begun:?}");
    assert_eq!(scene.names(), ["recording.started"]);
    scene.wait(Duration::from_secs(1));
    assert_eq!(stop(&mut scene, recording.id).unwrap().state, RecordingState::Finishing);
    assert_eq!(taped(&scene).1.len(), 2);
    assert!(
        matches!(scene.recorder[..], [Order::Finish { ticks: 50, .. }]),
        "{:?}",
        scene.recorder
    );
    assert!(stop(&mut scene, recording.id).is_err());
    close(&mut scene, recording.id, &["mix", &anna.to_string()]);
    assert_eq!(scene.names(), ["recording.completed"]);
    let over = remembered(&scene);
    assert_eq!((over.state, over.duration_ms), (RecordingState::Completed, 1_000));
    assert_eq!(over.end_reason, Some(RecordingEnd::Stopped));
    assert!(over.tracks.iter().all(|track| track.file.is_some()), "{over:?}");
    assert_eq!(shown(&mut scene, recording.id).unwrap(), over, "who asks before the store knows");
    scene.wait(Duration::from_secs(10));
    assert!(matches!(shown(&mut scene, recording.id), Err(ControlError::NotFound { .. })));
}

#[test]
fn who_comes_has_a_track_and_who_comes_again_goes_on_with_it() {
    let mut scene = scene();
    scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap();

    let answer = scene.call("standup");
    let ((first, _), made) = (taped(&scene), tracks(&scene));
    let bert = scene.acknowledged(&answer).leg;
    assert_eq!(made, [bert.to_string()]);
    let body = UpdateParticipant { room: Some("other".to_owned()), ..Default::default() };
    let room = "standup".to_owned();
    let other = CreateRoom { name: Some("other".to_owned()), ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body: other, reply }).unwrap();
    let condition = api::control::IfMatch::default();
    scene.ask(|reply| Ask::UpdateParticipant { room, leg: bert, body, condition, reply }).unwrap();
    assert_eq!(taped(&scene), (Vec::new(), vec![first[0].1]));
    let body = UpdateParticipant { room: Some("standup".to_owned()), ..Default::default() };
    let (room, condition) = ("other".to_owned(), api::control::IfMatch::default());
    scene.ask(|reply| Ask::UpdateParticipant { room, leg: bert, body, condition, reply }).unwrap();

    assert_eq!(taped(&scene), (first, Vec::new()));
    assert_eq!(tracks(&scene), [""; 0]);
    let kinds: Vec<MarkKind> =
        shown(&mut scene, recording.id).unwrap().marks.iter().map(|mark| mark.kind).collect();
    assert_eq!(kinds, [MarkKind::Joined, MarkKind::Left, MarkKind::Joined]);
}

#[test]
fn while_it_is_paused_nothing_is_taped_and_who_comes_waits_for_it_to_go_on() {
    let mut scene = scene();
    scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap();
    let (first, _) = taped(&scene);

    assert_eq!(pause(&mut scene, recording.id, true).state, RecordingState::Paused);
    assert_eq!(scene.names(), ["recording.paused"]);
    assert_eq!(taped(&scene).1.len(), 2);
    assert_eq!(pause(&mut scene, recording.id, true).state, RecordingState::Paused);
    assert_eq!(scene.names(), [""; 0]);
    scene.call("standup");
    assert_eq!((taped(&scene).0.len(), tracks(&scene).len()), (0, 1));
    scene.wait(Duration::from_millis(200));
    pause(&mut scene, recording.id, false);

    let (again, _) = taped(&scene);
    assert_eq!(again.len(), 3);
    assert!(first.iter().all(|tape| again.contains(tape)), "the same tapes go on: {again:?}");
    let marks = shown(&mut scene, recording.id).unwrap().marks;
    let resumed = marks.iter().find(|mark| mark.kind == MarkKind::Resumed).unwrap();
    assert_eq!(resumed.at_ms, 200);
}

#[test]
fn a_room_that_ends_ends_its_recordings() {
    let mut scene = scene();
    let talk = scene.joined("standup");
    let recording = record(&mut scene, RecordingOptions { tracks: false, ..ALL }).unwrap();

    scene.within(&talk, ("BYE", 2), "");
    close(&mut scene, recording.id, &["mix"]);

    assert_eq!(scene.told("recording.completed")["end_reason"], "ended");
}

#[test]
fn what_the_disk_does_not_take_has_failed_and_the_call_goes_on() {
    let mut scene = scene();
    scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap().id;

    let failure = Failure::DiskFull("no space left".to_owned());
    scene.input(Input::Recorder(Report::Failed { recording, failure }));
    assert!(matches!(scene.recorder[..], [Order::Finish { .. }]));
    close(&mut scene, recording, &["mix"]);

    let told = scene.told("recording.failed");
    assert_eq!(
        (told["end_reason"].as_str(), told["detail"].as_str()),
        (Some("disk_full"), Some("no space left"))
    );
    assert_eq!(scene.bridge().legs.len(), 1);
}

#[test]
fn notes_talk_and_keys_are_marked_and_too_many_marks_are_counted() {
    let mut settings = crate::bridge_settings(&Config::default(), 1);
    settings.recordings.marks = 2;
    let mut scene = Scene::new(settings);
    scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap().id;
    scene.wait(Duration::from_millis(60));
    let mark = |scene: &mut Scene, label: &str| {
        let body = CreateMark { label: label.to_owned() };
        scene.ask(|reply| Ask::MarkRecording { recording, body, reply }).unwrap()
    };

    mark(&mut scene, "vote");
    mark(&mut scene, "break");
    let shown = mark(&mut scene, "one more");

    let marks: Vec<_> =
        shown.marks.iter().map(|mark| (mark.at_ms, mark.label.as_deref().unwrap())).collect();
    assert_eq!(marks, [(60, "vote"), (60, "break")]);
    assert_eq!(shown.marks_dropped, 1);
}

#[test]
fn a_room_is_recorded_by_itself_once_a_moderator_is_there_and_no_more_with_the_last() {
    let mut scene = scene();
    let settings = RoomSettings {
        pin: Some(String::new()),
        recording: Some(RoomRecording { when: RecordWhen::Moderator, ..Default::default() }),
        ..Default::default()
    };
    let body = CreateRoom { name: Some("standup".to_owned()), settings, ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    let talk = scene.joined("standup");
    assert_eq!(scene.bridge().recordings.ongoing.len(), 0);

    let (room, leg) = ("standup".to_owned(), leg(&mut scene));
    let body = UpdateParticipant { role: Some(api::model::Role::Moderator), ..Default::default() };
    let condition = api::control::IfMatch::default();
    scene.ask(|reply| Ask::UpdateParticipant { room, leg, body, condition, reply }).unwrap();

    assert!(scene.names().contains(&"recording.started"), "{:?}", scene.names());
    assert!(scene.names().contains(&"playback.started"), "everybody is told of it");
    let recording = *scene.bridge().recordings.ongoing.keys().next().unwrap();
    assert!(shown(&mut scene, recording).unwrap().automatic);
    stop(&mut scene, recording).unwrap();
    close(&mut scene, recording, &["mix"]);
    scene.joined("standup");
    assert_eq!(scene.bridge().recordings.ongoing.len(), 0, "who stopped it does not want it again");
    let other = leg_of_second(&mut scene, leg);
    drop((talk, other));
}

fn leg_of_second(scene: &mut Scene, first: LegId) -> LegId {
    *scene.bridge().legs.keys().find(|leg| **leg != first).unwrap()
}

#[test]
fn what_an_earlier_run_left_is_told_as_interrupted() {
    let mut scene = scene();
    scene.joined("standup");
    let recording = record(&mut scene, RecordingOptions { tracks: false, ..ALL }).unwrap();
    let body = serde_json::to_string(&recording).unwrap();
    let mut next = self::scene();

    let tracks = vec![facts("mix")];
    next.input(Input::Recorder(Report::Recovered { body, tracks }));

    let told = next.told("recording.completed");
    assert_eq!(
        (told["end_reason"].as_str(), told["duration_ms"].as_u64()),
        (Some("interrupted"), Some(1_000))
    );
    assert_eq!(told["tracks"][0]["file"]["name"], "mix.wav");
    assert_eq!(remembered(&next).id, recording.id);
}

#[test]
fn a_recording_that_is_too_long_ends() {
    let mut scene = scene();
    scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap().id;

    scene.wait(Duration::from_hours(12));

    let shown = shown(&mut scene, recording).unwrap();
    assert_eq!(shown.end_reason, Some(RecordingEnd::TooLong));
}

#[test]
fn the_bridge_does_not_stop_before_its_recordings_are_on_the_disk() {
    let mut scene = scene();
    // A room that goes on after a restart.
    let body = CreateRoom { name: Some("standup".to_owned()), ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    let talk = scene.joined("standup");
    let recording = record(&mut scene, ALL).unwrap().id;

    scene.input(Input::Drain);
    scene.within(&talk, ("BYE", 2), "");
    scene.wait(Duration::from_mins(1));
    assert!(!scene.has_drained);
    close(&mut scene, recording, &[]);

    assert!(scene.has_drained);
}
