//! `/v1/api_keys`: who may use the API, and for what.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, made, tagged};
use crate::archive::Desk;
use crate::auth::Keys;
use crate::control::{ControlError, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::id::ApiKeyId;
use crate::keys::Kept;
use crate::model::{ApiKey, CreateApiKey, NewApiKey, Page, PageQuery, UpdateApiKey};
use crate::validate::{DEFAULT_PAGE, page_after};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, delete))
}

/// List keys
///
/// Those that were made here; the first one, which `--api-key` gives or the first start prints, is not among them. Needs an
/// admin key.
#[utoipa::path(get, path = "/api_keys", tag = "access", operation_id = "listApiKeys",
    params(PageQuery), responses((status = OK, body = Page<ApiKey>)))]
async fn list(
    State(keys): State<Keys>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let query = query.checked(&[])?;
    let after: Option<ApiKeyId> = page_after(&query)?;
    let limit = usize::try_from(query.limit.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    let newest_first = keys.all().into_iter().rev();
    let older = newest_first.filter(|kept| after.is_none_or(|after| kept.id < after));
    let mut items: Vec<ApiKey> = older.take(limit + 1).map(|kept| kept.view()).collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| last.id.to_string());
    Ok(Json(Page { items, next }))
}

/// Make a key
///
/// The answer is the only place where the key itself can be read. It is good at once, and after a restart. Needs an admin key.
#[utoipa::path(post, path = "/api_keys", tag = "access", operation_id = "createApiKey",
    request_body(content = CreateApiKey, example = json!({
        "name": "lobby screen", "scopes": ["rooms:read", "events:read"], "rooms": ["lobby"]})),
    responses((status = CREATED, body = NewApiKey, headers(("Location" = String), ("ETag" = String)))))]
async fn create(
    State(keys): State<Keys>,
    State(desk): State<Desk>,
    Json(body): Json<CreateApiKey>,
) -> Result<Response, ApiError> {
    if keys.all().len() >= MAX_KEYS {
        let detail = format!("there are {MAX_KEYS} keys, as many as there may be");
        Err(ControlError::Conflict { code: "too_many_api_keys", detail })?;
    }
    let (mut kept, key) = Kept::new(body.name, body.scopes)?;
    (kept.rooms, kept.expires_at) = (body.rooms, body.expires_at);
    let about = keys.put(&desk, kept).await?;
    let location = format!("/v1/api_keys/{}", about.id);
    Ok(made(&location, about.revision, NewApiKey { about, key }))
}

/// Read a key
///
/// What it may do, not the key itself. Needs an admin key.
#[utoipa::path(get, path = "/api_keys/{key}", tag = "access", operation_id = "readApiKey",
    params(("key" = ApiKeyId, Path)),
    responses((status = OK, body = ApiKey, headers(("ETag" = String)))))]
async fn read(State(keys): State<Keys>, Path(key): Path<ApiKeyId>) -> Result<Response, ApiError> {
    let key = keys.read(key)?.view();
    Ok(tagged(key.revision, key))
}

/// Change a key
///
/// What is absent stays. In force for the next request. Needs an admin key.
#[utoipa::path(patch, path = "/api_keys/{key}", tag = "access", operation_id = "updateApiKey",
    params(("key" = ApiKeyId, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateApiKey, example = json!({"scopes": ["rooms:read"]})),
    responses((status = OK, body = ApiKey, headers(("ETag" = String)))))]
async fn update(
    State(keys): State<Keys>,
    State(desk): State<Desk>,
    Path(key): Path<ApiKeyId>,
    condition: IfMatch,
    Json(body): Json<UpdateApiKey>,
) -> Result<Response, ApiError> {
    let mut kept = keys.read(key)?;
    expect(&condition, &kept)?;
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    kept.name = body.name.unwrap_or(kept.name);
    kept.scopes = body.scopes.unwrap_or(kept.scopes);
    kept.rooms = body.rooms.unwrap_or(kept.rooms);
    kept.expires_at = body.expires_at.or(kept.expires_at);
    kept.revision = now.max(kept.revision + 1);
    let key = keys.put(&desk, kept).await?;
    Ok(tagged(key.revision, key))
}

/// Delete a key
///
/// It is not let in any more, and event streams and WebSockets that it opened end. Needs an admin key.
#[utoipa::path(delete, path = "/api_keys/{key}", tag = "access", operation_id = "deleteApiKey",
    params(("key" = ApiKeyId, Path), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(keys): State<Keys>,
    State(desk): State<Desk>,
    Path(key): Path<ApiKeyId>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    expect(&condition, &keys.read(key)?)?;
    keys.remove(&desk, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn expect(condition: &IfMatch, kept: &Kept) -> Result<(), ControlError> {
    let revision = kept.revision;
    if condition.allows(revision) {
        return Ok(());
    }
    Err(ControlError::Stale { what: "api_key", revision })
}

/// Keys at once.
const MAX_KEYS: usize = 10_000;
