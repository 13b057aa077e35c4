//! Tones: made, and found again (Goertzel).

use std::f64::consts::TAU;

/// Adds sines; goes on without a click from frame to frame and from rate to rate.
#[derive(Debug, Default)]
pub struct Generator {
    tones: Vec<(f64, f64)>,
    amplitude: f64,
}

impl Generator {
    /// `level_db`: of each tone, below a full-scale sine.
    pub fn set(&mut self, tones_hz: &[f64], level_db: f64) {
        self.tones = tones_hz.iter().map(|&hz| (hz, 0.0)).collect();
        self.amplitude = 10_f64.powf(level_db / 20.0);
    }

    pub fn fill(&mut self, rate: u32, samples: &mut [i16]) {
        for sample in samples {
            let mut sum = 0.0;
            for (hz, phase) in &mut self.tones {
                sum += phase.sin();
                *phase = (*phase + TAU * *hz / f64::from(rate)) % TAU;
            }
            *sample = (sum * self.amplitude * 32_767.0).clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

/// Squared amplitude of one frequency in a block, 1.0 for a full-scale sine; Hann window.
pub fn power_at(block: &[f64], rate: u32, hz: f64) -> f64 {
    let length = block.len() as f64;
    let coefficient = 2.0 * (TAU * hz / f64::from(rate)).cos();
    let (mut previous, mut before) = (0.0, 0.0);
    for (index, sample) in block.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * (index as f64 + 0.5) / length).cos();
        let next = sample * window + coefficient * previous - before;
        before = previous;
        previous = next;
    }
    let energy = previous * previous + before * before - coefficient * previous * before;
    // The window's mean is a half, and a sine of amplitude a gives a·n/2.
    16.0 * energy / (length * length)
}

/// dB of a squared amplitude, −120 at the least.
pub fn decibels(power: f64) -> f64 {
    10.0 * power.max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_level_and_nowhere_else() {
        let mut generator = Generator::default();
        generator.set(&[440.0, 1320.0], -16.0);
        let mut samples = vec![0; 4800];

        generator.fill(48_000, &mut samples);
        let block: Vec<f64> = samples.iter().map(|&s| f64::from(s) / 32_768.0).collect();

        assert!((decibels(power_at(&block, 48_000, 440.0)) + 16.0).abs() < 0.3);
        assert!((decibels(power_at(&block, 48_000, 1320.0)) + 16.0).abs() < 0.3);
        assert!(decibels(power_at(&block, 48_000, 880.0)) < -60.0);
    }
}
