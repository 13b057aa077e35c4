//! What the whole bridge does for a call: from the datagram of an INVITE to the 200, and with all that comes after it.
//!
//! The media threads exist in name only, as in the simulation: their part is measured by `mixer/benches` and `tests/load`.

#![expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::model::Route;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plenary::bridge::{Bridge, Clock, Input, Output};
use plenary::bridge_settings;
use plenary::config::{Config, User};
use plenary::media::command::{Command, Event};
use plenary::sip::digest::{Algorithm, Credentials};
use plenary::sip::endpoint::{self, Packet};
use plenary::sip::transport::Transport;

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The INVITE alone. `routed`: parse, transaction, access, and the last of a hundred routes, which refuses it. The others go on
/// to a room: admission, SDP, answer, events, trace.
fn invite(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bridge");
    group.throughput(Throughput::Elements(1));
    group.bench_function("invite/routed", |bencher| {
        let mut phone = Phone::new(&with_routes(r#"{"reject": {"status": 486}}"#));
        bencher.iter_custom(|count| time_invites(count, &mut phone, Phone::is_refused));
    });
    for (name, config) in [
        ("open", Config::default()),
        ("digest", with_password()),
        ("hundredth-route", with_routes(r#"{"room": "lobby"}"#)),
    ] {
        let mut phone = Phone::new(&config);
        group.bench_function(format!("invite/{name}"), |bencher| {
            bencher.iter_custom(|count| time_invites(count, &mut phone, Phone::hang_up));
        });
    }
    group.bench_function("call", |bencher| {
        let mut phone = Phone::new(&Config::default());
        bencher.iter(|| {
            let invite = phone.next_invite();
            phone.send(invite);
            phone.hang_up();
        });
    });
    group.finish();
}

/// How long so many INVITEs take, without what ends each of their calls.
fn time_invites(count: u64, phone: &mut Phone, end: fn(&mut Phone)) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..count {
        let invite = phone.next_invite();
        let start = Instant::now();
        phone.send(black_box(invite));
        took += start.elapsed();
        end(phone);
    }
    took
}

fn with_password() -> Config {
    let mut config = Config::default();
    config.sip.users = vec!["alice:secret".parse::<User>().expect("name and password")];
    config.sip.open_to.clear();
    // Time passes quickly here.
    config.sip.nonce_lifetime = Duration::from_hours(10_000);
    config
}

/// The last of a hundred routes takes the call, and this step.
fn with_routes(step: &str) -> Config {
    let routes = (0..100)
        .map(|number| {
            let text = format!(
                r#"{{"name": "r{number}", "order": {number}, "destination": {{"regex": "{}"}}, "steps": [{step}]}}"#,
                if number == 99 { "standup" } else { "\\\\+49(30|40)1234[0-9]*" }
            );
            serde_json::from_str::<Route>(&text).expect("a route")
        })
        .collect();
    Config { routes, ..Config::default() }
}

/// A phone that calls again and again.
struct Phone {
    now: Instant,
    bridge: Bridge,
    calls: u64,
    ports: u16,
    last: String,
    nonce: Option<String>,
}

impl Phone {
    fn new(config: &Config) -> Self {
        let now = Instant::now();
        let clock = Clock { instant: now, wall: "2026-01-01T00:00:00Z".parse().expect("a time") };
        let ip = IpAddr::from([10, 0, 0, 254]);
        let settings = bridge_settings(config, 2);
        let endpoint = endpoint::Settings::default();
        let bridge = Bridge::new(settings, endpoint, clock, [1; 32], Arc::new(ip));
        let mut phone =
            Self { now, bridge, calls: 0, ports: 10_000, last: String::new(), nonce: None };
        phone.drain();
        if config.sip.open_to.is_empty() {
            let invite = phone.next_invite();
            phone.send(invite);
            let nonce = phone.last.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
            phone.nonce = Some(nonce.expect("a challenge").to_owned());
            phone.ask("ACK", 1, "");
        }
        phone
    }

    fn next_invite(&mut self) -> String {
        self.calls += 1;
        let proof = self.nonce.clone().map(|nonce| self.prove(nonce)).unwrap_or_default();
        let head = self.head("INVITE", 1, "");
        format!(
            "{head}{proof}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        )
    }

    fn prove(&self, nonce: String) -> String {
        let mut said = Credentials {
            username: "alice".into(),
            realm: "plenary".into(),
            nonce,
            uri: "sip:standup@10.0.0.254".into(),
            algorithm: Algorithm::Sha256,
            cnonce: "c".into(),
            count: u32::try_from(self.calls).unwrap_or(u32::MAX),
            response: String::new(),
        };
        let secret = said.algorithm.secret("alice", "plenary", "secret");
        said.response = said.algorithm.response(&secret, "INVITE", &said);
        let Credentials { nonce, response, count, .. } = said;
        format!(
            "Authorization: Digest username=\"alice\", realm=\"plenary\", nonce=\"{nonce}\", uri=\"sip:standup@10.0.0.254\", \
             algorithm=SHA-256, qop=auth, nc={count:08x}, cnonce=\"c\", response=\"{response}\"\r\n"
        )
    }

    fn head(&self, method: &str, number: u32, to_tag: &str) -> String {
        let call = self.calls;
        format!(
            "{method} sip:standup@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}{number};rport\r\n\
             From: \"Ann\" <sip:alice@10.0.0.1>;tag=f{call}\r\nTo: <sip:standup@10.0.0.254>{to_tag}\r\n\
             Call-ID: call{call}@10.0.0.1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
             User-Agent: Some phone 1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, REFER, NOTIFY\r\n\
             Supported: replaces, timer\r\nContact: <sip:alice@10.0.0.1:5060>\r\n"
        )
    }

    /// ACK of a refusal, and some time.
    fn is_refused(&mut self) {
        assert!(self.last.starts_with("SIP/2.0 486 "), "{}", self.last);
        self.ask("ACK", 1, ";tag=x");
        self.pass();
    }

    /// ACK and BYE, and the time until their transactions are forgotten.
    fn hang_up(&mut self) {
        assert!(self.last.starts_with("SIP/2.0 200 "), "{}", self.last);
        let tag = self.last.split("\r\nTo: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let tag = tag.and_then(|to| to.find(";tag=").map(|at| to[at..].to_owned()));
        let tag = tag.expect("a tag");
        self.ask("ACK", 1, &tag);
        self.ask("BYE", 2, &tag);
        self.pass();
    }

    fn pass(&mut self) {
        self.now += Duration::from_millis(100);
        self.bridge.handle_input(self.now, Input::Timeout);
        self.drain();
    }

    fn ask(&mut self, method: &str, number: u32, to_tag: &str) {
        let text = self.head(method, number, to_tag) + "Content-Length: 0\r\n\r\n";
        self.send(text);
    }

    fn send(&mut self, text: String) {
        let packet = Packet {
            transport: Transport::Udp,
            peer: SocketAddr::from(([10, 0, 0, 1], 5060)),
            local: SocketAddr::from(([10, 0, 0, 254], 5060)),
            bytes: text.into_bytes().into(),
        };
        self.bridge.handle_input(self.now, Input::Packet(packet));
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(sent) => {
                    self.last.clear();
                    self.last.push_str(&String::from_utf8_lossy(&sent.bytes));
                }
                Output::Media(Command::Open { leg, .. }) => {
                    self.ports = if self.ports > 60_000 { 10_000 } else { self.ports + 2 };
                    let opened = Event::Opened { leg, rtp_port: self.ports };
                    self.bridge.handle_input(self.now, Input::Media(opened));
                }
                Output::Media(Command::Close { leg }) => {
                    self.bridge.handle_input(self.now, Input::Media(Event::Closed { leg }));
                }
                Output::WaitUntil(_) => return,
                Output::Resolve { .. }
                | Output::Ask(_)
                | Output::LookUp { .. }
                | Output::Convert { .. }
                | Output::Discard(_)
                | Output::Recorder(_)
                | Output::Media(_)
                | Output::Happened(_)
                | Output::Levels(_)
                | Output::Capture(_)
                | Output::Store(..)
                | Output::Record(_)
                | Output::Drained => {}
            }
        }
    }
}

const SDP: &str = "v=0\r\no=phone 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

criterion_group!(benches, invite);
criterion_main!(benches);
