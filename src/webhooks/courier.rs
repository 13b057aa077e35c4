//! What is delivered to one webhook, when, and again when: no socket, no store, wall time as an argument.
//!
//! ```text
//!  Event ─▶ waiting ─▶ Output::Attempt ─▶ Answered ─┬─ 2xx ──▶ delivered
//!              ▲                                    ├─ 410 ──▶ failed, Output::Disable
//!              └── DELAYS, jitter ◀── all else ─────┴─ last ─▶ failed
//! ```
//! At least once: an event is told to the store as a delivery of its own after its first attempt, and up to the last event before
//! which all are there, or are not wanted, goes the cursor. So a kill costs nothing but that some are delivered again, with the
//! same `webhook-id`.
//!
//! Order: events of a room, or else of a call or of a leg, are a lane. Of a lane one is under way at a time, and the next waits until it is delivered
//! or has failed twice ([`IN_ORDER`]); then the lane goes on without it, so that it holds nothing up for hours.
//!
//! One input, then drain [`Courier::poll_output`] up to [`Output::WaitUntil`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::archive::{Document, DocumentKind, KeptDelivery, Progress, Unfinished};
use api::event::Event;
use api::id::{CallId, DeliveryId, EventId, LegId, RoomId, WebhookId};
use api::model::{Attempt, Delivery, DeliveryState, DisabledReason};
use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// What one webhook is to be told.
#[derive(Debug)]
pub(super) struct Courier {
    webhook: WebhookId,
    settings: Settings,
    dice: ChaCha8Rng,
    open: BTreeMap<DeliveryId, Open>,
    /// Who waits for whom.
    lanes: BTreeMap<Lane, VecDeque<DeliveryId>>,
    under_way: usize,
    /// Nothing more is begun: it is disabled, or we stop.
    stopped: bool,
    /// Up to which event the log was looked at.
    looked_at: u64,
    /// Events of which nothing but memory knows.
    unstored: BTreeSet<u64>,
    /// Deliveries that are to be stored.
    dirty: BTreeMap<DeliveryId, KeptDelivery>,
    /// What is on its way to the store.
    saving: Option<Progress>,
    cursor: Cursor,
    saved_at: Timestamp,
    failing_since: Option<Timestamp>,
    /// Failures since it has taken anything.
    failures: usize,
    last_failure: Timestamp,
    outputs: VecDeque<Output>,
}

/// How a webhook is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Attempts at once.
    pub(super) at_once: usize,
    /// It is disabled once it has taken nothing for so long.
    pub(super) disable_after: Duration,
    /// What the jitter is drawn from.
    pub(super) seed: u64,
}

/// Where a webhook stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Cursor {
    seq: u64,
    failing_since: Option<Timestamp>,
}

#[derive(Debug)]
struct Open {
    kept: KeptDelivery,
    /// Where it waits for its turn.
    lane: Option<Lane>,
    is_under_way: bool,
}

/// What has an order of its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Lane {
    Room(RoomId),
    Call(CallId),
    Leg(LegId),
}

/// What the courier is told.
#[derive(Debug)]
pub(super) enum Input {
    /// The next event of the log, which the webhook wants.
    Event(Arc<Event>),
    /// The log was looked at up to this one, which it does not want.
    Passed(u64),
    /// Somebody asks for this to be delivered, perhaps again.
    Errand(Box<KeptDelivery>),
    /// How an attempt went.
    Answered(DeliveryId, Answered),
    /// The answer to [`Output::Save`].
    Saved(bool),
    /// Nothing more is to be begun.
    Stop,
    /// The time of [`Output::WaitUntil`] has come.
    Timeout,
}

/// How an attempt went.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) began: Timestamp,
    pub(super) took: Duration,
    /// The status of the answer, or why there is none.
    pub(super) status: Result<u16, &'static str>,
    /// What was answered, or what is to be said of that.
    pub(super) response: String,
}

/// What the courier wants done.
#[derive(Debug)]
pub(super) enum Output {
    /// Send this, and tell how that went.
    Attempt(Box<Errand>),
    /// Store this, and tell whether it is stored.
    Save(Progress),
    /// The webhook is to be told nothing any more.
    Disable(DisabledReason),
    /// An attempt came to this, for the figures.
    Count(&'static str),
    /// Nothing to do until then.
    WaitUntil(Option<Timestamp>),
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) delivery: DeliveryId,
    /// What `webhook-id` says.
    pub(super) event: EventId,
    pub(super) payload: Arc<str>,
}

