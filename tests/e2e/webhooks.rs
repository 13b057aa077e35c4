//! Webhooks, told to a receiver that is written by hand here and checks signatures in its own way.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Bridge, Options, Scene, Value, fresh_folder, json, phones};

/// What came to the receiver.
#[derive(Debug)]
struct Told {
    id: String,
    timestamp: String,
    signatures: Vec<String>,
    /// As it came.
    text: String,
    body: Value,
}

/// An HTTP endpoint.
#[derive(Debug)]
struct Receptionist {
    address: SocketAddr,
    told: Receiver<Told>,
    /// Statuses of the next answers; then 200.
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receptionist {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, (sender, told)) = (listener.local_addr().unwrap(), channel());
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let next = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = || next.lock().unwrap().pop_front().unwrap_or(200);
                receive(stream, status, &sender);
            }
        });
        Self { address, told, answers }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    fn answers(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("an event is delivered")
    }

    /// The next of this type.
    fn next_of(&self, kind: &str) -> Told {
        loop {
            let told = self.next();
            if told.body["type"] == kind {
                return told;
            }
        }
    }
}

fn receive(stream: TcpStream, status: impl Fn() -> u16, sender: &Sender<Told>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0)
    {
    }
    let header = |wanted: &str| {
        let found = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let text = String::from_utf8(body).unwrap();
    let told = Told {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature").split(' ').map(ToOwned::to_owned).collect(),
        body: serde_json::from_str(&text).unwrap(),
        text,
    };
    // Known before the bridge hears of it, so that a test may kill the bridge in between.
    drop(sender.send(told));
    let answer = format!("HTTP/1.1 {} x\r\ncontent-length: 2\r\n\r\nok", status());
    drop(reader.get_mut().write_all(answer.as_bytes()));
}

