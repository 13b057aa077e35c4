//! `/v1/messages`: instant messages.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::id::MessageId;
use crate::model::{Message, Page, PageQuery, SendMessage};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, send)).routes(routes!(read))
}

/// List messages
///
/// The last ones, from phones and from here, newest first. Needs an admin key.
#[utoipa::path(get, path = "/messages", tag = "messages", operation_id = "listMessages",
    params(PageQuery), responses((status = OK, body = Page<Message>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Message>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListMessages { query, reply }).await?))
}

/// Send a message
///
/// By SIP (RFC 3428) to those in a room whose phones take messages, to all phones of a user, or to a SIP URI. What cannot be
/// delivered to a user now waits a while for a phone. `message.delivered` or `message.failed` follows.
/// Needs an admin key.
#[utoipa::path(post, path = "/messages", tag = "messages", operation_id = "sendMessage",
    request_body(content = SendMessage, example = json!({"to": "board", "text": "Five minutes left."})),
    responses((status = ACCEPTED, body = Message)))]
async fn send(
    State(control): State<Control>,
    Json(body): Json<SendMessage>,
) -> Result<(StatusCode, Json<Message>), ApiError> {
    let message = control.ask(|reply| Command::SendMessage { body, reply }).await?;
    Ok((StatusCode::ACCEPTED, Json(message)))
}

/// Read a message
///
/// Needs an admin key.
#[utoipa::path(get, path = "/messages/{message}", tag = "messages", operation_id = "readMessage",
    params(("message" = MessageId, Path, description = "id")),
    responses((status = OK, body = Message)))]
async fn read(
    State(control): State<Control>,
    Path(message): Path<MessageId>,
) -> Result<Json<Message>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Message { message, reply }).await?))
}
