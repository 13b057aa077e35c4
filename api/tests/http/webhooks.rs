//! Webhooks and lists of records, as a client of the API meets them.

use api::samples;
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::bridge::{KEY, house, request, request_by};

#[tokio::test]
async fn a_webhook_is_made_with_a_secret_that_is_shown_once() {
    let house = house();

    let made = house.post("/v1/webhooks", r#"{"url": "https://a.test/hook"}"#).await;
    let shown = house.get(made.header("location")).await;

    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(shown.status, StatusCode::OK);
    assert!(!shown.body.contains("secret"), "{}", shown.body);
    assert_eq!(shown.header("etag"), made.header("etag"));
    assert_eq!(house.get("/v1/webhooks").await.json()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn faults_of_a_webhook_are_pointed_at() {
    let house = house();
    let url = "https://a.test";
    let cases = [
        (json!({"url": "ftp://a.test"}), "/url"),
        (json!({"url": "https://user:word@a.test"}), "/url"),
        (json!({"url": "https://a.test/#x"}), "/url"),
        (json!({"url": "/hook"}), "/url"),
        (json!({"url": url, "events": ["room.ended", "rooms.*"]}), "/events/1"),
        (json!({"url": url, "rooms": ["a room"]}), "/rooms/0"),
        (json!({"url": url, "secret": "whsec_dG9vIHNob3J0"}), "/secret"),
        (json!({"url": url, "secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}), "/secret"),
    ];

    for (body, pointer) in cases {
        let refused = house.post("/v1/webhooks", &body.to_string()).await;

        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn a_webhook_that_has_changed_meanwhile_is_not_changed() {
    let house = house();
    let path = format!("/v1/webhooks/{}", samples::webhook().id);
    let mut stale = request(Method::PATCH, &path, r#"{"enabled": false}"#);
    stale.headers_mut().insert(header::IF_MATCH, "\"17\"".parse().unwrap());

    let refused = house.call(stale).await;
    let changed = house.call(request(Method::PATCH, &path, r#"{"enabled": false}"#)).await;

    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(changed.json()["enabled"], false, "{}", changed.body);
    assert!(changed.json()["revision"].as_u64() > Some(1), "{}", changed.body);
}

#[tokio::test]
async fn webhooks_need_a_key_that_may_configure() {
    let house = house();
    let body = json!({"name": "k", "scopes": ["events:read", "rooms:read"]}).to_string();
    let made = house.post("/v1/api_keys", &body).await.json();
    let key = made["key"].as_str().unwrap();

    let refused = house.call(request_by(key, Method::GET, "/v1/webhooks", "")).await;
    let allowed = house.call(request_by(KEY, Method::GET, "/v1/webhooks", "")).await;

    assert_eq!((refused.status.as_u16(), allowed.status.as_u16()), (403, 200));
}

#[tokio::test]
async fn a_deliverys_webhook_must_be_its_own() {
    let house = house();
    let other = house.post("/v1/webhooks", r#"{"url": "https://a.test/hook"}"#).await.json();
    let (other, delivery) = (other["id"].as_str().unwrap(), samples::delivery().id);

    let wrong = house.get(&format!("/v1/webhooks/{other}/deliveries/{delivery}")).await;

    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    assert_eq!(wrong.json()["code"], "delivery_not_found");
}

#[tokio::test]
async fn records_come_as_what_the_client_accepts() {
    let house = house();
    let cases = [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, application/json;q=0.9", "application/json"),
        ("*/*", "application/json"),
    ];

    for (accept, kind) in cases {
        let mut request = request(Method::GET, "/v1/records/rooms", "");
        request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());

        let answer = house.call(request).await;

        assert_eq!(answer.header("content-type"), kind, "{accept}");
    }
    let lines = house.get("/v1/records/rooms?format=jsonl").await;
    let line: Value = serde_json::from_str(lines.body.trim()).unwrap();
    assert_eq!(line["created_by"], "api");
}

#[tokio::test]
async fn metrics_tell_of_webhooks_and_of_what_the_store_lost() {
    let metrics = house().get("/metrics").await.body;

    for line in [
        "plenary_records_lost_total 0\n",
        "plenary_webhook_backlog 0\n",
        "plenary_webhook_attempts_total{outcome=\"delivered\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
