//! The B2BUA, sans-IO: where SIP sessions, rooms, media and commands meet, and the product's rules live.
//!
//! One input, then drain: call a `handle_*`, then [`Bridge::poll_output`] until it yields [`Output::WaitUntil`].
//! Side effects that can fail are requests out and results in: `Open` → `Opened | OpenFailed`, `Resolve` → `Resolved`.
//!
//! ```text
//!  sip::Endpoint ──Event──▶ signal.rs ─┐                         ┌─▶ Output::Happened (the event log)
//!  media::Event  ─────────▶ sound.rs  ─┼─▶ legs rooms calls ─────┼─▶ Output::Media
//!  api::Command  ─────────▶ command/   ┘   (leg room call        └─▶ Output::Transmit
//!                                           transfer connect
//!                                           takeover .rs)
//! ```
//! Whether one more leg may be made is the question of `admission.rs`, which asks `capacity.rs`.

mod access;
mod admission;
mod arrival;
mod bucket;
mod call;
mod capacity;
mod clock;
mod command;
mod company;
mod conference_info;
mod connect;
mod dial;
mod dialog_info;
mod early;
mod ending;
mod excursion;
mod focus;
mod followers;
mod gate;
mod groups;
mod hep;
mod history;
mod identity;
mod keeping;
mod lasting;
mod leg;
mod library;
mod lifecycle;
mod limits;
mod lines;
mod manners;
mod menu;
mod messages;
mod metrics;
mod naming;
mod playing;
mod policy;
mod presence;
mod quality;
mod recording;
mod records;
mod registrations;
mod room;
mod routes;
#[cfg(test)]
mod scene;
mod settings;
mod signal;
mod sound;
mod takeover;
mod templates;
mod tolls;
mod trace;
mod transfer;
mod trunks;
mod users;
mod xml;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::archive::{Change, Record, StoreFailure};
use api::event::{Data, EventType, Happened, Level};
use api::id::RecordingId;
use api::model::{CallId, LegId, MessageId, NodeId, RoomEndReason, RoomId};
use bytes::Bytes;
use jiff::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::Value;

use crate::media::command::{self as media, MediaKey, MixKey};
use crate::recorder::order::{Order, Report};
use crate::sip::compositor::Compositor;
use crate::sip::endpoint::{
    self, Endpoint, LocalAddress, Packet, ReferId, SessionId, SubscriptionId, Transmit,
};
use crate::sip::locate;
use crate::sip::registrar::Registrar;
use crate::sip::transport::{Refusal, Transport};

pub use access::AccessSettings;
pub use clock::Clock;
pub use hep::HepSettings;
pub use keeping::ChangeId;
pub use library::{ConversionId, SoundSettings, keeps_sound};
pub use policy::{Dtmf, MediaRules};
pub use recording::RecordingSettings;
pub use routes::{
    AskFault, AskSettings, AskUrl, MAX_ROUTES, Question, QuestionId, RouteFault, Rule,
};
pub use settings::{Network, Pattern, Settings};
pub use tolls::{CallerLimits, Prices};
pub use trace::TraceSettings;
pub use trunks::{
    CallerId, CallerRules, HeaderRules, NumberFormat, NumberRules, TrunkFault, TrunkGateway,
    TrunkLimits, TrunkRules, TrunkSettings,
};

pub use crate::sdp::SrtpPolicy;

use access::Access;
use bucket::Bucket;
use call::Call;
use capacity::Capacity;
use ending::Endings;
use followers::Follower;
use hep::Capture;
use history::History;
use keeping::Keeping;
use lasting::Gone;
use leg::Leg;
use library::Library;
use lines::{Line, Watcher};
use messages::Messages;
use metrics::Counters;
use playing::{Hearer, Playings};
use presence::{Presence, Said};
use recording::Recordings;
use room::Room;
use routes::Questions;
use takeover::Past;
use templates::Template;
use tolls::Tolls;
use trace::Traces;
use transfer::{Carried, Sent};
use trunks::Trunk;

