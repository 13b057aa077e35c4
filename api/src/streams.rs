//! The seats for event streams and WebSockets: so many at once, and so many of one key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::ApiError;
use crate::gate::Principal;

/// The seats; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    taken: Arc<Mutex<BTreeMap<Principal, usize>>>,
    max: usize,
    max_of_key: usize,
}

/// A seat, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    streams: Streams,
    of: Principal,
}

impl Streams {
    pub(crate) fn new(max: usize, max_of_key: usize) -> Self {
        Self { taken: Arc::default(), max, max_of_key }
    }

    /// A seat for a stream of this key.
    pub(crate) fn seat(&self, of: Principal) -> Result<Seat, ApiError> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.max {
            return Err(ApiError::TooManyStreams(self.max));
        }
        if taken.get(&of).is_some_and(|count| *count >= self.max_of_key) {
            return Err(ApiError::TooManyStreamsOfKey(self.max_of_key));
        }
        *taken.entry(of).or_default() += 1;
        Ok(Seat { streams: self.clone(), of })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Principal, usize>> {
        // Nothing panics while it is held; if something did, the counts are whole all the same.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.streams.taken();
        let Some(count) = taken.get_mut(&self.of) else { return };
        *count -= 1;
        if *count == 0 {
            taken.remove(&self.of);
        }
    }
}
