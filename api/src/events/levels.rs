//! Levels: a topic beside the log, neither numbered nor kept, lost when nobody reads in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::EventLog;
use crate::event::Level;
use crate::id::LegId;

/// A reader of levels.
#[derive(Debug)]
pub struct LevelReader {
    log: EventLog,
    receiver: broadcast::Receiver<Arc<[Level]>>,
}

impl LevelReader {
    pub(super) fn new(log: EventLog, receiver: broadcast::Receiver<Arc<[Level]>>) -> Self {
        Self { log, receiver }
    }

    /// Waits until something was published.
    pub async fn next(&mut self) -> Arc<[Level]> {
        loop {
            match self.receiver.recv().await {
                Ok(levels) => return levels,
                Err(broadcast::error::RecvError::Lagged(_)) => {} // lossy on purpose
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Adds all that was published since to `latest`, the newest value of each leg winning.
    pub fn drain(&mut self, latest: &mut BTreeMap<LegId, Level>) {
        loop {
            match self.receiver.try_recv() {
                Ok(levels) => latest.extend(levels.iter().map(|level| (level.leg, *level))),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(
                    broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed,
                ) => return,
            }
        }
    }
}

impl Drop for LevelReader {
    fn drop(&mut self) {
        self.log.0.level_readers.send_modify(|readers| *readers -= 1);
    }
}
