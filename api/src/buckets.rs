//! Token buckets: how often somebody may do something, with a burst of two seconds' worth.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// A bucket for each of those who come.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    by_key: BTreeMap<K, Bucket>,
    rate: Rate,
    /// Buckets at once; beyond it those that are full again are forgotten, and then any.
    capacity: usize,
}

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// A second.
    pub(crate) per_second: f64,
    /// At once.
    pub(crate) burst: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// What is left after one was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    /// How many there are when it is full.
    pub(crate) limit: u32,
    /// How many more may be taken now.
    pub(crate) count: u32,
    /// Until it is full again.
    pub(crate) full_in: Duration,
}

/// Nothing is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spent {
    /// Until there is one again.
    pub(crate) wait: Duration,
    /// With a count of 0.
    pub(crate) left: Left,
}

impl<K: Clone + Ord> Buckets<K> {
    /// Full buckets for all who come, up to `capacity` of them remembered.
    pub(crate) fn new(rate: Rate, capacity: usize) -> Self {
        Self { by_key: BTreeMap::new(), rate, capacity: capacity.max(1) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there will be one.
    pub(crate) fn take(&mut self, key: &K, now: Instant) -> Result<Left, Spent> {
        self.take_some(key, 1, now)
    }

    /// Takes so many, or none. More than a full bucket holds are taken from a full one, which is then as empty as can be.
    ///
    /// # Errors
    /// When there will be as many.
    pub(crate) fn take_some(&mut self, key: &K, count: u32, now: Instant) -> Result<Left, Spent> {
        let Rate { per_second, .. } = self.rate;
        if !self.by_key.contains_key(key) {
            self.make_place(now);
        }
        let full = Bucket { left: self.rate.burst, at: now };
        let bucket = self.by_key.entry(key.clone()).or_insert(full);
        bucket.fill(self.rate, now);
        let count = f64::from(count).min(self.rate.burst.max(1.0));
        if bucket.left < count {
            let wait = Duration::from_secs_f64((count - bucket.left) / per_second);
            return Err(Spent { wait, left: bucket.left(self.rate) });
        }
        bucket.left -= count;
        Ok(bucket.left(self.rate))
    }

    fn make_place(&mut self, now: Instant) {
        if self.by_key.len() < self.capacity {
            return;
        }
        let rate = self.rate;
        self.by_key.retain(|_, bucket| {
            bucket.fill(rate, now);
            bucket.left < rate.burst // a full one says nothing
        });
        while self.by_key.len() >= self.capacity {
            self.by_key.pop_first();
        }
    }
}

impl Bucket {
    fn left(&self, Rate { per_second, burst }: Rate) -> Left {
        let full_in = Duration::from_secs_f64((burst - self.left) / per_second);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to burst, which came from a u32"
        )]
        let (count, limit) = (self.left as u32, burst as u32);
        Left { limit, count, full_in }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = rate.burst.min(self.left + since * rate.per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 4.0 };

    #[test]
    fn what_is_taken_comes_back_with_time() {
        let mut buckets = Buckets::new(RATE, 10);
        let start = Instant::now();

        for left in [3, 2, 1, 0] {
            assert_eq!(buckets.take(&"a", start).unwrap().count, left);
        }
        assert_eq!(buckets.take(&"a", start).unwrap_err().wait, Duration::from_millis(500));
        assert!(buckets.take(&"b", start).is_ok());

        assert!(buckets.take(&"a", start + Duration::from_millis(500)).is_ok());
    }

    #[test]
    fn those_who_came_long_ago_are_forgotten() {
        let mut buckets = Buckets::new(RATE, 2);
        let start = Instant::now();
        buckets.take(&"a", start).unwrap();
        buckets.take(&"b", start + Duration::from_secs(10)).unwrap();

        buckets.take(&"c", start + Duration::from_secs(10)).unwrap();

        assert_eq!(buckets.by_key.keys().copied().collect::<Vec<_>>(), ["b", "c"]);
    }
}
