//! A room on its worker: when it ticks, and when it rests.
//!
//! ```text
//!             somebody sends or is sent to                nobody sends RTP for `asleep_after`
//!   Idle ───────────────────────────────▶ Steady ───────────────────────────────▶ Asleep
//!    ▲                                      │ ▲                                      │
//!    └──────── nobody may send or hear ─────┘ └──── a packet, or an order for a leg ─┘
//! ```
//! Steady is a tick each 20 ms. Asleep is one packet of silence each [`KEEP_ALIVE`] for every leg, which keeps NAT bindings
//! (RFC 6263 §4.6) and the far side's patience. Idle (everyone on hold) sends nothing.
//!
//! A mix may be a part of a room that spreads over several workers. Its ticks then have two halves (`parts`), and it rests
//! only when the others do.

use std::time::{Duration, Instant};

use mixer::room::{Room, Sink, SlotId, TICK, Take};

use super::command::{Event, Levels, TapeKey};
use super::leg::Upkeep;
use super::legs::Legs;
use super::outbox::Outbox;
use super::parts::{Link, Links, PATIENCE};
use super::tally::Tally;
use super::tape::Tape;
use super::watch::Watch;
use super::worker::Peer;

/// A room with its deadlines.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) room: Room,
    /// Next tick, or the end of the patience with the other parts.
    pub(super) due: Instant,
    /// The tick whose first half is done.
    begun: Option<Instant>,
    pub(super) links: Links,
    /// Where what everybody hears goes, if it is recorded.
    tapes: Vec<Tape>,
    ticks: u64,
    /// Last RTP packet from any leg, or order about one.
    heard: Instant,
    pace: Pace,
    /// Nobody sent RTP here for long, whatever other parts do.
    rests: bool,
    /// The sockets of its legs are being watched.
    watched: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    Steady,
    Asleep,
    Idle,
}

impl Mix {
    /// A mix that ticks first at `due`.
    pub(super) fn new(room: Room, due: Instant) -> Self {
        Self {
            room,
            due,
            begun: None,
            links: Links::default(),
            tapes: Vec::new(),
            ticks: 0,
            heard: due,
            pace: Pace::Steady,
            rests: false,
            watched: false,
        }
    }

