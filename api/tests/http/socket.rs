//! `/v1/ws` as its clients see it: subscriptions, snapshots, and how it ends.

use api::event::{EventType, Level};
use api::samples;
use axum::http::{Method, Request};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::bridge::{House, KEY, Served, house, request_by};

/// An open WebSocket, past its `ready`.
struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// A request for a WebSocket with these headers.
fn ask(served: &Served, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = format!("ws://{}/v1/ws", served.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

async fn try_open(served: &Served, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (socket, _) = client_async(ask(served, headers), stream).await?;
    let mut client = Client { socket };
    assert_eq!(client.next().await["type"], "ready");
    Ok(client)
}

async fn refusal(served: &Served, headers: &[(&'static str, &str)]) -> u16 {
    match try_open(served, headers).await.map(drop).unwrap_err() {
        Error::Http(answer) => answer.status().as_u16(),
        error => panic!("{error}"),
    }
}

impl Client {
    async fn open(served: &Served, key: &str) -> Self {
        try_open(served, &[("authorization", &format!("Bearer {key}"))]).await.unwrap()
    }

    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What a message is answered.
    async fn ask(&mut self, message: Value) -> Value {
        self.say(message).await;
        self.next().await
    }

    async fn closed(&mut self) -> CloseFrame {
        match self.socket.next().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }
}

fn seq(message: &Value) -> u64 {
    message["event"]["seq"].as_u64().unwrap()
}

async fn key(house: &House, scopes: Value, rooms: Value) -> (String, String) {
    let body = json!({"name": "k", "scopes": scopes, "rooms": rooms});
    let made = house.post("/v1/api_keys", &body.to_string()).await.json();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn subscriptions_follow_each_what_they_asked_for() {
    let house = house();
    let served = house.serve().await;
    let mut client = Client::open(&served, KEY).await;
    let muted = json!({"type": "subscribe", "subscription": "m", "types": ["participant.*"]});
    let ended = json!({"type": "subscribe", "subscription": "e", "types": ["room.ended"], "rooms": ["board"]});

    assert_eq!(
        client.ask(muted).await,
        json!({"type": "subscribed", "subscription": "m", "seq": 0})
    );
    assert_eq!(client.ask(ended).await["subscription"], "e");
    house.happens(EventType::RoomUpdated);
    house.happens(EventType::ParticipantMuted);
    let first = client.next().await;
    house.happens(EventType::RoomEnded);
    let second = client.next().await;

    assert_eq!((first["subscription"].as_str(), seq(&first)), (Some("m"), 2));
    assert_eq!(first["event"]["type"], "participant.muted");
    assert_eq!((second["subscription"].as_str(), seq(&second)), (Some("e"), 3));
}

#[tokio::test]
async fn a_snapshot_is_followed_by_the_events_after_it() {
    let house = house();
    let served = house.serve().await;
    house.happens(EventType::RoomCreated);
    house.happens(EventType::ParticipantJoined);
    let mut client = Client::open(&served, KEY).await;

    let subscribed =
        client.ask(json!({"type": "subscribe", "subscription": "a", "snapshot": true})).await;
    let snapshot = client.next().await;
    house.happens(EventType::ParticipantMuted);
    let event = client.next().await;

    assert_eq!(subscribed["seq"], 2);
    assert_eq!((&snapshot["type"], &snapshot["seq"]), (&"snapshot".into(), &2.into()));
    assert_eq!(snapshot["rooms"][0]["name"], "board");
    assert_eq!(snapshot["participants"][0]["leg"], samples::participant().leg.to_string());
    assert_eq!((snapshot["calls"].as_array().unwrap().len(), &snapshot["last"]), (1, &true.into()));
    assert_eq!(seq(&event), 3);
}

#[tokio::test]
async fn a_large_snapshot_comes_in_parts() {
    let house = crate::bridge::house_where(|command| match command {
        api::control::Command::Snapshot { reply, .. } => {
            let legs = vec![samples::leg(); 450];
            reply.send(Ok(api::model::Snapshot { legs, ..samples::snapshot() }));
            None
        }
        other => Some(other),
    });
    let served = house.serve().await;
    let mut client = Client::open(&served, KEY).await;
    client.ask(json!({"type": "subscribe", "subscription": "a", "snapshot": true})).await;

    let mut sizes = Vec::new();
    loop {
        let part = client.next().await;
        sizes.push(part["legs"].as_array().unwrap().len());
        if part["last"] == true {
            break;
        }
    }

    assert_eq!(sizes, [197, 200, 53]);
}

#[tokio::test]
async fn a_client_resumes_after_the_event_it_saw_last() {
    let house = house();
    let served = house.serve().await;
    for _ in 0..4 {
        house.happens(EventType::RoomUpdated);
    }
    let mut client = Client::open(&served, KEY).await;
    let subscribe = json!({"type": "subscribe", "subscription": "a", "resume_from": 2});
    let unknown = json!({"type": "subscribe", "subscription": "b", "resume_from": 99});

    assert_eq!(client.ask(subscribe).await["seq"], 2);
    assert_eq!(seq(&client.next().await), 3);
    assert_eq!(seq(&client.next().await), 4);
    let gone = client.ask(unknown).await;

    assert_eq!((&gone["problem"]["status"], &gone["subscription"]), (&410.into(), &"b".into()));
}

#[tokio::test]
async fn an_ended_subscription_tells_no_more() {
    let house = house();
    let served = house.serve().await;
    let mut client = Client::open(&served, KEY).await;
    client.ask(json!({"type": "subscribe", "subscription": "a"})).await;

    let ended = client.ask(json!({"type": "unsubscribe", "subscription": "a"})).await;
    house.happens(EventType::RoomUpdated);
    let pong = client.ask(json!({"type": "ping", "id": "7"})).await;

    assert_eq!(ended, json!({"type": "unsubscribed", "subscription": "a"}));
    assert_eq!(pong, json!({"type": "pong", "id": "7"}));
}

#[tokio::test]
async fn what_is_not_acceptable_is_said_and_changes_nothing() {
    let house = house();
    let served = house.serve().await;
    let mut client = Client::open(&served, KEY).await;
    client.ask(json!({"type": "subscribe", "subscription": "a"})).await;
    let cases = [
        (json!({"type": "shout"}), 422, "/type"),
        (json!({"subscription": "b"}), 422, "/type"),
        (json!({"type": "subscribe"}), 422, "/subscription"),
        (json!({"type": "subscribe", "subscription": ""}), 422, "/subscription"),
        (json!({"type": "subscribe", "subscription": "b", "types": ["x.*"]}), 422, "/types"),
        (
            json!({"type": "subscribe", "subscription": "b", "topic": "levels", "snapshot": true}),
            422,
            "/snapshot",
        ),
        (json!({"type": "subscribe", "subscription": "b", "nonsense": 1}), 422, "/nonsense"),
        (json!({"type": "subscribe", "subscription": "a"}), 409, ""),
        (json!({"type": "unsubscribe", "subscription": "b"}), 404, ""),
    ];

    for (message, status, pointer) in cases {
        let answer = client.ask(message.clone()).await;

        assert_eq!(
            (&answer["type"], &answer["problem"]["status"]),
            (&"error".into(), &status.into()),
            "{message}: {answer}"
        );
        let pointed = answer["problem"]["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(pointed, pointer, "{message}: {answer}");
    }
    client.socket.send(Message::text("{")).await.unwrap();
    assert_eq!(client.next().await["problem"]["code"], "malformed_json");
    house.happens(EventType::RoomUpdated);
    assert_eq!(seq(&client.next().await), 1);
}

#[tokio::test]
async fn a_client_too_slow_is_told_and_can_resume() {
    let house = house();
    let served = house.serve().await;
    let mut client = Client::open(&served, KEY).await;
    client.ask(json!({"type": "subscribe", "subscription": "a"})).await;

    for _ in 0..14 {
        house.happens(EventType::RoomUpdated); // nobody reads meanwhile: the only thread is ours
    }

    let closing = client.next().await;
    assert_eq!((&closing["code"], &closing["last_seq"]), (&"slow_reader".into(), &0.into()));
    assert_eq!(client.closed().await.code, 4008.into());
    let mut again = Client::open(&served, KEY).await;
    again.ask(json!({"type": "subscribe", "subscription": "a", "resume_from": 0})).await;
    assert_eq!(seq(&again.next().await), 1);
}

#[tokio::test]
async fn binary_and_overlong_messages_end_it_with_a_reason() {
    let house = house();
    let served = house.serve().await;
    let cases = [
        (Message::binary(vec![1, 2]), "not_text", 1003),
        (Message::text("x".repeat(20_000)), "too_large", 1009),
    ];

    for (message, code, close) in cases {
        let mut client = Client::open(&served, KEY).await;
        client.socket.send(message).await.unwrap();

        assert_eq!(client.next().await["code"], code);
        assert_eq!(client.closed().await.code, close.into());
    }
}

#[tokio::test]
async fn stopping_tells_those_who_follow_and_those_who_do_not() {
    let house = house();
    let mut served = house.serve().await;
    let mut follows = Client::open(&served, KEY).await;
    let mut idle = Client::open(&served, KEY).await;
    follows.ask(json!({"type": "subscribe", "subscription": "a"})).await;

    house.happens(EventType::NodeDraining);
    served.stop();

    assert_eq!(seq(&follows.next().await), 1);
    for client in [&mut follows, &mut idle] {
        assert_eq!(client.next().await["code"], "stopping");
        assert_eq!(client.closed().await.code, 1001.into());
    }
}

#[tokio::test]
async fn it_ends_with_its_key() {
    let house = house();
    let served = house.serve().await;
    let (id, key) = key(&house, json!(["events:read"]), json!([])).await;
    let mut client = Client::open(&served, &key).await;

    house.call(request_by(KEY, Method::DELETE, &format!("/v1/api_keys/{id}"), "")).await;

    assert_eq!(client.next().await["code"], "key_ended");
    assert_eq!(client.closed().await.code, 1008.into());
}

#[tokio::test]
async fn a_browser_offers_its_key_as_a_sub_protocol() {
    let house = house();
    let served = house.serve().await;
    let offer = format!("plenary.v1, plenary.bearer.{KEY}");
    let stream = TcpStream::connect(served.address).await.unwrap();
    let request = ask(&served, &[("sec-websocket-protocol", &offer)]);

    let (_, answer) = client_async(request, stream).await.unwrap();

    assert_eq!(answer.headers()["sec-websocket-protocol"], "plenary.v1");
}

#[tokio::test]
async fn strangers_and_pages_of_other_hosts_are_refused() {
    let house = house();
    let served = house.serve().await;
    let (_, reader) = key(&house, json!(["rooms:read"]), json!([])).await;
    let bearer = format!("Bearer {KEY}");
    let ours = format!("http://{}", served.address);
    let known = ("authorization", bearer.as_str());

    assert_eq!(refusal(&served, &[]).await, 401);
    let wrong = [("sec-websocket-protocol", "plenary.v1, plenary.bearer.wrong")];
    assert_eq!(refusal(&served, &wrong).await, 401);
    assert_eq!(refusal(&served, &[("authorization", &format!("Bearer {reader}"))]).await, 403);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(refusal(&served, &[known, ("origin", origin)]).await, 403, "{origin}");
    }
    assert!(try_open(&served, &[known, ("origin", &ours)]).await.is_ok());
    assert_eq!(house.get("/v1/ws").await.status.as_u16(), 426);
}

#[tokio::test]
async fn a_key_bound_to_rooms_follows_them_alone() {
    let house = crate::bridge::house_where(|command| match command {
        api::control::Command::Room { room, reply }
            if room != "board" && room != samples::room().id.to_string() =>
        {
            let id = api::id::RoomId::new(9, 9);
            reply.send(Ok(api::model::Room { id, name: room, ..samples::room() }));
            None
        }
        other => Some(other),
    });
    let served = house.serve().await;
    let (_, key) = key(&house, json!(["events:read"]), json!(["board"])).await;
    let mut client = Client::open(&served, &key).await;

    let other =
        client.ask(json!({"type": "subscribe", "subscription": "a", "rooms": ["other"]})).await;
    let unread =
        client.ask(json!({"type": "subscribe", "subscription": "a", "snapshot": true})).await;
    client.ask(json!({"type": "subscribe", "subscription": "a"})).await;
    client.ask(json!({"type": "subscribe", "subscription": "l", "topic": "levels"})).await;
    house.api.log.publish_levels(&[
        Level { leg: samples::leg().id, room: Some(api::id::RoomId::new(9, 9)), dbov: -9 },
        Level { leg: samples::leg().id, room: None, dbov: -8 },
    ]);
    house.happens_in(None, EventType::TrunkDown);
    house.happens_in(Some(api::id::RoomId::new(9, 9)), EventType::RoomUpdated);
    house.happens(EventType::RoomUpdated);

    assert_eq!(other["problem"]["status"], 403, "{other}");
    assert_eq!(unread["problem"]["detail"], "this key lacks the scope rooms:read", "{unread}");
    let event = client.next().await;
    assert_eq!((&event["type"], seq(&event)), (&"event".into(), 3), "{event}");
}
