//! `/v1/legs`: one SIP dialog and its media, in a room or in a call.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted, traced};
use crate::auth::Bounds;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::model::{Hold, Leg, LegId, LegQuery, LegStats, Page, SendDtmf, Trace, Transfer};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, hang_up))
        .routes(routes!(hold, resume))
        .routes(routes!(mute, unmute))
        .routes(routes!(transfer))
        .routes(routes!(dtmf))
        .routes(routes!(stats))
        .routes(routes!(trace))
}

/// List legs
///
/// Newest first. Without `state` those under way; `state=all` shows ended ones too, for as long as they are kept.
#[utoipa::path(get, path = "/legs", tag = "legs", operation_id = "listLegs", params(LegQuery),
    responses((status = OK, body = Page<Leg>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<LegQuery>,
    bounds: Bounds,
) -> Result<Json<Page<Leg>>, ApiError> {
    query.page().checked(&["dialing", "ringing", "answered", "ended"])?;
    let query = LegQuery { within: bounds.rooms(&control).await?, ..query };
    Ok(Json(control.ask(|reply| Command::ListLegs { query, reply }).await?))
}

/// Show a leg
#[utoipa::path(get, path = "/legs/{leg}", tag = "legs", operation_id = "getLeg",
    params(("leg" = LegId, Path)), responses((status = OK, body = Leg)))]
async fn show(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<Json<Leg>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Leg { leg, reply }).await?))
}

/// Hang up a leg
#[utoipa::path(delete, path = "/legs/{leg}", tag = "legs", operation_id = "hangUpLeg",
    params(("leg" = LegId, Path)), responses((status = NO_CONTENT)))]
async fn hang_up(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::HangUpLeg { leg, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put a leg on hold
///
/// A re-INVITE goes out. Expect `participant.held` where the leg sits in a room. Asked again with other music, it hears that.
#[utoipa::path(put, path = "/legs/{leg}/hold", tag = "legs", operation_id = "holdLeg",
    params(("leg" = LegId, Path)),
    request_body(content = Hold, example = json!({"music": "music"})),
    responses((status = OK, body = Leg)))]
async fn hold(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
    Json(body): Json<Hold>,
) -> Result<Json<Leg>, ApiError> {
    Ok(Json(control.ask(|reply| Command::HoldLeg { leg, held: true, body, reply }).await?))
}

/// Take a leg off hold
///
/// A leg that its phone holds too stays on hold until the phone resumes.
#[utoipa::path(delete, path = "/legs/{leg}/hold", tag = "legs", operation_id = "resumeLeg",
    params(("leg" = LegId, Path)), responses((status = OK, body = Leg)))]
async fn resume(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<Json<Leg>, ApiError> {
    let body = Hold::default();
    Ok(Json(control.ask(|reply| Command::HoldLeg { leg, held: false, body, reply }).await?))
}

/// Mute a leg
///
/// The others no longer hear it; it hears them.
#[utoipa::path(put, path = "/legs/{leg}/mute", tag = "legs", operation_id = "muteLeg",
    params(("leg" = LegId, Path)), responses((status = OK, body = Leg)))]
async fn mute(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<Json<Leg>, ApiError> {
    Ok(Json(control.ask(|reply| Command::MuteLeg { leg, muted: true, reply }).await?))
}

/// Unmute a leg
#[utoipa::path(delete, path = "/legs/{leg}/mute", tag = "legs", operation_id = "unmuteLeg",
    params(("leg" = LegId, Path)), responses((status = OK, body = Leg)))]
async fn unmute(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<Json<Leg>, ApiError> {
    Ok(Json(control.ask(|reply| Command::MuteLeg { leg, muted: false, reply }).await?))
}

/// Transfer a leg
///
/// `to` asks the phone by REFER to call that address (blind). `leg` is attended: this leg and that one are a transferor's,
/// whose parties are connected with each other and both legs hung up; with `mode: refer` the phone of this leg is asked to
/// call the phone of that one in our place. `room` moves the leg into that room; its
/// phone only learns which conference it is in now.
/// Expect `leg.transfer_progress`, then `leg.transfer_completed` or `leg.transfer_failed` with its `reason` (the parties
/// then have the call they had), or `participant.moved`.
#[utoipa::path(post, path = "/legs/{leg}/transfer", tag = "legs", operation_id = "transferLeg",
    params(("leg" = LegId, Path)),
    request_body(content = Transfer, example = json!({"to": "sip:carol@example.com"})),
    responses((status = ACCEPTED, body = Leg,
        headers(("Location" = String), ("Expect-Events" = String)))))]
async fn transfer(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
    Json(body): Json<Transfer>,
) -> Result<Response, ApiError> {
    let expect: &[EventType] = match body.room {
        Some(_) => &[EventType::ParticipantMoved],
        None => &[
            EventType::LegTransferRequested,
            EventType::LegTransferProgress,
            EventType::LegTransferCompleted,
            EventType::LegTransferFailed,
        ],
    };
    let leg = control.ask(|reply| Command::Transfer { leg, body, reply }).await?;
    Ok(accepted(&format!("/v1/legs/{}", leg.id), expect, leg))
}

/// Send digits to a leg
#[utoipa::path(post, path = "/legs/{leg}/dtmf", tag = "legs", operation_id = "sendDtmf",
    params(("leg" = LegId, Path)),
    request_body(content = SendDtmf, example = json!({"digits": "1234#", "duration_ms": 120})),
    responses((status = NO_CONTENT)))]
async fn dtmf(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
    Json(body): Json<SendDtmf>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::SendDtmf { leg, body, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show the media figures of a leg
#[utoipa::path(get, path = "/legs/{leg}/stats", tag = "legs", operation_id = "getLegStats",
    params(("leg" = LegId, Path)), responses((status = OK, body = LegStats)))]
async fn stats(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
) -> Result<Json<LegStats>, ApiError> {
    Ok(Json(control.ask(|reply| Command::LegStats { leg, reply }).await?))
}

/// Show what was said in a leg
///
/// Its SIP messages and what happened, in their order, with secrets overwritten. With `Accept: application/vnd.tcpdump.pcap` a
/// capture file (pcapng) of the messages. Kept for as long as `limits.trace_memory` has room. Needs an admin key.
#[utoipa::path(get, path = "/legs/{leg}/trace", tag = "legs", operation_id = "getLegTrace",
    params(("leg" = LegId, Path)), responses((status = OK, body = Trace)))]
async fn trace(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let trace = control.ask(|reply| Command::LegTrace { leg, reply }).await?;
    Ok(traced(&headers, &leg.to_string(), &trace))
}
