//! What the API keeps by itself: a change is stored first, and in force once it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::archive::{Change, Desk, Document, StoreFailure, Stored};
use crate::control::ControlError;

/// The changes that are on their way to the store; cheap to clone, and the same for all clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeping(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    /// Names of what is being changed: of a thing one change at a time.
    changing: BTreeSet<String>,
    running: JoinSet<()>,
}

impl Keeping {
    /// Has a change stored, then made by `then`, even if the client goes: what is stored must be in force.
    pub(crate) async fn change(
        &self,
        desk: &Desk,
        change: Change,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), ControlError> {
        let done = self.begin(desk, change, then)?;
        let detail = match timeout(PATIENCE, done).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(failure))) => {
                format!("nothing was changed, since it cannot be stored: {failure}")
            }
            Ok(Err(_)) => StoreFailure::stopped().to_string(),
            Err(_) => "the store has not answered yet: if it stores this, it will be as asked; read it to see"
                .to_owned(),
        };
        Err(ControlError::Unstored { detail })
    }

    fn begin(
        &self,
        desk: &Desk,
        change: Change,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<oneshot::Receiver<Stored>, ControlError> {
        let (keeping, (told, done)) = (self.clone(), oneshot::channel());
        let (Change::Put(Document { kind, name, .. }) | Change::Remove(kind, name)) = &change;
        let name = format!("{} {name}", kind.as_str());
        let mut under_way = self.under_way();
        if !under_way.changing.insert(name.clone()) {
            let detail = format!("another change of {name} is being stored; try again");
            return Err(ControlError::Busy { detail, retry_after_s: 1 });
        }
        let taken = desk.put(change);
        while under_way.running.try_join_next().is_some() {}
        under_way.running.spawn(async move {
            let stored = stored(taken).await;
            if stored.is_ok() {
                then();
            }
            keeping.under_way().changing.remove(&name);
            drop(told.send(stored)); // a client that went away is normal
        });
        Ok(done)
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing panics while it is held; if something did, the set is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stored(taken: Result<oneshot::Receiver<Stored>, StoreFailure>) -> Stored {
    taken?.await.unwrap_or_else(|_| Err(StoreFailure::stopped()))
}

/// How long a client waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
