//! One bridge, a handful of phones, an API client, and the weather between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::control::{Command, ControlError, IfMatch, Reply};
use api::model::{
    Audience, CallParty, CreateCall, CreateRecording, CreateRoom, EndRoom, Hold, Invite, Leg,
    LegId, Page, PageQuery, Participant, Play, PlayMode, PlayMusic, RecordingId, RecordingState,
    RoomId, RoomSettings, Transfer, TransferMode, TrunkConfig, UpdateParticipant, UpdateRecording,
    UpdateRoom,
};
use bytes::Bytes;
use plenary::bridge::{
    AccessSettings, AskFault, Bridge, CallerLimits, ChangeId, Clock, Input, Output, QuestionId,
    ResolveId, Rule, Settings,
};
use plenary::bridge_settings;
use plenary::config::Config;
use plenary::media::command::{Cause, EchoPath, Event as MediaEvent, Statistics};
use plenary::recorder::order::{Facts, Order, Report};
use plenary::sip::endpoint::{self, Packet, Transmit};
use plenary::sip::locate::{Answer, Question};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use crate::ledger::Ledger;
use crate::media::Media;
use crate::phone::{Phone, one_in, pick};

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of 1000 datagrams, how many are lost.
    lost: u32,
    /// Of 1000, how many come twice.
    repeated: u32,
    /// Each takes up to this long, so they overtake each other.
    delay_ms: u32,
}

impl Weather {
    /// A third of the worlds are calm, the others more or less stormy.
    pub fn of(seed: u64) -> Self {
        match seed % 3 {
            0 => Self { lost: 0, repeated: 0, delay_ms: 5 },
            1 => Self { lost: 50, repeated: 20, delay_ms: 60 },
            _ => Self { lost: 200, repeated: 50, delay_ms: 400 },
        }
    }

    /// Whether every datagram arrives.
    pub fn is_calm(self) -> bool {
        self.lost == 0
    }
}

/// On its way.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few at a time")]
enum Arrival {
    Bridge(Packet),
    Phone(usize, Packet),
    Media(MediaEvent),
    Resolved(ResolveId, Question),
    Told(QuestionId, Result<Bytes, AskFault>),
    Stored(ChangeId),
    Recorded(RecordingId),
}

/// The whole world.
#[derive(Debug)]
pub struct World {
    now: Instant,
    dice: ChaCha8Rng,
    weather: Weather,
    bridge: Bridge,
    wake: Option<Instant>,
    media: Media,
    phones: Vec<Phone>,
    wire: BTreeMap<(Instant, u64), Arrival>,
    /// Names of the tracks of recordings that go on.
    tracks: BTreeMap<RecordingId, Vec<String>>,
    sent: u64,
    pub ledger: Ledger,
    drained: bool,
}

/// The user whose phones are all but one.
const CREW: &str = "crew";
/// Phones that call. One more only guesses passwords.
const CALLERS: u32 = 6;
/// The phone that is a carrier too.
const CARRIER: usize = 5;

const ROOMS: [&str; 4] = ["alpha", "beta", "conf-1", "nowhere"];

impl World {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    pub fn new(seed: u64, weather: Weather) -> Self {
        let start = Instant::now();
        let ip = IpAddr::from([10, 0, 0, 254]);
        let clock = Clock { instant: start, wall: "2026-01-01T00:00:00Z".parse().unwrap() };
        let bridge = Bridge::new(settings(), crate::phone::sip(), clock, wide(seed), Arc::new(ip));
        let phones = (1..=7).map(|number| Phone::new(number, seed ^ u64::from(number) << 32));
        let mut world = Self {
            now: start,
            dice: ChaCha8Rng::seed_from_u64(seed),
            weather,
            bridge,
            wake: None,
            media: Media::default(),
            phones: phones.collect(),
            wire: BTreeMap::new(),
            tracks: BTreeMap::new(),
            sent: 0,
            ledger: Ledger::default(),
            drained: false,
        };
        for (who, q) in ["1", "1", "1", "0.5", "0.5"].into_iter().enumerate() {
            world.phones[who].register(start, (CREW, "secret"), q);
            world.flush_phone(who);
        }
        let carrier = json!({ "name": "carrier", "gateways": ["sip:10.0.0.6"], "check": "20s", "max_calls": 2 });
        let body: TrunkConfig = serde_json::from_value(carrier).unwrap();
        world.order(|reply| Command::CreateTrunk { body, reply });
        world
    }

