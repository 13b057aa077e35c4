//! How much one client may ask, from where, and how answers are sent.

use api::Settings;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use crate::bridge::{House, KEY, house, request};

fn house_with(settings: Settings) -> House {
    let mut house = house();
    house.api.settings = settings;
    house.router = api::router(house.api.clone());
    house
}

#[tokio::test(start_paused = true)]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let house = house_with(Settings { requests_per_second: 1, ..Settings::default() });

    let first = house.get("/v1/rooms").await;
    let second = house.get("/v1/rooms").await;
    let refused = house.get("/v1/rooms").await;
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    let again = house.get("/v1/rooms").await;

    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("2", "1"));
    assert_eq!(
        (second.header("ratelimit-remaining"), second.header("ratelimit-reset")),
        ("0", "2")
    );
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (refused.json()["code"].as_str(), refused.header("retry-after")),
        (Some("too_many_requests"), "2")
    );
    assert_eq!(
        (refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")),
        ("2", "0")
    );
    assert_eq!(refused.header("ratelimit-reset"), "2");
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn streams_of_a_key_are_limited() {
    let house = house_with(Settings { max_streams_of_key: 1, ..Settings::default() });
    let open = || house.router.clone().oneshot(request(Method::GET, "/v1/events/stream", ""));
    let first = open().await.unwrap();

    let refused = house.get("/v1/events/stream").await;

    assert_eq!((first.status(), refused.status), (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS));
    drop(first);
    assert_eq!(open().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_of_an_address_are_limited() {
    let house = house_with(Settings { connections_per_source: 1, ..Settings::default() });
    let served = house.serve().await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_ne!(first.read(&mut [0; 64]).await.unwrap(), 0);

    let mut second = TcpStream::connect(served.address).await.unwrap();

    assert_eq!(second.read(&mut [0; 64]).await.unwrap(), 0);
}

#[tokio::test]
async fn pages_of_named_origins_alone_may_use_the_api() {
    let house = house_with(Settings {
        cors: vec!["https://desk.example".to_owned()],
        ..Settings::default()
    });
    let preflight = |origin: &str| {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/rooms")
            .header(header::ORIGIN, origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization")
            .body(Body::empty())
            .unwrap()
    };

    let named = house.call(preflight("https://desk.example")).await;
    let stranger = house.call(preflight("https://evil.example")).await;
    let mut asked = request(Method::GET, "/v1/rooms", "");
    asked.headers_mut().insert(header::ORIGIN, "https://desk.example".parse().unwrap());
    let answered = house.call(asked).await;

    assert_eq!(named.header("access-control-allow-origin"), "https://desk.example");
    assert!(named.header("access-control-allow-methods").contains("PATCH"), "{named:?}");
    assert_eq!(stranger.header("access-control-allow-origin"), "");
    assert_eq!(answered.header("access-control-allow-origin"), "https://desk.example");
    assert!(answered.header("access-control-expose-headers").contains("etag"), "{answered:?}");
}

#[tokio::test]
async fn large_answers_are_compressed_and_events_are_not() {
    let house = house();
    let ask = |path: &str| {
        let mut asked = request(Method::GET, path, "");
        asked.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
        house.router.clone().oneshot(asked)
    };

    let document = ask("/openapi.json").await.unwrap();
    let small = ask("/healthz").await.unwrap();
    let events = ask("/v1/events/stream").await.unwrap();

    assert_eq!(document.headers()["content-encoding"], "gzip");
    let body = document.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body[..2], [0x1f, 0x8b]);
    assert!(small.headers().get("content-encoding").is_none());
    assert!(events.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn a_body_too_large_is_413_and_says_how_large_it_may_be() {
    let house = house();
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(api::MAX_BODY));

    let refused = house.post("/v1/rooms", &body).await;

    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.json()["code"], "body_too_large");
    assert!(refused.json()["detail"].as_str().unwrap().contains("65536"), "{}", refused.body);
}

#[tokio::test]
async fn a_file_may_be_larger_than_a_body_but_not_than_it_may_be() {
    let house = house();
    let most = Settings::default().max_upload;

    let taken = house.call(request(Method::PUT, "/v1/media/a", &"x".repeat(most))).await;
    let refused = house.call(request(Method::PUT, "/v1/media/a", &"x".repeat(most + 1))).await;

    assert_eq!(most, 20 * 1024 * 1024);
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    assert_eq!(taken.header("ratelimit-remaining"), "399");
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.body.contains(&most.to_string()), "{}", refused.body);
}

#[tokio::test(start_paused = true)]
async fn refused_logins_are_remembered_without_what_was_shown_and_not_all_of_a_flood() {
    let house = house();

    for _ in 0..500 {
        let request = Request::get("/v1/rooms").header("authorization", "Bearer guessed-secret");
        house.call(request.body(Body::empty()).unwrap()).await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }

    let noted = house.noted.lock().unwrap();
    let told = format!("{noted:?}");
    assert_eq!(noted.len(), 10, "a burst of one source");
    assert!(told.contains("status: 401") && told.contains("/v1/rooms"), "{told}");
    assert!(!told.contains("guessed-secret") && !told.contains(KEY), "{told}");
}
