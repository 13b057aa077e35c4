//! Recordings: a row for each, written anew with each change of it.

use std::str::FromStr as _;

use api::control::ControlError;
use api::id::{RecordingId, RoomId};
use api::model::{Page, Recording, RecordingQuery};
use jiff::Timestamp;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyPool};

use super::records::{self, Stretch, unix_ms};

/// Puts it there as it is now.
pub(super) fn put(recording: &Recording) -> Query<'static, Any, AnyArguments> {
    sqlx::query(PUT)
        .bind(recording.id.to_string())
        .bind(recording.room.map(|room| room.to_string()))
        .bind(recording.room_name.clone())
        .bind(recording.call.map(|call| call.to_string()))
        .bind(recording.leg.map(|leg| leg.to_string()))
        .bind(recording.state.as_str())
        .bind(records::json(recording))
}

/// Takes it away.
pub(super) fn remove(recording: RecordingId) -> Query<'static, Any, AnyArguments> {
    sqlx::query("DELETE FROM recordings WHERE id = $1").bind(recording.to_string())
}

/// A page, newest first, without marks.
pub(super) async fn list(
    pool: &AnyPool,
    query: RecordingQuery,
) -> Result<Page<Recording>, ControlError> {
    let is_id = |room: &String| RoomId::from_str(room).is_ok();
    let room = query.room.as_ref();
    let filters = [
        ("room_id", room.filter(|room| is_id(room)).cloned()),
        ("room_name", room.filter(|room| !is_id(room)).cloned()),
        ("call_id", query.call.map(|call| call.to_string())),
        ("leg_id", query.leg.map(|leg| leg.to_string())),
        ("state", query.state.clone()),
    ];
    let until = query.until.map_or_else(|| from(Timestamp::MAX), from);
    let wanted = Stretch {
        limit: query.limit,
        before: query.cursor.clone().unwrap_or(until),
        since: from(query.since.unwrap_or(Timestamp::UNIX_EPOCH)),
        filters: filters.into_iter().filter_map(|(column, value)| Some((column, value?))).collect(),
    };
    let mut page: Page<Recording> = records::page(pool, TABLE, wanted).await?;
    page.items.iter_mut().for_each(|recording| recording.marks.clear());
    Ok(page)
}

/// The lowest id of this time.
pub(super) fn from(at: Timestamp) -> String {
    RecordingId::new(unix_ms(at), 0).to_string()
}

/// Where they are.
pub(super) const TABLE: &str = "recordings";
const PUT: &str = "INSERT INTO recordings (id, room_id, room_name, call_id, leg_id, state, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body";
