//! What is recorded on its way out of a media thread: a ring for each track, so that no file is waited for.
//!
//! ```text
//!  tick ─▶ Tape ═════ ring ═════▶ Reel ─▶ a file      index (2 words) · samples (1 word) · the samples
//! ```
//! Silence is not written; the index tells how much of it there was. A ring that nobody empties loses ticks, which is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use mixer::room::{TICK, Take};

use super::command::TapeKey;

/// The end that a media thread writes to.
pub(super) struct Tape {
    pub(super) key: TapeKey,
    since: Instant,
    ring: rtrb::Producer<i16>,
    lost: Arc<AtomicU32>,
}

/// The other end. A track may come in by several, of parts of a room or one after the other.
pub struct Reel {
    /// Of which track.
    pub key: TapeKey,
    ring: rtrb::Consumer<i16>,
    lost: Arc<AtomicU32>,
}

/// Both ends of the way of a track whose first tick is that of `since`.
pub(super) fn tape(key: TapeKey, since: Instant) -> (Tape, Reel) {
    let (writer, reader) = rtrb::RingBuffer::new(WORDS);
    let lost = Arc::new(AtomicU32::new(0));
    let tape = Tape { key, since, ring: writer, lost: Arc::clone(&lost) };
    (tape, Reel { key, ring: reader, lost })
}

impl Tape {
    /// Writes a tick.
    pub(super) fn write(&mut self, take: &Take<'_>) {
        let ticks = take.tick.saturating_duration_since(self.since).as_nanos() / TICK.as_nanos();
        let [a, b, c, d] = u32::try_from(ticks).unwrap_or(u32::MAX).to_le_bytes();
        let samples = i16::try_from(take.pcm.len()).unwrap_or(0);
        let head = [i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d]), samples];
        if self.ring.slots() < head.len() + take.pcm.len() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // There is room for both.
        let _no_error = self.ring.push_entire_slice(&head);
        let _no_error = self.ring.push_entire_slice(take.pcm);
    }
}

impl Reel {
    /// Hands each tick that waits to `take`: its index, and its samples, a fiftieth of their rate.
    pub fn drain(&mut self, mut take: impl FnMut(u32, &[i16])) {
        let mut frame = [0; MAX_FRAME];
        while let Some((index, samples)) = self.head()
            && self.ring.slots() >= HEAD + samples
        {
            let mut head = [0; HEAD];
            let frame = &mut frame[..samples];
            let whole = self.ring.pop_entire_slice(&mut head).is_ok()
                && self.ring.pop_entire_slice(frame).is_ok();
            if whole {
                take(index, frame);
            }
        }
    }

    fn head(&mut self) -> Option<(u32, usize)> {
        let chunk = self.ring.read_chunk(HEAD).ok()?;
        let (first, second) = chunk.as_slices();
        let mut words = first.iter().chain(second).map(|word| word.to_le_bytes());
        let ([a, b], [c, d], samples) = (words.next()?, words.next()?, words.next()?);
        let samples = usize::from(u16::from_le_bytes(samples)).min(MAX_FRAME);
        Some((u32::from_le_bytes([a, b, c, d]), samples))
    }

    /// True if nothing can come any more, once it is drained.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Ticks that found no place since this was asked last.
    pub fn take_lost(&self) -> u32 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

/// What a media thread has of a track, for tests of who reads it.
#[cfg(test)]
pub(crate) struct TapeEnd(Tape);

#[cfg(test)]
impl TapeEnd {
    pub(crate) fn new(key: TapeKey, since: Instant) -> (Self, Reel) {
        let (tape, reel) = tape(key, since);
        (Self(tape), reel)
    }

    pub(crate) fn write(&mut self, tick: Instant, pcm: &[i16]) {
        let rate = u32::try_from(pcm.len()).unwrap() * 50;
        self.0.write(&Take { tick, slot: None, rate, pcm });
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape({})", self.key.0)
    }
}

impl fmt::Debug for Reel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reel({})", self.key.0)
    }
}

impl PartialEq for Tape {
    /// Of the same track.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl PartialEq for Reel {
    /// Of the same track.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// Words before the samples.
const HEAD: usize = 3;
/// Samples of a tick at the highest rate.
const MAX_FRAME: usize = 960;
/// 64 KiB: 4 s at 8 kHz, 0.7 s at 48 kHz.
const WORDS: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time starts anywhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn write(tape: &mut Tape, tick: Instant, pcm: &[i16]) {
        tape.write(&Take { tick, slot: None, rate: 8_000, pcm });
    }

    #[test]
    fn ticks_come_out_as_they_went_in_with_their_place() {
        let since = start();
        let (mut tape, mut reel) = tape(TapeKey(1), since);
        for round in 0..500 {
            let pcm: Vec<i16> = (0..160).map(|sample| sample * 7 - 300).collect();
            let phase = std::time::Duration::from_millis(7);
            write(&mut tape, since + phase + TICK * (100_000 + round), &pcm);

            let mut came = Vec::new();
            reel.drain(|index, samples| came.push((index, samples.to_vec())));

            assert_eq!(came, [(100_000 + round, pcm)]);
        }
        assert_eq!(reel.take_lost(), 0);
        drop(tape);
        assert!(reel.is_abandoned());
    }

    #[test]
    fn a_ring_that_nobody_empties_loses_whole_ticks_and_counts_them() {
        let since = start();
        let (mut tape, mut reel) = tape(TapeKey(1), since);

        for tick in 0..40 {
            write(&mut tape, since + TICK * tick, &[1; 960]);
        }

        let mut came = 0;
        reel.drain(|_, samples| came += samples.len() / 960);
        assert_eq!((came, reel.take_lost()), (34, 6));
    }
}
