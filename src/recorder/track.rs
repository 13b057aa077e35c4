//! One file of a recording, and the ways by which its sound comes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use api::model::RecordingFormat;

use super::opus::Opus;
use super::order::Shape;
use super::wave::Wave;
use crate::media::Reel;
use crate::media::command::TapeKey;

/// A file that is written, a tick after the other.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) tape: TapeKey,
    pub(super) path: PathBuf,
    writer: Writer,
    reels: Vec<Reel>,
    /// There was a way.
    is_begun: bool,
    /// Ticks that are written.
    ticks: u32,
    /// Ticks that got lost before they were.
    pub(super) lost: u32,
}

#[derive(Debug)]
enum Writer {
    Wave(Wave),
    Opus(Box<Opus>),
}

impl Track {
    /// Makes the file.
    pub(super) fn create(
        folder: &Path,
        name: &str,
        tape: TapeKey,
        shape: Shape,
    ) -> io::Result<Self> {
        let path = folder.join(format!("{name}.{}", ending(shape.format)));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let writer = match shape.format {
            RecordingFormat::Wav => Writer::Wave(Wave::new(file, shape.rate)),
            RecordingFormat::Opus => {
                let serial = u32::try_from(tape.0 & 0xFFFF_FFFF).unwrap_or(0);
                Writer::Opus(Box::new(Opus::new(file, serial)?))
            }
        };
        Ok(Self { tape, path, writer, reels: Vec::new(), is_begun: false, ticks: 0, lost: 0 })
    }

    /// Its sound comes by this way too.
    pub(super) fn take_reel(&mut self, reel: Reel) {
        self.reels.push(reel);
        self.is_begun = true;
    }

    /// True if no more sound can come by the ways there are.
    pub(super) fn is_cut(&self) -> bool {
        self.is_begun && self.reels.is_empty()
    }

    /// Writes what has come, but nothing from tick `end` on. Parts of a room say the same: what is written already is passed over.
    pub(super) fn drain(&mut self, end: u32) -> io::Result<()> {
        let Self { writer, reels, ticks, lost, .. } = self;
        let mut result = Ok(());
        reels.retain_mut(|reel| {
            let is_over = reel.is_abandoned(); // Asked first: what came before it is drained now.
            reel.drain(|index, pcm| {
                if result.is_ok() && index >= *ticks && index < end {
                    result = writer.put(index - *ticks, pcm);
                    *ticks = index + 1;
                }
            });
            *lost += reel.take_lost();
            !is_over
        });
        result
    }

    /// Writes silence up to `tick`, if there is anything missing.
    pub(super) fn advance(&mut self, tick: u32) -> io::Result<()> {
        let missing = tick.saturating_sub(self.ticks);
        if missing > 0 {
            self.writer.silence(missing)?;
            self.ticks = tick;
        }
        Ok(())
    }

    /// Writes what waits in memory.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Writer::Wave(wave) => wave.flush(),
            Writer::Opus(_) => Ok(()),
        }
    }

    /// Makes the file whole.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Writer::Wave(wave) => wave.finish(),
            Writer::Opus(opus) => opus.finish(),
        }
    }
}

impl Writer {
    /// Appends so many ticks of silence, and one of sound.
    fn put(&mut self, silence: u32, pcm: &[i16]) -> io::Result<()> {
        if silence > 0 {
            self.silence(silence)?;
        }
        match self {
            Self::Wave(wave) => wave.sound(pcm),
            Self::Opus(opus) => opus.sound(pcm),
        }
    }

    fn silence(&mut self, ticks: u32) -> io::Result<()> {
        match self {
            Self::Wave(wave) => wave.silence(ticks),
            Self::Opus(opus) => opus.silence(ticks),
        }
    }
}

/// That of its files.
pub(super) fn ending(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Wav => "wav",
        RecordingFormat::Opus => "opus",
    }
}
