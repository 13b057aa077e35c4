//! Noise suppression by `RNNoise`: a recurrent network decides which of 22 bands are voice.
//!
//! It works on 10 ms at 48 kHz; other rates are resampled there and back. What comes out is 10 ms late, and by the
//! filters of both ways: 6 ms at 8 kHz, 3 ms at 16 kHz. A tick costs some 80 µs, and a voice 30 KB.

use std::fmt;
use std::time::Duration;

use nnnoiseless::DenoiseState;

use crate::resample::{self, Resampler};

/// The network's rate, Hz.
const RATE: u32 = 48_000;
/// Samples that it takes at once.
const FRAME: usize = DenoiseState::FRAME_SIZE;

/// Cleans one voice.
pub(crate) struct Denoiser {
    state: Box<DenoiseState<'static>>,
    rate: u32,
    /// To the network's rate and back; `None` where the voice has it.
    detour: Option<(Resampler, Resampler)>,
    /// What it remembers is of a while ago.
    stale: bool,
}

impl fmt::Debug for Denoiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denoiser").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Denoiser {
    /// For voices of `rate` Hz. Allocates all it needs, tables of this thread included.
    pub(crate) fn new(rate: u32) -> Self {
        let mut denoiser =
            Self { state: DenoiseState::new(), rate: RATE, detour: None, stale: false };
        denoiser.forget();
        denoiser.set_rate(rate);
        denoiser
    }

    /// Cleans one tick at `rate` Hz; returns how likely there is a voice in it, 0 to 1.
    pub(crate) fn run(&mut self, pcm: &mut [i16], rate: u32) -> f32 {
        self.set_rate(rate);
        if std::mem::take(&mut self.stale) {
            self.forget();
        }
        let Some((up, down)) = &mut self.detour else { return clean(&mut self.state, pcm) };
        let mut wide = [0; 2 * FRAME];
        up.run(pcm, &mut wide);
        let voice = clean(&mut self.state, &mut wide);
        down.run(&wide, pcm);
        voice
    }

    /// What comes next is not the continuation of what was.
    pub(crate) fn rest(&mut self) {
        self.stale = true;
    }

    /// By how much it makes a voice of `rate` Hz late.
    pub(crate) fn delay(rate: u32) -> Duration {
        let way = if rate == RATE { Duration::ZERO } else { resample::delay(rate.min(RATE)) };
        Duration::from_millis(10) + way * 2
    }

    fn set_rate(&mut self, rate: u32) {
        if rate != self.rate {
            self.rate = rate;
            self.detour = Resampler::new(rate, RATE).zip(Resampler::new(RATE, rate));
        }
    }

    /// Lets silence through, which leaves nothing of the old voice to be heard.
    fn forget(&mut self) {
        clean(&mut self.state, &mut [0; 2 * FRAME]);
        if let Some((up, down)) = &mut self.detour {
            up.reset();
            down.reset();
        }
    }
}

/// Cleans whole frames; returns the likelihood of a voice in the last.
fn clean(state: &mut DenoiseState<'_>, pcm: &mut [i16]) -> f32 {
    let mut voice = 0.0;
    for frame in pcm.chunks_exact_mut(FRAME) {
        let (mut input, mut output) = ([0.0; FRAME], [0.0; FRAME]);
        for (input, &sample) in input.iter_mut().zip(&*frame) {
            *input = f32::from(sample);
        }
        voice = state.process_frame(&mut output, &input);
        for (sample, output) in frame.iter_mut().zip(output) {
            *sample = resample::narrow(output);
        }
    }
    voice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level;

    /// Ticks of what a vowel is made of: pulses at 120 Hz through a resonance, four words a second, and noise.
    fn speech(rate: u32, ticks: usize, voice: f32, noise: f32) -> Vec<Vec<i16>> {
        let frame = rate as usize / 50;
        let (mut random, mut hum, mut past) = (1_u32, 0.0, [0.0_f32; 2]);
        #[expect(clippy::cast_precision_loss, reason = "a few kHz")]
        let angle = std::f32::consts::TAU * 700.0 / rate as f32;
        let (radius, period) = (0.97, rate as usize / 120);
        (0..ticks)
            .map(|tick| {
                (0..frame)
                    .map(|i| {
                        let at = tick * frame + i;
                        let is_word = tick % 25 < 15 && voice > 0.0;
                        let pulse = if is_word && at.is_multiple_of(period) { voice } else { 0.0 };
                        let next = pulse + 2.0 * radius * angle.cos() * past[0]
                            - radius * radius * past[1];
                        past = [next, past[0]];
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
                        let white = (random >> 8) as f32 / 8_388_608.0 - 1.0;
                        hum += (white - hum) * 0.2;
                        resample::narrow(next + hum * noise)
                    })
                    .collect()
            })
            .collect()
    }

    fn cleaned(rate: u32, mut ticks: Vec<Vec<i16>>) -> Vec<i16> {
        let mut denoiser = Denoiser::new(rate);
        for pcm in &mut ticks {
            denoiser.run(pcm, rate);
        }
        ticks.concat()
    }

    #[test]
    fn noise_goes_and_a_voice_stays() {
        for rate in [8_000, 16_000, 48_000] {
            let second = rate as usize;
            let noise = speech(rate, 200, 0.0, 1_200.0);
            let before = level::dbov(&noise.concat()[3 * second..]);
            let after = level::dbov(&cleaned(rate, noise)[3 * second..]);
            assert!(after < before - 12.0, "{rate}: noise {before} became {after}");

            let voice = speech(rate, 200, 8_000.0, 100.0);
            let before = level::dbov(&voice.concat()[3 * second..]);
            let after = level::dbov(&cleaned(rate, voice)[3 * second..]);
            assert!((after - before).abs() < 4.0, "{rate}: voice {before} became {after}");
        }
    }

    #[test]
    fn it_is_as_late_as_it_says() {
        for rate in [8_000, 16_000, 48_000] {
            let voice = speech(rate, 100, 8_000.0, 100.0);
            let said = voice.concat();
            let heard = cleaned(rate, voice);

            let alike = |lag: usize| -> f64 {
                let pairs = said[rate as usize..].iter().zip(&heard[rate as usize + lag..]);
                pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let best = (0..rate as usize / 40).max_by(|&a, &b| alike(a).total_cmp(&alike(b)));
            let late = Duration::from_secs(1) * u32::try_from(best.unwrap()).unwrap() / rate;
            let told = Denoiser::delay(rate);
            assert!(
                late.abs_diff(told) < Duration::from_millis(1),
                "{rate}: {late:?}, not {told:?}"
            );
        }
    }
}
