//! Rates one direction of a leg second by second, and keeps what the whole call was like.

use std::time::{Duration, Instant};

use super::alarm::{Alarm, AlarmOptions, Cause};
use super::{Path, Rating};
use crate::codec::Codec;

/// What became of the packets of a stream whose turn has come; totals.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fates {
    /// Were there.
    pub good: u64,
    /// Were not there, for whatever reason.
    pub missed: u64,
    /// Of those, came after their turn.
    pub late: u64,
    /// Runs of missed packets.
    pub runs: u64,
}

impl Fates {
    /// What happened since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            good: self.good.saturating_sub(earlier.good),
            missed: self.missed.saturating_sub(earlier.missed),
            late: self.late.saturating_sub(earlier.late),
            runs: self.runs.saturating_sub(earlier.runs),
        }
    }

    /// True if nothing was due.
    pub fn is_empty(&self) -> bool {
        self.good + self.missed == 0
    }

    /// Share of the packets that never came, 0 to 1.
    pub fn lost(&self) -> f32 {
        self.share(self.missed.saturating_sub(self.late))
    }

    /// Share of the packets that came too late, 0 to 1.
    pub fn late(&self) -> f32 {
        self.share(self.late.min(self.missed))
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of packets; 24 bits are plenty")]
    fn share(&self, part: u64) -> f32 {
        if part == 0 { 0.0 } else { part as f32 / (self.good + self.missed) as f32 }
    }

    /// Mean run of misses over the one that random loss would have (G.107 `BurstR`): 1 / (1 − loss).
    #[expect(clippy::cast_precision_loss, reason = "a mean of packets; 24 bits are plenty")]
    fn burst_ratio(&self) -> f32 {
        if self.runs == 0 {
            return 1.0;
        }
        let run = self.missed as f32 / self.runs as f32;
        (run * (1.0 - self.share(self.missed))).max(1.0)
    }
}

/// A direction as it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// What comes of it all.
    pub rating: Rating,
    /// Share of packets that never came, 0 to 1.
    pub lost: f32,
    /// Share of packets that came too late, 0 to 1.
    pub late: f32,
    /// One way, from mouth to ear as far as it is known.
    pub delay: Duration,
    /// What takes most away.
    pub cause: Cause,
}

impl Sample {
    /// Rates what became of some packets.
    pub fn of(codec: Codec, fates: &Fates, delay: Duration) -> Self {
        let (lost, late) = (fates.lost(), fates.late());
        Self::rate(
            &Path { codec, loss: lost + late, burst_ratio: fates.burst_ratio(), delay },
            late,
        )
    }

    /// Rates a path on which `late` of the packets, 0 to 1 and part of its loss, came too late.
    pub fn rate(path: &Path, late: f32) -> Self {
        let lost = (path.loss - late).max(0.0);
        let cause = if path.delay_impairment() > path.loss_impairment() {
            Cause::Delay
        } else if late > lost {
            Cause::Jitter
        } else {
            Cause::Loss
        };
        Self { rating: Rating::of(path), lost, late, delay: path.delay, cause }
    }
}

/// A direction as it is now and was in the call; `None` where nothing was rated yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The last seconds; `None` also while nothing flows.
    pub now: Option<Sample>,
    /// Mean R and mean MOS over the seconds in which something flowed.
    pub mean: Option<(f32, f32)>,
    /// The worst second.
    pub worst: Option<Rating>,
    /// Why it counts as bad now; `None` while it does not.
    pub degraded: Option<Cause>,
}

/// Rates one direction.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    now: Option<Sample>,
    seconds: u32,
    r_sum: f64,
    mos_sum: f64,
    worst: Option<Rating>,
    alarm: Alarm,
}

impl Meter {
    /// Nothing rated, nothing wrong.
    pub fn new(options: AlarmOptions) -> Self {
        Self {
            now: None,
            seconds: 0,
            r_sum: 0.0,
            mos_sum: 0.0,
            worst: None,
            alarm: Alarm::new(options),
        }
    }

    /// Takes the sample of one second, `None` if nothing flowed; true if the alarm changed.
    pub fn note(&mut self, now: Instant, sample: Option<Sample>) -> bool {
        self.now = sample;
        let Some(Sample { rating, cause, .. }) = sample else { return false };
        self.seconds += 1;
        self.r_sum += f64::from(rating.r());
        self.mos_sum += f64::from(rating.mos());
        self.worst = Some(self.worst.filter(|worst| *worst < rating).unwrap_or(rating));
        self.alarm.note(now, rating.mos(), cause)
    }

    /// What was found so far.
    pub fn quality(&self) -> Quality {
        #[expect(clippy::cast_possible_truncation, reason = "means of R and MOS, below 100")]
        let mean = |sum: f64| (sum / f64::from(self.seconds)) as f32;
        Quality {
            now: self.now,
            mean: (self.seconds > 0).then(|| (mean(self.r_sum), mean(self.mos_sum))),
            worst: self.worst,
            degraded: self.alarm.degraded(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn sample(fates: Fates, ms: u64) -> Sample {
        Sample::of(Codec::Pcmu, &fates, Duration::from_millis(ms))
    }

    #[test]
    fn the_cause_is_what_takes_most() {
        let lossy = sample(Fates { good: 45, missed: 5, late: 1, runs: 5 }, 50);
        let jittery = sample(Fates { good: 45, missed: 5, late: 4, runs: 5 }, 50);
        let slow = sample(Fates { good: 49, missed: 1, late: 0, runs: 1 }, 400);

        assert_eq!(
            [lossy, jittery, slow].map(|s| s.cause),
            [Cause::Loss, Cause::Jitter, Cause::Delay]
        );
        assert!((jittery.late - 0.08).abs() < 0.001 && (jittery.lost - 0.02).abs() < 0.001);
    }

    #[test]
    fn runs_of_loss_weigh_more() {
        let spread = sample(Fates { good: 45, missed: 5, late: 0, runs: 5 }, 0);
        let in_one = sample(Fates { good: 45, missed: 5, late: 0, runs: 1 }, 0);

        assert!(in_one.rating < spread.rating);
    }

    #[test]
    fn a_call_has_a_mean_and_a_worst_second() {
        let mut meter = Meter::new(AlarmOptions::default());
        let good = sample(Fates { good: 50, ..Fates::default() }, 0);
        let bad = sample(Fates { good: 40, missed: 10, late: 0, runs: 10 }, 0);
        for sample in [Some(good), Some(bad), Some(good), None] {
            meter.note(start(), sample);
        }

        let quality = meter.quality();

        let (r, mos) = quality.mean.unwrap();
        assert!((r - (2.0 * good.rating.r() + bad.rating.r()) / 3.0).abs() < 0.01);
        assert!((mos - (2.0 * good.rating.mos() + bad.rating.mos()) / 3.0).abs() < 0.01);
        assert_eq!(quality.worst, Some(bad.rating));
        assert_eq!(quality.now, None, "nothing flows");
    }

    #[test]
    fn before_the_first_second_nothing_is_known() {
        assert_eq!(Meter::new(AlarmOptions::default()).quality(), Quality::default());
    }
}
