//! What can be asked of the bridge, and the bounded queue that carries it.

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::events::EventLog;
use crate::model::{
    Admitted, Audience, Ban, Call, CallId, CallQuery, CreateCall, CreateMark, CreateRoom,
    CreateUser, DialIn, EndRoom, Hold, Invite, KickQuery, Leg, LegId, LegQuery, LegStats, Media,
    Message, MessageId, Node, Page, PageQuery, Participant, ParticipantQuery, Pcm, Play, PlayMusic,
    Playback, PlaybackId, PlaybackQuery, Presence, Provisioned, PutRoomTemplate, Readiness,
    Recording, RecordingId, RecordingOptions, Registration, RegistrationId, RegistrationQuery,
    ReplaceRoute, Room, RoomId, RoomQuery, RoomTemplate, Route, RouteTrace, SendDtmf, SendMessage,
    SetPresence, Snapshot, TestRoutes, Trace, Transfer, Trunk, TrunkConfig, UpdateParticipant,
    UpdatePlayback, UpdateRecording, UpdateRoom, UpdateUser, User, Whom,
};

/// Where the answer to a command goes. Reads are commands too, so a GET after a POST sees it.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T, ControlError>>);

impl<T> Reply<T> {
    /// A reply and where to wait for it.
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, ControlError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. A client that went away is normal.
    pub fn send(self, answer: Result<T, ControlError>) {
        drop(self.0.send(answer));
    }
}

/// Where an answer goes that must be placed in the event log.
#[derive(Debug)]
pub struct Placed<T> {
    log: EventLog,
    reply: Reply<(u64, T)>,
}

impl<T> Placed<T> {
    /// A reply that says after which event of `log` the answer stands.
    pub fn new(log: EventLog, reply: Reply<(u64, T)>) -> Self {
        Self { log, reply }
    }

    /// Answers, with the number of the newest event. Events of an input are in the log before the next input is handled, so
    /// an answer that looks at what is holds exactly what the events up to that number have told.
    pub fn send(self, answer: Result<T, ControlError>) {
        let seq = self.log.newest();
        self.reply.send(answer.map(|answer| (seq, answer)));
    }
}

/// The revisions that a change is for (`If-Match`); none given: whichever there is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IfMatch(pub Option<Vec<u64>>);

impl IfMatch {
    /// Whether it is for a resource of this revision.
    pub fn allows(&self, revision: u64) -> bool {
        self.0.as_ref().is_none_or(|revisions| revisions.contains(&revision))
    }
}

/// A room by id or by name, as it stands in a path.
pub type RoomRef = String;

/// Everything that can be asked. The bridge answers each at once: work that goes on shows in the answer's state and in events.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named after the route it serves")]
pub enum Command {
    CreateRoom {
        body: CreateRoom,
        reply: Reply<Room>,
    },
    ListRooms {
        query: RoomQuery,
        reply: Reply<Page<Room>>,
    },
    Room {
        room: RoomRef,
        reply: Reply<Room>,
    },
    UpdateRoom {
        room: RoomRef,
        body: UpdateRoom,
        condition: IfMatch,
        reply: Reply<Room>,
    },
    ListTemplates {
        query: PageQuery,
        reply: Reply<Page<RoomTemplate>>,
    },
    /// By name, as the next two.
    Template {
        template: String,
        reply: Reply<RoomTemplate>,
    },
    PutTemplate {
        template: String,
        body: PutRoomTemplate,
        condition: IfMatch,
        reply: Reply<RoomTemplate>,
    },
    DeleteTemplate {
        template: String,
        condition: IfMatch,
        reply: Reply<()>,
    },
    /// Ends it at once and forgets it.
    DeleteRoom {
        room: RoomRef,
        reply: Reply<()>,
    },
    LockRoom {
        room: RoomRef,
        locked: bool,
        condition: IfMatch,
        reply: Reply<Room>,
    },
    /// What somebody needs to call an open room.
    DialIn {
        room: RoomRef,
        /// Whether they shall be a moderator.
        moderator: bool,
        reply: Reply<DialIn>,
    },
    EndRoom {
        room: RoomRef,
        body: EndRoom,
        reply: Reply<Room>,
    },

