//! `/v1/room_templates`: what rooms are made of.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, tagged};
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, PutRoomTemplate, RoomTemplate};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put, delete))
}

/// List room templates
#[utoipa::path(get, path = "/room_templates", tag = "rooms", operation_id = "listRoomTemplates",
    params(PageQuery), responses((status = OK, body = Page<RoomTemplate>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<RoomTemplate>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListTemplates { query, reply }).await?))
}

/// Show a room template
#[utoipa::path(get, path = "/room_templates/{template}", tag = "rooms", operation_id = "getRoomTemplate",
    params(("template" = String, Path, description = "Name")),
    responses((status = OK, body = RoomTemplate, headers(("ETag" = String)))))]
async fn show(
    State(control): State<Control>,
    Path(template): Path<String>,
) -> Result<Response, ApiError> {
    let template = control.ask(|reply| Command::Template { template, reply }).await?;
    Ok(tagged(template.revision, template))
}

/// Make or replace a room template
///
/// Rooms that there are stay as they are. Answered once it is stored.
#[utoipa::path(put, path = "/room_templates/{template}", tag = "rooms", operation_id = "putRoomTemplate",
    params(("template" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)),
    request_body(content = PutRoomTemplate, example = json!({
        "names": "team-*", "settings": {"wait_for_moderator": true, "enter_sound": "tone.enter"}})),
    responses((status = OK, body = RoomTemplate, headers(("ETag" = String)))))]
async fn put(
    State(control): State<Control>,
    Path(template): Path<String>,
    condition: IfMatch,
    Json(body): Json<PutRoomTemplate>,
) -> Result<Response, ApiError> {
    let put = |reply| Command::PutTemplate { template, body, condition, reply };
    let template = control.ask(put).await?;
    Ok(tagged(template.revision, template))
}

/// Delete a room template
///
/// Rooms that were made of it stay.
#[utoipa::path(delete, path = "/room_templates/{template}", tag = "rooms", operation_id = "deleteRoomTemplate",
    params(("template" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(template): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteTemplate { template, condition, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
