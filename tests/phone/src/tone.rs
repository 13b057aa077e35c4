//! Tones: made, and found again (Goertzel).

use std::f64::consts::TAU;

use crate::random::Random;

/// Adds sines; goes on without a click from frame to frame and from rate to rate.
#[derive(Debug, Default)]
pub struct Generator {
    tones: Vec<(f64, f64)>,
    amplitude: f64,
    babble: Option<Babble>,
    noise: f64,
    random: Random,
    /// Of the noise's low-pass.
    hum: f64,
}

/// The rhythm of speech: syllables of 80 to 260 ms, and after some of them a pause.
#[derive(Debug)]
struct Babble {
    random: Random,
    /// Seconds that the syllable or pause still lasts.
    left: f64,
    loudness: f64,
}

impl Generator {
    /// `level_db`: of each tone, below a full-scale sine.
    pub fn set(&mut self, tones_hz: &[f64], level_db: f64) {
        self.tones = tones_hz.iter().map(|&hz| (hz, 0.0)).collect();
        self.amplitude = 10_f64.powf(level_db / 20.0);
    }

    /// Breaks the tones into syllables, or no more.
    pub fn babble(&mut self, seed: Option<u64>) {
        let new = |seed| Babble { random: Random::new(seed), left: 0.0, loudness: 0.0 };
        self.babble = seed.map(new);
    }

    /// Adds low-passed noise whose power is that of a sine at `level_db`, or no more.
    pub fn noise(&mut self, level_db: Option<f64>) {
        // Uniform noise has two thirds of a sine's power, and the low-pass leaves a ninth.
        self.noise = level_db.map_or(0.0, |db| 10_f64.powf(db / 20.0) * 13.5_f64.sqrt());
    }

    pub fn fill(&mut self, rate: u32, samples: &mut [i16]) {
        for sample in samples {
            let mut sum = 0.0;
            let loudness = self.babble.as_mut().map_or(1.0, |babble| babble.next(rate));
            for (hz, phase) in &mut self.tones {
                sum += phase.sin();
                *phase = (*phase + TAU * *hz / f64::from(rate)) % TAU;
            }
            self.hum += ((self.random.unit() * 2.0 - 1.0) * self.noise - self.hum) * 0.2;
            let level = sum * loudness * self.amplitude + self.hum;
            *sample = (level * 32_767.0).clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

impl Babble {
    /// Loudness of the next sample, 0 to 1.
    fn next(&mut self, rate: u32) -> f64 {
        self.left -= 1.0 / f64::from(rate);
        if self.left <= 0.0 {
            let pause = self.random.unit() < 0.15;
            let (shortest, longest) = if pause { (0.15, 0.6) } else { (0.08, 0.26) };
            self.left = shortest + (longest - shortest) * self.random.unit();
            // Down to −20 dB.
            let loudness = 10_f64.powf(-self.random.unit());
            self.loudness = if pause { 0.0 } else { loudness };
        }
        self.loudness
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
