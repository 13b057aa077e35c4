//! `/v1/webhooks`: who is told of events by HTTP, and how that went.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, made, path, tagged};
use crate::archive::{Desk, KeptDelivery, Read};
use crate::control::{ControlError, IfMatch};
use crate::error::ApiError;
use crate::events::EventLog;
use crate::extract::{Json, Params, Path};
use crate::id::{DeliveryId, EventId, WebhookId};
use crate::model::{
    CreateWebhook, Delivery, DeliveryQuery, DeliveryState, NewWebhook, Page, PageQuery,
    RotateSecret, UpdateWebhook, Webhook,
};
use crate::validate::{DEFAULT_PAGE, page_after};
use crate::webhooks::{self, KeptSecret, KeptWebhook, TEST, Webhooks, new_secret};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(redeliver))
}

/// List webhooks
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(PageQuery), responses((status = OK, body = Page<Webhook>)))]
async fn list(
    State(webhooks): State<Webhooks>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Webhook>>, ApiError> {
    let query = query.checked(&[])?;
    let after: Option<WebhookId> = page_after(&query)?;
    let limit = usize::try_from(query.limit.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    let newest_first = webhooks.all().into_iter().rev();
    let older = newest_first.filter(|kept| after.is_none_or(|after| kept.id < after));
    let mut items: Vec<Webhook> = older.take(limit + 1).map(|kept| kept.view()).collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| last.id.to_string());
    Ok(Json(Page { items, next }))
}

/// Make a webhook
///
/// From now on each event that it wants is sent to it by POST, signed as by Standard Webhooks 1.0, as in `webhooks` of this document. The
/// answer is the only place where the secret can be read. An event is delivered at least once: `webhook-id` is the same for each
/// attempt. 2xx is success; all else is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, also after a
/// restart. 410 disables the webhook. The events of a room come in the order of `seq`: a later one is not told before an
/// earlier one was taken or has failed twice, within some seconds.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", operation_id = "createWebhook",
    request_body(content = CreateWebhook, example = json!({
        "url": "https://example.com/plenary", "events": ["participant.*", "room.ended"]})),
    responses((status = CREATED, body = NewWebhook, headers(("Location" = String), ("ETag" = String)))))]
async fn create(
    State(webhooks): State<Webhooks>,
    State(desk): State<Desk>,
    State(log): State<EventLog>,
    Json(body): Json<CreateWebhook>,
) -> Result<Response, ApiError> {
    if webhooks.all().len() >= MAX_WEBHOOKS {
        let detail = format!("there are {MAX_WEBHOOKS} webhooks, as many as there may be");
        Err(ControlError::Conflict { code: "too_many_webhooks", detail })?;
    }
    let secret = body.secret.map_or_else(new_secret, Ok)?;
    let (unix_ms, now) = clock();
    let kept = KeptWebhook {
        id: WebhookId::new(unix_ms, random()?),
        url: body.url,
        description: body.description,
        events: body.events,
        rooms: body.rooms,
        enabled: body.enabled,
        disabled_reason: None,
        secrets: vec![KeptSecret { secret: secret.clone(), until: None }],
        since: log.newest(),
        created_at: now,
        revision: unix_ms,
    };
    let about = webhooks.put(&desk, kept).await?;
    let location = format!("/v1/webhooks/{}", about.id);
    Ok(made(&location, about.revision, NewWebhook { about, secret }))
}

/// Read a webhook
///
/// Without its secret.
#[utoipa::path(get, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "readWebhook",
    params(("webhook" = WebhookId, Path)),
    responses((status = OK, body = Webhook, headers(("ETag" = String)))))]
async fn read(
    State(webhooks): State<Webhooks>,
    Path(webhook): Path<WebhookId>,
) -> Result<Response, ApiError> {
    let webhook = webhooks.read(webhook)?.view();
    Ok(tagged(webhook.revision, webhook))
}

