//! What must survive a restart, as the bridge and the store speak of it.
//!
//! The bridge keeps its working set in memory. It tells each change of it to the store, and makes the change, and answers for
//! it, once it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::control::{ControlError, Reply};
use crate::id::{CallId, LegId};
use crate::model::{AuditEntry, CallRecord, LegRecord, Page, RecordQuery};

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
    /// A sound that can be played.
    Media,
    /// What callers have used of what they may use in a day.
    Tolls,
}

impl DocumentKind {
    /// Every kind there is.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Trunk, Self::Route, Self::ApiKey, Self::Media, Self::Tolls];

    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Trunk => "trunk",
            Self::Route => "route",
            Self::ApiKey => "api_key",
            Self::Media => "media",
            Self::Tolls => "tolls",
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
    /// There is none of this kind and name.
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

/// A change that waits to be stored, and who is to be told.
#[derive(Debug)]
pub struct Order {
    /// What to store.
    pub change: Change,
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
    /// Somebody commanded something.
    Audit(Box<AuditEntry>),
}

/// What can be asked of what is remembered.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named after the route it serves")]
pub enum Read {
    Legs(RecordQuery, Reply<Page<LegRecord>>),
    Leg(LegId, Reply<LegRecord>),
    Calls(RecordQuery, Reply<Page<CallRecord>>),
    Call(CallId, Reply<CallRecord>),
    Audit(RecordQuery, Reply<Page<AuditEntry>>),
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
    /// Records that found no place in their queue.
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
        let (done, receiver) = oneshot::channel();
        self.orders.try_send(Order { change, done }).map_err(|error| match error {
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
