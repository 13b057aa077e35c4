//! `/v1/events`: the log by pages, and as a stream of server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, Streams};
use crate::control::{Command, Control};
use crate::error::{ApiError, FieldError};
use crate::event::{EventType, Level};
use crate::events::{Cut, EventLog, EventPage, Filter, LevelReader, Reader};
use crate::extract::{Json, Params};
use crate::id::{CallId, LegId, RoomId};
use crate::validate::MAX_PAGE;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(stream))
}

/// Which stretch of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `next` or `last_seq` of the page before: events after it.
    cursor: Option<String>,
    /// Number of the first event wanted, instead of a cursor.
    from_seq: Option<u64>,
    /// Events a page, 1 to 500.
    #[param(default = 100)]
    limit: Option<u32>,
    /// Types, separated by commas; `participant.*` is all that begin so.
    r#type: Option<String>,
    /// Only of this room (id or name).
    room: Option<String>,
    /// Only of this leg.
    leg: Option<LegId>,
    /// Only of this call.
    call: Option<CallId>,
}

/// Which events, and from where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// As the header `Last-Event-ID`, for clients that cannot set it: events after this number; 0: all that are kept.
    last_event_id: Option<u64>,
    /// Number of the first event wanted.
    from_seq: Option<u64>,
    /// Also send `levels` at most 10 times a second: lossy, not numbered.
    #[param(default = false)]
    levels: Option<bool>,
    /// Types, separated by commas; `participant.*` is all that begin so.
    r#type: Option<String>,
    /// Only of this room (id or name).
    room: Option<String>,
    /// Only of this leg.
    leg: Option<LegId>,
    /// Only of this call.
    call: Option<CallId>,
}

/// Read the event log
///
/// Oldest first, unlike other lists, because it is read forward: go on with `cursor` = `next`, and later with `last_seq`. It
/// goes back over restarts as far as `records.events_days` says; a page may be short, or empty, and have a `next`. A cursor
/// older than what is kept answers 410: read the resources again and follow the stream, which says where it begins.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "listEvents", params(ListQuery),
    responses((status = OK, body = EventPage),
        (status = GONE, description = "The cursor is not a place in what is kept")))]
async fn list(
    State(log): State<EventLog>,
    State(control): State<Control>,
    Params(query): Params<ListQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(in_query("limit", format!("expected 1 to {MAX_PAGE}, found {limit}")));
    }
    let cursor = query.cursor.map(|cursor| number(&cursor, "cursor")).transpose()?;
    let after = cursor.or_else(|| before(query.from_seq));
    let filter = filter(&control, query.r#type, query.room).await?;
    let filter = Filter { leg: query.leg, call: query.call, ..filter };
    let page = log.page(after, usize::try_from(limit).unwrap_or(usize::MAX), &filter).await?;
    Ok(Json(page))
}

/// Follow the event log
///
/// Server-sent events. The first message is `ready` and says where the stream begins; each event of the log is an
/// unnamed message whose `id` is its `seq`, so `Last-Event-ID` resumes without a gap, also after a restart of the bridge. With `levels=true`, `levels` messages
/// carry what is loud. A reader that is too slow gets `closed` with the reason, and can resume.
#[utoipa::path(get, path = "/events/stream", tag = "events", operation_id = "streamEvents",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "`seq` of the last event seen")),
    responses((status = OK, body = String, content_type = "text/event-stream"),
        (status = GONE, description = "The events after `Last-Event-ID` are not all kept")))]