impl Courier {
    /// Goes on where the webhook has stopped, but not before the event after `since`.
    pub(super) fn new(
        (webhook, since): (WebhookId, u64),
        settings: Settings,
        unfinished: Unfinished,
        now: Timestamp,
    ) -> Self {
        let cursor = unfinished.cursor.and_then(|kept| serde_json::from_str(&kept.body).ok());
        let cursor: Cursor = cursor.unwrap_or_default();
        let open =
            |kept: KeptDelivery| (kept.delivery.id, Open { kept, lane: None, is_under_way: false });
        Self {
            webhook,
            settings,
            dice: ChaCha8Rng::seed_from_u64(settings.seed),
            open: unfinished.deliveries.into_iter().map(open).collect(),
            lanes: BTreeMap::new(),
            under_way: 0,
            stopped: false,
            looked_at: cursor.seq.max(since),
            unstored: BTreeSet::new(),
            dirty: BTreeMap::new(),
            saving: None,
            cursor,
            saved_at: now,
            failing_since: cursor.failing_since,
            failures: 0,
            last_failure: Timestamp::MIN,
            outputs: VecDeque::new(),
        }
    }

    /// The event after which the log is to be read.
    pub(super) fn place(&self) -> u64 {
        self.looked_at
    }

    /// Deliveries that wait or are under way.
    pub(super) fn backlog(&self) -> usize {
        self.open.len()
    }

    /// Whether more events may come now; those that may not wait in the log.
    pub(super) fn wants_more(&self) -> bool {
        let is_fresh = |open: &&Open| open.kept.tries == 0;
        !self.stopped
            && !self.is_full()
            && self.dirty.len() < MOST_DIRTY
            && self.open.values().filter(is_fresh).count() < AHEAD
    }

    /// Whether it was stopped, and all that was under way is over and stored.
    pub(super) fn is_done(&self) -> bool {
        self.stopped && self.under_way == 0 && self.saving.is_none() && self.dirty.is_empty()
    }