impl Told {
    /// What the signature must be, as openssl computes it.
    fn signature_by(&self, secret: &str) -> String {
        let script = "key=$(printf %s \"$SECRET\" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')\n\
            openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | openssl base64 -A";
        let mut openssl = Command::new("sh")
            .args(["-c", script])
            .env("SECRET", secret.strip_prefix("whsec_").unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let content = format!("{}.{}.{}", self.id, self.timestamp, self.text);
        openssl.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        let output = openssl.wait_with_output().unwrap();
        format!("v1,{}", String::from_utf8(output.stdout).unwrap())
    }
}

fn bridge(data: Option<PathBuf>) -> Bridge {
    let config = "[webhooks]\nprivate_networks = [\"127.0.0.0/8\"]\n".to_owned();
    Bridge::start(Options { config, data, ..Options::default() })
}

/// Makes a webhook; its id and its secret.
fn webhook(bridge: &Bridge, body: &Value) -> (String, String) {
    let made = bridge.post("/v1/webhooks", body);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[test]
fn events_of_a_call_are_told_in_order_and_signed() {
    let (scene, desk) = (Scene { bridge: bridge(None), phones: phones() }, Receptionist::start());
    let body =
        json!({"url": desk.url(), "events": ["participant.*", "room.*"], "rooms": ["standup"]});
    let (id, secret) = webhook(&scene.bridge, &body);
    let other = json!({"url": desk.url(), "rooms": ["another"]});
    webhook(&scene.bridge, &other);

    let seat = scene.join("anna", "standup", 440);
    seat.call.hang_up();
    scene.bridge.wait("room.ended", |_| true);

    let mut told = Vec::new();
    while told.last().is_none_or(|last: &Told| last.body["type"] != "room.ended") {
        told.push(desk.next());
    }
    let kinds: Vec<_> = told.iter().map(|told| told.body["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"room.created"));
    assert!(kinds.contains(&"participant.joined") && kinds.contains(&"participant.left"));
    assert!(told.is_sorted_by_key(|told| told.body["seq"].as_u64()), "{kinds:?}");
    for told in &told {
        assert_eq!(told.signatures, [told.signature_by(&secret)]);
        assert_eq!(told.body["id"], told.id);
    }
    let all = scene.bridge.get("/v1/events?limit=500");
    let listed =
        all["items"].as_array().unwrap().iter().find(|event| event["seq"] == told[0].body["seq"]);
    assert_eq!(listed, Some(&told[0].body));
    let path = format!("/v1/webhooks/{id}/deliveries?type=room.ended");
    let listed =
        scene.bridge.get_until(&path, |page| !page["items"].as_array().unwrap().is_empty());
    let attempt = &listed["items"][0]["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["response"]), (&json!(200), &json!("ok")));
    scene.bridge.wait_metric("plenary_webhook_backlog 0");
}

#[test]
fn what_was_not_taken_survives_a_kill() {
    let data = fresh_folder().join("data");
    let (mut first, desk) = (bridge(Some(data.clone())), Receptionist::start());
    let (id, _) = webhook(&first, &json!({"url": desk.url(), "events": ["room.created"]}));
    desk.answers(&[500, 302]);
    desk.answers(&[503; 100]);
    for name in ["one", "two"] {
        first.post("/v1/rooms", &json!({"name": name}));
    }
    let [failed, moved] = [desk.next(), desk.next()];
    // Both are stored as deliveries that are to be tried again.
    let path = format!("/v1/webhooks/{id}/deliveries?state=pending");
    first.get_until(&path, |page| page["items"].as_array().unwrap().len() == 2);
    first.post("/v1/rooms", &json!({"name": "three"}));
    let last = first.wait("room.created", |event| event["data"]["name"] == "three");
    // What is told of a command is stored after what it did.
    first.get_until("/v1/audit", |page| {
        let rooms = page["items"].as_array().unwrap().iter();
        rooms.filter(|entry| entry["path"] == "/v1/rooms").count() == 3
    });
    first.kill();
    desk.answers.lock().unwrap().clear();
    while desk.told.try_recv().is_ok() {}

    let again = bridge(Some(data));
    let mut names = vec![];
    let mut ids = vec![];
    while names.len() < 3 {
        let told = desk.next();
        if !ids.contains(&told.id) {
            names.push(told.body["data"]["name"].as_str().unwrap().to_owned());
            ids.push(told.id);
        }
    }

    names.sort();
    assert_eq!(names, ["one", "three", "two"]);
    assert!([failed.id, moved.id].iter().all(|id| ids.contains(id)), "{ids:?}");
    let path = format!("/v1/webhooks/{id}/deliveries?state=delivered");
    again.get_until(&path, |page| page["items"].as_array().unwrap().len() == 3);
    let seq = last["seq"].as_u64().unwrap();
    let resumed = again.get(&format!("/v1/events?cursor={}&type=room.created", seq - 1));
    assert_eq!(resumed["items"][0]["id"], last["id"], "the log goes on over a restart");
    let log = again.resume_stream(seq - 1);
    assert_eq!(log.take(|event| event["type"] == "room.created").unwrap()["id"], last["id"]);
}

#[test]
fn two_secrets_sign_while_one_takes_the_place_of_the_other() {
    let (bridge, desk) = (bridge(None), Receptionist::start());
    let (id, old) = webhook(&bridge, &json!({"url": desk.url()}));

    let rotated = bridge.post(&format!("/v1/webhooks/{id}/rotate"), &json!({"overlap_s": 3600}));
    let test = bridge.post(&format!("/v1/webhooks/{id}/test"), &json!({}));

    let told = desk.next_of("webhook.test");
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!(told.signatures, [told.signature_by(new), told.signature_by(&old)]);
    let delivery = format!("/v1/webhooks/{id}/deliveries/{}", test["id"].as_str().unwrap());
    bridge.get_until(&delivery, |delivery| delivery["state"] == "delivered");
    bridge.post(&format!("{delivery}/redeliver"), &json!({}));
    assert_eq!(desk.next_of("webhook.test").id, told.id);
    bridge.get_until(&delivery, |delivery| delivery["attempts"].as_array().unwrap().len() == 2);
    let shown = bridge.get(&format!("/v1/webhooks/{id}")).to_string();
    assert!(!shown.contains("whsec_"), "{shown}");
}

#[test]
fn who_answers_410_is_told_no_more_until_it_is_enabled() {
    let (bridge, desk) = (bridge(None), Receptionist::start());
    let (id, _) = webhook(&bridge, &json!({"url": desk.url(), "events": ["room.created"]}));
    let path = format!("/v1/webhooks/{id}");
    desk.answers(&[410]);

    bridge.post("/v1/rooms", &json!({"name": "one"}));
    let disabled = bridge.get_until(&path, |webhook| webhook["enabled"] == false);
    bridge.post("/v1/rooms", &json!({"name": "two"}));
    let refused = bridge.try_request("POST", &format!("{path}/test"), Some(&json!({})));
    bridge.patch(&path, &json!({"enabled": true}));
    bridge.post("/v1/rooms", &json!({"name": "three"}));

    assert_eq!(disabled["disabled_reason"], "gone");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("webhook_disabled")));
    assert_eq!(desk.next().body["data"]["name"], "one");
    assert_eq!(desk.next().body["data"]["name"], "three");
}

#[test]
fn a_private_address_is_not_told_unless_it_is_allowed() {
    let bridge = Bridge::start(Options::default());
    let desk = Receptionist::start();
    let (id, _) = webhook(&bridge, &json!({"url": desk.url(), "events": ["room.created"]}));

    bridge.post("/v1/rooms", &json!({"name": "one"}));

    let path = format!("/v1/webhooks/{id}/deliveries");
    let listed = bridge.get_until(&path, |page| !page["items"].as_array().unwrap().is_empty());
    assert_eq!(listed["items"][0]["attempts"][0]["error"], "not_allowed", "{listed}");
    assert!(desk.told.try_recv().is_err());
}

/// Beyond the second attempt.
const PATIENCE: Duration = Duration::from_secs(30);
