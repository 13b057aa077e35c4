//! Calls that come and go leave nothing in memory: neither signalling, in virtual time, nor a media thread grows with them.
//!
//! What is counted is what is in use, so every table, queue and buffer takes part without being named.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::events::{EventLog, LogSettings};
use mixer::codec::{Codec, Encoding};
use plenary::bridge::{Bridge, Clock, Input, Output, Settings, TraceSettings};
use plenary::bridge_settings;
use plenary::config::Config;
use plenary::media::command::{Command, Event, MediaKey, MixKey, Statistics, Stream, StreamPlan};
use plenary::media::{Events, Media, Options};
use plenary::sip::endpoint::{self, Packet};
use plenary::sip::transport::Transport;

/// Counts the octets in use, then does what the system does.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: all count together.
static TURN: Mutex<()> = Mutex::new(());

fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

#[test]
fn ten_thousand_calls_leave_nothing_in_signalling() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut world = World::new();
    let _host = world.enter();
    // The log and the history are full, and timers of the first calls have run out.
    world.churn(4_000);
    let before = in_use();

    world.churn(10_000);

    let after = in_use();
    assert_eq!(world.legs(), 1, "only who stayed");
    assert!(after <= before + SLACK, "{before} → {after} octets");
}

#[test]
fn legs_that_come_and_go_leave_nothing_in_a_media_thread() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let workers = 1.try_into().ok();
    let ports = 40_000..=45_999;
    let options = Options { ports, workers, seed: 3, ..Options::default() };
    let (mut media, mut events) = Media::start(&options).unwrap();
    let mut legs = 0..;
    let mut visit = |media: &mut Media, events: &mut Events, count: usize| {
        for leg in legs.by_ref().take(count) {
            visit_mix(media, events, MediaKey(leg));
        }
    };
    open(&mut media, &mut events, MediaKey(1_000_000));
    visit(&mut media, &mut events, 600);

    // Once in a while a queue of resting ports doubles, or a tick takes what it will need; a leak shows in each window.
    let mut windows = (0..4).map(|_| {
        let before = in_use();
        visit(&mut media, &mut events, 400);
        in_use().saturating_sub(before)
    });

    assert!(
        windows.any(|grown| grown <= SLACK),
        "400 legs leave more than {SLACK} octets each time"
    );
}

/// Tables and what is kept are filled a little otherwise each time: 2 octets for each of ten thousand calls.
const SLACK: usize = 20_000;
/// Calls at once.
const CROWD: usize = 20;

/// Signalling, the event log, and a phone that calls and hangs up.
struct World {
    start: Instant,
    now: Instant,
    bridge: Bridge,
    log: EventLog,
    wake: Option<Instant>,
    answer: Vec<u8>,
    calls: u32,
    port: u16,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn new() -> Self {
        let now = Instant::now();
        let clock = Clock { instant: now, wall: "2026-01-01T00:00:00Z".parse().unwrap() };
        let local = Arc::new(IpAddr::from([10, 0, 0, 254]));
        let settings = Settings {
            history: 100,
            trace: TraceSettings { entries: 100, memory: 500_000 },
            ..bridge_settings(&Config::default(), 1)
        };
        let sip = endpoint::Settings::default();
        let log = EventLog::new(LogSettings { capacity: 200, ..LogSettings::default() });
        let mut world = Self {
            start: now,
            now,
            bridge: Bridge::new(settings, sip, clock, [1; 32], local),
            log,
            wake: None,
            answer: Vec::new(),
            calls: 0,
            port: 0,
        };
        world.drain();
        world
    }

    /// So many calls, twenty at a time, 50 a second; then time passes until nothing of them waits any more.
    fn churn(&mut self, calls: usize) {
        for _ in 0..calls / CROWD {
            let crowd: Vec<(u32, String)> = (0..CROWD).map(|_| self.enter()).collect();
            self.pass(Duration::from_millis(200));
            for (call, to) in crowd {
                self.say("BYE", call, &to);
            }
            self.pass(Duration::from_millis(200));
        }
        self.pass(Duration::from_mins(1));
    }

    /// Calls the room and acknowledges; the call's number, and its To with our tag.
    fn enter(&mut self) -> (u32, String) {
        self.calls += 1;
        let call = self.calls;
        self.say("INVITE", call, "<sip:hall@10.0.0.254>");
        let answer = String::from_utf8_lossy(&self.answer).into_owned();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let to = answer.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned();
        self.say("ACK", call, &to);
        (call, to)
    }