    /// Makes `flows` calls and whatever happens around them.
    pub fn play(&mut self, flows: usize) {
        for _ in 0..flows {
            self.begin_call();
            for _ in 0..self.dice.next_u32() % 5 {
                let pause = Duration::from_millis(u64::from(self.dice.next_u32() % 3000));
                self.run_until(self.now + pause);
                self.meddle();
                self.compare();
            }
        }
    }

    /// Everybody hangs up, and time passes until every timer has run out.
    pub fn finish(&mut self) {
        for phone in &mut self.phones {
            phone.hang_up_all(self.now);
        }
        self.run_until(self.now + Duration::from_mins(1));
        for leg in self.legs() {
            self.ask(|reply| Command::HangUpLeg { leg, reply }).ok();
        }
        for phone in &mut self.phones {
            phone.hang_up_all(self.now);
        }
        let (trunk, condition) = ("carrier".to_owned(), IfMatch::default());
        self.order(|reply| Command::DeleteTrunk { trunk, condition, reply });
        self.run_until(self.now + Duration::from_mins(15));
    }

    /// Nobody is left anywhere: not in the bridge, its SIP tables, its ports or the events.
    pub fn assert_nothing_left(&mut self) {
        assert_eq!(self.legs(), [], "legs left");
        assert!(self.media.legs.is_empty(), "ports left: {:?}", self.media.legs);
        let counts = self.bridge.sip_counts();
        assert_eq!(counts, endpoint::Counts::default(), "SIP tables of the bridge");
        for phone in &self.phones {
            assert_eq!(phone.endpoint.counts(), endpoint::Counts::default(), "{}", phone.address);
        }
        self.ledger.assert_all_ended();
        self.compare();
    }

    /// The bridge says that it is drained in time.
    pub fn drain(&mut self, within: Duration) {
        let target = self.phones[0].uri();
        self.ask(|reply| Command::Invite { room: "alpha".into(), body: invite(target), reply })
            .ok();
        self.input(Input::Drain);
        self.run_until(self.now + within);
        assert!(self.drained, "not drained after {within:?}");
    }

    // ---- what happens ----

    fn begin_call(&mut self) {
        let room = pick(&mut self.dice, &ROOMS).unwrap();
        match self.dice.next_u32() % 7 {
            6 => {
                let trunk = Some("carrier".to_owned());
                let body = Invite { trunk, ..invite("+4930123456".to_owned()) };
                self.ask(|reply| Command::Invite { room: room.into(), body, reply }).ok();
            }
            0 => {
                let target = self.some_phone();
                self.ask(|reply| Command::Invite {
                    room: room.into(),
                    body: invite(target),
                    reply,
                })
                .ok();
            }
            1 => {
                let legs = [self.some_phone(), self.some_phone()];
                let legs = legs.map(|to| CallParty { to, from: None, trunk: None }).to_vec();
                let body = CreateCall { legs, timeout_s: Some(20) };
                self.ask(|reply| Command::CreateCall { body, reply }).unwrap();
            }
            _ => {
                let caller = self.some_caller();
                let target = if one_in(&mut self.dice, 4) { self.hunt() } else { room.into() };
                let target = format!("sip:{target}@10.0.0.254");
                let headers = self.takeover();
                self.phones[caller].call(self.now, (&target, headers), &mut self.dice);
                self.flush_phone(caller);
            }
        }
    }

    /// A name whose route rings two phones, one after the other, or asks whom to ring.
    fn hunt(&mut self) -> String {
        let [first, second] = [(); 2].map(|()| 1 + self.dice.next_u32() % 6);
        if one_in(&mut self.dice, 3) {
            return format!("ask-{first}");
        }
        format!("hunt-{first}{second}")
    }

