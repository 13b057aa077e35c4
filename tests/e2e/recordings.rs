//! Recordings, as whoever fetches their files hears them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Bridge, Options, Tape, Value, fresh_folder, json, scene, scene_with, wav};

fn record(bridge: &Bridge, body: &Value) -> String {
    let recording = bridge.post("/v1/recordings", body);
    assert_eq!(recording["state"], "recording", "{recording}");
    recording["id"].as_str().unwrap().to_owned()
}

/// Ends a recording; gives it as it is once its files are there.
fn stop(bridge: &Bridge, recording: &str) -> Value {
    bridge.post(&format!("/v1/recordings/{recording}/stop"), &json!({}));
    over(bridge, recording)
}

fn over(bridge: &Bridge, recording: &str) -> Value {
    bridge.wait("recording.completed", |event| event["data"]["id"] == recording);
    bridge.get(&format!("/v1/recordings/{recording}"))
}

fn fetch(bridge: &Bridge, recording: &str, track: &str) -> Vec<u8> {
    let path = format!("/v1/recordings/{recording}/content?track={track}");
    bridge.client.download(&path).unwrap()
}

/// What is heard on a track, told by a program that is not ours if that is Opus.
fn listen(bridge: &Bridge, recording: &str, track: &str) -> Tape {
    let folder = fresh_folder();
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("track");
    let octets = fetch(bridge, recording, track);
    let is_opus = octets.starts_with(b"OggS");
    std::fs::write(&file, octets).unwrap();
    let tape = if is_opus { decoded(&folder, &file) } else { Tape::read(&file) };
    std::fs::remove_dir_all(folder).unwrap();
    tape
}

fn decoded(folder: &Path, file: &Path) -> Tape {
    let wav = folder.join("decoded.wav");
    let info = Command::new("opusinfo").arg(file).output().unwrap();
    let told = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.status.success() && !told.contains("WARNING"), "{told}");
    let mut opusdec = Command::new("opusdec");
    opusdec.args(["--quiet", "--rate", "48000"]).arg(file).arg(&wav);
    assert!(opusdec.status().unwrap().success());
    Tape::read(&wav)
}

#[test]
fn a_room_is_on_one_track_and_each_on_their_own_and_a_pause_is_a_gap_in_both() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    anna.call.expect(&[880], &[440]);
    let recording = record(&scene.bridge, &json!({"room": "standup", "tracks": true}));
    let path = format!("/v1/recordings/{recording}");
    anna.call.hear(&[880], Duration::from_secs(2), Duration::ZERO);
    assert_eq!(scene.bridge.patch(&path, &json!({"paused": true}))["state"], "paused");
    anna.call.hear(&[880], Duration::from_secs(2), Duration::ZERO);
    scene.bridge.patch(&path, &json!({"paused": false}));
    anna.call.hear(&[880], Duration::from_secs(2), Duration::ZERO);

    let over = stop(&scene.bridge, &recording);

    assert_eq!((&over["state"], &over["end_reason"]), (&json!("completed"), &json!("stopped")));
    let marks = over["marks"].as_array().unwrap();
    let at = |kind: &str| {
        let mark = marks.iter().find(|mark| mark["kind"] == kind).unwrap();
        usize::try_from(mark["at_ms"].as_u64().unwrap()).unwrap()
    };
    let (paused, resumed) = (at("paused"), at("resumed"));
    for (track, heard, silent) in [
        ("mix", &[440, 880][..], &[][..]),
        (&anna.leg, &[440], &[880]),
        (&bert.leg, &[880], &[440]),
    ] {
        let tape = listen(&scene.bridge, &recording, track);
        let length = usize::try_from(over["duration_ms"].as_u64().unwrap()).unwrap();
        assert!(tape.duration_ms().abs_diff(length) <= 20, "{track}: {}", tape.duration_ms());
        for part in [tape.part(300, paused - 100), tape.part(resumed + 200, length - 100)] {
            assert!(heard.iter().all(|&hz| part.holds(hz)), "{track}");
            assert!(silent.iter().all(|&hz| !part.holds(hz)), "{track}");
        }
        let gap = tape.part(paused + 100, resumed - 50);
        assert!(
            gap.duration_ms() > 1_500 && ![440, 880].iter().any(|&hz| gap.holds(hz)),
            "{track}"
        );
    }
    let tracks = over["tracks"].as_array().unwrap();
    let leg = tracks.iter().find(|track| track["leg"] == anna.leg.as_str()).unwrap();
    let octets = fetch(&scene.bridge, &recording, &anna.leg);
    assert_eq!(leg["file"]["octets"], octets.len());
    assert_eq!(leg["file"]["rate_hz"], 8_000);
}

