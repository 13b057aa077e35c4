//! How a worker fares, counted over a second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mixer::room::TICK;

/// What [`super::command::WorkerReport`] is made of.
#[derive(Debug)]
pub(super) struct Tally {
    /// When it is reported, and the next begins.
    pub(super) due: Instant,
    pub(super) ticks: u64,
    pub(super) late_ticks: u64,
    /// Legs mixed, summed over the ticks.
    pub(super) leg_ticks: u32,
    pub(super) busy: Duration,
    /// The longest from when a tick was due until it began.
    pub(super) latest_start: Duration,
    /// The longest from when ticks were due until the wake-up that ran them was over.
    pub(super) latest_end: Duration,
    pub(super) queued_commands: usize,
    /// The report before told of legs, so one that tells that they have gone is still owed.
    pub(super) owed: bool,
}

impl Tally {
    /// Counts from `now`; `owed` as the field.
    pub(super) fn new(now: Instant, owed: bool) -> Self {
        Self {
            due: now + TALLY_EVERY,
            ticks: 0,
            late_ticks: 0,
            leg_ticks: 0,
            busy: Duration::ZERO,
            latest_start: Duration::ZERO,
            latest_end: Duration::ZERO,
            queued_commands: 0,
            owed,
        }
    }

    /// Counts a wake-up from `woke` to `done`; `due` is when the first of its ticks was due, if it ran any.
    pub(super) fn note_wake_up(&mut self, woke: Instant, done: Instant, due: Option<Instant>) {
        self.busy += done - woke;
        if let Some(due) = due {
            self.latest_end = self.latest_end.max(done.saturating_duration_since(due));
        }
    }

    /// Share of the time since it began that was spent working, 0 to 1.
    pub(super) fn share_busy(&self, now: Instant) -> f32 {
        self.busy.div_duration_f32(self.elapsed(now))
    }

    /// Legs that were mixed in each tick, on average over the time since it began.
    pub(super) fn active_legs(&self, now: Instant) -> f32 {
        (TICK * self.leg_ticks).div_duration_f32(self.elapsed(now))
    }

    fn elapsed(&self, now: Instant) -> Duration {
        TALLY_EVERY + now.saturating_duration_since(self.due)
    }
}

/// The share of its time that a worker works, for another thread to see.
#[derive(Debug, Default)]
pub(super) struct Load(AtomicU32);

impl Load {
    /// 0 to 1.
    pub(super) fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, busy: f32) {
        self.0.store(busy.to_bits(), Ordering::Relaxed);
    }
}

const TALLY_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn a_second_is_told_by_its_shares_and_by_its_worst() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut tally = Tally::new(start, false);

        tally.note_wake_up(at(0), at(100), None); // orders, no ticks
        tally.note_wake_up(at(200), at(207), Some(at(200)));
        tally.note_wake_up(at(225), at(230), Some(at(220)));
        tally.leg_ticks = 50 * 40; // 40 legs each tick of one second

        assert!((tally.share_busy(at(2_000)) - 0.056).abs() < 1e-6);
        assert_eq!(tally.latest_end, Duration::from_millis(10));
        assert!((tally.active_legs(at(1_000)) - 40.0).abs() < 1e-3);
        assert!((tally.active_legs(at(2_000)) - 20.0).abs() < 1e-3);
    }
}
