//! Announcements, music and prompts in virtual time; the media threads say when something is over.

use std::time::Duration;

use api::control::{Command as Ask, ControlError};
use api::model::{
    Audience as To, Hold, KickQuery, LeftReason, LegId, PageQuery, Play, PlayMode, PlayMusic,
    Playback, PlaybackEnd, PlaybackId, PlaybackQuery, PlaybackState, UpdatePlayback,
};

use crate::bridge::Input;
use crate::bridge::scene::Scene;
use crate::config::Config;
use crate::media::command::{Audience, Command, Event, PlayId, Steer};

fn scene() -> Scene {
    Scene::new(crate::bridge_settings(&Config::default(), 1))
}

fn play(media: &[&str]) -> Play {
    Play {
        media: media.iter().map(|name| (*name).to_owned()).collect(),
        repeat: 1,
        gain_db: 0.0,
        duck_db: 0.0,
        position_ms: 0,
        mode: PlayMode::Queue,
    }
}

fn announce(scene: &mut Scene, body: Play) -> Result<Playback, ControlError> {
    let to = To::Room("standup".to_owned());
    scene.ask(|reply| Ask::Play { to, body, reply })
}

fn shown(scene: &mut Scene, playback: PlaybackId) -> Playback {
    scene.ask(|reply| Ask::Playback { playback, reply }).unwrap()
}

fn update(
    scene: &mut Scene,
    playback: PlaybackId,
    body: UpdatePlayback,
) -> Result<Playback, ControlError> {
    scene.ask(|reply| Ask::UpdatePlayback { playback, body, reply })
}

/// What the media threads were told to play since the last input.
fn begun(scene: &Scene) -> Vec<(Audience, PlayId, Duration)> {
    let begun = scene.told.iter().filter_map(|command| {
        let Command::Play { to, id, play } = command else { return None };
        Some((*to, *id, play.from))
    });
    begun.collect()
}

fn steered(scene: &Scene) -> Vec<Steer> {
    let steered = scene.told.iter().filter_map(|command| {
        let Command::Steer { steer, .. } = command else { return None };
        Some(*steer)
    });
    steered.collect()
}

fn over(scene: &mut Scene, id: PlayId, cut: bool) {
    scene.input(Input::Media(Event::Played { id, cut }));
}

#[test]
fn an_announcement_is_heard_and_over() {
    let mut scene = scene();
    scene.joined("standup");

    let playback = announce(&mut scene, play(&["en.welcome", "tone.beep"])).unwrap();

    assert_eq!(playback.state, PlaybackState::Playing);
    assert!(playback.duration_ms > 1_000 && playback.position_ms == 0, "{playback:?}");
    assert_eq!(scene.names(), ["playback.started"]);
    let [(Audience::Mix(_), id, _)] = begun(&scene)[..] else { panic!("{:?}", scene.told) };
    scene.wait(Duration::from_millis(400));
    assert_eq!(shown(&mut scene, playback.id).position_ms, 400);
    over(&mut scene, id, false);
    assert_eq!(scene.told("playback.ended")["end_reason"], "completed");
    let ended = shown(&mut scene, playback.id);
    assert_eq!(
        (ended.state, ended.end_reason),
        (PlaybackState::Ended, Some(PlaybackEnd::Completed))
    );
    over(&mut scene, id, false);
    assert_eq!(scene.names(), [""; 0]);
}

