//! `ETag`, `If-Match` and `If-None-Match`, filters of lists, and changes of many.

use api::control::{Command, ControlError};
use api::model::{LegId, Room};
use api::samples;
use axum::http::{Method, StatusCode};

use crate::bridge::{Answer, House, house, house_where, request};

async fn with(
    house: &House,
    (method, path): (Method, &str),
    header: (&'static str, &str),
) -> Answer {
    let mut request = request(method, path, "");
    request.headers_mut().insert(header.0, header.1.parse().unwrap());
    house.call(request).await
}

fn participant() -> String {
    format!("/v1/rooms/board/participants/{}", samples::participant().leg)
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let house = house();

    for path in ["/v1/rooms/board".to_owned(), participant()] {
        let first = house.get(&path).await;
        let etag = first.header("etag").to_owned();
        let same =
            with(&house, (Method::GET, &path), ("if-none-match", &format!("\"1-0\", W/{etag}")))
                .await;
        let other = with(&house, (Method::GET, &path), ("if-none-match", "\"4\"")).await;

        assert_eq!((same.status, same.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        assert_eq!(same.header("etag"), etag);
        assert_eq!((other.status, other.json()), (StatusCode::OK, first.json()), "{path}");
    }
}

#[tokio::test]
async fn the_tag_tells_what_is_shown_and_a_condition_asks_for_the_revision() {
    let house = house_where(|command| match command {
        Command::Room { room, reply } if room == "full" => {
            reply.send(Ok(Room { participants: 9, ..samples::room() }));
            None
        }
        other => Some(other),
    });
    let tag = house.get("/v1/rooms/board").await.header("etag").to_owned();

    let full = house.get("/v1/rooms/full").await.header("etag").to_owned();
    with(&house, (Method::PATCH, "/v1/rooms/board"), ("if-match", &tag)).await;
    with(&house, (Method::PUT, "/v1/rooms/board/lock"), ("if-match", "\"4\", \"5-x\"")).await;
    with(&house, (Method::PATCH, &participant()), ("if-match", "\"x\"")).await;

    assert!(tag.starts_with("\"4-") && full.starts_with("\"4-") && tag != full, "{tag} {full}");
    let asked = house.asked();
    for (command, condition) in asked[2..].iter().zip(["Some([4])", "Some([4, 5])", "Some([])"]) {
        assert!(command.contains(&format!("condition: IfMatch({condition})")), "{command}");
    }
}

#[tokio::test]
async fn a_list_is_filtered_and_an_unknown_filter_names_the_known_ones() {
    let house = house();
    let leg = samples::leg().id;
    let cases = [
        (
            "/v1/rooms?locked=true&name=board".to_owned(),
            r#"name: Some("board"), locked: Some(true)"#,
        ),
        (
            "/v1/rooms/board/participants?role=listener&muted=false".to_owned(),
            "role: Some(Listener), muted: Some(false)",
        ),
        (format!("/v1/calls?leg={leg}"), "leg: Some("),
        ("/v1/legs?direction=inbound&transport=tls".to_owned(), "direction: Some(Inbound)"),
        ("/v1/rooms/board/participants?state=waiting".to_owned(), r#"state: Some("waiting")"#),
        ("/v1/playbacks?room=board&state=paused".to_owned(), r#"room: Some("board")"#),
    ];

    for (path, expected) in cases {
        assert_eq!(house.get(&path).await.status, StatusCode::OK, "{path}");
        let asked = house.asked().pop().unwrap();
        assert!(asked.contains(expected), "{path}: {asked}");
        let refused = house.get(&format!("{path}&colour=red")).await;
        let error = &refused.json()["errors"][0];
        assert_eq!((refused.status.as_u16(), error["parameter"].as_str()), (422, Some("colour")));
        assert!(error["detail"].as_str().unwrap().contains("`limit`"), "{error}");
    }
    for path in [
        "/v1/users",
        "/v1/nodes",
        "/v1/bans",
        "/v1/messages",
        "/v1/trunks",
        "/v1/routes",
        "/v1/presence",
        "/v1/playbacks",
        "/v1/media",
        "/v1/webhooks",
        "/v1/records/legs",
        "/v1/records/calls",
        "/v1/records/rooms",
        "/v1/audit",
    ] {
        let refused = house.get(&format!("{path}?colour=red")).await;
        assert_eq!(refused.status.as_u16(), 422, "{path}");
        assert!(refused.body.contains("`cursor`"), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_change_of_many_tells_what_became_of_each() {
    let gone = LegId::new(5, 5);
    let house = house_where(move |command| match command {
        Command::UpdateParticipants { reply, .. } => {
            let one = samples::participant();
            let missing = ControlError::NotFound { what: "participant", name: gone.to_string() };
            reply.send(Ok(vec![(one.leg, Ok(one)), (gone, Err(missing))]));
            None
        }
        other => Some(other),
    });
    let path = format!("/v1/rooms/board/participants?legs={},{gone}&group=red", samples::leg().id);

    let answer = house.call(request(Method::PATCH, &path, r#"{"muted":true}"#)).await.json();
    let refused =
        house.call(request(Method::PATCH, "/v1/rooms/board/participants?legs=x", "{}")).await;

    assert_eq!(answer["items"][0]["leg"], samples::participant().leg.to_string());
    assert_eq!(answer["refused"][0]["leg"], gone.to_string());
    assert_eq!(answer["refused"][0]["problem"]["code"], "participant_not_found");
    assert!(house.asked()[0].contains(r#"group: Some("red")"#), "{:?}", house.asked());
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}
