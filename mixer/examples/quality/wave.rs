//! WAV files of 16-bit mono samples.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Writes `pcm`.
pub(crate) fn write(path: &Path, rate: u32, pcm: &[i16]) -> Result<()> {
    let octets = u32::try_from(2 * pcm.len())?;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + octets).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]); // PCM, mono
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    file.extend([2, 0, 16, 0]); // octets and bits of a sample
    file.extend(b"data");
    file.extend(octets.to_le_bytes());
    file.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, file).with_context(|| path.display().to_string())
}

/// Reads the samples of a file, which must be 16 kHz, mono and 16 bits.
pub(crate) fn read(path: &Path) -> Result<Vec<i16>> {
    let file = std::fs::read(path).with_context(|| path.display().to_string())?;
    ensure!(file.starts_with(b"RIFF"), "{} is no WAV file", path.display());
    let mut rest = file.get(12..).unwrap_or_default();
    while let [a, b, c, d, size @ ..] = rest
        && let [e, f, g, h, body @ ..] = size
    {
        let length = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
        let body = &body[..length.min(body.len())];
        match &[*a, *b, *c, *d] {
            b"fmt " => {
                let usual = body.len() >= 16
                    && body[..4] == [1, 0, 1, 0]
                    && body[4..8] == 16_000_u32.to_le_bytes()
                    && body[14..16] == [16, 0];
                ensure!(usual, "{} is not 16 kHz, mono, 16 bits", path.display());
            }
            b"data" => {
                let (samples, _) = body.as_chunks::<2>();
                return Ok(samples.iter().map(|&sample| i16::from_le_bytes(sample)).collect());
            }
            _ => {}
        }
        rest = rest.get(8 + length.next_multiple_of(2)..).unwrap_or_default();
    }
    anyhow::bail!("{} holds no samples", path.display())
}
