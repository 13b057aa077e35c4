//! A rate limit: so many a second, and as many at once after a quiet second.

use std::time::{Duration, Instant};

/// A token bucket that holds one second's worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// When the bucket is full again.
    full_at: Instant,
    /// What one token takes to come back.
    interval: Duration,
}

impl Bucket {
    /// Full at `now`; `rate` a second, at least one.
    pub(super) fn new(now: Instant, rate: u32) -> Self {
        Self { full_at: now, interval: Duration::from_secs(1) / rate.max(1) }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let there_is_one = full_at <= now + Duration::from_secs(1);
        if there_is_one {
            self.full_at = full_at;
        }
        there_is_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn a_burst_of_one_second_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, 10);

        let burst = (0..20).filter(|_| bucket.take(start)).count();
        let later = (0..20).filter(|_| bucket.take(start + Duration::from_millis(200))).count();

        assert_eq!((burst, later), (10, 2));
    }
}