    /// Now and then a call takes over or joins one of a phone, or of none.
    fn takeover(&mut self) -> Vec<(String, String)> {
        if !one_in(&mut self.dice, 4) {
            return Vec::new();
        }
        let whose = self.some_caller();
        let dialog = self.phones[whose].some_dialog(&mut self.dice);
        let dialog = dialog.unwrap_or_else(|| "none;to-tag=1;from-tag=2".to_owned());
        let name = if one_in(&mut self.dice, 3) { "Join" } else { "Replaces" };
        vec![(name.to_owned(), dialog)]
    }

    /// A phone or the API does something to what is there.
    fn meddle(&mut self) {
        if one_in(&mut self.dice, 8) {
            return self.write_or_guess();
        }
        if one_in(&mut self.dice, 2) {
            let other = if one_in(&mut self.dice, 4) {
                "sip:alpha@10.0.0.254".to_owned()
            } else {
                self.some_phone()
            };
            let who = self.some_caller();
            self.phones[who].fidget(self.now, &other, &mut self.dice);
            return self.flush_phone(who);
        }
        if one_in(&mut self.dice, 4) {
            return self.steer_room();
        }
        if one_in(&mut self.dice, 3) {
            return self.media_news();
        }
        self.steer_leg();
    }

    /// Somebody says something, the carrier goes or comes back, or somebody guesses a password.
    fn write_or_guess(&mut self) {
        match self.dice.next_u32() % 4 {
            0 => {
                let guesser = CALLERS as usize;
                self.phones[guesser].register(self.now, (CREW, "12345"), "1");
                self.flush_phone(guesser);
            }
            1 => self.phones[CARRIER].is_there ^= true,
            _ => {
                let who = self.some_caller();
                let target = if one_in(&mut self.dice, 2) {
                    format!("sip:{}@10.0.0.254", pick(&mut self.dice, &ROOMS).unwrap())
                } else {
                    format!("sip:{CREW}@10.0.0.254")
                };
                self.phones[who].say(self.now, &target);
                self.flush_phone(who);
            }
        }
    }

    fn some_caller(&mut self) -> usize {
        (self.dice.next_u32() % CALLERS) as usize
    }

    fn steer_leg(&mut self) {
        let legs = self.legs();
        let Some(leg) = pick(&mut self.dice, &legs) else { return };
        let flag = one_in(&mut self.dice, 2);
        match self.dice.next_u32() % 7 {
            6 => {
                let other = pick(&mut self.dice, &legs);
                let mode = flag.then_some(TransferMode::Refer);
                let body = Transfer { leg: other, mode, ..Transfer::default() };
                drop(self.ask(|reply| Command::Transfer { leg, body, reply }));
            }
            0 => drop(self.ask(|reply| Command::HoldLeg {
                leg,
                held: flag,
                body: Hold::default(),
                reply,
            })),
            1 => drop(self.ask(|reply| Command::MuteLeg { leg, muted: flag, reply })),
            2 => drop(self.ask(|reply| Command::HangUpLeg { leg, reply })),
            3 => {
                let body = Transfer { to: Some(self.some_phone()), ..Transfer::default() };
                drop(self.ask(|reply| Command::Transfer { leg, body, reply }));
            }
            4 => {
                let body = Transfer { room: Some("beta".into()), ..Transfer::default() };
                drop(self.ask(|reply| Command::Transfer { leg, body, reply }));
            }
            _ => {
                let body = UpdateParticipant {
                    held: Some(flag),
                    deaf: Some(!flag),
                    gain_in_db: Some(-3.0),
                    agc: Some(flag),
                    hand_raised: Some(flag),
                    ..UpdateParticipant::default()
                };
                let room = "alpha".to_owned();
                drop(self.ask(|reply| Command::UpdateParticipant {
                    room,
                    leg,
                    body,
                    condition: IfMatch::default(),
                    reply,
                }));
            }
        }
    }

