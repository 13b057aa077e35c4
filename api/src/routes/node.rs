//! How the bridge fares: `/healthz`, `/readyz`, `/metrics`, and `/v1/nodes`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::archive::Desk;
use crate::control::{Command, Control, ControlError};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::mail::Mailroom;
use crate::model::{Node, Page, PageQuery, Readiness};
use crate::webhooks::Webhooks;

/// What anybody may ask.
pub(super) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

pub(super) fn metrics() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(figures))
}

pub(super) fn nodes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
}

/// Tell whether the process lives
///
/// 503 when the signalling task is gone and only a restart helps; a busy or draining bridge is healthy.
#[utoipa::path(get, path = "/healthz", tag = "node", operation_id = "getHealth", security(()),
    responses((status = OK, body = Health)))]
async fn health(State(control): State<Control>) -> Result<Json<Health>, ApiError> {
    if control.is_open() { Ok(Json(Health { status: "ok" })) } else { Err(ControlError::Stopping)? }
}

/// Tell whether new calls are taken
///
/// 503 while starting, draining or full, with the reason.
#[utoipa::path(get, path = "/readyz", tag = "node", operation_id = "getReadiness", security(()),
    responses((status = OK, body = Readiness), (status = SERVICE_UNAVAILABLE, body = Readiness)))]
async fn ready(State(control): State<Control>) -> Result<Response, ApiError> {
    let readiness = control.ask(|reply| Command::Readiness { reply }).await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

/// Show the figures
///
/// Prometheus text. Needs an admin key unless the settings open it.
#[utoipa::path(get, path = "/metrics", tag = "node", operation_id = "getMetrics",
    responses((status = OK, body = String, content_type = "text/plain; version=0.0.4")))]
async fn figures(
    State(control): State<Control>,
    State(desk): State<Desk>,
    State(webhooks): State<Webhooks>,
    State(mailroom): State<Mailroom>,
) -> Result<Response, ApiError> {
    let mut text = control.ask(|reply| Command::Metrics { reply }).await?;
    text.push_str(&desk.metrics());
    text.push_str(&webhooks.metrics());
    text.push_str(&mailroom.metrics());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// List nodes
///
/// Today there is one: the bridge that answers. Needs an admin key.
#[utoipa::path(get, path = "/nodes", tag = "node", operation_id = "listNodes", params(PageQuery),
    responses((status = OK, body = Page<Node>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Node>>, ApiError> {
    let query = query.checked(&["ready", "draining"])?;
    Ok(Json(control.ask(|reply| Command::ListNodes { query, reply }).await?))
}

/// Show a node
///
/// What it carries, how much time its media threads have left, and for how many more legs that is enough.
#[utoipa::path(get, path = "/nodes/{node}", tag = "node", operation_id = "getNode",
    params(("node" = String, Path, description = "Id or name")), responses((status = OK, body = Node)))]
async fn show(
    State(control): State<Control>,
    Path(node): Path<String>,
) -> Result<Json<Node>, ApiError> {
    Ok(Json(control.ask(|reply| Command::Node { node, reply }).await?))
}