    ListParticipants {
        room: RoomRef,
        query: ParticipantQuery,
        reply: Reply<Page<Participant>>,
    },
    Invite {
        room: RoomRef,
        body: Invite,
        reply: Reply<Participant>,
    },
    Participant {
        room: RoomRef,
        leg: LegId,
        reply: Reply<Participant>,
    },
    UpdateParticipant {
        room: RoomRef,
        leg: LegId,
        body: UpdateParticipant,
        condition: IfMatch,
        reply: Reply<Participant>,
    },
    /// The same change for every joined participant that is meant; answers what became of each.
    UpdateParticipants {
        room: RoomRef,
        whom: Whom,
        body: UpdateParticipant,
        reply: Reply<Vec<(LegId, Result<Participant, ControlError>)>>,
    },
    /// Lets somebody in who waits.
    Admit {
        room: RoomRef,
        leg: LegId,
        reply: Reply<Participant>,
    },
    /// Lets all in who wait.
    AdmitAll {
        room: RoomRef,
        reply: Reply<Admitted>,
    },
    /// Asks somebody whom a moderator has muted to speak: a key of theirs unmutes them from now on.
    AskToSpeak {
        room: RoomRef,
        leg: LegId,
        reply: Reply<Participant>,
    },
    Kick {
        room: RoomRef,
        leg: LegId,
        query: KickQuery,
        reply: Reply<()>,
    },

    CreateCall {
        body: CreateCall,
        reply: Reply<Call>,
    },
    ListCalls {
        query: CallQuery,
        reply: Reply<Page<Call>>,
    },
    Call {
        call: CallId,
        reply: Reply<Call>,
    },
    HangUpCall {
        call: CallId,
        reply: Reply<()>,
    },

    ListLegs {
        query: LegQuery,
        reply: Reply<Page<Leg>>,
    },
    Leg {
        leg: LegId,
        reply: Reply<Leg>,
    },
    HangUpLeg {
        leg: LegId,
        reply: Reply<()>,
    },
    HoldLeg {
        leg: LegId,
        held: bool,
        body: Hold,
        reply: Reply<Leg>,
    },
    MuteLeg {
        leg: LegId,
        muted: bool,
        reply: Reply<Leg>,
    },
    Transfer {
        leg: LegId,
        body: Transfer,
        reply: Reply<Leg>,
    },
    SendDtmf {
        leg: LegId,
        body: SendDtmf,
        reply: Reply<()>,
    },
    LegStats {
        leg: LegId,
        reply: Reply<LegStats>,
    },

    /// What there is of these rooms (none named: of everything), and since which event.
    Snapshot {
        rooms: Vec<RoomId>,
        reply: Placed<Snapshot>,
    },

    SendMessage {
        body: SendMessage,
        reply: Reply<Message>,
    },
    ListMessages {
        query: PageQuery,
        reply: Reply<Page<Message>>,
    },
    Message {
        message: MessageId,
        reply: Reply<Message>,
    },
    ListBans {
        query: PageQuery,
        reply: Reply<Page<Ban>>,
    },
    LiftBan {
        address: std::net::IpAddr,
        reply: Reply<()>,
    },
    ListRegistrations {
        query: RegistrationQuery,
        reply: Reply<Page<Registration>>,
    },
    Registration {
        registration: RegistrationId,
        reply: Reply<Registration>,
    },
    RemoveRegistration {
        registration: RegistrationId,
        reply: Reply<()>,
    },
    ListPresence {
        query: PageQuery,
        reply: Reply<Page<Presence>>,
    },
    Presence {
        user: String,
        reply: Reply<Presence>,
    },
    SetPresence {
        user: String,
        body: SetPresence,
        reply: Reply<Presence>,
    },
    LegTrace {
        leg: LegId,
        reply: Reply<Trace>,
    },
    CallTrace {
        call: CallId,
        reply: Reply<Trace>,
    },
    ListTrunks {
        query: PageQuery,
        reply: Reply<Page<Trunk>>,
    },
    /// By name.
    Trunk {
        trunk: String,
        reply: Reply<Trunk>,
    },
    CreateTrunk {
        body: TrunkConfig,
        reply: Reply<Trunk>,
    },
    /// By name, as the next.
    ReplaceTrunk {
        trunk: String,
        body: TrunkConfig,
        condition: IfMatch,
        reply: Reply<Trunk>,
    },
    DeleteTrunk {
        trunk: String,
        condition: IfMatch,
        reply: Reply<()>,
    },
    ListUsers {
        query: PageQuery,
        reply: Reply<Page<User>>,
    },
    CreateUser {
        body: CreateUser,
        reply: Reply<User>,
    },
    /// By name, as the next two.
    User {
        user: String,
        reply: Reply<User>,
    },
    UpdateUser {
        user: String,
        body: UpdateUser,
        condition: IfMatch,
        reply: Reply<User>,
    },
    DeleteUser {
        user: String,
        condition: IfMatch,
        reply: Reply<()>,
    },
    ListRoutes {
        query: PageQuery,
        reply: Reply<Page<Provisioned<Route>>>,
    },
    CreateRoute {
        body: Route,
        reply: Reply<Provisioned<Route>>,
    },
    /// By name, as the next two.
    Route {
        route: String,
        reply: Reply<Provisioned<Route>>,
    },
    ReplaceRoute {
        route: String,
        body: ReplaceRoute,
        condition: IfMatch,
        reply: Reply<Provisioned<Route>>,
    },
    DeleteRoute {
        route: String,
        condition: IfMatch,
        reply: Reply<()>,
    },
    Play {
        to: Audience,
        body: Play,
        reply: Reply<Playback>,
    },
    PlayMusic {
        room: RoomRef,
        body: PlayMusic,
        reply: Reply<Playback>,
    },
    StopMusic {
        room: RoomRef,
        reply: Reply<()>,
    },
    ListPlaybacks {
        query: PlaybackQuery,
        reply: Reply<Page<Playback>>,
    },
    Playback {
        playback: PlaybackId,
        reply: Reply<Playback>,
    },
    UpdatePlayback {
        playback: PlaybackId,
        body: UpdatePlayback,
        reply: Reply<Playback>,
    },
    StopPlayback {
        playback: PlaybackId,
        reply: Reply<()>,
    },
    CreateRecording {
        of: Audience,
        options: RecordingOptions,
        reply: Reply<Recording>,
    },
    /// Those that are not over, without marks, newest first.
    LiveRecordings {
        reply: Reply<Vec<Recording>>,
    },
    /// One that is not over.
    Recording {
        recording: RecordingId,
        reply: Reply<Recording>,
    },
    UpdateRecording {
        recording: RecordingId,
        body: UpdateRecording,
        reply: Reply<Recording>,
    },
    MarkRecording {
        recording: RecordingId,
        body: CreateMark,
        reply: Reply<Recording>,
    },
    StopRecording {
        recording: RecordingId,
        reply: Reply<Recording>,
    },
    /// The files of one that is over.
    DiscardRecording {
        recording: RecordingId,
        reply: Reply<()>,
    },
    ListMedia {
        query: PageQuery,
        reply: Reply<Page<Media>>,
    },
    /// By name, as the next three.
    Media {
        media: String,
        reply: Reply<Media>,
    },
    MediaContent {
        media: String,
        reply: Reply<Pcm>,
    },
    PutMedia {
        media: String,
        /// The file as it was uploaded.
        sound: Bytes,
        condition: IfMatch,
        reply: Reply<Media>,
    },
    DeleteMedia {
        media: String,
        condition: IfMatch,
        reply: Reply<()>,
    },
    /// What would become of a call; none is placed.
    TestRoutes {
        body: TestRoutes,
        reply: Reply<RouteTrace>,
    },
    ListNodes {
        query: PageQuery,
        reply: Reply<Page<Node>>,
    },
    /// By id or name.
    Node {
        node: String,
        reply: Reply<Node>,
    },
    Readiness {
        reply: Reply<Readiness>,
    },
    /// Prometheus text (exposition format 0.0.4).
    Metrics {
        reply: Reply<String>,
    },
}

