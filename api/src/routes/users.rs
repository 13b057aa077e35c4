//! `/v1/users`: who may register and call.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, made, tagged};
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{CreateUser, Page, PageQuery, UpdateUser, User};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, delete))
}

/// List users
///
/// Those of the settings, and those made here, by name from the last on.
#[utoipa::path(get, path = "/users", tag = "access", operation_id = "listUsers",
    params(PageQuery), responses((status = OK, body = Page<User>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<User>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListUsers { query, reply }).await?))
}

/// Make a user
///
/// It may register and call from now on. Answered once it is stored.
#[utoipa::path(post, path = "/users", tag = "access", operation_id = "createUser",
    request_body(content = CreateUser, example = json!({
        "name": "anna", "password": "correct horse battery", "display_name": "Anna"})),
    responses((status = CREATED, body = User, headers(("Location" = String), ("ETag" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<CreateUser>,
) -> Result<Response, ApiError> {
    let user = control.ask(|reply| Command::CreateUser { body, reply }).await?;
    Ok(made(&format!("/v1/users/{}", user.name), user.revision, user))
}

/// Read a user
#[utoipa::path(get, path = "/users/{user}", tag = "access", operation_id = "readUser",
    params(("user" = String, Path, description = "Name")),
    responses((status = OK, body = User, headers(("ETag" = String)))))]
async fn read(
    State(control): State<Control>,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let user = control.ask(|reply| Command::User { user, reply }).await?;
    Ok(tagged(user.revision, user))
}

/// Change a user
///
/// What is absent stays. A new password takes effect at once: phones that registered with the old one are called no more.
/// With `If-Match` only if the user is still what it was.
#[utoipa::path(patch, path = "/users/{user}", tag = "access", operation_id = "updateUser",
    params(("user" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateUser, example = json!({"password": "staple battery", "may_call": false})),
    responses((status = OK, body = User, headers(("ETag" = String)))))]
async fn update(
    State(control): State<Control>,
    Path(user): Path<String>,
    condition: IfMatch,
    Json(body): Json<UpdateUser>,
) -> Result<Response, ApiError> {
    let update = |reply| Command::UpdateUser { user, body, condition, reply };
    let user = control.ask(update).await?;
    Ok(tagged(user.revision, user))
}

/// Delete a user
///
/// It can neither register nor call any more, and its phones are not called. Calls that are up go on.
#[utoipa::path(delete, path = "/users/{user}", tag = "access", operation_id = "deleteUser",
    params(("user" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(user): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteUser { user, condition, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
