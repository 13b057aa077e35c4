//! Serves the API and the operator page on pretend rooms, so that the page can be worked on without a phone:
//! `cargo run -p api --example pretend`, then open the link that it logs. Addresses with `busy` in them are busy.
#![expect(clippy::wildcard_enum_match_arm, reason = "what is not pretended is not answered")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use api::archive::{EventStretch, KeptDelivery, Queues, Read, Unfinished};
use api::auth::{Keys, Scope};
use api::control::{self, Command, ControlError, Reply};
use api::directory::{self, Credentials, Inquiry, LoginFault, Operator};
use api::event::{Data, EventType, Happened, Level};
use api::events::{EventLog, LogSettings};
use api::id::{CallId, LegId, RoomId};
use api::mail::{self, Order};
use api::model::{
    Admitted, Call, CallParty, CallState, CreateRoom, DialIn, Direction, HeldBy, Invitation,
    Invite, LeftReason, Leg, LegState, LegStats, Page, Participant, ParticipantState, Pcm,
    Readiness, Role, Room, RoomState, SipFailure, Transfer, TransferState, UpdateParticipant,
};
use api::{Api, Settings};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

/// How many 100 ms steps a pretend phone rings.
const RINGS_FOR: u64 = 25;

const QUEUES: Queues = Queues { orders: 16, records: 16, reads: 16 };

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8088".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(std::io::stdout(), "http://{}/#key=pretend", listener.local_addr()?)?;
    let (control, mut commands) = control::channel(256);
    let log = EventLog::new(LogSettings::default());
    let keys = Keys::admin("pretend");
    let (desk, mut work) = api::archive::desk(QUEUES);
    let (webhooks, _errands) = api::webhooks::webhooks();
    let (directory, mut inquiries) = directory::directory(3600);
    let (mailroom, mut mails) = mail::mailroom(1_000_000);
    let settings = Settings { requests_per_second: 0, ..Settings::default() };
    let api =
        Api { control, log: log.clone(), keys, desk, webhooks, mailroom, directory, settings };
    let mut bridge = Bridge { log, ..Bridge::new() };
    bridge.furnish();
    let mut steps = tokio::time::interval(Duration::from_millis(100));
    let serving = api::serve(listener, api, std::future::pending());
    let living = async {
        loop {
            tokio::select! {
                Some(command) = commands.recv() => bridge.handle(command),
                Some(inquiry) = inquiries.recv() => look_up(inquiry),
                Some(order) = mails.recv() => invite(order),
                Some(order) = work.orders.recv() => drop(order.done.send(Ok(()))),
                Some(read) = work.reads.recv() => recall(read),
                Some(_) = work.records.recv() => {}
                _ = steps.tick() => bridge.step(),
            }
        }
    };
    tokio::select! { () = serving => {}, () = living => {} }
    Ok(())
}

/// What is over is the same each time.
fn recall(read: Read) {
    match read {
        Read::Legs(_, reply) => send(reply, &[api::samples::leg_record()]),
        Read::Leg(_, reply) => reply.send(Ok(api::samples::leg_record())),
        Read::Calls(_, reply) => send(reply, &[api::samples::call_record()]),
        Read::Call(_, reply) => reply.send(Ok(api::samples::call_record())),
        Read::Rooms(_, reply) => send(reply, &[api::samples::room_record()]),
        Read::Room(_, reply) => reply.send(Ok(api::samples::room_record())),
        Read::Audit(_, reply) => send(reply, &[api::samples::audit_entry()]),
        Read::Recordings(_, reply) => send(reply, &[api::samples::recording()]),
        Read::Recording(_, reply) => reply.send(Ok(api::samples::recording())),
        Read::Deliveries(_, _, reply) => send(reply, &[api::samples::delivery()]),
        Read::Delivery(_, reply) => {
            let (delivery, payload) = (api::samples::delivery(), Some("{}".into()));
            reply.send(Ok(KeptDelivery { delivery, payload, tries: 1 }));
        }
        Read::Unfinished(_, reply) => reply.send(Ok(Unfinished::default())),
        Read::Events(_, reply) => reply.send(Ok(EventStretch { items: Vec::new(), oldest: None })),
    }
}

/// Rooms and people that exist only here.
struct Bridge {
    log: EventLog,
    rooms: Vec<Room>,
    people: Vec<Participant>,
    calls: Vec<Call>,
    legs: Vec<Leg>,
    /// Legs that ring, and when they answer; whether they will.
    ringing: Vec<(LegId, u64)>,
    transfers: Vec<(LegId, u64)>,
    now: u64,
    seed: u64,
}

