//! HTTP: refusals, repetition, discovery and resumption.

use std::collections::BTreeSet;

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Value, json, scene};

#[test]
fn wrong_json_is_422_and_names_the_field() {
    let scene = scene();
    for (body, pointer) in [
        (json!({"name": 7}), "/name"),
        (json!({"name": "x", "max_participants": "many"}), "/max_participants"),
        (json!({"nonsense": true}), "/nonsense"),
        (json!({"name": "not a name"}), "/name"),
    ] {
        let answer = scene.bridge.try_request("POST", "/v1/rooms", Some(&body));

        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        let kind = answer.header("content-type").unwrap_or("");
        assert!(kind.starts_with("application/problem+json"), "{kind}");
        let pointers = answer.json()["errors"].to_string();
        assert!(pointers.contains(pointer), "{body}: {}", answer.text);
    }
}

#[test]
fn broken_json_is_refused_as_a_problem() {
    let scene = scene();

    let answer = scene.bridge.client.request("POST", "/v1/rooms", &[], Some("{\"name\":")).unwrap();

    assert!(answer.status == 400 || answer.status == 422, "{}", answer.text);
    assert!(answer.json()["code"].is_string(), "{}", answer.text);
}

#[test]
fn what_is_unknown_is_404() {
    let scene = scene();
    for path in ["/v1/rooms/nowhere", "/v1/legs/leg_00000000000000000000000000", "/v1/nothing"] {
        let answer = scene.bridge.try_request("GET", path, None);

        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert_eq!(answer.json()["status"], 404, "{path}: {}", answer.text);
    }
}

#[test]
fn a_key_is_needed() {
    let scene = scene();
    for key in ["", "wrong"] {
        let answer =
            scene.bridge.client.with_key(key).request("GET", "/v1/rooms", &[], None).unwrap();

        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    let open = scene.bridge.client.with_key("").request("GET", "/healthz", &[], None).unwrap();
    assert_eq!(open.status, 200);
}

#[test]
fn a_repeated_post_does_its_work_once() {
    let scene = scene();
    let headers = [("idempotency-key", "one")];
    let body = json!({"name": "once"}).to_string();

    let first = scene.bridge.client.request("POST", "/v1/rooms", &headers, Some(&body)).unwrap();
    let again = scene.bridge.client.request("POST", "/v1/rooms", &headers, Some(&body)).unwrap();
    let other = scene.bridge.client.request("POST", "/v1/rooms", &headers, Some("{}")).unwrap();

    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    assert_eq!(other.status, 422, "{}", other.text);
    scene.bridge.post("/v1/rooms", &json!({"name": "last"}));
    scene.bridge.wait("room.created", |event| event["data"]["name"] == "last");
    assert_eq!(scene.bridge.count("room.created", |event| event["data"]["name"] == "once"), 1);
}

#[test]
fn a_second_room_of_the_same_name_is_a_conflict() {
    let scene = scene();
    scene.bridge.post("/v1/rooms", &json!({"name": "twice"}));

    let answer = scene.bridge.try_request("POST", "/v1/rooms", Some(&json!({"name": "twice"})));

    assert_eq!(answer.status, 409, "{}", answer.text);
}

#[test]
fn a_reader_resumes_where_it_stopped() {
    let scene = scene();
    for name in ["a", "b", "c"] {
        scene.bridge.post("/v1/rooms", &json!({"name": name}));
    }
    let second = scene.bridge.wait("room.created", |event| event["data"]["name"] == "b");

    let log = scene.bridge.resume_stream(second["seq"].as_u64().unwrap());
    let next = log.take(|_| true).unwrap();

    assert_eq!(next["data"]["name"], "c", "{next}");
    assert_eq!(next["seq"].as_u64().unwrap(), second["seq"].as_u64().unwrap() + 1);
}

#[test]
fn the_event_list_and_the_stream_agree() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    anna.call.hang_up();
    scene.bridge.wait("room.ended", |_| true);

    let mut listed: Vec<u64> = Vec::new();
    let mut path = "/v1/events?limit=2".to_owned();
    loop {
        let page = scene.bridge.get(&path);
        listed.extend(
            page["items"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/events?limit=2&cursor={next}");
    }

    listed.sort_unstable();
    let streamed: Vec<u64> =
        scene.bridge.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(streamed.is_sorted_by(|a, b| *b == a + 1), "{streamed:?}");
    assert!(streamed.iter().all(|seq| listed.contains(seq)), "{streamed:?} not all in {listed:?}");
}

#[test]
fn a_snapshot_and_the_events_after_it_make_up_what_there_is() {
    let scene = scene();
    let mut socket = scene.bridge.client.websocket();
    let mut hear = |said: Option<Value>| -> Value {
        if let Some(said) = said {
            socket.send(Message::text(said.to_string())).unwrap();
        }
        serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap()
    };
    let mut rooms = BTreeSet::new();

    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..60 {
                scene.bridge.post("/v1/rooms", &json!({"name": format!("r{number}")}));
                if number % 3 == 0 {
                    scene.bridge.delete(&format!("/v1/rooms/r{number}"));
                }
            }
            scene.bridge.post("/v1/rooms", &json!({"name": "last"}));
        });
        scene.bridge.wait("room.created", |event| event["data"]["name"] == "r20");
        let ask = json!({"type": "subscribe", "subscription": "a", "snapshot": true});
        let mut at = hear(Some(ask))["seq"].as_u64().unwrap();
        let snapshot = hear(None);
        let names = snapshot["rooms"].as_array().unwrap().iter();
        rooms.extend(names.map(|room| room["name"].as_str().unwrap().to_owned()));
        assert_eq!((&snapshot["last"], snapshot["seq"].as_u64()), (&true.into(), Some(at)));
        while !rooms.contains("last") {
            let Value::Object(event) = hear(None)["event"].take() else { panic!("no event") };
            let name = event["data"]["name"].as_str().unwrap().to_owned();
            at += 1;
            assert_eq!(event["seq"].as_u64(), Some(at), "neither a gap nor an overlap");
            match event["type"].as_str().unwrap() {
                "room.created" => assert!(rooms.insert(name), "made twice"),
                "room.ended" => assert!(rooms.remove(&name), "ended twice"),
                _ => {}
            }
        }
    });

    let listed = scene.bridge.get("/v1/rooms?limit=500");
    let listed = listed["items"].as_array().unwrap().iter();
    assert_eq!(rooms, listed.map(|room| room["name"].as_str().unwrap().to_owned()).collect());
}