#[test]
fn an_ogg_file_is_heard_by_others_and_a_part_of_it_can_be_fetched() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let body = json!({"room": "standup", "format": "opus"});
    let recording = record(&scene.bridge, &body);
    anna.call.hear(&[], Duration::from_secs(3), Duration::ZERO);
    let over = stop(&scene.bridge, &recording);

    let tape = listen(&scene.bridge, &recording, "mix");

    let length = usize::try_from(over["duration_ms"].as_u64().unwrap()).unwrap();
    assert!(tape.duration_ms().abs_diff(length) <= 40, "{} {length}", tape.duration_ms());
    assert!(tape.part(200, length - 200).holds(440));
    let path = format!("/v1/recordings/{recording}/content");
    let part = scene.bridge.client.request("GET", &path, &[("range", "bytes=0-3")], None).unwrap();
    assert_eq!((part.status, part.text.as_str()), (206, "OggS"));
}

#[test]
fn a_recorded_room_tells_everybody_and_who_comes_later_too() {
    let scene = scene();
    let words = wav(1_500, 1);
    let answer = scene.bridge.client.upload("/v1/media/en.recording-started", &words).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let settings = json!({"recording": {"when": "always", "tracks": true}});
    scene.bridge.post("/v1/rooms", &json!({"name": "standup", "settings": settings}));

    let anna = scene.join("anna", "standup", 440);
    let started = scene.bridge.wait("recording.started", |_| true);
    anna.call.expect(&[1_500], &[]);
    scene.bridge.wait("playback.ended", |event| event["data"]["room"].is_string());
    let bert = scene.join("bert", "standup", 880);

    bert.call.expect(&[1_500], &[]);
    assert_eq!(started["data"]["automatic"], true);
    scene.bridge.delete(&format!("/v1/legs/{}", anna.leg));
    scene.bridge.delete(&format!("/v1/legs/{}", bert.leg));
    let recording = over(&scene.bridge, started["data"]["id"].as_str().unwrap());
    assert_eq!(recording["end_reason"], "ended");
    assert_eq!(recording["tracks"].as_array().unwrap().len(), 3);
}

#[test]
fn both_parties_of_a_call_are_recorded() {
    let scene = scene();
    let anna = scene.answering("anna", 440);
    let bert = scene.answering("bert", 880);
    let legs = json!([{"to": anna.uri()}, {"to": bert.uri()}]);
    let call = scene.bridge.post("/v1/calls", &json!({"legs": legs}));
    let id = call["id"].as_str().unwrap();
    scene.bridge.wait("call.connected", |event| event["call"] == id);
    anna.incoming().expect(&[880], &[]);

    let recording = record(&scene.bridge, &json!({"call": id, "tracks": true}));
    bert.incoming().hear(&[440], Duration::from_secs(2), Duration::ZERO);
    scene.bridge.delete(&format!("/v1/calls/{id}"));
    let over = over(&scene.bridge, &recording);

    assert_eq!(over["end_reason"], "ended");
    let mix = listen(&scene.bridge, &recording, "mix");
    assert!(mix.holds(440) && mix.holds(880));
    let names: Vec<&str> = over["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|track| track["name"].as_str().unwrap())
        .collect();
    assert_eq!((names.len(), names[0]), (3, "mix"));
}

#[test]
fn a_kill_leaves_what_was_said_and_the_next_start_tells_of_it() {
    let data = fresh_folder().join("data");
    let options = || Options { data: Some(data.clone()), ..Options::default() };
    let mut scene = scene_with(options());
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);
    let recording = record(&scene.bridge, &json!({"room": "standup", "tracks": true}));
    anna.call.hear(&[880], Duration::from_secs(5), Duration::ZERO);
    let leg = bert.leg;

    scene.bridge.kill();
    let bridge = Bridge::start(options());

    let path = format!("/v1/recordings/{recording}");
    let shown = bridge.get_until(&path, |shown| shown["state"] == "completed");
    assert_eq!(shown["end_reason"], "interrupted");
    assert!(shown["duration_ms"].as_u64().unwrap() >= 3_500, "{shown}");
    for (track, hz) in [("mix", 440), (leg.as_str(), 880)] {
        assert!(listen(&bridge, &recording, track).part(300, 3_400).holds(hz), "{track}");
    }
    let listed = bridge.get("/v1/recordings?room=standup&state=completed");
    assert_eq!(listed["items"][0]["id"], recording.as_str());
    bridge.delete(&format!("/v1/recordings/{recording}"));
    assert_eq!(bridge.try_request("GET", &format!("/v1/recordings/{recording}"), None).status, 404);
    drop(std::fs::remove_dir_all(data));
}

#[test]
fn a_full_disk_ends_the_recording_with_an_event_and_the_call_goes_on() {
    let config = "[recordings]\nkeep_free = 1000000000000000\n".to_owned();
    let scene = scene_with(Options { config, ..Options::default() });
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.join("bert", "standup", 880);

    let recording = record(&scene.bridge, &json!({"room": "standup"}));

    let failed =
        scene.bridge.wait("recording.failed", |event| event["data"]["id"] == recording.as_str());
    assert_eq!(failed["data"]["end_reason"], "disk_full");
    let detail = failed["data"]["detail"].as_str().unwrap();
    assert!(detail.contains("recordings.keep_free"), "{detail}");
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}
