//! What must survive a restart, as the bridge and the store speak of it.
//!
//! The bridge keeps its working set in memory. It tells each change of it to the store, and makes the change, and answers for
//! it, once it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::control::{ControlError, Reply};
use crate::event::Event;
use crate::id::{CallId, DeliveryId, LegId, RecordingId, RoomId, WebhookId};
use crate::model::{
    AuditEntry, CallRecord, Delivery, DeliveryQuery, LegRecord, Page, RecordQuery, Recording,
    RecordingQuery, RoomRecord,
};

/// What kind of thing a document describes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum DocumentKind {
    /// Somebody who may register and call.
    User,
    /// A carrier or PBX.
    Trunk,
    /// A rule for calls that come in.
    Route,
    /// Who may use the API.
    ApiKey,
    /// A room that outlasts a restart.
    Room,
    /// What rooms are made of.
    RoomTemplate,
    /// A sound that can be played.
    Media,
    /// What callers have used of what they may use in a day.
    Tolls,
    /// Who is told of events.
    Webhook,
    /// Up to which event a webhook was told, or has a delivery of its own.
    WebhookCursor,
    /// A mail that was not sent yet.
    Letter,
}

impl DocumentKind {
    /// Every kind there is.
    pub const ALL: [Self; 11] = [
        Self::User,
        Self::Trunk,
        Self::Route,
        Self::ApiKey,
        Self::Room,
        Self::RoomTemplate,
        Self::Media,
        Self::Tolls,
        Self::Webhook,
        Self::WebhookCursor,
        Self::Letter,
    ];

    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Trunk => "trunk",
            Self::Route => "route",
            Self::ApiKey => "api_key",
            Self::Room => "room",
            Self::RoomTemplate => "room_template",
            Self::Media => "media",
            Self::Tolls => "tolls",
            Self::Webhook => "webhook",
            Self::WebhookCursor => "webhook_cursor",
            Self::Letter => "letter",
        }
    }
}

/// A resource as it is kept.
#[derive(Clone, Eq, PartialEq)]
pub struct Document {
    /// What it describes.
    pub kind: DocumentKind,
    /// Unique among its kind.
    pub name: String,
    /// Rises with each change.
    pub revision: u64,
    /// JSON, secrets included.
    pub body: String,
}

/// The body may hold secrets.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, revision, .. } = self;
        write!(f, "Document({} {name:?} {revision})", kind.as_str())
    }
}

/// One change of what is kept. Made twice it does no more than once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// There is this document, instead of any of its kind and name.
    Put(Document),
    /// There is none of this kind and name, nor what belongs to it.
    Remove(DocumentKind, String),
}

/// Why a change was not stored.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum StoreFailure {
    /// Too many wait already.
    #[error("the store is too slow: {0} changes wait")]
    Full(usize),
    /// What the store, or the way to it, said.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreFailure {
    /// Nobody stores any more.
    pub fn stopped() -> Self {
        Self::Unavailable("the store has stopped".to_owned())
    }
}

/// Whether a change is on the disk.
pub type Stored = Result<(), StoreFailure>;

/// How the deliveries of a webhook go. Stored as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Its [`DocumentKind::WebhookCursor`], where that goes on.
    pub cursor: Option<Document>,
    /// Those that were tried, or are to be.
    pub deliveries: Vec<KeptDelivery>,
}

/// A delivery as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptDelivery {
    /// As it is shown.
    pub delivery: Delivery,
    /// What is to be sent; none once it is over.
    pub payload: Option<Arc<str>>,
    /// How often it was tried since it was first due, or asked for again.
    pub tries: u32,
}

/// What a webhook has, where it stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unfinished {
    /// Its [`DocumentKind::WebhookCursor`].
    pub cursor: Option<Document>,
    /// Its deliveries that are to be tried again, oldest first.
    pub deliveries: Vec<KeptDelivery>,
}

/// Something to store.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// A change of what was made over the API.
    Change(Change),
    /// How deliveries go.
    Progress(Progress),
    /// There is no such recording any more.
    Forget(RecordingId),
}

/// Something that waits to be stored, and who is to be told.
#[derive(Debug)]
pub struct Order {
    /// What to store.
    pub deed: Deed,
    /// Told once it is on the disk, or surely is not.
    pub done: oneshot::Sender<Stored>,
}

/// What is remembered. Nobody waits for it to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A leg is over.
    Leg(Box<LegRecord>),
    /// A two-party call is over.
    Call(Box<CallRecord>),
    /// A room is over.
    Room(Box<RoomRecord>),
    /// Somebody commanded something.
    Audit(Box<AuditEntry>),
    /// A recording, as it is now.
    Recording(Box<Recording>),
    /// Something happened.
    Event(Arc<Event>),
}

