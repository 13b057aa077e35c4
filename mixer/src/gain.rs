//! Gain that moves by a ramp over one frame, so that mute and volume do not click.

/// A gain on its way to a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gain {
    now: f32,
    target: f32,
}

impl Gain {
    /// Passes everything unchanged.
    pub(crate) const UNITY: Self = Self { now: 1.0, target: 1.0 };
    /// Passes nothing.
    pub(crate) const ZERO: Self = Self { now: 0.0, target: 0.0 };

    /// At a factor already.
    pub(crate) fn at(factor: f32) -> Self {
        Self { now: factor, target: factor }
    }

    /// The factor of a gain in dB, silent from −96 dB and at most +24 dB; NaN is 0 dB.
    pub(crate) fn factor(db: f32) -> f32 {
        if db.is_nan() {
            1.0
        } else if db <= -96.0 {
            0.0
        } else {
            10.0_f32.powf(db.min(24.0) / 20.0)
        }
    }

    /// Moves to `target` within the next frame.
    pub(crate) fn aim(&mut self, target: f32) {
        self.target = target;
    }

    /// Is at `target` at once; for a signal that was silent until now.
    pub(crate) fn jump(&mut self, target: f32) {
        *self = Self::at(target);
    }

    /// Comes from silence to its target.
    pub(crate) fn restart(&mut self) {
        self.now = 0.0;
    }

    /// Is at its target: nothing was to be heard on the way.
    pub(crate) fn settle(&mut self) {
        self.now = self.target;
    }

    /// True if frames pass bit-exactly.
    pub(crate) fn is_unity(self) -> bool {
        self == Self::UNITY
    }

    /// True if nothing passes.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Applies the gain to one frame.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "at most 960 samples; a float to integer cast saturates"
    )]
    pub(crate) fn apply(&mut self, pcm: &mut [i16]) {
        if self.is_unity() {
            return;
        }
        let step = (self.target - self.now) / pcm.len().max(1) as f32;
        for (i, sample) in pcm.iter_mut().enumerate() {
            *sample = (f32::from(*sample) * (self.now + step * i as f32)) as i16;
        }
        self.now = self.target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mute_has_no_step() {
        let mut gain = Gain::UNITY;
        gain.aim(0.0);
        let mut pcm = [10_000; 160];

        gain.apply(&mut pcm);

        assert!(pcm.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 64));
        assert!(gain.is_zero());
    }

    #[test]
    fn factors_are_bounded() {
        assert!((Gain::factor(6.02) - 2.0).abs() < 0.001);
        assert!(Gain::factor(f32::NEG_INFINITY) <= 0.0);
        assert!(Gain::factor(f32::INFINITY) < 16.0);
        assert!(Gain::factor(f32::NAN) >= 1.0);
    }
}
