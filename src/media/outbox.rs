//! Events on their way to the bridge. The worker never waits for it.

use std::collections::VecDeque;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::command::Event;

/// Sends events in order; what must arrive waits in a backlog while the queue is full.
///
/// Levels, statistics and worker reports are dropped then, and counted: newer ones follow. The backlog is bounded by
/// [`BACKLOG_MAX`], beyond which everything is dropped.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Sender<Event>,
    backlog: VecDeque<Event>,
    dropped: u64,
}

impl Outbox {
    /// Sends into `queue`.
    pub(super) fn new(queue: Sender<Event>) -> Self {
        Self { queue, backlog: VecDeque::new(), dropped: 0 }
    }

    /// Sends, keeps or drops an event by its kind.
    pub(super) fn push(&mut self, event: Event) {
        let is_droppable =
            matches!(event, Event::Levels { .. } | Event::Statistics { .. } | Event::Worker(_));
        self.offer(event, is_droppable);
    }

    /// Sends an event that must arrive whatever its kind: the last statistics of a leg.
    pub(super) fn push_last(&mut self, event: Event) {
        self.offer(event, false);
    }

    fn offer(&mut self, event: Event, is_droppable: bool) {
        let returned = if self.backlog.is_empty() { self.send(event) } else { Some(event) };
        match returned {
            None => {}
            Some(event) if !is_droppable && self.backlog.len() < BACKLOG_MAX => {
                self.backlog.push_back(event);
            }
            Some(_) => self.dropped += 1,
        }
    }

    /// Gives the event back when the queue is full; a closed queue swallows it.
    fn send(&self, event: Event) -> Option<Event> {
        match self.queue.try_send(event) {
            Err(TrySendError::Full(event)) => Some(event),
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            if let Some(event) = self.send(event) {
                self.backlog.push_front(event);
                return;
            }
        }
    }

    /// Something waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Events dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Some events for each of ten thousand legs.
const BACKLOG_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::media::command::{MediaKey, WorkerReport};

    fn closed(leg: u64) -> Event {
        Event::Closed { leg: MediaKey(leg) }
    }

    #[test]
    fn what_must_arrive_waits_and_the_rest_is_counted() {
        let (queue, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(queue);

        outbox.push(closed(1));
        outbox.push(closed(2));
        outbox.push(Event::Worker(WorkerReport::default()));

        assert_eq!(events.try_recv(), Ok(closed(1)));
        outbox.flush();
        assert_eq!(events.try_recv(), Ok(closed(2)));
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.take_dropped(), 1);
    }
}
