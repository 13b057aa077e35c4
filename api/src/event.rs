//! What happened: one numbered log from which every reader resumes.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::id::{CallId, EventId, LegId, RoomId};

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// Never reused.
    pub id: EventId,
    /// Place in the log: rises by one, and by more over a restart.
    pub seq: u64,
    /// What happened, such as `participant.joined`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When.
    pub time: Timestamp,
    /// The room concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// The leg concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    /// The call concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The resource as it now is, or what the type documents.
    #[schema(value_type = Value)]
    pub data: Data,
    /// The room that a participant moved out of.
    #[serde(skip)]
    pub moved_out_of: Option<RoomId>,
}

impl Event {
    /// As it is shown and delivered.
    pub fn to_json(&self) -> String {
        // Its keys are strings: it always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// JSON as text: as a tree it would take several times the memory and time, and the log keeps many.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Data(Box<RawValue>);

impl Data {
    /// The text of `value`; `null` if it cannot be JSON.
    pub fn of(value: &impl Serialize) -> Self {
        Self(to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// JSON that was stored; `None` if it is not JSON.
    pub fn from_text(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Those fields that `T` asks for; `None` if they are not as it expects them.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// An event before the log has numbered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// What happened.
    pub kind: EventType,
    /// When.
    pub time: Timestamp,
    /// The room concerned.
    pub room: Option<RoomId>,
    /// The leg concerned.
    pub leg: Option<LegId>,
    /// The call concerned.
    pub call: Option<CallId>,
    /// The resource as it now is, or what the type documents.
    pub data: Data,
}

/// Loudness of one leg, for meters: lossy, not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Level {
    /// Whose.
    pub leg: LegId,
    /// The room it sits in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// dBov, −127 (silence) to 0.
    pub dbov: i8,
}

macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal),+ $(,)?) => {
        /// The type of an event.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum EventType {
            $($(#[doc = $doc])* #[serde(rename = $text)] $name,)+
        }

        impl EventType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The type of this published name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
            }

            /// Whether its name is `pattern`, or begins as one that ends with `*` does.
            pub fn is_like(self, pattern: &str) -> bool {
                match pattern.strip_suffix('*') {
                    Some(start) => self.as_str().starts_with(start),
                    None => self.as_str() == pattern,
                }
            }

            /// What it means, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }

            /// The published name, such as `room.created`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        impl utoipa::PartialSchema for EventType {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let docs = [$(concat!("`", $text, "`:", $($doc),+)),+];
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(docs.join("  \n")))
                    .enum_values(Some(Self::ALL.iter().map(|kind| kind.as_str())))
                    .into()
            }
        }

        impl ToSchema for EventType {}
    };
}