/// Why a command was not carried out. One function maps each to an HTTP problem.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ControlError {
    /// 404. `what` is `room`, `participant`, `leg`, `call` or `node`.
    #[error("no such {what}: {name}")]
    NotFound {
        /// Kind of resource.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// 409: right request, wrong state.
    #[error("{detail}")]
    Conflict {
        /// Stable name such as `room_name_taken`.
        code: &'static str,
        /// What is in the way and what to do.
        detail: String,
    },
    /// 412: `If-Match` was for another revision.
    #[error("this {what} has been changed since: it is at revision {revision}; read it again")]
    Stale {
        /// Kind of resource.
        what: &'static str,
        /// The one that there is.
        revision: u64,
    },
    /// 503 with Retry-After: what must survive a restart could not be stored.
    #[error("{detail}")]
    Unstored {
        /// What the store said.
        detail: String,
    },
    /// 422.
    #[error("{detail}")]
    Invalid {
        /// JSON Pointer to the field, such as `/to`.
        pointer: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// 503 with Retry-After: the queue, or a configured limit, is full.
    #[error("{detail}")]
    Busy {
        /// Which limit, and how to raise it.
        detail: String,
        /// Seconds.
        retry_after_s: u32,
    },
    /// 503 with Retry-After: the media threads have no time for what was asked.
    #[error("{detail}")]
    Saturated {
        /// What to do.
        detail: String,
        /// Seconds.
        retry_after_s: u32,
    },
    /// 503: the bridge is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

/// The door to the bridge: cheap to clone.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Command>);

/// Makes the door and the queue behind it; `capacity` commands may wait, one more is refused with [`ControlError::Busy`].
pub fn channel(capacity: usize) -> (Control, mpsc::Receiver<Command>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Control(sender), receiver)
}

impl Control {
    /// Whether somebody still reads the commands.
    pub fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the bridge answers; [`ControlError::Busy`] when the queue is full; [`ControlError::Stopping`] when nobody reads it.
    pub async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, ControlError> {
        let (reply, answer) = Reply::channel();
        self.0.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy {
                detail: "the command queue is full; try again".to_owned(),
                retry_after_s: 1,
            },
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        answer.await.unwrap_or(Err(ControlError::Stopping))
    }
}