#[test]
fn a_change_of_what_somebody_else_has_changed_is_412() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);

    for (path, body) in
        [(path.as_str(), r#"{"muted":true}"#), ("/v1/rooms/standup", r#"{"contributors":7}"#)]
    {
        let ask = |method: &str, header: (&str, &str), body: Option<&str>| {
            scene.bridge.client.request(method, path, &[header], body).unwrap()
        };
        let shown = ask("GET", ("accept", "*/*"), None);
        let tag = shown.header("etag").unwrap();
        let first = ask("PATCH", ("if-match", tag), Some(body));
        let second = ask("PATCH", ("if-match", tag), Some(body));

        assert_eq!(
            (first.status, second.status),
            (200, 412),
            "{path}: {} {}",
            first.text,
            second.text
        );
        assert_eq!(second.json()["code"], "stale");
        let new = first.json()["revision"].as_u64();
        assert_eq!(new, shown.json()["revision"].as_u64().map(|revision| revision + 1));
    }
}

#[test]
fn every_published_path_is_described() {
    let scene = scene();

    let description = scene.bridge.get("/openapi.json");

    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/v1/rooms",
        "/v1/rooms/{room}",
        "/v1/rooms/{room}/participants",
        "/v1/rooms/{room}/participants/{leg}",
        "/v1/calls",
        "/v1/legs/{leg}/hold",
        "/v1/legs/{leg}/transfer",
        "/v1/events",
        "/v1/events/stream",
        "/v1/ws",
    ] {
        assert!(description["paths"].get(path).is_some(), "{path} is missing");
    }
}

#[test]
fn metrics_follow_the_calls() {
    let scene = scene();
    let _anna = scene.join("anna", "standup", 440);
    let _bert = scene.join("bert", "standup", 880);

    let answer = scene.bridge.try_request("GET", "/metrics", None);

    assert_eq!(answer.status, 200);
    let legs = answer.text.lines().any(|line| {
        line.contains("legs")
            && !line.starts_with('#')
            && line.split_whitespace().last() == Some("2")
    });
    assert!(legs, "no metric counts two legs:\n{}", answer.text);
}

#[test]
fn state_and_events_agree() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let path = format!("/v1/rooms/standup/participants/{}", anna.leg);

    scene.bridge.patch(&path, &json!({"muted": true, "gain_in_db": 3.0, "agc": true}));
    let muted = scene.bridge.wait_leg("participant.muted", &anna.leg);
    let seen = scene.bridge.get(&path);

    assert_eq!(muted["data"]["muted"], seen["muted"]);
    assert_eq!(seen["gain_in_db"], Value::from(3.0));
    assert_eq!([&seen["agc"], &seen["noise_suppression"]], [true, false]);
    anna.call.hang_up();
    scene.bridge.wait_leg("participant.left", &anna.leg);
    let all = scene.bridge.get("/v1/rooms");
    assert_eq!(all["items"].as_array().unwrap().len(), 0, "{all}");
}
