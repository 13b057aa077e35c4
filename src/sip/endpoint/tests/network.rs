//! A network of endpoints in virtual time: seeded, with delay, loss, duplicates and reordering.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::sip::endpoint::{
    Endpoint, Event, Hunt, Invitation, Output, Packet, ReferId, Resolve, SessionId, Settings,
    Transmit,
};
use crate::sip::headers::NameAddr;
use crate::sip::locate::{Answer, Question};
use crate::sip::transport::Transport;
use crate::sip::{Message, Uri};

/// How bad the network is; over TCP it is always good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Datagrams lost, of a thousand.
    pub(super) loss: u32,
    /// Datagrams that come twice, of a thousand.
    pub(super) twice: u32,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

impl Weather {
    pub(super) const FINE: Self =
        Self { loss: 0, twice: 0, delay: Duration::from_millis(10), jitter: Duration::ZERO };
}

/// Endpoints by number; number n lives at 192.0.2.n+1.
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) events: Vec<Vec<Event>>,
    /// Everything sent, lost or not, as it stood on the wire.
    pub(super) sent: Vec<(Duration, SocketAddr, Message)>,
    pub(super) weather: Weather,
    /// Peers that no connection leads to.
    pub(super) without_tcp: Vec<SocketAddr>,
    /// Whom the certificate must name, for each of what was sent.
    pub(super) domains: Vec<Option<String>>,
    /// What DNS knows.
    pub(super) zone: BTreeMap<Question, Answer>,
    /// Whether DNS takes its time, until `answer_dns`.
    pub(super) silent_dns: bool,
    asked: Vec<Resolve>,
    random: ChaCha12Rng,
    in_flight: BTreeMap<(Instant, u64), (usize, Packet)>,
    count: u64,
}

impl Network {
    pub(super) fn new(size: usize, seed: u64, weather: Weather) -> Self {
        Self::with_settings(size, (seed, weather), &Settings::default())
    }

    pub(super) fn with_settings(
        size: usize,
        (seed, weather): (u64, Weather),
        settings: &Settings,
    ) -> Self {
        let now = Instant::now();
        let endpoint = |number: usize| {
            let seed = seed.wrapping_mul(31).wrapping_add(number as u64);
            Endpoint::new(settings.clone(), seed, Box::new(address(number).ip()))
        };
        Self {
            now,
            start: now,
            endpoints: (0..size).map(endpoint).collect(),
            events: vec![Vec::new(); size],
            sent: Vec::new(),
            weather,
            without_tcp: Vec::new(),
            domains: Vec::new(),
            zone: (0..8).map(host).collect(),
            silent_dns: false,
            asked: Vec::new(),
            random: ChaCha12Rng::seed_from_u64(seed),
            in_flight: BTreeMap::new(),
            count: 0,
        }
    }

    /// Lets an endpoint do something and sends what comes of it.
    pub(super) fn act<R>(
        &mut self,
        who: usize,
        act: impl FnOnce(&mut Endpoint, Instant) -> R,
    ) -> R {
        let result = act(&mut self.endpoints[who], self.now);
        self.drain(who);
        result
    }

    /// `from` calls `to` with an offer, or without one.
    pub(super) fn invite(&mut self, from: usize, to: usize, offer: Option<&str>) -> SessionId {
        let invitation = invitation(from, to, offer);
        self.act(from, |endpoint, now| endpoint.invite(now, invitation))
    }

    /// Runs until nothing is in flight and no timer is due before `duration` has passed.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Does the next thing that happens before `end`; false if nothing does.
    pub(super) fn step(&mut self, end: Instant) -> bool {
        let arrival = self.in_flight.first_key_value().map(|(key, _)| *key);
        let timers = (0..self.endpoints.len()).filter_map(|who| Some((self.deadline(who)?, who)));
        let timer = timers.min();
        match (arrival, timer) {
            (Some(key), timer) if timer.is_none_or(|(at, _)| key.0 <= at) && key.0 <= end => {
                let (who, packet) = self.in_flight.remove(&key).expect("it was just seen");
                self.now = key.0.max(self.now);
                self.endpoints[who].handle_packet(self.now, packet);
                self.drain(who);
                true
            }
            (_, Some((at, who))) if at <= end => {
                self.now = at.max(self.now);
                self.endpoints[who].handle_timeout(self.now);
                self.drain(who);
                true
            }
            _ => false,
        }
    }

    /// Hands an endpoint a message from an address that is no endpoint.
    pub(super) fn inject(&mut self, to: usize, from: SocketAddr, text: &str) {
        self.inject_over(Transport::Udp, to, from, text);
    }