/// What can be asked of what is remembered.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named after the route it serves")]
pub enum Read {
    Legs(RecordQuery, Reply<Page<LegRecord>>),
    Leg(LegId, Reply<LegRecord>),
    Calls(RecordQuery, Reply<Page<CallRecord>>),
    Call(CallId, Reply<CallRecord>),
    Rooms(RecordQuery, Reply<Page<RoomRecord>>),
    Room(RoomId, Reply<RoomRecord>),
    Audit(RecordQuery, Reply<Page<AuditEntry>>),
    Recordings(RecordingQuery, Reply<Page<Recording>>),
    Recording(RecordingId, Reply<Recording>),
    Events(EventQuery, Reply<EventStretch>),
    Deliveries(WebhookId, Box<DeliveryQuery>, Reply<Page<Delivery>>),
    Delivery(DeliveryId, Reply<KeptDelivery>),
    Unfinished(WebhookId, Reply<Unfinished>),
}

/// Which stretch of the stored events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventQuery {
    /// Only of higher numbers.
    pub after: u64,
    /// Only of lower numbers.
    pub before: u64,
    /// At most so many.
    pub limit: usize,
    /// Only of this room, or of who moves out of it.
    pub room: Option<RoomId>,
    /// Only of this leg.
    pub leg: Option<LegId>,
    /// Only of this call.
    pub call: Option<CallId>,
}

/// A stretch of the stored events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventStretch {
    /// Oldest first.
    pub items: Vec<Arc<Event>>,
    /// The oldest number that is stored.
    pub oldest: Option<u64>,
}

/// The numbers of what is stored of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventSpan {
    /// The lowest.
    pub oldest: u64,
    /// The highest.
    pub newest: u64,
}

/// The door to the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    records: mpsc::Sender<Record>,
    reads: mpsc::Sender<Read>,
    lost: Arc<AtomicU64>,
}

/// What comes through the door, for the store.
#[derive(Debug)]
pub struct Work {
    /// Changes to be stored and answered.
    pub orders: mpsc::Receiver<Order>,
    /// What is to be remembered.
    pub records: mpsc::Receiver<Record>,
    /// What is asked of it.
    pub reads: mpsc::Receiver<Read>,
    /// Records that found no place in their queue, since the start.
    pub lost: Arc<AtomicU64>,
}

/// How much may wait of each.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// Changes; one more is refused.
    pub orders: usize,
    /// Records; one more is lost.
    pub records: usize,
    /// Questions; one more is refused.
    pub reads: usize,
}

/// A desk and what comes over it.
pub fn desk(queues: Queues) -> (Desk, Work) {
    let (orders, orders_taken) = mpsc::channel(queues.orders);
    let (records, records_taken) = mpsc::channel(queues.records);
    let (reads, reads_taken) = mpsc::channel(queues.reads);
    let lost = Arc::default();
    let desk = Desk { orders, records, reads, lost: Arc::clone(&lost) };
    let (orders, records, reads) = (orders_taken, records_taken, reads_taken);
    (desk, Work { orders, records, reads, lost })
}

impl Desk {
    /// Hands a change in; the receiver is told once it is on the disk, or surely is not.
    ///
    /// # Errors
    /// [`StoreFailure::Full`] when too many wait.
    pub fn put(&self, change: Change) -> Result<oneshot::Receiver<Stored>, StoreFailure> {
        self.order(Deed::Change(change))
    }

    /// As [`Self::put`], for how deliveries go.
    ///
    /// # Errors
    /// [`StoreFailure::Full`] when too many wait.
    pub fn advance(&self, progress: Progress) -> Result<oneshot::Receiver<Stored>, StoreFailure> {
        self.order(Deed::Progress(progress))
    }

    /// As [`Self::put`], to forget a recording.
    ///
    /// # Errors
    /// [`StoreFailure::Full`] when too many wait.
    pub fn forget(
        &self,
        recording: RecordingId,
    ) -> Result<oneshot::Receiver<Stored>, StoreFailure> {
        self.order(Deed::Forget(recording))
    }

    fn order(&self, deed: Deed) -> Result<oneshot::Receiver<Stored>, StoreFailure> {
        let (done, receiver) = oneshot::channel();
        self.orders.try_send(Order { deed, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFailure::Full(self.orders.max_capacity()),
            mpsc::error::TrySendError::Closed(_) => StoreFailure::stopped(),
        })?;
        Ok(receiver)
    }

    /// Has something remembered. Where the store is so slow that its queue is full, it is lost, and counted.
    pub fn note(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What `/metrics` shows of it.
    pub(crate) fn metrics(&self) -> String {
        let (name, lost) = ("plenary_records_lost_total", self.lost.load(Ordering::Relaxed));
        let help = "Records and events that found no place in the queue to the store.";
        format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {lost}\n")
    }

    /// Asks for what is remembered and waits for the answer.
    ///
    /// # Errors
    /// What the store answers; [`ControlError::Busy`] when too many ask.
    pub async fn read<T>(&self, read: impl FnOnce(Reply<T>) -> Read) -> Result<T, ControlError> {
        let (reply, answer) = Reply::channel();
        self.reads.try_send(read(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy {
                detail: "too many ask for records; try again".to_owned(),
                retry_after_s: 1,
            },
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        answer.await.unwrap_or(Err(ControlError::Stopping))
    }
}
