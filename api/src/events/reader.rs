//! A reader of the log: it holds no queue of its own, only its place, and is cut off when it falls too far behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{EventLog, Filter, Head, Unread};
use crate::event::Event;

/// Why a [`Reader`] gets no more.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Cut {
    /// It read too slowly; everything after `last` is still kept.
    #[error("read too slowly; resume after {last}")]
    Slow {
        /// The last event it was given.
        last: u64,
    },
    /// It read so slowly that events were lost to it.
    #[error("read too slowly; events after {last} are no longer kept")]
    Lost {
        /// The last event it was given.
        last: u64,
    },
    /// What comes next is in the store, which does not answer.
    #[error("{detail}; resume after {last}")]
    Unread {
        /// The last event it was given.
        last: u64,
        /// What the store says.
        detail: String,
    },
    /// The log is closed: the bridge stops.
    #[error("the bridge is stopping; resume after {last}")]
    Closed {
        /// The last event it was given.
        last: u64,
    },
}

/// One reader's place in the log.
#[derive(Debug)]
pub struct Reader {
    log: EventLog,
    head: watch::Receiver<Head>,
    filter: Filter,
    batch: VecDeque<Arc<Event>>,
    last: u64,
    /// Began further behind than a reader may fall: not cut off until it has caught up once.
    catching_up: bool,
    /// When it was last given something.
    filled: Option<Instant>,
}

/// What a look at the ring gave.
enum Look {
    /// There is nothing new.
    Nothing,
    /// A stretch was taken.
    Taken,
    /// What comes next is older than the ring, which begins with this number.
    Older(u64),
}

impl Reader {
    /// From after `last` on, in a log whose newest number is `newest`.
    pub(super) fn new(log: EventLog, last: u64, newest: u64, filter: Filter) -> Self {
        let catching_up = newest - last > log.max_lag();
        let head = log.0.head.subscribe();
        Self { log, head, filter, batch: VecDeque::new(), last, catching_up, filled: None }
    }

    /// Number of the last event looked at: where this reader stands.
    pub fn last(&self) -> u64 {
        self.batch.front().map_or(self.last, |next| next.seq - 1)
    }

    /// Waits for the next matching event. Cancelling it loses nothing.
    ///
    /// A log in which much happens is read in stretches 5 ms apart: what happens after a pause is told at once.
    ///
    /// # Errors
    /// [`Cut`] when there will be no more.
    pub async fn next(&mut self) -> Result<Arc<Event>, Cut> {
        loop {
            let head = *self.head.borrow_and_update();
            if let Some(event) = self.batch.pop_front() {
                return Ok(event);
            }
            if !head.closed {
                self.pace().await;
            }
            if self.fill().await? {
                continue;
            }
            if head.closed {
                return Err(Cut::Closed { last: self.last });
            }
            if self.head.changed().await.is_err() {
                return Err(Cut::Closed { last: self.last });
            }
        }
    }

    /// The event that is at hand, if one is: more follow without a wait.
    pub fn at_hand(&mut self) -> Option<Arc<Event>> {
        self.batch.pop_front()
    }

    /// Waits until the next stretch may be taken. Readers by the hundred would otherwise be woken for each of many events,
    /// and each would make a packet of each.
    async fn pace(&self) {
        if let Some(filled) = self.filled {
            sleep_until(filled + PACE).await;
        }
    }

    /// Takes the next stretch of the log; false when there is nothing new.
    async fn fill(&mut self) -> Result<bool, Cut> {
        match self.look()? {
            Look::Nothing => Ok(false),
            Look::Taken => Ok(true),
            Look::Older(before) => self.look_back(before).await.map(|()| true),
        }
    }

    fn look(&mut self) -> Result<Look, Cut> {
        let ring = self.log.ring();
        let newest = ring.next_seq - 1;
        let behind = newest - self.last;
        let Some(start) = ring.index_after(self.last) else {
            return match (&self.log.0.past, self.catching_up) {
                (Some(_), true) => Ok(Look::Older(ring.oldest())),
                (Some(_), false) => Err(Cut::Slow { last: self.last }),
                (None, _) => Err(Cut::Lost { last: self.last }),
            };
        };
        if behind > self.log.max_lag() && !self.catching_up {
            return Err(Cut::Slow { last: self.last });
        }
        self.catching_up &= behind > self.log.max_lag();
        let stretch: Vec<_> = ring.events.range(start..).take(BATCH).cloned().collect();
        drop(ring);
        let Some(end) = stretch.last() else { return Ok(Look::Nothing) };
        self.last = end.seq;
        self.filled = (self.last == newest).then(Instant::now);
        self.batch.extend(stretch.into_iter().filter(|event| self.filter.matches(event)));
        Ok(Look::Taken)
    }

    /// Takes the next stretch of what is older than the ring.
    async fn look_back(&mut self, before: u64) -> Result<(), Cut> {
        let Some(past) = &self.log.0.past else { return Err(Cut::Lost { last: self.last }) };
        let stretch = past.read(self.last, before, &self.filter).await;
        let stretch = stretch.map_err(|unread| match unread {
            Unread::Gone(_) => Cut::Lost { last: self.last },
            Unread::Store(error) => Cut::Unread { last: self.last, detail: error.to_string() },
        })?;
        self.last = stretch.last;
        self.batch.extend(stretch.events);
        Ok(())
    }
}

/// How far apart the stretches are in which a busy log is read.
const PACE: Duration = Duration::from_millis(5);
/// Events a reader takes under one lock.
const BATCH: usize = 64;