/// Change a webhook
///
/// What is absent stays. One that is enabled again is told of what happens from then on, and of what was to be tried again.
#[utoipa::path(patch, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "updateWebhook",
    params(("webhook" = WebhookId, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateWebhook, example = json!({"enabled": true})),
    responses((status = OK, body = Webhook, headers(("ETag" = String)))))]
async fn update(
    State(shared): State<Shared>,
    Path(webhook): Path<WebhookId>,
    condition: IfMatch,
    Json(body): Json<UpdateWebhook>,
) -> Result<Response, ApiError> {
    let Shared { webhooks, desk, log, .. } = shared;
    let mut kept = webhooks.read(webhook)?;
    expect(&condition, &kept)?;
    let was_enabled = kept.enabled;
    kept.url = body.url.unwrap_or(kept.url);
    kept.description = body.description.unwrap_or(kept.description);
    kept.events = body.events.unwrap_or(kept.events);
    kept.rooms = body.rooms.unwrap_or(kept.rooms);
    kept.enabled = body.enabled.unwrap_or(kept.enabled);
    if kept.enabled && !was_enabled {
        (kept.since, kept.disabled_reason) = (log.newest(), None);
    }
    kept.revision = kept.next_revision();
    let webhook = webhooks.put(&desk, kept).await?;
    Ok(tagged(webhook.revision, webhook))
}

/// Delete a webhook
///
/// With its deliveries.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "deleteWebhook",
    params(("webhook" = WebhookId, Path), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(webhooks): State<Webhooks>,
    State(desk): State<Desk>,
    Path(webhook): Path<WebhookId>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    expect(&condition, &webhooks.read(webhook)?)?;
    webhooks.remove(&desk, webhook).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change the secret of a webhook
///
/// Deliveries are signed with both secrets for `overlap_s`, so that the receiver may be changed meanwhile. The answer is the only
/// place where the new secret can be read.
#[utoipa::path(post, path = "/webhooks/{webhook}/rotate", tag = "webhooks",
    operation_id = "rotateWebhookSecret", params(("webhook" = WebhookId, Path)),
    request_body(content = RotateSecret, example = json!({"overlap_s": 3600})),
    responses((status = OK, body = NewWebhook, headers(("ETag" = String)))))]
async fn rotate(
    State(webhooks): State<Webhooks>,
    State(desk): State<Desk>,
    Path(webhook): Path<WebhookId>,
    Json(body): Json<RotateSecret>,
) -> Result<Response, ApiError> {
    let mut kept = webhooks.read(webhook)?;
    let secret = body.secret.map_or_else(new_secret, Ok)?;
    kept.rotate(secret.clone(), Timestamp::now(), body.overlap_s);
    kept.revision = kept.next_revision();
    let about = webhooks.put(&desk, kept).await?;
    Ok(tagged(about.revision, NewWebhook { about, secret }))
}

/// Test a webhook
///
/// Delivers a `webhook.test`, whatever events it wants. How that goes is told by the delivery, whose place the answer names.
#[utoipa::path(post, path = "/webhooks/{webhook}/test", tag = "webhooks", operation_id = "testWebhook",
    params(("webhook" = WebhookId, Path)),
    responses((status = ACCEPTED, body = Delivery, headers(("Location" = String)))))]
async fn test(
    State(webhooks): State<Webhooks>,
    Path(webhook): Path<WebhookId>,
) -> Result<Response, ApiError> {
    let webhook = webhooks.read(webhook)?.id;
    let ((unix_ms, now), random) = (clock(), random()?);
    let delivery = Delivery {
        id: DeliveryId::new(unix_ms, random),
        webhook,
        event: EventId::new(unix_ms, random),
        seq: None,
        kind: TEST.to_owned(),
        room: None,
        state: DeliveryState::Pending,
        time: now,
        next_attempt_at: Some(now),
        attempts: Vec::new(),
    };
    let payload = Some(webhooks::test_payload(&delivery).into());
    Ok(due(webhooks.deliver(KeptDelivery { delivery, payload, tries: 0 }).await?))
}

