//! RTP timestamps as time that does not wrap.

use crate::rtp::{RtpTimestamp, Sequence};

/// Maps RTP timestamps to microseconds that do not wrap.
#[derive(Debug)]
pub(super) struct MediaClock {
    rate: i64,
    last: Option<(Sequence, RtpTimestamp)>,
    /// Clock units of `last`, unwrapped.
    units: i64,
    /// Added to the time that the units make; moved where the sender's timestamps jump.
    anchor: i64,
    /// Spacing of packets, microseconds.
    interval: i64,
}

impl MediaClock {
    pub(super) fn new(rate: u32) -> Self {
        let interval = DEFAULT_INTERVAL;
        Self { rate: i64::from(rate.max(1)), last: None, units: 0, anchor: 0, interval }
    }

    /// As new, with the rate it has.
    pub(super) fn reset(&mut self) {
        *self = Self { rate: self.rate, ..Self::new(1) };
    }

    /// True if it counts this many units a second.
    pub(super) fn is_at(&self, rate: u32) -> bool {
        self.rate == i64::from(rate.max(1))
    }

    /// Spacing of packets, microseconds.
    pub(super) fn interval(&self) -> i64 {
        self.interval
    }

    /// Places a packet, and learns from it.
    pub(super) fn media(&mut self, sequence: Sequence, timestamp: RtpTimestamp) -> i64 {
        let (last_sequence, last) = *self.last.get_or_insert((sequence, timestamp));
        let step = i64::from(timestamp.distance_from(last));
        if sequence.distance_from(last_sequence) > 0 {
            self.learn_interval(sequence.distance_from(last_sequence), step);
            self.last = Some((sequence, timestamp));
            self.units += step;
            return self.anchor + self.units * 1_000_000 / self.rate;
        }
        self.anchor + (self.units + step) * 1_000_000 / self.rate
    }

    /// The timestamps jumped: what they say is so much later from now on, microseconds.
    pub(super) fn shift(&mut self, by: i64) {
        self.anchor += by;
    }

    fn learn_interval(&mut self, packets: i16, step: i64) {
        let interval = step * 1_000_000 / self.rate;
        if packets == 1 && (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            self.interval = interval;
        }
    }
}

/// Packet spacing until two packets have come.
const DEFAULT_INTERVAL: i64 = 20_000;
const INTERVAL_MIN: i64 = 2_500;
const INTERVAL_MAX: i64 = 120_000;
