//! `/v1/rooms`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, accepted, created, shown};
use crate::auth::Bounds;
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::model::{CreateRoom, EndRoom, Page, Room, RoomQuery, UpdateRoom};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
        .routes(routes!(lock, unlock))
        .routes(routes!(end))
}

/// List rooms
///
/// Newest first. Without `state` only open rooms; `state=all` shows ended ones too, for as long as they are kept.
#[utoipa::path(get, path = "/rooms", tag = "rooms", operation_id = "listRooms", params(RoomQuery),
    responses((status = OK, body = Page<Room>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<RoomQuery>,
    bounds: Bounds,
) -> Result<Json<Page<Room>>, ApiError> {
    query.page().checked(&["open", "ended"])?;
    let query = RoomQuery { within: bounds.0.to_vec(), ..query };
    Ok(Json(control.ask(|reply| Command::ListRooms { query, reply }).await?))
}

/// Make a room
///
/// Callers reach it as `sip:NAME@host`. `groups` says who hears whom: there is a group for each sidebar, interpreter, audience or
/// monitor, and `main` for all others; it costs nothing for each pair.
#[utoipa::path(post, path = "/rooms", tag = "rooms", operation_id = "createRoom",
    request_body(content = CreateRoom, example = json!({"name": "board", "max_participants": 20,
        "groups": {"tr": {"relation": "interpreter"}, "tr-audience": {"relation": "audience", "of": "tr"}}})),
    responses((status = CREATED, body = Room, headers(("Location" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<CreateRoom>,
) -> Result<Response, ApiError> {
    let room = control.ask(|reply| Command::CreateRoom { body, reply }).await?;
    Ok(created(&format!("/v1/rooms/{}", room.id), room))
}

/// Show a room
#[utoipa::path(get, path = "/rooms/{room}", tag = "rooms", operation_id = "getRoom",
    params(("room" = String, Path, description = "Id or name"), ("If-None-Match" = Option<String>, Header)),
    responses((status = OK, body = Room, headers(("ETag" = String))),
        (status = NOT_MODIFIED, description = "It is as `If-None-Match` says")))]
async fn show(
    State(control): State<Control>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let room = control.ask(|reply| Command::Room { room, reply }).await?;
    Ok(shown(&headers, room.revision, &room))
}

/// Change a room
///
/// What is absent stays; so do groups that are not named. 409 `group_in_use` for one that is to go while somebody is in it.
#[utoipa::path(patch, path = "/rooms/{room}", tag = "rooms", operation_id = "updateRoom",
    params(("room" = String, Path, description = "Id or name"), ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateRoom, example = json!({"contributors": 5, "groups": {"aside": {"relation": "sidebar"}}})),
    responses((status = OK, body = Room, headers(("ETag" = String)))))]
async fn update(
    State(control): State<Control>,
    Path(room): Path<String>,
    condition: IfMatch,
    Json(body): Json<UpdateRoom>,
) -> Result<Response, ApiError> {
    let ask = |reply| Command::UpdateRoom { room, body, condition, reply };
    let room = control.ask(ask).await?;
    Ok(shown(&HeaderMap::new(), room.revision, &room))
}

/// End a room at once and forget it
///
/// Everybody in it is hung up.
#[utoipa::path(delete, path = "/rooms/{room}", tag = "rooms", operation_id = "deleteRoom",
    params(("room" = String, Path, description = "Id or name")), responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(room): Path<String>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteRoom { room, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lock a room
///
/// It refuses whoever calls in; dialling out from it still works.
#[utoipa::path(put, path = "/rooms/{room}/lock", tag = "rooms", operation_id = "lockRoom",
    params(("room" = String, Path, description = "Id or name"), ("If-Match" = Option<String>, Header)),
    responses((status = OK, body = Room, headers(("ETag" = String)))))]
async fn lock(
    State(control): State<Control>,
    Path(room): Path<String>,
    condition: IfMatch,
) -> Result<Response, ApiError> {
    let ask = |reply| Command::LockRoom { room, locked: true, condition, reply };
    let room = control.ask(ask).await?;
    Ok(shown(&HeaderMap::new(), room.revision, &room))
}

/// Unlock a room
#[utoipa::path(delete, path = "/rooms/{room}/lock", tag = "rooms", operation_id = "unlockRoom",
    params(("room" = String, Path, description = "Id or name"), ("If-Match" = Option<String>, Header)),
    responses((status = OK, body = Room, headers(("ETag" = String)))))]
async fn unlock(
    State(control): State<Control>,
    Path(room): Path<String>,
    condition: IfMatch,
) -> Result<Response, ApiError> {
    let ask = |reply| Command::LockRoom { room, locked: false, condition, reply };
    let room = control.ask(ask).await?;
    Ok(shown(&HeaderMap::new(), room.revision, &room))
}

/// End a room
///
/// After `grace_s` seconds everybody in it is hung up; nobody joins meanwhile. The ended room stays readable for a while.
/// Expect `participant.left` for each and `room.ended`.
#[utoipa::path(post, path = "/rooms/{room}/end", tag = "rooms", operation_id = "endRoom",
    params(("room" = String, Path, description = "Id or name")),
    request_body(content = EndRoom, example = json!({"grace_s": 10})),
    responses((status = ACCEPTED, body = Room, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn end(
    State(control): State<Control>,
    Path(room): Path<String>,
    Json(body): Json<EndRoom>,
) -> Result<Response, ApiError> {
    let room = control.ask(|reply| Command::EndRoom { room, body, reply }).await?;
    let expect = [EventType::ParticipantLeft, EventType::RoomEnded];
    Ok(accepted(&format!("/v1/rooms/{}", room.id), &expect, room))
}