#[test]
fn announcements_follow_each_other_and_may_replace_or_go_beside_each_other() {
    let mut scene = scene();
    scene.joined("standup");
    announce(&mut scene, play(&["en.welcome"])).unwrap();
    let first = begun(&scene)[0].1;

    let second = announce(&mut scene, play(&["en.goodbye"])).unwrap();
    assert_eq!((second.state, begun(&scene).len()), (PlaybackState::Queued, 0));
    let beside = Play { mode: PlayMode::Overlay, ..play(&["tone.beep"]) };
    assert_eq!(announce(&mut scene, beside).unwrap().state, PlaybackState::Playing);
    over(&mut scene, first, false);
    assert_eq!(scene.names(), ["playback.ended", "playback.started"]);
    let waiting = announce(&mut scene, play(&["en.alone"])).unwrap();
    let instead = Play { mode: PlayMode::Replace, ..play(&["en.locked"]) };

    let playing = announce(&mut scene, instead).unwrap();

    assert_eq!(playing.state, PlaybackState::Playing);
    for replaced in [second.id, waiting.id] {
        assert_eq!(shown(&mut scene, replaced).end_reason, Some(PlaybackEnd::Replaced));
    }
    let query = PlaybackQuery::default();
    let listed = scene.ask(|reply| Ask::ListPlaybacks { query, reply }).unwrap();
    assert_eq!(listed.items.iter().map(|one| one.id).collect::<Vec<_>>(), [playing.id]);
}

