//! `/v1/trunks`: carriers and PBXs.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, Trunk};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// List trunks
///
/// Those of the settings, and whether they are there.
#[utoipa::path(get, path = "/trunks", tag = "access", operation_id = "listTrunks",
    params(PageQuery), responses((status = OK, body = Page<Trunk>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Trunk>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListTrunks { query, reply }).await?))
}

/// Read a trunk
#[utoipa::path(get, path = "/trunks/{trunk}", tag = "access", operation_id = "readTrunk",
    params(("trunk" = String, Path, description = "name")),
    responses((status = OK, body = Trunk)))]
async fn read(
    State(control): State<Control>,
    Path(trunk): Path<String>,
) -> Result<Json<Trunk>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Trunk { trunk, reply }).await?))
}
