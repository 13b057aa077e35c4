//! Makes up for lost frames of codecs that cannot do it themselves (in the spirit of G.711 App. I).
//!
//! ```text
//!   heard ──lost──▶ repeats the last pitch period ──10 ms──▶ two ──20 ms──▶ three, turned down
//!     ▲                                                                        │ 60 ms
//!     └────────────── next good frame, cross-faded ◀───────────────────────────┴──▶ silence
//! ```
//! Unlike the appendix there is no added delay: instead of overlapping into samples that are
//! already out, the first repeated samples take up the step at the seam and let it decay.

use crate::level;

/// What is remembered: three of the longest pitch periods, and one more to find it.
const HISTORY_MS: usize = 60;
/// Pitch is looked for between 66 and 400 Hz (in 0.1 ms).
const SHORTEST: usize = 25;
const LONGEST: usize = 150;
/// Full level until here, ms.
const STEADY_MS: usize = 10;
/// Silent from here, ms.
const SILENT_MS: usize = 60;
/// The longest cross-fade when good frames come again, ms.
const REENTRY_MS: usize = 10;

/// Remembers the last good samples of a stream and goes on from them.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// Samples a millisecond, rounded up for 44.1 kHz.
    per_ms: usize,
    /// Oldest first.
    history: Vec<i16>,
    /// While something is lost.
    loss: Option<Loss>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    pitch: usize,
    /// Samples made up so far.
    made: usize,
    /// Where in the repeated periods we are.
    at: usize,
    /// Step between the last good sample and its repetition.
    seam: f32,
}

impl Concealer {
    /// Has heard silence at `rate` Hz so far.
    pub fn new(rate: u32) -> Self {
        let per_ms = rate.div_ceil(1_000) as usize;
        Self { per_ms, history: vec![0; HISTORY_MS * per_ms], loss: None }
    }

    /// Takes a good frame and, after a loss, smooths its beginning in place.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if let Some(loss) = self.loss {
            let grown = self.per_ms * (4 + loss.made / (self.per_ms * STEADY_MS) * 4);
            let length = grown.min(REENTRY_MS * self.per_ms).min(pcm.len());
            for (i, sample) in pcm[..length].iter_mut().enumerate() {
                let synthetic = self.next_sample();
                let weight = share(i + 1, length + 1);
                *sample = mix(synthetic, 1.0 - weight, *sample, weight);
            }
            self.loss = None;
        }
        self.remember(pcm);
    }

    /// Fills `pcm` in place of a lost frame.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        self.cut();
        for sample in pcm {
            *sample = self.next_sample();
        }
    }

    /// Something was left out here: the next good frame is led into as after a loss.
    pub fn cut(&mut self) {
        if self.loss.is_none() {
            self.loss = Some(self.begin());
        }
    }

    /// True once what is made up has faded to silence.
    pub fn is_silent(&self) -> bool {
        self.loss.is_some_and(|loss| loss.made >= SILENT_MS * self.per_ms)
    }

    /// Forgets everything: the stream pauses.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.loss = None;
    }

    /// Takes a frame that needs no smoothing.
    pub fn remember(&mut self, pcm: &[i16]) {
        let keep = self.history.len().saturating_sub(pcm.len());
        let from = self.history.len() - keep;
        self.history.copy_within(from.., 0);
        let tail = &pcm[pcm.len() - (self.history.len() - keep)..];
        self.history[keep..].copy_from_slice(tail);
    }

    fn begin(&self) -> Loss {
        let pitch = self.find_pitch();
        let last = self.history.len() - 1;
        let seam = f32::from(self.history[last]) - f32::from(self.history[last - pitch]);
        Loss { pitch, made: 0, at: 0, seam }
    }

    /// The sample that follows; needs `loss`.
    fn next_sample(&mut self) -> i16 {
        let Some(loss) = &mut self.loss else { return 0 };
        let silent = SILENT_MS * self.per_ms;
        if loss.made >= silent {
            return 0;
        }
        let steady = STEADY_MS * self.per_ms;
        // One period, then two, then three: one alone soon buzzes.
        let periods = (1 + loss.made / steady).min(3);
        let fade = (loss.pitch / 4).max(1);
        if loss.at >= loss.pitch * periods {
            loss.at = 0;
        }
        let start = self.history.len() - loss.pitch * periods;
        let mut value = f32::from(self.history[start + loss.at]);
        let left = loss.pitch * periods - loss.at;
        if left <= fade {
            // The end of the last period leads over into the beginning of the first.
            let before = f32::from(self.history[start - left]);
            let weight = share(fade - left + 1, fade + 1);
            value += (before - value) * weight;
        }
        if loss.made < fade {
            value += loss.seam * (1.0 - share(loss.made, fade));
        }
        if loss.made > steady {
            value *= 1.0 - share(loss.made - steady, silent - steady);
        }
        loss.at += 1;
        loss.made += 1;
        narrow(value)
    }

    /// The lag, samples, at which the last 20 ms are most like what was before.
    fn find_pitch(&self) -> usize {
        let coarse = (self.per_ms / 8).max(1); // search at about 8 kHz, then refine
        let (shortest, longest) = (SHORTEST * self.per_ms / 10, LONGEST * self.per_ms / 10);
        if level::peak(&self.history) <= level::INAUDIBLE_PEAK {
            return longest;
        }
        let rough = self.best_lag((shortest..=longest).step_by(coarse), coarse);
        if coarse == 1 {
            return rough;
        }
        let near = rough.saturating_sub(coarse).max(shortest)..=(rough + coarse).min(longest);
        self.best_lag(near, 1)
    }

    fn best_lag(&self, lags: impl Iterator<Item = usize>, step: usize) -> usize {
        let length = 20 * self.per_ms;
        let start = self.history.len() - length;
        let mut best = (f32::MIN, LONGEST * self.per_ms / 10);
        for lag in lags {
            let (mut product, mut energy) = (0.0, 1.0);
            for i in (start..self.history.len()).step_by(step) {
                let earlier = f32::from(self.history[i - lag]);
                product += f32::from(self.history[i]) * earlier;
                energy += earlier * earlier;
            }
            let score = product / energy.sqrt();
            if score > best.0 {
                best = (score, lag);
            }
        }
        best.1
    }
}

