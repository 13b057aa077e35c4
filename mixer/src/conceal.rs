//! Makes up for lost frames of codecs that cannot do it themselves (in the spirit of G.711 App. I).
//!
//! ```text
//!   heard ──lost──▶ repeats the last pitch period ──30 ms──▶ two, turned down ──60 ms──▶ three
//!     ▲                                                                               │ 120 ms
//!     └────────────── next good frame, cross-faded ◀──────────────────────────────────┴──▶ silence
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
const STEADY_MS: usize = 30;
/// Silent from here, ms.
const SILENT_MS: usize = 120;
/// The cross-fade when good frames come again, 0.1 ms: the two are out of step more often than not, and a longer one
/// cancels more.
const REENTRY_TENTHS: usize = 25;
/// The same after a steady sound that a codec had lost: it takes the codec longer to find it again.
const JUDGED_REENTRY_TENTHS: usize = 150;
/// How much of the end the pitch is found by, ms: more of it has another pitch.
const LIKENESS_MS: usize = 8;
/// A sound whose periods are this much alike is steady.
const STEADY_LIKENESS: f32 = 0.9;
/// A tone is even more like itself.
const PURE_LIKENESS: f32 = 0.98;

/// Remembers the last good samples of a stream and goes on from them.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// Samples a millisecond, rounded up for 44.1 kHz.
    per_ms: usize,
    /// What was heard last, oldest first; it ends at `end` and moves to the beginning when there is no room behind it.
    heard: Vec<i16>,
    end: usize,
    /// While something is lost.
    loss: Option<Loss>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    pitch: usize,
    /// Samples made up so far.
    made: usize,
    /// How many periods are repeated as one, and where in them we are.
    periods: usize,
    at: usize,
    /// Step between the last good sample and its repetition.
    seam: f32,
    /// Of the last two periods, up to 1.
    likeness: f32,
    /// In place of what a codec made up.
    judged: bool,
}

impl Concealer {
    /// Has heard silence at `rate` Hz so far.
    pub fn new(rate: u32) -> Self {
        let per_ms = rate.div_ceil(1_000) as usize;
        let end = HISTORY_MS * per_ms;
        Self { per_ms, heard: vec![0; 2 * end], end, loss: None }
    }

    /// Takes a good frame and, after a loss, smooths its beginning in place.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if let Some(loss) = self.loss {
            let tenths = if loss.judged { JUDGED_REENTRY_TENTHS } else { REENTRY_TENTHS };
            let length = (tenths * self.per_ms / 10).min(pcm.len());
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

    /// True if what was heard last is a tone, or something as steady.
    pub fn hears_tone(&self) -> bool {
        self.loss.unwrap_or_else(|| self.begin()).likeness > PURE_LIKENESS
    }

    /// Takes what a codec made up by itself, but for a steady sound that it has lost: that goes on here.
    pub fn judge(&mut self, pcm: &mut [i16]) {
        if self.loss.is_none() {
            let loss = Loss { judged: true, ..self.begin() };
            if loss.likeness < STEADY_LIKENESS || self.is_kept(loss, pcm) {
                self.remember(pcm);
                return;
            }
            self.loss = Some(loss);
        }
        self.conceal(pcm);
    }

    /// True if at least half of what would be made up after `loss` is in `pcm`.
    fn is_kept(&mut self, loss: Loss, pcm: &[i16]) -> bool {
        self.loss = Some(loss);
        let (mut energy, mut shared) = (0.0, 0.0);
        for &theirs in pcm {
            let ours = f32::from(self.next_sample());
            energy += ours * ours;
            shared += ours * f32::from(theirs);
        }
        self.loss = None;
        shared > 0.5 * energy
    }

    /// What would be made up next.
    pub fn beyond<const SAMPLES: usize>(&mut self) -> [i16; SAMPLES] {
        let before = self.loss;
        let samples = std::array::from_fn(|_| self.next_sample());
        self.loss = before;
        samples
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
        self.heard.fill(0);
        self.loss = None;
    }

    /// Takes a frame that needs no smoothing.
    pub fn remember(&mut self, pcm: &[i16]) {
        let length = self.history().len();
        let pcm = &pcm[pcm.len().saturating_sub(length)..];
        if self.end + pcm.len() > self.heard.len() {
            self.heard.copy_within(self.end - length..self.end, 0);
            self.end = length;
        }
        self.heard[self.end..self.end + pcm.len()].copy_from_slice(pcm);
        self.end += pcm.len();
    }

    fn history(&self) -> &[i16] {
        &self.heard[self.end - HISTORY_MS * self.per_ms..self.end]
    }