impl Bridge {
    fn new() -> Self {
        let log = EventLog::new(LogSettings::default());
        let (rooms, people, calls, legs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            log,
            rooms,
            people,
            calls,
            legs,
            ringing: vec![],
            transfers: vec![],
            now: 0,
            seed: 7,
        }
    }

    fn furnish(&mut self) {
        for name in ["all-hands", "board", "standup", "support-queue"] {
            self.make_room(CreateRoom { name: Some(name.to_owned()), ..Default::default() });
        }
        let people = [
            ("all-hands", "Ada Lovelace", "ada"),
            ("all-hands", "Grace Hopper", "grace"),
            ("all-hands", "", "+4930901820"),
            ("all-hands", "Radia Perlman", "radia"),
            ("all-hands", "Agner Krarup Erlang", "erlang"),
            ("board", "Hedy Lamarr", "hedy"),
            ("board", "Claude Shannon", "claude"),
            ("standup", "Karen Spärck Jones", "karen"),
        ];
        for (room, name, user) in people {
            let name = (!name.is_empty()).then(|| name.to_owned());
            self.seat(room, name, &format!("sip:{user}@example.com"), Direction::Inbound);
        }
        self.place_call(&[
            "sip:reception@example.com".to_owned(),
            "sip:+15551234@carrier.example".to_owned(),
        ]);
    }

    fn random(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }

    fn id_parts(&mut self) -> (u64, u128) {
        let ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        (ms, u128::from(self.random()) << 32 | u128::from(self.random()))
    }

    fn tell(
        &self,
        kind: EventType,
        room: Option<RoomId>,
        leg: Option<LegId>,
        data: &impl Serialize,
    ) {
        let data = Data::of(data);
        self.log.push(Happened { kind, time: Timestamp::now(), room, leg, call: None, data });
    }

    fn tell_call(&self, kind: EventType, call: &Call) {
        let (time, data) = (Timestamp::now(), Data::of(call));
        self.log.push(Happened { kind, time, room: None, leg: None, call: Some(call.id), data });
    }

    fn make_room(&mut self, body: CreateRoom) -> Room {
        let (ms, random) = self.id_parts();
        let id = RoomId::new(ms, random);
        let room = Room {
            id,
            name: body.name.unwrap_or_else(|| format!("room-{}", self.rooms.len())),
            state: RoomState::Open,
            locked: body.locked,
            ad_hoc: false,
            end_when_empty: body.end_when_empty,
            max_participants: body.max_participants.unwrap_or(100),
            contributors: body.contributors.unwrap_or(3),
            participants: 0,
            floor: None,
            settings: api::samples::room().settings,
            groups: BTreeMap::new(),
            kept: false,
            revision: 1,
            created_at: Timestamp::now(),
            ended_at: None,
        };
        self.tell(EventType::RoomCreated, Some(id), None, &room);
        self.rooms.push(room.clone());
        room
    }

    fn room(&mut self, name: &str) -> Result<&mut Room, ControlError> {
        let found =
            self.rooms.iter_mut().find(|room| room.name == name || room.id.to_string() == name);
        found.ok_or_else(|| ControlError::NotFound { what: "room", name: name.to_owned() })
    }

    fn person(&mut self, leg: LegId) -> Result<&mut Participant, ControlError> {
        let found = self.people.iter_mut().find(|person| person.leg == leg);
        found.ok_or_else(|| ControlError::NotFound { what: "participant", name: leg.to_string() })
    }

    fn leg(&mut self, id: LegId) -> Result<&mut Leg, ControlError> {
        let found = self.legs.iter_mut().find(|leg| leg.id == id);
        found.ok_or_else(|| ControlError::NotFound { what: "leg", name: id.to_string() })
    }

    fn new_leg(&mut self, uri: &str, room: Option<RoomId>, direction: Direction) -> LegId {
        let (ms, random) = self.id_parts();
        let id = LegId::new(ms, random);
        let leg = Leg {
            id,
            room,
            direction,
            state: LegState::Answered,
            from: uri.to_owned(),
            to: uri.to_owned(),
            codec: Some("PCMU/8000".to_owned()),
            answered_at: Some(Timestamp::now()),
            created_at: Timestamp::now(),
            transfer: None,
            ..api::samples::leg()
        };
        self.legs.push(Leg { display_name: None, ..leg });
        id
    }

