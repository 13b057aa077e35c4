//! What is said: recordings, or a voice that is made up.
#![expect(clippy::cast_possible_truncation, reason = "samples stay within 16 bits")]

use std::f64::consts::TAU;
use std::path::PathBuf;

use anyhow::Result;
use mixer::resample::Resampler;

use crate::network::Random;
use crate::wave;

const RATE: u32 = 16_000;
/// What a quiet office adds, dBov.
const FLOOR: f64 = -55.0;

/// Reads recordings one after the other, with a pause between.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<i16>> {
    let mut pcm = vec![0; 8_000];
    for file in files {
        pcm.extend(wave::read(file)?);
        pcm.extend([0; 4_000]);
    }
    Ok(with_floor(&pcm))
}

/// 20 s of syllables: a glottal pulse train of gliding pitch through three gliding formants, with hisses between.
pub(crate) fn made_up() -> Vec<i16> {
    let mut random = Random::new(9);
    let mut phase = 0.0;
    let mut formants = [[0.0_f64; 2]; 3];
    let pcm: Vec<i16> = (0..20 * RATE)
        .map(|i| {
            let time = f64::from(i) / f64::from(RATE);
            let syllable = (time * 3.7).fract();
            let voiced = syllable < 0.6 && (time / 1.9).fract() < 0.8;
            let hiss = (0.7..0.85).contains(&syllable) && (time / 1.9).fract() < 0.8;
            let pitch = 115.0 + 25.0 * (TAU * time * 0.4).sin() - 20.0 * syllable;
            phase += pitch / f64::from(RATE);
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let swell = (TAU * syllable / 1.2).sin().max(0.0);
            let source = if voiced { 9_000.0 * pulse * swell } else { 0.0 };
            let glide = (TAU * time * 1.1).sin();
            let centres = [500.0 + 200.0 * glide, 1_500.0 - 500.0 * glide, 2_600.0];
            let mut sum = if hiss { 1_500.0 * (random.next() - 0.5) } else { 0.0 };
            for (state, centre) in formants.iter_mut().zip(centres) {
                sum += resonate(state, source, centre);
            }
            sum.clamp(-30_000.0, 30_000.0) as i16
        })
        .collect();
    with_floor(&pcm)
}

/// A resonator of 80 Hz bandwidth.
fn resonate(state: &mut [f64; 2], input: f64, centre: f64) -> f64 {
    let radius = (-std::f64::consts::PI * 80.0 / f64::from(RATE)).exp();
    let angle = TAU * centre / f64::from(RATE);
    let output = input + 2.0 * radius * angle.cos() * state[0] - radius * radius * state[1];
    *state = [output, state[0]];
    output * 0.3
}

fn with_floor(pcm: &[i16]) -> Vec<i16> {
    let mut random = Random::new(4);
    let amplitude = 32_768.0 * 10_f64.powf(FLOOR / 20.0) * 12_f64.sqrt();
    let noisy = |&sample: &i16| (f64::from(sample) + amplitude * (random.next() - 0.5)) as i16;
    pcm.iter().map(noisy).collect()
}

/// Brings speech to the rate of a codec.
pub(crate) fn at_rate(speech: &[i16], rate: u32) -> Vec<i16> {
    convert(speech, RATE, rate)
}

/// Resamples whole frames.
pub(crate) fn convert(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let Some(mut resampler) = Resampler::new(from, to) else { return pcm.to_vec() };
    let mut out = vec![0; to as usize / 50];
    pcm.chunks_exact(from as usize / 50)
        .flat_map(|frame| {
            let samples = resampler.run(frame, &mut out);
            out[..samples].to_vec()
        })
        .collect()
}