async fn stream(
    State(shared): State<Shared>,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Shared { control, log, streams, .. } = shared;
    let after = match headers.get(LAST_EVENT_ID) {
        Some(id) => Some(number(id.to_str().unwrap_or_default(), "Last-Event-ID")?),
        None => query.last_event_id.or_else(|| before(query.from_seq)),
    };
    let filter = filter(&control, query.r#type, query.room).await?;
    let filter = Filter { leg: query.leg, call: query.call, ..filter };
    let seat = streams.take_seat()?;
    let reader = log.reader(after, filter)?;
    let levels = query.levels.unwrap_or(false).then(|| log.levels());
    let feed =
        Feed { stage: Stage::Opening, reader, levels, levels_from: Instant::now(), _seat: seat };
    let sse = Sse::new(feed.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let headers = [(header::CACHE_CONTROL, NO_STORE), (X_ACCEL_BUFFERING, NO)];
    Ok((headers, sse).into_response())
}

/// The number that comes before `first`.
fn before(first: Option<u64>) -> Option<u64> {
    first.map(|first| first.saturating_sub(1))
}

impl Streams {
    fn take_seat(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let seats = std::sync::Arc::clone(&self.seats);
        seats.try_acquire_owned().map_err(|_| ApiError::TooManyStreams(self.max))
    }
}

fn number(text: &str, parameter: &str) -> Result<u64, ApiError> {
    text.trim()
        .parse()
        .map_err(|_| in_query(parameter, format!("expected a number, found {text:?}")))
}

fn in_query(parameter: &str, detail: String) -> ApiError {
    ApiError::Content(vec![FieldError::in_query(parameter, detail)])
}

/// A filter by types and room; a room's name is looked up.
async fn filter(
    control: &Control,
    kinds: Option<String>,
    room: Option<String>,
) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    for pattern in kinds.iter().flat_map(|kinds| kinds.split(',')) {
        let known = filter.kinds.len();
        filter.kinds.extend(EventType::ALL.iter().filter(|kind| kind.is_like(pattern.trim())));
        if filter.kinds.len() == known {
            return Err(in_query("type", format!("no event type is like {pattern:?}")));
        }
    }
    filter.room = match room {
        Some(room) => Some(room_id(control, room).await?),
        None => None,
    };
    Ok(filter)
}

async fn room_id(control: &Control, room: String) -> Result<RoomId, ApiError> {
    if let Ok(id) = room.parse() {
        return Ok(id);
    }
    Ok(control.ask(|reply| Command::Room { room, reply }).await?.id)
}

/// What one stream sends.
struct Feed {
    stage: Stage,
    reader: Reader,
    levels: Option<LevelReader>,
    /// When levels may be sent again.
    levels_from: Instant,
    _seat: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum Stage {
    Opening,
    Following,
    Closed,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Message, Infallible>> {
        stream::unfold(self, async |mut feed| {
            let message = feed.next().await?;
            Some((Ok(message), feed))
        })
    }

    async fn next(&mut self) -> Option<Message> {
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Following;
                Some(ready(self.reader.last()))
            }
            Stage::Following => Some(self.follow().await),
            Stage::Closed => None,
        }
    }

    async fn follow(&mut self) -> Message {
        let Self { reader, levels, levels_from, .. } = self;
        tokio::select! {
            event = reader.next() => match event {
                Ok(event) => message(&*event).id(event.seq.to_string()),
                Err(cut) => {
                    self.stage = Stage::Closed;
                    closed(&cut)
                }
            },
            levels = loudness(levels, levels_from) => levels_message(&levels),
        }
    }
}

/// What is loud, at most ten times a second; never, when nobody asked.
async fn loudness(levels: &mut Option<LevelReader>, from: &mut Instant) -> Vec<Level> {
    let Some(levels) = levels else { return std::future::pending().await };
    sleep_until(*from).await;
    let first = levels.next().await;
    let mut latest = BTreeMap::new();
    latest.extend(first.iter().map(|level| (level.leg, *level)));
    levels.drain(&mut latest);
    *from = Instant::now() + LEVEL_PERIOD;
    latest.into_values().collect()
}

fn ready(seq: u64) -> Message {
    message(&json!({"type": "stream.ready", "seq": seq}))
        .event("ready")
        .id(seq.to_string())
        .retry(RETRY)
}

fn levels_message(levels: &[Level]) -> Message {
    message(&json!({"type": "stream.levels", "levels": levels})).event("levels")
}

fn closed(cut: &Cut) -> Message {
    let (code, last) = match cut {
        Cut::Slow { last } => ("slow_reader", last),
        Cut::Lost { last } => ("events_lost", last),
        Cut::Unread { last, .. } => ("store_unavailable", last),
        Cut::Closed { last } => ("stopping", last),
    };
    let closed =
        json!({"type": "stream.closed", "code": code, "detail": cut.to_string(), "last_seq": last});
    message(&closed).event("closed")
}

fn message(data: &impl Serialize) -> Message {
    // Our own shapes have string keys only: they always serialise.
    Message::default().data(serde_json::to_string(data).unwrap_or_default())
}

/// A comment is sent when nothing else was for so long, so that proxies keep the stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LEVEL_PERIOD: Duration = Duration::from_millis(100);
/// What a client is told to wait before it connects again.
const RETRY: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");
