//! What is remembered: written many at a time, read by pages. Ids sort by time, so a page is a stretch of an index,
//! however many there are.

use api::archive::{Read, Record};
use api::control::ControlError;
use api::id::{AuditId, CallId, LegId, RoomId};
use api::model::{AuditEntry, CallRecord, LegRecord, Page, RecordQuery, RoomRecord};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Any, AnyPool, AssertSqlSafe, Row as _, Transaction};

use super::{deliveries, events, recordings};

/// A kind of record and where it is.
trait Shelved: DeserializeOwned + Serialize {
    const TABLE: &str;

    /// The lowest id of this time.
    fn from(at: Timestamp) -> String;

    /// What may be asked for, by columns of their own.
    fn filters(query: &RecordQuery) -> Vec<(&'static str, String)>;
}

pub(super) fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

impl Shelved for LegRecord {
    const TABLE: &str = "legs";

    fn from(at: Timestamp) -> String {
        LegId::new(unix_ms(at), 0).to_string()
    }

    fn filters(query: &RecordQuery) -> Vec<(&'static str, String)> {
        let filters = [
            ("call_id", query.call.map(|call| call.to_string())),
            ("room_id", query.room.map(|room| room.to_string())),
            ("user_name", query.user.clone()),
            ("trunk", query.trunk.clone()),
        ];
        filters.into_iter().filter_map(|(column, value)| Some((column, value?))).collect()
    }
}

impl Shelved for CallRecord {
    const TABLE: &str = "calls";

    fn from(at: Timestamp) -> String {
        CallId::new(unix_ms(at), 0).to_string()
    }

    fn filters(_: &RecordQuery) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl Shelved for RoomRecord {
    const TABLE: &str = "rooms";

    fn from(at: Timestamp) -> String {
        RoomId::new(unix_ms(at), 0).to_string()
    }

    fn filters(query: &RecordQuery) -> Vec<(&'static str, String)> {
        query.name.iter().map(|name| ("name", name.clone())).collect()
    }
}

impl Shelved for AuditEntry {
    const TABLE: &str = "audit";

    fn from(at: Timestamp) -> String {
        AuditId::new(unix_ms(at), 0).to_string()
    }