    fn seat(
        &mut self,
        room: &str,
        name: Option<String>,
        uri: &str,
        direction: Direction,
    ) -> Option<Participant> {
        let room = self.room(room).ok()?.id;
        let leg = self.new_leg(uri, Some(room), direction);
        let codecs = ["opus/48000", "PCMU/8000", "G722/16000"];
        let codec = codecs[usize::try_from(self.random() % 3).unwrap_or(0)];
        let person = Participant {
            leg,
            room,
            direction,
            uri: uri.to_owned(),
            display_name: name,
            role: Role::Speaker,
            talking: false,
            level_dbov: None,
            codec: Some(codec.to_owned()),
            joined_at: Some(Timestamp::now()),
            ..api::samples::participant()
        };
        self.people.push(person.clone());
        self.count(room);
        self.tell(EventType::ParticipantJoined, Some(room), Some(leg), &person);
        Some(person)
    }

    fn count(&mut self, room: RoomId) {
        let here =
            self.people.iter().filter(|p| p.room == room && p.state == ParticipantState::Joined);
        let count = u32::try_from(here.count()).unwrap_or(u32::MAX);
        if let Some(room) = self.rooms.iter_mut().find(|it| it.id == room) {
            room.participants = count;
        }
    }

    fn invite(&mut self, room: &str, body: Invite) -> Result<Participant, ControlError> {
        self.room(room)?;
        let person = self.seat(room, body.display_name, &body.to, Direction::Outbound);
        let Some(person) = person else { return Err(ControlError::Stopping) };
        let now = self.now;
        let person = self.person(person.leg)?;
        person.state = ParticipantState::Ringing;
        (person.codec, person.joined_at) = (None, None);
        let person = person.clone();
        self.ringing.push((person.leg, now + RINGS_FOR));
        self.count(person.room);
        self.tell(EventType::ParticipantRinging, Some(person.room), Some(person.leg), &person);
        Ok(person)
    }

    fn place_call(&mut self, parties: &[String]) -> Call {
        let legs = parties.iter().map(|uri| self.new_leg(uri, None, Direction::Outbound)).collect();
        let (ms, random) = self.id_parts();
        let call = Call {
            id: CallId::new(ms, random),
            state: CallState::Connected,
            legs,
            created_at: Timestamp::now(),
            connected_at: Some(Timestamp::now()),
            ..api::samples::call()
        };
        self.calls.push(call.clone());
        self.tell_call(EventType::CallConnected, &call);
        call
    }

    fn update(
        &mut self,
        leg: LegId,
        body: &UpdateParticipant,
    ) -> Result<Participant, ControlError> {
        let to =
            body.room.as_deref().map(|name| self.room(name).map(|room| room.id)).transpose()?;
        let person = self.person(leg)?;
        let from = person.room;
        let mut told = Vec::new();
        if let Some(muted) = body.muted.filter(|muted| *muted != person.muted) {
            person.muted = muted;
            told.push(if muted {
                EventType::ParticipantMuted
            } else {
                EventType::ParticipantUnmuted
            });
        }
        if let Some(held) = body.held.filter(|held| *held != person.held) {
            (person.held, person.held_by) = (held, held.then_some(HeldBy::Local));
            told.push(if held {
                EventType::ParticipantHeld
            } else {
                EventType::ParticipantResumed
            });
        }
        person.room = to.unwrap_or(from);
        let person = person.clone();
        for kind in told {
            self.tell(kind, Some(person.room), Some(leg), &person);
        }
        if person.room != from {
            self.count(from);
            self.count(person.room);
            let moved = json!({"from_room": from, "to_room": person.room});
            self.tell(EventType::ParticipantMoved, Some(person.room), Some(leg), &moved);
        }
        Ok(person)
    }

    fn leave(
        &mut self,
        leg: LegId,
        reason: LeftReason,
        sip: Option<SipFailure>,
    ) -> Result<(), ControlError> {
        let person = self.person(leg)?;
        let room = person.room;
        person.state = ParticipantState::Left;
        (person.left_reason, person.left_at, person.sip) =
            (Some(reason), Some(Timestamp::now()), sip);
        let person = person.clone();
        self.people.retain(|person| person.leg != leg);
        self.count(room);
        self.tell(EventType::ParticipantLeft, Some(room), Some(leg), &person);
        Ok(())
    }

