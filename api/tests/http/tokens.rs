//! Tokens for one room.

use api::id::RoomId;
use api::model::{Room, RoomState};
use api::{control, samples};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::bridge::{House, KEY, house, house_where, request_by};

/// Makes a token for the room by this key.
async fn make(house: &House, key: &str, body: Value) -> crate::bridge::Answer {
    let body = body.to_string();
    house.call(request_by(key, Method::POST, "/v1/rooms/board/tokens", &body)).await
}

async fn token(house: &House, key: &str, scopes: Value) -> String {
    let made = make(house, key, json!({"scopes": scopes})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn key(house: &House, body: Value) -> (String, String) {
    let made = house.post("/v1/api_keys", &body.to_string()).await.json();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn status(house: &House, key: &str, (method, path): (Method, &str), body: &str) -> u16 {
    house.call(request_by(key, method, path, body)).await.status.as_u16()
}

/// A bridge that has another room beside the board.
fn two_rooms() -> House {
    house_where(|command| match command {
        control::Command::Room { room, reply } if room == "other" => {
            reply.send(Ok(Room { id: RoomId::new(9, 9), name: room, ..samples::room() }));
            None
        }
        other => Some(other),
    })
}

#[tokio::test]
async fn a_token_reaches_its_room_alone_and_by_its_scopes() {
    let house = two_rooms();
    let token = token(&house, KEY, json!(["rooms:read", "events:read"])).await;
    let (leg, room) = (samples::leg().id, samples::room().id);
    let cases = [
        (Method::GET, "/v1/rooms/board".to_owned(), "", 200),
        (Method::GET, format!("/v1/rooms/{room}/participants"), "", 200),
        (Method::GET, format!("/v1/legs/{leg}"), "", 200),
        (Method::GET, "/v1/events".to_owned(), "", 200),
        (Method::GET, "/v1/events?room=board".to_owned(), "", 200),
        (Method::PATCH, "/v1/rooms/board".to_owned(), r#"{"locked":true}"#, 403),
        (Method::GET, "/v1/rooms/other".to_owned(), "", 403),
        (Method::GET, "/v1/events?room=other".to_owned(), "", 403),
        (Method::GET, "/v1/calls".to_owned(), "", 403),
        (Method::GET, "/v1/messages".to_owned(), "", 403),
        (Method::GET, "/v1/records/legs".to_owned(), "", 403),
        (Method::GET, "/metrics".to_owned(), "", 403),
        (Method::POST, "/v1/rooms".to_owned(), "{}", 403),
        (Method::POST, "/v1/rooms/board/tokens".to_owned(), r#"{"scopes":["rooms:read"]}"#, 403),
    ];

    for (method, path, body, expected) in cases {
        assert_eq!(
            status(&house, &token, (method.clone(), &path), body).await,
            expected,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_token_makes_no_tokens() {
    let house = house();
    let token = token(&house, KEY, json!(["rooms:control"])).await;

    let refused = make(&house, &token, json!({"scopes": ["rooms:control"]})).await;

    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["detail"], "a token makes no tokens; a key does");
}

#[tokio::test]
async fn a_token_has_no_more_rights_than_its_maker_and_loses_them_with_it() {
    let house = house();
    let body = json!({"name": "k", "scopes": ["rooms:control", "rooms:read"]});
    let (id, key) = key(&house, body).await;
    let path = format!("/v1/api_keys/{id}");
    let read = (Method::GET, "/v1/rooms/board");
    let write = (Method::PUT, "/v1/rooms/board/lock");

    let refused = make(&house, &key, json!({"scopes": ["events:read"]})).await;
    let token = token(&house, &key, json!(["rooms:read", "rooms:control"])).await;
    let before = status(&house, &token, write.clone(), "").await;
    let less = r#"{"scopes":["rooms:read"]}"#;
    house.call(request_by(KEY, Method::PATCH, &path, less)).await;
    let after = status(&house, &token, write, "").await;
    let still = status(&house, &token, read.clone(), "").await;
    house.call(request_by(KEY, Method::DELETE, &path, "")).await;
    let gone = status(&house, &token, read, "").await;

    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert_eq!((before, after, still, gone), (200, 403, 200, 401));
}

#[tokio::test]
async fn a_token_ends_with_its_room() {
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let over = std::sync::Arc::clone(&ended);
    let house = house_where(move |command| match command {
        control::Command::Room { reply, .. } if over.load(std::sync::atomic::Ordering::Relaxed) => {
            reply.send(Ok(Room { state: RoomState::Ended, ..samples::room() }));
            None
        }
        other => Some(other),
    });
    let token = token(&house, KEY, json!(["rooms:read"])).await;

    ended.store(true, std::sync::atomic::Ordering::Relaxed);

    assert_eq!(status(&house, &token, (Method::GET, "/v1/rooms/board"), "").await, 401);
    let refused = make(&house, KEY, json!({"scopes": ["rooms:read"]})).await;
    assert_eq!(refused.json()["code"], "room_ended", "{}", refused.body);
}

#[tokio::test]
async fn a_stream_is_opened_by_a_token_in_the_query_but_not_by_a_key() {
    let house = house();
    let token = token(&house, KEY, json!(["events:read", "rooms:read"])).await;
    let cases = [
        (format!("/v1/events/stream?token={token}"), 200),
        (format!("/v1/events/stream?token={KEY}"), 401),
        (format!("/v1/rooms/board?token={token}"), 401),
    ];

    for (path, expected) in cases {
        let request = Request::get(&path).body(Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(house.router.clone(), request).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{path}");
    }
}

#[tokio::test]
async fn what_a_token_may_not_be_is_pointed_at() {
    let house = house();
    let cases = [
        (json!({"scopes": []}), "/scopes"),
        (json!({"scopes": ["rooms:read", "admin"]}), "/scopes/1"),
        (json!({"scopes": ["rooms:read"], "expires_in_s": 86401}), "/expires_in_s"),
        (json!({"scopes": ["rooms:read"], "expires_in_s": 0}), "/expires_in_s"),
    ];

    for (body, pointer) in cases {
        let refused = make(&house, KEY, body.clone()).await;

        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
}
