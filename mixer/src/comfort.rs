//! Comfort noise (RFC 3389): what a pause sounds like, told in a few octets.

use crate::rtp::AudioLevel;

/// The sound of a pause, made up sample by sample.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    level: AudioLevel,
    /// Of the all-pole filter that shapes it; those beyond the order are 0.
    coefficients: [f32; MAX_ORDER],
    /// What it made last, newest first.
    memory: [f32; MAX_ORDER],
    /// Amplitude of what goes into the filter, and what it moves to.
    gain: f32,
    target: f32,
    seed: u32,
}

impl ComfortNoise {
    /// Silent until [`Self::describe`].
    pub fn new() -> Self {
        Self {
            level: AudioLevel::SILENCE,
            coefficients: [0.0; MAX_ORDER],
            memory: [0.0; MAX_ORDER],
            gain: 0.0,
            target: 0.0,
            seed: 1,
        }
    }

    /// Takes the payload of a packet (RFC 3389 §3): level, then reflection coefficients, of which 12 are used.
    ///
    /// False if it is empty; then nothing changes.
    pub fn describe(&mut self, payload: &[u8]) -> bool {
        let Some((&level, reflections)) = payload.split_first() else { return false };
        self.level = AudioLevel::new(level & 0x7F);
        self.coefficients = [0.0; MAX_ORDER];
        let mut left = 1.0; // Part of the power that the filter does not add.
        for (order, &octet) in reflections.iter().take(MAX_ORDER).enumerate() {
            let reflection = reflection(octet);
            left *= 1.0 - reflection * reflection;
            let before = self.coefficients;
            for i in 0..order {
                self.coefficients[i] += reflection * before[order - 1 - i];
            }
            self.coefficients[order] = reflection;
        }
        let rms = 32_768.0 * 10.0_f32.powf(self.level.dbov() / 20.0);
        self.target = if self.level == AudioLevel::SILENCE { 0.0 } else { rms * left.sqrt() };
        true
    }

    /// How loud it is.
    pub fn level(&self) -> AudioLevel {
        self.level
    }

    /// Begins from silence, as after a pause in which it was not heard.
    pub fn rest(&mut self) {
        self.gain = 0.0;
        self.memory = [0.0; MAX_ORDER];
    }

    /// Fills `pcm`; a changed level is led to within some 50 ms.
    #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.gain += (self.target - self.gain) * GLIDE;
            let made: f32 = self.coefficients.iter().zip(&self.memory).map(|(a, b)| a * b).sum();
            let made = (self.gain * self.random() - made).clamp(-32_768.0, 32_767.0);
            self.memory.rotate_right(1);
            self.memory[0] = made;
            *sample = made as i16;
        }
    }

    /// White, of power 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits")]
    fn random(&mut self) -> f32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let unit = (self.seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
        unit * 1.732 // Root of 3: evenly spread.
    }
}

impl Default for ComfortNoise {
    fn default() -> Self {
        Self::new()
    }
}

/// RFC 3389 §3.2, kept away from where the filter would ring for ever.
fn reflection(octet: u8) -> f32 {
    (258.0 * (f32::from(octet) - 127.0) / 32_768.0).clamp(-0.98, 0.98)
}

/// Coefficients used at most (RFC 3389 §3.2 leaves the order to the sender).
const MAX_ORDER: usize = 12;
/// Part of the way to another level in a sample.
const GLIDE: f32 = 1.0 / 256.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level;

    /// Two seconds at 8 kHz, and the correlation of neighbours in the second.
    fn heard(payload: &[u8]) -> (f32, f64) {
        let mut noise = ComfortNoise::new();
        assert!(noise.describe(payload));
        let mut pcm = vec![0; 16_000];
        noise.fill(&mut pcm);
        let tail = &pcm[8_000..];
        let product = |lag: usize| -> f64 {
            tail.iter().zip(&tail[lag..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        (level::dbov(tail), product(1) / product(0).max(1.0))
    }

    #[test]
    fn noise_has_the_level_told_whatever_its_colour() {
        for told in [30_u8, 45, 60] {
            // N = 127 + 128·k: k below 0 is dark, above 0 bright.
            for (octets, colour) in [
                (&[][..], 0.0),
                (&[127 - 90], 0.7),
                (&[127 + 64], -0.5),
                (&[127 - 64, 127 + 40], 0.4),
            ] {
                let (level, correlation) = heard(&[&[told], octets].concat());

                assert!((level + f32::from(told)).abs() < 1.0, "{told} {octets:?}: {level}");
                assert!((correlation - colour).abs() < 0.15, "{octets:?}: {correlation}");
            }
        }
    }

    #[test]
    fn silence_is_silent_and_nothing_tells_nothing() {
        assert!(heard(&[127]).0 < -120.0);
        assert!(!ComfortNoise::new().describe(&[]));
    }

    proptest! {
        #[test]
        fn hostile_coefficients_stay_within_reason(payload in prop::collection::vec(any::<u8>(), 1..40)) {
            let (level, _) = heard(&payload);

            prop_assert!(level <= 0.0);
        }
    }
}