    fn transfer(&mut self, leg: LegId, body: &Transfer) -> Result<Leg, ControlError> {
        if let Some(room) = body.room.clone() {
            self.update(leg, &UpdateParticipant { room: Some(room), ..Default::default() })?;
        }
        let now = self.now;
        let it = self.leg(leg)?;
        it.transfer = Some(TransferState::Requested);
        let it = it.clone();
        self.transfers.push((leg, now + RINGS_FOR));
        self.tell(EventType::LegTransferRequested, it.room, Some(leg), &it);
        Ok(it)
    }

    fn end_room(&mut self, name: &str) -> Result<Room, ControlError> {
        let mut room = self.room(name)?.clone();
        let here: Vec<_> =
            self.people.iter().filter(|p| p.room == room.id).map(|p| p.leg).collect();
        for leg in here {
            self.leave(leg, LeftReason::RoomEnded, None)?;
        }
        self.rooms.retain(|it| it.id != room.id);
        (room.state, room.participants) = (RoomState::Ended, 0);
        self.tell(EventType::RoomEnded, Some(room.id), None, &room);
        Ok(room)
    }

    fn lock(&mut self, name: &str, locked: bool) -> Result<Room, ControlError> {
        let room = self.room(name)?;
        room.locked = locked;
        let room = room.clone();
        let kind = if locked { EventType::RoomLocked } else { EventType::RoomUnlocked };
        self.tell(kind, Some(room.id), None, &room);
        Ok(room)
    }

    fn hang_up_call(&mut self, id: CallId) -> Result<(), ControlError> {
        let place = self.calls.iter().position(|call| call.id == id);
        let place =
            place.ok_or_else(|| ControlError::NotFound { what: "call", name: id.to_string() })?;
        let call = Call { state: CallState::Ended, ..self.calls.remove(place) };
        self.legs.retain(|leg| !call.legs.contains(&leg.id));
        self.tell_call(EventType::CallEnded, &call);
        Ok(())
    }

