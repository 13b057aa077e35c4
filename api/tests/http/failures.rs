//! Whoever refuses a request, the client reads a problem document.

use api::control::ControlError;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use crate::bridge::{Answer, KEY, house, house_where, request, rooms_fail_with};

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["code"], code);
    assert_eq!(problem["type"], format!("urn:plenary:problem:{code}"));
    assert!(!problem["title"].as_str().unwrap().is_empty());
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn errors_of_the_bridge_become_problems() {
    let busy = ControlError::Busy { detail: "1000 legs".to_owned(), retry_after_s: 7 };
    let full = ControlError::Saturated { detail: "try again".to_owned(), retry_after_s: 5 };
    let taken = ControlError::Conflict { code: "room_name_taken", detail: "taken".to_owned() };
    let invalid = ControlError::Invalid { pointer: "/to".to_owned(), detail: "no".to_owned() };
    let cases = [
        (ControlError::NotFound { what: "room", name: "x".to_owned() }, 404, "room_not_found"),
        (taken, 409, "room_name_taken"),
        (invalid, 422, "invalid_content"),
        (busy, 503, "busy"),
        (full, 503, "no_capacity"),
        (ControlError::Stopping, 503, "stopping"),
    ];

    for (error, status, code) in cases {
        let answer = rooms_fail_with(error).get("/v1/rooms/x").await;

        assert_problem(&answer, status, code);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn what_the_bridge_finds_wrong_is_pointed_at_too() {
    let error = ControlError::Invalid { pointer: "/name".to_owned(), detail: "no".to_owned() };

    let answer = rooms_fail_with(error).post("/v1/rooms", "{}").await;

    assert_eq!(answer.json()["errors"][0]["pointer"], "/name");
}

#[tokio::test]
async fn bodies_are_refused_by_what_is_wrong_with_them() {
    let house = house();
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(api::MAX_BODY));
    let cases = [
        ("{", 400, "malformed_json", None),
        (r#"{"name":7}"#, 422, "invalid_content", Some("/name")),
        (r#"{"nmae":"x"}"#, 422, "invalid_content", Some("/nmae")),
        (r#"{"contributors":65}"#, 422, "invalid_content", Some("/contributors")),
        (&large, 413, "body_too_large", None),
    ];

    for (body, status, code, pointer) in cases {
        let answer = house.post("/v1/rooms", body).await;

        assert_problem(&answer, status, code);
        assert_eq!(answer.json()["errors"][0]["pointer"].as_str(), pointer);
    }
    assert!(house.asked().is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_refused() {
    let request = Request::post("/v1/rooms")
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "text/plain")
        .body(Body::from("{}"))
        .unwrap();

    assert_problem(&house().call(request).await, 415, "unsupported_media_type");
}

#[tokio::test]
async fn the_router_refuses_with_problems_too() {
    let house = house();

    let nowhere = house.get("/v1/nowhere").await;
    let put = house.call(request(Method::PUT, "/v1/rooms", "{}")).await;
    let not_utf8 = house.get("/v1/rooms/%ff").await;

    assert_problem(&nowhere, 404, "not_found");
    assert_problem(&put, 405, "method_not_allowed");
    assert!(put.header("allow").contains("POST"));
    assert_problem(&not_utf8, 400, "bad_request");
}

#[tokio::test]
async fn what_is_not_an_id_names_nothing() {
    let house = house();

    assert_problem(&house.get("/v1/legs/7").await, 404, "leg_not_found");
    assert_problem(&house.get("/v1/calls/leg_x").await, 404, "call_not_found");
    assert_problem(&house.get("/v1/rooms/a/participants/7").await, 404, "leg_not_found");
}

#[tokio::test]
async fn query_parameters_are_checked_and_named() {
    let house = house();
    let cases = [
        ("/v1/rooms?limit=0", "limit"),
        ("/v1/rooms?limit=many", "limit"),
        ("/v1/rooms?state=gone", "state"),
        ("/v1/events?from=1", "from"),
        ("/v1/events?type=nothing.such", "type"),
        ("/v1/events?cursor=x", "cursor"),
        ("/v1/rooms/a/participants?role=boss", "role"),
    ];

    for (path, parameter) in cases {
        let method = if path.contains("role") { Method::PATCH } else { Method::GET };
        let answer = house.call(request(method, path, "")).await;

        assert_problem(&answer, 422, "invalid_content");
        assert_eq!(answer.json()["errors"][0]["parameter"], parameter, "{path}");
    }
}

#[tokio::test]
async fn the_request_id_of_a_client_is_kept_and_a_bad_one_replaced() {
    let house = house();
    let ask = |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id);
        house.call(request.body(Body::empty()).unwrap())
    };

    assert_eq!(ask("trace-1").await.header("x-request-id"), "trace-1");
    assert!(ask("with space").await.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn a_draining_bridge_is_healthy_but_not_ready() {
    let house = house_where(|command| match command {
        api::control::Command::Readiness { reply } => {
            let reason = Some("draining".to_owned());
            reply.send(Ok(api::model::Readiness { ready: false, reason }));
            None
        }
        other => Some(other),
    });

    let (health, ready) = (house.get("/healthz").await, house.get("/readyz").await);

    assert_eq!(health.status, StatusCode::OK);
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["reason"], "draining");
}
