//! `/v1/trunks`: carriers and PBXs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, made, tagged};
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, Trunk, TrunkConfig};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, delete))
}

/// List trunks
///
/// Those of the settings and those made here, and whether they are there.
#[utoipa::path(get, path = "/trunks", tag = "access", operation_id = "listTrunks",
    params(PageQuery), responses((status = OK, body = Page<Trunk>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Trunk>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListTrunks { query, reply }).await?))
}

/// Make a trunk
///
/// It registers, if it is to, and is watched from now on. Answered once it is stored.
#[utoipa::path(post, path = "/trunks", tag = "access", operation_id = "createTrunk",
    request_body(content = TrunkConfig, example = json!({
        "name": "carrier", "gateways": ["sip:sip1.carrier.example", "sip:sip2.carrier.example"],
        "username": "4930123456", "password": "secret", "register": true, "prefixes": ["+49"]})),
    responses((status = CREATED, body = Trunk, headers(("Location" = String), ("ETag" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<TrunkConfig>,
) -> Result<Response, ApiError> {
    let trunk = control.ask(|reply| Command::CreateTrunk { body, reply }).await?;
    Ok(made(&format!("/v1/trunks/{}", trunk.name), trunk.revision, trunk))
}

/// Read a trunk
#[utoipa::path(get, path = "/trunks/{trunk}", tag = "access", operation_id = "readTrunk",
    params(("trunk" = String, Path, description = "name")),
    responses((status = OK, body = Trunk, headers(("ETag" = String)))))]
async fn read(
    State(control): State<Control>,
    Path(trunk): Path<String>,
) -> Result<Response, ApiError> {
    let trunk = control.ask(|reply| Command::Trunk { trunk, reply }).await?;
    Ok(tagged(trunk.revision, trunk))
}

/// Replace a trunk
///
/// What is absent gets its default, but for the password, which stays. Calls that are up go on. With `If-Match` only if it is
/// still what it was.
#[utoipa::path(put, path = "/trunks/{trunk}", tag = "access", operation_id = "replaceTrunk",
    params(("trunk" = String, Path, description = "name"), ("If-Match" = Option<String>, Header)),
    request_body(content = TrunkConfig, example = json!({
        "gateways": ["sip:sip3.carrier.example"], "max_calls": 30})),
    responses((status = OK, body = Trunk, headers(("ETag" = String)))))]
async fn replace(
    State(control): State<Control>,
    Path(trunk): Path<String>,
    condition: IfMatch,
    Json(body): Json<TrunkConfig>,
) -> Result<Response, ApiError> {
    let replace = |reply| Command::ReplaceTrunk { trunk, body, condition, reply };
    let trunk = control.ask(replace).await?;
    Ok(tagged(trunk.revision, trunk))
}

/// Delete a trunk
///
/// Our registration there ends. Calls that are up go on. 409 while a route names it.
#[utoipa::path(delete, path = "/trunks/{trunk}", tag = "access", operation_id = "deleteTrunk",
    params(("trunk" = String, Path, description = "name"), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(trunk): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteTrunk { trunk, condition, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
