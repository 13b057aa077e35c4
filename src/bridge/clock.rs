//! Wall-clock times from monotonic ones, so that the core never reads a clock.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A pair of readings taken together; the shell renews it so that it follows a corrected wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The monotonic reading.
    pub instant: Instant,
    /// The wall clock at that moment.
    pub wall: Timestamp,
}

impl Clock {
    /// The wall clock at `now`.
    pub fn at(&self, now: Instant) -> Timestamp {
        let passed = now.saturating_duration_since(self.instant);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(passed).unwrap_or(self.wall)
    }
}
