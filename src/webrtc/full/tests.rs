//! Two agents of ours on a network that loses, translates and swallows, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::ice::Candidate;
use super::super::lite::{Check, Lite};
use super::checks::{CANDIDATES_MAX, TA};
use super::*;

const US: &str = "198.51.100.1:20000";
const THEM: &str = "203.0.113.5:4000";
/// One way.
const LATENCY: Duration = Duration::from_millis(20);
/// How often an agent looks at the clock.
const STEP: Duration = Duration::from_millis(10);

#[test]
fn a_lite_agent_is_checked_and_told_which_pair_is_taken() {
    let mut net = Net::new(agent(1, &[THEM]), lite());

    net.run(Duration::from_millis(300));

    assert_eq!(net.us().nominated(), [at(THEM)]);
    assert_eq!(net.them().nominated(), [at(US)]);
    assert_eq!(net.us().remote(), Some(at(THEM)));
    assert_eq!(net.us().sent.len(), 2, "a check, and one that nominates");
}

#[test]
fn two_that_both_want_to_decide_come_to_the_same_pair() {
    for seed in 0..10 {
        let mut net = Net::new(agent(seed, &[THEM]), peer(100 + seed, &[US]));

        net.run(Duration::from_secs(1));

        assert_eq!((net.us().remote(), net.them().remote()), (Some(at(THEM)), Some(at(US))));
        assert_eq!((net.us().nominated().len(), net.them().nominated().len()), (1, 1));
        let claims = [net.us().control(), net.them().control()];
        assert_ne!(claims[0], claims[1], "seed {seed}");
    }
}

#[test]
fn they_come_to_the_same_pair_on_a_network_that_loses_two_of_five() {
    for seed in 0..20 {
        let mut net = Net::new(agent(seed, &[THEM]), peer(100 + seed, &[US]));
        net.loses_percent = 40;

        net.run(Duration::from_secs(30));

        assert_eq!(net.us().remote(), Some(at(THEM)), "seed {seed}");
        assert_eq!(net.them().remote(), Some(at(US)), "seed {seed}");
    }
}

#[test]
fn who_is_behind_a_nat_is_found_by_its_own_check() {
    let mut net = Net::new(agent(1, &["10.0.0.7:4000"]), peer(2, &[US]));

    net.run(Duration::from_secs(1));

    assert_eq!(net.us().nominated(), [at(THEM)]);
    assert_eq!(net.them().nominated(), [at(US)]);
    assert!(net.us().knows(at(THEM)) && !net.us().knows(at("10.0.0.7:4000")));
}

#[test]
fn who_says_nothing_of_where_it_is_is_waited_for() {
    let mut net = Net::new(agent(1, &[]), peer(2, &[US]));

    net.run(Duration::from_secs(1));

    assert_eq!(net.us().nominated(), [at(THEM)]);
}

#[test]
fn candidates_that_lead_nowhere_hold_the_live_one_up_by_their_checks_and_a_moment() {
    let dead: Vec<String> = (1..=6).map(|host| format!("10.0.0.{host}:4000")).collect();
    let all: Vec<&str> = dead.iter().map(|dead| &**dead).chain([THEM]).collect();
    let mut net = Net::new(agent(1, &all), lite());

    net.run(Duration::from_secs(1));

    let told = net.us().told[0];
    assert_eq!(told.1, Output::Nominated(at(THEM)));
    assert!(told.0 < Duration::from_millis(800), "{told:?}");
    let sent = &net.us().sent;
    assert_eq!(sent[..6].iter().map(|sent| sent.1.to_string()).collect::<Vec<_>>(), dead);
    assert!(sent[..7].windows(2).all(|pair| pair[0].0 + TA <= pair[1].0), "{sent:?}");
}

#[test]
fn of_two_that_live_the_better_one_is_taken_though_it_answers_later() {
    let mut net = Net::new(agent(1, &["203.0.113.5:4001", THEM]), lite());
    net.ends[1].hosts.push(at("203.0.113.5:4001"));
    net.slow = Some(at("203.0.113.5:4001"));

    net.run(Duration::from_secs(1));

    assert_eq!(net.us().nominated(), [at("203.0.113.5:4001")]);
}