    fn hold(&mut self, id: LegId, held: bool) -> Result<Leg, ControlError> {
        let leg = self.leg(id)?;
        (leg.held, leg.held_by) = (held, held.then_some(HeldBy::Local));
        Ok(leg.clone())
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::CreateRoom { body, reply } => {
                let name = body.name.clone().unwrap_or_default();
                let taken = ControlError::Conflict {
                    code: "room_name_taken",
                    detail: format!("there is a room {name}"),
                };
                let free = self.room(&name).is_err();
                reply.send(if free { Ok(self.make_room(body)) } else { Err(taken) });
            }
            Command::ListRooms { reply, .. } => send(reply, &self.rooms),
            Command::Room { room, reply } | Command::UpdateRoom { room, reply, .. } => {
                reply.send(self.room(&room).cloned());
            }
            Command::DialIn { room, reply, .. } => {
                reply.send(self.room(&room).map(|room| DialIn { room: room.clone(), pin: None }));
            }
            Command::DeleteRoom { room, reply } => reply.send(self.end_room(&room).map(drop)),
            Command::LockRoom { room, locked, reply, .. } => reply.send(self.lock(&room, locked)),
            Command::EndRoom { room, reply, .. } => reply.send(self.end_room(&room)),
            Command::ListParticipants { room, reply, .. } => {
                let id = self.room(&room).map(|room| room.id);
                let here = |id| self.people.iter().filter(|p| p.room == id).cloned().collect();
                reply.send(id.map(|id| Page { items: here(id), next: None }));
            }
            Command::Invite { room, body, reply } => reply.send(self.invite(&room, body)),
            Command::Participant { leg, reply, .. } => reply.send(self.person(leg).cloned()),
            Command::UpdateParticipant { leg, body, reply, .. } => {
                reply.send(self.update(leg, &body));
            }
            Command::UpdateParticipants { room, body, reply, .. } => {
                let id = self.room(&room).map(|room| room.id).ok();
                let all: Vec<_> =
                    self.people.iter().filter(|p| Some(p.room) == id).map(|p| p.leg).collect();
                let updated = all.into_iter().map(|leg| (leg, self.update(leg, &body)));
                reply.send(Ok(updated.collect()));
            }
            Command::Kick { leg, reply, .. } => {
                reply.send(self.leave(leg, LeftReason::Kicked, None));
            }
            other => self.handle_legs(other),
        }
    }

    fn handle_legs(&mut self, command: Command) {
        match command {
            Command::CreateCall { body, reply } => {
                let parties: Vec<_> =
                    body.legs.into_iter().map(|CallParty { to, .. }| to).collect();
                reply.send(Ok(self.place_call(&parties)));
            }
            Command::ListCalls { reply, .. } => send(reply, &self.calls),
            Command::Call { call, reply } => {
                let found = self.calls.iter().find(|it| it.id == call).cloned();
                reply.send(found.ok_or_else(|| ControlError::NotFound {
                    what: "call",
                    name: call.to_string(),
                }));
            }
            Command::HangUpCall { call, reply } => reply.send(self.hang_up_call(call)),
            Command::ListLegs { reply, .. } => send(reply, &self.legs),
            Command::Leg { leg, reply } | Command::MuteLeg { leg, reply, .. } => {
                reply.send(self.leg(leg).cloned());
            }
            Command::HangUpLeg { leg, reply } => {
                reply.send(self.leave(leg, LeftReason::Kicked, None));
            }
            Command::HoldLeg { leg, held, reply, .. } => reply.send(self.hold(leg, held)),
            Command::Transfer { leg, body, reply } => reply.send(self.transfer(leg, &body)),
            Command::SendDtmf { reply, .. }
            | Command::LiftBan { reply, .. }
            | Command::RemoveRegistration { reply, .. } => {
                reply.send(Ok(()));
            }
            Command::LegStats { reply, .. } => reply.send(Ok(LegStats::default())),
            Command::LegTrace { reply, .. } | Command::CallTrace { reply, .. } => {
                reply.send(Ok(api::samples::trace()));
            }
            Command::ListTrunks { reply, .. } => send(reply, &[api::samples::trunk()]),
            Command::Trunk { reply, .. }
            | Command::CreateTrunk { reply, .. }
            | Command::ReplaceTrunk { reply, .. } => reply.send(Ok(api::samples::trunk())),
            Command::ListUsers { reply, .. } => send(reply, &[api::samples::user()]),
            Command::CreateUser { reply, .. }
            | Command::User { reply, .. }
            | Command::UpdateUser { reply, .. } => reply.send(Ok(api::samples::user())),
            Command::ListRoutes { reply, .. } => send(reply, &[api::samples::kept_route()]),
            Command::CreateRoute { reply, .. }
            | Command::Route { reply, .. }
            | Command::ReplaceRoute { reply, .. } => reply.send(Ok(api::samples::kept_route())),
            Command::TestRoutes { reply, .. } => reply.send(Ok(api::samples::route_trace())),
            Command::ListRegistrations { reply, .. } => {
                send(reply, &[api::samples::registration()]);
            }
            Command::Registration { reply, .. } => reply.send(Ok(api::samples::registration())),
            Command::ListPresence { reply, .. } => send(reply, &[api::samples::presence()]),
            Command::Presence { reply, .. } | Command::SetPresence { reply, .. } => {
                reply.send(Ok(api::samples::presence()));
            }
            Command::ListMessages { reply, .. } => send(reply, &[api::samples::message()]),
            Command::SendMessage { reply, .. } | Command::Message { reply, .. } => {
                reply.send(Ok(api::samples::message()));
            }
            Command::ListBans { reply, .. } => send(reply, &[api::samples::ban()]),
            Command::ListNodes { reply, .. } => send(reply, &[api::samples::node()]),
            Command::Node { reply, .. } => reply.send(Ok(api::samples::node())),
            Command::Readiness { reply } => reply.send(Ok(Readiness { ready: true, reason: None })),
            Command::Metrics { reply } => reply.send(Ok(String::new())),
            other => handle_sounds(other),
        }
    }

    /// 100 ms go by: phones answer, people start and stop to talk.
    fn step(&mut self) {
        self.now += 1;
        let now = self.now;
        for (leg, _) in self.ringing.extract_if(.., |(_, due)| *due <= now).collect::<Vec<_>>() {
            self.answer(leg);
        }
        for (leg, _) in self.transfers.extract_if(.., |(_, due)| *due <= now).collect::<Vec<_>>() {
            let Ok(it) = self.leg(leg) else { continue };
            it.transfer = Some(TransferState::Failed);
            let it = Leg { sip: Some(busy()), ..it.clone() };
            self.tell(EventType::LegTransferFailed, it.room, Some(leg), &it);
        }
        self.talk();
    }

    fn answer(&mut self, leg: LegId) {
        let Ok(person) = self.person(leg) else { return };
        if person.uri.contains("busy") {
            drop(self.leave(leg, LeftReason::Busy, Some(busy())));
            return;
        }
        person.state = ParticipantState::Joined;
        (person.codec, person.joined_at) = (Some("opus/48000".to_owned()), Some(Timestamp::now()));
        let person = person.clone();
        self.count(person.room);
        self.tell(EventType::ParticipantJoined, Some(person.room), Some(leg), &person);
    }

    fn talk(&mut self) {
        let mut levels = Vec::new();
        for index in 0..self.people.len() {
            let (turn, wobble) = (self.random().is_multiple_of(60), self.random() % 24);
            let person = &mut self.people[index];
            if person.state != ParticipantState::Joined {
                continue;
            }
            if turn {
                person.talking = !person.talking;
                let talking = person.talking;
                let kind = if talking {
                    EventType::ParticipantTalkStarted
                } else {
                    EventType::ParticipantTalkEnded
                };
                let person = person.clone();
                self.tell(kind, Some(person.room), Some(person.leg), &person);
            }
            let loud = if self.people[index].talking { -12 } else { -54 };
            let dbov = loud - i8::try_from(wobble).unwrap_or(0);
            let Participant { leg, room, .. } = self.people[index];
            levels.push(Level { leg, room: Some(room), dbov });
        }
        self.log.publish_levels(&levels);
    }
}

