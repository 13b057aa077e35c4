//! The one numbered log of [`Event`]s: a bounded ring in memory from which every reader reads at its own pace and resumes by number.
//!
//! ```text
//!  push ─▶ ring ─────────────▶ readers, pages
//!     └──▶ Desk ─▶ store ──────┘ what is older than the ring
//! ```
//! Pushing takes a short lock and never waits for a reader, nor for the store. A reader holds no queue of its own, only its
//! place in the log: one that falls too far behind is cut off, and told from where it can go on.
//!
//! Levels are a separate topic beside the log: not numbered, not kept, lost when nobody reads in time.

mod levels;
mod past;
mod reader;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

use self::past::Past;
use crate::archive::{Desk, EventSpan, Record};
use crate::control::ControlError;
use crate::event::{Event, EventType, Happened, Level};
use crate::id::{CallId, EventId, LegId, RoomId};

pub use self::levels::LevelReader;
pub use self::reader::{Cut, Reader};

/// How much the log keeps and where its numbers begin.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// Events kept for readers to resume from (at least 16); about 1 kB each. Default 10 000.
    pub capacity: usize,
    /// Number of the first event: above all that were given before ([`first_seq`]). Default 1.
    pub first_seq: u64,
    /// Makes event ids of different runs differ.
    pub seed: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { capacity: 10_000, first_seq: 1, seed: 0 }
    }
}

/// The first number of a log that goes on where an earlier one, of which this is stored, has stopped.
///
/// The wall clock leaves room for what was told and not stored before a kill, so no number is given twice and a client that
/// saw such an event goes on after it; where the clock has gone back, or there was more than an event a millisecond, the margin does.
pub fn first_seq(unix_ms: u64, stored: Option<EventSpan>) -> u64 {
    stored.map_or(1, |span| span.newest.saturating_add(MARGIN)).max(unix_ms)
}

/// The log: cheap to clone, shared by the driver that writes and all that read.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// Where what no longer fits into the ring is read; none: it is gone.
    past: Option<Past>,
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

/// Why a stretch of the log cannot be read.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unread {
    /// It is not a place in the log.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// What the store says.
    #[error(transparent)]
    Store(#[from] ControlError),
}

/// Which events a reader wants: each part that is not empty must match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Exact types.
    pub kinds: Vec<EventType>,
    /// Events of these rooms, also those of who moves out of them.
    pub rooms: Vec<RoomId>,
    /// Events of these legs.
    pub legs: Vec<LegId>,
    /// Events of these calls.
    pub calls: Vec<CallId>,
}

impl Filter {
    /// Whether a reader with this filter wants `event`.
    pub fn matches(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && (among(&self.rooms, event.room) || self.rooms_left(event))
            && among(&self.legs, event.leg)
            && among(&self.calls, event.call)
    }

    fn rooms_left(&self, event: &Event) -> bool {
        event.moved_out_of.is_some_and(|room| self.rooms.contains(&room))
    }

    /// Whether a reader with this filter wants to know how loud this leg is.
    pub fn matches_level(&self, level: &Level) -> bool {
        among(&self.rooms, level.room) && among(&self.legs, Some(level.leg))
    }
}

