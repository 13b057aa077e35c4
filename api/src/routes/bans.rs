//! `/v1/bans`: addresses that guessed too many passwords.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Ban, Page, PageQuery};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(lift))
}

/// List bans
///
/// Those in force. Calls that were up when an address was banned go on. Needs an admin key.
#[utoipa::path(get, path = "/bans", tag = "access", operation_id = "listBans", params(PageQuery),
    responses((status = OK, body = Page<Ban>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Ban>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListBans { query, reply }).await?))
}

/// Lift a ban
///
/// The address may call at once. Needs an admin key.
#[utoipa::path(delete, path = "/bans/{address}", tag = "access", operation_id = "liftBan",
    params(("address" = String, Path, description = "IPv4 or IPv6")), responses((status = NO_CONTENT)))]
async fn lift(
    State(control): State<Control>,
    Path(address): Path<IpAddr>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::LiftBan { address, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