/// Everybody is let in by the password `pretend`.
fn look_up(inquiry: Inquiry) {
    match inquiry {
        Inquiry::Login(Credentials { user, password }, reply) => {
            let operator = Operator { name: user, scopes: vec![Scope::Admin] };
            let is_good = password == "pretend";
            drop(reply.send(is_good.then_some(operator).ok_or(LoginFault::Refused)));
        }
        Inquiry::Name(_, reply) => drop(reply.send(None)),
        Inquiry::Search(.., reply) => drop(reply.send(Ok(vec![api::samples::directory_entry()]))),
    }
}

/// Nobody is sent anything.
fn invite(order: Order) {
    let invitation = api::samples::invitation();
    let (room, to) = (order.room.room.id, order.invitation.to);
    order.reply.send(Ok(Invitation { room, to, ..invitation }));
}

fn busy() -> SipFailure {
    SipFailure { status: 486, reason: "Busy Here".to_owned() }
}

fn send<T: Clone>(reply: Reply<Page<T>>, items: &[T]) {
    reply.send(Ok(Page { items: items.to_vec(), next: None }));
}

/// What is played is only said to be.
fn handle_sounds(command: Command) {
    match command {
        Command::Play { reply, .. }
        | Command::PlayMusic { reply, .. }
        | Command::Playback { reply, .. }
        | Command::UpdatePlayback { reply, .. } => reply.send(Ok(api::samples::playback())),
        Command::ListTemplates { reply, .. } => send(reply, &[api::samples::template()]),
        Command::Template { reply, .. } | Command::PutTemplate { reply, .. } => {
            reply.send(Ok(api::samples::template()));
        }
        Command::ListPlaybacks { reply, .. } => send(reply, &[api::samples::playback()]),
        Command::CreateRecording { reply, .. }
        | Command::Recording { reply, .. }
        | Command::UpdateRecording { reply, .. }
        | Command::MarkRecording { reply, .. }
        | Command::StopRecording { reply, .. } => reply.send(Ok(api::samples::recording())),
        Command::LiveRecordings { reply } => reply.send(Ok(Vec::new())),
        Command::StopMusic { reply, .. }
        | Command::StopPlayback { reply, .. }
        | Command::DeleteTemplate { reply, .. }
        | Command::DiscardRecording { reply, .. }
        | Command::DeleteMedia { reply, .. }
        | Command::DeleteRoute { reply, .. }
        | Command::DeleteTrunk { reply, .. }
        | Command::DeleteUser { reply, .. } => reply.send(Ok(())),
        Command::ListMedia { reply, .. } => send(reply, &[api::samples::media()]),
        Command::Media { reply, .. } | Command::PutMedia { reply, .. } => {
            reply.send(Ok(api::samples::media()));
        }
        Command::MediaContent { reply, .. } => {
            reply.send(Ok(Pcm { rate: 8_000, samples: [0; 80].into() }));
        }
        Command::Admit { reply, .. } | Command::AskToSpeak { reply, .. } => {
            reply.send(Ok(api::samples::participant()));
        }
        Command::AdmitAll { reply, .. } => reply.send(Ok(Admitted { admitted: 2 })),
        _ => {}
    }
}