    /// True if there is something to do now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now || self.begun.is_some_and(|tick| self.links.are_there(tick))
    }

    /// True while a tick waits for other parts.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Adds a way to another part.
    pub(super) fn link(&mut self, now: Instant, link: Link) {
        self.links.add(now, link, &mut self.room);
        self.wake(now);
    }

    /// Records what everybody hears, beside what is recorded already.
    pub(super) fn record(&mut self, tape: Tape) {
        self.tapes.push(tape);
        self.room.set_recorded(true);
    }

    /// Does so no more.
    pub(super) fn unrecord(&mut self, tape: TapeKey) {
        self.tapes.retain(|recorded| recorded.key != tape);
        self.room.set_recorded(!self.tapes.is_empty());
    }

    /// Brings it back to its ticks, for an order that concerns one of its legs.
    pub(super) fn wake(&mut self, now: Instant) {
        self.heard = now;
        self.look(now);
    }

    /// Has it go on if another part has begun to say something while it rests.
    pub(super) fn look_elsewhere(&mut self, now: Instant) {
        if self.pace == Pace::Asleep && self.links.are_awake() {
            self.links.heard = Some(now);
            self.look(now);
        }
    }

    /// Has it look at its sockets within the next period: a packet waits.
    pub(super) fn look(&mut self, now: Instant) {
        if self.begun.is_some() {
            return;
        }
        while self.due > now + TICK {
            self.due -= TICK;
        }
    }

    /// Reads what waits at the ports of its legs.
    pub(super) fn receive(&mut self, legs: &mut Legs, upkeep: &mut Upkeep<'_>) {
        for (id, slot) in self.room.slots_mut() {
            if let Some(leg) = legs.at_mut(id)
                && leg.receive(slot, upkeep)
            {
                self.heard = upkeep.clock.now;
            }
        }
    }

    /// Runs the ticks that are due; so many behind that they would be a burst are skipped.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        (asleep_after, peers): (Duration, &[Peer]),
        sink: &mut impl Sink,
        tally: &mut Tally,
    ) {
        if self.begun.is_some() {
            return self.catch_up(now, peers, sink, tally);
        }
        let late_by = now.saturating_duration_since(self.due);
        tally.latest_start = tally.latest_start.max(late_by);
        if late_by > TICK / 2 {
            tally.late_ticks += 1;
        }
        self.choose_pace(now, asleep_after);
        let rest = match self.pace {
            Pace::Idle => IDLE_UPKEEP,
            Pace::Asleep => {
                self.begin(peers);
                self.links.hear(&mut self.room, self.due);
                self.end(self.due, sink);
                self.links.sleep();
                tally.ticks += 1;
                KEEP_ALIVE
            }
            Pace::Steady => return self.catch_up(now, peers, sink, tally),
        };
        self.due = next_deadline(self.due + rest, now);
    }

    fn choose_pace(&mut self, now: Instant, asleep_after: Duration) {
        if now.saturating_duration_since(self.heard) >= asleep_after && self.room.is_playing() {
            self.heard = now;
        }
        self.rests = now.saturating_duration_since(self.heard) >= asleep_after;
        let elsewhere = self.links.heard.unwrap_or(self.heard);
        self.pace = if self.room.idle() {
            Pace::Idle
        } else if now.saturating_duration_since(self.heard.max(elsewhere)) < asleep_after {
            Pace::Steady
        } else if self.room.slots_mut().any(|(_, slot)| slot.is_sending_digits()) {
            self.heard = now;
            Pace::Steady
        } else {
            Pace::Asleep
        };
    }

    fn catch_up(&mut self, now: Instant, peers: &[Peer], sink: &mut impl Sink, tally: &mut Tally) {
        let legs = u32::try_from(self.room.len()).unwrap_or(u32::MAX);
        for _ in 0..CATCH_UP_MAX {
            let tick = self.begun.unwrap_or(self.due);
            if self.begun.is_none() {
                self.begin(peers);
            }
            if !self.links.hear(&mut self.room, tick) && now < tick + PATIENCE {
                (self.begun, self.due) = (Some(tick), tick + PATIENCE);
                return;
            }
            self.end(tick, sink);
            self.due = self.links.next(tick);
            self.ticks += 1;
            tally.ticks += 1;
            tally.leg_ticks += legs;
            if self.due > now {
                return;
            }
        }
        self.due = next_deadline(self.due, now);
    }

    fn begin(&mut self, peers: &[Peer]) {
        self.room.begin_tick(self.due);
        self.links.tell(&self.room, self.due, self.rests, peers);
    }

    fn end(&mut self, tick: Instant, sink: &mut impl Sink) {
        self.begun = None;
        self.room.end_tick(tick, &mut Taped { sink, tapes: &mut self.tapes });
        self.links.end_tick(tick);
    }

    /// Passes on what the slots noticed, and looks after some of the legs, another part each tick.
    pub(super) fn report(&mut self, legs: &mut Legs, upkeep: &mut Upkeep<'_>, meters: bool) {
        while let Some(id) = self.room.poll_played() {
            upkeep.outbox.push(Event::Played { id, cut: false });
        }
        while let Some(id) = self.room.take_news() {
            if let (Some(leg), Some(slot)) = (legs.at(id), self.room.slot_mut(id)) {
                leg.report_events(slot, upkeep.outbox);
            }
        }
        let (first, step) = match self.pace {
            Pace::Steady => (usize::try_from(self.ticks).unwrap_or(0) % UPKEEP_TICKS, UPKEEP_TICKS),
            Pace::Asleep | Pace::Idle => (0, 1),
        };
        let mut wanted: Option<Instant> = None;
        for (id, slot, heard) in self.room.slots_heard_mut(first, step) {
            if let Some(leg) = legs.at_mut(id) {
                leg.report_events(slot, upkeep.outbox);
                leg.keep_up(slot, heard, upkeep);
                wanted = wanted.into_iter().chain(leg.deadline()).min();
            }
        }
        // Checks do not wait for a mix that rests.
        if let Some(at) = wanted.filter(|_| self.pace != Pace::Steady) {
            self.look(at);
        }
        if meters && self.ticks.is_multiple_of(METER_TICKS) {
            self.report_levels(legs, upkeep.outbox);
        }
    }

    fn report_levels(&mut self, legs: &Legs, outbox: &mut Outbox) {
        let mut levels = Levels::default();
        for (id, slot) in self.room.slots_mut() {
            let level = slot.level_dbov();
            let Some(leg) = legs.at(id).filter(|_| level > QUIETEST) else { continue };
            if !levels.push(leg.key, level) {
                outbox.push(Event::Levels(std::mem::take(&mut levels)));
                levels.push(leg.key, level);
            }
        }
        if !levels.as_slice().is_empty() {
            outbox.push(Event::Levels(levels));
        }
    }

    /// Has the sockets of its legs watched while it sleeps, and only then.
    pub(super) fn keep_watch(&mut self, legs: &Legs, watch: &Watch) {
        let wanted = self.pace == Pace::Asleep;
        if wanted == self.watched {
            return;
        }
        self.watched = wanted;
        for (id, _) in self.room.slots_mut() {
            match legs.at(id) {
                Some(leg) if wanted => watch.add(leg.rtp_socket(), id),
                Some(leg) => watch.remove(leg.rtp_socket()),
                None => {}
            }
        }
    }
}

/// A sink beside which a mix is recorded.
struct Taped<'a, S> {
    sink: &'a mut S,
    tapes: &'a mut [Tape],
}

impl<S: Sink> Sink for Taped<'_, S> {
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]) {
        self.sink.send(slot, header, payload);
    }

    fn record(&mut self, take: Take<'_>) {
        if take.slot.is_some() {
            return self.sink.record(take);
        }
        for tape in &mut *self.tapes {
            tape.write(&take);
        }
    }
}

/// The first of `from`, `from` + 20 ms, … that is not past.
pub(super) fn next_deadline(from: Instant, now: Instant) -> Instant {
    let behind = now.saturating_duration_since(from).as_nanos().div_ceil(TICK.as_nanos());
    from + TICK * u32::try_from(behind).unwrap_or(u32::MAX)
}

/// Between two packets to a leg of a mix that sleeps; RFC 6263 §4.6 asks for 15 s at most.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How often the legs of an idle mix are looked after: RTCP, silence, statistics.
const IDLE_UPKEEP: Duration = Duration::from_secs(1);
/// Ticks between two looks at a leg of a steady mix.
const UPKEEP_TICKS: usize = 10;
/// Ticks made up for after a stall: 60 ms are heard as a stutter, more would be a burst for nothing.
const CATCH_UP_MAX: usize = 3;
/// Ticks between two [`Event::Levels`].
const METER_TICKS: u64 = 5;
/// dBov below which nobody is shown.
const QUIETEST: i8 = -90;
