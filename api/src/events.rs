//! The one numbered log of [`Event`]s: a bounded ring in memory from which every reader reads at its own pace and resumes by number.
//!
//! Pushing takes a short lock and never waits for a reader. A reader holds no queue of its own, only its place in the ring:
//! one that falls too far behind is cut off, and told from where it can go on.
//!
//! Levels are a separate topic beside the log: not numbered, not kept, lost when nobody reads in time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

use crate::event::{Event, EventType, Happened, Level};
use crate::id::{CallId, EventId, LegId, RoomId};

/// How much the log keeps and where its numbers begin.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// Events kept for readers to resume from (at least 16); about 1 kB each. Default 10 000.
    pub capacity: usize,
    /// Number of the first event. A log that does not survive a restart should begin above all it gave before
    /// (the wall clock in milliseconds will do), so that a stale cursor is refused instead of misread. Default 1.
    pub first_seq: u64,
    /// Makes event ids of different runs differ.
    pub seed: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { capacity: 10_000, first_seq: 1, seed: 0 }
    }
}

/// The log: cheap to clone, shared by the driver that writes and all that read.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    capacity: usize,
    seed: u64,
    /// What readers wait on: the newest number, and whether more will come.
    head: watch::Sender<Head>,
    levels: broadcast::Sender<Arc<[Level]>>,
    level_readers: watch::Sender<usize>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    next_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    newest: u64,
    closed: bool,
}

/// A place in the log that cannot be read from.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Gone {
    /// The events after `asked` are no longer kept.
    #[error("events after {asked} are no longer kept; the oldest kept is {oldest}")]
    TooOld {
        /// The number asked for.
        asked: u64,
        /// The oldest that can be read.
        oldest: u64,
    },
    /// `asked` was never given: the log began again.
    #[error("event {asked} was never given by this log, whose newest is {newest}")]
    Unknown {
        /// The number asked for.
        asked: u64,
        /// The newest there is.
        newest: u64,
    },
}

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
    /// The log is closed: the bridge stops.
    #[error("the bridge is stopping; resume after {last}")]
    Closed {
        /// The last event it was given.
        last: u64,
    },
}

/// Which events a reader wants: each part that is not empty must match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Exact types.
    pub kinds: Vec<EventType>,
    /// Events of this room, also those of who moves out of it.
    pub room: Option<RoomId>,
    /// Events of this leg.
    pub leg: Option<LegId>,
    /// Events of this call.
    pub call: Option<CallId>,
}

impl Filter {
    /// Whether a reader with this filter wants `event`.
    pub fn matches(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.room.is_none_or(|room| [event.room, event.moved_out_of].contains(&Some(room)))
            && self.leg.is_none_or(|leg| event.leg == Some(leg))
            && self.call.is_none_or(|call| event.call == Some(call))
    }
}

/// A stretch of the log, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventPage {
    /// The events, oldest first.
    pub items: Vec<Arc<Event>>,
    /// Cursor of the next page; absent when there is no more yet.
    pub next: Option<String>,
    /// Where to go on later: as `cursor` here, or as `Last-Event-ID` of the stream.
    pub last_seq: u64,
}

impl EventLog {
    /// An empty log.
    pub fn new(settings: LogSettings) -> Self {
        let next_seq = settings.first_seq.max(1);
        Self(Arc::new(Shared {
            ring: Mutex::new(Ring { events: VecDeque::new(), next_seq }),
            capacity: settings.capacity.max(MIN_CAPACITY),
            seed: settings.seed,
            head: watch::Sender::new(Head { newest: next_seq - 1, closed: false }),
            levels: broadcast::Sender::new(LEVEL_BACKLOG),
            level_readers: watch::Sender::new(0),
        }))
    }

