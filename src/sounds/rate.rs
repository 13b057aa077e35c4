//! Whole clips from one rate to another, by rubato.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// The rate to keep a sound of this rate at, Hz; `None` if it is out of range.
pub(super) fn wanted(rate: u32) -> Option<u32> {
    match rate {
        4_000..=8_000 => Some(8_000),
        8_001..=16_000 => Some(16_000),
        16_001..=192_000 => Some(48_000),
        _ => None,
    }
}

/// Converts samples of −1 to 1 to 16 bits at another rate.
pub(super) fn convert(pcm: &[f32], from: u32, to: u32) -> Vec<i16> {
    if from == to {
        return pcm.iter().copied().map(narrow).collect();
    }
    resample(pcm, from, to).unwrap_or_default().into_iter().map(narrow).collect()
}

/// `None` only for rates that [`wanted`] does not give.
fn resample(pcm: &[f32], from: u32, to: u32) -> Option<Vec<f32>> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    let mut resampler = Fft::<f32>::new(from, to, CHUNK, 1, FixedSync::Both).ok()?;
    let length = resampler.process_all_needed_output_len(pcm.len());
    let mut output = vec![0.0; length];
    let source = InterleavedSlice::new(pcm, 1, pcm.len()).ok()?;
    let mut sink = InterleavedSlice::new_mut(&mut output, 1, length).ok()?;
    let (_, made) = resampler.process_all_into_buffer(&source, &mut sink, pcm.len(), None).ok()?;
    output.truncate(made);
    Some(output)
}

#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn narrow(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

/// Samples converted at once.
const CHUNK: usize = 1_024;