/// What happens to the bridge.
#[derive(Debug)]
pub enum Input {
    /// A SIP datagram, or one whole message of a stream.
    Packet(Packet),
    /// Nothing can be sent to this peer.
    TransmitFailed(Transport, SocketAddr),
    /// A connection was not taken, or not kept.
    Refused(Transport, Refusal),
    /// A connection is gone.
    Closed(Transport, SocketAddr),
    /// What DNS says to a question of [`Output::Resolve`].
    Resolved(ResolveId, locate::Question, locate::Answer),
    /// The answer to [`Output::Ask`]: the body of a 2xx, or why there is none.
    Told(QuestionId, Result<Bytes, AskFault>),
    /// News of the media threads.
    Media(media::Event),
    /// Somebody asks over the API.
    Command(api::control::Command),
    /// What the directory calls somebody of [`Output::LookUp`].
    Named(LegId, String),
    /// The answer to [`Output::Convert`]: the sound, which lies on the disk, or why there is none.
    Converted(ConversionId, Result<media::Clip, String>),
    /// News of the recorder.
    Recorder(Report),
    /// The answer to [`Output::Store`].
    Stored(ChangeId, Result<(), StoreFailure>),
    /// Take no more calls, end the others after the grace time, then say [`Output::Drained`].
    Drain,
    /// The deadline of [`Output::WaitUntil`] has passed.
    Timeout,
    /// A fresh pair of clock readings.
    Clock(Clock),
}

/// What the shell must do.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message.
    Transmit(Transmit),
    /// Send this datagram to the collector of HEP3, or tell [`Bridge::note_capture_lost`].
    Capture(Bytes),
    /// Ask DNS: [`Input::Resolved`] follows.
    Resolve {
        /// To be given back, as the question is.
        id: ResolveId,
        /// What to ask.
        question: locate::Question,
    },
    /// Ask an HTTP endpoint: [`Input::Told`] follows.
    Ask(Box<Question>),
    /// Ask the directory who has this number: [`Input::Named`] follows if it knows.
    LookUp {
        /// To be given back.
        leg: LegId,
        /// As the trunk's rules write it.
        number: String,
    },
    /// Make a sound of an upload and put it on the disk: [`Input::Converted`] follows.
    Convert {
        /// To be given back.
        id: ConversionId,
        /// The name of its file.
        file: String,
        /// The upload.
        sound: Bytes,
    },
    /// Take the file of a sound from the disk.
    Discard(String),
    /// Tell the media threads.
    Media(media::Command),
    /// Tell the recorder.
    Recorder(Order),
    /// Keep this for good: [`Input::Stored`] follows.
    Store(ChangeId, Change),
    /// Remember this; nobody waits for it.
    Record(Record),
    /// Put this into the event log.
    Happened(Happened),
    /// Meter readings.
    Levels(Vec<Level>),
    /// After [`Input::Drain`]: every call has ended.
    Drained,
    /// Nothing to do until then.
    WaitUntil(Option<Instant>),
}

/// Who asked for a look-up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResolveId {
    /// The SIP endpoint, for a request.
    Sip(endpoint::ResolveId),
    /// A leg, to know which of our addresses it will see.
    Leg(LegId),
}

/// Where a leg sits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// In a conference room.
    Room(RoomId),
    /// In a two-party call.
    Call(CallId),
}

impl Place {
    fn room(self) -> Option<RoomId> {
        match self {
            Self::Room(room) => Some(room),
            Self::Call(_) => None,
        }
    }
}