    pub(super) fn handle_input(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Event(event) => self.take(&event),
            Input::Passed(seq) => self.looked_at = self.looked_at.max(seq),
            Input::Errand(kept) => self.take_errand(now, *kept),
            Input::Answered(id, answered) => self.answered(id, answered),
            Input::Saved(is_stored) => self.saved(now, is_stored),
            Input::Stop => self.stopped = true,
            Input::Timeout => {}
        }
        self.begin(now);
        self.save(now);
        let wake = self.wake(now);
        self.outputs.push_back(Output::WaitUntil(wake));
    }

    /// What is to be done next; after [`Output::WaitUntil`] there is nothing before the next input.
    pub(super) fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::WaitUntil(None))
    }

    // ---- what comes in ----

    fn take(&mut self, event: &Event) {
        self.looked_at = self.looked_at.max(event.seq);
        let id = delivery_id(self.webhook, event);
        if self.open.contains_key(&id) {
            return; // it was tried before a restart
        }
        let delivery = Delivery {
            id,
            webhook: self.webhook,
            event: event.id,
            seq: Some(event.seq),
            kind: event.kind.as_str().to_owned(),
            room: event.room,
            state: DeliveryState::Pending,
            time: event.time,
            next_attempt_at: Some(event.time),
            attempts: Vec::new(),
        };
        let lane = Lane::of(event);
        if let Some(lane) = lane {
            self.lanes.entry(lane).or_default().push_back(id);
        }
        let kept = KeptDelivery { delivery, payload: Some(event.to_json().into()), tries: 0 };
        self.unstored.insert(event.seq);
        self.open.insert(id, Open { kept, lane, is_under_way: false });
    }

    fn take_errand(&mut self, now: Timestamp, kept: KeptDelivery) {
        let id = kept.delivery.id;
        let none = || Open { kept, lane: None, is_under_way: false };
        let open = self.open.entry(id).or_insert_with(none);
        open.kept.tries = 0;
        open.kept.delivery.next_attempt_at = Some(now);
        self.dirty.insert(id, open.kept.clone());
    }

    fn answered(&mut self, id: DeliveryId, answered: Answered) {
        let Some(mut open) = self.open.remove(&id) else { return };
        self.under_way -= 1;
        open.is_under_way = false;
        open.kept.tries += 1;
        let (began, status) = (answered.began, answered.status);
        note(&mut open.kept.delivery, answered);
        match status {
            Ok(200..=299) => {
                self.outputs.push_back(Output::Count("delivered"));
                self.end(open, DeliveryState::Delivered);
                self.failing_since = None;
                // Where one event alone is refused, it keeps its times.
                if std::mem::take(&mut self.failures) >= MANY_FAILURES {
                    self.hasten(began);
                }
            }
            Ok(410) => {
                self.outputs.push_back(Output::Count("gone"));
                self.end(open, DeliveryState::Failed);
                self.disable(DisabledReason::Gone);
            }
            Ok(_) | Err(_) => self.failed(open, began),
        }
    }

    fn failed(&mut self, mut open: Open, began: Timestamp) {
        let since = *self.failing_since.get_or_insert(began);
        self.failures += 1;
        self.last_failure = began;
        let delay = usize::try_from(open.kept.tries).ok().and_then(|tries| DELAYS.get(tries - 1));
        if let Some(delay) = delay {
            self.outputs.push_back(Output::Count("retried"));
            let next = later(began, self.with_jitter(*delay));
            open.kept.delivery.next_attempt_at = Some(next);
            if open.kept.tries >= IN_ORDER {
                self.leave_lane(&mut open);
            }
            let id = open.kept.delivery.id;
            self.dirty.insert(id, open.kept.clone());
            self.open.insert(id, open);
        } else {
            self.outputs.push_back(Output::Count("given_up"));
            self.end(open, DeliveryState::Failed);
        }
        if began.duration_since(since).unsigned_abs() >= self.settings.disable_after {
            self.disable(DisabledReason::Failing);
        }
    }

    /// The delivery is over.
    fn end(&mut self, mut open: Open, state: DeliveryState) {
        self.leave_lane(&mut open);
        let Open { mut kept, .. } = open;
        kept.delivery.state = state;
        kept.delivery.next_attempt_at = None;
        kept.payload = None;
        self.dirty.insert(kept.delivery.id, kept);
    }

    fn leave_lane(&mut self, open: &mut Open) {
        let Some(lane) = open.lane.take() else { return };
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        queue.retain(|id| *id != open.kept.delivery.id);
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
    }

    fn disable(&mut self, reason: DisabledReason) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.outputs.push_back(Output::Disable(reason));
        }
    }

    /// It takes events again: what waits for another try need not wait for hours.
    fn hasten(&mut self, now: Timestamp) {
        for open in self.open.values_mut().filter(|open| !open.is_under_way) {
            let next = &mut open.kept.delivery.next_attempt_at;
            *next = next.map(|next| next.min(now));
        }
    }

    // ---- what is begun ----

    fn begin(&mut self, now: Timestamp) {
        while !self.stopped && self.under_way < self.settings.at_once {
            let due = self.next().filter(|(at, _)| *at <= now);
            let Some(open) = due.and_then(|(_, id)| self.open.get_mut(&id)) else { return };
            open.is_under_way = true;
            let KeptDelivery { delivery, payload, .. } = &open.kept;
            let payload = payload.clone().unwrap_or_default();
            let (delivery, event) = (delivery.id, delivery.event);
            let errand = Errand { delivery, event, payload };
            self.outputs.push_back(Output::Attempt(Box::new(errand)));
            self.under_way += 1;
        }
    }

    /// What may be tried next, and when. Where as many wait as may, one of them is tried in vain each [`PROBE`] at least, or nobody
    /// would know for hours that the endpoint is back.
    fn next(&self) -> Option<(Timestamp, DeliveryId)> {
        let is_first = |id: &DeliveryId, lane: Lane| {
            self.lanes.get(&lane).is_some_and(|queue| queue.front() == Some(id))
        };
        let may_begin = |(id, open): &(&DeliveryId, &Open)| {
            !open.is_under_way && open.lane.is_none_or(|lane| is_first(id, lane))
        };
        let waiting = self.open.iter().filter(may_begin);
        let turns = waiting.filter_map(|(id, open)| {
            let Delivery { next_attempt_at, seq, .. } = open.kept.delivery;
            Some((next_attempt_at?, seq, *id))
        });
        let (at, _, id) = turns.min()?;
        let probe = if self.is_full() { later(self.last_failure, PROBE) } else { at };
        Some((at.min(probe), id))
    }

    fn is_full(&self) -> bool {
        self.open.len() >= MOST_OPEN
    }

    fn with_jitter(&mut self, delay: Duration) -> Duration {
        let share = f64::from(self.dice.next_u32()) / f64::from(u32::MAX);
        delay + delay.mul_f64(JITTER * share)
    }

    // ---- what is stored ----

    fn save(&mut self, now: Timestamp) {
        let (is_late, cursor) = (now >= later(self.saved_at, STRIDE_TIME), self.cursor_now());
        let is_far = cursor.seq >= self.cursor.seq.saturating_add(STRIDE);
        let is_news = !self.dirty.is_empty() || is_far || (is_late && cursor != self.cursor);
        if self.saving.is_some() || !is_news || now < self.saved_at {
            return;
        }
        let deliveries: Vec<_> = std::mem::take(&mut self.dirty).into_values().collect();
        for seq in deliveries.iter().filter_map(|kept| kept.delivery.seq) {
            self.unstored.remove(&seq);
        }
        self.cursor = self.cursor_now();
        let body = serde_json::to_string(&self.cursor).unwrap_or_default();
        let (kind, name) = (DocumentKind::WebhookCursor, self.webhook.to_string());
        let cursor = Some(Document { kind, name, revision: self.cursor.seq, body });
        let progress = Progress { cursor, deliveries };
        self.saving = Some(progress.clone());
        self.saved_at = now;
        self.outputs.push_back(Output::Save(progress));
    }

    /// Up to where all is stored, or will be with what is dirty.
    fn cursor_now(&self) -> Cursor {
        let seq = self.unstored.first().map_or(self.looked_at, |first| first - 1);
        Cursor { seq, failing_since: self.failing_since }
    }

    fn saved(&mut self, now: Timestamp, is_stored: bool) {
        let Some(progress) = self.saving.take().filter(|_| !is_stored) else { return };
        for kept in progress.deliveries {
            self.unstored.extend(kept.delivery.seq);
            self.dirty.entry(kept.delivery.id).or_insert(kept);
        }
        self.saved_at = later(now, SAVE_PAUSE); // not before
    }

    /// When something is to be begun or stored.
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let can_begin = !self.stopped && self.under_way < self.settings.at_once;
        let attempt = self.next().filter(|_| can_begin).map(|(at, _)| at);
        let is_waiting = self.saving.is_none() && !self.dirty.is_empty();
        let save = is_waiting.then(|| self.saved_at.max(now));
        let stride = (self.cursor_now() != self.cursor).then(|| later(self.saved_at, STRIDE_TIME));
        attempt.into_iter().chain(save).chain(stride).min()
    }
}

