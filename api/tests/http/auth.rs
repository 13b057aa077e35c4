//! Who is let in, and where.

use api::Settings;
use api::auth::{Keys, Scope};
use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::bridge::{House, house};

async fn status(house: &House, path: &str, authorization: Option<&str>) -> StatusCode {
    let mut request = Request::get(path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    house.call(request.body(Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn without_the_right_key_nothing_is_told() {
    let house = house();
    let wrong = [None, Some("Bearer wrong"), Some("Bearer"), Some("Basic b3Blbi1zZXNhbWU=")];

    for authorization in wrong {
        for path in ["/v1/rooms", "/v1/events/stream", "/v1/events?key=open-sesame", "/metrics"] {
            let status = status(&house, path, authorization).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {authorization:?}");
        }
    }
    assert!(house.asked().is_empty());
    let answer = house.call(Request::get("/v1/rooms").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"plenary\"");
    assert_eq!(answer.json()["code"], "unauthorized");
}

#[tokio::test]
async fn the_page_the_document_and_health_are_open() {
    let house = house();

    for path in ["/", "/dashboard/app.js", "/openapi.json", "/healthz", "/readyz"] {
        assert_eq!(status(&house, path, None).await, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn metrics_can_be_opened() {
    let mut house = house();
    let settings = Settings { open_metrics: true, ..Settings::default() };
    house.router = api::router(api::Api { settings, ..house.api.clone() });

    assert_eq!(status(&house, "/metrics", None).await, StatusCode::OK);
    assert_eq!(status(&house, "/v1/rooms", None).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_does_no_more_than_its_scopes_say() {
    let mut house = house();
    let keys = Keys::default().with("watch", &[Scope::RoomsRead]);
    house.router = api::router(api::Api { keys, ..house.api.clone() });
    let watch = Some("Bearer watch");

    assert_eq!(status(&house, "/v1/rooms", watch).await, StatusCode::OK);
    assert_eq!(status(&house, "/v1/events", watch).await, StatusCode::FORBIDDEN);
    let post = Request::post("/v1/rooms").header("authorization", "Bearer watch");
    let answer = house.call(post.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.json()["detail"].as_str().unwrap().contains("rooms:control"));
}