/// The whole signalling state of a node.
#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    now: Instant,
    clock: Clock,
    dice: ChaCha12Rng,
    endpoint: Endpoint,
    access: Access,
    registrar: Registrar,
    /// By numbers that are never given again.
    trunks: BTreeMap<usize, Trunk>,
    trunks_made: usize,
    /// From where the packet comes that is being taken.
    heard_from: Option<IpAddr>,
    tolls: Tolls,
    /// In the order in which they are tried.
    routes: Vec<Rule>,
    questions: Questions,
    keeping: Keeping,
    traces: Traces,
    /// Where copies of SIP messages go, if they do.
    capture: Option<Capture>,
    sip_deadline: Option<Instant>,
    local: Shared,
    legs: BTreeMap<LegId, Leg>,
    sessions: BTreeMap<SessionId, LegId>,
    media: BTreeMap<MediaKey, LegId>,
    rooms: BTreeMap<RoomId, Room>,
    names: BTreeMap<String, RoomId>,
    /// Rooms that have ended and that the store is still to forget.
    gone: BTreeMap<RoomId, Gone>,
    calls: BTreeMap<CallId, Call>,
    /// REFERs we sent.
    refers_sent: BTreeMap<ReferId, Sent>,
    /// REFERs that phones sent and we carry out.
    refers_carried: BTreeMap<ReferId, Carried>,
    /// Who is told of rooms.
    followers: BTreeMap<SubscriptionId, Follower>,
    /// Users with calls, or with somebody who follows them.
    lines: BTreeMap<String, Line>,
    /// Who is told of users.
    watchers: BTreeMap<SubscriptionId, Watcher>,
    compositor: Compositor,
    /// What the API has said of users.
    said: BTreeMap<String, Said>,
    /// How users are, as it was told last; of the others nothing is known.
    presences: BTreeMap<String, Presence>,
    messages: Messages,
    texts: Bucket,
    endings: Endings,
    past: Past,
    history: History,
    library: Library,
    templates: BTreeMap<String, Template>,
    playings: Playings,
    recordings: Recordings,
    timers: BTreeSet<(Instant, Timer)>,
    outputs: VecDeque<Output>,
    keys: u64,
    rate: Bucket,
    capacity: Capacity,
    /// When somebody was last refused for want of it.
    saturated_at: Option<Instant>,
    node: NodeId,
    started: Clock,
    draining: Draining,
    counters: Counters,
}

/// What a deadline is for. A timer whose subject has gone or moved on is ignored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// It has rung long enough.
    Ring(LegId),
    /// No news of the REFER we sent.
    Refer(ReferId),
    /// A transferor that did not hang up by itself.
    Transferor(LegId),
    /// It has lasted as long as it may.
    Longest(LegId),
    /// Somebody's time or money of the day is used up.
    Tolls,
    /// What was used of a day is to be stored.
    SaveTolls,
    /// The grace time of a room is over.
    RoomEnd(RoomId),
    /// Somebody who is asked for a PIN presses no key.
    Gate(LegId),
    /// A recording is as long as it may be, or its files are not closed.
    Recording(RecordingId),
    /// Somebody was in another room for long enough.
    Return(LegId),
    /// The last moderator of a room has not come back.
    Orphaned(RoomId),
    /// A room is to be stored again.
    KeepRoom(RoomId),
    /// A room that has ended is to be forgotten by the store.
    ForgetRoom(RoomId),
    /// A room closes.
    Closes(RoomId),
    /// It is told before.
    ClosesSoon(RoomId),
    /// A trunk is to be registered with again.
    TrunkRegister(usize),
    /// The gateways of a trunk are to be asked again.
    TrunkCheck(usize),
    /// An endpoint has had its time.
    Question(QuestionId),
    /// More messages may be sent.
    Texts,
    /// A message has waited long enough for a phone.
    Message(MessageId),
    /// The store takes too long.
    Stored(ChangeId),
    /// The grace time of the drain is over.
    Drain,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Draining {
    No,
    Grace,
    HangingUp,
    Done,
}