/// List deliveries
///
/// Newest first, for as long as `records.deliveries_days` says; those that were not tried yet are not among them.
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries", tag = "webhooks",
    operation_id = "listDeliveries", params(("webhook" = WebhookId, Path), DeliveryQuery),
    responses((status = OK, body = Page<Delivery>)))]
async fn deliveries(
    State(webhooks): State<Webhooks>,
    State(desk): State<Desk>,
    Path(webhook): Path<WebhookId>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    let (webhook, query) = (webhooks.read(webhook)?.id, query.checked()?);
    Ok(Json(desk.read(|reply| Read::Deliveries(webhook, Box::new(query), reply)).await?))
}

/// Show a delivery
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries/{delivery}", tag = "webhooks",
    operation_id = "readDelivery", params(("webhook" = WebhookId, Path), ("delivery" = DeliveryId, Path)),
    responses((status = OK, body = Delivery)))]
async fn delivery(
    State(desk): State<Desk>,
    Path((webhook, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<Json<Delivery>, ApiError> {
    Ok(Json(kept(&desk, webhook, delivery).await?.delivery))
}

/// Deliver again
///
/// At once, and then as if it were the first time. 409 `event_not_kept` where the event is older than the log, and
/// `webhook_disabled` where nothing is delivered.
#[utoipa::path(post, path = "/webhooks/{webhook}/deliveries/{delivery}/redeliver", tag = "webhooks",
    operation_id = "redeliver", params(("webhook" = WebhookId, Path), ("delivery" = DeliveryId, Path)),
    responses((status = ACCEPTED, body = Delivery, headers(("Location" = String)))))]
async fn redeliver(
    State(webhooks): State<Webhooks>,
    State(desk): State<Desk>,
    State(log): State<EventLog>,
    Path((webhook, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<Response, ApiError> {
    let mut kept = kept(&desk, webhook, delivery).await?;
    if kept.payload.is_none() {
        let payload = match kept.delivery.seq {
            None => Some(webhooks::test_payload(&kept.delivery)),
            Some(seq) => log.event(seq).await?.map(|event| event.to_json()),
        };
        let detail = "the event is no longer kept; see records.events_days".to_owned();
        let gone = ControlError::Conflict { code: "event_not_kept", detail };
        kept.payload = Some(payload.ok_or(gone)?.into());
    }
    kept.delivery.state = DeliveryState::Pending;
    kept.delivery.next_attempt_at = Some(Timestamp::now());
    Ok(due(webhooks.deliver(KeptDelivery { tries: 0, ..kept }).await?))
}

async fn kept(
    desk: &Desk,
    webhook: WebhookId,
    id: DeliveryId,
) -> Result<KeptDelivery, ControlError> {
    let found = desk.read(|reply| Read::Delivery(id, reply)).await?;
    let is_its = found.delivery.webhook == webhook;
    let none = || ControlError::NotFound { what: "delivery", name: id.to_string() };
    is_its.then_some(found).ok_or_else(none)
}

/// 202 with where to see how it goes.
fn due(delivery: Delivery) -> Response {
    let location = format!("/v1/webhooks/{}/deliveries/{}", delivery.webhook, delivery.id);
    let headers = [(header::LOCATION, path(&location))];
    (StatusCode::ACCEPTED, headers, Json(delivery)).into_response()
}

fn expect(condition: &IfMatch, kept: &KeptWebhook) -> Result<(), ControlError> {
    let revision = kept.revision;
    if condition.allows(revision) {
        return Ok(());
    }
    Err(ControlError::Stale { what: "webhook", revision })
}

fn clock() -> (u64, Timestamp) {
    let now = Timestamp::now();
    (u64::try_from(now.as_millisecond()).unwrap_or(0), now)
}

fn random() -> Result<u128, ControlError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| ControlError::Busy {
        detail: format!("no randomness for an id: {error}"),
        retry_after_s: 1,
    })?;
    Ok(u128::from_ne_bytes(random))
}

/// Webhooks at once; each costs a task and what it has waiting.
const MAX_WEBHOOKS: usize = 100;
