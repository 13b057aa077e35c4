//! The log as readers see it: resumed without a gap, cut off with a reason.

use std::time::Duration;

use api::event::{EventType, Level};
use api::samples;
use axum::body::{Body, BodyDataStream};
use axum::http::{Method, Request, StatusCode};
use futures_util::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::bridge::{House, house, request};

/// An open stream, message by message.
struct Reader {
    body: BodyDataStream,
    text: String,
}

/// One server-sent message.
#[derive(Debug)]
struct Message {
    event: String,
    id: String,
    data: Value,
}

impl Reader {
    async fn open(house: &House, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = request(Method::GET, path, "");
        if let Some(id) = last_event_id {
            request.headers_mut().insert("last-event-id", id.parse().unwrap());
        }
        let response = house.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message: String = self.text.drain(..end + 2).collect();
                return Some(parse(&message));
            }
            let chunk = self.body.next().await?.unwrap();
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(self.next().await.unwrap().data["seq"].as_u64().unwrap());
        }
        numbers
    }
}

fn parse(message: &str) -> Message {
    let field = |name: &str| {
        let value = message.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim().to_owned()
    };
    let data = serde_json::from_str(&field("data:")).unwrap();
    Message { event: field("event:"), id: field("id:"), data }
}

fn rooms(house: &House, count: usize) {
    for _ in 0..count {
        house.happens(EventType::RoomUpdated);
    }
}

#[tokio::test]
async fn a_stream_says_where_it_begins_and_follows_from_there() {
    let house = house();
    rooms(&house, 3);
    let mut reader = Reader::open(&house, "/v1/events/stream", None).await;

    house.happens(EventType::ParticipantJoined);

    let ready = reader.next().await.unwrap();
    let joined = reader.next().await.unwrap();
    assert_eq!((ready.event.as_str(), ready.data["seq"].as_u64()), ("ready", Some(3)));
    assert_eq!((joined.event.as_str(), joined.id.as_str()), ("", "4"));
    assert_eq!(joined.data["type"], "participant.joined");
    assert_eq!(joined.data["leg"], samples::event().leg.unwrap().to_string());
}

#[tokio::test]
async fn last_event_id_resumes_without_a_gap() {
    let house = house();
    rooms(&house, 5);

    let mut by_header = Reader::open(&house, "/v1/events/stream", Some("2")).await;
    let mut by_query = Reader::open(&house, "/v1/events/stream?last_event_id=2", None).await;
    let mut from = Reader::open(&house, "/v1/events/stream?from_seq=4", None).await;

    assert_eq!(by_header.numbers(4).await, [2, 3, 4, 5]); // the first is `ready`
    assert_eq!(by_query.numbers(4).await, [2, 3, 4, 5]);
    assert_eq!(from.numbers(3).await, [3, 4, 5]);
}

#[tokio::test]
async fn a_stream_can_be_narrowed() {
    let house = house();
    let path = "/v1/events/stream?type=participant.*,room.ended&room=board";
    let mut reader = Reader::open(&house, path, None).await;

    rooms(&house, 2);
    house.happens(EventType::ParticipantMuted);
    house.happens(EventType::RoomEnded);

    assert_eq!(reader.numbers(3).await, [0, 3, 4]);
}

#[tokio::test]
async fn a_reader_too_slow_is_told_and_can_resume() {
    let house = house();
    let mut reader = Reader::open(&house, "/v1/events/stream", None).await;
    reader.next().await.unwrap();

    rooms(&house, 14);

    let closed = reader.next().await.unwrap();
    assert_eq!(closed.event, "closed");
    assert_eq!(closed.data["code"], "slow_reader");
    assert_eq!(closed.data["last_seq"], 0);
    assert!(reader.next().await.is_none());
    let mut again = Reader::open(&house, "/v1/events/stream", Some("0")).await;
    assert_eq!(again.numbers(3).await, [0, 1, 2]);
}

#[tokio::test]
async fn places_that_are_not_kept_are_gone() {
    let house = house();
    rooms(&house, 30);

    for path in ["/v1/events/stream?last_event_id=3", "/v1/events?cursor=3", "/v1/events?cursor=99"]
    {
        let answer = house.get(path).await;
        assert_eq!(answer.status, StatusCode::GONE, "{path}");
        assert_eq!(answer.json()["code"], "events_gone");
    }
}

#[tokio::test]
async fn pages_are_read_forward() {
    let house = house();
    rooms(&house, 5);

    let first = house.get("/v1/events?limit=3").await.json();
    let cursor = first["next"].as_str().unwrap();
    let second = house.get(&format!("/v1/events?limit=3&cursor={cursor}")).await.json();

    assert_eq!(first["items"][0]["seq"], 1);
    assert_eq!(second["items"].as_array().unwrap().len(), 2);
    assert_eq!((&second["next"], second["last_seq"].as_u64()), (&Value::Null, Some(5)));
}

fn level(dbov: i8) -> Level {
    Level { leg: samples::leg().id, room: Some(samples::room().id), dbov }
}

#[tokio::test(start_paused = true)]
async fn levels_come_at_most_ten_times_a_second_and_only_when_asked_for() {
    let house = house();
    let watching = house.api.log.level_readers();
    let mut reader = Reader::open(&house, "/v1/events/stream?levels=true", None).await;
    reader.next().await.unwrap();
    assert_eq!(*watching.borrow(), 1);

    let start = tokio::time::Instant::now();
    house.api.log.publish_levels(&[level(-30)]);
    let first = reader.next().await.unwrap();
    house.api.log.publish_levels(&[level(-20)]);
    house.api.log.publish_levels(&[level(-10)]);
    let second = reader.next().await.unwrap();

    assert_eq!(
        (first.event.as_str(), first.data["levels"][0]["dbov"].as_i64()),
        ("levels", Some(-30))
    );
    assert_eq!(second.data["levels"][0]["dbov"], -10);
    assert!(start.elapsed() >= Duration::from_millis(100));
    drop(reader);
    assert_eq!(*watching.borrow(), 0);
}

#[tokio::test]
async fn streams_are_limited() {
    let mut house = house();
    let settings = api::Settings { max_streams: 1, ..api::Settings::default() };
    house.router = api::router(api::Api { settings, ..house.api.clone() });
    let first = Reader::open(&house, "/v1/events/stream", None).await;

    let refused = house.get("/v1/events/stream").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], "too_many_streams");
    drop(first);
    Reader::open(&house, "/v1/events/stream", None).await;
}

#[tokio::test]
async fn a_stream_of_an_unknown_room_is_refused() {
    let house = crate::bridge::rooms_fail_with(api::control::ControlError::NotFound {
        what: "room",
        name: "x".to_owned(),
    });
    let request = Request::get("/v1/events/stream?room=x")
        .header("authorization", format!("Bearer {}", crate::bridge::KEY))
        .body(Body::empty());

    assert_eq!(house.call(request.unwrap()).await.status, StatusCode::NOT_FOUND);
}
