//! `/v1/rooms/{room}/participants`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted, shown};
use crate::auth::Bounds;
use crate::control::{Command, Control, IfMatch};
use crate::envelope::RequestName;
use crate::error::{ApiError, Problem};
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::model::{
    Admitted, Invite, KickQuery, LegId, Page, Participant, ParticipantQuery, ParticipantRefused,
    ParticipantsUpdated, UpdateParticipant, Whom,
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
    params(("room" = String, Path, description = "Id or name"), ParticipantQuery),
    responses((status = OK, body = Page<Participant>)))]
async fn list(
    State(control): State<Control>,
    Path(room): Path<String>,
    Params(query): Params<ParticipantQuery>,
) -> Result<Json<Page<Participant>>, ApiError> {
    query.page().checked(&["dialing", "ringing", "waiting", "joined", "left"])?;
    Ok(Json(control.ask(|reply| Command::ListParticipants { room, query, reply }).await?))
}

/// Dial somebody into a room
///
/// Answers as soon as the INVITE is on its way. Expect `participant.ringing`, then `participant.joined`, or
/// `participant.left` with the reason and what SIP said. A coach (`role`, `coaching`) is heard by whom they coach alone, and comes
/// without a sound.
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

/// Change many participants at once
///
/// All who are joined and fit; mute all: `{"muted": true}`; a sidebar: `{"group": "aside"}` for some `legs`. Each is changed for itself: answers those who were, and of the others why not.
#[utoipa::path(patch, path = "/rooms/{room}/participants", tag = "participants",
    operation_id = "updateParticipants",
    params(("room" = String, Path, description = "Id or name"), Whom),
    request_body(content = UpdateParticipant, example = json!({"muted": true})),
    responses((status = OK, body = ParticipantsUpdated)))]
async fn update_all(
    State(control): State<Control>,
    Path(room): Path<String>,
    Params(whom): Params<Whom>,
    (bounds, name): (Bounds, RequestName),
    Json(body): Json<UpdateParticipant>,
) -> Result<Json<ParticipantsUpdated>, ApiError> {
    bounds.check(body.room.as_deref())?;
    let ask = |reply| Command::UpdateParticipants { room, whom, body, reply };
    let mut updated = ParticipantsUpdated { items: Vec::new(), refused: Vec::new() };
    for (leg, outcome) in control.ask(ask).await? {
        match outcome {
            Ok(participant) => updated.items.push(participant),
            Err(error) => {
                let request_id = name.0.clone();
                let problem = Problem { request_id, ..ApiError::from(error).problem() };
                updated.refused.push(ParticipantRefused { leg, problem });
            }
        }
    }
    Ok(Json(updated))
}

/// Show a participant
#[utoipa::path(get, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "getParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path),
        ("If-None-Match" = Option<String>, Header)),
    responses((status = OK, body = Participant, headers(("ETag" = String))),
        (status = NOT_MODIFIED, description = "They are as `If-None-Match` says")))]
async fn show(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let participant = control.ask(|reply| Command::Participant { room, leg, reply }).await?;
    Ok(shown(&headers, participant.revision, &participant))
}

/// Change a participant
///
/// What is absent stays. `group` leads to an audio group; `role: coach` with `coaching` whispers, and `supervision` listens or barges
/// in instead. `held` sends a re-INVITE; `room` moves them, and the answer is the participant in the new room.
#[utoipa::path(patch, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "updateParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateParticipant, example = json!({"muted": false, "gain_in_db": 3.0})),
    responses((status = OK, body = Participant, headers(("ETag" = String)))))]
async fn update(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
    (bounds, condition): (Bounds, IfMatch),
    Json(body): Json<UpdateParticipant>,
) -> Result<Response, ApiError> {
    bounds.check(body.room.as_deref())?;
    let ask = |reply| Command::UpdateParticipant { room, leg, body, condition, reply };
    let participant = control.ask(ask).await?;
    Ok(shown(&HeaderMap::new(), participant.revision, &participant))
}

/// Remove a participant
///
/// Their phone is hung up, or stops ringing. With a prompt, whoever is in the room hears that first.
#[utoipa::path(delete, path = "/rooms/{room}/participants/{leg}", tag = "participants",
    operation_id = "kickParticipant",
    params(("room" = String, Path, description = "Id or name"), ("leg" = LegId, Path), KickQuery),
    responses((status = NO_CONTENT)))]
async fn kick(
    State(control): State<Control>,
    Path((room, leg)): Path<(String, LegId)>,
    Params(query): Params<KickQuery>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::Kick { room, leg, query, reply }).await?;
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
