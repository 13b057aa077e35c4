//! Files of recordings over HTTP, and who may have them.

use api::control::{Command, ControlError};
use api::model::{Recording, RecordingState};
use api::{Settings, samples};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use crate::bridge::{House, KEY, house_where, request, request_by};

const SOUND: &[u8] = b"RIFF and what follows";

/// A house in which nothing goes on, with the files of the sample in a folder of its own.
fn house(folder: &std::path::Path) -> House {
    let mut house = house_where(|command| match command {
        Command::Recording { recording, reply } => {
            let name = recording.to_string();
            reply.send(Err(ControlError::NotFound { what: "recording", name }));
            None
        }
        other => Some(other),
    });
    let files = folder.join(samples::recording().id.to_string());
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("mix.wav"), SOUND).unwrap();
    house.api.settings = Settings { recordings: folder.to_owned(), ..Settings::default() };
    house.router = api::router(house.api.clone());
    house
}

fn content(query: &str) -> String {
    format!("/v1/recordings/{}/content{query}", samples::recording().id)
}

#[tokio::test]
async fn a_file_is_fetched_whole_or_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let part = |range: &str| {
        let request = Request::get(content("?track=mix")).header("range", range);
        request.header("authorization", format!("Bearer {KEY}")).body(Body::empty()).unwrap()
    };

    let whole = house.call(request(Method::GET, &content(""), "")).await;
    let middle = house.call(part("bytes=5-7")).await;
    let beyond = house.call(part("bytes=500-")).await;

    assert_eq!((whole.status, whole.body.as_bytes()), (StatusCode::OK, SOUND));
    assert_eq!(whole.headers["content-type"], "audio/wav");
    assert_eq!(whole.headers["accept-ranges"], "bytes");
    let hash = samples::recording().tracks[0].file.clone().unwrap().sha256;
    assert_eq!(whole.headers["etag"], format!("\"{hash}\""));
    assert_eq!((middle.status, middle.body.as_str()), (StatusCode::PARTIAL_CONTENT, "and"));
    assert_eq!(middle.headers["content-range"], format!("bytes 5-7/{}", SOUND.len()));
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_404_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let leg = samples::leg().id;

    let unknown = house.call(request(Method::GET, &content("?track=x"), "")).await;
    let lost = house.call(request(Method::GET, &content(&format!("?track={leg}")), "")).await;
    let climbing = house.call(request(Method::GET, &content("?track=../mix"), "")).await;

    for (answer, code) in
        [(unknown, "track_not_found"), (lost, "file_not_found"), (climbing, "track_not_found")]
    {
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (StatusCode::NOT_FOUND, Some(code))
        );
    }
}

#[tokio::test]
async fn what_goes_on_is_seen_before_the_store_knows_it() {
    let live = || Recording {
        state: RecordingState::Recording,
        id: api::model::RecordingId::new(u64::MAX >> 16, 1),
        ..samples::recording()
    };
    let house = house_where(move |command| match command {
        Command::LiveRecordings { reply } => {
            reply.send(Ok(vec![live()]));
            None
        }
        other => Some(other),
    });

    let all = house.get("/v1/recordings").await.json();
    let over = house.get("/v1/recordings?state=completed").await.json();

    let states = |page: &serde_json::Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&all), ["recording", "completed"]);
    assert_eq!(states(&over), ["completed"]);
}

#[tokio::test]
async fn a_key_that_is_bound_to_rooms_has_the_recordings_of_these_alone() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let scopes = json!(["recordings:read", "rooms:control"]);
    let key = |room: &str| json!({"name": "k", "scopes": scopes, "rooms": [room]});
    let make = async |body: serde_json::Value| {
        let made = house.call(request(Method::POST, "/v1/api_keys", &body.to_string())).await;
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let (board, other) = (make(key("board")).await, make(key("other")).await);
    let recording = format!("/v1/recordings/{}", samples::recording().id);

    for (method, path, within, without) in [
        (Method::GET, recording.as_str(), 200, 403),
        (Method::GET, &content(""), 200, 403),
        (Method::GET, "/v1/recordings?room=board", 200, 403),
        (Method::GET, "/v1/recordings", 403, 403),
        (Method::DELETE, &recording, 204, 403),
    ] {
        for (key, expected) in [(&other, without), (&board, within)] {
            let answer = house.call(request_by(key, method.clone(), path, "")).await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {}", answer.body);
        }
    }
}
