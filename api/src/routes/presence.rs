//! `/v1/presence`: how users are.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, Presence, SetPresence};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, set))
}

/// List presence
///
/// How all users are, by name.
#[utoipa::path(get, path = "/presence", tag = "access", operation_id = "listPresence",
    params(PageQuery), responses((status = OK, body = Page<Presence>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Presence>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListPresence { query, reply }).await?))
}

/// Read presence
#[utoipa::path(get, path = "/presence/{user}", tag = "access", operation_id = "readPresence",
    params(("user" = String, Path, description = "name")),
    responses((status = OK, body = Presence)))]
async fn read(
    State(control): State<Control>,
    Path(user): Path<String>,
) -> Result<Json<Presence>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Presence { user, reply }).await?))
}

/// Set presence
///
/// Says something of a user that counts more than what its phones say, until the next one or a restart; `{}` takes it back.
#[utoipa::path(put, path = "/presence/{user}", tag = "access", operation_id = "setPresence",
    params(("user" = String, Path, description = "name")),
    request_body(content = SetPresence, example = json!({"status": "closed", "note": "Back on Monday"})),
    responses((status = OK, body = Presence)))]
async fn set(
    State(control): State<Control>,
    Path(user): Path<String>,
    Json(body): Json<SetPresence>,
) -> Result<Json<Presence>, ApiError> {
    Ok(Json(control.ask(|reply| Command::SetPresence { user, body, reply }).await?))
}
