//! When a stream counts as bad: hysteresis in score and in time.
//!
//! ```text
//!            below `degraded` for `patience`
//!   Good ──────────────────────────────────────▶ Degraded
//!        ◀──────────────────────────────────────
//!            above `recovered` for `patience`
//! ```

use std::time::{Duration, Instant};

/// When a stream counts as bad, and when as good again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlarmOptions {
    /// A MOS below this is bad.
    pub degraded: f32,
    /// A MOS above this is good.
    pub recovered: f32,
    /// For how long it has to be so.
    pub patience: Duration,
}

impl Default for AlarmOptions {
    /// 3.6, below which many are dissatisfied (G.107 Annex B), and 3.8, for five seconds.
    fn default() -> Self {
        Self { degraded: 3.6, recovered: 3.8, patience: Duration::from_secs(5) }
    }
}

/// What takes most of the quality away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Packets that never come.
    Loss,
    /// Packets that come too late to be played.
    Jitter,
    /// The time from mouth to ear.
    Delay,
}

/// Whether a direction counts as bad now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    options: AlarmOptions,
    degraded: Option<Cause>,
    /// Since when the score has spoken for a change.
    against: Option<Instant>,
}

impl Alarm {
    pub(super) fn new(options: AlarmOptions) -> Self {
        Self { options, degraded: None, against: None }
    }

    /// Takes the score of now and what is to blame; true if the state changed.
    pub(super) fn note(&mut self, now: Instant, mos: f32, cause: Cause) -> bool {
        let contradicts = match self.degraded {
            None => mos < self.options.degraded,
            Some(_) => mos > self.options.recovered,
        };
        if !contradicts {
            self.against = None;
            return false;
        }
        let since = *self.against.get_or_insert(now);
        if now.saturating_duration_since(since) < self.options.patience {
            return false;
        }
        self.against = None;
        self.degraded = if self.degraded.is_some() { None } else { Some(cause) };
        true
    }

    pub(super) fn degraded(&self) -> Option<Cause> {
        self.degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Gives one score a second; returns the seconds at which the state changed.
    fn changes(scores: &[f32]) -> Vec<usize> {
        let mut alarm = Alarm::new(AlarmOptions::default());
        let mut now = start();
        let mut changes = Vec::new();
        for (second, &mos) in scores.iter().enumerate() {
            if alarm.note(now, mos, Cause::Loss) {
                changes.push(second);
            }
            now += Duration::from_secs(1);
        }
        changes
    }

    #[test]
    fn five_bad_seconds_degrade_and_five_good_ones_recover() {
        let scores = [[3.0; 8], [4.2; 8]].concat();

        assert_eq!(changes(&scores), [5, 13]);
    }

    #[test]
    fn a_bad_moment_is_no_alarm() {
        let scores = [[3.0; 4], [4.2; 4], [3.0; 4], [4.2; 4]].concat();

        assert_eq!(changes(&scores), [0; 0]);
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let scores = [[3.0; 8], [3.7; 8], [3.7; 8]].concat();

        assert_eq!(changes(&scores), [5]);
    }
}
