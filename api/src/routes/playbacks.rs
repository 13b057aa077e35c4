//! `/v1/playbacks`, and what is played to rooms, calls and legs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted};
use crate::auth::{Bounds, Scope};
use crate::control::{Command, Control};
use crate::error::{ApiError, FieldError};
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::gate::Pass;
use crate::id::PlaybackId;
use crate::model::{
    Audience, CallId, CreatePlayback, LegId, Page, Play, PlayMusic, Playback, PlaybackQuery,
    UpdatePlayback,
};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, stop))
        .routes(routes!(announce))
        .routes(routes!(play_music, stop_music))
        .routes(routes!(play_to_leg))
        .routes(routes!(play_to_call))
}

/// List playbacks
///
/// Newest first. Without `state` those that are not over; `state=all` shows ended ones too, for as long as they are kept.
#[utoipa::path(get, path = "/playbacks", tag = "playbacks", operation_id = "listPlaybacks",
    params(PlaybackQuery), responses((status = OK, body = Page<Playback>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PlaybackQuery>,
    bounds: Bounds,
) -> Result<Json<Page<Playback>>, ApiError> {
    query.page().checked(&["queued", "playing", "paused", "ended"])?;
    if let Some(room) = &query.room {
        bounds.admit(&control, room).await?;
    }
    let query = PlaybackQuery { within: bounds.rooms(&control).await?, ..query };
    Ok(Json(control.ask(|reply| Command::ListPlaybacks { query, reply }).await?))
}

/// Play something
///
/// To a room, a call or a leg. What is played to a leg nobody else hears. Expect `playback.started`, and `playback.ended`
/// with the reason. What a call hears needs `calls:write` too.
#[utoipa::path(post, path = "/playbacks", tag = "playbacks", operation_id = "createPlayback",
    request_body(content = CreatePlayback, example = json!({"room": "board", "media": ["tone.beep"]})),
    responses((status = ACCEPTED, body = Playback, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn create(
    State(control): State<Control>,
    pass: Pass,
    bounds: Bounds,
    Json(body): Json<CreatePlayback>,
) -> Result<Response, ApiError> {
    let split = body.split().ok_or_else(|| {
        ApiError::Content(vec![FieldError::at("", "expected exactly one of room, call and leg")])
    })?;
    if let Audience::Call(_) = split.0 {
        pass.may(Scope::CallsWrite)?;
    }
    bounds.admit_hearer(&control, &split.0).await?;
    play(&control, split).await
}

/// Show a playback
#[utoipa::path(get, path = "/playbacks/{playback}", tag = "playbacks", operation_id = "getPlayback",
    params(("playback" = PlaybackId, Path)), responses((status = OK, body = Playback)))]
async fn read(
    State(control): State<Control>,
    Path(playback): Path<PlaybackId>,
) -> Result<Json<Playback>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Playback { playback, reply }).await?))
}

/// Change a playback
///
/// Pause it, let it go on, go to another place in it, change how loud it is. What is absent stays.
#[utoipa::path(patch, path = "/playbacks/{playback}", tag = "playbacks", operation_id = "updatePlayback",
    params(("playback" = PlaybackId, Path)),
    request_body(content = UpdatePlayback, example = json!({"paused": true})),
    responses((status = OK, body = Playback)))]
async fn update(
    State(control): State<Control>,
    Path(playback): Path<PlaybackId>,
    Json(body): Json<UpdatePlayback>,
) -> Result<Json<Playback>, ApiError> {
    Ok(Json(control.ask(|reply| Command::UpdatePlayback { playback, body, reply }).await?))
}

/// Stop a playback
///
/// What waits for it begins. It stays readable for a while.
#[utoipa::path(delete, path = "/playbacks/{playback}", tag = "playbacks", operation_id = "stopPlayback",
    params(("playback" = PlaybackId, Path)), responses((status = NO_CONTENT)))]
async fn stop(
    State(control): State<Control>,
    Path(playback): Path<PlaybackId>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::StopPlayback { playback, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Announce something in a room
///
/// Everybody in it hears it. Several are heard one after the other, unless `mode` says otherwise. In a room where nobody is
/// it waits.
#[utoipa::path(post, path = "/rooms/{room}/announcements", tag = "playbacks", operation_id = "announce",
    params(("room" = String, Path, description = "Id or name")),
    request_body(content = Play, example = json!({"media": ["en.welcome", "tone.beep"], "duck_db": 20.0})),
    responses((status = ACCEPTED, body = Playback, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn announce(
    State(control): State<Control>,
    Path(room): Path<String>,
    Json(body): Json<Play>,
) -> Result<Response, ApiError> {
    play(&control, (Audience::Room(room), body)).await
}

/// Play music in a room
///
/// Until it is stopped, instead of any that is played there.
#[utoipa::path(put, path = "/rooms/{room}/music", tag = "playbacks", operation_id = "playMusic",
    params(("room" = String, Path, description = "Id or name")),
    request_body(content = PlayMusic, example = json!({"media": ["music"], "gain_db": -6.0})),
    responses((status = OK, body = Playback)))]
async fn play_music(
    State(control): State<Control>,
    Path(room): Path<String>,
    Json(body): Json<PlayMusic>,
) -> Result<Json<Playback>, ApiError> {
    Ok(Json(control.ask(|reply| Command::PlayMusic { room, body, reply }).await?))
}

/// Stop the music in a room
#[utoipa::path(delete, path = "/rooms/{room}/music", tag = "playbacks", operation_id = "stopMusic",
    params(("room" = String, Path, description = "Id or name")), responses((status = NO_CONTENT)))]
async fn stop_music(
    State(control): State<Control>,
    Path(room): Path<String>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::StopMusic { room, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Play something to a leg
///
/// Nobody else hears it.
#[utoipa::path(post, path = "/legs/{leg}/play", tag = "playbacks", operation_id = "playToLeg",
    params(("leg" = LegId, Path)),
    request_body(content = Play, example = json!({"media": ["en.asked-to-speak"]})),
    responses((status = ACCEPTED, body = Playback, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn play_to_leg(
    State(control): State<Control>,
    Path(leg): Path<LegId>,
    Json(body): Json<Play>,
) -> Result<Response, ApiError> {
    play(&control, (Audience::Leg(leg), body)).await
}

/// Play something to both parties of a call
#[utoipa::path(post, path = "/calls/{call}/play", tag = "playbacks", operation_id = "playToCall",
    params(("call" = CallId, Path)),
    request_body(content = Play, example = json!({"media": ["en.recording-started"]})),
    responses((status = ACCEPTED, body = Playback, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn play_to_call(
    State(control): State<Control>,
    Path(call): Path<CallId>,
    Json(body): Json<Play>,
) -> Result<Response, ApiError> {
    play(&control, (Audience::Call(call), body)).await
}

async fn play(control: &Control, (to, body): (Audience, Play)) -> Result<Response, ApiError> {
    let playback = control.ask(|reply| Command::Play { to, body, reply }).await?;
    let expect = [EventType::PlaybackStarted, EventType::PlaybackEnded];
    Ok(accepted(&format!("/v1/playbacks/{}", playback.id), &expect, playback))
}
