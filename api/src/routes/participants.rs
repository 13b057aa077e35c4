//! `/v1/rooms/{room}/participants`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted};
use crate::auth::Bounds;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::model::{
    Admitted, Invite, LegId, Page, PageQuery, Participant, Role, UpdateParticipant,
};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, invite, update_all))
        .routes(routes!(show, update, kick))
        .routes(routes!(admit))
        .routes(routes!(admit_all))
        .routes(routes!(ask_to_speak))
}

/// List participants
///
/// Newest first. Without `state` those dialled, ringing and joined; `state=all` shows also those who left, with the reason.
#[utoipa::path(get, path = "/rooms/{room}/participants", tag = "participants",
    operation_id = "listParticipants",
    params(("room" = String, Path, description = "Id or name"), PageQuery),
    responses((status = OK, body = Page<Participant>)))]
async fn list(
    State(control): State<Control>,
    Path(room): Path<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Participant>>, ApiError> {
    let query = query.checked(&["dialing", "ringing", "waiting", "joined", "left"])?;
    Ok(Json(control.ask(|reply| Command::ListParticipants { room, query, reply }).await?))
}

/// Dial somebody into a room
///
/// Answers as soon as the INVITE is on its way. Expect `participant.ringing`, then `participant.joined`, or
/// `participant.left` with the reason and what SIP said.
#[utoipa::path(post, path = "/rooms/{room}/participants", tag = "participants",
    operation_id = "inviteParticipant",
    params(("room" = String, Path, description = "Id, or name: an unknown one makes a room where the settings allow it")),
    request_body(content = Invite, example = json!({"to": "sip:bob@example.com", "display_name": "Bob", "timeout_s": 30})),
    responses((status = ACCEPTED, body = Participant,
        headers(("Location" = String), ("Expect-Events" = String)))))]
async fn invite(
    State(control): State<Control>,
    Path(room): Path<String>,
    Json(body): Json<Invite>,
) -> Result<Response, ApiError> {
    let participant = control.ask(|reply| Command::Invite { room, body, reply }).await?;
    let location = format!("/v1/rooms/{}/participants/{}", participant.room, participant.leg);
    let expect =
        [EventType::ParticipantRinging, EventType::ParticipantJoined, EventType::ParticipantLeft];
    Ok(accepted(&location, &expect, participant))
}

/// Whom a change of many concerns.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whom {
    /// Only those of this role; absent: all who are joined.
    role: Option<Role>,
}

/// Change many participants at once
///
/// Mute all: `{"muted": true}`. Answers those who were changed.
#[utoipa::path(patch, path = "/rooms/{room}/participants", tag = "participants",
    operation_id = "updateParticipants",
    params(("room" = String, Path, description = "Id or name"), Whom),
    request_body(content = UpdateParticipant, example = json!({"muted": true})),
    responses((status = OK, body = Page<Participant>)))]
async fn update_all(
    State(control): State<Control>,
    Path(room): Path<String>,
    Params(Whom { role }): Params<Whom>,
    bounds: Bounds,
    Json(body): Json<UpdateParticipant>,
) -> Result<Json<Page<Participant>>, ApiError> {
    bounds.check(body.room.as_deref())?;
    let ask = |reply| Command::UpdateParticipants { room, role, body, reply };
    let items = control.ask(ask).await?;
    Ok(Json(Page { items, next: None }))
}

/// Show a participant
#[utoipa::path(get, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "getParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path)),
    responses((status = OK, body = Participant)))]
async fn show(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
) -> Result<Json<Participant>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Participant { room, leg, reply }).await?))
}

/// Change a participant
///
/// What is absent stays. `held` sends a re-INVITE; `room` moves them, and the answer is the participant in the new room.
#[utoipa::path(patch, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "updateParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path)),
    request_body(content = UpdateParticipant, example = json!({"muted": false, "gain_in_db": 3.0})),
    responses((status = OK, body = Participant)))]
async fn update(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
    bounds: Bounds,
    Json(body): Json<UpdateParticipant>,
) -> Result<Json<Participant>, ApiError> {
    bounds.check(body.room.as_deref())?;
    let ask = |reply| Command::UpdateParticipant { room, leg, body, reply };
    Ok(Json(control.ask(ask).await?))
}

/// Remove a participant
///
/// Their phone is hung up, or stops ringing.
#[utoipa::path(delete, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "kickParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path)),
    responses((status = NO_CONTENT)))]
async fn kick(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::Kick { room, leg, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a participant in
///
/// Who waits for a PIN, for a moderator or to be let in joins at once. 409 for who does not wait.
#[utoipa::path(post, path = "/rooms/{room}/participants/{leg}/admit", tag = "participants",
    operation_id = "admitParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path)),
    responses((status = OK, body = Participant)))]
async fn admit(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
) -> Result<Json<Participant>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Admit { room, leg, reply }).await?))
}

/// Let all in who wait
///
/// For a moderator, or to be let in; not those who are asked for a PIN.
#[utoipa::path(post, path = "/rooms/{room}/admit", tag = "participants", operation_id = "admitAll",
    params(("room" = String, Path, description = "Id or name")),
    responses((status = OK, body = Admitted)))]
async fn admit_all(
    State(control): State<Control>,
    Path(room): Path<String>,
) -> Result<Json<Admitted>, ApiError> {
    Ok(Json(control.ask(|reply| Command::AdmitAll { room, reply }).await?))
}

/// Ask a participant to speak
///
/// Who is muted hears that they may speak, and unmutes themselves by a key, whoever has muted them. 409 for who is not muted.
#[utoipa::path(post, path = "/rooms/{room}/participants/{leg}/ask_to_speak", tag = "participants",
    operation_id = "askToSpeak",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path)),
    responses((status = OK, body = Participant)))]
async fn ask_to_speak(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
) -> Result<Json<Participant>, ApiError> {
    Ok(Json(control.ask(|reply| Command::AskToSpeak { room, leg, reply }).await?))
}