#[test]
fn nobody_is_asked_seven_times_and_then_given_up() {
    let mut net = Net::new(agent(1, &[THEM]), lite());
    net.loses_percent = 100;

    net.run(Duration::from_secs(39));
    let before = net.us().deadline();
    net.run(Duration::from_mins(1));

    let times: Vec<u128> = net.us().sent.iter().map(|sent| sent.0.as_millis()).collect();
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(before.is_some() && net.us().deadline().is_none());
    assert_eq!((net.us().remote(), &*net.us().told), (None, &[][..]));
}

#[test]
fn many_checks_at_once_are_repeated_more_slowly() {
    let all: Vec<String> = (1..=30).map(|host| format!("10.0.0.{host}:4000")).collect();
    let all: Vec<&str> = all.iter().map(|dead| &**dead).collect();
    let mut net = Net::new(agent(1, &all), lite());

    net.run(Duration::from_secs(3));

    let first = at("10.0.0.1:4000");
    let times = net.us().sent.iter().filter(|sent| sent.1 == first).map(|sent| sent.0.as_millis());
    assert_eq!(times.collect::<Vec<_>>(), [0, 800, 2_400]);
    let asked = net.us().sent.iter().map(|sent| sent.1).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(asked.len(), CANDIDATES_MAX);
}

#[test]
fn whoever_has_another_password_is_neither_known_nor_answered_to() {
    let ours = Remote { credentials: credentials("them", "wrong"), ..remote(&[THEM]) };
    let us = Full::new(start(), &credentials("us", "us"), &ours, seed(1));
    let mut net = Net::new(us, lite());

    net.run(Duration::from_mins(1));

    assert!(net.us().nominated().is_empty() && !net.us().knows(at(THEM)));
    assert_eq!(net.us().sent.len(), 7);
}

#[test]
fn an_answer_from_elsewhere_fails_its_pair() {
    let mut net = Net::new(agent(1, &["203.0.113.9:4000"]), lite());
    net.ends[1].hosts.push(at("203.0.113.9:4000")); // It answers from THEM.
    net.ends[1].is_crooked = true;

    net.run(Duration::from_secs(3));

    assert_eq!(net.us().sent.len(), 1);
    assert_eq!(net.us().remote(), None);
}

#[test]
fn consent_is_asked_for_every_five_seconds_or_so() {
    let mut net = Net::new(agent(1, &[THEM]), lite());

    net.run(Duration::from_mins(5));

    let times: Vec<Duration> = net.us().sent[1..].iter().map(|sent| sent.0).collect();
    let pauses: Vec<u128> =
        times.windows(2).map(|pair| pair[1].abs_diff(pair[0]).as_millis()).collect();
    assert!(pauses.iter().all(|pause| (4_000..=6_010).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause < 4_700));
    assert!(pauses.iter().any(|pause| *pause > 5_300));
    assert_eq!(net.us().told.len(), 1);
}

#[test]
fn consent_outlasts_loss() {
    let mut net = Net::new(agent(1, &[THEM]), lite());
    net.run(Duration::from_secs(1));
    net.loses_percent = 10;

    net.run(Duration::from_mins(10));

    assert_eq!(net.us().told.len(), 1, "{:?}", net.us().told);
}

#[test]
fn half_a_minute_without_consent_ends_it_once_and_for_all() {
    let mut net = Net::new(agent(1, &[THEM]), lite());
    net.run(Duration::from_secs(10));
    net.loses_percent = 100;

    net.run(Duration::from_mins(2));
    let sent = net.us().sent.len();
    net.loses_percent = 0;
    net.run(Duration::from_mins(2));

    let told: Vec<Output> = net.us().told.iter().map(|told| told.1).collect();
    assert_eq!(told, [Output::Nominated(at(THEM)), Output::Lost(Duration::from_secs(30))]);
    let lost = net.us().told[1].0.as_secs();
    assert!((34..=40).contains(&lost), "after {lost} s");
    assert_eq!((net.us().sent.len(), net.us().remote()), (sent, None));
    assert_eq!(net.us().deadline(), None);
}

