//! `/v1/events`: the log by pages, and as a stream of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::auth::Bounds;
use crate::control::{Command, Control, ControlError};
use crate::error::{ApiError, FieldError};
use crate::event::{Event, EventType, Level};
use crate::events::{Cut, EventLog, EventPage, Filter, Reader};
use crate::extract::{Json, Params};
use crate::gate::Pass;
use crate::id::{CallId, LegId, RoomId};
use crate::meters::Meters;
use crate::streams::Seat;
use crate::validate::MAX_PAGE;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(stream))
}

/// The number of an event, or 0: as far as databases count, which is what the format `int64` of the document says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Seq(u64);

impl TryFrom<u64> for Seq {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        let fits = i64::try_from(number).is_ok();
        fits.then_some(Self(number)).ok_or_else(|| format!("expected at most {}", i64::MAX))
    }
}

/// Which stretch of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `next` or `last_seq` of the page before: events after it.
    cursor: Option<String>,
    /// Number of the first event wanted, instead of a cursor.
    #[param(value_type = Option<u64>)]
    from_seq: Option<Seq>,
    /// Events a page, 1 to 500.
    #[param(default = 100, minimum = 1, maximum = 500)]
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
    #[param(value_type = Option<u64>)]
    last_event_id: Option<Seq>,
    /// Number of the first event wanted.
    #[param(value_type = Option<u64>)]
    from_seq: Option<Seq>,
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
    /// A room token, for browsers, which cannot set `Authorization` there.
    #[expect(dead_code, reason = "the gate reads it")]
    token: Option<String>,
}

/// Read the event log
///
/// Oldest first, unlike other lists, because it is read forward: go on with `cursor` = `next`, and later with `last_seq`. It
/// goes back over restarts as far as `records.events_days` says; a page may be short, or empty, and have a `next`. A cursor
/// older than what is kept answers 410: read the resources again and follow the stream, which says where it begins.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "listEvents", params(ListQuery),
    responses((status = OK, body = EventPage),
        (status = NOT_FOUND, description = "No such room"),
        (status = GONE, description = "The cursor is not a place in what is kept")))]
async fn list(
    State(log): State<EventLog>,
    State(control): State<Control>,
    Params(query): Params<ListQuery>,
    bounds: Bounds,
) -> Result<Json<EventPage>, ApiError> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(in_query("limit", format!("expected 1 to {MAX_PAGE}, found {limit}")));
    }
    if query.cursor.is_some() && query.from_seq.is_some() {
        return Err(in_query("from_seq", "expected either it or a cursor".to_owned()));
    }
    let cursor = query.cursor.map(|cursor| number(&cursor, "cursor")).transpose()?;
    let after = cursor.or_else(|| before(query.from_seq));
    let room = (query.room, &bounds);
    let filter = filter(&control, query.r#type.as_deref(), room).await?;
    let (legs, calls) = (Vec::from_iter(query.leg), Vec::from_iter(query.call));
    let filter = Filter { legs, calls, ..filter };
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
        (status = NOT_FOUND, description = "No such room"),
        (status = GONE, description = "The events after `Last-Event-ID` are not all kept")))]
async fn stream(
    State(shared): State<Shared>,
    Params(query): Params<StreamQuery>,
    pass: Pass,
    bounds: Bounds,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Shared { control, log, streams, .. } = shared;
    let after = match headers.get(LAST_EVENT_ID) {
        Some(id) => Some(number(id.to_str().unwrap_or_default(), "Last-Event-ID")?),
        None => query.last_event_id.map(|Seq(last)| last).or_else(|| before(query.from_seq)),
    };
    let room = (query.room, &bounds);
    let filter = filter(&control, query.r#type.as_deref(), room).await?;
    let (legs, calls) = (Vec::from_iter(query.leg), Vec::from_iter(query.call));
    let filter = Filter { legs, calls, ..filter };
    let seat = streams.seat(pass.principal())?;
    let meters = query.levels.unwrap_or(false).then(|| Meters::new(&log, filter.clone()));
    let reader = log.reader(after, filter)?;
    let over = Box::pin(pass.over());
    let feed = Feed { stage: Stage::Opening, reader, meters, over, _seat: seat };
    let headers = [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, NO_STORE),
        (X_ACCEL_BUFFERING, NO),
    ];
    Ok((headers, Body::from_stream(feed.into_stream())).into_response())
}

/// The number that comes before `first`.
fn before(first: Option<Seq>) -> Option<u64> {
    first.map(|Seq(first)| first.saturating_sub(1))
}

fn number(text: &str, parameter: &str) -> Result<u64, ApiError> {
    text.trim()
        .parse()
        .map_err(|_| in_query(parameter, format!("expected a number, found {text:?}")))
}

fn in_query(parameter: &str, detail: String) -> ApiError {
    ApiError::Content(vec![FieldError::in_query(parameter, detail)])
}

