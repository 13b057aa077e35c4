//! What is said on a WebSocket, both ways: JSON objects told apart by `type`, one a text frame.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Problem;
use crate::event::{Event, Level};
use crate::id::{CallId, LegId};
use crate::model::{Call, Leg, Participant, Playback, Room};
use crate::validate::{Faults, Validate};

/// What kind of message a client sends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Subscribe,
    Unsubscribe,
    Ping,
}

/// Reads the type alone.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) r#type: Ask,
}

impl Validate for Asked {
    fn validate(&self, _: &mut Faults) {}
}

/// What can be followed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topic {
    /// The event log.
    #[default]
    Events,
    /// How loud legs are, at most ten times a second: lossy, not numbered.
    Levels,
}

/// `subscribe`: begin to follow a topic. Each part that is given must match.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscribe {
    /// `subscribe`.
    r#type: SubscribeType,
    /// A name for it, 1 to 64 characters, which all that belongs to it will carry.
    pub(crate) subscription: String,
    /// What is followed.
    #[serde(default)]
    pub(crate) topic: Topic,
    /// Types of events; `participant.*` is all that begin so.
    #[serde(default)]
    pub(crate) types: Vec<String>,
    /// Rooms, by id or name.
    #[serde(default)]
    pub(crate) rooms: Vec<String>,
    /// Legs.
    #[serde(default)]
    pub(crate) legs: Vec<LegId>,
    /// Calls.
    #[serde(default)]
    pub(crate) calls: Vec<CallId>,
    /// Begin with what there is (of the rooms, or everything); the events after it follow without a gap or an overlap.
    /// Needs `rooms:read` too.
    #[serde(default)]
    pub(crate) snapshot: bool,
    /// `seq` of the last event seen: begin with those after it; 0: with all that are kept.
    #[serde(default)]
    pub(crate) resume_from: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SubscribeType {
    Subscribe,
}

impl Validate for Subscribe {
    fn validate(&self, faults: &mut Faults) {
        named(&self.subscription, faults);
        let lists = [
            ("/types", self.types.len()),
            ("/rooms", self.rooms.len()),
            ("/legs", self.legs.len()),
            ("/calls", self.calls.len()),
        ];
        for (pointer, length) in lists {
            let found = format!("expected at most {MAX_LIST}, found {length}");
            faults.expect(length <= MAX_LIST, pointer, &found);
        }
        let is_narrow = !self.legs.is_empty() || !self.calls.is_empty();
        faults.expect(
            !self.snapshot || !is_narrow,
            "/snapshot",
            "expected no legs or calls with it",
        );
        let twice = self.snapshot && self.resume_from.is_some();
        faults.expect(!twice, "/resume_from", "expected either a snapshot or where to resume");
        let is_log = self.topic == Topic::Events;
        let only = "expected only with the topic events";
        faults.expect(is_log || !self.snapshot, "/snapshot", only);
        faults.expect(is_log || self.resume_from.is_none(), "/resume_from", only);
        faults.expect(is_log || self.types.is_empty(), "/types", only);
        faults.expect(is_log || self.calls.is_empty(), "/calls", only);
    }
}

/// `unsubscribe`: end a subscription.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unsubscribe {
    /// `unsubscribe`.
    r#type: UnsubscribeType,
    /// Which.
    pub(crate) subscription: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UnsubscribeType {
    Unsubscribe,
}

impl Validate for Unsubscribe {
    fn validate(&self, faults: &mut Faults) {
        named(&self.subscription, faults);
    }
}

/// `ping`: answered by `pong`, for clients that cannot send pings of the protocol, as browsers cannot.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ping {
    /// `ping`.
    r#type: PingType,
    /// Comes back in the `pong`, up to 64 characters.
    #[serde(default)]
    pub(crate) id: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PingType {
    Ping,
}

impl Validate for Ping {
    fn validate(&self, faults: &mut Faults) {
        let fits = self.id.as_ref().is_none_or(|id| id.chars().count() <= MAX_NAME);
        faults.expect(fits, "/id", "expected at most 64 characters");
    }
}

fn named(subscription: &str, faults: &mut Faults) {
    let fits = (1..=MAX_NAME).contains(&subscription.chars().count());
    faults.expect(fits, "/subscription", "expected 1 to 64 characters");
}

/// What a client of a WebSocket may say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the union of what is read one by one, for the document")]
pub(crate) enum ClientMessage {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Ping(Ping),
}

/// What a client of a WebSocket is told.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerMessage {
    /// The first message: the newest event there is.
    Ready {
        /// Its number.
        seq: u64,
    },
    /// A subscription stands.
    Subscribed {
        /// Which.
        #[schema(value_type = String)]
        subscription: Arc<str>,
        /// The events after this number follow; absent for levels.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// A part of what there is.
    Snapshot {
        /// Whose.
        #[schema(value_type = String)]
        subscription: Arc<str>,
        /// All events up to this number are in it, and none after it.
        seq: u64,
        /// Open rooms.
        rooms: Vec<Room>,
        /// Those dialled, ringing, waiting or joined.
        participants: Vec<Participant>,
        /// Two-party calls under way.
        calls: Vec<Call>,
        /// Legs under way.
        legs: Vec<Leg>,
        /// What is played, or waits to be.
        playbacks: Vec<Playback>,
        /// Whether this part is the last.
        last: bool,
    },
    /// Something happened.
    Event {
        /// Whose.
        #[schema(value_type = String)]
        subscription: Arc<str>,
        /// What.
        event: Arc<Event>,
    },
    /// How loud legs are now.
    Levels {
        /// Whose.
        #[schema(value_type = String)]
        subscription: Arc<str>,
        /// Those that were measured since the last time.
        levels: Vec<Level>,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Which.
        #[schema(value_type = String)]
        subscription: Arc<str>,
    },
    /// Answers `ping`.
    Pong {
        /// As it came.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// A message was not acceptable; what stood before it stands.
    Error {
        /// The subscription that it was about.
        #[serde(skip_serializing_if = "Option::is_none")]
        subscription: Option<String>,
        /// What was wrong.
        problem: Problem,
    },
    /// The last message; the frame that closes the connection follows.
    Closing(Closing),
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Closing {
    /// `slow_reader`, `events_lost`, `store_unavailable`, `stopping`, `key_ended`, `not_text`, `too_large` or `silent`.
    pub(crate) code: &'static str,
    /// In words.
    pub(crate) detail: String,
    /// The subscription that was too slow.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subscription: Option<Arc<str>>,
    /// Where it can resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_seq: Option<u64>,
}

/// Longest name of a subscription, characters.
const MAX_NAME: usize = 64;
/// Most entries of a list in a filter.
const MAX_LIST: usize = 100;
