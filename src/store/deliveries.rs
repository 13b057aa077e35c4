//! What webhooks were told, and what they are still to be told.

use api::archive::{Document, DocumentKind, KeptDelivery, Unfinished};
use api::control::ControlError;
use api::id::{DeliveryId, WebhookId};
use api::model::{Delivery, DeliveryQuery, DeliveryState, Page};
use jiff::Timestamp;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, Row as _};

use super::records::{Stretch, json, page, unix_ms, unreadable};

/// How a delivery is written, over what is there of it.
pub(super) fn put(kept: &KeptDelivery) -> Query<'static, Any, AnyArguments> {
    let KeptDelivery { delivery, payload, tries } = kept;
    sqlx::query(PUT)
        .bind(delivery.id.to_string())
        .bind(delivery.webhook.to_string())
        .bind(delivery.event.to_string())
        .bind(delivery.kind.clone())
        .bind(delivery.state.as_str())
        .bind(i64::from(*tries))
        .bind(payload.as_deref().map(ToOwned::to_owned))
        .bind(json(delivery))
}

/// How all that belongs to a webhook is deleted.
pub(super) fn remove(webhook: &str) -> [Query<'static, Any, AnyArguments>; 2] {
    let cursor = "DELETE FROM documents WHERE kind = $1 AND name = $2";
    let deliveries = "DELETE FROM deliveries WHERE webhook_id = $1";
    [
        sqlx::query(cursor).bind(DocumentKind::WebhookCursor.as_str()).bind(webhook.to_owned()),
        sqlx::query(deliveries).bind(webhook.to_owned()),
    ]
}

/// The lowest id of this time.
pub(super) fn from(at: Timestamp) -> String {
    DeliveryId::new(unix_ms(at), 0).to_string()
}

/// A page of those of a webhook.
pub(super) async fn list(
    pool: &AnyPool,
    webhook: WebhookId,
    query: &DeliveryQuery,
) -> Result<Page<Delivery>, ControlError> {
    let filters = [
        ("webhook_id", Some(webhook.to_string())),
        ("state", query.state.map(|state| state.as_str().to_owned())),
        ("type", query.r#type.clone()),
        ("event_id", query.event.map(|event| event.to_string())),
    ];
    let stretch = Stretch {
        limit: query.limit,
        before: query.cursor.clone().unwrap_or_else(|| from(query.until.unwrap_or(Timestamp::MAX))),
        since: from(query.since.unwrap_or(Timestamp::UNIX_EPOCH)),
        filters: filters.into_iter().filter_map(|(column, value)| Some((column, value?))).collect(),
    };
    page(pool, TABLE, stretch).await
}

/// One of them.
pub(super) async fn one(pool: &AnyPool, id: DeliveryId) -> Result<KeptDelivery, ControlError> {
    let sql = "SELECT body, payload, tries FROM deliveries WHERE id = $1";
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(pool).await;
    let row = row.map_err(|error| unreadable(&error))?;
    let none = || ControlError::NotFound { what: "delivery", name: id.to_string() };
    row.as_ref().and_then(kept).ok_or_else(none)
}

/// What a webhook has, where it stopped.
pub(super) async fn unfinished(
    pool: &AnyPool,
    webhook: WebhookId,
) -> Result<Unfinished, sqlx::Error> {
    let sql = "SELECT revision, body FROM documents WHERE kind = $1 AND name = $2";
    let kind = DocumentKind::WebhookCursor;
    let row = sqlx::query(sql).bind(kind.as_str()).bind(webhook.to_string());
    let cursor = row.fetch_optional(pool).await?.and_then(|row| {
        let revision = u64::try_from(row.try_get::<i64, _>(0).ok()?).unwrap_or_default();
        Some(Document { kind, name: webhook.to_string(), revision, body: row.try_get(1).ok()? })
    });
    let sql = "SELECT body, payload, tries FROM deliveries WHERE webhook_id = $1 AND state = $2 ORDER BY id";
    let rows = sqlx::query(sql).bind(webhook.to_string()).bind(DeliveryState::Pending.as_str());
    let rows = rows.fetch_all(pool).await?;
    Ok(Unfinished { cursor, deliveries: rows.iter().filter_map(kept).collect() })
}

fn kept(row: &AnyRow) -> Option<KeptDelivery> {
    let body: String = row.try_get(0).ok()?;
    let payload: Option<String> = row.try_get(1).ok()?;
    let tries = u32::try_from(row.try_get::<i64, _>(2).ok()?).unwrap_or_default();
    let delivery = serde_json::from_str(&body);
    let delivery =
        delivery.inspect_err(|error| tracing::error!(%error, "a delivery is unreadable")).ok()?;
    Some(KeptDelivery { delivery, payload: payload.map(Into::into), tries })
}

pub(super) const TABLE: &str = "deliveries";
const PUT: &str = "INSERT INTO deliveries (id, webhook_id, event_id, type, state, tries, payload, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE \
    SET state = excluded.state, tries = excluded.tries, payload = excluded.payload, body = excluded.body";
