//! The one place where a wide mix becomes 16 bits.
//!
//! Below full scale a frame passes bit-exactly. Above it the gain follows the peaks of 1 ms blocks
//! with the whole frame in sight: a block's gain holds at both of its edges, so the only samples
//! that can still saturate are in the first block of a sudden overload.

use crate::room::MAX_FRAME;

/// Blocks of a frame.
const BLOCKS: usize = 20;
/// How much the gain may rise in a block: from a half to one in 100 ms.
const RELEASE: f32 = 0.005;
/// Full scale.
const CEILING: f32 = 32_767.0;

/// Gain control of one mix.
#[derive(Clone, Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Narrows one frame; both slices have the same length, a multiple of 20.
    pub fn narrow(&mut self, wide: &[i32], narrow: &mut [i16]) {
        if self.gain < 1.0 || !fit(wide.iter().copied(), narrow) {
            self.limit(wide, narrow);
        }
    }

    /// Narrows one frame from which `voice` is taken; all slices have the same length, a multiple of 20 up to 960.
    pub fn narrow_without(&mut self, wide: &[i32], voice: &[i16], narrow: &mut [i16]) {
        let rest = wide.iter().zip(voice).map(|(&wide, &voice)| wide - i32::from(voice));
        if self.gain < 1.0 || !fit(rest.clone(), narrow) {
            let mut wide = [0; MAX_FRAME];
            let length = voice.len().min(MAX_FRAME);
            for (wide, rest) in wide.iter_mut().zip(rest) {
                *wide = rest;
            }
            self.limit(&wide[..length], narrow);
        }
    }

    fn limit(&mut self, wide: &[i32], narrow: &mut [i16]) {
        let length = (wide.len() / BLOCKS).max(1);
        let mut blocks = wide.chunks(length).peekable();
        for narrow in narrow.chunks_mut(length) {
            let Some(block) = blocks.next() else { break };
            let next = blocks.peek().map_or(1.0, |next| allowed(next));
            let target = allowed(block).min(next).min(self.gain + RELEASE);
            let step = (target - self.gain) / count(length);
            for (narrow, &wide) in narrow.iter_mut().zip(block) {
                self.gain += step;
                *narrow = scale(wide, self.gain);
            }
            self.gain = target;
        }
    }
}

/// The most gain that keeps a block below full scale.
fn allowed(block: &[i32]) -> f32 {
    let peak = block.iter().fold(0, |peak, &sample| peak.max(sample.abs()));
    if peak <= i32::from(i16::MAX) { 1.0 } else { CEILING / float(peak) }
}

/// Narrows what fits; false if something was cut off. The loop is made of vector instructions that every processor has.
fn fit(wide: impl Iterator<Item = i32>, narrow: &mut [i16]) -> bool {
    let mut beyond = 0;
    for (narrow, wide) in narrow.iter_mut().zip(wide) {
        *narrow = saturate(wide);
        beyond |= wide.wrapping_sub(i16::MIN.into()).cast_unsigned();
    }
    beyond <= u16::MAX.into()
}

#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn saturate(sample: i32) -> i16 {
    sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn scale(sample: i32, gain: f32) -> i16 {
    (float(sample) * gain) as i16
}

#[expect(clippy::cast_precision_loss, reason = "loud sums; the error is below 16 bits")]
fn float(sample: i32) -> f32 {
    sample as f32
}

#[expect(clippy::cast_precision_loss, reason = "at most 48")]
fn count(samples: usize) -> f32 {
    samples as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_fits_passes_bit_exactly(frame in prop::collection::vec(-32_767..=32_767_i32, 160)) {
            let mut narrow = [0; 160];

            Limiter::default().narrow(&frame, &mut narrow);

            prop_assert!(narrow.iter().zip(&frame).all(|(&n, &w)| i32::from(n) == w));
        }
    }

    #[test]
    fn overload_is_turned_down_and_comes_back() {
        let mut limiter = Limiter::default();
        let loud: Vec<i32> = (0..160).map(|i| if i % 8 < 4 { 60_000 } else { -60_000 }).collect();
        let mut narrow = [0; 160];

        limiter.narrow(&loud, &mut narrow);
        assert!(narrow[8..].iter().all(|s| s.unsigned_abs() <= 32_767));
        limiter.narrow(&loud, &mut narrow);
        assert!(narrow.iter().all(|s| (32_700..=32_767).contains(&s.unsigned_abs())));
        for _ in 0..10 {
            limiter.narrow(&[1_000; 160], &mut narrow);
        }

        assert_eq!(narrow, [1_000; 160]);
    }
}
