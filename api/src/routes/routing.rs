//! `/v1/routes`: where calls that come in go.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, created};
use crate::control::{Command, Control};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::model::{Page, PageQuery, ReplaceRoute, Route, RouteTrace, TestRoutes};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(test))
        .routes(routes!(show, replace, delete))
}

/// List routes
///
/// In the order in which they are tried: those of the settings, and those made here since.
#[utoipa::path(get, path = "/routes", tag = "access", operation_id = "listRoutes",
    params(PageQuery), responses((status = OK, body = Page<Route>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Route>>, ApiError> {
    let query = query.checked(&[])?;
    let mut page = control.ask(|reply| Command::ListRoutes { query, reply }).await?;
    page.items = page.items.into_iter().map(Route::shown).collect();
    Ok(Json(page))
}

/// Make a route
///
/// For calls from now on, until the bridge is restarted; for longer it belongs into the settings.
#[utoipa::path(post, path = "/routes", tag = "access", operation_id = "createRoute",
    request_body(content = Route, example = json!({
        "name": "night", "order": 10, "source": {"trunk": "carrier"},
        "times": [{"from": "18:00", "to": "08:00", "timezone": "Europe/Berlin"}],
        "steps": [{"user": "anna", "timeout_s": 20}, {"on": ["busy"], "reject": {"status": 486}}, {"room": "lobby"}]})),
    responses((status = CREATED, body = Route, headers(("Location" = String)))))]
async fn create(
    State(control): State<Control>,
    Json(body): Json<Route>,
) -> Result<Response, ApiError> {
    let route = control.ask(|reply| Command::CreateRoute { body, reply }).await?.shown();
    Ok(created(&format!("/v1/routes/{}", route.name), route))
}

/// Show a route
#[utoipa::path(get, path = "/routes/{route}", tag = "access", operation_id = "getRoute",
    params(("route" = String, Path, description = "Name")), responses((status = OK, body = Route)))]
async fn show(
    State(control): State<Control>,
    Path(route): Path<String>,
) -> Result<Json<Route>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Route { route, reply }).await?.shown()))
}

/// Replace a route
///
/// Calls that are under way go on as they began.
#[utoipa::path(put, path = "/routes/{route}", tag = "access", operation_id = "replaceRoute",
    params(("route" = String, Path, description = "Name")),
    request_body(content = ReplaceRoute, example = json!({"order": 10, "steps": [{"room": "lobby"}]})),
    responses((status = OK, body = Route)))]
async fn replace(
    State(control): State<Control>,
    Path(route): Path<String>,
    Json(body): Json<ReplaceRoute>,
) -> Result<Json<Route>, ApiError> {
    Ok(Json(control.ask(|reply| Command::ReplaceRoute { route, body, reply }).await?.shown()))
}

/// Delete a route
#[utoipa::path(delete, path = "/routes/{route}", tag = "access", operation_id = "deleteRoute",
    params(("route" = String, Path, description = "Name")), responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(route): Path<String>,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteRoute { route, reply }).await?;
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
