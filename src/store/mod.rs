//! What survives a restart: SQLite in the data folder, or Postgres, behind one task that writes.
//!
//! ```text
//!  driver, api ─▶ Desk ─┬─▶ changes ─┬─▶ Writer ─▶ one transaction for all that wait ─▶ each is told
//!                       ├─▶ records ─┘
//!                       └─▶ reads ────▶ Reader ─▶ pages
//! ```
//! Nobody waits for the disk but who asked for something to be kept. The same SQL runs on both databases, and so do the tests.

mod deliveries;
mod events;
mod open;
mod recordings;
mod records;
mod writer;

use sqlx::AnyPool;
use sqlx::Row as _;

use api::archive::{Document, DocumentKind, EventSpan};

use open::Lock;
pub use open::{Place, StoreError};
pub use records::Retention;
pub use writer::{Reader, Writer, staff};

/// An open database whose tables are of this version.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    /// Held for as long as the folder is ours.
    _lock: Option<Lock>,
}

impl Store {
    /// Everything that was made over the API and is kept.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn documents(&self) -> Result<Vec<Document>, StoreError> {
        let rows =
            sqlx::query("SELECT kind, name, revision, body FROM documents ORDER BY kind, name")
                .fetch_all(&self.pool)
                .await
                .map_err(StoreError::Query)?;
        let document = |row: &sqlx::any::AnyRow| {
            let kind: String = row.try_get(0)?;
            let (name, revision, body) =
                (row.try_get(1)?, row.try_get::<i64, _>(2)?, row.try_get(3)?);
            let kind = DocumentKind::ALL.into_iter().find(|known| known.as_str() == kind);
            let revision = u64::try_from(revision).unwrap_or_default();
            Ok(kind.map(|kind| Document { kind, name, revision, body }))
        };
        let documents = rows.iter().map(document).collect::<Result<Vec<_>, _>>();
        Ok(documents.map_err(StoreError::Query)?.into_iter().flatten().collect())
    }

    /// The numbers of the events that are kept.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn events(&self) -> Result<Option<EventSpan>, StoreError> {
        events::span(&self.pool).await.map_err(StoreError::Query)
    }
}

fn in_words(error: &sqlx::Error) -> String {
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return "no connection to the database".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
