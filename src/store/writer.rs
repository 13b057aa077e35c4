//! The tasks of the store: one that writes, and one that lets a few read at once.
//!
//! What waits together is written together, so that a slow disk is waited for once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::archive::{
    self, Change, Deed, Desk, Document, DocumentKind, Order, Progress, Queues, Read, Record,
    StoreFailure, Work,
};
use jiff::Timestamp;
use sqlx::{Any, AnyPool, Transaction};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::records::{self, Retention};
use super::{Store, deliveries, in_words, recordings};

/// Stores what comes over the desk, until every [`Desk`] is gone.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    orders: mpsc::Receiver<Order>,
    records: mpsc::Receiver<Record>,
    lost: Arc<AtomicU64>,
    /// How many of those the log was told of.
    lost_told: u64,
    retention: Retention,
    /// Records that are still to be written.
    backlog: VecDeque<Record>,
    /// When they are written, or tried again.
    again_at: Option<Instant>,
}

/// Answers what is asked, until every [`Desk`] is gone.
#[derive(Debug)]
pub struct Reader {
    pool: AnyPool,
    reads: mpsc::Receiver<Read>,
}

/// Why a transaction failed.
#[derive(Debug)]
enum Failed {
    /// Nothing of it is stored.
    Surely(sqlx::Error),
    /// The connection broke while it was committed: nobody knows.
    Perhaps(sqlx::Error),
}

/// A desk, and who works behind it.
pub fn staff(store: Store, retention: Retention) -> (Desk, Writer, Reader) {
    let (desk, work) = archive::desk(QUEUES);
    let Work { orders, records, reads, lost } = work;
    let reader = Reader { pool: store.pool.clone(), reads };
    let (backlog, again_at) = (VecDeque::new(), None);
    let writer =
        Writer { store, orders, records, lost, lost_told: 0, retention, backlog, again_at };
    (desk, writer, reader)
}

impl Reader {
    /// Works until every desk is gone.
    pub async fn run(mut self) {
        let mut under_way = JoinSet::new();
        while let Some(read) = self.reads.recv().await {
            while under_way.len() >= READERS {
                under_way.join_next().await;
            }
            let pool = self.pool.clone();
            under_way.spawn(async move { records::answer(&pool, read).await });
        }
        while under_way.join_next().await.is_some() {}
    }
}

