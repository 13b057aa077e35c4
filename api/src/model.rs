//! JSON shapes of the resources: what a GET shows and what a POST, PATCH or PUT may say. Times are RFC 3339 UTC.

mod api_key;
mod ban;
mod call;
mod group;
mod invitation;
mod leg;
mod manners;
mod media;
mod message;
mod node;
mod object;
mod page;
mod participant;
mod playback;
mod presence;
mod provisioned;
mod query;
mod record;
mod recording;
mod registration;
mod room;
mod route;
mod session;
mod snapshot;
mod statistics;
mod template;
mod token;
mod trace;
mod trunk;
mod user;
mod webhook;

pub use self::api_key::{ApiKey, CreateApiKey, NewApiKey, UpdateApiKey};
pub use self::ban::Ban;
pub use self::call::{Call, CallParty, CallState, CreateCall};
pub use self::group::{AudioGroup, GroupChanges, GroupSettings, HeardGroup, Relation, Supervision};
pub use self::invitation::{CreateInvitation, DialIn, Invitation};
pub use self::leg::{
    Direction, HeldBy, Hold, LeftReason, Leg, LegEcho, LegState, SendDtmf, SipFailure, Transfer,
    TransferFailure, TransferMode, TransferState,
};
pub use self::manners::{Edit, MenuAction, RoomManners, RoomMenu, RoomSettings};
pub use self::media::{Media, MediaOrigin, Pcm};
pub use self::message::{Message, MessageState, SendMessage};
pub use self::node::{Node, NodeState, NodeWorker, Readiness};
pub use self::page::{Page, PageQuery};
pub use self::participant::{
    Admitted, Invite, MutedBy, Participant, ParticipantRefused, ParticipantState,
    ParticipantsUpdated, Role, UpdateParticipant, WaitingFor,
};
pub use self::playback::{
    Audience, CreatePlayback, Play, PlayMode, PlayMusic, Playback, PlaybackEnd, PlaybackPurpose,
    PlaybackQuery, PlaybackState, UpdatePlayback,
};
pub use self::presence::{Presence, PresenceStatus, SetPresence};
pub use self::provisioned::{Provisioned, Source};
pub use self::query::{CallQuery, KickQuery, LegQuery, ParticipantQuery, RoomQuery, Whom};
pub use self::record::{
    AuditEntry, CallRecord, LegRecord, RecordFormat, RecordQuery, RefusedJoins, RoomEndReason,
    RoomOrigin, RoomRecord, StreamRecord,
};
pub use self::recording::{
    CreateMark, CreateRecording, Mark, MarkKind, RecordWhen, Recording, RecordingEnd,
    RecordingFormat, RecordingOptions, RecordingQuery, RecordingState, RoomRecording, Track,
    TrackFile, UpdateRecording,
};
pub use self::registration::{Registration, RegistrationQuery};
pub use self::room::{CreateRoom, EndRoom, Room, RoomState, UpdateRoom};
pub use self::route::{
    EarlyMedia, ReplaceRoute, Route, RouteAnswer, RouteAsk, RouteDestination, RouteLook,
    RouteOutcome, RouteReject, RouteSource, RouteStep, RouteTime, RouteTrace, RouteTrunk,
    TestRoutes, TestSource, Weekday,
};
pub use self::session::{CreateSession, DirectoryEntry, DirectoryQuery, Session, SignIn};
pub use self::snapshot::Snapshot;
pub use self::statistics::{
    BurstStats, DelayStats, LegQuality, LegStats, QualityCause, QualityStats, ReceivedStats,
    ReportedStats, SentStats, StreamQuality,
};
pub use self::template::{PutRoomTemplate, RoomTemplate};
pub use self::token::{CreateRoomToken, RoomToken};
pub use self::trace::{Trace, TraceEntry};
pub use self::trunk::{Trunk, TrunkConfig, TrunkGateway, TrunkState};
pub use self::user::{CreateUser, UpdateUser, User};
pub use self::webhook::{
    Attempt, CreateWebhook, Delivery, DeliveryQuery, DeliveryState, DisabledReason, NewWebhook,
    RotateSecret, UpdateWebhook, Webhook,
};
pub use crate::id::{
    ApiKeyId, AuditId, CallId, DeliveryId, LegId, MessageId, NodeId, PlaybackId, RecordingId,
    RegistrationId, RoomId, WebhookId,
};
