//! `/v1/records`: calls and rooms that are over. `/v1/audit`: who commanded what.
//!
//! Each list is a page, or all of it as CSV or as a JSON object a line, by `format` or by `Accept`: read page by page, as fast
//! as the client takes it.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::archive::{Desk, Read};
use crate::control::{ControlError, Reply};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::id::{AuditId, CallId, LegId, RoomId};
use crate::model::{
    AuditEntry, CallRecord, LegRecord, Page, RecordFormat, RecordQuery, RoomRecord,
};
use crate::validate::MAX_PAGE;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(legs))
        .routes(routes!(leg))
        .routes(routes!(calls))
        .routes(routes!(call))
        .routes(routes!(rooms))
        .routes(routes!(room))
        .routes(routes!(room_legs))
        .routes(routes!(audit))
}

/// List legs that are over
///
/// Newest first, for as long as `records.legs_days` says. As `jsonl` or `csv` all that fit, not only a page.
#[utoipa::path(get, path = "/records/legs", tag = "records", operation_id = "listLegRecords",
    params(RecordQuery), responses((status = OK, content(
        (Page<LegRecord> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
async fn legs(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, ApiError> {
    let query = query.accepted_by(&headers).checked::<LegId>(&["call", "room", "user", "trunk"])?;
    listed(desk, query, Read::Legs).await
}

/// Show a leg that is over
#[utoipa::path(get, path = "/records/legs/{leg}", tag = "records", operation_id = "getLegRecord",
    params(("leg" = LegId, Path)), responses((status = OK, body = LegRecord)))]
async fn leg(
    State(desk): State<Desk>,
    Path(leg): Path<LegId>,
) -> Result<Json<LegRecord>, ApiError> {
    Ok(Json(desk.read(|reply| Read::Leg(leg, reply)).await?))
}

/// List two-party calls that are over
///
/// Newest first, for as long as `records.calls_days` says. As `jsonl` or `csv` all that fit, not only a page.
#[utoipa::path(get, path = "/records/calls", tag = "records", operation_id = "listCallRecords",
    params(RecordQuery), responses((status = OK, content(
        (Page<CallRecord> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
async fn calls(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, ApiError> {
    let query = query.accepted_by(&headers).checked::<CallId>(&[])?;
    listed(desk, query, Read::Calls).await
}

/// Show a two-party call that is over
#[utoipa::path(get, path = "/records/calls/{call}", tag = "records", operation_id = "getCallRecord",
    params(("call" = CallId, Path)), responses((status = OK, body = CallRecord)))]
async fn call(
    State(desk): State<Desk>,
    Path(call): Path<CallId>,
) -> Result<Json<CallRecord>, ApiError> {
    Ok(Json(desk.read(|reply| Read::Call(call, reply)).await?))
}

/// List rooms that are over
///
/// Newest first, for as long as `records.rooms_days` says: who made each, when and why it ended, how many were in it and who was
/// refused. As `jsonl` or `csv` all that fit, not only a page.
#[utoipa::path(get, path = "/records/rooms", tag = "records", operation_id = "listRoomRecords",
    params(RecordQuery), responses((status = OK, content(
        (Page<RoomRecord> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
async fn rooms(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, ApiError> {
    let query = query.accepted_by(&headers).checked::<RoomId>(&["name"])?;
    listed(desk, query, Read::Rooms).await
}

/// Show a room that is over
#[utoipa::path(get, path = "/records/rooms/{room}", tag = "records", operation_id = "getRoomRecord",
    params(("room" = RoomId, Path)), responses((status = OK, body = RoomRecord)))]
async fn room(
    State(desk): State<Desk>,
    Path(room): Path<RoomId>,
) -> Result<Json<RoomRecord>, ApiError> {
    Ok(Json(desk.read(|reply| Read::Room(room, reply)).await?))
}

/// List the legs of a room
///
/// Those that are over and sat in it last, newest first; the room may still be open. As `jsonl` or `csv` all that fit.
#[utoipa::path(get, path = "/records/rooms/{room}/legs", tag = "records",
    operation_id = "listRoomLegRecords", params(("room" = RoomId, Path), RecordQuery),
    responses((status = OK, content(
        (Page<LegRecord> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
async fn room_legs(
    State(desk): State<Desk>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, ApiError> {
    let query = query.accepted_by(&headers).checked::<LegId>(&["user", "trunk"])?;
    listed(desk, RecordQuery { room: Some(room), ..query }, Read::Legs).await
}

/// List commands
///
/// Everything that came over the API but what only reads, newest first, for as long as `records.audit_days` says, with the key
/// and how it was answered. As `jsonl` or `csv` all that fit, not only a page. Needs an admin key.
#[utoipa::path(get, path = "/audit", tag = "records", operation_id = "listAudit",
    params(RecordQuery), responses((status = OK, content(
        (Page<AuditEntry> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
async fn audit(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, ApiError> {
    let query = query.accepted_by(&headers).checked::<AuditId>(&["key"])?;
    listed(desk, query, Read::Audit).await
}

/// How a list is asked for.
type Ask<T> = fn(RecordQuery, Reply<Page<T>>) -> Read;

async fn listed<T: Serialize + Send + 'static>(
    desk: Desk,
    query: RecordQuery,
    ask: Ask<T>,
) -> Result<Response, ApiError> {
    let (kind, write): (_, fn(&T, bool) -> String) = match query.format.unwrap_or_default() {
        RecordFormat::Json => {
            return Ok(Json(desk.read(|reply| ask(query, reply)).await?).into_response());
        }
        RecordFormat::Jsonl => ("application/x-ndjson", |record, _| line(record)),
        RecordFormat::Csv => ("text/csv; charset=utf-8", row),
    };
    let left = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut export = Export { desk, query, ask, left, is_first: true };
    let first = export.page().await?; // What fails at once is told as a problem.
    let pages = stream::unfold((export, Some(first)), move |(mut export, page)| async move {
        let page = match page {
            Some(page) => Ok(page),
            None => export.page().await,
        };
        match page {
            Ok(items) if items.is_empty() => None,
            Ok(items) => {
                let text: String = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| write(item, export.is_first && at == 0))
                    .collect();
                export.is_first = false;
                Some((Ok(Bytes::from(text)), (export, None)))
            }
            // The client sees that the body is cut off.
            Err(error) => Some((Err(error), (Export { left: 0, ..export }, None))),
        }
    });
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pages)).into_response())
}

impl RecordQuery {
    /// As what the client says it accepts, where the query says nothing.
    fn accepted_by(self, headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let wanted = accepted.flat_map(|line| line.split(',')).find_map(|kind| {
            match kind.split(';').next().unwrap_or_default().trim() {
                "application/json" => Some(RecordFormat::Json),
                "text/csv" => Some(RecordFormat::Csv),
                "application/x-ndjson" | "application/jsonl" => Some(RecordFormat::Jsonl),
                _ => None,
            }
        });
        let format = self.format.or(wanted);
        Self { format, ..self }
    }
}

/// All the pages that fit, one after the other.
struct Export<T> {
    desk: Desk,
    query: RecordQuery,
    ask: Ask<T>,
    left: usize,
    is_first: bool,
}

impl<T> Export<T> {
    /// The next items; none is the end.
    async fn page(&mut self) -> Result<Vec<T>, ControlError> {
        let most = usize::try_from(MAX_PAGE).unwrap_or(usize::MAX).min(self.left);
        if most == 0 {
            return Ok(Vec::new());
        }
        let query = RecordQuery { limit: u32::try_from(most).ok(), ..self.query.clone() };
        let ask = self.ask;
        let page = self.desk.read(|reply| ask(query, reply)).await?;
        self.left -= page.items.len().min(self.left);
        if page.next.is_none() {
            self.left = 0;
        }
        self.query.cursor = page.next;
        Ok(page.items)
    }
}

fn line(record: &impl Serialize) -> String {
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

/// RFC 4180; before the first row the names of the columns. What is within an object is named as in `sip.status`.
fn row(record: &impl Serialize, is_first: bool) -> String {
    let mut fields = Vec::new();
    let value = serde_json::to_value(record).unwrap_or_default();
    flatten("", &value, &mut fields);
    let join = |texts: Vec<String>| texts.join(",") + "\r\n";
    let names = fields.iter().map(|(name, _)| name.clone()).collect();
    let head = if is_first { join(names) } else { String::new() };
    head + &join(fields.into_iter().map(|(_, field)| field).collect())
}

fn flatten(prefix: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(_) => flatten(&format!("{name}."), value, fields),
            // Always there in the same columns, whether or not this record has one.
            _ if name == "sip" => {
                let none = || String::new();
                fields
                    .extend([("sip.reason".to_owned(), none()), ("sip.status".to_owned(), none())]);
            }
            Value::Null => fields.push((name, String::new())),
            Value::String(text) => fields.push((name, quoted(text))),
            Value::Array(items) => {
                let text =
                    |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                let items: Vec<_> = items.iter().map(text).collect();
                fields.push((name, quoted(&items.join(" "))));
            }
            Value::Bool(_) | Value::Number(_) => fields.push((name, value.to_string())),
        }
    }
}

/// A field; one that a spreadsheet would take for a formula is told to be text.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn every_row_has_the_same_columns() {
        let whole = samples::leg_record();
        let sip = crate::model::SipFailure { status: 486, reason: "Busy, \"really\"".to_owned() };
        let refused = LegRecord { sip: Some(sip), display_name: None, ..samples::leg_record() };

        let (first, second) = (row(&whole, true), row(&refused, true));

        let head = |text: &str| text.lines().next().unwrap().to_owned();
        assert_eq!(head(&first), head(&second));
        assert!(second.contains("\"Busy, \"\"really\"\"\""), "{second}");
    }

    #[test]
    fn what_is_within_a_list_is_one_field() {
        let row = row(&samples::room_record(), false);

        assert!(row.contains(r#""{""count"":1,""reason"":""locked""}""#), "{row}");
    }

    #[test]
    fn a_number_is_no_formula() {
        assert_eq!(quoted("+4930"), "\"'+4930\"");
        assert_eq!(quoted("sip:a@b"), "sip:a@b");
    }
}
