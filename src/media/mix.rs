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

use std::time::{Duration, Instant};

use mixer::room::{Room, Sink, TICK};

use super::command::{Event, Levels};
use super::leg::Upkeep;
use super::legs::Legs;
use super::outbox::Outbox;
use super::tally::Tally;
use super::watch::Watch;

/// A room with its deadlines.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) room: Room,
    /// Next tick.
    pub(super) due: Instant,
    ticks: u64,
    /// Last RTP packet from any leg, or order about one.
    heard: Instant,
    pace: Pace,
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
        Self { room, due, ticks: 0, heard: due, pace: Pace::Steady, watched: false }
    }

    /// Brings it back to its ticks, for an order that concerns one of its legs.
    pub(super) fn wake(&mut self, now: Instant) {
        self.heard = now;
        self.look(now);
    }

    /// Has it look at its sockets within the next period: a packet waits.
    pub(super) fn look(&mut self, now: Instant) {
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
        asleep_after: Duration,
        sink: &mut impl Sink,
        tally: &mut Tally,
    ) {
        let late_by = now.saturating_duration_since(self.due);
        tally.latest_start = tally.latest_start.max(late_by);
        if late_by > TICK / 2 {
            tally.late_ticks += 1;
        }
        self.choose_pace(now, asleep_after);
        let rest = match self.pace {
            Pace::Idle => IDLE_UPKEEP,
            Pace::Asleep => {
                self.room.tick(self.due, sink);
                tally.ticks += 1;
                KEEP_ALIVE
            }
            Pace::Steady => return self.catch_up(now, sink, tally),
        };
        self.due = next_deadline(self.due + rest, now);
    }

    fn choose_pace(&mut self, now: Instant, asleep_after: Duration) {
        self.pace = if self.room.idle() {
            Pace::Idle
        } else if now.saturating_duration_since(self.heard) < asleep_after {
            Pace::Steady
        } else if self.room.slots_mut().any(|(_, slot)| slot.is_sending_digits()) {
            self.heard = now;
            Pace::Steady
        } else {
            Pace::Asleep
        };
    }

    fn catch_up(&mut self, now: Instant, sink: &mut impl Sink, tally: &mut Tally) {
        let legs = u32::try_from(self.room.len()).unwrap_or(u32::MAX);
        for _ in 0..CATCH_UP_MAX {
            self.room.tick(self.due, sink);
            self.due += TICK;
            self.ticks += 1;
            tally.ticks += 1;
            tally.leg_ticks += legs;
            if self.due > now {
                return;
            }
        }
        self.due = next_deadline(self.due, now);
    }

    /// Passes on what the slots noticed, and looks after some of the legs, another part each tick.
    pub(super) fn report(&mut self, legs: &mut Legs, upkeep: &mut Upkeep<'_>, meters: bool) {
        while let Some(id) = self.room.take_news() {
            if let (Some(leg), Some(slot)) = (legs.at(id), self.room.slot_mut(id)) {
                leg.report_events(slot, upkeep.outbox);
            }
        }
        let (first, step) = match self.pace {
            Pace::Steady => (usize::try_from(self.ticks).unwrap_or(0) % UPKEEP_TICKS, UPKEEP_TICKS),
            Pace::Asleep | Pace::Idle => (0, 1),
        };
        for (id, slot) in self.room.slots_mut().skip(first).step_by(step) {
            if let Some(leg) = legs.at_mut(id) {
                leg.report_events(slot, upkeep.outbox);
                leg.keep_up(slot, upkeep);
            }
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
