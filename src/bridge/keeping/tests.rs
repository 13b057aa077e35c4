use api::archive::Change;
use api::control::{Command, Reply};
use api::model::ReplaceRoute;
use serde_json::{Value, json};

use super::*;
use crate::bridge::scene::{Disk, Scene};
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;

fn settings() -> Settings {
    bridge_settings(&Config::default(), 1)
}

fn parsed<T: DeserializeOwned>(text: Value) -> T {
    serde_json::from_value(text).unwrap()
}

fn route(name: &str) -> Route {
    parsed(json!({"name": name, "steps": [{"room": "lobby"}]}))
}

fn create(scene: &mut Scene, name: &str) -> Answer<Provisioned<Route>> {
    let body = route(name);
    scene.ask(|reply| Command::CreateRoute { body, reply })
}

fn names(scene: &mut Scene) -> Vec<String> {
    let query = model::PageQuery::default();
    let page = scene.ask(|reply| Command::ListRoutes { query, reply }).unwrap();
    page.items.into_iter().map(|route| route.item.name).collect()
}

/// What a store that took these changes holds.
fn documents(changes: &[Change]) -> Vec<Document> {
    let mut kept: BTreeMap<(DocumentKind, String), Document> = BTreeMap::new();
    for change in changes.iter().cloned() {
        match change {
            Change::Put(document) => {
                kept.insert((document.kind, document.name.clone()), document);
            }
            Change::Remove(kind, name) => {
                kept.remove(&(kind, name));
            }
        }
    }
    kept.into_values().collect()
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let mut scene = Scene::new(settings());
    let first = create(&mut scene, "first").unwrap();
    create(&mut scene, "second").unwrap();
    let (route, condition) = ("second".to_owned(), IfMatch::default());
    scene.ask(|reply| Command::DeleteRoute { route, condition, reply }).unwrap();

    let kept = documents(&scene.stored);
    let mut again = Scene::new(Settings { kept, ..settings() });

    assert_eq!(names(&mut again), ["first"]);
    let shown = again.ask(|reply| Command::Route { route: "first".to_owned(), reply });
    assert_eq!(shown, Ok(first));
    let newer = create(&mut again, "third").unwrap();
    assert!(newer.revision > shown.unwrap().revision);
}

#[test]
fn what_the_store_does_not_take_has_not_happened() {
    let mut scene = Scene::new(settings());
    scene.store = Disk::Fails;

    let refused = create(&mut scene, "first");
    let standing = scene.call("lobby");

    assert!(
        matches!(&refused, Err(ControlError::Unstored { detail }) if detail.contains("no space")),
        "{refused:?}"
    );
    assert!(names(&mut scene).is_empty());
    assert!(standing.starts_with("SIP/2.0 200 "), "calls go on: {standing}");
    scene.store = Disk::Works;
    assert!(create(&mut scene, "first").is_ok());
}

#[test]
fn a_client_waits_ten_seconds_and_what_is_stored_later_is_made_later() {
    let mut scene = Scene::new(settings());
    scene.store = Disk::Hangs;
    let (reply, mut answer) = Reply::channel();
    scene.input(Input::Command(Command::CreateRoute { body: route("first"), reply }));

    let second = create(&mut scene, "first");
    assert!(matches!(second, Err(ControlError::Busy { .. })), "{second:?}");
    assert!(answer.try_recv().is_err() && names(&mut scene).is_empty());
    scene.wait(PATIENCE);
    let told = answer.try_recv().unwrap();
    assert!(matches!(told, Err(ControlError::Unstored { .. })), "{told:?}");
    scene.input(Input::Stored(ChangeId(1), Ok(())));

    assert_eq!(names(&mut scene), ["first"]);
}

#[test]
fn a_change_for_another_revision_is_refused() {
    let mut scene = Scene::new(settings());
    let made = create(&mut scene, "first").unwrap();
    let replace = |scene: &mut Scene, revision: u64| {
        let body: ReplaceRoute = parsed(json!({"steps": [{"room": "other"}]}));
        let (route, condition) = ("first".to_owned(), IfMatch(Some(vec![revision])));
        scene.ask(|reply| Command::ReplaceRoute { route, body, condition, reply })
    };

    let changed = replace(&mut scene, made.revision).unwrap();
    let stale = replace(&mut scene, made.revision);

    assert!(changed.revision > made.revision);
    assert_eq!(stale, Err(ControlError::Stale { what: "route", revision: changed.revision }));
}

#[test]
fn what_the_settings_made_is_changed_there() {
    let rule = Rule::new(route("fixed")).unwrap();
    let stored = Document {
        kind: DocumentKind::Route,
        name: "fixed".to_owned(),
        revision: 7,
        body: serde_json::to_string(&route("fixed")).unwrap(),
    };
    let mut scene = Scene::new(Settings { routes: vec![rule], kept: vec![stored], ..settings() });

    let (route, condition) = ("fixed".to_owned(), IfMatch::default());
    let refused = scene.ask(|reply| Command::DeleteRoute { route, condition, reply });
    let shown = scene.ask(|reply| Command::Route { route: "fixed".to_owned(), reply });

    assert!(
        matches!(refused, Err(ControlError::Conflict { code: "made_by_settings", .. })),
        "{refused:?}"
    );
    assert_eq!(shown.unwrap().source, Source::Settings);
}

#[test]
fn what_cannot_be_read_is_left_out_and_the_rest_is_there() {
    let document = |name: &str, body: String| Document {
        kind: DocumentKind::Route,
        name: name.to_owned(),
        revision: 1,
        body,
    };
    let kept = vec![
        document("broken", "{".to_owned()),
        document("strange", json!({"name": "strange", "steps": []}).to_string()),
        document("good", serde_json::to_string(&route("good")).unwrap()),
    ];

    let mut scene = Scene::new(Settings { kept, ..settings() });

    assert_eq!(names(&mut scene), ["good"]);
}
