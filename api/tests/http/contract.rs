//! Every route answers as the document says, and the document says what every route answers.

use std::collections::BTreeSet;

use api::samples;
use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::bridge::{House, house, request};

/// Method, path, body, status, and the start of the command that the bridge gets.
type Case = (&'static str, &'static str, &'static str, u16, &'static str);

const ROOM_AND_CALL_ROUTES: &[Case] = &[
    (
        "GET",
        "/v1/rooms?limit=10&state=all",
        "",
        200,
        "ListRooms { query: RoomQuery { limit: Some(10)",
    ),
    (
        "POST",
        "/v1/rooms",
        r#"{"name":"board"}"#,
        201,
        "CreateRoom { body: CreateRoom { name: Some(\"board\")",
    ),
    ("POST", "/v1/rooms", "", 201, "CreateRoom { body: CreateRoom { name: None"),
    ("GET", "/v1/rooms/board", "", 200, "Room { room: \"board\""),
    ("PATCH", "/v1/rooms/board", r#"{"locked":true}"#, 200, "UpdateRoom { room: \"board\""),
    ("DELETE", "/v1/rooms/board", "", 204, "DeleteRoom { room: \"board\""),
    ("PUT", "/v1/rooms/board/lock", "", 200, "LockRoom { room: \"board\", locked: true"),
    ("DELETE", "/v1/rooms/board/lock", "", 200, "LockRoom { room: \"board\", locked: false"),
    (
        "POST",
        "/v1/rooms/board/end",
        "",
        202,
        "EndRoom { room: \"board\", body: EndRoom { grace_s: 0 }",
    ),
    (
        "POST",
        "/v1/rooms/board/tokens",
        r#"{"scopes":["events:read"]}"#,
        201,
        "Room { room: \"board\"",
    ),
    (
        "POST",
        "/v1/rooms/board/invitations",
        r#"{"to":["a@b.test"]}"#,
        202,
        "DialIn { room: \"board\", moderator: false",
    ),
    ("GET", "/v1/rooms/board/participants?state=left", "", 200, "ListParticipants"),
    (
        "POST",
        "/v1/rooms/board/participants",
        r#"{"to":"sip:b@c"}"#,
        202,
        "Invite { room: \"board\"",
    ),
    (
        "PATCH",
        "/v1/rooms/board/participants?role=listener",
        r#"{"muted":true}"#,
        200,
        "UpdateParticipants { room: \"board\", whom: Whom { role: Some(Listener)",
    ),
    (
        "GET",
        "/v1/rooms/board/participants/LEG",
        "",
        200,
        "Participant { room: \"board\", leg: LegId",
    ),
    ("PATCH", "/v1/rooms/board/participants/LEG", r#"{"room":"b"}"#, 200, "UpdateParticipant {"),
    (
        "PATCH",
        "/v1/rooms/board/participants/LEG",
        r#"{"agc":true,"noise_suppression":false,"echo_suppression":true}"#,
        200,
        "UpdateParticipant {",
    ),
    (
        "PATCH",
        "/v1/rooms/board/participants/LEG",
        r#"{"role":"coach","coaching":"aside","supervision":"barge","group":"main"}"#,
        200,
        "UpdateParticipant {",
    ),
    (
        "PATCH",
        "/v1/rooms/board",
        r#"{"groups":{"aside":{"speaks_to":null,"hears":[{"group":"main"}]},"old":null}}"#,
        200,
        "UpdateRoom { room: \"board\"",
    ),
    ("DELETE", "/v1/rooms/board/participants/LEG?prompt=a", "", 204, "Kick {"),
    ("GET", "/v1/calls", "", 200, "ListCalls"),
    ("POST", "/v1/calls", r#"{"legs":[{"to":"sip:a@b"},{"to":"sip:c@d"}]}"#, 202, "CreateCall"),
    ("GET", "/v1/calls/CALL", "", 200, "Call {"),
    ("DELETE", "/v1/calls/CALL", "", 204, "HangUpCall"),
];

const LEG_AND_NODE_ROUTES: &[Case] = &[
    ("GET", "/v1/legs", "", 200, "ListLegs"),
    ("GET", "/v1/legs/LEG", "", 200, "Leg {"),
    ("DELETE", "/v1/legs/LEG", "", 204, "HangUpLeg"),
    ("PUT", "/v1/legs/LEG/hold", r#"{"music":"a"}"#, 200, "HoldLeg"),
    ("DELETE", "/v1/legs/LEG/hold", "", 200, "HoldLeg"),
    ("PUT", "/v1/legs/LEG/mute", "", 200, "MuteLeg"),
    ("DELETE", "/v1/legs/LEG/mute", "", 200, "MuteLeg"),
    ("POST", "/v1/legs/LEG/transfer", r#"{"room":"b"}"#, 202, "Transfer"),
    ("POST", "/v1/legs/LEG/dtmf", r#"{"digits":"1*"}"#, 204, "SendDtmf"),
    ("GET", "/v1/legs/LEG/stats", "", 200, "LegStats"),
    ("GET", "/v1/events", "", 200, ""),
    ("GET", "/v1/nodes?state=ready", "", 200, "ListNodes { query: PageQuery { limit: None"),
    ("GET", "/v1/nodes/bridge-1", "", 200, "Node { node: \"bridge-1\""),
    ("GET", "/v1/bans", "", 200, "ListBans"),
    ("DELETE", "/v1/bans/192.0.2.66", "", 204, "LiftBan { address: 192.0.2.66"),
    ("GET", "/v1/legs/LEG/trace", "", 200, "LegTrace {"),
    ("GET", "/v1/calls/CALL/trace", "", 200, "CallTrace {"),
    ("POST", "/v1/messages", r#"{"to":"b","text":"hi"}"#, 202, "SendMessage"),
    ("GET", "/v1/messages", "", 200, "ListMessages"),
    ("GET", "/v1/messages/MESSAGE", "", 200, "Message {"),
    ("GET", "/v1/playbacks?room=board&state=all", "", 200, "ListPlaybacks"),
    ("POST", "/v1/playbacks", r#"{"room":"board","media":["a"]}"#, 202, "Play { to: Room("),
    ("GET", "/v1/playbacks/PLAYBACK", "", 200, "Playback {"),
    ("PATCH", "/v1/playbacks/PLAYBACK", r#"{"position_ms":5}"#, 200, "UpdatePlayback {"),
    ("DELETE", "/v1/playbacks/PLAYBACK", "", 204, "StopPlayback {"),
    ("GET", "/v1/room_templates", "", 200, "ListTemplates"),
    ("GET", "/v1/room_templates/quiet", "", 200, "Template {"),
    ("PUT", "/v1/room_templates/quiet", r#"{"names":"team-*"}"#, 200, "PutTemplate"),
    ("DELETE", "/v1/room_templates/quiet", "", 204, "DeleteTemplate"),
    ("GET", "/v1/recordings?room=board", "", 200, "LiveRecordings"),
    ("POST", "/v1/recordings", r#"{"room":"board"}"#, 202, "CreateRecording { of: Room("),
    ("GET", "/v1/recordings/RECORDING", "", 200, "Recording {"),
    ("PATCH", "/v1/recordings/RECORDING", r#"{"paused":true}"#, 200, "Recording {"),
    ("POST", "/v1/recordings/RECORDING/marks", r#"{"label":"x"}"#, 200, "Recording {"),
    ("POST", "/v1/recordings/RECORDING/stop", "", 202, "Recording {"),
    ("DELETE", "/v1/recordings/RECORDING", "", 409, "Recording {"),
    ("GET", "/v1/recordings/RECORDING/content", "", 409, "Recording {"),
    ("POST", "/v1/rooms/board/announcements", r#"{"media":["a"]}"#, 202, "Play { to: Room("),
    ("PUT", "/v1/rooms/board/music", "", 200, "PlayMusic { room: \"board\""),
    ("DELETE", "/v1/rooms/board/music", "", 204, "StopMusic { room: \"board\""),
    ("POST", "/v1/legs/LEG/play", r#"{"media":["a"]}"#, 202, "Play { to: Leg(LegId"),
    ("POST", "/v1/calls/CALL/play", r#"{"media":["a"]}"#, 202, "Play { to: Call(CallId"),
    ("POST", "/v1/rooms/board/participants/LEG/admit", "", 200, "Admit { room: \"board\""),
    ("POST", "/v1/rooms/board/admit", "", 200, "AdmitAll { room: \"board\""),
    (
        "POST",
        "/v1/rooms/board/participants/LEG/ask_to_speak",
        "",
        200,
        "AskToSpeak { room: \"board\"",
    ),
    ("GET", "/v1/media", "", 200, "ListMedia"),
    ("GET", "/v1/media/jingle", "", 200, "Media { media: \"jingle\""),
    ("GET", "/v1/media/jingle/content", "", 200, "MediaContent { media: \"jingle\""),
    ("PUT", "/v1/media/jingle", "RIFF", 200, "PutMedia { media: \"jingle\", sound: b\"RIFF\""),
    ("DELETE", "/v1/media/jingle", "", 204, "DeleteMedia { media: \"jingle\""),
    ("GET", "/v1/trunks", "", 200, "ListTrunks"),
    ("GET", "/v1/trunks/carrier", "", 200, "Trunk { trunk: \"carrier\""),
    ("POST", "/v1/trunks", r#"{"name":"c","gateways":["sip:c.test"]}"#, 201, "CreateTrunk"),
    ("PUT", "/v1/trunks/carrier", r#"{"gateways":["sip:c.test"]}"#, 200, "ReplaceTrunk"),
    ("DELETE", "/v1/trunks/carrier", "", 204, "DeleteTrunk { trunk: \"carrier\""),
    ("GET", "/v1/records/legs?since=2026-01-01T00:00:00Z", "", 200, ""),
    ("GET", "/v1/records/legs/LEG", "", 200, ""),
    ("GET", "/v1/records/calls?format=csv", "", 200, ""),
    ("GET", "/v1/records/calls/CALL", "", 200, ""),
    ("GET", "/v1/records/rooms?name=board", "", 200, ""),
    ("GET", "/v1/records/rooms/ROOM", "", 200, ""),
    ("GET", "/v1/records/rooms/ROOM/legs", "", 200, ""),
    ("GET", "/v1/audit?format=jsonl&limit=3", "", 200, ""),
    ("GET", "/v1/api_keys?limit=2", "", 200, ""),
    ("POST", "/v1/api_keys", r#"{"name":"k","scopes":["rooms:read"]}"#, 201, ""),
    ("GET", "/v1/api_keys/KEY", "", 200, ""),
    ("PATCH", "/v1/api_keys/KEY", r#"{"name":"k"}"#, 200, ""),
    ("DELETE", "/v1/api_keys/KEY", "", 204, ""),
    ("GET", "/v1/webhooks?limit=2", "", 200, ""),
    ("POST", "/v1/webhooks", r#"{"url":"https://a.test/b"}"#, 201, ""),
    ("GET", "/v1/webhooks/WEBHOOK", "", 200, ""),
    ("PATCH", "/v1/webhooks/WEBHOOK", r#"{"enabled":false}"#, 200, ""),
    ("DELETE", "/v1/webhooks/WEBHOOK", "", 204, ""),
    ("POST", "/v1/webhooks/WEBHOOK/rotate", "", 200, ""),
    ("POST", "/v1/webhooks/WEBHOOK/test", "", 202, ""),
    ("GET", "/v1/webhooks/WEBHOOK/deliveries?state=failed&type=room.ended", "", 200, ""),
    ("GET", "/v1/webhooks/WEBHOOK/deliveries/DELIVERY", "", 200, ""),
    ("POST", "/v1/webhooks/WEBHOOK/deliveries/DELIVERY/redeliver", "", 202, ""),
    ("GET", "/v1/users", "", 200, "ListUsers"),
    ("POST", "/v1/users", r#"{"name":"anna","password":"p"}"#, 201, "CreateUser"),
    ("GET", "/v1/users/anna", "", 200, "User { user: \"anna\""),
    ("PATCH", "/v1/users/anna", r#"{"may_call":false}"#, 200, "UpdateUser { user: \"anna\""),
    ("DELETE", "/v1/users/anna", "", 204, "DeleteUser { user: \"anna\""),
    ("GET", "/v1/routes", "", 200, "ListRoutes"),
    ("POST", "/v1/routes", r#"{"name":"n","steps":[{"room":"b"}]}"#, 201, "CreateRoute"),
    ("GET", "/v1/routes/ROUTE", "", 200, "Route { route: \"ROUTE\""),
    ("PUT", "/v1/routes/ROUTE", r#"{"steps":[{"room":"b"}]}"#, 200, "ReplaceRoute"),
    ("DELETE", "/v1/routes/ROUTE", "", 204, "DeleteRoute { route: \"ROUTE\""),
    ("POST", "/v1/routes/test", r#"{"to":"+4930"}"#, 200, "TestRoutes"),
    ("GET", "/v1/registrations?user=alice", "", 200, "ListRegistrations"),
    ("GET", "/v1/registrations/REGISTRATION", "", 200, "Registration {"),
    ("DELETE", "/v1/registrations/REGISTRATION", "", 204, "RemoveRegistration {"),
    ("GET", "/v1/presence", "", 200, "ListPresence"),
    ("GET", "/v1/presence/USER", "", 200, "Presence { user: \"USER\""),
    ("PUT", "/v1/presence/USER", r#"{"status":"open"}"#, 200, "SetPresence { user: \"USER\""),
    ("GET", "/v1/sessions", "", 200, ""),
    ("POST", "/v1/sessions", r#"{"user":"ada","password":"correct-horse"}"#, 201, ""),
    ("GET", "/v1/directory?q=ada", "", 200, ""),
    ("GET", "/healthz", "", 200, ""),
    ("GET", "/readyz", "", 200, "Readiness"),
    ("GET", "/metrics", "", 200, "Metrics"),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    ROOM_AND_CALL_ROUTES.iter().chain(LEG_AND_NODE_ROUTES)
}

fn with_ids(path: &str) -> String {
    let (leg, call) = (samples::leg().id.to_string(), samples::call().id.to_string());
    let registration = samples::registration().id.to_string();
    let message = samples::message().id.to_string();
    let path = path.replace("MESSAGE", &message);
    let path = path.replace("PLAYBACK", &samples::playback().id.to_string());
    let path = path.replace("RECORDING", &samples::recording().id.to_string());
    let path = path.replace("KEY", &samples::api_key().id.to_string());
    let path = path.replace("WEBHOOK", &samples::webhook().id.to_string());
    let path = path.replace("DELIVERY", &samples::delivery().id.to_string());
    let path = path.replace("ROOM", &samples::room().id.to_string());
    path.replace("REGISTRATION", &registration).replace("LEG", &leg).replace("CALL", &call)
}

async fn document(house: &House) -> Value {
    house.get("/openapi.json").await.json()
}

#[tokio::test]
async fn each_route_asks_the_bridge_what_its_name_says() {
    for &(method, path, body, status, command) in cases() {
        let house = house();
        let method: Method = method.parse().unwrap();

        let answer = house.call(request(method.clone(), &with_ids(path), body)).await;

        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.body);
        let asked = house.asked().first().cloned().unwrap_or_default();
        assert!(asked.starts_with(command), "{method} {path}: {asked}");
    }
}

#[tokio::test]
async fn the_document_lists_exactly_the_routes_there_are() {
    let document = document(&house()).await;
    let listed: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (path.clone(), method.to_uppercase()))
        })
        .collect();

    let mut served: BTreeSet<(String, String)> = cases()
        .map(|(method, path, ..)| {
            let path = path.split('?').next().unwrap().replace("board", "{room}");
            let path = path.replace("bridge-1", "{node}").replace("192.0.2.66", "{address}");
            let path = path
                .replace("anna", "{user}")
                .replace("carrier", "{trunk}")
                .replace("quiet", "{template}")
                .replace("PLAYBACK", "{playback}")
                .replace("RECORDING", "{recording}")
                .replace("jingle", "{media}")
                .replace("ROUTE", "{route}");
            let path = path.replace("REGISTRATION", "{registration}");
            let path = path.replace("MESSAGE", "{message}").replace("USER", "{user}");
            let path = path.replace("WEBHOOK", "{webhook}").replace("DELIVERY", "{delivery}");
            let path = path.replace("KEY", "{key}").replace("ROOM", "{room}");
            (path.replace("LEG", "{leg}").replace("CALL", "{call}"), (*method).to_owned())
        })
        .collect();
    served.insert(("/v1/events/stream".to_owned(), "GET".to_owned()));
    served.insert(("/v1/ws".to_owned(), "GET".to_owned()));

    assert_eq!(listed, served);
}

#[tokio::test]
async fn every_example_of_a_body_is_accepted() {
    let house = house();
    let document = document(&house).await;
    let mut tried = 0;

    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(body) = operation.get("requestBody") else { continue };
            if body["content"].get("application/json").is_none() {
                continue; // a file
            }
            let example = &body["content"]["application/json"]["example"];
            assert!(example.is_object(), "{method} {path} has no example");
            let path = path.replace("{room}", "board").replace("{leg}", "LEG");
            let path = path.replace("{key}", "KEY").replace("{playback}", "PLAYBACK");
            let path = path.replace("{call}", "CALL").replace("{recording}", "RECORDING");
            let path = path.replace("{webhook}", "WEBHOOK");
            let method: Method = method.to_uppercase().parse().unwrap();

            let answer = house.call(request(method, &with_ids(&path), &example.to_string())).await;

            let documented = &operation["responses"][answer.status.as_str()];
            assert!(answer.status.is_success(), "{path}: {}", answer.body);
            assert!(documented.is_object(), "{path}: {} is not documented", answer.status);
            tried += 1;
        }
    }
    assert_eq!(tried, 37);
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = document(&house()).await;

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert_eq!(document["components"]["schemas"]["Room"]["examples"][0]["name"], "board");
    let kinds = document["components"]["schemas"]["EventType"]["enum"].as_array().unwrap();
    assert!(kinds.iter().any(|kind| kind == "participant.joined"));
    let told = &document["webhooks"]["participant.joined"]["post"];
    assert_eq!(told["summary"], "The participant is in the room.");
    assert_eq!(document["webhooks"].as_object().unwrap().len(), kinds.len());
    assert_eq!(broken_references(&document, &document), Vec::<String>::new());
}

fn broken_references(value: &Value, document: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|reference| {
                let found = document.pointer(reference.strip_prefix('#')?);
                found.is_none().then(|| reference.to_owned())
            });
            let inner = fields.values().flat_map(|value| broken_references(value, document));
            own.into_iter().chain(inner).collect()
        }
        Value::Array(items) => {
            items.iter().flat_map(|value| broken_references(value, document)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test]
async fn a_route_shows_whose_calls_it_takes_and_who_made_it() {
    let shown = house().get("/v1/routes/ROUTE").await;

    assert_eq!(shown.body.matches("\"source\"").count(), 1, "{}", shown.body);
    assert_eq!(
        (&shown.json()["made_by"], shown.json()["source"].is_object()),
        (&"api".into(), true)
    );
}

#[tokio::test]
async fn accepted_work_says_where_it_is_and_what_to_expect() {
    let house = house();
    let participant = samples::participant();

    let answer = house.post("/v1/rooms/board/participants", r#"{"to":"sip:b@c"}"#).await;

    let location = format!("/v1/rooms/{}/participants/{}", participant.room, participant.leg);
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.header("location"), location);
    assert_eq!(
        answer.header("expect-events"),
        "participant.ringing, participant.joined, participant.left"
    );
}

#[tokio::test]
async fn a_node_says_how_many_more_legs_it_takes() {
    let house = house();

    let listed = house.get("/v1/nodes").await.json();
    let shown = house.get("/v1/nodes/bridge-1").await.json();

    assert_eq!(listed["items"][0], shown);
    assert!(shown["id"].as_str().unwrap().starts_with("node_"), "{shown}");
    assert_eq!((&shown["state"], &shown["room_for_legs"]), (&"ready".into(), &4400.into()));
    assert_eq!(shown["workers"][1]["legs"], 200);
    let document = document(&house).await;
    let example = &document["components"]["schemas"]["Node"]["examples"][0];
    assert_eq!(example["id"], shown["id"]);
}
