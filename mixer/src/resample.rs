//! Streaming polyphase FIR between any two of 8, 16, 44.1 and 48 kHz.
//!
//! A Kaiser window over about 48 taps for each phase of the lower rate: flat to 3.4 kHz of a
//! telephone's band, images and aliases below −80 dB, 3 ms of delay at 8 kHz. Rates with a large
//! ratio (44.1 kHz) use the same filter with more phases.

use std::f64::consts::PI;
use std::sync::LazyLock;
use std::time::Duration;

/// Taps at the lower of both rates.
const TAPS: usize = 48;
/// Shape of the Kaiser window: about −80 dB beside the pass band.
const BETA: f64 = 7.5;
/// Where the filter halves, as a share of the lower rate's band.
const CUT: f64 = 0.92;
/// Lanes summed apart, so that the compiler may use SIMD in spite of float order.
const LANES: usize = 8;
/// The longest input of one call, samples: 60 ms at 48 kHz.
const MAX_INPUT: usize = 2880;
/// The rates that may meet, Hz.
const RATES: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

/// Converts one mono stream from one rate to another.
#[derive(Debug)]
pub struct Resampler {
    bank: &'static Bank,
    /// The last taps of the input, then the input of this call.
    window: Vec<f32>,
    /// Position of the next output within the input's next sample, in steps of `bank.down`.
    phase: usize,
    input_frame: usize,
}

impl Clone for Resampler {
    fn clone(&self) -> Self {
        Self {
            bank: self.bank,
            window: self.window.clone(),
            phase: self.phase,
            input_frame: self.input_frame,
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.bank = source.bank;
        self.window.clone_from(&source.window);
        self.phase = source.phase;
        self.input_frame = source.input_frame;
    }
}

impl Resampler {
    /// A resampler that has heard silence so far; `None` if the rates are equal or not known.
    pub fn new(from: u32, to: u32) -> Option<Self> {
        let from = RATES.iter().position(|&rate| rate == from)?;
        let to = RATES.iter().position(|&rate| rate == to)?;
        if from == to {
            return None;
        }
        let input_frame = RATES[from] as usize / 50;
        let bank: &'static Bank = &BANKS[from][to];
        let mut window = Vec::with_capacity(bank.taps + MAX_INPUT);
        window.resize(bank.taps - 1, 0.0);
        Some(Self { bank, window, phase: 0, input_frame })
    }

    /// Converts `input`, up to 60 ms, and returns how many samples of `output` were made.
    ///
    /// Whole multiples of 10 ms give whole multiples of 10 ms.
    pub fn run(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let bank = self.bank;
        let input = &input[..input.len().min(MAX_INPUT)];
        self.window.extend(input.iter().map(|&sample| f32::from(sample)));
        let mut at = 0;
        let mut made = 0;
        while at < input.len() && made < output.len() {
            let taps = &bank.phases[self.phase * bank.taps..][..bank.taps];
            output[made] = narrow(dot(taps, &self.window[at..at + bank.taps]));
            made += 1;
            self.phase += bank.down;
            at += self.phase / bank.up;
            self.phase %= bank.up;
        }
        self.window.copy_within(input.len().., 0);
        self.window.truncate(bank.taps - 1);
        made
    }

    /// Forgets what it has heard.
    pub fn reset(&mut self) {
        self.window.fill(0.0);
        self.phase = 0;
    }

    /// Samples of input that 20 ms are.
    pub fn input_frame(&self) -> usize {
        self.input_frame
    }

    /// True once only silence is left in the filter.
    pub fn is_silent(&self) -> bool {
        self.window.iter().all(|&sample| sample == 0.0)
    }
}

/// By how much a conversion is late whose lower rate is `rate` Hz: half of its taps.
pub(crate) fn delay(rate: u32) -> Duration {
    Duration::from_secs(1) * u32::try_from(TAPS / 2).unwrap_or(0) / rate
}

fn dot(taps: &[f32], window: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (taps, _) = taps.as_chunks::<LANES>();
    let (window, _) = window.as_chunks::<LANES>();
    for (taps, window) in taps.iter().zip(window) {
        for lane in 0..LANES {
            sums[lane] += taps[lane] * window[lane];
        }
    }
    sums.iter().sum()
}

/// Rounds to 16 bits.
#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
pub(crate) fn narrow(sample: f32) -> i16 {
    // Half away from zero; `round` would be a call without SSE4.1.
    (sample + 0.5_f32.copysign(sample)) as i16
}

/// The filter of one ratio, cut into phases.
#[derive(Debug)]
struct Bank {
    up: usize,
    down: usize,
    /// Taps of each phase, a multiple of [`LANES`].
    taps: usize,
    /// All phases, each in the order of the input, oldest first.
    phases: Vec<f32>,
}

/// Computed once for each pair of rates that ever meets.
static BANKS: [[LazyLock<Bank>; 4]; 4] = {
    macro_rules! bank {
        ($from:literal, $to:literal) => {
            LazyLock::new(|| Bank::new(RATES[$from], RATES[$to]))
        };
    }
    [
        [bank!(0, 0), bank!(0, 1), bank!(0, 2), bank!(0, 3)],
        [bank!(1, 0), bank!(1, 1), bank!(1, 2), bank!(1, 3)],
        [bank!(2, 0), bank!(2, 1), bank!(2, 2), bank!(2, 3)],
        [bank!(3, 0), bank!(3, 1), bank!(3, 2), bank!(3, 3)],
    ]
};

impl Bank {
    fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let (up, down) = ((to / divisor) as usize, (from / divisor) as usize);
        let taps = (TAPS * up.max(down) / up).next_multiple_of(LANES);
        let prototype = prototype(taps * up, up.max(down));
        let mut phases = vec![0.0; taps * up];
        for phase in 0..up {
            let of_phase = |k: usize| prototype[phase + k * up];
            let sum: f64 = (0..taps).map(of_phase).sum();
            for k in 0..taps {
                // Oldest first, and each phase passes a constant unchanged.
                #[expect(clippy::cast_possible_truncation, reason = "f32 is precise enough")]
                let tap = (of_phase(taps - 1 - k) / sum) as f32;
                phases[phase * taps + k] = tap;
            }
        }
        Self { up, down, taps, phases }
    }
}

