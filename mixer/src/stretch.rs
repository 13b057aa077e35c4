//! Plays sound longer or shorter without changing its pitch (waveform similarity overlap-add).
//!
//! ```text
//!   shorten   ┌── fades out ──┐                      lengthen   ┌────────────────┬─ fades out ──┐
//!             │               ├ ─ ─ ─ ─ ─ ─ ─ ─      as it was  │      lag       │
//!             ┌ ─ ─ ─ ─ ─ ─ ─ ┬────────────────      again                       ├── fades in ──┼──────────
//!             │◀─ lag ─▶│── fades in ──┤ as it was                               │ as from the beginning
//! ```
//! The lag is where the sound is most like itself: one or more periods of a voice. Where it is not like itself
//! nothing is done, unless the caller is content with less.

/// The least that is left out or added, and the most (0.1 ms).
const SHORTEST: usize = 25;
const LONGEST: usize = 150;
/// The longest cross-fade, and the shortest (0.1 ms).
const FADE_MOST: usize = 100;
const FADE_LEAST: usize = 25;
/// A longer lag is preferred to one that is less alike by less than this.
const PREFERENCE: f32 = 0.03;

/// How alike the two sides of a cross-fade have to be, from −1 (opposite) to 1 (equal up to a factor).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Likeness(pub f32);

impl Likeness {
    /// Takes what is asked for, at the best place or not: for sound that is hardly heard.
    pub const ANY: Self = Self(-1.0);
}

/// Leaves out up to `most` samples at the beginning of `pcm`; returns how many.
///
/// The end stays as it is. Cost: some 10,000 multiplications whatever the rate.
pub fn shorten(pcm: &mut Vec<i16>, rate: u32, most: usize, least: Likeness) -> usize {
    let Some(splice) = Splice::find(pcm, rate, most, least) else { return 0 };
    for i in (0..splice.fade).rev() {
        pcm[splice.lag + i] = splice.blend(i, pcm[i], pcm[splice.lag + i]); // From behind: it reads what it writes.
    }
    pcm.drain(..splice.lag);
    splice.lag
}

/// Adds up to `most` samples at the beginning of `pcm`, within its capacity; returns how many.
///
/// The end stays as it is.
pub fn lengthen(pcm: &mut Vec<i16>, rate: u32, most: usize, least: Likeness) -> usize {
    let most = most.min(pcm.capacity() - pcm.len());
    let Some(splice) = Splice::find(pcm, rate, most, least) else { return 0 };
    let before = pcm.len();
    pcm.resize(before + splice.lag, 0);
    pcm.copy_within(..before, splice.lag);
    for i in 0..splice.fade {
        pcm[splice.lag + i] = splice.blend(i, pcm[2 * splice.lag + i], pcm[splice.lag + i]);
    }
    splice.lag
}

/// Where two copies of a sound are joined.
struct Splice {
    lag: usize,
    fade: usize,
}

impl Splice {
    fn find(pcm: &[i16], rate: u32, most: usize, least: Likeness) -> Option<Self> {
        let per_ms = rate.div_ceil(1_000) as usize;
        let tenths = |tenths: usize| tenths * per_ms / 10;
        let longest = most.min(tenths(LONGEST)).min(pcm.len().checked_sub(tenths(FADE_LEAST))?);
        let fade = |lag: usize| (pcm.len() - lag).min(tenths(FADE_MOST));
        if least <= Likeness::ANY {
            return (longest > 0).then(|| Self { lag: longest, fade: fade(longest) });
        }
        if longest < tenths(SHORTEST) {
            return None;
        }
        let coarse = (per_ms / 8).max(1); // Search at about 8 kHz, then refine.
        let measure = |lag: usize, step: usize| likeness(pcm, lag, fade(lag), step);
        let rough = best(tenths(SHORTEST)..=longest, coarse, |lag| {
            measure(lag, coarse) + PREFERENCE * share(lag, longest)
        });
        let near =
            rough.saturating_sub(coarse).max(tenths(SHORTEST))..=(rough + coarse).min(longest);
        let lag = best(near, 1, |lag| measure(lag, 1));
        (Likeness(measure(lag, 1)) >= least).then(|| Self { lag, fade: fade(lag) })
    }

