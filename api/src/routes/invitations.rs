//! `/v1/rooms/{room}/invitations`: whoever shall come is told by mail when, and how to call.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Path};
use crate::gate::Pass;
use crate::mail::Mailroom;
use crate::model::{CreateInvitation, Invitation};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Invite by mail
///
/// Each address is sent a mail with the time, how to call, the PIN, and an entry for the calendar (iCalendar, `METHOD:REQUEST`). The
/// answer says what is queued; it is stored, and sent even if the bridge restarts. A mail that the server does not take yet is tried
/// again for `mail.give_up_after`. 409 `no_mail` where no server is set; 429 beyond `mail.per_hour` mails of a key.
#[utoipa::path(post, path = "/rooms/{room}/invitations", tag = "rooms", operation_id = "createInvitation",
    params(("room" = String, Path, description = "Id or name")),
    request_body(content = CreateInvitation, example = json!({"to": ["ada@example.com"],
        "starts_at": "2026-06-01T14:00:00Z", "duration_min": 45, "subject": "Board meeting"})),
    responses((status = ACCEPTED, body = Invitation)))]
async fn create(
    State(control): State<Control>,
    State(mailroom): State<Mailroom>,
    pass: Pass,
    Path(room): Path<String>,
    Json(body): Json<CreateInvitation>,
) -> Result<Response, ApiError> {
    mailroom.expect_open()?;
    let moderator = body.moderator;
    let room = control.ask(|reply| Command::DialIn { room, moderator, reply }).await?;
    let invitation = mailroom.invite(pass.principal(), room, body).await?;
    Ok((StatusCode::ACCEPTED, Json(invitation)).into_response())
}
