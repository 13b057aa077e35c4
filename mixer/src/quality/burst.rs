//! Bursts of loss and the gaps between them (RFC 3611 §4.7.2).
//!
//! A burst begins and ends with a packet that was not there in its turn, and has fewer than [`GAP_MIN`] good ones in a
//! row. A loss that stands alone among good packets belongs to the gap.
//!
//! ```text
//!   · · · · ✗ · · · · · ·    ✗ · ✗ ✗ · · ✗    · · · · ·
//!   └───── gap ─────────┘    └── burst ──┘    └── gap
//! ```

use std::time::Duration;

/// Good packets in a row that end a burst (RFC 3611 `Gmin`).
pub(crate) const GAP_MIN: u8 = 16;

/// Sorts packets into bursts and gaps in the order of their turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bursts {
    closed: Periods,
    /// What may yet become a burst: packets since its first loss, up to its last one.
    open: Stretch,
    /// Good packets since the last loss.
    good: u64,
    /// Runs of losses with no good packet between.
    runs: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Periods {
    gap: Stretch,
    burst: Stretch,
    bursts: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    good: u64,
    lost: u64,
}

/// The figures of RFC 3611 §4.7.2.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BurstFigures {
    /// Share of packets in bursts that were not there, 0 to 1.
    pub burst_density: f32,
    /// The same in gaps.
    pub gap_density: f32,
    /// Mean length of a burst; zero if there was none.
    pub burst_duration: Duration,
    /// Mean length of a gap.
    pub gap_duration: Duration,
    /// How many bursts there were.
    pub bursts: u64,
}

impl Bursts {
    /// Takes in packets in the order of their turns: first `lost` that were not there, then `good` that were.
    pub fn note(&mut self, lost: u64, good: u64) {
        if lost > 0 {
            if self.good > 0 || self.runs == 0 {
                self.runs += 1;
            }
            if self.open.lost > 0 && self.good < u64::from(GAP_MIN) {
                self.open.good += self.good;
            } else {
                self.closed.close(self.open);
                self.closed.gap.good += self.good;
                self.open = Stretch::default();
            }
            self.open.lost += lost;
            self.good = 0;
        }
        self.good += good;
    }

    /// Runs of losses with no good packet between them.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// What there was so far of packets that last `interval` each.
    pub fn figures(&self, interval: Duration) -> BurstFigures {
        let mut periods = self.closed;
        periods.close(self.open);
        periods.gap.good += self.good;
        let mean = |stretch: Stretch, count: u64| {
            let packets = stretch.packets().checked_div(count).unwrap_or(0);
            interval * u32::try_from(packets).unwrap_or(u32::MAX)
        };
        BurstFigures {
            burst_density: periods.burst.density(),
            gap_density: periods.gap.density(),
            burst_duration: mean(periods.burst, periods.bursts),
            gap_duration: mean(periods.gap, periods.bursts + 1),
            bursts: periods.bursts,
        }
    }
}

impl Periods {
    fn close(&mut self, open: Stretch) {
        if open.lost > 1 {
            self.burst.good += open.good;
            self.burst.lost += open.lost;
            self.bursts += 1;
        } else {
            self.gap.lost += open.lost;
        }
    }
}

impl Stretch {
    fn packets(self) -> u64 {
        self.good + self.lost
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of packets; 24 bits are plenty")]
    fn density(self) -> f32 {
        if self.lost == 0 { 0.0 } else { self.lost as f32 / self.packets() as f32 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    /// `x` is a loss, anything else a good packet.
    fn of(pattern: &str) -> Bursts {
        let mut bursts = Bursts::default();
        for letter in pattern.chars() {
            let lost = u64::from(letter == 'x');
            bursts.note(lost, 1 - lost);
        }
        bursts
    }

    fn near(found: f32, expected: f32) -> bool {
        (found - expected).abs() < 0.000_1
    }

    #[test]
    fn a_loss_alone_belongs_to_the_gap() {
        let good = ".".repeat(16);

        let figures = of(&format!("{good}x{good}x{good}")).figures(INTERVAL);

        assert_eq!(figures.bursts, 0);
        assert!(near(figures.gap_density, 2.0 / 50.0), "{figures:?}");
        assert_eq!(figures.gap_duration, INTERVAL * 50);
    }

    #[test]
    fn losses_with_fewer_than_sixteen_between_make_a_burst() {
        let (good, few) = (".".repeat(40), ".".repeat(15));

        let figures = of(&format!("{good}x{few}x{good}")).figures(INTERVAL);

        assert_eq!((figures.bursts, figures.burst_duration), (1, INTERVAL * 17));
        assert!(near(figures.burst_density, 2.0 / 17.0), "{figures:?}");
        assert!(near(figures.gap_density, 0.0) && figures.gap_duration == INTERVAL * 40);
    }

    #[test]
    fn losses_in_a_row_are_one_run() {
        let one_by_one = of("..xxx..x....");
        let mut at_once = Bursts::default();
        at_once.note(0, 2);
        at_once.note(3, 2);
        at_once.note(1, 4);

        assert_eq!((one_by_one.runs(), at_once.runs()), (2, 2));
        assert_eq!(one_by_one.figures(INTERVAL), at_once.figures(INTERVAL));
    }

    proptest! {
        #[test]
        fn every_packet_is_in_a_burst_or_in_a_gap(fates in prop::collection::vec(0_u8..8, 0..500)) {
            let mut bursts = Bursts::default();
            for &fate in &fates {
                let lost = u64::from(fate == 0);
                bursts.note(lost, 1 - lost);
            }

            let mut periods = bursts.closed;
            periods.close(bursts.open);
            let counted = periods.gap.packets() + periods.burst.packets() + bursts.good;
            prop_assert_eq!(counted, fates.len() as u64);
            let lost: u64 = fates.iter().map(|&fate| u64::from(fate == 0)).sum();
            prop_assert_eq!(periods.gap.lost + periods.burst.lost, lost);
        }
    }
}
