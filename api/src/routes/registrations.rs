//! `/v1/registrations`: phones of users.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::id::RegistrationId;
use crate::model::{Page, Registration, RegistrationQuery};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, remove))
}

/// List registrations
///
/// Phones that can be called now. Needs an admin key.
#[utoipa::path(get, path = "/registrations", tag = "access", operation_id = "listRegistrations",
    params(RegistrationQuery), responses((status = OK, body = Page<Registration>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<RegistrationQuery>,
) -> Result<Json<Page<Registration>>, ApiError> {
    query.page().checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListRegistrations { query, reply }).await?))
}

/// Read a registration
///
/// Needs an admin key.
#[utoipa::path(get, path = "/registrations/{registration}", tag = "access",
    operation_id = "readRegistration",
    params(("registration" = RegistrationId, Path, description = "id")),
    responses((status = OK, body = Registration)))]
async fn read(
    State(control): State<Control>,
    Path(registration): Path<RegistrationId>,
) -> Result<Json<Registration>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Registration { registration, reply }).await?))
}

/// Remove a registration
///
/// The phone is not called any more until it registers again. Needs an admin key.
#[utoipa::path(delete, path = "/registrations/{registration}", tag = "access",
    operation_id = "removeRegistration",
    params(("registration" = RegistrationId, Path, description = "id")),
    responses((status = NO_CONTENT)))]
async fn remove(
    State(control): State<Control>,
    Path(registration): Path<RegistrationId>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::RemoveRegistration { registration, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