event_types! {
    /// A room exists.
    RoomCreated = "room.created",
    /// A room's settings changed.
    RoomUpdated = "room.updated",
    /// A room was locked.
    RoomLocked = "room.locked",
    /// A room was unlocked.
    RoomUnlocked = "room.unlocked",
    /// A room is over.
    RoomEnded = "room.ended",
    /// Somebody else speaks to the room: `data.floor`, before it `data.previous`; null is nobody.
    RoomFloorChanged = "room.floor_changed",
    /// Somebody was refused; `data.reason` says why.
    RoomJoinRejected = "room.join_rejected",
    /// An INVITE to a participant is on its way.
    ParticipantDialing = "participant.dialing",
    /// The participant's phone rings.
    ParticipantRinging = "participant.ringing",
    /// The participant has answered, or called, and waits before the room; `data.waiting_for` (`moderator` or `admission`).
    ParticipantWaiting = "participant.waiting",
    /// The participant is in the room.
    ParticipantJoined = "participant.joined",
    /// Settings of a participant changed.
    ParticipantUpdated = "participant.updated",
    /// Muted.
    ParticipantMuted = "participant.muted",
    /// Unmuted.
    ParticipantUnmuted = "participant.unmuted",
    /// On hold.
    ParticipantHeld = "participant.held",
    /// Off hold.
    ParticipantResumed = "participant.resumed",
    /// Started to talk.
    ParticipantTalkStarted = "participant.talk_started",
    /// Stopped talking.
    ParticipantTalkEnded = "participant.talk_ended",
    /// Asks to speak.
    ParticipantHandRaised = "participant.hand_raised",
    /// Does so no more.
    ParticipantHandLowered = "participant.hand_lowered",
    /// Pressed a key; `data.digit`, `data.duration_ms`, `data.source`.
    ParticipantDtmf = "participant.dtmf",
    /// Moved to another room; `data.from_room`, `data.to_room`.
    ParticipantMoved = "participant.moved",
    /// Left; the participant with its reason, and `sip` for a failed dial-out.
    ParticipantLeft = "participant.left",
    /// Media before the answer: SDP in a provisional response; `data.status`. In a call of two the other party hears it.
    LegEarlyMedia = "leg.early_media",
    /// Answered.
    LegAnswered = "leg.answered",
    /// The session was changed by re-INVITE or UPDATE.
    LegReinvited = "leg.reinvited",
    /// A transfer was asked for; `data.by` (`api` or `phone`), `data.target`, and `data.with` the other leg of an attended one.
    LegTransferRequested = "leg.transfer_requested",
    /// News of a transfer; `data.status`.
    LegTransferProgress = "leg.transfer_progress",
    /// A transfer succeeded.
    LegTransferCompleted = "leg.transfer_completed",
    /// A transfer failed; the parties have the call they had. `data.reason` (`TransferFailure`), `data.sip`.
    LegTransferFailed = "leg.transfer_failed",
    /// Pressed a key outside a room.
    LegDtmf = "leg.dtmf",
    /// One direction sounds bad; `data.stream` (`received` or `sent`), `data.cause`, `data.mos`, `data.r`,
    /// `data.loss_percent`, `data.late_percent`, `data.delay_ms`.
    LegQualityDegraded = "leg.quality_degraded",
    /// It sounds well again; `data` as before, without `cause`.
    LegQualityRecovered = "leg.quality_recovered",
    /// The jitter buffer is as long as it may be; `data.buffer_target_ms`.
    LegDelayCeiling = "leg.delay_ceiling",
    /// The leg returns what it is sent, so that others hear their own voices; `data.delay_ms`, `data.level_db`.
    LegEchoDetected = "leg.echo_detected",
    /// It does so no more.
    LegEchoCleared = "leg.echo_cleared",
    /// No media for the configured time.
    LegMediaTimeout = "leg.media_timeout",
    /// Another leg has taken its seat: place, role, name, gains, mute and hold are that one's now; `data.by`. This one ends.
    LegReplaced = "leg.replaced",
    /// Over; the leg with its reason.
    LegEnded = "leg.ended",
    /// A call exists.
    CallCreated = "call.created",
    /// The first party rings.
    CallRinging = "call.ringing",
    /// The parties hear each other.
    CallConnected = "call.connected",
    /// A party came, or was put in the place of another.
    CallUpdated = "call.updated",
    /// Over.
    CallEnded = "call.ended",
    /// Something is heard: the playback.
    PlaybackStarted = "playback.started",
    /// It is not any more; the playback with its reason.
    PlaybackEnded = "playback.ended",
    /// What is said is written from now on: the recording.
    RecordingStarted = "recording.started",
    /// It is not, for a while; the recording.
    RecordingPaused = "recording.paused",
    /// It is again; the recording.
    RecordingResumed = "recording.resumed",
    /// All of it is on the disk; the recording with its files, without its marks.
    RecordingCompleted = "recording.completed",
    /// It ended before it should; the recording with what went wrong, and the files there are.
    RecordingFailed = "recording.failed",
    /// An endpoint did not say where a call goes, so its route's fallback is taken: `data.route`, `data.url`, `data.reason`
    /// (`too_many`, `host_not_found`, `not_allowed`, `unreachable`, `tls`, `timeout`, `status`, `too_long`, `broken`,
    /// `invalid`), `data.detail`.
    RouteAskFailed = "route.ask_failed",
    /// A user's phone can be called: the registration.
    RegistrationAdded = "registration.added",
    /// It cannot any more; `data.reason`: `expired`, `unregistered`, `replaced`, `disconnected` or `dropped`.
    RegistrationRemoved = "registration.removed",
    /// A phone was not registered: `data.user`, `data.source`, `data.sip`.
    RegistrationRejected = "registration.rejected",
    /// A user is otherwise than before: its presence.
    PresenceUpdated = "presence.updated",
    /// Calls can go through a trunk; the trunk.
    TrunkUp = "trunk.up",
    /// They cannot; the trunk.
    TrunkDown = "trunk.down",
    /// A limit has refused a call (`data.action`: `refused`, with `data.sip`) or ended one (`ended`): `data.scope` (`node`, `trunk`, `user` or `source`), `data.name`
    /// of the trunk, user or address, `data.limit` (the setting).
    LimitReached = "limit.reached",
    /// Somebody said something in writing; the message.
    MessageReceived = "message.received",
    /// A phone has taken a message; the message.
    MessageDelivered = "message.delivered",
    /// No phone has; the message.
    MessageFailed = "message.failed",
    /// Nothing new is taken from an address for a while; the ban.
    SecurityBanAdded = "security.ban_added",
    /// The bridge stops taking calls.
    NodeDraining = "node.draining",
    /// The bridge takes calls.
    NodeReady = "node.ready",
}
