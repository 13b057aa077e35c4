//! Random calls over a bad network: whatever happens, everything is forgotten in the end.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::network::{Network, Weather, sdp};
use crate::sip::StatusCode;
use crate::sip::endpoint::{Event, Rejection, SessionId};

/// How many seeds; each is some dozens of calls.
const SEEDS: u64 = 100;

#[test]
fn nothing_is_left_after_random_calls_over_a_bad_network() {
    for seed in 0..SEEDS {
        let weather = Weather {
            loss: u32::try_from(seed % 4).unwrap() * 100,
            twice: 100,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(400),
        };
        Users::new(seed, weather).play();
    }
}

#[test]
fn a_dead_network_leaves_nothing_either() {
    let weather = Weather { loss: 1000, ..Weather::FINE };
    Users::new(1, weather).play();
}

/// Three users who do what comes to their minds.
struct Users {
    seed: u64,
    net: Network,
    random: ChaCha12Rng,
    /// Sessions that are not over as far as their user knows.
    open: Vec<Vec<SessionId>>,
    seen: Vec<usize>,
}

impl Users {
    fn new(seed: u64, weather: Weather) -> Self {
        let net = Network::new(3, seed, weather);
        let random = ChaCha12Rng::seed_from_u64(seed ^ 0x5eed);
        Self { seed, net, random, open: vec![Vec::new(); 3], seen: vec![0; 3] }
    }

    fn play(&mut self) {
        for _ in 0..200 {
            let who = self.below(3);
            self.do_something(who);
            let pause = Duration::from_millis(self.below(700) as u64);
            self.run(pause);
        }
        self.hang_up_everything();
        self.run(Duration::from_mins(20));
        for (who, open) in self.open.iter().enumerate() {
            assert!(open.is_empty(), "seed {}: user {who} still has {open:?}", self.seed);
        }
        for endpoint in &self.net.endpoints {
            let counts = endpoint.counts();
            assert!(counts.is_empty(), "seed {}: left over {counts:?}", self.seed);
        }
    }

    /// Steps through time, so that users react when something happens.
    fn run(&mut self, duration: Duration) {
        let end = self.net.now + duration;
        while self.net.step(end) {
            (0..3).for_each(|who| self.react(who));
        }
        self.net.now = end;
    }

    fn do_something(&mut self, who: usize) {
        let choice = self.below(10);
        if choice < 3 || self.open[who].is_empty() {
            let to = (who + 1 + self.below(2)) % 3;
            let offer = if self.below(4) == 0 { None } else { Some("offer") };
            let session = self.net.invite(who, to, offer);
            self.open[who].push(session);
            return self.react(who);
        }
        let at = self.below(self.open[who].len());
        let session = self.open[who][at];
        self.net.act(who, |endpoint, now| match choice {
            3 => endpoint.reinvite(now, session, Some(sdp("change"))).unwrap_or_default(),
            4 => endpoint.reinvite(now, session, None).unwrap_or_default(),
            5 => endpoint.update(now, session, sdp("change")).unwrap_or_default(),
            6 => endpoint.info(now, session, "application/dtmf", sdp("5")),
            7 => {
                endpoint.refer(now, session, super::network::uri(0), None);
            }
            8 => endpoint.ring(now, session, StatusCode::RINGING, Some(sdp("early"))),
            _ => endpoint.hang_up(now, session, None),
        });
        if choice == 9 {
            self.open[who].remove(at);
        }
    }

    fn react(&mut self, who: usize) {
        while let Some(event) = self.net.events[who].get(self.seen[who]).cloned() {
            self.seen[who] += 1;
            self.react_to(who, event);
        }
    }

    fn react_to(&mut self, who: usize, event: Event) {
        let dice = self.below(10);
        match event {
            Event::Invited(invited) => {
                let session = invited.session;
                match dice {
                    0 => self.net.act(who, |endpoint, now| {
                        endpoint.reject(now, session, Rejection::new(StatusCode::BUSY_HERE));
                    }),
                    1 => self.open[who].push(session), // rings until somebody gives up
                    _ => {
                        self.open[who].push(session);
                        self.net.act(who, |endpoint, now| {
                            let early = (dice < 6).then(|| sdp("early"));
                            endpoint.ring(now, session, StatusCode::RINGING, early);
                            endpoint.answer(now, session, sdp("description"));
                        });
                    }
                }
            }
            Event::Progress { session, .. }
            | Event::Answered { session, .. }
            | Event::ReofferAnswered { session, .. } => {
                self.net.act(who, |endpoint, now| {
                    endpoint.acknowledge(now, session, sdp("answer"));
                });
            }
            Event::Reoffered { session, .. } => self.net.act(who, |endpoint, now| {
                let refusal = Err(StatusCode::NOT_ACCEPTABLE_HERE);
                let answer = if dice < 3 { refusal } else { Ok(sdp("answer")) };
                endpoint.answer_offer(now, session, answer);
            }),
            Event::Referred(referred) => self.net.act(who, |endpoint, now| {
                let status = if dice < 3 { StatusCode::DECLINE } else { StatusCode::ACCEPTED };
                endpoint.answer_refer(now, referred.refer, status);
                if dice < 8 {
                    endpoint.notify_refer(now, referred.refer, StatusCode::OK, None);
                }
            }),
            Event::Cancelled { session }
            | Event::Failed { session, .. }
            | Event::Ended { session, .. } => {
                let before = self.open[who].len();
                self.open[who].retain(|open| *open != session);
                let after = self.open[who].len();
                assert_eq!(after + 1, before, "seed {}: {session} ended twice", self.seed);
            }
            Event::Acknowledged { .. }
            | Event::ReofferCancelled { .. }
            | Event::ReofferFailed { .. }
            | Event::Refreshed { .. }
            | Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::Info { .. }
            | Event::Registering(_)
            | Event::Publishing(_)
            | Event::Options(_)
            | Event::Replied { .. }
            | Event::Texted(_)
            | Event::TextAnswered { .. }
            | Event::Subscribing(_)
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. } => {}
        }
    }

    fn hang_up_everything(&mut self) {
        for who in 0..3 {
            let open = std::mem::take(&mut self.open[who]);
            for session in open {
                self.net.act(who, |endpoint, now| endpoint.hang_up(now, session, None));
            }
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap() % limit
    }
}
