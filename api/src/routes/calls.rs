//! `/v1/calls`: two outside parties connected by us.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted, traced};
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::model::{Call, CallId, CallQuery, CreateCall, Page, Trace};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, hang_up))
        .routes(routes!(trace))
}

/// List calls
///
/// Newest first. Without `state` those under way; `state=all` shows ended ones too, for as long as they are kept.
#[utoipa::path(get, path = "/calls", tag = "calls", operation_id = "listCalls", params(CallQuery),
    responses((status = OK, body = Page<Call>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<CallQuery>,
) -> Result<Json<Page<Call>>, ApiError> {
    query.page().checked(&["dialing", "connected", "ended"])?;
    Ok(Json(control.ask(|reply| Command::ListCalls { query, reply }).await?))
}

/// Connect two parties
///
/// The first is dialled first, the second once the first has answered. Expect `call.ringing`, `call.connected`, or
/// `call.ended` with the reason.
#[utoipa::path(post, path = "/calls", tag = "calls", operation_id = "createCall",
    request_body(content = CreateCall,
        example = json!({"legs": [{"to": "sip:alice@example.com"}, {"to": "sip:bob@example.com"}]})),
    responses((status = ACCEPTED, body = Call,
        headers(("Location" = String), ("Expect-Events" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<CreateCall>,
) -> Result<Response, ApiError> {
    let call = control.ask(|reply| Command::CreateCall { body, reply }).await?;
    let expect = [EventType::CallRinging, EventType::CallConnected, EventType::CallEnded];
    Ok(accepted(&format!("/v1/calls/{}", call.id), &expect, call))
}

/// Show a call
#[utoipa::path(get, path = "/calls/{call}", tag = "calls", operation_id = "getCall",
    params(("call" = CallId, Path)), responses((status = OK, body = Call)))]
async fn show(
    State(control): State<Control>,
    Path(call): Path<CallId>,
) -> Result<Json<Call>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Call { call, reply }).await?))
}

/// Hang up all legs of a call
#[utoipa::path(delete, path = "/calls/{call}", tag = "calls", operation_id = "hangUpCall",
    params(("call" = CallId, Path)), responses((status = NO_CONTENT)))]
async fn hang_up(
    State(control): State<Control>,
    Path(call): Path<CallId>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::HangUpCall { call, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show what was said in a call
///
/// Its SIP messages and what happened, in their order, with secrets overwritten. With `Accept: application/vnd.tcpdump.pcap` a
/// capture file (pcapng) of the messages. Kept for as long as `limits.trace_memory` has room. Needs an admin key.
#[utoipa::path(get, path = "/calls/{call}/trace", tag = "calls", operation_id = "getCallTrace",
    params(("call" = CallId, Path)), responses((status = OK, body = Trace)))]
async fn trace(
    State(control): State<Control>,
    Path(call): Path<CallId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let trace = control.ask(|reply| Command::CallTrace { call, reply }).await?;
    Ok(traced(&headers, &call.to_string(), &trace))
}