    /// As [`Self::inject`], over this transport.
    pub(super) fn inject_over(
        &mut self,
        transport: Transport,
        to: usize,
        peer: SocketAddr,
        text: &str,
    ) {
        let packet = Packet {
            transport,
            peer,
            local: address(to),
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        };
        self.act(to, |endpoint, now| endpoint.handle_packet(now, packet));
    }

    /// Two endpoints with a call between them, whose set-up is not in `events` and `sent` any more.
    pub(super) fn connected(seed: u64) -> (Self, SessionId, SessionId) {
        let mut net = Self::new(2, seed, Weather::FINE);
        let ours = net.invite(0, 1, Some("offer"));
        net.run(Duration::from_millis(100));
        let theirs = invited(&net.events[1]);
        net.act(1, |endpoint, now| endpoint.answer(now, theirs, sdp("answer")));
        net.run(Duration::from_millis(100));
        net.forget();
        (net, ours, theirs)
    }

    /// DNS answers what endpoint `who` has asked so far.
    pub(super) fn answer_dns(&mut self, who: usize) {
        self.silent_dns = false;
        for Resolve { id, question } in std::mem::take(&mut self.asked) {
            let answer = self.zone.get(&question).cloned().unwrap_or(Answer::Nothing);
            self.act(who, |endpoint, now| endpoint.handle_resolved(now, id, (&question, answer)));
        }
    }

    /// Forgets what happened so far.
    pub(super) fn forget(&mut self) {
        self.sent.clear();
        self.events.iter_mut().for_each(Vec::clear);
    }

    /// Start lines and time in milliseconds of what was sent so far.
    pub(super) fn log(&self) -> Vec<(u128, String)> {
        self.sent.iter().map(|(at, _, message)| (at.as_millis(), start_line(message))).collect()
    }

    /// Start lines of what was sent to this address so far.
    pub(super) fn log_to(&self, peer: SocketAddr) -> Vec<String> {
        let sent = self.sent.iter().filter(|(_, to, _)| *to == peer);
        sent.map(|(_, _, message)| start_line(message)).collect()
    }

    /// The last message to this address.
    pub(super) fn last_to(&self, peer: SocketAddr) -> &Message {
        let (_, _, message) =
            self.sent.iter().rev().find(|(_, to, _)| *to == peer).expect("something was sent");
        message
    }

    pub(super) fn assert_empty(&self) {
        for endpoint in &self.endpoints {
            assert!(endpoint.counts().is_empty(), "left over: {:?}", endpoint.counts());
        }
    }

    fn deadline(&mut self, who: usize) -> Option<Instant> {
        let output = self.endpoints[who].poll_output();
        let Output::WaitUntil(at) = output else { panic!("not drained: {output:?}") };
        at
    }

    fn drain(&mut self, who: usize) {
        loop {
            match self.endpoints[who].poll_output() {
                Output::Transmit(transmit) => self.transmit(who, transmit),
                Output::Event(event) => self.events[who].push(event),
                Output::Resolve(resolve) if self.silent_dns => self.asked.push(resolve),
                Output::Resolve(Resolve { id, question }) => {
                    let answer = self.zone.get(&question).cloned().unwrap_or(Answer::Nothing);
                    self.endpoints[who].handle_resolved(self.now, id, (&question, answer));
                }
                Output::WaitUntil(_) => break,
            }
        }
    }

    fn transmit(&mut self, from: usize, transmit: Transmit) {
        let Transmit { transport, peer, bytes, domain } = transmit;
        self.domains.push(domain);
        match Message::parse(&bytes, &Settings::default().message) {
            Ok(message) => self.sent.push((self.now - self.start, peer, message)),
            // The answer to a damaged request repeats its damage.
            Err(error) => assert!(
                bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5"),
                "{error}"
            ),
        }
        if transport.is_reliable() && self.without_tcp.contains(&peer) {
            self.endpoints[from].handle_transmit_failed(self.now, transport, peer);
            return;
        }
        let Some(to) = (0..self.endpoints.len()).find(|&number| address(number) == peer) else {
            return;
        };
        let (local, peer) = (peer, address(from));
        let packet = Packet { transport, peer, local, bytes };
        if transport.is_reliable() {
            return self.deliver(to, packet, self.weather.delay);
        }
        if !self.happens(self.weather.loss) {
            let delay = self.delay();
            self.deliver(to, packet.clone(), delay);
        }
        if self.happens(self.weather.twice) {
            let delay = self.delay();
            self.deliver(to, packet, delay);
        }
    }

    fn deliver(&mut self, to: usize, packet: Packet, delay: Duration) {
        self.count += 1;
        self.in_flight.insert((self.now + delay, self.count), (to, packet));
    }

    fn happens(&mut self, of_a_thousand: u32) -> bool {
        self.random.next_u32() % 1000 < of_a_thousand
    }