impl Bridge {
    /// An idle bridge. `seed` feeds every tag, branch, id and key.
    pub fn new(
        settings: Settings,
        endpoint: endpoint::Settings,
        start: Clock,
        seed: [u8; 32],
        local: Arc<dyn LocalAddress + Send + Sync>,
    ) -> Self {
        let mut dice = ChaCha12Rng::from_seed(seed);
        let sip_seed = dice.next_u64();
        let access = Access::new(start.instant, settings.access.clone(), &mut dice);
        let history = History::new(settings.history);
        let rate = Bucket::new(start.instant, settings.calls_per_second);
        let texts = Bucket::new(start.instant, settings.messages_per_second);
        let capacity = Capacity::new(settings.media_workers, settings.media_load);
        let unix_ms = u64::try_from(start.wall.as_millisecond()).unwrap_or(0);
        let node = NodeId::new(unix_ms, dice.next_u64().into());
        let compositor = Compositor::new(settings.compositor.clone());
        let mut bridge = Self {
            endpoint: Endpoint::new(endpoint, sip_seed, Box::new(Shared(Arc::clone(&local)))),
            access,
            registrar: Registrar::new(settings.registrar.clone()),
            trunks: BTreeMap::new(),
            trunks_made: 0,
            heard_from: None,
            tolls: Tolls::new(settings.callers.clone(), settings.prices.clone()),
            routes: Vec::new(),
            questions: Questions::default(),
            keeping: Keeping::default(),
            traces: Traces::new(settings.trace),
            capture: settings.hep.clone().map(Capture::new),
            sip_deadline: None,
            settings,
            now: start.instant,
            clock: start,
            dice,
            local: Shared(local),
            legs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            media: BTreeMap::new(),
            rooms: BTreeMap::new(),
            names: BTreeMap::new(),
            gone: BTreeMap::new(),
            calls: BTreeMap::new(),
            refers_sent: BTreeMap::new(),
            refers_carried: BTreeMap::new(),
            followers: BTreeMap::new(),
            lines: BTreeMap::new(),
            watchers: BTreeMap::new(),
            compositor,
            said: BTreeMap::new(),
            presences: BTreeMap::new(),
            messages: Messages::default(),
            texts,
            endings: Endings::default(),
            past: Past::default(),
            history,
            library: Library::default(),
            templates: BTreeMap::new(),
            playings: Playings::default(),
            recordings: Recordings::default(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            keys: 0,
            rate,
            capacity,
            saturated_at: None,
            node,
            started: start,
            draining: Draining::No,
            counters: Counters::default(),
        };
        bridge.happened(EventType::NodeReady, Subject::default(), Data::of(&()));
        bridge.open_users();
        bridge.open_trunks();
        bridge.open_routes();
        bridge.open_library();
        bridge.open_templates();
        bridge.open_kept_rooms();
        bridge.restore_tolls();
        bridge.settle();
        bridge
    }

    /// Applies one input. Drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Packet(packet) if self.ignores(&packet) => {}
            Input::Packet(packet) => {
                self.trace_received(&packet);
                self.heard_from = Some(packet.peer.ip().to_canonical());
                self.endpoint.handle_packet(self.now, packet);
            }
            Input::TransmitFailed(transport, peer) => {
                self.endpoint.handle_transmit_failed(self.now, transport, peer);
            }
            Input::Refused(transport, refusal) => self.endpoint.handle_refused(transport, refusal),
            Input::Closed(transport, peer) => self.connection_closed(transport, peer),
            Input::Resolved(ResolveId::Sip(id), question, answer) => {
                self.endpoint.handle_resolved(self.now, id, (&question, answer));
            }
            Input::Resolved(ResolveId::Leg(leg), question, answer) => {
                self.dns_answered(leg, &question, answer);
            }
            Input::Told(question, answer) => self.told(question, answer),
            Input::Named(leg, name) => self.named(leg, name),
            Input::Media(event) => self.handle_media(event),
            Input::Command(command) => self.handle_command(command),
            Input::Converted(upload, answer) => self.converted(upload, answer),
            Input::Recorder(report) => self.recorder_told(report),
            Input::Stored(change, answer) => self.stored(change, answer),
            Input::Drain => self.drain(),
            Input::Timeout => self.handle_timeout(),
            Input::Clock(clock) => self.clock = clock,
        }
        self.hang_up_some();
        self.settle();
        self.heard_from = None;
    }

    /// Returns the next output; [`Output::WaitUntil`] means drained.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let timer = self.timers.first().map(|&(at, _)| at);
            let users = [self.registrar.deadline(), self.compositor.deadline()];
            let deadlines = [timer, self.endings.due, self.sip_deadline].into_iter().chain(users);
            Output::WaitUntil(deadlines.flatten().min())
        })
    }

    /// Counts a datagram of [`Output::Capture`] that could not be sent.
    pub fn note_capture_lost(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.lost += 1;
        }
    }

    /// How much the SIP side holds now.
    pub fn sip_counts(&self) -> endpoint::Counts {
        self.endpoint.counts()
    }

    /// Works off what the endpoint has to say, which may make it say more.
    fn settle(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                endpoint::Output::Transmit(transmit) => {
                    self.trace_sent(&transmit);
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                endpoint::Output::Resolve(endpoint::Resolve { id, question }) => {
                    self.outputs.push_back(Output::Resolve { id: ResolveId::Sip(id), question });
                }
                endpoint::Output::Event(event) => self.handle_signal(event),
                endpoint::Output::WaitUntil(at) => {
                    self.sip_deadline = at;
                    break;
                }
            }
        }
        if self.draining == Draining::Grace && self.legs.is_empty() {
            self.draining = Draining::HangingUp;
        }
        if self.draining == Draining::HangingUp && self.legs.is_empty() {
            self.end_recordings();
        }
        if self.draining == Draining::HangingUp && self.is_quiet() {
            self.draining = Draining::Done;
            self.save_unsaved_tolls();
            let ends = |room: &RoomId| !self.outlasts_shutdown(*room);
            for room in self.rooms.keys().copied().filter(ends).collect::<Vec<_>>() {
                self.close_room(room, RoomEndReason::Shutdown);
            }
            self.outputs.push_back(Output::Drained);
        }
    }

    /// No leg is left, nobody waits for the end of a room, every recording is on the disk, and every BYE has had its answer or its time.
    fn is_quiet(&self) -> bool {
        self.legs.is_empty()
            && self.endings.is_empty()
            && self.media.is_empty()
            && self.recordings.are_over()
            && self.endpoint.counts().sessions == 0
    }

    fn handle_timeout(&mut self) {
        self.endpoint.handle_timeout(self.now);
        self.expire_registrations();
        self.expire_publications();
        while let Some(&(at, timer)) = self.timers.first() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Ring(leg) => self.rang_too_long(leg),
                Timer::Refer(refer) => self.refer_timed_out(refer),
                Timer::Transferor(leg) => self.transferor_lingers(leg),
                Timer::Longest(leg) => self.lasted_too_long(leg),
                Timer::Tolls => self.tolls_due(),
                Timer::SaveTolls => self.save_tolls(),
                Timer::RoomEnd(room) | Timer::Closes(room) => self.end_room(room, None),
                Timer::KeepRoom(room) => self.keep_room(room),
                Timer::ForgetRoom(room) => self.forget_room(room),
                Timer::ClosesSoon(room) => self.closes_soon(room),
                Timer::Orphaned(room) => self.orphaned_too_long(room),
                Timer::Recording(recording) => self.recording_due(recording),
                Timer::Return(leg) => drop(self.bring_back(leg)),
                Timer::Gate(leg) => self.gate_waited(leg),
                Timer::TrunkRegister(trunk) => self.register_trunk(trunk),
                Timer::TrunkCheck(trunk) => self.check_trunk(trunk),
                Timer::Question(question) => self.told(question, Err(AskFault::Timeout)),
                Timer::Texts => self.send_some_texts(),
                Timer::Message(message) => self.waited_too_long(message),
                Timer::Stored(change) => self.is_storing_too_long(change),
                Timer::Drain => self.hang_up_all(),
            }
        }
    }

    fn set_timer(&mut self, after: Duration, timer: Timer) {
        self.timers.insert((self.now + after, timer));
    }

    fn wall(&self) -> Timestamp {
        self.clock.at(self.now)
    }

    fn unix_ms(&self) -> u64 {
        u64::try_from(self.wall().as_millisecond()).unwrap_or(0)
    }

    fn random(&mut self) -> u128 {
        u128::from(self.dice.next_u64()) << 64 | u128::from(self.dice.next_u64())
    }

    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    fn mix_of(&self, place: Place) -> Option<MixKey> {
        match place {
            Place::Room(room) => self.rooms.get(&room).map(|room| room.mix),
            Place::Call(call) => self.calls.get(&call).map(|call| call.mix),
        }
    }

    fn tell_media(&mut self, command: media::Command) {
        self.outputs.push_back(Output::Media(command));
    }

    fn happened(&mut self, kind: EventType, subject: Subject, data: Data) {
        let Subject { room, leg, call } = subject;
        let time = self.wall();
        self.outputs.push_back(Output::Happened(Happened { kind, time, room, leg, call, data }));
    }

    /// Sends a `leg.*` event with the leg as it now is, and `extra` fields beside it.
    fn leg_happened(&mut self, kind: EventType, leg: LegId, extra: Value) {
        let Some(found) = self.legs.get(&leg) else { return };
        let data = with(&found.view(), extra);
        let (subject, call_id) = (Subject::of(found), found.sip_call_id.clone());
        self.trace_mark(&call_id, kind, String::new());
        self.happened(kind, subject, data);
    }

    /// Sends a `participant.*` event if the leg sits in a room.
    fn participant_happened(&mut self, kind: EventType, leg: LegId, extra: Value) {
        let Some(found) = self.legs.get_mut(&leg) else { return };
        let Some(room) = found.place.room() else { return };
        found.revision += u64::from(SETTINGS_CHANGED.contains(&kind));
        let data = with(&found.participant(room), extra);
        let (subject, call_id) = (Subject::of(found), found.sip_call_id.clone());
        self.trace_mark(&call_id, kind, String::new());
        self.happened(kind, subject, data);
        self.roster_changed(kind, leg);
    }

    fn room_happened(&mut self, kind: EventType, room: RoomId) {
        if let Some(found) = self.rooms.get_mut(&room) {
            found.revision += u64::from(SETTINGS_CHANGED.contains(&kind));
        }
        let Some(view) = self.room_view(room) else { return };
        self.happened(kind, Subject { room: Some(room), ..Subject::default() }, Data::of(&view));
        self.room_changed(room);
        if lasting::CHANGES.contains(&kind) {
            self.keep_room(room);
        }
    }

    fn room_view(&self, room: RoomId) -> Option<api::model::Room> {
        let found = self.rooms.get(&room)?;
        let joined = found.legs.iter().filter(|leg| self.is_joined(**leg)).count();
        Some(found.view(u32::try_from(joined).unwrap_or(u32::MAX)))
    }

    fn is_joined(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|leg| leg.joined_at.is_some())
    }

    fn call_happened(&mut self, kind: EventType, call: CallId) {
        let Some(found) = self.calls.get(&call) else { return };
        let data = Data::of(&found.view());
        self.happened(kind, Subject { call: Some(call), ..Subject::default() }, data);
    }
}

