//! When a socket need not be asked again: a steady sender has nothing more for this tick.
//!
//! Asking an empty socket costs as much as receiving a packet, so a leg that gets a packet a tick would pay twice.
//! A packet that came one interval after its predecessor, less than one interval ago, is the last that waits. After
//! anything else (a gap, a burst, a restart) the socket is read until it is empty.

use std::time::{Duration, Instant};

/// The rhythm of one RTP stream.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Last>,
    interval: Option<Duration>,
}

#[derive(Debug)]
struct Last {
    sequence: u16,
    timestamp: u32,
    arrived: Instant,
}

impl Pace {
    /// Takes the header fields of an RTP packet, with its clock in Hz; true if no other can wait behind it at `now`.
    pub(super) fn is_last(
        &mut self,
        now: Instant,
        arrived: Instant,
        (sequence, timestamp): (u16, u32),
        clock_rate: u32,
    ) -> bool {
        let this = Last { sequence, timestamp, arrived };
        let Some(last) = self.last.replace(this) else { return false };
        if sequence.wrapping_sub(last.sequence) != 1 {
            return false;
        }
        let interval = packet_interval(timestamp.wrapping_sub(last.timestamp), clock_rate);
        if self.interval != interval {
            self.interval = interval;
            return false;
        }
        let Some(interval) = interval else { return false };
        let gap = arrived.saturating_duration_since(last.arrived);
        let is_steady = gap > interval / 2 && gap < interval * 3 / 2;
        is_steady && now.saturating_duration_since(arrived) < interval / 2 + interval / 4
    }
}

/// 5 to 60 ms; anything else is no rhythm (a pause, an event that repeats its timestamp).
fn packet_interval(units: u32, clock_rate: u32) -> Option<Duration> {
    let interval = Duration::from_secs(1) * units.min(clock_rate) / clock_rate.max(1);
    (Duration::from_millis(5)..=Duration::from_millis(60)).contains(&interval).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn only_a_steady_stream_is_believed_to_be_over() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut ask = |sequence: u16, arrived: u32, now: u32| {
            let fields = (sequence, u32::from(sequence) * 160);
            pace.is_last(start + now * MS, start + arrived * MS, fields, 8000)
        };

        let steady = [ask(1, 0, 5), ask(2, 20, 25), ask(3, 41, 45), ask(4, 60, 65)];
        let late = [ask(5, 110, 112), ask(6, 111, 112), ask(7, 112, 112)];
        let waited = ask(8, 132, 150);
        let lost = ask(10, 172, 175);

        assert_eq!(steady, [false, false, true, true]);
        assert_eq!((late, waited, lost), ([false; 3], false, false));
    }
}