    fn steer_room(&mut self) {
        let room = pick(&mut self.dice, &ROOMS).unwrap().to_owned();
        match self.dice.next_u32() % 10 {
            8 => self.steer_recording(room),
            9 => self.steer_groups(room),
            7 => drop(self.ask(|reply| Command::AdmitAll { room, reply })),
            5 => {
                let (to, body) = (Audience::Room(room), announcement());
                drop(self.ask(|reply| Command::Play { to, body, reply }));
            }
            6 => {
                let is_music = one_in(&mut self.dice, 2);
                let body = PlayMusic::default();
                if is_music {
                    drop(self.ask(|reply| Command::PlayMusic { room, body, reply }));
                } else {
                    drop(self.ask(|reply| Command::StopMusic { room, reply }));
                }
            }
            4 => {
                let contributors = Some(1 + self.dice.next_u32() % 5);
                let body = UpdateRoom { contributors, ..UpdateRoom::default() };
                self.order(|reply| Command::UpdateRoom {
                    room,
                    body,
                    condition: IfMatch::default(),
                    reply,
                });
            }
            0 => {
                let settings = RoomSettings {
                    waiting_room: Some(one_in(&mut self.dice, 6)),
                    wait_for_moderator: Some(one_in(&mut self.dice, 6)),
                    enter_sound: Some("tone.enter".to_owned()),
                    ..RoomSettings::default()
                };
                let body = CreateRoom { name: Some(room), settings, ..CreateRoom::default() };
                self.order(|reply| Command::CreateRoom { body, reply });
            }
            1 => {
                let locked = one_in(&mut self.dice, 3);
                let lock = |room: String, locked| {
                    let condition = IfMatch::default();
                    move |reply| Command::LockRoom { room, locked, condition, reply }
                };
                self.order(lock(room.clone(), locked));
                if locked && one_in(&mut self.dice, 3) {
                    self.order(lock(room, false));
                }
            }
            2 => {
                let body = EndRoom { grace_s: self.dice.next_u32() % 3 };
                self.order(|reply| Command::EndRoom { room, body, reply });
            }
            _ => self.order(|reply| Command::DeleteRoom { room, reply }),
        }
    }

    /// Begins a recording, or has one pause, go on or end.
    fn steer_recording(&mut self, room: String) {
        let live = self.ask(|reply| Command::LiveRecordings { reply }).unwrap_or_default();
        let on = [RecordingState::Recording, RecordingState::Paused];
        let going_on = live.iter().filter(|live| on.contains(&live.state));
        let live: Vec<_> = going_on.map(|live| (live.id, live.state)).collect();
        let recording = pick(&mut self.dice, &live);
        match (recording, self.dice.next_u32() % 4) {
            (None, _) | (_, 0) => {
                let (of, tracks) = (Audience::Room(room), one_in(&mut self.dice, 2));
                let options = CreateRecording { tracks: Some(tracks), ..Default::default() };
                let options = options.options();
                drop(self.ask(|reply| Command::CreateRecording { of, options, reply }));
            }
            (Some((recording, _)), 1) => {
                drop(self.ask(|reply| Command::StopRecording { recording, reply }));
            }
            (Some((recording, state)), _) => {
                let update = |paused: bool| {
                    let body = UpdateRecording { paused: Some(paused), notice: None };
                    move |reply| Command::UpdateRecording { recording, body, reply }
                };
                let is_written = state == RecordingState::Recording;
                drop(self.ask(update(is_written)));
                if is_written && one_in(&mut self.dice, 3) {
                    drop(self.ask(update(false)));
                }
            }
        }
    }

