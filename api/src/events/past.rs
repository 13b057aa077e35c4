//! What is older than the ring: read from the store, a stretch at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Filter, Gone, Unread};
use crate::archive::{Desk, EventQuery, EventStretch, Read};
use crate::control::ControlError;
use crate::event::Event;

/// The way to the events that are stored.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) desk: Desk,
    /// The oldest that the store had when it was asked last.
    oldest: AtomicU64,
}

/// Part of the log: those of its events that were wanted, oldest first.
pub(super) struct Stretch {
    pub(super) events: Vec<Arc<Event>>,
    /// Up to where it was looked at.
    pub(super) last: u64,
}

impl Past {
    pub(super) fn new(desk: Desk, oldest: u64) -> Self {
        Self { desk, oldest: AtomicU64::new(oldest) }
    }

    /// The oldest number that is stored, as far as is known.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::Relaxed)
    }

    /// The next stretch after `after` of what comes before `before`.
    pub(super) async fn read(
        &self,
        after: u64,
        before: u64,
        filter: &Filter,
    ) -> Result<Stretch, Unread> {
        let EventStretch { items, oldest } = self.between(after, before, filter).await?;
        let oldest = oldest.unwrap_or(before);
        self.oldest.store(oldest, Ordering::Relaxed);
        if after + 1 < oldest {
            return Err(Gone::TooOld { asked: after, oldest }.into());
        }
        let is_all = items.len() < STRETCH;
        let last = items.last().filter(|_| !is_all).map_or(before - 1, |last| last.seq);
        let events = items.into_iter().filter(|event| filter.matches(event)).collect();
        Ok(Stretch { events, last })
    }

    pub(super) async fn between(
        &self,
        after: u64,
        before: u64,
        filter: &Filter,
    ) -> Result<EventStretch, ControlError> {
        let (room, leg, call) = (only(&filter.rooms), only(&filter.legs), only(&filter.calls));
        let query = EventQuery { after, before, limit: STRETCH, room, leg, call };
        self.desk.read(|reply| Read::Events(query, reply)).await
    }
}

/// What the store can look for: one of a kind. Of several the filter takes those that it wants out of all.
fn only<T: Copy>(wanted: &[T]) -> Option<T> {
    if let [one] = wanted { Some(*one) } else { None }
}

/// Events that are read at once.
const STRETCH: usize = 500;