#[test]
fn a_restart_finds_another_place_while_the_old_one_is_used_and_the_roles_stay() {
    let mut net = Net::new(agent(1, &[THEM]), peer(2, &[US]));
    net.run(Duration::from_secs(1));
    let claims = [net.us().control(), net.them().control()];
    let moved = "192.0.2.77:9";

    let (ours, theirs) = (credentials("us2", "us2"), credentials("them2", "them2"));
    let there = Remote { credentials: theirs.clone(), ..remote(&[moved]) };
    net.full(0).configure(start(), &ours, &there);
    let kept = net.us().remote();
    net.run(Duration::from_secs(12)); // They do not know of it yet, and consent by what they know.
    let still = net.us().told.len();
    let us = Remote { credentials: ours, ..remote(&[US]) };
    let now = net.now;
    net.full(1).configure(now, &theirs, &us);
    net.ends[1].hosts.insert(0, at(moved));
    net.run(Duration::from_secs(20));

    assert_eq!((kept, still), (Some(at(THEM)), 1));
    assert_eq!(net.us().nominated(), [at(THEM), at(moved)]);
    assert_eq!(net.us().remote(), Some(at(moved)));
    assert_eq!([net.us().control(), net.them().control()], claims);
}

#[test]
fn a_restart_brings_back_who_was_lost() {
    let mut net = Net::new(agent(1, &[THEM]), lite());
    net.run(Duration::from_secs(1));
    net.loses_percent = 100;
    net.run(Duration::from_mins(1));
    net.loses_percent = 0;

    let ours = credentials("us2", "us2");
    let now = net.now;
    net.full(0).configure(now, &ours, &remote(&[THEM]));
    net.run(Duration::from_secs(1));

    assert_eq!(net.us().nominated(), [at(THEM), at(THEM)]);
    assert_eq!(net.us().remote(), Some(at(THEM)));
}

#[test]
fn the_same_again_changes_nothing_and_a_candidate_more_is_checked() {
    let mut net = Net::new(agent(1, &["10.0.0.7:4000"]), lite());
    net.run(Duration::from_secs(1));
    let (now, ours) = (net.now, credentials("us", "us"));

    net.full(0).configure(now, &ours, &remote(&["10.0.0.7:4000", THEM]));
    net.run(Duration::from_secs(1));
    let now = net.now;
    net.full(0).configure(now, &ours, &remote(&[THEM, "10.0.0.8:4000"]));
    net.run(Duration::from_secs(1));

    assert_eq!(net.us().nominated(), [at(THEM)]);
    assert!(net.us().sent.iter().all(|sent| sent.1 != at("10.0.0.8:4000")));
}

#[test]
fn a_flood_of_sources_is_bounded_and_answered() {
    let mut us = agent(1, &[THEM]);
    let (key, mut room, mut answer) = (to_us(), Vec::new(), Vec::new());

    for port in 1..=1_000 {
        let transaction = Transaction([u8::try_from(port % 256).unwrap(); 12]);
        key.query(transaction, (Control::Controlled, 0), false).write(&mut room);
        us.handle_packet(start(), (([192, 0, 2, 1], port).into(), &room), &mut answer);
        assert!(answer.starts_with(&[1, 1]));
    }

    let known = (1..=1_000).filter(|&port| us.knows(([192, 0, 2, 1], port).into())).count();
    assert!(known <= 24, "{known}");
}

#[test]
fn who_is_controlled_follows_the_last_nomination_unless_each_check_nominates() {
    let mut us = agent(1, &[]);
    us.claim.control = Control::Controlled;
    let [high, low, moved] = [3, 2, 1].map(|port| SocketAddr::from(([203, 0, 113, 5], port)));
    let mut nominated = Vec::new();

    for (second, (from, priority, nominates)) in
        [(low, 2, true), (high, 3, true), (low, 2, true), (high, 3, false), (moved, 1, true)]
            .into_iter()
            .enumerate()
    {
        let now = start() + Duration::from_secs(second.try_into().unwrap());
        us.hear(now, from, (priority, nominates));
        nominated.extend(us.converse(now));
    }

    assert_eq!(nominated, [low, high, moved]);
}