    /// Groups come and go, somebody moves to one, or coaches somebody.
    fn steer_groups(&mut self, room: String) {
        let legs = self.legs();
        let (Some(leg), Some(other)) = (pick(&mut self.dice, &legs), pick(&mut self.dice, &legs))
        else {
            return;
        };
        let condition = IfMatch::default();
        let body = match self.dice.next_u32() % 5 {
            0 => json!({ "groups": { "aside": { "relation": "sidebar" }, "old": null } }),
            1 => json!({ "groups": { "aside": null, "old": {} } }),
            2 => json!({ "role": "speaker", "group": "aside" }),
            3 => json!({ "role": "coach", "coaching": other }),
            _ => json!({ "role": "coach", "coaching": "old", "supervision": "barge" }),
        };
        if body["groups"].is_object() {
            let body = serde_json::from_value(body).unwrap();
            self.order(|reply| Command::UpdateRoom { room, body, condition, reply });
        } else {
            let body = serde_json::from_value(body).unwrap();
            let ask = |reply| Command::UpdateParticipant { room, leg, body, condition, reply };
            drop(self.ask(ask));
        }
    }

    /// Somebody talks, takes the floor, presses a key, sounds bad, returns an echo or falls silent.
    fn media_news(&mut self) {
        let keys: Vec<_> = self.media.legs.keys().copied().collect();
        let Some(leg) = pick(&mut self.dice, &keys) else { return };
        let mix = self.media.legs[&leg].mix;
        let event = match (self.dice.next_u32() % 10, mix) {
            (0, _) => MediaEvent::Silent { leg, since: Duration::from_secs(30) },
            (1 | 2, _) => {
                MediaEvent::Digit { leg, digit: '5', duration: Duration::from_millis(100) }
            }
            (3, Some(mix)) => MediaEvent::TookFloor { leg, mix },
            (4, _) => MediaEvent::Statistics { leg, statistics: self.figures() },
            (5..=7, _) => MediaEvent::Echo { leg, path: self.echo() },
            (other, _) => MediaEvent::Talking { leg, talking: other % 2 == 0 },
        };
        self.input(Input::Media(event));
    }

    /// How a leg may sound.
    fn figures(&mut self) -> Statistics {
        let mut statistics = Statistics::default();
        let vitals = &mut statistics.vitals;
        vitals.at_ceiling = one_in(&mut self.dice, 2);
        vitals.received.degraded = one_in(&mut self.dice, 2).then_some(Cause::Loss);
        statistics
    }

    fn echo(&mut self) -> Option<EchoPath> {
        let path = EchoPath { delay: Duration::from_millis(180), level_db: -20 };
        one_in(&mut self.dice, 2).then_some(path)
    }

    fn some_phone(&mut self) -> String {
        let index = self.some_caller();
        if one_in(&mut self.dice, 10) {
            return "sip:phone@unknown.invalid".to_owned();
        }
        if one_in(&mut self.dice, 4) {
            return format!("sip:{CREW}@10.0.0.254");
        }
        self.phones[index].uri()
    }

    // ---- the API ----

    /// Asks for what is answered once it is stored.
    fn order<T>(&mut self, command: impl FnOnce(Reply<T>) -> Command) {
        let (reply, _) = Reply::channel();
        self.input(Input::Command(command(reply)));
    }

