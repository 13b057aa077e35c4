//! A WAV file that grows: 16 bits, mono. Silence is a hole in it, which takes no room on the disk.
//!
//! Its head tells each few seconds how long it is, so that what a crash leaves can be played; who finds such a file puts its
//! head right ([`mend`]).

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

use api::wav::{self, HEAD};
use mixer::resample::Resampler;

/// A file that is written.
#[derive(Debug)]
pub(super) struct Wave {
    file: File,
    /// Hz; that of the first sound, unless it was said.
    rate: Option<u32>,
    resampler: Option<(u32, Resampler)>,
    /// Octets of samples, those in the buffer and holes included.
    octets: u64,
    buffer: Vec<u8>,
    /// Ticks before the first sound.
    before: u32,
    flushed_head: u64,
}

impl Wave {
    pub(super) fn new(file: File, rate: Option<u32>) -> Self {
        Self {
            file,
            rate,
            resampler: None,
            octets: 0,
            buffer: Vec::with_capacity(BUFFER),
            before: 0,
            flushed_head: 0,
        }
    }

    /// Appends so many ticks of silence.
    pub(super) fn silence(&mut self, ticks: u32) -> io::Result<()> {
        let Some(rate) = self.rate else {
            self.before += ticks;
            return Ok(());
        };
        self.flush()?;
        self.resampler = None;
        self.grow(u64::from(ticks) * octets_of_tick(rate))
    }

    /// Appends a tick.
    pub(super) fn sound(&mut self, pcm: &[i16]) -> io::Result<()> {
        let from = u32::try_from(pcm.len()).unwrap_or(0) * 50;
        let rate = *self.rate.get_or_insert(from);
        if self.before > 0 {
            let before = std::mem::take(&mut self.before);
            self.grow(u64::from(before) * octets_of_tick(rate))?;
        }
        if from == rate {
            return self.append(pcm);
        }
        if self.resampler.as_ref().is_none_or(|(of, _)| *of != from) {
            self.resampler = Resampler::new(from, rate).map(|made| (from, made));
        }
        let mut converted = [0; MAX_FRAME];
        let converted = &mut converted[..rate as usize / 50];
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.run(pcm, converted);
        }
        self.append(converted)
    }

    fn append(&mut self, pcm: &[i16]) -> io::Result<()> {
        self.grow(pcm.len() as u64 * 2)?;
        self.buffer.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn grow(&mut self, octets: u64) -> io::Result<()> {
        if self.octets + octets > MOST {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.octets += octets;
        Ok(())
    }

    /// Writes what waits, and now and then how long the file is.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let at = HEAD as u64 + self.octets - self.buffer.len() as u64;
            self.file.write_all_at(&self.buffer, at)?;
            self.buffer.clear();
        }
        if let Some(rate) = self.rate
            && self.octets - self.flushed_head >= u64::from(rate) * 2 * HEAD_EVERY
        {
            self.write_head(rate)?;
        }
        Ok(())
    }

    fn write_head(&mut self, rate: u32) -> io::Result<()> {
        let octets = u32::try_from(self.octets).unwrap_or(u32::MAX);
        self.file.write_all_at(&wav::head(rate, octets), 0)?;
        self.flushed_head = self.octets;
        Ok(())
    }

    /// Makes it whole.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let rate = *self.rate.get_or_insert(SILENT_RATE);
        let before = std::mem::take(&mut self.before);
        self.grow(u64::from(before) * octets_of_tick(rate))?;
        self.flush()?;
        self.file.set_len(HEAD as u64 + self.octets)?;
        self.write_head(rate)
    }
}

/// Puts the head of a file right that was not finished; gives its rate, Hz.
pub(super) fn mend(file: &File) -> io::Result<u32> {
    let mut head = [0; HEAD];
    let len = file.metadata()?.len();
    let is_headed = file.read_exact_at(&mut head, 0).is_ok() && head.starts_with(b"RIFF");
    let rate = u32::from_le_bytes([head[24], head[25], head[26], head[27]]);
    let rate = if is_headed { rate } else { SILENT_RATE };
    let octets = u32::try_from(len.saturating_sub(HEAD as u64) & !1).unwrap_or(u32::MAX);
    file.set_len(HEAD as u64 + u64::from(octets))?;
    file.write_all_at(&wav::head(rate, octets), 0)?;
    Ok(rate)
}

/// How long a whole file of so many octets lasts, milliseconds.
pub(super) fn duration_ms(octets: u64, rate: u32) -> u64 {
    octets.saturating_sub(HEAD as u64) / 2 * 1_000 / u64::from(rate.max(1))
}

/// The rate of a whole file, Hz.
pub(super) fn rate(file: &File) -> io::Result<u32> {
    let mut rate = [0; 4];
    file.read_exact_at(&mut rate, 24)?;
    Ok(u32::from_le_bytes(rate))
}

fn octets_of_tick(rate: u32) -> u64 {
    u64::from(rate) / 50 * 2
}

/// Octets that wait to be written.
const BUFFER: usize = 16_384;
/// Seconds of sound between two heads.
const HEAD_EVERY: u64 = 5;
/// What the format can say.
const MOST: u64 = (u32::MAX - 64) as u64;
/// Of a track on which nothing was ever heard, Hz.
const SILENT_RATE: u32 = 8_000;
/// Samples of a tick at the highest rate.
const MAX_FRAME: usize = 960;
