//! A POST that comes twice is carried out once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::control::{Command, ControlError, Reply};
use api::model::Room;
use api::samples;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use tower::ServiceExt as _;

use crate::bridge::{House, house, house_where, request, rooms_fail_with};

fn keyed(key: &str, body: &str) -> Request<Body> {
    let mut request = request(Method::POST, "/v1/rooms", body);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_says_so() {
    let house = house();

    let first = house.call(keyed("a", r#"{"name":"x"}"#)).await;
    let second = house.call(keyed("a", r#"{"name":"x"}"#)).await;

    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(house.asked().len(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let house = house();
    house.call(keyed("a", r#"{"name":"x"}"#)).await;

    let other = house.call(keyed("a", r#"{"name":"y"}"#)).await;

    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.json()["code"], "idempotency_key_reused");
    assert_eq!(house.asked().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_repeated_with_the_id_of_the_new_request() {
    let error = ControlError::Conflict { code: "room_name_taken", detail: "taken".to_owned() };
    let house = rooms_fail_with(error);

    let first = house.call(keyed("a", "{}")).await;
    let second = house.call(keyed("a", "{}")).await;

    assert_eq!((first.status, second.status), (StatusCode::CONFLICT, StatusCode::CONFLICT));
    assert_eq!(second.json()["code"], "room_name_taken");
    assert_eq!(second.json()["request_id"], second.header("x-request-id"));
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(house.asked().len(), 1);
}

#[tokio::test]
async fn a_failure_of_ours_may_be_tried_again() {
    let house = rooms_fail_with(ControlError::Busy { detail: "full".to_owned(), retry_after_s: 1 });

    house.call(keyed("a", "{}")).await;
    house.call(keyed("a", "{}")).await;

    assert_eq!(house.asked().len(), 2);
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let answer = house().call(keyed(&"k".repeat(256), "{}")).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["code"], "bad_idempotency_key");
}

/// A bridge that answers nobody until told to.
fn slow_house() -> (House, Arc<Mutex<Vec<Reply<Room>>>>) {
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let replies = Arc::clone(&waiting);
    let house = house_where(move |command| match command {
        Command::CreateRoom { reply, .. } => {
            replies.lock().unwrap().push(reply);
            None
        }
        other => Some(other),
    });
    (house, waiting)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gave_up_gets_the_answer_when_it_asks_again() {
    let (house, waiting) = slow_house();
    let first = house.router.clone().oneshot(keyed("a", "{}"));
    assert!(tokio::time::timeout(Duration::from_secs(1), first).await.is_err());

    let meanwhile = house.call(keyed("a", "{}")).await;
    waiting.lock().unwrap().pop().unwrap().send(Ok(samples::room()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = house.call(keyed("a", "{}")).await;

    assert_eq!(meanwhile.status, StatusCode::CONFLICT);
    assert_eq!(meanwhile.json()["code"], "idempotency_key_in_use");
    assert_eq!(meanwhile.header("retry-after"), "1");
    assert_eq!(after.status, StatusCode::CREATED);
    assert_eq!(after.header("idempotent-replayed"), "true");
    assert_eq!(house.asked().len(), 1);
}
