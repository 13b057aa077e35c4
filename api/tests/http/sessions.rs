//! Logging in by name and password.

use api::archive::Record;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::bridge::{Answer, House, house, request_by};

/// As somebody without a key.
async fn log_in(house: &House, body: Value) -> Answer {
    let request = Request::post("/v1/sessions").header(header::CONTENT_TYPE, "application/json");
    house.call(request.body(Body::from(body.to_string())).unwrap()).await
}

fn ada(password: &str) -> Value {
    json!({"user": "Ada", "password": password})
}

async fn status(house: &House, key: &str, method: Method, path: &str) -> u16 {
    house.call(request_by(key, method, path, "")).await.status.as_u16()
}

#[tokio::test]
async fn who_logs_in_may_what_their_groups_may() {
    let house = house();

    let session = log_in(&house, ada("correct-horse")).await;
    let token = session.json()["token"].as_str().unwrap().to_owned();

    assert_eq!(session.status, StatusCode::CREATED);
    assert_eq!(session.header("cache-control"), "no-store");
    assert_eq!(session.json()["user"], "ada");
    assert_eq!(session.json()["scopes"], json!(["rooms:read", "events:read"]));
    assert_eq!(status(&house, &token, Method::GET, "/v1/rooms").await, 200);
    assert_eq!(status(&house, &token, Method::GET, "/v1/events").await, 200);
    assert_eq!(status(&house, &token, Method::POST, "/v1/rooms").await, 403);
    assert_eq!(status(&house, &token, Method::GET, "/v1/directory?q=ada").await, 403);
    assert_eq!(status(&house, &format!("{token}x"), Method::GET, "/v1/rooms").await, 401);
    let of_another_house = crate::bridge::house();
    assert_eq!(status(&of_another_house, &token, Method::GET, "/v1/rooms").await, 401);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_and_nothing_else() {
    let house = house();
    let guest = json!({"user": "guest", "password": "correct-horse"});
    let cases = [
        (ada("wrong"), 401, "login_refused"),
        (ada("slow"), 503, "directory_unavailable"),
        (guest, 403, "no_scopes"),
        (ada(""), 422, "invalid_content"),
        (json!({"user": "a\u{0}", "password": "x"}), 422, "invalid_content"),
        (json!({"user": "ada"}), 422, "invalid_content"),
    ];

    for (body, status, code) in cases {
        let refused = log_in(&house, body.clone()).await;

        let told = (refused.status.as_u16(), refused.json()["code"].as_str().unwrap().to_owned());
        assert_eq!(told, (status, code.to_owned()), "{body}");
        assert!(!refused.body.contains("correct-horse"), "{}", refused.body);
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait() {
    let house = house();

    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(log_in(&house, ada("wrong")).await.status.as_u16());
    }
    let refused = log_in(&house, ada("correct-horse")).await;

    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10, "{statuses:?}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() <= 11);
}

#[tokio::test]
async fn the_audit_names_who_has_logged_in_and_what_they_command() {
    let house = house();
    log_in(&house, ada("wrong")).await;
    let token = log_in(&house, ada("correct-horse")).await.json()["token"].clone();
    status(&house, token.as_str().unwrap(), Method::POST, "/v1/rooms").await;
    while house.noted.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }

    let noted = house.noted.lock().unwrap();
    let told = noted.iter().map(|record| match record {
        Record::Audit(entry) => (entry.key_name.clone(), entry.path.clone(), entry.status),
        other => panic!("{other:?}"),
    });
    let entry = |name: &str, path: &str, status| (name.to_owned(), path.to_owned(), status);
    let expected = [
        entry("", "/v1/sessions", 401),
        entry("ada", "/v1/sessions", 201),
        entry("ada", "/v1/rooms", 403),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