    fn filters(query: &RecordQuery) -> Vec<(&'static str, String)> {
        query.key.map(|key| ("key_id", key.to_string())).into_iter().collect()
    }
}

/// Writes records; what is there already stays as it is.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Any>,
    records: &[Record],
) -> Result<(), sqlx::Error> {
    for record in records {
        let query = match record {
            Record::Leg(leg) => sqlx::query(PUT_LEG)
                .bind(leg.id.to_string())
                .bind(leg.call.map(|call| call.to_string()))
                .bind(leg.room.map(|room| room.to_string()))
                .bind(leg.user.clone())
                .bind(leg.trunk.clone())
                .bind(json(leg)),
            Record::Call(call) => sqlx::query(PUT_CALL).bind(call.id.to_string()).bind(json(call)),
            Record::Room(room) => sqlx::query(PUT_ROOM)
                .bind(room.id.to_string())
                .bind(room.name.clone())
                .bind(json(room)),
            Record::Audit(entry) => sqlx::query(PUT_AUDIT)
                .bind(entry.id.to_string())
                .bind(entry.key.map(|key| key.to_string()))
                .bind(json(entry)),
            Record::Recording(recording) => recordings::put(recording),
            Record::Event(event) => events::put(event),
        };
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

pub(super) fn json(record: &impl Serialize) -> String {
    // NUL is the one character that Postgres does not take in a text; JSON escapes it.
    serde_json::to_string(record).unwrap_or_default()
}

/// Answers a question.
pub(super) async fn answer(pool: &AnyPool, read: Read) {
    match read {
        Read::Legs(query, reply) => reply.send(listed(pool, &query).await),
        Read::Calls(query, reply) => reply.send(listed(pool, &query).await),
        Read::Rooms(query, reply) => reply.send(listed(pool, &query).await),
        Read::Room(id, reply) => reply.send(one(pool, ("room", id.to_string())).await),
        Read::Audit(query, reply) => reply.send(listed(pool, &query).await),
        Read::Recordings(query, reply) => reply.send(recordings::list(pool, query).await),
        Read::Recording(id, reply) => {
            let place = ("recording", recordings::TABLE, id.to_string());
            reply.send(one_of(pool, place).await);
        }
        Read::Leg(id, reply) => reply.send(one(pool, ("leg", id.to_string())).await),
        Read::Call(id, reply) => reply.send(one(pool, ("call", id.to_string())).await),
        Read::Deliveries(webhook, query, reply) => {
            reply.send(deliveries::list(pool, webhook, &query).await);
        }
        Read::Delivery(id, reply) => reply.send(deliveries::one(pool, id).await),
        Read::Unfinished(webhook, reply) => {
            let unfinished = deliveries::unfinished(pool, webhook).await;
            reply.send(unfinished.map_err(|error| unreadable(&error)));
        }
        Read::Events(query, reply) => {
            let stretch = events::stretch(pool, query).await;
            reply.send(stretch.map_err(|error| unreadable(&error)));
        }
    }
}

impl Stretch {
    fn of<T: Shelved>(query: &RecordQuery) -> Self {
        let until = query.until.map_or_else(|| T::from(Timestamp::MAX), T::from);
        Self {
            limit: query.limit,
            before: query.cursor.clone().unwrap_or(until),
            since: T::from(query.since.unwrap_or(Timestamp::UNIX_EPOCH)),
            filters: T::filters(query),
        }
    }
}

/// What is wanted of a table.
pub(super) struct Stretch {
    pub(super) limit: Option<u32>,
    /// Only lower ids.
    pub(super) before: String,
    /// Only ids that are not lower.
    pub(super) since: String,
    /// Values of columns.
    pub(super) filters: Vec<(&'static str, String)>,
}

async fn listed<T: Shelved>(pool: &AnyPool, query: &RecordQuery) -> Result<Page<T>, ControlError> {
    page(pool, T::TABLE, Stretch::of::<T>(query)).await
}

/// A page of what `table` has, newest first.
pub(super) async fn page<T: DeserializeOwned>(
    pool: &AnyPool,
    table: &'static str,
    wanted: Stretch,
) -> Result<Page<T>, ControlError> {
    let limit = usize::try_from(wanted.limit.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    let mut sql = format!("SELECT id, body FROM {table} WHERE id < $1 AND id >= $2");
    let mut values = vec![wanted.before, wanted.since];
    for (column, value) in wanted.filters {
        values.push(value);
        let filter = format!(" AND {column} = ${}", values.len());
        sql.push_str(&filter);
    }
    let order = format!(" ORDER BY id DESC LIMIT {}", limit + 1);
    sql.push_str(&order);
    // It is made of our own words and numbers alone; what was asked for is bound.
    let mut select = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        select = select.bind(value);
    }
    let mut rows = select.fetch_all(pool).await.map_err(|error| unreadable(&error))?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let id = |row: &sqlx::any::AnyRow| row.try_get::<String, _>(0).ok();
    let next = rows.last().filter(|_| has_more).and_then(id);
    Ok(Page { items: rows.iter().filter_map(|row| record(table, row)).collect(), next })
}

async fn one<T: Shelved>(
    pool: &AnyPool,
    (what, id): (&'static str, String),
) -> Result<T, ControlError> {
    one_of(pool, (what, T::TABLE, id)).await
}

async fn one_of<T: DeserializeOwned>(
    pool: &AnyPool,
    (what, table, id): (&'static str, &'static str, String),
) -> Result<T, ControlError> {
    let sql = format!("SELECT id, body FROM {table} WHERE id = $1");
    let select = sqlx::query(AssertSqlSafe(sql)).bind(id.clone());
    let row = select.fetch_optional(pool).await.map_err(|error| unreadable(&error))?;
    let found = row.as_ref().and_then(|row| record(table, row));
    found.ok_or(ControlError::NotFound { what, name: id })
}

fn record<T: DeserializeOwned>(table: &'static str, row: &sqlx::any::AnyRow) -> Option<T> {
    let body: String = row.try_get(1).ok()?;
    let record = serde_json::from_str(&body);
    record.inspect_err(|error| tracing::error!(%error, table, "a record is unreadable")).ok()
}

pub(super) fn unreadable(error: &sqlx::Error) -> ControlError {
    ControlError::Unstored {
        detail: format!("records cannot be read now: {}", super::in_words(error)),
    }
}

/// For how many days what is kept; 0: for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Legs.
    pub legs: u32,
    /// Two-party calls.
    pub calls: u32,
    /// Rooms.
    pub rooms: u32,
    /// Commands.
    pub audit: u32,
    /// What happened.
    pub events: u32,
    /// How many events at most.
    pub most_events: u64,
    /// What webhooks were told.
    pub deliveries: u32,
    /// Recordings.
    pub recordings: u32,
}

/// Deletes what is too old, some at a time, so that nobody waits for long; true if there may be more.
pub(super) async fn forget(
    pool: &AnyPool,
    now: Timestamp,
    retention: Retention,
) -> Result<bool, sqlx::Error> {
    let mut has_more = false;
    let old = |days: u32| now.checked_sub(jiff::SignedDuration::from_hours(i64::from(days) * 24));
    for (days, table, from) in [
        (retention.legs, LegRecord::TABLE, <LegRecord as Shelved>::from as fn(Timestamp) -> String),
        (retention.calls, CallRecord::TABLE, <CallRecord as Shelved>::from),
        (retention.rooms, RoomRecord::TABLE, <RoomRecord as Shelved>::from),
        (retention.audit, AuditEntry::TABLE, <AuditEntry as Shelved>::from),
        (retention.deliveries, deliveries::TABLE, deliveries::from),
        (retention.recordings, recordings::TABLE, recordings::from),
    ] {
        let Some(before) = (days > 0).then(|| old(days).ok()).flatten() else { continue };
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < $1 ORDER BY id LIMIT {AT_ONCE})"
        );
        let gone = sqlx::query(AssertSqlSafe(sql)).bind(from(before)).execute(pool).await?;
        has_more |= gone.rows_affected() == AT_ONCE;
    }
    if let Some(before) = (retention.events > 0).then(|| old(retention.events).ok()).flatten() {
        has_more |= events::forget(pool, before).await?;
    }
    if retention.most_events > 0 {
        has_more |= events::forget_beyond(pool, retention.most_events).await?;
    }
    Ok(has_more)
}

const PUT_LEG: &str = "INSERT INTO legs (id, call_id, room_id, user_name, trunk, body) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING";
const PUT_CALL: &str = "INSERT INTO calls (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
const PUT_ROOM: &str =
    "INSERT INTO rooms (id, name, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
const PUT_AUDIT: &str =
    "INSERT INTO audit (id, key_id, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
/// Items on a page where nobody says.
const DEFAULT_PAGE: u32 = 50;
/// Records that are deleted together.
const AT_ONCE: u64 = 1000;