    fn delay(&mut self) -> Duration {
        self.weather.delay + self.weather.jitter * (self.random.next_u32() % 1000) / 1000
    }
}

/// A call from one number to another.
pub(super) fn invitation(from: usize, to: usize, offer: Option<&str>) -> Invitation {
    Invitation {
        targets: vec![vec![uri(to).into()]],
        patience: None,
        from: NameAddr::new(uri(from)),
        to: NameAddr::new(uri(to)),
        offer: offer.map(sdp),
        hunt: Hunt::Refused,
        account: None,
        headers: Vec::new(),
        identity: None,
    }
}

/// Where an endpoint lives.
pub(super) fn address(number: usize) -> SocketAddr {
    let last = u8::try_from(number + 1).expect("few endpoints");
    SocketAddr::new(IpAddr::from([192, 0, 2, last]), 5060)
}

/// DNS calls endpoint number n `un`.
fn host(number: usize) -> (Question, Answer) {
    let answer = Answer::Addresses(vec![address(number).ip()]);
    (Question::Addresses(format!("u{number}")), answer)
}

/// The address of record of an endpoint.
pub(super) fn uri(number: usize) -> Uri {
    let text = format!("sip:u{number}@{}", address(number));
    Uri::parse(text.as_bytes()).expect("a URI")
}

/// A body that stands for a session description; the endpoint never looks into it.
pub(super) fn sdp(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The first line of a message, without the URI of a request.
pub(super) fn start_line(message: &Message) -> String {
    match (message.method(), message.status()) {
        (Some(method), _) => method.to_string(),
        (None, Some(status)) => {
            format!("{status} {}", message.headers.cseq().expect("every message has one").method)
        }
        (None, None) => String::new(),
    }
}

/// The session of the call that came in.
pub(super) fn invited(events: &[Event]) -> SessionId {
    let session = events.iter().find_map(|event| {
        if let Event::Invited(invited) = event { Some(invited.session) } else { None }
    });
    session.expect("a call came in")
}

/// The reference that came in.
pub(super) fn referred(events: &[Event]) -> ReferId {
    let refer = events.iter().find_map(|event| {
        if let Event::Referred(referred) = event { Some(referred.refer) } else { None }
    });
    refer.expect("a REFER came in")
}

/// Events in short, for comparison.
pub(super) fn short(events: &[Event]) -> Vec<String> {
    events.iter().map(name).collect()
}

fn name(event: &Event) -> String {
    let text = |sdp: &Option<Bytes>| {
        sdp.as_ref().map_or_else(|| "-".to_owned(), |sdp| String::from_utf8_lossy(sdp).into_owned())
    };
    match event {
        Event::Invited(invited) => format!("invited {}", text(&invited.offer)),
        Event::Cancelled { .. } => "cancelled".into(),
        Event::Acknowledged { sdp, .. } => format!("acknowledged {}", text(sdp)),
        Event::Progress { status, sdp, .. } => format!("progress {status} {}", text(sdp)),
        Event::Answered { sdp, .. } => format!("answered {}", text(sdp)),
        Event::Failed { status, .. } => format!("failed {status}"),
        Event::Reoffered { sdp, .. } => format!("reoffered {}", text(sdp)),
        Event::ReofferCancelled { .. } => "reoffer cancelled".into(),
        Event::ReofferAnswered { sdp, .. } => format!("reoffer answered {}", text(sdp)),
        Event::ReofferFailed { status, .. } => format!("reoffer failed {status}"),
        Event::Refreshed { sdp, .. } => format!("refreshed {}", text(sdp)),
        Event::Referred(referred) => format!("referred {}", referred.target.as_str()),
        Event::ReferAnswered { status, .. } => format!("refer answered {status}"),
        Event::ReferProgress { status, terminated, .. } => {
            format!("refer progress {status}{}", if *terminated { " last" } else { "" })
        }
        Event::Info { body, .. } => format!("info {}", String::from_utf8_lossy(body)),
        Event::Options(_) => "options".into(),
        Event::Registering(_) => "registering".into(),
        Event::Publishing(_) => "publishing".into(),
        Event::Subscribing(subscribing) => format!("subscribing {}", subscribing.package),
        Event::NotifyDue { whole, .. } => {
            format!("notify due{}", if *whole { " whole" } else { "" })
        }
        Event::Texted(texted) => {
            format!("texted {}", String::from_utf8_lossy(&texted.request.body))
        }
        Event::TextAnswered { status, .. } => format!("text answered {status}"),
        Event::Unsubscribed { .. } => "unsubscribed".into(),
        Event::Replied { status, .. } => format!("replied {status}"),
        Event::Ended { cause, .. } => format!("ended {cause:?}"),
    }
}
