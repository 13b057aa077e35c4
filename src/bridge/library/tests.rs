//! Uploads, from the file to what is played.

use api::archive::Change;
use api::control::{Command as Ask, ControlError, IfMatch, Reply};
use api::model::{Media, MediaOrigin};
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::bridge::scene::{Disk, Scene};
use crate::bridge::{Input, Settings};
use crate::config::Config;

type Waiting = Receiver<Result<Media, ControlError>>;

fn scene() -> Scene {
    let sounds = SoundSettings { memory: 64_000, ..SoundSettings::default() };
    Scene::new(Settings { sounds, ..crate::bridge_settings(&Config::default(), 1) })
}

/// Uploads something; what the shell is to convert comes with it.
fn upload(
    scene: &mut Scene,
    name: &str,
    condition: IfMatch,
) -> (Waiting, Option<(ConversionId, String)>) {
    let (reply, answer) = Reply::channel();
    let (media, sound) = (name.to_owned(), Bytes::from_static(b"file"));
    scene.input(Input::Command(Ask::PutMedia { media, sound, condition, reply }));
    (answer, scene.conversions.pop())
}

fn clip(samples: usize) -> Clip {
    Clip::new(8_000, vec![1_000; samples]).unwrap()
}

/// The same, converted to so many samples.
fn uploaded(scene: &mut Scene, name: &str, samples: usize) -> Result<Media, ControlError> {
    let (mut answer, conversion) = upload(scene, name, IfMatch::default());
    let (id, _) = conversion.ok_or(ControlError::Stopping)?;
    scene.input(Input::Converted(id, Ok(clip(samples))));
    answer.try_recv().unwrap_or(Err(ControlError::Stopping))
}

fn shown(scene: &mut Scene, name: &str) -> Result<Media, ControlError> {
    let media = name.to_owned();
    scene.ask(|reply| Ask::Media { media, reply })
}

fn delete(scene: &mut Scene, name: &str) -> Result<(), ControlError> {
    let (media, condition) = (name.to_owned(), IfMatch::default());
    scene.ask(|reply| Ask::DeleteMedia { media, condition, reply })
}

#[test]
fn an_upload_is_played_once_it_is_converted_and_stored() {
    let mut scene = scene();
    let (mut answer, conversion) = upload(&mut scene, "jingle", IfMatch::default());
    let (id, file) = conversion.unwrap();
    assert!(file.starts_with("jingle."), "{file}");
    assert!(answer.try_recv().is_err() && shown(&mut scene, "jingle").is_err());

    scene.input(Input::Converted(id, Ok(clip(8_000))));

    let media = answer.try_recv().unwrap().unwrap();
    assert_eq!((media.duration_ms, media.octets), (Some(1_000), 16_000));
    assert_eq!(shown(&mut scene, "jingle").unwrap(), media);
    let Some(Change::Put(document)) = scene.stored.last() else { panic!("{:?}", scene.stored) };
    assert!(keeps_sound(std::slice::from_ref(document), &file));
}

#[test]
fn another_upload_takes_its_place_and_its_file_goes() {
    let mut scene = scene();
    let first = uploaded(&mut scene, "jingle", 8_000).unwrap();
    let stale = IfMatch(Some(vec![first.revision]));

    let second = uploaded(&mut scene, "jingle", 16_000).unwrap();

    assert!(second.revision > first.revision);
    assert_eq!(scene.discarded.len(), 1);
    assert!(scene.discarded[0].contains(&first.revision.to_string()));
    let (mut answer, conversion) = upload(&mut scene, "jingle", stale);
    assert!(conversion.is_none());
    assert!(matches!(answer.try_recv().unwrap(), Err(ControlError::Stale { .. })));
}

#[test]
fn what_is_shipped_can_be_replaced_and_comes_back() {
    let mut scene = scene();
    let shipped = shown(&mut scene, "en.goodbye").unwrap();
    assert!(matches!(delete(&mut scene, "en.goodbye"), Err(ControlError::Conflict { .. })));

    uploaded(&mut scene, "en.goodbye", 800).unwrap();
    assert_eq!(shown(&mut scene, "en.goodbye").unwrap().origin, MediaOrigin::Uploaded);
    delete(&mut scene, "en.goodbye").unwrap();

    assert_eq!(shown(&mut scene, "en.goodbye").unwrap(), shipped);
    assert!(matches!(delete(&mut scene, "jingle"), Err(ControlError::NotFound { .. })));
}

#[test]
fn what_finds_no_place_leaves_no_file() {
    let mut scene = scene();
    uploaded(&mut scene, "first", 24_000).unwrap();

    let full = uploaded(&mut scene, "second", 24_000).unwrap_err();
    assert!(matches!(full, ControlError::Conflict { code: "media_full", .. }));
    assert_eq!(scene.discarded.len(), 1);
    uploaded(&mut scene, "first", 32_000).unwrap();
    let (mut broken, conversion) = upload(&mut scene, "third", IfMatch::default());
    scene.input(Input::Converted(conversion.unwrap().0, Err("expected WAV".to_owned())));

    assert!(matches!(broken.try_recv().unwrap(), Err(ControlError::Invalid { .. })));
    scene.store = Disk::Fails;
    assert!(matches!(uploaded(&mut scene, "first", 100), Err(ControlError::Unstored { .. })));
    assert_eq!(shown(&mut scene, "first").unwrap().octets, 64_000);
    for name in ["", ".hidden", "a/b", "ä"] {
        let (mut answer, conversion) = upload(&mut scene, name, IfMatch::default());
        assert!(conversion.is_none());
        assert!(matches!(answer.try_recv().unwrap(), Err(ControlError::Invalid { .. })), "{name}");
    }
}

#[test]
fn uploads_are_bounded() {
    let mut scene = scene();
    let waiting: Vec<_> = (0..MAX_UPLOADS)
        .map(|at| upload(&mut scene, &format!("m{at}"), IfMatch::default()))
        .collect();

    let (mut answer, conversion) = upload(&mut scene, "one-more", IfMatch::default());

    assert!(conversion.is_none() && waiting.iter().all(|(_, conversion)| conversion.is_some()));
    assert!(matches!(answer.try_recv().unwrap(), Err(ControlError::Busy { .. })));
}
