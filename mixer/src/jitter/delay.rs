//! How late packets come, and hence how long to wait for them.
//!
//! A packet's *transit* is its arrival minus its media time. Only differences of transits mean anything: the
//! fastest packet of the window is the base, and how much later than the base a packet came is its delay. The
//! target covers all packets of the window but the latest few; small spikes are remembered for longer, because
//! waiting a few milliseconds costs less than hearing them again.

use std::collections::VecDeque;

/// What the window of transits says. All times in microseconds.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    transits: VecDeque<i64>,
    /// The fastest of the window has left it, or one of the latest.
    is_stale: bool,
    /// Packets since the window was last looked at as a whole.
    unread: usize,
    base: i64,
    /// In falling order.
    latest: [i64; 3],
    spread: i64,
    /// Largest delay seen lately, at most [`SPIKE_MAX`]; sinks by [`SPIKE_DECAY`].
    spike: i64,
    spike_at: i64,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        Self {
            transits: VecDeque::new(),
            is_stale: false,
            unread: 0,
            base: 0,
            latest: [i64::MIN; 3],
            spread: 0,
            spike: 0,
            spike_at: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.transits.clear();
        self.unread = 0;
        (self.base, self.spread, self.spike) = (0, 0, 0);
    }

    /// How much later than the fastest packet one with this transit is; zero if there is no other.
    pub(super) fn delay_of(&self, transit: i64) -> i64 {
        if self.transits.is_empty() { 0 } else { transit - self.base }
    }

    /// Transit of the fastest packet in the window.
    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// How long after its base to play a packet.
    pub(super) fn target(&self, now: i64) -> i64 {
        let faded = (now - self.spike_at) / SPIKE_DECAY;
        self.spread.max(self.spike - faded)
    }

    /// Takes in one packet that came at `now`; `interval` is the spacing of packets.
    pub(super) fn observe(&mut self, now: i64, transit: i64, interval: i64) {
        let is_first = self.transits.is_empty();
        let delay = self.delay_of(transit);
        self.note_spike(now, delay);
        self.remember(transit, interval);
        self.unread += 1;
        if is_first || (self.is_stale && self.unread >= READ_EVERY) {
            self.read_window();
        } else {
            self.base = self.base.min(transit);
            insert(&mut self.latest, transit);
        }
        let ignored = match self.transits.len() {
            0..16 => 0,
            16..40 => 1,
            40.. => 2,
        };
        self.spread = self.latest[ignored] - self.base;
    }

    fn remember(&mut self, transit: i64, interval: i64) {
        let window = usize::try_from(WINDOW / interval.max(1)).unwrap_or(0);
        self.transits.push_back(transit);
        while self.transits.len() > window.clamp(WINDOW_MIN, WINDOW_MAX) {
            let gone = self.transits.pop_front();
            self.is_stale |= gone.is_some_and(|gone| gone <= self.base || gone >= self.latest[2]);
        }
    }

    /// Spikes are remembered on a calm path only: a bad spell is the window's business.
    fn note_spike(&mut self, now: i64, delay: i64) {
        if self.spread > SPIKE_MAX {
            self.spike = 0;
            return;
        }
        let faded = self.spike - (now - self.spike_at) / SPIKE_DECAY;
        if delay.min(SPIKE_MAX) > faded {
            self.spike = delay.min(SPIKE_MAX);
            self.spike_at = now;
        }
    }

    /// Finds the fastest packet and the three latest.
    fn read_window(&mut self) {
        (self.unread, self.is_stale) = (0, false);
        let mut latest = [i64::MIN; 3];
        let mut base = i64::MAX;
        for &transit in &self.transits {
            base = base.min(transit);
            insert(&mut latest, transit);
        }
        (self.base, self.latest) = (base, latest);
    }
}

/// Keeps the latest, without a branch: which transits are late cannot be foreseen.
fn insert(latest: &mut [i64; 3], transit: i64) {
    let mut sooner = transit;
    for latest in latest {
        (*latest, sooner) = ((*latest).max(sooner), (*latest).min(sooner));
    }
}

/// Long enough to see the jitter, short enough to forget a burst within two seconds.
const WINDOW: i64 = 1_200_000;
/// Packets in the window, whatever their interval.
const WINDOW_MIN: usize = 16;
const WINDOW_MAX: usize = 120;
/// Reading the window costs some 50 ns, and where packets come like clockwork each that leaves it was the fastest.
const READ_EVERY: usize = 4;
/// Spikes up to this delay are remembered.
const SPIKE_MAX: i64 = 10_000;
/// A remembered spike sinks by one microsecond in so many: 1 ms a second.
const SPIKE_DECAY: i64 = 1_000;
