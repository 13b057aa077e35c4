//! Keys that are made over the API.

use api::archive::{self, Record, StoreFailure};
use api::control::Command;
use api::id::{CallId, PlaybackId};
use api::model::Playback;
use api::samples;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bridge::{House, QUEUES, house, house_where, request_by};

async fn make(house: &House, body: Value) -> (String, String) {
    let made = house.post("/v1/api_keys", &body.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let made = made.json();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn status(house: &House, key: &str, (method, path): (Method, &str), body: &str) -> u16 {
    house.call(request_by(key, method, path, body)).await.status.as_u16()
}

#[tokio::test]
async fn a_key_is_good_at_once_for_its_scopes_and_no_more_once_it_is_deleted() {
    let house = house();
    let (id, key) = make(&house, json!({"name": "k", "scopes": ["rooms:read"]})).await;
    let path = format!("/v1/api_keys/{id}");

    let read = status(&house, &key, (Method::GET, "/v1/rooms"), "").await;
    let write = status(&house, &key, (Method::POST, "/v1/rooms"), "{}").await;
    let trace = format!("/v1/legs/{}/trace", samples::leg().id);
    let trace = status(&house, &key, (Method::GET, &trace), "").await;
    let shown = house.get(&path).await;
    let changed = house.call(request_by(
        crate::bridge::KEY,
        Method::PATCH,
        &path,
        r#"{"scopes":["rooms:control"]}"#,
    ));
    let changed = changed.await.status;
    let write_now = status(&house, &key, (Method::POST, "/v1/rooms"), "{}").await;
    house.call(request_by(crate::bridge::KEY, Method::DELETE, &path, "")).await;
    let gone = status(&house, &key, (Method::POST, "/v1/rooms"), "{}").await;

    assert_eq!((read, write, trace), (200, 403, 403));
    assert!(!shown.body.contains(&key) && shown.json()["key"].is_null(), "{}", shown.body);
    assert_eq!((changed, write_now, gone), (StatusCode::OK, 201, 401));
}

#[tokio::test]
async fn a_key_that_has_expired_is_401() {
    let house = house();
    let body = json!({"name": "k", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"});

    let (_, key) = make(&house, body).await;

    assert_eq!(status(&house, &key, (Method::GET, "/v1/rooms"), "").await, 401);
}

#[tokio::test]
async fn a_key_that_is_bound_to_rooms_stays_in_them() {
    let house = house();
    let scopes = json!(["rooms:read", "rooms:control", "calls:write", "events:read"]);
    let by_name = json!({"name": "k", "scopes": scopes, "rooms": ["board"]});
    let elsewhere = json!({"name": "k", "scopes": scopes, "rooms": ["other"]});
    let (_, board) = make(&house, by_name).await;
    let (_, other) = make(&house, elsewhere).await;
    let (room, leg) = (samples::room().id, samples::leg().id);
    let participant = format!("/v1/rooms/board/participants/{leg}");
    let cases = [
        (Method::GET, "/v1/rooms/board".to_owned(), "", 200),
        (Method::GET, format!("/v1/rooms/{room}"), "", 200),
        (Method::GET, format!("/v1/legs/{leg}"), "", 200),
        (Method::GET, "/v1/events?room=board".to_owned(), "", 200),
        (Method::PATCH, participant.clone(), r#"{"muted":true}"#, 200),
        (Method::PATCH, participant, r#"{"room":"other"}"#, 403),
        (Method::POST, format!("/v1/legs/{leg}/transfer"), r#"{"room":"other"}"#, 403),
        (Method::POST, "/v1/rooms".to_owned(), r#"{"name":"board"}"#, 403),
        (Method::GET, "/v1/messages".to_owned(), "", 403),
        (Method::GET, "/v1/records/legs".to_owned(), "", 403),
        (Method::GET, "/v1/calls".to_owned(), "", 403),
    ];

    for (method, path, body, expected) in cases {
        let within = status(&house, &board, (method.clone(), &path), body).await;
        let without = status(&house, &other, (method.clone(), &path), body).await;

        assert_eq!(within, expected, "{method} {path}");
        assert_eq!(without, 403, "{method} {path} by a key of another room");
    }
}

#[tokio::test]
async fn a_key_that_is_bound_to_rooms_plays_to_them_and_the_legs_in_them_alone() {
    let house = house_where(|command| match command {
        Command::Playback { playback, reply } if playback == PlaybackId::new(7, 7) => {
            let call = Some(CallId::new(7, 7));
            reply.send(Ok(Playback { room: None, call, ..samples::playback() }));
            None
        }
        Command::Playback { playback, reply } if playback == PlaybackId::new(8, 8) => {
            let leg = Some(samples::leg().id);
            reply.send(Ok(Playback { room: None, leg, ..samples::playback() }));
            None
        }
        other => Some(other),
    });
    let scopes = json!(["rooms:read", "rooms:control", "calls:write", "config:write"]);
    let (_, board) = make(&house, json!({"name": "k", "scopes": scopes, "rooms": ["board"]})).await;
    let (_, other) = make(&house, json!({"name": "k", "scopes": scopes, "rooms": ["other"]})).await;
    let (leg, call) = (samples::leg().id, samples::call().id);
    let of_room = format!("/v1/playbacks/{}", samples::playback().id);
    let of_call = format!("/v1/playbacks/{}", PlaybackId::new(7, 7));
    let of_leg = format!("/v1/playbacks/{}", PlaybackId::new(8, 8));
    let (to, media) = ("/v1/playbacks".to_owned(), r#""media":["a"]"#);
    let cases = [
        (Method::GET, of_room.clone(), String::new(), 200),
        (Method::PATCH, of_room.clone(), r#"{"paused":true}"#.to_owned(), 200),
        (Method::DELETE, of_room, String::new(), 204),
        (Method::GET, of_leg.clone(), String::new(), 200),
        (Method::DELETE, of_leg, String::new(), 204),
        (Method::GET, of_call.clone(), String::new(), 403),
        (Method::PATCH, of_call.clone(), r#"{"paused":true}"#.to_owned(), 403),
        (Method::DELETE, of_call, String::new(), 403),
        (Method::GET, "/v1/playbacks?room=board".to_owned(), String::new(), 200),
        (Method::POST, to.clone(), format!(r#"{{"room":"board",{media}}}"#), 202),
        (Method::POST, to.clone(), format!(r#"{{"leg":"{leg}",{media}}}"#), 202),
        (Method::POST, to, format!(r#"{{"call":"{call}",{media}}}"#), 403),
        (Method::POST, format!("/v1/legs/{leg}/play"), format!("{{{media}}}"), 202),
        (Method::POST, format!("/v1/calls/{call}/play"), format!("{{{media}}}"), 403),
        (Method::POST, "/v1/rooms/board/announcements".to_owned(), format!("{{{media}}}"), 202),
        (Method::PUT, "/v1/rooms/board/music".to_owned(), "{}".to_owned(), 200),
        (Method::POST, "/v1/rooms/board/admit".to_owned(), String::new(), 200),
        (Method::GET, "/v1/media".to_owned(), String::new(), 403),
        (Method::PUT, "/v1/media/jingle".to_owned(), "RIFF".to_owned(), 403),
        (Method::GET, "/v1/webhooks".to_owned(), String::new(), 403),
        (Method::GET, "/v1/records/rooms".to_owned(), String::new(), 403),
    ];

    for (method, path, body, expected) in cases {
        let within = status(&house, &board, (method.clone(), &path), &body).await;
        let without = status(&house, &other, (method.clone(), &path), &body).await;

        assert_eq!(within, expected, "{method} {path} {body}");
        assert_eq!(without, 403, "{method} {path} {body} by a key of another room");
    }
}

#[tokio::test]
async fn what_a_call_hears_needs_the_right_to_calls() {
    let house = house();
    let (_, key) = make(&house, json!({"name": "k", "scopes": ["rooms:control"]})).await;
    let body = format!(r#"{{"call":"{}","media":["a"]}}"#, samples::call().id);

    assert_eq!(status(&house, &key, (Method::POST, "/v1/playbacks"), &body).await, 403);
}

#[tokio::test]
async fn lists_of_a_bound_key_are_of_its_rooms() {
    let house = house();
    let body = json!({"name": "k", "scopes": ["rooms:read"], "rooms": ["board"]});
    let (_, key) = make(&house, body).await;

    assert_eq!(status(&house, &key, (Method::GET, "/v1/rooms"), "").await, 200);
    assert_eq!(status(&house, &key, (Method::GET, "/v1/legs"), "").await, 200);
    assert_eq!(status(&house, &key, (Method::GET, "/v1/playbacks"), "").await, 200);

    let (asked, room) = (house.asked(), samples::room().id);
    assert!(asked[0].contains(r#"within: ["board"]"#), "{asked:?}");
    assert!(asked[2].contains(&format!("within: [{room:?}]")), "{asked:?}");
    assert!(asked[4].contains(&format!("within: [{room:?}]")), "{asked:?}");
}

#[tokio::test]
async fn a_key_that_cannot_be_stored_is_not_made() {
    let mut house = house();
    let (desk, mut work) = archive::desk(QUEUES);
    house.router = api::router(api::Api { desk, ..house.api.clone() });
    let store = async {
        let order = work.orders.recv().await.unwrap();
        order.done.send(Err(StoreFailure::Unavailable("no space left".to_owned()))).unwrap();
    };
    let body = json!({"name": "k", "scopes": ["admin"]}).to_string();

    let (refused, ()) = tokio::join!(house.post("/v1/api_keys", &body), store);
    let list = house.get("/v1/api_keys").await.json();

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], "store_unavailable", "{}", refused.body);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
}

#[tokio::test]
async fn every_command_is_remembered_with_its_key_and_its_answer() {
    let house = house();
    let (id, key) = make(&house, json!({"name": "k", "scopes": ["rooms:read"]})).await;

    status(&house, &key, (Method::GET, "/v1/rooms"), "").await;
    status(&house, &key, (Method::POST, "/v1/rooms"), "{}").await;
    status(&house, "unknown", (Method::POST, "/v1/rooms"), "{}").await;
    tokio::task::yield_now().await;

    let noted = house.noted.lock().unwrap();
    let told: Vec<_> = noted
        .iter()
        .map(|record| {
            let Record::Audit(entry) = record else { panic!("{record:?}") };
            let key = entry.key.map(|key| key.to_string());
            (entry.method.as_str(), entry.path.as_str(), entry.status, key)
        })
        .collect();
    let expected = [
        ("POST", "/v1/api_keys", 201, None),
        ("POST", "/v1/rooms", 403, Some(id)),
        ("POST", "/v1/rooms", 401, None),
    ];
    assert_eq!(told, expected);
    assert!(noted.iter().all(|record| format!("{record:?}").contains("req_")), "{noted:?}");
}