    fn blend(&self, i: usize, out: i16, into: i16) -> i16 {
        let weight = share(2 * i + 1, 2 * self.fade);
        narrow(f32::from(out) * (1.0 - weight) + f32::from(into) * weight)
    }
}

fn best(lags: std::ops::RangeInclusive<usize>, step: usize, score: impl Fn(usize) -> f32) -> usize {
    let first = *lags.start();
    let better = |best: (usize, f32), lag: usize| {
        let score = score(lag);
        if score > best.1 { (lag, score) } else { best }
    };
    lags.step_by(step).fold((first, f32::MIN), better).0
}

/// Correlation of the beginning with what comes `lag` later; digital silence is like anything.
fn likeness(pcm: &[i16], lag: usize, length: usize, step: usize) -> f32 {
    let (mut product, mut energy, mut energy_later) = (0.0, 1.0, 1.0);
    for i in (0..length).step_by(step) {
        let (a, b) = (f32::from(pcm[i]), f32::from(pcm[i + lag]));
        product += a * b;
        energy += a * a;
        energy_later += b * b;
    }
    if energy + energy_later < 4.0 { 1.0 } else { product / (energy * energy_later).sqrt() }
}

#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn narrow(value: f32) -> i16 {
    value.round() as i16
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
    const CALM: Likeness = Likeness(0.85);

    #[test]
    fn a_tone_loses_and_gains_periods_without_a_step() {
        for rate in RATES {
            for hz in [110.0, 200.0, 437.0, 1_000.0] {
                let frame = rate as usize / 50;
                let most = rate as usize / 80;
                let mut heard = Vec::new();
                for i in 0..6 {
                    let mut pcm = Vec::with_capacity(3 * frame);
                    pcm.extend(tone(hz, rate, i * frame, frame));
                    let changed = match i {
                        2 => shorten(&mut pcm, rate, most, CALM),
                        4 => lengthen(&mut pcm, rate, most, CALM),
                        _ => 1,
                    };
                    assert!(changed > 0 && changed <= most, "{rate} {hz}");
                    heard.extend(pcm);
                }

                let clean = tone(hz, rate, 0, heard.len());
                let usual = steepest(&clean);
                assert!(
                    steepest(&heard) <= usual + usual / 8 + 20,
                    "{rate} {hz}: {}",
                    steepest(&heard)
                );
            }
        }
    }

    #[test]
    fn what_is_unlike_itself_is_left_alone() {
        let mut pcm = Vec::with_capacity(480);
        let mut noise = 1_u32;
        pcm.extend((0..160).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::try_from(noise >> 18).unwrap() - 8_192
        }));
        let before = pcm.clone();

        assert_eq!(shorten(&mut pcm, 8_000, 120, CALM), 0);
        assert_eq!(lengthen(&mut pcm, 8_000, 120, CALM), 0);
        assert_eq!(pcm, before);
    }

    #[test]
    fn silence_gives_what_is_asked_for() {
        let mut pcm = Vec::with_capacity(480);
        pcm.resize(160, 0);

        assert_eq!(shorten(&mut pcm, 8_000, 77, Likeness::ANY), 77);
        assert_eq!(lengthen(&mut pcm, 8_000, 5, Likeness::ANY), 5);
        assert_eq!(pcm.len(), 160 - 77 + 5);
    }

    #[test]
    fn too_little_sound_is_left_alone() {
        for length in 0..50 {
            let mut pcm = tone(400.0, 8_000, 0, length);
            for likeness in [CALM, Likeness::ANY] {
                let before = pcm.len();
                let less = shorten(&mut pcm, 8_000, 1_000, likeness);
                let more = lengthen(&mut pcm, 8_000, 1_000, likeness);
                assert_eq!(pcm.len(), before - less + more);
            }
        }
    }

    fn steepest(pcm: &[i16]) -> i32 {
        pcm.windows(2).map(|w| (i32::from(w[0]) - i32::from(w[1])).abs()).max().unwrap_or(0)
    }
}