    fn say(&mut self, method: &str, call: u32, to: &str) {
        let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0\r\n";
        let body = if method == "INVITE" { sdp } else { "" };
        let number = if method == "BYE" { 2 } else { 1 };
        let text = format!(
            "{method} sip:hall@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}\r\n\
             From: <sip:phone@10.0.0.1>;tag=f{call}\r\nTo: {to}\r\nCall-ID: call{call}\r\n\
             CSeq: {number} {method}\r\nMax-Forwards: 70\r\nContact: <sip:phone@10.0.0.1:5060>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.input(Input::Packet(Packet {
            transport: Transport::Udp,
            // As every phone that is started anew.
            peer: SocketAddr::from(([10, 0, 0, 1], 1_024 + u16::try_from(call % 60_000).unwrap())),
            local: "10.0.0.254:5060".parse().unwrap(),
            bytes: text.into_bytes().into(),
        }));
    }

    fn input(&mut self, input: Input) {
        self.bridge.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(sent) => self.answer = sent.bytes.to_vec(),
                Output::Media(command) => self.obey(&command),
                Output::Happened(happened) => drop(self.log.push(happened)),
                Output::WaitUntil(at) => {
                    self.wake = at;
                    return;
                }
                Output::Levels(_)
                | Output::Capture(_)
                | Output::Resolve { .. }
                | Output::Ask(_)
                | Output::LookUp { .. }
                | Output::Convert { .. }
                | Output::Discard(_)
                | Output::Recorder(_)
                | Output::Store(..)
                | Output::Record(_)
                | Output::Drained => {}
            }
        }
    }

    /// What media threads would say.
    fn obey(&mut self, command: &Command) {
        let now = self.now;
        let mut tell = |event| self.bridge.handle_input(now, Input::Media(event));
        match *command {
            Command::Open { leg, .. } => {
                self.port = (self.port + 2) % 20_000;
                tell(Event::Opened { leg, rtp_port: 10_000 + self.port });
            }
            Command::Join { leg, .. } => {
                tell(Event::Talking { leg, talking: true });
                tell(Event::Statistics { leg, statistics: Statistics::default() });
            }
            Command::Close { leg } => {
                tell(Event::Statistics { leg, statistics: Statistics::default() });
                tell(Event::Closed { leg });
            }
            Command::Configure { .. }
            | Command::Leave { .. }
            | Command::Seat { .. }
            | Command::SendDigits { .. }
            | Command::Play { .. }
            | Command::Steer { .. }
            | Command::Duck { .. }
            | Command::Record { .. }
            | Command::Unrecord { .. }
            | Command::Contributors { .. }
            | Command::Meters { .. } => {}
        }
    }

    /// Goes from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.wake.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
        let wall = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let wall = wall.checked_add(self.now - self.start).unwrap();
        self.input(Input::Clock(Clock { instant: self.now, wall }));
    }

    fn legs(&self) -> usize {
        self.bridge.sip_counts().sessions
    }
}

fn open(media: &mut Media, events: &mut Events, leg: MediaKey) {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    media.try_send(Command::Open { leg, local }).unwrap();
    wait_for(events, |event| matches!(event, Event::Opened { leg: opened, .. } if *opened == leg));
    let stream = Stream {
        remote: SocketAddr::new(local, 9),
        remote_rtcp: None,
        plan: StreamPlan::both_ways(96, Encoding::usual(Codec::Opus)),
        srtp: None,
        dtls: None,
    };
    media.try_send(Command::Configure { leg, stream }).unwrap();
    media.try_send(Command::Join { leg, mix: MixKey(1), contributors: 3 }).unwrap();
}

/// A leg comes into the mix and goes.
fn visit_mix(media: &mut Media, events: &mut Events, leg: MediaKey) {
    open(media, events, leg);
    media.try_send(Command::Close { leg }).unwrap();
    wait_for(events, |event| matches!(event, Event::Closed { leg: closed } if *closed == leg));
}

fn wait_for(events: &mut Events, is_it: impl Fn(&Event) -> bool) {
    loop {
        match events.try_recv() {
            Some(event) if is_it(&event) => return,
            Some(Event::OpenFailed { reason, .. }) => panic!("{reason}"),
            Some(_) => {}
            None => std::thread::yield_now(),
        }
    }
}