/// A filter by types and room; a room's name is looked up. A key that is bound to rooms reads of no other.
async fn filter(
    control: &Control,
    patterns: Option<&str>,
    (room, bounds): (Option<String>, &Bounds),
) -> Result<Filter, ApiError> {
    let patterns = patterns.iter().flat_map(|patterns| patterns.split(','));
    let kinds = kinds_like(patterns).map_err(|detail| in_query("type", detail))?;
    let rooms = match room {
        Some(room) => {
            bounds.admit(control, &room).await?;
            vec![room_id(control, room).await?]
        }
        None => bounds.rooms(control).await?,
    };
    Ok(Filter { kinds, rooms, ..Filter::default() })
}

/// The types that any of the patterns means, such as `room.ended` or `participant.*`.
///
/// # Errors
/// Says which pattern means none.
pub(crate) fn kinds_like<P: AsRef<str>>(
    patterns: impl IntoIterator<Item = P>,
) -> Result<Vec<EventType>, String> {
    let mut kinds = Vec::new();
    for pattern in patterns {
        let pattern = pattern.as_ref().trim();
        let known = kinds.len();
        kinds.extend(EventType::ALL.iter().filter(|kind| kind.is_like(pattern)));
        if kinds.len() == known {
            return Err(format!("no event type is like {pattern:?}"));
        }
    }
    Ok(kinds)
}

/// The id of the room of this id or name.
pub(crate) async fn room_id(control: &Control, room: String) -> Result<RoomId, ControlError> {
    if let Ok(id) = room.parse() {
        return Ok(id);
    }
    Ok(control.ask(|reply| Command::Room { room, reply }).await?.id)
}

/// What one stream sends.
struct Feed {
    stage: Stage,
    reader: Reader,
    meters: Option<Meters>,
    /// Done when the key is good no more.
    over: BoxFuture<'static, ()>,
    _seat: Seat,
}

#[derive(Clone, Copy)]
enum Stage {
    Opening,
    Following,
    Closed,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<String, Infallible>> {
        stream::unfold(self, async |mut feed| {
            let messages = feed.next().await?;
            Some((Ok(messages), feed))
        })
    }

    async fn next(&mut self) -> Option<String> {
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Following;
                Some(ready(self.reader.last()))
            }
            Stage::Following => Some(self.follow().await),
            Stage::Closed => None,
        }
    }

    /// The next messages: all that are at hand, since each piece of a body costs as much as some messages.
    async fn follow(&mut self) -> String {
        let Self { reader, meters, over, .. } = self;
        tokio::select! {
            event = reader.next() => match event {
                Ok(event) => {
                    let mut messages = happened(&event);
                    messages.extend(std::iter::from_fn(|| reader.at_hand()).map(|next| happened(&next)));
                    messages
                }
                Err(cut) => {
                    self.stage = Stage::Closed;
                    closed(&cut)
                }
            },
            levels = loudness(meters) => levels_message(&levels),
            () = over => {
                self.stage = Stage::Closed;
                let last = self.reader.last();
                farewell("key_ended", "the key has expired, or was changed or deleted", last)
            }
            () = sleep(KEEP_ALIVE) => ":\n\n".to_owned(),
        }
    }
}

/// What is loud; never, when nobody asked.
async fn loudness(meters: &mut Option<Meters>) -> Vec<Level> {
    let Some(meters) = meters else { return std::future::pending().await };
    meters.next().await
}

fn ready(seq: u64) -> String {
    let retry_ms = RETRY.as_millis();
    let head = format!("event: ready\nid: {seq}\nretry: {retry_ms}\n");
    message(head, &json!({"type": "stream.ready", "seq": seq}))
}

fn happened(event: &Event) -> String {
    message(format!("id: {}\n", event.seq), event)
}

fn levels_message(levels: &[Level]) -> String {
    message("event: levels\n".to_owned(), &json!({"type": "stream.levels", "levels": levels}))
}

fn closed(cut: &Cut) -> String {
    let (code, last) = match cut {
        Cut::Slow { last } => ("slow_reader", last),
        Cut::Lost { last } => ("events_lost", last),
        Cut::Unread { last, .. } => ("store_unavailable", last),
        Cut::Closed { last } => ("stopping", last),
    };
    farewell(code, &cut.to_string(), *last)
}

fn farewell(code: &str, detail: &str, last: u64) -> String {
    let closed = json!({"type": "stream.closed", "code": code, "detail": detail, "last_seq": last});
    message("event: closed\n".to_owned(), &closed)
}

/// A server-sent message: what stands before its data, and the data in one line, as JSON has no other.
fn message(head: String, data: &impl Serialize) -> String {
    // Our own shapes have string keys only: they always serialise.
    head + "data: " + &serde_json::to_string(data).unwrap_or_default() + "\n\n"
}

/// A comment is sent when nothing else was for so long, so that proxies keep the stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a client is told to wait before it connects again.
const RETRY: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");