fn mix(a: i16, a_weight: f32, b: i16, b_weight: f32) -> i16 {
    narrow(f32::from(a) * a_weight + f32::from(b) * b_weight)
}

#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn narrow(value: f32) -> i16 {
    value as i16
}

#[expect(clippy::cast_precision_loss, reason = "some thousand samples")]
fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::tone;

    const RATES: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

    #[test]
    fn a_tone_goes_on_through_a_lost_frame_without_a_step() {
        for rate in RATES {
            let frame = rate as usize / 50;
            let mut concealer = Concealer::new(rate);
            let mut heard = Vec::new();
            for i in 0..12 {
                let mut pcm = tone(200.0, rate, i * frame, frame);
                if i == 7 {
                    concealer.conceal(&mut pcm);
                } else {
                    concealer.heard(&mut pcm);
                }
                heard.extend(pcm);
            }

            let clean = tone(200.0, rate, 0, heard.len());
            let usual = steepest(&clean);
            assert!(steepest(&heard) <= usual + usual / 2 + 60, "{rate}");
            let lost = &heard[7 * frame..8 * frame];
            assert!(level::dbov(lost) > -16.5, "{rate}: {}", level::dbov(lost));
        }
    }

    #[test]
    fn a_long_loss_is_silent_after_60_ms() {
        for rate in RATES {
            let frame = rate as usize / 50;
            let mut concealer = Concealer::new(rate);
            for i in 0..10 {
                concealer.heard(&mut tone(200.0, rate, i * frame, frame));
            }
            let mut pcm = vec![0; 4 * frame];
            concealer.conceal(&mut pcm);

            assert!(level::peak(&pcm[frame..2 * frame]) > 500);
            assert_eq!(level::peak(&pcm[3 * frame + frame / 4..]), 0);
            assert!(concealer.is_silent());
        }
    }

    #[test]
    fn frames_of_any_length_are_taken() {
        let mut concealer = Concealer::new(8_000);
        for length in [0, 1, 7, 80, 160, 479, 480, 481, 960, 2_000] {
            concealer.conceal(&mut vec![0; length]);
            concealer.heard(&mut vec![1_000; length]);
        }
    }

    fn steepest(pcm: &[i16]) -> i32 {
        pcm.windows(2).map(|w| (i32::from(w[0]) - i32::from(w[1])).abs()).max().unwrap_or(0)
    }
}