    fn ask<T>(&mut self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ControlError> {
        let (reply, mut answer) = Reply::channel();
        self.input(Input::Command(command(reply)));
        answer.try_recv().expect("a command is answered at once")
    }

    fn legs(&mut self) -> Vec<LegId> {
        let query = PageQuery { limit: Some(500), ..PageQuery::default() }.into();
        let page: Page<Leg> = self.ask(|reply| Command::ListLegs { query, reply }).unwrap();
        page.items.into_iter().map(|leg| leg.id).collect()
    }

    /// What the events told and what the API shows are the same.
    fn compare(&mut self) {
        let query = PageQuery { limit: Some(500), ..PageQuery::default() };
        let listed =
            self.ask(|reply| Command::ListRooms { query: query.clone().into(), reply }).unwrap();
        let mut listed: Vec<RoomId> = listed.items.into_iter().map(|room| room.id).collect();
        listed.sort_unstable();
        assert_eq!(self.ledger.open_rooms(), listed, "open rooms");
        for room in listed {
            let (name, query) = (room.to_string(), query.clone().into());
            let page: Page<Participant> =
                self.ask(|reply| Command::ListParticipants { room: name, query, reply }).unwrap();
            self.ledger.compare(room, &page.items);
        }
    }

    // ---- time and packets ----

    fn run_until(&mut self, end: Instant) {
        while let Some(at) = self.next_instant().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next_instant(&self) -> Option<Instant> {
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let phones = self.phones.iter().filter_map(Phone::deadline);
        wire.into_iter().chain(self.wake).chain(phones).min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Arrival::Bridge(packet) => self.input(Input::Packet(packet)),
                Arrival::Media(event) => self.input(Input::Media(event)),
                Arrival::Resolved(id, question) => {
                    self.input(Input::Resolved(id, question, Answer::Nothing));
                }
                Arrival::Told(id, answer) => self.input(Input::Told(id, answer)),
                Arrival::Stored(id) => self.input(Input::Stored(id, Ok(()))),
                Arrival::Recorded(recording) => self.close_recording(recording),
                Arrival::Phone(phone, packet) => {
                    self.phones[phone].receive(self.now, packet);
                    self.flush_phone(phone);
                }
            }
        }
        if self.wake.is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
        for phone in 0..self.phones.len() {
            if self.phones[phone].deadline().is_some_and(|at| at <= self.now) {
                self.phones[phone].wake(self.now);
                self.flush_phone(phone);
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.bridge.handle_input(self.now, input);
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(transmit) => self.deliver(transmit),
                Output::Resolve { id, question } => {
                    self.post(Duration::from_millis(3), Arrival::Resolved(id, question));
                }
                Output::Media(command) => {
                    for event in self.media.handle(command, &mut self.dice) {
                        self.post(Duration::from_millis(1), Arrival::Media(event));
                    }
                }
                Output::Happened(event) => self.ledger.take(&event),
                Output::Ask(question) => self.say_where(question.id),
                Output::Store(id, _) => {
                    self.post(Duration::from_millis(20), Arrival::Stored(id));
                }
                Output::Recorder(Order::Finish { recording, .. }) => {
                    self.post(Duration::from_millis(200), Arrival::Recorded(recording));
                }
                Output::Recorder(Order::Track { recording, name, .. }) => {
                    self.tracks.entry(recording).or_default().push(name);
                }
                Output::Levels(_)
                | Output::Recorder(_)
                | Output::Capture(_)
                | Output::Record(_)
                | Output::LookUp { .. }
                | Output::Convert { .. }
                | Output::Discard(_) => {}
                Output::Drained => self.drained = true,
                Output::WaitUntil(at) => {
                    self.wake = at;
                    return;
                }
            }
        }
    }

    /// The files of a recording are closed; now and then the disk has failed.
    fn close_recording(&mut self, recording: RecordingId) {
        let names = self.tracks.remove(&recording).unwrap_or_default();
        let is_lost = one_in(&mut self.dice, 5);
        let facts = |name: String| Facts {
            file: format!("{name}.wav"),
            octets: 44,
            rate: 8_000,
            duration_ms: 0,
            sha256: String::new(),
            lost_ms: 0,
        };
        let tracks = names.into_iter().filter(|_| !is_lost).map(facts).collect();
        self.input(Input::Recorder(Report::Finished { recording, tracks }));
    }

    /// An endpoint answers a question, or fails, or says nothing.
    fn say_where(&mut self, question: QuestionId) {
        let phone = 1 + self.dice.next_u32() % 6;
        let steps = json!({ "steps": [{ "forward": format!("sip:phone@10.0.0.{phone}") }] });
        let answer = match self.dice.next_u32() % 4 {
            0 => return,
            1 => Err(AskFault::Status(500)),
            2 => Ok("nonsense".into()),
            _ => Ok(steps.to_string().into()),
        };
        let delay = Duration::from_millis(u64::from(self.dice.next_u32() % 3_000));
        self.post(delay, Arrival::Told(question, answer));
    }

