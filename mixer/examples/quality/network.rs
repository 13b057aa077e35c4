//! Seeded patterns of loss.

/// How a network loses packets.
#[derive(Clone, Copy)]
pub(crate) struct Pattern {
    /// As in file names: `r5` is 5 % at random, `b5` 5 % in bursts.
    pub(crate) name: &'static str,
    pub(crate) percent: u8,
    /// Mean length of a burst, packets.
    burst: f64,
}

impl Pattern {
    pub(crate) const NONE: Self = Self { name: "0", percent: 0, burst: 1.0 };

    pub(crate) const ALL: [Self; 8] = [
        Self::NONE,
        Self { name: "r1", percent: 1, burst: 1.0 },
        Self { name: "r5", percent: 5, burst: 1.0 },
        Self { name: "r10", percent: 10, burst: 1.0 },
        Self { name: "r20", percent: 20, burst: 1.0 },
        Self { name: "b5", percent: 5, burst: 3.0 },
        Self { name: "b10", percent: 10, burst: 3.0 },
        Self { name: "b20", percent: 20, burst: 3.0 },
    ];

    /// Says of each packet in turn whether it is lost: at random, or in bursts of a Gilbert channel.
    pub(crate) fn losses(self, seed: u64) -> impl FnMut() -> bool {
        let mut random = Random::new(seed.wrapping_mul(1_000_003) + u64::from(self.percent));
        let share = f64::from(self.percent) / 100.0;
        let begins = share / (1.0 - share) / self.burst;
        let mut lost = false;
        move || {
            lost = if self.burst <= 1.0 {
                random.next() < share
            } else if lost {
                random.next() >= 1.0 / self.burst
            } else {
                random.next() < begins
            };
            lost
        }
    }
}

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to below 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let mixed = mixed ^ (mixed >> 31);
        f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / f64::from(u32::MAX) * 0.999_999
    }
}