/// Where SIP is spoken unless a URI says otherwise (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// Events of a room or a participant after which it is of another revision.
const SETTINGS_CHANGED: [EventType; 11] = [
    EventType::RoomUpdated,
    EventType::RoomLocked,
    EventType::RoomUnlocked,
    EventType::ParticipantUpdated,
    EventType::ParticipantMuted,
    EventType::ParticipantUnmuted,
    EventType::ParticipantHeld,
    EventType::ParticipantResumed,
    EventType::ParticipantMoved,
    EventType::ParticipantHandRaised,
    EventType::ParticipantHandLowered,
];

/// What an event is about.
#[derive(Clone, Copy, Debug, Default)]
struct Subject {
    room: Option<RoomId>,
    leg: Option<LegId>,
    call: Option<CallId>,
}

impl Subject {
    fn of(leg: &Leg) -> Self {
        Self { room: leg.place.room(), leg: Some(leg.id), call: leg.call }
    }
}

/// What `base` says, and the fields of `extra` beside it; without any, no tree is built.
fn with(base: &impl Serialize, extra: Value) -> Data {
    if extra.as_object().is_none_or(serde_json::Map::is_empty) {
        return Data::of(base);
    }
    let mut data = serde_json::to_value(base).unwrap_or(Value::Null);
    if let (Value::Object(base), Value::Object(extra)) = (&mut data, extra) {
        base.extend(extra);
    }
    Data::of(&data)
}

/// The endpoint and the bridge ask the same routing table.
struct Shared(Arc<dyn LocalAddress + Send + Sync>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalAddress")
    }
}

impl LocalAddress for Shared {
    fn towards(&self, peer: IpAddr) -> IpAddr {
        self.0.towards(peer)
    }
}