    fn flush_phone(&mut self, phone: usize) {
        let local = self.phones[phone].address;
        for transmit in self.phones[phone].drain(self.now, &mut self.dice) {
            let bridge = SocketAddr::from(([10, 0, 0, 254], 5060));
            assert_eq!(transmit.peer, bridge, "phones talk to the bridge only");
            let Transmit { transport, bytes, .. } = transmit;
            let packet = Packet { transport, peer: local, local: bridge, bytes };
            self.carry(Arrival::Bridge, &packet);
        }
    }

    fn deliver(&mut self, transmit: Transmit) {
        let Transmit { transport, peer, bytes, .. } = transmit;
        let phone = self.phones.iter().position(|phone| phone.address == peer);
        let bridge = SocketAddr::from(([10, 0, 0, 254], 5060));
        let packet = Packet { transport, peer: bridge, local: peer, bytes };
        match phone {
            Some(phone) => self.carry(|packet| Arrival::Phone(phone, packet), &packet),
            // A transfer to one of our own rooms calls ourselves.
            None if peer == bridge => self.carry(Arrival::Bridge, &packet),
            None => {}
        }
    }

    /// The weather decides whether, when and how often a packet comes.
    fn carry(&mut self, arrival: impl Fn(Packet) -> Arrival, packet: &Packet) {
        let Weather { lost, repeated, delay_ms } = self.weather;
        let copies = if self.dice.next_u32() % 1000 < repeated { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(u64::from(self.dice.next_u32() % delay_ms.max(1)));
            if self.dice.next_u32() % 1000 >= lost {
                self.post(delay, arrival(packet.clone()));
            }
        }
    }

    fn post(&mut self, delay: Duration, arrival: Arrival) {
        self.sent += 1;
        self.wire.insert((self.now + delay, self.sent), arrival);
    }
}

fn invite(to: String) -> Invite {
    Invite {
        trunk: None,
        to,
        from: None,
        display_name: None,
        role: api::model::Role::default(),
        group: None,
        coaching: None,
        supervision: None,
        muted: false,
        agc: None,
        noise_suppression: None,
        echo_suppression: None,
        timeout_s: Some(15),
        codecs: None,
    }
}

/// As shipped, with limits that are met and waits that end.
fn settings() -> Settings {
    let hunt = json!({
        "name": "hunt", "destination": { "regex": "hunt-(.)(.)" },
        "steps": [
            { "forward": "sip:phone@10.0.0.$1", "timeout_s": 5 },
            { "forward": "sip:phone@10.0.0.$2", "timeout_s": 5 },
            { "room": "alpha" },
        ],
    });
    let ask = json!({
        "name": "ask", "destination": { "regex": "ask-(.)" },
        "steps": [{ "ask": {
            "url": "http://127.0.0.1/", "fallback": [{ "forward": "sip:phone@10.0.0.$1" }],
        } }],
    });
    let rule = |route| Rule::new(serde_json::from_value(route).unwrap()).unwrap();
    let settings = bridge_settings(&Config::default(), 2);
    let users = [(CREW.to_owned(), "secret".to_owned())].into();
    let access = AccessSettings { users, failures: 4, ..settings.access.clone() };
    let networks = vec!["10.0.0.1/32".parse().unwrap()];
    let callers = vec![CallerLimits { networks, max_calls: 2, ..CallerLimits::default() }];
    Settings {
        access,
        callers,
        routes: vec![rule(ask), rule(hunt)],
        max_rooms: 100,
        max_legs: 40,
        calls_per_second: 5,
        max_participants: 12,
        contributors: 3,
        ring_timeout: Duration::from_secs(20),
        transfer_timeout: Duration::from_secs(40),
        drain_grace: Duration::from_secs(10),
        history: 1000,
        ..settings
    }
}

/// A seed as long as the bridge wants it.
fn wide(seed: u64) -> [u8; 32] {
    std::array::from_fn(|at| seed.to_le_bytes()[at % 8])
}

/// A short one.
fn announcement() -> Play {
    Play {
        media: vec!["tone.beep".to_owned()],
        repeat: 1,
        gain_db: 0.0,
        duck_db: 0.0,
        position_ms: 0,
        mode: PlayMode::Queue,
    }
}
