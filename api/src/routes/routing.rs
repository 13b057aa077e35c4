//! `/v1/routes`: where calls that come in go.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, made, tagged};
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, Provisioned, ReplaceRoute, Route, RouteTrace, TestRoutes};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(test))
        .routes(routes!(show, replace, delete))
}

/// List routes
///
/// In the order in which they are tried: those of the settings, and those made here.
#[utoipa::path(get, path = "/routes", tag = "access", operation_id = "listRoutes",
    params(PageQuery), responses((status = OK, body = Page<Provisioned<Route>>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Provisioned<Route>>>, ApiError> {
    let query = query.checked(&[])?;
    let mut page = control.ask(|reply| Command::ListRoutes { query, reply }).await?;
    page.items = page.items.into_iter().map(shown).collect();
    Ok(Json(page))
}

/// Make a route
///
/// For calls from now on. Answered once it is stored.
#[utoipa::path(post, path = "/routes", tag = "access", operation_id = "createRoute",
    request_body(content = Route, example = json!({
        "name": "night", "order": 10, "source": {"trunk": "carrier"},
        "times": [{"from": "18:00", "to": "08:00", "timezone": "Europe/Berlin"}],
        "steps": [{"user": "anna", "timeout_s": 20}, {"on": ["busy"], "reject": {"status": 486}}, {"room": "lobby"}]})),
    responses((status = CREATED, body = Provisioned<Route>,
        headers(("Location" = String), ("ETag" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<Route>,
) -> Result<Response, ApiError> {
    let route = control.ask(|reply| Command::CreateRoute { body, reply }).await?;
    let (name, revision) = (route.item.name.clone(), route.revision);
    Ok(made(&format!("/v1/routes/{name}"), revision, shown(route)))
}

/// Show a route
#[utoipa::path(get, path = "/routes/{route}", tag = "access", operation_id = "getRoute",
    params(("route" = String, Path, description = "Name")), responses((status = OK, body = Provisioned<Route>, headers(("ETag" = String)))))]
async fn show(
    State(control): State<Control>,
    Path(route): Path<String>,
) -> Result<Response, ApiError> {
    let route = control.ask(|reply| Command::Route { route, reply }).await?;
    Ok(tagged(route.revision, shown(route)))
}

/// Replace a route
///
/// Calls that are under way go on as they began. With `If-Match` only if it is still what it was.
#[utoipa::path(put, path = "/routes/{route}", tag = "access", operation_id = "replaceRoute",
    params(("route" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)),
    request_body(content = ReplaceRoute, example = json!({"order": 10, "steps": [{"room": "lobby"}]})),
    responses((status = OK, body = Provisioned<Route>, headers(("ETag" = String)))))]
async fn replace(
    State(control): State<Control>,
    Path(route): Path<String>,
    condition: IfMatch,
    Json(body): Json<ReplaceRoute>,
) -> Result<Response, ApiError> {
    let replace = |reply| Command::ReplaceRoute { route, body, condition, reply };
    let route = control.ask(replace).await?;
    Ok(tagged(route.revision, shown(route)))
}

/// Delete a route
#[utoipa::path(delete, path = "/routes/{route}", tag = "access", operation_id = "deleteRoute",
    params(("route" = String, Path, description = "Name"), ("If-Match" = Option<String>, Header)), responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(route): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteRoute { route, condition, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test the routes
///
/// Tells step by step which route a call would take and why. No call is placed, and no endpoint asked.
#[utoipa::path(post, path = "/routes/test", tag = "access", operation_id = "testRoutes",
    request_body(content = TestRoutes, example = json!({
        "to": "+4930123456", "from": "+4940987654", "source": {"address": "203.0.113.5"}})),
    responses((status = OK, body = RouteTrace)))]
async fn test(
    State(control): State<Control>,
    Json(body): Json<TestRoutes>,
) -> Result<Json<RouteTrace>, ApiError> {
    Ok(Json(control.ask(|reply| Command::TestRoutes { body, reply }).await?.shown()))
}

/// Without what is secret in it.
fn shown(route: Provisioned<Route>) -> Provisioned<Route> {
    Provisioned { item: route.item.shown(), ..route }
}
