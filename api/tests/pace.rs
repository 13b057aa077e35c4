//! How long an event takes to two hundred clients while a thousand happen in a second, beside the floor: the same bytes written to
//! as many plain connections. `cargo test --release -p api --test pace -- --ignored --nocapture` prints it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::archive::{self, Queues};
use api::auth::Keys;
use api::control;
use api::directory::Directory;
use api::event::{Data, Event, EventType, Happened};
use api::events::{EventLog, LogSettings};
use api::mail::Mailroom;
use api::{Api, Settings, samples, webhooks};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, broadcast};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const CLIENTS: usize = 200;
const EVENTS: u32 = 5000;
const A_MILLISECOND: Duration = Duration::from_millis(1);

/// What is heard of one way of listening: from each event to each client, ms.
struct Heard {
    delays_ms: Vec<f64>,
}

impl Heard {
    fn quantile(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let count = (self.delays_ms.len() - 1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (count * share).round() as usize;
        self.delays_ms[index]
    }
}

/// Pushes an event each millisecond, which says when it was.
async fn push(log: &EventLog, begun: Instant, also: impl Fn(&Event)) {
    let Event { time, room, leg, call, .. } = samples::event();
    let mut ticks = interval(A_MILLISECOND);
    for _ in 0..EVENTS {
        ticks.tick().await;
        let data = Data::of(
            &json!({"at": begun.elapsed().as_nanos(), "participant": samples::participant()}),
        );
        let kind = EventType::ParticipantUpdated;
        also(&log.push(Happened { kind, time, room, leg, call, data }));
    }
}

/// Takes all that comes apart and notes how old each event is.
fn note(begun: Instant, text: &mut Vec<u8>, delays: &mut Vec<f64>) {
    const MARK: &[u8] = b"\"at\":";
    while let Some(at) = text.windows(MARK.len()).position(|part| part == MARK) {
        let digits = &text[at + MARK.len()..];
        let Some(end) = digits.iter().position(|octet| !octet.is_ascii_digit()) else { return };
        let at_ns: f64 = std::str::from_utf8(&digits[..end]).unwrap().parse().unwrap();
        delays.push(begun.elapsed().as_secs_f64() * 1e3 - at_ns / 1e6);
        text.drain(..at + MARK.len() + end);
    }
    let kept = text.len().saturating_sub(MARK.len());
    text.drain(..kept);
}

/// A way to listen: where, what to say, and what is answered once events will come.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    hello: Vec<u8>,
    answer: &'static str,
}

/// A client that is ready when it was answered, and listens until it has heard all.
async fn listen(way: Way, begun: Instant, ready: Arc<Barrier>) -> Vec<f64> {
    let mut stream = TcpStream::connect(way.address).await.unwrap();
    stream.write_all(&way.hello).await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let (mut text, mut delays) = (Vec::new(), Vec::new());
    while !String::from_utf8_lossy(&text).contains(way.answer) {
        let read = stream.read(&mut buffer).await.unwrap();
        text.extend(&buffer[..read]);
    }
    ready.wait().await;
    while delays.len() < EVENTS as usize {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "cut off after {}", delays.len());
        text.extend(&buffer[..read]);
        note(begun, &mut text, &mut delays);
    }
    delays
}

/// As many clients as there are to be, while events happen.
async fn measure(way: Way, log: &EventLog, also: impl Fn(&Event)) -> Heard {
    let begun = Instant::now();
    let ready = Arc::new(Barrier::new(CLIENTS + 1));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(listen(way.clone(), begun, Arc::clone(&ready)));
    }
    ready.wait().await;
    push(log, begun, also).await;
    let mut delays_ms: Vec<f64> = clients.join_all().await.into_iter().flatten().collect();
    delays_ms.sort_by(f64::total_cmp);
    Heard { delays_ms }
}

/// Writes whatever is broadcast to each connection, as it comes.
async fn floor(listener: TcpListener, lines: broadcast::Sender<Arc<str>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut lines = lines.subscribe();
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            stream.write_all(b"ready\n").await.unwrap();
            while let Ok(line) = lines.recv().await {
                stream.write_all(line.as_bytes()).await.unwrap();
            }
        });
    }
}

fn api(log: &EventLog) -> Api {
    let (control, _) = control::channel(1);
    let (desk, _) = archive::desk(Queues { orders: 1, records: 1, reads: 1 });
    let settings = Settings { max_streams: 2 * CLIENTS, ..Settings::default() };
    let (webhooks, _) = webhooks::webhooks();
    let (mailroom, directory) = (Mailroom::closed(), Directory::none());
    Api {
        control,
        log: log.clone(),
        keys: Keys::admin("key"),
        desk,
        webhooks,
        mailroom,
        directory,
        settings,
    }
}

fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n{more}\r\n")
        .into_bytes()
}

/// The request for a WebSocket, and after it a subscription in a frame masked by zeros.
fn websocket() -> Vec<u8> {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let subscribe = br#"{"type":"subscribe","subscription":"a"}"#;
    let mut hello = get("/v1/ws", upgrade);
    hello.extend([0x81, 0x80 | u8::try_from(subscribe.len()).unwrap(), 0, 0, 0, 0]);
    hello.extend(subscribe);
    hello
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: it wants the machine for itself"]
async fn events_reach_two_hundred_clients_in_time() {
    let log = EventLog::new(LogSettings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, plain_address) = (listener.local_addr().unwrap(), plain.local_addr().unwrap());
    let lines = broadcast::Sender::new(8192);
    let mut serving = JoinSet::new();
    serving.spawn(floor(plain, lines.clone()));
    let served = api(&log);
    serving.spawn(async move { api::serve(listener, served, std::future::pending()).await });

    let quiet = EventLog::new(LogSettings::default());
    let write = |event: &Event| {
        drop(lines.send(Arc::from(serde_json::to_string(event).unwrap())));
    };
    let none = |_: &Event| {};
    let by = |address, hello, answer| Way { address, hello, answer };
    let floor = measure(by(plain_address, Vec::new(), "ready"), &quiet, write).await;
    let stream = get("/v1/events/stream", "");
    let sse = measure(by(address, stream, "stream.ready"), &log, none).await;
    let ws = measure(by(address, websocket(), "subscribed"), &log, none).await;

    let mut out = std::io::stdout();
    for (name, heard) in [("floor", &floor), ("SSE", &sse), ("WebSocket", &ws)] {
        let (p50, p99, worst) = (heard.quantile(0.5), heard.quantile(0.99), heard.quantile(1.0));
        writeln!(out, "{name}: p50 {p50:.1} ms, p99 {p99:.1} ms, worst {worst:.1} ms").unwrap();
    }
    assert!(sse.quantile(0.99) < 20.0 && ws.quantile(0.99) < 20.0);
}
