//! `/v1/rooms/{room}/tokens`: for those who host a room, and for pages that show one.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, no_secret};
use crate::control::{Command, Control, ControlError};
use crate::error::ApiError;
use crate::extract::{Json, Path};
use crate::gate::Pass;
use crate::model::{CreateRoomToken, RoomState, RoomToken};
use crate::tokens::{Claims, Signer};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Make a token for a room
///
/// It is used as a key, and in browsers as `?token=` of `/v1/events/stream` and `/v1/ws`; it reaches this room alone. It ends
/// when its time is over, when the room ends, when the key that made it is deleted or may that no more, and when the bridge
/// starts anew. A token makes no tokens.
#[utoipa::path(post, path = "/rooms/{room}/tokens", tag = "rooms", operation_id = "createRoomToken",
    params(("room" = String, Path, description = "Id or name")),
    request_body(content = CreateRoomToken,
        example = json!({"scopes": ["rooms:read", "events:read"], "expires_in_s": 600})),
    responses((status = CREATED, body = RoomToken)))]
async fn create(
    State(control): State<Control>,
    State(signer): State<Signer>,
    pass: Pass,
    Path(room): Path<String>,
    Json(body): Json<CreateRoomToken>,
) -> Result<Response, ApiError> {
    let maker = pass.maker()?;
    for scope in &body.scopes {
        pass.may(*scope)?;
    }
    let room = control.ask(|reply| Command::Room { room, reply }).await?;
    if room.state == RoomState::Ended {
        let detail = "the room has ended".to_owned();
        Err(ControlError::Conflict { code: "room_ended", detail })?;
    }
    let expires = Timestamp::now().as_second() + i64::from(body.expires_in_s);
    let scopes = body.scopes;
    let claims = Claims { room: room.id, scopes: scopes.clone(), expires, key: maker.id };
    let token = signer.sign(&claims).ok_or_else(no_secret)?;
    let expires_at = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
    let expires_at = maker.expires_at.map_or(expires_at, |at| at.min(expires_at));
    let made = RoomToken { token, room: room.id, scopes, expires_at };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}