#[test]
fn of_two_equal_claims_the_greater_number_decides() {
    use Control::{Controlled, Controlling};
    for (ours, theirs, refused, then) in [
        ((Controlling, 5), (Controlling, 4), true, Controlling),
        ((Controlling, 5), (Controlling, 5), true, Controlling),
        ((Controlling, 5), (Controlling, 6), false, Controlled),
        ((Controlled, 5), (Controlled, 4), false, Controlling),
        ((Controlled, 5), (Controlled, 6), true, Controlled),
        ((Controlled, 5), (Controlling, 6), false, Controlled),
    ] {
        let mut claim = Claim { control: ours.0, tie_breaker: ours.1 };

        assert_eq!(claim.conflicts_with(Some(theirs)), refused, "{ours:?} {theirs:?}");
        assert_eq!(claim.control, then, "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_strangers_claim_changes_nothing() {
    let mut us = agent(1, &[THEM]);
    let key = Key { password: b"a wrong one".to_vec(), ..to_us() };
    let (mut room, mut answer) = (Vec::new(), Vec::new());
    key.query(Transaction::default(), (Control::Controlling, u64::MAX), true).write(&mut room);

    us.handle_packet(start(), (at(THEM), &room), &mut answer);

    assert_eq!(us.claim.control, Control::Controlling);
    assert!(!us.knows(at(THEM)) && answer.starts_with(&[1, 0x11]));
}

/// The network and both ends of it.
struct Net {
    now: Instant,
    ends: [End; 2],
    under_way: BTreeMap<(Instant, u64), Datagram>,
    count: u64,
    loses_percent: u32,
    /// Datagrams to there take eight times as long.
    slow: Option<SocketAddr>,
    chance: ChaCha12Rng,
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// An agent, where datagrams reach it, and what it did.
struct End {
    agent: Agent,
    /// It sends from the first.
    hosts: Vec<SocketAddr>,
    /// It answers from there too, whatever was asked.
    is_crooked: bool,
    sent: Vec<(Duration, SocketAddr)>,
    told: Vec<(Duration, Output)>,
}

#[expect(clippy::large_enum_variant, reason = "two of them in a test")]
enum Agent {
    Full(Full),
    Lite(Lite),
}

impl Net {
    fn new(us: Full, them: impl Into<Agent>) -> Self {
        let end = |agent, host| End {
            agent,
            hosts: vec![at(host)],
            is_crooked: false,
            sent: Vec::new(),
            told: Vec::new(),
        };
        Self {
            now: start(),
            ends: [end(Agent::Full(us), US), end(them.into(), THEM)],
            under_way: BTreeMap::new(),
            count: 0,
            loses_percent: 0,
            slow: None,
            chance: ChaCha12Rng::from_seed(seed(7)),
        }
    }

    fn us(&self) -> &End {
        &self.ends[0]
    }

    fn them(&self) -> &End {
        &self.ends[1]
    }

    fn full(&mut self, at: usize) -> &mut Full {
        let Agent::Full(full) = &mut self.ends[at].agent else { panic!("it is lite") };
        full
    }

    fn run(&mut self, time: Duration) {
        let (end, mut room) = (self.now + time, Vec::new());
        while self.now < end {
            while let Some(entry) = self.under_way.first_entry()
                && entry.key().0 <= self.now
            {
                let datagram = entry.remove();
                self.deliver(&datagram, &mut room);
            }
            for at in [0, 1] {
                while let Some(to) = self.ends[at].poll(self.now, &mut room) {
                    self.send(self.ends[at].hosts[0], to, &room);
                }
            }
            self.now += STEP;
        }
    }

    fn deliver(&mut self, Datagram { from, to, bytes }: &Datagram, room: &mut Vec<u8>) {
        let Some(end) = self.ends.iter_mut().find(|end| end.hosts.contains(to)) else { return };
        end.hear(self.now, (*from, bytes), room);
        let own = if end.is_crooked { end.hosts[0] } else { *to };
        if !room.is_empty() {
            self.send(own, *from, room);
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.chance.next_u32() % 100 < self.loses_percent {
            return;
        }
        let latency = if self.slow == Some(to) { LATENCY * 8 } else { LATENCY };
        self.count += 1;
        let datagram = Datagram { from, to, bytes: bytes.to_vec() };
        self.under_way.insert((self.now + latency, self.count), datagram);
    }
}

impl End {
    /// Where what is in `room` is to be sent.
    fn poll(&mut self, now: Instant, room: &mut Vec<u8>) -> Option<SocketAddr> {
        let Agent::Full(full) = &mut self.agent else { return None };
        loop {
            match full.poll_output(now, room) {
                Output::Check(to) => {
                    self.sent.push((now - start(), to));
                    return Some(to);
                }
                Output::WaitUntil(at) => {
                    assert!(at.is_none_or(|at| at > now), "it is due, and does nothing");
                    return None;
                }
                told @ (Output::Nominated(_) | Output::Lost(_)) => {
                    self.told.push((now - start(), told));
                }
            }
        }
    }

    fn hear(&mut self, now: Instant, (from, bytes): (SocketAddr, &[u8]), answer: &mut Vec<u8>) {
        match &mut self.agent {
            Agent::Full(full) => full.handle_packet(now, (from, bytes), answer),
            Agent::Lite(lite) => {
                if let Check::Nominated(remote) = lite.handle_check(from, bytes, answer) {
                    self.told.push((now - start(), Output::Nominated(remote)));
                }
            }
        }
    }

    fn nominated(&self) -> Vec<SocketAddr> {
        let all = self.told.iter().filter_map(|told| match told.1 {
            Output::Nominated(remote) => Some(remote),
            Output::Check(_) | Output::Lost(_) | Output::WaitUntil(_) => None,
        });
        all.collect()
    }

    fn remote(&self) -> Option<SocketAddr> {
        match &self.agent {
            Agent::Full(full) => full.remote(),
            Agent::Lite(lite) => lite.remote(),
        }
    }

    fn knows(&self, source: SocketAddr) -> bool {
        match &self.agent {
            Agent::Full(full) => full.knows(source),
            Agent::Lite(lite) => lite.knows(source),
        }
    }

    fn control(&self) -> Option<Control> {
        match &self.agent {
            Agent::Full(full) => Some(full.claim.control),
            Agent::Lite(_) => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.agent {
            Agent::Full(full) => full.deadline(),
            Agent::Lite(_) => None,
        }
    }
}

impl Full {
    /// Hears a check from there.
    fn hear(&mut self, now: Instant, from: SocketAddr, (priority, nominates): (u8, bool)) {
        use super::super::stun::tests::{NOMINATES, check, priority as attribute};
        let priority = [priority, 0, 0, 0];
        let all = [attribute(&priority), NOMINATES];
        let bytes = check("us:them", &secret("us"), &all[..=usize::from(nominates)]);
        self.handle_packet(now, (from, &bytes), &mut Vec::new());
    }

    /// Is answered at once whatever it asks; tells what is nominated then.
    fn converse(&mut self, now: Instant) -> Option<SocketAddr> {
        let (mut room, mut answer, mut nominated) = (Vec::new(), Vec::new(), None);
        loop {
            match self.poll_output(now, &mut room) {
                Output::Check(to) => {
                    let request = Request::parse(&room).unwrap();
                    request.accept(at(US), secret("them").as_bytes(), &mut answer);
                    self.handle_packet(now, (to, &answer), &mut Vec::new());
                }
                Output::Nominated(remote) => nominated = Some(remote),
                Output::Lost(_) | Output::WaitUntil(_) => return nominated,
            }
        }
    }
}

impl From<Full> for Agent {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<Lite> for Agent {
    fn from(lite: Lite) -> Self {
        Self::Lite(lite)
    }
}

/// Ours, which knows of these places of theirs.
fn agent(number: u8, candidates: &[&str]) -> Full {
    Full::new(start(), &credentials("us", "us"), &remote(candidates), seed(number))
}

/// A full one that thinks that it decides, as ours does.
fn peer(number: u8, candidates: &[&str]) -> Full {
    let us = Remote { credentials: credentials("us", "us"), ..remote(candidates) };
    Full::new(start(), &credentials("them", "them"), &us, seed(number))
}

fn lite() -> Lite {
    Lite::new(credentials("them", "them"))
}

/// What their checks are made with.
fn to_us() -> Key {
    Key::new(&credentials("them", "them"), &credentials("us", "us"))
}

/// Theirs, the best candidate first.
fn remote(candidates: &[&str]) -> Remote {
    let priorities = (1..=u32::MAX / 2).rev();
    let candidates = candidates.iter().zip(priorities);
    Remote {
        credentials: credentials("them", "them"),
        candidates: candidates
            .map(|(address, priority)| Candidate { address: at(address), priority })
            .collect(),
        is_lite: false,
    }
}

fn credentials(ufrag: &str, password: &str) -> Credentials {
    Credentials { ufrag: ufrag.to_owned(), password: secret(password) }
}

fn secret(password: &str) -> String {
    format!("{password}, so long that it is legal")
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn seed(number: u8) -> [u8; 32] {
    [number; 32]
}

thread_local! {
    static START: Instant = clock();
}

fn start() -> Instant {
    START.with(|start| *start)
}

#[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
fn clock() -> Instant {
    Instant::now()
}