impl Lane {
    /// Events of nothing have no order among each other.
    fn of(event: &Event) -> Option<Self> {
        let room = event.room.map(Self::Room);
        room.or_else(|| event.call.map(Self::Call)).or_else(|| event.leg.map(Self::Leg))
    }
}

/// The same for the same event, also after a restart; its time is that of the event.
fn delivery_id(webhook: WebhookId, event: &Event) -> DeliveryId {
    let unix_ms = u64::try_from(event.time.as_millisecond()).unwrap_or(0);
    DeliveryId::new(unix_ms, webhook.random() ^ event.id.random())
}

fn note(delivery: &mut Delivery, answered: Answered) {
    let Answered { began, took, status, response } = answered;
    if delivery.attempts.len() >= MOST_ATTEMPTS {
        delivery.attempts.remove(0);
    }
    delivery.attempts.push(Attempt {
        at: began,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        status: status.ok(),
        error: status.err().map(ToOwned::to_owned),
        response,
    });
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// From a failure to the next attempt (Standard Webhooks 1.0, "Deliverability and reliability"); after the last it is given up.
const DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// By up to this share a delay is longer, so that not all come back at once.
const JITTER: f64 = 0.1;
/// Attempts for which those that come after it in its lane wait.
const IN_ORDER: u32 = 2;
/// Events that are taken ahead of their first attempt.
const AHEAD: usize = 64;
/// Deliveries that wait; then no more events are taken from the log.
const MOST_OPEN: usize = 1000;
/// Failures in a row after which it is the endpoint, not the event.
const MANY_FAILURES: usize = 10;
const PROBE: Duration = Duration::from_mins(5);
/// Deliveries that wait to be stored; then no more events are taken from the log.
const MOST_DIRTY: usize = 1000;
/// Events by which the stored cursor may be behind where nothing is wanted, and for how long.
const STRIDE: u64 = 1000;
const STRIDE_TIME: Duration = Duration::from_hours(1);
/// Between two tries to store.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// Attempts that are remembered.
const MOST_ATTEMPTS: usize = 20;

#[cfg(test)]
mod tests;