    /// Numbers and keeps what happened, and wakes the readers. Never waits for them.
    pub fn push(&self, happened: Happened) -> Arc<Event> {
        let moved_out_of = left_room(&happened);
        let mut ring = self.ring();
        let seq = ring.next_seq;
        ring.next_seq += 1;
        let event = Arc::new(numbered(happened, moved_out_of, seq, self.0.seed));
        if ring.events.len() == self.0.capacity {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&event));
        drop(ring);
        self.0.head.send_modify(|head| head.newest = head.newest.max(seq));
        event
    }

    /// Ends every reader once it has read what is there. Pushing still works; nobody is told.
    pub fn close(&self) {
        self.0.head.send_modify(|head| head.closed = true);
    }

    /// Number of the newest event; one less than the first before there is any.
    pub fn newest(&self) -> u64 {
        self.ring().next_seq - 1
    }

    /// Up to `limit` matching events after number `after` (`None` or 0: all that are kept), oldest first.
    ///
    /// # Errors
    /// [`Gone`] when `after` is not a place in what is kept.
    pub fn page(
        &self,
        after: Option<u64>,
        limit: usize,
        filter: &Filter,
    ) -> Result<EventPage, Gone> {
        let ring = self.ring();
        let start = ring.index_after(ring.place(after.unwrap_or(0)))?;
        let mut wanted = ring.events.range(start..).filter(|event| filter.matches(event));
        let items: Vec<_> = wanted.by_ref().take(limit).cloned().collect();
        let more = wanted.next().is_some();
        let last_seq = match items.last() {
            Some(last) if more => last.seq,
            _ => ring.next_seq - 1, // nothing further matches: skip what was looked at
        };
        Ok(EventPage { items, next: more.then(|| last_seq.to_string()), last_seq })
    }

    /// A reader of all matching events after number `after` (`None`: those to come; 0: all that are kept).
    ///
    /// # Errors
    /// [`Gone`] when `after` is not a place in what is kept.
    pub fn reader(&self, after: Option<u64>, filter: Filter) -> Result<Reader, Gone> {
        let ring = self.ring();
        let newest = ring.next_seq - 1;
        let last = after.map_or(newest, |after| ring.place(after));
        ring.index_after(last)?;
        drop(ring);
        let catching_up = newest - last > self.max_lag();
        let head = self.0.head.subscribe();
        let batch = VecDeque::new();
        Ok(Reader { log: self.clone(), head, filter, batch, last, catching_up })
    }

    /// The oldest number from which everything can still be read.
    pub fn oldest(&self) -> u64 {
        self.ring().oldest()
    }

    /// Says how loud legs are. Costs next to nothing when nobody watches.
    pub fn publish_levels(&self, levels: &[Level]) {
        if self.0.levels.receiver_count() > 0 {
            drop(self.0.levels.send(levels.into())); // the last reader may just have left
        }
    }

    /// A reader of levels; meters are wanted while it lives.
    pub fn levels(&self) -> LevelReader {
        self.0.level_readers.send_modify(|readers| *readers += 1);
        LevelReader { log: self.clone(), receiver: self.0.levels.subscribe() }
    }

    /// How many watch the levels, and a way to wait for a change: meters need to run only while it is not zero.
    pub fn level_readers(&self) -> watch::Receiver<usize> {
        self.0.level_readers.subscribe()
    }

    /// How far a reader may lag before it is cut off while it can still resume: three quarters of the ring.
    fn max_lag(&self) -> u64 {
        u64::try_from(self.0.capacity / 4 * 3).unwrap_or(u64::MAX)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held; if something did, the ring is whole all the same.
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn oldest(&self) -> u64 {
        self.events.front().map_or(self.next_seq, |event| event.seq)
    }

    /// The number itself, but for 0, which stands for "from the oldest kept".
    fn place(&self, after: u64) -> u64 {
        if after == 0 { self.oldest() - 1 } else { after }
    }

    /// Index of the event that follows number `after`.
    fn index_after(&self, after: u64) -> Result<usize, Gone> {
        let oldest = self.oldest();
        let newest = self.next_seq - 1;
        if after > newest {
            return Err(Gone::Unknown { asked: after, newest });
        }
        let index = (after + 1).checked_sub(oldest).ok_or(Gone::TooOld { asked: after, oldest })?;
        Ok(usize::try_from(index).unwrap_or(self.events.len()))
    }
}

/// The room that a participant moved out of.
fn left_room(happened: &Happened) -> Option<RoomId> {
    #[derive(Deserialize)]
    struct Moved {
        from_room: Option<RoomId>,
    }

    let moved = happened.kind == EventType::ParticipantMoved;
    moved.then(|| happened.data.read::<Moved>()).flatten()?.from_room
}

fn numbered(happened: Happened, moved_out_of: Option<RoomId>, seq: u64, seed: u64) -> Event {
    let Happened { kind, time, room, leg, call, data } = happened;
    let unix_ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let id = EventId::new(unix_ms, u128::from(seed) << 40 ^ u128::from(seq));
    Event { id, seq, kind, time, room, leg, call, data, moved_out_of }
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
}

impl Reader {
    /// Number of the last event looked at: where this reader stands.
    pub fn last(&self) -> u64 {
        self.batch.front().map_or(self.last, |next| next.seq - 1)
    }