/// A windowed low-pass at [`CUT`] of one `divider`th of the band.
#[expect(clippy::cast_precision_loss, reason = "some thousand taps")]
fn prototype(length: usize, divider: usize) -> Vec<f64> {
    let centre = (length - 1) as f64 / 2.0;
    let cut = CUT / divider as f64;
    let tap = |i: usize| {
        let x = i as f64 - centre;
        let sinc = if x == 0.0 { 1.0 } else { (PI * cut * x).sin() / (PI * cut * x) };
        let edge = x / (centre + 1.0);
        sinc * bessel(BETA * (1.0 - edge * edge).sqrt())
    };
    (0..length).map(tap).collect()
}

/// Modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use rubato::audioadapter_buffers::direct::InterleavedSlice;
    use rubato::{Fft, FixedSync, Resampler as _};

    use super::*;
    use crate::codec::tests::tone;

    #[test]
    fn every_pair_of_rates_keeps_length_and_level() {
        for from in RATES {
            for to in RATES.into_iter().filter(|&to| to != from) {
                let heard = convert(from, to, 1000.0);

                assert_eq!(heard.len(), to as usize);
                let level =
                    20.0 * (rms(&heard[heard.len() / 2..]) / (8192.0 / 2_f64.sqrt())).log10();
                assert!(level.abs() < 0.1, "{from} to {to}: {level} dB");
            }
        }
    }

    #[test]
    fn the_edge_of_the_telephone_band_passes() {
        let level = 20.0 * (rms(&convert(8_000, 48_000, 3_400.0)[24_000..]) / 5793.0).log10();

        assert!(level > -1.0, "{level} dB");
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        let alias = rms(&convert(48_000, 8_000, 5_000.0)[4_000..]);

        assert!(20.0 * (alias / 5793.0).log10() < -75.0, "{alias}");
    }

    #[test]
    fn agrees_with_rubato() {
        for (from, to) in [(8_000, 48_000), (48_000, 8_000), (16_000, 48_000), (44_100, 48_000)] {
            let ours = convert(from, to, 440.0);
            let theirs = rubato_convert(from, to, 440.0);

            // Delays differ: compare levels, and the distance after the best shift.
            let (ours, theirs) = (&ours[ours.len() / 2..], &theirs[theirs.len() / 2..]);
            let period = to as usize / 440 + 1;
            let error = (0..2 * period)
                .map(|shift| distance(&ours[..period * 8], &theirs[shift..]))
                .fold(f64::MAX, f64::min);
            assert!(error < 0.06, "{from} to {to}: {error}");
        }
    }

    #[test]
    fn silence_drains() {
        let mut resampler = Resampler::new(8_000, 48_000).unwrap();
        let mut output = [0; 960];

        resampler.run(&[1_000; 160], &mut output);
        assert!(!resampler.is_silent());
        resampler.run(&[0; 160], &mut output);

        assert!(resampler.is_silent());
    }

    fn convert(from: u32, to: u32, hz: f32) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let frame = from as usize / 50;
        let mut heard = Vec::new();
        for i in 0..50 {
            let mut output = [0; 960];
            let made = resampler.run(&tone(hz, from, i * frame, frame), &mut output);
            heard.extend_from_slice(&output[..made]);
        }
        heard
    }

    fn rubato_convert(from: u32, to: u32, hz: f32) -> Vec<i16> {
        let input: Vec<f32> = tone(hz, from, 0, from as usize).into_iter().map(f32::from).collect();
        let mut resampler =
            Fft::<f32>::new(from as usize, to as usize, 1024, 1, FixedSync::Both).unwrap();
        let length = resampler.process_all_needed_output_len(input.len());
        let mut output = vec![0.0; length];
        let from_adapter = InterleavedSlice::new(&input, 1, input.len()).unwrap();
        let mut to_adapter = InterleavedSlice::new_mut(&mut output, 1, length).unwrap();
        let (_, made) = resampler
            .process_all_into_buffer(&from_adapter, &mut to_adapter, input.len(), None)
            .unwrap();
        output[..made].iter().map(|&sample| narrow(sample)).collect()
    }

    /// RMS of the difference relative to the RMS of `a`.
    fn distance(a: &[i16], b: &[i16]) -> f64 {
        let difference: Vec<i16> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        rms(&difference) / rms(a)
    }

    #[expect(clippy::cast_precision_loss, reason = "a second of samples")]
    fn rms(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
    }
}