fn among<T: PartialEq>(wanted: &[T], found: Option<T>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(&found))
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
    /// An empty log that lives in memory alone.
    pub fn new(settings: LogSettings) -> Self {
        Self::of(settings, None)
    }

    /// A log whose events are stored as well, and read from there when the ring has lost them. `stored` is what there is of
    /// earlier logs. The ring holds at least as many events as may wait to be stored.
    pub fn kept(settings: LogSettings, desk: Desk, stored: Option<EventSpan>) -> Self {
        let oldest = stored.map_or_else(|| settings.first_seq.max(1), |span| span.oldest);
        let capacity = settings.capacity.max(MIN_KEPT_CAPACITY);
        Self::of(LogSettings { capacity, ..settings }, Some(Past::new(desk, oldest)))
    }

    fn of(settings: LogSettings, past: Option<Past>) -> Self {
        let next_seq = settings.first_seq.max(1);
        Self(Arc::new(Shared {
            ring: Mutex::new(Ring { events: VecDeque::new(), next_seq }),
            past,
            capacity: settings.capacity.max(MIN_CAPACITY),
            seed: settings.seed,
            head: watch::Sender::new(Head { newest: next_seq - 1, closed: false }),
            levels: broadcast::Sender::new(LEVEL_BACKLOG),
            level_readers: watch::Sender::new(0),
        }))
    }

    /// Numbers and keeps what happened, hands it to the store, and wakes the readers. Never waits for any of them; what finds
    /// no place in the queue to the store is not stored, and counted.
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
        if let Some(past) = &self.0.past {
            past.desk.note(Record::Event(Arc::clone(&event))); // under the lock, so that they are stored in their order
        }
        drop(ring);
        self.0.head.send_modify(|head| head.newest = head.newest.max(seq));
        event
    }

    /// Ends every reader once it has read what is there. Pushing still works; nobody is told.
    pub fn close(&self) {
        self.0.head.send_modify(|head| head.closed = true);
    }

    /// Waits until the log is closed.
    pub async fn closed(&self) {
        // It cannot be gone: this is part of it.
        drop(self.0.head.subscribe().wait_for(|head| head.closed).await);
    }

    /// Number of the newest event; one less than the first before there is any.
    pub fn newest(&self) -> u64 {
        self.ring().next_seq - 1
    }

    /// Up to `limit` matching events after number `after` (`None` or 0: all that are kept), oldest first. A page may have fewer,
    /// or none, and a `next` all the same: it ends where it has looked at enough.
    ///
    /// # Errors
    /// [`Unread`] when `after` is not a place in what is kept, or the store does not answer.
    pub async fn page(
        &self,
        after: Option<u64>,
        limit: usize,
        filter: &Filter,
    ) -> Result<EventPage, Unread> {
        let mut place = self.ring().check(self.0.past.as_ref(), after.unwrap_or(0))?;
        let mut items = Vec::new();
        for _ in 0..LOOKS {
            let (found, end) = match self.recent(place, limit - items.len(), filter) {
                Ok(page) => (page.items, page.next.is_none().then_some(page.last_seq)),
                Err(before) => {
                    let past = self
                        .0
                        .past
                        .as_ref()
                        .ok_or(Gone::TooOld { asked: place, oldest: before })?;
                    let stretch = past.read(place, before, filter).await?;
                    place = stretch.last;
                    (stretch.events, None)
                }
            };
            items.extend(found.into_iter().take(limit - items.len()));
            if let Some(last_seq) = end {
                return Ok(EventPage { items, next: None, last_seq });
            }
            if let Some(last) = items.last().filter(|_| items.len() == limit) {
                let last_seq = last.seq;
                return Ok(EventPage { items, next: Some(last_seq.to_string()), last_seq });
            }
        }
        Ok(EventPage { items, next: Some(place.to_string()), last_seq: place })
    }

    /// A page of the ring, or the oldest number in it when it has lost some of what is asked for.
    fn recent(&self, after: u64, limit: usize, filter: &Filter) -> Result<EventPage, u64> {
        let ring = self.ring();
        let start = ring.index_after(after).ok_or_else(|| ring.oldest())?;
        let mut wanted = ring.events.range(start..).filter(|event| filter.matches(event));
        let items: Vec<_> = wanted.by_ref().take(limit).cloned().collect();
        let more = wanted.next().is_some();
        let last_seq = match items.last() {
            Some(last) if more => last.seq,
            _ => ring.next_seq - 1, // nothing further matches: skip what was looked at
        };
        Ok(EventPage { items, next: more.then(|| last_seq.to_string()), last_seq })
    }

    /// The event of this number, unless it is no longer kept.
    ///
    /// # Errors
    /// What the store says.
    pub async fn event(&self, seq: u64) -> Result<Option<Arc<Event>>, ControlError> {
        let Some(after) = seq.checked_sub(1) else { return Ok(None) };
        let before = match self.recent(after, 1, &Filter::default()) {
            Ok(page) => return Ok(page.items.into_iter().find(|event| event.seq == seq)),
            Err(before) => before.min(seq + 1),
        };
        let Some(past) = &self.0.past else { return Ok(None) };
        let found = past.between(after, before, &Filter::default()).await?;
        Ok(found.items.into_iter().next())
    }

    /// A reader of all matching events after number `after` (`None`: those to come; 0: all that are kept).
    ///
    /// # Errors
    /// [`Gone`] when `after` is not a place in what is kept.
    pub fn reader(&self, after: Option<u64>, filter: Filter) -> Result<Reader, Gone> {
        let ring = self.ring();
        let newest = ring.next_seq - 1;
        let last = match after {
            Some(after) => ring.check(self.0.past.as_ref(), after)?,
            None => newest,
        };
        drop(ring);
        Ok(Reader::new(self.clone(), last, newest, filter))
    }

    /// The oldest number from which everything can still be read.
    pub fn oldest(&self) -> u64 {
        self.ring().oldest_of(self.0.past.as_ref())
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
        LevelReader::new(self.clone(), self.0.levels.subscribe())
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

    /// The oldest that can be read, here or in the past.
    fn oldest_of(&self, past: Option<&Past>) -> u64 {
        past.map_or_else(|| self.oldest(), |past| past.oldest().min(self.oldest()))
    }

    /// `after` as a place to read on from; 0 stands for "from the oldest kept".
    fn check(&self, past: Option<&Past>, after: u64) -> Result<u64, Gone> {
        let (oldest, newest) = (self.oldest_of(past), self.next_seq - 1);
        match after {
            0 => Ok(oldest - 1),
            _ if after > newest => Err(Gone::Unknown { asked: after, newest }),
            _ if after + 1 < oldest => Err(Gone::TooOld { asked: after, oldest }),
            _ => Ok(after),
        }
    }

    /// Index of the event that follows number `after`; none: it is older than the ring.
    fn index_after(&self, after: u64) -> Option<usize> {
        let index = (after + 1).checked_sub(self.oldest())?;
        Some(usize::try_from(index).unwrap_or(self.events.len()).min(self.events.len()))
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

/// Fewest events a log keeps.
const MIN_CAPACITY: usize = 16;
/// Fewest events that a log holds beside the store: more than may wait to be stored, so that none is in neither.
const MIN_KEPT_CAPACITY: usize = 20_000;
/// By how much numbers go on above the last that is stored.
const MARGIN: u64 = 1_000_000;
/// Stretches of the past that are looked at for a page, 500 events each.
const LOOKS: usize = 20;
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

    #[tokio::test]
    async fn places_outside_the_ring_are_gone() {
        let log = log(16);
        push(&log, 20);

        let too_old = log.page(Some(3), 10, &Filter::default()).await.unwrap_err();
        let unknown = log.page(Some(21), 10, &Filter::default()).await.unwrap_err();

        assert_eq!(too_old, Gone::TooOld { asked: 3, oldest: 5 }.into());
        assert_eq!(unknown, Gone::Unknown { asked: 21, newest: 20 }.into());
        assert_eq!(log.page(Some(4), 1, &Filter::default()).await.unwrap().items[0].seq, 5);
        assert_eq!(log.page(Some(0), 1, &Filter::default()).await.unwrap().items[0].seq, 5);
    }

    #[tokio::test]
    async fn pages_go_on_where_the_last_one_ended_and_skip_what_does_not_match() {
        let log = log(16);
        push(&log, 2);
        log.push(happened(EventType::RoomEnded));
        push(&log, 2);
        let filter = Filter { kinds: vec![EventType::RoomCreated], ..Filter::default() };

        let first = log.page(None, 3, &filter).await.unwrap();
        let second = log.page(Some(first.last_seq), 3, &filter).await.unwrap();

        assert_eq!(first.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(first.next.as_deref(), Some("4"));
        assert_eq!(second.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [5]);
        assert_eq!((second.next, second.last_seq), (None, 5));
    }

    #[tokio::test]
    async fn who_moves_is_told_in_the_room_left_as_well() {
        let log = log(16);
        let rooms = [RoomId::new(1, 1), RoomId::new(2, 2)];
        let data = Data::of(&json!({ "from_room": rooms[0], "to_room": rooms[1] }));
        let moved = happened(EventType::ParticipantMoved);
        log.push(Happened { room: Some(rooms[1]), data, ..moved });

        let mut seen = Vec::new();
        for room in [rooms[0], rooms[1], RoomId::new(3, 3)] {
            let filter = Filter { rooms: vec![room], ..Filter::default() };
            seen.push(log.page(None, 10, &filter).await.unwrap().items.len());
        }

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
