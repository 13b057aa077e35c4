//! What a transaction costs, and a call; and that calls which stand cost the others nothing.

#![expect(clippy::disallowed_methods, reason = "virtual time starts at some instant")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plenary::sip::endpoint::{
    Endpoint, Event, Hunt, Invitation, Output, Packet, SessionId, Settings, Transmit,
};
use plenary::sip::headers::NameAddr;
use plenary::sip::timer::GIVE_UP;
use plenary::sip::transaction::{Reliability, ServerInput, ServerInvite, StatusClass};
use plenary::sip::{StatusCode, Uri};

/// The machine alone: 1xx, final, ACK.
fn transaction(criterion: &mut Criterion) {
    let now = Instant::now();
    let message = Bytes::from_static(b"SIP/2.0 486 Busy Here\r\n\r\n");
    criterion.bench_function("transaction/server_invite", |bencher| {
        bencher.iter(|| {
            let mut invite = ServerInvite::new(Reliability::Unreliable);
            for class in [StatusClass::Provisional, StatusClass::Failure] {
                invite.handle_input(now, ServerInput::Respond(class, message.clone()));
                black_box(invite.poll_output());
            }
            invite.handle_input(now, ServerInput::Ack);
            black_box(invite.poll_output())
        });
    });
}

/// INVITE 100 180 200 ACK BYE 200 between two endpoints, both sides' work and all their timers.
fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoint");
    group.throughput(Throughput::Elements(1));
    for standing in [0, 1_000, 10_000] {
        let mut pair = Pair::new();
        for _ in 0..standing {
            pair.set_up();
        }
        pair.pass(GIVE_UP * 2);
        group.bench_function(format!("call/among-{standing}"), |bencher| {
            bencher.iter(|| {
                let session = pair.set_up();
                pair.hang_up(session);
                pair.pass(Duration::from_secs(1));
            });
        });
    }
    group.finish();
}

/// A caller, a callee who always answers, and a perfect network between them.
struct Pair {
    now: Instant,
    endpoints: [Endpoint; 2],
    answer: Bytes,
}

impl Pair {
    fn new() -> Self {
        let settings =
            Settings { sessions: usize::MAX, transactions: usize::MAX, ..Settings::default() };
        let endpoints = [0, 1]
            .map(|number| Endpoint::new(settings.clone(), number, Box::new(address(number).ip())));
        Self { now: Instant::now(), endpoints, answer: Bytes::from_static(b"v=0\r\n") }
    }

    fn set_up(&mut self) -> SessionId {
        let [from, target] = [0, 1].map(|number| {
            let uri = format!("sip:phone@{}", address(number));
            Uri::parse(uri.as_bytes()).expect("an address makes a URI")
        });
        let invitation = Invitation {
            from: NameAddr::new(from),
            to: NameAddr::new(target.clone()),
            targets: vec![vec![target.into()]],
            patience: None,
            offer: Some(self.answer.clone()),
            hunt: Hunt::Refused,
            account: None,
            headers: Vec::new(),
            identity: None,
        };
        let session = self.endpoints[0].invite(self.now, invitation);
        self.exchange();
        session
    }

    fn hang_up(&mut self, session: SessionId) {
        self.endpoints[0].hang_up(self.now, session, None);
        self.exchange();
    }

    /// Lets time pass, with all timers that are due in it.
    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        for endpoint in &mut self.endpoints {
            endpoint.handle_timeout(self.now);
        }
        self.exchange();
    }

    /// Carries messages until both have nothing to say.
    fn exchange(&mut self) {
        while self.drain(0) | self.drain(1) {}
    }

    fn drain(&mut self, who: usize) -> bool {
        let mut did_something = false;
        loop {
            match self.endpoints[who].poll_output() {
                Output::Transmit(Transmit { transport, peer, bytes, .. }) => {
                    let (local, peer) = (peer, address(u64::from(who == 1)));
                    let packet = Packet { transport, peer, local, bytes };
                    self.endpoints[1 - who].handle_packet(self.now, packet);
                }
                Output::Event(Event::Invited(invited)) => {
                    let (endpoint, session) = (&mut self.endpoints[who], invited.session);
                    endpoint.ring(self.now, session, StatusCode::RINGING, None);
                    endpoint.answer(self.now, session, self.answer.clone());
                }
                Output::Event(_) | Output::Resolve(_) => {}
                Output::WaitUntil(_) => return did_something,
            }
            did_something = true;
        }
    }
}

fn address(number: u64) -> SocketAddr {
    let last = if number == 0 { 1 } else { 2 };
    SocketAddr::new(IpAddr::from([192, 0, 2, last]), 5060)
}

criterion_group!(benches, transaction, call);
criterion_main!(benches);
