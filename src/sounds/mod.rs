//! Sound files: those that are shipped, and what is made of those that are uploaded.
//!
//! Nothing here waits or remembers: octets come in, and a [`Clip`] or octets go out.

mod decode;
pub mod prompts;
mod rate;

use std::time::Duration;

use mixer::play::Clip;
use thiserror::Error;

/// Why a file cannot be played.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SoundFault {
    /// It is of no kind that is read here, or is broken.
    #[error("expected WAV, Ogg Opus, Ogg Vorbis, FLAC or MP3: {0}")]
    Unreadable(String),
    /// There is no sound in it.
    #[error("expected sound, found none")]
    Empty,
    /// It lasts longer than it may.
    #[error("expected at most {0:?} of sound; sounds.max_length allows more")]
    TooLong(Duration),
    /// It has a rate that is not converted.
    #[error("expected 4 to 192 kHz, found {0} Hz")]
    Rate(u32),
}

/// Makes a clip of a sound file: mono, at the lowest rate of 8, 16 and 48 kHz that loses nothing.
///
/// Takes about a millisecond for a second of sound: not for a thread that has to answer.
///
/// # Errors
/// [`SoundFault`].
pub fn read(file: &[u8], longest: Duration) -> Result<Clip, SoundFault> {
    let sound = decode::decode(file, longest)?;
    if sound.pcm.is_empty() {
        return Err(SoundFault::Empty);
    }
    let rate = rate::wanted(sound.rate).ok_or(SoundFault::Rate(sound.rate))?;
    let pcm = rate::convert(&sound.pcm, sound.rate, rate);
    Clip::new(rate, pcm).ok_or(SoundFault::Rate(rate))
}

#[cfg(test)]
mod tests;