impl Writer {
    /// Works until every desk is gone and what they took is stored.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        let mut noted = Vec::new();
        let mut tidy = interval(TIDY);
        loop {
            let has_room = self.backlog.len() < BACKLOG;
            let mut is_due = false;
            tokio::select! {
                taken = self.orders.recv_many(&mut batch, BATCH) => if taken == 0 { break },
                taken = self.records.recv_many(&mut noted, BATCH), if has_room => {
                    if taken == 0 { break }
                }
                () = until(self.again_at) => {
                    self.again_at = None;
                    is_due = true;
                }
                _ = tidy.tick() => if self.tidy_up().await { tidy.reset_after(SOON) },
            }
            self.backlog.extend(noted.drain(..));
            if !batch.is_empty() {
                self.leave_forgotten(&batch);
                let answer = self.store_all(&batch).await;
                for order in batch.drain(..) {
                    drop(order.done.send(answer.clone())); // who asked may have gone
                }
            }
            if is_due {
                self.write_records().await;
            } else if self.again_at.is_none() && !self.backlog.is_empty() {
                self.again_at = Some(Instant::now() + GATHER);
            }
        }
        self.finish().await;
    }

    /// What waits to be written of a recording that is to be forgotten is not.
    fn leave_forgotten(&mut self, batch: &[Order]) {
        let forgotten = |order: &Order| match &order.deed {
            Deed::Forget(recording) => Some(*recording),
            Deed::Change(_) | Deed::Progress(_) => None,
        };
        for id in batch.iter().filter_map(forgotten) {
            while let Ok(record) = self.records.try_recv() {
                self.backlog.push_back(record);
            }
            let is_it = |record: &Record| matches!(record, Record::Recording(it) if it.id == id);
            self.backlog.retain(|record| !is_it(record));
        }
    }

    /// Every desk is gone: what they left is written.
    async fn finish(mut self) {
        while let Ok(record) = self.records.try_recv() {
            self.backlog.push_back(record);
        }
        for _ in 0..LAST_TRIES {
            while !self.backlog.is_empty() && self.write_records().await {}
        }
        if !self.backlog.is_empty() {
            warn!(records = self.backlog.len(), "records are lost, since they cannot be stored");
        }
        self.store.pool.close().await;
    }

    async fn store_all(&self, batch: &[Order]) -> Result<(), StoreFailure> {
        match timeout(PATIENCE, write(&self.store.pool, batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failed::Surely(error))) => Err(StoreFailure::Unavailable(in_words(&error))),
            Ok(Err(Failed::Perhaps(error))) => {
                warn!(%error, "the database was lost during a commit");
                self.insist(batch).await
            }
            Err(_) => {
                warn!("the database does not answer");
                self.insist(batch).await
            }
        }
    }

    /// Nobody knows whether the batch was stored, so it is stored until that is known: twice does no more than once. Who waited
    /// too long has been told so meanwhile.
    async fn insist(&self, batch: &[Order]) -> Result<(), StoreFailure> {
        let mut tries_left = LAST_TRIES;
        while !self.orders.is_closed() || tries_left > 0 {
            tries_left -= u32::from(self.orders.is_closed());
            sleep(PAUSE).await;
            if let Ok(Ok(())) = timeout(PATIENCE, write(&self.store.pool, batch)).await {
                info!("the database answers again");
                return Ok(());
            }
        }
        Err(StoreFailure::stopped())
    }

    /// Writes some records; those that cannot be written stay, and are tried again after a while.
    async fn write_records(&mut self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.lost_told {
            let lost = lost - std::mem::replace(&mut self.lost_told, lost);
            warn!(lost, "records or events were lost, since the store is too slow");
        }
        let some = self.backlog.len().min(BATCH);
        if some == 0 {
            return true;
        }
        let batch = &self.backlog.make_contiguous()[..some];
        match timeout(PATIENCE, write_records(&self.store.pool, batch)).await {
            Ok(Ok(())) => {
                self.backlog.drain(..some);
                self.again_at = (!self.backlog.is_empty()).then(Instant::now);
                true
            }
            failed => {
                let why = failed.map_or_else(
                    |_| "no answer".to_owned(),
                    |failed| failed.map_or_else(|error| in_words(&error), |()| String::new()),
                );
                warn!(waiting = self.backlog.len(), why, "records cannot be stored now");
                self.again_at = Some(Instant::now() + PAUSE);
                false
            }
        }
    }

    /// Deletes some of what has been kept for long enough; true if there may be more.
    async fn tidy_up(&self) -> bool {
        let forgetting = records::forget(&self.store.pool, Timestamp::now(), self.retention);
        match timeout(PATIENCE, forgetting).await {
            Ok(Ok(has_more)) => has_more,
            Ok(Err(error)) => {
                warn!(%error, "old records cannot be deleted now");
                false
            }
            Err(_) => {
                warn!("old records cannot be deleted now: no answer");
                false
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn write(pool: &AnyPool, batch: &[Order]) -> Result<(), Failed> {
    let mut transaction = pool.begin().await.map_err(Failed::Surely)?;
    for order in batch {
        let made = match &order.deed {
            Deed::Change(change) => make(&mut transaction, change).await,
            Deed::Progress(progress) => advance(&mut transaction, progress).await,
            Deed::Forget(recording) => {
                recordings::remove(*recording).execute(&mut *transaction).await.map(drop)
            }
        };
        made.map_err(Failed::Surely)?;
    }
    transaction.commit().await.map_err(|error| {
        let has_answered = error.as_database_error().is_some();
        if has_answered { Failed::Surely(error) } else { Failed::Perhaps(error) }
    })
}

async fn advance(
    transaction: &mut Transaction<'_, Any>,
    progress: &Progress,
) -> Result<(), sqlx::Error> {
    for delivery in &progress.deliveries {
        deliveries::put(delivery).execute(&mut **transaction).await?;
    }
    let Some(cursor) = &progress.cursor else { return Ok(()) };
    make(transaction, &Change::Put(cursor.clone())).await
}

async fn make(transaction: &mut Transaction<'_, Any>, change: &Change) -> Result<(), sqlx::Error> {
    if let Change::Remove(DocumentKind::Webhook, name) = change {
        for query in deliveries::remove(name) {
            query.execute(&mut **transaction).await?;
        }
    }
    let query = match change {
        Change::Put(Document { kind, name, revision, body }) => sqlx::query(PUT)
            .bind(kind.as_str())
            .bind(name.as_str())
            .bind(i64::try_from(*revision).unwrap_or(i64::MAX))
            .bind(body.as_str()),
        Change::Remove(kind, name) => sqlx::query(REMOVE).bind(kind.as_str()).bind(name.as_str()),
    };
    query.execute(&mut **transaction).await.map(drop)
}

async fn write_records(pool: &AnyPool, batch: &[Record]) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    records::write(&mut transaction, batch).await?;
    transaction.commit().await
}

const PUT: &str = "INSERT INTO documents (kind, name, revision, body) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, body = excluded.body";
const REMOVE: &str = "DELETE FROM documents WHERE kind = $1 AND name = $2";
/// What may wait.
const QUEUES: Queues = Queues { orders: 1024, records: 8192, reads: 256 };
/// Changes, or records, that are stored together.
const BATCH: usize = 256;
/// Records that are held while the database is away; then those that come are held in their queue, and then lost.
const BACKLOG: usize = 8192;
/// How long records are waited for that are to be written with the first: a disk is synchronised twenty times a second at most.
const GATHER: Duration = Duration::from_millis(50);
/// Pages that are read at once.
const READERS: usize = 3;
/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries to reach a database that was lost.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries to store what is left once the bridge stops.
const LAST_TRIES: u32 = 3;
/// Between two deletions while there is more to delete, so that changes get their turn.
const SOON: Duration = Duration::from_millis(50);
/// How often what is too old is deleted.
const TIDY: Duration = Duration::from_hours(1);
