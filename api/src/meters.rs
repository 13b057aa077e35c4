//! Levels as a client follows them: the newest of each leg, at most ten times a second.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::event::Level;
use crate::events::{EventLog, Filter, LevelReader};

/// One client's meters.
#[derive(Debug)]
pub(crate) struct Meters {
    reader: LevelReader,
    filter: Filter,
    /// When levels may be told again.
    from: Instant,
}

impl Meters {
    /// Of those legs that `filter` lets through.
    pub(crate) fn new(log: &EventLog, filter: Filter) -> Self {
        Self { reader: log.levels(), filter, from: Instant::now() }
    }

    /// Waits until there is something to tell. Cancelling it loses nothing that a later level does not make up for.
    pub(crate) async fn next(&mut self) -> Vec<Level> {
        loop {
            sleep_until(self.from).await;
            let first = self.reader.next().await;
            let mut latest = BTreeMap::new();
            latest.extend(first.iter().map(|level| (level.leg, *level)));
            self.reader.drain(&mut latest);
            self.from = Instant::now() + PERIOD;
            let told: Vec<Level> =
                latest.into_values().filter(|level| self.filter.matches_level(level)).collect();
            if !told.is_empty() {
                return told;
            }
        }
    }
}

const PERIOD: Duration = Duration::from_millis(100);