#[test]
fn what_nobody_hears_waits_for_somebody() {
    let mut scene = scene();
    let body = api::model::CreateRoom { name: Some("standup".to_owned()), ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();

    let waiting = announce(&mut scene, play(&["en.welcome"])).unwrap();
    assert_eq!(waiting.state, PlaybackState::Queued);
    scene.joined("standup");

    assert_eq!(shown(&mut scene, waiting.id).state, PlaybackState::Playing);
}

#[test]
fn music_goes_on_where_it_was_when_somebody_comes_again() {
    let mut scene = scene();
    let body = api::model::CreateRoom { name: Some("standup".to_owned()), ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    let talk = scene.joined("standup");
    let (room, body) = ("standup".to_owned(), PlayMusic::default());
    let music = scene.ask(|reply| Ask::PlayMusic { room, body, reply }).unwrap();
    let id = begun(&scene)[0].1;
    assert_eq!((music.repeat, &music.media[..]), (0, &["music".to_owned()][..]));

    scene.wait(Duration::from_secs(3));
    scene.bridge().end_leg(talk.leg, LeftReason::HungUp, None);
    scene.input(Input::Timeout);
    over(&mut scene, id, true);
    assert_eq!(shown(&mut scene, music.id).state, PlaybackState::Queued);
    scene.wait(Duration::from_secs(3));
    scene.call("standup");

    assert_eq!(begun(&scene)[0].2, Duration::from_secs(3));
    let room = "standup".to_owned();
    scene.ask(|reply| Ask::StopMusic { room, reply }).unwrap();
    assert_eq!(steered(&scene), [Steer::Stop]);
    assert_eq!(scene.told("playback.ended")["end_reason"], "stopped");
}

#[test]
fn an_announcement_that_loses_its_last_hearer_is_over() {
    let mut scene = scene();
    let body = api::model::CreateRoom { name: Some("standup".to_owned()), ..Default::default() };
    scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();
    let talk = scene.joined("standup");
    announce(&mut scene, play(&["en.welcome"])).unwrap();
    let id = begun(&scene)[0].1;
    scene.bridge().end_leg(talk.leg, LeftReason::HungUp, None);

    over(&mut scene, id, true);

    assert_eq!(scene.told("playback.ended")["end_reason"], "nobody_left");
}

#[test]
fn a_part_of_a_room_that_ends_does_not_end_what_the_others_hear() {
    let mut scene = scene();
    scene.joined("standup");
    announce(&mut scene, play(&["en.menu-participant"])).unwrap();
    let id = begun(&scene)[0].1;
    scene.wait(Duration::from_secs(2));

    over(&mut scene, id, true);

    assert_eq!(begun(&scene)[0].2, Duration::from_secs(2));
    assert_eq!(scene.names(), [""; 0]);
}

#[test]
fn a_pause_a_seek_and_a_gain_reach_the_media_threads() {
    let mut scene = scene();
    scene.joined("standup");
    let playback = announce(&mut scene, play(&["en.menu-participant"])).unwrap().id;
    scene.wait(Duration::from_secs(1));

    let paused = UpdatePlayback { paused: Some(true), ..UpdatePlayback::default() };
    assert_eq!(update(&mut scene, playback, paused.clone()).unwrap().state, PlaybackState::Paused);
    assert_eq!(steered(&scene), [Steer::Pause]);
    scene.wait(Duration::from_secs(5));
    assert_eq!(shown(&mut scene, playback).position_ms, 1_000);
    update(&mut scene, playback, paused).unwrap();
    assert_eq!(steered(&scene), []);
    let on = UpdatePlayback { paused: Some(false), position_ms: Some(3_000), gain_db: Some(-6.0) };
    update(&mut scene, playback, on).unwrap();
    let expected = [Steer::Seek(Duration::from_secs(3)), Steer::Gain(-6.0), Steer::Resume];
    assert_eq!(steered(&scene), expected);
    scene.wait(Duration::from_millis(500));
    assert_eq!(shown(&mut scene, playback).position_ms, 3_500);

    let beyond = UpdatePlayback { position_ms: Some(600_000), ..UpdatePlayback::default() };
    assert!(matches!(update(&mut scene, playback, beyond), Err(ControlError::Invalid { .. })));
}

#[test]
fn voices_are_lowered_while_an_announcement_asks_for_it() {
    let mut scene = scene();
    scene.joined("standup");
    announce(&mut scene, Play { duck_db: 20.0, ..play(&["en.welcome"]) }).unwrap();
    let id = begun(&scene)[0].1;
    let ducked = |scene: &Scene| {
        scene.told.iter().find_map(|command| {
            let Command::Duck { gain_db, .. } = command else { return None };
            Some(*gain_db)
        })
    };
    assert_eq!(ducked(&scene), Some(-20.0));

    over(&mut scene, id, false);

    assert_eq!(ducked(&scene).map(f32::abs), Some(0.0));
}

#[test]
fn a_leg_hears_its_own_and_takes_it_along() {
    let mut scene = scene();
    let talk = scene.joined("standup");
    let to = To::Leg(talk.leg);
    let body = Play { duck_db: 12.0, ..play(&["en.muted"]) };

    let playback = scene.ask(|reply| Ask::Play { to, body, reply }).unwrap();

    assert_eq!((playback.leg, playback.room), (Some(talk.leg), None));
    let media = scene.bridge_leg(talk.leg).media;
    assert_eq!(begun(&scene)[0].0, Audience::Leg(media));
    let seat = scene.bridge_leg(talk.leg).seat();
    assert!((seat.gain_out_db + 12.0).abs() < f32::EPSILON, "{seat:?}");
    scene.bridge().end_leg(talk.leg, LeftReason::Kicked, None);
    scene.input(Input::Timeout);
    assert_eq!(shown(&mut scene, playback.id).end_reason, Some(PlaybackEnd::NobodyLeft));
}

#[test]
fn a_list_within_rooms_has_what_they_and_the_legs_in_them_hear() {
    let mut scene = scene();
    let (here, there) = (scene.joined("standup"), scene.joined("elsewhere"));
    let room = scene.leg(here.leg).room.unwrap();
    let to_room = announce(&mut scene, play(&["tone.beep"])).unwrap().id;
    let mut to_leg = |leg| {
        let body = play(&["tone.beep"]);
        scene.ask(|reply| Ask::Play { to: To::Leg(leg), body, reply }).unwrap().id
    };
    let (to_one, _) = (to_leg(here.leg), to_leg(there.leg));

    let query = PlaybackQuery { within: vec![room], ..PlaybackQuery::default() };
    let listed = scene.ask(|reply| Ask::ListPlaybacks { query, reply }).unwrap();

    let mut ids: Vec<_> = listed.items.iter().map(|one| one.id).collect();
    ids.sort();
    let mut expected = vec![to_room, to_one];
    expected.sort();
    assert_eq!(ids, expected);
}

#[test]
fn what_cannot_be_played_is_refused_and_says_why() {
    let mut scene = scene();
    scene.joined("standup");
    let unknown = announce(&mut scene, play(&["tone.beep", "nothing"])).unwrap_err();
    let late = announce(&mut scene, Play { position_ms: 600_000, ..play(&["tone.beep"]) });
    let nowhere = {
        let (to, body) = (To::Room("nowhere".to_owned()), play(&["tone.beep"]));
        scene.ask(|reply| Ask::Play { to, body, reply })
    };
    let nobody = {
        let (to, body) = (To::Leg(LegId::new(1, 1)), play(&["tone.beep"]));
        scene.ask(|reply| Ask::Play { to, body, reply })
    };

    let ControlError::Invalid { pointer, .. } = unknown else { panic!("{unknown:?}") };
    assert_eq!(pointer, "/media/1");
    assert!(matches!(late, Err(ControlError::Invalid { .. })));
    assert!(matches!(nowhere, Err(ControlError::NotFound { what: "room", .. })));
    assert!(matches!(nobody, Err(ControlError::NotFound { what: "leg", .. })));
    for _ in 0..64 {
        announce(&mut scene, play(&["tone.beep"])).unwrap();
    }
    let too_many = announce(&mut scene, play(&["tone.beep"])).unwrap_err();
    assert!(matches!(too_many, ControlError::Conflict { code: "too_many_playbacks", .. }));
}

#[test]
fn media_is_listed_by_name() {
    let mut scene = scene();
    let query = PageQuery { limit: Some(500), ..PageQuery::default() };

    let page = scene.ask(|reply| Ask::ListMedia { query, reply }).unwrap();

    assert!(page.items.iter().any(|media| media.name == "tr.enter-pin"));
    let media = "music".to_owned();
    let music = scene.ask(|reply| Ask::Media { media, reply }).unwrap();
    assert!(music.duration_ms > Some(10_000), "{music:?}");
}

#[test]
fn who_is_held_hears_the_music_that_was_asked_for_until_they_are_not() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let hold = |scene: &mut Scene, held: bool, music: Option<&str>| {
        let body = Hold { music: music.map(str::to_owned) };
        scene.ask(|reply| Ask::HoldLeg { leg: anna.leg, held, body, reply })
    };

    let unknown = hold(&mut scene, true, Some("nothing"));
    assert!(
        matches!(unknown, Err(ControlError::Invalid { ref pointer, .. }) if pointer == "/music")
    );
    hold(&mut scene, true, Some("music")).unwrap();
    let [(Audience::Leg(_), _, _)] = begun(&scene)[..] else { panic!("{:?}", scene.told) };
    hold(&mut scene, true, Some("tone.beep")).unwrap();
    assert_eq!((begun(&scene).len(), steered(&scene)), (1, vec![Steer::Stop]));
    hold(&mut scene, false, None).unwrap();

    assert_eq!(steered(&scene), [Steer::Stop]);
}

#[test]
fn who_is_removed_hears_why_and_is_hung_up_then() {
    let mut scene = scene();
    let anna = scene.joined("standup");
    let kick = |scene: &mut Scene, prompt: &str| {
        let (room, query) = ("standup".to_owned(), KickQuery { prompt: Some(prompt.to_owned()) });
        scene.ask(|reply| Ask::Kick { room, leg: anna.leg, query, reply })
    };
    assert!(kick(&mut scene, "nothing").is_err());

    kick(&mut scene, "en.kicked").unwrap();
    let [(Audience::Leg(_), id, _)] = begun(&scene)[..] else { panic!("{:?}", scene.told) };
    assert!(!scene.has_sent("BYE "));
    over(&mut scene, id, false);

    assert!(scene.has_sent("BYE "));
    assert_eq!(scene.told("participant.left")["left_reason"], "kicked");
}