    fn begin(&self) -> Loss {
        let (likeness, pitch) = self.find_pitch();
        let history = self.history();
        let last = history.len() - 1;
        let seam = f32::from(history[last]) - f32::from(history[last - pitch]);
        Loss { pitch, made: 0, periods: 1, at: 0, seam, likeness, judged: false }
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
        let periods_at = |made: usize| (1 + made / steady).min(3);
        let fade = (loss.pitch / 4).max(1);
        if loss.at >= loss.pitch * loss.periods {
            loss.at = 0;
            loss.periods = periods_at(loss.made);
        }
        let left = loss.pitch * loss.periods - loss.at;
        let mut value = f32::from(self.heard[self.end - left]);
        if left <= fade {
            // The end of the last period leads over into the beginning of the first.
            let next = loss.pitch * periods_at(loss.made + left);
            let before = f32::from(self.heard[self.end - next - left]);
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

    /// The lag, samples, at which the end is most like what was before, and how much.
    fn find_pitch(&self) -> (f32, usize) {
        let coarse = (self.per_ms / 8).max(1); // search at about 8 kHz, then refine
        let (shortest, longest) = (SHORTEST * self.per_ms / 10, LONGEST * self.per_ms / 10);
        if level::peak(self.history()) <= level::INAUDIBLE_PEAK {
            return (0.0, longest);
        }
        let rough = self.best_lag((shortest..=longest).step_by(coarse), coarse);
        if coarse == 1 {
            return rough;
        }
        let near = rough.1.saturating_sub(coarse).max(shortest)..=(rough.1 + coarse).min(longest);
        self.best_lag(near, 1)
    }

    fn best_lag(&self, lags: impl Iterator<Item = usize>, step: usize) -> (f32, usize) {
        let history = self.history();
        let start = history.len() - LIKENESS_MS * self.per_ms;
        let places = || (start..history.len()).step_by(step);
        let energy_at = |lag: usize| {
            places().map(|i| f32::from(history[i - lag]).powi(2)).fold(1.0, |sum, x| sum + x)
        };
        let own = energy_at(0);
        let mut best = (f32::MIN, LONGEST * self.per_ms / 10);
        for lag in lags {
            let product = |i: usize| f32::from(history[i]) * f32::from(history[i - lag]);
            let likeness = places().map(product).sum::<f32>() / (energy_at(lag) * own).sqrt();
            if likeness > best.0 {
                best = (likeness, lag);
            }
        }
        best
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
    fn a_long_loss_is_silent_after_120_ms() {
        for rate in RATES {
            let frame = rate as usize / 50;
            let mut concealer = Concealer::new(rate);
            for i in 0..10 {
                concealer.heard(&mut tone(200.0, rate, i * frame, frame));
            }
            let mut pcm = vec![0; 7 * frame];
            concealer.conceal(&mut pcm);

            assert!(level::peak(&pcm[2 * frame..3 * frame]) > 5_000);
            assert!((500..5_000).contains(&level::peak(&pcm[4 * frame..5 * frame])));
            assert_eq!(level::peak(&pcm[6 * frame + frame / 4..]), 0);
            assert!(concealer.is_silent());
        }
    }

    #[test]
    fn a_steady_sound_that_a_codec_lost_goes_on_and_what_it_kept_is_kept() {
        let sound = |i: usize| tone(437.0, 48_000, i * 960, 960);
        let mut concealer = Concealer::new(48_000);
        for i in 0..10 {
            concealer.heard(&mut sound(i));
        }

        let mut kept = sound(10);
        concealer.judge(&mut kept);
        let mut lost = vec![0; 960];
        concealer.judge(&mut lost);

        assert_eq!(kept, sound(10));
        assert!(level::dbov(&lost) > -16.5, "{}", level::dbov(&lost));
    }

    #[test]
    fn noise_is_left_to_the_codec() {
        let mut noise = 1_u32;
        let mut frame = || -> Vec<i16> {
            let mut next = || {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                i16::try_from(noise >> 18).unwrap() - 8_192
            };
            (0..960).map(|_| next()).collect()
        };
        let mut concealer = Concealer::new(48_000);
        for _ in 0..10 {
            concealer.heard(&mut frame());
        }

        let mut pcm = vec![0; 960];
        concealer.judge(&mut pcm);

        assert_eq!(level::peak(&pcm), 0);
    }

    #[test]
    fn what_lies_beyond_is_what_comes_next() {
        let mut concealer = Concealer::new(16_000);
        concealer.heard(&mut tone(200.0, 16_000, 0, 1_600));
        concealer.conceal(&mut [0; 320]);

        let beyond = concealer.beyond::<22>();
        let mut next = [0; 22];
        concealer.conceal(&mut next);

        assert_eq!(beyond, next);
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
