//! How a worker fares, counted over a second.

use std::time::{Duration, Instant};

/// What [`super::command::WorkerReport`] is made of.
#[derive(Debug)]
pub(super) struct Tally {
    /// When it is reported, and the next begins.
    pub(super) due: Instant,
    pub(super) ticks: u64,
    pub(super) late_ticks: u64,
    pub(super) busy: Duration,
    pub(super) queued_commands: usize,
}

impl Tally {
    /// Counts from `now`.
    pub(super) fn new(now: Instant) -> Self {
        let due = now + TALLY_EVERY;
        Self { due, ticks: 0, late_ticks: 0, busy: Duration::ZERO, queued_commands: 0 }
    }

    /// Share of the time since it began that was spent working, 0 to 1.
    pub(super) fn share_busy(&self, now: Instant) -> f32 {
        let elapsed = TALLY_EVERY + now.saturating_duration_since(self.due);
        self.busy.as_secs_f32() / elapsed.as_secs_f32()
    }
}

const TALLY_EVERY: Duration = Duration::from_secs(1);
