//! The numbered log as it is stored: written like records, read forward by stretches.

use std::sync::Arc;

use api::archive::{EventQuery, EventSpan, EventStretch};
use api::event::{Data, Event, EventType};
use jiff::Timestamp;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Row as _};

/// How an event is written; one that is there stays as it is.
pub(super) fn put(event: &Event) -> Query<'static, Any, AnyArguments> {
    sqlx::query(PUT)
        .bind(number(event.seq))
        .bind(event.id.to_string())
        .bind(event.kind.as_str())
        .bind(event.time.to_string())
        .bind(event.room.map(|room| room.to_string()))
        .bind(event.moved_out_of.map(|room| room.to_string()))
        .bind(event.leg.map(|leg| leg.to_string()))
        .bind(event.call.map(|call| call.to_string()))
        .bind(event.data.text().to_owned())
}

/// The numbers of what there is.
pub(super) async fn span(pool: &AnyPool) -> Result<Option<EventSpan>, sqlx::Error> {
    let row = sqlx::query("SELECT MIN(seq), MAX(seq) FROM events").fetch_one(pool).await?;
    let ends: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let (Some(oldest), Some(newest)) = ends else { return Ok(None) };
    Ok(Some(EventSpan { oldest: seq(oldest), newest: seq(newest) }))
}

/// A stretch of the log. Of an event that a later version wrote and this one cannot read, nothing is told.
pub(super) async fn stretch(
    pool: &AnyPool,
    query: EventQuery,
) -> Result<EventStretch, sqlx::Error> {
    let mut sql = SELECT.to_owned();
    let mut values = Vec::new();
    let named = [
        ("(room_id = $? OR left_room_id = $?)", query.room.map(|room| room.to_string())),
        ("leg_id = $?", query.leg.map(|leg| leg.to_string())),
        ("call_id = $?", query.call.map(|call| call.to_string())),
    ];
    for (condition, value) in named {
        let Some(value) = value else { continue };
        values.push(value);
        let place = format!("${}", values.len() + 2);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace("$?", &place));
    }
    let order = format!(" ORDER BY seq LIMIT {}", query.limit);
    sql.push_str(&order);
    // It is made of our own words and numbers alone; what was asked for is bound.
    let select =
        sqlx::query(AssertSqlSafe(sql)).bind(number(query.after)).bind(number(query.before));
    let select = values.into_iter().fold(select, Query::bind);
    let rows = select.fetch_all(pool).await?;
    // Afterwards: what is deleted meanwhile is not missed in silence.
    let row = sqlx::query("SELECT MIN(seq) FROM events").fetch_one(pool).await?;
    let oldest = row.try_get::<Option<i64>, _>(0)?.map(seq);
    Ok(EventStretch { items: rows.iter().filter_map(event).collect(), oldest })
}

fn event(row: &AnyRow) -> Option<Arc<Event>> {
    let text = |column: usize| row.try_get::<String, _>(column).ok();
    let event = Event {
        seq: seq(row.try_get(0).ok()?),
        id: text(1)?.parse().ok()?,
        kind: EventType::named(&text(2)?)?,
        time: text(3)?.parse().ok()?,
        room: text(4).and_then(|room| room.parse().ok()),
        moved_out_of: text(5).and_then(|room| room.parse().ok()),
        leg: text(6).and_then(|leg| leg.parse().ok()),
        call: text(7).and_then(|call| call.parse().ok()),
        data: Data::from_text(text(8)?)?,
    };
    Some(Arc::new(event))
}

/// Deletes some of what happened before `before`; true if there may be more.
pub(super) async fn forget(pool: &AnyPool, before: Timestamp) -> Result<bool, sqlx::Error> {
    // Old ones are at one end: what is younger need not be looked at.
    let sql = format!(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM \
        (SELECT seq, id FROM events ORDER BY seq LIMIT {AT_ONCE}) AS oldest WHERE id < $1)"
    );
    let unix_ms = u64::try_from(before.as_millisecond()).unwrap_or(0);
    let from = api::id::EventId::new(unix_ms, 0).to_string();
    let gone = sqlx::query(AssertSqlSafe(sql)).bind(from).execute(pool).await?;
    Ok(gone.rows_affected() == AT_ONCE)
}

/// Deletes some of the oldest where there are more than `most`; true if there may be more.
pub(super) async fn forget_beyond(pool: &AnyPool, most: u64) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= \
        (SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET {most}) ORDER BY seq LIMIT {AT_ONCE})"
    );
    let gone = sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(gone.rows_affected() == AT_ONCE)
}

/// As the databases know it.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn seq(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Events that are deleted together.
const AT_ONCE: u64 = 10_000;
const PUT: &str = "INSERT INTO events (seq, id, type, time, room_id, left_room_id, leg_id, call_id, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (seq) DO NOTHING";
const SELECT: &str = "SELECT seq, id, type, time, room_id, left_room_id, leg_id, call_id, body \
    FROM events WHERE seq > $1 AND seq < $2";
