//! Answers to requests other than INVITE that came over UDP: who asks again is answered alike (RFC 3261 §17.2.2, timer J).
//!
//! The answer is all that is left of such a transaction, so that a registrar of thousands a second keeps little of each. The
//! oldest is forgotten after 64·T1, or before that when there are too many: whoever missed it has asked again within T2, 4 s.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::key::{MergeKey, ServerKey};
use crate::sip::endpoint::Transmit;
use crate::sip::timer::GIVE_UP;

/// What was answered, and when.
#[derive(Debug)]
pub(super) struct Echoes {
    limit: usize,
    by_key: BTreeMap<Arc<ServerKey>, Transmit>,
    /// Each with when it is forgotten, the oldest first.
    order: VecDeque<Echo>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Echo {
    until: Instant,
    key: Arc<ServerKey>,
    /// What its request could be merged with, if anything.
    pub(super) merge: Option<MergeKey>,
}

impl Echoes {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, by_key: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// What was answered to this request.
    pub(super) fn get(&self, key: &ServerKey) -> Option<&Transmit> {
        self.by_key.get(key)
    }

    /// Remembers an answer.
    pub(super) fn add(
        &mut self,
        now: Instant,
        (key, merge): (ServerKey, Option<MergeKey>),
        answer: Transmit,
    ) {
        let key = Arc::new(key);
        self.by_key.insert(Arc::clone(&key), answer);
        self.order.push_back(Echo { until: now + GIVE_UP, key, merge });
    }

    /// Forgets the oldest if its time is over or there are too many.
    pub(super) fn forget(&mut self, now: Instant) -> Option<Echo> {
        let is_over = |echo: &Echo| echo.until <= now;
        if self.order.len() <= self.limit && !self.order.front().is_some_and(is_over) {
            return None;
        }
        let echo = self.order.pop_front()?;
        self.by_key.remove(&echo.key);
        Some(echo)
    }

    /// When to come for those whose time is over: not for each of them.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.order.front()?.until + TOGETHER)
    }
}

/// Those whose time ends within this are forgotten at once.
const TOGETHER: Duration = Duration::from_millis(200);