    /// Waits for the next matching event. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`Cut`] when there will be no more.
    pub async fn next(&mut self) -> Result<Arc<Event>, Cut> {
        loop {
            let head = *self.head.borrow_and_update();
            if let Some(event) = self.batch.pop_front() {
                return Ok(event);
            }
            if self.fill()? {
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

    /// Takes the next stretch of the ring; false when there is nothing new.
    fn fill(&mut self) -> Result<bool, Cut> {
        let ring = self.log.ring();
        let newest = ring.next_seq - 1;
        let behind = newest - self.last;
        let start = ring.index_after(self.last).map_err(|_| Cut::Lost { last: self.last })?;
        if behind > self.log.max_lag() && !self.catching_up {
            return Err(Cut::Slow { last: self.last });
        }
        self.catching_up &= behind > self.log.max_lag();
        let stretch: Vec<_> = ring.events.range(start..).take(BATCH).cloned().collect();
        drop(ring);
        let Some(end) = stretch.last() else { return Ok(false) };
        self.last = end.seq;
        self.batch.extend(stretch.into_iter().filter(|event| self.filter.matches(event)));
        Ok(true)
    }
}

/// A reader of levels.
#[derive(Debug)]
pub struct LevelReader {
    log: EventLog,
    receiver: broadcast::Receiver<Arc<[Level]>>,
}

impl LevelReader {
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

/// Fewest events a log keeps.
const MIN_CAPACITY: usize = 16;
/// Events a reader takes under one lock.
const BATCH: usize = 64;
/// Level publications kept for a reader that is late; older ones are lost.
const LEVEL_BACKLOG: usize = 64;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::event::Data;

    fn log(capacity: usize) -> EventLog {
        EventLog::new(LogSettings { capacity, first_seq: 1, seed: 7 })
    }

    fn happened(kind: EventType) -> Happened {
        let (time, data) = (Timestamp::UNIX_EPOCH, Data::of(&json!({})));
        Happened { kind, time, room: None, leg: None, call: None, data }
    }

    fn push(log: &EventLog, count: usize) {
        for _ in 0..count {
            log.push(happened(EventType::RoomCreated));
        }
    }

    #[tokio::test]
    async fn a_reader_resumes_after_the_event_it_saw_last() {
        let log = log(16);
        push(&log, 3);

        let mut reader = log.reader(Some(1), Filter::default()).unwrap();

        assert_eq!(reader.next().await.unwrap().seq, 2);
        assert_eq!(reader.next().await.unwrap().seq, 3);
        assert_eq!(reader.last(), 3);
    }

    #[tokio::test]
    async fn a_new_reader_sees_only_what_is_to_come() {
        let log = log(16);
        push(&log, 3);
        let mut reader = log.reader(None, Filter::default()).unwrap();

        push(&log, 1);

        assert_eq!(reader.next().await.unwrap().seq, 4);
    }

    #[tokio::test]
    async fn a_slow_reader_is_cut_off_where_it_can_resume() {
        let log = log(16);
        let mut reader = log.reader(None, Filter::default()).unwrap();

        push(&log, 13);

        assert_eq!(reader.next().await, Err(Cut::Slow { last: 0 }));
        let mut again = log.reader(Some(0), Filter::default()).unwrap();
        assert_eq!(again.next().await.unwrap().seq, 1);
    }

    #[tokio::test]
    async fn a_reader_that_lost_events_is_told_so() {
        let log = log(16);
        push(&log, 1);
        let mut reader = log.reader(Some(1), Filter::default()).unwrap();

        push(&log, 17);

        assert_eq!(reader.next().await, Err(Cut::Lost { last: 1 }));
    }

    #[tokio::test]
    async fn closing_ends_readers_after_what_is_there() {
        let log = log(16);
        let mut reader = log.reader(None, Filter::default()).unwrap();
        push(&log, 1);

        log.close();

        assert_eq!(reader.next().await.unwrap().seq, 1);
        assert_eq!(reader.next().await, Err(Cut::Closed { last: 1 }));
    }

    #[test]
    fn places_outside_the_ring_are_gone() {
        let log = log(16);
        push(&log, 20);

        let too_old = log.page(Some(3), 10, &Filter::default()).unwrap_err();
        let unknown = log.page(Some(21), 10, &Filter::default()).unwrap_err();

        assert_eq!(too_old, Gone::TooOld { asked: 3, oldest: 5 });
        assert_eq!(unknown, Gone::Unknown { asked: 21, newest: 20 });
        assert_eq!(log.page(Some(4), 1, &Filter::default()).unwrap().items[0].seq, 5);
        assert_eq!(log.page(Some(0), 1, &Filter::default()).unwrap().items[0].seq, 5);
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended_and_skip_what_does_not_match() {
        let log = log(16);
        push(&log, 2);
        log.push(happened(EventType::RoomEnded));
        push(&log, 2);
        let filter = Filter { kinds: vec![EventType::RoomCreated], ..Filter::default() };

        let first = log.page(None, 3, &filter).unwrap();
        let second = log.page(Some(first.last_seq), 3, &filter).unwrap();

        assert_eq!(first.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(first.next.as_deref(), Some("4"));
        assert_eq!(second.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [5]);
        assert_eq!((second.next, second.last_seq), (None, 5));
    }

    #[test]
    fn who_moves_is_told_in_the_room_left_as_well() {
        let log = log(16);
        let rooms = [RoomId::new(1, 1), RoomId::new(2, 2)];
        let data = Data::of(&json!({ "from_room": rooms[0], "to_room": rooms[1] }));
        let moved = happened(EventType::ParticipantMoved);
        log.push(Happened { room: Some(rooms[1]), data, ..moved });

        let seen = [rooms[0], rooms[1], RoomId::new(3, 3)].map(|room| {
            let filter = Filter { room: Some(room), ..Filter::default() };
            log.page(None, 10, &filter).unwrap().items.len()
        });

        assert_eq!(seen, [1, 1, 0]);
    }

    #[test]
    fn meters_are_wanted_while_somebody_watches() {
        let log = log(16);
        let readers = log.level_readers();

        let reader = log.levels();
        assert_eq!(*readers.borrow(), 1);
        drop(reader);

        assert_eq!(*readers.borrow(), 0);
    }
}
