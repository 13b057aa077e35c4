//! Events on their way to the bridge. The worker never waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::command::Event;
use super::events::Posted;
use super::system::Waker;

/// Sends events in order; what must arrive waits in a backlog while the queue is full.
///
/// Levels, statistics and worker reports are dropped then, and counted: newer ones follow. The backlog is bounded by
/// [`BACKLOG_MAX`], beyond which everything is dropped.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: rtrb::Producer<Posted>,
    /// Numbers the events of all workers.
    numbers: Arc<AtomicU64>,
    /// Wakes the reader.
    waker: Arc<Waker>,
    /// What was posted since it was woken.
    news: News,
    woken: Option<Instant>,
    backlog: VecDeque<Event>,
    dropped: u64,
}

impl Outbox {
    /// Sends into `queue`.
    pub(super) fn new(
        queue: rtrb::Producer<Posted>,
        numbers: Arc<AtomicU64>,
        waker: Arc<Waker>,
    ) -> Self {
        let (news, woken) = (News::Nothing, None);
        Self { queue, numbers, waker, news, woken, backlog: VecDeque::new(), dropped: 0 }
    }

    /// Sends, keeps or drops an event by its kind.
    pub(super) fn push(&mut self, event: Event) {
        let is_droppable = is_droppable(&event);
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

    /// Gives the event back when the queue is full; a queue that nobody reads any more swallows it.
    fn send(&mut self, event: Event) -> Option<Event> {
        if self.queue.is_abandoned() {
            return None;
        }
        if self.queue.is_full() {
            return Some(event);
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.news = self.news.max(if is_droppable(&event) { News::Figures } else { News::Events });
        self.queue.push(Posted { number, event }).err().map(|full| {
            let rtrb::PushError::Full(posted) = full;
            posted.event
        })
    }

    /// Sends what waits, as far as there is room, and wakes the reader if there is something new: for figures alone,
    /// which come with almost every tick, ten times a second at most.
    pub(super) fn flush(&mut self, now: Instant) {
        while let Some(event) = self.backlog.pop_front() {
            if let Some(event) = self.send(event) {
                self.backlog.push_front(event);
                break;
            }
        }
        let is_soon = self.woken.is_some_and(|woken| now < woken + FIGURES_EVERY);
        if self.news == News::Events || (self.news == News::Figures && !is_soon) {
            (self.news, self.woken) = (News::Nothing, Some(now));
            self.waker.wake();
        }
    }

    /// When [`Self::flush`] will wake the reader for figures that it has not been told of.
    pub(super) fn due(&self) -> Option<Instant> {
        self.woken.filter(|_| self.news != News::Nothing).map(|woken| woken + FIGURES_EVERY)
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

/// What waits for the reader; the greatest counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum News {
    Nothing,
    Figures,
    Events,
}

/// Newer ones follow.
fn is_droppable(event: &Event) -> bool {
    matches!(event, Event::Levels(_) | Event::Statistics { .. } | Event::Worker(_))
}

/// Between two times that the reader is woken for figures alone: to wake it costs as much as to serve three legs.
const FIGURES_EVERY: Duration = Duration::from_millis(100);
/// Some events for each of ten thousand legs.
const BACKLOG_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::command::{MediaKey, WorkerReport};
    use crate::media::events::Events;

    fn closed(leg: u64) -> Event {
        Event::Closed { leg: MediaKey(leg) }
    }

    /// Some outboxes with room for one event each, and their reader.
    fn outboxes(count: usize) -> (Vec<Outbox>, Events) {
        let waker = Arc::new(Waker::new().unwrap());
        let numbers = Arc::new(AtomicU64::new(0));
        let queues = (0..count).map(|_| rtrb::RingBuffer::new(1));
        let (outboxes, readers) = queues
            .map(|(queue, reader)| {
                (Outbox::new(queue, Arc::clone(&numbers), Arc::clone(&waker)), reader)
            })
            .unzip();
        (outboxes, Events::new(readers, waker))
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn figures_wake_the_reader_ten_times_a_second_and_events_at_once() {
        let (mut outboxes, mut events) = outboxes(1);
        let (outbox, now) = (&mut outboxes[0], start());
        let mut wakes = |event: Event, after_ms: u64| {
            events.try_recv();
            outbox.push(event);
            outbox.flush(now + Duration::from_millis(after_ms));
            outbox.waker.sleep(&outbox.waker, Some(Duration::ZERO))
        };
        let figures = || Event::Worker(WorkerReport::default());

        assert!(wakes(figures(), 0));
        assert!(!wakes(figures(), 20));
        assert!(wakes(closed(1), 40));
        assert!(!wakes(figures(), 139));
        assert!(wakes(figures(), 140));
        assert!(!wakes(figures(), 150));
        assert_eq!(outbox.due(), Some(now + Duration::from_millis(240)), "it is not forgotten");
    }

    #[test]
    fn what_must_arrive_waits_and_the_rest_is_counted() {
        let (mut outboxes, mut events) = outboxes(1);
        let outbox = &mut outboxes[0];

        outbox.push(closed(1));
        outbox.push(closed(2));
        outbox.push(Event::Worker(WorkerReport::default()));

        assert_eq!(events.try_recv(), Some(closed(1)));
        outbox.flush(start());
        assert_eq!(events.try_recv(), Some(closed(2)));
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.take_dropped(), 1);
    }

    #[test]
    fn the_events_of_all_workers_come_in_the_order_in_which_they_were_told() {
        let (mut outboxes, mut events) = outboxes(3);

        for (worker, leg) in [(2, 1), (0, 2), (1, 3)] {
            outboxes[worker].push(closed(leg));
        }

        let told: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(told, [closed(1), closed(2), closed(3)]);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_each_flush() {
        let (mut outboxes, mut events) = outboxes(1);
        let mut outbox = outboxes.remove(0);
        let worker = std::thread::spawn(move || {
            for leg in 1..=1_000 {
                outbox.push(closed(leg));
                outbox.flush(start());
            }
            while outbox.is_waiting() {
                outbox.flush(start());
                std::thread::yield_now();
            }
        });

        for leg in 1..=1_000 {
            assert_eq!(events.recv().await.unwrap(), closed(leg));
        }
        worker.join().unwrap();
    }
}
